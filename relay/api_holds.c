/* relay/api_holds.c - see api_queue_impl.h: the rules that hold mail as it comes in. */
#include "relay/api_queue_impl.h"

#include "core/clock.h"
#include "core/log.h"
#include "relay/holds.h"

#include <stdlib.h>

struct rule_change {
	struct api_request *request;
	struct queue_hold rule;                 /* strings are the request's */
	bool removes;
};

/* ---- what there is ---- */

static json_t *rule_value(const struct queue_hold *h)
{
	char id[QUEUE_ID_TEXT];
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "id", queue_id_str(h->id, id), "sender", api_text(h->sender),
	                 "recipient", api_text(h->recipient), "domain", api_text(h->domain), "since", api_time(h->since_ms / 1000),
	                 "until", api_time(h->until_ms / 1000), "reason", api_text(h->reason));
}

static void on_holds(void *owner, const struct queue_hold *rules, size_t count, const struct sp_fail *why)
{
	struct api_request *q = owner;
	if (api_store_refused(q, why))
		return;
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, rule_value(&rules[i]));
	api_answer(q, 200, json_pack("{s:o, s:n}", "holds", list, "next"));
}

void queue_show_holds(struct api_request *q)
{
	if (api_read(q, NULL, 0))
		queue_holds(q->world->store, core_clock_wall_ms(), q->world->mailbox, on_holds, q);
}

/* ---- changes ---- */

static void log_rule(const struct rule_change *c)
{
	const struct queue_hold *h = &c->rule;
	char id[QUEUE_ID_TEXT];
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, queue_id_str(h->id, id), "operator");
	sp_log_cstr(&l, "action", c->removes ? "hold-rule-remove" : "hold-rule");
	sp_log_cstr(&l, "sender", h->sender);
	sp_log_cstr(&l, "recipient", h->recipient);
	sp_log_cstr(&l, "domain", h->domain);
	if (h->until_ms > 0)
		sp_log_int(&l, "for_s", (h->until_ms - h->since_ms) / 1000);
	sp_log_cstr(&l, "reason", h->reason);
	sp_log_end(&l);
}

/* The rules are in the store; the shards know them too, or not, where the store fails now: then the next start does. */
static void on_spread(void *owner, const struct sp_fail *why)
{
	struct rule_change *c = owner;
	char id[QUEUE_ID_TEXT];
	if (!api_store_refused(c->request, why))
		api_answer(c->request, 200, json_pack("{s:s}", "id", queue_id_str(c->rule.id, id)));
	free(c);
}

static void spread(struct rule_change *c)
{
	if (c->request->world->relay)
		holds_spread(c->request->world->relay, on_spread, c);
	else
		on_spread(c, &SP_FAIL_OK);
}

static void on_added(void *owner, const struct sp_fail *why)
{
	struct rule_change *c = owner;
	if (sp_failed(why)) {
		bool full = strcmp(why->reason, "full") == 0;
		api_refuse(c->request, full ? 409 : 500, "%s", full ? "there are as many hold rules as there may be: remove one first" : why->text);
		free(c);
		return;
	}
	log_rule(c);
	spread(c);
}

void queue_add_hold(struct api_request *q)
{
	struct queue_hold h = { .reason = "" };
	uint64_t for_s = 0;
	const struct query_field fields[] = { { "sender", QUERY_TEXT, &h.sender }, { "recipient", QUERY_TEXT, &h.recipient }, { "domain", QUERY_DOMAIN, &h.domain },
	                                      { "for", QUERY_NUMBER, &for_s }, { "reason", QUERY_TEXT, &h.reason } };
	if (!api_read(q, fields, SP_COUNT(fields)) || !queue_read_pattern(q, "sender", h.sender) || !queue_read_pattern(q, "recipient", h.recipient))
		return;
	if (h.sender == NULL && h.recipient == NULL && h.domain == NULL) {
		api_refuse(q, 400, "say what is to be held: sender=, recipient= or domain=");
		return;
	}
	if (for_s > QUEUE_FOR_MAX_S || strlen(h.reason) > QUEUE_REASON_MAX) {
		api_refuse(q, 400, "for: at most %llu seconds; reason: at most %d characters", (unsigned long long)QUEUE_FOR_MAX_S, QUEUE_REASON_MAX);
		return;
	}
	h.id = queue_store_next_id(q->world->store);
	h.since_ms = core_clock_wall_ms();
	h.until_ms = for_s > 0 ? h.since_ms + (int64_t)for_s * 1000 : 0;
	struct rule_change *c = sp_alloc(sizeof(*c));
	*c = (struct rule_change){ .request = q, .rule = h };
	queue_holds_add(q->world->store, &c->rule, q->world->mailbox, on_added, c);
}

static void on_removed(void *owner, bool found, const struct sp_fail *why)
{
	struct rule_change *c = owner;
	if (sp_failed(why) || !found) {
		if (!api_store_refused(c->request, why))
			api_refuse(c->request, 404, "there is no such hold rule: it ended, or was removed; strictpost queue holds lists them");
		free(c);
		return;
	}
	log_rule(c);
	spread(c);
}

void queue_remove_hold(struct api_request *q)
{
	const char *id = NULL;
	uint64_t number;
	const struct query_field fields[] = { { "id", QUERY_TEXT, &id } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (id == NULL || !queue_id_parse(sp_str_of(id), &number)) {
		api_refuse(q, 400, "id: '%s' is no id of a hold rule: strictpost queue holds lists them", id ? id : "");
		return;
	}
	struct rule_change *c = sp_alloc(sizeof(*c));
	*c = (struct rule_change){ .request = q, .rule = { .id = number }, .removes = true };
	queue_holds_remove(q->world->store, number, q->world->mailbox, on_removed, c);
}

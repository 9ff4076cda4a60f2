/* relay/api_queue.c - see api_queue_impl.h: what is asked, lists and counts. */
#include "relay/api_queue_impl.h"

#include "core/clock.h"
#include "core/json.h"
#include "relay/api_areas.h"

#define PAGE_OCTETS (3u << 20)          /* a page ends with the message that passes it */
#define ANSWER_MAX (60u << 20)          /* of one message with very many recipients */
#define PAGE_USUAL 200

/* ---- what is asked ---- */

struct words {                          /* as they come */
	const char *id, *state, *after, *rule;
	uint64_t older_s;
};

static bool read_id(struct api_request *q, const char *name, const char *text, uint64_t *out)
{
	if (text == NULL || queue_id_parse(sp_str_of(text), out))
		return true;
	api_refuse(q, 400, "%s: '%s' is no queue id, as the log and the list show them", name, text);
	return false;
}

bool queue_read_pattern(struct api_request *q, const char *name, const char *text)
{
	if (text == NULL || strcmp(text, "<>") == 0)
		return true;
	const char *at = strrchr(text, '@');
	if (at && at[1] != '\0')
		return true;
	api_refuse(q, 400, "%s: '%s' is no address: say user@domain, @domain, or <>", name, text);
	return false;
}

static bool read_words(struct api_request *q, const struct words *w, struct queue_asked *out)
{
	if (w->state && !queue_state_parse(sp_str_of(w->state), &out->filter.state)) {
		api_refuse(q, 400, "state: '%s' is none of active, deferred, hold, quarantined", w->state);
		return false;
	}
	if (w->older_s > 0)
		out->filter.before_ms = core_clock_wall_ms() - (int64_t)sp_min(w->older_s, QUEUE_FOR_MAX_S) * 1000;
	return read_id(q, "id", w->id, &out->filter.id) && read_id(q, "after", w->after, &out->after) && read_id(q, "rule", w->rule, &out->rule) &&
	       queue_read_pattern(q, "sender", out->filter.sender) && queue_read_pattern(q, "recipient", out->filter.recipient);
}

static bool says_anything(const struct queue_filter *f)
{
	return f->id || f->sender || f->recipient || f->domain || f->destination || f->before_ms || f->state != QUEUE_STATE_ANY || f->hold_rule;
}

/* Never all by omission: neither where nothing is said, nor where all=1 stands beside what would make it fewer. */
static bool is_meant(struct api_request *q, const struct queue_asked *a)
{
	bool says = says_anything(&a->filter);
	if (says != a->all)
		return true;
	api_refuse(q, 400, says ? "all=1 stands alone: it is all messages, whatever else is said" : "say which messages, or all=1");
	return false;
}

bool queue_asked_read(struct api_request *q, enum queue_question kind, uint64_t usual, uint64_t most, struct queue_asked *out)
{
	*out = (struct queue_asked){ .limit = usual, .reason = "" };
	struct words w = { 0 };
	struct queue_filter *f = &out->filter;
	const struct query_field fields[] = {
		{ "id", QUERY_TEXT, &w.id }, { "sender", QUERY_TEXT, &f->sender }, { "recipient", QUERY_TEXT, &f->recipient },
		{ "domain", QUERY_DOMAIN, &f->domain }, { "destination", QUERY_TEXT, &f->destination }, { "older_than", QUERY_NUMBER, &w.older_s },
		{ "state", QUERY_TEXT, &w.state }, { "rule", QUERY_TEXT, &w.rule }, { "after", QUERY_TEXT, &w.after }, { "limit", QUERY_NUMBER, &out->limit },
		{ "all", QUERY_FLAG, &out->all }, { "reason", QUERY_TEXT, &out->reason }, { "for", QUERY_NUMBER, &out->for_s },
	};
	static const size_t counts[] = { [QUEUE_ASKS_LIST] = 10, [QUEUE_ASKS_CHANGE] = 12, [QUEUE_ASKS_HOLD] = 13 };
	if (!api_read(q, fields, counts[kind]) || !read_words(q, &w, out))
		return false;
	if (kind != QUEUE_ASKS_HOLD)            /* there it is the rule that they are held for */
		f->hold_rule = out->rule;
	if (!api_limit_ok(q, out->limit, most))
		return false;
	if (out->for_s > QUEUE_FOR_MAX_S) {
		api_refuse(q, 400, "for: at most %llu seconds", (unsigned long long)QUEUE_FOR_MAX_S);
		return false;
	}
	return kind == QUEUE_ASKS_LIST || is_meant(q, out);
}

json_t *queue_next_value(uint64_t next)
{
	char text[QUEUE_ID_TEXT];
	return next > 0 ? json_string(queue_id_str(next, text)) : json_null();
}

/* ---- messages ---- */

/* Where the message stands as a whole, as Postfix has one queue_name a message: what moves soonest. */
static enum queue_state state_of(const struct queue_listed *m)
{
	static const enum queue_state order[] = { QUEUE_STATE_ACTIVE, QUEUE_STATE_DEFERRED, QUEUE_STATE_HOLD };
	for (size_t o = 0; o < SP_COUNT(order); o++)
		for (size_t i = 0; i < m->count; i++)
			if (m->recipients[i].state == order[o])
				return order[o];
	return QUEUE_STATE_QUARANTINED;
}

static void write_recipient(struct sp_json *j, const struct queue_listed_recipient *r)
{
	char rule[QUEUE_ID_TEXT];
	const char *delay = r->state == QUEUE_STATE_HOLD && *r->hold_reason && *r->failure == '\0' ? r->hold_reason : r->failure;
	sp_json_open(j, NULL, '{');
	sp_json_cstr(j, "address", r->address);
	if (*delay)                             /* Postfix has none where there is nothing to tell */
		sp_json_cstr(j, "delay_reason", delay);
	sp_json_cstr(j, "state", queue_state_str(r->state));
	sp_json_cstr(j, "destination", r->destination);
	sp_json_int(j, "attempts", r->attempts);
	sp_json_time(j, "next_attempt", r->next_at_ms);
	sp_json_time(j, "deadline", r->deadline_ms);
	sp_json_bool(j, "site", r->site);
	sp_json_bool(j, "fits", r->fits);
	if (r->state == QUEUE_STATE_HOLD) {
		sp_json_cstr(j, "hold_reason", r->hold_reason);
		sp_json_cstr(j, "hold_rule", r->hold_rule ? queue_id_str(r->hold_rule, rule) : NULL);
	}
	sp_json_close(j, '}');
}

static void write_message(struct sp_json *j, const struct queue_listed *m)
{
	static const char *const kinds[] = { [QUEUE_MAIL] = "mail", [QUEUE_DSN] = "dsn", [QUEUE_REPORT] = "report" };
	sp_json_open(j, NULL, '{');
	sp_json_cstr(j, "queue_name", queue_state_str(state_of(m)));
	sp_json_cstr(j, "queue_id", m->name);
	sp_json_int(j, "arrival_time", m->arrived_ms / 1000);           /* Unix time, as postqueue -j has it */
	sp_json_int(j, "message_size", (int64_t)m->size);
	sp_json_cstr(j, "sender", m->sender);
	sp_json_cstr(j, "kind", kinds[m->kind]);
	sp_json_time(j, "arrived", m->arrived_ms);
	sp_json_cstr(j, "client", m->client);
	sp_json_cstr(j, "envelope_id", *m->envid ? m->envid : NULL);
	sp_json_int(j, "priority", m->priority);
	sp_json_time(j, "hold_until", m->hold_until_ms);
	sp_json_time(j, "deliver_by", m->by_at_ms);
	sp_json_bool(j, "require_tls", m->require_tls);
	sp_json_bool(j, "tls_optional", m->tls_optional);
	sp_json_open(j, "recipients", '[');
	for (size_t i = 0; i < m->count; i++)
		write_recipient(j, &m->recipients[i]);
	sp_json_close(j, ']');
	sp_json_close(j, '}');
}

static void on_list(void *owner, const struct queue_listed *rows, size_t count, uint64_t next, const struct sp_fail *why)
{
	struct api_request *q = owner;
	struct api_page page;
	char text[QUEUE_ID_TEXT];
	if (api_store_refused(q, why))
		return;
	api_page_begin(&page, ANSWER_MAX);
	sp_json_open(&page.json, "messages", '[');
	for (size_t i = 0; i < count; i++) {
		write_message(&page.json, &rows[i]);
		if (page.body.len > PAGE_OCTETS && i + 1 < count) {
			next = rows[i].id;
			break;
		}
	}
	api_page_send(q, &page, next ? queue_id_str(next, text) : NULL);
}

static void show_list(struct api_request *q)
{
	struct queue_asked a;
	if (queue_asked_read(q, QUEUE_ASKS_LIST, PAGE_USUAL, API_PAGE_MAX, &a))
		queue_list(q->world->store, &a.filter, a.after, a.limit, q->world->mailbox, on_list, q);
}

static void on_message(void *owner, const struct queue_listed *rows, size_t count, uint64_t next SP_UNUSED, const struct sp_fail *why)
{
	struct api_request *q = owner;
	struct sp_buf body;
	struct sp_json j;
	if (api_store_refused(q, why))
		return;
	if (count == 0) {
		api_refuse(q, 404, "there is no such message in the queue: it was delivered, returned or deleted, or never was; strictpost explain tells what is known of it");
		return;
	}
	sp_buf_init(&body, ANSWER_MAX);
	sp_json_begin(&j, &body);
	write_message(&j, &rows[0]);
	sp_buf_addc(&body, '\n');
	api_send(q, 200, "application/json", &body);
}

static void show_message(struct api_request *q)
{
	const char *id = NULL;
	struct queue_filter f = { 0 };
	const struct query_field fields[] = { { "id", QUERY_TEXT, &id } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (id == NULL) {
		api_refuse(q, 400, "say which message: id=");
		return;
	}
	if (read_id(q, "id", id, &f.id))
		queue_list(q->world->store, &f, 0, 1, q->world->mailbox, on_message, q);
}

/* ---- counts ---- */

static void on_count(void *owner, uint64_t messages, uint64_t recipients, uint64_t next, const struct sp_fail *why)
{
	struct api_request *q = owner;
	if (api_store_refused(q, why))
		return;
	api_answer(q, 200, json_pack("{s:I, s:I, s:o}", "messages", (json_int_t)messages, "recipients", (json_int_t)recipients,
	                             "next", queue_next_value(next)));
}

static void show_count(struct api_request *q)
{
	struct queue_asked a;
	if (queue_asked_read(q, QUEUE_ASKS_LIST, PAGE_USUAL, API_PAGE_MAX, &a))
		queue_count(q->world->store, &a.filter, a.after, q->world->mailbox, on_count, q);
}

/* ---- routes ---- */

static const struct api_route routes[] = {
	{ "GET",    "/queue/list",    show_list },
	{ "GET",    "/queue/count",   show_count },
	{ "GET",    "/queue/message", show_message },
	{ "GET",    "/queue/content", queue_show_content },
	{ "GET",    "/queue/summary", queue_show_summary },
	{ "POST",   "/queue/retry",   queue_do_retry },
	{ "POST",   "/queue/hold",    queue_do_hold },
	{ "POST",   "/queue/release", queue_do_release },
	{ "POST",   "/queue/delete",  queue_do_delete },
	{ "POST",   "/queue/bounce",  queue_do_bounce, API_NEEDS_RELAY },
	{ "GET",    "/queue/holds",   queue_show_holds },
	{ "POST",   "/queue/holds",   queue_add_hold },
	{ "DELETE", "/queue/holds",   queue_remove_hold },
};

void api_queue_add(struct api *a)
{
	api_add(a, routes, SP_COUNT(routes), NULL, NULL);
}

/* relay/api_queue_steer.c - see api_queue_impl.h: what an operator does to mail, a page at a time.
 *
 *   store changes, and marks what shards have -> a line a message -> shards are told: try now, return these, give back what is marked -> answer
 * (Of reports that were to be mailed, rpt/outbox.c is told in the transaction: relay/relay.c.) */
#include "relay/api_queue_impl.h"

#include "core/clock.h"
#include "core/log.h"
#include "relay/evidence.h"
#include "relay/scheduler.h"
#include "relay/shard.h"

#include <stdlib.h>

#define PAGE_USUAL 200
#define BOUNCE_MAX 100                  /* messages taken into memory for one page */

static const struct action {
	enum queue_steering what;
	const char *name;
} actions[] = {
	[QUEUE_RETRY] = { QUEUE_RETRY, "retry" }, [QUEUE_HOLD] = { QUEUE_HOLD, "hold" },
	[QUEUE_RELEASE] = { QUEUE_RELEASE, "release" }, [QUEUE_DELETE] = { QUEUE_DELETE, "delete" },
	[QUEUE_TAKE] = { QUEUE_TAKE, "bounce" },
};

struct change {
	struct api_request *request;
	const struct action *action;
	const char *reason;                     /* the request's */
	uint64_t messages, recipients, marked, next;
};

/* ---- telling ---- */

static void log_message(const struct change *c, uint64_t id, bool pending)
{
	char name[QUEUE_ID_TEXT];
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, queue_id_str(id, name), "operator");
	sp_log_cstr(&l, "action", c->action->name);
	if (pending)                            /* when its session lets go of it */
		sp_log_bool(&l, "pending", true);
	sp_log_cstr(&l, "reason", c->reason);
	sp_log_end(&l);
}

static void tell_change(const struct change *c, const struct queue_steered *out)
{
	const struct api_world *w = c->request->world;
	evidence_act(w->store, w->config, out->ids, (size_t)out->messages, c->action->name, c->reason);
	evidence_act(w->store, w->config, out->marked_ids, (size_t)out->marked, c->action->name, c->reason);
	for (uint64_t i = 0; i < out->messages; i++)
		log_message(c, out->ids[i], false);
	for (uint64_t i = 0; i < out->marked; i++)
		log_message(c, out->marked_ids[i], true);
}

/* ---- the answer ---- */

static void answer(void *owner)
{
	struct change *c = owner;
	const struct relay *r = c->request->world->relay;
	if (r && r->scheduler)                  /* what is due now, or was given back to be returned */
		scheduler_look(r->scheduler);
	api_answer(c->request, 200, json_pack("{s:I, s:I, s:I, s:o}", "messages", (json_int_t)c->messages, "recipients", (json_int_t)c->recipients,
	                                      "marked", (json_int_t)c->marked, "next", queue_next_value(c->next)));
	free(c);
}

static void tell_shards(struct relay *r, struct change *c, const struct queue_steered *out)
{
	for (size_t i = 0; i < out->destination_count; i++)
		shard_retry(r, out->destinations[i]);
	for (size_t i = 0; i < out->job_count; i++)
		shard_overdue(r, out->jobs[i]->recipients[0].destination, out->jobs[i]);
	bool recalls = c->action->what != QUEUE_RETRY && out->marked > 0;
	shard_recall(r, out->marked_ids, recalls ? (size_t)out->marked : 0, answer, c);
}

static void on_steered(void *owner, const struct queue_steered *out, const struct sp_fail *why)
{
	struct change *c = owner;
	struct relay *r = c->request->world->relay;
	if (api_store_refused(c->request, why)) {
		free(c);
		return;
	}
	c->messages = out->messages;
	c->recipients = out->recipients;
	c->marked = out->marked;
	c->next = out->next;
	tell_change(c, out);
	if (r)
		tell_shards(r, c, out);
	else
		answer(c);
}

static void change(struct api_request *q, enum queue_steering what, uint64_t most)
{
	struct queue_asked a;
	if (!queue_asked_read(q, what == QUEUE_HOLD ? QUEUE_ASKS_HOLD : QUEUE_ASKS_CHANGE, sp_min(PAGE_USUAL, most), most, &a))
		return;
	if (strlen(a.reason) > QUEUE_REASON_MAX) {
		api_refuse(q, 400, "reason: at most %d characters", QUEUE_REASON_MAX);
		return;
	}
	int64_t now_ms = core_clock_wall_ms();
	struct change *c = sp_alloc(sizeof(*c));
	c->request = q;
	c->action = &actions[what];
	c->reason = a.reason;
	struct queue_steer_ask ask = {
		.what = what, .filter = a.filter, .after = a.after, .limit = (size_t)a.limit, .now_ms = now_ms, .reason = a.reason,
		.until_ms = a.for_s > 0 ? now_ms + (int64_t)a.for_s * 1000 : 0, .hold_rule = what == QUEUE_HOLD ? a.rule : 0,
	};
	queue_steer(q->world->store, &ask, q->world->mailbox, on_steered, c);
}

void queue_do_retry(struct api_request *q)
{
	change(q, QUEUE_RETRY, API_PAGE_MAX);
}

void queue_do_hold(struct api_request *q)
{
	change(q, QUEUE_HOLD, API_PAGE_MAX);
}

void queue_do_release(struct api_request *q)
{
	change(q, QUEUE_RELEASE, API_PAGE_MAX);
}

void queue_do_delete(struct api_request *q)
{
	change(q, QUEUE_DELETE, API_PAGE_MAX);
}

void queue_do_bounce(struct api_request *q)
{
	if (atomic_load(&q->world->relay->stopping))
		api_refuse(q, 503, "the relay is stopping: it returns mail when it runs again");
	else
		change(q, QUEUE_TAKE, BOUNCE_MAX);
}

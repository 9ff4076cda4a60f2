/* relay/api_drain.c - emptying the relay (relay/drain.h), as an area of the admin API (relay/api.h).
 *   GET /drain           what is left; without a relay too
 *   POST /drain?reason=  takes no mail any more, and ends when nothing is left
 *   DELETE /drain        takes mail again
 * All three answer with what is left: "left" are the recipients that are to be delivered yet. */
#include "relay/api_areas.h"

#include "core/log.h"
#include "queue/list.h"
#include "relay/drain.h"
#include "relay/relay.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static void on_gauges(void *owner, const struct queue_gauges *g, const struct sp_fail *why)
{
	struct api_request *q = owner;
	const struct relay *r = q->world->relay;
	int64_t since_s = r ? drain_since_s(r->drain) : 0;
	if (sp_failed(why)) {
		api_refuse(q, 503, "%s", why->text);
		return;
	}
	uint64_t kept = g->held + g->quarantined;
	api_answer(q, 200, json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "draining", (int)(since_s > 0), "since", api_time(since_s),
	                             "sessions", number(r ? atomic_load(&r->connections) : 0), "messages", number(g->messages),
	                             "recipients", number(g->recipients), "held", number(g->held), "quarantined", number(g->quarantined),
	                             "left", number(g->recipients > kept ? g->recipients - kept : 0)));
}

static void answer(struct api_request *q)
{
	queue_gauges(q->world->store, q->world->mailbox, on_gauges, q);
}

static void on_get(struct api_request *q)
{
	if (api_read(q, NULL, 0))
		answer(q);
}

/* NULL after it was refused: a relay that stops has its end already. */
static struct drain *drain_of(struct api_request *q)
{
	struct relay *r = q->world->relay;
	if (!atomic_load(&r->stopping))
		return r->drain;
	api_refuse(q, 409, "the relay is stopping");
	return NULL;
}

static void on_post(struct api_request *q)
{
	const char *reason = "";
	const struct query_field fields[] = { { "reason", QUERY_TEXT, &reason } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	struct drain *d = drain_of(q);
	if (d == NULL)
		return;
	sp_log_text(SP_LOG_INFO, NULL, "drain", "no mail is taken any more%s%s", *reason ? ": " : "", reason);
	drain_begin(d);
	answer(q);
}

static void on_delete(struct api_request *q)
{
	if (!api_read(q, NULL, 0))
		return;
	struct drain *d = drain_of(q);
	if (d == NULL)
		return;
	sp_log_text(SP_LOG_INFO, NULL, "drain", "mail is taken again");
	drain_undo(d);
	answer(q);
}

static const struct api_route routes[] = {
	{ "GET",    "/drain", on_get,    0 },
	{ "POST",   "/drain", on_post,   API_NEEDS_RELAY },
	{ "DELETE", "/drain", on_delete, API_NEEDS_RELAY },
};

void api_drain_add(struct api *a)
{
	api_add(a, routes, SP_COUNT(routes), NULL, NULL);
}

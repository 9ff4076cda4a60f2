/* relay/api_status.c - how the relay is, as an area of the admin API (relay/api.h).
 *   GET /livez    200 while the main loop runs
 *   GET /readyz   200 when mail is taken and delivered; 503 with the reason when not
 *   GET /status   what the relay has done and has, as one JSON object
 * What the store must be asked is asked once for all who wait for it at that moment. */
#include "relay/api_areas.h"

#include "core/clock.h"
#include "relay/dnssec.h"
#include "relay/metrics.h"
#include "relay/relay.h"
#include "relay/status.h"

#include <stdlib.h>
#include <unistd.h>

#define OVERRIDES_TOLD 100

struct status {
	int64_t started_s;
	uint64_t started_ms;            /* monotonic */
	struct status_watch *watch;
	struct sp_link waiting;         /* of struct api_request */
	bool asking;                    /* the store was asked */
};

/* ---- /livez, /readyz ---- */

static void answer_ok(struct api_request *q)
{
	struct sp_buf body;
	sp_buf_init(&body, 16);
	sp_buf_adds(&body, "ok\n");
	api_send(q, 200, "text/plain", &body);
}

static void on_livez(struct api_request *q)
{
	if (api_read(q, NULL, 0))
		answer_ok(q);
}

/* Why mail is not taken or not delivered; NULL when all is well. */
static const char *unready(const struct relay *r)
{
	if (atomic_load(&r->stopping))
		return "the relay is stopping";
	if (atomic_load(&r->draining))
		return "the relay is being emptied (strictpost drain): it takes no mail, and ends when it has none; strictpost drain --undo takes that back";
	if (!queue_store_accepting(r->store))
		return "the spool takes no mail: its disk is nearly full, or a write failed; the log says which";
	if (atomic_load(&r->unsettled) > 0)
		return "the spool takes no results, deliveries pause; the log says why";
	return NULL;
}

static void on_readyz(struct api_request *q)
{
	const char *why = unready(q->world->relay);
	if (!api_read(q, NULL, 0))
		return;
	if (why)
		api_refuse(q, 503, "%s", why);
	else
		answer_ok(q);
}

/* ---- /status ---- */

static json_t *number(unsigned long long n)
{
	return json_integer((json_int_t)n);
}

static json_t *list_listeners(const struct config *c)
{
	json_t *list = json_array();
	char text[SP_ADDR_TEXT];
	for (size_t i = 0; i < c->listen.count; i++)
		json_array_append_new(list, json_string(sp_addr_str(&c->listen.items[i].address, text)));
	return list;
}

static json_t *store_state(const struct queue_store *s)
{
	struct queue_store_stats stats;
	queue_store_stats(s, &stats);
	return json_pack("{s:o, s:o, s:o, s:b}", "commits", number(stats.commits), "ops", number(stats.ops),
	                 "largest_batch", number(stats.largest_batch), "accepting", (int)queue_store_accepting(s));
}

static json_t *outbound_value(const struct relay *r)
{
	struct pace_counts counts;
	pace_counts(r->pace, core_clock_mono_ms(), &counts);
	return json_pack("{s:o, s:o, s:o}", "sessions", number(counts.sessions), "addresses", number(counts.addresses), "dead", number(counts.dead));
}

static json_t *dnssec_value(const struct relay *r)
{
	return json_pack("{s:s, s:b, s:s}", "resolver", dnssec_state_str(dnssec_state(r)), "believed", (int)dnssec_believed(r), "remedy", dnssec_remedy(r));
}

/* What is lowered now: the rules with override that are in force. An operator has few; whoever has more sees the first. */
static json_t *overrides_value(const struct config *c, int64_t now_s)
{
	json_t *list = json_array();
	for (size_t i = 0; i < c->domains.count && json_array_size(list) < OVERRIDES_TOLD; i++) {
		const struct config_domain *d = &c->domains.items[i];
		if (!d->rule.override || !sts_rule_in_force(&d->rule, now_s))
			continue;
		json_t *v = json_pack("{s:s, s:s, s:o}", "domain", d->rule.domain, "reason", d->rule.reason, "ends",
		                      api_time(d->rule.until_s));
		if (d->rule.level != STS_LEVEL_UNSET)
			json_object_set_new(v, "tls", json_string(sts_level_str(d->rule.level)));
		if (d->has_dane)
			json_object_set_new(v, "dane", json_string(sts_dane_str(d->dane)));
		json_array_append_new(list, v);
	}
	return list;
}

static json_t *status_value(const struct api_request *q)
{
	struct relay *r = q->world->relay;
	const struct config *c = q->world->config;
	const struct status *s = q->self;
	const char *reason = unready(r);
	json_t *v = json_pack("{s:s, s:s, s:i, s:o, s:o, s:b, s:s?, s:i, s:o}", "version", STRICTPOST_VERSION, "hostname", c->hostname,
	                      "pid", (int)getpid(), "started", api_time(s->started_s),
	                      "uptime_s", number((core_clock_mono_ms() - s->started_ms) / 1000), "ready", (int)(reason == NULL),
	                      "reason", reason, "shards", (int)r->shard_count, "listen", list_listeners(c));
	json_object_set_new(v, "draining", json_boolean(atomic_load(&r->draining)));
	json_object_set_new(v, "connections", number(atomic_load(&r->connections)));
	json_object_set_new(v, "outbound", outbound_value(r));
	json_object_set_new(v, "accepted", number(metrics_sum(r->metrics, METRIC_ACCEPTED, 0)));
	json_object_set_new(v, "delivered", number(metrics_sum(r->metrics, METRIC_RECIPIENTS, METRICS_DELIVERED)));
	json_object_set_new(v, "deferred", number(metrics_sum(r->metrics, METRIC_RECIPIENTS, METRICS_DEFERRED)));
	json_object_set_new(v, "bounced", number(metrics_sum_all(r->metrics, METRIC_RECIPIENTS + METRICS_BOUNCED, METRIC_RECIPIENTS + METRICS_EXPIRED)));
	json_object_set_new(v, "store", store_state(r->store));
	json_object_set_new(v, "dnssec", dnssec_value(r));
	json_object_set_new(v, "overrides", overrides_value(c, core_clock_wall_s()));
	status_watch_tell(s->watch, v);
	return v;
}

static void on_watched(void *owner)
{
	struct status *s = owner;
	s->asking = false;
	struct sp_link *l;
	while ((l = sp_list_pop(&s->waiting)) != NULL) {
		struct api_request *q = sp_container_of(l, struct api_request, waits);
		api_answer(q, 200, status_value(q));
	}
}

static void on_status(struct api_request *q)
{
	struct status *s = q->self;
	if (!api_read(q, NULL, 0))
		return;
	sp_list_push_back(&s->waiting, &q->waits);
	if (s->asking)
		return;
	s->asking = true;
	status_watch_ask(s->watch, on_watched, s);
}

/* ---- life ---- */

static const struct api_route routes[] = {
	{ "GET", "/livez",  on_livez,  API_NEEDS_RELAY | API_PUBLIC },
	{ "GET", "/readyz", on_readyz, API_NEEDS_RELAY | API_PUBLIC },
	{ "GET", "/status", on_status, API_NEEDS_RELAY },
};

static void free_status(void *self)
{
	struct status *s = self;
	status_watch_free(s->watch);
	free(s);
}

void api_status_add(struct api *a)
{
	struct status *s = sp_alloc(sizeof(*s));
	s->started_s = core_clock_wall_s();
	s->started_ms = core_clock_mono_ms();
	s->watch = status_watch_new(api_world(a));
	sp_list_init(&s->waiting);
	api_add(a, routes, SP_COUNT(routes), s, free_status);
}

/* relay/status.c - see status.h. */
#include "relay/status.h"

#include "core/clock.h"
#include "core/loop.h"
#include "queue/list.h"
#include "queue/space.h"
#include "relay/lately.h"
#include "relay/metrics.h"
#include "relay/relay.h"
#include "relay/stored.h"

#include <stdlib.h>

struct status_watch {
	const struct api_world *world;
	struct core_timer *timer;               /* NULL: no relay */
	struct lately lately;
	/* what the store said */
	struct sp_fail queue_fail;
	struct queue_gauges queue;
	struct stored stored;
	void (*done)(void *owner);
	void *owner;
};

/* ---- counters ---- */

static const struct counted { const char *name; enum metrics_counter first, last; } counted[] = {
	{ "accepted",  METRIC_ACCEPTED, METRIC_ACCEPTED },
	{ "delivered", METRIC_RECIPIENTS + METRICS_DELIVERED, METRIC_RECIPIENTS + METRICS_DELIVERED },
	{ "deferred",  METRIC_RECIPIENTS + METRICS_DEFERRED, METRIC_RECIPIENTS + METRICS_DEFERRED },
	{ "bounced",   METRIC_RECIPIENTS + METRICS_BOUNCED, METRIC_RECIPIENTS + METRICS_EXPIRED },
	{ "verified",  METRIC_PROOF + METRICS_VERIFIED, METRIC_PROOF + METRICS_VERIFIED },
	{ "encrypted", METRIC_PROOF + METRICS_ENCRYPTED, METRIC_PROOF + METRICS_ENCRYPTED },
	{ "clear",     METRIC_PROOF + METRICS_CLEAR, METRIC_PROOF + METRICS_CLEAR },
};
#define FIRST_PROOF 4                   /* the rows behind are sessions */

static uint64_t count(const struct status_watch *w, size_t i)
{
	return metrics_sum_all(w->world->relay->metrics, counted[i].first, counted[i].last);
}

static void on_timer(void *owner)
{
	struct status_watch *w = owner;
	uint64_t counters[LATELY_COUNTERS] = { 0 };
	for (size_t i = 0; i < SP_COUNT(counted); i++)
		counters[i] = count(w, i);
	lately_note(&w->lately, core_clock_mono_ms(), counters);
	core_timer_start(w->timer, LATELY_STEP_MS);
}

/* ---- the store ---- */

static void on_gauges(void *owner, const struct queue_gauges *g, const struct sp_fail *why)
{
	struct status_watch *w = owner;
	w->queue_fail = *why;
	w->queue = *g;
	stored_ask(&w->stored, w->world->store, w->world->mailbox, w->done, w->owner);
}

void status_watch_ask(struct status_watch *w, void (*done)(void *owner), void *owner)
{
	w->done = done;
	w->owner = owner;
	queue_gauges(w->world->store, w->world->mailbox, on_gauges, w);
}

/* ---- telling ---- */

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static uint64_t grown(const struct status_watch *w, size_t i, uint64_t span_ms)
{
	uint64_t over_ms;
	return lately_grown(&w->lately, core_clock_mono_ms(), span_ms, i, count(w, i), &over_ms);
}

static json_t *throughput_value(const struct status_watch *w)
{
	json_t *v = json_object();
	for (size_t i = 0; i < FIRST_PROOF; i++)
		json_object_set_new(v, counted[i].name, json_pack("{s:o, s:o, s:o}", "minute", number(grown(w, i, LATELY_MINUTE_MS)), "hour",
		                                                  number(grown(w, i, LATELY_HOUR_MS)), "total", number(count(w, i))));
	return v;
}

static json_t *tls_value(const struct status_watch *w)
{
	json_t *hour = json_object(), *total = json_object();
	for (size_t i = FIRST_PROOF; i < SP_COUNT(counted); i++) {
		json_object_set_new(hour, counted[i].name, number(grown(w, i, LATELY_HOUR_MS)));
		json_object_set_new(total, counted[i].name, number(count(w, i)));
	}
	return json_pack("{s:o, s:o}", "hour", hour, "total", total);
}

static json_t *queue_value(const struct status_watch *w)
{
	const struct queue_gauges *g = &w->queue;
	if (sp_failed(&w->queue_fail))
		return json_pack("{s:s}", "error", w->queue_fail.text);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "messages", number(g->messages), "recipients", number(g->recipients), "destinations_waiting",
	                 number(g->waiting_destinations), "held", number(g->held), "quarantined", number(g->quarantined), "oldest", api_time(g->oldest_ms / 1000),
	                 "oldest_waiting", api_time(g->oldest_waiting_ms / 1000));
}

static json_t *policies_value(const struct sts_cache_counts *p)
{
	uint64_t expired = 0;
	for (size_t i = 0; i < SP_COUNT(p->expired); i++)
		expired += p->expired[i];
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "enforce", number(p->valid[STS_MODE_ENFORCE]), "testing", number(p->valid[STS_MODE_TESTING]),
	                 "none", number(p->valid[STS_MODE_NONE]), "expired", number(expired), "failing", number(p->failing), "lapsing", number(p->lapsing),
	                 "never_fetched", number(p->unfetched), "first_lapse", api_time(p->lapses_s));
}

static json_t *disk_value(const struct status_watch *w)
{
	struct queue_store_room room;
	queue_store_room(w->world->store, &room);
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "free", number(room.available), "total", number(room.total), "needed",
	                 number(queue_space_kept(room.total)), "database", number(room.database), "log", number(room.log));
}

void status_watch_tell(const struct status_watch *w, json_t *into)
{
	json_object_set_new(into, "throughput", throughput_value(w));
	json_object_set_new(into, "tls", tls_value(w));
	json_object_set_new(into, "queue", queue_value(w));
	json_object_set_new(into, "disk", disk_value(w));
	if (!w->stored.known)
		return;
	json_object_set_new(into, "policies", policies_value(&w->stored.policies));
	json_object_set_new(into, "reports", json_pack("{s:o, s:o}", "open", number(w->stored.reports.states[RPT_STATE_OPEN]), "due", number(w->stored.reports.due)));
	json_object_set_new(into, "evidence_octets", number(w->stored.evidence));
}

/* ---- life ---- */

struct status_watch *status_watch_new(const struct api_world *world)
{
	struct status_watch *w = sp_alloc(sizeof(*w));
	w->world = world;
	if (world->relay) {
		w->timer = core_timer_new(world->loop, on_timer, w);
		on_timer(w);
	}
	return w;
}

void status_watch_free(struct status_watch *w)
{
	if (w == NULL)
		return;
	core_timer_close(w->timer);
	free(w);
}

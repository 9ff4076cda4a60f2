/* relay/destination.c - see destination.h; its parts in destination_impl.h. */
#include "relay/destination_impl.h"

#include <stdlib.h>

#define QUIET_MS 60000                  /* a quiet destination keeps its plan for so long */
#define QUIET_MAX 10000                 /* quiet destinations of a shard */
#define TICK_LOOKS 1000                 /* of them a second */

/* --- making and finding --- */

struct destination *destination_find(struct shard *s, const char *name)
{
	struct sp_map_node *n = sp_map_find(&s->destinations, sp_str_of(name));
	return n ? sp_container_of(n, struct destination, node) : NULL;
}

static void free_destination(struct destination *d)
{
	sp_assert(d->session_count == 0 && sp_list_empty(&d->inflight) && !d->loading);
	sp_map_remove(&d->shard->destinations, &d->node);
	sp_list_remove(&d->idle);
	core_timer_close(d->nudge);
	plan_cancel(d->making);
	plan_unref(d->plan);
	resume_clear(&d->resume);
	if (d->hop)
		rates_leave(d->shard->relay->rates, d->hop, core_clock_mono_ms());
	struct queue_job *j;
	while ((j = destination_pop_waiting(d)))
		queue_job_free(j);
	free(d->name);
	free(d);
}

void destination_read_limits(struct destination *d)
{
	const struct config *c = d->shard->config;
	const struct config_domain *domain = NULL;
	const struct config_route *route = NULL;
	struct route_target t;
	struct sp_arena arena = SP_ARENA_EMPTY;
	if (route_parse(d->name, (uint16_t)c->delivery.port, &arena, &t)) {
		domain = t.host ? config_domain_find(c, t.host, core_clock_wall_s()) : NULL;
		route = route_config(c, &t);
	}
	d->rate = route && route->rate.count ? route->rate : domain && domain->rate.count ? domain->rate : c->delivery.rate;
	d->concurrency = (size_t)(route && route->concurrency ? route->concurrency : domain && domain->concurrency ? domain->concurrency :
	                          c->delivery.concurrency);
	if (d->rate.count > 0 && d->hop == NULL)
		d->hop = rates_join(d->shard->relay->rates, route_hop(d->name, &arena), core_clock_mono_ms());
	sp_arena_clear(&arena);
}

struct destination *destination_get(struct shard *s, const char *name)
{
	struct destination *d = destination_find(s, name);
	if (d)
		return d;
	d = sp_alloc(sizeof(*d));
	d->shard = s;
	d->name = sp_strdup(name);
	sp_list_init(&d->waiting);
	sp_list_init(&d->inflight);
	sp_list_init(&d->sessions);
	sp_list_init(&d->pool);
	d->window = DESTINATION_WINDOW_FIRST;
	d->nudge = core_timer_new(s->loop, destination_on_nudge, d);
	resume_init(&d->resume);
	destination_read_limits(d);
	sp_map_insert(&s->destinations, &d->node, sp_str_of(d->name));
	return d;
}

/* --- from outside --- */

static bool memory_short(const struct shard *s)
{
	return sp_body_memory() > (size_t)s->config->limits.memory / 4 * 3;
}

void destination_give(struct shard *s, const char *name, struct queue_job *job)
{
	struct destination *d = destination_get(s, name);
	if (s->stopping) {
		queue_job_free(job);
		destination_kick(d);
		return;
	}
	if (destination_held(d)) {
		destination_wait_in_store(d, job);
		destination_release(d);
		return;
	}
	if (d->more || d->waiting_count >= destination_room(d) || memory_short(s)) {    /* behind what waits longer */
		destination_park(d, job);
		queue_job_free(job);
		d->more = d->taken = true;
	} else {
		destination_add_waiting(d, job);
	}
	destination_kick(d);
}

void destination_wake(struct shard *s, const char *name, unsigned failures, int64_t since_ms)
{
	struct destination *d = destination_get(s, name);
	d->taken = true;
	if (destination_held(d)) {                          /* the wait was set anew meanwhile */
		destination_release(d);
		return;
	}
	if (d->failures == 0 && d->session_count == 0) {
		d->failures = failures;
		d->since_ms = since_ms;
	}
	d->held_until_ms = 0;
	d->more = true;
	if (d->plan && sp_failed(&d->plan->fail)) {
		plan_unref(d->plan);
		d->plan = NULL;
	}
	destination_kick(d);
}

void destination_hold(struct shard *s, const char *name, const struct queue_wait *wait)
{
	struct destination *d = destination_get(s, name);
	d->failures = wait->failures;
	d->since_ms = wait->since_ms;
	d->held_until_ms = wait->next_at_ms;
	sp_fail_set(&d->last, SP_FAIL_CONNECT, "%s", wait->text);
}

void destination_overdue(struct shard *s, const char *name, struct queue_job *job)
{
	struct destination *d = destination_get(s, name);
	struct sp_fail why = d->last;
	if (!sp_failed(&why))
		sp_fail_set(&why, SP_FAIL_CONNECT, "the destination could not be reached, or did not accept it yet");
	why.permanent = false;                  /* its time is what is judged here; what was for good once may be mended by now */
	sp_list_push_back(&d->inflight, &job->link);
	d->taken = true;
	if (!settle_waiting(d, job, &why, destination_held(d))) {
		sp_list_remove(&job->link);
		destination_park(d, job);
		queue_job_free(job);
	}
	destination_kick(d);                                /* in any case: with a job in flight it is no longer quiet, and must not be freed */
}

/* It waits for what the configuration said, or a password file, which may say something else by now. */
static void let_go(struct destination *d)
{
	static const char *const ours[] = { "rate", "route-gone", "source-gone", "auth-refused" };
	size_t i;
	if (!destination_held(d) || !sp_str_among(sp_str_of(d->last.reason), ours, SP_COUNT(ours), &i))
		return;
	d->failures = 0;
	d->since_ms = d->held_until_ms = 0;
	d->more = d->taken = true;
}

static void reload_one(struct sp_map_node *n, void *arg)
{
	(void)arg;
	struct destination *d = sp_container_of(n, struct destination, node);
	plan_cancel(d->making);
	d->making = NULL;
	if (d->plan)
		d->plan->good_until_ms = 0;
	destination_retire_sessions(d);
	destination_read_limits(d);
	let_go(d);
	destination_kick(d);
}

void destination_reload_all(struct shard *s)
{
	sp_map_each(&s->destinations, reload_one, NULL);
}

/* A plan that is being made may stand on it already: that is begun again, whatever its domain. */
static void forget_policy_one(struct sp_map_node *n, void *arg)
{
	const char *domain = arg;
	struct destination *d = sp_container_of(n, struct destination, node);
	bool stands = d->plan && d->plan->policy_domain && strcmp(d->plan->policy_domain, domain) == 0;
	if (!stands && d->making == NULL)
		return;
	plan_cancel(d->making);
	d->making = NULL;
	if (stands)
		d->plan->good_until_ms = 0;
	destination_kick(d);
}

void destination_forget_policy(struct shard *s, const char *domain)
{
	char *name = sp_strdup(domain);
	sp_map_each(&s->destinations, forget_policy_one, name);
	free(name);
}

/* --- housekeeping --- */

static void kick_one(struct sp_map_node *n, void *arg)
{
	(void)arg;
	destination_kick(sp_container_of(n, struct destination, node));
}

void destination_tick(struct shard *s)
{
	if (s->stalled && atomic_load(&s->relay->unsettled) == 0) {
		s->stalled = false;
		sp_map_each(&s->destinations, kick_one, NULL);
	}
	uint64_t now = core_clock_mono_ms();
	for (unsigned looks = TICK_LOOKS; looks > 0 && !sp_list_empty(&s->idle_destinations); looks--) {
		struct destination *d = sp_container_of(sp_list_first(&s->idle_destinations), struct destination, idle);
		if (now - d->quiet_since_ms < QUIET_MS && s->destinations.count < QUIET_MAX)
			break;
		if (destination_held(d) || d->pool_count > 0) {     /* a held one is remembered, so that fresh mail waits with the rest */
			d->quiet_since_ms = now;
			sp_list_remove(&d->idle);
			sp_list_push_back(&s->idle_destinations, &d->idle);
			continue;
		}
		free_destination(d);
	}
}

static void flush_late_one(struct sp_map_node *n, void *arg)
{
	const int64_t *today = arg;
	struct destination *d = sp_container_of(n, struct destination, node);
	SP_LIST_EACH(&d->sessions, l)
		delivery_flush_late(sp_container_of(l, struct delivery, link), *today);
}

void destination_flush_late(struct shard *s, int64_t today)
{
	sp_map_each(&s->destinations, flush_late_one, &today);
}

static void stop_one(struct sp_map_node *n, void *arg)
{
	(void)arg;
	struct destination *d = sp_container_of(n, struct destination, node);
	core_timer_stop(d->nudge);
	plan_cancel(d->making);
	d->making = NULL;
	destination_retire_sessions(d);
	SP_LIST_EACH(&d->sessions, l)           /* those with nothing under way: no host is waited for in vain */
		if (!delivery_is_proven(sp_container_of(l, struct delivery, link)))
			delivery_cut(sp_container_of(l, struct delivery, link));
	destination_kick(d);
}

void destination_stop_all(struct shard *s)
{
	sp_map_each(&s->destinations, stop_one, NULL);
}

void destination_clear_all(struct shard *s)
{
	struct sp_map_node *n;
	while ((n = sp_map_any(&s->destinations)))
		free_destination(sp_container_of(n, struct destination, node));
	sp_map_clear(&s->destinations);
}

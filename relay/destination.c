/* relay/destination.c - see destination.h. */
#include "relay/destination.h"

#include "core/clock.h"
#include "relay/delivery.h"
#include "relay/outcome.h"
#include "relay/settle.h"

#include <inttypes.h>
#include <stdlib.h>

#define WAITING_MAX 500                 /* jobs of a destination in memory; more stay in the store until their turn */
#define LOAD_MESSAGES 100               /* of a page */
#define LOAD_OCTETS (4 * 1024 * 1024)   /* bodies of a page */
#define WINDOW_FIRST 5                  /* sessions to a site that is not known yet; one more for each transaction that went well */
#define SESSION_BACKLOG 8               /* messages waiting for each session, before there is another */
#define NUDGE_MS 250
#define RELEASE_MS 1000                 /* a busy destination gives its row back at most so often */
#define FIRST_CONTACT_MS (4 * 3600 * 1000)      /* sts.first_contact: defer holds mail for so long; then it goes as without a policy */
#define QUIET_MS 60000                  /* a quiet destination keeps its plan for so long */
#define QUIET_MAX 10000                 /* quiet destinations of a shard */
#define TICK_LOOKS 1000                 /* of them a second */

static void kick(struct destination *d);
static void on_nudge(void *owner);

/* --- making and finding --- */

static struct destination *find(struct shard *s, const char *name)
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
	struct sp_link *l;
	while ((l = sp_list_pop(&d->waiting)))
		queue_job_free(sp_container_of(l, struct queue_job, link));
	free(d->name);
	free(d);
}

static struct destination *get(struct shard *s, const char *name)
{
	struct destination *d = find(s, name);
	if (d)
		return d;
	d = sp_alloc(sizeof(*d));
	d->shard = s;
	d->name = sp_strdup(name);
	sp_list_init(&d->waiting);
	sp_list_init(&d->inflight);
	sp_list_init(&d->sessions);
	sp_list_init(&d->pool);
	d->window = WINDOW_FIRST;
	d->nudge = core_timer_new(s->loop, on_nudge, d);
	resume_init(&d->resume);
	sp_map_insert(&s->destinations, &d->node, sp_str_of(d->name));
	return d;
}

static bool held(const struct destination *d)
{
	return d->held_until_ms > core_clock_wall_ms();
}

/* --- leaving mail in the store --- */

static int64_t job_deadline(const struct destination *d, const struct queue_job *j)
{
	int64_t first_ms = INT64_MAX;
	for (size_t i = 0; i < j->count; i++)
		first_ms = sp_min(first_ms, outcome_deadline_ms(d->shard->config, j->message, &j->recipients[i]));
	return first_ms;
}

static void park(struct destination *d, const struct queue_job *j)
{
	queue_park(d->shard->relay->store, j, job_deadline(d, j));
}

static void release(struct destination *d)
{
	/* Not held: nothing is due, so what waits has times of its own, also where the site failed last. */
	bool waits = held(d);
	struct queue_wait wait = { .failures = waits ? d->failures : 0, .since_ms = waits ? d->since_ms : 0,
	                           .next_at_ms = waits ? d->held_until_ms : 0, .text = sp_failed(&d->last) ? d->last.text : "" };
	queue_release(d->shard->relay->store, d->name, &wait);
	d->taken = false;
	d->released_ms = core_clock_mono_ms();
}

/* A job that cannot be tried now waits in the store with the others, unless its time is up. */
static void wait_in_store(struct destination *d, struct queue_job *j)
{
	sp_list_push_back(&d->inflight, &j->link);
	if (settle_waiting(d, j, &d->last, true))
		return;
	sp_list_remove(&j->link);
	park(d, j);
	d->taken = true;
	queue_job_free(j);
}

/* --- back-off --- */

static void log_held(const struct destination *d)
{
	struct sp_log l;
	sp_log_begin(&l, d->failures == 1 ? SP_LOG_WARNING : SP_LOG_INFO, d->name, "destination");
	sp_log_cstr(&l, "state", "held");
	sp_log_int(&l, "failures", d->failures);
	sp_log_int(&l, "retry_in_ms", d->held_until_ms - core_clock_wall_ms());
	sp_log_cstr(&l, "fault", d->last.result ? sp_result_str(d->last.result) : sp_fail_kind_str(d->last.kind));
	sp_log_cstr(&l, "reason", d->last.reason);
	sp_log_cstr(&l, "why", d->last.text);
	sp_log_end(&l);
}

static struct queue_job *pop_waiting(struct destination *d)
{
	struct sp_link *l = sp_list_pop(&d->waiting);
	if (l == NULL)
		return NULL;
	d->waiting_count--;
	return sp_container_of(l, struct queue_job, link);
}

static void site_failed(struct destination *d, const struct sp_fail *why)
{
	int64_t now_ms = core_clock_wall_ms();
	d->last = outcome_of_session(why);
	d->rechecked = d->failing = d->fetched_now = false;
	d->window = WINDOW_FIRST;
	d->failures++;
	if (d->since_ms == 0)
		d->since_ms = now_ms;
	struct queue_job *j;
	if (outcome_site(d->shard->config, why, d->failures, now_ms, shard_random(d->shard), &d->held_until_ms) == OUTCOME_DEFER) {
		log_held(d);
	} else {
		d->failures = 0;                /* all bounce; what is still in the store follows page by page */
		d->since_ms = d->held_until_ms = 0;
	}
	while ((j = pop_waiting(d)))
		wait_in_store(d, j);
	if (held(d))
		release(d);                     /* behind what was parked: the row tells how long all of it waits */
	kick(d);
}

void destination_works(struct destination *d)
{
	if (d->failures > 0) {
		sp_log_text(SP_LOG_INFO, d->name, "destination", "works again after %u failures", d->failures);
		d->taken = true;                /* its row tells of failures: to be set right */
	}
	d->failures = 0;
	d->since_ms = d->held_until_ms = 0;
	d->rechecked = d->failing = d->fetched_now = false;
	d->last = SP_FAIL_OK;
	if (d->window < (size_t)d->shard->config->delivery.concurrency)
		d->window++;
}

/* --- the plan --- */

static bool plan_good(const struct destination *d)
{
	return d->plan && (d->plan->good_until_ms > core_clock_mono_ms());
}

/* What was proved under another policy is not good enough, or not to be asked: sessions end after the message in hand. */
static void retire_sessions(struct destination *d)
{
	resume_clear(&d->resume);
	while (d->pool_count > 0)
		delivery_stop(sp_container_of(sp_list_first(&d->pool), struct delivery, pool));
	SP_LIST_EACH(&d->sessions, l)
		delivery_stop(sp_container_of(l, struct delivery, link));
}

static void on_plan(void *owner, struct plan *p)
{
	struct destination *d = owner;
	d->making = NULL;
	if (d->plan && !plan_same_demands(d->plan, p))
		retire_sessions(d);
	plan_unref(d->plan);
	d->plan = p;
	d->fetched_now = p->finding.source == STS_SOURCE_FRESH && p->finding.fetched_s >= d->asked_s;
	kick(d);
}

static void make_plan(struct destination *d, bool fresh)
{
	if (d->making)
		return;
	bool patient = d->since_ms == 0 || core_clock_wall_ms() - d->since_ms < FIRST_CONTACT_MS;
	d->asked_s = core_clock_wall_s();
	d->making = plan_make(d->shard, d->name, fresh, patient, on_plan, d);
}

/* --- pages from the store --- */

struct load {                                   /* survives the destination's name only */
	struct shard *shard;
	char *name;
};

static void on_loaded(void *owner, struct queue_job **jobs, size_t count, const struct sp_fail *why)
{
	struct load *load = owner;
	struct shard *s = load->shard;
	struct destination *d = find(s, load->name);
	sp_assert(d != NULL && d->loading);
	d->loading = false;
	s->loads--;
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, d->name, "store", "waiting mail cannot be read, it stays: %s", why->text);
	if (count == 0)
		d->more = false;
	for (size_t i = 0; i < count; i++) {
		if (held(d) || s->stopping) {
			wait_in_store(d, jobs[i]);
			continue;
		}
		queue_job_insert(&d->waiting, jobs[i]);
		d->waiting_count++;
	}
	free(load->name);
	free(load);
	kick(d);
	shard_op_end(s);
}

/* Many destinations may wake at once, and what is on its way is not counted yet. */
static bool page_fits(const struct shard *s)
{
	size_t coming = (size_t)(s->loads + 1) * s->relay->shard_count * LOAD_OCTETS;
	return sp_body_memory() + coming <= (size_t)s->config->limits.memory / 4 * 3;
}

static void load_page(struct destination *d)
{
	struct load *load = sp_alloc(sizeof(*load));
	load->shard = d->shard;
	load->name = sp_strdup(d->name);
	d->loading = true;
	shard_op_begin(d->shard);
	/* One message is enough to find out whether a site is back. */
	size_t limit = d->failures > 0 || !page_fits(d->shard) ? 1 : LOAD_MESSAGES;
	d->shard->loads++;
	queue_load(d->shard->relay->store, d->name, core_clock_wall_ms(), limit, LOAD_OCTETS, d->shard->mailbox, on_loaded, load);
}

/* --- what to do next --- */

static bool quiet(const struct destination *d)
{
	return sp_list_empty(&d->waiting) && sp_list_empty(&d->inflight) && d->session_count == d->pool_count && !d->more && !d->loading &&
	       !d->making;
}

static void rest(struct destination *d)
{
	struct shard *s = d->shard;
	if (d->taken)
		release(d);
	if (sp_link_used(&d->idle))
		return;
	d->quiet_since_ms = core_clock_mono_ms();
	sp_list_push_back(&s->idle_destinations, &d->idle);
	shard_check_finished(s);
}

/* A site that failed is tried with one session until it works again. */
static unsigned sessions_allowed(const struct destination *d)
{
	if (d->failing)
		return 0;
	return d->failures > 0 ? 1 : (unsigned)sp_min(d->window, (size_t)d->shard->config->delivery.concurrency);
}

static bool may_start(const struct destination *d)
{
	return d->session_count < sessions_allowed(d);
}

/* A session costs a handshake and carries hundreds of messages a second: one is begun for the first message, another for each SESSION_BACKLOG that wait, and
 * one more whenever somebody has waited for NUDGE_MS, since then those that there are do not keep up. */
static void start_sessions(struct destination *d)
{
	for (unsigned idle = d->pool_count; idle > 0 && d->pool_count > 0 && d->waiting_count > 0; idle--)
		delivery_resume(sp_container_of(sp_list_first(&d->pool), struct delivery, pool));
	while (may_start(d) && d->waiting_count > (size_t)d->session_count * SESSION_BACKLOG)
		delivery_start(d, d->plan);
	if (d->waiting_count > 0 && may_start(d) && !core_timer_running(d->nudge))
		core_timer_start(d->nudge, NUDGE_MS);
}

static void on_nudge(void *owner)
{
	struct destination *d = owner;
	if (d->waiting_count > 0 && !held(d) && plan_good(d) && !sp_failed(&d->plan->fail) && may_start(d))
		delivery_start(d, d->plan);
	kick(d);
}

/* Came back from a session after the others were put off: waits with them. */
static void keep_in_store(struct destination *d)
{
	struct queue_job *j;
	if (d->waiting_count == 0)
		return;
	while ((j = pop_waiting(d)))
		wait_in_store(d, j);
	release(d);
}

/* A destination that is never quiet must not keep its row: what was put off would never be due. */
static bool is_owed_release(const struct destination *d)
{
	return d->taken && !d->more && !d->loading && core_clock_mono_ms() - d->released_ms >= RELEASE_MS;
}

static void kick(struct destination *d)
{
	struct shard *s = d->shard;
	if (s->stopping) {
		struct queue_job *j;
		while ((j = pop_waiting(d)))
			queue_job_free(j);      /* in the store as ever; due at the next start */
		d->more = false;
	}
	if (quiet(d)) {
		rest(d);
		return;
	}
	sp_list_remove(&d->idle);
	if (atomic_load_explicit(&s->relay->unsettled, memory_order_relaxed) > 0) {
		s->stalled = true;
		return;
	}
	if (held(d)) {
		keep_in_store(d);
		return;
	}
	if (is_owed_release(d))
		release(d);
	if (d->waiting_count == 0) {
		if (d->more && !d->loading)
			load_page(d);
		return;
	}
	if (!plan_good(d)) {
		make_plan(d, false);
	} else if (sp_failed(&d->plan->fail)) {
		struct sp_fail why = d->plan->fail;
		site_failed(d, &why);
		return;
	} else {
		start_sessions(d);
	}
	if (d->more && !d->loading && d->failures == 0 && d->waiting_count < LOAD_MESSAGES / 2)
		load_page(d);
}

/* --- from outside --- */

static bool memory_short(const struct shard *s)
{
	return sp_body_memory() > (size_t)s->config->limits.memory / 4 * 3;
}

void destination_give(struct shard *s, const char *name, struct queue_job *job)
{
	struct destination *d = get(s, name);
	if (s->stopping) {
		queue_job_free(job);
		kick(d);
		return;
	}
	if (held(d)) {
		wait_in_store(d, job);
		release(d);
		return;
	}
	if (d->more || d->waiting_count >= WAITING_MAX || memory_short(s)) {    /* behind what waits longer */
		park(d, job);
		queue_job_free(job);
		d->more = d->taken = true;
	} else {
		queue_job_insert(&d->waiting, job);
		d->waiting_count++;
	}
	kick(d);
}

void destination_wake(struct shard *s, const char *name, unsigned failures, int64_t since_ms)
{
	struct destination *d = get(s, name);
	d->taken = true;
	if (held(d)) {                          /* the wait was set anew meanwhile */
		release(d);
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
	kick(d);
}

void destination_hold(struct shard *s, const char *name, const struct queue_wait *wait)
{
	struct destination *d = get(s, name);
	d->failures = wait->failures;
	d->since_ms = wait->since_ms;
	d->held_until_ms = wait->next_at_ms;
	sp_fail_set(&d->last, SP_FAIL_CONNECT, "%s", wait->text);
}

void destination_overdue(struct shard *s, const char *name, struct queue_job *job)
{
	struct destination *d = get(s, name);
	struct sp_fail why = d->last;
	if (!sp_failed(&why))
		sp_fail_set(&why, SP_FAIL_CONNECT, "the destination could not be reached, or did not accept it yet");
	why.permanent = false;                  /* its time is what is judged here; what was for good once may be mended by now */
	sp_list_push_back(&d->inflight, &job->link);
	d->taken = true;
	if (!settle_waiting(d, job, &why, held(d))) {
		sp_list_remove(&job->link);
		park(d, job);
		queue_job_free(job);
	}
	kick(d);                                /* in any case: with a job in flight it is no longer quiet, and must not be freed */
}

static void reload_one(struct sp_map_node *n, void *arg)
{
	(void)arg;
	struct destination *d = sp_container_of(n, struct destination, node);
	plan_cancel(d->making);
	d->making = NULL;
	if (d->plan)
		d->plan->good_until_ms = 0;
	retire_sessions(d);
	kick(d);
}

void destination_reload_all(struct shard *s)
{
	sp_map_each(&s->destinations, reload_one, NULL);
}

/* --- from deliveries --- */

bool destination_agrees(const struct destination *d, const struct plan *p, const struct plan_host *host)
{
	return d->plan && (d->plan == p || plan_host_agrees(d->plan, p, host));
}

/* The next that is not too late, in flight. */
static struct queue_job *next_in_time(struct destination *d)
{
	struct queue_job *j;
	while ((j = pop_waiting(d))) {
		sp_list_push_back(&d->inflight, &j->link);
		if (!settle_late(d, j))
			return j;
	}
	return NULL;
}

struct queue_job *destination_next(struct destination *d)
{
	if (d->shard->stopping || atomic_load_explicit(&d->shard->relay->unsettled, memory_order_relaxed) > 0)
		return NULL;
	if (!plan_good(d)) {                    /* the session waits in the pool until it is known that its proof still holds */
		make_plan(d, false);
		return NULL;
	}
	d->failing = false;                     /* whoever asks has a session that may carry mail */
	struct queue_job *j = next_in_time(d);
	if (j) {
		if (d->more && !d->loading && d->waiting_count < LOAD_MESSAGES / 2 && d->failures == 0)
			load_page(d);
	}
	return j;
}

void destination_return(struct destination *d, struct queue_job *job)
{
	sp_list_remove(&job->link);
	sp_list_push_front(&d->waiting, &job->link);
	d->waiting_count++;
}

void destination_session_idle(struct destination *d)
{
	kick(d);
}

void destination_session_over(struct destination *d, const struct sp_fail *why)
{
	if (!sp_failed(why) || why->kind == SP_FAIL_SHUTDOWN) {
		d->failing = d->failing && d->session_count > 0;
		kick(d);
		return;
	}
	if (d->session_count > 0) {             /* others still try, or serve: it is not the site yet, but no new ones now */
		d->failing = true;
		return;
	}
	/* RFC 8461 5.1: before mail is given up because of a policy, the policy is looked up afresh. */
	if (outcome_wants_fresh_policy(why) && !d->rechecked && d->waiting_count > 0 && d->plan &&
	    d->plan->finding.policy && !d->fetched_now) {
		d->rechecked = true;
		d->failing = false;             /* they are all over: the fresh plan is tried by new ones */
		d->last = *why;
		d->plan->good_until_ms = 0;     /* nobody begins under it meanwhile */
		make_plan(d, true);
		return;
	}
	site_failed(d, why);
}

void destination_settled(struct destination *d, struct queue_job *job, bool left, bool waits)
{
	sp_list_remove(&job->link);
	if (waits)
		park(d, job);
	d->taken |= left;
	if (left && held(d))
		release(d);                     /* it may have been the first to be at rest, with a row that says "at once" */
	queue_job_free(job);
	kick(d);
}

/* --- housekeeping --- */

static void kick_one(struct sp_map_node *n, void *arg)
{
	(void)arg;
	kick(sp_container_of(n, struct destination, node));
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
		if (held(d) || d->pool_count > 0) {     /* a held one is remembered, so that fresh mail waits with the rest */
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
	retire_sessions(d);
	SP_LIST_EACH(&d->sessions, l)           /* those with nothing under way: no host is waited for in vain */
		if (!delivery_is_proven(sp_container_of(l, struct delivery, link)))
			delivery_cut(sp_container_of(l, struct delivery, link));
	kick(d);
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

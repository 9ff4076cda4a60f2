/* relay/destination_work.c - see destination_impl.h: what is to be done next for a destination, and what a failure means for all that waits for it. */
#include "relay/destination_impl.h"

#include "relay/outcome.h"

#include <inttypes.h>
#include <stdio.h>

#define SESSION_BACKLOG 8               /* messages waiting for each session, before there is another */
#define NUDGE_MS 250
#define RATE_HOLD_MS 60000              /* for a rate: longer waits are in the store */
#define RATE_LOOK_MS (5 * 60 * 1000)    /* and looked at again, as the rate may be another one by then */
#define RELEASE_MS 1000                 /* a busy destination gives its row back at most so often */
#define FIRST_CONTACT_MS (4 * 3600 * 1000)      /* sts.first_contact: defer holds mail for so long; then it goes as without a policy */

bool destination_held(const struct destination *d)
{
	int64_t wait_ms = d->held_until_ms - core_clock_wall_ms();
	return wait_ms > 0 && wait_ms <= config_longest_wait_ms(d->shard->config);
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

static void site_failed(struct destination *d, const struct sp_fail *why)
{
	int64_t now_ms = core_clock_wall_ms();
	d->last = outcome_of_session(why);
	d->rechecked = d->failing = d->fetched_now = d->impatient = false;
	d->window = DESTINATION_WINDOW_FIRST;
	d->failures++;
	if (d->since_ms == 0)
		d->since_ms = now_ms;
	if (outcome_site(d->shard->config, why, d->failures, now_ms, shard_random(d->shard), &d->held_until_ms) == OUTCOME_DEFER) {
		log_held(d);
	} else {
		d->failures = 0;                /* all bounce; what is still in the store follows page by page */
		d->since_ms = d->held_until_ms = 0;
	}
	destination_wait_all(d);
	if (destination_held(d))
		destination_release(d);         /* behind what was parked: the row tells how long all of it waits */
	destination_kick(d);
}

void destination_works(struct destination *d)
{
	if (d->failures > 0) {
		sp_log_text(SP_LOG_INFO, d->name, "destination", "works again after %u failures", d->failures);
		d->taken = true;                /* its row tells of failures: to be set right */
		d->held_until_ms = 0;
	}
	d->failures = 0;
	d->since_ms = 0;
	d->rechecked = d->failing = d->fetched_now = d->impatient = false;
	if (!destination_held(d))               /* for its rate */
		d->last = SP_FAIL_OK;
	if (d->window < d->concurrency)
		d->window++;
}

/* --- the plan --- */

bool destination_is_planned(const struct destination *d)
{
	return d->plan && d->plan->good_until_ms > core_clock_mono_ms();
}

/* What was proved under another policy is not good enough, or not to be asked: sessions end after the message in hand. */
void destination_retire_sessions(struct destination *d)
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
		destination_retire_sessions(d);
	plan_unref(d->plan);
	d->plan = p;
	destination_read_limits(d);             /* a domain's entry may have ended */
	d->fetched_now = p->finding.source == STS_SOURCE_FRESH && p->finding.fetched_s >= d->asked_s;
	destination_kick(d);
}

static void make_plan(struct destination *d, bool fresh)
{
	if (d->making)
		return;
	bool patient = d->since_ms == 0 || core_clock_wall_ms() - d->since_ms < FIRST_CONTACT_MS;
	d->asked_s = core_clock_wall_s();
	d->making = plan_make(d->shard, d->name, fresh, patient, on_plan, d);
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
		destination_release(d);
	if (sp_link_used(&d->idle))
		return;
	d->quiet_since_ms = core_clock_mono_ms();
	sp_list_push_back(&s->idle_destinations, &d->idle);
	shard_check_finished(s);
}

/* --- the rate --- */

/* How long until its rate lets a message go; with `take`, one goes where that is now. */
static uint64_t ask_rate(struct destination *d, bool take)
{
	return d->rate.count == 0 ? 0 : rates_ask(d->shard->relay->rates, d->hop, &d->rate, take, core_clock_mono_ms());
}

/* No connection waits for so long, and no message in memory. */
static void hold_for_rate(struct destination *d, uint64_t wait_ms)
{
	sp_fail_set(&d->last, SP_FAIL_POLICY, "its rate lets the next message go in %" PRIu64 " s", (wait_ms + 999) / 1000);
	snprintf(d->last.reason, sizeof(d->last.reason), "rate");
	d->held_until_ms = core_clock_wall_ms() + (int64_t)sp_min(wait_ms, RATE_LOOK_MS);
	sp_log_text(SP_LOG_INFO, d->name, "destination", "%s", d->last.text);
	destination_wait_all(d);
	destination_release(d);
}

/* --- sessions --- */

/* A site that failed is tried with one session until it works again. */
static unsigned sessions_allowed(const struct destination *d)
{
	if (d->failing)
		return 0;
	return d->failures > 0 ? 1 : (unsigned)sp_min(d->window, d->concurrency);
}

static bool may_start(const struct destination *d)
{
	return d->queued_count == 0 && d->session_count < sessions_allowed(d);
}

/* A session costs a handshake and carries hundreds of messages a second: one is begun for the first message, another for each SESSION_BACKLOG that wait, and
 * one more whenever somebody has waited for NUDGE_MS, since then those that there are do not keep up. */
static void start_sessions(struct destination *d)
{
	size_t going = d->rate.count == 0 ? SIZE_MAX : 1;       /* at a rate, one by one */
	for (unsigned idle = d->pool_count; idle > 0 && d->pool_count > 0 && d->waiting_count > 0 && going > 0; idle--, going--)
		delivery_resume(sp_container_of(sp_list_first(&d->pool), struct delivery, pool));
	for (; may_start(d) && d->waiting_count > (size_t)d->session_count * SESSION_BACKLOG && going > 0; going--)
		delivery_start(d, d->plan);
	if (d->waiting_count > 0 && may_start(d) && !core_timer_running(d->nudge))
		core_timer_start(d->nudge, NUDGE_MS);
}

void destination_on_nudge(void *owner)
{
	struct destination *d = owner;
	bool planned = destination_is_planned(d) && !sp_failed(&d->plan->fail) && !destination_held(d);
	if (planned && d->waiting_count > 0 && d->pool_count == 0 && may_start(d) && ask_rate(d, false) == 0)
		delivery_start(d, d->plan);
	destination_kick(d);
}

/* Came back from a session after the others were put off: waits with them. */
static void keep_in_store(struct destination *d)
{
	if (d->waiting_count == 0)
		return;
	destination_wait_all(d);
	destination_release(d);
}

/* A destination that is never quiet must not keep its row: what was put off would never be due. */
static bool is_owed_release(const struct destination *d)
{
	return d->taken && !d->more && !d->loading && core_clock_mono_ms() - d->released_ms >= RELEASE_MS;
}

void destination_kick(struct destination *d)
{
	struct shard *s = d->shard;
	if (s->stopping) {
		struct queue_job *j;
		while ((j = destination_pop_waiting(d)))
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
	if (destination_held(d)) {
		keep_in_store(d);
		return;
	}
	if (is_owed_release(d))
		destination_release(d);
	if (d->waiting_count == 0) {
		if (d->more && !d->loading)
			destination_load_page(d);
		return;
	}
	uint64_t wait_ms;
	if (!destination_is_planned(d)) {
		make_plan(d, false);
	} else if (sp_failed(&d->plan->fail)) {
		struct sp_fail why = d->plan->fail;
		site_failed(d, &why);
		return;
	} else if ((wait_ms = ask_rate(d, false)) > RATE_HOLD_MS) {
		hold_for_rate(d, wait_ms);
	} else if (wait_ms > 0) {
		core_timer_start(d->nudge, wait_ms);
	} else {
		start_sessions(d);
	}
	if (!destination_held(d) && destination_wants_page(d))
		destination_load_page(d);
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
	while ((j = destination_pop_waiting(d))) {
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
	if (!destination_is_planned(d)) {       /* the session waits in the pool until it is known that its proof still holds */
		make_plan(d, false);
		return NULL;
	}
	d->failing = false;                     /* whoever asks has a session that may carry mail */
	uint64_t wait_ms = d->waiting_count > 0 ? ask_rate(d, true) : 0;
	if (wait_ms > 0)                        /* the session waits in the pool, for as long as sessions do */
		return NULL;
	struct queue_job *j = next_in_time(d);
	if (d->waiting_count == 0)              /* it was for whoever waited then: the next message has not waited yet */
		core_timer_stop(d->nudge);
	if (j && destination_wants_page(d))
		destination_load_page(d);
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
	destination_kick(d);
}

void destination_session_over(struct destination *d, const struct sp_fail *why)
{
	if (d->looked) {
		d->looked(d, why);
		return;
	}
	if (!sp_failed(why) || why->kind == SP_FAIL_SHUTDOWN) {
		d->failing = d->failing && d->session_count > 0;
		destination_kick(d);
		return;
	}
	if (d->session_count > 0) {             /* others still try, or serve: it is not the site yet, but no new ones now, and fewer then */
		d->failing = true;
		d->window = sp_max(sp_min(d->window, d->session_count + 1) / 2, 1);
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
		destination_park(d, job);
	d->taken |= left;
	if (left && destination_held(d))
		destination_release(d);         /* it may have been the first to be at rest, with a row that says "at once" */
	queue_job_free(job);
	destination_kick(d);
}

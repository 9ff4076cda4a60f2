/* relay/scheduler.c - see scheduler.h. */
#include "relay/scheduler.h"

#include "core/clock.h"
#include "core/log.h"
#include "queue/evidence.h"
#include "relay/policy.h"
#include "relay/shard.h"
#include "sts/history.h"

#include <stdlib.h>

#define PAGE 256                        /* rows asked for at once */
#define POLL_MS 1000                    /* the store is asked at least this often: a shard may have set a shorter wait since */
#define OVERDUE_MS 5000
#define LOOK_MS 100                     /* after an operator's word: shards give back what they have, which is patient (queue/store.h) */
#define REFRESH_MS 15000
#define REFRESH_PAGE 16                 /* refreshes begun at once; spread out, RELAY_FETCHES_MAX is for mail */
#define SWEEP_MS (3600 * 1000)
#define EVIDENCE_MS 1000                /* a look at what is kept of attempts; */
#define EVIDENCE_SOON_MS 20             /* the next, where there is more to delete: */
#define EVIDENCE_ROWS 500               /* at once, so that mail does not wait for it */
#define STEP_MS 60000                   /* a clock that goes back by less is not looked after: nothing waits longer for it */
#define LOOKS 4                         /* after it, every REFRESH_MS: a shard may have given back what it had put off before */

struct scheduler {
	struct relay *relay;
	struct core_timer *due_timer, *overdue_timer, *refresh_timer, *evidence_timer;
	unsigned under_way;                     /* answers of the store to come */
	char *after;                            /* the last destination told of at start */
	uint64_t swept_ms;
	int64_t ahead_ms;                       /* the wall clock, of the monotonic one */
	unsigned looks;                         /* still to be made for mail that waits for a time too far away */
	int64_t longest_ms;                     /* that a retry is put off */
	int64_t evidence_keep_ms, evidence_size;
	bool begun;                             /* the shards know which destinations wait from before */
	bool stopping;
	void (*stopped)(void *owner);
	void *owner;
};

static void check_stopped(struct scheduler *s)
{
	if (!s->stopping || s->under_way > 0)
		return;
	core_timer_close(s->due_timer);
	core_timer_close(s->overdue_timer);
	core_timer_close(s->refresh_timer);
	core_timer_close(s->evidence_timer);
	void (*stopped)(void *) = s->stopped;
	void *owner = s->owner;
	free(s->after);
	free(s);
	stopped(owner);
}

/* An answer came; false when nothing more is to be begun. */
static bool answered(struct scheduler *s, const struct sp_fail *why)
{
	s->under_way--;
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, NULL, "store", "what is due cannot be read: %s", why->text);
	return !s->stopping;
}

/* --- destinations --- */

static void on_due(void *owner, const struct queue_due *due, size_t count, int64_t next_ms, const struct sp_fail *why)
{
	struct scheduler *s = owner;
	if (answered(s, why)) {
		for (size_t i = 0; i < count; i++)
			shard_wake(s->relay, due[i].name, due[i].failures, due[i].since_ms);
		int64_t wait = next_ms - core_clock_wall_ms();
		core_timer_start(s->due_timer, count == PAGE ? 0 : wait < 10 ? 10 : wait > POLL_MS ? POLL_MS : (uint64_t)wait);
	}
	check_stopped(s);
}

static void ask_due(void *owner)
{
	struct scheduler *s = owner;
	s->under_way++;
	queue_due(s->relay->store, core_clock_wall_ms(), PAGE, s->relay->main_mailbox, on_due, s);
}

/* --- messages --- */

static void on_overdue(void *owner, struct queue_job **jobs, size_t count, const struct sp_fail *why)
{
	struct scheduler *s = owner;
	bool go_on = answered(s, why);
	for (size_t i = 0; i < count; i++)
		shard_overdue(s->relay, jobs[i]->recipients[0].destination, jobs[i]);
	if (go_on)
		core_timer_start(s->overdue_timer, count == PAGE ? 100 : OVERDUE_MS);
	check_stopped(s);
}

static void ask_overdue(void *owner)
{
	struct scheduler *s = owner;
	queue_lapse(s->relay->store, core_clock_wall_ms());
	s->under_way++;
	queue_overdue(s->relay->store, core_clock_wall_ms(), PAGE, s->relay->main_mailbox, on_overdue, s);
}

/* --- the clock --- */

static void look_at_clock(struct scheduler *s)
{
	int64_t now_ms = core_clock_wall_ms(), ahead_ms = now_ms - (int64_t)core_clock_mono_ms();
	if (ahead_ms < s->ahead_ms - STEP_MS)
		s->looks = LOOKS;
	s->ahead_ms = ahead_ms;
	if (s->looks == 0)
		return;
	s->looks--;
	queue_clock_set_back(s->relay->store, now_ms, s->longest_ms);
}

/* --- policies --- */

struct refresh_op {
	struct queue_op op;
	struct scheduler *scheduler;
	struct sp_arena arena;
	const char *domains[REFRESH_PAGE];
	size_t count;
	const char *expired[REFRESH_PAGE];
	struct sts_note notes[REFRESH_PAGE];    /* of these */
	size_t expired_count;
	bool sweep;
};

static enum core_db_status run_refresh(struct core_db *db, struct queue_op *op)
{
	struct refresh_op *r = sp_container_of(op, struct refresh_op, op);
	int64_t now_s = core_clock_wall_s();
	sp_arena_clear(&r->arena);
	r->count = 0;
	enum core_db_status status = sts_history_expire(db, now_s, REFRESH_PAGE, &r->arena, r->expired, r->notes, &r->expired_count);
	if (r->sweep && status == CORE_DB_OK)
		status = sts_cache_sweep(db, now_s);
	if (r->sweep && status == CORE_DB_OK)
		status = sts_history_sweep(db);
	return status != CORE_DB_OK ? status : sts_cache_due(db, now_s, REFRESH_PAGE, &r->arena, r->domains, &r->count);
}

static void on_refresh(struct queue_op *op, const struct sp_fail *why)
{
	struct refresh_op *r = sp_container_of(op, struct refresh_op, op);
	struct scheduler *s = r->scheduler;
	for (size_t i = 0; i < r->expired_count && !sp_failed(why); i++)
		policy_log_note(r->expired[i], &r->notes[i], NULL);
	if (answered(s, why)) {
		for (size_t i = 0; i < r->count; i++)
			shard_refresh(s->relay, r->domains[i]);
		core_timer_start(s->refresh_timer, REFRESH_MS);
	}
	sp_arena_clear(&r->arena);
	free(r);
	check_stopped(s);
}

static void ask_refresh(void *owner)
{
	struct scheduler *s = owner;
	struct refresh_op *r = sp_alloc(sizeof(*r));
	look_at_clock(s);
	uint64_t now = core_clock_mono_ms();
	r->scheduler = s;
	r->sweep = s->swept_ms == 0 || now - s->swept_ms > SWEEP_MS;
	if (r->sweep)
		s->swept_ms = now;
	r->op.run = run_refresh;
	r->op.done = on_refresh;
	r->op.reply_to = s->relay->main_mailbox;
	s->under_way++;
	queue_store_submit(s->relay->store, &r->op);
}

/* --- evidence --- */

struct sweep_op {
	struct queue_op op;
	struct scheduler *scheduler;
	int64_t now_ms, keep_ms;
	uint64_t octets_max;
	size_t budget;
};

static enum core_db_status run_sweep(struct core_db *db, struct queue_op *op)
{
	struct sweep_op *w = sp_container_of(op, struct sweep_op, op);
	w->budget = EVIDENCE_ROWS;
	/* Mail before evidence: a disk smaller than evidence.size would else be full of it, and refuse mail until it is old. */
	return queue_evidence_sweep(db, w->now_ms, w->keep_ms, queue_store_scarce(w->scheduler->relay->store, db) ? 0 : w->octets_max, &w->budget);
}

static void on_swept(struct queue_op *op, const struct sp_fail *why)
{
	struct sweep_op *w = sp_container_of(op, struct sweep_op, op);
	struct scheduler *s = w->scheduler;
	bool more = w->budget == 0 && !sp_failed(why);
	if (answered(s, why))
		core_timer_start(s->evidence_timer, more ? EVIDENCE_SOON_MS : EVIDENCE_MS);
	free(w);
	check_stopped(s);
}

static void sweep_evidence(void *owner)
{
	struct scheduler *s = owner;
	struct sweep_op *w = sp_alloc(sizeof(*w));
	w->scheduler = s;
	w->now_ms = core_clock_wall_ms();
	w->keep_ms = s->evidence_keep_ms;
	w->octets_max = (uint64_t)s->evidence_size;
	w->op.run = run_sweep;
	w->op.done = on_swept;
	w->op.reply_to = s->relay->main_mailbox;
	w->op.patient = true;
	s->under_way++;
	queue_store_submit(s->relay->store, &w->op);
}

/* --- start and stop --- */

static void on_waiting(void *owner, const struct queue_waiting *list, size_t count, const struct sp_fail *why)
{
	struct scheduler *s = owner;
	if (answered(s, why)) {
		for (size_t i = 0; i < count; i++)
			shard_hold(s->relay, list[i].name, &list[i].wait);
		if (count == PAGE) {
			free(s->after);
			s->after = sp_strdup(list[count - 1].name);
			s->under_way++;
			queue_waiting(s->relay->store, s->after, PAGE, s->relay->main_mailbox, on_waiting, s);
		} else {
			s->begun = true;
			ask_due(s);
			core_timer_start(s->overdue_timer, OVERDUE_MS / 5);
			core_timer_start(s->refresh_timer, REFRESH_MS / 15);
			core_timer_start(s->evidence_timer, EVIDENCE_MS);
		}
	}
	check_stopped(s);
}

void scheduler_reload(struct scheduler *s, const struct config *c)
{
	s->longest_ms = config_longest_wait_ms(c);
	s->evidence_keep_ms = c->evidence.keep_ms;
	s->evidence_size = c->evidence.size;
}

void scheduler_look(struct scheduler *s)
{
	if (!s->begun || s->stopping)
		return;
	core_timer_start(s->due_timer, 0);
	core_timer_start(s->overdue_timer, LOOK_MS);
}

struct scheduler *scheduler_start(struct relay *r, struct core_loop *l, const struct config *c)
{
	struct scheduler *s = sp_alloc(sizeof(*s));
	s->relay = r;
	s->due_timer = core_timer_new(l, ask_due, s);
	s->overdue_timer = core_timer_new(l, ask_overdue, s);
	s->refresh_timer = core_timer_new(l, ask_refresh, s);
	s->evidence_timer = core_timer_new(l, sweep_evidence, s);
	s->after = sp_strdup("");
	s->looks = LOOKS;                       /* the clock may have been set back while we were away */
	scheduler_reload(s, c);
	look_at_clock(s);
	s->under_way++;
	queue_waiting(r->store, s->after, PAGE, r->main_mailbox, on_waiting, s);
	return s;
}

void scheduler_stop(struct scheduler *s, void (*stopped)(void *owner), void *owner)
{
	s->stopping = true;
	s->stopped = stopped;
	s->owner = owner;
	core_timer_stop(s->due_timer);
	core_timer_stop(s->overdue_timer);
	core_timer_stop(s->refresh_timer);
	core_timer_stop(s->evidence_timer);
	check_stopped(s);
}

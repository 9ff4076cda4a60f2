/* queue/store.c - see store.h.
 * The store's thread takes what has gathered, runs it in batches (queue/batch.c) and posts the results. A second thread watches (queue/trouble.c).
 *   database: open -> (sync or write failed) -> closed -> opened again and checkpointed -> open
 * Closed, every operation fails at once; those that insist are held. */
#include "queue/store_impl.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "queue/bodies.h"
#include "queue/lock.h"
#include "queue/recover.h"
#include "queue/schema.h"
#include "queue/space.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT_BITS      40
#define REOPEN_MS       500     /* between two tries to open the database again */

/* ---- what any thread asks ---- */

uint64_t queue_store_next_id(struct queue_store *s)
{
	uint64_t id = atomic_fetch_add_explicit(&s->next_id, 1, memory_order_relaxed);
	sp_assert(id < s->id_end);              /* 3 years at 10,000 a second; a restart begins a new run */
	return id;
}

enum core_db_status queue_store_tell_deleted(struct queue_store *s, struct core_db *db, uint64_t message)
{
	enum core_db_status status = s->report_deleted ? s->report_deleted(db, message) : CORE_DB_OK;
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

void queue_store_body_path(const struct queue_store *s, uint64_t id, struct sp_buf *out)
{
	queue_bodies_path(s->dir, id, out);
}

bool queue_store_accepting(const struct queue_store *s)
{
	return atomic_load_explicit(&s->trouble, memory_order_relaxed) == 0;
}

void queue_store_in_hand(struct queue_store *s, unsigned shard, uint64_t id)
{
	queue_in_hand_set(s->in_hand, shard, id);
}

void queue_store_stats(const struct queue_store *s, struct queue_store_stats *out)
{
	out->commits = atomic_load_explicit(&s->commits, memory_order_relaxed);
	out->ops = atomic_load_explicit(&s->ops, memory_order_relaxed);
	out->largest_batch = atomic_load_explicit(&s->largest_batch, memory_order_relaxed);
	out->times = out->sizes = (struct core_histogram_sum){ 0 };
	core_histogram_sum(&s->times, &out->times);
	core_histogram_sum(&s->sizes, &out->sizes);
}

void queue_store_room(const struct queue_store *s, struct queue_store_room *out)
{
	queue_space_of(s->dir, &out->available, &out->total);
	out->database = queue_space_used(s->db_path);
	out->log = queue_space_used(s->log_path);
}

static void run_done(struct core_mail *m)
{
	struct queue_op *op = sp_container_of(m, struct queue_op, mail);
	op->done(op, &op->fail);
}

void queue_store_submit(struct queue_store *s, struct queue_op *op)
{
	op->mail.run = run_done;
	core_queue_put(s->inbox, &op->mail);
}

/* ---- the database, opened again ---- */

/* What the failed sync left in the log is not trusted: all that was committed goes into the database itself, with syncs of its own, and the
 * log is emptied, before anything is written. */
static struct core_db *open_again(struct queue_store *s, struct sp_fail *why)
{
	if (access(s->db_path, F_OK) != 0) {    /* opening would make a new one */
		queue_lock_explain("find", s->db_path, errno, why);
		return NULL;
	}
	struct core_db *db = core_db_open(s->db_path, false, why);
	if (db == NULL)
		return NULL;
	enum core_db_status status = core_db_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	if (status != CORE_DB_OK)
		core_db_fail(db, status, why);
	if (status == CORE_DB_OK && queue_schema_check(db, why))
		return db;
	core_db_close(db);
	return NULL;
}

/* The transaction whose sync failed may stand whole in the log, and opening it again would find it although its operations were told that they
 * failed. A write of no consequence takes the place of its first page; then the sums of the others do not fit. */
static void lose_db(struct queue_store *s)
{
	if (core_db_begin(s->db) == CORE_DB_OK && store_write_nothing(s->db) == CORE_DB_OK && core_db_commit(s->db) == CORE_DB_OK)
		sp_log_text(SP_LOG_INFO, NULL, "spool", "the next write succeeded");
	core_db_rollback(s->db);
	core_db_close(s->db);
	s->db = NULL;
	s->reopen_after_ms = 0;
}

/* False with *why: there is no database now. */
static bool have_db(struct queue_store *s, struct sp_fail *why)
{
	if (s->db)
		return true;
	if (core_clock_mono_ms() < s->reopen_after_ms) {
		sp_fail_set(why, SP_FAIL_STORE, "the spool is closed after a failed write");
		return false;
	}
	s->db = open_again(s, why);
	if (s->db) {
		sp_log_text(SP_LOG_WARNING, NULL, "spool", "opened again after a failed write");
		return true;
	}
	s->reopen_after_ms = core_clock_mono_ms() + REOPEN_MS;
	sp_log_text(SP_LOG_ERROR, NULL, "spool", "cannot be opened again: %s", why->text);
	store_set_unwritable(s, true);
	return false;
}

/* ---- batches ---- */

static bool passes_with_time(enum core_db_status status)
{
	return status == CORE_DB_FULL || status == CORE_DB_IO || status == CORE_DB_BUSY;
}

static void hold(struct queue_store *s, struct queue_op *op)
{
	op->mail.next = NULL;
	*s->held_last = &op->mail;
	s->held_last = &op->mail.next;
}

static void finish_op(struct queue_store *s, struct queue_op *op)
{
	if (op->status != CORE_DB_OK && op->insist && passes_with_time(op->status)) {
		hold(s, op);
		return;
	}
	if (op->status == CORE_DB_OK && op->committed)
		op->committed(op);
	if (op->reply_to)
		core_mailbox_post(op->reply_to, &op->mail);
	else
		op->done(op, &op->fail);
}

static void count(struct queue_store *s, const struct queue_batch *b, uint64_t took_us)
{
	if (b->commits > 0) {
		core_histogram_add(&s->times, CORE_HISTOGRAM_SHORT, took_us);
		core_histogram_add(&s->sizes, CORE_HISTOGRAM_COUNT, b->resolved);
	}
	atomic_fetch_add_explicit(&s->commits, b->commits, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->ops, b->resolved, memory_order_relaxed);
	if (b->resolved > atomic_load_explicit(&s->largest_batch, memory_order_relaxed))
		atomic_store_explicit(&s->largest_batch, b->resolved, memory_order_relaxed);
}

static unsigned count_accepts(const struct queue_batch *b)
{
	unsigned n = 0;
	for (size_t i = 0; i < b->resolved; i++)
		n += b->ops[i]->adds_mail;
	return n;
}

/* Runs s->batch to its end, over a reopening where that is needed. */
static void run_batch(struct queue_store *s)
{
	struct queue_batch *b = &s->batch;
	while (b->count > 0) {
		struct sp_fail why;
		uint64_t began_us = core_clock_mono_us();
		if (!have_db(s, &why)) {
			queue_batch_refuse(b, CORE_DB_IO, &why);
		} else {
			queue_batch_run(s->db, b);
		}
		uint64_t took_us = core_clock_mono_us() - began_us;
		if (b->commits > 0)
			queue_gather_learn(&s->gather, count_accepts(b), took_us);
		count(s, b, took_us);
		if (b->unwritable)
			store_set_unwritable(s, true);
		if (b->full)
			store_set_full(s, true);
		if (b->lost)
			lose_db(s);
		for (size_t i = 0; i < b->resolved; i++)
			finish_op(s, b->ops[i]);
		b->count -= b->resolved;
		memmove(b->ops, b->ops + b->resolved, b->count * sizeof(b->ops[0]));
	}
}

static void refuse(struct queue_store *s, struct queue_op *op)
{
	bool failed = atomic_load_explicit(&s->trouble, memory_order_relaxed) & TROUBLE_UNWRITABLE;
	op->status = failed ? CORE_DB_IO : CORE_DB_FULL;
	sp_fail_set(&op->fail, SP_FAIL_STORE, "no mail is accepted: %s", failed ? "a write to the spool failed" : "the disk is full");
	snprintf(op->fail.esc, sizeof(op->fail.esc), failed ? "4.3.0" : "4.3.1");
	snprintf(op->fail.reason, sizeof(op->fail.reason), failed ? "io" : "disk-full");
	finish_op(s, op);
}

static struct core_mail *fill(struct queue_store *s, struct core_mail *chain)
{
	struct queue_batch *b = &s->batch;
	while (chain && b->count < QUEUE_BATCH_MAX) {
		struct queue_op *op = sp_container_of(chain, struct queue_op, mail);
		chain = chain->next;            /* before the op goes */
		if (op->adds_mail && !queue_store_accepting(s))
			refuse(s, op);
		else
			b->ops[b->count++] = op;
	}
	return chain;
}

static void run_chain(struct queue_store *s, struct core_mail *chain)
{
	while (chain) {
		chain = fill(s, chain);
		run_batch(s);
	}
}

static bool writes_work(const struct queue_store *s)
{
	return (atomic_load_explicit(&s->trouble, memory_order_relaxed) & (TROUBLE_UNWRITABLE | TROUBLE_FULL)) == 0;
}

static void run_held(struct queue_store *s)
{
	struct core_mail *chain = s->held;
	s->held = NULL;
	s->held_last = &s->held;
	run_chain(s, chain);
}

/* Waits for company where that is worth it, see gather.h. Returns the chain, longer perhaps. */
static struct core_mail *gather(struct queue_store *s, struct core_mail *chain)
{
	unsigned ops = 0, accepts = 0, patient = 0;
	uint64_t began_us = core_clock_mono_us();
	struct core_mail **end = &chain;
	for (;;) {
		for (; *end; end = &(*end)->next) {
			const struct queue_op *op = sp_container_of(*end, struct queue_op, mail);
			ops++;
			accepts += op->adds_mail;
			patient += op->patient;
		}
		uint64_t wait_us = queue_gather_wait_us(&s->gather, ops, accepts, patient), gone_us = core_clock_mono_us() - began_us;
		if (gone_us >= wait_us || (*end = core_queue_take_for(s->inbox, wait_us - gone_us)) == NULL)
			return chain;
	}
}

static void store_main(void *arg)
{
	struct queue_store *s = arg;
	struct core_mail *chain;
	while ((chain = core_queue_take(s->inbox)) != NULL) {
		if (s->held && writes_work(s))
			run_held(s);
		run_chain(s, gather(s, chain));
		store_mind_space(s);
	}
	run_held(s);
	while ((chain = core_queue_take(s->inbox)) != NULL)     /* what those asked for when they were done */
		run_chain(s, chain);
}

/* ---- opening and closing ---- */

static void drop(struct queue_store *s)
{
	queue_in_hand_close(s->in_hand);
	core_db_close(s->db);
	core_queue_free(s->inbox);
	queue_lock_drop(s->lock_fd);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s->db_path);
	free(s->log_path);
	free(s->dir);
	free(s);
}

static struct queue_store *make(const char *state_dir)
{
	struct queue_store *s = sp_alloc(sizeof(*s));
	struct sp_buf path;
	sp_buf_init(&path, 4096);
	sp_buf_printf(&path, "%s/spool.db", state_dir);
	s->db_path = sp_buf_take(&path);
	sp_buf_init(&path, 4096);
	sp_buf_printf(&path, "%s-wal", s->db_path);
	s->log_path = sp_buf_take(&path);
	s->dir = sp_strdup(state_dir);
	s->lock_fd = -1;
	s->inbox = core_queue_new();
	s->held_last = &s->held;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

static bool open_tables(struct queue_store *s, const struct queue_schema *others, size_t other_count, struct sp_fail *why)
{
	uint64_t run;
	s->db = core_db_open(s->db_path, false, why);
	if (s->db == NULL)
		return false;
	if (queue_schema_is_new(s->db) && queue_bodies_any(s->dir)) {           /* before it is made: the sweep would take them all */
		sp_fail_set(why, SP_FAIL_STORE, "spool.db is missing in %s, but bodies of messages are there: put spool.db back, or move %s/body "
		            "away", s->dir, s->dir);
		return false;
	}
	if (!queue_schema_bring_up(s->db, others, other_count, &run, why))
		return false;
	for (size_t i = 0; i < other_count; i++)
		if (others[i].report_deleted)
			s->report_deleted = others[i].report_deleted;
	s->id_end = (run + 1) << COUNT_BITS;
	atomic_init(&s->next_id, run << COUNT_BITS);
	return queue_bodies_sweep(s->db, s->dir, why) && queue_recover(s->db, why);
}

struct queue_store *queue_store_open(const char *state_dir, const struct queue_schema *others, size_t other_count, struct sp_fail *why)
{
	struct queue_store *s = make(state_dir);
	s->lock_fd = queue_lock_take(state_dir, why);
	if (s->lock_fd < 0 || !queue_bodies_open(state_dir, why) || !open_tables(s, others, other_count, why))
		goto out;
	s->in_hand = queue_in_hand_open(state_dir, s->db, why);
	if (s->in_hand == NULL)
		goto out;
	store_look_at_space(s);
	s->thread = core_thread_start("store", store_main, s);
	s->watch = core_thread_start("store-watch", store_watch_main, s);
	return s;
out:
	drop(s);
	return NULL;
}

static void stop_watch(struct queue_store *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	core_thread_join(s->watch);
}

/* What is still held was neither written nor waited for; the next start finds it as it finds what a crash left. */
static void forget_held(struct queue_store *s)
{
	static const struct sp_fail closing = { .kind = SP_FAIL_STORE, .text = "the spool is closed" };
	while (s->held) {
		struct queue_op *op = sp_container_of(s->held, struct queue_op, mail);
		s->held = op->mail.next;
		if (op->reply_to) {
			op->fail = closing;
			core_mailbox_post(op->reply_to, &op->mail);
		} else {
			op->done(op, &closing);
		}
	}
}

void queue_store_close(struct queue_store *s)
{
	if (s == NULL)
		return;
	stop_watch(s);
	core_queue_end(s->inbox);
	core_thread_join(s->thread);
	forget_held(s);
	drop(s);
}

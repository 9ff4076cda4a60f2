/* queue/store.c - see store.h.
 * The store's thread takes what has gathered, runs it in batches (queue/batch.c) and posts the results. A second thread looks once a second:
 * for room on the disk, and after a failed write whether writing works again.
 *   database: open -> (sync or write failed) -> closed -> opened again and checkpointed -> open
 * Closed, every operation fails at once; those that insist are held. */
#include "queue/store.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "queue/batch.h"
#include "queue/bodies.h"
#include "queue/gather.h"
#include "queue/lock.h"
#include "queue/recover.h"
#include "queue/schema.h"
#include "queue/space.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define COUNT_BITS      40
#define LOOK_MS         1000    /* between two looks at the disk */
#define EMPTY_OCTETS    65536   /* of log are worth emptying it */
#define EMPTY_MS        1000    /* after a try to empty it failed */
#define REOPEN_MS       500     /* between two tries to open the database again */

enum trouble { TROUBLE_UNWRITABLE = 1, TROUBLE_FULL = 2, TROUBLE_SPACE = 4 };

struct queue_store {
	char *dir, *db_path, *log_path;
	int lock_fd;
	struct core_queue *inbox;
	struct core_thread *thread, *watch;
	struct queue_in_hand *in_hand;
	_Atomic uint64_t next_id;
	uint64_t id_end;                        /* of this run */
	atomic_uint trouble;                    /* bits of enum trouble; none: mail is accepted */
	_Atomic uint64_t commits, ops, largest_batch;
	struct core_histogram times, sizes;     /* of batches */
	/* the store thread's */
	struct core_db *db;                     /* NULL while it could not be opened again */
	uint64_t reopen_after_ms, empty_after_ms;
	struct core_mail *held, **held_last;    /* ops that insist, in order */
	struct queue_batch batch;
	struct queue_gather gather;
	/* between the store thread and the watch */
	struct queue_op probe;
	atomic_bool probing;                    /* the probe is under way */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;                          /* under `lock` */
};

/* ---- what any thread asks ---- */

uint64_t queue_store_next_id(struct queue_store *s)
{
	uint64_t id = atomic_fetch_add_explicit(&s->next_id, 1, memory_order_relaxed);
	sp_assert(id < s->id_end);              /* 3 years at 10,000 a second; a restart begins a new run */
	return id;
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

/* ---- trouble ---- */

static void set_trouble(struct queue_store *s, enum trouble bit, bool on, const char *what)
{
	unsigned before = on ? atomic_fetch_or_explicit(&s->trouble, bit, memory_order_relaxed)
	                     : atomic_fetch_and_explicit(&s->trouble, ~(unsigned)bit, memory_order_relaxed);
	if (((before & bit) != 0) == on)
		return;
	if (on)
		sp_log_text(SP_LOG_ERROR, NULL, "spool", "no mail is accepted: %s", what);
	else
		sp_log_text(SP_LOG_INFO, NULL, "spool", "over: %s", what);
}

/* Only the look once a second ends the trouble: around the limit each commit and each checkpoint would begin and end it, with a line each. */
static void look_at_space(struct queue_store *s, bool may_end)
{
	bool ok = queue_space_ok(s->dir, s->log_path);
	if (!ok || may_end)
		set_trouble(s, TROUBLE_SPACE, !ok, "the disk of the spool is nearly full");
}

static void set_unwritable(struct queue_store *s, bool on)
{
	set_trouble(s, TROUBLE_UNWRITABLE, on, "a write to the spool failed");
}

static void set_full(struct queue_store *s, bool on)
{
	set_trouble(s, TROUBLE_FULL, on, "a write to the spool found the disk full");
}

static enum core_db_status run_probe(struct core_db *db, struct queue_op *op SP_UNUSED)
{
	return core_stmt_run(core_db_stmt(db, "INSERT INTO store (name, value) VALUES ('probe', 1)"
	                                      " ON CONFLICT (name) DO UPDATE SET value = store.value + 1"));
}

static void on_probed(struct queue_op *op, const struct sp_fail *why)
{
	struct queue_store *s = sp_container_of(op, struct queue_store, probe);
	if (!sp_failed(why)) {
		set_unwritable(s, false);
		set_full(s, false);
	}
	atomic_store(&s->probing, false);
}

static void probe(struct queue_store *s)
{
	if (atomic_exchange(&s->probing, true))
		return;
	s->probe.run = run_probe;
	s->probe.done = on_probed;
	queue_store_submit(s, &s->probe);
}

static void watch_main(void *arg)
{
	struct queue_store *s = arg;
	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LOOK_MS / 1000;
		pthread_cond_timedwait(&s->wake, &s->lock, &until);
		if (s->stopping)
			break;
		look_at_space(s, true);
		if (!queue_store_accepting(s))
			probe(s);
	}
	pthread_mutex_unlock(&s->lock);
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
	if (core_db_begin(s->db) == CORE_DB_OK && run_probe(s->db, NULL) == CORE_DB_OK && core_db_commit(s->db) == CORE_DB_OK)
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
	set_unwritable(s, true);
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
			set_unwritable(s, true);
		if (b->full)
			set_full(s, true);
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

/* A small log is, where its octets are all that is missing: else mail would be refused for their sake for good. */
static bool is_worth_emptying(const struct queue_store *s)
{
	uint64_t octets = queue_space_used(s->log_path);
	return octets >= EMPTY_OCTETS || (octets > 0 && queue_space_ok(s->dir, NULL));
}

/* The log goes into the database, and its octets back to the disk, before it takes the last of them. */
static void empty_log(struct queue_store *s)
{
	uint64_t now_ms = core_clock_mono_ms();
	if (s->db == NULL || now_ms < s->empty_after_ms || !is_worth_emptying(s))
		return;
	if (core_db_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE)") != CORE_DB_OK)
		s->empty_after_ms = now_ms + EMPTY_MS;
}

/* After each turn: two system calls are nothing beside a sync. */
static void mind_space(struct queue_store *s)
{
	if (!queue_space_ok(s->dir, s->log_path))
		empty_log(s);
	look_at_space(s, false);
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
		mind_space(s);
	}
	run_held(s);
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
	look_at_space(s, true);
	s->thread = core_thread_start("store", store_main, s);
	s->watch = core_thread_start("store-watch", watch_main, s);
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

/* queue/batch.c - see batch.h.
 * After a failed sync nobody knows what is on the disk, and a second sync may say that all is well although the first one's pages were
 * dropped. So after an input/output error what the transaction covered fails, nothing more is run, and the store opens the database anew. */
#include "queue/batch.h"

#include "core/clock.h"
#include "queue/counts.h"

#include <stdio.h>

static void fail_op(struct queue_op *op, enum core_db_status status, const struct sp_fail *why)
{
	op->status = status;
	if (sp_failed(&op->fail))               /* it spoke for itself */
		return;
	op->fail = *why;
	bool full = status == CORE_DB_FULL;
	snprintf(op->fail.esc, sizeof(op->fail.esc), full ? "4.3.1" : "4.3.0");
	if (op->fail.reason[0] == '\0')
		snprintf(op->fail.reason, sizeof(op->fail.reason), "%s", full ? "disk-full" : core_db_status_str(status));
}

static void fail_from(struct queue_batch *b, size_t from, size_t to, enum core_db_status status, const struct sp_fail *why)
{
	for (size_t i = from; i < to; i++)
		fail_op(b->ops[i], status, why);
}

void queue_batch_refuse(struct queue_batch *b, enum core_db_status status, const struct sp_fail *why)
{
	for (size_t i = 0; i < b->count; i++)
		b->ops[i]->fail.kind = SP_FAIL_NONE;
	fail_from(b, 0, b->count, status, why);
	b->resolved = b->count;
	b->commits = 0;
	b->lost = b->full = b->unwritable = false;
}

/* What a transaction came to. */
struct attempt {
	enum core_db_status status;
	size_t end;             /* one past the last operation that it covered or, when `at_op`, the one that failed */
	bool at_op;             /* an operation failed, not the transaction */
	bool begun;
	struct sp_fail why;
};

static enum core_db_status run_op(struct core_db *db, struct queue_op *op)
{
	op->fail.kind = SP_FAIL_NONE;
	op->messages = op->recipients = 0;
	enum core_db_status status = op->run(db, op);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static void undo(struct core_db *db, struct attempt *a)
{
	core_db_fail(db, a->status, &a->why);
	core_db_rollback(db);
}

/* Operations [from, to) in one transaction, or fewer when time runs out. */
static void attempt(struct core_db *db, struct queue_batch *b, size_t from, size_t to, struct attempt *a)
{
	a->at_op = false;
	a->end = to;
	a->status = core_db_begin(db);
	a->begun = a->status == CORE_DB_OK;
	if (!a->begun) {
		undo(db, a);
		return;
	}
	uint64_t until_ms = core_clock_mono_ms() + QUEUE_BATCH_MS;
	int64_t messages = 0, recipients = 0;
	for (size_t i = from; i < to; i++) {
		a->status = run_op(db, b->ops[i]);
		if (a->status != CORE_DB_OK) {
			a->at_op = true;
			a->end = i;
			undo(db, a);
			return;
		}
		messages += b->ops[i]->messages;
		recipients += b->ops[i]->recipients;
		if (core_clock_mono_ms() > until_ms) {
			a->end = i + 1;
			break;
		}
	}
	a->status = queue_counts_add(db, messages, recipients);
	if (a->status == CORE_DB_OK)
		a->status = core_db_commit(db);
	if (a->status != CORE_DB_OK) {
		undo(db, a);
		return;
	}
	b->commits++;
	for (size_t i = from; i < a->end; i++)
		b->ops[i]->status = CORE_DB_OK;
}

/* What is in the log goes into the database where there is room for it; then the log is written from its start again. */
static void make_room(struct core_db *db)
{
	if (core_db_exec(db, "PRAGMA wal_checkpoint(PASSIVE)") != CORE_DB_OK)
		return;                         /* no room there either: the next attempt will say so */
}

static void give_up(struct queue_batch *b, size_t from, size_t to, const struct attempt *a)
{
	fail_from(b, from, to, a->status, &a->why);
	b->lost = a->status == CORE_DB_IO;
	b->full = b->full || a->status == CORE_DB_FULL;
	b->unwritable = b->unwritable || (a->status == CORE_DB_IO && !a->at_op);
}

/* Where the batch is cut: up to `single` operations go one by one; `odd_one` goes alone, and what is before it together. */
struct cut {
	size_t single;
	size_t odd_one;
	size_t retried;         /* the operation that was given a second chance after make_room() */
};

static size_t range_end(const struct cut *c, size_t from, size_t count)
{
	if (from < c->single || from == c->odd_one)
		return from + 1;
	return from < c->odd_one ? sp_min(count, c->odd_one) : count;
}

/* After a failed attempt: true when a smaller one, or the same one with more room, may do better. */
static bool cut_again(struct core_db *db, struct cut *c, size_t from, size_t to, const struct attempt *a)
{
	if (!a->begun)
		return false;
	if (a->status == CORE_DB_FULL && c->retried != from) {
		make_room(db);
		c->retried = from;
		if (to - from == 1)
			return true;
	}
	if (to - from == 1)
		return false;
	if (a->at_op)
		c->odd_one = a->end;
	else if (a->status != CORE_DB_IO)
		c->single = to;                 /* the commit failed: find out for whom */
	return a->at_op || a->status != CORE_DB_IO;
}

void queue_batch_run(struct core_db *db, struct queue_batch *b)
{
	struct cut c = { .odd_one = SIZE_MAX, .retried = SIZE_MAX };
	struct attempt a;
	size_t from = 0;
	b->commits = 0;
	b->lost = b->full = b->unwritable = false;
	while (from < b->count && !b->lost) {
		size_t to = range_end(&c, from, b->count);
		attempt(db, b, from, to, &a);
		if (a.status == CORE_DB_OK) {
			from = a.end;
		} else if (!cut_again(db, &c, from, to, &a)) {
			size_t upto = a.at_op ? to : a.end;
			give_up(b, from, upto, &a);
			from = upto;
		}
	}
	b->resolved = from;
}

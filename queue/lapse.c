/* queue/lapse.c - holds that ended by themselves, and what was to be deleted when a shard let go of it. See queue_lapse() in spool.h. */
#include "queue/gone.h"
#include "queue/list.h"
#include "queue/marks.h"
#include "queue/schema.h"

#include "core/log.h"

#include <stdlib.h>

#define LAPSE_MAX 500                   /* recipients of one transaction */

struct lapse_op {
	struct queue_op op;
	struct queue_store *store;
	int64_t now_ms;
	struct { int64_t row; uint64_t message; } at[LAPSE_MAX];
	size_t deleted, count;                  /* the first of `at`, all of it */
	struct queue_gone gone;
};

static bool put(struct lapse_op *o, struct core_stmt *s)
{
	o->at[o->count].row = core_stmt_col_int(s, 0);
	o->at[o->count].message = (uint64_t)core_stmt_col_int(s, 1);
	return ++o->count < LAPSE_MAX;
}

static enum core_db_status find_deleted(struct core_db *db, struct lapse_op *o)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT id, message FROM recipient WHERE mark = 4 AND next_at IS NOT NULL ORDER BY message");
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW && put(o, s))
		;
	core_stmt_reset(s);
	o->deleted = o->count;
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

/* In the index of deadlines, where what is overdue stands too: it does not stay there for long. */
static enum core_db_status find_ended(struct core_db *db, struct lapse_op *o)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT id, message, mark FROM recipient WHERE deadline <= ? AND next_at IS NOT NULL ORDER BY deadline");
	enum core_db_status status = CORE_DB_OK;
	core_stmt_int(s, 1, o->now_ms);
	for (size_t looks = 0; looks < QUEUE_LOOKS && o->count < LAPSE_MAX && (status = core_stmt_step(s)) == CORE_DB_ROW; looks++)
		if (core_stmt_col_int(s, 2) == QUEUE_MARK_HELD)
			put(o, s);
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static enum core_db_status delete_all(struct core_db *db, struct lapse_op *o)
{
	enum core_db_status status = CORE_DB_OK;
	for (size_t i = 0; i < o->deleted && status == CORE_DB_OK; i++) {
		status = queue_marks_delete(db, o->at[i].row, &o->op);
		bool last = i + 1 == o->deleted || o->at[i + 1].message != o->at[i].message;
		if (status == CORE_DB_OK && last)
			status = queue_marks_delete_message(db, o->store, o->at[i].message, &o->gone, &o->op);
	}
	return status;
}

static enum core_db_status release_all(struct core_db *db, struct lapse_op *o)
{
	enum core_db_status status = CORE_DB_OK;
	struct sp_arena arena = SP_ARENA_EMPTY;
	for (size_t i = o->deleted; i < o->count && status == CORE_DB_OK; i++) {
		const char *destination;
		status = queue_marks_release(db, o->at[i].row, o->now_ms, &arena, &destination);
	}
	sp_arena_clear(&arena);
	return status;
}

static enum core_db_status run_lapse(struct core_db *db, struct queue_op *op)
{
	struct lapse_op *o = sp_container_of(op, struct lapse_op, op);
	o->deleted = o->count = 0;
	o->gone.count = 0;
	enum core_db_status status = find_deleted(db, o);
	if (status == CORE_DB_OK)
		status = find_ended(db, o);
	if (status == CORE_DB_OK)
		status = delete_all(db, o);
	return status == CORE_DB_OK ? release_all(db, o) : status;
}

static void on_committed(struct queue_op *op)
{
	struct lapse_op *o = sp_container_of(op, struct lapse_op, op);
	queue_gone_unlink(&o->gone, o->store);
}

static void on_lapsed(struct queue_op *op, const struct sp_fail *why)
{
	struct lapse_op *o = sp_container_of(op, struct lapse_op, op);
	if (sp_failed(why))                     /* asked again soon */
		sp_log_text(SP_LOG_ERROR, NULL, "spool", "cannot look for holds that ended: %s", why->text);
	else if (o->count == LAPSE_MAX)
		queue_lapse(o->store, o->now_ms);
	queue_gone_clear(&o->gone);
	free(o);
}

void queue_lapse(struct queue_store *s, int64_t now_ms)
{
	struct lapse_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_lapse;
	o->op.committed = on_committed;
	o->op.done = on_lapsed;
	o->op.patient = true;
	o->store = s;
	o->now_ms = now_ms;
	queue_store_submit(s, &o->op);
}

/* queue/settle.c - what became of recipients: gone, at rest until later, or marked as notified. See spool.h. */
#include "queue/gone.h"
#include "queue/marks.h"
#include "queue/rows.h"

#include <stdlib.h>

struct settle_op {
	struct queue_op op;
	struct queue_store *store;
	struct queue_result *results;           /* texts in `arena` */
	size_t count;
	struct queue_job **dsns;
	size_t dsn_count;
	struct queue_gone gone;                 /* set anew by each run */
	bool deletes;                           /* one that was put off was to be deleted when the shard lets go of it */
	struct sp_arena arena;
	struct queue_extra *extra;
	void (*done)(void *owner, const struct sp_fail *why);
	void *owner;
};

/* ---- one result ---- */

static enum core_db_status forget(struct core_db *db, const struct queue_result *r, struct queue_op *op)
{
	struct core_stmt *s = core_db_stmt(db, r->n == 0 ? "DELETE FROM recipient WHERE id = ? AND n = ?"
	                                                 : "DELETE FROM recipient WHERE message = ? AND n = ? AND n > 0");
	core_stmt_int(s, 1, (int64_t)r->id);
	core_stmt_int(s, 2, r->n);
	enum core_db_status status = core_stmt_run(s);
	if (status == CORE_DB_OK)
		op->recipients -= core_db_changes(db);
	return status;
}

static void bind_deadline(struct core_stmt *s, int n, int64_t deadline_ms)
{
	if (deadline_ms > 0)
		core_stmt_int(s, n, deadline_ms);
	else
		core_stmt_null(s, n);
}

/* The destination is with the shard that tells us this, which will release it: its row, where there is none, is made as taken. */
static enum core_db_status defer(struct core_db *db, const struct queue_result *r, struct settle_op *o)
{
#define DEFER "UPDATE recipient SET attempts = attempts + 1, next_at = ?, deadline = ?, failure = ? WHERE "
#define WHAT " RETURNING destination, id, mark"
	struct core_stmt *s = core_db_stmt(db, r->n == 0 ? DEFER "id = ? AND n = ?" WHAT : DEFER "message = ? AND n = ? AND n > 0" WHAT);
	core_stmt_int(s, 1, r->next_at_ms > 0 ? r->next_at_ms : 0);
	bind_deadline(s, 2, r->deadline_ms);
	core_stmt_text(s, 3, sp_str_of(r->text));
	core_stmt_int(s, 4, (int64_t)r->id);
	core_stmt_int(s, 5, r->n);
	enum core_db_status status, made = CORE_DB_OK;
	int64_t marked = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		made = queue_rows_need_destination(db, core_stmt_col_text(s, 0), -1);
		marked = core_stmt_col_null(s, 2) ? 0 : core_stmt_col_int(s, 1);
		o->deletes = o->deletes || (marked && core_stmt_col_int(s, 2) == QUEUE_MARK_DELETE);
	}
	if (status == CORE_DB_OK && made == CORE_DB_OK && marked > 0)
		status = queue_marks_rest(db, marked);
	return made == CORE_DB_OK ? status : made;
}

/* What is marked rests as its mark wants it (queue/marks.h), and a mark may have come before this. */
static enum core_db_status mark_notified(struct core_db *db, const struct queue_result *r)
{
#define NOTIFY "UPDATE recipient SET notified = notified | ?, deadline = CASE WHEN mark IS NULL THEN ? ELSE deadline END WHERE "
	struct core_stmt *s = core_db_stmt(db, r->n == 0 ? NOTIFY "id = ? AND n = ?" : NOTIFY "message = ? AND n = ? AND n > 0");
	core_stmt_int(s, 1, r->notices);
	bind_deadline(s, 2, r->deadline_ms);
	core_stmt_int(s, 3, (int64_t)r->id);
	core_stmt_int(s, 4, r->n);
	return core_stmt_run(s);
}

static bool goes(const struct queue_result *r)
{
	return r->outcome == QUEUE_DELIVERED || r->outcome == QUEUE_BOUNCED;
}

static enum core_db_status apply(struct core_db *db, const struct queue_result *r, struct settle_op *o)
{
	if (goes(r))
		return forget(db, r, &o->op);
	return r->outcome == QUEUE_DEFERRED ? defer(db, r, o) : mark_notified(db, r);
}

/* ---- all of them ---- */

/* Once for each run of results of one message. */
static enum core_db_status drop_messages(struct core_db *db, struct settle_op *o)
{
	enum core_db_status status = CORE_DB_OK;
	bool touched = false;
	for (size_t i = 0; i < o->count && status == CORE_DB_OK; i++) {
		touched = touched || goes(&o->results[i]);
		bool last = i + 1 == o->count || o->results[i + 1].id != o->results[i].id;
		if (!last || !touched)
			continue;
		bool in_file;
		status = queue_rows_drop_if_done(db, o->results[i].id, &in_file, &o->op);
		if (in_file)
			queue_gone_add(&o->gone, o->results[i].id);
		touched = false;
	}
	return status;
}

static enum core_db_status run_settle(struct core_db *db, struct queue_op *op)
{
	struct settle_op *o = sp_container_of(op, struct settle_op, op);
	enum core_db_status status = CORE_DB_OK;
	o->gone.count = 0;
	o->deletes = false;
	for (size_t i = 0; i < o->count && status == CORE_DB_OK; i++)
		status = apply(db, &o->results[i], o);
	for (size_t i = 0; i < o->dsn_count && status == CORE_DB_OK; i++)
		status = queue_rows_add(db, o->store, o->dsns[i], true, op);
	if (status == CORE_DB_OK)
		status = drop_messages(db, o);
	return status == CORE_DB_OK && o->extra ? o->extra->run(db, o->extra) : status;
}

static void on_committed(struct queue_op *op)
{
	struct settle_op *o = sp_container_of(op, struct settle_op, op);
	queue_gone_unlink(&o->gone, o->store);
}

static void on_settled(struct queue_op *op, const struct sp_fail *why)
{
	struct settle_op *o = sp_container_of(op, struct settle_op, op);
	if (o->deletes && !sp_failed(why))
		queue_lapse(o->store, 0);
	if (o->done)
		o->done(o->owner, why);
	for (size_t i = 0; i < o->dsn_count; i++)
		queue_job_free(o->dsns[i]);
	queue_gone_clear(&o->gone);
	sp_arena_clear(&o->arena);
	free(o);
}

/* One piece of memory for the op and its arrays. */
static struct settle_op *make(size_t count, size_t dsn_count)
{
	struct settle_op *o = sp_alloc(sizeof(*o) + count * sizeof(*o->results) + dsn_count * sizeof(*o->dsns));
	o->results = (struct queue_result *)(void *)(o + 1);
	o->dsns = (struct queue_job **)(void *)(o->results + count);
	o->count = count;
	o->dsn_count = dsn_count;
	return o;
}

void queue_settle(struct queue_store *s, const struct queue_result *results, size_t count, const struct queue_dsn *dsns, size_t dsn_count,
                  struct queue_extra *extra, struct core_mailbox *reply_to, void (*done)(void *owner, const struct sp_fail *why), void *owner)
{
	struct settle_op *o = make(count, dsn_count);
	for (size_t i = 0; i < count; i++) {
		o->results[i] = results[i];
		o->results[i].text = results[i].outcome == QUEUE_DEFERRED ? sp_arena_strdup(&o->arena, results[i].text) : NULL;
	}
	for (size_t i = 0; i < dsn_count; i++)
		o->dsns[i] = queue_job_new(dsns[i].message, &dsns[i].recipient, 1);
	o->op.run = run_settle;
	o->op.patient = true;
	o->op.committed = on_committed;
	o->op.done = on_settled;
	o->op.reply_to = reply_to;
	o->store = s;
	o->extra = extra;
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

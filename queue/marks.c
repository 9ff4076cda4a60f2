/* queue/marks.c - see marks.h. */
#include "queue/marks.h"

#include "queue/gone.h"
#include "queue/rows.h"
#include "queue/schema.h"

#define REST "UPDATE recipient SET mark = CASE mark WHEN 3 THEN 1 ELSE mark END," \
	" next_at = CASE mark WHEN 5 THEN 9223372036854775806 ELSE 9223372036854775807 END," \
	" deadline = CASE mark WHEN 1 THEN hold_until WHEN 3 THEN hold_until WHEN 5 THEN 0 END WHERE "

enum core_db_status queue_marks_rest(struct core_db *db, int64_t row)
{
	struct core_stmt *s = core_db_stmt(db, REST "id = ? AND mark IS NOT NULL");
	core_stmt_int(s, 1, row);
	return core_stmt_run(s);
}

enum core_db_status queue_marks_rest_all(struct core_db *db)
{
	return core_stmt_run(core_db_stmt(db, REST "mark > 0 AND next_at IS NULL"));
}

/* ---- releasing ---- */

struct kept {                           /* a recipient that is to be released */
	uint64_t message;
	const char *destination;
	enum queue_mark mark;
	int64_t since_ms, hold_until_ms;        /* since when it is kept; its sender's hold */
};

static enum core_db_status read_kept(struct core_db *db, int64_t row, struct sp_arena *arena, struct kept *out)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT message, destination, mark, coalesce(hold_since, (SELECT arrived FROM message WHERE message.id ="
	                                       " recipient.message)), (SELECT hold_until FROM message WHERE message.id = recipient.message)"
	                                       " FROM recipient WHERE id = ? AND (mark = 1 OR mark = 2)");
	core_stmt_int(s, 1, row);
	enum core_db_status status = core_stmt_step(s);
	*out = (struct kept){ .mark = QUEUE_MARK_NONE };
	if (status == CORE_DB_ROW)
		*out = (struct kept){
			.message = (uint64_t)core_stmt_col_int(s, 0), .destination = sp_arena_dup(arena, core_stmt_col_text(s, 1)),
			.mark = (enum queue_mark)core_stmt_col_int(s, 2), .since_ms = core_stmt_col_int(s, 3), .hold_until_ms = core_stmt_col_int(s, 4),
		};
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

/* Its crashes are forgiven: an operator looked at it. */
static enum core_db_status forget_crashes(struct core_db *db, uint64_t message)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM suspect WHERE message = ?");
	core_stmt_int(s, 1, (int64_t)message);
	return core_stmt_run(s);
}

/* While its sender held it too, an operator's hold delayed nothing. */
static int64_t held_for(const struct kept *k, int64_t now_ms)
{
	int64_t from_ms = sp_max(k->since_ms, k->hold_until_ms);
	return k->since_ms > 0 && now_ms > from_ms ? now_ms - from_ms : 0;
}

static enum core_db_status let_go(struct core_db *db, int64_t row, const struct kept *k, int64_t due_ms, int64_t now_ms)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE recipient SET mark = NULL, hold_since = NULL, hold_until = NULL, hold_rule = NULL, hold_reason = NULL,"
	                                       " next_at = ?, deadline = ?, held = coalesce(held, 0) + ? WHERE id = ?");
	core_stmt_int(s, 1, due_ms);
	core_stmt_int(s, 2, sp_max(due_ms, now_ms) + QUEUE_LATE_MS);
	core_stmt_int(s, 3, held_for(k, now_ms));
	core_stmt_int(s, 4, row);
	return core_stmt_run(s);
}

enum core_db_status queue_marks_release(struct core_db *db, int64_t row, int64_t now_ms, struct sp_arena *arena, const char **destination)
{
	struct kept k;
	enum core_db_status status = read_kept(db, row, arena, &k);
	*destination = k.destination;
	if (status != CORE_DB_OK || k.mark == QUEUE_MARK_NONE)
		return status;
	int64_t due_ms = k.hold_until_ms > now_ms ? sp_min(k.hold_until_ms, QUEUE_ASIDE - 1 - QUEUE_LATE_MS) : 0;
	if (k.mark == QUEUE_MARK_QUARANTINED)
		status = forget_crashes(db, k.message);
	if (status == CORE_DB_OK)
		status = let_go(db, row, &k, due_ms, now_ms);
	return status == CORE_DB_OK ? queue_rows_wake(db, k.destination, due_ms) : status;
}

/* ---- deleting ---- */

enum core_db_status queue_marks_delete(struct core_db *db, int64_t row, struct queue_op *op)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM recipient WHERE id = ?");
	core_stmt_int(s, 1, row);
	enum core_db_status status = core_stmt_run(s);
	if (status == CORE_DB_OK)
		op->recipients -= core_db_changes(db);
	return status;
}

static enum core_db_status is_report(struct core_db *db, uint64_t id, bool *is)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT kind FROM message WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)id);
	enum core_db_status status = core_stmt_step(s);
	*is = status == CORE_DB_ROW && core_stmt_col_int(s, 0) == QUEUE_REPORT;
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

enum core_db_status queue_marks_delete_message(struct core_db *db, struct queue_store *s, uint64_t id, struct queue_gone *gone, struct queue_op *op)
{
	bool report, in_file;
	int64_t before = op->messages;
	enum core_db_status status = is_report(db, id, &report);
	if (status == CORE_DB_OK)
		status = queue_rows_drop_if_done(db, id, &in_file, op);
	if (status != CORE_DB_OK)
		return status;
	if (in_file)
		queue_gone_add(gone, id);
	return report && op->messages < before ? queue_store_tell_deleted(s, db, id) : CORE_DB_OK;
}

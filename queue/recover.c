/* queue/recover.c - see recover.h. */
#include "queue/recover.h"

#include "core/clock.h"
#include "core/log.h"
#include "queue/marks.h"

#define DEADLINE_MS (10 * 60 * 1000)    /* from the start, see queue_overdue() */

static bool may_pass(struct core_db *db, enum core_db_status status, struct sp_fail *why)
{
	struct sp_fail said = SP_FAIL_OK;
	if (status == CORE_DB_OK)
		return true;
	core_db_fail(db, status, &said);
	if (status != CORE_DB_CORRUPT && status != CORE_DB_ERROR) {
		*why = said;
		return false;
	}
	sp_log_text(SP_LOG_ERROR, NULL, "spool", "damaged: some mail may not be found before the spool is repaired: %s", said.text);
	return true;
}

/* What is held (RFC 4865) may have been looked at before its time, because of a deadline: it goes on resting. Asked apart from the rest, which must not depend
 * on the messages being readable. */
static enum core_db_status rest_held_recipients(struct core_db *db)
{
#define HOLD "(SELECT hold_until FROM message WHERE message.id = recipient.message)"
	return core_stmt_run(core_db_stmt(db, "UPDATE recipient SET next_at = " HOLD " WHERE next_at IS NULL AND deadline IS NOT NULL AND " HOLD " > 0"));
}

/* Behind a destination that waits, only its probe is loaded: what has no deadline yet gets one, or it would never expire. */
static enum core_db_status rest_taken_recipients(struct core_db *db)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE recipient SET next_at = 0, deadline = coalesce(deadline, ?) WHERE next_at IS NULL");
	core_stmt_int(s, 1, core_clock_wall_ms() + DEADLINE_MS);
	return core_stmt_run(s);
}

static enum core_db_status free_taken_destinations(struct core_db *db)
{
	return core_stmt_run(core_db_stmt(db, "UPDATE destination SET next_at = 0 WHERE next_at IS NULL"));
}

static enum core_db_status make_missing_destinations(struct core_db *db)
{
	return core_stmt_run(core_db_stmt(db, "INSERT INTO destination (name, next_at, failures, since)"
	                                      " SELECT DISTINCT destination, 0, 0, 0 FROM recipient WHERE next_at < 9223372036854775806"
	                                      " ON CONFLICT (name) DO NOTHING"));
}

bool queue_recover(struct core_db *db, struct sp_fail *why)
{
	static enum core_db_status (*const steps[])(struct core_db *db) = {
		queue_marks_rest_all, rest_held_recipients, rest_taken_recipients, free_taken_destinations, make_missing_destinations,
	};
	enum core_db_status status = core_db_begin(db);
	if (status != CORE_DB_OK) {
		core_db_fail(db, status, why);
		return false;
	}
	for (size_t i = 0; i < SP_COUNT(steps); i++)
		if (!may_pass(db, steps[i](db), why)) {
			core_db_rollback(db);
			return false;
		}
	status = core_db_commit(db);
	if (status != CORE_DB_OK) {
		core_db_rollback(db);
		return may_pass(db, status, why);
	}
	return true;
}

enum core_db_status queue_quarantine(struct core_db *db, uint64_t id, const char *reason)
{
	char text[QUEUE_ID_TEXT];
	sp_log_text(SP_LOG_ERROR, queue_id_str(id, text), "quarantine", "%s", reason);
	struct core_stmt *s = core_db_stmt(db, "UPDATE recipient SET mark = 2, next_at = 9223372036854775807, deadline = NULL, hold_since = coalesce(hold_since, ?),"
	                                       " hold_until = NULL, hold_rule = NULL, hold_reason = ?"
	                                       " WHERE (id = ? OR (message = ? AND n > 0)) AND next_at IS NOT NULL AND mark IS NOT 4");
	core_stmt_int(s, 1, core_clock_wall_ms());
	core_stmt_text(s, 2, sp_str_of(reason));
	core_stmt_int(s, 3, (int64_t)id);
	core_stmt_int(s, 4, (int64_t)id);
	return core_stmt_run(s);
}

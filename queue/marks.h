/* queue/marks.h - what an operator wants of a recipient, as it stands in its row: `mark` is NULL in all others. Used by the files of queue/, on the store's thread.
 *
 *   at rest             next_at      deadline
 *     HELD              QUEUE_NEVER  hold_until or NULL, when queue_lapse() lets it go
 *     QUARANTINED       QUEUE_NEVER  NULL
 *     DELETE            QUEUE_NEVER  NULL: queue_lapse() deletes it; nobody sees it any more
 *     TAKE              QUEUE_ASIDE  0: queue_overdue() takes it
 *   in a shard's hands (next_at NULL): HOLD, DELETE, TAKE, which wait for the shard to let go of it, or for the next start. What was delivered meanwhile took its
 *   row with it. A job that was taken because of TAKE keeps the mark, so that a crash before its bounce does not forget it. */
#ifndef QUEUE_MARKS_H
#define QUEUE_MARKS_H

#include "core/arena.h"
#include "queue/spool.h"

enum queue_mark { QUEUE_MARK_NONE, QUEUE_MARK_HELD, QUEUE_MARK_QUARANTINED, QUEUE_MARK_HOLD, QUEUE_MARK_DELETE, QUEUE_MARK_TAKE };      /* in the database: these numbers */

/* A recipient that has this mark was put to rest: it rests as the mark wants it. */
SP_NODISCARD enum core_db_status queue_marks_rest(struct core_db *db, int64_t row);
/* For the start: all that a shard had and that is marked. */
SP_NODISCARD enum core_db_status queue_marks_rest_all(struct core_db *db);

/* HELD or QUARANTINED: comes to rest as any other mail, due at `now_ms` or when its sender's hold ends (RFC 4865). *destination, in `arena`, was woken; NULL: there is no such row. */
SP_NODISCARD enum core_db_status queue_marks_release(struct core_db *db, int64_t row, int64_t now_ms, struct sp_arena *arena, const char **destination);

/* Deletes recipients by an operator's word: each, then its message where that has no other. */
struct queue_gone;
SP_NODISCARD enum core_db_status queue_marks_delete(struct core_db *db, int64_t row, struct queue_op *op);
SP_NODISCARD enum core_db_status queue_marks_delete_message(struct core_db *db, struct queue_store *s, uint64_t id, struct queue_gone *gone, struct queue_op *op);

#endif

/* queue/rows.h - one statement a function on the rows of schema.c. For the files of queue/ that implement spool.h; on the store's thread,
 * inside a transaction. `id` names a message, (id, n) one of its recipients. */
#ifndef QUEUE_ROWS_H
#define QUEUE_ROWS_H

#include "core/arena.h"
#include "queue/spool.h"

/* A message with its recipients, fresh. `again`: rows that are there already are fine (a settle that is repeated). What is new is counted in `op`. */
SP_NODISCARD enum core_db_status queue_rows_add(struct core_db *db, struct queue_store *s, const struct queue_job *job, bool again,
                                                struct queue_op *op);
/* Deletes the message if it has no recipient left, and counts that in `op`. *in_file: it went, and had its body in a file. */
SP_NODISCARD enum core_db_status queue_rows_drop_if_done(struct core_db *db, uint64_t id, bool *in_file, struct queue_op *op);
/* The destination's row, made where there is none; `next_at_ms` < 0: as taken by a shard. */
SP_NODISCARD enum core_db_status queue_rows_need_destination(struct core_db *db, struct sp_str name, int64_t next_at_ms);

/* The message with its body, one ref. CORE_DB_OK with *out NULL: it cannot be read, and *damage says why in a phrase that lives in `arena`. */
SP_NODISCARD enum core_db_status queue_rows_message(struct core_db *db, const struct queue_store *s, uint64_t id, struct sp_arena *arena,
                                                    struct queue_message **out, const char **damage);

/* Takes (next_at becomes NULL) the message's recipients for `destination` whose next_at is set and not after `due_ms`. Strings live in `arena`.
 * *damage, else NULL: why one of them cannot be read; then none is taken. */
struct queue_rows_recipients {
	struct queue_recipient *at;     /* in the arena */
	size_t count, room;
};
SP_NODISCARD enum core_db_status queue_rows_take(struct core_db *db, uint64_t id, const char *destination, int64_t due_ms, struct sp_arena *arena,
                                                 struct queue_rows_recipients *out, const char **damage);

/* One recipient, for whatever it waits: its row is taken, with the mark TAKE and `reason`. As above. */
SP_NODISCARD enum core_db_status queue_rows_take_one(struct core_db *db, int64_t row, const char *destination, const char *reason, struct sp_arena *arena,
                                                     struct queue_rows_recipients *out, const char **damage);

/* Its destination wakes at `at_ms`, if it does not before: made where there is none. One that waits because its site failed goes on waiting, and so does one
 * that a shard has: that is released in time. */
SP_NODISCARD enum core_db_status queue_rows_wake(struct core_db *db, const char *destination, int64_t at_ms);
#define QUEUE_LATE_MS (10 * 60 * 1000)  /* mail that comes to rest without a deadline that is known has this one: queue_overdue() then has it judged */

/* CORE_DB_ROW: *priority is the next lower one that mail at rest for the destination has; CORE_DB_OK: there is none. Begin with INT64_MAX. */
SP_NODISCARD enum core_db_status queue_rows_priority_below(struct core_db *db, const char *destination, int64_t *priority);

#endif

/* queue/schema.h - the tables of the spool, their versions, and the number of the run. Used by queue/store.c. */
#ifndef QUEUE_SCHEMA_H
#define QUEUE_SCHEMA_H

#include "queue/store.h"

#define QUEUE_RUNS_MAX ((1 << 23) - 1)  /* an identifier has 23 bits for the run and 40 for the count, and stays positive */
#define QUEUE_NEVER INT64_MAX           /* next_at of what is not tried: held, quarantined, to be deleted (queue/marks.h) */
#define QUEUE_ASIDE (INT64_MAX - 1)     /* next_at of what an operator's TAKE waits for: only queue_overdue() takes it. All times that are waited for are before it */

/* Brings all tables to the versions that this program knows, in one transaction, which also counts the run: *run is on stable storage when
 * this returns. A newer version, or tables that are not as they were made, are refused with *why. */
SP_NODISCARD bool queue_schema_bring_up(struct core_db *db, const struct queue_schema *others, size_t other_count,
                                        uint64_t *run, struct sp_fail *why);
/* There are no tables at all. */
bool queue_schema_is_new(struct core_db *db);
/* For a database that is opened again: are these still the tables that were made? */
SP_NODISCARD bool queue_schema_check(struct core_db *db, struct sp_fail *why);

#endif

/* queue/batch.h - group commit: many operations, one transaction, one sync. Used by queue/store.c, on its thread. */
#ifndef QUEUE_BATCH_H
#define QUEUE_BATCH_H

#include "queue/store.h"

#define QUEUE_BATCH_MAX 512             /* operations; with the time below it bounds how long the first of them waits */
#define QUEUE_BATCH_MS  40              /* no further operation joins a transaction that ran this long */

struct queue_batch {
	struct queue_op *ops[QUEUE_BATCH_MAX];
	size_t count;
	/* out */
	size_t resolved;                /* so many have their result; the others did not run, because the database is `lost` */
	uint64_t commits;               /* transactions that were committed */
	bool full, unwritable;          /* a write did not reach the disk, for want of room or otherwise: say no to mail until one does */
	bool lost;                      /* the state of the file is unknown: close it, and open it again */
};

/* Runs the operations and sets `status` and `fail` of each. One that fails is undone alone: what ran before it is run again without it. */
void queue_batch_run(struct core_db *db, struct queue_batch *b);
/* As if each had failed so. */
void queue_batch_refuse(struct queue_batch *b, enum core_db_status status, const struct sp_fail *why);

#endif

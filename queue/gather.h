/* queue/gather.h - how long a batch waits for company before it costs a sync. Used by queue/store.c, on its thread.
 * A sync takes from 0.1 ms to many; who waits for one is a client with its 250, and with many clients at work a short wait puts many of them under one
 * sync. A client alone never waits: only where batches lately held mail of several clients is there anything to wait for. */
#ifndef QUEUE_GATHER_H
#define QUEUE_GATHER_H

#include "queue/store.h"

#define QUEUE_GATHER_ENOUGH 32          /* operations: no wait for more */
#define QUEUE_GATHER_MAX_US 5000        /* the longest wait where somebody waits for the batch; never over two syncs */
#define QUEUE_PATIENT_US 5000           /* the longest where nobody does: results, waits, policies */

struct queue_gather {
	uint32_t accepts;               /* average of messages a batch that had any, in sixteenths */
	uint32_t commit_us;             /* average time of a batch that was committed */
};

/* What is known after a batch: `accepts` messages were in it, it took `us`. */
void queue_gather_learn(struct queue_gather *g, unsigned accepts, uint64_t us);
/* How long to wait for more, in microseconds, when `ops` have gathered, `accepts` of them messages and `patient` of them patient; 0: not at all. */
uint64_t queue_gather_wait_us(const struct queue_gather *g, unsigned ops, unsigned accepts, unsigned patient);

#endif

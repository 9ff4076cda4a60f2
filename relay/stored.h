/* relay/stored.h - what of the store looks at every row, for those who show numbers: policies, reports, evidence. Asked so seldom that it takes one part in a hundred of the store's
 * time, whatever it holds. Main thread. Used by relay/status.c and relay/api_metrics.c. */
#ifndef RELAY_STORED_H
#define RELAY_STORED_H

#include "queue/store.h"
#include "rpt/outbox.h"
#include "sts/cache.h"

struct stored {                         /* zeroed at first */
	bool known;                     /* what follows was told by the store, some while ago; else it could not */
	struct sts_cache_counts policies;
	struct rpt_outbox_counts reports;
	uint64_t evidence;              /* octets */
	uint64_t again_ms;              /* private, monotonic: from then on it is asked again */
};
/* One call of `done` when *s is as fresh as it may be: before it returns, or on a later turn. Once at a time; *s stays where it is. */
void stored_ask(struct stored *s, struct queue_store *store, struct core_mailbox *reply_to, void (*done)(void *owner), void *owner);

#endif

/* queue/counts.h - how many messages and recipients there are, kept with them in the same transactions: counting a million rows would hold up
 * deliveries. On the store's thread, inside a transaction. */
#ifndef QUEUE_COUNTS_H
#define QUEUE_COUNTS_H

#include "queue/spool.h"

/* Makes the rows, counting what is there. */
SP_NODISCARD enum core_db_status queue_counts_make(struct core_db *db);
/* What a transaction changed. */
SP_NODISCARD enum core_db_status queue_counts_add(struct core_db *db, int64_t messages, int64_t recipients);
/* queue_counts(), inside a transaction. */
SP_NODISCARD enum core_db_status queue_counts_read(struct core_db *db, struct queue_counts *c);

#endif

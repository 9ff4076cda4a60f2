/* relay/settle_log.h - what came of one recipient, for the log and the metrics. On the shard's thread. */
#ifndef RELAY_SETTLE_LOG_H
#define RELAY_SETTLE_LOG_H

#include "relay/outcome.h"
#include "relay/settle.h"

/* Adds it to the recipients by outcome, and what went to the times from acceptance to delivery. */
void settle_count(const struct destination *d, const struct queue_job *job, const struct outcome_recipient *o);
/* One line: who, where, what was proved, the reply, and where the time went. `i`: the recipient's place in the job. */
void settle_log(const struct destination *d, const struct queue_job *job, size_t i, const struct outcome_recipient *o, const struct settle_facts *f);

#endif

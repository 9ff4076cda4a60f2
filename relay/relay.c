/* relay/relay.c - see relay.h. */
#include "relay/relay.h"

#include "queue/evidence.h"
#include "rpt/ledger.h"
#include "sts/cache.h"

struct queue_store *relay_open_store(const char *state_dir, struct sp_fail *why)
{
	static const struct queue_schema others[] = {
		{ "sts", STS_CACHE_VERSION, sts_cache_migrate }, { "rpt", RPT_VERSION, rpt_migrate },
		{ "evidence", QUEUE_EVIDENCE_VERSION, queue_evidence_migrate },
	};
	return queue_store_open(state_dir, others, SP_COUNT(others), why);
}

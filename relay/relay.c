/* relay/relay.c - see relay.h. */
#include "relay/relay.h"

#include "core/clock.h"
#include "queue/evidence.h"
#include "rpt/ledger.h"
#include "rpt/outbox.h"
#include "sts/cache.h"

/* Its endpoint need not wait for it. Nobody is suppressed: nobody said no. */
static enum core_db_status on_report_deleted(struct core_db *db, uint64_t message)
{
	int64_t now_s = core_clock_wall_s();
	return rpt_outbox_mailed(db, message, false, false, "deleted by an operator", now_s, now_s);
}

struct queue_store *relay_open_store(const char *state_dir, struct sp_fail *why)
{
	static const struct queue_schema others[] = {
		{ "sts", STS_CACHE_VERSION, sts_cache_migrate }, { "rpt", RPT_VERSION, rpt_migrate, on_report_deleted },
		{ "evidence", QUEUE_EVIDENCE_VERSION, queue_evidence_migrate },
	};
	return queue_store_open(state_dir, others, SP_COUNT(others), why);
}

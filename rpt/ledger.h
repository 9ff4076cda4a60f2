/* rpt/ledger.h - the ledger: how many sessions of a day ended how, for each policy that applied. Its tables, and no others' (see outbox.h).
 * Its functions run on the store's thread, inside its transaction: relay/account.c hands them in with the results of the recipients that a session had
 * (queue_settle's `extra`), so that a count and what it counts are one commit (DESIGN.md, promise 3).
 *
 *   rpt_policy   (id, day, domain, type, strings, mx, successes, failures): one row a policy as applied, of a domain and a day
 *   rpt_failure  (id, policy, result, sending_ip, mx_host, mx_helo, mx_ip, reason, count): distinct failures; merged ones have "" for all but the result
 *   rpt_counted  (number): batches that were counted lately
 * Bounded: a domain and day has at most RPT_POLICIES_MAX policies (sessions under a further one are counted under one without strings) and
 * `details_max` distinct failures; beyond, a failure is merged into one row a policy and result type. A count is never lost: one that comes when the
 * report of its day was sent already (the clock jumped) is added to the rows, where `report show` and `--again` find it, and the row of the outbox stays as it
 * is: a second report by itself would have the receiver count the rest twice.
 * A row that cannot be read is logged and left out. */
#ifndef RPT_LEDGER_H
#define RPT_LEDGER_H

#include "core/arena.h"
#include "core/db.h"
#include "rpt/event.h"

#define RPT_VERSION 1                   /* of the ledger's and the outbox's tables together */
#define RPT_POLICIES_MAX 16
#define RPT_DETAIL_MAX 255              /* octets of each text of a failure; what a peer said beyond is cut off */
#define RPT_COUNTED_SPAN (1 << 20)      /* a batch may be repeated until so many numbers more were drawn: minutes at full speed */
/* Makes the tables of ledger.c and outbox.c (from == 0) or brings them to RPT_VERSION; relay/ hands it to queue_store_open(). */
SP_NODISCARD enum core_db_status rpt_migrate(struct core_db *db, unsigned from);

struct rpt_rules {                      /* from the configuration */
	int64_t spread_s;               /* report.spread */
	int64_t details_max;            /* report.details_per_domain */
};
/* Counts the events of one batch, and sees to it that each domain and day has its row in the outbox. `number` is the batch's own (queue_store_next_id()): one that
 * was counted already is passed over, so that a transaction whose end is not known may be repeated. */
SP_NODISCARD enum core_db_status rpt_ledger_add(struct core_db *db, uint64_t number, const struct rpt_event *events, size_t count,
                                                const struct rpt_rules *rules);

struct rpt_policy {                     /* a policy as applied, with its totals */
	int64_t id;
	enum rpt_policy_type type;
	const char *strings, *mx_patterns;      /* lines, as in struct rpt_event */
	uint64_t successes, failures;
};
/* The policies of a domain and a day, in a fixed order; in `arena`. At most RPT_POLICIES_MAX and one without strings for each type. */
SP_NODISCARD enum core_db_status rpt_ledger_policies(struct core_db *db, int64_t day, const char *domain, struct sp_arena *arena,
                                                     const struct rpt_policy **out, size_t *count);
struct rpt_failure {
	int64_t id;
	enum sp_result result;
	const char *sending_ip, *mx_host, *mx_helo, *mx_ip, *reason;    /* "" where not known, or merged */
	uint64_t count;
};
/* Up to `limit` failures of a policy behind `after` (an id, 0 first), in a fixed order: page by page, so that a report of any size is made in little memory. */
SP_NODISCARD enum core_db_status rpt_ledger_failures(struct core_db *db, int64_t policy, int64_t after, size_t limit, struct sp_arena *arena,
                                                     const struct rpt_failure **out, size_t *count);
/* Gone from every question at once, in a few statements however many failures there are; the rows themselves go by rpt_ledger_sweep(). */
SP_NODISCARD enum core_db_status rpt_ledger_forget(struct core_db *db, int64_t day, const char *domain);
/* Deletes up to *budget rows of what was forgotten, and takes as many off *budget: something may be left where that becomes 0. */
SP_NODISCARD enum core_db_status rpt_ledger_sweep(struct core_db *db, size_t *budget);

#endif

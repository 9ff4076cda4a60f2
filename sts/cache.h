/* sts/cache.h - the table of policies: the one file of sts/ that knows the database. Its functions run on the store's thread, inside its
 * transaction. Policies survive restarts; a clock that jumps moves nothing. Used by relay/policy.c through queue/store.h. */
#ifndef STS_CACHE_H
#define STS_CACHE_H

#include "core/arena.h"
#include "core/db.h"
#include "sts/discovery.h"

#define STS_CACHE_VERSION 1
/* Makes the table (from == 0) or brings it to STS_CACHE_VERSION; relay/ hands it to queue_store_open(). */
SP_NODISCARD enum core_db_status sts_cache_migrate(struct core_db *db, unsigned from);
/* CORE_DB_ROW with *out filled (out initialised by the caller), CORE_DB_OK when the domain is unknown. A row that does not parse is
 * reported as unknown and logged. */
SP_NODISCARD enum core_db_status sts_cache_get(struct core_db *db, const char *domain, struct sts_entry *out);
SP_NODISCARD enum core_db_status sts_cache_put(struct core_db *db, const char *domain, const struct sts_entry *e);
/* Up to `limit` domains with a valid policy whose refresh_s is at or before `now_s`, or whose times lie so far ahead that the clock must have jumped
 * back; the longest due first; strings live in `arena`. An expired policy is fetched when mail asks for it. */
SP_NODISCARD enum core_db_status sts_cache_due(struct core_db *db, int64_t now_s, size_t limit, struct sp_arena *arena,
                                               const char **domains, size_t *count);
/* For gauges; looks at every row: not more often than every some seconds. */
struct sts_cache_counts {
	uint64_t valid[STS_MODE_ENFORCE + 1], expired[STS_MODE_ENFORCE + 1];    /* policies by enum sts_mode */
	uint64_t failing;               /* valid, not `none`, and the last fetch failed */
	int64_t lapses_s;               /* of those the first to expire; 0: there is none */
};
SP_NODISCARD enum core_db_status sts_cache_count(struct core_db *db, int64_t now_s, struct sts_cache_counts *out);
/* Deletes what expired more than a week ago and was not tried since. Not by `now_s` alone: a clock that jumped ahead would empty the table; the latest
 * successful fetch must be as far ahead. */
SP_NODISCARD enum core_db_status sts_cache_sweep(struct core_db *db, int64_t now_s);

#endif

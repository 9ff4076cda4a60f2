/* sts/cache.h - the table of policies. This file and history.h, which is the log of its changes, are the ones of sts/ that know the database. Its functions run on the store's
 * thread, inside its transaction. Policies survive restarts; a clock that jumps moves nothing. Used by relay/policy.c and relay/api_policy.c through queue/store.h. */
#ifndef STS_CACHE_H
#define STS_CACHE_H

#include "core/arena.h"
#include "core/db.h"
#include "sts/discovery.h"

#define STS_CACHE_VERSION 2
/* Makes the tables of both files (from == 0) or brings it to STS_CACHE_VERSION; relay/ hands it to queue_store_open(). */
SP_NODISCARD enum core_db_status sts_cache_migrate(struct core_db *db, unsigned from);
/* CORE_DB_ROW with *out filled (out initialised by the caller), CORE_DB_OK when the domain is unknown. A row that does not parse is
 * reported as unknown and logged. */
SP_NODISCARD enum core_db_status sts_cache_get(struct core_db *db, const char *domain, struct sts_entry *out);
/* Of a fetch, call sts_history_put() instead. */
SP_NODISCARD enum core_db_status sts_cache_put(struct core_db *db, const char *domain, const struct sts_entry *e);
/* Up to `limit` domains with a valid policy whose refresh_s is at or before `now_s`, or whose times lie so far ahead that the clock must have jumped
 * back; the longest due first; strings live in `arena`. An expired policy is fetched when mail asks for it. */
SP_NODISCARD enum core_db_status sts_cache_due(struct core_db *db, int64_t now_s, size_t limit, struct sp_arena *arena,
                                               const char **domains, size_t *count);
/* For gauges. Reads an index alone, one small entry a domain: still not more often than every some seconds. */
#define STS_LAPSING_S (3 * 86400)
struct sts_cache_counts {
	uint64_t valid[STS_MODE_ENFORCE + 1], expired[STS_MODE_ENFORCE + 1];    /* policies by enum sts_mode */
	uint64_t failing;               /* valid, not `none`, and the last fetch failed */
	uint64_t lapsing;               /* of those: they expire within STS_LAPSING_S, and protect no more then */
	uint64_t unfetched;             /* domains that never gave us a policy: every fetch failed */
	int64_t lapses_s;               /* of the failing ones the first to expire; 0: there is none */
};
SP_NODISCARD enum core_db_status sts_cache_count(struct core_db *db, int64_t now_s, struct sts_cache_counts *out);
/* Deletes what expired more than a week ago and was not tried since. Not by `now_s` alone: a clock that jumped ahead would empty the table; the latest
 * successful fetch must be as far ahead. */
SP_NODISCARD enum core_db_status sts_cache_sweep(struct core_db *db, int64_t now_s);

/* ---- for people ---- */

struct sts_cache_filter {               /* all that is set must hold */
	bool by_mode;
	enum sts_mode mode;
	bool failing;                   /* the last fetch failed */
	int64_t expires_by_s;           /* a policy that is valid now and expires at or before it; 0: whatever */
};
struct sts_cached {
	const char *domain;
	struct sts_entry entry;         /* the caller clears it */
};
#define STS_CACHE_LOOKS 2000            /* rows looked at for one page */
#define STS_CACHE_OCTETS (1u << 20)     /* of policies in a page */
/* Up to `limit` domains that fit, by name, behind `after` ("" first), with what is known of them. *next: where to go on, in `arena` like the names; NULL: that was all. A damaged row is
 * passed over. On failure no row is to be cleared. */
SP_NODISCARD enum core_db_status sts_cache_list(struct core_db *db, const struct sts_cache_filter *f, const char *after, size_t limit, int64_t now_s,
                                                struct sp_arena *arena, struct sts_cached *rows, size_t *count, const char **next);

#endif

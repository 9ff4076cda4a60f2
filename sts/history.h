/* sts/history.h - the table of what became of each domain's policy, for operators. The second file of sts/ that knows the database, beside cache.c: the cache is one row a domain and is
 * read for mail; this is a log that only people read, with bounds of its own, and may be lost without harm. Its functions run on the store's thread, inside its transaction: a
 * change stands in the history exactly when it stands in the cache. Used by relay/policy.c, relay/policy_admin.c and relay/scheduler.c. */
#ifndef STS_HISTORY_H
#define STS_HISTORY_H

#include "core/arena.h"
#include "core/db.h"
#include "sts/cache.h"
#include "sts/change.h"

#define STS_HISTORY_EACH 50             /* changes kept of a domain; the oldest goes */
#define STS_HISTORY_MAX 50000           /* in all; the oldest that weakened nothing goes first */
#define STS_HISTORY_MX_MAX 500          /* octets of a list of patterns */
#define STS_HISTORY_REASON_MAX 200      /* octets of an operator's reason; the rest is cut */

/* sts_cache_put(), and the change that it is where it is one. *note is set in any case. */
SP_NODISCARD enum core_db_status sts_history_put(struct core_db *db, const char *domain, const struct sts_entry *e, int64_t now_s, struct sts_note *note);
/* Notes each policy that expired since it was asked last, `limit` at most; `notes` has one row for each domain in `domains` (in `arena`). One that lives for less than an hour is not
 * noted: it is fetched whenever mail asks for it, and expires in between. */
#define STS_HISTORY_NOTED_LIFE_S 3600
SP_NODISCARD enum core_db_status sts_history_expire(struct core_db *db, int64_t now_s, size_t limit, struct sp_arena *arena, const char **domains,
                                                    struct sts_note *notes, size_t *count);
/* Deletes the row of the cache, and notes that. note->noted is false where there was none; one without a policy (failures alone) goes without a note: *found tells. */
SP_NODISCARD enum core_db_status sts_history_forget(struct core_db *db, const char *domain, const char *reason, int64_t now_s, bool *found,
                                                    struct sts_note *note);
/* Down to STS_HISTORY_MAX. */
SP_NODISCARD enum core_db_status sts_history_sweep(struct core_db *db);

/* ---- reading ---- */

struct sts_side {                       /* before, after */
	const char *mode;               /* "": no policy */
	const char *id;
	int64_t max_age_s;
	const char *mx;                 /* patterns, a blank between them; those that fit into STS_HISTORY_MX_MAX */
	int64_t mx_count;               /* of all */
};
struct sts_change {
	int64_t n;                      /* ascending */
	const char *domain;
	int64_t at_s;
	enum sts_how how;
	bool weaker;
	const char *why;                /* of weaker; "" */
	const char *reason;             /* an operator's; "" */
	struct sts_side from, to;
};
/* Up to `limit` changes, the newest first, below `before` (0: from the newest on), of `domain` (NULL: of all). Strings live in `arena`. *next: where to go on, 0: that was all. */
SP_NODISCARD enum core_db_status sts_history_list(struct core_db *db, const char *domain, bool weaker, int64_t before, size_t limit,
                                                  struct sp_arena *arena, struct sts_change *rows, size_t *count, int64_t *next);

/* For cache.c: makes the table. */
SP_NODISCARD enum core_db_status sts_history_make(struct core_db *db);

#endif

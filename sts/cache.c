/* sts/cache.c - see cache.h. A policy is kept as the text that policy.c prints, so a row can be read by people and by any later version. */
#include "sts/cache.h"

#include "core/log.h"
#include "sts/history.h"

#include <stdio.h>

#define WEEK_S (7 * 86400)
#define DAY_S 86400             /* no wait after a failure is longer (discovery.c) */

static enum core_db_status make_first(struct core_db *db)
{
	return core_db_exec(db,
		"CREATE TABLE sts_policy ("
		" domain TEXT PRIMARY KEY,"
		" policy TEXT NOT NULL,"                /* '': none is cached */
		" id TEXT NOT NULL,"
		" fetched_s BIGINT NOT NULL,"
		" expires_s BIGINT NOT NULL,"
		" refresh_s BIGINT NOT NULL,"
		" fresh_s BIGINT NOT NULL,"
		" failed_id TEXT NOT NULL,"
		" retry_s BIGINT NOT NULL,"
		" failures BIGINT NOT NULL,"
		" failed_result TEXT NOT NULL,"
		" failed_reason TEXT NOT NULL,"
		" failed_text TEXT NOT NULL);"
		"CREATE INDEX sts_policy_refresh ON sts_policy (refresh_s)");
}

/* Version 2: what people ask for by mode and expiry, and the history. The text of a policy begins as policy.c prints it. */
static enum core_db_status make_second(struct core_db *db)
{
	enum core_db_status status = core_db_exec(db,
		"ALTER TABLE sts_policy ADD COLUMN mode TEXT NOT NULL DEFAULT '';"              /* of `policy`; '' without one */
		"ALTER TABLE sts_policy ADD COLUMN lapsed BIGINT NOT NULL DEFAULT 0;"           /* its expiry: 1 noted in the history, 2 not worth a note */
		"UPDATE sts_policy SET mode = CASE WHEN policy LIKE 'version: STSv1_mode: enforce_%' THEN 'enforce'"
		" WHEN policy LIKE 'version: STSv1_mode: testing_%' THEN 'testing' WHEN policy <> '' THEN 'none' ELSE '' END;"
		"CREATE INDEX sts_policy_mode ON sts_policy (mode, expires_s, failures);"
		"CREATE INDEX sts_policy_lapsed ON sts_policy (lapsed, expires_s)");
	return status == CORE_DB_OK ? sts_history_make(db) : status;
}

enum core_db_status sts_cache_migrate(struct core_db *db, unsigned from)
{
	enum core_db_status status = CORE_DB_OK;
	if (from < 1)
		status = make_first(db);
	if (from < 2 && status == CORE_DB_OK)
		status = make_second(db);
	return status;
}

/* ---- reading ---- */

static bool take_text(struct core_stmt *s, int n, char *out, size_t size)
{
	struct sp_str text = core_stmt_col_text(s, n);
	if (text.len >= size || sp_str_contains(text, '\0'))
		return false;
	if (text.len > 0)
		memcpy(out, text.p, text.len);
	out[text.len] = '\0';
	return true;
}

static bool read_policy(struct core_stmt *s, struct sts_entry *e)
{
	struct sp_str text = core_stmt_col_text(s, 0);
	if (text.len > 0)
		e->policy = sts_policy_parse(text, NULL, NULL, NULL);
	e->fetched_s = core_stmt_col_int(s, 2);
	e->expires_s = core_stmt_col_int(s, 3);
	e->refresh_s = core_stmt_col_int(s, 4);
	e->fresh_s = core_stmt_col_int(s, 5);
	if (!take_text(s, 1, e->id, sizeof(e->id)) || (text.len > 0 && e->policy == NULL))
		return false;
	/* A damaged time must not make a policy immortal. */
	return e->policy == NULL || (e->fetched_s >= 0 && e->expires_s >= 0 && e->fetched_s <= INT64_MAX - STS_MAX_AGE_MAX &&
	                             e->expires_s <= e->fetched_s + sts_policy_max_age_s(e->policy));
}

static bool read_failure(struct core_stmt *s, struct sts_entry *e)
{
	int64_t failures = core_stmt_col_int(s, 8);
	e->retry_s = core_stmt_col_int(s, 7);
	e->failures = (unsigned)failures;
	return failures >= 0 && failures <= UINT32_MAX && e->retry_s >= 0 && take_text(s, 6, e->failed_id, sizeof(e->failed_id)) &&
	       sp_result_parse(core_stmt_col_text(s, 9), &e->failed_result) &&
	       take_text(s, 10, e->failed_reason, sizeof(e->failed_reason)) && take_text(s, 11, e->failed_text, sizeof(e->failed_text));
}

enum core_db_status sts_cache_get(struct core_db *db, const char *domain, struct sts_entry *out)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT policy, id, fetched_s, expires_s, refresh_s, fresh_s, failed_id, retry_s, failures, failed_result, failed_reason,"
		" failed_text FROM sts_policy WHERE domain = ?1");
	core_stmt_text(s, 1, sp_str_of(domain));
	enum core_db_status status = core_stmt_step(s);
	sts_entry_clear(out);
	if (status != CORE_DB_ROW)
		return status;
	bool good = read_policy(s, out) && read_failure(s, out);
	core_stmt_reset(s);
	if (good)
		return CORE_DB_ROW;
	sts_entry_clear(out);
	sp_log_text(SP_LOG_WARNING, domain, "sts-cache", "the cached policy of this domain is damaged and is not used; it will be fetched anew");
	return CORE_DB_OK;
}

/* ---- writing ---- */

enum core_db_status sts_cache_put(struct core_db *db, const char *domain, const struct sts_entry *e)
{
	struct sp_buf policy;
	sp_buf_init(&policy, 2 * STS_POLICY_TEXT_MAX);
	if (e->policy)
		sts_policy_print(e->policy, &policy);
	sp_assert(!sp_buf_failed(&policy));
	struct core_stmt *s = core_db_stmt(db,
		"INSERT INTO sts_policy (domain, policy, id, fetched_s, expires_s, refresh_s, fresh_s, failed_id, retry_s, failures,"
		" failed_result, failed_reason, failed_text, mode, lapsed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 0)"
		" ON CONFLICT (domain) DO UPDATE SET policy = excluded.policy, id = excluded.id, fetched_s = excluded.fetched_s,"
		" expires_s = excluded.expires_s, refresh_s = excluded.refresh_s, fresh_s = excluded.fresh_s,"
		" failed_id = excluded.failed_id, retry_s = excluded.retry_s, failures = excluded.failures,"
		" failed_result = excluded.failed_result, failed_reason = excluded.failed_reason, failed_text = excluded.failed_text,"
		" mode = excluded.mode, lapsed = CASE WHEN excluded.expires_s = sts_policy.expires_s THEN sts_policy.lapsed ELSE 0 END");
	core_stmt_text(s, 1, sp_str_of(domain));
	core_stmt_text(s, 2, sp_buf_str(&policy));
	core_stmt_text(s, 3, sp_str_of(e->id));
	core_stmt_int(s, 4, e->fetched_s);
	core_stmt_int(s, 5, e->expires_s);
	core_stmt_int(s, 6, e->refresh_s);
	core_stmt_int(s, 7, e->fresh_s);
	core_stmt_text(s, 8, sp_str_of(e->failed_id));
	core_stmt_int(s, 9, e->retry_s);
	core_stmt_int(s, 10, e->failures);
	core_stmt_text(s, 11, sp_str_of(sp_result_str(e->failed_result)));
	core_stmt_text(s, 12, sp_str_of(e->failed_reason));
	core_stmt_text(s, 13, sp_str_of(e->failed_text));
	core_stmt_text(s, 14, sp_str_of(e->policy ? sts_mode_str(sts_policy_mode(e->policy)) : ""));
	enum core_db_status status = core_stmt_run(s);
	sp_buf_clear(&policy);
	return status;
}

/* ---- keeping ---- */

enum core_db_status sts_cache_due(struct core_db *db, int64_t now_s, size_t limit, struct sp_arena *arena, const char **domains,
                                  size_t *count)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT domain FROM sts_policy WHERE policy <> '' AND expires_s > ?1"
		" AND (refresh_s <= ?1 OR fetched_s > ?1 OR retry_s > ?2) ORDER BY refresh_s, domain LIMIT ?3");
	core_stmt_int(s, 1, now_s);
	core_stmt_int(s, 2, now_s + DAY_S);
	core_stmt_int(s, 3, (int64_t)limit);
	enum core_db_status status;
	*count = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		sp_assert(*count < limit);
		domains[(*count)++] = sp_arena_dup(arena, core_stmt_col_text(s, 0));
	}
	return status;
}

static void add_counts(struct core_stmt *s, struct sts_cache_counts *out)
{
	enum sts_mode mode = STS_MODE_NONE;
	bool cached = sts_mode_parse(core_stmt_col_text(s, 0), &mode), valid = core_stmt_col_int(s, 1) != 0, fails = core_stmt_col_int(s, 2) != 0;
	uint64_t count = (uint64_t)core_stmt_col_int(s, 3);
	int64_t expires_s = core_stmt_col_int(s, 4);
	if (!cached) {
		out->unfetched += fails ? count : 0;
		return;
	}
	*(valid ? &out->valid[mode] : &out->expired[mode]) += count;
	if (!valid || !fails || mode == STS_MODE_NONE)
		return;
	out->failing += count;
	out->lapsing += (uint64_t)core_stmt_col_int(s, 5);
	out->lapses_s = out->lapses_s == 0 || expires_s < out->lapses_s ? expires_s : out->lapses_s;
}

enum core_db_status sts_cache_count(struct core_db *db, int64_t now_s, struct sts_cache_counts *out)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT mode, CASE WHEN expires_s > ?1 THEN 1 ELSE 0 END, CASE WHEN failures > 0 THEN 1 ELSE 0 END, count(*), min(expires_s),"
		" sum(CASE WHEN expires_s <= ?2 THEN 1 ELSE 0 END) FROM sts_policy GROUP BY 1, 2, 3");
	core_stmt_int(s, 1, now_s);
	core_stmt_int(s, 2, now_s + STS_LAPSING_S);
	enum core_db_status status;
	*out = (struct sts_cache_counts){ 0 };
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		add_counts(s, out);
	return status;
}

enum core_db_status sts_cache_sweep(struct core_db *db, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db,
		"DELETE FROM sts_policy WHERE expires_s < ?1 AND retry_s < ?1"
		" AND (policy = '' OR expires_s < (SELECT max(fetched_s) FROM sts_policy) - ?2)");
	core_stmt_int(s, 1, now_s - WEEK_S);
	core_stmt_int(s, 2, WEEK_S);
	return core_stmt_run(s);
}

/* ---- for people ---- */

static bool fits(const struct sts_cache_filter *f, const struct sts_entry *e, int64_t now_s)
{
	if (f->by_mode && (e->policy == NULL || sts_policy_mode(e->policy) != f->mode))
		return false;
	if (f->failing && e->failures == 0)
		return false;
	return f->expires_by_s == 0 || (sts_entry_valid(e, now_s) && e->expires_s <= f->expires_by_s);
}

static void clear_rows(struct sts_cached *rows, size_t *count)
{
	while (*count > 0)
		sts_entry_clear(&rows[--*count].entry);
}

enum core_db_status sts_cache_list(struct core_db *db, const struct sts_cache_filter *f, const char *after, size_t limit, int64_t now_s,
                                   struct sp_arena *arena, struct sts_cached *rows, size_t *count, const char **next)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT policy, id, fetched_s, expires_s, refresh_s, fresh_s, failed_id, retry_s, failures, failed_result, failed_reason,"
		" failed_text, domain FROM sts_policy WHERE domain > ?1 ORDER BY domain LIMIT ?2");
	core_stmt_text(s, 1, sp_str_of(after));
	core_stmt_int(s, 2, STS_CACHE_LOOKS);
	enum core_db_status status;
	size_t looks = 0, octets = 0;
	const char *last = NULL;
	*count = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		struct sts_cached *row = &rows[*count];
		looks++;
		octets += core_stmt_col_text(s, 0).len;
		last = sp_arena_dup(arena, core_stmt_col_text(s, 12));
		sts_entry_init(&row->entry);
		row->domain = last;
		if (read_policy(s, &row->entry) && read_failure(s, &row->entry) && fits(f, &row->entry, now_s))
			++*count;
		else
			sts_entry_clear(&row->entry);
		if (*count == limit || octets >= STS_CACHE_OCTETS)
			break;
	}
	core_stmt_reset(s);
	if (status != CORE_DB_OK && status != CORE_DB_ROW) {
		clear_rows(rows, count);
		return status;
	}
	*next = status == CORE_DB_ROW || looks == STS_CACHE_LOOKS ? last : NULL;
	return CORE_DB_OK;
}

/* rpt/outbox.c - see outbox.h: the rows of reports. What was tried of each, and whom to leave alone, is in endpoint.c.
 * rpt_report.begun: an attempt began (1) or not (0). The indexes on open rows are small: what is over is in none of them. */
#include "rpt/outbox.h"

#include "rpt/ledger.h"

#define RETRY_FIRST_S 300
#define RETRY_LAST_S (4 * 3600)
#define AHEAD_S (2 * RPT_DAY_S)         /* no finished day is due later than that, unless the clock was ahead */
#define KEPT_BEYOND_DAYS 2              /* rows that did not come to an end, beyond keep_days */

enum core_db_status rpt_outbox_make(struct core_db *db)
{
	return core_db_exec(db,
		"CREATE TABLE rpt_report ("
		" day BIGINT NOT NULL,"
		" domain TEXT NOT NULL,"
		" state TEXT NOT NULL,"
		" begun BIGINT NOT NULL,"
		" report_id TEXT NOT NULL,"
		" due BIGINT NOT NULL,"
		" expires BIGINT NOT NULL,"
		" attempts BIGINT NOT NULL,"
		" text TEXT NOT NULL,"
		" PRIMARY KEY (day, domain));"
		"CREATE INDEX rpt_report_domain ON rpt_report (domain, day);"
		"CREATE INDEX rpt_report_open ON rpt_report (day, domain) WHERE state = 'open';"
		"CREATE INDEX rpt_report_due ON rpt_report (begun, due, day) WHERE state = 'open';"
		"CREATE INDEX rpt_report_begun ON rpt_report (due, day) WHERE state = 'open' AND begun = 1;"
		"CREATE INDEX rpt_report_no_record ON rpt_report (day) WHERE state = 'no-record';"
		"CREATE TABLE rpt_endpoint ("
		" day BIGINT NOT NULL,"
		" domain TEXT NOT NULL,"
		" uri TEXT NOT NULL,"
		" state TEXT NOT NULL,"
		" at BIGINT NOT NULL,"
		" message BIGINT NOT NULL,"             /* the last that was mailed, also when it came to an end; else 0 */
		" text TEXT NOT NULL,"
		" address TEXT NOT NULL,"               /* of mailto: */
		" mailed BIGINT NOT NULL,"              /* when one was mailed last; else 0 */
		" PRIMARY KEY (day, domain, uri));"
		"CREATE INDEX rpt_endpoint_message ON rpt_endpoint (message) WHERE message <> 0;"
		"CREATE INDEX rpt_endpoint_address ON rpt_endpoint (address, mailed) WHERE address <> '';"
		"CREATE TABLE rpt_suppressed (address TEXT PRIMARY KEY, since BIGINT NOT NULL, until BIGINT NOT NULL, text TEXT NOT NULL);"
		"CREATE INDEX rpt_suppressed_until ON rpt_suppressed (until)");
}

static const char *const state_names[] = {
#define X(name, text) [RPT_STATE_##name] = text,
	RPT_STATES(X)
#undef X
};

const char *rpt_state_str(enum rpt_state s)
{
	return state_names[s];
}

bool rpt_state_parse(struct sp_str s, enum rpt_state *out)
{
	size_t i;
	bool found = sp_str_among(s, state_names, SP_COUNT(state_names), &i);
	if (found)
		*out = (enum rpt_state)i;
	return found;
}

/* ---- moments ---- */

int64_t rpt_retry_s(unsigned attempts)
{
	int64_t wait_s = RETRY_FIRST_S;
	for (unsigned i = 1; i < attempts && wait_s < RETRY_LAST_S; i++)
		wait_s *= 2;
	return wait_s < RETRY_LAST_S ? wait_s : RETRY_LAST_S;
}

int64_t rpt_due_s(int64_t day, const char *domain, int64_t spread_s)
{
	int64_t left_s = spread_s > 0 ? spread_s / 48 : 0;
	int64_t over_s = spread_s > 0 ? spread_s - left_s : 1;
	return (day + 1) * RPT_DAY_S + left_s + (int64_t)(sp_hash(sp_str_of(domain)) % (uint64_t)over_s);
}

/* ---- a row ---- */

static void bind_row(struct core_stmt *s, int n, int64_t day, const char *domain)
{
	core_stmt_int(s, n, day);
	core_stmt_text(s, n + 1, sp_str_of(domain));
}

enum core_db_status rpt_outbox_need(struct core_db *db, int64_t day, const char *domain, int64_t due_s)
{
	struct core_stmt *s = core_db_stmt(db,
		"INSERT INTO rpt_report (day, domain, state, begun, report_id, due, expires, attempts, text)"
		" VALUES (?1, ?2, 'open', 0, '', ?3, 0, 0, '') ON CONFLICT (day, domain) DO NOTHING");
	bind_row(s, 1, day, domain);
	core_stmt_int(s, 3, due_s);
	return core_stmt_run(s);
}

enum core_db_status rpt_outbox_begin(struct core_db *db, int64_t day, const char *domain, const char *report_id, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db,
		"UPDATE rpt_report SET begun = 1, report_id = CASE WHEN report_id = '' THEN ?3 ELSE report_id END,"
		" expires = CASE WHEN expires = 0 THEN ?4 ELSE expires END, due = CASE WHEN due < ?5 THEN ?5 ELSE due END"
		" WHERE day = ?1 AND domain = ?2");
	bind_row(s, 1, day, domain);
	core_stmt_text(s, 3, sp_str_of(report_id));
	core_stmt_int(s, 4, now_s + RPT_GIVE_UP_S);
	core_stmt_int(s, 5, now_s);
	return core_stmt_run(s);
}

#define OPENS "(?3 = 'open' OR (?3 = 'mailed' AND NOT EXISTS (SELECT 1 FROM rpt_endpoint AS e" \
	" WHERE e.day = ?1 AND e.domain = ?2 AND e.state = 'mailed')))"

enum core_db_status rpt_outbox_attempted(struct core_db *db, int64_t day, const char *domain, enum rpt_state state, int64_t due_s,
                                         const char *text)
{
	struct core_stmt *s = core_db_stmt(db,
		"UPDATE rpt_report SET begun = 1, attempts = attempts + 1, text = ?5, due = CASE WHEN " OPENS " THEN ?4 ELSE due END,"
		" state = CASE WHEN state = 'delivered' THEN state WHEN " OPENS " THEN 'open' ELSE ?3 END WHERE day = ?1 AND domain = ?2");
	bind_row(s, 1, day, domain);
	core_stmt_text(s, 3, sp_str_of(rpt_state_str(state)));
	core_stmt_int(s, 4, due_s);
	core_stmt_text(s, 5, sp_str_of(text));
	return core_stmt_run(s);
}

static enum core_db_status drop_endpoints(struct core_db *db, int64_t day, const char *domain)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM rpt_endpoint WHERE day = ?1 AND domain = ?2");
	bind_row(s, 1, day, domain);
	return core_stmt_run(s);
}

enum core_db_status rpt_outbox_reopen(struct core_db *db, int64_t day, const char *domain, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db,
		"UPDATE rpt_report SET state = 'open', begun = 0, report_id = '', due = ?3, expires = 0, attempts = 0, text = ''"
		" WHERE day = ?1 AND domain = ?2");
	bind_row(s, 1, day, domain);
	core_stmt_int(s, 3, now_s);
	enum core_db_status status = core_stmt_run(s);
	return status == CORE_DB_OK ? drop_endpoints(db, day, domain) : status;
}

/* ---- asking ---- */

/* Which index answers is not left to guesses: "+" keeps a condition out of the choice. */
#define COLUMNS \
	"SELECT day, domain, state, report_id, due, expires, attempts, text," \
	" (SELECT sum(p.successes) FROM rpt_policy AS p WHERE p.day = r.day AND p.domain = r.domain)," \
	" (SELECT sum(p.failures) FROM rpt_policy AS p WHERE p.day = r.day AND p.domain = r.domain) FROM rpt_report AS r WHERE "
#define OF_DOMAIN "domain = ? AND (? = 0 OR state = 'open') AND (? = 0 OR begun = 1) AND "
#define OF_OPEN "state = 'open' AND "
#define OF_BEGUN "state = 'open' AND begun = 1 AND "
#define IN_ORDER "day <= ? AND (day, domain) > (?, ?) AND +due <= ? ORDER BY day, domain"
#define UNTIL_DUE "due <= ? AND +day >= ? AND +day <= ?"
#define BY_DUE UNTIL_DUE " ORDER BY begun, due, day"
#define COUNT "SELECT count(*) FROM rpt_report WHERE "

enum kind { KIND_ALL, KIND_OPEN, KIND_BEGUN, KIND_DOMAIN };

static enum kind kind_of(const struct rpt_filter *f)
{
	if (f->domain)
		return KIND_DOMAIN;
	return !f->open_only ? KIND_ALL : f->begun_only ? KIND_BEGUN : KIND_OPEN;
}

static int64_t due_by(const struct rpt_filter *f)
{
	return f->open_only ? f->due_by_s : INT64_MAX;
}

/* Returns the number of the next parameter. */
static int bind_kind(struct core_stmt *s, const struct rpt_filter *f)
{
	if (f->domain == NULL)
		return 1;
	core_stmt_text(s, 1, sp_str_of(f->domain));
	core_stmt_int(s, 2, f->open_only);
	core_stmt_int(s, 3, f->open_only && f->begun_only);
	return 4;
}

static void bind_due(struct core_stmt *s, const struct rpt_filter *f)
{
	int n = bind_kind(s, f);
	core_stmt_int(s, n, due_by(f));
	core_stmt_int(s, n + 1, f->first_day);
	core_stmt_int(s, n + 2, f->last_day);
}

static uint64_t col_count(struct core_stmt *s, int n)
{
	int64_t value = core_stmt_col_int(s, n);
	return value > 0 ? (uint64_t)value : 0;
}

static bool read_report(struct core_stmt *s, struct sp_arena *arena, struct rpt_report *r)
{
	r->day = core_stmt_col_int(s, 0);
	r->domain = sp_arena_dup(arena, core_stmt_col_text(s, 1));
	if (!rpt_state_parse(core_stmt_col_text(s, 2), &r->state)) {
		sp_log_text(SP_LOG_WARNING, r->domain, "outbox", "the row of its report of day %lld is damaged and is left out", (long long)r->day);
		return false;
	}
	r->report_id = sp_arena_dup(arena, core_stmt_col_text(s, 3));
	r->due_s = core_stmt_col_int(s, 4);
	r->expires_s = core_stmt_col_int(s, 5);
	r->attempts = (unsigned)col_count(s, 6);
	r->text = sp_arena_dup(arena, core_stmt_col_text(s, 7));
	r->successes = col_count(s, 8);
	r->failures = col_count(s, 9);
	return true;
}

/* Read until there are enough, not by LIMIT: a damaged row must not make the last page of one in the middle. */
static enum core_db_status read_reports(struct core_stmt *s, size_t limit, struct sp_arena *arena, const struct rpt_report **out, size_t *count)
{
	struct rpt_report *list = sp_arena_alloc(arena, limit * sizeof(*list));
	enum core_db_status status = CORE_DB_OK;
	*out = list;
	*count = 0;
	while (*count < limit && (status = core_stmt_step(s)) == CORE_DB_ROW)
		*count += read_report(s, arena, &list[*count]);
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

enum core_db_status rpt_outbox_list(struct core_db *db, const struct rpt_filter *filter, int64_t after_day, const char *after_domain,
                                    size_t limit, struct sp_arena *arena, const struct rpt_report **out, size_t *count)
{
	static const char *const texts[] = {
		[KIND_ALL] = COLUMNS IN_ORDER, [KIND_OPEN] = COLUMNS OF_OPEN IN_ORDER, [KIND_BEGUN] = COLUMNS OF_BEGUN IN_ORDER,
		[KIND_DOMAIN] = COLUMNS OF_DOMAIN IN_ORDER,
	};
	struct core_stmt *s = core_db_stmt(db, texts[kind_of(filter)]);
	bool behind = after_day >= filter->first_day;
	int n = bind_kind(s, filter);
	core_stmt_int(s, n, filter->last_day);
	core_stmt_int(s, n + 1, behind ? after_day : filter->first_day);
	core_stmt_text(s, n + 2, sp_str_of(behind ? after_domain : ""));
	core_stmt_int(s, n + 3, due_by(filter));
	return read_reports(s, limit, arena, out, count);
}

enum core_db_status rpt_outbox_due(struct core_db *db, const struct rpt_filter *filter, size_t limit, struct sp_arena *arena,
                                   const struct rpt_report **out, size_t *count)
{
	static const char *const texts[] = {
		[KIND_OPEN] = COLUMNS OF_OPEN BY_DUE, [KIND_BEGUN] = COLUMNS OF_BEGUN BY_DUE, [KIND_DOMAIN] = COLUMNS OF_DOMAIN BY_DUE,
	};
	struct rpt_filter open = *filter;
	open.open_only = true;
	open.due_by_s = filter->open_only ? filter->due_by_s : INT64_MAX;
	struct core_stmt *s = core_db_stmt(db, texts[kind_of(&open)]);
	bind_due(s, &open);
	return read_reports(s, limit, arena, out, count);
}

enum core_db_status rpt_outbox_count(struct core_db *db, const struct rpt_filter *filter, uint64_t *out)
{
	static const char *const texts[] = {
		[KIND_ALL] = COUNT "+due <= ? AND day >= ? AND day <= ?", [KIND_OPEN] = COUNT OF_OPEN UNTIL_DUE,
		[KIND_BEGUN] = COUNT OF_BEGUN UNTIL_DUE, [KIND_DOMAIN] = COUNT OF_DOMAIN UNTIL_DUE,
	};
	struct core_stmt *s = core_db_stmt(db, texts[kind_of(filter)]);
	bind_due(s, filter);
	enum core_db_status status;
	*out = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		*out = col_count(s, 0);
	return status;
}

/* ---- forgetting ---- */

struct old_row { int64_t day; const char *domain; };

/* Takes the rows that the statement gives, until `limit` are there. */
static enum core_db_status read_old(struct core_stmt *s, size_t limit, struct sp_arena *arena, struct old_row *rows, size_t *count)
{
	enum core_db_status status = CORE_DB_OK;
	while (*count < limit && (status = core_stmt_step(s)) == CORE_DB_ROW)
		rows[(*count)++] = (struct old_row){ core_stmt_col_int(s, 0), sp_arena_dup(arena, core_stmt_col_text(s, 1)) };
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static enum core_db_status find_old(struct core_db *db, int64_t now_s, int64_t keep_days, size_t limit, struct sp_arena *arena,
                                    struct old_row *rows, size_t *count)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT day, domain FROM rpt_report WHERE state = 'no-record'");
	enum core_db_status status = read_old(s, limit, arena, rows, count);
	if (status != CORE_DB_OK)
		return status;
	s = core_db_stmt(db, "SELECT day, domain FROM rpt_report WHERE day < ?1 AND state <> 'no-record'"
	                     " AND (state NOT IN ('open', 'mailed') OR due < ?2) ORDER BY day, domain");
	core_stmt_int(s, 1, rpt_day_of(now_s) - keep_days);
	core_stmt_int(s, 2, now_s - (keep_days + KEPT_BEYOND_DAYS) * RPT_DAY_S);
	return read_old(s, limit, arena, rows, count);
}

static enum core_db_status forget(struct core_db *db, const struct old_row *r)
{
	enum core_db_status status = rpt_ledger_forget(db, r->day, r->domain);
	if (status == CORE_DB_OK)
		status = drop_endpoints(db, r->day, r->domain);
	if (status != CORE_DB_OK)
		return status;
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM rpt_report WHERE day = ?1 AND domain = ?2");
	bind_row(s, 1, r->day, r->domain);
	return core_stmt_run(s);
}

static enum core_db_status end_suppressions(struct core_db *db, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM rpt_suppressed WHERE until <= ?1");
	core_stmt_int(s, 1, now_s);
	return core_stmt_run(s);
}

enum core_db_status rpt_outbox_states(struct core_db *db, int64_t now_s, struct rpt_outbox_counts *out)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT state, CASE WHEN due <= ?1 THEN 1 ELSE 0 END, count(*) FROM rpt_report GROUP BY 1, 2");
	core_stmt_int(s, 1, now_s);
	enum core_db_status status;
	*out = (struct rpt_outbox_counts){ 0 };
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		enum rpt_state state;
		uint64_t count = (uint64_t)core_stmt_col_int(s, 2);
		if (!rpt_state_parse(core_stmt_col_text(s, 0), &state))
			continue;
		out->states[state] += count;
		if (state == RPT_STATE_OPEN && core_stmt_col_int(s, 1))
			out->due += count;
	}
	return status;
}

/* The clock was ahead, and went back: what rests until that time comes is due now, and has 24 h. */
static enum core_db_status wake_reports(struct core_db *db, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE rpt_report SET due = ?1, expires = CASE WHEN expires > ?2 THEN ?2 ELSE expires END"
	                                       " WHERE state = 'open' AND due > ?3 AND +day < ?4");
	core_stmt_int(s, 1, now_s);
	core_stmt_int(s, 2, now_s + RPT_GIVE_UP_S);
	core_stmt_int(s, 3, now_s + AHEAD_S);
	core_stmt_int(s, 4, rpt_day_of(now_s));
	return core_stmt_run(s);
}

static enum core_db_status shorten_suppressions(struct core_db *db, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE rpt_suppressed SET since = ?1, until = ?2 WHERE until > ?3");
	core_stmt_int(s, 1, now_s);
	core_stmt_int(s, 2, now_s + RPT_SUPPRESS_S);
	core_stmt_int(s, 3, now_s + RPT_SUPPRESS_S + AHEAD_S);
	return core_stmt_run(s);
}

static enum core_db_status mend_times(struct core_db *db, int64_t now_s)
{
	enum core_db_status status = wake_reports(db, now_s);
	if (status == CORE_DB_OK)
		status = shorten_suppressions(db, now_s);
	return status == CORE_DB_OK ? end_suppressions(db, now_s) : status;
}

enum core_db_status rpt_outbox_sweep(struct core_db *db, int64_t now_s, int64_t keep_days, size_t limit, bool *more)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	size_t budget = limit, count = 0;
	enum core_db_status status = mend_times(db, now_s);
	if (status == CORE_DB_OK)
		status = rpt_ledger_sweep(db, &budget);
	struct old_row *rows = sp_arena_alloc(&arena, (budget + 1) * sizeof(*rows));
	if (status == CORE_DB_OK)
		status = find_old(db, now_s, keep_days, budget, &arena, rows, &count);
	for (size_t i = 0; i < count && status == CORE_DB_OK; i++)
		status = forget(db, &rows[i]);
	sp_arena_clear(&arena);
	*more = budget == 0 || count > 0;
	return status;
}

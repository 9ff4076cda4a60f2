/* rpt/ledger.c - see ledger.h.
 * Rows are found by a hash of what tells them apart, and then compared: so an index entry stays small whatever a peer says. What is found is counted by its id: all of it one row
 * by an index; only what was not seen that day before costs more.
 * rpt_policy.details: distinct failures of the policy, so that they need not be counted row by row. Forgotten policies have the day GONE. */
#include "rpt/ledger.h"

#include "rpt/outbox.h"

#define GONE INT64_MIN
#define DROPS 64                        /* one batch in so many drops numbers that are far behind: looking costs more than noting one */
#define DROPPED_MAX (4 * DROPS)         /* by it: more than were added, so that what an earlier run left goes too */

enum core_db_status rpt_migrate(struct core_db *db, unsigned from)
{
	if (from >= RPT_VERSION)
		return CORE_DB_OK;
	enum core_db_status status = core_db_exec(db,
		"CREATE TABLE rpt_policy ("
		" id INTEGER PRIMARY KEY,"
		" day BIGINT NOT NULL,"
		" domain TEXT NOT NULL,"
		" hash BIGINT NOT NULL,"
		" type TEXT NOT NULL,"
		" successes BIGINT NOT NULL,"
		" failures BIGINT NOT NULL,"
		" details BIGINT NOT NULL,"
		" mx TEXT NOT NULL,"
		" strings TEXT NOT NULL);"              /* the long one last: the others are read without it */
		"CREATE INDEX rpt_policy_day ON rpt_policy (day, domain, hash);"
		"CREATE TABLE rpt_failure ("
		" id INTEGER PRIMARY KEY,"
		" policy BIGINT NOT NULL,"
		" hash BIGINT NOT NULL,"
		" count BIGINT NOT NULL,"
		" result TEXT NOT NULL,"
		" sending_ip TEXT NOT NULL,"
		" mx_host TEXT NOT NULL,"
		" mx_helo TEXT NOT NULL,"
		" mx_ip TEXT NOT NULL,"
		" reason TEXT NOT NULL);"
		"CREATE INDEX rpt_failure_hash ON rpt_failure (policy, hash);"
		"CREATE INDEX rpt_failure_page ON rpt_failure (policy, id);"
		"CREATE TABLE rpt_counted (number INTEGER PRIMARY KEY)");
	return status == CORE_DB_OK ? rpt_outbox_make(db) : status;
}

static int64_t hash_of(const struct sp_str *parts, size_t count)
{
	uint64_t h = 0;
	for (size_t i = 0; i < count; i++)
		h = (h ^ sp_hash(parts[i])) * 1099511628211u;
	return (int64_t)h;
}

/* ---- batches ---- */

/* Whose turn it is: by the number, but not every 64th, as those in between may all be messages'. */
static bool drops(uint64_t number)
{
	return number > RPT_COUNTED_SPAN && number * 0x9e3779b97f4a7c15u < UINT64_MAX / DROPS;
}

static enum core_db_status drop_counted(struct core_db *db, uint64_t before)
{
	struct core_stmt *s = core_db_stmt(db,
		"DELETE FROM rpt_counted WHERE number IN (SELECT number FROM rpt_counted WHERE number < ?1 ORDER BY number LIMIT ?2)");
	core_stmt_int(s, 1, (int64_t)before);
	core_stmt_int(s, 2, DROPPED_MAX);
	return core_stmt_run(s);
}

/* *is_new: nobody counted this batch yet. */
static enum core_db_status note_batch(struct core_db *db, uint64_t number, bool *is_new)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO rpt_counted (number) VALUES (?1) ON CONFLICT (number) DO NOTHING");
	core_stmt_int(s, 1, (int64_t)number);
	enum core_db_status status = core_stmt_run(s);
	*is_new = status == CORE_DB_OK && core_db_changes(db) > 0;
	return *is_new && drops(number) ? drop_counted(db, number - RPT_COUNTED_SPAN) : status;
}

/* ---- policies ---- */

/* A policy as its row has it. */
struct applied {
	int64_t day, hash;
	struct sp_str domain, type, strings, mx;
	bool failed;                    /* the session to be counted */
};

static void set_strings(struct applied *a, struct sp_str strings, struct sp_str mx)
{
	a->strings = strings;
	a->mx = strings.len > 0 ? mx : SP_STR("");      /* a row a type without strings, no more */
	a->hash = hash_of((struct sp_str[]){ a->type, a->strings, a->mx }, 3);
}

/* The one number that a statement asks for; 0: no row. */
static enum core_db_status read_number(struct core_stmt *s, int64_t *out)
{
	enum core_db_status status = core_stmt_step(s);
	*out = 0;
	if (status != CORE_DB_ROW)
		return status;
	*out = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return CORE_DB_OK;
}

/* Looking first and writing by the id costs half of an UPDATE with the same conditions, which has to remember rows. */
static enum core_db_status find_policy(struct core_db *db, const struct applied *a, int64_t *id)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT id FROM rpt_policy WHERE day = ?1 AND domain = ?2 AND hash = ?3 AND type = ?4 AND mx = ?5 AND strings = ?6");
	core_stmt_int(s, 1, a->day);
	core_stmt_text(s, 2, a->domain);
	core_stmt_int(s, 3, a->hash);
	core_stmt_text(s, 4, a->type);
	core_stmt_text(s, 5, a->mx);
	core_stmt_text(s, 6, a->strings);
	return read_number(s, id);
}

/* Adds the session to its policy's row: *id of that; 0: there is none. */
static enum core_db_status add_to_policy(struct core_db *db, const struct applied *a, int64_t *id)
{
	enum core_db_status status = find_policy(db, a, id);
	if (status != CORE_DB_OK || *id == 0)
		return status;
	struct core_stmt *s = core_db_stmt(db, "UPDATE rpt_policy SET successes = successes + ?1, failures = failures + ?2 WHERE id = ?3");
	core_stmt_int(s, 1, !a->failed);
	core_stmt_int(s, 2, a->failed);
	core_stmt_int(s, 3, *id);
	return core_stmt_run(s);
}

static enum core_db_status make_policy(struct core_db *db, const struct applied *a, int64_t *id)
{
	struct core_stmt *s = core_db_stmt(db,
		"INSERT INTO rpt_policy (day, domain, hash, type, successes, failures, details, mx, strings)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8) RETURNING id");
	core_stmt_int(s, 1, a->day);
	core_stmt_text(s, 2, a->domain);
	core_stmt_int(s, 3, a->hash);
	core_stmt_text(s, 4, a->type);
	core_stmt_int(s, 5, !a->failed);
	core_stmt_int(s, 6, a->failed);
	core_stmt_text(s, 7, a->mx);
	core_stmt_text(s, 8, a->strings);
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		*id = core_stmt_col_int(s, 0);
	return status;
}

/* A number about all policies of a domain and a day. */
static enum core_db_status ask_policies(struct core_db *db, const char *sql, int64_t day, struct sp_str domain, int64_t *out)
{
	struct core_stmt *s = core_db_stmt(db, sql);
	core_stmt_int(s, 1, day);
	core_stmt_text(s, 2, domain);
	return read_number(s, out);
}

/* One that was not seen that day before. The row of the outbox is needed from the first policy on. */
static enum core_db_status new_policy(struct core_db *db, struct applied *a, const struct rpt_rules *rules, int64_t *id)
{
	int64_t had = 0;
	enum core_db_status status = CORE_DB_OK;
	if (a->strings.len > 0)
		status = ask_policies(db, "SELECT count(*) FROM rpt_policy WHERE day = ?1 AND domain = ?2 AND strings <> ''", a->day, a->domain, &had);
	if (status == CORE_DB_OK && had >= RPT_POLICIES_MAX) {
		set_strings(a, SP_STR(""), SP_STR(""));
		status = add_to_policy(db, a, id);
	}
	if (status == CORE_DB_OK && *id == 0)
		status = make_policy(db, a, id);
	return status == CORE_DB_OK ? rpt_outbox_need(db, a->day, a->domain.p, rpt_due_s(a->day, a->domain.p, rules->spread_s)) : status;
}

/* ---- failures ---- */

enum { RESULT, SENDING_IP, MX_HOST, MX_HELO, MX_IP, REASON, DETAILS };

struct failing {
	int64_t policy, hash;
	struct sp_str details[DETAILS];
};

static struct sp_str cut(const char *text)
{
	struct sp_str s = sp_str_of(text);
	s.len = sp_min(s.len, RPT_DETAIL_MAX);
	return s;
}

static void describe(const struct rpt_event *e, int64_t policy, struct failing *f)
{
	*f = (struct failing){ .policy = policy, .details = { sp_str_of(sp_result_str(e->result)), cut(e->sending_ip), cut(e->mx_host),
	                                                      cut(e->mx_helo), cut(e->mx_ip), cut(e->reason) } };
	f->hash = hash_of(f->details, DETAILS);
}

/* Only the result type is left. */
static void merge(struct failing *f)
{
	for (size_t i = RESULT + 1; i < DETAILS; i++)
		f->details[i] = SP_STR("");
	f->hash = hash_of(f->details, DETAILS);
}

static void bind_failure(struct core_stmt *s, const struct failing *f)
{
	core_stmt_int(s, 1, f->policy);
	core_stmt_int(s, 2, f->hash);
	for (int i = 0; i < DETAILS; i++)
		core_stmt_text(s, 3 + i, f->details[i]);
}

static enum core_db_status find_failure(struct core_db *db, const struct failing *f, int64_t *id)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT id FROM rpt_failure WHERE policy = ?1 AND hash = ?2 AND result = ?3 AND sending_ip = ?4 AND mx_host = ?5"
		" AND mx_helo = ?6 AND mx_ip = ?7 AND reason = ?8");
	bind_failure(s, f);
	return read_number(s, id);
}

/* *found: there is such a row, and it counts one more. */
static enum core_db_status add_to_failure(struct core_db *db, const struct failing *f, bool *found)
{
	int64_t id;
	enum core_db_status status = find_failure(db, f, &id);
	*found = status == CORE_DB_OK && id != 0;
	if (!*found)
		return status;
	struct core_stmt *s = core_db_stmt(db, "UPDATE rpt_failure SET count = count + 1 WHERE id = ?1");
	core_stmt_int(s, 1, id);
	return core_stmt_run(s);
}

static enum core_db_status make_failure(struct core_db *db, const struct failing *f)
{
	struct core_stmt *s = core_db_stmt(db,
		"INSERT INTO rpt_failure (policy, hash, count, result, sending_ip, mx_host, mx_helo, mx_ip, reason)"
		" VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8)");
	bind_failure(s, f);
	return core_stmt_run(s);
}

static enum core_db_status count_detail(struct core_db *db, int64_t policy)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE rpt_policy SET details = details + 1 WHERE id = ?1");
	core_stmt_int(s, 1, policy);
	return core_stmt_run(s);
}

static enum core_db_status make_merged(struct core_db *db, struct failing *f)
{
	bool found;
	merge(f);
	enum core_db_status status = add_to_failure(db, f, &found);
	return status == CORE_DB_OK && !found ? make_failure(db, f) : status;
}

static enum core_db_status add_failure(struct core_db *db, const struct rpt_event *e, const struct applied *a, int64_t policy,
                                       const struct rpt_rules *rules)
{
	struct failing f;
	bool found;
	int64_t had;
	describe(e, policy, &f);
	enum core_db_status status = add_to_failure(db, &f, &found);
	if (status != CORE_DB_OK || found)
		return status;
	status = ask_policies(db, "SELECT sum(details) FROM rpt_policy WHERE day = ?1 AND domain = ?2", a->day, a->domain, &had);
	if (status != CORE_DB_OK)
		return status;
	if (had >= rules->details_max)
		return make_merged(db, &f);
	status = make_failure(db, &f);
	return status == CORE_DB_OK ? count_detail(db, policy) : status;
}

/* ---- counting ---- */

static enum core_db_status add_event(struct core_db *db, const struct rpt_event *e, const struct rpt_rules *rules)
{
	struct applied a = { .day = rpt_day_of(e->at_s), .domain = sp_str_of(e->policy_domain),
	                     .type = sp_str_of(rpt_policy_type_str(e->policy_type)), .failed = e->result != SP_RESULT_NONE };
	int64_t policy;
	set_strings(&a, sp_str_of(e->policy_strings), sp_str_of(e->mx_patterns));
	enum core_db_status status = add_to_policy(db, &a, &policy);
	if (status == CORE_DB_OK && policy == 0)
		status = new_policy(db, &a, rules, &policy);
	return status == CORE_DB_OK && a.failed ? add_failure(db, e, &a, policy, rules) : status;
}

enum core_db_status rpt_ledger_add(struct core_db *db, uint64_t number, const struct rpt_event *events, size_t count,
                                   const struct rpt_rules *rules)
{
	bool is_new;
	if (count == 0)
		return CORE_DB_OK;
	enum core_db_status status = note_batch(db, number, &is_new);
	for (size_t i = 0; i < count && status == CORE_DB_OK && is_new; i++)
		status = add_event(db, &events[i], rules);
	return status;
}

/* ---- reading ---- */

static uint64_t col_count(struct core_stmt *s, int n)
{
	int64_t value = core_stmt_col_int(s, n);
	return value > 0 ? (uint64_t)value : 0;
}

enum core_db_status rpt_ledger_policies(struct core_db *db, int64_t day, const char *domain, struct sp_arena *arena,
                                        const struct rpt_policy **out, size_t *count)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT id, type, successes, failures, strings, mx FROM rpt_policy WHERE day = ?1 AND domain = ?2 ORDER BY id");
	size_t room = RPT_POLICIES_MAX + RPT_POLICY_TYPE_COUNT;
	struct rpt_policy *list = sp_arena_alloc(arena, room * sizeof(*list));
	core_stmt_int(s, 1, day);
	core_stmt_text(s, 2, sp_str_of(domain));
	enum core_db_status status = CORE_DB_OK;
	*out = list;
	*count = 0;
	while (*count < room && (status = core_stmt_step(s)) == CORE_DB_ROW) {
		struct rpt_policy *p = &list[*count];
		if (!rpt_policy_type_parse(core_stmt_col_text(s, 1), &p->type)) {
			sp_log_text(SP_LOG_WARNING, domain, "ledger", "a policy of its report is damaged and is left out");
			continue;
		}
		p->id = core_stmt_col_int(s, 0);
		p->successes = col_count(s, 2);
		p->failures = col_count(s, 3);
		p->strings = sp_arena_dup(arena, core_stmt_col_text(s, 4));
		p->mx_patterns = sp_arena_dup(arena, core_stmt_col_text(s, 5));
		++*count;
	}
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static bool read_failure(struct core_stmt *s, struct sp_arena *arena, struct rpt_failure *f)
{
	f->id = core_stmt_col_int(s, 0);
	f->count = col_count(s, 1);
	if (f->count == 0 || !sp_result_parse(core_stmt_col_text(s, 2), &f->result) || f->result == SP_RESULT_NONE) {
		sp_log_text(SP_LOG_WARNING, NULL, "ledger", "failure %lld of a report is damaged and is left out", (long long)f->id);
		return false;
	}
	f->sending_ip = sp_arena_dup(arena, core_stmt_col_text(s, 3));
	f->mx_host = sp_arena_dup(arena, core_stmt_col_text(s, 4));
	f->mx_helo = sp_arena_dup(arena, core_stmt_col_text(s, 5));
	f->mx_ip = sp_arena_dup(arena, core_stmt_col_text(s, 6));
	f->reason = sp_arena_dup(arena, core_stmt_col_text(s, 7));
	return true;
}

/* Read until the page is full, not by LIMIT: a damaged row must not make it look like the last one. */
enum core_db_status rpt_ledger_failures(struct core_db *db, int64_t policy, int64_t after, size_t limit, struct sp_arena *arena,
                                        const struct rpt_failure **out, size_t *count)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT id, count, result, sending_ip, mx_host, mx_helo, mx_ip, reason FROM rpt_failure WHERE policy = ?1 AND id > ?2 ORDER BY id");
	struct rpt_failure *list = sp_arena_alloc(arena, limit * sizeof(*list));
	core_stmt_int(s, 1, policy);
	core_stmt_int(s, 2, after);
	enum core_db_status status = CORE_DB_OK;
	*out = list;
	*count = 0;
	while (*count < limit && (status = core_stmt_step(s)) == CORE_DB_ROW)
		*count += read_failure(s, arena, &list[*count]);
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

/* ---- forgetting ---- */

enum core_db_status rpt_ledger_forget(struct core_db *db, int64_t day, const char *domain)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE rpt_policy SET day = ?1 WHERE day = ?2 AND domain = ?3");
	core_stmt_int(s, 1, GONE);
	core_stmt_int(s, 2, day);
	core_stmt_text(s, 3, sp_str_of(domain));
	return core_stmt_run(s);
}

static enum core_db_status sweep_failures(struct core_db *db, int64_t policy, size_t *budget)
{
	struct core_stmt *s = core_db_stmt(db,
		"DELETE FROM rpt_failure WHERE id IN (SELECT id FROM rpt_failure WHERE policy = ?1 ORDER BY id LIMIT ?2)");
	core_stmt_int(s, 1, policy);
	core_stmt_int(s, 2, (int64_t)*budget);
	enum core_db_status status = core_stmt_run(s);
	if (status == CORE_DB_OK)
		*budget -= (size_t)core_db_changes(db);
	return status;
}

static enum core_db_status drop_policy(struct core_db *db, int64_t policy)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM rpt_policy WHERE id = ?1");
	core_stmt_int(s, 1, policy);
	return core_stmt_run(s);
}

/* Any policy that was forgotten; 0: none. */
static enum core_db_status find_gone(struct core_db *db, int64_t *policy)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT id FROM rpt_policy WHERE day = ?1 LIMIT 1");
	core_stmt_int(s, 1, GONE);
	return read_number(s, policy);
}

enum core_db_status rpt_ledger_sweep(struct core_db *db, size_t *budget)
{
	enum core_db_status status = CORE_DB_OK;
	while (*budget > 0 && status == CORE_DB_OK) {
		int64_t policy;
		status = find_gone(db, &policy);
		if (status != CORE_DB_OK || policy == 0)
			break;
		status = sweep_failures(db, policy, budget);
		if (status == CORE_DB_OK && *budget > 0) {
			status = drop_policy(db, policy);
			--*budget;
		}
	}
	return status;
}

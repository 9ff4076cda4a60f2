/* sts/history.c - see history.h. */
#include "sts/history.h"

#include <stdio.h>

enum core_db_status sts_history_make(struct core_db *db)
{
	return core_db_exec(db,
		"CREATE TABLE sts_history ("
		" n BIGINT PRIMARY KEY,"
		" domain TEXT NOT NULL,"
		" at_s BIGINT NOT NULL,"
		" how TEXT NOT NULL,"
		" weaker BIGINT NOT NULL,"
		" why TEXT NOT NULL,"
		" reason TEXT NOT NULL,"
		" from_mode TEXT NOT NULL,"             /* '': no policy */
		" from_id TEXT NOT NULL,"
		" from_max_age BIGINT NOT NULL,"
		" from_mx TEXT NOT NULL,"
		" from_mx_count BIGINT NOT NULL,"
		" to_mode TEXT NOT NULL,"
		" to_id TEXT NOT NULL,"
		" to_max_age BIGINT NOT NULL,"
		" to_mx TEXT NOT NULL,"
		" to_mx_count BIGINT NOT NULL);"
		"CREATE INDEX sts_history_domain ON sts_history (domain, n);"
		"CREATE INDEX sts_history_weaker ON sts_history (weaker, n)");
}

/* ---- writing ---- */

/* A policy with its id; policy NULL: none. */
struct held {
	struct sts_policy *policy;
	const char *id;
};

static void list_mx(const struct sts_policy *p, struct sp_buf *out)
{
	sp_buf_init(out, STS_HISTORY_MX_MAX);
	for (size_t i = 0; p && i < sts_policy_mx_count(p); i++) {
		const char *pattern = sts_policy_mx(p, i);
		if (out->len + strlen(pattern) + 1 > STS_HISTORY_MX_MAX)
			break;
		sp_buf_printf(out, "%s%s", i ? " " : "", pattern);
	}
}

static void bind_side(struct core_stmt *s, int n, const struct held *h, const struct sp_buf *mx)
{
	core_stmt_text(s, n, sp_str_of(h->policy ? sts_mode_str(sts_policy_mode(h->policy)) : ""));
	core_stmt_text(s, n + 1, sp_str_of(h->policy ? h->id : ""));
	core_stmt_int(s, n + 2, h->policy ? sts_policy_max_age_s(h->policy) : 0);
	core_stmt_text(s, n + 3, sp_buf_str(mx));
	core_stmt_int(s, n + 4, h->policy ? (int64_t)sts_policy_mx_count(h->policy) : 0);
}

static enum core_db_status insert(struct core_db *db, const char *domain, int64_t at_s, const struct sts_note *note, const char *reason,
                                  const struct held *from, const struct held *to)
{
	struct sp_buf from_mx, to_mx;
	list_mx(from->policy, &from_mx);
	list_mx(to->policy, &to_mx);
	struct core_stmt *s = core_db_stmt(db,
		"INSERT INTO sts_history (n, domain, at_s, how, weaker, why, reason, from_mode, from_id, from_max_age, from_mx, from_mx_count, to_mode, to_id,"
		" to_max_age, to_mx, to_mx_count) SELECT coalesce(max(n), 0) + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16"
		" FROM sts_history");
	core_stmt_text(s, 1, sp_str_of(domain));
	core_stmt_int(s, 2, at_s);
	core_stmt_text(s, 3, sp_str_of(sts_how_str(note->how)));
	core_stmt_int(s, 4, note->weaker);
	core_stmt_text(s, 5, sp_str_of(note->why));
	core_stmt_text(s, 6, sp_str_make(reason, sp_min(strlen(reason), STS_HISTORY_REASON_MAX)));
	bind_side(s, 7, from, &from_mx);
	bind_side(s, 12, to, &to_mx);
	enum core_db_status status = core_stmt_run(s);
	sp_buf_clear(&from_mx);
	sp_buf_clear(&to_mx);
	if (status != CORE_DB_OK)
		return status;
	s = core_db_stmt(db, "DELETE FROM sts_history WHERE domain = ?1 AND n <="
	                     " (SELECT n FROM sts_history WHERE domain = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)");
	core_stmt_text(s, 1, sp_str_of(domain));
	core_stmt_int(s, 2, STS_HISTORY_EACH);
	return core_stmt_run(s);
}

static void say_mode(const struct sts_policy *p, char out[8])
{
	snprintf(out, 8, "%s", p ? sts_mode_str(sts_policy_mode(p)) : "");
}

static enum core_db_status note_change(struct core_db *db, const char *domain, enum sts_how how, int64_t at_s, const char *reason, const struct held *from,
                                       const struct held *to, struct sts_note *note)
{
	struct sp_buf why;
	sp_buf_init(&why, 1024);
	*note = (struct sts_note){ .noted = true, .how = how, .weaker = sts_change_weaker(from->policy, to->policy, &why) };
	snprintf(note->why, sizeof(note->why), "%s", sp_buf_cstr(&why));
	say_mode(from->policy, note->from);
	say_mode(to->policy, note->to);
	sp_buf_clear(&why);
	return insert(db, domain, at_s, note, reason, from, to);
}

/* ---- what was cached ---- */

enum lapse { LAPSE_NOT, LAPSE_NOTED, LAPSE_QUIET };     /* sts_policy.lapsed */

struct cached {
	struct sts_policy *policy;      /* one ref; NULL: none, or a damaged one */
	char id[STS_ID_MAX + 1];
	bool found, lapsed;
};

static void clear_cached(struct cached *c)
{
	sts_policy_unref(c->policy);
	*c = (struct cached){ NULL };
}

/* Not sts_cache_get(): what is damaged in it is of no matter here. */
static enum core_db_status get_cached(struct core_db *db, const char *domain, struct cached *out)
{
	*out = (struct cached){ NULL };
	struct core_stmt *s = core_db_stmt(db, "SELECT policy, id, lapsed FROM sts_policy WHERE domain = ?1");
	core_stmt_text(s, 1, sp_str_of(domain));
	enum core_db_status status = core_stmt_step(s);
	if (status != CORE_DB_ROW)
		return status;
	struct sp_str text = core_stmt_col_text(s, 0), id = core_stmt_col_text(s, 1);
	out->found = true;
	out->lapsed = core_stmt_col_int(s, 2) == LAPSE_NOTED;
	if (text.len > 0)
		out->policy = sts_policy_parse(text, NULL, NULL, NULL);
	snprintf(out->id, sizeof(out->id), "%.*s", (int)sp_min(id.len, STS_ID_MAX), id.len ? id.p : "");
	core_stmt_reset(s);
	return CORE_DB_OK;
}

/* ---- fetched ---- */

static enum core_db_status was_seen(struct core_db *db, const char *domain, bool *seen)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT 1 FROM sts_history WHERE domain = ?1 LIMIT 1");
	core_stmt_text(s, 1, sp_str_of(domain));
	enum core_db_status status = core_stmt_step(s);
	*seen = status == CORE_DB_ROW;
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static enum core_db_status note_fetched(struct core_db *db, const char *domain, const struct sts_entry *e, int64_t now_s, struct sts_note *note)
{
	struct cached old;
	enum core_db_status status = get_cached(db, domain, &old);
	if (status != CORE_DB_OK)
		return status;
	struct held from = { old.lapsed ? NULL : old.policy, old.id }, to = { e->policy, e->id };
	enum sts_how how = STS_HOW_CHANGED;
	bool seen = false;
	if (from.policy == NULL) {
		status = was_seen(db, domain, &seen);
		how = seen || old.lapsed ? STS_HOW_SEEN_AGAIN : STS_HOW_FIRST_SEEN;
	} else if (sts_policy_mode(to.policy) == STS_MODE_NONE && sts_policy_mode(from.policy) != STS_MODE_NONE) {
		how = STS_HOW_REMOVED;
	}
	bool same = from.policy && strcmp(from.id, to.id) == 0 && sts_policy_equal(from.policy, to.policy);
	if (status == CORE_DB_OK && !same)
		status = note_change(db, domain, how, now_s, "", &from, &to, note);
	clear_cached(&old);
	return status;
}

enum core_db_status sts_history_put(struct core_db *db, const char *domain, const struct sts_entry *e, int64_t now_s, struct sts_note *note)
{
	*note = (struct sts_note){ .noted = false };
	enum core_db_status status = CORE_DB_OK;
	if (e->policy && e->failures == 0)              /* else nothing was fetched: what is cached stays */
		status = note_fetched(db, domain, e, now_s, note);
	return status == CORE_DB_OK ? sts_cache_put(db, domain, e) : status;
}

/* ---- expired ---- */

struct expired {
	const char *domain, *policy, *id;
	int64_t life_s, at_s;
};

static enum core_db_status list_expired(struct core_db *db, int64_t now_s, size_t limit, struct sp_arena *arena, struct expired *out, size_t *count)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT domain, policy, id, fetched_s, expires_s FROM sts_policy WHERE lapsed = 0 AND expires_s <= ?1"
	                                       " ORDER BY expires_s LIMIT ?2");
	core_stmt_int(s, 1, now_s);
	core_stmt_int(s, 2, (int64_t)limit);
	enum core_db_status status;
	*count = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		sp_assert(*count < limit);
		out[(*count)++] = (struct expired){
			.domain = sp_arena_dup(arena, core_stmt_col_text(s, 0)), .policy = sp_arena_dup(arena, core_stmt_col_text(s, 1)),
			.id = sp_arena_dup(arena, core_stmt_col_text(s, 2)), .at_s = core_stmt_col_int(s, 4),
			.life_s = core_stmt_col_int(s, 4) - core_stmt_col_int(s, 3),
		};
	}
	return status;
}

static enum core_db_status expire_one(struct core_db *db, const struct expired *x, struct sts_note *note)
{
	enum core_db_status status = CORE_DB_OK;
	struct held from = { NULL, x->id }, to = { NULL, "" };
	*note = (struct sts_note){ .noted = false };
	if (x->policy[0] != '\0' && x->life_s >= STS_HISTORY_NOTED_LIFE_S)
		from.policy = sts_policy_parse(sp_str_of(x->policy), NULL, NULL, NULL);
	if (from.policy && sts_policy_mode(from.policy) != STS_MODE_NONE)
		status = note_change(db, x->domain, STS_HOW_EXPIRED, x->at_s, "", &from, &to, note);
	sts_policy_unref(from.policy);
	if (status != CORE_DB_OK)
		return status;
	struct core_stmt *s = core_db_stmt(db, "UPDATE sts_policy SET lapsed = ?2 WHERE domain = ?1");
	core_stmt_text(s, 1, sp_str_of(x->domain));
	core_stmt_int(s, 2, note->noted ? LAPSE_NOTED : LAPSE_QUIET);
	return core_stmt_run(s);
}

/* A clock that was ahead for a while: these are valid still, and will expire. */
static enum core_db_status revive(struct core_db *db, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE sts_policy SET lapsed = 0 WHERE lapsed IN (1, 2) AND expires_s > ?1");
	core_stmt_int(s, 1, now_s);
	return core_stmt_run(s);
}

enum core_db_status sts_history_expire(struct core_db *db, int64_t now_s, size_t limit, struct sp_arena *arena, const char **domains,
                                       struct sts_note *notes, size_t *count)
{
	size_t found;
	struct expired *list = sp_arena_alloc(arena, limit * sizeof(*list));
	enum core_db_status status = revive(db, now_s);
	*count = 0;
	if (status == CORE_DB_OK)
		status = list_expired(db, now_s, limit, arena, list, &found);
	for (size_t i = 0; status == CORE_DB_OK && i < found; i++) {
		status = expire_one(db, &list[i], &notes[*count]);
		if (notes[*count].noted)
			domains[(*count)++] = list[i].domain;
	}
	return status;
}

/* ---- forgotten ---- */

enum core_db_status sts_history_forget(struct core_db *db, const char *domain, const char *reason, int64_t now_s, bool *found, struct sts_note *note)
{
	struct cached old;
	*note = (struct sts_note){ .noted = false };
	enum core_db_status status = get_cached(db, domain, &old);
	*found = status == CORE_DB_OK && old.found;
	if (status == CORE_DB_OK && old.policy && !old.lapsed)
		status = note_change(db, domain, STS_HOW_FORGOTTEN, now_s, reason, &(struct held){ old.policy, old.id }, &(struct held){ NULL, "" }, note);
	clear_cached(&old);
	if (status != CORE_DB_OK)
		return status;
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM sts_policy WHERE domain = ?1");
	core_stmt_text(s, 1, sp_str_of(domain));
	return core_stmt_run(s);
}

enum core_db_status sts_history_sweep(struct core_db *db)
{
	struct core_stmt *s = core_db_stmt(db,
		"DELETE FROM sts_history WHERE n IN (SELECT n FROM sts_history ORDER BY weaker, n"
		" LIMIT (SELECT CASE WHEN count(*) > ?1 THEN count(*) - ?1 ELSE 0 END FROM sts_history))");
	core_stmt_int(s, 1, STS_HISTORY_MAX);
	return core_stmt_run(s);
}

/* ---- reading ---- */

static void read_side(struct core_stmt *s, int n, struct sp_arena *arena, struct sts_side *out)
{
	out->mode = sp_arena_dup(arena, core_stmt_col_text(s, n));
	out->id = sp_arena_dup(arena, core_stmt_col_text(s, n + 1));
	out->max_age_s = core_stmt_col_int(s, n + 2);
	out->mx = sp_arena_dup(arena, core_stmt_col_text(s, n + 3));
	out->mx_count = core_stmt_col_int(s, n + 4);
}

static void read_change(struct core_stmt *s, struct sp_arena *arena, struct sts_change *out)
{
	*out = (struct sts_change){
		.n = core_stmt_col_int(s, 0), .domain = sp_arena_dup(arena, core_stmt_col_text(s, 1)), .at_s = core_stmt_col_int(s, 2),
		.how = STS_HOW_CHANGED, .weaker = core_stmt_col_int(s, 4) != 0, .why = sp_arena_dup(arena, core_stmt_col_text(s, 5)),
		.reason = sp_arena_dup(arena, core_stmt_col_text(s, 6)),
	};
	if (!sts_how_parse(core_stmt_col_text(s, 3), &out->how))
		out->how = STS_HOW_CHANGED;
	read_side(s, 7, arena, &out->from);
	read_side(s, 12, arena, &out->to);
}

#define COLUMNS \
	"SELECT n, domain, at_s, how, weaker, why, reason, from_mode, from_id, from_max_age, from_mx, from_mx_count, to_mode, to_id, to_max_age, to_mx," \
	" to_mx_count FROM sts_history "

/* Each kind of question has a statement of its own, so that each goes by its index. */
static struct core_stmt *ask(struct core_db *db, const char *domain, bool weaker)
{
	if (domain == NULL)
		return core_db_stmt(db, weaker ? COLUMNS "WHERE weaker = 1 AND n < ?1 ORDER BY n DESC LIMIT ?2"
		                               : COLUMNS "WHERE n < ?1 ORDER BY n DESC LIMIT ?2");
	struct core_stmt *s = core_db_stmt(db, weaker ? COLUMNS "WHERE domain = ?3 AND weaker = 1 AND n < ?1 ORDER BY n DESC LIMIT ?2"
	                                              : COLUMNS "WHERE domain = ?3 AND n < ?1 ORDER BY n DESC LIMIT ?2");
	core_stmt_text(s, 3, sp_str_of(domain));
	return s;
}

enum core_db_status sts_history_list(struct core_db *db, const char *domain, bool weaker, int64_t before, size_t limit, struct sp_arena *arena,
                                     struct sts_change *rows, size_t *count, int64_t *next)
{
	struct core_stmt *s = ask(db, domain, weaker);
	core_stmt_int(s, 1, before > 0 ? before : INT64_MAX);
	core_stmt_int(s, 2, (int64_t)limit + 1);
	enum core_db_status status = CORE_DB_OK;
	*count = 0;
	*next = 0;
	while (*count < limit && (status = core_stmt_step(s)) == CORE_DB_ROW)
		read_change(s, arena, &rows[(*count)++]);
	if (*count == limit && limit > 0 && (status = core_stmt_step(s)) == CORE_DB_ROW)
		*next = rows[*count - 1].n;
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

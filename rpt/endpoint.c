/* rpt/endpoint.c - where a report was sent to and what became of it there, and the addresses that are left alone for a while. The contract stands in outbox.h,
 * the tables in outbox.c. */
#include "rpt/outbox.h"

#define ADDRESS_MAX 1024

static const char *const state_names[] = {
#define X(name, text) [RPT_ENDPOINT_##name] = text,
	RPT_ENDPOINT_STATES(X)
#undef X
};

const char *rpt_endpoint_state_str(enum rpt_endpoint_state s)
{
	return state_names[s];
}

static bool parse_state(struct sp_str s, enum rpt_endpoint_state *out)
{
	size_t i;
	bool found = sp_str_among(s, state_names, SP_COUNT(state_names), &i);
	if (found)
		*out = (enum rpt_endpoint_state)i;
	return found;
}

/* ---- addresses ---- */

/* As addresses are compared: the domain in lower case, without a dot at its end (a record may have it so, and mail goes to where it does without). ""
 * where it is none that we would mail to. */
static void add_address(struct sp_str address, struct sp_buf *out)
{
	sp_buf_init(out, ADDRESS_MAX);
	sp_buf_add(out, sp_str_ends(address, SP_STR(".")) ? sp_str_make(address.p, address.len - 1) : address);
	if (sp_buf_failed(out))
		sp_buf_reset(out);
	for (size_t i = out->len; i > 0 && out->p[i - 1] != '@'; i--)
		out->p[i - 1] = sp_lower(out->p[i - 1]);
}

/* RFC 6068 2: the address of "mailto:local%2Bpart@domain?subject=..."; "" for any other URI. */
static void address_of(struct sp_str uri, struct sp_buf *out)
{
	char text[ADDRESS_MAX + 1];             /* full: longer than any address */
	size_t len = 0;
	if (!sp_take_prefix_nocase(&uri, SP_STR("mailto:")))
		uri.len = 0;
	uri = sp_take_until(&uri, '?');
	while (uri.len > 0 && len < sizeof(text)) {
		if (!sp_take_escape(&uri, '%', &text[len])) {
			text[len] = uri.p[0];
			uri = sp_str_from(uri, 1);
		}
		len++;
	}
	add_address(sp_str_make(text, len < sizeof(text) ? len : 0), out);
}

/* ---- endpoints ---- */

static bool read_endpoint(struct core_stmt *s, const char *domain, struct sp_arena *arena, struct rpt_endpoint *e)
{
	if (!parse_state(core_stmt_col_text(s, 1), &e->state)) {
		sp_log_text(SP_LOG_WARNING, domain, "outbox", "an endpoint of its report is damaged and is left out");
		return false;
	}
	e->uri = sp_arena_dup(arena, core_stmt_col_text(s, 0));
	e->at_s = core_stmt_col_int(s, 2);
	e->message = e->state == RPT_ENDPOINT_MAILED ? (uint64_t)core_stmt_col_int(s, 3) : 0;
	e->text = sp_arena_dup(arena, core_stmt_col_text(s, 4));
	return true;
}

/* Room for twice as many. */
static struct rpt_endpoint *grow(struct sp_arena *arena, struct rpt_endpoint *list, size_t count, size_t *room)
{
	struct rpt_endpoint *bigger = sp_arena_alloc(arena, 2 * *room * sizeof(*bigger));
	memcpy(bigger, list, count * sizeof(*list));
	*room *= 2;
	return bigger;
}

enum core_db_status rpt_outbox_endpoints(struct core_db *db, int64_t day, const char *domain, struct sp_arena *arena,
                                         const struct rpt_endpoint **out, size_t *count)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT uri, state, at, message, text FROM rpt_endpoint WHERE day = ?1 AND domain = ?2 ORDER BY uri");
	size_t room = 16;
	struct rpt_endpoint *list = sp_arena_alloc(arena, room * sizeof(*list));
	core_stmt_int(s, 1, day);
	core_stmt_text(s, 2, sp_str_of(domain));
	enum core_db_status status;
	*count = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		if (*count == room)
			list = grow(arena, list, *count, &room);
		*count += read_endpoint(s, domain, arena, &list[*count]);
	}
	*out = list;
	return status;
}

/* A mail may come to its end before the attempt that sent it does: what is known of that very message stays. */
enum core_db_status rpt_outbox_endpoint_put(struct core_db *db, int64_t day, const char *domain, const struct rpt_endpoint *e)
{
	struct core_stmt *s = core_db_stmt(db,
		"INSERT INTO rpt_endpoint (day, domain, uri, state, at, message, text, address, mailed)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (day, domain, uri) DO UPDATE SET state = excluded.state, at = excluded.at,"
		" message = excluded.message, text = excluded.text,"
		" mailed = CASE WHEN excluded.mailed <> 0 THEN excluded.mailed ELSE rpt_endpoint.mailed END"
		" WHERE excluded.message = 0 OR excluded.message <> rpt_endpoint.message");
	struct sp_buf address;
	bool mailed = e->state == RPT_ENDPOINT_MAILED;
	address_of(sp_str_of(e->uri), &address);
	core_stmt_int(s, 1, day);
	core_stmt_text(s, 2, sp_str_of(domain));
	core_stmt_text(s, 3, sp_str_of(e->uri));
	core_stmt_text(s, 4, sp_str_of(rpt_endpoint_state_str(e->state)));
	core_stmt_int(s, 5, e->at_s);
	core_stmt_int(s, 6, mailed ? (int64_t)e->message : 0);
	core_stmt_text(s, 7, sp_str_of(e->text));
	core_stmt_text(s, 8, sp_buf_str(&address));
	core_stmt_int(s, 9, mailed ? e->at_s : 0);
	enum core_db_status status = core_stmt_run(s);
	sp_buf_clear(&address);
	return status;
}

static bool occurs(struct sp_str id, struct sp_str text)
{
	return id.len > 0 && text.len > 0 && memmem(text.p, text.len, id.p, id.len) != NULL;
}

enum core_db_status rpt_outbox_mailed_to(struct core_db *db, const char *address, int64_t since_s, struct sp_str notice)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT r.report_id FROM rpt_endpoint AS e JOIN rpt_report AS r ON r.day = e.day AND r.domain = e.domain"
		" WHERE e.address = ?1 AND e.address <> '' AND e.mailed >= ?2 AND e.mailed > 0");
	struct sp_buf key;
	add_address(sp_str_of(address), &key);
	core_stmt_text(s, 1, sp_buf_str(&key));
	core_stmt_int(s, 2, since_s);
	enum core_db_status status;
	do
		status = core_stmt_step(s);
	while (status == CORE_DB_ROW && !occurs(core_stmt_col_text(s, 0), notice));
	core_stmt_reset(s);
	sp_buf_clear(&key);
	return status;
}

/* ---- what became of a mail ---- */

struct mailed {
	int64_t day;
	const char *domain, *uri, *address;
	unsigned attempts;              /* of its report */
};

/* CORE_DB_ROW: found. */
static enum core_db_status find_mailed(struct core_db *db, uint64_t message, struct sp_arena *arena, struct mailed *out)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT day, domain, uri, address, (SELECT r.attempts FROM rpt_report AS r WHERE r.day = e.day AND r.domain = e.domain)"
		" FROM rpt_endpoint AS e WHERE message = ?1 AND message <> 0 AND state = 'mailed'");
	core_stmt_int(s, 1, (int64_t)message);
	enum core_db_status status = core_stmt_step(s);
	if (status != CORE_DB_ROW)
		return status;
	*out = (struct mailed){ core_stmt_col_int(s, 0), sp_arena_dup(arena, core_stmt_col_text(s, 1)),
	                        sp_arena_dup(arena, core_stmt_col_text(s, 2)), sp_arena_dup(arena, core_stmt_col_text(s, 3)),
	                        (unsigned)core_stmt_col_int(s, 4) };
	core_stmt_reset(s);
	return CORE_DB_ROW;
}

static enum core_db_status end_endpoint(struct core_db *db, const struct mailed *m, enum rpt_endpoint_state state, const char *text, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db,
		"UPDATE rpt_endpoint SET state = ?4, at = ?5, text = ?6 WHERE day = ?1 AND domain = ?2 AND uri = ?3");
	core_stmt_int(s, 1, m->day);
	core_stmt_text(s, 2, sp_str_of(m->domain));
	core_stmt_text(s, 3, sp_str_of(m->uri));
	core_stmt_text(s, 4, sp_str_of(rpt_endpoint_state_str(state)));
	core_stmt_int(s, 5, now_s);
	core_stmt_text(s, 6, sp_str_of(text));
	return core_stmt_run(s);
}

static enum core_db_status report_delivered(struct core_db *db, const struct mailed *m)
{
	struct core_stmt *s = core_db_stmt(db,
		"UPDATE rpt_report SET state = 'delivered' WHERE day = ?1 AND domain = ?2 AND state IN ('open', 'mailed', 'failed')");
	core_stmt_int(s, 1, m->day);
	core_stmt_text(s, 2, sp_str_of(m->domain));
	return core_stmt_run(s);
}

/* RFC 8460 5.5: tried again, until 24 h are over; not at once where the same mail would be
 * sent again, as one that nobody takes comes back in no time. */
static enum core_db_status report_failed(struct core_db *db, const struct mailed *m, bool suppressed, const char *text, int64_t now_s)
{
	struct core_stmt *s = core_db_stmt(db,
		"UPDATE rpt_report SET text = ?4, due = CASE WHEN state = 'mailed' OR due > ?5 THEN ?5 ELSE due END,"
		" state = CASE WHEN expires <> 0 AND expires <= ?3 THEN 'failed' ELSE 'open' END"
		" WHERE day = ?1 AND domain = ?2 AND state IN ('open', 'mailed') AND NOT EXISTS (SELECT 1 FROM rpt_endpoint AS e"
		" WHERE e.day = ?1 AND e.domain = ?2 AND e.state = 'mailed')");
	core_stmt_int(s, 1, m->day);
	core_stmt_text(s, 2, sp_str_of(m->domain));
	core_stmt_int(s, 3, now_s);
	core_stmt_text(s, 4, sp_str_of(text));
	core_stmt_int(s, 5, suppressed ? now_s : now_s + rpt_retry_s(m->attempts));
	return core_stmt_run(s);
}

enum core_db_status rpt_outbox_mailed(struct core_db *db, uint64_t message, bool delivered, bool permanent, const char *text, int64_t now_s,
                                      int64_t suppress_until_s)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct mailed m;
	enum core_db_status status = find_mailed(db, message, &arena, &m);
	if (status != CORE_DB_ROW)
		goto out;
	status = end_endpoint(db, &m, delivered ? RPT_ENDPOINT_DELIVERED : RPT_ENDPOINT_FAILED, text, now_s);
	bool suppressed = !delivered && permanent && m.address[0] != '\0';
	if (status == CORE_DB_OK && suppressed)
		status = rpt_suppress(db, m.address, now_s, suppress_until_s, text);
	if (status == CORE_DB_OK)
		status = delivered ? report_delivered(db, &m) : report_failed(db, &m, suppressed, text, now_s);
out:
	sp_arena_clear(&arena);
	return status;
}

/* ---- whom to leave alone ---- */

enum core_db_status rpt_suppress(struct core_db *db, const char *address, int64_t now_s, int64_t until_s, const char *text)
{
	struct core_stmt *s = core_db_stmt(db,
		"INSERT INTO rpt_suppressed (address, since, until, text) VALUES (?1, ?2, ?3, ?4)"
		" ON CONFLICT (address) DO UPDATE SET since = excluded.since, until = excluded.until, text = excluded.text");
	struct sp_buf key;
	add_address(sp_str_of(address), &key);
	core_stmt_text(s, 1, sp_buf_str(&key));
	core_stmt_int(s, 2, now_s);
	core_stmt_int(s, 3, until_s);
	core_stmt_text(s, 4, sp_str_of(text));
	enum core_db_status status = core_stmt_run(s);
	sp_buf_clear(&key);
	return status;
}

enum core_db_status rpt_suppressed(struct core_db *db, const char *address, int64_t now_s, int64_t *until_s)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT until FROM rpt_suppressed WHERE address = ?1 AND until > ?2");
	struct sp_buf key;
	add_address(sp_str_of(address), &key);
	core_stmt_text(s, 1, sp_buf_str(&key));
	core_stmt_int(s, 2, now_s);
	enum core_db_status status = core_stmt_step(s);
	if (status == CORE_DB_ROW)
		*until_s = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	sp_buf_clear(&key);
	return status;
}

enum core_db_status rpt_suppressions(struct core_db *db, const char *after, int64_t now_s, size_t limit, struct sp_arena *arena,
                                     const struct rpt_suppression **out, size_t *count)
{
	struct core_stmt *s = core_db_stmt(db,
		"SELECT address, since, until, text FROM rpt_suppressed WHERE address > ?1 AND until > ?2 ORDER BY address LIMIT ?3");
	struct rpt_suppression *list = sp_arena_alloc(arena, (limit + 1) * sizeof(*list));
	enum core_db_status status;
	core_stmt_text(s, 1, sp_str_of(after));
	core_stmt_int(s, 2, now_s);
	core_stmt_int(s, 3, (int64_t)limit);
	*count = 0;
	*out = list;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		list[(*count)++] = (struct rpt_suppression){ .address = sp_arena_dup(arena, core_stmt_col_text(s, 0)),
		                                             .since_s = core_stmt_col_int(s, 1), .until_s = core_stmt_col_int(s, 2),
		                                             .text = sp_arena_dup(arena, core_stmt_col_text(s, 3)) };
	return status;
}

enum core_db_status rpt_unsuppress(struct core_db *db, const char *address)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM rpt_suppressed WHERE address = ?1");
	struct sp_buf key;
	add_address(sp_str_of(address), &key);
	core_stmt_text(s, 1, sp_buf_str(&key));
	enum core_db_status status = core_stmt_run(s);
	sp_buf_clear(&key);
	return status == CORE_DB_OK && core_db_changes(db) > 0 ? CORE_DB_ROW : status;
}

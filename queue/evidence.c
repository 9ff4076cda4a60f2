/* queue/evidence.c - see evidence.h: the tables, what is written with results, and what goes again. evidence_read.c asks.
 * evidence_session  ids ascend with time, so the oldest is the first by id. chain: the id of evidence_chain, which is that of the first session that showed it.
 * evidence_event    what says how a message came has the id of its message, so that it costs no second index; the others are found by evidence_event_of.
 * evidence_size     one row, changed by each statement that adds or takes away. */
#include "queue/evidence.h"

#include "core/crypt.h"
#include "core/log.h"

#define ROW_OCTETS 96                   /* of a row and its entries in indices, besides what is in it */

enum core_db_status queue_evidence_migrate(struct core_db *db, unsigned from)
{
	return from >= QUEUE_EVIDENCE_VERSION ? CORE_DB_OK : core_db_exec(db,
		"CREATE TABLE evidence_session (id INTEGER PRIMARY KEY, at BIGINT NOT NULL, octets BIGINT NOT NULL, chain BIGINT, destination TEXT NOT NULL,"
		" data TEXT NOT NULL);"
		"CREATE INDEX evidence_session_of ON evidence_session (destination, id);"
		"CREATE INDEX evidence_session_chain ON evidence_session (chain) WHERE chain IS NOT NULL;"
		"CREATE TABLE evidence_event (id INTEGER PRIMARY KEY, at BIGINT NOT NULL, octets BIGINT NOT NULL, message BIGINT NOT NULL, session BIGINT,"
		" data TEXT NOT NULL);"
		"CREATE INDEX evidence_event_of ON evidence_event (message) WHERE id <> message;"
		"CREATE TABLE evidence_chain (id INTEGER PRIMARY KEY, octets BIGINT NOT NULL, hash BLOB NOT NULL UNIQUE, pem TEXT NOT NULL);"
		"CREATE TABLE evidence_size (id INTEGER PRIMARY KEY, octets BIGINT NOT NULL);"
		"INSERT INTO evidence_size (id, octets) VALUES (1, 0)");
}

enum core_db_status queue_evidence_octets(struct core_db *db, uint64_t *out)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT octets FROM evidence_size WHERE id = 1");
	enum core_db_status status = core_stmt_step(s);
	*out = status == CORE_DB_ROW ? (uint64_t)core_stmt_col_int(s, 0) : 0;
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

/* ---- adding ---- */

static enum core_db_status add_octets(struct core_db *db, int64_t octets)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE evidence_size SET octets = octets + ?1 WHERE id = 1");
	core_stmt_int(s, 1, octets);
	return core_stmt_run(s);
}

/* Runs an INSERT that passes over what is there, its first parameter being the octets of the row, and counts what it added. */
static enum core_db_status insert(struct core_db *db, struct core_stmt *s, size_t octets)
{
	core_stmt_int(s, 1, (int64_t)(octets + ROW_OCTETS));
	enum core_db_status status = core_stmt_run(s);
	return status == CORE_DB_OK && core_db_changes(db) > 0 ? add_octets(db, (int64_t)(octets + ROW_OCTETS)) : status;
}

static void bind_id(struct core_stmt *s, int n, uint64_t id)
{
	if (id)
		core_stmt_int(s, n, (int64_t)id);
	else
		core_stmt_null(s, n);
}

void queue_evidence_hash(struct sp_str chain, char out[QUEUE_EVIDENCE_HASH])
{
	_Static_assert(QUEUE_EVIDENCE_HASH == CORE_SHA256_SIZE, "it is SHA-256");
	struct core_sha256 *h = core_sha256_new();
	core_sha256_add(h, chain);
	core_sha256_finish(h, (uint8_t *)out);
}

/* The chain's id in *id; it is added, with the session's, where nobody showed it before. */
static enum core_db_status need_chain(struct core_db *db, const struct queue_evidence_session *e, uint64_t *id)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT id FROM evidence_chain WHERE hash = ?1");
	core_stmt_blob(s, 1, e->chain_hash);
	enum core_db_status status = core_stmt_step(s);
	*id = e->id;
	if (status == CORE_DB_ROW) {
		*id = (uint64_t)core_stmt_col_int(s, 0);
		core_stmt_reset(s);
		return CORE_DB_OK;
	}
	if (status != CORE_DB_OK)
		return status;
	s = core_db_stmt(db, "INSERT INTO evidence_chain (octets, id, hash, pem) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING");
	core_stmt_int(s, 2, (int64_t)e->id);
	core_stmt_blob(s, 3, e->chain_hash);
	core_stmt_text(s, 4, e->chain);
	return insert(db, s, e->chain.len + e->chain_hash.len);
}

/* Evidence must not keep a result, or a message, from being written: where its own tables are at fault it is lost, and the transaction goes on. What concerns the
 * whole store is told. */
static enum core_db_status or_lost(struct core_db *db, enum core_db_status status)
{
	struct sp_fail why;
	if (status != CORE_DB_CONSTRAINT && status != CORE_DB_CORRUPT && status != CORE_DB_ERROR)
		return status;
	core_db_fail(db, status, &why);
	sp_log_text(SP_LOG_WARNING, NULL, "evidence", "not kept: %s", why.text);
	return CORE_DB_OK;
}

static enum core_db_status add_session(struct core_db *db, const struct queue_evidence_session *e)
{
	uint64_t chain = 0;
	enum core_db_status status = e->chain.len > 0 ? need_chain(db, e, &chain) : CORE_DB_OK;
	if (status != CORE_DB_OK)
		return status;
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO evidence_session (octets, id, at, chain, destination, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
	                                       " ON CONFLICT (id) DO NOTHING");
	core_stmt_int(s, 2, (int64_t)e->id);
	core_stmt_int(s, 3, e->at_ms);
	bind_id(s, 4, chain);
	core_stmt_text(s, 5, sp_str_of(e->destination));
	core_stmt_text(s, 6, e->data);
	return insert(db, s, strlen(e->destination) * 2 + e->data.len);
}

enum core_db_status queue_evidence_add_session(struct core_db *db, const struct queue_evidence_session *e)
{
	return or_lost(db, add_session(db, e));
}

enum core_db_status queue_evidence_add_event(struct core_db *db, const struct queue_evidence_event *e)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO evidence_event (octets, id, at, message, session, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
	                                       " ON CONFLICT (id) DO NOTHING");
	core_stmt_int(s, 2, (int64_t)e->id);
	core_stmt_int(s, 3, e->at_ms);
	core_stmt_int(s, 4, (int64_t)e->message);
	bind_id(s, 5, e->session);
	core_stmt_text(s, 6, e->data);
	return or_lost(db, insert(db, s, e->data.len));
}

/* ---- what goes ---- */

struct oldest {
	int64_t id, at_ms, octets, chain;       /* id INT64_MAX: there is none */
};

static enum core_db_status read_oldest(struct core_stmt *s, struct oldest *out)
{
	enum core_db_status status = core_stmt_step(s);
	*out = (struct oldest){ .id = INT64_MAX };
	if (status != CORE_DB_ROW)
		return status;
	*out = (struct oldest){ .id = core_stmt_col_int(s, 0), .at_ms = core_stmt_col_int(s, 1), .octets = core_stmt_col_int(s, 2),
	                        .chain = core_stmt_col_int(s, 3) };
	core_stmt_reset(s);
	return CORE_DB_OK;
}

static enum core_db_status find_oldest(struct core_db *db, struct oldest *event, struct oldest *session)
{
	enum core_db_status status = read_oldest(core_db_stmt(db, "SELECT id, at, octets, 0 FROM evidence_event ORDER BY id LIMIT 1"), event);
	if (status != CORE_DB_OK)
		return status;
	return read_oldest(core_db_stmt(db, "SELECT id, at, octets, coalesce(chain, 0) FROM evidence_session ORDER BY id LIMIT 1"), session);
}

static enum core_db_status delete_by_id(struct core_stmt *s, int64_t id)
{
	core_stmt_int(s, 1, id);
	return core_stmt_run(s);
}

/* The chain of a session that went, where no other showed it. */
static enum core_db_status drop_chain(struct core_db *db, int64_t chain, int64_t *freed)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM evidence_chain WHERE id = ?1 AND NOT EXISTS"
	                                       " (SELECT 1 FROM evidence_session WHERE chain = ?1 AND chain IS NOT NULL) RETURNING octets");
	core_stmt_int(s, 1, chain);
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		*freed += core_stmt_col_int(s, 0);
	return status;
}

static enum core_db_status drop_session(struct core_db *db, const struct oldest *o, int64_t *freed)
{
	enum core_db_status status = delete_by_id(core_db_stmt(db, "DELETE FROM evidence_session WHERE id = ?1"), o->id);
	return status == CORE_DB_OK && o->chain ? drop_chain(db, o->chain, freed) : status;
}

struct sweep {
	int64_t now_ms, before_ms;              /* what is from before this goes, */
	int64_t upto;                           /* and what has an id up to this; 0: none */
	bool looked;                            /* for that, once */
};

static enum core_db_status read_next(struct core_stmt *s, int64_t after, int64_t *id, int64_t *at_ms)
{
	core_stmt_int(s, 1, after);
	enum core_db_status status = core_stmt_step(s);
	*id = 0;
	if (status != CORE_DB_ROW)
		return status;
	*id = core_stmt_col_int(s, 0);
	*at_ms = core_stmt_col_int(s, 1);
	core_stmt_reset(s);
	return CORE_DB_OK;
}

/* The oldest is from the future: a clock that was ahead wrote it. It is as old as any row behind it (ids ascend whatever the clock does), so such a row is looked
 * for, in steps that double: few look-ups, and one that is behind as many rows as there are from the future is found. */
static enum core_db_status look_behind(struct core_db *db, struct sweep *w, int64_t oldest, bool events)
{
	enum core_db_status status = CORE_DB_OK;
	int64_t id = oldest, at_ms = 0;
	w->looked = true;
	for (int64_t step = 1; id && status == CORE_DB_OK && step < INT64_MAX / 4 && oldest < INT64_MAX - step; step *= 2) {
		struct core_stmt *s = events ? core_db_stmt(db, "SELECT id, at FROM evidence_event WHERE id > ?1 ORDER BY id LIMIT 1") :
		                               core_db_stmt(db, "SELECT id, at FROM evidence_session WHERE id > ?1 ORDER BY id LIMIT 1");
		status = read_next(s, oldest + step - 1, &id, &at_ms);
		if (id && at_ms < w->before_ms)
			w->upto = sp_max(w->upto, id);
	}
	return status;
}

/* The oldest row of both tables, where it is to go. *freed 0: it may stay, and so may all the others. */
static enum core_db_status drop_oldest(struct core_db *db, struct sweep *w, bool too_much, int64_t *freed)
{
	struct oldest event = { .id = INT64_MAX }, session = event;
	enum core_db_status status = find_oldest(db, &event, &session);
	const struct oldest *o = event.id < session.id ? &event : &session;
	*freed = 0;
	if (status == CORE_DB_OK && o->id != INT64_MAX && o->at_ms > w->now_ms && !w->looked)
		status = look_behind(db, w, o->id, o == &event);
	if (status != CORE_DB_OK || o->id == INT64_MAX || (o->at_ms >= w->before_ms && o->id > w->upto && !too_much))
		return status;
	*freed = o->octets;
	return o == &event ? delete_by_id(core_db_stmt(db, "DELETE FROM evidence_event WHERE id = ?1"), o->id) : drop_session(db, o, freed);
}

enum core_db_status queue_evidence_sweep(struct core_db *db, int64_t now_ms, int64_t keep_ms, uint64_t octets_max, size_t *budget)
{
	uint64_t size;
	int64_t freed = 0, all = 0;
	struct sweep w = { .now_ms = now_ms, .before_ms = keep_ms > 0 ? now_ms - keep_ms : INT64_MAX };
	enum core_db_status status = queue_evidence_octets(db, &size);
	while (status == CORE_DB_OK && *budget > 0) {
		status = drop_oldest(db, &w, (int64_t)size > all && size - (uint64_t)all > octets_max, &freed);
		if (freed == 0)
			break;
		all += freed;
		--*budget;
	}
	return status == CORE_DB_OK && all > 0 ? add_octets(db, -all) : status;
}

/* queue/evidence.c - see evidence.h: the tables, what is written with results, and what goes again. evidence_read.c asks.
 * evidence_session  ids ascend with time, so the oldest is the first by id. chain: the id of evidence_chain, which is that of the first session that showed it.
 * evidence_event    what says how a message came has the id of its message, so that it costs no second index; the others are found by evidence_event_of.
 * evidence_size     one row, changed by each statement that adds or takes away. */
#include "queue/evidence.h"

#include "core/crypt.h"

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

static void hash_of(struct sp_str pem, char out[CORE_SHA256_SIZE])
{
	struct core_sha256 *h = core_sha256_new();
	core_sha256_add(h, pem);
	core_sha256_finish(h, (uint8_t *)out);
}

/* The chain's id in *id; it is added, with `mine`, where nobody showed it before. */
static enum core_db_status need_chain(struct core_db *db, struct sp_str pem, uint64_t mine, uint64_t *id)
{
	char hash[CORE_SHA256_SIZE];
	hash_of(pem, hash);
	struct core_stmt *s = core_db_stmt(db, "SELECT id FROM evidence_chain WHERE hash = ?1");
	core_stmt_blob(s, 1, sp_str_make(hash, sizeof(hash)));
	enum core_db_status status = core_stmt_step(s);
	*id = mine;
	if (status == CORE_DB_ROW) {
		*id = (uint64_t)core_stmt_col_int(s, 0);
		core_stmt_reset(s);
		return CORE_DB_OK;
	}
	if (status != CORE_DB_OK)
		return status;
	s = core_db_stmt(db, "INSERT INTO evidence_chain (octets, id, hash, pem) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING");
	core_stmt_int(s, 2, (int64_t)mine);
	core_stmt_blob(s, 3, sp_str_make(hash, sizeof(hash)));
	core_stmt_text(s, 4, pem);
	return insert(db, s, pem.len + sizeof(hash));
}

enum core_db_status queue_evidence_add_session(struct core_db *db, const struct queue_evidence_session *e)
{
	uint64_t chain = 0;
	enum core_db_status status = e->chain.len > 0 ? need_chain(db, e->chain, e->id, &chain) : CORE_DB_OK;
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

enum core_db_status queue_evidence_add_event(struct core_db *db, const struct queue_evidence_event *e)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO evidence_event (octets, id, at, message, session, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
	                                       " ON CONFLICT (id) DO NOTHING");
	core_stmt_int(s, 2, (int64_t)e->id);
	core_stmt_int(s, 3, e->at_ms);
	core_stmt_int(s, 4, (int64_t)e->message);
	bind_id(s, 5, e->session);
	core_stmt_text(s, 6, e->data);
	return insert(db, s, e->data.len);
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

static enum core_db_status read_size(struct core_db *db, int64_t *out)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT octets FROM evidence_size WHERE id = 1");
	enum core_db_status status = core_stmt_step(s);
	*out = 0;
	if (status != CORE_DB_ROW)
		return status;
	*out = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return CORE_DB_OK;
}

/* The oldest row of both tables, where it is to go. *freed 0: it may stay, and so may all the others. */
static enum core_db_status drop_oldest(struct core_db *db, int64_t before_ms, bool too_much, int64_t *freed)
{
	struct oldest event = { .id = INT64_MAX }, session = event;
	enum core_db_status status = find_oldest(db, &event, &session);
	const struct oldest *o = event.id < session.id ? &event : &session;
	*freed = 0;
	if (status != CORE_DB_OK || o->id == INT64_MAX || (o->at_ms >= before_ms && !too_much))
		return status;
	*freed = o->octets;
	return o == &event ? delete_by_id(core_db_stmt(db, "DELETE FROM evidence_event WHERE id = ?1"), o->id) : drop_session(db, o, freed);
}

enum core_db_status queue_evidence_sweep(struct core_db *db, int64_t before_ms, uint64_t octets_max, size_t *budget)
{
	int64_t size, freed = 0, all = 0;
	enum core_db_status status = read_size(db, &size);
	while (status == CORE_DB_OK && *budget > 0) {
		status = drop_oldest(db, before_ms, size - all > 0 && (uint64_t)(size - all) > octets_max, &freed);
		if (freed == 0)
			break;
		all += freed;
		--*budget;
	}
	return status == CORE_DB_OK && all > 0 ? add_octets(db, -all) : status;
}

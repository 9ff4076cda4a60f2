/* queue/evidence_read.c - see evidence.h: what is asked of the evidence, each question one short read on the store's thread. */
#include "queue/evidence.h"

#include <stdlib.h>

#define PAGE_OCTETS (1 << 20)           /* a page ends behind them, whatever its limit; */
#define JOINED_OCTETS (4 << 20)         /* and behind these, with the sessions of its events */

struct ask {
	struct queue_op op;
	uint64_t about, from;                   /* message or session; behind, or below which */
	char *destination;                      /* NULL: all */
	size_t limit;
	struct sp_arena arena;                  /* of the answer */
	struct queue_evidence_row *rows;
	struct queue_evidence_session *sessions;
	size_t count, octets;
	uint64_t next;
	struct sp_str pem;
	void (*on_rows)(void *owner, const struct queue_evidence_row *rows, size_t count, uint64_t next, const struct sp_fail *why);
	void (*on_sessions)(void *owner, const struct queue_evidence_session *rows, size_t count, uint64_t next, const struct sp_fail *why);
	void (*on_pem)(void *owner, struct sp_str pem, const struct sp_fail *why);
	void *owner;
};

static struct sp_str keep(struct ask *a, struct sp_str s)
{
	a->octets += s.len;
	return sp_str_make(sp_arena_dup(&a->arena, s), s.len);
}

static void begin(struct ask *a)
{
	sp_arena_clear(&a->arena);
	a->count = a->octets = 0;
	a->next = 0;
	a->pem = sp_str_of(NULL);
}

/* There is one more row: does it belong to this page? */
static bool has_room(const struct ask *a)
{
	return a->count < a->limit && a->octets < PAGE_OCTETS;
}

static void free_ask(struct ask *a)
{
	sp_arena_clear(&a->arena);
	free(a->destination);
	free(a);
}

static void submit(struct queue_store *s, struct ask *a, struct core_mailbox *reply_to, void *owner)
{
	a->op.reply_to = reply_to;
	a->owner = owner;
	queue_store_submit(s, &a->op);
}

/* ---- sessions ---- */

static void read_session(struct ask *a, struct core_stmt *s, struct queue_evidence_session *out)
{
	*out = (struct queue_evidence_session){ .id = (uint64_t)core_stmt_col_int(s, 0), .at_ms = core_stmt_col_int(s, 1),
	                                        .destination = keep(a, core_stmt_col_text(s, 2)).p, .data = keep(a, core_stmt_col_text(s, 3)) };
}

static struct core_stmt *sessions_below(struct core_db *db, const struct ask *a)
{
	struct core_stmt *s = a->destination ?
		core_db_stmt(db, "SELECT id, at, destination, data FROM evidence_session WHERE id < ?1 AND destination = ?3 ORDER BY id DESC LIMIT ?2") :
		core_db_stmt(db, "SELECT id, at, destination, data FROM evidence_session WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
	core_stmt_int(s, 1, a->from ? (int64_t)a->from : INT64_MAX);
	core_stmt_int(s, 2, (int64_t)a->limit + 1);
	if (a->destination)
		core_stmt_text(s, 3, sp_str_of(a->destination));
	return s;
}

static enum core_db_status run_sessions(struct core_db *db, struct queue_op *op)
{
	struct ask *a = sp_container_of(op, struct ask, op);
	begin(a);
	a->sessions = sp_arena_alloc(&a->arena, a->limit * sizeof(*a->sessions));
	struct core_stmt *s = sessions_below(db, a);
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		if (!has_room(a)) {
			a->next = a->sessions[a->count - 1].id;
			core_stmt_reset(s);
			return CORE_DB_OK;
		}
		read_session(a, s, &a->sessions[a->count++]);
	}
	return status;
}

static void on_sessions(struct queue_op *op, const struct sp_fail *why)
{
	struct ask *a = sp_container_of(op, struct ask, op);
	a->on_sessions(a->owner, a->sessions, sp_failed(why) ? 0 : a->count, a->next, why);
	free_ask(a);
}

void queue_evidence_sessions(struct queue_store *s, const char *destination, uint64_t before, size_t limit, struct core_mailbox *reply_to,
                             void (*done)(void *owner, const struct queue_evidence_session *rows, size_t count, uint64_t next, const struct sp_fail *why),
                             void *owner)
{
	struct ask *a = sp_alloc(sizeof(*a));
	a->op.run = run_sessions;
	a->op.done = on_sessions;
	a->destination = destination ? sp_strdup(destination) : NULL;
	a->from = before;
	a->limit = sp_max(limit, 1);
	a->on_sessions = done;
	submit(s, a, reply_to, owner);
}

/* ---- a message ---- */

static enum core_db_status read_events(struct core_db *db, struct ask *a)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT id, at, session, data FROM evidence_event WHERE id = ?1 AND message = ?1 AND id > ?2 UNION ALL "
	                                       "SELECT id, at, session, data FROM evidence_event WHERE message = ?1 AND id <> message AND id > ?2"
	                                       " ORDER BY id LIMIT ?3");
	core_stmt_int(s, 1, (int64_t)a->about);
	core_stmt_int(s, 2, (int64_t)a->from);
	core_stmt_int(s, 3, (int64_t)a->limit + 1);
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		if (!has_room(a)) {
			a->next = a->rows[a->count - 1].event.id;
			core_stmt_reset(s);
			return CORE_DB_OK;
		}
		a->rows[a->count++].event = (struct queue_evidence_event){
			.id = (uint64_t)core_stmt_col_int(s, 0), .at_ms = core_stmt_col_int(s, 1), .message = a->about,
			.session = (uint64_t)core_stmt_col_int(s, 2), .data = keep(a, core_stmt_col_text(s, 3)) };
	}
	return status;
}

/* The session of row `i`; NULL stays where it is gone. Several events of one session share what was read. */
static enum core_db_status join_session(struct core_db *db, struct ask *a, size_t i)
{
	struct queue_evidence_row *r = &a->rows[i];
	for (size_t k = 0; k < i; k++)
		if (a->rows[k].session && a->rows[k].session->id == r->event.session) {
			r->session = a->rows[k].session;
			a->octets += r->session->data.len;      /* whoever tells the page tells it again */
			return CORE_DB_OK;
		}
	struct core_stmt *s = core_db_stmt(db, "SELECT id, at, destination, data FROM evidence_session WHERE id = ?1");
	core_stmt_int(s, 1, (int64_t)r->event.session);
	enum core_db_status status = core_stmt_step(s);
	if (status != CORE_DB_ROW)
		return status;
	struct queue_evidence_session *session = sp_arena_alloc(&a->arena, sizeof(*session));
	read_session(a, s, session);
	core_stmt_reset(s);
	r->session = session;
	return CORE_DB_OK;
}

static enum core_db_status run_of(struct core_db *db, struct queue_op *op)
{
	struct ask *a = sp_container_of(op, struct ask, op);
	begin(a);
	a->rows = sp_arena_alloc(&a->arena, a->limit * sizeof(*a->rows));
	enum core_db_status status = read_events(db, a);
	for (size_t i = 0; i < a->count && status == CORE_DB_OK; i++) {
		if (a->rows[i].event.session)
			status = join_session(db, a, i);
		if (a->octets >= JOINED_OCTETS && i + 1 < a->count) {
			a->count = i + 1;
			a->next = a->rows[i].event.id;
		}
	}
	return status;
}

static void on_of(struct queue_op *op, const struct sp_fail *why)
{
	struct ask *a = sp_container_of(op, struct ask, op);
	a->on_rows(a->owner, a->rows, sp_failed(why) ? 0 : a->count, a->next, why);
	free_ask(a);
}

void queue_evidence_of(struct queue_store *s, uint64_t message, uint64_t after, size_t limit, struct core_mailbox *reply_to,
                       void (*done)(void *owner, const struct queue_evidence_row *rows, size_t count, uint64_t next, const struct sp_fail *why), void *owner)
{
	struct ask *a = sp_alloc(sizeof(*a));
	a->op.run = run_of;
	a->op.done = on_of;
	a->about = message;
	a->from = after;
	a->limit = sp_max(limit, 1);
	a->on_rows = done;
	submit(s, a, reply_to, owner);
}

/* ---- certificates ---- */

static enum core_db_status run_chain(struct core_db *db, struct queue_op *op)
{
	struct ask *a = sp_container_of(op, struct ask, op);
	begin(a);
	struct core_stmt *s = core_db_stmt(db, "SELECT c.pem FROM evidence_session s JOIN evidence_chain c ON c.id = s.chain WHERE s.id = ?1");
	core_stmt_int(s, 1, (int64_t)a->about);
	enum core_db_status status = core_stmt_step(s);
	if (status != CORE_DB_ROW)
		return status;
	a->pem = keep(a, core_stmt_col_text(s, 0));
	core_stmt_reset(s);
	return CORE_DB_OK;
}

static void on_chain(struct queue_op *op, const struct sp_fail *why)
{
	struct ask *a = sp_container_of(op, struct ask, op);
	a->on_pem(a->owner, a->pem, why);
	free_ask(a);
}

void queue_evidence_chain(struct queue_store *s, uint64_t session, struct core_mailbox *reply_to,
                          void (*done)(void *owner, struct sp_str pem, const struct sp_fail *why), void *owner)
{
	struct ask *a = sp_alloc(sizeof(*a));
	a->op.run = run_chain;
	a->op.done = on_chain;
	a->about = session;
	a->on_pem = done;
	submit(s, a, reply_to, owner);
}

/* queue/load.c - messages at rest come back into memory: those that are due, and those whose deadline passed. See spool.h.
 * What cannot be read is quarantined and logged; the rest is loaded. */
#include "queue/recover.h"
#include "queue/rows.h"
#include "queue/schema.h"

#include "core/log.h"

#include <stdlib.h>

#define OVERDUE_OCTETS   ((size_t)8 << 20)      /* of bodies in one answer */

typedef void load_done(void *owner, struct queue_job **jobs, size_t count, const struct sp_fail *why);

struct pair {
	uint64_t id;
	const char *destination;
};

struct load_op {
	struct queue_op op;
	struct queue_store *store;
	char *destination;              /* NULL: the overdue of all */
	int64_t now_ms, due_ms;         /* due_ms: recipients later than this stay */
	size_t limit, octets, loaded;
	struct pair *pairs;             /* room for `limit` */
	size_t pair_count;
	struct queue_job **jobs;        /* room for `limit` */
	size_t count;
	struct sp_arena arena;
	load_done *done;
	void *owner;
};

/* ---- one message ---- */

static enum core_db_status quarantine(struct core_db *db, uint64_t id, const char *damage)
{
	enum core_db_status status = queue_quarantine(db, id, damage);
	return status == CORE_DB_CORRUPT ? CORE_DB_OK : status;         /* said; the others must not wait for it */
}

static enum core_db_status load_pair(struct core_db *db, struct load_op *o, const struct pair *p)
{
	struct queue_message *m;
	struct queue_rows_recipients found;
	const char *damage;
	enum core_db_status status = queue_rows_message(db, o->store, p->id, &o->arena, &m, &damage);
	if (status == CORE_DB_OK && m)
		status = queue_rows_take(db, p->id, p->destination, o->due_ms, &o->arena, &found, &damage);
	if (status == CORE_DB_OK && damage) {
		status = quarantine(db, p->id, damage);
	} else if (status == CORE_DB_OK && found.count > 0) {
		o->loaded += sp_body_path(m->body) ? 0 : (size_t)m->size;
		o->jobs[o->count++] = queue_job_new(m, found.at, found.count);
	}
	queue_message_unref(m);
	return status;
}

static enum core_db_status load_pairs(struct core_db *db, struct load_op *o)
{
	enum core_db_status status = CORE_DB_OK;
	for (size_t i = 0; i < o->pair_count && status == CORE_DB_OK && (o->count == 0 || o->loaded < o->octets); i++)
		status = load_pair(db, o, &o->pairs[i]);
	return status;
}

static void start_anew(struct load_op *o)
{
	for (size_t i = 0; i < o->count; i++)
		queue_job_free(o->jobs[i]);
	o->count = o->pair_count = o->loaded = 0;
	sp_arena_clear(&o->arena);
}

/* Damage in the index ends the list; what was found before it is loaded. */
static enum core_db_status end_of_list(struct core_db *db, enum core_db_status status)
{
	if (status != CORE_DB_CORRUPT)
		return status;
	struct sp_fail why;
	core_db_fail(db, status, &why);
	sp_log_text(SP_LOG_ERROR, NULL, "spool", "damaged: some mail cannot be found: %s", why.text);
	return CORE_DB_OK;
}

/* ---- due for a destination ---- */

/* A message with several recipients comes once for each; mostly in a row. */
static bool is_listed(const struct load_op *o, uint64_t id)
{
	for (size_t i = o->pair_count; i-- > 0;)
		if (o->pairs[i].id == id)
			return true;
	return false;
}

static enum core_db_status list_priority(struct core_db *db, struct load_op *o, int64_t priority)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT message FROM recipient WHERE destination = ? AND priority = ? AND next_at <= ?"
	                                       " ORDER BY next_at, message");
	core_stmt_text(s, 1, sp_str_of(o->destination));
	core_stmt_int(s, 2, priority);
	core_stmt_int(s, 3, o->due_ms);
	enum core_db_status status = CORE_DB_OK;
	while (o->pair_count < o->limit && (status = core_stmt_step(s)) == CORE_DB_ROW) {
		uint64_t id = (uint64_t)core_stmt_col_int(s, 0);
		if (!is_listed(o, id))
			o->pairs[o->pair_count++] = (struct pair){ id, o->destination };
	}
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

/* RFC 6710 5.1. One look into the index for each priority that is there: what is not due yet, of whatever priority, is not walked over. */
static enum core_db_status list_due(struct core_db *db, struct load_op *o)
{
	int64_t priority = INT64_MAX;
	enum core_db_status status = CORE_DB_OK;
	while (o->pair_count < o->limit && (status = queue_rows_priority_below(db, o->destination, &priority)) == CORE_DB_ROW) {
		status = list_priority(db, o, priority);
		if (status != CORE_DB_OK)
			break;
	}
	return end_of_list(db, status);
}

static enum core_db_status run_load(struct core_db *db, struct queue_op *op)
{
	struct load_op *o = sp_container_of(op, struct load_op, op);
	start_anew(o);
	enum core_db_status status = list_due(db, o);
	return status == CORE_DB_OK ? load_pairs(db, o) : status;
}

/* ---- overdue ---- */

static bool is_listed_for(const struct load_op *o, uint64_t id, struct sp_str destination)
{
	for (size_t i = o->pair_count; i-- > 0;)
		if (o->pairs[i].id == id && sp_str_eq(sp_str_of(o->pairs[i].destination), destination))
			return true;
	return false;
}

static enum core_db_status list_overdue(struct core_db *db, struct load_op *o)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT message, destination FROM recipient WHERE deadline <= ? AND next_at < 9223372036854775807"
	                                       " ORDER BY deadline");
	core_stmt_int(s, 1, o->now_ms);
	enum core_db_status status = CORE_DB_OK;
	while (o->pair_count < o->limit && (status = core_stmt_step(s)) == CORE_DB_ROW) {
		uint64_t id = (uint64_t)core_stmt_col_int(s, 0);
		struct sp_str destination = core_stmt_col_text(s, 1);
		if (!is_listed_for(o, id, destination))
			o->pairs[o->pair_count++] = (struct pair){ id, sp_arena_dup(&o->arena, destination) };
	}
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : end_of_list(db, status);
}

static enum core_db_status run_overdue(struct core_db *db, struct queue_op *op)
{
	struct load_op *o = sp_container_of(op, struct load_op, op);
	start_anew(o);
	enum core_db_status status = list_overdue(db, o);
	return status == CORE_DB_OK ? load_pairs(db, o) : status;
}

/* ---- asking ---- */

static void on_loaded(struct queue_op *op, const struct sp_fail *why)
{
	struct load_op *o = sp_container_of(op, struct load_op, op);
	if (sp_failed(why))
		start_anew(o);
	o->done(o->owner, o->jobs, o->count, why);      /* takes the jobs */
	sp_arena_clear(&o->arena);
	free(o->destination);
	free(o->pairs);
	free(o->jobs);
	free(o);
}

static struct load_op *make(struct queue_store *s, size_t limit, size_t octets, struct core_mailbox *reply_to, load_done *done, void *owner)
{
	struct load_op *o = sp_alloc(sizeof(*o));
	o->op.done = on_loaded;
	o->op.reply_to = reply_to;
	o->store = s;
	o->limit = limit;
	o->octets = octets;
	o->pairs = sp_alloc_array(limit ? limit : 1, sizeof(*o->pairs));
	o->jobs = sp_alloc_array(limit ? limit : 1, sizeof(*o->jobs));
	o->done = done;
	o->owner = owner;
	return o;
}

void queue_load(struct queue_store *s, const char *destination, int64_t now_ms, size_t limit, size_t octets,
                struct core_mailbox *reply_to, load_done *done, void *owner)
{
	struct load_op *o = make(s, limit, octets, reply_to, done, owner);
	o->op.run = run_load;
	o->destination = sp_strdup(destination);
	o->due_ms = now_ms < QUEUE_ASIDE ? now_ms : QUEUE_ASIDE - 1;
	queue_store_submit(s, &o->op);
}

void queue_overdue(struct queue_store *s, int64_t now_ms, size_t limit, struct core_mailbox *reply_to, load_done *done, void *owner)
{
	struct load_op *o = make(s, limit, OVERDUE_OCTETS, reply_to, done, owner);
	o->op.run = run_overdue;
	o->now_ms = now_ms;
	o->due_ms = QUEUE_ASIDE;
	queue_store_submit(s, &o->op);
}

/* queue/wait.c - mail at rest and the waits of destinations: park, release, due, waiting. See spool.h. */
#include "queue/marks.h"
#include "queue/rows.h"
#include "queue/schema.h"

#include "core/log.h"

#include <stdlib.h>

struct park_op {
	struct queue_op op;
	struct queue_store *store;
	bool deletes;                           /* one was to be deleted when the shard lets go of it */
	char *destination;
	int64_t deadline_ms;
	uint64_t id;
	size_t count;
	struct { uint32_t n; int64_t next_at_ms; } recipients[];
};

struct release_op {
	struct queue_op op;
	char *destination;
	struct queue_wait wait;
	char *text;
};

/* Nobody waits for these, and they insist; so this is a bug of ours, a damaged spool, or the end. Then the next start makes it good. */
static void log_failure(const char *doing, const char *destination, const struct sp_fail *why)
{
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, destination, "spool", "cannot %s it: %s", doing, why->text);
}

/* ---- park ---- */

static enum core_db_status park_one(struct core_db *db, struct park_op *p, size_t i, bool *changed)
{
#define PARK "UPDATE recipient SET next_at = ?, deadline = ? WHERE "
#define WHAT " RETURNING id, mark"
	uint32_t n = p->recipients[i].n;
	struct core_stmt *s = core_db_stmt(db, n == 0 ? PARK "id = ? AND n = ? AND next_at IS NULL" WHAT
	                                              : PARK "message = ? AND n = ? AND n > 0 AND next_at IS NULL" WHAT);
	core_stmt_int(s, 1, p->recipients[i].next_at_ms);
	if (p->deadline_ms > 0)
		core_stmt_int(s, 2, p->deadline_ms);
	core_stmt_int(s, 3, (int64_t)p->id);
	core_stmt_int(s, 4, n);
	int64_t marked = 0;
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		*changed = true;
		if (!core_stmt_col_null(s, 1)) {
			marked = core_stmt_col_int(s, 0);
			p->deletes = p->deletes || core_stmt_col_int(s, 1) == QUEUE_MARK_DELETE;
		}
	}
	return status == CORE_DB_OK && marked > 0 ? queue_marks_rest(db, marked) : status;
}

static enum core_db_status run_park(struct core_db *db, struct queue_op *op)
{
	struct park_op *p = sp_container_of(op, struct park_op, op);
	enum core_db_status status = CORE_DB_OK;
	bool changed = false;
	p->deletes = false;
	for (size_t i = 0; i < p->count && status == CORE_DB_OK; i++)
		status = park_one(db, p, i, &changed);
	if (status == CORE_DB_OK && changed)
		status = queue_rows_need_destination(db, sp_str_of(p->destination), 0);
	return status;
}

static void on_parked(struct queue_op *op, const struct sp_fail *why)
{
	struct park_op *p = sp_container_of(op, struct park_op, op);
	log_failure("park mail for", p->destination, why);
	if (p->deletes && !sp_failed(why))
		queue_lapse(p->store, 0);
	free(p->destination);
	free(p);
}

void queue_park(struct queue_store *s, const struct queue_job *job, int64_t deadline_ms)
{
	struct park_op *p = sp_alloc(sizeof(*p) + job->count * sizeof(p->recipients[0]));
	p->op.run = run_park;
	p->op.done = on_parked;
	p->op.insist = p->op.patient = true;
	p->store = s;
	p->destination = sp_strdup(job->recipients[0].destination);
	p->deadline_ms = deadline_ms;
	p->id = job->message->id;
	p->count = job->count;
	for (size_t i = 0; i < job->count; i++) {
		p->recipients[i].n = job->recipients[i].n;
		p->recipients[i].next_at_ms = sp_max(job->recipients[i].next_at_ms, 0);
	}
	queue_store_submit(s, &p->op);
}

/* ---- release ---- */

/* Lowers *at_ms to the time when the first of its recipients of this priority is due. */
static enum core_db_status earliest_of(struct core_db *db, const char *destination, int64_t priority, int64_t *at_ms)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT next_at FROM recipient WHERE destination = ? AND priority = ? AND next_at < ?"
	                                       " ORDER BY next_at LIMIT 1");
	core_stmt_text(s, 1, sp_str_of(destination));
	core_stmt_int(s, 2, priority);
	core_stmt_int(s, 3, *at_ms);
	enum core_db_status status = core_stmt_step(s);
	if (status != CORE_DB_ROW)
		return status;
	*at_ms = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return CORE_DB_OK;
}

/* The time when the first of its recipients is due; QUEUE_ASIDE: there is none that is. */
static enum core_db_status earliest(struct core_db *db, const char *destination, int64_t *at_ms)
{
	int64_t priority = INT64_MAX;
	enum core_db_status status;
	*at_ms = QUEUE_ASIDE;
	while ((status = queue_rows_priority_below(db, destination, &priority)) == CORE_DB_ROW) {
		status = earliest_of(db, destination, priority, at_ms);
		if (status != CORE_DB_OK)
			break;
	}
	return status;
}

static enum core_db_status remove_row(struct core_db *db, const char *destination)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM destination WHERE name = ?");
	core_stmt_text(s, 1, sp_str_of(destination));
	return core_stmt_run(s);
}

static enum core_db_status set_wait(struct core_db *db, const struct release_op *r, int64_t next_at_ms)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO destination (name, next_at, failures, since, failure) VALUES (?, ?, ?, ?, ?)"
	                                       " ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at, failures = excluded.failures,"
	                                       " since = excluded.since, failure = excluded.failure");
	core_stmt_text(s, 1, sp_str_of(r->destination));
	core_stmt_int(s, 2, next_at_ms);
	core_stmt_int(s, 3, r->wait.failures);
	core_stmt_int(s, 4, r->wait.since_ms);
	core_stmt_text(s, 5, sp_str_of(r->text));
	return core_stmt_run(s);
}

static enum core_db_status run_release(struct core_db *db, struct queue_op *op)
{
	struct release_op *r = sp_container_of(op, struct release_op, op);
	int64_t first_ms = 0, next_at_ms = r->wait.next_at_ms > 0 ? r->wait.next_at_ms : 0;
	enum core_db_status status = earliest(db, r->destination, &first_ms);
	if (status == CORE_DB_OK && first_ms == QUEUE_ASIDE)
		return remove_row(db, r->destination);
	if (status != CORE_DB_OK)
		return status;
	if (r->wait.failures == 0 && first_ms > next_at_ms)     /* the site is fine: only its recipients wait */
		next_at_ms = first_ms;
	return set_wait(db, r, next_at_ms);
}

static void on_released(struct queue_op *op, const struct sp_fail *why)
{
	struct release_op *r = sp_container_of(op, struct release_op, op);
	log_failure("release", r->destination, why);
	free(r->destination);
	free(r->text);
	free(r);
}

void queue_release(struct queue_store *s, const char *destination, const struct queue_wait *wait)
{
	struct release_op *r = sp_alloc(sizeof(*r));
	r->op.run = run_release;
	r->op.done = on_released;
	r->op.insist = r->op.patient = true;
	r->destination = sp_strdup(destination);
	r->wait = *wait;
	r->text = sp_strdup(wait->text);
	queue_store_submit(s, &r->op);
}

/* ---- due ---- */

struct due_op {
	struct queue_op op;
	int64_t now_ms, next_ms;
	size_t limit, count;
	struct queue_due *due;                  /* room for `limit` */
	struct sp_arena arena;                  /* their names */
	void (*done)(void *owner, const struct queue_due *due, size_t count, int64_t next_ms, const struct sp_fail *why);
	void *owner;
};

static enum core_db_status find_due(struct core_db *db, struct due_op *d)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT name, failures, since FROM destination WHERE next_at <= ? ORDER BY next_at LIMIT ?");
	core_stmt_int(s, 1, d->now_ms);
	core_stmt_int(s, 2, (int64_t)d->limit);
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		d->due[d->count++] = (struct queue_due){
			.name = sp_arena_dup(&d->arena, core_stmt_col_text(s, 0)),
			.failures = (unsigned)core_stmt_col_int(s, 1), .since_ms = core_stmt_col_int(s, 2),
		};
	return status;
}

static enum core_db_status take(struct core_db *db, const char *name)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE destination SET next_at = NULL WHERE name = ?");
	core_stmt_text(s, 1, sp_str_of(name));
	return core_stmt_run(s);
}

static enum core_db_status find_next(struct core_db *db, int64_t *next_ms)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT next_at FROM destination WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1");
	enum core_db_status status = core_stmt_step(s);
	*next_ms = INT64_MAX;
	if (status != CORE_DB_ROW)
		return status;
	*next_ms = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return CORE_DB_OK;
}

static enum core_db_status run_due(struct core_db *db, struct queue_op *op)
{
	struct due_op *d = sp_container_of(op, struct due_op, op);
	d->count = 0;
	sp_arena_clear(&d->arena);
	enum core_db_status status = find_due(db, d);
	for (size_t i = 0; i < d->count && status == CORE_DB_OK; i++)
		status = take(db, d->due[i].name);
	return status == CORE_DB_OK ? find_next(db, &d->next_ms) : status;
}

static void on_due(struct queue_op *op, const struct sp_fail *why)
{
	struct due_op *d = sp_container_of(op, struct due_op, op);
	bool failed = sp_failed(why);
	d->done(d->owner, d->due, failed ? 0 : d->count, failed ? INT64_MAX : d->next_ms, why);
	sp_arena_clear(&d->arena);
	free(d->due);
	free(d);
}

void queue_due(struct queue_store *s, int64_t now_ms, size_t limit, struct core_mailbox *reply_to,
               void (*done)(void *owner, const struct queue_due *due, size_t count, int64_t next_ms, const struct sp_fail *why), void *owner)
{
	struct due_op *d = sp_alloc(sizeof(*d));
	d->op.run = run_due;
	d->op.done = on_due;
	d->op.reply_to = reply_to;
	d->now_ms = now_ms;
	d->limit = limit;
	d->due = sp_alloc_array(limit ? limit : 1, sizeof(*d->due));
	d->done = done;
	d->owner = owner;
	queue_store_submit(s, &d->op);
}

/* ---- waiting ---- */

struct waiting_op {
	struct queue_op op;
	char *after;
	size_t limit, count;
	struct queue_waiting *list;             /* room for `limit` */
	struct sp_arena arena;                  /* names and texts */
	void (*done)(void *owner, const struct queue_waiting *list, size_t count, const struct sp_fail *why);
	void *owner;
};

static enum core_db_status run_waiting(struct core_db *db, struct queue_op *op)
{
	struct waiting_op *w = sp_container_of(op, struct waiting_op, op);
	struct core_stmt *s = core_db_stmt(db, "SELECT name, next_at, failures, since, failure FROM destination WHERE name > ?"
	                                       " AND failures > 0 AND next_at IS NOT NULL ORDER BY name LIMIT ?");
	core_stmt_text(s, 1, sp_str_of(w->after));
	core_stmt_int(s, 2, (int64_t)w->limit);
	enum core_db_status status;
	w->count = 0;
	sp_arena_clear(&w->arena);
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		w->list[w->count++] = (struct queue_waiting){
			.name = sp_arena_dup(&w->arena, core_stmt_col_text(s, 0)),
			.wait = { .next_at_ms = core_stmt_col_int(s, 1), .failures = (unsigned)core_stmt_col_int(s, 2),
			          .since_ms = core_stmt_col_int(s, 3), .text = sp_arena_dup(&w->arena, core_stmt_col_text(s, 4)) },
		};
	return status;
}

static void on_waiting(struct queue_op *op, const struct sp_fail *why)
{
	struct waiting_op *w = sp_container_of(op, struct waiting_op, op);
	w->done(w->owner, w->list, sp_failed(why) ? 0 : w->count, why);
	sp_arena_clear(&w->arena);
	free(w->after);
	free(w->list);
	free(w);
}

void queue_waiting(struct queue_store *s, const char *after, size_t limit, struct core_mailbox *reply_to,
                   void (*done)(void *owner, const struct queue_waiting *list, size_t count, const struct sp_fail *why), void *owner)
{
	struct waiting_op *w = sp_alloc(sizeof(*w));
	w->op.run = run_waiting;
	w->op.done = on_waiting;
	w->op.reply_to = reply_to;
	w->after = sp_strdup(after ? after : "");
	w->limit = limit;
	w->list = sp_alloc_array(limit ? limit : 1, sizeof(*w->list));
	w->done = done;
	w->owner = owner;
	queue_store_submit(s, &w->op);
}

/* queue/steer.c - see steer.h. A page is found first, and changed when no statement of the search is open any more. */
#include "queue/steer.h"

#include "core/clock.h"
#include "queue/gone.h"
#include "queue/rows.h"
#include "queue/walk.h"

#include <stdlib.h>

#define MESSAGES_MAX 1000               /* of a page */
#define CHANGE_MS    8                  /* no further message is changed after that: the page ends there */
#define JOB_OCTETS   ((size_t)8 << 20)  /* of bodies in one answer */

struct names { const char **at; size_t count; };

struct steer_op {
	struct queue_op op;
	struct queue_store *store;
	struct core_db *db;                     /* while it runs */
	struct sp_arena asked, found;
	struct queue_steer_ask ask;
	uint64_t *page;                         /* messages that fit: room for ask.limit */
	size_t page_count, loaded;
	struct queue_steered out;
	uint64_t *ids, *marked_ids;             /* room for ask.limit each */
	struct queue_job **jobs;
	size_t job_room;
	struct names destinations;              /* in `found`; room for what the page may have */
	size_t destination_room;
	struct queue_gone gone;
	void (*done)(void *owner, const struct queue_steered *out, const struct sp_fail *why);
	void *owner;
};

/* A message at hand. */
struct steered {
	uint64_t id;
	int64_t hold_until_ms;                  /* its sender's; 0 none */
	struct queue_walk_recipient *recipients;
	size_t count;
	uint64_t changed;                       /* recipients */
	bool marked;
};

/* ---- destinations that changed ---- */

/* True: it was not there yet. */
static bool add_destination(struct steer_op *o, const char *name)
{
	struct names *n = &o->destinations;
	for (size_t i = n->count; i-- > 0;)
		if (strcmp(n->at[i], name) == 0)
			return false;
	if (n->count == o->destination_room) {
		o->destination_room = o->destination_room ? o->destination_room * 2 : 16;
		n->at = sp_realloc(n->at, o->destination_room * sizeof(*n->at));
	}
	n->at[n->count++] = name;
	return true;
}

static enum core_db_status wake(struct core_db *db, const char *destination)
{
	struct core_stmt *s = core_db_stmt(db, "UPDATE destination SET next_at = 0 WHERE name = ? AND next_at > 0");
	core_stmt_text(s, 1, sp_str_of(destination));
	return core_stmt_run(s);
}

/* ---- one recipient at rest ---- */

static void bind_hold(struct core_stmt *s, int n, const struct queue_steer_ask *ask)
{
	if (ask->until_ms > 0)
		core_stmt_int(s, n, ask->until_ms);
	if (ask->hold_rule > 0)
		core_stmt_int(s, n + 1, (int64_t)ask->hold_rule);
	if (*ask->reason)
		core_stmt_text(s, n + 2, sp_str_of(ask->reason));
}

static enum core_db_status retry(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r)
{
	if (r->mark != QUEUE_MARK_NONE || (m->hold_until_ms > o->ask.now_ms && r->next_at_ms >= m->hold_until_ms))
		return CORE_DB_OK;
	struct core_stmt *s = core_db_stmt(o->db, "UPDATE recipient SET next_at = 0 WHERE id = ? AND next_at > 0");
	core_stmt_int(s, 1, r->row);
	enum core_db_status status = core_stmt_run(s);
	m->changed++;
	return status == CORE_DB_OK && add_destination(o, r->destination) ? wake(o->db, r->destination) : status;
}

/* One that is held already gets the new end and reason; since when it is held stays. */
static enum core_db_status hold(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r)
{
	if (r->mark == QUEUE_MARK_QUARANTINED)
		return CORE_DB_OK;
	struct core_stmt *s = core_db_stmt(o->db, "UPDATE recipient SET mark = 1, next_at = 9223372036854775807, deadline = ?1, hold_until = ?1, hold_rule = ?2,"
	                                          " hold_reason = ?3, hold_since = ?4 WHERE id = ?5");
	bind_hold(s, 1, &o->ask);
	core_stmt_int(s, 4, r->mark == QUEUE_MARK_HELD && r->hold_since_ms > 0 ? r->hold_since_ms : o->ask.now_ms);
	core_stmt_int(s, 5, r->row);
	m->changed++;
	return core_stmt_run(s);
}

static enum core_db_status let_go(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r)
{
	if (r->mark != QUEUE_MARK_HELD && r->mark != QUEUE_MARK_QUARANTINED)
		return CORE_DB_OK;
	const char *destination;
	enum core_db_status status = queue_marks_release(o->db, r->row, o->ask.now_ms, &o->found, &destination);
	if (status == CORE_DB_OK && destination)
		add_destination(o, destination);
	m->changed++;
	return status;
}

static enum core_db_status delete(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r)
{
	m->changed++;
	return queue_marks_delete(o->db, r->row, &o->op);
}

/* ---- one that a shard has ---- */

static enum core_db_status set_mark(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r, enum queue_mark mark)
{
	struct core_stmt *s = core_db_stmt(o->db, "UPDATE recipient SET mark = ?, hold_until = ?, hold_rule = ?, hold_reason = ?, hold_since = ? WHERE id = ?");
	core_stmt_int(s, 1, mark);
	bind_hold(s, 2, &o->ask);
	core_stmt_int(s, 5, o->ask.now_ms);
	core_stmt_int(s, 6, r->row);
	m->marked = true;
	return core_stmt_run(s);
}

static enum core_db_status take_hold_back(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r)
{
	struct core_stmt *s = core_db_stmt(o->db, "UPDATE recipient SET mark = NULL, hold_until = NULL, hold_rule = NULL, hold_reason = NULL, hold_since = NULL"
	                                          " WHERE id = ? AND mark = 3");
	core_stmt_int(s, 1, r->row);
	enum core_db_status status = core_stmt_run(s);
	m->changed += (uint64_t)core_db_changes(o->db);
	return status;
}

static enum core_db_status mark(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r)
{
	switch (o->ask.what) {
	case QUEUE_RETRY:
		break;                          /* it is being tried */
	case QUEUE_HOLD:
		return set_mark(o, m, r, QUEUE_MARK_HOLD);
	case QUEUE_RELEASE:
		return take_hold_back(o, m, r);
	case QUEUE_DELETE:
		return set_mark(o, m, r, QUEUE_MARK_DELETE);
	case QUEUE_TAKE:
		return set_mark(o, m, r, QUEUE_MARK_TAKE);
	}
	return CORE_DB_OK;
}

/* ---- taking: a job for each destination ---- */

static void add_job(struct steer_op *o, struct queue_job *j)
{
	if (o->out.job_count == o->job_room) {
		o->job_room = o->job_room ? o->job_room * 2 : 16;
		o->jobs = sp_realloc(o->jobs, o->job_room * sizeof(*o->jobs));
	}
	o->jobs[o->out.job_count++] = j;
}

static bool is_to_take(const struct queue_walk_recipient *r)
{
	return r->fits && !r->taken;
}

/* Those behind `from` for the same destination too. What is damaged stays. */
static enum core_db_status take_for(struct steer_op *o, struct steered *m, struct queue_message *message, size_t from)
{
	struct queue_rows_recipients list = { .at = NULL };
	const char *destination = m->recipients[from].destination;
	enum core_db_status status = CORE_DB_OK;
	for (size_t i = from; i < m->count && status == CORE_DB_OK; i++) {
		struct queue_walk_recipient *r = &m->recipients[i];
		const char *damage;
		if (!is_to_take(r) || strcmp(r->destination, destination) != 0)
			continue;
		status = queue_rows_take_one(o->db, r->row, destination, o->ask.reason, &o->found, &list, &damage);
		r->taken = true;
	}
	if (status == CORE_DB_OK && list.count > 0) {
		add_job(o, queue_job_new(message, list.at, list.count));
		m->changed += list.count;
	}
	return status;
}

static enum core_db_status take(struct steer_op *o, struct steered *m)
{
	struct queue_message *message = NULL;
	enum core_db_status status = CORE_DB_OK;
	for (size_t i = 0; i < m->count && status == CORE_DB_OK; i++) {
		const char *damage;
		if (!is_to_take(&m->recipients[i]))
			continue;
		if (message == NULL)
			status = queue_rows_message(o->db, o->store, m->id, &o->found, &message, &damage);
		if (message == NULL)            /* it cannot be read, so it cannot be returned: DELETE is for it */
			return status;
		status = take_for(o, m, message, i);
	}
	if (message && !sp_body_path(message->body))
		o->loaded += (size_t)message->size;
	queue_message_unref(message);
	return status;
}

/* ---- one message ---- */

static enum core_db_status read_hold(struct core_db *db, struct steered *m)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT hold_until FROM message WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)m->id);
	enum core_db_status status = core_stmt_step(s);
	m->hold_until_ms = status == CORE_DB_ROW ? core_stmt_col_int(s, 0) : 0;
	core_stmt_reset(s);
	return status == CORE_DB_ROW || status == CORE_DB_CORRUPT ? CORE_DB_OK : status;
}

static enum core_db_status change(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r)
{
	static enum core_db_status (*const at_rest[])(struct steer_op *o, struct steered *m, const struct queue_walk_recipient *r) = {
		[QUEUE_RETRY] = retry, [QUEUE_HOLD] = hold, [QUEUE_RELEASE] = let_go, [QUEUE_DELETE] = delete,
	};
	if (r->taken)
		return mark(o, m, r);
	return o->ask.what == QUEUE_TAKE ? CORE_DB_OK : at_rest[o->ask.what](o, m, r);
}

static enum core_db_status steer_message(struct steer_op *o, uint64_t id)
{
	struct steered m = { .id = id };
	enum core_db_status status = queue_walk_recipients(o->db, &o->ask.filter, id, &o->found, &m.recipients, &m.count);
	if (status == CORE_DB_OK && o->ask.what == QUEUE_RETRY)
		status = read_hold(o->db, &m);
	for (size_t i = 0; i < m.count && status == CORE_DB_OK; i++)
		if (m.recipients[i].fits)
			status = change(o, &m, &m.recipients[i]);
	if (status == CORE_DB_OK && o->ask.what == QUEUE_TAKE)
		status = take(o, &m);
	if (status == CORE_DB_OK && o->ask.what == QUEUE_DELETE && m.changed > 0)
		status = queue_marks_delete_message(o->db, o->store, id, &o->gone, &o->op);
	if (m.changed > 0)
		o->ids[o->out.messages++] = id;
	if (m.marked)
		o->marked_ids[o->out.marked++] = id;
	o->out.recipients += m.changed;
	return status;
}

/* ---- a page ---- */

static bool put(void *owner, uint64_t id, uint64_t recipients SP_UNUSED)
{
	struct steer_op *o = owner;
	o->page[o->page_count++] = id;
	return o->page_count < o->ask.limit;
}

static void drop_jobs(struct steer_op *o)
{
	for (size_t i = 0; i < o->out.job_count; i++)
		queue_job_free(o->jobs[i]);
}

static void start_anew(struct steer_op *o, struct core_db *db)
{
	drop_jobs(o);
	o->db = db;
	o->page_count = o->loaded = o->destinations.count = o->gone.count = 0;
	o->out = (struct queue_steered){ 0 };
	sp_arena_clear(&o->found);
}

static enum core_db_status find(struct steer_op *o)
{
	struct queue_walk w = { .filter = &o->ask.filter, .after = o->ask.after, .each = put, .owner = o };
	w.of = o->ask.what == QUEUE_RETRY ? QUEUE_WALK_REST : o->ask.what == QUEUE_RELEASE ? QUEUE_WALK_MARKED : QUEUE_WALK_ALL;
	enum core_db_status status = queue_walk(o->db, &w);
	o->out.next = w.next;
	return status;
}

static enum core_db_status run_steer(struct core_db *db, struct queue_op *op)
{
	struct steer_op *o = sp_container_of(op, struct steer_op, op);
	start_anew(o, db);
	enum core_db_status status = find(o);
	uint64_t until_ms = core_clock_mono_ms() + CHANGE_MS;
	for (size_t i = 0; i < o->page_count && status == CORE_DB_OK; i++) {
		status = steer_message(o, o->page[i]);
		bool last = i + 1 == o->page_count;
		if (!last && (core_clock_mono_ms() > until_ms || o->loaded > JOB_OCTETS)) {
			o->out.next = o->page[i];
			break;
		}
	}
	return status;
}

static void on_committed(struct queue_op *op)
{
	struct steer_op *o = sp_container_of(op, struct steer_op, op);
	queue_gone_unlink(&o->gone, o->store);
}

static void on_steered(struct queue_op *op, const struct sp_fail *why)
{
	struct steer_op *o = sp_container_of(op, struct steer_op, op);
	if (sp_failed(why)) {
		drop_jobs(o);
		o->out = (struct queue_steered){ 0 };
		o->destinations.count = 0;
	}
	o->out.ids = o->ids;
	o->out.marked_ids = o->marked_ids;
	o->out.jobs = o->jobs;
	o->out.destinations = o->destinations.at;
	o->out.destination_count = o->destinations.count;
	o->done(o->owner, &o->out, why);        /* takes the jobs */
	sp_arena_clear(&o->asked);
	sp_arena_clear(&o->found);
	queue_gone_clear(&o->gone);
	free(o->destinations.at);
	free(o->page);
	free(o->ids);
	free(o->marked_ids);
	free(o->jobs);
	free(o);
}

void queue_steer(struct queue_store *s, const struct queue_steer_ask *ask, struct core_mailbox *reply_to,
                 void (*done)(void *owner, const struct queue_steered *out, const struct sp_fail *why), void *owner)
{
	struct steer_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_steer;
	o->op.committed = on_committed;
	o->op.done = on_steered;
	o->op.reply_to = reply_to;
	o->store = s;
	o->ask = *ask;
	o->ask.filter = queue_filter_copy(&ask->filter, &o->asked);
	o->ask.reason = ask->reason ? sp_arena_strdup(&o->asked, ask->reason) : "";
	o->ask.limit = sp_max(sp_min(ask->limit, MESSAGES_MAX), 1);
	o->page = sp_alloc_array(o->ask.limit, sizeof(*o->page));
	o->ids = sp_alloc_array(o->ask.limit, sizeof(*o->ids));
	o->marked_ids = sp_alloc_array(o->ask.limit, sizeof(*o->marked_ids));
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

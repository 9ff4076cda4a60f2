/* queue/list.c - see list.h: pages of messages, how many fit, and the content of one. */
#include "queue/list.h"

#include "queue/rows.h"
#include "queue/walk.h"
#include "queue/wish.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- list ---- */

struct list_op {
	struct queue_op op;
	struct core_db *db;                     /* while it runs */
	struct sp_arena asked, found;
	struct queue_filter filter;
	uint64_t after, next;
	size_t limit, count;
	struct queue_listed *rows;              /* room for `limit` */
	enum core_db_status status;             /* of what is read of a message */
	void (*done)(void *owner, const struct queue_listed *rows, size_t count, uint64_t next, const struct sp_fail *why);
	void *owner;
};

/* One that cannot be read shows what its recipients tell. */
static enum core_db_status read_envelope(struct core_db *db, struct queue_listed *l, struct sp_arena *arena)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT kind, arrived, size, sender, client, envid, flags, hold_until, by_at, body IS NULL FROM message"
	                                       " WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)l->id);
	enum core_db_status status = core_stmt_step(s);
	struct queue_message m = { .id = l->id };
	l->name = sp_arena_strdup(arena, queue_id_str(l->id, m.name));
	l->sender = l->client = l->envid = "";
	if (status == CORE_DB_ROW) {
		if (!queue_wish_unpack(core_stmt_col_int(s, 6), &m))
			m.wish = (struct sp_mail_wish){ 0 };
		l->kind = (enum queue_kind)core_stmt_col_int(s, 0);
		l->arrived_ms = core_stmt_col_int(s, 1);
		l->size = (uint64_t)core_stmt_col_int(s, 2);
		l->sender = sp_arena_dup(arena, core_stmt_col_text(s, 3));
		l->client = sp_arena_dup(arena, core_stmt_col_text(s, 4));
		l->envid = sp_arena_dup(arena, core_stmt_col_text(s, 5));
		l->hold_until_ms = core_stmt_col_int(s, 7);
		l->by_at_ms = core_stmt_col_int(s, 8);
		l->in_file = core_stmt_col_int(s, 9) != 0;
		l->priority = m.wish.priority;
		l->require_tls = m.wish.require_tls;
		l->tls_optional = m.wish.tls_optional;
		if (l->kind < QUEUE_MAIL || l->kind > QUEUE_REPORT)
			l->kind = QUEUE_MAIL;
	}
	core_stmt_reset(s);
	return status == CORE_DB_ROW || status == CORE_DB_CORRUPT ? CORE_DB_OK : status;
}

/* What the destination's wait adds. */
static enum core_db_status add_wait(struct core_db *db, struct queue_listed_recipient *r, struct sp_arena *arena)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT next_at, failures, failure FROM destination WHERE name = ?");
	core_stmt_text(s, 1, sp_str_of(r->destination));
	enum core_db_status status = core_stmt_step(s);
	if (status != CORE_DB_ROW)
		return status;
	if (!core_stmt_col_null(s, 0))
		r->next_at_ms = sp_max(r->next_at_ms, core_stmt_col_int(s, 0));
	if (*r->failure == '\0' && core_stmt_col_int(s, 1) > 0) {
		r->failure = sp_arena_dup(arena, core_stmt_col_text(s, 2));
		r->site = true;
	}
	core_stmt_reset(s);
	return CORE_DB_OK;
}

static enum core_db_status fill(struct core_db *db, const struct queue_walk_recipient *from, struct queue_listed_recipient *r, struct sp_arena *arena)
{
	bool held = from->state == QUEUE_STATE_HOLD, rests = from->state == QUEUE_STATE_DEFERRED && from->mark == QUEUE_MARK_NONE;
	*r = (struct queue_listed_recipient){
		.n = from->n, .address = from->address, .destination = from->destination, .state = from->state, .fits = from->fits,
		.attempts = from->attempts, .failure = from->failure, .hold_rule = held ? from->hold_rule : 0,
		.hold_reason = held || from->state == QUEUE_STATE_QUARANTINED ? from->hold_reason : "",
		.next_at_ms = held ? from->hold_until_ms : rests ? from->next_at_ms : 0,
		.deadline_ms = held ? 0 : from->deadline_ms,
	};
	return rests ? add_wait(db, r, arena) : CORE_DB_OK;
}

static enum core_db_status read_recipients(struct list_op *o, struct queue_listed *l)
{
	struct queue_walk_recipient *found;
	enum core_db_status status = queue_walk_recipients(o->db, &o->filter, l->id, &o->found, &found, &l->count);
	l->recipients = sp_arena_alloc(&o->found, sp_max(l->count, 1) * sizeof(*l->recipients));
	for (size_t i = 0; i < l->count && status == CORE_DB_OK; i++)
		status = fill(o->db, &found[i], &l->recipients[i], &o->found);
	return status;
}

static bool list_one(void *owner, uint64_t id, uint64_t recipients SP_UNUSED)
{
	struct list_op *o = owner;
	struct queue_listed *l = &o->rows[o->count++];
	*l = (struct queue_listed){ .id = id };
	o->status = read_envelope(o->db, l, &o->found);
	if (o->status == CORE_DB_OK)
		o->status = read_recipients(o, l);
	return o->status == CORE_DB_OK && o->count < o->limit;
}

static enum core_db_status run_list(struct core_db *db, struct queue_op *op)
{
	struct list_op *o = sp_container_of(op, struct list_op, op);
	struct queue_walk w = { .filter = &o->filter, .after = o->after, .each = list_one, .owner = o };
	sp_arena_clear(&o->found);
	o->db = db;
	o->count = 0;
	o->status = CORE_DB_OK;
	enum core_db_status status = queue_walk(db, &w);
	o->next = w.next;
	return status == CORE_DB_OK ? o->status : status;
}

static void on_listed(struct queue_op *op, const struct sp_fail *why)
{
	struct list_op *o = sp_container_of(op, struct list_op, op);
	bool failed = sp_failed(why);
	o->done(o->owner, o->rows, failed ? 0 : o->count, failed ? 0 : o->next, why);
	sp_arena_clear(&o->asked);
	sp_arena_clear(&o->found);
	free(o->rows);
	free(o);
}

void queue_list(struct queue_store *s, const struct queue_filter *f, uint64_t after, size_t limit, struct core_mailbox *reply_to,
                void (*done)(void *owner, const struct queue_listed *rows, size_t count, uint64_t next, const struct sp_fail *why), void *owner)
{
	struct list_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_list;
	o->op.done = on_listed;
	o->op.reply_to = reply_to;
	o->filter = queue_filter_copy(f, &o->asked);
	o->after = after;
	o->limit = sp_max(sp_min(limit, QUEUE_LOOKS), 1);
	o->rows = sp_alloc_array(o->limit, sizeof(*o->rows));
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

/* ---- count ---- */

struct count_op {
	struct queue_op op;
	struct sp_arena asked;
	struct queue_filter filter;
	uint64_t after, next, messages, recipients;
	void (*done)(void *owner, uint64_t messages, uint64_t recipients, uint64_t next, const struct sp_fail *why);
	void *owner;
};

static bool count_one(void *owner, uint64_t id SP_UNUSED, uint64_t recipients)
{
	struct count_op *o = owner;
	o->messages++;
	o->recipients += recipients;
	return true;
}

static enum core_db_status run_count(struct core_db *db, struct queue_op *op)
{
	struct count_op *o = sp_container_of(op, struct count_op, op);
	struct queue_walk w = { .filter = &o->filter, .after = o->after, .each = count_one, .owner = o };
	o->messages = o->recipients = 0;
	enum core_db_status status = queue_walk(db, &w);
	o->next = w.next;
	return status;
}

static void on_counted(struct queue_op *op, const struct sp_fail *why)
{
	struct count_op *o = sp_container_of(op, struct count_op, op);
	bool failed = sp_failed(why);
	o->done(o->owner, failed ? 0 : o->messages, failed ? 0 : o->recipients, failed ? 0 : o->next, why);
	sp_arena_clear(&o->asked);
	free(o);
}

void queue_count(struct queue_store *s, const struct queue_filter *f, uint64_t after, struct core_mailbox *reply_to,
                 void (*done)(void *owner, uint64_t messages, uint64_t recipients, uint64_t next, const struct sp_fail *why), void *owner)
{
	struct count_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_count;
	o->op.done = on_counted;
	o->op.reply_to = reply_to;
	o->filter = queue_filter_copy(f, &o->asked);
	o->after = after;
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

/* ---- content ---- */

struct content_op {
	struct queue_op op;
	struct queue_store *store;
	struct sp_arena arena;
	uint64_t id;
	struct queue_message *message;
	void (*done)(void *owner, struct queue_message *m, const struct sp_fail *why);
	void *owner;
};

static enum core_db_status find_row(struct core_db *db, uint64_t id)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT 1 FROM message WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)id);
	enum core_db_status status = core_stmt_step(s);
	core_stmt_reset(s);
	return status;
}

static enum core_db_status run_content(struct core_db *db, struct queue_op *op)
{
	struct content_op *o = sp_container_of(op, struct content_op, op);
	const char *damage;
	queue_message_unref(o->message);
	o->message = NULL;
	enum core_db_status status = find_row(db, o->id);
	if (status == CORE_DB_ROW)
		status = queue_rows_message(db, o->store, o->id, &o->arena, &o->message, &damage);
	else
		return status;
	if (status != CORE_DB_OK || o->message)
		return status;
	sp_fail_set(&op->fail, SP_FAIL_STORE, "the message cannot be read: %s", damage);
	snprintf(op->fail.reason, sizeof(op->fail.reason), "damaged");
	return CORE_DB_CORRUPT;
}

static void on_content(struct queue_op *op, const struct sp_fail *why)
{
	struct content_op *o = sp_container_of(op, struct content_op, op);
	struct queue_message *m = o->message;
	if (sp_failed(why)) {
		queue_message_unref(m);
		m = NULL;
	}
	o->done(o->owner, m, why);
	sp_arena_clear(&o->arena);
	free(o);
}

void queue_content(struct queue_store *s, uint64_t id, struct core_mailbox *reply_to,
                   void (*done)(void *owner, struct queue_message *m, const struct sp_fail *why), void *owner)
{
	struct content_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_content;
	o->op.done = on_content;
	o->op.reply_to = reply_to;
	o->store = s;
	o->id = id;
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

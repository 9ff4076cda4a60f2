/* queue/holds.c - see holds.h. */
#include "queue/holds.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- all of them ---- */

struct holds_op {
	struct queue_op op;
	int64_t now_ms;
	struct sp_arena arena;
	struct queue_hold *rules;               /* room for QUEUE_HOLDS_MAX */
	size_t count;
	void (*done)(void *owner, const struct queue_hold *rules, size_t count, const struct sp_fail *why);
	void *owner;
};

static enum core_db_status delete_ended(struct core_db *db, int64_t now_ms)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM hold_rule WHERE until <= ?");
	core_stmt_int(s, 1, now_ms);
	return core_stmt_run(s);
}

/* NULL: it says nothing of that. */
static const char *said(struct core_stmt *s, int column, struct sp_arena *arena)
{
	return core_stmt_col_null(s, column) ? NULL : sp_arena_dup(arena, core_stmt_col_text(s, column));
}

static enum core_db_status run_holds(struct core_db *db, struct queue_op *op)
{
	struct holds_op *o = sp_container_of(op, struct holds_op, op);
	sp_arena_clear(&o->arena);
	o->count = 0;
	enum core_db_status status = delete_ended(db, o->now_ms);
	if (status != CORE_DB_OK)
		return status;
	struct core_stmt *s = core_db_stmt(db, "SELECT id, sender, recipient, domain, since, until, reason FROM hold_rule ORDER BY id LIMIT ?");
	core_stmt_int(s, 1, QUEUE_HOLDS_MAX);
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		o->rules[o->count++] = (struct queue_hold){
			.id = (uint64_t)core_stmt_col_int(s, 0), .sender = said(s, 1, &o->arena), .recipient = said(s, 2, &o->arena),
			.domain = said(s, 3, &o->arena), .since_ms = core_stmt_col_int(s, 4), .until_ms = core_stmt_col_int(s, 5),
			.reason = sp_arena_dup(&o->arena, core_stmt_col_text(s, 6)),
		};
	return status;
}

static void on_holds(struct queue_op *op, const struct sp_fail *why)
{
	struct holds_op *o = sp_container_of(op, struct holds_op, op);
	o->done(o->owner, o->rules, sp_failed(why) ? 0 : o->count, why);
	sp_arena_clear(&o->arena);
	free(o->rules);
	free(o);
}

void queue_holds(struct queue_store *s, int64_t now_ms, struct core_mailbox *reply_to,
                 void (*done)(void *owner, const struct queue_hold *rules, size_t count, const struct sp_fail *why), void *owner)
{
	struct holds_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_holds;
	o->op.done = on_holds;
	o->op.reply_to = reply_to;
	o->now_ms = now_ms;
	o->rules = sp_alloc_array(QUEUE_HOLDS_MAX, sizeof(*o->rules));
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

/* ---- one more ---- */

struct add_op {
	struct queue_op op;
	struct sp_arena arena;
	struct queue_hold rule;
	void (*done)(void *owner, const struct sp_fail *why);
	void *owner;
};

static enum core_db_status count_rules(struct core_db *db, int64_t *count)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT count(*) FROM hold_rule");
	enum core_db_status status = core_stmt_step(s);
	*count = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static void bind(struct core_stmt *s, int n, const char *text)
{
	if (text)
		core_stmt_text(s, n, sp_str_of(text));
}

static enum core_db_status insert(struct core_db *db, const struct queue_hold *h)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO hold_rule (id, sender, recipient, domain, since, until, reason) VALUES (?, ?, ?, ?, ?, ?, ?)");
	core_stmt_int(s, 1, (int64_t)h->id);
	bind(s, 2, h->sender);
	bind(s, 3, h->recipient);
	bind(s, 4, h->domain);
	core_stmt_int(s, 5, h->since_ms);
	if (h->until_ms > 0)
		core_stmt_int(s, 6, h->until_ms);
	bind(s, 7, h->reason);
	return core_stmt_run(s);
}

static enum core_db_status run_add(struct core_db *db, struct queue_op *op)
{
	struct add_op *o = sp_container_of(op, struct add_op, op);
	int64_t count;
	enum core_db_status status = delete_ended(db, o->rule.since_ms);
	if (status == CORE_DB_OK)
		status = count_rules(db, &count);
	if (status != CORE_DB_OK)
		return status;
	if (count < QUEUE_HOLDS_MAX)
		return insert(db, &o->rule);
	sp_fail_set(&op->fail, SP_FAIL_STORE, "there are %d hold rules already", QUEUE_HOLDS_MAX);
	snprintf(op->fail.reason, sizeof(op->fail.reason), "full");
	return CORE_DB_CONSTRAINT;
}

static void on_added(struct queue_op *op, const struct sp_fail *why)
{
	struct add_op *o = sp_container_of(op, struct add_op, op);
	o->done(o->owner, why);
	sp_arena_clear(&o->arena);
	free(o);
}

void queue_holds_add(struct queue_store *s, const struct queue_hold *h, struct core_mailbox *reply_to,
                     void (*done)(void *owner, const struct sp_fail *why), void *owner)
{
	struct add_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_add;
	o->op.done = on_added;
	o->op.reply_to = reply_to;
	o->rule = *h;
	o->rule.sender = sp_arena_strdup(&o->arena, h->sender);
	o->rule.recipient = sp_arena_strdup(&o->arena, h->recipient);
	o->rule.domain = sp_arena_strdup(&o->arena, h->domain);
	o->rule.reason = sp_arena_strdup(&o->arena, h->reason);
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

/* ---- one less ---- */

struct remove_op {
	struct queue_op op;
	uint64_t id;
	bool found;
	void (*done)(void *owner, bool found, const struct sp_fail *why);
	void *owner;
};

static enum core_db_status run_remove(struct core_db *db, struct queue_op *op)
{
	struct remove_op *o = sp_container_of(op, struct remove_op, op);
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM hold_rule WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)o->id);
	enum core_db_status status = core_stmt_run(s);
	o->found = status == CORE_DB_OK && core_db_changes(db) > 0;
	return status;
}

static void on_removed(struct queue_op *op, const struct sp_fail *why)
{
	struct remove_op *o = sp_container_of(op, struct remove_op, op);
	o->done(o->owner, !sp_failed(why) && o->found, why);
	free(o);
}

void queue_holds_remove(struct queue_store *s, uint64_t id, struct core_mailbox *reply_to,
                        void (*done)(void *owner, bool found, const struct sp_fail *why), void *owner)
{
	struct remove_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_remove;
	o->op.done = on_removed;
	o->op.reply_to = reply_to;
	o->id = id;
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

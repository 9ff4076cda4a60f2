/* queue/counts.c - see counts.h, and queue_counts() in spool.h. Two values in the table of values, changed once a transaction. */
#include "queue/counts.h"

#include "queue/spool.h"

#include <stdlib.h>

enum core_db_status queue_counts_make(struct core_db *db)
{
	return core_db_exec(db, "INSERT INTO store (name, value) SELECT 'messages', count(*) FROM message;"
	                        "INSERT INTO store (name, value) SELECT 'recipients', count(*) FROM recipient");
}

static enum core_db_status add(struct core_db *db, const char *name, int64_t change)
{
	if (change == 0)
		return CORE_DB_OK;
	struct core_stmt *s = core_db_stmt(db, "UPDATE store SET value = value + ? WHERE name = ?");
	core_stmt_int(s, 1, change);
	core_stmt_text(s, 2, sp_str_of(name));
	return core_stmt_run(s);
}

enum core_db_status queue_counts_add(struct core_db *db, int64_t messages, int64_t recipients)
{
	enum core_db_status status = add(db, "messages", messages);
	return status == CORE_DB_OK ? add(db, "recipients", recipients) : status;
}

/* ---- asking ---- */

struct counts_op {
	struct queue_op op;
	struct queue_counts counts;
	void (*done)(void *owner, const struct queue_counts *counts, const struct sp_fail *why);
	void *owner;
};

/* One number; fewer than 0 is damage, and none. */
static enum core_db_status read_number(struct core_stmt *s, uint64_t *out)
{
	enum core_db_status status = core_stmt_step(s);
	*out = 0;
	if (status != CORE_DB_ROW)
		return status;
	int64_t value = core_stmt_col_int(s, 0);
	*out = value > 0 ? (uint64_t)value : 0;
	core_stmt_reset(s);
	return CORE_DB_OK;
}

static enum core_db_status read_value(struct core_db *db, const char *name, uint64_t *out)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT value FROM store WHERE name = ?");
	core_stmt_text(s, 1, sp_str_of(name));
	return read_number(s, out);
}

/* Reads an index of small entries, and no more of it than takes some milliseconds. */
static enum core_db_status count_waiting(struct core_db *db, uint64_t *out)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT count(*) FROM (SELECT 1 FROM destination WHERE next_at IS NOT NULL LIMIT ?)");
	core_stmt_int(s, 1, QUEUE_COUNTED_MAX);
	return read_number(s, out);
}

enum core_db_status queue_counts_read(struct core_db *db, struct queue_counts *c)
{
	enum core_db_status status = read_value(db, "messages", &c->messages);
	if (status == CORE_DB_OK)
		status = read_value(db, "recipients", &c->recipients);
	return status == CORE_DB_OK ? count_waiting(db, &c->destinations_waiting) : status;
}

static enum core_db_status run_counts(struct core_db *db, struct queue_op *op)
{
	return queue_counts_read(db, &sp_container_of(op, struct counts_op, op)->counts);
}

static void on_counted(struct queue_op *op, const struct sp_fail *why)
{
	struct counts_op *c = sp_container_of(op, struct counts_op, op);
	c->done(c->owner, &c->counts, why);
	free(c);
}

void queue_counts(struct queue_store *s, struct core_mailbox *reply_to,
                  void (*done)(void *owner, const struct queue_counts *counts, const struct sp_fail *why), void *owner)
{
	struct counts_op *c = sp_alloc(sizeof(*c));
	c->op.run = run_counts;
	c->op.done = on_counted;
	c->op.reply_to = reply_to;
	c->done = done;
	c->owner = owner;
	queue_store_submit(s, &c->op);
}

/* queue/accept.c - a message enters the spool. See spool.h. */
#include "queue/rows.h"

#include <stdlib.h>

struct accept_op {
	struct queue_op op;
	struct queue_store *store;
	struct queue_job *job;
	struct queue_extra *extra;
	void (*done)(void *owner, const struct sp_fail *why);
	void *owner;
};

static enum core_db_status run_accept(struct core_db *db, struct queue_op *op)
{
	struct accept_op *a = sp_container_of(op, struct accept_op, op);
	enum core_db_status status = queue_rows_add(db, a->store, a->job, false, op);
	return status == CORE_DB_OK && a->extra ? a->extra->run(db, a->extra) : status;
}

static void on_accepted(struct queue_op *op, const struct sp_fail *why)
{
	struct accept_op *a = sp_container_of(op, struct accept_op, op);
	a->done(a->owner, why);
	queue_job_free(a->job);
	free(a);
}

void queue_accept(struct queue_store *s, struct queue_message *m, const struct queue_recipient *recipients, size_t count,
                  struct queue_extra *extra, struct core_mailbox *reply_to, void (*done)(void *owner, const struct sp_fail *why), void *owner)
{
	struct accept_op *a = sp_alloc(sizeof(*a));
	a->op.run = run_accept;
	a->op.done = on_accepted;
	a->op.reply_to = reply_to;
	a->op.adds_mail = true;
	a->store = s;
	a->job = queue_job_new(m, recipients, count);
	a->extra = extra;
	a->done = done;
	a->owner = owner;
	queue_store_submit(s, &a->op);
}

/* queue/clock.c - a clock that was set back leaves nothing waiting for a time that is far away now. See spool.h. */
#include "queue/schema.h"
#include "queue/spool.h"
#include "queue/store.h"

#include "core/log.h"

#include <stdlib.h>

struct clock_op {
	struct queue_op op;
	int64_t now_ms, longest_ms, moved;
};

/* What an operator holds waits for no time. What is held (RFC 4865) and was not tried yet keeps its time: that is the sender's. Both indices are passed over once. */
static enum core_db_status run_clock(struct core_db *db, struct queue_op *op)
{
	struct clock_op *c = sp_container_of(op, struct clock_op, op);
	struct core_stmt *s = core_db_stmt(db, "UPDATE recipient SET next_at = ? WHERE next_at > ? AND next_at < ? AND next_at <>"
	                                       " coalesce((SELECT hold_until FROM message WHERE message.id = recipient.message), 0)");
	core_stmt_int(s, 1, c->now_ms);
	core_stmt_int(s, 2, c->now_ms + c->longest_ms);
	core_stmt_int(s, 3, QUEUE_ASIDE);
	enum core_db_status status = core_stmt_run(s);
	c->moved = core_db_changes(db);
	if (status != CORE_DB_OK)
		return status;
	s = core_db_stmt(db, "UPDATE destination SET next_at = ? WHERE next_at > ?");   /* if only held mail is there, it finds its time again */
	core_stmt_int(s, 1, c->now_ms);
	core_stmt_int(s, 2, c->now_ms + c->longest_ms);
	return core_stmt_run(s);
}

static void on_clock(struct queue_op *op, const struct sp_fail *why)
{
	struct clock_op *c = sp_container_of(op, struct clock_op, op);
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, NULL, "spool", "cannot look for mail that waits for a time before the clock was set back: %s", why->text);
	else if (c->moved > 0)
		sp_log_text(SP_LOG_WARNING, NULL, "spool", "the clock was set back: what waits for a time that is far away now is tried at once");
	free(c);
}

void queue_clock_set_back(struct queue_store *s, int64_t now_ms, int64_t longest_ms)
{
	struct clock_op *c = sp_alloc(sizeof(*c));
	c->op.run = run_clock;
	c->op.done = on_clock;
	c->now_ms = now_ms;
	c->longest_ms = longest_ms;
	queue_store_submit(s, &c->op);
}

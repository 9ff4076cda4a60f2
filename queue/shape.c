/* queue/shape.c - see list.h: how old what waits is, by destination and in all. */
#include "queue/list.h"

#include "core/clock.h"
#include "queue/counts.h"
#include "queue/marks.h"
#include "queue/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const unsigned queue_age_min[QUEUE_AGES] = { 5, 10, 20, 40, 80, 160, 320, 640, 1280, 0 };

/* ---- by destination ---- */

struct shape_op {
	struct queue_op op;
	struct sp_arena arena;
	struct { const char *destination; int64_t priority, next_at, message, row; } after, at;         /* a place in recipient_rest */
	size_t limit, count;
	int64_t now_ms;
	struct queue_shape *rows;               /* room for `limit` */
	const char *next;
	void (*done)(void *owner, const struct queue_shape *rows, size_t count, const char *next, const struct sp_fail *why);
	void *owner;
};

static size_t age_of(int64_t arrived_ms, int64_t now_ms)
{
	size_t i = 0;
	while (i + 1 < QUEUE_AGES && now_ms - arrived_ms > (int64_t)queue_age_min[i] * 60000)
		i++;
	return i;
}

static enum core_db_status read_wait(struct core_db *db, struct queue_shape *r, struct sp_arena *arena)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT next_at, failures, since, failure FROM destination WHERE name = ?");
	core_stmt_text(s, 1, sp_str_of(r->destination));
	enum core_db_status status = core_stmt_step(s);
	if (status != CORE_DB_ROW)
		return status;
	r->next_at_ms = core_stmt_col_int(s, 0);
	r->failures = (unsigned)core_stmt_col_int(s, 1);
	r->since_ms = core_stmt_col_int(s, 2);
	if (core_stmt_col_text(s, 3).len > 0)
		r->failure = sp_arena_dup(arena, core_stmt_col_text(s, 3));
	core_stmt_reset(s);
	return CORE_DB_OK;
}

/* A site that works may still have refused what waits for it: what the first recipient was told stands for all, until the site itself has failed. */
static enum core_db_status read_failure(struct core_db *db, struct queue_shape *r, struct sp_arena *arena)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT failure FROM recipient WHERE id = ?");
	core_stmt_int(s, 1, r->first);
	enum core_db_status status = core_stmt_step(s);
	r->failure = status == CORE_DB_ROW ? sp_arena_dup(arena, core_stmt_col_text(s, 0)) : "";
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static void add(struct queue_shape *r, int64_t arrived_ms, int64_t now_ms)
{
	r->recipients++;
	r->ages[age_of(arrived_ms, now_ms)]++;
	if (r->oldest_ms == 0 || arrived_ms < r->oldest_ms)
		r->oldest_ms = arrived_ms;
}

/* True: the row at hand belongs to the page. */
static bool take_row(struct shape_op *o, struct core_stmt *s)
{
	struct sp_str name = core_stmt_col_text(s, 0);
	struct queue_shape *r = o->count > 0 ? &o->rows[o->count - 1] : NULL;
	if (r == NULL || !sp_str_eq(name, sp_str_of(r->destination))) {
		if (r)
			r->whole = true;
		if (o->count == o->limit)
			return false;
		r = &o->rows[o->count++];
		*r = (struct queue_shape){ .destination = sp_arena_dup(&o->arena, name), .first = core_stmt_col_int(s, 4) };
	}
	o->at.destination = r->destination;
	o->at.priority = core_stmt_col_int(s, 1);
	o->at.next_at = core_stmt_col_int(s, 2);
	o->at.message = core_stmt_col_int(s, 3);
	o->at.row = core_stmt_col_int(s, 4);
	add(r, core_stmt_col_int(s, 5), o->now_ms);
	return true;
}

/* An index row at a time, and of each message when it came. */
static enum core_db_status walk(struct core_db *db, struct shape_op *o)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT destination, priority, next_at, message, id, (SELECT arrived FROM message WHERE message.id = recipient.message)"
	                                       " FROM recipient WHERE next_at IS NOT NULL AND destination >= ?1 AND (destination, priority, next_at, message, id) >"
	                                       " (?1, ?2, ?3, ?4, ?5) ORDER BY destination, priority, next_at, message, id");
	core_stmt_text(s, 1, sp_str_of(o->after.destination));
	core_stmt_int(s, 2, o->after.priority);
	core_stmt_int(s, 3, o->after.next_at);
	core_stmt_int(s, 4, o->after.message);
	core_stmt_int(s, 5, o->after.row);
	uint64_t until_us = core_clock_mono_us() + QUEUE_LOOK_MS * 1000;
	size_t looks = 0;
	bool more = true;
	enum core_db_status status = CORE_DB_ROW;
	while (more && looks++ < QUEUE_LOOKS && (looks % 64 != 0 || core_clock_mono_us() < until_us) && (status = core_stmt_step(s)) == CORE_DB_ROW)
		more = take_row(o, s);
	core_stmt_reset(s);
	return status;
}

static enum core_db_status run_shape(struct core_db *db, struct queue_op *op)
{
	struct shape_op *o = sp_container_of(op, struct shape_op, op);
	o->count = 0;
	o->next = "";
	enum core_db_status status = walk(db, o);
	if (status == CORE_DB_OK && o->count > 0)
		o->rows[o->count - 1].whole = true;
	if (status == CORE_DB_ROW && o->count > 0)
		o->next = sp_arena_printf(&o->arena, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %s", o->at.priority, o->at.next_at, o->at.message,
		                          o->at.row, o->at.destination);
	status = status == CORE_DB_ROW ? CORE_DB_OK : status;
	for (size_t i = 0; i < o->count && status == CORE_DB_OK; i++) {
		status = read_failure(db, &o->rows[i], &o->arena);
		if (status == CORE_DB_OK)
			status = read_wait(db, &o->rows[i], &o->arena);
	}
	return status;
}

static void on_shape(struct queue_op *op, const struct sp_fail *why)
{
	struct shape_op *o = sp_container_of(op, struct shape_op, op);
	bool failed = sp_failed(why);
	o->done(o->owner, o->rows, failed ? 0 : o->count, failed ? "" : o->next, why);
	sp_arena_clear(&o->arena);
	free(o->rows);
	free(o);
}

/* What is no place of ours begins at the beginning. */
static void parse_after(struct shape_op *o, const char *after)
{
	int used = 0;
	o->after.destination = "";
	if (after && sscanf(after, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %n", &o->after.priority, &o->after.next_at, &o->after.message,
	                    &o->after.row, &used) == 4 && used > 0)
		o->after.destination = sp_arena_strdup(&o->arena, after + used);
}

void queue_shape(struct queue_store *s, const char *after, size_t limit, int64_t now_ms, struct core_mailbox *reply_to,
                 void (*done)(void *owner, const struct queue_shape *rows, size_t count, const char *next, const struct sp_fail *why), void *owner)
{
	struct shape_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_shape;
	o->op.done = on_shape;
	o->op.reply_to = reply_to;
	parse_after(o, after);
	o->limit = sp_max(sp_min(limit, QUEUE_LOOKS), 1);
	o->now_ms = now_ms;
	o->rows = sp_alloc_array(o->limit, sizeof(*o->rows));
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

/* ---- in all ---- */

struct gauges_op {
	struct queue_op op;
	struct queue_gauges gauges;
	void (*done)(void *owner, const struct queue_gauges *g, const struct sp_fail *why);
	void *owner;
};

static enum core_db_status count_marked(struct core_db *db, enum queue_mark mark, uint64_t *out)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT count(*) FROM (SELECT 1 FROM recipient WHERE mark = ? LIMIT ?)");
	core_stmt_int(s, 1, mark);
	core_stmt_int(s, 2, QUEUE_COUNTED_MAX);
	enum core_db_status status = core_stmt_step(s);
	*out = status == CORE_DB_ROW ? (uint64_t)core_stmt_col_int(s, 0) : 0;
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static enum core_db_status read_oldest(struct core_db *db, int64_t *arrived_ms)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT arrived FROM message ORDER BY id LIMIT 1");
	enum core_db_status status = core_stmt_step(s);
	if (status == CORE_DB_ROW)
		*arrived_ms = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return status == CORE_DB_ROW || status == CORE_DB_CORRUPT ? CORE_DB_OK : status;
}

/* Since when the first recipient that is not kept waits, in the order of ids, which is that of coming: what its sender holds (RFC 4865) is not late, and begins to
 * wait when it is released. Behind QUEUE_LOOKS that are kept, the one there stands for it: it is no younger. */
static enum core_db_status find_waiting(struct core_db *db, int64_t now_ms, int64_t *since_ms)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT recipient.mark, message.arrived, coalesce(message.hold_until, 0) FROM recipient"
	                                       " JOIN message ON message.id = recipient.message ORDER BY recipient.id");
	enum core_db_status status;
	for (size_t looks = 0; (status = core_stmt_step(s)) == CORE_DB_ROW; looks++) {
		int64_t mark = core_stmt_col_int(s, 0), arrived_ms = core_stmt_col_int(s, 1), hold_until_ms = core_stmt_col_int(s, 2);
		bool kept = mark == QUEUE_MARK_HELD || mark == QUEUE_MARK_QUARANTINED || hold_until_ms > now_ms;
		if (kept && looks < QUEUE_LOOKS)
			continue;
		*since_ms = kept || arrived_ms > hold_until_ms ? arrived_ms : hold_until_ms;
		break;
	}
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static enum core_db_status run_gauges(struct core_db *db, struct queue_op *op)
{
	struct queue_gauges *g = &sp_container_of(op, struct gauges_op, op)->gauges;
	struct queue_counts counts = { 0 };
	*g = (struct queue_gauges){ 0 };
	enum core_db_status status = queue_counts_read(db, &counts);
	g->messages = counts.messages;
	g->recipients = counts.recipients;
	g->waiting_destinations = counts.destinations_waiting;
	if (status == CORE_DB_OK)
		status = count_marked(db, QUEUE_MARK_HELD, &g->held);
	if (status == CORE_DB_OK)
		status = count_marked(db, QUEUE_MARK_QUARANTINED, &g->quarantined);
	if (status == CORE_DB_OK)
		status = read_oldest(db, &g->oldest_ms);
	return status == CORE_DB_OK ? find_waiting(db, core_clock_wall_ms(), &g->oldest_waiting_ms) : status;
}

static void on_gauges(struct queue_op *op, const struct sp_fail *why)
{
	struct gauges_op *o = sp_container_of(op, struct gauges_op, op);
	o->done(o->owner, &o->gauges, why);
	free(o);
}

void queue_gauges(struct queue_store *s, struct core_mailbox *reply_to,
                  void (*done)(void *owner, const struct queue_gauges *g, const struct sp_fail *why), void *owner)
{
	struct gauges_op *o = sp_alloc(sizeof(*o));
	o->op.run = run_gauges;
	o->op.done = on_gauges;
	o->op.reply_to = reply_to;
	o->done = done;
	o->owner = owner;
	queue_store_submit(s, &o->op);
}

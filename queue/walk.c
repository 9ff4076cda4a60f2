/* queue/walk.c - see walk.h.
 * The ids come from up to three streams, each ascending, that are merged: the first recipients of messages and the other ones, or one stream for each mark. */
#include "queue/walk.h"

#include "core/clock.h"
#include "queue/schema.h"

#include <stdlib.h>

#define STREAMS 3
#define LOOKS_BETWEEN 64                /* rows between two looks at the clock */

#define COLUMNS "id, n, destination, address, next_at, mark, hold_rule"
#define COLUMNS_MORE COLUMNS ", attempts, deadline, failure, hold_since, hold_until, hold_reason"

struct stream {
	struct core_stmt *stmt;                 /* NULL: `ids` */
	const uint64_t *ids;
	size_t id_count;
	bool firsts;                            /* the rows of all recipients, of which only the first ones of messages count */
	bool has;                               /* `at` is a message that was not looked at yet */
	uint64_t at;
	uint64_t seen;                          /* it has no message that was not looked at up to this one; UINT64_MAX: at all */
};

struct walk {
	struct queue_walk *w;
	struct core_db *db;
	struct stream streams[STREAMS];
	size_t count;
	uint64_t *ids;                          /* of a stream, or NULL */
	size_t looks;
	uint64_t until_us;
};

/* ---- does a recipient fit? ---- */

static enum queue_state state_of(bool taken, enum queue_mark mark)
{
	if (taken)
		return QUEUE_STATE_ACTIVE;
	return mark == QUEUE_MARK_HELD ? QUEUE_STATE_HOLD : mark == QUEUE_MARK_QUARANTINED ? QUEUE_STATE_QUARANTINED : QUEUE_STATE_DEFERRED;
}

static enum queue_mark mark_of(struct core_stmt *s)
{
	return (enum queue_mark)core_stmt_col_int(s, 5);
}

/* Nobody has it, and it will be deleted: it is gone. */
static bool is_gone(struct core_stmt *s)
{
	return mark_of(s) == QUEUE_MARK_DELETE && !core_stmt_col_null(s, 4);
}

/* Of a row of COLUMNS. */
static bool row_fits(struct core_stmt *s, const struct queue_filter *f)
{
	if (is_gone(s))
		return false;
	if (f->destination && !sp_str_eq(core_stmt_col_text(s, 2), sp_str_of(f->destination)))
		return false;
	if (f->domain && !sp_str_eq_nocase(queue_address_domain(core_stmt_col_text(s, 3)), sp_str_of(f->domain)))
		return false;
	if (f->recipient && !queue_address_fits(core_stmt_col_text(s, 3), f->recipient))
		return false;
	enum queue_state state = state_of(core_stmt_col_null(s, 4), mark_of(s));
	bool held = mark_of(s) == QUEUE_MARK_HELD || mark_of(s) == QUEUE_MARK_HOLD;
	if (f->hold_rule && ((uint64_t)core_stmt_col_int(s, 6) != f->hold_rule || !held))
		return false;
	return f->state == QUEUE_STATE_ANY || f->state == state;
}

/* ---- streams ---- */

static void add_stream(struct walk *k, const char *sql, int64_t mark)
{
	struct core_stmt *s = core_db_stmt(k->db, sql);
	core_stmt_int(s, 1, (int64_t)k->w->after);
	if (mark > 0)
		core_stmt_int(s, 2, mark);
	k->streams[k->count++] = (struct stream){ .stmt = s, .seen = k->w->after };
}

static void add_all(struct walk *k)
{
	add_stream(k, "SELECT " COLUMNS " FROM recipient WHERE id > ? ORDER BY id", 0);
	k->streams[0].firsts = true;
	add_stream(k, "SELECT message FROM recipient WHERE message > ? AND n > 0 ORDER BY message", 0);
}

/* A statement for each, since each has a place of its own in the index. */
static void add_marks(struct walk *k)
{
#define MARKED(x) "SELECT message FROM recipient WHERE message > ? AND mark = ? ORDER BY message" x
	static const struct { enum queue_mark mark; enum queue_state state; const char *sql; } marks[] = {
		{ QUEUE_MARK_HELD, QUEUE_STATE_HOLD, MARKED("") }, { QUEUE_MARK_QUARANTINED, QUEUE_STATE_QUARANTINED, MARKED(" ") },
		{ QUEUE_MARK_HOLD, QUEUE_STATE_ACTIVE, MARKED("  ") },
	};
	const struct queue_filter *f = k->w->filter;
	for (size_t i = 0; i < SP_COUNT(marks); i++) {
		bool by_rule = f->hold_rule == 0 || marks[i].mark != QUEUE_MARK_QUARANTINED;
		if (by_rule && (f->state == QUEUE_STATE_ANY || f->state == marks[i].state))
			add_stream(k, marks[i].sql, marks[i].mark);
	}
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* The messages at rest for one destination, where that is less than a page. False: there are more, or it cannot be said. */
static bool add_destination(struct walk *k)
{
	struct core_stmt *s = core_db_stmt(k->db, "SELECT message FROM recipient WHERE destination = ? AND next_at IS NOT NULL");
	size_t rows = 0, count = 0;
	enum core_db_status status;
	core_stmt_text(s, 1, sp_str_of(k->w->filter->destination));
	k->ids = sp_alloc_array(QUEUE_LOOKS, sizeof(*k->ids));
	while ((status = core_stmt_step(s)) == CORE_DB_ROW && rows++ < QUEUE_LOOKS)
		if ((uint64_t)core_stmt_col_int(s, 0) > k->w->after)
			k->ids[count++] = (uint64_t)core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	if (status != CORE_DB_OK)
		return false;
	qsort(k->ids, count, sizeof(*k->ids), by_id);
	k->streams[k->count++] = (struct stream){ .ids = k->ids, .id_count = count, .seen = k->w->after };
	return true;
}

static void add_streams(struct walk *k)
{
	const struct queue_filter *f = k->w->filter;
	bool kept = f->state == QUEUE_STATE_HOLD || f->state == QUEUE_STATE_QUARANTINED || f->hold_rule != 0;
	bool rests = k->w->of == QUEUE_WALK_REST || f->state == QUEUE_STATE_DEFERRED;
	if (k->w->of == QUEUE_WALK_MARKED || kept)
		add_marks(k);
	else if (!(rests && f->destination && add_destination(k)))
		add_all(k);
}

static void end_stream(struct stream *s)
{
	s->has = false;
	s->seen = UINT64_MAX;
}

static void next_id(struct stream *s)
{
	if (s->id_count == 0) {
		end_stream(s);
		return;
	}
	s->at = *s->ids++;
	s->id_count--;
	s->has = s->at > s->seen;
}

/* One row further. */
static enum core_db_status step(struct walk *k, struct stream *s)
{
	k->looks++;
	if (s->stmt == NULL) {
		next_id(s);
		return CORE_DB_OK;
	}
	enum core_db_status status = core_stmt_step(s->stmt);
	if (status != CORE_DB_ROW) {
		end_stream(s);
		return status;
	}
	uint64_t id = (uint64_t)core_stmt_col_int(s->stmt, 0);
	if (s->firsts && core_stmt_col_int(s->stmt, 1) != 0) {          /* one of another message's others */
		s->seen = id;
		return CORE_DB_OK;
	}
	s->at = id;
	s->has = id > s->seen;                  /* else one more recipient of a message that was looked at */
	return CORE_DB_OK;
}

static bool is_over(const struct walk *k)
{
	return k->looks >= QUEUE_LOOKS || (k->looks % LOOKS_BETWEEN == 0 && k->looks > 0 && core_clock_mono_us() > k->until_us);
}

/* The stream that may have something before what the others have; of several the one that is least far. NULL: *m is the next message, UINT64_MAX: there is none. */
static struct stream *unknown(struct walk *k, uint64_t *m)
{
	*m = UINT64_MAX;
	for (size_t i = 0; i < k->count; i++)
		if (k->streams[i].has)
			*m = sp_min(*m, k->streams[i].at);
	struct stream *least = NULL;
	for (size_t i = 0; i < k->count; i++)
		if (!k->streams[i].has && k->streams[i].seen < *m && (least == NULL || k->streams[i].seen < least->seen))
			least = &k->streams[i];
	return least;
}

/* All before it were looked at. */
static uint64_t frontier(const struct walk *k)
{
	uint64_t to = UINT64_MAX;
	for (size_t i = 0; i < k->count; i++)
		to = sp_min(to, k->streams[i].has ? k->streams[i].at - 1 : k->streams[i].seen);
	return to;
}

/* ---- messages ---- */

static void bind_twice(struct core_stmt *s, uint64_t id)
{
	core_stmt_int(s, 1, (int64_t)id);
	core_stmt_int(s, 2, (int64_t)id);
}

#define OF_MESSAGE(columns) "SELECT " columns " FROM recipient WHERE id = ? AND n = 0 UNION ALL SELECT " columns \
	" FROM recipient WHERE message = ? AND n > 0 ORDER BY n"

static enum core_db_status count_fitting(struct walk *k, uint64_t id, uint64_t *count)
{
	struct core_stmt *s = core_db_stmt(k->db, OF_MESSAGE(COLUMNS));
	bind_twice(s, id);
	enum core_db_status status;
	*count = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		k->looks++;
		*count += row_fits(s, k->w->filter);
	}
	return status;
}

static enum core_db_status envelope_fits(struct core_db *db, const struct queue_filter *f, uint64_t id, bool *fits)
{
	*fits = true;
	if (f->sender == NULL && f->before_ms == 0)
		return CORE_DB_OK;
	struct core_stmt *s = core_db_stmt(db, "SELECT sender, arrived FROM message WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)id);
	enum core_db_status status = core_stmt_step(s);
	*fits = status == CORE_DB_ROW && (f->sender == NULL || queue_address_fits(core_stmt_col_text(s, 0), f->sender)) &&
	        (f->before_ms == 0 || core_stmt_col_int(s, 1) < f->before_ms);
	core_stmt_reset(s);
	return status == CORE_DB_ROW || status == CORE_DB_CORRUPT ? CORE_DB_OK : status;        /* what is damaged is not older than anything */
}

/* Of most messages the row that the stream is at is all there is. */
static enum core_db_status look_at(struct walk *k, uint64_t id, bool *go_on)
{
	const struct stream *first = &k->streams[0];
	bool alone = first->firsts && first->has && first->at == id && !(k->streams[1].has && k->streams[1].at == id);
	uint64_t count = alone && row_fits(first->stmt, k->w->filter);
	enum core_db_status status = alone ? CORE_DB_OK : count_fitting(k, id, &count);
	bool fits = false;
	if (status == CORE_DB_OK && count > 0)
		status = envelope_fits(k->db, k->w->filter, id, &fits);
	if (fits)
		*go_on = k->w->each(k->w->owner, id, count);
	return status;
}

static void pass(struct walk *k, uint64_t id)
{
	for (size_t i = 0; i < k->count; i++) {
		struct stream *s = &k->streams[i];
		if (s->has && s->at == id) {
			s->has = false;
			s->seen = id;
		}
	}
}

static enum core_db_status merge(struct walk *k)
{
	enum core_db_status status = CORE_DB_OK;
	bool go_on = true;
	while (status == CORE_DB_OK && go_on && !is_over(k)) {
		uint64_t m;
		struct stream *s = unknown(k, &m);
		if (s) {
			status = step(k, s);
			continue;
		}
		if (m == UINT64_MAX)
			break;
		status = look_at(k, m, &go_on);
		pass(k, m);
	}
	return status;
}

static enum core_db_status walk_one(struct walk *k, uint64_t id)
{
	bool fits = false;
	uint64_t count;
	k->w->next = 0;
	if (id <= k->w->after)
		return CORE_DB_OK;
	enum core_db_status status = count_fitting(k, id, &count);
	if (status == CORE_DB_OK && count > 0)
		status = envelope_fits(k->db, k->w->filter, id, &fits);
	if (fits)
		k->w->each(k->w->owner, id, count);
	return status;
}

enum core_db_status queue_walk(struct core_db *db, struct queue_walk *w)
{
	struct walk k = { .w = w, .db = db, .until_us = core_clock_mono_us() + QUEUE_LOOK_MS * 1000 };
	if (w->filter->id)
		return walk_one(&k, w->filter->id);
	add_streams(&k);
	enum core_db_status status = merge(&k);
	uint64_t to = frontier(&k);
	w->next = to == UINT64_MAX ? 0 : to;
	for (size_t i = 0; i < k.count; i++)
		if (k.streams[i].stmt)
			core_stmt_reset(k.streams[i].stmt);
	free(k.ids);
	return status;
}

/* ---- one message ---- */

static const char *copy(struct sp_arena *arena, struct core_stmt *s, int column)
{
	return sp_arena_dup(arena, core_stmt_col_text(s, column));
}

static void read_row(struct core_stmt *s, const struct queue_filter *f, struct sp_arena *arena, struct queue_walk_recipient *r)
{
	*r = (struct queue_walk_recipient){
		.row = core_stmt_col_int(s, 0), .n = (uint32_t)core_stmt_col_int(s, 1), .destination = copy(arena, s, 2), .address = copy(arena, s, 3),
		.taken = core_stmt_col_null(s, 4), .next_at_ms = core_stmt_col_int(s, 4), .mark = mark_of(s), .hold_rule = (uint64_t)core_stmt_col_int(s, 6),
		.attempts = (unsigned)core_stmt_col_int(s, 7), .deadline_ms = core_stmt_col_int(s, 8), .failure = copy(arena, s, 9),
		.hold_since_ms = core_stmt_col_int(s, 10), .hold_until_ms = core_stmt_col_int(s, 11), .hold_reason = copy(arena, s, 12),
		.fits = row_fits(s, f),
	};
	r->state = state_of(r->taken, r->mark);
}

enum core_db_status queue_walk_recipients(struct core_db *db, const struct queue_filter *f, uint64_t id, struct sp_arena *arena,
                                          struct queue_walk_recipient **out, size_t *count)
{
	struct core_stmt *s = core_db_stmt(db, OF_MESSAGE(COLUMNS_MORE));
	size_t room = 0;
	enum core_db_status status;
	bind_twice(s, id);
	*count = 0;
	*out = NULL;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		if (is_gone(s))
			continue;
		if (*count == room) {
			struct queue_walk_recipient *more = sp_arena_alloc(arena, (room = room ? room * 2 : 1) * sizeof(*more));
			if (*count > 0)
				memcpy(more, *out, *count * sizeof(*more));
			*out = more;
		}
		read_row(s, f, arena, &(*out)[(*count)++]);
	}
	return status;
}

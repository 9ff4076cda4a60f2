/* queue/rows.c - see rows.h. */
#include "queue/rows.h"

#include "queue/holds.h"
#include "queue/marks.h"
#include "queue/wish.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- adding ---- */

#define INSERT_MESSAGE "INSERT INTO message (id, kind, flags, arrived, size, header_len, sender, client, body, hold_until, by_at, envid)" \
	" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define INSERT_RECIPIENT "INSERT INTO recipient (id, message, n, destination, address, priority, notify, orcpt, next_at, deadline)" \
	" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define HELD_MAX_MS (INT64_C(100) * 365 * 86400 * 1000)   /* what is more is damage, and would overflow */
#define UNLESS_THERE " ON CONFLICT DO NOTHING"
#define INSERT_HELD "INSERT INTO recipient (id, message, n, destination, address, priority, notify, orcpt, next_at, deadline, mark, hold_since, hold_until," \
	" hold_rule, hold_reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 9223372036854775807, ?, 1, ?, ?, ?, ?)"

static void bind_number(struct core_stmt *s, int n, int64_t value)
{
	if (value > 0)
		core_stmt_int(s, n, value);
	else
		core_stmt_null(s, n);
}

static void bind_text(struct core_stmt *s, int n, const char *text)
{
	if (text && *text)
		core_stmt_text(s, n, sp_str_of(text));
	else
		core_stmt_null(s, n);
}

static enum core_db_status add_message(struct core_db *db, const struct queue_message *m, bool again)
{
	struct core_stmt *s = core_db_stmt(db, again ? INSERT_MESSAGE UNLESS_THERE : INSERT_MESSAGE);
	core_stmt_int(s, 1, (int64_t)m->id);
	core_stmt_int(s, 2, m->kind);
	core_stmt_int(s, 3, queue_wish_pack(m));
	core_stmt_int(s, 4, m->arrived_ms);
	core_stmt_int(s, 5, (int64_t)m->size);
	core_stmt_int(s, 6, m->header_len);
	core_stmt_text(s, 7, sp_str_of(m->sender));
	core_stmt_text(s, 8, sp_str_of(m->client));
	if (sp_body_path(m->body))
		core_stmt_null(s, 9);
	else
		core_stmt_blob(s, 9, sp_body_bytes(m->body));
	bind_number(s, 10, m->wish.hold_until_ms);
	bind_number(s, 11, m->wish.by != SP_BY_NONE ? m->wish.by_ms : 0);
	bind_text(s, 12, m->wish.envid);
	return core_stmt_run(s);
}

static int64_t held_deadline(const struct sp_mail_wish *w)
{
	int64_t at_ms;
	if (__builtin_add_overflow(w->hold_until_ms, QUEUE_LATE_MS, &at_ms))
		at_ms = INT64_MAX;
	return w->by != SP_BY_NONE && w->by_ms < at_ms ? w->by_ms : at_ms;
}

static void bind_recipient(struct core_stmt *s, uint64_t row, const struct queue_message *m, const struct queue_recipient *r)
{
	core_stmt_int(s, 1, (int64_t)row);
	core_stmt_int(s, 2, (int64_t)m->id);
	core_stmt_int(s, 3, r->n);
	core_stmt_text(s, 4, sp_str_of(r->destination));
	core_stmt_text(s, 5, sp_str_of(r->address));
	core_stmt_int(s, 6, m->wish.priority);
	bind_number(s, 7, r->wish.notify);
	bind_text(s, 8, r->wish.orcpt);
}

/* queue/marks.h: HELD. */
static enum core_db_status add_held(struct core_db *db, uint64_t row, const struct queue_message *m, const struct queue_recipient *r)
{
	struct core_stmt *s = core_db_stmt(db, INSERT_HELD);
	bind_recipient(s, row, m, r);
	bind_number(s, 9, r->held->until_ms);
	core_stmt_int(s, 10, m->arrived_ms);
	bind_number(s, 11, r->held->until_ms);
	bind_number(s, 12, (int64_t)r->held->id);
	bind_text(s, 13, r->held->reason);
	return core_stmt_run(s);
}

static enum core_db_status add_recipient(struct core_db *db, uint64_t row, const struct queue_message *m, const struct queue_recipient *r,
                                         bool again)
{
	if (r->held)
		return add_held(db, row, m, r);
	struct core_stmt *s = core_db_stmt(db, again ? INSERT_RECIPIENT UNLESS_THERE : INSERT_RECIPIENT);
	bind_recipient(s, row, m, r);
	bind_number(s, 9, m->wish.hold_until_ms);
	bind_number(s, 10, m->wish.hold_until_ms > 0 ? held_deadline(&m->wish) : 0);
	return core_stmt_run(s);
}

enum core_db_status queue_rows_wake(struct core_db *db, const char *destination, int64_t at_ms)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO destination (name, next_at, failures, since) VALUES (?, ?, 0, 0)"
	                                       " ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at"
	                                       " WHERE destination.failures = 0 AND destination.next_at > excluded.next_at");
	core_stmt_text(s, 1, sp_str_of(destination));
	core_stmt_int(s, 2, at_ms);
	return core_stmt_run(s);
}

enum core_db_status queue_rows_add(struct core_db *db, struct queue_store *s, const struct queue_job *job, bool again, struct queue_op *op)
{
	const struct queue_message *m = job->message;
	enum core_db_status status = add_message(db, m, again);
	if (status == CORE_DB_OK)
		op->messages += core_db_changes(db);
	for (size_t i = 0; i < job->count && status == CORE_DB_OK; i++) {
		const struct queue_recipient *r = &job->recipients[i];
		status = add_recipient(db, r->n == 0 ? m->id : queue_store_next_id(s), m, r, again);
		if (status == CORE_DB_OK)
			op->recipients += core_db_changes(db);
		if (status == CORE_DB_OK && m->wish.hold_until_ms > 0 && r->held == NULL)
			status = queue_rows_wake(db, r->destination, m->wish.hold_until_ms);
	}
	return status;
}

enum core_db_status queue_rows_need_destination(struct core_db *db, struct sp_str name, int64_t next_at_ms)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO destination (name, next_at, failures, since) VALUES (?, ?, 0, 0)"
	                                       " ON CONFLICT (name) DO NOTHING");
	core_stmt_text(s, 1, name);
	if (next_at_ms < 0)
		core_stmt_null(s, 2);
	else
		core_stmt_int(s, 2, next_at_ms);
	return core_stmt_run(s);
}

/* ---- dropping ---- */

enum core_db_status queue_rows_drop_if_done(struct core_db *db, uint64_t id, bool *in_file, struct queue_op *op)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM message WHERE id = ? AND NOT EXISTS (SELECT 1 FROM recipient WHERE id = ?)"
	                                       " AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = ? AND n > 0)"
	                                       " RETURNING body IS NULL");
	for (int i = 1; i <= 3; i++)
		core_stmt_int(s, i, (int64_t)id);
	enum core_db_status status;
	*in_file = false;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		*in_file = core_stmt_col_int(s, 0) != 0;
		op->messages--;
	}
	return status;
}

/* ---- reading: what is read may be damaged ---- */

/* Text that goes into commands and logs: a control character or NUL in it was not put there by us. */
static bool is_clean(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static struct sp_body *body_from_row(struct core_stmt *s, int column)
{
	struct sp_str blob = core_stmt_col_blob(s, column);
	return sp_body_from_memory(sp_str_dup(blob), blob.len);
}

static struct sp_body *body_from_file(const struct queue_store *store, const struct queue_message *m, struct sp_arena *arena,
                                      const char **damage)
{
	struct sp_body *body = NULL;
	struct sp_buf path;
	struct stat st;
	sp_buf_init(&path, 4096);
	queue_store_body_path(store, m->id, &path);
	if (stat(sp_buf_cstr(&path), &st) != 0)
		*damage = sp_arena_printf(arena, "its body %s: %s", sp_buf_cstr(&path), strerror(errno));
	else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != m->size)
		*damage = sp_arena_printf(arena, "its body %s has %lld octets, not %llu", sp_buf_cstr(&path), (long long)st.st_size,
		                          (unsigned long long)m->size);
	else
		body = sp_body_from_file(sp_buf_cstr(&path), (size_t)st.st_size);
	sp_buf_clear(&path);
	return body;
}

static struct queue_message *message_from_row(struct core_stmt *s, const struct queue_store *store, uint64_t id, struct sp_arena *arena,
                                              const char **damage)
{
	struct sp_str sender = core_stmt_col_text(s, 5), client = core_stmt_col_text(s, 6), envid = core_stmt_col_text(s, 10);
	int64_t kind = core_stmt_col_int(s, 0), size = core_stmt_col_int(s, 3), header_len = core_stmt_col_int(s, 4);
	bool in_file = core_stmt_col_null(s, 7);
	struct queue_message fields = {
		.id = id, .kind = (enum queue_kind)kind, .arrived_ms = core_stmt_col_int(s, 2),
		.size = (uint64_t)size, .header_len = (uint32_t)header_len,
		.wish.hold_until_ms = core_stmt_col_int(s, 8), .wish.by_ms = core_stmt_col_int(s, 9),
	};
	if (kind < QUEUE_MAIL || kind > QUEUE_REPORT || size < 0 || header_len < 0 || header_len > size || header_len > UINT32_MAX ||
	    !queue_wish_unpack(core_stmt_col_int(s, 1), &fields) || fields.wish.hold_until_ms < 0 || fields.wish.by_ms < 0 ||
	    envid.len > SP_ENVID_MAX || !is_clean(envid) ||
	    !is_clean(sender) || !is_clean(client) || (!in_file && core_stmt_col_blob(s, 7).len != (size_t)size)) {
		*damage = "its row is damaged";
		return NULL;
	}
	fields.sender = sp_arena_dup(arena, sender);
	fields.client = sp_arena_dup(arena, client);
	fields.wish.envid = sp_arena_dup(arena, envid);
	fields.body = in_file ? body_from_file(store, &fields, arena, damage) : body_from_row(s, 7);
	return fields.body ? queue_message_new(&fields) : NULL;
}

enum core_db_status queue_rows_message(struct core_db *db, const struct queue_store *store, uint64_t id, struct sp_arena *arena,
                                       struct queue_message **out, const char **damage)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT kind, flags, arrived, size, header_len, sender, client, body, hold_until, by_at, envid"
	                                       " FROM message WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)id);
	enum core_db_status status = core_stmt_step(s);
	*out = NULL;
	*damage = "its row is missing";
	if (status == CORE_DB_CORRUPT)
		*damage = "its row cannot be read: the spool is damaged";
	if (status == CORE_DB_OK || status == CORE_DB_CORRUPT)
		return CORE_DB_OK;
	if (status != CORE_DB_ROW)
		return status;
	*out = message_from_row(s, store, id, arena, damage);
	core_stmt_reset(s);
	return CORE_DB_OK;
}

static void push(struct queue_rows_recipients *list, struct sp_arena *arena, const struct queue_recipient *r)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 1;
		struct queue_recipient *at = sp_arena_alloc(arena, room * sizeof(*at));
		if (list->count > 0)
			memcpy(at, list->at, list->count * sizeof(*at));
		list->at = at;
		list->room = room;
	}
	list->at[list->count++] = *r;
}

/* n, address, attempts, notified, failure, next_at, notify, orcpt, priority, held, mark, hold_reason. False: not as we write them. */
static bool recipient_from_row(struct core_stmt *s, const char *destination, struct sp_arena *arena, struct queue_recipient *out)
{
	struct sp_str address = core_stmt_col_text(s, 1), orcpt = core_stmt_col_text(s, 7);
	int64_t n = core_stmt_col_int(s, 0), attempts = core_stmt_col_int(s, 2), notified = core_stmt_col_int(s, 3);
	int64_t notify = core_stmt_col_int(s, 6), priority = core_stmt_col_int(s, 8);
	if (address.len == 0 || !is_clean(address) || n < 0 || n > UINT32_MAX || attempts < 0 || attempts > UINT32_MAX ||
	    notified < 0 || notified > (QUEUE_NOTICE_DELAY | QUEUE_NOTICE_BY) || !queue_wish_is_notify(notify) ||
	    orcpt.len > SP_ORCPT_MAX || !is_clean(orcpt) || priority < SP_PRIORITY_MIN || priority > SP_PRIORITY_MAX)
		return false;
	*out = (struct queue_recipient){
		.n = (uint32_t)n, .address = sp_arena_dup(arena, address), .destination = destination,
		.attempts = (unsigned)attempts, .notified = (unsigned)notified, .next_at_ms = core_stmt_col_int(s, 5),
		.failure = core_stmt_col_null(s, 4) ? NULL : sp_arena_dup(arena, core_stmt_col_text(s, 4)),
		.wish = { .notify = (unsigned)notify, .orcpt = orcpt.len > 0 ? sp_arena_dup(arena, orcpt) : NULL },
		.held_ms = sp_max(sp_min(core_stmt_col_int(s, 9), HELD_MAX_MS), 0),
		.returned = core_stmt_col_int(s, 10) == QUEUE_MARK_TAKE ? sp_arena_dup(arena, core_stmt_col_text(s, 11)) : NULL,
	};
	return true;
}

static enum core_db_status read_recipients(struct core_stmt *s, const char *destination, struct sp_arena *arena,
                                           struct queue_rows_recipients *out, const char **damage)
{
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		struct queue_recipient r;
		if (recipient_from_row(s, destination, arena, &r))
			push(out, arena, &r);
		else
			*damage = "the row of a recipient is damaged";
	}
	if (status == CORE_DB_CORRUPT)
		*damage = "the row of a recipient cannot be read: the spool is damaged";
	return status == CORE_DB_CORRUPT ? CORE_DB_OK : status;
}

static void bind_key(struct core_stmt *s, uint64_t id, const char *destination, int64_t due_ms)
{
	core_stmt_int(s, 1, (int64_t)id);
	core_stmt_text(s, 2, sp_str_of(destination));
	core_stmt_int(s, 3, due_ms);
}

enum core_db_status queue_rows_take(struct core_db *db, uint64_t id, const char *destination, int64_t due_ms, struct sp_arena *arena,
                                    struct queue_rows_recipients *out, const char **damage)
{
#define FIRST " WHERE id = ? AND n = 0 AND destination = ? AND next_at <= ?"
#define MORE " WHERE message = ? AND n > 0 AND destination = ? AND next_at <= ?"
#define READ "SELECT n, address, attempts, notified, failure, next_at, notify, orcpt, priority, held, mark, hold_reason FROM recipient"
#define TAKE "UPDATE recipient SET next_at = NULL"
	static const struct { const char *read, *take; } sql[] = { { READ FIRST, TAKE FIRST }, { READ MORE, TAKE MORE } };
	enum core_db_status status = CORE_DB_OK;
	size_t found[SP_COUNT(sql)] = { 0 };
	*out = (struct queue_rows_recipients){ .at = NULL };
	*damage = NULL;
	for (size_t i = 0; i < SP_COUNT(sql) && status == CORE_DB_OK; i++) {
		size_t before = out->count;
		struct core_stmt *s = core_db_stmt(db, sql[i].read);
		bind_key(s, id, destination, due_ms);
		status = read_recipients(s, destination, arena, out, damage);
		found[i] = out->count - before;
	}
	for (size_t i = 0; i < SP_COUNT(sql) && status == CORE_DB_OK && *damage == NULL; i++) {
		if (found[i] == 0)
			continue;
		struct core_stmt *s = core_db_stmt(db, sql[i].take);
		bind_key(s, id, destination, due_ms);
		status = core_stmt_run(s);
	}
	return status;
}

enum core_db_status queue_rows_take_one(struct core_db *db, int64_t row, const char *destination, const char *reason, struct sp_arena *arena,
                                        struct queue_rows_recipients *out, const char **damage)
{
	*damage = NULL;
	struct core_stmt *s = core_db_stmt(db, "UPDATE recipient SET mark = 5, hold_reason = ? WHERE id = ?");
	bind_text(s, 1, reason);
	core_stmt_int(s, 2, row);
	enum core_db_status status = core_stmt_run(s);
	if (status == CORE_DB_OK) {
		s = core_db_stmt(db, READ " WHERE id = ?");
		core_stmt_int(s, 1, row);
		status = read_recipients(s, destination, arena, out, damage);
	}
	if (status != CORE_DB_OK || *damage)
		return status;
	s = core_db_stmt(db, TAKE ", deadline = NULL WHERE id = ?");
	core_stmt_int(s, 1, row);
	return core_stmt_run(s);
}

enum core_db_status queue_rows_priority_below(struct core_db *db, const char *destination, int64_t *priority)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT priority FROM recipient WHERE destination = ? AND priority < ? AND next_at IS NOT NULL"
	                                       " ORDER BY priority DESC LIMIT 1");
	core_stmt_text(s, 1, sp_str_of(destination));
	core_stmt_int(s, 2, *priority);
	enum core_db_status status = core_stmt_step(s);
	if (status == CORE_DB_ROW) {
		*priority = core_stmt_col_int(s, 0);
		core_stmt_reset(s);
	}
	return status;
}

/* queue/rows.c - see rows.h. */
#include "queue/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- adding ---- */

#define INSERT_MESSAGE "INSERT INTO message (id, kind, eight_bit, arrived, size, header_len, sender, client, body)" \
	" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define INSERT_RECIPIENT "INSERT INTO recipient (id, message, n, destination, address) VALUES (?, ?, ?, ?, ?)"
#define UNLESS_THERE " ON CONFLICT DO NOTHING"

static enum core_db_status add_message(struct core_db *db, const struct queue_message *m, bool again)
{
	struct core_stmt *s = core_db_stmt(db, again ? INSERT_MESSAGE UNLESS_THERE : INSERT_MESSAGE);
	core_stmt_int(s, 1, (int64_t)m->id);
	core_stmt_int(s, 2, m->kind);
	core_stmt_int(s, 3, m->eight_bit);
	core_stmt_int(s, 4, m->arrived_ms);
	core_stmt_int(s, 5, (int64_t)m->size);
	core_stmt_int(s, 6, m->header_len);
	core_stmt_text(s, 7, sp_str_of(m->sender));
	core_stmt_text(s, 8, sp_str_of(m->client));
	if (sp_body_path(m->body))
		core_stmt_null(s, 9);
	else
		core_stmt_blob(s, 9, sp_body_bytes(m->body));
	return core_stmt_run(s);
}

static enum core_db_status add_recipient(struct core_db *db, uint64_t row, uint64_t id, const struct queue_recipient *r, bool again)
{
	struct core_stmt *s = core_db_stmt(db, again ? INSERT_RECIPIENT UNLESS_THERE : INSERT_RECIPIENT);
	core_stmt_int(s, 1, (int64_t)row);
	core_stmt_int(s, 2, (int64_t)id);
	core_stmt_int(s, 3, r->n);
	core_stmt_text(s, 4, sp_str_of(r->destination));
	core_stmt_text(s, 5, sp_str_of(r->address));
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
		status = add_recipient(db, r->n == 0 ? m->id : queue_store_next_id(s), m->id, r, again);
		if (status == CORE_DB_OK)
			op->recipients += core_db_changes(db);
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
	struct sp_str sender = core_stmt_col_text(s, 5), client = core_stmt_col_text(s, 6);
	int64_t kind = core_stmt_col_int(s, 0), size = core_stmt_col_int(s, 3), header_len = core_stmt_col_int(s, 4);
	bool in_file = core_stmt_col_null(s, 7);
	if (kind < QUEUE_MAIL || kind > QUEUE_REPORT || size < 0 || header_len < 0 || header_len > size || header_len > UINT32_MAX ||
	    !is_clean(sender) || !is_clean(client) || (!in_file && core_stmt_col_blob(s, 7).len != (size_t)size)) {
		*damage = "its row is damaged";
		return NULL;
	}
	struct queue_message fields = {
		.id = id, .kind = (enum queue_kind)kind, .eight_bit = core_stmt_col_int(s, 1) != 0, .arrived_ms = core_stmt_col_int(s, 2),
		.size = (uint64_t)size, .header_len = (uint32_t)header_len,
		.sender = sp_arena_dup(arena, sender), .client = sp_arena_dup(arena, client),
	};
	fields.body = in_file ? body_from_file(store, &fields, arena, damage) : body_from_row(s, 7);
	return fields.body ? queue_message_new(&fields) : NULL;
}

enum core_db_status queue_rows_message(struct core_db *db, const struct queue_store *store, uint64_t id, struct sp_arena *arena,
                                       struct queue_message **out, const char **damage)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT kind, eight_bit, arrived, size, header_len, sender, client, body FROM message"
	                                       " WHERE id = ?");
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

static enum core_db_status read_recipients(struct core_stmt *s, const char *destination, struct sp_arena *arena,
                                           struct queue_rows_recipients *out, const char **damage)
{
	enum core_db_status status;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		struct sp_str address = core_stmt_col_text(s, 1);
		int64_t n = core_stmt_col_int(s, 0), attempts = core_stmt_col_int(s, 2);
		if (address.len == 0 || !is_clean(address) || n < 0 || n > UINT32_MAX || attempts < 0 || attempts > UINT32_MAX) {
			*damage = "the row of a recipient is damaged";
			continue;
		}
		struct queue_recipient r = {
			.n = (uint32_t)n, .address = sp_arena_dup(arena, address), .destination = destination,
			.attempts = (unsigned)attempts, .notified = core_stmt_col_int(s, 3) != 0,
			.failure = core_stmt_col_null(s, 4) ? NULL : sp_arena_dup(arena, core_stmt_col_text(s, 4)),
		};
		push(out, arena, &r);
	}
	if (status == CORE_DB_CORRUPT)
		*damage = "the row of a recipient cannot be read: the spool is damaged";
	return status == CORE_DB_CORRUPT ? CORE_DB_OK : status;
}

enum core_db_status queue_rows_take(struct core_db *db, uint64_t id, const char *destination, int64_t due_ms, struct sp_arena *arena,
                                    struct queue_rows_recipients *out, const char **damage)
{
#define TAKEN " AND destination = ? AND next_at <= ? RETURNING n, address, attempts, notified, failure"
	static const char *const sql[] = {
		("UPDATE recipient SET next_at = NULL WHERE id = ? AND n = 0" TAKEN),
		("UPDATE recipient SET next_at = NULL WHERE message = ? AND n > 0" TAKEN),
	};
	enum core_db_status status = CORE_DB_OK;
	*out = (struct queue_rows_recipients){ .at = NULL };
	*damage = NULL;
	for (size_t i = 0; i < SP_COUNT(sql) && status == CORE_DB_OK; i++) {
		struct core_stmt *s = core_db_stmt(db, sql[i]);
		core_stmt_int(s, 1, (int64_t)id);
		core_stmt_text(s, 2, sp_str_of(destination));
		core_stmt_int(s, 3, due_ms);
		status = read_recipients(s, destination, arena, out, damage);
	}
	return status;
}

/* queue/schema.c - see schema.h.
 * message     one row a message, written once and deleted once. body NULL: it is in a file.
 * recipient   the first one's row has the id of its message, so that most mail needs no second index; the others draw ids of their own and are
 *             found by recipient_more. next_at NULL: taken, that is in the memory of a shard (as all that is fresh), and in no index. At rest
 *             next_at is set, and the row of its destination exists (the transaction that puts it there makes both), but for QUEUE_NEVER and QUEUE_ASIDE.
 *             priority is its message's (RFC 6710), which stands here for the index. mark, hold_*: queue/marks.h. held: ms that it was held in all, once that is over.
 * destination next_at NULL: a shard has it.
 * flags is queue/wish.h's. What few messages ask for has columns that are NULL in the others, and cost an octet.
 * The types are SQLite's: INTEGER holds 64 bits, as BIGINT does in PostgreSQL, and BLOB is its BYTEA. */
#include "queue/schema.h"

#include "queue/counts.h"

#include <stdio.h>

#define QUEUE_VERSION 4

static const char tables_1[] =
	"CREATE TABLE message (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, eight_bit INTEGER NOT NULL, arrived INTEGER NOT NULL,"
	" size INTEGER NOT NULL, header_len INTEGER NOT NULL, sender TEXT NOT NULL, client TEXT NOT NULL, body BLOB);"
	"CREATE TABLE recipient (id INTEGER PRIMARY KEY, message INTEGER NOT NULL, n INTEGER NOT NULL, destination TEXT NOT NULL,"
	" address TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, notified INTEGER NOT NULL DEFAULT 0, next_at INTEGER,"
	" deadline INTEGER, failure TEXT);"
	"CREATE UNIQUE INDEX recipient_more ON recipient (message, n) WHERE n > 0;"
	"CREATE INDEX recipient_rest ON recipient (destination, next_at, message) WHERE next_at IS NOT NULL;"
	"CREATE INDEX recipient_deadline ON recipient (deadline) WHERE deadline IS NOT NULL AND next_at IS NOT NULL;"
	"CREATE TABLE destination (name TEXT PRIMARY KEY, next_at INTEGER, failures INTEGER NOT NULL, since INTEGER NOT NULL,"
	" failure TEXT);"
	"CREATE INDEX destination_next ON destination (next_at) WHERE next_at IS NOT NULL;"
	"CREATE TABLE suspect (message INTEGER PRIMARY KEY, crashes INTEGER NOT NULL);";

/* What an envelope asks for (core/wish.h), and the order of priorities in a destination. */
static const char tables_3[] =
	"ALTER TABLE message RENAME COLUMN eight_bit TO flags;"
	"ALTER TABLE message ADD COLUMN hold_until INTEGER;"
	"ALTER TABLE message ADD COLUMN by_at INTEGER;"
	"ALTER TABLE message ADD COLUMN envid TEXT;"
	"ALTER TABLE recipient ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE recipient ADD COLUMN notify INTEGER;"
	"ALTER TABLE recipient ADD COLUMN orcpt TEXT;"
	"DROP INDEX recipient_rest;"
	"CREATE INDEX recipient_rest ON recipient (destination, priority, next_at, message) WHERE next_at IS NOT NULL;";

/* What operators do to mail. Quarantined mail gets the mark that it is found by, and no index grows with mail that has none. */
static const char tables_4[] =
	"ALTER TABLE recipient ADD COLUMN mark INTEGER;"
	"ALTER TABLE recipient ADD COLUMN hold_since INTEGER;"
	"ALTER TABLE recipient ADD COLUMN hold_until INTEGER;"
	"ALTER TABLE recipient ADD COLUMN hold_rule INTEGER;"
	"ALTER TABLE recipient ADD COLUMN hold_reason TEXT;"
	"ALTER TABLE recipient ADD COLUMN held INTEGER;"
	"UPDATE recipient SET mark = 2 WHERE next_at = 9223372036854775807;"
	"CREATE INDEX recipient_marked ON recipient (mark, message) WHERE mark IS NOT NULL;"
	"CREATE TABLE hold_rule (id INTEGER PRIMARY KEY, sender TEXT, recipient TEXT, domain TEXT, since INTEGER NOT NULL, until INTEGER,"
	" reason TEXT);";

static enum core_db_status migrate_queue(struct core_db *db, unsigned from)
{
	enum core_db_status status = from < 1 ? core_db_exec(db, tables_1) : CORE_DB_OK;
	if (status == CORE_DB_OK && from < 2)
		status = queue_counts_make(db);
	if (status == CORE_DB_OK && from < 3)
		status = core_db_exec(db, tables_3);
	return status == CORE_DB_OK && from < 4 ? core_db_exec(db, tables_4) : status;
}

/* ---- values of our own ---- */

static enum core_db_status get_value(struct core_db *db, const char *name, int64_t *out)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT value FROM store WHERE name = ?");
	core_stmt_text(s, 1, sp_str_of(name));
	enum core_db_status status = core_stmt_step(s);
	*out = 0;
	if (status != CORE_DB_ROW)
		return status;
	*out = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return CORE_DB_OK;
}

static enum core_db_status set_value(struct core_db *db, const char *name, int64_t value)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO store (name, value) VALUES (?, ?)"
	                                       " ON CONFLICT (name) DO UPDATE SET value = excluded.value");
	core_stmt_text(s, 1, sp_str_of(name));
	core_stmt_int(s, 2, value);
	return core_stmt_run(s);
}

/* ---- damage ----
 * A flipped bit in the text of a table would make our SQL fail to compile, which is taken for a bug of ours, or change what a column means.
 * So the texts of all tables are summed up when they were made, and compared before anything is asked of them. */

static enum core_db_status sum_tables(struct core_db *db, int64_t *sum, int64_t *count)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
	enum core_db_status status;
	uint64_t h = 0;
	*count = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW) {
		for (int i = 0; i < 4; i++)
			h = (h ^ sp_hash(core_stmt_col_text(s, i))) * 0x100000001b3u;
		++*count;
	}
	*sum = (int64_t)h;
	return status;
}

static bool fail(struct core_db *db, enum core_db_status status, struct sp_fail *why)
{
	core_db_fail(db, status, why);
	return false;
}

static bool damaged(struct sp_fail *why)
{
	sp_fail_set(why, SP_FAIL_STORE, "spool.db is damaged: its tables are not as strictpost made them; put a copy back, or save what can be "
	            "read with: sqlite3 spool.db .recover");
	snprintf(why->reason, sizeof(why->reason), "damaged");
	return false;
}

bool queue_schema_check(struct core_db *db, struct sp_fail *why)
{
	int64_t sum, count, wanted;
	enum core_db_status status = core_db_exec(db, "SELECT name, value FROM store LIMIT 0");
	if (status == CORE_DB_ERROR)            /* no such table, or another one */
		return damaged(why);
	if (status == CORE_DB_OK)
		status = sum_tables(db, &sum, &count);
	if (status == CORE_DB_OK)
		status = get_value(db, "tables", &wanted);
	if (status != CORE_DB_OK)
		return fail(db, status, why);
	return sum == wanted || damaged(why);
}

/* ---- bringing up ---- */

static bool migrate_one(struct core_db *db, const struct queue_schema *room, struct sp_fail *why)
{
	char name[64];
	int64_t from;
	snprintf(name, sizeof(name), "version %s", room->name);
	enum core_db_status status = get_value(db, name, &from);
	if (status != CORE_DB_OK)
		return fail(db, status, why);
	if (from < 0 || from > room->version) {
		sp_fail_set(why, SP_FAIL_STORE, "spool.db was written by a newer strictpost: its %s tables have version %lld, this program "
		            "knows %u; run the newer one", room->name, (long long)from, room->version);
		snprintf(why->reason, sizeof(why->reason), "newer");
		return false;
	}
	if (from == room->version)
		return true;
	status = room->migrate(db, (unsigned)from);
	if (status == CORE_DB_OK || status == CORE_DB_ROW)
		status = set_value(db, name, room->version);
	return status == CORE_DB_OK || fail(db, status, why);
}

/* Every start is a run of its own: what follows it in an identifier may be counted in memory. */
static bool count_run(struct core_db *db, uint64_t *run, struct sp_fail *why)
{
	int64_t last;
	enum core_db_status status = get_value(db, "run", &last);
	if (status == CORE_DB_OK && (last < 0 || last >= QUEUE_RUNS_MAX))
		return damaged(why);
	if (status == CORE_DB_OK)
		status = set_value(db, "run", last + 1);
	*run = (uint64_t)last + 1;
	return status == CORE_DB_OK || fail(db, status, why);
}

static bool migrate_all(struct core_db *db, const struct queue_schema *others, size_t other_count, struct sp_fail *why)
{
	static const struct queue_schema ours = { "queue", QUEUE_VERSION, migrate_queue };
	if (!migrate_one(db, &ours, why))
		return false;
	for (size_t i = 0; i < other_count; i++)
		if (!migrate_one(db, &others[i], why))
			return false;
	int64_t sum, count;
	enum core_db_status status = sum_tables(db, &sum, &count);
	if (status == CORE_DB_OK)
		status = set_value(db, "tables", sum);
	return status == CORE_DB_OK || fail(db, status, why);
}

bool queue_schema_is_new(struct core_db *db)
{
	int64_t sum, count;
	return sum_tables(db, &sum, &count) == CORE_DB_OK && count == 0;
}

bool queue_schema_bring_up(struct core_db *db, const struct queue_schema *others, size_t other_count, uint64_t *run,
                           struct sp_fail *why)
{
	bool new = queue_schema_is_new(db);
	enum core_db_status status = core_db_begin(db);
	if (status != CORE_DB_OK)
		return fail(db, status, why);
	if (new)
		status = core_db_exec(db, "CREATE TABLE store (name TEXT PRIMARY KEY, value INTEGER NOT NULL)");
	bool up = status == CORE_DB_OK ? (new || queue_schema_check(db, why)) : fail(db, status, why);
	up = up && migrate_all(db, others, other_count, why) && count_run(db, run, why);
	if (!up) {
		core_db_rollback(db);
		return false;
	}
	status = core_db_commit(db);
	if (status != CORE_DB_OK) {
		core_db_rollback(db);
		return fail(db, status, why);
	}
	return true;
}

/* core/db.c - see db.h.
 * A statement is prepared once and kept for the life of its connection, found again by the address of its SQL. A failure is
 * noted in words where it happens (`last`), because a rollback afterwards makes SQLite forget it. */
#include "core/db.h"

#include "core/map.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_WAIT_MS 5000

struct core_stmt {
	struct sp_map_node node;        /* in db->stmts, by the bytes of `sql` */
	const char *sql;
	sqlite3_stmt *st;               /* NULL where the database could not be read when it was prepared */
	enum core_db_status broken;     /* why st is NULL */
	struct core_db *db;
};

struct core_db {
	sqlite3 *sq;
	struct sp_map stmts;
	char last[400];                 /* what the last failure said */
};

/* ---- statuses ---- */

const char *core_db_status_str(enum core_db_status status)
{
	static const char *const names[] = {
		[CORE_DB_OK] = "ok", [CORE_DB_ROW] = "row", [CORE_DB_FULL] = "disk full", [CORE_DB_BUSY] = "busy",
		[CORE_DB_CORRUPT] = "damaged", [CORE_DB_IO] = "input/output error",
		[CORE_DB_CONSTRAINT] = "constraint", [CORE_DB_ERROR] = "error",
	};
	return names[status];
}

static enum core_db_status status_of(sqlite3 *sq, int rc)
{
	switch (rc & 0xff) {                    /* extended codes carry the cause in the upper bits */
	case SQLITE_OK:
	case SQLITE_DONE:
		return CORE_DB_OK;
	case SQLITE_ROW:
		return CORE_DB_ROW;
	case SQLITE_FULL:
		return CORE_DB_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:                   /* lost the race for WAL locks many times */
		return CORE_DB_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return CORE_DB_CORRUPT;
	case SQLITE_IOERR: {
		int cause = sqlite3_system_errno(sq);   /* SQLite knows ENOSPC itself, but not a quota */
		return cause == EDQUOT || cause == ENOSPC ? CORE_DB_FULL : CORE_DB_IO;
	}
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return CORE_DB_IO;
	case SQLITE_CONSTRAINT:
		return CORE_DB_CONSTRAINT;
	default:
		sp_assert((rc & 0xff) != SQLITE_NOMEM);         /* as sp_alloc(): a restart is safe */
		return CORE_DB_ERROR;
	}
}

static enum core_db_status note(struct core_db *db, int rc, const char *sql)
{
	enum core_db_status status = status_of(db->sq, rc);
	if (status != CORE_DB_OK && status != CORE_DB_ROW)
		snprintf(db->last, sizeof(db->last), "%.200s (%d) in \"%.150s\"", sqlite3_errmsg(db->sq),
		         sqlite3_extended_errcode(db->sq), sql);
	return status;
}

void core_db_fail(struct core_db *db, enum core_db_status status, struct sp_fail *why)
{
	sp_fail_set(why, SP_FAIL_STORE, "database: %s: %s", core_db_status_str(status), db->last);
}

/* ---- opening ---- */

static void explain_path(const char *path, const char *said, int cause, struct sp_fail *why)
{
	char folder[4096];
	snprintf(folder, sizeof(folder), "%s", path);
	const char *at = path;
	struct stat st;
	if (stat(path, &st) != 0 || access(path, R_OK | W_OK) == 0)
		at = dirname(folder);                   /* the file is missing or fine: look at where it has to be */
	if (stat(at, &st) != 0) {
		sp_fail_set(why, SP_FAIL_STORE, "cannot open %s: %s: %s", path, at, strerror(errno));
		return;
	}
	if (access(at, S_ISDIR(st.st_mode) ? R_OK | W_OK | X_OK : R_OK | W_OK) == 0) {
		sp_fail_set(why, SP_FAIL_STORE, "cannot open %s: %s%s%s", path, said, cause ? ": " : "",
		            cause ? strerror(cause) : "");
		return;
	}
	sp_fail_set(why, SP_FAIL_STORE, "cannot open %s as uid %u: %s has mode %04o and owner %u; mend it with: chown %u %s",
	            path, (unsigned)geteuid(), at, (unsigned)st.st_mode & 07777, (unsigned)st.st_uid, (unsigned)geteuid(), at);
}

/* Ours alone to read, and known to the folder before anything is trusted to it. Only ever opened here when it is new: closing
 * a second descriptor of a database would drop the locks that SQLite holds on it. */
static bool make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST;
	close(fd);
	char folder[4096];
	snprintf(folder, sizeof(folder), "%s", path);
	int dir = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	bool synced = fsync(dir) == 0;
	close(dir);
	return synced;
}

static bool set_wal(struct core_db *db)
{
	sqlite3_stmt *st;
	if (sqlite3_prepare_v2(db->sq, "PRAGMA journal_mode=WAL", -1, &st, NULL) != SQLITE_OK)
		return false;
	bool wal = sqlite3_step(st) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
	return sqlite3_finalize(st) == SQLITE_OK && wal;
}

static int settle(struct core_db *db, bool read_only)
{
	sqlite3_extended_result_codes(db->sq, 1);
	sqlite3_busy_timeout(db->sq, BUSY_WAIT_MS);
	int rc = sqlite3_exec(db->sq, "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192; SELECT count(*) FROM sqlite_schema",
	                      NULL, NULL, NULL);
	if (rc != SQLITE_OK || read_only)
		return rc;
	if (!set_wal(db))
		return sqlite3_errcode(db->sq) == SQLITE_OK ? SQLITE_IOERR : sqlite3_errcode(db->sq);
	/* Checkpoints cost a sync of the whole file: rarer than the default 1000 pages. After a rush the log shrinks again. */
	return sqlite3_exec(db->sq, "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864",
	                    NULL, NULL, NULL);
}

struct core_db *core_db_open(const char *path, bool read_only, struct sp_fail *why)
{
	if (!read_only && !make_file(path)) {
		explain_path(path, "cannot be made", errno, why);
		return NULL;
	}
	struct core_db *db = sp_alloc(sizeof(*db));
	sp_map_init(&db->stmts);
	int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX;
	int rc = sqlite3_open_v2(path, &db->sq, flags, NULL);
	if (rc == SQLITE_OK)
		rc = settle(db, read_only);
	if (rc == SQLITE_OK)
		return db;
	explain_path(path, sqlite3_errmsg(db->sq), sqlite3_system_errno(db->sq), why);
	core_db_close(db);
	return NULL;
}

static void free_stmt(struct sp_map_node *n, void *arg)
{
	struct core_db *db = arg;
	struct core_stmt *s = sp_container_of(n, struct core_stmt, node);
	sp_map_remove(&db->stmts, n);
	sqlite3_finalize(s->st);
	free(s);
}

void core_db_close(struct core_db *db)
{
	if (db == NULL)
		return;
	sp_map_each(&db->stmts, free_stmt, db);
	sp_map_clear(&db->stmts);
	int rc = sqlite3_close(db->sq);
	sp_assert(rc == SQLITE_OK);
	free(db);
}

/* ---- transactions ---- */

enum core_db_status core_db_exec(struct core_db *db, const char *sql)
{
	return note(db, sqlite3_exec(db->sq, sql, NULL, NULL, NULL), sql);
}

enum core_db_status core_db_begin(struct core_db *db)
{
	return core_stmt_run(core_db_stmt(db, "BEGIN IMMEDIATE"));
}

enum core_db_status core_db_commit(struct core_db *db)
{
	return core_stmt_run(core_db_stmt(db, "COMMIT"));
}

void core_db_rollback(struct core_db *db)
{
	if (!sqlite3_get_autocommit(db->sq))            /* SQLite rolls back by itself after some failures */
		sqlite3_exec(db->sq, "ROLLBACK", NULL, NULL, NULL);
}

int64_t core_db_changes(struct core_db *db)
{
	return sqlite3_changes(db->sq);
}

/* ---- statements ---- */

static void prepare(struct core_stmt *s)
{
	int rc = sqlite3_prepare_v3(s->db->sq, s->sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st, NULL);
	s->broken = note(s->db, rc, s->sql);
	bool compiles = (rc & 0xff) != SQLITE_ERROR;
	if (!compiles)
		fprintf(stderr, "%s\n", s->db->last);
	sp_assert(compiles);
}

struct core_stmt *core_db_stmt(struct core_db *db, const char *sql)
{
	struct sp_str key = sp_str_make((const char *)&sql, sizeof(sql));       /* the pointer, not the text */
	struct sp_map_node *n = sp_map_find(&db->stmts, key);
	struct core_stmt *s;
	if (n) {
		s = sp_container_of(n, struct core_stmt, node);
		core_stmt_reset(s);
	} else {
		s = sp_alloc(sizeof(*s));
		s->sql = sql;
		s->db = db;
		sp_map_insert(&db->stmts, &s->node, sp_str_make((const char *)&s->sql, sizeof(s->sql)));
	}
	if (s->st == NULL)
		prepare(s);
	return s;
}

void core_stmt_int(struct core_stmt *s, int n, int64_t value)
{
	int rc = s->st ? sqlite3_bind_int64(s->st, n, value) : SQLITE_OK;
	sp_assert(rc == SQLITE_OK);
}

void core_stmt_text(struct core_stmt *s, int n, struct sp_str value)
{
	const char *p = value.len ? value.p : "";
	int rc = s->st ? sqlite3_bind_text64(s->st, n, p, value.len, SQLITE_STATIC, SQLITE_UTF8) : SQLITE_OK;
	sp_assert(rc == SQLITE_OK);
}

void core_stmt_blob(struct core_stmt *s, int n, struct sp_str value)
{
	const char *p = value.len ? value.p : "";       /* a NULL pointer would bind NULL, not an empty blob */
	int rc = s->st ? sqlite3_bind_blob64(s->st, n, p, value.len, SQLITE_STATIC) : SQLITE_OK;
	sp_assert(rc == SQLITE_OK);
}

void core_stmt_null(struct core_stmt *s, int n)
{
	int rc = s->st ? sqlite3_bind_null(s->st, n) : SQLITE_OK;
	sp_assert(rc == SQLITE_OK);
}

enum core_db_status core_stmt_step(struct core_stmt *s)
{
	if (s->st == NULL)
		return s->broken;
	int rc = sqlite3_step(s->st);
	if (rc == SQLITE_ROW)
		return CORE_DB_ROW;
	enum core_db_status status = note(s->db, rc, s->sql);
	core_stmt_reset(s);
	return status;
}

enum core_db_status core_stmt_run(struct core_stmt *s)
{
	enum core_db_status status = core_stmt_step(s);
	sp_assert(status != CORE_DB_ROW);
	return status;
}

void core_stmt_reset(struct core_stmt *s)
{
	if (s->st == NULL)
		return;
	sqlite3_reset(s->st);                   /* repeats the failure that step already told */
	sqlite3_clear_bindings(s->st);          /* borrowed bytes may go now */
}

int64_t core_stmt_col_int(struct core_stmt *s, int n)
{
	return sqlite3_column_int64(s->st, n);
}

struct sp_str core_stmt_col_text(struct core_stmt *s, int n)
{
	const char *p = (const char *)sqlite3_column_text(s->st, n);    /* before the length: it may convert */
	return p ? sp_str_make(p, (size_t)sqlite3_column_bytes(s->st, n)) : SP_STR("");
}

struct sp_str core_stmt_col_blob(struct core_stmt *s, int n)
{
	const char *p = sqlite3_column_blob(s->st, n);
	return p ? sp_str_make(p, (size_t)sqlite3_column_bytes(s->st, n)) : SP_STR("");
}

bool core_stmt_col_null(struct core_stmt *s, int n)
{
	return sqlite3_column_type(s->st, n) == SQLITE_NULL;
}

/* core/db.h - a thin layer over the database: open, prepare, bind, step, transaction.
 * SQLite: WAL, synchronous=FULL (NORMAL loses acknowledged mail on power loss). SQL stands with its owner and keeps to
 * what SQLite and PostgreSQL both speak. One connection belongs to one thread. */
#ifndef CORE_DB_H
#define CORE_DB_H

#include "core/buf.h"
#include "core/fail.h"

struct core_db;                 /* opaque: a connection */
struct core_stmt;               /* opaque: a prepared statement; kept by the connection, reset after its last row */

enum core_db_status {
	CORE_DB_OK,             /* done, no row */
	CORE_DB_ROW,            /* a row is there to read */
	CORE_DB_FULL,           /* disk full, quota */
	CORE_DB_BUSY,           /* somebody else holds it */
	CORE_DB_CORRUPT,        /* the file is damaged */
	CORE_DB_IO,             /* read, write or sync failed */
	CORE_DB_CONSTRAINT,     /* a key was there already */
	CORE_DB_ERROR           /* anything else: a bug in our SQL */
};

/* Opens or makes the file. NULL with *why (path, mode, uid, and the command that mends it where it is permissions). */
SP_NODISCARD struct core_db *core_db_open(const char *path, bool read_only, struct sp_fail *why);
void core_db_close(struct core_db *db);                          /* finalizes its statements; NULL is fine */

/* Plain SQL without parameters, several statements allowed: schema, pragmas. */
SP_NODISCARD enum core_db_status core_db_exec(struct core_db *db, const char *sql);
SP_NODISCARD enum core_db_status core_db_begin(struct core_db *db);      /* IMMEDIATE */
SP_NODISCARD enum core_db_status core_db_commit(struct core_db *db);     /* returns after the sync */
void core_db_rollback(struct core_db *db);                               /* fine when SQLite has already rolled back */

/* A statement, prepared once per connection and SQL text (keyed by the pointer: pass a string constant). Bound values and any
 * row before are gone. Asserts that our SQL compiles. */
struct core_stmt *core_db_stmt(struct core_db *db, const char *sql);
/* Binds parameter `n` (from 1). Text and blobs are borrowed until the statement is reset. */
void core_stmt_int(struct core_stmt *s, int n, int64_t value);
void core_stmt_text(struct core_stmt *s, int n, struct sp_str value);
void core_stmt_blob(struct core_stmt *s, int n, struct sp_str value);
void core_stmt_null(struct core_stmt *s, int n);
/* Next row, or done (then it is reset). */
SP_NODISCARD enum core_db_status core_stmt_step(struct core_stmt *s);
/* Runs a statement that gives no rows. */
SP_NODISCARD enum core_db_status core_stmt_run(struct core_stmt *s);
void core_stmt_reset(struct core_stmt *s);                       /* after the last row that is wanted: open readers starve checkpoints */
/* Column `n` (from 0) of the row; text and blobs are lent until the next step or reset. NULL reads as 0 or "". */
int64_t core_stmt_col_int(struct core_stmt *s, int n);
struct sp_str core_stmt_col_text(struct core_stmt *s, int n);
struct sp_str core_stmt_col_blob(struct core_stmt *s, int n);
bool core_stmt_col_null(struct core_stmt *s, int n);

int64_t core_db_changes(struct core_db *db);                     /* rows that the last statement changed */
/* What the last failure said, with the SQL where it helps. */
void core_db_fail(struct core_db *db, enum core_db_status status, struct sp_fail *why);
const char *core_db_status_str(enum core_db_status status);

#endif

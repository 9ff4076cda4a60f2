/* tests/unit/core_db_test.c - core/db.c: transactions, statements, and what is told when the disk or the file is bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/db.h"

static char folder[64];
static char path[80];

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/core_db_test.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/x.db", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct core_db *open_db(bool read_only)
{
	struct sp_fail why;
	struct core_db *db = core_db_open(path, read_only, &why);
	if (db == NULL)
		fail_msg("%s", why.text);
	return db;
}

static void insert(struct core_db *db, int64_t key, struct sp_str value, enum core_db_status want)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO t (k, v) VALUES (?, ?)");
	core_stmt_int(s, 1, key);
	core_stmt_blob(s, 2, value);
	assert_int_equal(core_stmt_run(s), want);
}

static int64_t count(struct core_db *db)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT count(*) FROM t");
	assert_int_equal(core_stmt_step(s), CORE_DB_ROW);
	int64_t n = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return n;
}

static void make_table(struct core_db *db)
{
	assert_int_equal(core_db_exec(db, "CREATE TABLE t (k BIGINT PRIMARY KEY, v BLOB); CREATE INDEX i ON t (v)"), CORE_DB_OK);
}

static void test_values_come_back(void **state)
{
	(void)state;
	struct core_db *db = open_db(false);
	assert_int_equal(core_db_exec(db, "CREATE TABLE v (i BIGINT, t TEXT, b BLOB, n TEXT)"), CORE_DB_OK);
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO v VALUES (?, ?, ?, ?)");
	core_stmt_int(s, 1, INT64_MIN);
	core_stmt_text(s, 2, SP_STR("m\xc3\xbcller"));
	core_stmt_blob(s, 3, sp_str_make("a\0b", 3));
	core_stmt_null(s, 4);
	assert_int_equal(core_stmt_run(s), CORE_DB_OK);
	assert_int_equal(core_db_changes(db), 1);
	s = core_db_stmt(db, "INSERT INTO v VALUES (?, ?, ?, ?)");
	core_stmt_int(s, 1, 1);
	core_stmt_text(s, 2, sp_str_of(NULL));          /* empty, not NULL */
	core_stmt_blob(s, 3, sp_str_of(NULL));
	assert_int_equal(core_stmt_run(s), CORE_DB_OK); /* the last was not bound: NULL */

	s = core_db_stmt(db, "SELECT i, t, b, n FROM v ORDER BY i");
	assert_int_equal(core_stmt_step(s), CORE_DB_ROW);
	assert_true(core_stmt_col_int(s, 0) == INT64_MIN);
	assert_true(sp_str_eq(core_stmt_col_text(s, 1), SP_STR("m\xc3\xbcller")));
	assert_true(sp_str_eq(core_stmt_col_blob(s, 2), sp_str_make("a\0b", 3)));
	assert_true(core_stmt_col_null(s, 3));
	assert_true(sp_str_eq(core_stmt_col_text(s, 3), SP_STR("")));
	assert_int_equal(core_stmt_col_int(s, 3), 0);
	assert_int_equal(core_stmt_step(s), CORE_DB_ROW);
	assert_false(core_stmt_col_null(s, 1));
	assert_false(core_stmt_col_null(s, 2));
	assert_int_equal(core_stmt_col_blob(s, 2).len, 0);
	assert_true(core_stmt_col_null(s, 3));
	assert_int_equal(core_stmt_step(s), CORE_DB_OK);
	core_db_close(db);
}

static void test_statement_is_kept(void **state)
{
	(void)state;
	struct core_db *db = open_db(false);
	make_table(db);
	static const char sql[] = "SELECT k FROM t ORDER BY k";
	insert(db, 1, SP_STR("a"), CORE_DB_OK);
	insert(db, 2, SP_STR("b"), CORE_DB_OK);
	struct core_stmt *s = core_db_stmt(db, sql);
	assert_int_equal(core_stmt_step(s), CORE_DB_ROW);
	assert_ptr_equal(core_db_stmt(db, sql), s);     /* and begins anew */
	assert_int_equal(core_stmt_step(s), CORE_DB_ROW);
	assert_int_equal(core_stmt_col_int(s, 0), 1);
	core_stmt_reset(s);
	core_db_close(db);
}

static void test_transactions(void **state)
{
	(void)state;
	struct core_db *db = open_db(false), *reader = NULL;
	make_table(db);
	reader = open_db(true);
	assert_int_equal(core_db_begin(db), CORE_DB_OK);
	insert(db, 1, SP_STR("one"), CORE_DB_OK);
	assert_int_equal(count(reader), 0);             /* not before the commit */
	assert_int_equal(core_db_commit(db), CORE_DB_OK);
	assert_int_equal(count(reader), 1);
	assert_int_equal(core_db_begin(db), CORE_DB_OK);
	insert(db, 2, SP_STR("two"), CORE_DB_OK);
	insert(db, 1, SP_STR("again"), CORE_DB_CONSTRAINT);     /* ends the statement, not the transaction */
	insert(db, 3, SP_STR("three"), CORE_DB_OK);
	struct sp_fail why;
	core_db_fail(db, CORE_DB_CONSTRAINT, &why);
	assert_int_equal(why.kind, SP_FAIL_STORE);
	assert_non_null(strstr(why.text, "UNIQUE constraint failed: t.k"));
	assert_non_null(strstr(why.text, "INSERT INTO t"));
	core_db_rollback(db);
	core_db_rollback(db);                           /* nothing to roll back: fine */
	assert_int_equal(count(db), 1);
	struct core_stmt *s = core_db_stmt(reader, "DELETE FROM t");
	assert_int_equal(core_stmt_run(s), CORE_DB_IO); /* read only */
	core_db_close(reader);
	core_db_close(db);
	db = open_db(false);
	assert_int_equal(count(db), 1);
	core_db_close(db);
}

static int64_t pragma(struct core_db *db, const char *sql)
{
	struct core_stmt *s = core_db_stmt(db, sql);
	assert_int_equal(core_stmt_step(s), CORE_DB_ROW);
	int64_t n = core_stmt_col_int(s, 0);
	core_stmt_reset(s);
	return n;
}

/* WAL with synchronous=NORMAL loses acknowledged mail on power loss. */
static void test_durability_settings(void **state)
{
	(void)state;
	struct core_db *db = open_db(false);
	assert_int_equal(pragma(db, "PRAGMA synchronous"), 2);
	struct core_stmt *s = core_db_stmt(db, "PRAGMA journal_mode");
	assert_int_equal(core_stmt_step(s), CORE_DB_ROW);
	assert_true(sp_str_eq(core_stmt_col_text(s, 0), SP_STR("wal")));
	core_stmt_reset(s);
	assert_int_equal(pragma(db, "PRAGMA wal_autocheckpoint"), 4000);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	core_db_close(db);
}

static void test_second_writer_is_busy(void **state)
{
	(void)state;
	struct core_db *a = open_db(false), *b = open_db(false);
	make_table(a);
	assert_int_equal(core_db_exec(b, "PRAGMA busy_timeout=10"), CORE_DB_OK);
	assert_int_equal(core_db_begin(a), CORE_DB_OK);
	assert_int_equal(core_db_begin(b), CORE_DB_BUSY);
	core_db_rollback(b);
	assert_int_equal(core_db_commit(a), CORE_DB_OK);
	assert_int_equal(core_db_begin(b), CORE_DB_OK);
	core_db_rollback(b);
	core_db_close(a);
	core_db_close(b);
}

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fwrite(text, 1, len, f);
	fclose(f);
}

static void test_open_failures(void **state)
{
	(void)state;
	struct sp_fail why;
	char junk[8192];
	memset(junk, 'x', sizeof(junk));
	write_file(junk, sizeof(junk));
	assert_null(core_db_open(path, false, &why));
	assert_non_null(strstr(why.text, path));
	assert_non_null(strstr(why.text, "not a database"));
	assert_int_equal(why.kind, SP_FAIL_STORE);
	assert_null(core_db_open("/nonexistent/x.db", false, &why));
	assert_non_null(strstr(why.text, "/nonexistent"));
	unlink(path);
	assert_null(core_db_open(path, true, &why));    /* a reader does not make it */
	assert_true(access(path, F_OK) != 0);
	if (geteuid() == 0)                             /* root may do everything */
		return;
	chmod(folder, 0500);
	assert_null(core_db_open(path, false, &why));
	chmod(folder, 0700);
	assert_non_null(strstr(why.text, "chown"));
	assert_non_null(strstr(why.text, "0500"));
}

/* Pages in the middle of a file are overwritten behind SQLite's back. */
static void test_damaged_file(void **state)
{
	(void)state;
	struct core_db *db = open_db(false);
	make_table(db);
	for (int i = 0; i < 1000; i++) {
		char value[200];
		memset(value, 'a' + i % 26, sizeof(value));
		insert(db, i, sp_str_make(value, sizeof(value)), CORE_DB_OK);
	}
	core_db_close(db);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	char junk[4096];
	memset(junk, 0xee, sizeof(junk));
	FILE *f = fopen(path, "r+");
	for (off_t at = 4096; at < st.st_size; at += 4096) {
		fseek(f, at, SEEK_SET);
		fwrite(junk, 1, sizeof(junk), f);
	}
	fclose(f);
	db = open_db(false);
	struct core_stmt *s = core_db_stmt(db, "SELECT v FROM t WHERE k = 500");
	assert_int_equal(core_stmt_step(s), CORE_DB_CORRUPT);
	struct sp_fail why;
	core_db_fail(db, CORE_DB_CORRUPT, &why);
	assert_non_null(strstr(why.text, "damaged"));
	core_db_close(db);
}

/* A file that may not grow stands for a disk that is full: the transaction fails, what was committed stays. */
static void test_no_room(void **state)
{
	(void)state;
	struct core_db *db = open_db(false);
	make_table(db);
	insert(db, 1, SP_STR("kept"), CORE_DB_OK);
	assert_int_equal(core_db_exec(db, "PRAGMA max_page_count=20"), CORE_DB_OK);
	char *big = sp_alloc(200000);
	memset(big, 'x', 200000);
	assert_int_equal(core_db_begin(db), CORE_DB_OK);
	insert(db, 2, sp_str_make(big, 200000), CORE_DB_FULL);
	core_db_rollback(db);
	assert_int_equal(count(db), 1);
	assert_int_equal(core_db_exec(db, "PRAGMA max_page_count=1000000"), CORE_DB_OK);

	struct rlimit old, small = { 60000, 60000 };
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(core_db_begin(db), CORE_DB_OK);
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO t (k, v) VALUES (?, ?)");
	core_stmt_int(s, 1, 3);
	core_stmt_blob(s, 2, sp_str_make(big, 200000));
	enum core_db_status status = core_stmt_run(s);
	if (status == CORE_DB_OK)
		status = core_db_commit(db);
	assert_true(status == CORE_DB_IO || status == CORE_DB_FULL);
	core_db_rollback(db);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(count(db), 1);
	insert(db, 4, SP_STR("again"), CORE_DB_OK);     /* the connection goes on */
	core_db_close(db);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_values_come_back),
		TEST(test_statement_is_kept),
		TEST(test_transactions),
		TEST(test_durability_settings),
		TEST(test_second_writer_is_busy),
		TEST(test_open_failures),
		TEST(test_damaged_file),
		TEST(test_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

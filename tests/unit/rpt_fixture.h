/* tests/unit/rpt_fixture.h - the tables of rpt/ in a database of their own. */
#ifndef RPT_FIXTURE_H
#define RPT_FIXTURE_H

#include "rpt/ledger.h"
#include "rpt/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY 20779                       /* 2026-11-22 */
#define NOON (DAY * (int64_t)RPT_DAY_S + 43200)
#define OK(call) assert_int_equal(call, CORE_DB_OK)

static char folder[32], path[64];
static struct core_db *db;
static struct sp_arena arena;           /* of what a test read */

static int make_db(void **state SP_UNUSED)
{
	struct sp_fail why;
	snprintf(folder, sizeof(folder), "/tmp/rpt-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/spool.db", folder);
	db = core_db_open(path, false, &why);
	assert_non_null(db);
	OK(rpt_migrate(db, 0));
	OK(rpt_migrate(db, RPT_VERSION));       /* nothing is made twice */
	return 0;
}

static int drop_db(void **state SP_UNUSED)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	core_db_close(db);
	sp_arena_clear(&arena);
	for (size_t i = 0; i < SP_COUNT(ends); i++) {
		char name[80];
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	rmdir(folder);
	return 0;
}

static SP_UNUSED int64_t ask(const char *sql)
{
	struct core_stmt *s = core_db_stmt(db, sql);
	int64_t got = core_stmt_step(s) == CORE_DB_ROW ? core_stmt_col_int(s, 0) : -1;
	core_stmt_reset(s);
	return got;
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, make_db, drop_db)

#endif

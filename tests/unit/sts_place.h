/* tests/unit/sts_place.h - a database of its own for each test of sts/cache.c and sts/history.c, in a folder that goes with it. */
#ifndef STS_PLACE_H
#define STS_PLACE_H

#include "core/arena.h"
#include "sts/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define HOUR 3600
#define DAY 86400
#define WEEK (7 * DAY)

struct place {
	char folder[32], path[64];
	struct core_db *db;
	struct sp_arena arena;
};

static void open_db(struct place *p)
{
	struct sp_fail why = SP_FAIL_OK;
	p->db = core_db_open(p->path, false, &why);
	if (p->db == NULL)
		print_message("%s\n", why.text);
	assert_non_null(p->db);
	assert_int_equal(core_db_exec(p->db, "PRAGMA synchronous = OFF"), CORE_DB_OK);
}

/* A database without tables. */
static int set_up_empty(void **state)
{
	struct place *p = sp_alloc(sizeof(*p));
	snprintf(p->folder, sizeof(p->folder), "/tmp/sts_place_XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->path, sizeof(p->path), "%s/spool.db", p->folder);
	open_db(p);
	*state = p;
	return 0;
}

static int set_up(void **state)
{
	set_up_empty(state);
	assert_int_equal(sts_cache_migrate(((struct place *)*state)->db, 0), CORE_DB_OK);
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	core_db_close(p->db);
	static const char *const ends[] = { "", "-wal", "-shm" };
	for (size_t i = 0; i < SP_COUNT(ends); i++) {
		char path[80];
		snprintf(path, sizeof(path), "%s%s", p->path, ends[i]);
		unlink(path);
	}
	rmdir(p->folder);
	sp_arena_clear(&p->arena);
	free(p);
	return 0;
}

#endif

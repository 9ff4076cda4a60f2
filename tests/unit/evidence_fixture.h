/* tests/unit/evidence_fixture.h - a spool that keeps evidence (queue/evidence.h), in a folder of its own for each test. */
#ifndef EVIDENCE_FIXTURE_H
#define EVIDENCE_FIXTURE_H

#include "queue_fixture.h"

#include "queue/evidence.h"

static int open_store(void **state)
{
	static const struct queue_schema schema = { "evidence", QUEUE_EVIDENCE_VERSION, queue_evidence_migrate };
	make_folder(state);
	open_spool_with(&schema, 1);
	return 0;
}

static int close_store(void **state)
{
	close_spool();
	return remove_folder(state);
}

/* The one that a statement asks for; -1 without a row. */
static int64_t number(struct core_db *db, const char *sql)
{
	struct core_stmt *s = core_db_stmt(db, sql);
	int64_t got = core_stmt_step(s) == CORE_DB_ROW ? core_stmt_col_int(s, 0) : -1;
	core_stmt_reset(s);
	return got;
}

#endif

/* tests/unit/queue_schema_test.c - queue/schema.h: spools of older versions, and whether the questions that are asked often find an index. */
#include "queue_ask.h"

/* ---- older versions ---- */

/* tests/unit/spool/version-2.sql is what the program of that version left of two messages for a destination that is down. version-3.sql: what a crash left of that one's:
 * mail that was tried, that a shard had, that its sender holds, that is damaged and quarantined, and that is fresh. */
static void make_spool_of(const char *version, const char *also)
{
	char path[128], sql_path[512];
	struct sp_fail why;
	const char *tests = getenv("TESTS_DIR");
	snprintf(sql_path, sizeof(sql_path), "%s/unit/spool/version-%s.sql", tests ? tests : "tests", version);
	FILE *f = fopen(sql_path, "r");
	if (f == NULL)
		fail_msg("%s cannot be read", sql_path);
	static char sql[65536];
	sql[fread(sql, 1, sizeof(sql) - 1, f)] = '\0';
	fclose(f);
	assert_int_equal(mkdir(spool, 0700), 0);
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, false, &why);
	assert_int_equal(core_db_exec(db, sql), CORE_DB_OK);
	assert_int_equal(core_db_exec(db, also), CORE_DB_OK);
	core_db_close(db);
}

static void make_old_spool(const char *also)
{
	make_spool_of("2", also);
}

static void assert_old_mail_is_there(void)
{
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'version queue'"), 4);
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'messages'"), 2);
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'recipients'"), 4);
	assert_int_equal(ask_due(INT64_C(1795383705414), ALL), 1);
	assert_string_equal(due_names[0], "[127.0.0.1]:9");
	assert_int_equal(due_failures[0], 1);
	assert_int_equal(load("[127.0.0.1]:9", INT64_C(1795383705414), ALL, MANY), 2);
	assert_int_equal(jobs[0]->count, 3);
	assert_string_equal(jobs[0]->recipients[1].address, "carol@x.example");
	assert_int_equal(jobs[0]->recipients[1].wish.notify, 0);
	assert_null(jobs[0]->recipients[1].wish.orcpt);
	assert_string_equal(jobs[0]->message->sender, "alice@sender.example");
	assert_string_equal(jobs[0]->message->wish.envid, "");
	assert_false(jobs[0]->message->eight_bit);
	assert_false(jobs[0]->message->wish.require_tls);
	assert_int_equal(jobs[0]->message->wish.priority, 0);
	assert_true(jobs[1]->message->eight_bit);
	assert_int_equal(sp_body_len(jobs[1]->message->body), 260);
}

static void test_spool_of_version_2_keeps_its_mail(void **state SP_UNUSED)
{
	make_old_spool("");
	open_spool();
	assert_old_mail_is_there();
	uint64_t id = accept_one(10, "a@x.example");            /* and takes new mail */
	reopen_spool();
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	assert_int_equal(jobs[0]->message->id, id);
	close_spool();
}

static void test_spool_of_version_1_is_counted_once(void **state SP_UNUSED)
{
	make_old_spool("DELETE FROM store WHERE name IN ('messages', 'recipients'); UPDATE store SET value = 1 WHERE name = 'version queue'");
	open_spool();
	assert_old_mail_is_there();
	close_spool();
}

static void test_spool_of_version_3_keeps_its_mail(void **state SP_UNUSED)
{
	make_spool_of("3", "");
	open_spool();
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'messages'"), 5);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE mark = 2 AND next_at = 9223372036854775807 AND address = 'grace@y.example'"), 1);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE mark IS NOT NULL"), 1);
	assert_int_equal(load("x.example", 4999, ALL, MANY), 1);
	assert_string_equal(jobs[0]->recipients[0].address, "carol@x.example");
	assert_int_equal(jobs[0]->recipients[0].held_ms, 0);
	assert_null(jobs[0]->recipients[0].returned);
	assert_int_equal(load("y.example", 1, ALL, MANY), 2);
	assert_int_equal(load("w.example", 1, ALL, MANY), 1);
	assert_int_equal(load("z.example", 86399999, ALL, MANY), 0);
	assert_int_equal(load("z.example", 86400000, ALL, MANY), 1);
	assert_int_equal(jobs[0]->message->wish.priority, 3);
	close_spool();
}

static void test_spool_of_a_newer_version_is_refused(void **state SP_UNUSED)
{
	struct sp_fail why;
	make_old_spool("UPDATE store SET value = 5 WHERE name = 'version queue'");
	assert_null(queue_store_open(spool, NULL, 0, &why));
	assert_string_equal(why.reason, "newer");
}

/* ---- with a million messages, each of these must be a few steps in an index ---- */

#define PLAN "EXPLAIN QUERY PLAN "

static const struct { const char *label, *sql, *want; } plans[] = {
	{ "the next priority", PLAN "SELECT priority FROM recipient WHERE destination = 'x' AND priority < 9 AND next_at IS NOT NULL"
	  " ORDER BY priority DESC LIMIT 1", "SEARCH recipient USING COVERING INDEX recipient_rest (destination=? AND priority<?)" },
	{ "what is due", PLAN "SELECT message FROM recipient WHERE destination = 'x' AND priority = 0 AND next_at <= 5 ORDER BY next_at, message",
	  "SEARCH recipient USING COVERING INDEX recipient_rest (destination=? AND priority=? AND next_at<?)" },
	{ "the earliest", PLAN "SELECT next_at FROM recipient WHERE destination = 'x' AND priority = 0 AND next_at < 5 ORDER BY next_at LIMIT 1",
	  "SEARCH recipient USING COVERING INDEX recipient_rest (destination=? AND priority=? AND next_at<?)" },
	{ "overdue", PLAN "SELECT message, destination FROM recipient WHERE deadline <= 5 AND next_at < 9223372036854775807 ORDER BY deadline",
	  "SEARCH recipient USING INDEX recipient_deadline (deadline<?)" },
	{ "a page of all", PLAN "SELECT id, n FROM recipient WHERE id > 5 ORDER BY id", "SEARCH recipient USING INTEGER PRIMARY KEY (rowid>?)" },
	{ "a page of those with several recipients", PLAN "SELECT message FROM recipient WHERE message > 5 AND n > 0 ORDER BY message",
	  "SEARCH recipient USING COVERING INDEX recipient_more (message>?)" },
	{ "a page of what is held", PLAN "SELECT message FROM recipient WHERE message > 5 AND mark = 1 ORDER BY message",
	  "SEARCH recipient USING COVERING INDEX recipient_marked (mark=? AND message>?)" },
	{ "what rests for a destination", PLAN "SELECT message FROM recipient WHERE destination = 'x' AND next_at IS NOT NULL",
	  "SEARCH recipient USING COVERING INDEX recipient_rest (destination=?)" },
	{ "what is to be deleted", PLAN "SELECT id, message FROM recipient WHERE mark = 4 AND next_at IS NOT NULL ORDER BY message",
	  "SEARCH recipient USING INDEX recipient_marked (mark=?)" },
	{ "what an operator marked, at start", PLAN "UPDATE recipient SET mark = 1 WHERE mark > 0 AND next_at IS NULL",
	  "SEARCH recipient USING INDEX recipient_marked (mark>?)" },
	{ "due destinations", PLAN "SELECT name FROM destination WHERE next_at <= 5 ORDER BY next_at",
	  "SEARCH destination USING INDEX destination_next (next_at<?)" },
};

static void test_plans_need_no_sorting_and_no_scan(void **state SP_UNUSED)
{
	char path[128];
	struct sp_fail why;
	open_spool();
	close_spool();
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, true, &why);
	for (size_t i = 0; i < SP_COUNT(plans); i++) {
		struct core_stmt *s = core_db_stmt(db, plans[i].sql);
		assert_int_equal(core_stmt_step(s), CORE_DB_ROW);
		struct sp_str got = core_stmt_col_text(s, 3);
		print_message("%s: %.*s\n", plans[i].label, SP_STR_ARG(got));
		assert_true(sp_str_eq(got, sp_str_of(plans[i].want)));
		assert_int_equal(core_stmt_step(s), CORE_DB_OK);        /* no further step, such as a sort */
		core_stmt_reset(s);
	}
	core_db_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_spool_of_version_2_keeps_its_mail),
		T(test_spool_of_version_1_is_counted_once),
		T(test_spool_of_version_3_keeps_its_mail),
		T(test_spool_of_a_newer_version_is_refused),
		T(test_plans_need_no_sorting_and_no_scan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

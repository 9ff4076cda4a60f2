/* tests/unit/relay_account_test.c - relay/account.c over a real store: what sessions count reaches the ledger, once, also when the relay stops. */
#include "relay/account.h"

#include "core/db.h"
#include "rpt/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY 20779                       /* 2026-11-22 */
#define MIDNIGHT ((DAY + 1) * (int64_t)RPT_DAY_S)

static char folder[40];
static struct relay relay;
static struct shard shard;

static void open_all(const char *report)
{
	static const struct queue_schema others[] = { { "rpt", RPT_VERSION, rpt_migrate } };
	char text[256];
	struct sp_buf problems;
	struct sp_fail why;
	sp_buf_init(&problems, 4096);
	snprintf(text, sizeof(text), "hostname: relay.example.com\nreport: {%s}\n", report);
	snprintf(folder, sizeof(folder), "/tmp/account-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	shard = (struct shard){ .relay = &relay };
	shard.config = config_parse(sp_str_of(text), "t", &problems);
	assert_non_null(shard.config);
	relay.store = queue_store_open(folder, others, SP_COUNT(others), &why);
	if (relay.store == NULL)
		print_message("%s\n", why.text);
	assert_non_null(relay.store);
}

/* The relay ends; then what the ledger has: "successes failures" of the day, in all policies of example.com. */
static const char *close_all(int64_t day, char text[64])
{
	struct sp_fail why;
	struct sp_arena arena = SP_ARENA_EMPTY;
	const struct rpt_policy *policies;
	size_t count;
	uint64_t successes = 0, failures = 0;
	char path[64], command[80];
	queue_store_close(relay.store);
	snprintf(path, sizeof(path), "%s/spool.db", folder);
	struct core_db *db = core_db_open(path, true, &why);
	assert_non_null(db);
	assert_int_equal(rpt_ledger_policies(db, day, "example.com", &arena, &policies, &count), CORE_DB_OK);
	for (size_t i = 0; i < count; i++) {
		successes += policies[i].successes;
		failures += policies[i].failures;
	}
	snprintf(text, 64, "%zu policies %llu %llu", count, (unsigned long long)successes, (unsigned long long)failures);
	core_db_close(db);
	sp_arena_clear(&arena);
	config_unref(shard.config);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	return text;
}

static struct rpt_event event(int64_t at_s, enum sp_result result)
{
	return (struct rpt_event){ .at_s = at_s, .policy_type = RPT_POLICY_STS, .policy_domain = "example.com", .policy_strings = "version: STSv1\nmode: testing\n",
	                           .mx_patterns = "*.example.com\n", .result = result, .reason = result ? "a-reason" : "", .sending_ip = "192.0.2.1",
	                           .mx_host = "mx.example.com", .mx_helo = "mx", .mx_ip = "192.0.2.2" };
}

static void add(struct account **a, int64_t at_s, enum sp_result result)
{
	struct rpt_event e = event(at_s, result);
	account_add(a, &shard, &e);
}

static void test_nothing_is_nothing(void **state SP_UNUSED)
{
	struct account *none = NULL;
	char text[64];
	open_all("");
	assert_null(account_extra(none));
	assert_false(account_is_late(none, INT64_MAX));
	account_flush(&none, &shard);
	account_free(none);
	assert_string_equal(close_all(DAY, text), "0 policies 0 0");
}

static void test_not_counted_when_reports_are_off(void **state SP_UNUSED)
{
	struct account *a = NULL;
	char text[64];
	open_all("enabled: no");
	add(&a, MIDNIGHT - 1, SP_RESULT_NONE);
	assert_null(a);
	assert_string_equal(close_all(DAY, text), "0 policies 0 0");
}

/* A count that is on its way when the relay ends is stored before the store is closed; nobody waits for it. */
static void test_the_end_loses_no_count(void **state SP_UNUSED)
{
	struct account *a = NULL;
	char text[64];
	open_all("");
	add(&a, MIDNIGHT - 1, SP_RESULT_NONE);
	add(&a, MIDNIGHT - 1, SP_RESULT_VALIDATION_FAILURE);
	account_flush(&a, &shard);
	assert_null(a);
	assert_int_equal(shard.ops, 0);
	assert_string_equal(close_all(DAY, text), "1 policies 1 1");
}

static void test_many_events(void **state SP_UNUSED)
{
	struct account *a = NULL;
	char text[64];
	open_all("");
	for (int i = 0; i < 100; i++)
		add(&a, MIDNIGHT - 1, i % 4 ? SP_RESULT_NONE : SP_RESULT_CERTIFICATE_EXPIRED);
	account_flush(&a, &shard);
	assert_string_equal(close_all(DAY, text), "1 policies 75 25");
}

struct twice {
	struct queue_op op;
	struct account *account;
	bool drops;                             /* between the two, another batch drops the numbers that are too old to be repeated */
};

/* As rpt/ledger.c would, when a batch with the number that is drawn next came to it. */
static enum core_db_status drop_counted(struct core_db *db)
{
	struct core_stmt *s = core_db_stmt(db, "DELETE FROM rpt_counted WHERE number < ?1");
	core_stmt_int(s, 1, (int64_t)queue_store_next_id(relay.store) - RPT_COUNTED_SPAN);
	return core_stmt_run(s);
}

static enum core_db_status run_twice(struct core_db *db, struct queue_op *op)
{
	struct twice *t = sp_container_of(op, struct twice, op);
	struct queue_extra *x = account_extra(t->account);
	enum core_db_status status = x->run(db, x);
	if (status == CORE_DB_OK && t->drops)
		status = drop_counted(db);
	return status == CORE_DB_OK || status == CORE_DB_ROW ? x->run(db, x) : status;
}

static void on_twice(struct queue_op *op, const struct sp_fail *why)
{
	assert_false(sp_failed(why));
	account_free(sp_container_of(op, struct twice, op)->account);
	free(op);
}

/* TRAPS: a transaction whose end was not known is repeated, and the sessions in it are the same sessions. */
static void test_a_repeated_transaction_counts_once(void **state SP_UNUSED)
{
	char text[64];
	open_all("");
	struct twice *t = sp_alloc(sizeof(*t));
	add(&t->account, MIDNIGHT - 1, SP_RESULT_NONE);
	t->op.run = run_twice;
	t->op.done = on_twice;
	queue_store_submit(relay.store, &t->op);
	struct account *other = NULL;           /* a batch of its own */
	add(&other, MIDNIGHT - 1, SP_RESULT_NONE);
	account_flush(&other, &shard);
	assert_string_equal(close_all(DAY, text), "1 policies 2 0");
}

/* A session that lasts while others draw millions of numbers: its own is not old when it is tried for the first time, nor when that is repeated. */
static void test_a_long_session_that_is_repeated_counts_once(void **state SP_UNUSED)
{
	char text[64];
	open_all("");
	struct twice *t = sp_alloc(sizeof(*t));
	add(&t->account, MIDNIGHT - 1, SP_RESULT_NONE);
	for (unsigned i = 0; i <= RPT_COUNTED_SPAN; i++)
		(void)queue_store_next_id(relay.store);
	t->drops = true;
	t->op.run = run_twice;
	t->op.done = on_twice;
	queue_store_submit(relay.store, &t->op);
	assert_string_equal(close_all(DAY, text), "1 policies 1 0");
}

/* The day is the event's own, whenever it is stored. */
static void test_each_event_counts_for_its_day(void **state SP_UNUSED)
{
	static const struct { const char *label; int64_t first_s, second_s; bool late; const char *want; } rows[] = {
		{ "23:59:59", MIDNIGHT - 1, MIDNIGHT - 1, true, "1 policies 2 0" },
		{ "over midnight", MIDNIGHT - 1, MIDNIGHT, true, "1 policies 1 0" },
		{ "clock set back over midnight", MIDNIGHT, MIDNIGHT - 1, true, "1 policies 1 0" },
		{ "00:00:00", MIDNIGHT, MIDNIGHT, false, "0 policies 0 0" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct account *a = NULL;
		char text[64];
		open_all("");
		add(&a, rows[i].first_s, SP_RESULT_NONE);
		add(&a, rows[i].second_s, SP_RESULT_NONE);
		bool late = account_is_late(a, DAY + 1);
		assert_false(account_is_late(a, DAY));
		account_flush(&a, &shard);
		const char *got = close_all(DAY, text);
		print_message("%s: want %d %s, got %d %s\n", rows[i].label, rows[i].late, rows[i].want, late, got);
		assert_int_equal(late, rows[i].late);
		assert_string_equal(got, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_nothing), cmocka_unit_test(test_not_counted_when_reports_are_off),
		cmocka_unit_test(test_the_end_loses_no_count), cmocka_unit_test(test_many_events),
		cmocka_unit_test(test_a_repeated_transaction_counts_once),
		cmocka_unit_test(test_a_long_session_that_is_repeated_counts_once), cmocka_unit_test(test_each_event_counts_for_its_day),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/sts_cache_test.c - sts/cache.c against a real database: what survives, what is due, what goes. */
#include "sts/cache.h"

#include "sts_place.h"

#define NOW 1800000000
#define ENFORCE "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmx: *.example.net\nmax_age: 2419200\n"

static struct sts_entry entry(const char *body, int64_t fetched_s, int64_t life_s)
{
	struct sts_entry e;
	sts_entry_init(&e);
	e.policy = sts_policy_parse(sp_str_of(body), NULL, NULL, NULL);
	assert_non_null(e.policy);
	snprintf(e.id, sizeof(e.id), "20270115");
	e.fetched_s = fetched_s;
	e.expires_s = fetched_s + life_s;
	e.refresh_s = fetched_s + life_s / 2;
	return e;
}

static void fail_entry(struct sts_entry *e, int64_t retry_s)
{
	snprintf(e->failed_id, sizeof(e->failed_id), "20270116");
	e->retry_s = retry_s;
	e->failures = 3;
	e->failed_result = SP_RESULT_STS_WEBPKI_INVALID;
	snprintf(e->failed_reason, sizeof(e->failed_reason), "certificate-expired");
	snprintf(e->failed_text, sizeof(e->failed_text), "it ended 'yesterday'; \"%%s\"");
}

static void put(struct place *p, const char *domain, struct sts_entry e)
{
	assert_int_equal(sts_cache_put(p->db, domain, &e), CORE_DB_OK);
	sts_entry_clear(&e);
}

static bool has(struct place *p, const char *domain)
{
	struct sts_entry e;
	sts_entry_init(&e);
	enum core_db_status status = sts_cache_get(p->db, domain, &e);
	assert_true(status == CORE_DB_ROW || status == CORE_DB_OK);
	if (status == CORE_DB_OK)
		assert_null(e.policy);
	sts_entry_clear(&e);
	return status == CORE_DB_ROW;
}

static void assert_same(const struct sts_entry *a, const struct sts_entry *b)
{
	assert_int_equal(a->policy != NULL, b->policy != NULL);
	if (a->policy)
		assert_true(sts_policy_equal(a->policy, b->policy));
	assert_string_equal(a->id, b->id);
	assert_int_equal(a->fetched_s, b->fetched_s);
	assert_int_equal(a->expires_s, b->expires_s);
	assert_int_equal(a->refresh_s, b->refresh_s);
	assert_int_equal(a->fresh_s, b->fresh_s);
	assert_string_equal(a->failed_id, b->failed_id);
	assert_int_equal(a->retry_s, b->retry_s);
	assert_int_equal(a->failures, b->failures);
	assert_int_equal(a->failed_result, b->failed_result);
	assert_string_equal(a->failed_reason, b->failed_reason);
	assert_string_equal(a->failed_text, b->failed_text);
}

/* Every field, past the close and the reopening of the file: policies, and the waits after failures, survive a restart. */
static void test_everything_survives_a_restart(void **state)
{
	struct place *p = *state;
	struct sts_entry e = entry(ENFORCE, NOW, 28 * DAY), got;
	e.fresh_s = NOW + 7;
	fail_entry(&e, NOW + HOUR);
	assert_int_equal(sts_cache_put(p->db, "example.com", &e), CORE_DB_OK);
	core_db_close(p->db);
	open_db(p);
	assert_int_equal(sts_cache_migrate(p->db, STS_CACHE_VERSION), CORE_DB_OK);
	sts_entry_init(&got);
	assert_int_equal(sts_cache_get(p->db, "example.com", &got), CORE_DB_ROW);
	assert_same(&e, &got);
	sts_entry_clear(&e);
	sts_entry_clear(&got);
}

static void test_unknown_domains(void **state)
{
	struct place *p = *state;
	struct sts_entry got = entry(ENFORCE, NOW, DAY);                /* what stood there is gone afterwards */
	assert_int_equal(sts_cache_get(p->db, "example.com", &got), CORE_DB_OK);
	assert_null(got.policy);
	assert_string_equal(got.id, "");
	put(p, "example.com", entry(ENFORCE, NOW, DAY));
	assert_true(has(p, "example.com"));
	assert_false(has(p, "sub.example.com"));                        /* a parent's policy is never used */
	assert_false(has(p, "example.co"));
	assert_false(has(p, ""));
	sts_entry_clear(&got);
}

static void test_put_replaces(void **state)
{
	struct place *p = *state;
	struct sts_entry e = entry(ENFORCE, NOW, DAY), got;
	fail_entry(&e, NOW + HOUR);
	put(p, "example.com", e);
	put(p, "example.net", entry(ENFORCE, NOW, DAY));
	e = entry("version: STSv1\nmode: none\nmax_age: 2419200\n", NOW + 5, 2 * DAY);
	snprintf(e.id, sizeof(e.id), "2");
	e.fresh_s = NOW + 6;
	assert_int_equal(sts_cache_put(p->db, "example.com", &e), CORE_DB_OK);
	sts_entry_init(&got);
	assert_int_equal(sts_cache_get(p->db, "example.com", &got), CORE_DB_ROW);
	assert_same(&e, &got);
	sts_entry_clear(&e);
	sts_entry_clear(&got);
	assert_true(has(p, "example.net"));
}

/* Nothing was ever fetched, only failures: they are kept too, else a restart would hammer the policy host. */
static void test_failures_without_a_policy(void **state)
{
	struct place *p = *state;
	struct sts_entry e, got;
	sts_entry_init(&e);
	fail_entry(&e, NOW + 300);
	assert_int_equal(sts_cache_put(p->db, "example.com", &e), CORE_DB_OK);
	sts_entry_init(&got);
	assert_int_equal(sts_cache_get(p->db, "example.com", &got), CORE_DB_ROW);
	assert_same(&e, &got);
	sts_entry_clear(&got);
}

static void test_damaged_rows_are_unknown(void **state)
{
	struct place *p = *state;
	static const struct { const char *label, *sql; bool known; } damages[] = {
		{ "whole", "UPDATE sts_policy SET policy = policy", true },
		{ "policy cut", "UPDATE sts_policy SET policy = substr(policy, 1, 20)", false },
		{ "policy is a blob", "UPDATE sts_policy SET policy = x'00ff'", false },
		{ "policy of another kind", "UPDATE sts_policy SET policy = 17", false },
		{ "expiry past max_age: immortal", "UPDATE sts_policy SET expires_s = fetched_s + 2419201", false },
		{ "expiry at max_age", "UPDATE sts_policy SET expires_s = fetched_s + 2419200", true },
		{ "fetched at the end of time", "UPDATE sts_policy SET fetched_s = 9223372036854775807", false },
		{ "fetched before time", "UPDATE sts_policy SET fetched_s = -1", false },
		{ "expired before time", "UPDATE sts_policy SET expires_s = -9223372036854775807", false },
		{ "id too long", "UPDATE sts_policy SET id = '123456789012345678901234567890123'", false },
		{ "id with a NUL", "UPDATE sts_policy SET id = 'a' || char(0) || 'b'", false },
		{ "failed id too long", "UPDATE sts_policy SET failed_id = '123456789012345678901234567890123'", false },
		{ "unknown result", "UPDATE sts_policy SET failed_result = 'x'", false },
		{ "reason too long", "UPDATE sts_policy SET failed_reason = hex(zeroblob(24))", false },
		{ "text too long", "UPDATE sts_policy SET failed_text = hex(zeroblob(128))", false },
		{ "failures out of range", "UPDATE sts_policy SET failures = 4294967296", false },
		{ "failures below nothing", "UPDATE sts_policy SET failures = -1", false },
		{ "retry before time", "UPDATE sts_policy SET retry_s = -1", false },
	};
	for (size_t i = 0; i < SP_COUNT(damages); i++) {
		put(p, "example.com", entry(ENFORCE, NOW, DAY));
		assert_int_equal(core_db_exec(p->db, damages[i].sql), CORE_DB_OK);
		bool got = has(p, "example.com");
		print_message("%s: want %d, got %d\n", damages[i].label, damages[i].known, got);
		assert_int_equal(got, damages[i].known);
	}
}

/* ---- what is due ---- */

static void expect_due(struct place *p, const char *label, int64_t now_s, size_t limit, const char *want)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *domains[8];
	size_t count = 99;
	assert_true(limit <= SP_COUNT(domains));
	assert_int_equal(sts_cache_due(p->db, now_s, limit, &arena, domains, &count), CORE_DB_OK);
	struct sp_buf got;
	sp_buf_init(&got, 1024);
	for (size_t i = 0; i < count; i++)
		sp_buf_printf(&got, "%s%s", i ? " " : "", domains[i]);
	print_message("%s: want '%s', got '%s'\n", label, want, sp_buf_cstr(&got));
	assert_string_equal(sp_buf_cstr(&got), want);
	sp_buf_clear(&got);
	sp_arena_clear(&arena);
}

static void test_due(void **state)
{
	struct place *p = *state;
	expect_due(p, "empty table", NOW, 8, "");
	put(p, "later.example", entry(ENFORCE, NOW, 4 * HOUR));                         /* due at NOW + 2 h */
	put(p, "sooner.example", entry(ENFORCE, NOW, 2 * HOUR));                        /* at NOW + 1 h */
	put(p, "also-later.example", entry(ENFORCE, NOW, 4 * HOUR));
	struct sts_entry e;
	sts_entry_init(&e);
	fail_entry(&e, NOW + 300);
	put(p, "never-fetched.example", e);                                             /* has nothing to refresh */
	expect_due(p, "a second too early", NOW + HOUR - 1, 8, "");
	expect_due(p, "on time", NOW + HOUR, 8, "sooner.example");
	expect_due(p, "an expired one is left to mail", NOW + 2 * HOUR, 8, "also-later.example later.example");
	expect_due(p, "the last second", NOW + 2 * HOUR - 1, 8, "sooner.example");
	expect_due(p, "a limit", NOW + 2 * HOUR, 1, "also-later.example");
	expect_due(p, "a limit of none", NOW + 2 * HOUR, 0, "");
}

static void test_the_longest_due_comes_first(void **state)
{
	struct place *p = *state;
	put(p, "b.example", entry(ENFORCE, NOW + 1, 4 * HOUR));
	put(p, "c.example", entry(ENFORCE, NOW, 4 * HOUR));
	put(p, "a.example", entry(ENFORCE, NOW + 2, 4 * HOUR));
	expect_due(p, "in the order of their times", NOW + 3 * HOUR, 8, "c.example b.example a.example");
	expect_due(p, "limited", NOW + 3 * HOUR, 2, "c.example b.example");
}

/* A clock that jumped back: what was fetched, or has failed, in the future is due now, so that its times get right again. */
static void test_the_future_is_due_now(void **state)
{
	struct place *p = *state;
	put(p, "fetched.example", entry(ENFORCE, NOW + 3650LL * DAY, 28 * DAY));
	struct sts_entry e = entry(ENFORCE, NOW, 28 * DAY);
	fail_entry(&e, NOW + 3650LL * DAY);
	e.refresh_s = e.retry_s;
	put(p, "failed.example", e);
	e = entry(ENFORCE, NOW, 28 * DAY);
	fail_entry(&e, NOW + DAY);
	e.refresh_s = e.retry_s;
	put(p, "waiting.example", e);                                                   /* the longest honest wait */
	expect_due(p, "both", NOW, 8, "failed.example fetched.example");
}

/* ---- what goes ---- */

static void test_sweep(void **state)
{
	struct place *p = *state;
	int64_t now_s = NOW + 100LL * DAY;
	put(p, "old.example", entry(ENFORCE, now_s - WEEK - 2 * DAY, 2 * DAY - 1));     /* expired a week and a second ago */
	put(p, "edge.example", entry(ENFORCE, now_s - WEEK - 2 * DAY, 2 * DAY));        /* a week ago */
	put(p, "expired.example", entry(ENFORCE, now_s - 2 * DAY, DAY));
	put(p, "valid.example", entry(ENFORCE, now_s, DAY));
	struct sts_entry e = entry(ENFORCE, now_s - 20 * DAY, DAY);
	fail_entry(&e, now_s - DAY);
	put(p, "tried.example", e);                                                     /* expired long ago, tried lately: the wait counts */
	sts_entry_init(&e);
	fail_entry(&e, now_s - WEEK - 1);
	put(p, "failed-long-ago.example", e);
	sts_entry_init(&e);
	fail_entry(&e, now_s - WEEK);
	put(p, "failed.example", e);
	assert_int_equal(sts_cache_sweep(p->db, now_s), CORE_DB_OK);
	static const struct { const char *domain; bool kept; } want[] = {
		{ "old.example", false }, { "edge.example", true }, { "expired.example", true }, { "valid.example", true },
		{ "tried.example", true }, { "failed-long-ago.example", false }, { "failed.example", true },
	};
	for (size_t i = 0; i < SP_COUNT(want); i++) {
		bool got = has(p, want[i].domain);
		print_message("%s: want %d, got %d\n", want[i].domain, want[i].kept, got);
		assert_int_equal(got, want[i].kept);
	}
}

/* A clock a year ahead, at which nothing was fetched yet: the table stays. Once something was, the year has passed. */
static void test_a_clock_that_jumped_ahead_empties_nothing(void **state)
{
	struct place *p = *state;
	put(p, "a.example", entry(ENFORCE, NOW, 28 * DAY));
	put(p, "b.example", entry(ENFORCE, NOW - DAY, DAY));
	assert_int_equal(sts_cache_sweep(p->db, NOW + 365LL * DAY), CORE_DB_OK);
	assert_true(has(p, "a.example"));
	assert_true(has(p, "b.example"));
	put(p, "c.example", entry(ENFORCE, NOW + 365LL * DAY, DAY));
	assert_int_equal(sts_cache_sweep(p->db, NOW + 365LL * DAY), CORE_DB_OK);
	assert_false(has(p, "a.example"));
	assert_false(has(p, "b.example"));
	assert_true(has(p, "c.example"));
}

static void test_a_broken_database_is_told(void **state)
{
	struct place *p = *state;
	assert_int_equal(core_db_exec(p->db, "PRAGMA query_only = 1"), CORE_DB_OK);
	struct sts_entry e = entry(ENFORCE, NOW, DAY);
	enum core_db_status status = sts_cache_put(p->db, "example.com", &e);
	print_message("put: %s\n", core_db_status_str(status));
	assert_int_not_equal(status, CORE_DB_OK);
	assert_int_not_equal(sts_cache_sweep(p->db, NOW), CORE_DB_OK);
	assert_int_equal(core_db_exec(p->db, "PRAGMA query_only = 0"), CORE_DB_OK);
	assert_false(has(p, "example.com"));
	sts_entry_clear(&e);
}

/* A reader that was left open would starve checkpoints; SQLite also refuses to drop a table under one. */
static void test_no_reader_stays_open(void **state)
{
	struct place *p = *state;
	put(p, "example.com", entry(ENFORCE, NOW, DAY));
	assert_true(has(p, "example.com"));
	assert_int_equal(core_db_exec(p->db, "UPDATE sts_policy SET policy = 'x'"), CORE_DB_OK);
	assert_false(has(p, "example.com"));
	expect_due(p, "due", NOW + DAY - 1, 1, "example.com");
	assert_int_equal(core_db_exec(p->db, "DROP TABLE sts_policy"), CORE_DB_OK);
}

static void test_counts(void **state)
{
	struct place *p = *state;
	struct sts_cache_counts n;
	assert_int_equal(sts_cache_count(p->db, NOW, &n), CORE_DB_OK);
	assert_int_equal(n.valid[STS_MODE_ENFORCE] + n.expired[STS_MODE_ENFORCE] + n.failing + (uint64_t)n.lapses_s, 0);
	static const char testing[] = "version: STSv1\nmode: testing\nmx: mode.enforce.example\nmax_age: 86400\n";
	static const char none[] = "version: STSv1\nmode: none\nmax_age: 86400\n";
	put(p, "sound.example", entry(ENFORCE, NOW, WEEK));
	put(p, "over.example", entry(ENFORCE, NOW - DAY, DAY));
	struct sts_entry late = entry(ENFORCE, NOW, 3 * DAY), soon = entry(testing, NOW, 2 * DAY), harmless = entry(none, NOW, DAY);
	fail_entry(&late, NOW + HOUR);
	fail_entry(&soon, NOW + HOUR);
	fail_entry(&harmless, NOW + HOUR);
	put(p, "late.example", late);
	put(p, "soon.example", soon);
	put(p, "harmless.example", harmless);
	struct sts_entry nothing;
	sts_entry_init(&nothing);
	fail_entry(&nothing, NOW + HOUR);
	put(p, "nothing.example", nothing);
	assert_int_equal(sts_cache_count(p->db, NOW, &n), CORE_DB_OK);
	assert_int_equal(n.valid[STS_MODE_ENFORCE], 2);
	assert_int_equal(n.valid[STS_MODE_TESTING], 1);
	assert_int_equal(n.valid[STS_MODE_NONE], 1);
	assert_int_equal(n.expired[STS_MODE_ENFORCE], 1);
	assert_int_equal(n.failing, 2);
	assert_int_equal(n.lapses_s, NOW + 2 * DAY);
}

#define ON_DB(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_DB(test_everything_survives_a_restart), ON_DB(test_unknown_domains), ON_DB(test_put_replaces),
		ON_DB(test_failures_without_a_policy), ON_DB(test_damaged_rows_are_unknown), ON_DB(test_due),
		ON_DB(test_the_longest_due_comes_first), ON_DB(test_the_future_is_due_now), ON_DB(test_sweep),
		ON_DB(test_a_clock_that_jumped_ahead_empties_nothing), ON_DB(test_a_broken_database_is_told), ON_DB(test_no_reader_stays_open),
		ON_DB(test_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

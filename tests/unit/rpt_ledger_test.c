/* tests/unit/rpt_ledger_test.c - rpt/ledger.c against a real database: no count is lost, none is doubled, and the rows stay few. */
#include "rpt_fixture.h"

#include <inttypes.h>

#define STS_TEXT "version: STSv1\nmode: enforce\nmx: *.a.test\nmax_age: 86400"
#define MISMATCH SP_RESULT_CERTIFICATE_HOST_MISMATCH

static const struct rpt_rules rules = { .spread_s = 14400, .details_max = 1000 };
static uint64_t number;                 /* of the last batch */

/* A session to a.test under its STS policy. */
static struct rpt_event session(int64_t at_s, enum sp_result result)
{
	return (struct rpt_event){ .at_s = at_s, .policy_type = RPT_POLICY_STS, .policy_domain = "a.test", .policy_strings = STS_TEXT,
	                           .mx_patterns = "*.a.test", .result = result, .reason = "r", .sending_ip = "192.0.2.1", .mx_host = "mx.a.test",
	                           .mx_helo = "helo.a.test", .mx_ip = "198.51.100.1" };
}

static void add_by(const struct rpt_event *e, const struct rpt_rules *by)
{
	OK(rpt_ledger_add(db, ++number, e, 1, by));
}

static void add(const struct rpt_event *e)
{
	add_by(e, &rules);
}

static void add_many(const struct rpt_event *e, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		add(e);
}

static const struct rpt_policy *policies;
static size_t policy_count;

static void read_policies(int64_t day, const char *domain)
{
	OK(rpt_ledger_policies(db, day, domain, &arena, &policies, &policy_count));
}

static const struct rpt_failure *failures;
static size_t failure_count;

static void read_failures(int64_t policy)
{
	OK(rpt_ledger_failures(db, policy, 0, 5000, &arena, &failures, &failure_count));
}

static uint64_t sum_of_failures(void)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < failure_count; i++)
		sum += failures[i].count;
	return sum;
}

/* ---- counting ---- */

static void test_sessions_are_counted_by_how_they_ended(void **state SP_UNUSED)
{
	struct rpt_event good = session(NOON, SP_RESULT_NONE), bad = session(NOON, MISMATCH), other = session(NOON, SP_RESULT_CERTIFICATE_EXPIRED);
	add_many(&good, 5);
	add_many(&bad, 3);
	add_many(&other, 2);
	read_policies(DAY, "a.test");
	assert_int_equal(policy_count, 1);
	assert_int_equal(policies[0].type, RPT_POLICY_STS);
	assert_string_equal(policies[0].strings, STS_TEXT);
	assert_string_equal(policies[0].mx_patterns, "*.a.test");
	assert_int_equal(policies[0].successes, 5);
	assert_int_equal(policies[0].failures, 5);
	read_failures(policies[0].id);
	assert_int_equal(failure_count, 2);
	assert_int_equal(failures[0].result, MISMATCH);
	assert_int_equal(failures[0].count, 3);
	assert_string_equal(failures[0].sending_ip, "192.0.2.1");
	assert_string_equal(failures[0].mx_host, "mx.a.test");
	assert_string_equal(failures[0].mx_helo, "helo.a.test");
	assert_string_equal(failures[0].mx_ip, "198.51.100.1");
	assert_string_equal(failures[0].reason, "r");
	assert_int_equal(failures[1].result, SP_RESULT_CERTIFICATE_EXPIRED);
	assert_int_equal(failures[1].count, 2);
}

static void test_a_failure_is_told_apart_by_each_detail(void **state SP_UNUSED)
{
	struct rpt_event e[7];
	for (size_t i = 0; i < SP_COUNT(e); i++)
		e[i] = session(NOON, MISMATCH);
	e[1].result = SP_RESULT_CERTIFICATE_EXPIRED;
	e[2].sending_ip = "192.0.2.2";
	e[3].mx_host = "mx2.a.test";
	e[4].mx_helo = "";
	e[5].mx_ip = NULL;
	e[6].reason = "s";
	OK(rpt_ledger_add(db, ++number, e, SP_COUNT(e), &rules));
	OK(rpt_ledger_add(db, ++number, e, SP_COUNT(e), &rules));
	read_policies(DAY, "a.test");
	assert_int_equal(policies[0].failures, 14);
	read_failures(policies[0].id);
	assert_int_equal(failure_count, 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(failures[i].count, 2);
}

/* TRAPS: a day is a UTC day, cut at event time. */
static void test_day_is_that_of_the_event(void **state SP_UNUSED)
{
	int64_t midnight = (DAY + 1) * (int64_t)RPT_DAY_S;
	struct rpt_event last = session(midnight - 1, SP_RESULT_NONE), first = session(midnight, SP_RESULT_NONE);
	struct rpt_event both[] = { last, first, last };
	OK(rpt_ledger_add(db, ++number, both, 3, &rules));
	read_policies(DAY, "a.test");
	assert_int_equal(policies[0].successes, 2);
	read_policies(DAY + 1, "a.test");
	assert_int_equal(policies[0].successes, 1);
	assert_int_equal(ask("SELECT count(*) FROM rpt_report"), 2);
}

static void test_policies_of_a_domain_stand_side_by_side(void **state SP_UNUSED)
{
	struct rpt_event sts = session(NOON, SP_RESULT_NONE), tlsa = session(NOON, SP_RESULT_DNSSEC_INVALID), older = session(NOON, SP_RESULT_NONE);
	struct rpt_event other = session(NOON, SP_RESULT_NONE);
	tlsa.policy_type = RPT_POLICY_TLSA;
	tlsa.policy_strings = "3 1 1 aabb";
	tlsa.mx_patterns = "";
	older.policy_strings = "version: STSv1\nmode: testing\nmx: *.a.test\nmax_age: 86400";
	other.policy_domain = "b.test";
	struct rpt_event all[] = { sts, tlsa, older, other };
	OK(rpt_ledger_add(db, ++number, all, 4, &rules));
	add(&tlsa);
	read_policies(DAY, "a.test");
	assert_int_equal(policy_count, 3);
	assert_int_equal(policies[1].type, RPT_POLICY_TLSA);
	assert_string_equal(policies[1].strings, "3 1 1 aabb");
	assert_int_equal(policies[1].failures, 2);
	assert_int_equal(policies[2].successes, 1);
	read_failures(policies[0].id);
	assert_int_equal(failure_count, 0);
	read_policies(DAY, "b.test");
	assert_int_equal(policy_count, 1);
	read_policies(DAY, "c.test");
	assert_int_equal(policy_count, 0);
}

/* "ab" + "c" and "a" + "bc" are not the same failure. */
static void test_details_do_not_run_together(void **state SP_UNUSED)
{
	struct rpt_event e = session(NOON, MISMATCH);
	e.mx_host = "ab";
	e.mx_helo = "c";
	add(&e);
	e.mx_host = "a";
	e.mx_helo = "bc";
	add(&e);
	read_policies(DAY, "a.test");
	read_failures(policies[0].id);
	assert_int_equal(failure_count, 2);
}

static void test_counts_are_64_bits(void **state SP_UNUSED)
{
	struct rpt_event good = session(NOON, SP_RESULT_NONE), bad = session(NOON, MISMATCH);
	add(&good);
	add(&bad);
	OK(core_db_exec(db, "UPDATE rpt_policy SET successes = 4294967295, failures = 9007199254740993; UPDATE rpt_failure SET count = 9007199254740993"));
	add(&good);
	add(&bad);
	read_policies(DAY, "a.test");
	assert_true(policies[0].successes == UINT64_C(4294967296));
	assert_true(policies[0].failures == UINT64_C(9007199254740994));        /* 2^53 and more: no double came near it */
	read_failures(policies[0].id);
	assert_true(failures[0].count == UINT64_C(9007199254740994));
	const struct rpt_report *r;
	size_t count;
	OK(rpt_outbox_list(db, &(struct rpt_filter){ .last_day = INT64_MAX }, 0, "", 10, &arena, &r, &count));
	assert_true(r[0].successes == UINT64_C(4294967296) && r[0].failures == UINT64_C(9007199254740994));
}

/* ---- bounds ---- */

static void test_past_the_limit_details_are_merged_and_totals_kept(void **state SP_UNUSED)
{
	static const struct rpt_rules five = { .spread_s = 14400, .details_max = 5 };
	for (unsigned i = 0; i < 40; i++) {             /* 20 hosts, each fails in two ways */
		char host[32];
		snprintf(host, sizeof(host), "mx%u.a.test", i / 2);
		struct rpt_event e = session(NOON, i % 2 ? MISMATCH : SP_RESULT_CERTIFICATE_EXPIRED);
		e.mx_host = host;
		add_by(&e, &five);
		add_by(&e, &five);
	}
	read_policies(DAY, "a.test");
	assert_int_equal(policies[0].failures, 80);
	read_failures(policies[0].id);
	assert_int_equal(failure_count, 7);
	assert_int_equal(sum_of_failures(), 80);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(failures[i].count, 2);
		assert_string_not_equal(failures[i].mx_host, "");
	}
	assert_int_equal(failures[5].result, MISMATCH);         /* the sixth to come */
	assert_int_equal(failures[5].count, 36);
	assert_int_equal(failures[6].result, SP_RESULT_CERTIFICATE_EXPIRED);
	assert_int_equal(failures[6].count, 34);
	for (size_t i = 5; i < 7; i++) {
		assert_string_equal(failures[i].sending_ip, "");
		assert_string_equal(failures[i].mx_host, "");
		assert_string_equal(failures[i].mx_helo, "");
		assert_string_equal(failures[i].mx_ip, "");
		assert_string_equal(failures[i].reason, "");
	}
}

static void test_the_limit_is_of_a_domain_and_a_day(void **state SP_UNUSED)
{
	static const struct rpt_rules two = { .spread_s = 14400, .details_max = 2 };
	static const char *const hosts[] = { "mx1", "mx2", "mx3" };
	for (unsigned i = 0; i < 12; i++) {
		struct rpt_event e = session(NOON + (i >= 6 ? RPT_DAY_S : 0), MISMATCH);
		e.mx_host = hosts[i % 3];
		e.policy_type = i % 2 ? RPT_POLICY_TLSA : RPT_POLICY_STS;
		add_by(&e, &two);
	}
	struct rpt_event other = session(NOON, MISMATCH);
	other.policy_domain = "b.test";
	add_by(&other, &two);
	assert_int_equal(ask("SELECT count(*) FROM rpt_failure WHERE mx_host <> ''"), 5);       /* two a day, and that of b.test */
	assert_int_equal(ask("SELECT sum(count) FROM rpt_failure"), 13);
	assert_int_equal(ask("SELECT sum(failures) FROM rpt_policy"), 13);
}

static void test_no_details_at_all(void **state SP_UNUSED)
{
	static const struct rpt_rules none = { .spread_s = 0, .details_max = 0 };
	struct rpt_event e = session(NOON, MISMATCH);
	add_by(&e, &none);
	add_by(&e, &none);
	read_policies(DAY, "a.test");
	read_failures(policies[0].id);
	assert_int_equal(failure_count, 1);
	assert_int_equal(failures[0].count, 2);
}

static void test_a_domain_of_many_policies(void **state SP_UNUSED)
{
	for (unsigned i = 0; i < 100; i++) {
		char text[32];
		snprintf(text, sizeof(text), "3 1 1 %04x", i);
		struct rpt_event e = session(NOON, i % 2 ? MISMATCH : SP_RESULT_NONE);
		e.policy_type = i % 3 ? RPT_POLICY_TLSA : RPT_POLICY_STS;
		e.policy_strings = text;
		add(&e);
		add(&e);
	}
	struct rpt_event none = session(NOON, SP_RESULT_NONE);
	none.policy_type = RPT_POLICY_NONE_FOUND;
	none.policy_strings = "";
	none.mx_patterns = "not used";
	add(&none);
	read_policies(DAY, "a.test");
	assert_int_equal(policy_count, RPT_POLICIES_MAX + RPT_POLICY_TYPE_COUNT);
	uint64_t good = 0, bad = 0;
	size_t without = 0;
	for (size_t i = 0; i < policy_count; i++) {
		good += policies[i].successes;
		bad += policies[i].failures;
		without += policies[i].strings[0] == '\0';
		if (policies[i].strings[0] == '\0')
			assert_string_equal(policies[i].mx_patterns, "");
	}
	assert_int_equal(without, RPT_POLICY_TYPE_COUNT);
	assert_int_equal(good, 101);
	assert_int_equal(bad, 100);
	assert_int_equal(ask("SELECT sum(count) FROM rpt_failure"), 100);
}

/* What a peer says in its greeting is not ours to choose. */
static void test_long_details_are_cut(void **state SP_UNUSED)
{
	char helo[5000];
	memset(helo, 'h', sizeof(helo));
	helo[sizeof(helo) - 1] = '\0';
	struct rpt_event e = session(NOON, MISMATCH);
	e.mx_helo = helo;
	add(&e);
	helo[1000] = 'x';
	add(&e);
	read_policies(DAY, "a.test");
	read_failures(policies[0].id);
	assert_int_equal(failure_count, 1);
	assert_int_equal(failures[0].count, 2);
	assert_int_equal(strlen(failures[0].mx_helo), RPT_DETAIL_MAX);
}

/* ---- batches ---- */

static void test_repeated_batch_counts_once(void **state SP_UNUSED)
{
	struct rpt_event two[] = { session(NOON, SP_RESULT_NONE), session(NOON, MISMATCH) };
	for (int i = 0; i < 3; i++)
		OK(rpt_ledger_add(db, 700, two, 2, &rules));
	OK(rpt_ledger_add(db, 699, two, 2, &rules));            /* an earlier number may come later */
	OK(rpt_ledger_add(db, 701, two, 0, &rules));
	read_policies(DAY, "a.test");
	assert_int_equal(policies[0].successes, 2);
	assert_int_equal(policies[0].failures, 2);
	assert_int_equal(ask("SELECT count(*) FROM rpt_counted"), 2);
}

static void test_a_batch_that_was_undone_is_counted_when_repeated(void **state SP_UNUSED)
{
	struct rpt_event e = session(NOON, MISMATCH);
	OK(core_db_begin(db));
	OK(rpt_ledger_add(db, 700, &e, 1, &rules));
	core_db_rollback(db);
	OK(rpt_ledger_add(db, 700, &e, 1, &rules));
	read_policies(DAY, "a.test");
	assert_int_equal(policies[0].failures, 1);
}

/* What a run left goes in the next, and the numbers of a run do not grow without end; whether all numbers are batches', or every other one. */
static void test_numbers_far_behind_go(void **state SP_UNUSED)
{
	struct rpt_event e = session(NOON, SP_RESULT_NONE);
	uint64_t runs[] = { (uint64_t)2 << 40, ((uint64_t)2 << 40) + RPT_COUNTED_SPAN + 5000, (uint64_t)3 << 40, (uint64_t)9 << 40 };
	int64_t most = 0;
	for (size_t run = 0; run < SP_COUNT(runs); run++) {
		OK(core_db_begin(db));
		for (uint64_t n = 0; n < 2000; n++) {
			OK(rpt_ledger_add(db, runs[run] + (n << run), &e, 1, &rules));
			OK(rpt_ledger_add(db, runs[run] + (n << run), &e, 1, &rules));
		}
		OK(core_db_commit(db));
		int64_t kept = ask("SELECT count(*) FROM rpt_counted");
		most = kept > most ? kept : most;
	}
	assert_in_range(most, 2000, 3000);
	assert_int_equal(ask("SELECT min(number) FROM rpt_counted"), (int64_t)runs[3]);
	read_policies(DAY, "a.test");
	assert_int_equal(policies[0].successes, 8000);
}

/* ---- reading ---- */

static void test_failures_page_by_page(void **state SP_UNUSED)
{
	struct rpt_event other = session(NOON, MISMATCH);
	other.policy_domain = "b.test";
	for (unsigned i = 0; i < 250; i++) {
		char host[32];
		snprintf(host, sizeof(host), "mx%u.a.test", i);
		struct rpt_event e = session(NOON, MISMATCH);
		e.mx_host = host;
		add_many(&e, 1 + i % 3);
		other.mx_host = host;
		add(&other);
	}
	read_policies(DAY, "a.test");
	int64_t after = 0;
	unsigned seen = 0, pages = 0;
	uint64_t sum = 0;
	do {
		OK(rpt_ledger_failures(db, policies[0].id, after, 100, &arena, &failures, &failure_count));
		for (size_t i = 0; i < failure_count; i++, seen++) {
			char want[32];
			snprintf(want, sizeof(want), "mx%u.a.test", seen);
			assert_string_equal(failures[i].mx_host, want);
			assert_true(failures[i].id > after);
			after = failures[i].id;
		}
		sum += sum_of_failures();
		pages++;
	} while (failure_count == 100);
	assert_int_equal(pages, 3);
	assert_int_equal(seen, 250);
	assert_int_equal(sum, policies[0].failures);
}

static void test_damaged_rows_are_left_out(void **state SP_UNUSED)
{
	static const char *const hosts[] = { "mx0", "mx1", "mx2", "mx3", "mx4", "mx5" };
	struct rpt_event e = session(NOON, MISMATCH), tlsa = session(NOON, SP_RESULT_NONE);
	for (size_t i = 0; i < SP_COUNT(hosts); i++) {
		e.mx_host = hosts[i];
		add(&e);
	}
	tlsa.policy_type = RPT_POLICY_TLSA;
	add(&tlsa);
	OK(core_db_exec(db, "UPDATE rpt_policy SET type = x'00ff' WHERE type = 'tlsa';"
	                    "UPDATE rpt_failure SET result = 'bad luck' WHERE mx_host = 'mx0';"
	                    "UPDATE rpt_failure SET result = 'none' WHERE mx_host = 'mx1';"
	                    "UPDATE rpt_failure SET count = -3 WHERE mx_host = 'mx3';"
	                    "UPDATE rpt_failure SET result = 'dane-required', mx_helo = x'41ff00' WHERE mx_host = 'mx4'"));
	read_policies(DAY, "a.test");
	assert_int_equal(policy_count, 1);
	OK(rpt_ledger_failures(db, policies[0].id, 0, 2, &arena, &failures, &failure_count));
	assert_int_equal(failure_count, 2);                     /* a page in the middle is full */
	assert_string_equal(failures[0].mx_host, "mx2");
	assert_int_equal(failures[1].result, SP_RESULT_DANE_REQUIRED);
	OK(rpt_ledger_failures(db, policies[0].id, failures[1].id, 2, &arena, &failures, &failure_count));
	assert_int_equal(failure_count, 1);
}

/* ---- the outbox ---- */

static void test_first_session_of_a_day_makes_the_report_due(void **state SP_UNUSED)
{
	struct rpt_event e = session(NOON, SP_RESULT_NONE);
	const struct rpt_report *r;
	size_t count;
	add_many(&e, 3);
	OK(rpt_outbox_list(db, &(struct rpt_filter){ .last_day = INT64_MAX }, 0, "", 10, &arena, &r, &count));
	assert_int_equal(count, 1);
	assert_int_equal(r[0].day, DAY);
	assert_string_equal(r[0].domain, "a.test");
	assert_int_equal(r[0].state, RPT_STATE_OPEN);
	assert_int_equal(r[0].due_s, rpt_due_s(DAY, "a.test", 14400));
	assert_int_equal(r[0].successes, 3);
}

/* A clock that jumped back: the report is out. What comes late is counted, and is not a second report. */
static void test_late_events_are_counted_and_do_not_reopen(void **state SP_UNUSED)
{
	static const enum rpt_state ended[] = { RPT_STATE_DELIVERED, RPT_STATE_FAILED, RPT_STATE_NO_RECORD };
	for (size_t i = 0; i < SP_COUNT(ended); i++) {
		int64_t at_s = NOON + (int64_t)i * RPT_DAY_S, day = rpt_day_of(at_s);
		struct rpt_event e = session(at_s, SP_RESULT_NONE), late = session(at_s, MISMATCH);
		late.policy_type = RPT_POLICY_TLSA;
		add(&e);
		OK(rpt_outbox_attempted(db, day, "a.test", ended[i], 0, ""));
		add(&late);
		const struct rpt_report *r;
		size_t count;
		OK(rpt_outbox_list(db, &(struct rpt_filter){ .first_day = day, .last_day = day }, 0, "", 10, &arena, &r, &count));
		assert_int_equal(count, 1);
		assert_int_equal(r[0].state, ended[i]);
		assert_int_equal(r[0].successes, 1);
		assert_int_equal(r[0].failures, 1);
	}
}

/* ---- forgetting ---- */

static void test_forget_takes_one_domain_of_one_day(void **state SP_UNUSED)
{
	struct rpt_event e = session(NOON, MISMATCH), b = e, next = session(NOON + RPT_DAY_S, MISMATCH);
	b.policy_domain = "b.test";
	add(&e);
	add(&b);
	add(&next);
	OK(rpt_ledger_forget(db, DAY, "a.test"));
	read_policies(DAY, "a.test");
	assert_int_equal(policy_count, 0);
	add(&e);                                                /* afresh, not added to what is gone */
	read_policies(DAY, "a.test");
	assert_int_equal(policies[0].failures, 1);
	read_policies(DAY, "b.test");
	assert_int_equal(policy_count, 1);
	read_policies(DAY + 1, "a.test");
	assert_int_equal(policy_count, 1);
}

static void test_what_was_forgotten_goes_piece_by_piece(void **state SP_UNUSED)
{
	struct rpt_event keep = session(NOON + RPT_DAY_S, MISMATCH);
	for (unsigned i = 0; i < 250; i++) {
		char host[32];
		snprintf(host, sizeof(host), "mx%u.a.test", i);
		struct rpt_event e = session(NOON, MISMATCH);
		e.mx_host = host;
		e.policy_type = i % 2 ? RPT_POLICY_STS : RPT_POLICY_TLSA;
		add(&e);
	}
	add(&keep);
	OK(rpt_ledger_forget(db, DAY, "a.test"));
	unsigned calls = 0;
	size_t budget;
	do {
		int64_t before = ask("SELECT (SELECT count(*) FROM rpt_failure) + (SELECT count(*) FROM rpt_policy)");
		budget = 60;
		OK(rpt_ledger_sweep(db, &budget));
		int64_t gone = before - ask("SELECT (SELECT count(*) FROM rpt_failure) + (SELECT count(*) FROM rpt_policy)");
		assert_int_equal(gone, 60 - budget);
		calls++;
	} while (budget == 0);
	assert_int_equal(calls, 5);
	assert_int_equal(ask("SELECT count(*) FROM rpt_failure"), 1);
	assert_int_equal(ask("SELECT count(*) FROM rpt_policy"), 1);
	read_policies(DAY + 1, "a.test");
	assert_int_equal(policies[0].failures, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sessions_are_counted_by_how_they_ended),
		T(test_a_failure_is_told_apart_by_each_detail),
		T(test_day_is_that_of_the_event),
		T(test_policies_of_a_domain_stand_side_by_side),
		T(test_details_do_not_run_together),
		T(test_counts_are_64_bits),
		T(test_past_the_limit_details_are_merged_and_totals_kept),
		T(test_the_limit_is_of_a_domain_and_a_day),
		T(test_no_details_at_all),
		T(test_a_domain_of_many_policies),
		T(test_long_details_are_cut),
		T(test_repeated_batch_counts_once),
		T(test_a_batch_that_was_undone_is_counted_when_repeated),
		T(test_numbers_far_behind_go),
		T(test_failures_page_by_page),
		T(test_damaged_rows_are_left_out),
		T(test_first_session_of_a_day_makes_the_report_due),
		T(test_late_events_are_counted_and_do_not_reopen),
		T(test_forget_takes_one_domain_of_one_day),
		T(test_what_was_forgotten_goes_piece_by_piece),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

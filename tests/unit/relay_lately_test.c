/* tests/unit/relay_lately_test.c - relay/lately.c: what grew within a minute and an hour, and what is told before there are so many. */
#include "relay/lately.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void note(struct lately *l, uint64_t now_ms, uint64_t value)
{
	uint64_t counters[LATELY_COUNTERS] = { 0, value };
	lately_note(l, now_ms, counters);
}

static void expect(const struct lately *l, const char *label, uint64_t now_ms, uint64_t span_ms, uint64_t value, uint64_t want, uint64_t want_over_ms)
{
	uint64_t over_ms, got = lately_grown(l, now_ms, span_ms, 1, value, &over_ms);
	print_message("%s: want %llu in %llu ms, got %llu in %llu ms\n", label, (unsigned long long)want, (unsigned long long)want_over_ms,
	              (unsigned long long)got, (unsigned long long)over_ms);
	assert_int_equal(got, want);
	assert_int_equal(over_ms, want_over_ms);
}

static void test_before_a_minute_is_over(void **state)
{
	(void)state;
	struct lately l = { .count = 0 };
	expect(&l, "no sample", 5000, LATELY_MINUTE_MS, 7, 0, 0);
	note(&l, 5000, 0);
	expect(&l, "at once", 5000, LATELY_MINUTE_MS, 0, 0, 0);
	expect(&l, "after some seconds", 8000, LATELY_MINUTE_MS, 7, 7, 3000);
	note(&l, 15000, 10);
	expect(&l, "since the beginning", 20000, LATELY_HOUR_MS, 12, 12, 15000);
}

/* One a second for two hours: a minute has 60 and an hour 3600, to a step more. */
static void test_a_steady_stream(void **state)
{
	(void)state;
	struct lately l = { .count = 0 };
	for (uint64_t now_ms = 0; now_ms <= 2 * LATELY_HOUR_MS; now_ms += LATELY_STEP_MS)
		note(&l, now_ms, now_ms / 1000);
	uint64_t now_ms = 2 * LATELY_HOUR_MS;
	expect(&l, "a minute", now_ms, LATELY_MINUTE_MS, now_ms / 1000, 60, 60000);
	expect(&l, "a minute, between two samples", now_ms + 4000, LATELY_MINUTE_MS, now_ms / 1000 + 4, 64, 64000);
	expect(&l, "an hour", now_ms, LATELY_HOUR_MS, now_ms / 1000, 3600, 3600000);
	expect(&l, "no more than is kept", now_ms, 2 * LATELY_HOUR_MS, now_ms / 1000, 3610, 3610000);
}

static void test_what_was_long_ago_is_over(void **state)
{
	(void)state;
	struct lately l = { .count = 0 };
	for (uint64_t now_ms = 0; now_ms <= LATELY_HOUR_MS; now_ms += LATELY_STEP_MS)
		note(&l, now_ms, 1000);
	expect(&l, "nothing in this minute", LATELY_HOUR_MS, LATELY_MINUTE_MS, 1000, 0, 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_before_a_minute_is_over), cmocka_unit_test(test_a_steady_stream),
	                                    cmocka_unit_test(test_what_was_long_ago_is_over) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

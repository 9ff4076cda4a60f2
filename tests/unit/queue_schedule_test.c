/* tests/unit/queue_schedule_test.c - queue/schedule.c. */
#include "queue/schedule.h"

#include "core/base.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define MIN 60000
#define HOUR (60 * (int64_t)MIN)
#define MIDDLE 0x7fffffff       /* no jitter to speak of */

static const struct { const char *label; struct queue_retry r; unsigned failures; uint32_t random; int64_t min, max; } waits[] = {
	{ "first",                  { 5 * MIN, 4 * HOUR, 2, 0 },     1, MIDDLE,     5 * MIN, 5 * MIN },
	{ "no failure counts as one", { 5 * MIN, 4 * HOUR, 2, 0 },   0, MIDDLE,     5 * MIN, 5 * MIN },
	{ "second doubles",         { 5 * MIN, 4 * HOUR, 2, 0 },     2, MIDDLE,     10 * MIN, 10 * MIN },
	{ "sixth",                  { 5 * MIN, 4 * HOUR, 2, 0 },     6, MIDDLE,     160 * MIN, 160 * MIN },
	{ "never over max",         { 5 * MIN, 4 * HOUR, 2, 0 },     7, MIDDLE,     4 * HOUR, 4 * HOUR },
	{ "overflow is max",        { 5 * MIN, 4 * HOUR, 2, 0 },     4000000000u, MIDDLE, 4 * HOUR, 4 * HOUR },
	{ "growth 1 stays",         { 5 * MIN, 4 * HOUR, 1, 0 },     1000, MIDDLE,  5 * MIN, 5 * MIN },
	{ "growth 1.5",             { 4 * MIN, 4 * HOUR, 1.5, 0 },   3, MIDDLE,     9 * MIN, 9 * MIN },
	{ "growth under 1 is 1",    { 5 * MIN, 4 * HOUR, 0.5, 0 },   9, MIDDLE,     5 * MIN, 5 * MIN },
	{ "least jitter",           { 10 * MIN, 4 * HOUR, 2, 0.2 },  1, 0,          8 * MIN, 8 * MIN },
	{ "most jitter",            { 10 * MIN, 4 * HOUR, 2, 0.2 },  1, UINT32_MAX, 12 * MIN, 12 * MIN },
	{ "jitter over max",        { 10 * MIN, 4 * HOUR, 2, 0.2 },  99, UINT32_MAX, 4 * HOUR, 4 * HOUR + 48 * MIN },
	{ "full jitter is not 0",   { 10 * MIN, 4 * HOUR, 2, 1 },    1, 0,          1, 1 },
	{ "first 0",                { 0, 4 * HOUR, 2, 0 },           1, MIDDLE,     1, 1 },
	{ "max 0",                  { 5 * MIN, 0, 2, 0 },            1, MIDDLE,     1, 1 },
	{ "max under first",        { 5 * MIN, MIN, 2, 0 },          1, MIDDLE,     MIN, MIN },
	{ "jitter over 1 is 1",     { 10 * MIN, 4 * HOUR, 2, 7 },    1, UINT32_MAX, 20 * MIN, 20 * MIN },
	{ "huge",                   { INT64_MAX, INT64_MAX, 2, 1 },  9, UINT32_MAX, INT64_MAX, INT64_MAX },
};

static void test_waits(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(waits); i++) {
		int64_t got = queue_retry_wait_ms(&waits[i].r, waits[i].failures, waits[i].random);
		if (got < waits[i].min - 1 || got > waits[i].max)
			fail_msg("%s: want %" PRId64 "..%" PRId64 ", got %" PRId64, waits[i].label, waits[i].min, waits[i].max, got);
	}
}

/* A queue must not come back as a herd. */
static void test_jitter_spreads(void **state SP_UNUSED)
{
	struct queue_retry r = { 100 * 1000, 4 * HOUR, 2, 0.2 };
	unsigned in[4] = { 0 };
	for (uint32_t i = 0; i < 4000; i++) {
		int64_t got = queue_retry_wait_ms(&r, 1, i * 1073741u);
		assert_in_range(got, 80000, 120000);
		in[sp_min((size_t)(got - 80000) / 10000, 3)]++;
	}
	for (size_t i = 0; i < 4; i++)
		assert_in_range(in[i], 900, 1100);
}

static const struct { const char *label; int64_t arrived, notice, expire; int notified; int64_t want; } deadlines[] = {
	{ "notice first",            1000, 4 * HOUR, 120 * HOUR, 0, 1000 + 4 * HOUR },
	{ "then expiry",             1000, 4 * HOUR, 120 * HOUR, 1, 1000 + 120 * HOUR },
	{ "no notice wanted",        1000, 0, 120 * HOUR, 0, 1000 + 120 * HOUR },
	{ "notice after expiry",     1000, 9 * HOUR, HOUR, 0, 1000 + HOUR },
	{ "notice at expiry",        1000, HOUR, HOUR, 0, 1000 + HOUR },
	{ "the end of time",         INT64_MAX - 5, HOUR, 2 * HOUR, 1, INT64_MAX },
};

static void test_deadlines(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(deadlines); i++) {
		int64_t got = queue_deadline_ms(deadlines[i].arrived, deadlines[i].notice, deadlines[i].expire, deadlines[i].notified);
		if (got != deadlines[i].want)
			fail_msg("%s: want %" PRId64 ", got %" PRId64, deadlines[i].label, deadlines[i].want, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_jitter_spreads),
		cmocka_unit_test(test_deadlines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/relay_alarm_test.c - relay/alarm.c: when a backlog that does not move is told of (TRAPS: one relay delivered nothing for 23 days). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base.h"
#include "relay/alarm.h"

#define HOUR (3600ull * 1000)
#define DAY (24 * HOUR)

/* Looks, one after the other: with the time, what was delivered so far and the age of the oldest. */
static const struct { const char *label; uint64_t at, delivered, age; enum alarm_word want; } rows[] = {
	{ "nothing waits", 1 * HOUR, 0, 0, ALARM_NOTHING },
	{ "nothing waits, though nothing is delivered", 20 * HOUR, 0, 0, ALARM_NOTHING },
	{ "old, and something was delivered just now", 21 * HOUR, 3, 30 * HOUR, ALARM_NOTHING },
	{ "and less than 6 hours ago", 26 * HOUR, 3, 35 * HOUR, ALARM_NOTHING },
	{ "6 hours ago", 27 * HOUR, 3, 36 * HOUR, ALARM_STUCK },
	{ "told once", 28 * HOUR, 3, 37 * HOUR, ALARM_NOTHING },
	{ "not within a day", 27 * HOUR + DAY - 1, 3, 59 * HOUR, ALARM_NOTHING },
	{ "and again after a day", 27 * HOUR + DAY, 3, 60 * HOUR, ALARM_STUCK },
	{ "it moves", 52 * HOUR, 4, 61 * HOUR, ALARM_MOVES },
	{ "that is told once", 53 * HOUR, 4, 62 * HOUR, ALARM_NOTHING },
	{ "it sticks anew", 58 * HOUR, 4, 67 * HOUR, ALARM_STUCK },
	{ "an operator deleted the old ones", 59 * HOUR, 4, 1 * HOUR, ALARM_MOVES },
	{ "young mail alone is no backlog", 90 * HOUR, 4, 23 * HOUR, ALARM_NOTHING },
};

static void test_backlog(void **state)
{
	(void)state;
	struct alarm_backlog b = { 0 };
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		enum alarm_word got = alarm_backlog_look(&b, rows[i].at, rows[i].delivered, rows[i].age, DAY, 6 * HOUR);
		if (got != rows[i].want)
			fail_msg("%s: got %d", rows[i].label, (int)got);
	}
}

static void test_never(void **state)
{
	(void)state;
	struct alarm_backlog b = { 0 };
	for (uint64_t h = 1; h < 100; h++)
		assert_int_equal(alarm_backlog_look(&b, h * HOUR, 0, 23 * DAY, 0, 6 * HOUR), ALARM_NOTHING);
}

/* A start is no delivery, and counts like one: the first alarm comes alarm.idle after it. */
static void test_after_a_start(void **state)
{
	(void)state;
	struct alarm_backlog b = { 0 };
	assert_int_equal(alarm_backlog_look(&b, 1000 * HOUR, 0, 23 * DAY, DAY, 6 * HOUR), ALARM_NOTHING);
	assert_int_equal(alarm_backlog_look(&b, 1006 * HOUR, 0, 23 * DAY, DAY, 6 * HOUR), ALARM_STUCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_backlog), cmocka_unit_test(test_never), cmocka_unit_test(test_after_a_start) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/relay_rate_test.c - relay/rate.c: how many go in a time under one clock, after a pause too, and after the limit changed. */
#include "relay/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* How many go from `from_ms` on in `ms`, by somebody who always has one. */
static unsigned go(struct rate *r, uint64_t from_ms, uint64_t ms)
{
	unsigned n = 0;
	for (uint64_t now = from_ms; now < from_ms + ms;) {
		uint64_t wait = rate_wait_ms(r, now);
		now += wait;
		if (now >= from_ms + ms)
			break;
		rate_take(r, now);
		n++;
	}
	return n;
}

static const struct { const char *label; int64_t count, per_ms; uint64_t ms; unsigned want; } rows[] = {
	{ "a hundred a minute, in a minute", 100, 60000, 60000, 101 },          /* one at each end */
	{ "in ten minutes", 100, 60000, 600000, 1001 },
	{ "in a second", 100, 60000, 1000, 3 },
	{ "a thousand a second", 1000, 1000, 10000, 11000 },                    /* a second's worth is kept at the start */
	{ "one an hour", 1, 3600000, 3600000, 1 },
	{ "one an hour, in a day", 1, 3600000, 86400000, 24 },
};

static void test_how_many_go(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct rate r = { 0 };
		struct config_rate limit = { rows[i].count, rows[i].per_ms };
		rate_set(&r, &limit, 5000000);
		unsigned got = go(&r, 5000000, rows[i].ms);
		print_message("%s: want %u, got %u\n", rows[i].label, rows[i].want, got);
		assert_true(got >= rows[i].want - 1 && got <= rows[i].want);
	}
}

static void test_a_pause_is_not_followed_by_a_flood(void **state)
{
	(void)state;
	struct rate r = { 0 };
	struct config_rate limit = { 600, 60000 };              /* ten a second */
	rate_set(&r, &limit, 1000000);
	go(&r, 1000000, 10000);
	unsigned got = go(&r, 2000000, 1000);
	print_message("a second after a long pause: %u\n", got);
	assert_true(got >= 10 && got <= 20);
	got = go(&r, 2001000, 9000);
	assert_true(got >= 89 && got <= 91);
}

static void test_another_limit(void **state)
{
	(void)state;
	struct rate r = { 0 };
	struct config_rate slow = { 1, 3600000 }, fast = { 60, 60000 }, none = { 0 };
	rate_set(&r, &slow, 1000000);
	rate_take(&r, 1000000);
	assert_int_equal(rate_wait_ms(&r, 1000000), 3600000);
	assert_int_equal(rate_in(&r, 300000), 1);
	rate_set(&r, &fast, 1000000);                           /* an hour is not owed to it */
	assert_int_equal(rate_wait_ms(&r, 1000000), 1000);
	assert_int_equal(rate_in(&r, 300000), 300);
	rate_set(&r, &none, 1000000);
	assert_int_equal(rate_wait_ms(&r, 1000000), 0);
	assert_true(rate_in(&r, 1) == SIZE_MAX);
	rate_take(&r, 1000000);
	assert_int_equal(rate_wait_ms(&r, 1000000), 0);
}

static void test_destinations_of_one_hop_share_a_rate(void **state)
{
	(void)state;
	struct config_rate limit = { 60, 60000 }, none = { 0 };
	struct rates *r = rates_new();
	struct rates_hop *a = rates_join(r, "mx.example:587/as=u", 1000000), *b = rates_join(r, "mx.example:587/as=u", 1000000);
	struct rates_hop *other = rates_join(r, "mx.example:587/as=v", 1000000);
	assert_ptr_equal(a, b);
	assert_int_equal(rates_ask(r, a, &limit, false, 1000000), 0);
	assert_int_equal(rates_ask(r, a, &limit, true, 1000000), 0);
	assert_int_equal(rates_ask(r, b, &limit, true, 1000000), 1000);
	assert_int_equal(rates_ask(r, other, &limit, true, 1000000), 0);
	assert_int_equal(rates_ask(r, b, &none, true, 1000000), 0);
	rates_leave(r, a, 1000000);
	rates_leave(r, b, 1000000);
	rates_leave(r, other, 1000000);
	other = rates_join(r, "mx.example:587/as=v", 1000500);
	assert_int_equal(rates_ask(r, other, &limit, true, 1000500), 500);      /* nobody was there meanwhile: it is owed all the same */
	rates_leave(r, other, 1001000);
	rates_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_how_many_go),
		cmocka_unit_test(test_a_pause_is_not_followed_by_a_flood),
		cmocka_unit_test(test_another_limit),
		cmocka_unit_test(test_destinations_of_one_hop_share_a_rate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

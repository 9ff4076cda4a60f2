/* tests/unit/relay_pace_test.c - relay/pace.c: sessions by address under one clock, dead addresses and their probe, 421, the bounds; and many threads. */
#include "relay/pace.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct pace_limits limits = { .host_max = 10, .all_max = 100, .dead_first_ms = 60000, .dead_max_ms = 600000 };

static struct sp_addr address(const char *text)
{
	struct sp_addr a;
	bool ok = sp_addr_parse(sp_str_of(text), &a);
	assert_true(ok);
	return a;
}

static struct sp_addr nth(uint32_t n)
{
	struct sp_addr a;
	uint8_t octets[4] = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
	sp_addr_from_ipv4(octets, 25, &a);
	return a;
}

static enum pace_answer enter(struct pace *p, const struct sp_addr *a, uint64_t now_ms, uint64_t *again_ms)
{
	struct sp_fail why = SP_FAIL_OK;
	enum pace_answer answer = pace_enter(p, a, now_ms, &limits, again_ms, &why);
	assert_int_equal(sp_failed(&why), answer == PACE_DEAD);
	if (sp_failed(&why))
		print_message("%s\n", why.text);
	return answer;
}

/* As many as it lets in. */
static unsigned fill(struct pace *p, const struct sp_addr *a, uint64_t now_ms)
{
	unsigned n = 0;
	uint64_t again_ms;
	while (enter(p, a, now_ms, &again_ms) == PACE_GO)
		n++;
	return n;
}

static void leave(struct pace *p, const struct sp_addr *a, uint64_t now_ms, enum pace_end how)
{
	struct sp_fail why = SP_FAIL_OK;
	if (how == PACE_UNREACHED)
		sp_fail_set(&why, SP_FAIL_CONNECT, "connection refused");
	pace_leave(p, a, now_ms, &limits, how, &why);
}

static void leave_all(struct pace *p, const struct sp_addr *a, uint64_t now_ms, unsigned count)
{
	while (count-- > 0)
		leave(p, a, now_ms, PACE_NEUTRAL);
}

static void test_one_more_for_each_that_works(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	struct sp_addr a = address("192.0.2.1:25"), other = address("192.0.2.1:587");
	unsigned n = fill(p, &a, 1000);
	assert_int_equal(n, 5);
	for (unsigned want = 6; want <= limits.host_max; want++) {
		pace_works(p, &a);
		n += fill(p, &a, 1000);
		assert_int_equal(n, want);
	}
	pace_works(p, &a);
	n += fill(p, &a, 1000);
	assert_int_equal(n, limits.host_max);           /* and no more than the operator allows */
	assert_int_equal(fill(p, &other, 1000), 5);     /* another port is another host */
	struct pace_counts counts;
	pace_counts(p, 1000, &counts);
	assert_int_equal(counts.addresses, 2);
	assert_int_equal(counts.sessions, n + 5);
	leave_all(p, &a, 2000, n);
	leave_all(p, &other, 2000, 5);
	n = fill(p, &a, 2000);
	assert_int_equal(n, limits.host_max);           /* what was learnt stays */
	leave_all(p, &a, 2000, n);
	pace_free(p);
}

static void test_a_421_is_not_a_dead_site(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	struct sp_addr a = address("[2001:db8::1]:25");
	uint64_t again_ms;
	unsigned n = fill(p, &a, 1000);
	for (unsigned i = 0; i < 4; i++) {
		pace_works(p, &a);
		n += fill(p, &a, 1000);
	}
	assert_int_equal(n, 9);
	leave(p, &a, 1000, PACE_PRESSED);
	assert_int_equal(enter(p, &a, 1000, &again_ms), PACE_FULL);
	assert_int_equal(again_ms, 1000);               /* a pause for everybody */
	leave_all(p, &a, 1500, 8);
	n = fill(p, &a, 2000);
	assert_int_equal(n, 4);                         /* half as many */
	for (unsigned i = 0; i < 4; i++)
		leave(p, &a, 3000, PACE_PRESSED);
	assert_int_equal(enter(p, &a, 3000, &again_ms), PACE_FULL);
	assert_true(again_ms > 1000 && again_ms <= 60000);
	n = fill(p, &a, 3000 + again_ms);
	assert_int_equal(n, 1);                         /* never none */
	pace_works(p, &a);
	n += fill(p, &a, 3000 + again_ms);
	assert_int_equal(n, 2);
	leave_all(p, &a, 100000, 2);
	pace_free(p);
}

static void test_a_storm_of_421_pauses_for_a_minute_at_most(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	struct sp_addr a = address("192.0.2.1:25");
	uint64_t now_ms = 1000, again_ms, want_ms = 1000;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(enter(p, &a, now_ms, &again_ms), PACE_GO);
		leave(p, &a, now_ms, PACE_PRESSED);
		assert_int_equal(enter(p, &a, now_ms, &again_ms), PACE_FULL);
		assert_int_equal(again_ms, want_ms);
		want_ms = sp_min(want_ms * 2, 60000);
		now_ms += again_ms;
	}
	pace_free(p);
}

static void test_one_probe_of_a_dead_address(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	struct sp_addr a = address("192.0.2.1:25");
	struct pace_counts counts;
	uint64_t now_ms = 1000, again_ms, dead_ms = limits.dead_first_ms;
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(enter(p, &a, now_ms, &again_ms), PACE_GO);
		if (i > 0)                              /* whoever comes meanwhile waits for what it finds */
			assert_int_equal(enter(p, &a, now_ms, &again_ms), PACE_FULL);
		leave(p, &a, now_ms, PACE_UNREACHED);
		assert_int_equal(enter(p, &a, now_ms, &again_ms), PACE_DEAD);
		assert_int_equal(again_ms, dead_ms);
		assert_int_equal(enter(p, &a, now_ms + dead_ms - 1, &again_ms), PACE_DEAD);
		pace_counts(p, now_ms, &counts);
		assert_int_equal(counts.dead, 1);
		now_ms += dead_ms;
		dead_ms = sp_min(dead_ms * 2, limits.dead_max_ms);
	}
	assert_int_equal(enter(p, &a, now_ms, &again_ms), PACE_GO);
	assert_int_equal(fill(p, &a, now_ms), 0);
	pace_works(p, &a);                              /* it is back: who waits is let go, though the session goes on */
	assert_int_equal(fill(p, &a, now_ms), 4);
	leave_all(p, &a, now_ms, 5);
	leave_all(p, &a, now_ms, fill(p, &a, now_ms));
	pace_free(p);
}

static void test_an_answer_of_any_kind_is_a_life_sign(void **state)
{
	(void)state;
	static const enum pace_end ends[] = { PACE_NEUTRAL, PACE_SERVED, PACE_PRESSED };
	for (size_t i = 0; i < SP_COUNT(ends); i++) {
		struct pace *p = pace_new();
		struct sp_addr a = address("192.0.2.1:25");
		uint64_t again_ms;
		assert_int_equal(enter(p, &a, 1000, &again_ms), PACE_GO);
		leave(p, &a, 1000, PACE_UNREACHED);
		assert_int_equal(enter(p, &a, 61000, &again_ms), PACE_GO);
		leave(p, &a, 61000, ends[i]);
		assert_int_equal(enter(p, &a, 70000, &again_ms), PACE_GO);
		leave(p, &a, 70000, PACE_UNREACHED);
		assert_int_equal(enter(p, &a, 70000, &again_ms), PACE_DEAD);
		assert_int_equal(again_ms, limits.dead_first_ms);       /* from the start again */
		pace_free(p);
	}
}

static void test_a_lost_connection_beside_living_ones_is_no_death(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	struct sp_addr a = address("192.0.2.1:25");
	uint64_t again_ms;
	assert_int_equal(fill(p, &a, 1000), 5);
	leave(p, &a, 1000, PACE_UNREACHED);
	assert_int_equal(enter(p, &a, 1000, &again_ms), PACE_FULL);
	leave_all(p, &a, 2000, 4);
	assert_int_equal(fill(p, &a, 3000), 2);
	leave_all(p, &a, 3000, 2);
	pace_free(p);
}

/* Else sessions of one destination drive each other out, and each message costs a handshake. */
static void test_one_session_more_makes_no_place_wanted(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	struct sp_addr a = nth(1);
	struct pace_limits spare = limits;
	struct sp_fail why = SP_FAIL_OK;
	uint64_t again_ms;
	spare.spare = true;
	unsigned n = 0;
	while (pace_enter(p, &a, 1000, &spare, &again_ms, &why) == PACE_GO)
		n++;
	assert_false(pace_wanted(p, &a, 1000));
	assert_int_equal(enter(p, &a, 1000, &again_ms), PACE_FULL);
	assert_true(pace_wanted(p, &a, 1000));          /* who has none does */
	assert_int_equal(pace_enter(p, &a, 2000, &spare, &again_ms, &why), PACE_FULL);
	assert_false(pace_wanted(p, &a, 4500));         /* nor does it keep that alive */
	leave_all(p, &a, 4500, n);
	pace_free(p);
}

static void test_all_sessions_have_a_bound(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	uint64_t again_ms;
	unsigned n = 0;
	for (uint32_t i = 0; i < 40; i++) {
		struct sp_addr a = nth(i);
		n += fill(p, &a, 1000);
	}
	assert_int_equal(n, limits.all_max);
	struct sp_addr first = nth(0), last = nth(39);
	assert_true(pace_wanted(p, &first, 1000));      /* any session that only waits makes room */
	assert_false(pace_wanted(p, &first, 10000));
	assert_int_equal(enter(p, &last, 1000, &again_ms), PACE_FULL);
	leave(p, &first, 1000, PACE_SERVED);
	assert_int_equal(enter(p, &last, 1000, &again_ms), PACE_GO);
	leave(p, &last, 1000, PACE_SERVED);
	for (uint32_t i = 0; i < 20; i++) {
		struct sp_addr a = nth(i);
		leave_all(p, &a, 1000, i == 0 ? 4 : 5);
	}
	pace_free(p);
}

static void test_who_waits_asks_again_soon_but_not_all_the_time(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	struct sp_addr a = address("192.0.2.1:25");
	uint64_t few, many;
	unsigned n = fill(p, &a, 1000);
	assert_int_equal(enter(p, &a, 1000, &few), PACE_FULL);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(enter(p, &a, 1001, &many), PACE_FULL);
	assert_true(few <= 50);
	assert_true(many >= 500 && many <= 2000);
	assert_int_equal(enter(p, &a, 9000, &few), PACE_FULL);
	assert_true(few <= 50);
	leave_all(p, &a, 9000, n);
	pace_free(p);
}

static void test_memory_is_bounded(void **state)
{
	(void)state;
	struct pace *p = pace_new();
	struct pace_counts counts;
	uint64_t again_ms;
	for (uint32_t i = 0; i < 120000; i++) {
		struct sp_addr a = nth(i);
		assert_int_equal(enter(p, &a, 1000, &again_ms), PACE_GO);
		leave(p, &a, 1000, PACE_SERVED);
	}
	pace_counts(p, 1000, &counts);
	assert_int_equal(counts.addresses, 100000);
	for (uint32_t i = 0; i < 60000; i++) {          /* what nobody used for an hour goes, a few at a time */
		struct sp_addr a = nth(200000 + i);
		assert_int_equal(enter(p, &a, 2 * 3600 * 1000, &again_ms), PACE_GO);
		leave(p, &a, 2 * 3600 * 1000, PACE_SERVED);
	}
	pace_counts(p, 1000, &counts);
	assert_true(counts.addresses < 61000);
	pace_free(p);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 20000

struct crowd { struct pace *pace; unsigned seed; };

static void *come_and_go(void *arg)
{
	struct crowd *c = arg;
	struct sp_fail why;
	sp_fail_set(&why, SP_FAIL_CONNECT, "connection refused");
	for (unsigned i = 0; i < ROUNDS; i++) {
		c->seed = c->seed * 1103515245 + 12345;
		struct sp_addr a = nth(c->seed >> 16 & 7);
		uint64_t again_ms, now_ms = 1000 + i * 50;
		struct sp_fail dead;
		struct pace_counts counts;
		if (i % 1000 == 0)
			pace_counts(c->pace, now_ms, &counts);
		if (pace_enter(c->pace, &a, now_ms, &limits, &again_ms, &dead) != PACE_GO)
			continue;
		if (c->seed >> 20 & 1)
			pace_works(c->pace, &a);
		(void)pace_wanted(c->pace, &a, now_ms);
		pace_leave(c->pace, &a, now_ms, &limits, (enum pace_end)(c->seed >> 22 & 3), &why);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	(void)state;
	pthread_t threads[THREADS];
	struct crowd crowds[THREADS];
	struct pace *p = pace_new();
	for (unsigned i = 0; i < THREADS; i++) {
		crowds[i] = (struct crowd){ p, i + 1 };
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowds[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	struct pace_counts counts;
	pace_counts(p, 1000, &counts);
	assert_int_equal(counts.sessions, 0);
	assert_int_equal(counts.addresses, 8);
	pace_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_more_for_each_that_works),
		cmocka_unit_test(test_a_421_is_not_a_dead_site),
		cmocka_unit_test(test_a_storm_of_421_pauses_for_a_minute_at_most),
		cmocka_unit_test(test_one_probe_of_a_dead_address),
		cmocka_unit_test(test_an_answer_of_any_kind_is_a_life_sign),
		cmocka_unit_test(test_a_lost_connection_beside_living_ones_is_no_death),
		cmocka_unit_test(test_one_session_more_makes_no_place_wanted),
		cmocka_unit_test(test_all_sessions_have_a_bound),
		cmocka_unit_test(test_who_waits_asks_again_soon_but_not_all_the_time),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_many_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

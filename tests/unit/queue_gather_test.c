/* tests/unit/queue_gather_test.c - how long a batch waits for company (queue/gather.c). */
#include "queue/gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
	const char *label;
	uint32_t avg_accepts, commit_us;        /* what was learnt: sixteenths, microseconds */
	unsigned ops, accepts, patient;         /* what has gathered */
	uint64_t want_us;
} rows[] = {
	{ "a client alone never waits",                 16, 3000,  1,  1,  0, 0 },
	{ "nor with its results beside it",             16, 3000,  2,  1,  1, 0 },
	{ "several clients: two syncs",                 32, 1000,  2,  2,  0, 2000 },
	{ "a slow disk: not for ever",                  32, 9000,  2,  2,  0, QUEUE_GATHER_MAX_US },
	{ "a fast disk: hardly",                        32,  100,  2,  2,  0, 200 },
	{ "one and a half is several",                  24, 1000,  1,  1,  0, 2000 },
	{ "under it is not",                            23, 1000,  1,  1,  0, 0 },
	{ "enough has gathered",                        64, 3000, QUEUE_GATHER_ENOUGH, 20, 4, 0 },
	{ "somebody waits for a look-up",               64, 3000,  3,  0,  2, 0 },
	{ "nobody waits: results alone",                16, 3000,  3,  0,  3, QUEUE_PATIENT_US },
	{ "nobody waits, but there is enough",          16, 3000, QUEUE_GATHER_ENOUGH, 0, QUEUE_GATHER_ENOUGH, 0 },
};

static void waits_as_the_rows_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct queue_gather g = { .accepts = rows[i].avg_accepts, .commit_us = rows[i].commit_us };
		uint64_t got = queue_gather_wait_us(&g, rows[i].ops, rows[i].accepts, rows[i].patient);
		if (got != rows[i].want_us)
			print_error("%s: want %llu us, got %llu\n", rows[i].label, (unsigned long long)rows[i].want_us, (unsigned long long)got);
		assert_int_equal(got, rows[i].want_us);
	}
}

static void learns_that_clients_came_and_went(void **state)
{
	(void)state;
	struct queue_gather g = { 0 };
	for (int i = 0; i < 50; i++)
		queue_gather_learn(&g, 1, 1000);
	assert_int_equal(queue_gather_wait_us(&g, 1, 1, 0), 0);
	for (int i = 0; i < 20; i++)
		queue_gather_learn(&g, 10, 1000);
	assert_in_range(queue_gather_wait_us(&g, 1, 1, 0), 1500, 2000);
	for (int i = 0; i < 40; i++)
		queue_gather_learn(&g, 1, 1000);
	assert_int_equal(queue_gather_wait_us(&g, 1, 1, 0), 0);
}

static void batches_of_results_say_nothing_of_clients(void **state)
{
	(void)state;
	struct queue_gather g = { .accepts = 64, .commit_us = 1000 };
	for (int i = 0; i < 100; i++)
		queue_gather_learn(&g, 0, 1000);
	assert_int_equal(g.accepts, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_as_the_rows_say),
		cmocka_unit_test(learns_that_clients_came_and_went),
		cmocka_unit_test(batches_of_results_say_nothing_of_clients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

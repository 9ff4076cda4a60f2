/* tests/unit/relay_worst_test.c - relay/worst.c: the ten destinations with the most that waits, over pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "relay/worst.h"

static struct queue_shape row(const char *name, uint64_t recipients, bool whole)
{
	return (struct queue_shape){ .destination = name, .recipients = recipients, .whole = whole };
}

static void test_the_most_first(void **state)
{
	(void)state;
	struct worst w;
	worst_init(&w);
	char names[20][16];
	struct queue_shape rows[20];
	for (unsigned i = 0; i < 20; i++) {
		snprintf(names[i], sizeof(names[i]), "d%02u.example", i);
		rows[i] = row(names[i], i * 7 % 20, true);
	}
	assert_false(worst_page(&w, rows, 12, "d11.example"));
	assert_int_equal(w.count, 0);                   /* of a whole round only */
	assert_string_equal(w.after, "d11.example");
	assert_true(worst_page(&w, rows + 12, 8, ""));
	assert_int_equal(w.count, WORST_COUNT);
	for (unsigned i = 0; i < WORST_COUNT; i++)
		assert_int_equal(w.rows[i].recipients, 19 - i);
	assert_string_equal(w.rows[0].name, "d17.example");
	worst_clear(&w);
}

static void test_one_over_several_pages_is_added_up(void **state)
{
	(void)state;
	struct worst w;
	worst_init(&w);
	struct queue_shape first[] = { row("a.example", 1, true), row("big.example", 5000, false) }, second[] = { row("big.example", 5000, false) },
	                   third[] = { row("big.example", 7, true), row("c.example", 2, true) };
	assert_false(worst_page(&w, first, 2, "x"));
	assert_false(worst_page(&w, second, 1, "y"));
	assert_true(worst_page(&w, third, 2, ""));
	assert_int_equal(w.count, 3);
	assert_string_equal(w.rows[0].name, "big.example");
	assert_int_equal(w.rows[0].recipients, 10007);
	worst_clear(&w);
}

/* Its end was delivered between two pages: the next one does not speak of it any more. */
static void test_one_that_went_between_pages(void **state)
{
	(void)state;
	struct worst w;
	worst_init(&w);
	struct queue_shape first[] = { row("b.example", 3, false) }, second[] = { row("c.example", 1, true) };
	assert_false(worst_page(&w, first, 1, "x"));
	assert_true(worst_page(&w, second, 1, NULL));
	assert_int_equal(w.count, 2);
	assert_int_equal(w.rows[0].recipients, 3);
	assert_true(worst_page(&w, NULL, 0, ""));       /* all gone */
	assert_int_equal(w.count, 0);
	worst_clear(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_most_first),
		cmocka_unit_test(test_one_over_several_pages_is_added_up),
		cmocka_unit_test(test_one_that_went_between_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

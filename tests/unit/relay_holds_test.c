/* tests/unit/relay_holds_test.c - relay/holds.c: which recipients a rule catches. Spreading is in tests/e2e/test_queue_cli.py. */
#include "relay/holds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW 1000000

static const struct queue_hold rules[] = {
	{ .id = 7, .sender = "ann@a.example", .reason = "seven" },
	{ .id = 3, .domain = "b.example", .until_ms = NOW + 1, .reason = "three" },
	{ .id = 4, .recipient = "bob@c.example", .reason = "four" },
	{ .id = 5, .sender = "@d.example", .recipient = "@e.example", .reason = "five" },
	{ .id = 6, .domain = "f.example", .until_ms = NOW, .reason = "ended" },
	{ .id = 8, .sender = "<>", .domain = "g.example", .reason = "eight" },
};

static const struct {
	const char *label, *sender, *recipient;
	bool ours;
	uint64_t want;                  /* the rule; 0: not held */
} rows[] = {
	{ "a sender",                                "ann@a.example",  "x@z.example",   false, 7 },
	{ "a sender in other letters",               "Ann@A.Example",  "x@z.example",   false, 7 },
	{ "another sender",                          "anna@a.example", "x@z.example",   false, 0 },
	{ "a domain",                                "x@y.example",    "bob@b.example", false, 3 },
	{ "a domain in other letters",               "x@y.example",    "bob@B.Example", false, 3 },
	{ "a domain is not its subdomains",          "x@y.example",    "b@m.b.example", false, 0 },
	{ "an @ in a quoted local part",             "x@y.example",    "\"b@b.example\"@z.example", false, 0 },
	{ "a recipient",                             "x@y.example",    "bob@c.example", false, 4 },
	{ "all that is said must fit: it does",      "x@d.example",    "y@e.example",   false, 5 },
	{ "all that is said must fit: half of it",   "x@d.example",    "y@z.example",   false, 0 },
	{ "all that is said must fit: other half",   "x@z.example",    "y@e.example",   false, 0 },
	{ "the oldest of two that fit",              "ann@a.example",  "bob@b.example", false, 3 },
	{ "a rule that has ended",                   "x@y.example",    "bob@f.example", false, 0 },
	{ "a bounce that a client sent, by domain",  "",               "bob@b.example", false, 3 },
	{ "a bounce of our own, by domain: not",     "",               "bob@b.example", true,  0 },
	{ "a bounce of our own, by <>",              "",               "bob@g.example", true,  8 },
	{ "mail is not caught by <>",                "x@y.example",    "bob@g.example", false, 0 },
};

static void test_rules_catch(void **state)
{
	(void)state;
	struct holds *h = holds_new(rules, SP_COUNT(rules));
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct queue_recipient r = { .address = rows[i].recipient };
		size_t held = holds_apply(h, rows[i].sender, &r, 1, rows[i].ours, NOW);
		uint64_t got = r.held ? r.held->id : 0;
		if (got != rows[i].want)
			fail_msg("%s: want rule %llu, got %llu", rows[i].label, (unsigned long long)rows[i].want, (unsigned long long)got);
		assert_int_equal(held, rows[i].want > 0);
	}
	holds_unref(h);
}

static void test_recipients_are_held_one_by_one(void **state)
{
	(void)state;
	struct holds *h = holds_new(rules, SP_COUNT(rules));
	struct queue_recipient r[] = { { .address = "x@z.example" }, { .address = "x@b.example" }, { .address = "bob@c.example" } };
	assert_int_equal(holds_apply(h, "x@y.example", r, 3, false, NOW), 2);
	assert_null(r[0].held);
	assert_string_equal(r[1].held->reason, "three");
	assert_string_equal(r[2].held->reason, "four");
	holds_unref(h);
}

static void test_no_rules(void **state)
{
	(void)state;
	struct queue_recipient r = { .address = "x@z.example" };
	assert_int_equal(holds_apply(NULL, "", &r, 1, false, NOW), 0);
	assert_null(r.held);
	assert_null(holds_ref(NULL));
	holds_unref(NULL);
}

static void test_rules_are_copied(void **state)
{
	(void)state;
	char sender[] = "ann@a.example";
	struct queue_hold rule = { .id = 1, .sender = sender, .reason = "" };
	struct holds *h = holds_new(&rule, 1), *other = holds_ref(h);
	sender[0] = 'x';
	holds_unref(h);
	struct queue_recipient r = { .address = "x@z.example" };
	assert_int_equal(holds_apply(other, "ann@a.example", &r, 1, false, NOW), 1);
	holds_unref(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_catch),
		cmocka_unit_test(test_recipients_are_held_one_by_one),
		cmocka_unit_test(test_no_rules),
		cmocka_unit_test(test_rules_are_copied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

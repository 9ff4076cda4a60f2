/* tests/unit/queue_holds_test.c - queue/holds.h: rules in the spool, and mail that one caught as it came in. */
#include "queue_page.h"

static struct { uint64_t id; char words[256]; int64_t since_ms, until_ms; } rules[QUEUE_HOLDS_MAX];
static size_t rule_count;

static void on_rules(void *owner SP_UNUSED, const struct queue_hold *list, size_t count, const struct sp_fail *why)
{
	for (size_t i = 0; i < count; i++) {
		rules[i].id = list[i].id;
		rules[i].since_ms = list[i].since_ms;
		rules[i].until_ms = list[i].until_ms;
		snprintf(rules[i].words, sizeof(rules[i].words), "%s|%s|%s|%s", list[i].sender ? list[i].sender : "-",
		         list[i].recipient ? list[i].recipient : "-", list[i].domain ? list[i].domain : "-", list[i].reason);
	}
	rule_count = count;
	answered(why);
}

static size_t ask_rules(int64_t now_ms)
{
	pending++;
	queue_holds(store, now_ms, box, on_rules, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	return rule_count;
}

static bool add_rule(const struct queue_hold *h)
{
	pending++;
	queue_holds_add(store, h, box, on_answer, NULL);
	await_answers();
	return !sp_failed(&last);
}

static void on_removed(void *owner, bool found, const struct sp_fail *why)
{
	*(bool *)owner = found;
	answered(why);
}

static bool remove_rule(uint64_t id)
{
	bool found;
	pending++;
	queue_holds_remove(store, id, box, on_removed, &found);
	await_answers();
	return found;
}

static void test_rules_survive_a_restart(void **state SP_UNUSED)
{
	open_spool();
	uint64_t a = queue_store_next_id(store), b = queue_store_next_id(store), c = queue_store_next_id(store);
	assert_true(add_rule(&(struct queue_hold){ .id = a, .sender = "@a.example", .since_ms = 100, .reason = "ticket 5" }));
	assert_true(add_rule(&(struct queue_hold){ .id = b, .recipient = "b@x.example", .domain = "x.example", .since_ms = 200, .until_ms = 9000 }));
	assert_true(add_rule(&(struct queue_hold){ .id = c, .sender = "<>", .since_ms = 300, .until_ms = 8000 }));
	reopen_spool();
	assert_int_equal(ask_rules(7999), 3);
	assert_string_equal(rules[0].words, "@a.example|-|-|ticket 5");
	assert_string_equal(rules[1].words, "-|b@x.example|x.example|");
	assert_int_equal(rules[1].until_ms, 9000);
	assert_int_equal(rules[0].since_ms, 100);
	assert_int_equal(ask_rules(8000), 2);                   /* one ended */
	assert_true(remove_rule(a));
	assert_false(remove_rule(a));
	assert_false(remove_rule(c));
	assert_int_equal(ask_rules(8000), 1);
	assert_int_equal(rules[0].id, b);
	close_spool();
}

static void test_too_many_rules_are_refused(void **state SP_UNUSED)
{
	open_spool();
	struct queue_hold h = { .domain = "x.example", .since_ms = 1 };
	for (h.id = 1; h.id < QUEUE_HOLDS_MAX; h.id++)
		assert_true(add_rule(&h));
	h.until_ms = 50;
	assert_true(add_rule(&h));
	h.id++;
	assert_false(add_rule(&h));
	assert_string_equal(last.reason, "full");
	h.since_ms = 51;                                        /* but not by those that ended */
	h.until_ms = 0;
	assert_true(add_rule(&h));
	assert_int_equal(ask_rules(51), QUEUE_HOLDS_MAX);
	close_spool();
}

/* What a rule caught is in no shard's hands, from the commit on. */
static void test_caught_as_it_came_in(void **state SP_UNUSED)
{
	open_spool();
	struct queue_recipient r[2];
	struct queue_hold rule = { .id = 77, .domain = "x.example", .until_ms = 90000, .reason = "a fair" };
	struct queue_message *m = new_message(40);
	fill_recipient(&r[0], 0, "a@x.example");
	fill_recipient(&r[1], 1, "b@y.example");
	r[0].held = &rule;
	pending++;
	queue_accept(store, m, r, 2, NULL, box, on_answer, NULL);
	await_answers();
	assert_int_equal(list(&(struct queue_filter){ .hold_rule = 77 }, 0, ALL), 1);
	assert_int_equal(shown[0].count, 1);
	assert_string_equal(shown[0].text[0], "0 a@x.example hold for a fair");
	assert_int_equal(list(&(struct queue_filter){ .state = QUEUE_STATE_ACTIVE }, 0, ALL), 1);
	assert_string_equal(shown[0].text[0], "1 b@y.example active");
	reopen_spool();
	assert_int_equal(load("x.example", 80000, ALL, MANY), 0);
	assert_int_equal(load("y.example", 80000, ALL, MANY), 1);
	steer(QUEUE_RELEASE, &(struct queue_filter){ .hold_rule = 77 }, 31000);
	assert_int_equal(steered.recipients, 1);
	assert_int_equal(load("x.example", 31000, ALL, MANY), 1);
	assert_int_equal(jobs[0]->recipients[0].held_ms, 30000);        /* since it came */
	queue_message_unref(m);
	close_spool();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_rules_survive_a_restart),
		T(test_too_many_rules_are_refused),
		T(test_caught_as_it_came_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

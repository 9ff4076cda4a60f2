/* tests/unit/queue_spool_test.c - queue/spool.h: what happens to messages. */
#include "queue_ask.h"

/* ---- the life of a message ---- */

static void test_accepted_message_is_whole_after_a_restart(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(5000, "user@x.example");
	assert_int_equal(load("x.example", FAR, ALL, MANY), 0);         /* it is in memory: nobody else may have it */
	reopen_spool();
	assert_int_equal(ask_due(1, ALL), 1);
	assert_string_equal(due_names[0], "x.example");
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	const struct queue_message *m = jobs[0]->message;
	assert_int_equal(m->id, id);
	assert_int_equal(m->kind, QUEUE_MAIL);
	assert_int_equal(m->arrived_ms, 1000);
	assert_string_equal(m->sender, "sender@example.org");
	assert_string_equal(m->client, "127.0.0.1 (test)");
	assert_true(m->eight_bit);
	assert_int_equal(m->header_len, 2500);
	assert_content(m);
	assert_int_equal(jobs[0]->count, 1);
	assert_string_equal(jobs[0]->recipients[0].address, "user@x.example");
	assert_string_equal(jobs[0]->recipients[0].destination, "x.example");
	assert_int_equal(load("x.example", FAR, ALL, MANY), 0);         /* taken */
	close_spool();
}

static void test_empty_content_and_null_sender(void **state SP_UNUSED)
{
	open_spool();
	struct queue_message m = { .id = queue_store_next_id(store), .kind = QUEUE_DSN, .body = sp_body_from_memory(malloc(1), 0) };
	struct queue_message *empty = queue_message_new(&m);
	struct queue_recipient r;
	fill_recipient(&r, 0, "a@x.example");
	pending++;
	queue_accept(store, empty, &r, 1, NULL, box, on_answer, NULL);
	await_answers();
	queue_message_unref(empty);
	reopen_spool();
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	assert_int_equal(jobs[0]->message->kind, QUEUE_DSN);
	assert_string_equal(jobs[0]->message->sender, "");
	assert_int_equal(jobs[0]->message->size, 0);
	close_spool();
}

static void test_last_recipient_takes_the_message_along(void **state SP_UNUSED)
{
	static const char *const to[] = { "a@x.example", "b@x.example", "c@y.example" };
	open_spool();
	uint64_t id = accept_message(3000, to, 3);
	settle_one(id, 1, QUEUE_DELIVERED, 0, 0);
	settle_one(id, 2, QUEUE_BOUNCED, 0, 0);
	assert_int_equal(ask("SELECT count(*) FROM message"), 1);
	assert_int_equal(ask("SELECT n FROM recipient"), 0);
	settle_one(id, 0, QUEUE_DELIVERED, 0, 0);
	assert_int_equal(ask("SELECT count(*) FROM message"), 0);
	assert_int_equal(ask("SELECT count(*) FROM recipient"), 0);
	settle_one(id, 0, QUEUE_DELIVERED, 0, 0);       /* again: all rows are gone */
	settle_one(id, 1, QUEUE_DEFERRED, 5000, 9000);
	assert_int_equal(ask("SELECT count(*) FROM recipient"), 0);
	assert_int_equal(ask("SELECT count(*) FROM destination"), 0);
	close_spool();
}

static void test_results_of_many_messages_at_once(void **state SP_UNUSED)
{
	struct queue_result results[60];
	open_spool();
	for (size_t i = 0; i < 20; i++) {
		static const char *const to[] = { "a@x.example", "b@x.example", "c@x.example" };
		uint64_t id = accept_message(100, to, 3);
		for (uint32_t n = 0; n < 3; n++)
			results[3 * i + n] = (struct queue_result){ .id = id, .n = n, .outcome = QUEUE_DELIVERED };
	}
	results[31].outcome = QUEUE_DEFERRED;           /* message 10, recipient 1 */
	results[31].next_at_ms = 7000;
	results[31].text = "451 4.7.1 greylisted";
	settle(results, 60);
	assert_int_equal(ask("SELECT count(*) FROM message"), 1);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE n = 1 AND attempts = 1 AND next_at = 7000 AND deadline IS NULL"
	                     " AND failure = '451 4.7.1 greylisted'"), 1);
	close_spool();
}

static void test_deferred_recipients_come_back_when_due(void **state SP_UNUSED)
{
	static const char *const to[] = { "a@x.example", "b@x.example", "c@x.example", "d@y.example" };
	open_spool();
	uint64_t id = accept_message(3000, to, 4);
	settle_one(id, 0, QUEUE_DEFERRED, 5000, 90000);
	settle_one(id, 1, QUEUE_DEFERRED, 3000, 90000);
	settle_one(id, 2, QUEUE_DEFERRED, 8000, 90000);
	settle_one(id, 3, QUEUE_DELIVERED, 0, 0);
	assert_int_equal(ask_due(FAR, ALL), 0);                 /* the shard that deferred it still has the destination */
	release("x.example", 0, 0);
	assert_int_equal(ask_due(2999, ALL), 0);
	assert_int_equal(due_next, 3000);                       /* the earliest of its recipients */
	assert_int_equal(ask_due(3000, ALL), 1);
	assert_int_equal(due_next, INT64_MAX);
	assert_int_equal(load("x.example", 5000, ALL, MANY), 1);
	assert_int_equal(jobs[0]->count, 2);
	assert_string_equal(jobs[0]->recipients[0].address, "a@x.example");
	assert_string_equal(jobs[0]->recipients[1].address, "b@x.example");
	assert_int_equal(jobs[0]->recipients[1].attempts, 1);
	settle_one(id, 0, QUEUE_DELIVERED, 0, 0);
	settle_one(id, 1, QUEUE_DEFERRED, 20000, 90000);
	release("x.example", 10000, 0);                         /* not before this */
	assert_int_equal(ask_due(9999, ALL), 0);
	assert_int_equal(due_next, 10000);
	assert_int_equal(ask_due(10000, ALL), 1);
	assert_int_equal(load("x.example", FAR, ALL, MANY), 1);
	assert_int_equal(jobs[0]->count, 2);
	assert_int_equal(jobs[0]->recipients[0].n, 1);
	assert_int_equal(jobs[0]->recipients[0].attempts, 2);
	close_spool();
}

static void test_notified_is_remembered(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(100, "a@x.example");
	park("x.example", id, 4000);
	assert_int_equal(overdue(3999), 0);
	assert_int_equal(overdue(4000), 1);
	assert_false(jobs[0]->recipients[0].notified);
	assert_int_equal(overdue(FAR), 0);                      /* taken */
	settle_one(id, 0, QUEUE_NOTIFIED, 0, 90000);
	park("x.example", id, 90000);
	assert_int_equal(overdue(4000), 0);
	assert_int_equal(overdue(90000), 1);
	assert_true(jobs[0]->recipients[0].notified);
	assert_content(jobs[0]->message);
	close_spool();
}

static void test_overdue_is_by_message_and_destination(void **state SP_UNUSED)
{
	static const char *const to[] = { "a@x.example", "b@x.example", "c@y.example" };
	open_spool();
	uint64_t id = accept_message(100, to, 3);
	park("x.example", id, 4000);
	park("y.example", id, 5000);
	assert_int_equal(overdue(4500), 1);
	assert_int_equal(jobs[0]->count, 2);
	assert_string_equal(jobs[0]->recipients[0].destination, "x.example");
	park("x.example", id, 4000);
	assert_int_equal(overdue(5000), 2);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE next_at IS NULL"), 3);
	close_spool();
}

/* ---- at rest ---- */

static void test_parked_mail_of_a_dead_destination_costs_one_row(void **state SP_UNUSED)
{
	open_spool();
	for (int i = 0; i < 30; i++)
		park("dead.example", accept_one(100, "a@dead.example"), 90000);
	assert_int_equal(ask("SELECT count(*) FROM destination WHERE next_at = 0"), 1);
	assert_int_equal(ask_due(1, ALL), 1);
	assert_int_equal(load("dead.example", 1, 1, MANY), 1);          /* the probe */
	park("dead.example", jobs[0]->message->id, 90000);
	unsigned before = syncs;
	release("dead.example", 60000, 3);
	assert_int_equal(ask_due(59999, ALL), 0);
	assert_int_equal(due_next, 60000);
	assert_in_range(syncs - before, 1, 2);
	assert_int_equal(ask_due(60000, ALL), 1);
	assert_int_equal(due_failures[0], 3);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE next_at = 0 AND deadline = 90000"), 30);
	close_spool();
}

static void test_park_keeps_what_a_settle_put_off(void **state SP_UNUSED)
{
	static const char *const to[] = { "a@x.example", "b@x.example", "c@y.example" };
	open_spool();
	uint64_t id = accept_message(100, to, 3);
	settle_one(id, 1, QUEUE_DEFERRED, 7000, 8000);
	park("x.example", id, 90000);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE n = 0 AND next_at = 0 AND deadline = 90000"), 1);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE n = 1 AND next_at = 7000 AND deadline = 8000"), 1);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE n = 2 AND next_at IS NULL AND deadline IS NULL"), 1);
	assert_int_equal(ask("SELECT count(*) FROM destination"), 1);
	park("y.example", id, 90000);                           /* another job's: the rest stays as it was */
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE n = 2 AND next_at = 0 AND deadline = 90000"), 1);
	assert_int_equal(ask("SELECT count(*) FROM destination"), 2);
	close_spool();
}

static void test_released_destination_without_mail_goes(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(100, "a@x.example");
	park("x.example", id, 90000);
	assert_int_equal(ask_due(1, ALL), 1);
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	settle_one(id, 0, QUEUE_DELIVERED, 0, 0);
	release("x.example", 0, 0);
	assert_int_equal(ask_due(FAR, ALL), 0);
	assert_int_equal(ask("SELECT count(*) FROM destination"), 0);
	close_spool();
}

static void test_clock_set_back_leaves_nothing_waiting_for_long(void **state SP_UNUSED)
{
	open_spool();
	uint64_t deferred = accept_one(100, "a@x.example"), near = accept_one(100, "b@y.example");
	settle_one(deferred, 0, QUEUE_DEFERRED, 40000000, 90000000);
	settle_one(near, 0, QUEUE_DEFERRED, 5000, 90000000);
	release("x.example", 40000000, 1);              /* its site failed, too */
	release("y.example", 0, 0);
	assert_int_equal(ask_due(6000, ALL), 1);
	release("y.example", 0, 0);
	queue_clock_set_back(store, 1000, 10000);
	assert_int_equal(ask_due(1000, ALL), 1);
	assert_string_equal(due_names[0], "x.example");
	assert_int_equal(load("x.example", 1000, ALL, MANY), 1);
	assert_int_equal(due_next, 5000);
	close_spool();
}

static void test_due_pages_and_takes(void **state SP_UNUSED)
{
	open_spool();
	for (int i = 0; i < 10; i++) {
		char to[32];
		snprintf(to, sizeof(to), "a@d%d.example", i);
		park(to + 2, accept_one(10, to), 90000);
		release(to + 2, 1000 + i, 1);
	}
	assert_int_equal(ask_due(1006, 4), 4);
	assert_string_equal(due_names[0], "d0.example");
	assert_string_equal(due_names[3], "d3.example");
	assert_int_equal(due_next, 1004);
	assert_int_equal(ask_due(1006, 4), 3);
	assert_int_equal(due_next, 1007);
	assert_int_equal(ask_due(1006, 4), 0);
	close_spool();
}

static void test_load_in_pages_by_age_and_octets(void **state SP_UNUSED)
{
	uint64_t ids[20];
	open_spool();
	for (int i = 0; i < 20; i++) {
		ids[i] = accept_one(1000, "a@x.example");
		park("x.example", ids[i], 90000);
	}
	assert_int_equal(load("x.example", 1, 5, MANY), 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(jobs[i]->message->id, ids[i]);
	assert_int_equal(load("x.example", 1, ALL, 2500), 3);           /* stops once it has that many */
	assert_int_equal(jobs[0]->message->id, ids[5]);
	assert_int_equal(load("x.example", 1, ALL, 0), 1);              /* one at least */
	assert_int_equal(load("x.example", 1, ALL, MANY), 11);
	assert_int_equal(load("x.example", 1, ALL, MANY), 0);
	close_spool();
}

struct waiting_seen {
	size_t count;
	char first[64];
	struct queue_wait wait;
};

static void on_waiting(void *owner, const struct queue_waiting *list, size_t count, const struct sp_fail *why)
{
	struct waiting_seen *seen = owner;
	seen->count = count;
	if (count > 0) {
		snprintf(seen->first, sizeof(seen->first), "%s", list[0].name);
		seen->wait = list[0].wait;
		assert_string_equal(list[0].wait.text, "connection refused");
	}
	answered(why);
}

static void test_waiting_lists_the_failing_ones(void **state SP_UNUSED)
{
	struct waiting_seen seen;
	open_spool();
	for (int i = 0; i < 6; i++) {
		char to[32];
		snprintf(to, sizeof(to), "a@d%d.example", i);
		park(to + 2, accept_one(10, to), 90000);
		release(to + 2, 1000 + i, (unsigned)i % 2);             /* d1, d3, d5 fail */
	}
	pending++;
	queue_waiting(store, "", 2, box, on_waiting, &seen);
	await_answers();
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.first, "d1.example");
	assert_int_equal(seen.wait.next_at_ms, 1001);
	assert_int_equal(seen.wait.failures, 1);
	assert_int_equal(seen.wait.since_ms, 500);
	pending++;
	queue_waiting(store, "d3.example", 2, box, on_waiting, &seen);
	await_answers();
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.first, "d5.example");
	close_spool();
}

/* ---- counts ---- */

static struct queue_counts counted;

static void on_counts(void *owner SP_UNUSED, const struct queue_counts *counts, const struct sp_fail *why)
{
	counted = *counts;
	answered(why);
}

static void assert_counts(uint64_t messages, uint64_t recipients, uint64_t waiting)
{
	pending++;
	queue_counts(store, box, on_counts, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	assert_int_equal(counted.messages, messages);
	assert_int_equal(counted.recipients, recipients);
	assert_int_equal(counted.destinations_waiting, waiting);
}

static void test_counts_are_what_is_there(void **state SP_UNUSED)
{
	static const char *const three[] = { "a@x.example", "b@x.example", "c@y.example" };
	open_spool();
	assert_counts(0, 0, 0);
	uint64_t id = accept_message(50, three, 3), other = accept_one(10, "d@z.example");
	assert_counts(2, 4, 0);
	for (int i = 0; i < 2; i++)                             /* a settle may be repeated */
		settle_one(id, 1, QUEUE_DELIVERED, 0, 0);
	assert_counts(2, 3, 0);
	settle_one(id, 0, QUEUE_DEFERRED, 5000, 90000);
	settle_one(id, 2, QUEUE_NOTIFIED, 0, 90000);
	release("x.example", 5000, 1);
	assert_counts(2, 3, 1);
	struct queue_message *m = new_message(70);
	struct queue_dsn dsn = { .message = m };
	struct queue_result bounced = { .id = other, .outcome = QUEUE_BOUNCED };
	fill_recipient(&dsn.recipient, 0, "sender@example.org");
	for (int i = 0; i < 2; i++) {
		pending++;
		queue_settle(store, &bounced, 1, &dsn, 1, NULL, box, on_answer, NULL);
		await_answers();
	}
	queue_message_unref(m);
	assert_counts(2, 3, 1);
	settle_one(id, 0, QUEUE_DELIVERED, 0, 0);
	settle_one(id, 2, QUEUE_BOUNCED, 0, 0);
	assert_counts(1, 1, 1);
	reopen_spool();
	assert_counts(1, 1, 2);                                 /* all are due now: x.example's row, without mail, and example.org's */
	close_spool();
}

/* An operation that is undone with its batch is run again, and counted once. */
static void test_counts_survive_operations_that_fail(void **state SP_UNUSED)
{
	open_spool();
	struct queue_message *m = new_message(20);
	struct queue_recipient r;
	bool fine[3];
	fill_recipient(&r, 0, "a@x.example");
	for (size_t i = 0; i < SP_COUNT(fine); i++) {           /* the second and third have an id that is taken */
		pending++;
		queue_accept(store, m, &r, 1, NULL, box, on_answer, &fine[i]);
	}
	await_answers();
	queue_message_unref(m);
	assert_true(fine[0] && !fine[1] && !fine[2]);
	assert_counts(1, 1, 0);
	close_spool();
}

/* ---- notifications ---- */

static void test_bounce_and_its_dsn_are_one(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(100, "a@x.example");
	struct queue_message *m = new_message(700);
	struct queue_dsn dsn = { .message = m };
	fill_recipient(&dsn.recipient, 0, "sender@example.org");
	struct queue_result r = { .id = id, .outcome = QUEUE_BOUNCED };
	for (int i = 0; i < 2; i++) {                           /* a settle may be repeated */
		pending++;
		queue_settle(store, &r, 1, &dsn, 1, NULL, box, on_answer, NULL);
		await_answers();
		assert_false(sp_failed(&last));
	}
	assert_int_equal(ask("SELECT count(*) FROM message"), 1);
	assert_int_equal(ask("SELECT id FROM message"), (int64_t)m->id);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE destination = 'example.org'"), 1);
	queue_message_unref(m);
	close_spool();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_accepted_message_is_whole_after_a_restart),
		T(test_empty_content_and_null_sender),
		T(test_last_recipient_takes_the_message_along),
		T(test_results_of_many_messages_at_once),
		T(test_deferred_recipients_come_back_when_due),
		T(test_notified_is_remembered),
		T(test_overdue_is_by_message_and_destination),
		T(test_parked_mail_of_a_dead_destination_costs_one_row),
		T(test_park_keeps_what_a_settle_put_off),
		T(test_released_destination_without_mail_goes),
		T(test_clock_set_back_leaves_nothing_waiting_for_long),
		T(test_due_pages_and_takes),
		T(test_load_in_pages_by_age_and_octets),
		T(test_waiting_lists_the_failing_ones),
		T(test_counts_are_what_is_there),
		T(test_counts_survive_operations_that_fail),
		T(test_bounce_and_its_dsn_are_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/queue_wish_test.c - queue/spool.h: what an envelope asks for is kept, and order and time follow it. */
#include "queue_ask.h"

#include <sys/mman.h>

/* ---- accepting ---- */

static uint64_t accept_wish(const struct sp_mail_wish *wish, bool binary, const struct queue_recipient *to, size_t count)
{
	uint64_t id = queue_store_next_id(store);
	struct queue_message fields = { .id = id, .arrived_ms = 1000, .sender = "sender@example.org", .size = 10, .binary = binary,
	                                .wish = *wish, .body = sp_body_from_memory(content_of(id, 10), 10) };
	struct queue_message *m = queue_message_new(&fields);
	pending++;
	queue_accept(store, m, to, count, NULL, box, on_answer, NULL);
	queue_message_unref(m);
	await_answers();
	assert_false(sp_failed(&last));
	return id;
}

static uint64_t accept_priority(int priority, const char *address)
{
	struct sp_mail_wish wish = { .priority = priority };
	struct queue_recipient r;
	fill_recipient(&r, 0, address);
	return accept_wish(&wish, false, &r, 1);
}

static uint64_t accept_held(int64_t until_ms, const char *address)
{
	struct sp_mail_wish wish = { .hold_until_ms = until_ms };
	struct queue_recipient r;
	fill_recipient(&r, 0, address);
	return accept_wish(&wish, false, &r, 1);
}

/* ---- kept ---- */

static const struct { const char *label; struct sp_mail_wish wish; bool binary; struct sp_rcpt_wish rcpt; } kept[] = {
	{ "nothing", { .envid = "" }, false, { .notify = 0 } },
	{ "SMTPUTF8", { .utf8 = true, .envid = "" }, false, { .orcpt = "utf-8;b\\x{F6}b@x.example" } },
	{ "REQUIRETLS", { .require_tls = true, .envid = "a+2Bb" }, false, { .notify = SP_NOTIFY_NEVER } },
	{ "TLS-Required: No", { .tls_optional = true, .envid = "" }, false, { .notify = SP_NOTIFY_SUCCESS } },
	{ "BINARYMIME", { .envid = "" }, true, { .notify = SP_NOTIFY_FAILURE } },
	{ "RET=HDRS", { .ret = SP_RET_HDRS, .envid = "QQ314159" }, false, { SP_NOTIFY_DELAY | SP_NOTIFY_FAILURE, "rfc822;Bob@x.example" } },
	{ "RET=FULL, highest", { .ret = SP_RET_FULL, .priority = 9, .envid = "" }, false, { .notify = 7 } },
	{ "lowest, BY N", { .priority = -9, .by = SP_BY_NOTIFY, .by_ms = 77777, .envid = "" }, true, { .notify = 0 } },
	{ "HOLDFOR", { .hold_for_s = 999999999, .priority = -1, .envid = "" }, false, { .notify = 0 } },
	{ "BY RT", { .by = SP_BY_RETURN, .by_trace = true, .by_ms = 88888, .envid = "x" }, false, { .notify = 0 } },
};

static void assert_wish(const struct sp_mail_wish *got, const struct sp_mail_wish *want)
{
	assert_int_equal(got->utf8, want->utf8);
	assert_int_equal(got->require_tls, want->require_tls);
	assert_int_equal(got->tls_optional, want->tls_optional);
	assert_int_equal(got->ret, want->ret);
	assert_int_equal(got->priority, want->priority);
	assert_int_equal(got->by, want->by);
	assert_int_equal(got->by_trace, want->by_trace);
	assert_int_equal(got->by_ms, want->by_ms);
	assert_int_equal(got->hold_until_ms, want->hold_until_ms);
	assert_int_equal(got->hold_for_s, want->hold_for_s);
	assert_string_equal(got->envid, want->envid);
}

static void test_wishes_survive_a_restart(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(kept); i++) {
		print_message("%s\n", kept[i].label);
		struct queue_recipient to[2];
		fill_recipient(&to[0], 0, "a@x.example");
		fill_recipient(&to[1], 1, "b@x.example");
		to[1].wish = kept[i].rcpt;
		open_spool();
		uint64_t id = accept_wish(&kept[i].wish, kept[i].binary, to, 2);
		reopen_spool();
		assert_int_equal(load("x.example", 1, ALL, MANY), 1);
		assert_int_equal(jobs[0]->message->binary, kept[i].binary);
		assert_false(jobs[0]->message->eight_bit);
		assert_wish(&jobs[0]->message->wish, &kept[i].wish);
		assert_int_equal(jobs[0]->recipients[0].wish.notify, 0);
		assert_null(jobs[0]->recipients[0].wish.orcpt);
		assert_int_equal(jobs[0]->recipients[1].wish.notify, kept[i].rcpt.notify);
		if (kept[i].rcpt.orcpt)
			assert_string_equal(jobs[0]->recipients[1].wish.orcpt, kept[i].rcpt.orcpt);
		settle_one(id, 0, QUEUE_DELIVERED, 0, 0);
		settle_one(id, 1, QUEUE_DELIVERED, 0, 0);
		close_spool();
	}
}

/* What a job has is its own: who made it may go. */
static void test_job_has_copies_of_wishes(void **state SP_UNUSED)
{
	char envid[] = "abc", orcpt[] = "rfc822;a@x", address[] = "a@x", failure[] = "why";
	struct queue_message fields = { .wish = { .envid = envid }, .body = sp_body_from_memory(sp_alloc(1), 1) };
	struct queue_message *m = queue_message_new(&fields);
	struct queue_recipient r = { .address = address, .destination = "x", .failure = failure, .wish = { SP_NOTIFY_SUCCESS, orcpt } };
	struct queue_job *job = queue_job_new(m, &r, 1);
	queue_message_unref(m);
	envid[0] = orcpt[0] = address[0] = failure[0] = '?';
	assert_string_equal(job->message->wish.envid, "abc");
	assert_string_equal(job->recipients[0].wish.orcpt, "rfc822;a@x");
	assert_string_equal(job->recipients[0].failure, "why");
	assert_int_equal(job->recipients[0].wish.notify, SP_NOTIFY_SUCCESS);
	queue_job_free(job);
}

/* ---- damage ---- */

static const struct { const char *label, *sql; } damages[] = {
	{ "flags of the future", "UPDATE message SET flags = 1 << 45" },
	{ "negative flags", "UPDATE message SET flags = -1" },
	{ "a RET that is none", "UPDATE message SET flags = 192" },
	{ "a by-mode that is none", "UPDATE message SET flags = 768" },
	{ "a hold over nine digits", "UPDATE message SET flags = 1000000000 << 15" },
	{ "a priority over 9", "UPDATE message SET flags = 10 << 10" },
	{ "an envid with a line end", "UPDATE message SET envid = 'a' || char(13) || 'b'" },
	{ "an envid that is too long", "UPDATE message SET envid = hex(zeroblob(51))" },
	{ "a negative time", "UPDATE message SET by_at = -5" },
	{ "a NOTIFY that is none", "UPDATE recipient SET notify = 9" },
	{ "an ORCPT with a line end", "UPDATE recipient SET orcpt = 'a' || char(10)" },
	{ "an ORCPT that is too long", "UPDATE recipient SET orcpt = hex(zeroblob(300))" },
	{ "a recipient's priority over 9", "UPDATE recipient SET priority = 1000000" },
	{ "a recipient's priority below", "UPDATE recipient SET priority = -1000000" },
	{ "an unknown notice", "UPDATE recipient SET notified = 4" },
};

static void test_damaged_wishes_are_quarantined(void **state SP_UNUSED)
{
	char path[128];
	struct sp_fail why;
	for (size_t i = 0; i < SP_COUNT(damages); i++) {
		print_message("%s\n", damages[i].label);
		open_spool();
		accept_one(10, "a@x.example");
		close_spool();
		snprintf(path, sizeof(path), "%s/spool.db", spool);
		struct core_db *db = core_db_open(path, false, &why);
		assert_int_equal(core_db_exec(db, damages[i].sql), CORE_DB_OK);
		core_db_close(db);
		open_spool();
		uint64_t good = accept_one(10, "b@x.example");
		park("x.example", good, 90000);
		assert_int_equal(load("x.example", FAR, ALL, MANY), 1);
		assert_int_equal(jobs[0]->message->id, good);
		assert_int_equal(ask("SELECT count(*) FROM recipient WHERE next_at = 9223372036854775807"), 1);
		settle_one(good, 0, QUEUE_DELIVERED, 0, 0);
		release("x.example", 0, 0);
		assert_int_equal(ask_due(FAR, ALL), 0);
		close_spool();
		remove_tree(spool);
	}
}

/* ---- priority, RFC 6710 5.1 ---- */

static void test_higher_priority_is_loaded_first(void **state SP_UNUSED)
{
	static const int priorities[] = { 0, -4, 9, 0, 4, 9, -9, -4 };
	static const size_t want[] = { 2, 5, 4, 0, 3, 1, 7, 6 };
	uint64_t ids[SP_COUNT(priorities)];
	open_spool();
	for (size_t i = 0; i < SP_COUNT(priorities); i++) {
		ids[i] = accept_priority(priorities[i], "a@x.example");
		park("x.example", ids[i], 90000);
	}
	assert_int_equal(load("x.example", 1, 3, MANY), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(jobs[i]->message->id, ids[want[i]]);
	assert_int_equal(load("x.example", 1, ALL, MANY), 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(jobs[i]->message->id, ids[want[i + 3]]);
	close_spool();
}

static void test_priority_is_no_reason_to_be_early(void **state SP_UNUSED)
{
	open_spool();
	uint64_t urgent = accept_priority(9, "a@x.example"), plain = accept_priority(0, "a@x.example"), slow = accept_priority(-9, "a@x.example");
	settle_one(urgent, 0, QUEUE_DEFERRED, 9000, 90000);
	settle_one(plain, 0, QUEUE_DEFERRED, 7000, 90000);
	settle_one(slow, 0, QUEUE_DEFERRED, 5000, 90000);
	release("x.example", 0, 0);
	ask_due(-1, ALL);
	assert_int_equal(due_next, 5000);                       /* the earliest of all of them */
	assert_int_equal(load("x.example", 8000, ALL, MANY), 2);
	assert_int_equal(jobs[0]->message->id, plain);
	assert_int_equal(jobs[1]->message->id, slow);
	close_spool();
}

static void test_fresh_jobs_stand_in_order_of_priority(void **state SP_UNUSED)
{
	static const int priorities[] = { 0, 0, 3, -1, 9, 0, 3, -9, 9 };
	static const size_t want[] = { 4, 8, 2, 6, 0, 1, 5, 3, 7 };
	struct sp_link list;
	struct queue_job *made[SP_COUNT(priorities)];
	sp_list_init(&list);
	for (size_t i = 0; i < SP_COUNT(priorities); i++) {
		struct queue_message fields = { .wish.priority = priorities[i], .body = sp_body_from_memory(sp_alloc(1), 1) };
		struct queue_message *m = queue_message_new(&fields);
		struct queue_recipient r = { .address = "a@x", .destination = "x" };
		made[i] = queue_job_new(m, &r, 1);
		queue_message_unref(m);
		queue_job_insert(&list, made[i]);
	}
	for (size_t i = 0; i < SP_COUNT(want); i++) {
		struct queue_job *job = sp_container_of(sp_list_pop(&list), struct queue_job, link);
		assert_ptr_equal(job, made[want[i]]);
		queue_job_free(job);
	}
	assert_true(sp_list_empty(&list));
}

/* ---- held, RFC 4865 ---- */

static void test_held_mail_rests_until_its_time(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_held(50000, "a@x.example");
	assert_int_equal(ask_due(49999, ALL), 0);
	assert_int_equal(due_next, 50000);
	assert_int_equal(load("x.example", 49999, ALL, MANY), 0);
	reopen_spool();
	assert_int_equal(ask_due(49999, ALL), 0);
	assert_int_equal(overdue(50000 + 10 * 60 * 1000 - 1), 0);
	assert_int_equal(ask_due(50000, ALL), 1);
	assert_int_equal(load("x.example", 50000, ALL, MANY), 1);
	assert_int_equal(jobs[0]->message->id, id);
	assert_int_equal(jobs[0]->message->wish.hold_until_ms, 50000);
	close_spool();
}

/* Released into a destination that waits, it would never expire if nobody looked at it. */
static void test_held_mail_is_looked_at_after_its_release(void **state SP_UNUSED)
{
	struct sp_mail_wish by = { .hold_until_ms = 50000, .by = SP_BY_RETURN, .by_ms = 60000 };
	struct queue_recipient r;
	open_spool();
	accept_held(50000, "a@x.example");
	fill_recipient(&r, 0, "b@y.example");
	uint64_t id = accept_wish(&by, false, &r, 1);
	assert_int_equal(overdue(59999), 0);
	assert_int_equal(overdue(60000), 1);                    /* its own time is up sooner */
	assert_int_equal(jobs[0]->message->id, id);
	assert_int_equal(overdue(50000 + 10 * 60 * 1000), 1);
	close_spool();
}

static void test_held_mail_wakes_its_destination_in_time(void **state SP_UNUSED)
{
	open_spool();
	uint64_t later = accept_held(90000, "a@x.example");
	accept_held(50000, "a@x.example");                      /* sooner than what waits already */
	accept_held(70000, "a@x.example");
	assert_int_equal(ask_due(50000, ALL), 1);
	accept_held(60000, "a@x.example");                      /* while a shard has the row */
	assert_int_equal(ask_due(FAR, ALL), 0);
	assert_int_equal(load("x.example", 50000, ALL, MANY), 1);
	settle_one(jobs[0]->message->id, 0, QUEUE_DELIVERED, 0, 0);
	release("x.example", 0, 0);
	ask_due(-1, ALL);
	assert_int_equal(due_next, 60000);
	assert_int_equal(load("x.example", FAR, ALL, MANY), 3);
	assert_int_equal(jobs[2]->message->id, later);
	close_spool();
}

static void test_held_mail_does_not_wake_a_site_that_fails(void **state SP_UNUSED)
{
	open_spool();
	park("x.example", accept_one(10, "a@x.example"), 90000);
	release("x.example", 80000, 3);
	accept_held(50000, "a@x.example");
	assert_int_equal(ask_due(79999, ALL), 0);
	assert_int_equal(ask_due(80000, ALL), 1);
	assert_int_equal(due_failures[0], 3);
	close_spool();
}

static uint64_t *held_id;

static int hold_and_crash(void)
{
	open_spool();
	struct sp_mail_wish wish = { .hold_until_ms = 50000 };
	struct queue_recipient r;
	fill_recipient(&r, 0, "a@x.example");
	*held_id = accept_wish(&wish, false, &r, 1);
	_exit(0);
}

static void test_crash_neither_frees_nor_loses_held_mail(void **state SP_UNUSED)
{
	held_id = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(in_child(hold_and_crash), 0);
	open_spool();
	assert_int_equal(ask_due(49999, ALL), 0);
	assert_int_equal(ask_due(50000, ALL), 1);
	assert_int_equal(load("x.example", 50000, ALL, MANY), 1);
	assert_int_equal(jobs[0]->message->id, *held_id);
	munmap(held_id, 4096);
	close_spool();
}

/* Was: whoever was taken because of a deadline (its by-time comes before its release) was due at once after a restart. */
static void test_restart_does_not_free_held_mail_that_was_looked_at(void **state SP_UNUSED)
{
	struct sp_mail_wish wish = { .hold_until_ms = 50000, .by = SP_BY_NOTIFY, .by_ms = 4000 };
	struct queue_recipient to[2];
	fill_recipient(&to[0], 0, "a@x.example");
	fill_recipient(&to[1], 1, "b@x.example");
	open_spool();
	accept_wish(&wish, false, to, 2);
	assert_int_equal(overdue(4000), 1);
	reopen_spool();
	assert_int_equal(load("x.example", 49999, ALL, MANY), 0);
	assert_int_equal(load("x.example", 50000, ALL, MANY), 1);
	assert_int_equal(jobs[0]->count, 2);
	close_spool();
}

/* ---- a notice takes nobody's time ---- */

/* Was: looked at because of its deadline, a recipient was tried at once instead of at its own time. */
static void test_delay_notice_keeps_the_time_of_the_next_try(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(10, "a@x.example");
	settle_one(id, 0, QUEUE_DEFERRED, 50000, 4000);
	release("x.example", 0, 0);
	assert_int_equal(overdue(4000), 1);
	assert_int_equal(jobs[0]->recipients[0].next_at_ms, 50000);
	settle_one(id, 0, QUEUE_NOTIFIED, 0, 90000);
	queue_park(store, jobs[0], 90000);
	release("x.example", 0, 0);
	assert_int_equal(ask_due(49999, ALL), 0);
	assert_int_equal(due_next, 50000);
	assert_int_equal(load("x.example", 50000, ALL, MANY), 1);
	assert_int_equal(jobs[0]->recipients[0].notified, QUEUE_NOTICE_DELAY);
	close_spool();
}

static void test_notices_add_up(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(10, "a@x.example");
	struct queue_result r = { .id = id, .outcome = QUEUE_NOTIFIED, .notices = QUEUE_NOTICE_BY, .deadline_ms = 90000 };
	settle(&r, 1);
	settle_one(id, 0, QUEUE_NOTIFIED, 0, 90000);
	reopen_spool();
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	assert_int_equal(jobs[0]->recipients[0].notified, QUEUE_NOTICE_DELAY | QUEUE_NOTICE_BY);
	close_spool();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_wishes_survive_a_restart),
		T(test_job_has_copies_of_wishes),
		T(test_damaged_wishes_are_quarantined),
		T(test_higher_priority_is_loaded_first),
		T(test_priority_is_no_reason_to_be_early),
		T(test_fresh_jobs_stand_in_order_of_priority),
		T(test_held_mail_rests_until_its_time),
		T(test_held_mail_is_looked_at_after_its_release),
		T(test_held_mail_wakes_its_destination_in_time),
		T(test_held_mail_does_not_wake_a_site_that_fails),
		T(test_crash_neither_frees_nor_loses_held_mail),
		T(test_restart_does_not_free_held_mail_that_was_looked_at),
		T(test_delay_notice_keeps_the_time_of_the_next_try),
		T(test_notices_add_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/queue_steer_test.c - queue/steer.h: what operators do to mail at rest, and to mail that a shard has. */
#include "queue_page.h"

#define NOW INT64_C(50000)
#define HOUR INT64_C(3600000)

/* ---- every steering in every state ---- */

enum where { FRESH, RESTING, HELD, QUARANTINED, MARKED_HOLD, MARKED_DELETE, MARKED_TAKE, WHERES };
static const char *const wheres[] = { "fresh", "resting", "held", "quarantined", "to be held", "to be deleted", "to be taken" };

static void quarantine(uint64_t id)
{
	char sql[256];
	snprintf(sql, sizeof(sql), "UPDATE recipient SET mark = 2, next_at = 9223372036854775807, deadline = NULL, hold_since = 20000 WHERE id = %llu;"
	         "INSERT INTO suspect (message, crashes) VALUES (%llu, 3)", (unsigned long long)id, (unsigned long long)id);
	write_sql(sql);
}

static uint64_t bring_to(enum where w)
{
	uint64_t id = accept_one(40, "a@x.example");
	if (w == RESTING || w == HELD)
		park("x.example", id, 70000);
	if (w == HELD)
		steer_id(QUEUE_HOLD, id, 20000);
	if (w == QUARANTINED)
		quarantine(id);
	if (w >= MARKED_HOLD)
		steer_id(w == MARKED_HOLD ? QUEUE_HOLD : w == MARKED_DELETE ? QUEUE_DELETE : QUEUE_TAKE, id, 20000);
	return id;
}

/* What a load, a look for what is overdue, and a list then find. */
enum fate { TRIED, KEPT, GONE, RETURNED, IN_HAND };
static const char *const fates[] = { "tried", "kept", "gone", "returned", "in hand" };

static enum fate fate_of(uint64_t id)
{
	lapse(NOW);
	if (list(&(struct queue_filter){ .id = id }, 0, 1) == 0)
		return GONE;
	if (strstr(shown[0].text[0], "active"))
		return IN_HAND;
	if (overdue(1) == 1)
		return jobs[0]->recipients[0].returned ? RETURNED : TRIED;
	return load("x.example", NOW, ALL, MANY) == 1 ? TRIED : KEPT;
}

static const struct { enum queue_steering what; enum where where; uint64_t changed, marked; size_t jobs; enum fate at_once, let_go; } steerings[] = {
	{ QUEUE_RETRY, FRESH,           0, 0, 0, IN_HAND, TRIED },
	{ QUEUE_RETRY, RESTING,         1, 0, 0, TRIED, TRIED },
	{ QUEUE_RETRY, HELD,            0, 0, 0, KEPT, KEPT },
	{ QUEUE_RETRY, QUARANTINED,     0, 0, 0, KEPT, KEPT },
	{ QUEUE_RETRY, MARKED_HOLD,     0, 0, 0, IN_HAND, KEPT },
	{ QUEUE_HOLD, FRESH,            0, 1, 0, IN_HAND, KEPT },
	{ QUEUE_HOLD, RESTING,          1, 0, 0, KEPT, KEPT },
	{ QUEUE_HOLD, HELD,             1, 0, 0, KEPT, KEPT },
	{ QUEUE_HOLD, QUARANTINED,      0, 0, 0, KEPT, KEPT },
	{ QUEUE_HOLD, MARKED_DELETE,    0, 1, 0, IN_HAND, KEPT },
	{ QUEUE_RELEASE, FRESH,         0, 0, 0, IN_HAND, TRIED },
	{ QUEUE_RELEASE, RESTING,       0, 0, 0, TRIED, TRIED },
	{ QUEUE_RELEASE, HELD,          1, 0, 0, TRIED, TRIED },
	{ QUEUE_RELEASE, QUARANTINED,   1, 0, 0, TRIED, TRIED },
	{ QUEUE_RELEASE, MARKED_HOLD,   1, 0, 0, IN_HAND, TRIED },
	{ QUEUE_RELEASE, MARKED_DELETE, 0, 0, 0, IN_HAND, GONE },
	{ QUEUE_DELETE, FRESH,          0, 1, 0, IN_HAND, GONE },
	{ QUEUE_DELETE, RESTING,        1, 0, 0, GONE, GONE },
	{ QUEUE_DELETE, HELD,           1, 0, 0, GONE, GONE },
	{ QUEUE_DELETE, QUARANTINED,    1, 0, 0, GONE, GONE },
	{ QUEUE_DELETE, MARKED_TAKE,    0, 1, 0, IN_HAND, GONE },
	{ QUEUE_TAKE, FRESH,            0, 1, 0, IN_HAND, RETURNED },
	{ QUEUE_TAKE, RESTING,          1, 0, 1, IN_HAND, RETURNED },
	{ QUEUE_TAKE, HELD,             1, 0, 1, IN_HAND, RETURNED },
	{ QUEUE_TAKE, QUARANTINED,      1, 0, 1, IN_HAND, RETURNED },
	{ QUEUE_TAKE, MARKED_HOLD,      0, 1, 0, IN_HAND, RETURNED },
};

/* How a shard lets go of what it has. */
enum way { PARKED, PUT_OFF, CRASHED, WAYS };
static const char *const ways[] = { "parked", "put off", "crashed" };

static void let_go(uint64_t id, enum way way)
{
	if (way == PARKED)
		park("x.example", id, 70000);
	else if (way == PUT_OFF)
		settle_one(id, 0, QUEUE_DEFERRED, 10, 70000);
	else
		reopen_spool();
}

static void steer_one(size_t i, enum way way)
{
	static const char *const names[] = { "retry", "hold", "release", "delete", "take" };
	char label[128];
	snprintf(label, sizeof(label), "%s what is %s, %s", names[steerings[i].what], wheres[steerings[i].where], ways[way]);
	uint64_t id = bring_to(steerings[i].where);
	steer_id(steerings[i].what, id, NOW);
	if (steered.messages != steerings[i].changed || steered.recipients != steerings[i].changed || steered.marked != steerings[i].marked ||
	    steered.job_count != steerings[i].jobs)
		fail_msg("%s: %llu messages, %llu marked, %zu jobs", label, (unsigned long long)steered.messages, (unsigned long long)steered.marked,
		         steered.job_count);
	for (size_t k = 0; k < job_count; k++)
		assert_string_equal(jobs[k]->recipients[0].returned, "looked at");
	enum fate got = steerings[i].at_once == IN_HAND ? (list(&(struct queue_filter){ .id = id, .state = QUEUE_STATE_ACTIVE }, 0, 1) ? IN_HAND : GONE) : IN_HAND;
	if (steerings[i].at_once == IN_HAND) {
		assert_int_equal(got, IN_HAND);
		let_go(id, way);
	}
	got = fate_of(id);
	if (got != steerings[i].let_go)
		fail_msg("%s: want %s, got %s", label, fates[steerings[i].let_go], fates[got]);
}

static void test_every_steering_in_every_state(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(steerings); i++)
		for (enum way way = PARKED; way < WAYS; way++) {
			open_spool();
			steer_one(i, way);
			drop_jobs();
			close_spool();
			remove_tree(spool);
		}
}

/* ---- what each does besides ---- */

static void test_delivered_meanwhile_is_delivered(void **state SP_UNUSED)
{
	open_spool();
	for (enum queue_steering what = QUEUE_HOLD; what <= QUEUE_TAKE; what++) {
		uint64_t id = accept_one(40, "a@x.example");
		steer_id(what, id, NOW);
		settle_one(id, 0, QUEUE_DELIVERED, 0, 0);
		assert_int_equal(list(&(struct queue_filter){ .id = id }, 0, 1), 0);
	}
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'messages'"), 0);
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'recipients'"), 0);
	close_spool();
}

/* A destination with mail at rest has a row while it is due, and none for what is held. */
static void test_held_mail_keeps_no_destination_awake(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(40, "a@x.example");
	park("x.example", id, 70000);
	steer_id(QUEUE_HOLD, id, NOW);
	assert_int_equal(ask_due(NOW, ALL), 1);
	assert_int_equal(load("x.example", NOW, ALL, MANY), 0);
	release("x.example", 0, 0);
	assert_int_equal(ask("SELECT count(*) FROM destination"), 0);
	assert_int_equal(overdue(FAR - 10), 0);                 /* nor is it ever overdue */
	queue_clock_set_back(store, 10, 1000);
	reopen_spool();
	assert_int_equal(ask("SELECT count(*) FROM destination"), 0);
	assert_int_equal(list(&(struct queue_filter){ .state = QUEUE_STATE_HOLD }, 0, ALL), 1);
	steer_id(QUEUE_RELEASE, id, NOW + HOUR);
	assert_int_equal(steered.destination_count, 1);
	assert_int_equal(ask_due(NOW + HOUR, ALL), 1);
	assert_int_equal(load("x.example", NOW + HOUR, ALL, MANY), 1);
	assert_int_equal(jobs[0]->recipients[0].held_ms, HOUR);
	close_spool();
}

static void test_held_time_is_added_up(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(40, "a@x.example");
	park("x.example", id, 70000);
	for (int i = 0; i < 3; i++) {
		steer_id(QUEUE_HOLD, id, NOW + i * HOUR);
		steer_id(QUEUE_HOLD, id, NOW + i * HOUR + 600000);      /* a new reason is no new beginning */
		steer_id(QUEUE_RELEASE, id, NOW + i * HOUR + HOUR / 2);
	}
	steer_id(QUEUE_HOLD, id, NOW + 4 * HOUR);
	steer_id(QUEUE_RELEASE, id, NOW);                       /* the clock went back: nothing is taken away */
	assert_int_equal(load("x.example", NOW + HOUR, ALL, MANY), 1);
	assert_int_equal(jobs[0]->recipients[0].held_ms, 3 * HOUR / 2);
	close_spool();
}

/* One that waits for a site that failed goes on waiting; RETRY alone wakes that. */
static void test_release_does_not_wake_a_dead_site(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(40, "a@x.example"), other = accept_one(40, "b@x.example");
	park("x.example", id, 70000);
	park("x.example", other, 70000);
	steer_id(QUEUE_HOLD, id, NOW);
	release("x.example", NOW + HOUR, 3);
	steer_id(QUEUE_RELEASE, id, NOW);
	assert_int_equal(ask_due(NOW, ALL), 0);
	steer_id(QUEUE_RETRY, id, NOW);
	assert_int_equal(steered.destination_count, 1);
	assert_int_equal(ask_due(NOW, ALL), 1);
	assert_int_equal(due_failures[0], 3);                   /* it is not forgotten that it failed */
	close_spool();
}

static void test_hold_ends_by_itself(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(40, "a@x.example"), fresh = accept_one(40, "b@x.example");
	park("x.example", id, 70000);
	struct queue_steer_ask hold = { .what = QUEUE_HOLD, .limit = 1, .now_ms = NOW, .until_ms = NOW + HOUR, .reason = "a fair", .hold_rule = 77 };
	steer_with(&hold);
	assert_int_equal(steered.messages, 1);
	assert_int_equal(steered.marked, 1);
	park("x.example", fresh, 70000);
	assert_int_equal(list(&(struct queue_filter){ .hold_rule = 77 }, 0, ALL), 2);
	assert_string_equal(shown[1].text[0], "0 b@x.example hold for a fair");
	assert_int_equal(shown[1].next_at_ms[0], NOW + HOUR);
	assert_int_equal(shown[1].rule[0], 77);
	assert_int_equal(overdue(NOW + HOUR), 0);
	lapse(NOW + HOUR - 1);
	assert_int_equal(load("x.example", NOW + HOUR, ALL, MANY), 0);
	reopen_spool();
	lapse(NOW + HOUR + 5);
	assert_int_equal(ask_due(NOW + HOUR, ALL), 1);
	assert_int_equal(load("x.example", NOW + HOUR, ALL, MANY), 2);
	assert_int_equal(jobs[0]->recipients[0].held_ms, HOUR + 5);
	close_spool();
}

/* More than one transaction may have. */
static void test_many_holds_end_together(void **state SP_UNUSED)
{
	enum { COUNT = 1700 };
	open_spool();
	for (int i = 0; i < COUNT; i++) {
		struct queue_message *m = new_message(10);
		struct queue_recipient r;
		struct queue_hold rule = { .id = 5, .domain = "x.example", .until_ms = NOW, .reason = "many" };
		fill_recipient(&r, 0, "a@x.example");
		r.held = &rule;
		pending++;
		queue_accept(store, m, &r, 1, NULL, box, on_answer, NULL);
		await_answers();
		queue_message_unref(m);
	}
	queue_lapse(store, NOW);
	for (int i = 0; i < 2000 && ask("SELECT count(*) FROM recipient WHERE mark IS NOT NULL") > 0; i++)
		usleep(5000);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE mark IS NULL AND next_at = 0"), COUNT);
	close_spool();
}

/* A notice that is due with the attempt must not give a deadline to what is held without an end, or is to be returned at once. */
static void test_a_notice_gives_no_deadline_to_what_is_marked(void **state SP_UNUSED)
{
	for (enum queue_steering what = QUEUE_HOLD; what <= QUEUE_TAKE; what++) {
		open_spool();
		uint64_t id = accept_one(40, "a@x.example");
		steer_id(what, id, NOW);
		struct queue_result both[] = {
			{ .id = id, .outcome = QUEUE_DEFERRED, .next_at_ms = NOW, .deadline_ms = NOW + HOUR, .text = "450 4.2.0 later" },
			{ .id = id, .outcome = QUEUE_NOTIFIED, .notices = QUEUE_NOTICE_DELAY, .deadline_ms = NOW + HOUR },
		};
		settle(both, 2);
		lapse(NOW + 2 * HOUR);
		if (what == QUEUE_HOLD)
			assert_int_equal(list(&(struct queue_filter){ .id = id, .state = QUEUE_STATE_HOLD }, 0, 1), 1);
		if (what == QUEUE_TAKE)
			assert_true(overdue(NOW) == 1 && jobs[0]->recipients[0].returned);
		drop_jobs();
		close_spool();
		remove_tree(spool);
	}
}

/* What was being sent when the rule came is held by it later: it goes with the rule, too. */
static void test_release_by_rule_has_what_will_be_held_by_it(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_one(40, "a@x.example");
	struct queue_steer_ask hold = { .what = QUEUE_HOLD, .limit = 1, .now_ms = NOW, .hold_rule = 77 };
	steer_with(&hold);
	assert_int_equal(steered.marked, 1);
	assert_int_equal(list(&(struct queue_filter){ .hold_rule = 77 }, 0, ALL), 1);
	assert_int_equal(list(&(struct queue_filter){ .hold_rule = 77, .state = QUEUE_STATE_HOLD }, 0, ALL), 0);
	steer(QUEUE_RELEASE, &(struct queue_filter){ .hold_rule = 77 }, NOW);
	assert_int_equal(steered.recipients, 1);
	park("x.example", id, 70000);
	assert_int_equal(load("x.example", NOW, ALL, MANY), 1);
	close_spool();
}

/* A message that cannot be read is quarantined while a shard still has another recipient of it: released, that one would be with two. */
static void test_quarantine_leaves_what_a_shard_has(void **state SP_UNUSED)
{
	open_spool();
	static const char *const to[] = { "a@x.example", "b@y.example", "c@x.example" };
	uint64_t id = accept_message(40, to, 3);
	park("y.example", id, 70000);
	write_sql("UPDATE message SET size = size + 1");
	assert_int_equal(load("y.example", NOW, ALL, MANY), 0);
	assert_int_equal(list(&(struct queue_filter){ .state = QUEUE_STATE_QUARANTINED }, 0, ALL), 1);
	assert_true(shown[0].count == 1 && strstr(shown[0].text[0], "b@y.example"));
	write_sql("UPDATE message SET size = size - 1");
	steer(QUEUE_RELEASE, &(struct queue_filter){ .id = id }, NOW);
	assert_int_equal(steered.recipients, 1);
	assert_int_equal(load("x.example", NOW, ALL, MANY), 0);
	assert_int_equal(load("y.example", NOW, ALL, MANY), 1);
	close_spool();
}

static void test_release_of_quarantine_forgives_crashes(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = bring_to(QUARANTINED);
	assert_int_equal(ask("SELECT count(*) FROM suspect"), 1);
	steer_id(QUEUE_RELEASE, id, NOW);
	assert_int_equal(ask("SELECT count(*) FROM suspect"), 0);
	assert_int_equal(load("x.example", NOW, ALL, MANY), 1);
	assert_int_equal(jobs[0]->recipients[0].held_ms, NOW - 20000);
	close_spool();
}

/* RFC 4865: what its sender holds, an operator's RETRY and RELEASE do not send sooner. */
static void test_senders_hold_is_the_senders(void **state SP_UNUSED)
{
	open_spool();
	struct queue_message *m = new_message(40);
	struct queue_message fields = *m;
	fields.wish.hold_until_ms = NOW + HOUR;
	fields.body = sp_body_ref(m->body);
	struct queue_message *mine = queue_message_new(&fields);
	struct queue_recipient r;
	fill_recipient(&r, 0, "a@x.example");
	pending++;
	queue_accept(store, mine, &r, 1, NULL, box, on_answer, NULL);
	await_answers();
	steer_id(QUEUE_RETRY, mine->id, NOW);
	assert_int_equal(steered.messages, 0);
	steer_id(QUEUE_HOLD, mine->id, NOW);
	steer_id(QUEUE_RELEASE, mine->id, NOW + 10);
	assert_int_equal(load("x.example", NOW + HOUR - 1, ALL, MANY), 0);
	assert_int_equal(load("x.example", NOW + HOUR, ALL, MANY), 1);
	assert_int_equal(jobs[0]->recipients[0].held_ms, 0);    /* it delayed nothing */
	queue_message_unref(mine);
	queue_message_unref(m);
	close_spool();
}

static void test_only_recipients_that_fit(void **state SP_UNUSED)
{
	open_spool();
	static const char *const to[] = { "a@x.example", "b@y.example", "c@x.example" };
	uint64_t id = accept_message(40, to, 3);
	park("x.example", id, 70000);
	park("y.example", id, 70000);
	steer(QUEUE_HOLD, &(struct queue_filter){ .domain = "y.example" }, NOW);
	assert_true(steered.messages == 1 && steered.recipients == 1);
	steer(QUEUE_DELETE, &(struct queue_filter){ .recipient = "a@x.example" }, NOW);
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'recipients'"), 2);
	steer(QUEUE_TAKE, &(struct queue_filter){ .id = id }, NOW);
	assert_true(steered.messages == 1 && steered.recipients == 2 && steered.job_count == 2);        /* one for each destination */
	struct queue_result gone[] = { { .id = id, .n = 1, .outcome = QUEUE_BOUNCED }, { .id = id, .n = 2, .outcome = QUEUE_BOUNCED } };
	settle(gone, 2);
	assert_int_equal(ask("SELECT count(*) FROM message"), 0);
	close_spool();
}

static void test_pages_go_through_all(void **state SP_UNUSED)
{
	open_spool();
	for (int i = 0; i < 25; i++)
		park("x.example", accept_one(40, "a@x.example"), 70000);
	struct queue_steer_ask ask_to = { .what = QUEUE_HOLD, .limit = 7, .now_ms = NOW };
	steer_with(&ask_to);
	assert_int_equal(steered.messages, 25);
	ask_to.what = QUEUE_RELEASE;
	steer_with(&ask_to);
	assert_int_equal(steered.messages, 25);
	ask_to.what = QUEUE_RETRY;
	steer_with(&ask_to);
	assert_int_equal(steered.messages, 25);
	ask_to.what = QUEUE_DELETE;
	steer_with(&ask_to);
	assert_int_equal(steered.messages, 25);
	assert_int_equal(ask("SELECT count(*) FROM recipient"), 0);
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'messages'"), 0);
	close_spool();
}

/* ---- bodies in files, and reports ---- */

static uint64_t reports_deleted[4];
static size_t report_count;

static enum core_db_status on_report_deleted(struct core_db *db SP_UNUSED, uint64_t message)
{
	reports_deleted[report_count++] = message;
	return CORE_DB_OK;
}

static enum core_db_status no_tables(struct core_db *db SP_UNUSED, unsigned from SP_UNUSED)
{
	return CORE_DB_OK;
}

static uint64_t accept_report(char path[256])
{
	struct queue_recipient r;
	struct sp_buf p;
	struct queue_message fields = { .id = queue_store_next_id(store), .kind = QUEUE_REPORT, .arrived_ms = 1000, .sender = "r@a.example", .size = 5 };
	sp_buf_init(&p, 256);
	queue_store_body_path(store, fields.id, &p);
	snprintf(path, 256, "%s", sp_buf_cstr(&p));
	sp_buf_clear(&p);
	FILE *f = fopen(path, "w");
	fputs("hello", f);
	fclose(f);
	fields.body = sp_body_from_file(path, 5);
	struct queue_message *m = queue_message_new(&fields);
	fill_recipient(&r, 0, "a@x.example");
	pending++;
	queue_accept(store, m, &r, 1, NULL, box, on_answer, NULL);
	await_answers();
	queue_message_unref(m);
	return fields.id;
}

static void open_with_reports(void)
{
	static const struct queue_schema others[] = { { "rpt", 1, no_tables, on_report_deleted } };
	struct sp_fail why;
	store = queue_store_open(spool, others, 1, &why);
	assert_non_null(store);
	loop = core_loop_new();
	box = core_mailbox_open(loop);
}

static void test_deleted_report_is_told_and_its_file_goes(void **state SP_UNUSED)
{
	for (int crash = 0; crash < 3; crash++) {
		char path[256];
		report_count = 0;
		open_with_reports();
		uint64_t id = accept_report(path);
		if (crash == 0)
			park("x.example", id, 70000);
		steer_id(QUEUE_DELETE, id, NOW);
		if (crash == 1)
			park("x.example", id, 70000);
		if (crash == 2) {                               /* what the shard had is deleted after the next start */
			assert_int_equal(access(path, F_OK), 0);
			close_spool();
			open_with_reports();
			lapse(0);
		}
		for (int i = 0; i < 1000 && access(path, F_OK) == 0; i++)
			usleep(2000);
		assert_int_not_equal(access(path, F_OK), 0);
		assert_int_equal(report_count, 1);
		assert_int_equal(reports_deleted[0], id);
		close_spool();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_steering_in_every_state),
		T(test_delivered_meanwhile_is_delivered),
		T(test_held_mail_keeps_no_destination_awake),
		T(test_held_time_is_added_up),
		T(test_release_does_not_wake_a_dead_site),
		T(test_hold_ends_by_itself),
		T(test_many_holds_end_together),
		T(test_a_notice_gives_no_deadline_to_what_is_marked),
		T(test_release_by_rule_has_what_will_be_held_by_it),
		T(test_quarantine_leaves_what_a_shard_has),
		T(test_release_of_quarantine_forgives_crashes),
		T(test_senders_hold_is_the_senders),
		T(test_only_recipients_that_fit),
		T(test_pages_go_through_all),
		T(test_deleted_report_is_told_and_its_file_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

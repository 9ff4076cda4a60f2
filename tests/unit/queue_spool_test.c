/* tests/unit/queue_spool_test.c - queue/spool.h: what happens to messages, also across crashes and damage. */
#include "queue_fixture.h"

#include <sys/mman.h>
#include <sys/prctl.h>

#define ALL 100                         /* of a page: more than a test has */
#define MANY ((size_t)1 << 30)
#define FAR (INT64_MAX - 1)

/* ---- asking ---- */

static struct queue_job *jobs[ALL];
static size_t job_count;
static char due_names[ALL][64];
static unsigned due_failures[ALL];
static size_t due_count;
static int64_t due_next;

static void drop_jobs(void)
{
	for (size_t i = 0; i < job_count; i++)
		queue_job_free(jobs[i]);
	job_count = 0;
}

static void on_jobs(void *owner SP_UNUSED, struct queue_job **list, size_t count, const struct sp_fail *why)
{
	drop_jobs();
	for (size_t i = 0; i < count; i++)
		jobs[i] = list[i];
	job_count = count;
	answered(why);
}

static size_t load(const char *destination, int64_t now_ms, size_t limit, size_t octets)
{
	pending++;
	queue_load(store, destination, now_ms, limit, octets, box, on_jobs, NULL);
	await_answers();
	return job_count;
}

static size_t overdue(int64_t now_ms)
{
	pending++;
	queue_overdue(store, now_ms, ALL, box, on_jobs, NULL);
	await_answers();
	return job_count;
}

static void on_due(void *owner SP_UNUSED, const struct queue_due *due, size_t count, int64_t next_ms, const struct sp_fail *why)
{
	for (size_t i = 0; i < count; i++) {
		snprintf(due_names[i], sizeof(due_names[i]), "%s", due[i].name);
		due_failures[i] = due[i].failures;
	}
	due_count = count;
	due_next = next_ms;
	answered(why);
}

static size_t ask_due(int64_t now_ms, size_t limit)
{
	pending++;
	queue_due(store, now_ms, limit, box, on_due, NULL);
	await_answers();
	return due_count;
}

static void release(const char *name, int64_t next_at_ms, unsigned failures)
{
	struct queue_wait wait = { .next_at_ms = next_at_ms, .failures = failures, .since_ms = 500, .text = "connection refused" };
	queue_release(store, name, &wait);
	ask_due(-1, 1);                         /* nobody is told of a release: an answer to anything later tells */
}

static void park(const char *destination, uint64_t id, int64_t deadline_ms)
{
	park_all(destination, id, deadline_ms);
	ask_due(-1, 1);
}

static void assert_content(const struct queue_message *m)
{
	char *want = content_of(m->id, m->size);
	assert_int_equal(sp_body_len(m->body), m->size);
	assert_memory_equal(sp_body_bytes(m->body).p, want, m->size);
	free(want);
}

static int end_test(void **state)
{
	drop_jobs();
	return remove_folder(state);
}

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

static void test_spool_of_version_1_is_counted_once(void **state SP_UNUSED)
{
	struct sp_fail why;
	char path[128];
	open_spool();
	accept_one(10, "a@x.example");
	accept_one(10, "b@x.example");
	close_spool();
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, false, &why);
	assert_int_equal(core_db_exec(db, "DELETE FROM store WHERE name IN ('messages', 'recipients');"
	                                  "UPDATE store SET value = 1 WHERE name = 'version queue'"), CORE_DB_OK);
	core_db_close(db);
	open_spool();
	assert_counts(2, 2, 1);
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

/* ---- large bodies ---- */

static char *body_path(uint64_t id)
{
	struct sp_buf path;
	sp_buf_init(&path, 4096);
	queue_store_body_path(store, id, &path);
	return sp_buf_take(&path);
}

static uint64_t accept_in_file(const char *to)
{
	uint64_t id = queue_store_next_id(store);
	char *path = body_path(id), *content = content_of(id, 9000);
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert_int_equal(write(fd, content, 9000), 9000);
	close(fd);
	struct queue_message m = { .id = id, .size = 9000, .body = sp_body_from_file(path, 9000) };
	struct queue_message *big = queue_message_new(&m);
	struct queue_recipient r;
	fill_recipient(&r, 0, to);
	pending++;
	queue_accept(store, big, &r, 1, NULL, box, on_answer, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	queue_message_unref(big);
	free(content);
	free(path);
	return id;
}

static bool body_is_there(uint64_t id)
{
	char *path = body_path(id);
	bool there = access(path, F_OK) == 0;
	free(path);
	return there;
}

static void test_body_file_goes_with_its_row(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_in_file("a@x.example");
	reopen_spool();
	assert_true(body_is_there(id));
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	char *path = body_path(id);
	assert_string_equal(sp_body_path(jobs[0]->message->body), path);
	assert_int_equal(sp_body_len(jobs[0]->message->body), 9000);
	free(path);
	settle_one(id, 0, QUEUE_DELIVERED, 0, 0);
	assert_false(body_is_there(id));
	close_spool();
}

static void test_body_files_without_a_row_are_swept(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_in_file("a@x.example"), orphan = queue_store_next_id(store);
	char *path = body_path(orphan), other[128];
	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(other, sizeof(other), "%.*s/notes.txt", (int)(strrchr(path, '/') - path), path);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	free(path);
	reopen_spool();
	assert_false(body_is_there(orphan));
	assert_true(body_is_there(id));
	assert_int_equal(access(other, F_OK), 0);       /* not ours */
	close_spool();
}

static void test_bodies_without_their_database_are_kept(void **state SP_UNUSED)
{
	char path[128];
	struct sp_fail why;
	open_spool();
	uint64_t id = accept_in_file("a@x.example");
	assert_true(body_is_there(id));
	close_spool();
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	assert_int_equal(unlink(path), 0);
	for (int i = 0; i < 2; i++) {                   /* nor does a second start take them for orphans */
		assert_null(queue_store_open(spool, NULL, 0, &why));
		assert_non_null(strstr(why.text, "spool.db is missing"));
	}
}

static void test_missing_body_is_quarantined_and_the_rest_goes_on(void **state SP_UNUSED)
{
	open_spool();
	uint64_t lost = accept_in_file("a@x.example"), cut = accept_in_file("b@x.example"), good = accept_in_file("c@x.example");
	char *path = body_path(lost), *cut_path = body_path(cut);
	unlink(path);
	assert_int_equal(truncate(cut_path, 10), 0);
	free(path);
	free(cut_path);
	reopen_spool();
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	assert_int_equal(jobs[0]->message->id, good);
	settle_one(good, 0, QUEUE_DELIVERED, 0, 0);
	release("x.example", 0, 0);
	assert_int_equal(ask_due(FAR, ALL), 0);         /* not tried for ever */
	reopen_spool();
	assert_int_equal(ask_due(FAR, ALL), 0);
	assert_int_equal(overdue(FAR), 0);
	assert_int_equal(ask("SELECT count(*) FROM message"), 2);       /* kept for the operator */
	close_spool();
}

/* ---- crashes ---- */

static uint64_t crash_id;               /* in memory that both processes see */
static uint64_t *shared_id;

/* Ends the child as a crash would, at one of these points. */
enum point { AFTER_ACCEPT, BEFORE_ANSWER, AFTER_PARK, AFTER_DEFER, AFTER_DUE, AFTER_LOAD, AFTER_SETTLE, AFTER_OVERDUE, POINTS };
static enum point crash_at;

static void crash_if(enum point p)
{
	if (crash_at == p)
		_exit(0);
}

static int live_and_crash(void)
{
	open_spool();
	if (crash_at == BEFORE_ANSWER) {
		struct queue_recipient r;
		struct queue_message *m = new_message(4000);
		*shared_id = m->id;
		fill_recipient(&r, 0, "a@x.example");
		queue_accept(store, m, &r, 1, NULL, box, on_answer, NULL);
		while (ask("SELECT count(*) FROM message") == 0)
			usleep(100);
		_exit(0);
	}
	const char *to[] = { "a@x.example", "b@y.example" };
	uint64_t id = accept_message(4000, to, 2);
	*shared_id = id;
	crash_if(AFTER_ACCEPT);
	park("y.example", id, 5000);
	settle_one(id, 0, QUEUE_DEFERRED, 10, 4000);
	crash_if(AFTER_DEFER);
	release("x.example", 10, 1);
	ask_due(0, ALL);
	crash_if(AFTER_PARK);
	ask_due(10, ALL);
	crash_if(AFTER_DUE);
	load("x.example", 10, ALL, MANY);
	load("y.example", 10, ALL, MANY);
	crash_if(AFTER_LOAD);
	settle_one(id, 1, QUEUE_DELIVERED, 0, 0);
	crash_if(AFTER_SETTLE);
	park("x.example", id, 4000);
	overdue(4000);
	crash_if(AFTER_OVERDUE);
	return 1;
}

static void test_crash_at_any_point_loses_nothing(void **state SP_UNUSED)
{
	shared_id = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int p = 0; p < POINTS; p++) {
		crash_at = (enum point)p;
		assert_int_equal(in_child(live_and_crash), 0);
		open_spool();
		bool y_is_done = p == AFTER_SETTLE || p == AFTER_OVERDUE || p == BEFORE_ANSWER;
		size_t due = ask_due(10, ALL);          /* also y where its mail was settled, but not yet released */
		if (due != (p == BEFORE_ANSWER ? 1 : 2))
			fail_msg("point %d: %zu destinations are due", p, due);
		if (load("x.example", 10, ALL, MANY) != 1)
			fail_msg("point %d: the message is lost", p);
		assert_int_equal(jobs[0]->message->id, *shared_id);
		assert_content(jobs[0]->message);
		assert_int_equal(load("y.example", 10, ALL, MANY), y_is_done ? 0 : 1);
		assert_int_equal(ask("SELECT count(*) FROM recipient WHERE deadline IS NULL"), 0);     /* what was fresh has one, too */
		settle_one(*shared_id, 0, QUEUE_DELIVERED, 0, 0);
		settle_one(*shared_id, 1, QUEUE_DELIVERED, 0, 0);
		release("x.example", 0, 0);
		release("y.example", 0, 0);
		assert_int_equal(ask_due(FAR, ALL), 0);
		drop_jobs();
		close_spool();
		assert_int_equal(ask("SELECT count(*) FROM message"), 0);
		assert_int_equal(ask("SELECT count(*) FROM destination"), 0);
	}
	munmap(shared_id, 4096);
}

/* A start leaves the wait of a destination that is known to be down alone. */
static void test_restart_keeps_the_waits(void **state SP_UNUSED)
{
	open_spool();
	park("x.example", accept_one(100, "a@x.example"), 90000);
	release("x.example", 60000, 4);
	accept_one(100, "b@x.example");                 /* fresh */
	reopen_spool();
	assert_int_equal(ask_due(59999, ALL), 0);
	assert_int_equal(ask_due(60000, ALL), 1);
	assert_int_equal(due_failures[0], 4);
	assert_int_equal(load("x.example", 60000, ALL, MANY), 2);
	close_spool();
}

static int work_and_crash(void)
{
	open_spool();
	queue_store_in_hand(store, 3, crash_id);
	queue_store_in_hand(store, 4, 12345);           /* no message of ours */
	_exit(0);
}

static void test_message_that_crashes_the_process_is_set_aside(void **state SP_UNUSED)
{
	open_spool();
	crash_id = accept_one(100, "a@x.example");
	accept_one(100, "b@x.example");
	close_spool();
	for (int crashes = 1; crashes <= 3; crashes++) {
		assert_int_equal(in_child(work_and_crash), 0);
		open_spool();
		assert_int_equal(load("x.example", 1, ALL, MANY), crashes < 3 ? 2 : 1);
		assert_int_equal(jobs[0]->message->id == crash_id, crashes < 3);
		close_spool();                          /* a clean end is no crash */
		open_spool();
		close_spool();
	}
	assert_int_equal(ask("SELECT count(*) FROM message"), 2);
	assert_int_equal(ask("SELECT count(*) FROM suspect"), 1);
}

/* ---- kill -9 ---- */

struct record { uint64_t id, acknowledged; };

static int report_to;

struct sent { uint64_t id; };

static void send_one(void);

static void on_sent(void *owner, const struct sp_fail *why)
{
	struct sent *sent = owner;
	struct record r = { sent->id, !sp_failed(why) };
	if (write(report_to, &r, sizeof(r)) != sizeof(r))
		_exit(1);
	free(sent);
	send_one();
}

static void send_one(void)
{
	static unsigned count;
	char to[32];
	snprintf(to, sizeof(to), "a@d%u.example", count++ % 7);
	struct queue_recipient r;
	struct queue_message *m = new_message(2000 + count % 5000);
	struct sent *sent = sp_alloc(sizeof(*sent));
	struct record issued = { m->id, 0 };
	sent->id = m->id;
	if (write(report_to, &issued, sizeof(issued)) != sizeof(issued))
		_exit(1);
	fill_recipient(&r, 0, to);
	queue_accept(store, m, &r, 1, NULL, box, on_sent, sent);
	queue_message_unref(m);
}

static void send_for_ever(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_spool();
	for (int i = 0; i < 20; i++)
		send_one();
	for (;;)
		core_loop_run(loop);
}

static struct record *records;
static size_t record_count, record_room;

static bool collect_one(int from)
{
	if (record_count == record_room) {
		record_room = record_room ? record_room * 2 : 4096;
		records = sp_realloc(records, record_room * sizeof(*records));
	}
	if (read(from, &records[record_count], sizeof(*records)) != sizeof(*records))
		return false;
	record_count++;
	return true;
}

static void run_and_kill(unsigned after_us)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);          /* so that the child never waits for us */
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		report_to = ends[1];
		send_for_ever();
	}
	close(ends[1]);
	assert_true(collect_one(ends[0]));              /* it is at work */
	usleep(after_us);
	kill(pid, SIGKILL);
	while (collect_one(ends[0]))
		;
	close(ends[0]);
	waitpid(pid, NULL, 0);
}

static int compare_records(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (int)x->acknowledged - (int)y->acknowledged;
}

static bool is_stored(struct core_db *db, uint64_t id)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT size, length(body) FROM message WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)id);
	bool stored = core_stmt_step(s) == CORE_DB_ROW && core_stmt_col_int(s, 0) == core_stmt_col_int(s, 1);
	core_stmt_reset(s);
	return stored;
}

static void test_kill_loses_nothing_acknowledged(void **state SP_UNUSED)
{
	struct sp_fail why;
	char path[128];
	size_t acknowledged = 0;
	srand(7);
	for (int i = 0; i < 50; i++)
		run_and_kill((unsigned)rand() % 60000);
	open_spool();
	close_spool();
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, true, &why);
	qsort(records, record_count, sizeof(*records), compare_records);
	for (size_t i = 0; i < record_count; i++) {
		if (i > 0 && records[i].id == records[i - 1].id && records[i].acknowledged == records[i - 1].acknowledged)
			fail_msg("an identifier was used twice");
		acknowledged += records[i].acknowledged;
		if (records[i].acknowledged && !is_stored(db, records[i].id))
			fail_msg("an acknowledged message is lost");
	}
	core_db_close(db);
	assert_true(acknowledged > 100);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE next_at IS NULL"), 0);
	print_message("%zu acknowledged over 50 kills, all found\n", acknowledged);
	free(records);
	records = NULL;
}

/* ---- damage ---- */

static void damage(const char *path, unsigned bits)
{
	struct stat st;
	int fd = open(path, O_RDWR);
	fstat(fd, &st);
	for (unsigned i = 0; i < bits; i++) {
		off_t at = (off_t)(((uint64_t)rand() << 16 ^ (uint64_t)rand()) % (uint64_t)st.st_size);
		unsigned char c;
		if (pread(fd, &c, 1, at) != 1)
			break;
		c ^= (unsigned char)(1u << (rand() & 7));
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
	}
	close(fd);
}

static void copy(const char *from, const char *to)
{
	char octets[65536];
	int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	for (ssize_t n; (n = read(in, octets, sizeof(octets))) > 0;)
		assert_int_equal(write(out, octets, (size_t)n), n);
	close(in);
	close(out);
}

/* 0: some or all was loaded; 3: refused, and said why. Anything else is a crash. */
static int use_damaged(void)
{
	struct sp_fail why;
	alarm(60);
	store = queue_store_open(spool, NULL, 0, &why);
	if (store == NULL)
		return why.text[0] ? 3 : 4;
	loop = core_loop_new();
	box = core_mailbox_open(loop);
	ask_due(FAR, ALL);
	size_t names = due_count;
	size_t got = 0;
	for (size_t i = 0; i < names; i++) {
		got += load(due_names[i], FAR, ALL, MANY);
		for (size_t j = 0; j < job_count; j++) {
			struct queue_result r = { .id = jobs[j]->message->id, .n = jobs[j]->recipients[0].n, .outcome = QUEUE_DELIVERED };
			pending++;
			queue_settle(store, &r, 1, NULL, 0, NULL, box, on_answer, NULL);
		}
		await_answers();
		release(due_names[i], 0, 0);
	}
	overdue(FAR);
	drop_jobs();
	close_spool();
	*shared_id += got;
	return 0;
}

static void test_random_damage_never_crashes(void **state SP_UNUSED)
{
	char path[128], kept[128], log[128];
	unsigned refused = 0;
	srand(11);
	shared_id = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	open_spool();
	for (int i = 0; i < 100; i++) {
		char to[32];
		snprintf(to, sizeof(to), "a@d%d.example", i % 10);
		uint64_t id = accept_one(200 + 100 * (size_t)(i % 50), to);
		if (i % 3)
			park(to + 2, id, 5000);
	}
	close_spool();
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	snprintf(kept, sizeof(kept), "%s/kept.db", folder);
	snprintf(log, sizeof(log), "%s/spool.db-wal", spool);
	copy(path, kept);
	for (int round = 0; round < 200; round++) {
		copy(kept, path);
		unlink(log);
		damage(path, round % 4 == 0 ? 1 : (unsigned)(1 + rand() % 60));
		int got = in_child(use_damaged);
		if (got != 0 && got != 3)
			fail_msg("round %d: ended with %d", round, got);
		refused += got == 3;
	}
	size_t loaded = *shared_id;
	print_message("200 rounds: %u refused, %zu of 20000 messages loaded\n", refused, loaded);
	assert_true(loaded > 10000);
	munmap(shared_id, 4096);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, make_folder, end_test)

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
		T(test_due_pages_and_takes),
		T(test_load_in_pages_by_age_and_octets),
		T(test_waiting_lists_the_failing_ones),
		T(test_counts_are_what_is_there),
		T(test_counts_survive_operations_that_fail),
		T(test_spool_of_version_1_is_counted_once),
		T(test_bounce_and_its_dsn_are_one),
		T(test_body_file_goes_with_its_row),
		T(test_body_files_without_a_row_are_swept),
		T(test_bodies_without_their_database_are_kept),
		T(test_missing_body_is_quarantined_and_the_rest_goes_on),
		T(test_crash_at_any_point_loses_nothing),
		T(test_restart_keeps_the_waits),
		T(test_message_that_crashes_the_process_is_set_aside),
		T(test_kill_loses_nothing_acknowledged),
		T(test_random_damage_never_crashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/queue_extra_test.c - what another room adds to a transaction of the spool (struct queue_extra), with the ledger as that room:
 * a session's count and the results it had are one commit, and a repeated one counts once (DESIGN.md, promise 3). */
#include "queue_fixture.h"

#include "rpt/ledger.h"
#include "rpt/outbox.h"

#include <semaphore.h>

#define DAY 20779
#define COUNTED "SELECT coalesce(sum(successes + failures), 0) FROM rpt_policy"
#define FAILURES "SELECT coalesce(sum(count), 0) FROM rpt_failure"
#define RECIPIENTS "SELECT count(*) FROM recipient"
#define MESSAGES "SELECT count(*) FROM message"

static void open_with_ledger(void)
{
	static const struct queue_schema rpt = { "rpt", RPT_VERSION, rpt_migrate };
	struct sp_fail why;
	store = queue_store_open(spool, &rpt, 1, &why);
	if (store == NULL)
		fail_msg("%s", why.text);
	loop = core_loop_new();
	box = core_mailbox_open(loop);
}

/* One session that failed, and its number. */
struct counting {
	struct queue_extra extra;
	uint64_t number;
	enum core_db_status answer;     /* what run() returns when the count went well */
	unsigned runs;
	bool stood;                     /* the last run found it counted */
};

static bool is_counted(struct core_db *db, uint64_t number)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT 1 FROM rpt_counted WHERE number = ?");
	core_stmt_int(s, 1, (int64_t)number);
	bool found = core_stmt_step(s) == CORE_DB_ROW;
	core_stmt_reset(s);
	return found;
}

static enum core_db_status run_counting(struct core_db *db, struct queue_extra *x)
{
	static const struct rpt_rules rules = { .spread_s = 14400, .details_max = 1000 };
	static const struct rpt_event e = { .at_s = DAY * (int64_t)RPT_DAY_S, .policy_type = RPT_POLICY_STS, .policy_domain = "x.example",
	                                    .policy_strings = "v", .result = SP_RESULT_CERTIFICATE_EXPIRED };
	struct counting *c = sp_container_of(x, struct counting, extra);
	c->stood = is_counted(db, c->number);
	enum core_db_status status = rpt_ledger_add(db, c->number, &e, 1, &rules);
	c->runs++;
	return status == CORE_DB_OK ? c->answer : status;
}

static struct counting counting(void)
{
	return (struct counting){ .extra.run = run_counting, .number = queue_store_next_id(store) };
}

static void submit(uint64_t id, struct counting *c, bool *fine)
{
	struct queue_result r = { .id = id, .outcome = QUEUE_DELIVERED };
	pending++;
	queue_settle(store, &r, 1, NULL, 0, &c->extra, box, on_answer, fine);
}

static void settle_counting(uint64_t id, struct counting *c)
{
	submit(id, c, NULL);
	await_answers();
}

/* ---- together ---- */

static void test_count_commits_with_its_results(void **state SP_UNUSED)
{
	open_with_ledger();
	uint64_t id = accept_one(100, "a@x.example");
	struct counting c = counting();
	unsigned before = syncs;
	settle_counting(id, &c);
	assert_false(sp_failed(&last));
	assert_int_equal(syncs - before, 1);
	assert_int_equal(ask(MESSAGES), 0);
	assert_int_equal(ask(COUNTED), 1);
	assert_int_equal(ask(FAILURES), 1);
	close_spool();
}

static void test_count_that_fails_undoes_the_results(void **state SP_UNUSED)
{
	open_with_ledger();
	uint64_t id = accept_one(100, "a@x.example");
	struct counting c = counting();
	struct queue_result bounced = { .id = id, .outcome = QUEUE_BOUNCED };
	struct queue_message *m = new_message(70);
	struct queue_dsn dsn = { .message = m };
	fill_recipient(&dsn.recipient, 0, "sender@example.org");
	c.answer = CORE_DB_ERROR;
	pending++;
	queue_settle(store, &bounced, 1, &dsn, 1, &c.extra, box, on_answer, NULL);
	await_answers();
	assert_true(sp_failed(&last));
	assert_int_equal(ask("SELECT id FROM message"), (int64_t)id);
	assert_int_equal(ask(MESSAGES), 1);
	assert_int_equal(ask(COUNTED), 0);
	assert_int_equal(ask("SELECT value FROM store WHERE name = 'recipients'"), 1);
	c.answer = CORE_DB_OK;                                  /* the same again, and it can be done */
	pending++;
	queue_settle(store, &bounced, 1, &dsn, 1, &c.extra, box, on_answer, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	assert_int_equal(ask("SELECT id FROM message"), (int64_t)m->id);
	assert_int_equal(ask(COUNTED), 1);
	queue_message_unref(m);
	close_spool();
}

static void test_count_without_results(void **state SP_UNUSED)
{
	open_with_ledger();
	struct counting c = counting();
	for (int i = 0; i < 2; i++) {
		pending++;
		queue_settle(store, NULL, 0, NULL, 0, &c.extra, box, on_answer, NULL);
		await_answers();
		assert_false(sp_failed(&last));
	}
	assert_int_equal(c.runs, 2);
	assert_int_equal(ask(COUNTED), 1);
	close_spool();
}

/* ---- repeated ---- */

static void test_repeated_settle_counts_once(void **state SP_UNUSED)
{
	open_with_ledger();
	uint64_t id = accept_one(100, "a@x.example"), other = accept_one(100, "b@x.example");
	struct counting c = counting(), d = counting();
	for (int i = 0; i < 3; i++)
		settle_counting(id, &c);
	settle_counting(other, &d);
	assert_int_equal(ask(COUNTED), 2);
	assert_int_equal(ask(FAILURES), 2);
	assert_int_equal(ask(RECIPIENTS), 0);
	close_spool();
}

static sem_t gate;                      /* holds the store's thread, so that operations gather */

static enum core_db_status run_gate(struct core_db *db SP_UNUSED, struct queue_op *op SP_UNUSED)
{
	while (sem_wait(&gate) != 0)
		;
	return CORE_DB_OK;
}

static void on_gate(struct queue_op *op SP_UNUSED, const struct sp_fail *why)
{
	answered(why);
}

/* The batch is rolled back and run again without the one that failed. */
static void test_neighbour_that_fails_doubles_nothing(void **state SP_UNUSED)
{
	static struct queue_op hold;
	struct counting c[5];
	uint64_t ids[5];
	bool fine[5];
	open_with_ledger();
	for (size_t i = 0; i < 5; i++) {
		ids[i] = accept_one(100, "a@x.example");
		c[i] = counting();
	}
	c[3].answer = CORE_DB_CONSTRAINT;
	hold = (struct queue_op){ .run = run_gate, .done = on_gate, .reply_to = box };
	sem_init(&gate, 0, 0);
	pending++;
	queue_store_submit(store, &hold);
	usleep(20000);
	for (size_t i = 0; i < 5; i++)
		submit(ids[i], &c[i], &fine[i]);
	sem_post(&gate);
	await_answers();
	assert_true(fine[0] && fine[1] && fine[2] && !fine[3] && fine[4]);
	assert_true(c[0].runs > 1);
	assert_int_equal(ask(COUNTED), 4);
	assert_int_equal(ask(FAILURES), 4);
	assert_int_equal(ask(RECIPIENTS), 1);
	close_spool();
}

/* The sync failed: nobody knows whether the transaction is on the disk, and it is repeated as soon as the store works again. It is on the disk where
 * the store could not write over it either. */
static void test_commit_in_doubt_counts_once(void **state SP_UNUSED)
{
	open_with_ledger();
	for (int round = 1; round <= 4; round++) {
		uint64_t id = accept_one(100, "a@x.example");
		struct counting c = counting();
		bool stands = round % 2 == 0;
		atomic_store(&full_after_sync, stands);
		atomic_store(&fail_syncs, 1);
		settle_counting(id, &c);
		assert_true(sp_failed(&last));
		atomic_store(&full_after_sync, false);
		atomic_store(&disk_full, false);
		unsigned runs = c.runs;
		do {
			settle_counting(id, &c);
			usleep(sp_failed(&last) ? 50000 : 0);
		} while (sp_failed(&last));
		assert_true(c.runs > runs);
		assert_int_equal(c.stood, stands);
		assert_int_equal(ask(COUNTED), round);
		assert_int_equal(ask(FAILURES), round);
		assert_int_equal(ask(RECIPIENTS), 0);
		for (int i = 0; i < 100 && !queue_store_accepting(store); i++)
			usleep(50000);
	}
	close_spool();
}

/* The transaction stands, the answer was lost: what a repeat meets then. Also where other batches were counted in between. */
static void test_repeat_long_after(void **state SP_UNUSED)
{
	open_with_ledger();
	uint64_t id = accept_one(100, "a@x.example");
	struct counting first = counting();
	settle_counting(id, &first);
	for (int i = 0; i < 200; i++) {
		struct counting c = counting();
		pending++;
		queue_settle(store, NULL, 0, NULL, 0, &c.extra, box, on_answer, NULL);
		await_answers();
	}
	settle_counting(id, &first);
	assert_int_equal(ask(COUNTED), 201);
	close_spool();
}

/* ---- mailed reports ---- */

struct mailing {
	struct queue_extra extra;
	uint64_t message;
	enum core_db_status answer;
};

static enum core_db_status run_mailing(struct core_db *db, struct queue_extra *x)
{
	struct mailing *m = sp_container_of(x, struct mailing, extra);
	struct rpt_endpoint e = { "mailto:r@x.example", RPT_ENDPOINT_MAILED, 5, m->message, "" };
	enum core_db_status status = rpt_outbox_endpoint_put(db, DAY, "x.example", &e);
	return status == CORE_DB_OK ? m->answer : status;
}

static void accept_report(struct queue_message *report, struct mailing *m)
{
	struct queue_recipient r;
	fill_recipient(&r, 0, "r@x.example");
	pending++;
	queue_accept(store, report, &r, 1, &m->extra, box, on_answer, NULL);
	await_answers();
}

static struct queue_job *loaded;

static void on_loaded(void *owner SP_UNUSED, struct queue_job **jobs, size_t count, const struct sp_fail *why)
{
	assert_int_equal(count, 1);
	loaded = jobs[0];
	answered(why);
}

static void test_report_and_its_endpoint_are_one(void **state SP_UNUSED)
{
	open_with_ledger();
	struct queue_message fields = { .id = queue_store_next_id(store), .kind = QUEUE_REPORT, .sender = "tlsrpt@example.org",
	                                .client = "", .body = sp_body_from_memory(sp_alloc(10), 10), .size = 10 };
	struct queue_message *report = queue_message_new(&fields);
	struct mailing m = { .extra.run = run_mailing, .message = report->id, .answer = CORE_DB_IO };
	m.answer = CORE_DB_CONSTRAINT;
	accept_report(report, &m);
	assert_true(sp_failed(&last));
	assert_int_equal(ask(MESSAGES), 0);
	assert_int_equal(ask("SELECT count(*) FROM rpt_endpoint"), 0);
	m.answer = CORE_DB_OK;
	accept_report(report, &m);
	assert_false(sp_failed(&last));
	assert_int_equal(ask("SELECT count(*) FROM message JOIN rpt_endpoint ON message = id"), 1);
	queue_message_unref(report);
	close_spool();
	open_with_ledger();                     /* TRAPS: the message is marked inside the spool */
	pending++;
	queue_load(store, "x.example", 1, 10, 1000, box, on_loaded, NULL);
	await_answers();
	assert_int_equal(loaded->message->kind, QUEUE_REPORT);
	assert_int_equal(loaded->message->id, m.message);
	queue_job_free(loaded);
	close_spool();
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_count_commits_with_its_results),
		T(test_count_that_fails_undoes_the_results),
		T(test_count_without_results),
		T(test_repeated_settle_counts_once),
		T(test_neighbour_that_fails_doubles_nothing),
		T(test_commit_in_doubt_counts_once),
		T(test_repeat_long_after),
		T(test_report_and_its_endpoint_are_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/relay_reporter_test.c - relay/reporter.c over a real store and a clock that is set: what waits for what, and what a stop leaves. What is sent where is
 * tested by tests/e2e/test_report_send.py. */
#include "relay/reporter_impl.h"

#include "relay/api_areas.h"

#include "core/clock.h"
#include "rpt/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#define DAY 20779                       /* 2026-11-22 */
#define MIDNIGHT ((DAY + 1) * (int64_t)RPT_DAY_S)
#define MORNING (MIDNIGHT + 5 * 3600)
#define LARGE 2000                      /* failures of which a document is large, and one page is not */
#define PATIENCE_MS 60000

/* ---- the clock ---- */

static int64_t ahead_ms;                /* of the monotonic one */

uint64_t core_clock_mono_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t core_clock_mono_ms(void) { return core_clock_mono_us() / 1000; }
int64_t core_clock_wall_ms(void) { return (int64_t)core_clock_mono_ms() + ahead_ms; }

/* ---- the world ---- */

static struct {
	char folder[40];
	struct config *config;
	struct core_loop *loop;
	struct core_timer *patience;
	struct reporter_world world;
	struct reporter *reporter;
	unsigned done, whole, refused;          /* documents */
	struct sp_fail refusal;
	uint64_t total;                         /* of a run */
	bool begun, ended, stopped, stored, read;
	char report_id[128];                    /* of the row that was read */
} w;

static void on_impatient(void *owner SP_UNUSED)
{
	fail_msg("waited for too long");
}

static void open_world(int64_t wall_ms)
{
	static const struct queue_schema others[] = { { "rpt", RPT_VERSION, rpt_migrate } };
	static const char text[] = "hostname: relay.example.com\nresolver: {servers: ['127.0.0.1:9'], timeout: 1s}\nreport: {spread: 0s}\n";
	struct sp_buf problems;
	struct sp_fail why;
	memset(&w, 0, sizeof(w));
	sp_buf_init(&problems, 4096);
	snprintf(w.folder, sizeof(w.folder), "/tmp/reporter-test-XXXXXX");
	assert_non_null(mkdtemp(w.folder));
	w.config = config_parse(sp_str_of(text), "t", &problems);
	if (w.config == NULL)
		print_message("%s\n", sp_buf_cstr(&problems));
	assert_non_null(w.config);
	w.loop = core_loop_new();
	w.patience = core_timer_new(w.loop, on_impatient, NULL);
	core_timer_start(w.patience, PATIENCE_MS);
	w.world = (struct reporter_world){ .loop = w.loop, .mailbox = core_mailbox_open(w.loop),
	                                   .store = queue_store_open(w.folder, others, SP_COUNT(others), &why) };
	assert_non_null(w.world.store);
	ahead_ms = wall_ms - (int64_t)core_clock_mono_ms();
	w.reporter = reporter_new(&w.world, w.config);
	assert_true(reporter_open(w.reporter, &why));
}

static void on_stopped(void *owner SP_UNUSED)
{
	w.stopped = true;
	core_loop_stop(w.loop);
}

static void run_until(const bool *flag)
{
	while (!*flag)
		core_loop_run(w.loop);
}

static void close_world(void)
{
	char command[80];
	reporter_stop(w.reporter, on_stopped, NULL);
	run_until(&w.stopped);
	reporter_free(w.reporter);
	core_timer_close(w.patience);
	core_mailbox_close(w.world.mailbox);
	core_loop_run(w.loop);
	core_loop_free(w.loop);
	queue_store_close(w.world.store);
	config_unref(w.config);
	snprintf(command, sizeof(command), "rm -r %s", w.folder);
	assert_int_equal(system(command), 0);
}

/* ---- the ledger ---- */

struct counting {
	struct queue_op op;
	uint64_t number;
	const char *domain;
	unsigned count;                         /* sessions that failed, each in its own way */
};

static enum core_db_status run_counting(struct core_db *db, struct queue_op *op)
{
	struct counting *c = sp_container_of(op, struct counting, op);
	static const struct rpt_rules rules = { .details_max = LARGE };
	struct rpt_event *events = sp_alloc_array(c->count, sizeof(*events));
	char (*helos)[256] = sp_alloc_array(c->count, sizeof(*helos));
	uint64_t random = c->number;
	for (unsigned i = 0; i < c->count; i++) {
		for (size_t at = 0; at < sizeof(*helos) - 17; at += 16)         /* nothing that gzip makes small */
			snprintf(helos[i] + at, 17, "%016llx", (unsigned long long)(random = random * 6364136223846793005u + 1442695040888963407u));
		events[i] = (struct rpt_event){ .at_s = MIDNIGHT - 1, .policy_domain = c->domain, .policy_strings = "", .mx_patterns = "",
		                                .result = SP_RESULT_STARTTLS_NOT_SUPPORTED, .reason = "", .sending_ip = "192.0.2.1",
		                                .mx_host = "mx.example.com", .mx_helo = helos[i], .mx_ip = "192.0.2.2" };
	}
	enum core_db_status status = rpt_ledger_add(db, c->number, events, c->count, &rules);
	free(events);
	free(helos);
	return status;
}

static void on_counted(struct queue_op *op, const struct sp_fail *why)
{
	assert_false(sp_failed(why));
	free(sp_container_of(op, struct counting, op));
	w.stored = true;
	core_loop_stop(w.loop);
}

static void count(const char *domain, unsigned sessions)
{
	struct counting *c = sp_alloc(sizeof(*c));
	c->number = queue_store_next_id(w.world.store);
	c->domain = domain;
	c->count = sessions;
	c->op.run = run_counting;
	c->op.done = on_counted;
	c->op.reply_to = w.world.mailbox;
	w.stored = false;
	queue_store_submit(w.world.store, &c->op);
}

struct reading { struct queue_op op; struct sp_arena arena; const struct rpt_report *rows; size_t count; };

static enum core_db_status run_reading(struct core_db *db, struct queue_op *op)
{
	struct reading *r = sp_container_of(op, struct reading, op);
	struct rpt_filter all = { .last_day = INT64_MAX, .due_by_s = INT64_MAX };
	return rpt_outbox_list(db, &all, 0, "", 1, &r->arena, &r->rows, &r->count);
}

static void on_read(struct queue_op *op, const struct sp_fail *why)
{
	struct reading *r = sp_container_of(op, struct reading, op);
	assert_false(sp_failed(why));
	assert_int_equal(r->count, 1);
	snprintf(w.report_id, sizeof(w.report_id), "%s", r->rows->report_id);
	sp_arena_clear(&r->arena);
	free(r);
	w.read = true;
	core_loop_stop(w.loop);
}

/* Has the report been begun? */
static bool is_begun(void)
{
	struct reading *r = sp_alloc(sizeof(*r));
	r->op.run = run_reading;
	r->op.done = on_read;
	r->op.reply_to = w.world.mailbox;
	w.read = false;
	queue_store_submit(w.world.store, &r->op);
	run_until(&w.read);
	return w.report_id[0] != '\0';
}

/* ---- documents ---- */

static void on_document(void *owner SP_UNUSED, struct sp_str document, const struct sp_fail *why)
{
	w.done++;
	w.whole += !sp_failed(why) && document.len > LARGE * 100;
	w.refused += sp_failed(why);
	if (sp_failed(why))
		w.refusal = *why;
	core_loop_stop(w.loop);
}

static const char *const domains[] = { "a.example", "b.example", "c.example" };

static void ask_large(void)
{
	open_world(MORNING * 1000);
	for (size_t i = 0; i < SP_COUNT(domains); i++) {
		count(domains[i], LARGE);
		run_until(&w.stored);
	}
	for (size_t i = 0; i < SP_COUNT(domains); i++)
		reporter_document(w.reporter, DAY, domains[i], on_document, NULL);
}

static void test_large_documents_come_one_after_another(void **state SP_UNUSED)
{
	ask_large();
	while (w.done < SP_COUNT(domains))
		core_loop_run(w.loop);
	assert_int_equal(w.whole, SP_COUNT(domains));
	close_world();
}

static void on_held(void *owner, const struct sp_fail *why)
{
	bool *made = owner;
	*made = !sp_failed(why);
	core_loop_stop(w.loop);
}

/* A large report goes to its endpoints for minutes; who wants to see another one has it meanwhile. */
static void test_a_document_to_be_seen_waits_for_no_endpoint(void **state SP_UNUSED)
{
	bool made = false;
	open_world(MORNING * 1000);
	for (size_t i = 0; i < 2; i++) {
		count(domains[i], LARGE);
		run_until(&w.stored);
	}
	struct document *held = document_new(w.reporter, &w.reporter->to_send, w.config, DAY, domains[0], "id", on_held, &made);
	while (!made)
		core_loop_run(w.loop);
	assert_true(document_is_large(held));
	reporter_document(w.reporter, DAY, domains[1], on_document, NULL);
	while (w.done == 0)
		core_loop_run(w.loop);
	assert_int_equal(w.whole, 1);
	document_free(held);
	close_world();
}

/* What waits for its turn with a large document is not made first, one after another. */
static void test_a_stop_makes_no_documents(void **state SP_UNUSED)
{
	ask_large();
	while (w.done == 0)
		core_loop_run(w.loop);
	assert_int_equal(w.whole, 1);
	close_world();
	assert_int_equal(w.done, SP_COUNT(domains));
	assert_int_equal(w.refused, SP_COUNT(domains) - 1);
	assert_int_equal(w.refusal.kind, SP_FAIL_SHUTDOWN);
}

/* ---- midnight ---- */

static void on_begin(void *owner SP_UNUSED, uint64_t total)
{
	w.begun = true;
	w.total = total;
	core_loop_stop(w.loop);
}

static void on_result(void *owner SP_UNUSED, const struct reporter_result *r SP_UNUSED)
{
}

static void on_end(void *owner SP_UNUSED, const struct sp_fail *why SP_UNUSED)
{
	w.ended = true;
}

static const struct reporter_run_ops run_ops = { .on_begin = on_begin, .on_result = on_result, .on_end = on_end };

/* cron at 00:00: what shards counted in the last second of the day reaches the ledger a little later, and belongs to the report. */
static void test_a_run_at_midnight_waits_for_the_end_of_the_day(void **state SP_UNUSED)
{
	struct reporter_ask ask = { .day = -1 };
	open_world(MIDNIGHT * 1000 + 500);
	assert_true(reporter_run(w.reporter, &ask, &run_ops, NULL));
	assert_false(reporter_run(w.reporter, &ask, &run_ops, NULL));
	count("example.com", 3);
	run_until(&w.begun);
	assert_int_equal(w.total, 1);
	close_world();
	assert_true(w.ended);
}

static void test_a_run_that_waits_ends_with_the_reporter(void **state SP_UNUSED)
{
	struct reporter_ask ask = { .day = -1 };
	open_world(MIDNIGHT * 1000);
	assert_true(reporter_run(w.reporter, &ask, &run_ops, NULL));
	uint64_t began_ms = core_clock_mono_ms();
	close_world();
	assert_true(w.ended && !w.begun);
	assert_true(core_clock_mono_ms() - began_ms < 1000);
}

static void on_wait_over(void *owner)
{
	*(bool *)owner = true;
	core_loop_stop(w.loop);
}

static void wait_ms(uint64_t ms)
{
	bool over = false;
	struct core_timer *t = core_timer_new(w.loop, on_wait_over, &over);
	core_timer_start(t, ms);
	run_until(&over);
	core_timer_close(t);
}

/* With spread: 0s a report is due at midnight itself. */
static void test_a_report_due_at_midnight_waits_for_the_end_of_the_day(void **state SP_UNUSED)
{
	open_world(MIDNIGHT * 1000);
	count("example.com", 3);
	run_until(&w.stored);
	reporter_begin(w.reporter);
	wait_ms(1000);                          /* it has looked by now */
	assert_false(is_begun());
	for (unsigned i = 0; i < 100 && !is_begun(); i++)
		wait_ms(50);
	assert_true(is_begun());
	close_world();
}

/* ---- a store that does not take what came of a report ---- */

static enum core_db_status run_breaking(struct core_db *db, struct queue_op *op SP_UNUSED)
{
	return core_db_exec(db, "CREATE TRIGGER broken BEFORE UPDATE OF attempts ON rpt_report BEGIN SELECT RAISE(ABORT, 'broken'); END");
}

static void on_written(struct queue_op *op, const struct sp_fail *why)
{
	assert_false(sp_failed(why));
	free(op);
}

/* The run is told, and ends; else the relay would wait for it for ever. */
static void test_a_stop_while_the_store_fails_ends_the_run(void **state SP_UNUSED)
{
	struct reporter_ask ask = { .day = -1 };
	open_world(MORNING * 1000);
	count("example.com", 3);
	run_until(&w.stored);
	struct queue_op *op = sp_alloc(sizeof(*op));
	op->run = run_breaking;
	op->done = on_written;
	op->reply_to = w.world.mailbox;
	queue_store_submit(w.world.store, op);
	assert_true(reporter_run(w.reporter, &ask, &run_ops, NULL));
	wait_ms(3000);                          /* the look-up failed, and its end was tried to be stored */
	assert_false(w.ended);
	close_world();
	assert_true(w.ended);
}

/* ---- what is asked over the control socket ---- */

#define ROWS 60                         /* with all that the owner of a domain can put into one */
#define ENDPOINTS 40
#define URI_LEN 2000

static enum core_db_status run_filling(struct core_db *db, struct queue_op *op SP_UNUSED)
{
	char domain[32], uri[URI_LEN + 1];
	enum core_db_status status = CORE_DB_OK;
	for (int i = 0; i < ROWS && status == CORE_DB_OK; i++) {
		snprintf(domain, sizeof(domain), "d%02d.example", i);
		status = rpt_outbox_need(db, DAY, domain, MIDNIGHT);
		for (int e = 0; e < ENDPOINTS && status == CORE_DB_OK; e++) {
			snprintf(uri, sizeof(uri), "https://%02d.example/%0*d", e, URI_LEN - 30, 0);
			struct rpt_endpoint endpoint = { .uri = uri, .state = RPT_ENDPOINT_FAILED, .at_s = MIDNIGHT, .text = "HTTP status 500" };
			status = rpt_outbox_endpoint_put(db, DAY, domain, &endpoint);
		}
	}
	return status;
}

static struct { struct api *api; json_t *answer; int status; bool answered; } asked;

static void on_answer(void *owner SP_UNUSED, int status, const char *content_type SP_UNUSED, struct sp_buf *body)
{
	asked.status = status;
	asked.answer = json_loadb(body->p, sp_buf_failed(body) ? 0 : body->len, 0, NULL);
	asked.answered = true;
	sp_buf_clear(body);
	core_loop_stop(w.loop);
}

static json_t *ask_api(const char *query)
{
	asked.answered = false;
	api_ask(asked.api, "GET", SP_STR("/report/list"), sp_str_of(query), on_answer, NULL);
	run_until(&asked.answered);
	assert_int_equal(asked.status, 200);
	assert_non_null(asked.answer);
	return asked.answer;
}

/* Owners of domains cannot make an answer too large to be given. */
static void test_a_list_of_endpoints_without_end_comes_in_pages(void **state SP_UNUSED)
{
	char query[128] = "";
	size_t rows = 0, pages = 0;
	open_world(MORNING * 1000);
	asked.api = api_areas_new(&(struct api_world){ .loop = w.loop, .mailbox = w.world.mailbox, .store = w.world.store, .reporter = w.reporter,
	                                               .config = w.config });
	struct queue_op *op = sp_alloc(sizeof(*op));
	op->run = run_filling;
	op->done = on_written;
	op->reply_to = w.world.mailbox;
	queue_store_submit(w.world.store, op);
	do {
		json_t *page = ask_api(query), *next = json_object_get(page, "next");
		rows += json_array_size(json_object_get(page, "reports"));
		pages++;
		*query = '\0';
		if (json_is_string(next))
			snprintf(query, sizeof(query), "after=%s", json_string_value(next));
		json_decref(page);
	} while (*query);
	assert_int_equal(rows, ROWS);
	assert_true(pages > 1);
	api_free(asked.api);
	close_world();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large_documents_come_one_after_another),
		cmocka_unit_test(test_a_document_to_be_seen_waits_for_no_endpoint), cmocka_unit_test(test_a_stop_makes_no_documents),
		cmocka_unit_test(test_a_run_at_midnight_waits_for_the_end_of_the_day), cmocka_unit_test(test_a_run_that_waits_ends_with_the_reporter),
		cmocka_unit_test(test_a_report_due_at_midnight_waits_for_the_end_of_the_day),
		cmocka_unit_test(test_a_stop_while_the_store_fails_ends_the_run),
		cmocka_unit_test(test_a_list_of_endpoints_without_end_comes_in_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

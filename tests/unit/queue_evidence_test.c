/* tests/unit/queue_evidence_test.c - queue/evidence.h: what is kept of attempts, how it is found again, and what goes first. */
#include "evidence_fixture.h"

#define OK(call) assert_int_equal(call, CORE_DB_OK)
#define OCTETS "SELECT octets FROM evidence_size"
#define COUNTED "SELECT (SELECT coalesce(sum(octets), 0) FROM evidence_session) + (SELECT coalesce(sum(octets), 0) FROM evidence_event)" \
	" + (SELECT coalesce(sum(octets), 0) FROM evidence_chain)"

/* A step on the store's thread, in a transaction of its own. */
struct step {
	struct queue_op op;
	enum core_db_status (*run)(struct core_db *db);
};

static enum core_db_status run_step(struct core_db *db, struct queue_op *op)
{
	return sp_container_of(op, struct step, op)->run(db);
}

static void step_done(struct queue_op *op, const struct sp_fail *why)
{
	answered(why);                          /* which is in `op` */
	free(sp_container_of(op, struct step, op));
}

static void step(enum core_db_status (*run)(struct core_db *db))
{
	struct step *s = sp_alloc(sizeof(*s));
	s->run = run;
	s->op.run = run_step;
	s->op.done = step_done;
	s->op.reply_to = box;
	pending++;
	queue_store_submit(store, &s->op);
	await_answers();
	assert_false(sp_failed(&last));
}

static void add_session(struct core_db *db, uint64_t id, const char *destination, const char *chain)
{
	char hash[QUEUE_EVIDENCE_HASH];
	queue_evidence_hash(sp_str_of(chain), hash);
	struct queue_evidence_session s = { .id = id, .at_ms = (int64_t)id * 1000, .destination = destination, .data = SP_STR("{\"s\":1}"),
	                                    .chain = sp_str_of(chain), .chain_hash = sp_str_make(hash, sizeof(hash)) };
	OK(queue_evidence_add_session(db, &s));
}

static void add_event(struct core_db *db, uint64_t id, uint64_t message, uint64_t session)
{
	struct queue_evidence_event e = { .id = id, .at_ms = (int64_t)id * 1000, .message = message, .session = session, .data = SP_STR("{\"e\":1}") };
	OK(queue_evidence_add_event(db, &e));
}

/* Message 10 came, was tried over session 12, waited for a site that failed (14), and went over 16; message 11 went over 12 too. */
static enum core_db_status add_story(struct core_db *db)
{
	for (int twice = 0; twice < 2; twice++) {               /* a transaction may be repeated */
		add_event(db, 10, 10, 0);
		add_event(db, 11, 11, 0);
		add_session(db, 12, "a.example", "PEM one");
		add_event(db, 13, 10, 12);
		add_session(db, 14, "b.example", NULL);
		add_event(db, 15, 11, 12);
		add_session(db, 16, "a.example", "PEM one");
		add_event(db, 17, 10, 16);
	}
	assert_int_equal(number(db, "SELECT count(*) FROM evidence_event"), 5);
	assert_int_equal(number(db, "SELECT count(*) FROM evidence_chain"), 1);
	assert_true(number(db, OCTETS) == number(db, COUNTED));
	return CORE_DB_OK;
}

/* ---- asking ---- */

static char told[512];
static uint64_t told_next;

static void on_rows(void *owner SP_UNUSED, const struct queue_evidence_row *rows, size_t count, uint64_t next, const struct sp_fail *why)
{
	size_t len = 0;
	told[0] = '\0';
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(told + len, sizeof(told) - len, "%d:%s ", (int)rows[i].event.id, rows[i].session ? rows[i].session->destination : "-");
	told_next = next;
	answered(why);
}

static void on_sessions(void *owner SP_UNUSED, const struct queue_evidence_session *rows, size_t count, uint64_t next, const struct sp_fail *why)
{
	size_t len = 0;
	told[0] = '\0';
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(told + len, sizeof(told) - len, "%d:%s ", (int)rows[i].id, rows[i].destination);
	told_next = next;
	answered(why);
}

static void on_pem(void *owner SP_UNUSED, struct sp_str pem, const struct sp_fail *why)
{
	snprintf(told, sizeof(told), "%.*s", SP_STR_ARG(pem));
	answered(why);
}

static const char *of(uint64_t message, uint64_t after, size_t limit)
{
	pending++;
	queue_evidence_of(store, message, after, limit, box, on_rows, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	return told;
}

static const char *sessions(const char *destination, uint64_t before, size_t limit)
{
	pending++;
	queue_evidence_sessions(store, destination, before, limit, box, on_sessions, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	return told;
}

static const char *chain(uint64_t session)
{
	pending++;
	queue_evidence_chain(store, session, box, on_pem, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	return told;
}

static void test_the_story_of_a_message(void **state SP_UNUSED)
{
	step(add_story);
	assert_string_equal(of(10, 0, 10), "10:- 13:a.example 17:a.example ");
	assert_true(told_next == 0);
	assert_string_equal(of(10, 0, 2), "10:- 13:a.example ");
	assert_true(told_next == 13);
	assert_string_equal(of(10, 13, 2), "17:a.example ");
	assert_string_equal(of(11, 0, 10), "11:- 15:a.example ");
	assert_string_equal(of(99, 0, 10), "");
}

static void test_sessions_the_newest_first(void **state SP_UNUSED)
{
	step(add_story);
	assert_string_equal(sessions(NULL, 0, 10), "16:a.example 14:b.example 12:a.example ");
	assert_string_equal(sessions("a.example", 0, 1), "16:a.example ");
	assert_true(told_next == 16);
	assert_string_equal(sessions("a.example", 16, 1), "12:a.example ");
	assert_true(told_next == 0);
	assert_string_equal(sessions("c.example", 0, 10), "");
	assert_string_equal(chain(12), "PEM one");
	assert_string_equal(chain(14), "");
	assert_string_equal(chain(15), "");
}

/* ---- what goes ---- */

static enum core_db_status sweep_old(struct core_db *db)
{
	size_t budget = 100;
	OK(queue_evidence_sweep(db, 20000, 6000, 1 << 20, &budget));          /* 10 to 13 go */
	assert_int_equal(budget, 96);
	assert_int_equal(number(db, "SELECT min(id) FROM evidence_event"), 15);
	assert_int_equal(number(db, "SELECT min(id) FROM evidence_session"), 14);
	assert_int_equal(number(db, "SELECT count(*) FROM evidence_chain"), 1);            /* session 16 shows it still */
	assert_true(number(db, OCTETS) == number(db, COUNTED));
	return CORE_DB_OK;
}

static enum core_db_status sweep_all(struct core_db *db)
{
	size_t budget = 2;
	OK(queue_evidence_sweep(db, 20000, 0, 1 << 20, &budget));
	assert_int_equal(budget, 0);                                    /* there may be more */
	assert_int_equal(number(db, "SELECT count(*) FROM evidence_event"), 1);
	budget = 100;
	OK(queue_evidence_sweep(db, 20000, 0, 1 << 20, &budget));
	assert_int_equal(number(db, "SELECT count(*) FROM evidence_chain"), 0);
	assert_int_equal(number(db, OCTETS), 0);
	return CORE_DB_OK;
}

static void test_the_old_goes(void **state SP_UNUSED)
{
	step(add_story);
	step(sweep_old);
	assert_string_equal(of(10, 0, 10), "17:a.example ");
	assert_string_equal(of(11, 0, 10), "15:- ");                    /* its session is gone */
	step(sweep_all);
	assert_string_equal(of(10, 0, 10), "");
}

static enum core_db_status sweep_too_much(struct core_db *db)
{
	size_t budget = 100;
	int64_t all = number(db, OCTETS);
	OK(queue_evidence_sweep(db, 20000, 20000, (uint64_t)all, &budget));
	assert_int_equal(budget, 100);
	OK(queue_evidence_sweep(db, 20000, 20000, (uint64_t)all - 1, &budget));    /* one octet too many: the oldest row, and no more */
	assert_int_equal(budget, 99);
	assert_int_equal(number(db, "SELECT min(id) FROM evidence_event"), 11);
	OK(queue_evidence_sweep(db, 20000, 20000, 0, &budget));
	assert_int_equal(number(db, OCTETS), 0);
	assert_int_equal(number(db, COUNTED), 0);
	return CORE_DB_OK;
}

static void test_it_is_bounded_in_size(void **state SP_UNUSED)
{
	step(add_story);
	step(sweep_too_much);
}

/* Rows 100 to 119 were written while the clock was set far ahead, those behind them after it was set right. */
static enum core_db_status add_the_future(struct core_db *db)
{
	for (uint64_t id = 100; id < 160; id++) {
		int64_t at_ms = id < 120 ? INT64_C(4000000000000) + (int64_t)id : (int64_t)id * 1000;
		struct queue_evidence_event e = { .id = id, .at_ms = at_ms, .message = 10, .data = SP_STR("{}") };
		OK(queue_evidence_add_event(db, &e));
	}
	return CORE_DB_OK;
}

static enum core_db_status sweep_the_future(struct core_db *db)
{
	size_t budget = 100;
	OK(queue_evidence_sweep(db, 125000, 20000, 1 << 20, &budget));  /* nothing behind them is old yet */
	assert_int_equal(budget, 100);
	OK(queue_evidence_sweep(db, 170000, 20000, 1 << 20, &budget));
	assert_int_equal(number(db, "SELECT min(id) FROM evidence_event"), 150);
	assert_int_equal(number(db, "SELECT count(*) FROM evidence_event"), 10);
	assert_true(number(db, OCTETS) == number(db, COUNTED));
	return CORE_DB_OK;
}

static void test_a_clock_set_far_ahead_does_not_keep_the_old(void **state SP_UNUSED)
{
	step(add_the_future);
	step(sweep_the_future);
}

/* The other way: a clock that is far behind for a while takes nothing for old, nor for from the future what it may delete. */
static enum core_db_status sweep_in_the_past(struct core_db *db)
{
	size_t budget = 100;
	OK(queue_evidence_sweep(db, 1, 20000, 1 << 20, &budget));
	assert_int_equal(budget, 100);
	return CORE_DB_OK;
}

static void test_a_clock_set_back_deletes_nothing(void **state SP_UNUSED)
{
	step(add_story);
	step(sweep_in_the_past);
}

/* Its own tables at fault: neither a session nor an event keeps the results of their transaction from being written. */
static enum core_db_status add_to_faulty_tables(struct core_db *db)
{
	OK(core_db_exec(db, "DROP TABLE evidence_event; CREATE TABLE evidence_event (id INTEGER PRIMARY KEY, at BIGINT, octets BIGINT, message BIGINT, session BIGINT,"
	                    " data TEXT CHECK (data = ''));"
	                    "DROP TABLE evidence_session; CREATE TABLE evidence_session (id INTEGER PRIMARY KEY, at BIGINT, octets BIGINT, chain BIGINT, destination TEXT,"
	                    " data TEXT CHECK (data = ''))"));
	add_session(db, 12, "a.example", "PEM one");
	add_event(db, 13, 10, 12);
	return CORE_DB_OK;
}

static void test_faulty_tables_of_evidence_fail_no_result(void **state SP_UNUSED)
{
	step(add_to_faulty_tables);
}

static char long_text[200000];

/* Message 1000 was tried forty times, each time over a session of which very much is told. */
static enum core_db_status add_long_sessions(struct core_db *db)
{
	memset(long_text, ' ', sizeof(long_text));
	for (uint64_t id = 1001; id < 1081; id += 2) {
		struct queue_evidence_session s = { .id = id, .at_ms = 1, .destination = "a.example", .data = sp_str_make(long_text, sizeof(long_text)) };
		OK(queue_evidence_add_session(db, &s));
		add_event(db, id + 1, 1000, id);
	}
	return CORE_DB_OK;
}

static void test_a_page_ends_behind_long_sessions(void **state SP_UNUSED)
{
	step(add_long_sessions);
	of(1000, 0, 1000);
	assert_int_equal(told_next, 1042);                              /* 21 times 200,000 octets are the first to pass 4 MiB */
	of(1000, told_next, 1000);
	assert_int_equal(told_next, 0);
}

static enum core_db_status look_at_plans(struct core_db *db)
{
	struct core_stmt *s = core_db_stmt(db, "EXPLAIN QUERY PLAN SELECT id FROM evidence_event WHERE message = 1 AND id <> message AND id > 0 ORDER BY id");
	char plan[512] = "";
	while (core_stmt_step(s) == CORE_DB_ROW)
		snprintf(plan, sizeof(plan), "%.*s", SP_STR_ARG(core_stmt_col_text(s, 3)));
	print_message("%s\n", plan);
	assert_non_null(strstr(plan, "evidence_event_of"));
	return CORE_DB_OK;
}

static void test_a_message_is_found_by_its_index(void **state SP_UNUSED)
{
	step(look_at_plans);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, open_store, close_store)
	const struct CMUnitTest tests[] = {
		T(test_the_story_of_a_message), T(test_sessions_the_newest_first), T(test_the_old_goes), T(test_it_is_bounded_in_size),
		T(test_a_message_is_found_by_its_index), T(test_a_clock_set_far_ahead_does_not_keep_the_old), T(test_a_clock_set_back_deletes_nothing),
		T(test_faulty_tables_of_evidence_fail_no_result), T(test_a_page_ends_behind_long_sessions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

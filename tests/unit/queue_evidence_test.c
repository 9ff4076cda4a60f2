/* tests/unit/queue_evidence_test.c - queue/evidence.h: what is kept of attempts, how it is found again, and what goes first. */
#include "queue_fixture.h"

#include "queue/evidence.h"

#define OK(call) assert_int_equal(call, CORE_DB_OK)
#define OCTETS "SELECT octets FROM evidence_size"
#define COUNTED "SELECT (SELECT coalesce(sum(octets), 0) FROM evidence_session) + (SELECT coalesce(sum(octets), 0) FROM evidence_event)" \
	" + (SELECT coalesce(sum(octets), 0) FROM evidence_chain)"

static const struct queue_schema schema = { "evidence", QUEUE_EVIDENCE_VERSION, queue_evidence_migrate };

static int open_store(void **state)
{
	struct sp_fail why;
	make_folder(state);
	store = queue_store_open(spool, &schema, 1, &why);
	if (store == NULL)
		fail_msg("%s", why.text);
	loop = core_loop_new();
	box = core_mailbox_open(loop);
	return 0;
}

static int close_store(void **state)
{
	close_spool();
	return remove_folder(state);
}

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

static int64_t number(struct core_db *db, const char *sql)
{
	struct core_stmt *s = core_db_stmt(db, sql);
	int64_t got = core_stmt_step(s) == CORE_DB_ROW ? core_stmt_col_int(s, 0) : -1;
	core_stmt_reset(s);
	return got;
}

static void add_session(struct core_db *db, uint64_t id, const char *destination, const char *chain)
{
	struct queue_evidence_session s = { .id = id, .at_ms = (int64_t)id * 1000, .destination = destination, .data = SP_STR("{\"s\":1}"),
	                                    .chain = sp_str_of(chain) };
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
	OK(queue_evidence_sweep(db, 14000, 1 << 20, &budget));          /* 10 to 13 go */
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
	OK(queue_evidence_sweep(db, INT64_MAX, 1 << 20, &budget));
	assert_int_equal(budget, 0);                                    /* there may be more */
	assert_int_equal(number(db, "SELECT count(*) FROM evidence_event"), 1);
	budget = 100;
	OK(queue_evidence_sweep(db, INT64_MAX, 1 << 20, &budget));
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
	OK(queue_evidence_sweep(db, 0, (uint64_t)all, &budget));
	assert_int_equal(budget, 100);
	OK(queue_evidence_sweep(db, 0, (uint64_t)all - 1, &budget));    /* one octet too many: the oldest row, and no more */
	assert_int_equal(budget, 99);
	assert_int_equal(number(db, "SELECT min(id) FROM evidence_event"), 11);
	OK(queue_evidence_sweep(db, 0, 0, &budget));
	assert_int_equal(number(db, OCTETS), 0);
	assert_int_equal(number(db, COUNTED), 0);
	return CORE_DB_OK;
}

static void test_it_is_bounded_in_size(void **state SP_UNUSED)
{
	step(add_story);
	step(sweep_too_much);
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
		T(test_a_message_is_found_by_its_index),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/queue_list_test.c - queue/list.h, queue/filter.h: pages of the spool, and which messages fit. */
#include "queue_page.h"

/* ---- filters, pure ---- */

static const struct { const char *label, *address, *pattern; bool want; } addresses[] = {
	{ "itself", "ann@a.example", "ann@a.example", true },
	{ "without case", "Ann@A.example", "aNN@a.EXAMPLE", true },
	{ "another", "bob@a.example", "ann@a.example", false },
	{ "longer", "xann@a.example", "ann@a.example", false },
	{ "a domain", "ann@a.example", "@a.example", true },
	{ "no subdomain", "ann@x.a.example", "@a.example", false },
	{ "no longer domain", "ann@xa.example", "@a.example", false },
	{ "an \"@\" in quotes", "\"a@b\"@a.example", "@a.example", true },
	{ "not the quoted one", "\"x@a.example\"@b.example", "@a.example", false },
	{ "the empty path", "", "<>", true },
	{ "not empty", "ann@a.example", "<>", false },
	{ "empty is no domain", "", "@a.example", false },
	{ "an empty pattern fits nothing", "", "", false },
	{ "no domain at all", "ann", "@", false },
	{ "a wildcard is none", "ann@a.example", "*@a.example", false },
};

static void test_addresses(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(addresses); i++)
		if (queue_address_fits(sp_str_of(addresses[i].address), addresses[i].pattern) != addresses[i].want)
			fail_msg("%s: want %d", addresses[i].label, addresses[i].want);
}

static void test_states_have_names(void **state SP_UNUSED)
{
	static const struct { const char *text; enum queue_state want; } rows[] = {
		{ "active", QUEUE_STATE_ACTIVE }, { "deferred", QUEUE_STATE_DEFERRED }, { "hold", QUEUE_STATE_HOLD }, { "quarantined", QUEUE_STATE_QUARANTINED },
	};
	enum queue_state got;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		assert_true(queue_state_parse(sp_str_of(rows[i].text), &got) && got == rows[i].want);
		assert_string_equal(queue_state_str(got), rows[i].text);
	}
	assert_false(queue_state_parse(SP_STR("Hold"), &got));
	assert_false(queue_state_parse(SP_STR("held"), &got));
}

/* ---- a spool with everything in it ---- */

/* One with the sender, that came at `arrived_ms`. */
static uint64_t accept_from(const char *sender, int64_t arrived_ms, const char *const *to, size_t count)
{
	struct queue_recipient r[TO];
	struct queue_message *m = new_message(40);
	struct queue_message fields = *m;
	fields.sender = sender;
	fields.arrived_ms = arrived_ms;
	fields.body = sp_body_ref(m->body);
	struct queue_message *mine = queue_message_new(&fields);
	for (size_t i = 0; i < count; i++)
		fill_recipient(&r[i], (uint32_t)i, to[i]);
	pending++;
	queue_accept(store, mine, r, count, NULL, box, on_answer, NULL);
	await_answers();
	uint64_t id = mine->id;
	queue_message_unref(mine);
	queue_message_unref(m);
	return id;
}

enum { ACTIVE, RESTS, TRIED, KEPT, BAD, MESSAGES };
static uint64_t ids[MESSAGES];

static void fill_spool(void)
{
	static const char *const active[] = { "bob@x.example", "carol@y.example" }, *const rests[] = { "dave@x.example", "erin@x.example" };
	static const char *const tried[] = { "frank@y.example", "grace@z.example" }, *const kept[] = { "heidi@x.example" }, *const bad[] = { "ivan@z.example" };
	char damage[256];
	ids[ACTIVE] = accept_from("ann@a.example", 1000, active, 2);
	ids[RESTS] = accept_from("", 2000, rests, 2);
	ids[TRIED] = accept_from("Ann@A.example", 3000, tried, 2);
	ids[KEPT] = accept_from("zoe@b.example", 4000, kept, 1);
	ids[BAD] = accept_from("zoe@b.example", 5000, bad, 1);
	park("x.example", ids[RESTS], 90000);
	settle_one(ids[TRIED], 1, QUEUE_DEFERRED, 7000, 80000);
	settle_one(ids[TRIED], 0, QUEUE_DELIVERED, 0, 0);       /* the row that bears the message's id is gone */
	park("x.example", ids[KEPT], 90000);
	park("z.example", ids[BAD], 90000);
	release("x.example", 9000, 3);
	steer_id(QUEUE_HOLD, ids[KEPT], 6000);
	snprintf(damage, sizeof(damage), "UPDATE message SET header_len = 99999 WHERE id = %llu", (unsigned long long)ids[BAD]);
	write_sql(damage);
	load("z.example", 100, ALL, MANY);
	assert_int_equal(job_count, 0);
}

#define M(x) (1u << (x))
#define EVERY (M(MESSAGES) - 1)
static const struct { const char *label; struct queue_filter f; unsigned want; uint64_t recipients; } filters[] = {
	{ "all", { 0 }, EVERY, 7 },
	{ "by sender, without case", { .sender = "ANN@a.example" }, M(ACTIVE) | M(TRIED), 3 },
	{ "by sender's domain", { .sender = "@b.example" }, M(KEPT) | M(BAD), 2 },
	{ "by the null sender", { .sender = "<>" }, M(RESTS), 2 },
	{ "by recipient", { .recipient = "carol@y.example" }, M(ACTIVE), 1 },
	{ "by recipients' domain", { .recipient = "@x.example" }, M(ACTIVE) | M(RESTS) | M(KEPT), 4 },
	{ "by domain", { .domain = "x.example" }, M(ACTIVE) | M(RESTS) | M(KEPT), 4 },
	{ "by domain, where the first recipient is gone", { .domain = "z.example" }, M(TRIED) | M(BAD), 2 },
	{ "by destination", { .destination = "x.example" }, M(ACTIVE) | M(RESTS) | M(KEPT), 4 },
	{ "by destination, at rest", { .destination = "x.example", .state = QUEUE_STATE_DEFERRED }, M(RESTS), 2 },
	{ "by an unknown destination", { .destination = "x" }, 0, 0 },
	{ "by age", { .before_ms = 3000 }, M(ACTIVE) | M(RESTS), 4 },
	{ "active", { .state = QUEUE_STATE_ACTIVE }, M(ACTIVE), 2 },
	{ "deferred", { .state = QUEUE_STATE_DEFERRED }, M(RESTS) | M(TRIED), 3 },
	{ "on hold", { .state = QUEUE_STATE_HOLD }, M(KEPT), 1 },
	{ "quarantined", { .state = QUEUE_STATE_QUARANTINED }, M(BAD), 1 },
	{ "all must fit", { .sender = "ann@a.example", .domain = "z.example", .before_ms = 3001 }, M(TRIED), 1 },
	{ "of the same recipient", { .recipient = "@y.example", .destination = "x.example" }, 0, 0 },
	{ "by a rule that is none", { .hold_rule = 7 }, 0, 0 },
};

static void test_filters(void **state SP_UNUSED)
{
	open_spool();
	fill_spool();
	for (size_t i = 0; i < SP_COUNT(filters); i++) {
		unsigned got = 0;
		uint64_t recipients = 0, after = 0;
		do {                                            /* one at a time: none is left out, none comes twice */
			list(&filters[i].f, after, 1);
			for (size_t k = 0; k < shown_count; k++)
				for (unsigned m = 0; m < MESSAGES; m++)
					if (shown[k].id == ids[m]) {
						assert_false(got & M(m));
						got |= M(m);
						recipients += shown[k].count;
					}
			assert_true(next_page == 0 || next_page > after);
			after = next_page;
		} while (after != 0);
		count_all(&filters[i].f);
		print_message("%s: want %x, %llu, got %x, %llu\n", filters[i].label, filters[i].want, (unsigned long long)filters[i].recipients, got,
		              (unsigned long long)recipients);
		assert_int_equal(got, filters[i].want);
		assert_int_equal(recipients, filters[i].recipients);
		assert_int_equal(counted_recipients, filters[i].recipients);
		assert_int_equal(counted_messages, __builtin_popcount(filters[i].want));
	}
	for (unsigned m = 0; m < MESSAGES; m++)
		assert_int_equal(list(&(struct queue_filter){ .id = ids[m] }, 0, ALL), 1);
	assert_int_equal(list(&(struct queue_filter){ .id = 12345 }, 0, ALL), 0);
	close_spool();
}

static void test_where_each_recipient_stands(void **state SP_UNUSED)
{
	static const struct { unsigned message; size_t at; const char *want; int64_t next_at_ms; } rows[] = {
		{ ACTIVE, 1, "1 carol@y.example active", 0 },
		{ RESTS, 0, "0 dave@x.example deferred connection refused", 9000 },
		{ TRIED, 0, "1 grace@z.example deferred 450 4.2.0 later", 7000 },
		{ KEPT, 0, "0 heidi@x.example hold for looked at", 0 },
		{ BAD, 0, "0 ivan@z.example quarantined for its row is damaged", 0 },
	};
	open_spool();
	fill_spool();
	list(&(struct queue_filter){ 0 }, 0, ALL);
	assert_int_equal(shown_count, MESSAGES);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		assert_string_equal(shown[rows[i].message].text[rows[i].at], rows[i].want);
		assert_int_equal(shown[rows[i].message].next_at_ms[rows[i].at], rows[i].next_at_ms);
	}
	close_spool();
}

/* A page that ends inside many recipients, and messages whose recipients stand between others'. */
static void test_more_rows_than_a_page_looks_at(void **state SP_UNUSED)
{
	enum { BIG = 3, EACH = 6000, SMALL = 50 };
	open_spool();
	struct queue_recipient *r = sp_alloc_array(EACH, sizeof(*r));
	for (uint32_t n = 0; n < EACH; n++)
		fill_recipient(&r[n], n, n == EACH - 1 ? "last@y.example" : "a@x.example");
	for (int i = 0; i < BIG; i++) {
		struct queue_message *m = new_message(10);
		pending++;
		queue_accept(store, m, r, EACH, NULL, box, on_answer, NULL);
		await_answers();
		queue_message_unref(m);
		for (int k = 0; k < SMALL; k++)
			accept_one(10, "b@y.example");
	}
	free(r);
	count_all(&(struct queue_filter){ 0 });
	assert_int_equal(counted_messages, BIG * (SMALL + 1));
	assert_int_equal(counted_recipients, BIG * (SMALL + EACH));
	count_all(&(struct queue_filter){ .domain = "y.example" });
	assert_int_equal(counted_messages, BIG * (SMALL + 1));
	assert_int_equal(counted_recipients, BIG * (SMALL + 1));
	close_spool();
}

/* ---- content ---- */

static struct queue_message *content;

static void on_content(void *owner SP_UNUSED, struct queue_message *m, const struct sp_fail *why)
{
	content = m;
	answered(why);
}

static void test_content(void **state SP_UNUSED)
{
	open_spool();
	fill_spool();
	static const struct { const char *label; unsigned message; bool there, failed; } rows[] = {
		{ "in a shard's hands", ACTIVE, true, false }, { "held", KEPT, true, false }, { "damaged", BAD, false, true },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		pending++;
		queue_content(store, ids[rows[i].message], box, on_content, NULL);
		await_answers();
		assert_int_equal(content != NULL, rows[i].there);
		assert_int_equal(sp_failed(&last), rows[i].failed);
		queue_message_unref(content);
	}
	pending++;
	queue_content(store, 99, box, on_content, NULL);
	await_answers();
	assert_true(content == NULL && !sp_failed(&last));
	close_spool();
}

/* ---- ages ---- */

static struct queue_shape shapes[ALL];
static char shape_names[ALL][64], shape_next[256];
static size_t shape_count;

static void on_shape(void *owner SP_UNUSED, const struct queue_shape *rows, size_t count, const char *next, const struct sp_fail *why)
{
	shape_count = count;
	for (size_t i = 0; i < count; i++) {
		shapes[i] = rows[i];
		snprintf(shape_names[i], sizeof(shape_names[i]), "%s", rows[i].destination);
	}
	snprintf(shape_next, sizeof(shape_next), "%s", next);
	answered(why);
}

static void ask_shape(const char *after, size_t limit, int64_t now_ms)
{
	pending++;
	queue_shape(store, after, limit, now_ms, box, on_shape, NULL);
	await_answers();
	assert_false(sp_failed(&last));
}

static void test_ages_by_destination(void **state SP_UNUSED)
{
	static const char *const to[] = { "a@x.example" }, *const other[] = { "a@w.example" };
	static const int64_t minutes[] = { 0, 5, 6, 10, 11, 1280, 1281, 100000 };
	static const uint64_t want[QUEUE_AGES] = { 2, 2, 1, 0, 0, 0, 0, 0, 1, 2 };
	const int64_t now = INT64_C(200000) * 60000;
	open_spool();
	for (size_t i = 0; i < SP_COUNT(minutes); i++)
		park("x.example", accept_from("a@b.example", now - minutes[i] * 60000, to, 1), 0);
	park("w.example", accept_from("a@b.example", now, other, 1), 0);
	release("x.example", 9000, 3);
	ask_shape("", ALL, now);
	assert_int_equal(shape_count, 2);
	assert_string_equal(shape_next, "");
	assert_string_equal(shape_names[0], "w.example");
	assert_string_equal(shape_names[1], "x.example");
	assert_memory_equal(shapes[1].ages, want, sizeof(want));
	assert_int_equal(shapes[1].recipients, SP_COUNT(minutes));
	assert_int_equal(shapes[1].oldest_ms, now - 100000 * INT64_C(60000));
	assert_int_equal(shapes[1].failures, 3);
	assert_int_equal(shapes[1].next_at_ms, 9000);
	assert_true(shapes[0].whole && shapes[1].whole);
	ask_shape("", 1, now);                                  /* by pages */
	assert_int_equal(shape_count, 1);
	ask_shape(shape_next, 1, now);
	assert_int_equal(shape_count, 1);
	assert_string_equal(shape_names[0], "x.example");
	assert_string_equal(shape_next, "");
	ask_shape("what is this", ALL, now);
	assert_int_equal(shape_count, 2);
	close_spool();
}

static struct queue_gauges gauges;

static void on_gauges(void *owner SP_UNUSED, const struct queue_gauges *g, const struct sp_fail *why)
{
	gauges = *g;
	answered(why);
}

static void ask_gauges(void)
{
	pending++;
	queue_gauges(store, box, on_gauges, NULL);
	await_answers();
	assert_false(sp_failed(&last));
}

static void test_gauges(void **state SP_UNUSED)
{
	open_spool();
	ask_gauges();
	assert_true(gauges.messages == 0 && gauges.oldest_ms == 0 && gauges.oldest_waiting_ms == 0);
	fill_spool();
	steer_id(QUEUE_HOLD, ids[RESTS], 6000);
	ask_gauges();
	assert_int_equal(gauges.messages, MESSAGES);
	assert_int_equal(gauges.recipients, 7);
	assert_int_equal(gauges.held, 3);
	assert_int_equal(gauges.quarantined, 1);
	assert_int_equal(gauges.oldest_ms, 1000);
	settle_one(ids[ACTIVE], 0, QUEUE_DELIVERED, 0, 0);
	settle_one(ids[ACTIVE], 1, QUEUE_DELIVERED, 0, 0);
	ask_gauges();
	assert_int_equal(gauges.oldest_ms, 2000);
	assert_int_equal(gauges.oldest_waiting_ms, 3000);       /* what is held alarms nobody */
	write_sql("UPDATE message SET hold_until = 3500 WHERE arrived = 3000");
	ask_gauges();
	assert_int_equal(gauges.oldest_waiting_ms, 3500);       /* RFC 4865: until then it was to be kept */
	close_spool();
}

/* Mail that its sender had us keep for days was an alarm about a backlog, on a relay that had nothing to do. */
static void test_mail_that_its_sender_holds_alarms_nobody(void **state SP_UNUSED)
{
	static const char *const to[] = { "bob@x.example" };
	open_spool();
	accept_from("ann@a.example", 1000, to, 1);
	write_sql("UPDATE message SET hold_until = 9000000000000000");
	ask_gauges();
	assert_true(gauges.messages == 1 && gauges.oldest_ms == 1000 && gauges.oldest_waiting_ms == 0);
	close_spool();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_states_have_names),
		T(test_filters),
		T(test_where_each_recipient_stands),
		T(test_more_rows_than_a_page_looks_at),
		T(test_content),
		T(test_ages_by_destination),
		T(test_gauges),
		T(test_mail_that_its_sender_holds_alarms_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

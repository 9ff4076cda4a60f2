/* tests/unit/rpt_outbox_test.c - rpt/outbox.c and rpt/endpoint.c against a real database: every way through the states, and what is kept how long. */
#include "rpt_fixture.h"

#define DUE ((DAY + 1) * (int64_t)RPT_DAY_S + 600)
#define HOUR 3600
#define KEEP 14
#define BOX "mailto:tlsrpt@a.test"
#define WEB "https://a.test/report"

static const struct rpt_report *reports;
static size_t count;

static const struct rpt_filter everything = { .last_day = INT64_MAX };

static void need(int64_t day, const char *domain, int64_t due_s)
{
	OK(rpt_outbox_need(db, day, domain, due_s));
}

static size_t list(const struct rpt_filter *f)
{
	OK(rpt_outbox_list(db, f, 0, "", 1000, &arena, &reports, &count));
	return count;
}

/* The row of a.test. */
static const struct rpt_report *row(void)
{
	assert_int_equal(list(&(struct rpt_filter){ .last_day = INT64_MAX, .domain = "a.test" }), 1);
	return &reports[0];
}

static void put(const char *uri, enum rpt_endpoint_state state, uint64_t message, int64_t at_s)
{
	OK(rpt_outbox_endpoint_put(db, DAY, "a.test", &(struct rpt_endpoint){ uri, state, at_s, message, "said" }));
}

static const struct rpt_endpoint *endpoints;
static size_t endpoint_count;

static void read_endpoints(void)
{
	OK(rpt_outbox_endpoints(db, DAY, "a.test", &arena, &endpoints, &endpoint_count));
}

static void begin(void)
{
	OK(rpt_outbox_begin(db, DAY, "a.test", "id-1", DUE));
}

static void attempted(enum rpt_state state, int64_t due_s)
{
	OK(rpt_outbox_attempted(db, DAY, "a.test", state, due_s, "why"));
}

static void mailed(uint64_t message, bool delivered, bool permanent, int64_t now_s)
{
	OK(rpt_outbox_mailed(db, message, delivered, permanent, "550 5.1.1 no such user", now_s, now_s + RPT_SUPPRESS_S));
}

/* ---- moments ---- */

/* TRAPS: by a hash of the domain, so that nodes and restarts agree. */
static void test_moment_is_fixed_by_the_domain(void **state SP_UNUSED)
{
	static const struct { const char *domain; int64_t spread_s, want; } rows[] = {
		{ "example.com", 14400, 950 }, { "example.com", 3600, 725 }, { "example.com", 47, 39 },
		{ "example.com", 1, 0 }, { "example.com", 0, 0 }, { "example.com", -5, 0 },
		{ "a.test", 14400, 5314 }, { "a.test", 3600, 1564 },
		{ "xn--bcher-kva.example", 14400, 8440 }, { "xn--bcher-kva.example", 47, 9 },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		int64_t got = rpt_due_s(DAY, rows[i].domain, rows[i].spread_s) - (DAY + 1) * (int64_t)RPT_DAY_S;
		if (got != rows[i].want)
			fail_msg("%s over %lld s: want %lld, got %lld", rows[i].domain, (long long)rows[i].spread_s, (long long)rows[i].want, (long long)got);
	}
	assert_int_equal(rpt_due_s(DAY + 1, "a.test", 14400), rpt_due_s(DAY, "a.test", 14400) + RPT_DAY_S);
}

static void test_moments_fill_the_spread_but_its_begin(void **state SP_UNUSED)
{
	unsigned hours[4] = { 0 };
	for (int i = 0; i < 10000; i++) {
		char domain[32];
		snprintf(domain, sizeof(domain), "d%d.example", i);
		int64_t at_s = rpt_due_s(DAY, domain, 4 * HOUR) - (DAY + 1) * (int64_t)RPT_DAY_S;
		assert_in_range(at_s, 300, 4 * HOUR - 1);
		hours[at_s / HOUR]++;
	}
	for (size_t i = 0; i < SP_COUNT(hours); i++)
		assert_in_range(hours[i], 2000, 3000);
}

static void test_waits_grow_from_minutes_to_hours(void **state SP_UNUSED)
{
	static const struct { unsigned attempts; int64_t want; } rows[] = {
		{ 0, 300 }, { 1, 300 }, { 2, 600 }, { 3, 1200 }, { 4, 2400 }, { 5, 4800 }, { 6, 9600 }, { 7, 14400 }, { 8, 14400 },
		{ 4000000000u, 14400 },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		assert_int_equal(rpt_retry_s(rows[i].attempts), rows[i].want);
}

/* ---- the states ---- */

static void test_words_of_states(void **state SP_UNUSED)
{
	enum rpt_state got;
	for (int i = RPT_STATE_OPEN; i <= RPT_STATE_NO_RECORD; i++) {
		assert_true(rpt_state_parse(sp_str_of(rpt_state_str((enum rpt_state)i)), &got));
		assert_int_equal(got, i);
	}
	assert_string_equal(rpt_state_str(RPT_STATE_NO_RECORD), "no-record");
	assert_false(rpt_state_parse(SP_STR("Open"), &got));
	assert_string_equal(rpt_endpoint_state_str(RPT_ENDPOINT_SUPPRESSED), "suppressed");
}

static void test_row_is_made_once(void **state SP_UNUSED)
{
	need(DAY, "a.test", DUE);
	need(DAY, "a.test", DUE + 99);
	const struct rpt_report *r = row();
	assert_int_equal(r->day, DAY);
	assert_int_equal(r->state, RPT_STATE_OPEN);
	assert_string_equal(r->report_id, "");
	assert_string_equal(r->text, "");
	assert_int_equal(r->due_s, DUE);
	assert_int_equal(r->expires_s, 0);
	assert_int_equal(r->attempts, 0);
	assert_int_equal(r->successes, 0);
}

static void test_states_are_counted(void **state SP_UNUSED)
{
	struct rpt_outbox_counts n;
	need(DAY, "a.test", DUE);
	need(DAY, "b.test", DUE + 1);
	need(DAY, "c.test", DUE);
	begin();
	attempted(RPT_STATE_DELIVERED, 0);
	OK(rpt_outbox_states(db, DUE, &n));
	assert_int_equal(n.states[RPT_STATE_OPEN], 2);
	assert_int_equal(n.due, 1);
	assert_int_equal(n.states[RPT_STATE_DELIVERED], 1);
	assert_int_equal(n.states[RPT_STATE_FAILED], 0);
}

/* RFC 8460 4.4: one id a report, and 5.5: 24 hours, from the first attempt on. */
static void test_begin_keeps_the_first_id_and_time(void **state SP_UNUSED)
{
	need(DAY, "a.test", DUE);
	begin();
	attempted(RPT_STATE_OPEN, DUE + 300);
	OK(rpt_outbox_begin(db, DAY, "a.test", "id-2", DUE + 300));
	const struct rpt_report *r = row();
	assert_string_equal(r->report_id, "id-1");
	assert_int_equal(r->expires_s, DUE + RPT_DAY_S);
	assert_int_equal(r->attempts, 1);
	assert_int_equal(r->due_s, DUE + 300);
	assert_string_equal(r->text, "why");
}

static void test_open_comes_to_each_end(void **state SP_UNUSED)
{
	static const enum rpt_state ends[] = { RPT_STATE_OPEN, RPT_STATE_DELIVERED, RPT_STATE_NO_RECORD, RPT_STATE_FAILED };
	for (size_t i = 0; i < SP_COUNT(ends); i++) {
		OK(core_db_exec(db, "DELETE FROM rpt_report"));
		need(DAY, "a.test", DUE);
		begin();
		attempted(ends[i], DUE + 300);
		assert_int_equal(row()->state, ends[i]);
		assert_int_equal(row()->due_s, ends[i] == RPT_STATE_OPEN ? DUE + 300 : DUE);
		need(DAY, "a.test", DUE + 9);                   /* a late event */
		assert_int_equal(row()->state, ends[i]);
	}
}

static void begin_with_mail(uint64_t message)
{
	need(DAY, "a.test", DUE);
	begin();
	put(BOX, RPT_ENDPOINT_MAILED, message, DUE);
	attempted(RPT_STATE_MAILED, 0);
	assert_int_equal(row()->state, RPT_STATE_MAILED);
}

static void test_mailed_is_delivered(void **state SP_UNUSED)
{
	begin_with_mail(77);
	mailed(77, true, false, DUE + 50);
	assert_int_equal(row()->state, RPT_STATE_DELIVERED);
	read_endpoints();
	assert_int_equal(endpoint_count, 1);
	assert_int_equal(endpoints[0].state, RPT_ENDPOINT_DELIVERED);
	assert_int_equal(endpoints[0].at_s, DUE + 50);
	assert_int_equal(endpoints[0].message, 0);
	assert_string_equal(endpoints[0].text, "550 5.1.1 no such user");
	mailed(77, false, true, DUE + 60);                      /* told already */
	assert_int_equal(row()->state, RPT_STATE_DELIVERED);
	assert_int_equal(ask("SELECT count(*) FROM rpt_suppressed"), 0);
}

static void test_bounced_mail_opens_the_report_again(void **state SP_UNUSED)
{
	int64_t until_s;
	begin_with_mail(77);
	mailed(77, false, true, DUE + 5 * HOUR);
	const struct rpt_report *r = row();
	assert_int_equal(r->state, RPT_STATE_OPEN);
	assert_int_equal(r->due_s, DUE + 5 * HOUR);
	assert_string_equal(r->text, "550 5.1.1 no such user");
	assert_string_equal(r->report_id, "id-1");
	read_endpoints();
	assert_int_equal(endpoints[0].state, RPT_ENDPOINT_FAILED);
	assert_int_equal(rpt_suppressed(db, "tlsrpt@a.test", DUE + 5 * HOUR, &until_s), CORE_DB_ROW);
	assert_int_equal(until_s, DUE + 5 * HOUR + RPT_SUPPRESS_S);
}

static void test_mail_given_up_for_now_suppresses_nobody(void **state SP_UNUSED)
{
	begin_with_mail(77);
	mailed(77, false, false, DUE + 5 * HOUR);
	assert_int_equal(row()->state, RPT_STATE_OPEN);
	assert_int_equal(ask("SELECT count(*) FROM rpt_suppressed"), 0);
}

static void test_bounce_after_24_hours_is_the_end(void **state SP_UNUSED)
{
	begin_with_mail(77);
	mailed(77, false, false, DUE + RPT_DAY_S);
	assert_int_equal(row()->state, RPT_STATE_FAILED);
	begin_with_mail(78);                                    /* MAILED once more */
	attempted(RPT_STATE_FAILED, 0);
	mailed(78, false, false, DUE + 30 * HOUR);
	assert_int_equal(row()->state, RPT_STATE_FAILED);
}

/* Our own spool may keep a mail longer than a day: what arrived has arrived. */
static void test_mail_that_arrives_late_has_arrived(void **state SP_UNUSED)
{
	begin_with_mail(77);
	attempted(RPT_STATE_FAILED, 0);
	mailed(77, true, false, DUE + 40 * HOUR);
	assert_int_equal(row()->state, RPT_STATE_DELIVERED);
}

static void test_one_mail_of_two_is_waited_for(void **state SP_UNUSED)
{
	begin_with_mail(77);
	put("mailto:second@a.test", RPT_ENDPOINT_MAILED, 78, DUE);
	mailed(77, false, true, DUE + HOUR);
	assert_int_equal(row()->state, RPT_STATE_MAILED);
	mailed(78, false, false, DUE + 2 * HOUR);
	assert_int_equal(row()->state, RPT_STATE_OPEN);
	assert_int_equal(row()->due_s, DUE + 2 * HOUR + 300);
}

/* One endpoint of the record is enough (RFC 8460 3), whatever the other does afterwards. */
static void test_delivered_stays_when_another_mail_bounces(void **state SP_UNUSED)
{
	need(DAY, "a.test", DUE);
	begin();
	put(BOX, RPT_ENDPOINT_MAILED, 77, DUE);
	put(WEB, RPT_ENDPOINT_DELIVERED, 0, DUE);
	attempted(RPT_STATE_DELIVERED, 0);
	mailed(77, false, true, DUE + HOUR);
	assert_int_equal(row()->state, RPT_STATE_DELIVERED);
	assert_int_equal(ask("SELECT count(*) FROM rpt_suppressed"), 1);
}

static void test_open_report_with_a_bounce_is_due_soon(void **state SP_UNUSED)
{
	need(DAY, "a.test", DUE);
	begin();
	put(BOX, RPT_ENDPOINT_MAILED, 77, DUE);
	put(WEB, RPT_ENDPOINT_FAILED, 0, DUE);
	attempted(RPT_STATE_OPEN, DUE + 4 * HOUR);
	mailed(77, false, true, DUE + HOUR);
	assert_int_equal(row()->due_s, DUE + HOUR);
	assert_int_equal(row()->state, RPT_STATE_OPEN);
	put(BOX, RPT_ENDPOINT_MAILED, 78, DUE + HOUR);
	attempted(RPT_STATE_OPEN, DUE + HOUR + 60);
	mailed(78, false, false, DUE + HOUR);
	assert_int_equal(row()->due_s, DUE + HOUR + 60);        /* and no later than it was */
}

/* A domain that is not there, or a box that takes no reports of this kind: the mail comes back within a second, 24 hours long. */
static void test_mails_that_come_back_at_once_wait_longer_and_longer(void **state SP_UNUSED)
{
	int64_t now_s = DUE;
	unsigned mails = 0;
	need(DAY, "a.test", DUE);
	begin();
	while (row()->state == RPT_STATE_OPEN) {
		bool early = ++mails % 2 == 0;                  /* it is back before the attempt ends */
		put(BOX, RPT_ENDPOINT_MAILED, 100 + mails, now_s);
		if (early)
			mailed(100 + mails, false, false, now_s + 1);
		attempted(RPT_STATE_MAILED, now_s + rpt_retry_s(mails));
		if (!early)
			mailed(100 + mails, false, false, now_s + 1);
		assert_true(row()->due_s >= now_s + rpt_retry_s(mails));
		now_s = row()->due_s;
		assert_true(mails < 20);
	}
	assert_in_range(mails, 11, 13);
	assert_true(now_s >= DUE + RPT_DAY_S);
}

static void test_open_report_with_a_delivered_mail_is_over(void **state SP_UNUSED)
{
	need(DAY, "a.test", DUE);
	begin();
	put(BOX, RPT_ENDPOINT_MAILED, 77, DUE);
	attempted(RPT_STATE_OPEN, DUE + 4 * HOUR);
	mailed(77, true, false, DUE + HOUR);
	assert_int_equal(row()->state, RPT_STATE_DELIVERED);
}

/* A slow https endpoint: the mail came to its end before the attempt did. */
static void test_attempt_that_ends_after_its_mail(void **state SP_UNUSED)
{
	static const struct { const char *label; bool delivered; enum rpt_state told, want; } rows[] = {
		{ "delivered, then mailed", true, RPT_STATE_MAILED, RPT_STATE_DELIVERED },
		{ "delivered, then open", true, RPT_STATE_OPEN, RPT_STATE_DELIVERED },
		{ "delivered, then failed", true, RPT_STATE_FAILED, RPT_STATE_DELIVERED },
		{ "bounced, then mailed", false, RPT_STATE_MAILED, RPT_STATE_OPEN },
		{ "bounced, then open", false, RPT_STATE_OPEN, RPT_STATE_OPEN },
		{ "bounced, then delivered", false, RPT_STATE_DELIVERED, RPT_STATE_DELIVERED },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		OK(core_db_exec(db, "DELETE FROM rpt_report; DELETE FROM rpt_endpoint"));
		need(DAY, "a.test", DUE);
		begin();
		put(BOX, RPT_ENDPOINT_MAILED, 77, DUE);
		mailed(77, rows[i].delivered, true, DUE + 1);
		put(BOX, RPT_ENDPOINT_MAILED, 77, DUE);         /* told again with the rest */
		attempted(rows[i].told, DUE + 300);
		if (row()->state != rows[i].want)
			fail_msg("%s: it is %s", rows[i].label, rpt_state_str(row()->state));
		read_endpoints();
		assert_int_equal(endpoints[0].state, rows[i].delivered ? RPT_ENDPOINT_DELIVERED : RPT_ENDPOINT_FAILED);
		assert_true(row()->due_s <= DUE + 300);
	}
}

static void test_unknown_messages_change_nothing(void **state SP_UNUSED)
{
	begin_with_mail(77);
	put(WEB, RPT_ENDPOINT_FAILED, 0, DUE);
	mailed(78, true, false, DUE);
	mailed(0, true, false, DUE);
	assert_int_equal(row()->state, RPT_STATE_MAILED);
	mailed(UINT64_MAX, false, true, DUE);
	assert_int_equal(row()->state, RPT_STATE_MAILED);
}

static void test_again_is_as_if_never_tried(void **state SP_UNUSED)
{
	begin_with_mail(77);
	mailed(77, true, false, DUE + 50);
	OK(rpt_outbox_reopen(db, DAY, "a.test", DUE + 900));
	const struct rpt_report *r = row();
	assert_int_equal(r->state, RPT_STATE_OPEN);
	assert_string_equal(r->report_id, "");
	assert_string_equal(r->text, "");
	assert_int_equal(r->due_s, DUE + 900);
	assert_int_equal(r->expires_s, 0);
	assert_int_equal(r->attempts, 0);
	read_endpoints();
	assert_int_equal(endpoint_count, 0);
	OK(rpt_outbox_begin(db, DAY, "a.test", "id-2", DUE + 900));
	assert_string_equal(row()->report_id, "id-2");
	OK(rpt_outbox_reopen(db, DAY, "nobody.test", DUE));
	assert_int_equal(list(&everything), 1);
}

/* The mail of an earlier sending says nothing of the new one. */
static void test_mail_of_before_again_is_nobodys(void **state SP_UNUSED)
{
	begin_with_mail(77);
	OK(rpt_outbox_reopen(db, DAY, "a.test", DUE + 900));
	mailed(77, true, false, DUE + 950);
	assert_int_equal(row()->state, RPT_STATE_OPEN);
}

/* ---- endpoints ---- */

static void test_endpoints_are_known_by_their_uri(void **state SP_UNUSED)
{
	need(DAY, "a.test", DUE);
	put(WEB, RPT_ENDPOINT_FAILED, 0, DUE);
	put(BOX, RPT_ENDPOINT_MAILED, 77, DUE + 1);
	put("mailto:other@b.test", RPT_ENDPOINT_SUPPRESSED, 0, DUE + 2);
	put(WEB, RPT_ENDPOINT_DELIVERED, 0, DUE + 3);
	put(BOX, RPT_ENDPOINT_MAILED, 79, DUE + 4);             /* mailed again */
	read_endpoints();
	assert_int_equal(endpoint_count, 3);
	assert_string_equal(endpoints[0].uri, WEB);
	assert_int_equal(endpoints[0].state, RPT_ENDPOINT_DELIVERED);
	assert_int_equal(endpoints[0].at_s, DUE + 3);
	assert_string_equal(endpoints[0].text, "said");
	assert_string_equal(endpoints[1].uri, "mailto:other@b.test");
	assert_int_equal(endpoints[2].message, 79);
	mailed(77, true, false, DUE + 5);                       /* not this one any more */
	assert_int_equal(row()->state, RPT_STATE_OPEN);
	OK(rpt_outbox_endpoints(db, DAY + 1, "a.test", &arena, &endpoints, &endpoint_count));
	assert_int_equal(endpoint_count, 0);
}

static void test_any_number_of_endpoints(void **state SP_UNUSED)
{
	for (int i = 0; i < 100; i++) {
		char uri[64];
		snprintf(uri, sizeof(uri), "https://a.test/%03d", i);
		put(uri, RPT_ENDPOINT_FAILED, 0, DUE);
	}
	OK(core_db_exec(db, "UPDATE rpt_endpoint SET state = '?' WHERE uri = 'https://a.test/050'"));
	read_endpoints();
	assert_int_equal(endpoint_count, 99);
	assert_string_equal(endpoints[98].uri, "https://a.test/099");
}

#define NOTICE SP_STR("Subject: Report Domain: a.test Submitter: r.test Report-ID: <id-1@r.test>\r\n")

/* The row of what put() is about, begun. */
static void begun(void)
{
	need(DAY, "a.test", DUE);
	OK(rpt_outbox_begin(db, DAY, "a.test", "id-1@r.test", DUE));
}

static void test_bounces_are_believed_from_who_was_mailed(void **state SP_UNUSED)
{
	static const struct { const char *label, *address; int64_t since_s; bool want; } rows[] = {
		{ "mailed", "tlsrpt@a.test", DUE, true },
		{ "domain without case", "tlsrpt@A.Test", DUE, true },
		{ "local part with", "TLSRPT@a.test", DUE, false },
		{ "too long ago", "tlsrpt@a.test", DUE + 1, false },
		{ "percent-encoded, with a subject", "re+port@a.test", DUE, true },
		{ "delivered in between", "done@a.test", DUE, true },
		{ "failed in between", "gone@a.test", DUE, true },
		{ "suppressed, not mailed", "quiet@a.test", 0, false },
		{ "never heard of", "x@a.test", 0, false },
		{ "no address", "", 0, false },
	};
	begun();
	put(BOX, RPT_ENDPOINT_MAILED, 1, DUE);
	put("MAILTO:re%2Bport@A.test?subject=x@y", RPT_ENDPOINT_MAILED, 2, DUE);
	put("mailto:done@a.test", RPT_ENDPOINT_MAILED, 3, DUE);
	put("mailto:gone@a.test", RPT_ENDPOINT_MAILED, 4, DUE);
	put("mailto:quiet@a.test", RPT_ENDPOINT_SUPPRESSED, 0, DUE);
	put(WEB, RPT_ENDPOINT_DELIVERED, 0, DUE);
	mailed(3, true, false, DUE + 5);
	put("mailto:gone@a.test", RPT_ENDPOINT_FAILED, 0, DUE + 9);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		enum core_db_status got = rpt_outbox_mailed_to(db, rows[i].address, rows[i].since_s, NOTICE);
		if (got != (rows[i].want ? CORE_DB_ROW : CORE_DB_OK))
			fail_msg("%s: %s", rows[i].label, core_db_status_str(got));
	}
	assert_int_equal(rpt_outbox_mailed_to(db, "tlsrpt@a.test", DUE, SP_STR("Report-ID: <id-2@r.test>")), CORE_DB_OK);       /* anybody can write that */
	assert_int_equal(rpt_outbox_mailed_to(db, "tlsrpt@a.test", DUE, SP_STR("")), CORE_DB_OK);
}

static void test_odd_addresses(void **state SP_UNUSED)
{
	static const char *const uris[] = { "mailto:", "mailto:%", "mailto:%4", "mailto:%zz@a.test", "mailto:a%00b@a.test", "mailto:?x", "", "x" };
	char endless[4000] = "mailto:";
	memset(endless + 7, 'a', sizeof(endless) - 8);
	begun();
	put(endless, RPT_ENDPOINT_MAILED, 900, DUE);
	mailed(900, false, true, DUE);
	assert_int_equal(ask("SELECT count(*) FROM rpt_suppressed"), 0);        /* not what is left when it is cut */
	for (size_t i = 0; i < SP_COUNT(uris); i++)
		put(uris[i], RPT_ENDPOINT_MAILED, 1000 + i, DUE);
	for (size_t i = 0; i < SP_COUNT(uris); i++)
		mailed(1000 + i, false, true, DUE);
	assert_int_equal(rpt_outbox_mailed_to(db, "%zz@a.test", DUE, NOTICE), CORE_DB_ROW);
	assert_int_equal(rpt_outbox_mailed_to(db, "", DUE, NOTICE), CORE_DB_OK);
	assert_int_equal(ask("SELECT count(*) FROM rpt_suppressed WHERE address = ''"), 0);
}

/* ---- suppression ---- */

/* TRAPS: suppression that expires by itself. */
static void test_suppression_expires_by_itself(void **state SP_UNUSED)
{
	int64_t until_s = 0;
	bool more;
	OK(rpt_suppress(db, "Box@A.test", 1000, 5000, "550"));
	assert_int_equal(rpt_suppressed(db, "Box@a.TEST", 1000, &until_s), CORE_DB_ROW);
	assert_int_equal(until_s, 5000);
	assert_int_equal(rpt_suppressed(db, "box@a.test", 1000, &until_s), CORE_DB_OK);
	assert_int_equal(rpt_suppressed(db, "Box@a.test", 4999, &until_s), CORE_DB_ROW);
	assert_int_equal(rpt_suppressed(db, "Box@a.test", 5000, &until_s), CORE_DB_OK);
	OK(rpt_suppress(db, "Box@a.test", 4000, 9000, "550"));          /* it bounced once more */
	assert_int_equal(rpt_suppressed(db, "Box@a.test", 5000, &until_s), CORE_DB_ROW);
	OK(rpt_outbox_sweep(db, 8999, KEEP, 100, &more));
	assert_int_equal(ask("SELECT count(*) FROM rpt_suppressed"), 1);
	OK(rpt_outbox_sweep(db, 9000, KEEP, 100, &more));
	assert_int_equal(ask("SELECT count(*) FROM rpt_suppressed"), 0);
}

/* "mailto:tlsrpt@a.test." is known by what mail goes to, which is what the record's reader gives: else it were mailed again and again. */
static void test_suppression_of_a_domain_with_its_dot(void **state SP_UNUSED)
{
	int64_t until_s;
	begun();
	put("mailto:tlsrpt@A.test.", RPT_ENDPOINT_MAILED, 77, DUE);
	mailed(77, false, true, DUE);
	assert_int_equal(rpt_suppressed(db, "tlsrpt@a.test", DUE, &until_s), CORE_DB_ROW);
	assert_int_equal(rpt_suppressed(db, "tlsrpt@a.test.", DUE, &until_s), CORE_DB_ROW);
	assert_int_equal(rpt_outbox_mailed_to(db, "tlsrpt@a.test", DUE, NOTICE), CORE_DB_ROW);
}

/* ---- asking ---- */

/* 3 days of 4 domains: due in the order a, b, c, d of each day; b of each day is delivered, c has begun. */
static void fill(void)
{
	static const char *const domains[] = { "c.test", "a.test", "d.test", "b.test" };
	for (int64_t day = DAY + 2; day >= DAY; day--) {
		for (size_t i = 0; i < SP_COUNT(domains); i++)
			need(day, domains[i], (day + 1) * RPT_DAY_S + (domains[i][0] - 'a') * HOUR);
		OK(rpt_outbox_attempted(db, day, "b.test", RPT_STATE_DELIVERED, 0, ""));
		OK(rpt_outbox_begin(db, day, "c.test", "id", (day + 1) * RPT_DAY_S));
	}
}

/* "0a 0b 1c": days from DAY on. */
static void assert_rows(const char *label, const char *want)
{
	struct sp_buf got;
	sp_buf_init(&got, 1000);
	for (size_t i = 0; i < count; i++)
		sp_buf_printf(&got, "%s%d%c", i ? " " : "", (int)(reports[i].day - DAY), reports[i].domain[0]);
	if (strcmp(sp_buf_cstr(&got), want) != 0)
		fail_msg("%s: want %s, got %s", label, want, sp_buf_cstr(&got));
	sp_buf_clear(&got);
}

static const struct { const char *label; struct rpt_filter filter; const char *want, *due; } filters[] = {
	{ "all", { .last_day = INT64_MAX }, "0a 0b 0c 0d 1a 1b 1c 1d 2a 2b 2c 2d", "0a 0d 1a 1d 2a 2d 0c 1c 2c" },
	{ "one day", { .first_day = DAY + 1, .last_day = DAY + 1 }, "1a 1b 1c 1d", "1a 1d 1c" },
	{ "from a day on", { .first_day = DAY + 2, .last_day = INT64_MAX }, "2a 2b 2c 2d", "2a 2d 2c" },
	{ "up to a day", { .last_day = DAY }, "0a 0b 0c 0d", "0a 0d 0c" },
	{ "no day", { .first_day = DAY + 2, .last_day = DAY + 1 }, "", "" },
	{ "open", { .last_day = INT64_MAX, .open_only = true, .due_by_s = INT64_MAX }, "0a 0c 0d 1a 1c 1d 2a 2c 2d", "0a 0d 1a 1d 2a 2d 0c 1c 2c" },
	{ "open, due", { .last_day = INT64_MAX, .open_only = true, .due_by_s = (DAY + 2) * (int64_t)RPT_DAY_S + 2 * HOUR }, "0a 0c 0d 1a 1c",
	  "0a 0d 1a 0c 1c" },
	{ "begun", { .last_day = INT64_MAX, .open_only = true, .due_by_s = INT64_MAX, .begun_only = true }, "0c 1c 2c", "0c 1c 2c" },
	{ "begun, of two days", { .first_day = DAY, .last_day = DAY + 1, .open_only = true, .due_by_s = INT64_MAX, .begun_only = true }, "0c 1c",
	  "0c 1c" },
	{ "a domain", { .last_day = INT64_MAX, .domain = "b.test" }, "0b 1b 2b", "" },
	{ "a domain, open", { .last_day = INT64_MAX, .domain = "b.test", .open_only = true, .due_by_s = INT64_MAX }, "", "" },
	{ "a domain, open, of a day", { .first_day = DAY + 1, .last_day = DAY + 1, .domain = "d.test", .open_only = true, .due_by_s = INT64_MAX },
	  "1d", "1d" },
	{ "a domain, begun", { .last_day = INT64_MAX, .domain = "c.test", .open_only = true, .due_by_s = (DAY + 1) * (int64_t)RPT_DAY_S + 2 * HOUR,
	  .begun_only = true }, "0c", "0c" },
	{ "a domain, not begun", { .last_day = INT64_MAX, .domain = "a.test", .open_only = true, .due_by_s = INT64_MAX, .begun_only = true }, "", "" },
	{ "nobody", { .last_day = INT64_MAX, .domain = "x.test" }, "", "" },
};

static void test_filters(void **state SP_UNUSED)
{
	fill();
	for (size_t i = 0; i < SP_COUNT(filters); i++) {
		uint64_t counted;
		list(&filters[i].filter);
		assert_rows(filters[i].label, filters[i].want);
		OK(rpt_outbox_count(db, &filters[i].filter, &counted));
		assert_int_equal(counted, count);
		OK(rpt_outbox_due(db, &filters[i].filter, 100, &arena, &reports, &count));
		assert_rows(filters[i].label, filters[i].due);
	}
}

static void test_list_in_pages(void **state SP_UNUSED)
{
	fill();
	for (size_t i = 0; i < SP_COUNT(filters); i++) {
		const struct rpt_filter *f = &filters[i].filter;
		struct sp_buf got;
		int64_t day = 0;
		const char *domain = "";
		sp_buf_init(&got, 1000);
		for (;;) {
			OK(rpt_outbox_list(db, f, day, domain, 2, &arena, &reports, &count));
			if (count == 0)
				break;
			assert_true(count <= 2);
			for (size_t n = 0; n < count; n++)
				sp_buf_printf(&got, "%s%d%c", got.len ? " " : "", (int)(reports[n].day - DAY), reports[n].domain[0]);
			day = reports[count - 1].day;
			domain = reports[count - 1].domain;
		}
		assert_string_equal(sp_buf_cstr(&got), filters[i].want);
		sp_buf_clear(&got);
	}
}

static void test_longest_due_first(void **state SP_UNUSED)
{
	need(DAY, "a.test", 3000);
	need(DAY, "b.test", 1000);
	need(DAY + 1, "c.test", 2000);
	need(DAY, "d.test", 4000);
	struct rpt_filter f = { .last_day = INT64_MAX, .open_only = true, .due_by_s = 3000 };
	OK(rpt_outbox_due(db, &f, 2, &arena, &reports, &count));
	assert_rows("two", "0b 1c");
	OK(rpt_outbox_due(db, &f, 9, &arena, &reports, &count));
	assert_rows("all that is due", "0b 1c 0a");
}

static void test_damaged_row_is_left_out(void **state SP_UNUSED)
{
	fill();
	OK(core_db_exec(db, "UPDATE rpt_report SET state = 'opne' WHERE domain = 'b.test'; UPDATE rpt_report SET attempts = -4, report_id = x'ff00'"));
	OK(rpt_outbox_list(db, &everything, 0, "", 2, &arena, &reports, &count));
	assert_rows("a page", "0a 0c");
	assert_int_equal(reports[0].attempts, 0);
	list(&everything);
	assert_rows("all", "0a 0c 0d 1a 1c 1d 2a 2c 2d");
}

/* ---- what goes ---- */

static void sweep(int64_t now_s)
{
	bool more;
	unsigned calls = 0;
	do {
		OK(rpt_outbox_sweep(db, now_s, KEEP, 10, &more));
		assert_true(++calls < 1000);
	} while (more);
}

static void test_rows_are_kept_for_their_days(void **state SP_UNUSED)
{
	static const struct { const char *label; enum rpt_state state; int64_t last_day; } rows[] = {           /* kept on it, gone on the next */
		{ "delivered", RPT_STATE_DELIVERED, DAY + KEEP },
		{ "failed", RPT_STATE_FAILED, DAY + KEEP },
		{ "nobody asked", RPT_STATE_NO_RECORD, -1 },
		{ "nobody tries it", RPT_STATE_OPEN, DAY + 1 + KEEP + 2 },
		{ "mail that was deleted", RPT_STATE_MAILED, DAY + 1 + KEEP + 2 },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		need(DAY, "a.test", DUE);
		if (rows[i].state == RPT_STATE_MAILED)
			put(BOX, RPT_ENDPOINT_MAILED, 77, DUE);
		if (rows[i].state != RPT_STATE_OPEN)
			attempted(rows[i].state, 0);
		if (rows[i].last_day >= 0) {
			sweep(rows[i].last_day * RPT_DAY_S + 60);
			if (list(&everything) != 1)
				fail_msg("%s: gone too early", rows[i].label);
		}
		sweep(rows[i].last_day < 0 ? DUE : (rows[i].last_day + 1) * RPT_DAY_S);
		if (list(&everything) != 0)
			fail_msg("%s: still there", rows[i].label);
		assert_int_equal(ask("SELECT count(*) FROM rpt_endpoint"), 0);
	}
}

/* `report send --again` of an old day: the sweep must not take it before it is sent. */
static void test_reopened_report_is_not_swept(void **state SP_UNUSED)
{
	int64_t later = DUE + 17 * (int64_t)RPT_DAY_S;
	need(DAY, "a.test", DUE);
	attempted(RPT_STATE_DELIVERED, 0);
	OK(rpt_outbox_reopen(db, DAY, "a.test", later));
	sweep(later + 60);
	assert_int_equal(list(&everything), 1);
}

/* The relay was off for three weeks. What is being sent stays: its endpoints would be left behind, and nobody would ever take them away. */
static void test_old_report_that_is_being_sent_is_not_swept(void **state SP_UNUSED)
{
	int64_t later = DUE + 21 * (int64_t)RPT_DAY_S;
	need(DAY, "a.test", DUE);
	need(DAY, "b.test", DUE);
	OK(rpt_outbox_begin(db, DAY, "a.test", "id-1", later));
	sweep(later + 60);
	put(BOX, RPT_ENDPOINT_MAILED, 77, later + 61);
	attempted(RPT_STATE_MAILED, later + 361);
	assert_int_equal(list(&everything), 1);
	assert_int_equal(row()->state, RPT_STATE_MAILED);
	mailed(77, true, false, later + 70);
	sweep(later + 80);
	assert_int_equal(list(&everything), 0);
	assert_int_equal(ask("SELECT count(*) FROM rpt_endpoint"), 0);
}

/* What was written with a clock that was ahead must not rest until that time comes. */
static void test_clock_that_was_ahead(void **state SP_UNUSED)
{
	int64_t year_s = 365 * (int64_t)RPT_DAY_S, until_s;
	bool more;
	need(DAY, "a.test", DUE);
	OK(rpt_outbox_begin(db, DAY, "a.test", "id-1", DUE + year_s));
	attempted(RPT_STATE_OPEN, DUE + year_s + 300);
	need(DAY, "b.test", DUE);
	OK(rpt_outbox_reopen(db, DAY, "b.test", DUE + year_s));
	need(DAY, "c.test", DUE + 47 * HOUR);
	need(DAY + 1, "d.test", DUE + RPT_DAY_S);               /* the day has not ended */
	need(DAY + 365, "e.test", DUE + year_s);
	OK(rpt_suppress(db, "x@a.test", DUE + year_s, DUE + year_s + RPT_SUPPRESS_S, ""));
	OK(rpt_suppress(db, "y@a.test", DUE, DUE + RPT_SUPPRESS_S, ""));
	OK(rpt_outbox_sweep(db, DUE + HOUR, KEEP, 100, &more));
	struct rpt_filter f = { .last_day = INT64_MAX, .open_only = true, .due_by_s = DUE + HOUR };
	assert_int_equal(list(&f), 2);
	assert_string_equal(reports[0].domain, "a.test");
	assert_int_equal(reports[0].expires_s, DUE + HOUR + RPT_DAY_S);
	assert_string_equal(reports[1].domain, "b.test");
	assert_int_equal(reports[1].expires_s, 0);
	f.due_by_s = INT64_MAX;
	assert_int_equal(list(&f), 5);
	assert_int_equal(reports[2].due_s, DUE + 47 * HOUR);
	assert_int_equal(reports[3].due_s, DUE + RPT_DAY_S);
	assert_int_equal(reports[4].due_s, DUE + year_s);
	assert_int_equal(rpt_suppressed(db, "x@a.test", DUE + HOUR, &until_s), CORE_DB_ROW);
	assert_int_equal(until_s, DUE + HOUR + RPT_SUPPRESS_S);
	assert_int_equal(rpt_suppressed(db, "y@a.test", DUE + HOUR, &until_s), CORE_DB_ROW);
	assert_int_equal(until_s, DUE + RPT_SUPPRESS_S);
}

static void count_session(int64_t day, const char *domain, const char *mx)
{
	static const struct rpt_rules rules = { .spread_s = 14400, .details_max = 1000 };
	static uint64_t number;
	struct rpt_event e = { .at_s = day * RPT_DAY_S + 5, .policy_type = RPT_POLICY_STS, .policy_domain = domain, .policy_strings = "x",
	                       .result = SP_RESULT_VALIDATION_FAILURE, .mx_host = mx };
	OK(rpt_ledger_add(db, ++number, &e, 1, &rules));
}

static void test_ledger_goes_with_the_row(void **state SP_UNUSED)
{
	bool more;
	for (unsigned i = 0; i < 100; i++) {
		char mx[32], domain[32];
		snprintf(mx, sizeof(mx), "mx%u", i);
		snprintf(domain, sizeof(domain), "d%u.test", i);
		count_session(DAY, "a.test", mx);
		count_session(DAY, domain, mx);
		OK(rpt_outbox_attempted(db, DAY, domain, i % 2 ? RPT_STATE_NO_RECORD : RPT_STATE_FAILED, 0, ""));
	}
	count_session(DAY + 1, "a.test", "mx");
	attempted(RPT_STATE_DELIVERED, 0);
	OK(rpt_outbox_sweep(db, (DAY + KEEP + 1) * (int64_t)RPT_DAY_S, KEEP, 10, &more));
	assert_true(more);
	assert_int_equal(ask("SELECT count(*) FROM rpt_report"), 92);           /* 10 at most */
	sweep((DAY + KEEP + 1) * (int64_t)RPT_DAY_S);
	assert_int_equal(ask("SELECT count(*) FROM rpt_report"), 1);
	assert_int_equal(ask("SELECT count(*) FROM rpt_policy"), 1);
	assert_int_equal(ask("SELECT count(*) FROM rpt_failure"), 1);
	assert_int_equal(row()->day, DAY + 1);
	assert_int_equal(row()->failures, 1);
	OK(rpt_outbox_sweep(db, 0, KEEP, 10, &more));
	assert_false(more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_moment_is_fixed_by_the_domain),
		T(test_moments_fill_the_spread_but_its_begin),
		T(test_waits_grow_from_minutes_to_hours),
		T(test_words_of_states),
		T(test_row_is_made_once),
		T(test_begin_keeps_the_first_id_and_time),
		T(test_open_comes_to_each_end),
		T(test_mailed_is_delivered),
		T(test_bounced_mail_opens_the_report_again),
		T(test_mail_given_up_for_now_suppresses_nobody),
		T(test_bounce_after_24_hours_is_the_end),
		T(test_mail_that_arrives_late_has_arrived),
		T(test_one_mail_of_two_is_waited_for),
		T(test_delivered_stays_when_another_mail_bounces),
		T(test_open_report_with_a_bounce_is_due_soon),
		T(test_mails_that_come_back_at_once_wait_longer_and_longer),
		T(test_open_report_with_a_delivered_mail_is_over),
		T(test_attempt_that_ends_after_its_mail),
		T(test_unknown_messages_change_nothing),
		T(test_again_is_as_if_never_tried),
		T(test_mail_of_before_again_is_nobodys),
		T(test_endpoints_are_known_by_their_uri),
		T(test_any_number_of_endpoints),
		T(test_bounces_are_believed_from_who_was_mailed),
		T(test_odd_addresses),
		T(test_suppression_expires_by_itself),
		T(test_suppression_of_a_domain_with_its_dot),
		T(test_filters),
		T(test_states_are_counted),
		T(test_list_in_pages),
		T(test_longest_due_first),
		T(test_damaged_row_is_left_out),
		T(test_rows_are_kept_for_their_days),
		T(test_reopened_report_is_not_swept),
		T(test_clock_that_was_ahead),
		T(test_old_report_that_is_being_sent_is_not_swept),
		T(test_ledger_goes_with_the_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

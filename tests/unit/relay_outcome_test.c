/* tests/unit/relay_outcome_test.c - relay/outcome.c: what a failure means for a recipient, for a site, and for the next host. */
#include "relay/outcome.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define ARRIVED INT64_C(1800000000000)
#define MIDDLE 0x7fffffffu              /* no jitter */

/* The defaults (5 days, notice after 4 hours, retry 5m * 2 up to 4h, jitter 0.2), or what `delivery` changes. */
static struct config *configure(const char *delivery)
{
	char text[512];
	struct sp_buf problems;
	snprintf(text, sizeof(text), "hostname: relay.example.com\ndelivery: {%s}\n", delivery);
	sp_buf_init(&problems, 4096);
	struct config *c = config_parse(sp_str_of(text), "t", &problems);
	assert_non_null(c);
	return c;
}

static struct sp_fail reply(int code, const char *esc, const char *text)
{
	struct sp_fail f;
	sp_fail_set(&f, SP_FAIL_REPLY, "%s", text);
	f.code = code;
	f.permanent = code >= 500;
	snprintf(f.esc, sizeof(f.esc), "%s", esc);
	return f;
}

static struct sp_fail failure(enum sp_fail_kind kind, bool permanent, const char *esc)
{
	struct sp_fail f;
	sp_fail_set(&f, kind, "a failure");
	f.permanent = permanent;
	snprintf(f.esc, sizeof(f.esc), "%s", esc);
	return f;
}

static struct sp_fail policy(enum sp_result result)
{
	struct sp_fail f;
	sp_fail_tls(&f, SP_FAIL_POLICY, result, "r", "refused by policy");
	snprintf(f.esc, sizeof(f.esc), "4.7.0");
	return f;
}

/* ---- one recipient ---- */

static const struct {
	const char *label;
	const char *delivery;           /* configuration */
	int64_t age_ms;                 /* of the message */
	const char *sender;
	enum queue_kind kind;
	bool notified;
	enum sp_fail_kind fail;
	bool permanent;
	enum outcome want;
	bool notify;
	int64_t deadline_ms;            /* after arrival */
} recipients[] = {
	{ "taken", "", 0, "a@x", QUEUE_MAIL, false, SP_FAIL_NONE, false, OUTCOME_DELIVERED, false, 0 },
	{ "taken though the time is up", "", 6 * DAY, "a@x", QUEUE_MAIL, false, SP_FAIL_NONE, false, OUTCOME_DELIVERED, false, 0 },
	{ "permanent", "", 0, "a@x", QUEUE_MAIL, false, SP_FAIL_REPLY, true, OUTCOME_BOUNCE, false, 0 },
	{ "permanent, a DSN: for the caller to drop", "", 0, "", QUEUE_DSN, false, SP_FAIL_REPLY, true, OUTCOME_BOUNCE, false, 0 },
	{ "temporary", "", 0, "a@x", QUEUE_MAIL, false, SP_FAIL_REPLY, false, OUTCOME_DEFER, false, 4 * HOUR },
	{ "our disk", "", 0, "a@x", QUEUE_MAIL, false, SP_FAIL_STORE, false, OUTCOME_DEFER, false, 4 * HOUR },
	{ "stopping", "", 0, "a@x", QUEUE_MAIL, false, SP_FAIL_SHUTDOWN, false, OUTCOME_DEFER, false, 4 * HOUR },
	{ "just before the notice", "", 4 * HOUR - 1, "a@x", QUEUE_MAIL, false, SP_FAIL_REPLY, false, OUTCOME_DEFER, false, 4 * HOUR },
	{ "the notice is due", "", 4 * HOUR, "a@x", QUEUE_MAIL, false, SP_FAIL_REPLY, false, OUTCOME_DEFER, true, 5 * DAY },
	{ "the notice was sent", "", 5 * HOUR, "a@x", QUEUE_MAIL, true, SP_FAIL_REPLY, false, OUTCOME_DEFER, false, 5 * DAY },
	{ "no notice wanted", "delay_notice: 0", 5 * HOUR, "a@x", QUEUE_MAIL, false, SP_FAIL_REPLY, false, OUTCOME_DEFER, false, 5 * DAY },
	{ "a notice that would come with the bounce", "delay_notice: 4h, expire: 4h", 3 * HOUR, "a@x", QUEUE_MAIL, false, SP_FAIL_REPLY, false, OUTCOME_DEFER, false, 4 * HOUR },
	{ "nobody to tell: the null sender", "", 5 * HOUR, "", QUEUE_MAIL, false, SP_FAIL_REPLY, false, OUTCOME_DEFER, false, 5 * DAY },
	{ "nobody to tell: a DSN", "", 5 * HOUR, "", QUEUE_DSN, false, SP_FAIL_REPLY, false, OUTCOME_DEFER, false, 5 * DAY },
	{ "just before the end", "", 5 * DAY - 1, "a@x", QUEUE_MAIL, true, SP_FAIL_CONNECT, false, OUTCOME_DEFER, false, 5 * DAY },
	{ "the time is up", "", 5 * DAY, "a@x", QUEUE_MAIL, true, SP_FAIL_CONNECT, false, OUTCOME_BOUNCE, false, 0 },
	{ "the time is up, and no notice was sent", "", 5 * DAY, "a@x", QUEUE_MAIL, false, SP_FAIL_CONNECT, false, OUTCOME_BOUNCE, false, 0 },
	{ "the time is up for a DSN", "", 5 * DAY, "", QUEUE_DSN, false, SP_FAIL_CONNECT, false, OUTCOME_BOUNCE, false, 0 },
	{ "a report: tried for a day", "", DAY - 1, "r@x", QUEUE_REPORT, false, SP_FAIL_CONNECT, false, OUTCOME_DEFER, false, DAY },
	{ "a report: its day is over", "", DAY, "r@x", QUEUE_REPORT, false, SP_FAIL_CONNECT, false, OUTCOME_BOUNCE, false, 0 },
	{ "a report: whatever is set", "expire: 4h", 5 * HOUR, "r@x", QUEUE_REPORT, false, SP_FAIL_CONNECT, false, OUTCOME_DEFER, false, DAY },
	{ "a report: nobody hears of its delay", "delay_notice: 1h", 5 * HOUR, "r@x", QUEUE_REPORT, false, SP_FAIL_REPLY, false, OUTCOME_DEFER, false, DAY },
	{ "a clock that jumped back", "", -DAY, "a@x", QUEUE_MAIL, false, SP_FAIL_CONNECT, false, OUTCOME_DEFER, false, 4 * HOUR },
};

static void test_recipients(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(recipients); i++) {
		struct config *c = configure(recipients[i].delivery);
		struct queue_message m = { .kind = recipients[i].kind, .arrived_ms = ARRIVED, .sender = recipients[i].sender };
		struct queue_recipient r = { .address = "b@y", .notified = recipients[i].notified ? QUEUE_NOTICE_DELAY : 0 };
		struct sp_fail fail = recipients[i].fail == SP_FAIL_NONE ? SP_FAIL_OK : failure(recipients[i].fail, recipients[i].permanent, "");
		struct outcome_recipient got, waiting;
		memset(&got, 0x55, sizeof(got));
		int64_t now_ms = ARRIVED + recipients[i].age_ms;
		outcome_recipient(c, &m, &r, &fail, now_ms, MIDDLE, &got);
		int64_t deadline_ms = got.outcome == OUTCOME_DEFER ? got.deadline_ms - ARRIVED : 0;
		print_message("%s: want %s notify=%d deadline=%" PRId64 ", got %s notify=%d deadline=%" PRId64 "\n", recipients[i].label,
		              outcome_str(recipients[i].want), recipients[i].notify, recipients[i].deadline_ms, outcome_str(got.outcome), got.notices, deadline_ms);
		assert_int_equal(got.outcome, recipients[i].want);
		assert_int_equal(got.notices, recipients[i].notify ? QUEUE_NOTICE_DELAY : 0);
		assert_true(deadline_ms == recipients[i].deadline_ms);
		if (got.outcome == OUTCOME_DEFER) {
			assert_true(got.next_at_ms - now_ms >= 5 * MINUTE - SECOND && got.next_at_ms - now_ms <= 5 * MINUTE);
			/* Never in the past: else it would be overdue again at once, without end. */
			assert_true(got.deadline_ms > now_ms);
		}
		if (got.outcome != OUTCOME_DELIVERED && !recipients[i].permanent) {
			outcome_waiting(c, &m, &r, &fail, now_ms, &waiting);
			assert_int_equal(waiting.outcome, got.outcome);
			assert_int_equal(waiting.notices, got.notices);
			assert_true(waiting.deadline_ms == got.deadline_ms);
			assert_true(waiting.next_at_ms == 0);
			assert_string_equal(waiting.fail.text, got.fail.text);
		}
		config_unref(c);
	}
}

/* It was overdue from its fourth hour to its fifth day, each time it was asked for. */
static void test_mail_of_nobody_is_not_overdue_at_the_hour_of_the_notice(void **state)
{
	(void)state;
	struct config *c = configure("");
	static const struct { const char *sender; enum queue_kind kind; bool notified; int64_t want_ms; } rows[] = {
		{ "a@x", QUEUE_MAIL, false, 4 * HOUR }, { "a@x", QUEUE_MAIL, true, 5 * DAY }, { "", QUEUE_MAIL, false, 5 * DAY },
		{ "", QUEUE_DSN, false, 5 * DAY }, { "", QUEUE_DSN, true, 5 * DAY },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct queue_message m = { .kind = rows[i].kind, .arrived_ms = ARRIVED, .sender = rows[i].sender };
		struct queue_recipient r = { .notified = rows[i].notified ? QUEUE_NOTICE_DELAY : 0 };
		int64_t got_ms = outcome_deadline_ms(c, &m, &r) - ARRIVED;
		print_message("<%s> kind=%d notified=%d: want %" PRId64 ", got %" PRId64 "\n", rows[i].sender, rows[i].kind, rows[i].notified, rows[i].want_ms, got_ms);
		assert_true(got_ms == rows[i].want_ms);
	}
	config_unref(c);
}

/* ---- what the envelope asks for ---- */

#define S SP_NOTIFY_SUCCESS
#define F SP_NOTIFY_FAILURE
#define D SP_NOTIFY_DELAY
#define NEVER SP_NOTIFY_NEVER
#define DELAY_NOTICE QUEUE_NOTICE_DELAY
#define BY_NOTICE QUEUE_NOTICE_BY

static const struct {
	const char *label;
	struct sp_mail_wish wish;       /* its times after arrival */
	unsigned notify, notified;
	int64_t age_ms;
	enum outcome want;
	unsigned notices;
	int64_t deadline_ms;            /* after arrival */
} wishes[] = {                          /* RFC 3461 4.1, 4865, 2852 */
	{ "delay asked for", { 0 }, D, 0, 4 * HOUR, OUTCOME_DEFER, DELAY_NOTICE, 5 * DAY },
	{ "delay asked for, too early", { 0 }, D, 0, HOUR, OUTCOME_DEFER, 0, 4 * HOUR },
	{ "NOTIFY without delay", { 0 }, S | F, 0, 5 * HOUR, OUTCOME_DEFER, 0, 5 * DAY },
	{ "NEVER", { 0 }, NEVER, 0, 5 * HOUR, OUTCOME_DEFER, 0, 5 * DAY },
	{ "held: no delay counts", { .hold_until_ms = 6 * HOUR }, 0, 0, 5 * HOUR, OUTCOME_DEFER, 0, 10 * HOUR },
	{ "held: late after the release", { .hold_until_ms = 6 * HOUR }, 0, 0, 10 * HOUR, OUTCOME_DEFER, DELAY_NOTICE, 5 * DAY + 6 * HOUR },
	{ "held: the hold is no part of the time", { .hold_until_ms = 2 * DAY }, 0, DELAY_NOTICE, 7 * DAY - 1, OUTCOME_DEFER, 0, 7 * DAY },
	{ "held: the time is up", { .hold_until_ms = 2 * DAY }, 0, DELAY_NOTICE, 7 * DAY, OUTCOME_BOUNCE, 0, 0 },
	{ "held until before it came", { .hold_until_ms = -DAY }, 0, DELAY_NOTICE, 5 * DAY - 1, OUTCOME_DEFER, 0, 5 * DAY },
	{ "by R: in time", { .by = SP_BY_RETURN, .by_ms = HOUR }, 0, 0, HOUR - 1, OUTCOME_DEFER, 0, HOUR },
	{ "by R: up", { .by = SP_BY_RETURN, .by_ms = HOUR }, 0, 0, HOUR, OUTCOME_BOUNCE, 0, 0 },
	{ "by R: up, while held", { .by = SP_BY_RETURN, .by_ms = HOUR, .hold_until_ms = DAY }, 0, 0, HOUR, OUTCOME_BOUNCE, 0, 0 },
	{ "by R: later than the end", { .by = SP_BY_RETURN, .by_ms = 9 * DAY }, 0, DELAY_NOTICE, DAY, OUTCOME_DEFER, 0, 5 * DAY },
	{ "by R: later than the delay", { .by = SP_BY_RETURN, .by_ms = 9 * HOUR }, 0, 0, HOUR, OUTCOME_DEFER, 0, 4 * HOUR },
	{ "by N: in time", { .by = SP_BY_NOTIFY, .by_ms = HOUR }, 0, 0, HOUR - 1, OUTCOME_DEFER, 0, HOUR },
	{ "by N: up, and delivery goes on", { .by = SP_BY_NOTIFY, .by_ms = HOUR }, 0, 0, HOUR, OUTCOME_DEFER, BY_NOTICE, 4 * HOUR },
	{ "by N: told once", { .by = SP_BY_NOTIFY, .by_ms = HOUR }, 0, BY_NOTICE, 2 * HOUR, OUTCOME_DEFER, 0, 4 * HOUR },
	{ "by N: up, and late", { .by = SP_BY_NOTIFY, .by_ms = HOUR }, 0, 0, 4 * HOUR, OUTCOME_DEFER, BY_NOTICE | DELAY_NOTICE, 5 * DAY },
	{ "by N: delay is asked for", { .by = SP_BY_NOTIFY, .by_ms = HOUR }, D, 0, HOUR, OUTCOME_DEFER, BY_NOTICE, 4 * HOUR },
	{ "by N: no delay is asked for, RFC 2852 4.1.3", { .by = SP_BY_NOTIFY, .by_ms = HOUR }, S | F, 0, HOUR, OUTCOME_DEFER, 0, 5 * DAY },
	{ "by N: never", { .by = SP_BY_NOTIFY, .by_ms = HOUR }, NEVER, 0, 2 * HOUR, OUTCOME_DEFER, 0, 5 * DAY },
	{ "by N: up while held", { .by = SP_BY_NOTIFY, .by_ms = HOUR, .hold_until_ms = DAY }, 0, 0, HOUR, OUTCOME_DEFER, BY_NOTICE, DAY + 4 * HOUR },
};

static void test_wishes(void **state)
{
	(void)state;
	struct config *c = configure("");
	for (size_t i = 0; i < SP_COUNT(wishes); i++) {
		struct queue_message m = { .kind = QUEUE_MAIL, .arrived_ms = ARRIVED, .sender = "a@x", .wish = wishes[i].wish };
		m.wish.by_ms += m.wish.by ? ARRIVED : 0;
		m.wish.hold_until_ms += m.wish.hold_until_ms ? ARRIVED : 0;
		struct queue_recipient r = { .address = "b@y", .notified = wishes[i].notified, .wish.notify = wishes[i].notify };
		struct sp_fail fail = failure(SP_FAIL_CONNECT, false, "");
		struct outcome_recipient got;
		int64_t now_ms = ARRIVED + wishes[i].age_ms;
		outcome_waiting(c, &m, &r, &fail, now_ms, &got);
		int64_t deadline_ms = got.outcome == OUTCOME_DEFER ? got.deadline_ms - ARRIVED : 0;
		print_message("%s: want %s notices=%u deadline=%" PRId64 ", got %s notices=%u deadline=%" PRId64 "\n", wishes[i].label,
		              outcome_str(wishes[i].want), wishes[i].notices, wishes[i].deadline_ms, outcome_str(got.outcome), got.notices, deadline_ms);
		assert_int_equal(got.outcome, wishes[i].want);
		assert_int_equal(got.notices, wishes[i].notices);
		assert_true(deadline_ms == wishes[i].deadline_ms);
		if (got.outcome == OUTCOME_DEFER) {     /* else it would be overdue again at once, without end */
			r.notified |= got.notices;
			assert_true(got.deadline_ms > now_ms && outcome_deadline_ms(c, &m, &r) == got.deadline_ms);
		}
	}
	config_unref(c);
}

/* An operator's hold is no delay: what was held for two days is warned of and given up two days later. Its sender's own time (RFC 2852) does not wait. */
static const struct { const char *label; struct sp_mail_wish wish; int64_t held_ms, age_ms; enum outcome want; unsigned notices; int64_t deadline_ms; } holds[] = {
	{ "held: not late when let go", { 0 }, 2 * DAY, 2 * DAY, OUTCOME_DEFER, 0, 2 * DAY + 4 * HOUR },
	{ "held: late 4 h after", { 0 }, 2 * DAY, 2 * DAY + 4 * HOUR, OUTCOME_DEFER, DELAY_NOTICE, 7 * DAY },
	{ "held: given up 5 d after", { 0 }, 2 * DAY, 7 * DAY, OUTCOME_BOUNCE, 0, 0 },
	{ "held: not a moment sooner", { 0 }, 2 * DAY, 7 * DAY - 1, OUTCOME_DEFER, DELAY_NOTICE, 7 * DAY },
	{ "held by both: one behind the other", { .hold_until_ms = DAY }, DAY, 2 * DAY, OUTCOME_DEFER, 0, 2 * DAY + 4 * HOUR },
	{ "held: its sender's time runs", { .by = SP_BY_RETURN, .by_ms = HOUR }, 2 * DAY, HOUR, OUTCOME_BOUNCE, 0, 0 },
};

static void test_time_that_an_operator_held_mail_is_no_delay(void **state)
{
	(void)state;
	struct config *c = configure("");
	for (size_t i = 0; i < SP_COUNT(holds); i++) {
		struct queue_message m = { .kind = QUEUE_MAIL, .arrived_ms = ARRIVED, .sender = "a@x", .wish = holds[i].wish };
		m.wish.by_ms += m.wish.by ? ARRIVED : 0;
		m.wish.hold_until_ms += m.wish.hold_until_ms ? ARRIVED : 0;
		struct queue_recipient r = { .address = "b@y", .held_ms = holds[i].held_ms };
		struct sp_fail fail = failure(SP_FAIL_CONNECT, false, "");
		struct outcome_recipient got;
		outcome_waiting(c, &m, &r, &fail, ARRIVED + holds[i].age_ms, &got);
		int64_t deadline_ms = got.outcome == OUTCOME_DEFER ? got.deadline_ms - ARRIVED : 0;
		print_message("%s: got %s notices=%u deadline=%" PRId64 "\n", holds[i].label, outcome_str(got.outcome), got.notices, deadline_ms);
		assert_int_equal(got.outcome, holds[i].want);
		assert_int_equal(got.notices, holds[i].notices);
		assert_true(deadline_ms == holds[i].deadline_ms);
	}
	struct queue_message m = { .arrived_ms = ARRIVED, .sender = "a@x" };
	assert_true(outcome_gives_up_ms(c, &m, &(struct queue_recipient){ .held_ms = 2 * DAY }) == ARRIVED + 7 * DAY);
	config_unref(c);
}

/* RFC 2852 4.1.3: 5.4.7 is told, and what the peers said stands beside it. */
static void test_mail_that_is_too_late_says_so(void **state)
{
	(void)state;
	struct config *c = configure("");
	struct queue_message m = { .arrived_ms = ARRIVED, .sender = "a@x", .wish = { .by = SP_BY_RETURN, .by_ms = ARRIVED + HOUR } };
	struct queue_recipient r = { .address = "b@y" };
	struct sp_fail fail = reply(450, "4.2.1", "mx answered RCPT TO with 450 4.2.1 busy");
	struct outcome_recipient got;
	outcome_waiting(c, &m, &r, &fail, ARRIVED + HOUR, &got);
	assert_string_equal(got.fail.esc, "5.4.7");
	assert_non_null(strstr(got.fail.text, "by the time that its sender set"));
	assert_non_null(strstr(got.fail.text, "450 4.2.1 busy"));
	assert_true(outcome_is_too_late(&m, ARRIVED + HOUR) && !outcome_is_too_late(&m, ARRIVED + HOUR - 1));
	assert_true(outcome_gives_up_ms(c, &m, &r) == ARRIVED + HOUR);
	config_unref(c);
}

static const struct { const char *label; unsigned notify; bool want; } failures[] = {
	{ "NOTIFY was not said", 0, true }, { "failure", F, true }, { "failure and delay", F | D, true },
	{ "success only", S, false }, { "delay only", D, false }, { "never", NEVER, false },
};

static const struct { const char *label; const char *sender; struct sp_mail_wish wish; unsigned notify; bool dsn, dropped, want; } relays[] = {
	{ "not asked for", "a@x", { 0 }, 0, false, false, false },
	{ "success, the hop does not do it", "a@x", { 0 }, S, false, false, true },
	{ "success, the hop does it", "a@x", { 0 }, S, true, false, false },
	{ "failure only", "a@x", { 0 }, F, false, false, false },
	{ "never", "a@x", { 0 }, NEVER, false, false, false },
	{ "nobody to tell", "", { 0 }, S, false, false, false },
	{ "trace", "a@x", { .by = SP_BY_RETURN, .by_trace = true }, 0, true, false, true },
	{ "trace, never", "a@x", { .by = SP_BY_RETURN, .by_trace = true }, NEVER, true, false, false },
	{ "by N, the hop knows nothing of it", "a@x", { .by = SP_BY_NOTIFY }, 0, true, true, true },
	{ "by N, the hop knows it", "a@x", { .by = SP_BY_NOTIFY }, 0, true, false, false },
};

static void test_who_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(failures); i++) {
		struct queue_recipient r = { .wish.notify = failures[i].notify };
		print_message("a failure, %s\n", failures[i].label);
		assert_int_equal(outcome_tells_failure(&r), failures[i].want);
	}
	for (size_t i = 0; i < SP_COUNT(relays); i++) {
		struct queue_message m = { .sender = relays[i].sender, .wish = relays[i].wish };
		struct queue_recipient r = { .wish.notify = relays[i].notify };
		print_message("relayed, %s\n", relays[i].label);
		assert_int_equal(outcome_tells_relayed(&m, &r, relays[i].dsn, relays[i].dropped), relays[i].want);
	}
}

/* ---- an address that takes no mail ---- */

static const struct { const char *label; enum sp_fail_kind kind; int code; const char *esc; bool permanent; int64_t age_ms; bool want; } addresses[] = {
	{ "no such user", SP_FAIL_REPLY, 550, "5.1.1", true, 0, true },
	{ "no status", SP_FAIL_REPLY, 554, "", true, 0, true },
	{ "refused by the peer's policy", SP_FAIL_REPLY, 550, "5.7.1", true, 0, true },
	{ "too big", SP_FAIL_REPLY, 552, "5.3.4", true, 0, false },
	{ "too big for the mailbox", SP_FAIL_REPLY, 552, "5.2.3", true, 0, false },
	{ "its content", SP_FAIL_REPLY, 554, "5.6.3", true, 0, false },
	{ "later", SP_FAIL_REPLY, 450, "4.2.1", false, 0, false },
	{ "later until its time was up", SP_FAIL_REPLY, 450, "4.2.1", false, DAY, false },
	{ "552 at RCPT until its time was up", SP_FAIL_REPLY, 552, "", false, DAY, false },
	{ "no such domain", SP_FAIL_DNS, 0, "5.1.2", true, 0, false },
	{ "our own policy", SP_FAIL_POLICY, 550, "5.7.1", true, 0, false },
	{ "no connection until its time was up", SP_FAIL_CONNECT, 0, "", false, DAY, false },
	{ "taken", SP_FAIL_NONE, 0, "", false, 0, false },
};

static void test_an_address_is_dead_when_the_peer_says_so(void **state)
{
	(void)state;
	struct config *c = configure("");
	for (size_t i = 0; i < SP_COUNT(addresses); i++) {
		struct queue_message m = { .kind = QUEUE_REPORT, .arrived_ms = ARRIVED, .sender = "r@x" };
		struct queue_recipient r = { .address = "b@y" };
		struct sp_fail fail = addresses[i].kind == SP_FAIL_NONE ? SP_FAIL_OK : failure(addresses[i].kind, addresses[i].permanent, addresses[i].esc);
		struct outcome_recipient got;
		fail.code = addresses[i].code;
		outcome_recipient(c, &m, &r, &fail, ARRIVED + addresses[i].age_ms, MIDDLE, &got);
		print_message("%s: want %d, got %d\n", addresses[i].label, addresses[i].want, outcome_is_dead_address(&got));
		assert_int_equal(outcome_is_dead_address(&got), addresses[i].want);
	}
	config_unref(c);
}

/* ---- waits ---- */

static const struct { const char *label; unsigned attempts; uint32_t random; int64_t want_ms; } waits[] = {
	{ "first", 0, MIDDLE, 5 * MINUTE },
	{ "second", 1, MIDDLE, 10 * MINUTE },
	{ "third", 2, MIDDLE, 20 * MINUTE },
	{ "sixth", 5, MIDDLE, 160 * MINUTE },
	{ "seventh: the longest", 6, MIDDLE, 4 * HOUR },
	{ "thousandth", 999, MIDDLE, 4 * HOUR },
	{ "more attempts than anybody makes", UINT32_MAX - 1, MIDDLE, 4 * HOUR },
	{ "jitter: least", 0, 0, 4 * MINUTE },
	{ "jitter: most", 0, UINT32_MAX, 6 * MINUTE },
	{ "jitter on the longest", 9, UINT32_MAX, 4 * HOUR + 48 * MINUTE },
};

static void test_waits(void **state)
{
	(void)state;
	struct config *c = configure("");
	struct queue_message m = { .arrived_ms = ARRIVED, .sender = "a@x" };
	for (size_t i = 0; i < SP_COUNT(waits); i++) {
		struct queue_recipient r = { .attempts = waits[i].attempts };
		struct sp_fail fail = reply(451, "4.3.0", "later"), down = failure(SP_FAIL_CONNECT, false, "4.4.1");
		struct outcome_recipient got;
		outcome_recipient(c, &m, &r, &fail, ARRIVED, waits[i].random, &got);
		int64_t got_ms = got.next_at_ms - ARRIVED, site_ms;
		print_message("%s: want %" PRId64 ", got %" PRId64 "\n", waits[i].label, waits[i].want_ms, got_ms);
		assert_true(llabs(got_ms - waits[i].want_ms) <= 1);
		assert_int_equal(outcome_site(c, &down, waits[i].attempts + 1, ARRIVED, waits[i].random, &site_ms), OUTCOME_DEFER);
		assert_true(site_ms == got.next_at_ms);
	}
	config_unref(c);
}

/* ---- what is told ---- */

static void tell(const struct sp_fail *last, int64_t age_ms, struct sp_fail *told)
{
	struct config *c = configure("");
	struct queue_message m = { .arrived_ms = ARRIVED, .sender = "a@x" };
	struct queue_recipient r = { 0 };
	struct outcome_recipient got;
	outcome_waiting(c, &m, &r, last, ARRIVED + age_ms, &got);
	*told = got.fail;
	config_unref(c);
}

static const struct { const char *label; enum sp_fail_kind kind; int code; const char *esc, *text; const char *want_esc, *want_text; } ends[] = {
	{ "nothing was ever tried", SP_FAIL_NONE, 0, "", "", "5.4.7", "the last failure was: the destination could not be reached" },
	{ "no answer", SP_FAIL_CONNECT, 0, "4.4.1", "mx1 refused", "5.4.7", "the last failure was: mx1 refused" },
	{ "a policy kept it: it is told as one", SP_FAIL_POLICY, 0, "4.7.0", "no STARTTLS", "5.7.1", "the last failure was: no STARTTLS" },
	{ "DNS", SP_FAIL_DNS, 0, "4.4.3", "SERVFAIL", "5.4.7", "the last failure was: SERVFAIL" },
	{ "4.7 of a longer number is no policy", SP_FAIL_CONNECT, 0, "4.71.0", "x", "5.4.7", "was: x" },
	{ "the peer's reply stays", SP_FAIL_REPLY, 452, "4.2.2", "452 4.2.2 full", "4.2.2", "the last failure was: 452 4.2.2 full" },
	{ "a reply without a status", SP_FAIL_REPLY, 450, "", "450 busy", "", "the last failure was: 450 busy" },
};

static void test_what_is_told_at_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(ends); i++) {
		struct sp_fail last = { .kind = ends[i].kind, .code = ends[i].code }, told;
		snprintf(last.esc, sizeof(last.esc), "%s", ends[i].esc);
		snprintf(last.text, sizeof(last.text), "%s", ends[i].text);
		tell(&last, 5 * DAY, &told);
		print_message("%s: want %s '%s', got %s '%s'\n", ends[i].label, ends[i].want_esc, ends[i].want_text, told.esc, told.text);
		assert_true(sp_failed(&told) && told.permanent);
		assert_int_equal(told.code, ends[i].code);
		assert_string_equal(told.esc, ends[i].want_esc);
		assert_non_null(strstr(told.text, ends[i].want_text));
		assert_int_equal(strncmp(told.text, "not delivered within 120 hours; ", 32), 0);
		tell(&last, HOUR, &told);
		assert_string_equal(told.text, ends[i].text);           /* as it came, while it waits */
		assert_false(told.permanent);
	}
}

static void test_the_longest_failure_is_told_whole_or_cut(void **state)
{
	(void)state;
	struct sp_fail last = { .kind = SP_FAIL_REPLY, .code = 450 }, told;
	memset(last.text, 'x', sizeof(last.text) - 1);
	tell(&last, 5 * DAY, &told);
	assert_in_range(strlen(told.text), 400, sizeof(told.text) - 1);
	assert_non_null(strstr(told.text, "the last failure was: xxx"));
}

/* ---- the site ---- */

static const struct { const char *label; enum sp_fail_kind kind; bool permanent; enum outcome want; const char *reason; } sites[] = {
	{ "no such domain", SP_FAIL_DNS, true, OUTCOME_BOUNCE },
	{ "DNS does not answer", SP_FAIL_DNS, false, OUTCOME_DEFER },
	{ "no connection", SP_FAIL_CONNECT, false, OUTCOME_DEFER },
	{ "no connection, said to be for good", SP_FAIL_CONNECT, true, OUTCOME_DEFER },
	{ "554 as a greeting is no judgement of the mail", SP_FAIL_REPLY, true, OUTCOME_DEFER },
	{ "TLS", SP_FAIL_TLS, true, OUTCOME_DEFER },
	{ "policy never bounces but by time", SP_FAIL_POLICY, true, OUTCOME_DEFER },
	{ "REQUIRETLS that no host gives (RFC 8689 4.2.1)", SP_FAIL_POLICY, true, OUTCOME_BOUNCE, "requiretls-not-offered" },
	{ "REQUIRETLS that may be given later", SP_FAIL_POLICY, false, OUTCOME_DEFER, "requiretls-no-tls" },
	{ "a peer that speaks our words", SP_FAIL_REPLY, true, OUTCOME_DEFER, "requiretls-not-offered" },
	{ "nonsense", SP_FAIL_PROTOCOL, true, OUTCOME_DEFER },
	{ "our disk", SP_FAIL_STORE, true, OUTCOME_DEFER },
};

static void test_sites(void **state)
{
	(void)state;
	struct config *c = configure("");
	for (size_t i = 0; i < SP_COUNT(sites); i++) {
		struct sp_fail fail = failure(sites[i].kind, sites[i].permanent, "5.0.0");
		snprintf(fail.reason, sizeof(fail.reason), "%s", sites[i].reason ? sites[i].reason : "");
		int64_t next_ms = 0;
		enum outcome got = outcome_site(c, &fail, 0, ARRIVED, MIDDLE, &next_ms);
		print_message("%s: want %s, got %s\n", sites[i].label, outcome_str(sites[i].want), outcome_str(got));
		assert_int_equal(got, sites[i].want);
		assert_true(next_ms > ARRIVED && next_ms <= ARRIVED + 5 * MINUTE);
		struct sp_fail told = outcome_of_session(&fail);
		assert_int_equal(told.permanent, sites[i].want == OUTCOME_BOUNCE);
		assert_int_equal(told.kind, fail.kind);
		assert_string_equal(told.text, fail.text);
	}
	config_unref(c);
}

/* ---- another host ---- */

static const struct { const char *label; enum sp_fail_kind kind; bool site, uncertain, want; } elsewhere[] = {
	{ "the host failed before the mail", SP_FAIL_CONNECT, true, false, true },
	{ "421", SP_FAIL_REPLY, true, false, true },
	{ "policy", SP_FAIL_POLICY, true, false, true },
	{ "TLS", SP_FAIL_TLS, true, false, true },
	{ "nonsense", SP_FAIL_PROTOCOL, true, false, true },
	{ "the recipient was judged", SP_FAIL_REPLY, false, false, false },
	{ "lost after the final dot: it may have been taken", SP_FAIL_CONNECT, true, true, false },
	{ "nonsense after the final dot", SP_FAIL_PROTOCOL, true, true, false },
	{ "judged, and uncertain", SP_FAIL_REPLY, false, true, false },
	{ "our disk fails everywhere", SP_FAIL_STORE, true, false, false },
	{ "we are stopping", SP_FAIL_SHUTDOWN, true, false, false },
};

static const struct { const char *label; enum sp_fail_kind kind; bool permanent; const char *esc; bool want; } families[] = {
	{ "refused by a policy", SP_FAIL_REPLY, true, "5.7.1", true },
	{ "any of them", SP_FAIL_REPLY, true, "5.7.26", true },
	{ "for now", SP_FAIL_REPLY, false, "4.7.1", false },
	{ "nobody there", SP_FAIL_REPLY, true, "5.1.1", false },
	{ "without a status", SP_FAIL_REPLY, true, "", false },
	{ "by us", SP_FAIL_POLICY, true, "5.7.30", false },
	{ "delivered", SP_FAIL_NONE, false, "", false },
};

static void test_other_family(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(families); i++) {
		struct sp_fail fail = { .kind = families[i].kind, .permanent = families[i].permanent };
		snprintf(fail.esc, sizeof(fail.esc), "%s", families[i].esc);
		print_message("%s\n", families[i].label);
		assert_int_equal(outcome_other_family(&fail), families[i].want);
	}
}

static void test_a_421_is_not_a_dead_site(void **state)
{
	(void)state;
	struct sp_buf problems;
	sp_buf_init(&problems, 4096);
	struct config *c = config_parse(SP_STR("hostname: relay.example.com\ndelivery: {retry: {first: 5m, jitter: 0}}\n"), "t", &problems);
	assert_non_null(c);
	struct sp_fail fail = { .kind = SP_FAIL_REPLY, .code = 421 };
	int64_t busy_ms, down_ms;
	assert_int_equal(outcome_site(c, &fail, 1, 0, 0, &busy_ms), OUTCOME_DEFER);
	fail.code = 451;
	assert_int_equal(outcome_site(c, &fail, 1, 0, 0, &down_ms), OUTCOME_DEFER);
	assert_int_equal(down_ms, 300000);
	assert_int_equal(busy_ms, 60000);
	config_unref(c);
}

static void test_elsewhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(elsewhere); i++) {
		struct sp_fail fail = failure(elsewhere[i].kind, false, "");
		bool got = outcome_elsewhere(&fail, elsewhere[i].site, elsewhere[i].uncertain);
		print_message("%s: want %d, got %d\n", elsewhere[i].label, elsewhere[i].want, got);
		assert_int_equal(got, elsewhere[i].want);
	}
}

/* ---- which of two ---- */

static struct sp_fail unmet(void)
{
	struct sp_fail f = failure(SP_FAIL_POLICY, true, "5.7.30");
	snprintf(f.reason, sizeof(f.reason), "requiretls-not-offered");
	return f;
}

/* From the least telling to the most: a policy's refusal is what an operator must hear of. A host that could not be tried keeps mail with REQUIRETLS from
 * being returned. */
static void test_order(void **state)
{
	(void)state;
	struct sp_fail order[] = {
		SP_FAIL_OK,
		failure(SP_FAIL_SHUTDOWN, false, ""),
		failure(SP_FAIL_DNS, true, "5.4.4"),
		unmet(),
		failure(SP_FAIL_CONNECT, false, "4.4.1"),
		failure(SP_FAIL_DNS, false, "4.4.3"),
		failure(SP_FAIL_STORE, false, ""),
		failure(SP_FAIL_PROTOCOL, false, ""),
		reply(421, "4.3.2", "busy"),
		failure(SP_FAIL_TLS, false, ""),
		failure(SP_FAIL_POLICY, false, ""),
		policy(SP_RESULT_VALIDATION_FAILURE),
	};
	for (size_t i = 0; i < SP_COUNT(order); i++) {
		for (size_t j = 0; j < SP_COUNT(order); j++) {
			bool got = outcome_worse(&order[i], &order[j]);
			if (got != (i > j))
				print_message("%s over %s: want %d, got %d\n", sp_fail_kind_str(order[i].kind), sp_fail_kind_str(order[j].kind), i > j, got);
			assert_int_equal(got, i > j);
		}
	}
	struct sp_fail connect = failure(SP_FAIL_CONNECT, false, ""), tls = failure(SP_FAIL_TLS, false, "");
	connect.result = SP_RESULT_STARTTLS_NOT_SUPPORTED;      /* whatever the kind, what a report counts is told first */
	assert_true(outcome_worse(&connect, &tls));
	struct sp_fail http = failure(SP_FAIL_HTTP, false, "");
	assert_false(outcome_worse(&http, &order[7]));
	assert_false(outcome_worse(&order[7], &http));
}

static void test_a_fresh_policy_is_wanted_for_what_a_policy_refused(void **state)
{
	(void)state;
	struct sp_fail refused = policy(SP_RESULT_CERTIFICATE_EXPIRED), lost = failure(SP_FAIL_CONNECT, false, "");
	assert_true(outcome_wants_fresh_policy(&refused));
	assert_false(outcome_wants_fresh_policy(&lost));
	assert_false(outcome_wants_fresh_policy(&SP_FAIL_OK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_mail_of_nobody_is_not_overdue_at_the_hour_of_the_notice),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_time_that_an_operator_held_mail_is_no_delay),
		cmocka_unit_test(test_mail_that_is_too_late_says_so),
		cmocka_unit_test(test_who_is_told),
		cmocka_unit_test(test_an_address_is_dead_when_the_peer_says_so),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_what_is_told_at_the_end),
		cmocka_unit_test(test_the_longest_failure_is_told_whole_or_cut),
		cmocka_unit_test(test_sites),
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_other_family),
		cmocka_unit_test(test_a_421_is_not_a_dead_site),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_a_fresh_policy_is_wanted_for_what_a_policy_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

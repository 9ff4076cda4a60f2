/* tests/unit/smtp_dsn_test.c - smtp/dsn.c: the structure of notifications, and what their parts say. That a mail program reads them is
 * shown in tests/e2e. */
#include "smtp/dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ARRIVED 1795356000              /* Sun, 22 Nov 2026 14:00:00 +0000 */

static struct sp_fail fail_of(enum sp_fail_kind kind, int code, const char *esc, bool permanent, const char *text)
{
	struct sp_fail f;
	sp_fail_set(&f, kind, "%s", text);
	f.code = code;
	snprintf(f.esc, sizeof(f.esc), "%s", esc);
	f.permanent = permanent;
	return f;
}

/* --- status --- */

static const struct {
	const char *label;
	struct sp_fail fail;
	bool permanent;
	const char *want;
} statuses[] = {                        /* RFC 3463 */
	{ "the peer's own", { .kind = SP_FAIL_REPLY, .code = 550, .esc = "5.1.1", .permanent = true }, true, "5.1.1" },
	{ "the class follows what we do", { .kind = SP_FAIL_REPLY, .code = 450, .esc = "4.2.2" }, true, "5.2.2" },
	{ "552 at RCPT is temporary", { .kind = SP_FAIL_REPLY, .code = 552, .esc = "5.2.2" }, false, "4.2.2" },
	{ "three digits", { .kind = SP_FAIL_REPLY, .code = 550, .esc = "5.123.456" }, true, "5.123.456" },
	{ "an esc that is none", { .kind = SP_FAIL_REPLY, .code = 550, .esc = "5.1" }, true, "5.0.0" },
	{ "an esc of success", { .kind = SP_FAIL_REPLY, .code = 550, .esc = "2.1.5" }, true, "5.0.0" },
	{ "a reply without one", { .kind = SP_FAIL_REPLY, .code = 450 }, false, "4.0.0" },
	{ "421", { .kind = SP_FAIL_REPLY, .code = 421 }, false, "4.3.2" },
	{ "452", { .kind = SP_FAIL_REPLY, .code = 452 }, false, "4.3.1" },
	{ "no such domain", { .kind = SP_FAIL_DNS, .permanent = true }, true, "5.1.2" },
	{ "the resolver fails", { .kind = SP_FAIL_DNS }, false, "4.4.3" },
	{ "the resolver failed for five days", { .kind = SP_FAIL_DNS }, true, "5.4.3" },
	{ "null MX, RFC 7505", { .kind = SP_FAIL_DNS, .esc = "5.1.10", .permanent = true }, true, "5.1.10" },
	{ "connect", { .kind = SP_FAIL_CONNECT }, false, "4.4.1" },
	{ "protocol", { .kind = SP_FAIL_PROTOCOL }, false, "4.5.0" },
	{ "no STARTTLS", { .kind = SP_FAIL_POLICY, .result = SP_RESULT_STARTTLS_NOT_SUPPORTED }, false, "4.7.4" },
	{ "certificate", { .kind = SP_FAIL_TLS, .result = SP_RESULT_CERTIFICATE_EXPIRED }, false, "4.7.5" },
	{ "our disk", { .kind = SP_FAIL_STORE }, false, "4.3.0" },
	{ "our rate", { .kind = SP_FAIL_POLICY, .reason = "rate" }, false, "4.4.5" },
	{ "our configuration", { .kind = SP_FAIL_POLICY, .reason = "route-gone" }, true, "5.3.5" },
};

static void status(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(statuses); i++) {
		char text[12];
		const char *got = smtp_dsn_status(&statuses[i].fail, statuses[i].permanent, text);
		if (strcmp(got, statuses[i].want) != 0)
			print_error("%s: want %s, got %s\n", statuses[i].label, statuses[i].want, got);
		assert_string_equal(got, statuses[i].want);
	}
}

/* --- the message taken apart --- */

struct parts {
	char *head, *human, *machine, *returned;        /* returned: "" where there is none */
	struct sp_buf all;
};

/* What every notification has to hold: CRLF lines of at most 998 octets, no NUL, no control but CR, LF and TAB. */
static void check_lines(struct sp_str s)
{
	size_t line = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (c == '\n')
			assert_true(i > 0 && s.p[i - 1] == '\r');
		if (c == '\r')
			assert_true(i + 1 < s.len && s.p[i + 1] == '\n');
		assert_true((unsigned char)c >= ' ' || c == '\r' || c == '\n' || c == '\t');
		assert_int_not_equal(c, 127);
		line = c == '\n' ? 0 : line + 1;
		assert_true(line <= 999);
	}
	assert_true(sp_str_ends(s, SP_STR("\r\n")));
}

static char *boundary_of(const char *message)
{
	const char *at = strstr(message, "boundary=\"");
	assert_non_null(at);
	at += strlen("boundary=\"");
	size_t len = strcspn(at, "\"");
	assert_true(len > 0 && len <= 70);              /* RFC 2046 5.1.1 */
	char *mark = sp_alloc(len + 5);
	snprintf(mark, len + 5, "\r\n--%.*s", (int)len, at);
	return mark;
}

/* RFC 6522 3: two or three parts between the boundaries, and the closing one. */
static void take_apart(const struct smtp_dsn *d, struct parts *p)
{
	sp_buf_init(&p->all, 1 << 22);
	smtp_dsn_write(d, &p->all);
	assert_false(sp_buf_failed(&p->all));
	char *mark = boundary_of(p->all.p);
	char *found[5];
	size_t n = 0;
	for (char *at = strstr(p->all.p, mark); at; at = strstr(at + 1, mark)) {
		assert_true(n < 4);
		found[n++] = at;
	}
	assert_true(n == 3 || n == 4);
	assert_string_equal(found[n - 1] + strlen(mark), "--\r\n");
	p->head = sp_strndup(p->all.p, (size_t)(found[0] - p->all.p));
	p->human = sp_strndup(found[0] + strlen(mark), (size_t)(found[1] - found[0]) - strlen(mark));
	p->machine = sp_strndup(found[1] + strlen(mark), (size_t)(found[2] - found[1]) - strlen(mark));
	p->returned = n == 4 ? sp_strndup(found[2] + strlen(mark), (size_t)(found[3] - found[2]) - strlen(mark)) : sp_strdup("");
	free(mark);
}

static void clear(struct parts *p)
{
	free(p->head);
	free(p->human);
	free(p->machine);
	free(p->returned);
	sp_buf_clear(&p->all);
}

static void has(const char *where, const char *what)
{
	if (strstr(where, what) == NULL)
		print_error("not there: '%s' in:\n%s\n", what, where);
	assert_non_null(strstr(where, what));
}

static void has_not(const char *where, const char *what)
{
	if (strstr(where, what) != NULL)
		print_error("there: '%s' in:\n%s\n", what, where);
	assert_null(strstr(where, what));
}

static const char header[] = "From: me <s@us.test>\r\nTo: a@x\r\nSubject: hi\r\nMessage-ID:\r\n <abc@us.test>\r\n";

static struct smtp_dsn dsn_of(enum smtp_dsn_action action, const struct smtp_dsn_recipient *r, size_t count)
{
	return (struct smtp_dsn){
		.action = action, .hostname = "relay.test", .id = "0X3KA", .original_id = "0X3K9", .sender = "s@us.test",
		.arrived_s = ARRIVED, .now_s = ARRIVED + 60, .recipients = r, .count = count, .original_header = sp_str_of(header),
	};
}

static void bounce(void **state SP_UNUSED)
{
	struct sp_fail refused = fail_of(SP_FAIL_REPLY, 550, "5.1.1", true,
	                                 "mx1.x[192.0.2.1] answered RCPT TO with 550 5.1.1 No such user here");
	struct sp_fail gone = fail_of(SP_FAIL_DNS, 0, "", true, "there is no domain y");
	const struct smtp_dsn_recipient r[] = {
		{ .address = "a@x", .remote_mta = "mx1.x [192.0.2.1]", .fail = &refused, .last_attempt_s = ARRIVED + 1 },
		{ .address = "b@y", .fail = &gone },
	};
	struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, r, 2);
	struct parts p;
	take_apart(&d, &p);
	check_lines(sp_buf_str(&p.all));

	has(p.head, "From: Mail Delivery System <MAILER-DAEMON@relay.test>\r\n");
	has(p.head, "\r\nTo: <s@us.test>\r\n");
	has(p.head, "\r\nDate: Sun, 22 Nov 2026 14:01:00 +0000\r\n");
	has(p.head, "\r\nMessage-ID: <0X3KA@relay.test>\r\n");
	has(p.head, "\r\nIn-Reply-To: <abc@us.test>\r\n");
	has(p.head, "\r\nAuto-Submitted: auto-replied\r\n");
	has(p.head, "\r\nMIME-Version: 1.0\r\n");
	has(p.head, "\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n");
	has(p.head, "\r\nSubject: Undelivered Mail Returned to Sender\r\n");
	has_not(p.head, "Content-Transfer-Encoding");

	has(p.human, "\r\nContent-Type: text/plain; charset=us-ascii\r\n");
	has(p.human, "  <a@x>\r\n    The mail server mx1.x [192.0.2.1] refused it, and says:\r\n      550 5.1.1 No such user here\r\n");
	has(p.human, "check the address");
	has(p.human, "  <b@y>\r\n    there is no domain y\r\n");
	has(p.human, "0X3K9");

	has(p.machine, "\r\nContent-Type: message/delivery-status\r\n");
	has(p.machine, "\r\n\r\nReporting-MTA: dns; relay.test\r\n");
	has(p.machine, "\r\nArrival-Date: Sun, 22 Nov 2026 14:00:00 +0000\r\n");
	has(p.machine, "\r\n\r\nFinal-Recipient: rfc822; a@x\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx1.x\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 No such user here\r\nLast-Attempt-Date: Sun, 22 Nov 2026 14:00:01 +0000\r\n");
	has(p.machine, "\r\n\r\nFinal-Recipient: rfc822; b@y\r\nAction: failed\r\nStatus: 5.1.2\r\n"
	    "Diagnostic-Code: X-Strictpost; there is no domain y\r\n");
	has_not(p.machine, "Will-Retry-Until");

	has(p.returned, "\r\nContent-Type: text/rfc822-headers\r\n");
	has(p.returned, "\r\n\r\nFrom: me <s@us.test>\r\n");
	clear(&p);
}

static void delayed_by_policy(void **state SP_UNUSED)
{
	struct sp_fail f;
	sp_fail_tls(&f, SP_FAIL_POLICY, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-not-offered",
	            "mx1.x[192.0.2.1] does not offer STARTTLS; nothing was sent, as TLS is demanded");
	const struct smtp_dsn_recipient r = {
		.address = "a@x.test", .remote_mta = "mx1.x [192.0.2.1]", .fail = &f, .last_attempt_s = ARRIVED + 5, .tried = "Last tried now, attempt 3",
		.retry_until_s = ARRIVED + 5 * 86400, .policy = "MTA-STS enforce (id 20260101), host mx1.x: starttls-not-supported",
	};
	struct smtp_dsn d = dsn_of(SMTP_DSN_DELAYED, &r, 1);
	struct parts p;
	take_apart(&d, &p);
	check_lines(sp_buf_str(&p.all));
	has(p.head, "\r\nSubject: Delayed Mail (still being retried)\r\n");
	has(p.human, "This is a warning only: you need not send your message again.");
	has(p.human, "policy: MTA-STS enforce (id 20260101), host mx1.x:");
	has(p.human, "(Last tried now, attempt 3)");
	has(p.human, "does not offer STARTTLS");
	has(p.human, "Neither your message nor the address is at fault.");
	has(p.human, "27 Nov 2026");
	has(p.machine, "\r\nAction: delayed\r\nStatus: 4.7.4\r\n");
	has(p.machine, "\r\nDiagnostic-Code: X-Strictpost; mx1.x[192.0.2.1] does not offer STARTTLS;\r\n ");
	has(p.machine, "\r\nX-Strictpost-Result: starttls-not-supported\r\n");
	has(p.machine, "\r\nWill-Retry-Until: Fri, 27 Nov 2026 14:00:00 +0000\r\n");
	clear(&p);
}

static void refused_by_policy(void **state SP_UNUSED)
{
	struct sp_fail f;
	sp_fail_tls(&f, SP_FAIL_TLS, SP_RESULT_CERTIFICATE_EXPIRED, "expired", "the certificate of mx1.x expired yesterday");
	const struct smtp_dsn_recipient r = { .address = "a@x.test", .fail = &f, .policy = "MTA-STS enforce" };
	struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
	struct parts p;
	take_apart(&d, &p);
	has(p.human, "the certificate of mx1.x expired yesterday");
	has(p.human, "reach the recipient in another way");
	has(p.machine, "\r\nStatus: 5.7.5\r\n");
	clear(&p);
}

static void refused_by_the_message_itself(void **state SP_UNUSED)
{
	struct sp_fail f;
	sp_fail_tls(&f, SP_FAIL_POLICY, SP_RESULT_NONE, "requiretls-not-offered", "mx1.x does not offer REQUIRETLS");
	snprintf(f.esc, sizeof(f.esc), "5.7.30");
	const struct smtp_dsn_recipient r = { .address = "a@x.test", .fail = &f };
	struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
	struct parts p;
	take_apart(&d, &p);
	has(p.human, "mx1.x does not offer REQUIRETLS");
	has(p.human, "Send it without asking for that");
	has_not(p.human, "are set up wrongly");
	has(p.machine, "\r\nStatus: 5.7.30\r\n");
	clear(&p);
}

/* A rate of ours, or an account that the operator took away, is no attack on the connection to the recipient. */
static void held_by_ourselves_is_not_blamed_on_tls(void **state SP_UNUSED)
{
	static const char *const reasons[] = { "rate", "route-gone", "source-gone" };
	for (size_t i = 0; i < SP_COUNT(reasons); i++) {
		struct sp_fail f = fail_of(SP_FAIL_POLICY, 0, "", false, "this relay keeps it back");
		snprintf(f.reason, sizeof(f.reason), "%s", reasons[i]);
		const struct smtp_dsn_recipient r = { .address = "a@x.test", .fail = &f };
		for (int action = SMTP_DSN_FAILED; action <= SMTP_DSN_DELAYED; action++) {
			struct smtp_dsn d = dsn_of((enum smtp_dsn_action)action, &r, 1);
			struct parts p;
			take_apart(&d, &p);
			has(p.human, "  <a@x.test>\r\n    this relay keeps it back\r\n");
			has_not(p.human, "protected");
			has_not(p.human, "interferes");
			has_not(p.human, "could not be reached");
			clear(&p);
		}
	}
}

static void peer_text_is_made_harmless(void **state SP_UNUSED)
{
	struct sp_fail f = fail_of(SP_FAIL_REPLY, 550, "5.7.1", true, "mx answered MAIL FROM with 550 5.7.1 no");
	strcpy(f.text + strlen(f.text), "\x1b[31m\r\nBcc: evil@z\r\n\r\n--=_0X3KA.0\x07\xff");   /* as no sp_fail_set() would leave it */
	const struct smtp_dsn_recipient r = {
		.address = "a@x\r\nAction: delivered", .remote_mta = "mx\r\nStatus: 2.0.0", .fail = &f, .policy = "p\r\n\r\n--=_0X3KA.0",
	};
	struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
	d.sender = "s@us.test\r\nBcc: evil@z";
	d.hostname = "relay.test\r\nX: y";
	struct parts p;
	take_apart(&d, &p);
	check_lines(sp_buf_str(&p.all));
	has_not(p.head, "\nBcc");
	has_not(p.head, "\nX:");
	has_not(p.machine, "\nBcc");
	has_not(p.machine, "\nAction: delivered");
	has_not(p.machine, "\nStatus: 2");
	has_not(p.human, "\nBcc");
	clear(&p);
}

static void boundary_is_not_in_the_content(void **state SP_UNUSED)
{
	struct sp_fail f = fail_of(SP_FAIL_CONNECT, 0, "", false, "nobody there");
	const struct smtp_dsn_recipient r = { .address = "a@x", .fail = &f };
	struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
	d.original_body = SP_STR("Subject: x\r\n\r\n--=_0X3KA.0\r\n--=_0X3KA.1--\r\n=_0X3KA.2\r\n");
	struct parts p;
	take_apart(&d, &p);
	has(p.head, "boundary=\"=_0X3KA.3\"");
	has(p.returned, "\r\nContent-Type: message/rfc822\r\n");
	has(p.returned, "\r\n\r\nSubject: x\r\n\r\n--=_0X3KA.0\r\n");
	clear(&p);
}

/* What is returned: the whole where it is fit to be mail, else its header; labelled where it has octets over 127. */
static const struct {
	const char *label;
	struct sp_str head, whole;
	const char *type, *want, *encoding;     /* NULL: not there */
} returns[] = {
	{ "whole", { "A: b\r\n", 6 }, { "A: b\r\n\r\nx\r\n", 11 }, "message/rfc822", "\r\n\r\nA: b\r\n\r\nx\r\n", NULL },
	{ "whole, 8-bit", { "A: b\r\n", 6 }, { "A: b\r\n\r\n\xc3\xa9\r\n", 12 }, "message/rfc822", "\xc3\xa9", "8bit" },
	{ "no line end", { "A: b\r\n", 6 }, { "A: b\r\n\r\nx", 9 }, "message/rfc822", "x\r\n", NULL },
	{ "NUL", { "A: b\r\n", 6 }, { "A: b\r\n\r\n\0\r\n", 11 }, "text/rfc822-headers", "A: b", NULL },
	{ "bare LF", { "A: b\r\n", 6 }, { "A: b\r\n\r\nx\ny\r\n", 13 }, "text/rfc822-headers", "A: b", NULL },
	{ "bare CR", { "A: b\r\n", 6 }, { "A: b\r\n\r\nx\ry\r\n", 13 }, "text/rfc822-headers", "A: b", NULL },
	{ "CR at the end", { "A: b\r\n", 6 }, { "A: b\r\n\r\nx\r", 10 }, "text/rfc822-headers", "A: b", NULL },
	{ "8-bit header", { "A: \xc3\xa9\r\n", 7 }, { NULL, 0 }, "text/rfc822-headers", "A: \xc3\xa9\r\n", "8bit" },
	{ "odd header", { "A: \rb\nC\0: d", 11 }, { NULL, 0 }, "text/rfc822-headers", "A: ?b\r\nC?: d\r\n", NULL },
	{ "nothing", { NULL, 0 }, { NULL, 0 }, NULL, NULL, NULL },
};

static void what_is_returned(void **state SP_UNUSED)
{
	struct sp_fail f = fail_of(SP_FAIL_CONNECT, 0, "", false, "nobody there");
	const struct smtp_dsn_recipient r = { .address = "a@x", .fail = &f };
	for (size_t i = 0; i < SP_COUNT(returns); i++) {
		struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
		d.original_header = returns[i].head;
		d.original_body = returns[i].whole;
		struct parts p;
		take_apart(&d, &p);
		check_lines(sp_buf_str(&p.all));
		if ((*p.returned != '\0') != (returns[i].type != NULL))
			fail_msg("%s: returned '%s'", returns[i].label, p.returned);
		if (returns[i].type) {
			has(p.returned, returns[i].type);
			has(p.returned, returns[i].want);
		}
		(returns[i].encoding ? has : has_not)(p.returned, "\r\nContent-Transfer-Encoding: 8bit\r\n");
		(returns[i].encoding ? has : has_not)(p.head, "\r\nContent-Transfer-Encoding: 8bit\r\n");
		clear(&p);
	}
}

static void long_lines(void **state SP_UNUSED)
{
	static char words[3000], line[3000];
	memset(words, 'w', sizeof(words) - 1);
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "Subject: ", 9);
	memcpy(line + sizeof(line) - 3, "\r\n", 2);
	struct sp_fail f = fail_of(SP_FAIL_REPLY, 550, "5.7.1", true, "mx answered MAIL FROM with 550 5.7.1 ");
	memset(f.text + strlen(f.text), 'y', sizeof(f.text) - 1 - strlen(f.text));
	const struct smtp_dsn_recipient r = { .address = words, .remote_mta = words, .fail = &f, .policy = words, .last_attempt_s = 1 };
	struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
	d.sender = d.hostname = d.id = d.original_id = words;
	d.original_header = sp_str_of(line);
	d.original_body = sp_str_of(line);
	struct parts p;
	take_apart(&d, &p);
	check_lines(sp_buf_str(&p.all));
	has(p.returned, "text/rfc822-headers");
	clear(&p);
}

static void many_recipients(void **state SP_UNUSED)
{
	enum { COUNT = 1000 };
	static struct smtp_dsn_recipient r[COUNT];
	struct sp_fail f = fail_of(SP_FAIL_REPLY, 550, "5.1.1", true, "mx answered RCPT TO with 550 5.1.1 no");
	for (size_t i = 0; i < COUNT; i++)
		r[i] = (struct smtp_dsn_recipient){ .address = "a@x", .remote_mta = "mx", .fail = &f };
	struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, r, COUNT);
	struct parts p;
	take_apart(&d, &p);
	check_lines(sp_buf_str(&p.all));
	size_t groups = 0;
	for (const char *at = p.machine; (at = strstr(at, "\r\n\r\nFinal-Recipient: ")); at++)
		groups++;
	assert_int_equal(groups, COUNT);
	clear(&p);
}

/* --- what was asked for --- */

static void relayed(void **state SP_UNUSED)
{
	struct sp_fail none = SP_FAIL_OK;
	const struct smtp_dsn_recipient r[] = {
		{ .address = "a@x", .remote_mta = "mx1.x [192.0.2.1]", .fail = &none, .last_attempt_s = ARRIVED + 1, .retry_until_s = ARRIVED + 9,
		  .reply = "250 2.0.0 Ok: queued as 12345" },
		{ .address = "b@x" },
	};
	struct smtp_dsn d = dsn_of(SMTP_DSN_RELAYED, r, 2);
	struct parts p;
	take_apart(&d, &p);
	check_lines(sp_buf_str(&p.all));
	has(p.head, "\r\nSubject: Mail Passed On to the Next Server\r\n");
	has(p.human, "That is not yet a delivery");
	has(p.human, "  <a@x>\r\n    The mail server mx1.x [192.0.2.1] took it, and says:\r\n      250 2.0.0 Ok: queued as 12345\r\n");
	has(p.machine, "\r\n\r\nFinal-Recipient: rfc822; a@x\r\nAction: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx1.x\r\n"
	    "Diagnostic-Code: smtp; 250 2.0.0 Ok: queued as 12345\r\nLast-Attempt-Date: Sun, 22 Nov 2026 14:00:01 +0000\r\n");
	has(p.machine, "\r\n\r\nFinal-Recipient: rfc822; b@x\r\nAction: relayed\r\nStatus: 2.0.0\r\n");
	has_not(p.machine, "Will-Retry-Until");
	has_not(p.machine, "Original-");
	clear(&p);
}

static const struct { const char *label, *envid, *orcpt, *address; bool utf8; const char *want_envid, *want_orcpt, *want_final; } names[] = {
	{ "RFC 3461 4.4, 4.2", "QQ314159+2Ba", "rfc822;Bob+2Bx@example.com", "bob@x", false,
	  "\r\n\r\nOriginal-Envelope-Id: QQ314159+a\r\nReporting-MTA", "\r\nOriginal-Recipient: rfc822; Bob+x@example.com\r\nFinal-Recipient: ", "rfc822; bob@x\r\n" },
	{ "xtext of a line end", "a+0D+0ABcc:+20b", "rfc822;a+0AStatus:+202.0.0", "b@x", false,
	  "Original-Envelope-Id: a??Bcc: b\r\n", "rfc822; a?Status: 2.0.0\r\n", "rfc822; b@x\r\n" },
	{ "xtext that is none", "a+2", "rfc822", "b@x", false, "-Id: a+2\r\n", "Original-Recipient: rfc822; \r\n", "rfc822; b@x\r\n" },
	{ "xtext of octets over 127", "+C3+BC", "rfc822;+C3+28", "b@x", true, "-Id: ??\r\n", "rfc822; ?(\r\n", "rfc822; b@x\r\n" },
	{ "xtext of UTF-8, as Postfix 3.7 says it", "x", "rfc822;b+C3+BC@x", "b@x", true, "-Id: x\r\n", "utf-8; b\xc3\xbc@x\r\n", "rfc822; b@x\r\n" },
	{ "xtext of UTF-8, to be sent as ASCII", "x", "RFC822;b+C3+BC+0A@x", "b@x", false, "-Id: x\r\n", "utf-8; b\\x{FC}?@x\r\n", "rfc822; b@x\r\n" },
	{ "RFC 6533 3: embedded, to be sent as ASCII", "x", "utf-8;b\\x{FC}b@x", "b@x", false, "-Id: x\r\n", "utf-8; b\\x{FC}b@x\r\n", "rfc822; b@x\r\n" },
	{ "embedded, to be sent as UTF-8", "x", "utf-8;b\\x{FC}b\\x{2B}\\x{10FFFF}@x", "b@x", true, "-Id: x\r\n",
	  "utf-8; b\xc3\xbc" "b\\x{2B}\xf4\x8f\xbf\xbf@x\r\n", "rfc822; b@x\r\n" },
	{ "UTF-8 in a command", "x", "UTF-8;b\xc3\xbc@x", "b\xc3\xbc+=\\@x", true, "-Id: x\r\n", "UTF-8; b\xc3\xbc@x\r\n", "utf-8; b\xc3\xbc\\x{2B}\\x{3D}\\x{5C}@x\r\n" },
	{ "UTF-8 though it was not said", "x", "utf-8;b\xe2\x82\xac@x", "b\xc3\xbc@x", false, "-Id: x\r\n", "utf-8; b\\x{20AC}@x\r\n", "utf-8; b\\x{FC}@x\r\n" },
	{ "no UTF-8", "x", "utf-8;\xc3\x28\xed\xa0\x80\xc0\x80@x", "b\xfc@x", true, "-Id: x\r\n", "utf-8; ?(?????@x\r\n", "rfc822; b?@x\r\n" },
	{ "control characters of Unicode", "x", "utf-8;\\x{0A}\\x{85}\\x{D800}\\x{}", "\xc2\x85@x", true, "-Id: x\r\n",
	  "utf-8; \\x{0A}\\x{85}\\x{5C}x{D800}\\x{5C}x{}\r\n", "utf-8; \\x{85}@x\r\n" },
};

static void names_in_the_machines_part(void **state SP_UNUSED)
{
	struct sp_fail f = fail_of(SP_FAIL_CONNECT, 0, "", false, "nobody there");
	for (size_t i = 0; i < SP_COUNT(names); i++) {
		print_message("%s\n", names[i].label);
		const struct smtp_dsn_recipient r = { .address = names[i].address, .orcpt = names[i].orcpt, .fail = &f };
		struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
		d.envid = names[i].envid;
		d.utf8 = names[i].utf8;
		struct parts p;
		take_apart(&d, &p);
		check_lines(sp_buf_str(&p.all));
		has(p.machine, names[i].want_envid);
		has(p.machine, names[i].want_orcpt);
		has(p.machine, names[i].want_final);
		clear(&p);
	}
}

static const char global_header[] = "From: me <s@us.test>\r\nSubject: gr\xc3\xbc\xc3\x9f\r\n";

/* RFC 6533: the types for internationalized mail, and only where they are needed. */
static const struct {
	const char *label, *sender, *address, *head;
	bool utf8, whole;
	const char *to, *human, *machine, *returned;
} globals[] = {
	{ "all of it", "m\xc3\xbc@us.test", "b\xc3\xbc@x", global_header, true, false, "To: <m\xc3\xbc@us.test>", "charset=utf-8\r\n",
	  "message/global-delivery-status", "message/global-headers" },
	{ "the recipient only", "s@us.test", "b\xc3\xbc@x", header, true, false, "To: <s@us.test>", "charset=utf-8\r\n",
	  "message/global-delivery-status", "text/rfc822-headers" },
	{ "the header only", "s@us.test", "b@x", global_header, true, false, "To: <s@us.test>", "charset=us-ascii\r\n",
	  "message/delivery-status", "message/global-headers" },
	{ "whole", "s@us.test", "b@x", global_header, true, true, "To: <s@us.test>", "charset=us-ascii\r\n", "message/delivery-status", "message/global\r\n" },
	{ "nothing of it", "s@us.test", "b@x", header, true, false, "To: <s@us.test>", "charset=us-ascii\r\n", "message/delivery-status", "text/rfc822-headers" },
	{ "a header that is no UTF-8", "s@us.test", "b@x", "Subject: \xfc\r\n", true, false, "To: <s@us.test>", "charset=us-ascii\r\n",
	  "message/delivery-status", "text/rfc822-headers" },
	{ "SMTPUTF8 was not said", "s@us.test", "b@x", global_header, false, false, "To: <s@us.test>", "charset=us-ascii\r\n",
	  "message/delivery-status", "text/rfc822-headers" },
};

static void internationalized(void **state SP_UNUSED)
{
	struct sp_fail f = fail_of(SP_FAIL_CONNECT, 0, "", false, "nobody there");
	for (size_t i = 0; i < SP_COUNT(globals); i++) {
		print_message("%s\n", globals[i].label);
		const struct smtp_dsn_recipient r = { .address = globals[i].address, .fail = &f };
		struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
		d.sender = globals[i].sender;
		d.utf8 = globals[i].utf8;
		d.original_header = sp_str_of(globals[i].head);
		d.original_body = globals[i].whole ? d.original_header : sp_str_make(NULL, 0);
		struct parts p;
		take_apart(&d, &p);
		check_lines(sp_buf_str(&p.all));
		has(p.head, globals[i].to);
		has(p.human, globals[i].human);
		has(p.machine, globals[i].machine);
		has(p.returned, globals[i].returned);
		has(p.human, globals[i].address);
		bool wide_human = strstr(globals[i].human, "utf-8"), wide_machine = strstr(globals[i].machine, "global");
		(wide_human ? has : has_not)(p.human, "Content-Transfer-Encoding: 8bit");
		(wide_machine ? has : has_not)(p.machine, "Content-Transfer-Encoding: 8bit");
		clear(&p);
	}
}

static void the_time_to_deliver_by(void **state SP_UNUSED)
{
	struct sp_fail f = fail_of(SP_FAIL_CONNECT, 0, "4.4.7", false, "nobody there");
	const struct smtp_dsn_recipient r = { .address = "a@x", .fail = &f };
	struct smtp_dsn d = dsn_of(SMTP_DSN_DELAYED, &r, 1);
	struct parts p;
	d.deliver_by_s = ARRIVED + 60;
	take_apart(&d, &p);
	has(p.machine, "\r\nDeliver-By-Date: Sun, 22 Nov 2026 14:01:00 +0000\r\n");
	has(p.machine, "\r\nAction: delayed\r\nStatus: 4.4.7\r\n");
	has(p.human, "that time is up");
	clear(&p);
	d.deliver_by_s++;
	take_apart(&d, &p);
	has_not(p.human, "that time is up");
	clear(&p);
}

static void tls_is_as_optional_as_it_was(void **state SP_UNUSED)                /* RFC 8689 6 */
{
	struct sp_fail f = fail_of(SP_FAIL_CONNECT, 0, "4.4.1", false, "nobody there");
	const struct smtp_dsn_recipient r = { .address = "a@x", .fail = &f };
	for (int optional = 0; optional < 2; optional++) {
		struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
		struct sp_buf out;
		sp_buf_init(&out, 65536);
		d.tls_optional = optional;
		smtp_dsn_write(&d, &out);
		const char *head = sp_buf_cstr(&out), *field = strstr(head, "\r\nTLS-Required: No\r\n");
		assert_int_equal(field && field < strstr(head, "\r\n\r\n"), optional);
		sp_buf_clear(&out);
	}
}

static void the_hold_that_was_asked_for(void **state SP_UNUSED)         /* RFC 4865 5.1.2 */
{
	struct sp_fail f = fail_of(SP_FAIL_CONNECT, 0, "4.4.1", false, "nobody there");
	const struct smtp_dsn_recipient r = { .address = "a@x", .fail = &f };
	struct smtp_dsn d = dsn_of(SMTP_DSN_FAILED, &r, 1);
	struct parts p;
	take_apart(&d, &p);
	has_not(p.machine, "Future-Release-Request");
	clear(&p);
	d.hold_until_s = ARRIVED + 60;
	take_apart(&d, &p);
	has(p.machine, "\r\nFuture-Release-Request: until;2026-11-22T14:01:00Z\r\n");
	clear(&p);
	d.hold_for_s = 60;
	take_apart(&d, &p);
	has(p.machine, "\r\nFuture-Release-Request: for;60\r\n");
	has_not(p.machine, "until;");
	clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status),
		cmocka_unit_test(bounce),
		cmocka_unit_test(delayed_by_policy),
		cmocka_unit_test(refused_by_policy),
		cmocka_unit_test(refused_by_the_message_itself),
		cmocka_unit_test(held_by_ourselves_is_not_blamed_on_tls),
		cmocka_unit_test(peer_text_is_made_harmless),
		cmocka_unit_test(boundary_is_not_in_the_content),
		cmocka_unit_test(what_is_returned),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(relayed),
		cmocka_unit_test(names_in_the_machines_part),
		cmocka_unit_test(internationalized),
		cmocka_unit_test(the_time_to_deliver_by),
		cmocka_unit_test(the_hold_that_was_asked_for),
		cmocka_unit_test(tls_is_as_optional_as_it_was),
		cmocka_unit_test(many_recipients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

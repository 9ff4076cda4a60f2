/* tests/unit/smtp_client_test.c - parts of smtp/client.c and smtp/stuff.c that rows show better than dialogs: what EHLO offers,
 * dot-stuffing, limits of memory. Sessions are in smtp_client_dialog_test.c. */
#include "smtp/client.h"
#include "smtp/stuff.h"
#include "freed_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct smtp_client *session(enum smtp_client_tls tls, const char *heard)
{
	const struct smtp_client_settings settings = { .helo = "us.test", .peer = "mx1.test[192.0.2.1]", .tls = tls };
	struct smtp_client *c = smtp_client_new(&settings);
	struct sp_str in = sp_str_of(heard);
	enum smtp_client_want want = SMTP_CLIENT_READ;
	while (in.len > 0 && want == SMTP_CLIENT_READ)
		want = smtp_client_next(c, &in);
	sp_buf_reset(smtp_client_output(c));
	return c;
}

/* --- what EHLO offers --- */

static const struct {
	const char *label, *line;
	struct smtp_client_ext want;    /* esmtp is always true */
} offers[] = {
	{ "nothing", "", { 0 } },
	{ "PIPELINING, RFC 2920", "PIPELINING", { .pipelining = true } },
	{ "any case", "pipeLINING", { .pipelining = true } },
	{ "a blank behind it", "PIPELINING ", { .pipelining = true } },
	{ "a longer word is another", "PIPELINING2", { 0 } },
	{ "8BITMIME, RFC 6152", "8BITMIME", { .eight_bit = true } },
	{ "CHUNKING, RFC 3030", "CHUNKING", { .chunking = true } },
	{ "ENHANCEDSTATUSCODES, RFC 2034", "ENHANCEDSTATUSCODES", { .enhanced = true } },
	{ "SMTPUTF8, RFC 6531", "SMTPUTF8", { .smtputf8 = true } },
	{ "DSN, RFC 3461", "DSN", { .dsn = true } },
	{ "REQUIRETLS, RFC 8689", "REQUIRETLS", { .requiretls = true } },
	{ "SIZE alone, RFC 1870 4", "SIZE", { .size = true } },
	{ "SIZE 0 is no limit", "SIZE 0", { .size = true } },
	{ "SIZE", "SIZE 52428800", { .size = true, .size_max = 52428800 } },
	{ "SIZE beyond 2^64 is no limit", "SIZE 99999999999999999999", { .size = true } },
	{ "SIZE that is no number", "SIZE lots", { .size = true } },
	{ "AUTH, RFC 4954 3", "AUTH CRAM-MD5 PLAIN LOGIN", { .auth_plain = true, .auth_login = true } },
	{ "AUTH without the two", "AUTH XOAUTH2", { 0 } },
	{ "AUTH=, from before RFC 2554", "AUTH=LOGIN PLAIN", { .auth_plain = true, .auth_login = true } },
	{ "AUTH= with one", "auth=login", { .auth_login = true } },
	{ "AUTH with blanks", "AUTH  PLAIN  LOGIN ", { .auth_plain = true, .auth_login = true } },
	{ "AUTH with nothing", "AUTH", { 0 } },
	{ "a mechanism of a longer name", "AUTH PLAIN-CLIENTTOKEN XPLAIN", { 0 } },
	{ "LIMITS, RFC 9422 4", "LIMITS MAILMAX=20 RCPTMAX=1000 RCPTDOMAINMAX=5", { .mail_max = 20, .rcpt_max = 1000, .rcpt_domain_max = 5 } },
	{ "LIMITS in any case", "limits rcptmax=7", { .rcpt_max = 7 } },
	{ "a limit of 0 is none", "LIMITS MAILMAX=0", { 0 } },
	{ "a limit of seven digits is none", "LIMITS MAILMAX=1000000 RCPTMAX=2", { .rcpt_max = 2 } },
	{ "a limit without a value", "LIMITS MAILMAX RCPTMAX= X=1", { 0 } },
	{ "BINARYMIME, RFC 3030", "BINARYMIME", { .binary = true } },
	{ "MT-PRIORITY, RFC 6710 3", "MT-PRIORITY", { .mt_priority = true } },
	{ "MT-PRIORITY with a profile", "MT-PRIORITY STANAG4406", { .mt_priority = true } },
	{ "FUTURERELEASE, RFC 4865 3", "FUTURERELEASE 864000 2030-01-01T00:00:00Z", { .future_release = true } },
	{ "DELIVERBY, RFC 2852 2", "DELIVERBY", { .deliverby = true } },
	{ "DELIVERBY with a minimum", "DELIVERBY 240", { .deliverby = true, .deliverby_min_s = 240 } },
	{ "DELIVERBY with more options", "DELIVERBY 240,x=1", { .deliverby = true, .deliverby_min_s = 240 } },
	{ "DELIVERBY with ten digits: none told", "DELIVERBY 1000000000", { .deliverby = true } },
	{ "DELIVERBY with what is no number", "DELIVERBY soon", { .deliverby = true } },
};

static bool same_ext(const struct smtp_client_ext *a, const struct smtp_client_ext *b)
{
	return a->pipelining == b->pipelining && a->size == b->size && a->eight_bit == b->eight_bit && a->chunking == b->chunking &&
	       a->enhanced == b->enhanced && a->smtputf8 == b->smtputf8 && a->dsn == b->dsn && a->requiretls == b->requiretls &&
	       a->size_max == b->size_max && a->mail_max == b->mail_max && a->rcpt_max == b->rcpt_max &&
	       a->auth_plain == b->auth_plain && a->auth_login == b->auth_login && a->starttls == b->starttls && a->binary == b->binary &&
	       a->mt_priority == b->mt_priority && a->deliverby == b->deliverby && a->deliverby_min_s == b->deliverby_min_s &&
	       a->future_release == b->future_release && a->rcpt_domain_max == b->rcpt_domain_max;
}

static void ehlo_offers(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(offers); i++) {
		char heard[256];
		snprintf(heard, sizeof(heard), "220 hi\r\n250-STARTTLS.test PIPELINING\r\n250 %s\r\n", offers[i].line);
		struct smtp_client *c = session(SMTP_CLIENT_TLS_NEVER, heard);
		bool ok = smtp_client_ext(c)->esmtp && same_ext(smtp_client_ext(c), &offers[i].want);
		if (!ok)
			print_error("%s: not what was offered\n", offers[i].label);
		smtp_client_free(c);
		assert_true(ok);
	}
}

/* --- the greeting --- */

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct { const char *label, *heard, *want; } greetings[] = {       /* RFC 5321 4.2, RFC 8460 4.4: receiving-mx-helo */
	{ "before it", "", "" },
	{ "a name and a text", "220 mx1.example.com ESMTP ready\r\n", "mx1.example.com" },
	{ "a name alone", "220 mx1.example.com\r\n", "mx1.example.com" },
	{ "two lines", "220-mx1.example.com\r\n220 mx2.example.com\r\n", "mx1.example.com" },
	{ "a literal", "220 [192.0.2.1] hi\r\n", "[192.0.2.1]" },
	{ "nothing", "220\r\n", "" },
	{ "a blank", "220  mx1.example.com\r\n", "" },
	{ "a tab behind it", "220 mx1\thi\r\n", "mx1" },
	{ "octets that are none", "220 m\x1b[2Jx\xff\x7f hi\r\n", "m?[2Jx??" },
	{ "very long", "220 " A64 A64 A64 A64 A64 " hi\r\n", A64 A64 A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
	{ "refused: it has no name that counts", "554 mx1.example.com no\r\n", "" },
	{ "not the EHLO reply's", "220 one\r\n250 two\r\n", "one" },
};

static void greeting_has_a_name(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(greetings); i++) {
		struct smtp_client *c = session(SMTP_CLIENT_TLS_NEVER, greetings[i].heard);
		print_message("%s: want '%s', got '%s'\n", greetings[i].label, greetings[i].want, smtp_client_greeted_as(c));
		assert_string_equal(smtp_client_greeted_as(c), greetings[i].want);
		smtp_client_free(c);
	}
}

/* RFC 8460 4.3: whatever ends a negotiation has a result and a reason, the same words always. */
static const struct { const char *label, *heard; bool lost; enum sp_result result; const char *reason; } broken[] = {
	{ "not offered", "220 a\r\n250 a\r\n", false, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-not-offered" },
	{ "EHLO refused", "220 a\r\n502 what\r\n", false, SP_RESULT_STARTTLS_NOT_SUPPORTED, "ehlo-refused" },
	{ "refused", "220 a\r\n250-a\r\n250 STARTTLS\r\n454 not now\r\n", false, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-refused" },
	{ "421", "220 a\r\n250-a\r\n250 STARTTLS\r\n421 bye\r\n", false, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-refused" },
	{ "an odd code", "220 a\r\n250-a\r\n250 STARTTLS\r\n354 go\r\n", false, SP_RESULT_VALIDATION_FAILURE, "starttls-broken" },
	{ "garbage", "220 a\r\n250-a\r\n250 STARTTLS\r\nhello\r\n", false, SP_RESULT_VALIDATION_FAILURE, "starttls-broken" },
	{ "injection", "220 a\r\n250-a\r\n250 STARTTLS\r\n220 go\r\n250 x\r\n", false, SP_RESULT_VALIDATION_FAILURE, "starttls-injection" },
	{ "lost before the reply", "220 a\r\n250-a\r\n250 STARTTLS\r\n", true, SP_RESULT_VALIDATION_FAILURE, "lost" },
	{ "lost in the handshake", "220 a\r\n250-a\r\n250 STARTTLS\r\n220 go\r\n", true, SP_RESULT_VALIDATION_FAILURE, "lost" },
	{ "lost before EHLO was answered: says nothing of TLS", "220 a\r\n", true, SP_RESULT_NONE, "" },
	{ "greeting refused: says nothing of TLS", "554 no\r\n", false, SP_RESULT_NONE, "" },
};

static void tls_that_does_not_come_about_has_a_reason(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(broken); i++) {
		struct smtp_client *c = session(SMTP_CLIENT_TLS_MUST, broken[i].heard);
		if (broken[i].lost) {
			struct sp_fail why;
			sp_fail_set(&why, SP_FAIL_CONNECT, "closed the connection");
			smtp_client_lost(c, &why);
		}
		const struct sp_fail *f = smtp_client_fail(c);
		print_message("%s: want %s %s, got %s %s (%s)\n", broken[i].label, sp_result_str(broken[i].result), broken[i].reason, sp_result_str(f->result),
		              f->reason, f->text);
		assert_true(sp_failed(f));
		assert_int_equal(f->result, broken[i].result);
		assert_string_equal(f->reason, broken[i].reason);
		smtp_client_free(c);
	}
}

/* --- dot-stuffing --- */

static const struct {
	const char *label, *in, *want;
} stuffed[] = {                         /* RFC 5321 4.5.2 */
	{ "no dot", "ab\r\ncd\r\n", "ab\r\ncd\r\n" },
	{ "a dot in front", ".ab\r\n", "..ab\r\n" },
	{ "a dot after CRLF", "ab\r\n.cd\r\n", "ab\r\n..cd\r\n" },
	{ "a dot inside a line", "a.b\r\nc.\r\n", "a.b\r\nc.\r\n" },
	{ "only the first dot of a line", "...\r\n...\r\n", "....\r\n....\r\n" },
	{ "a line that is a dot", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n" },
	{ "dots at both ends", ".\r\n.\r\n.", "..\r\n..\r\n.." },
	{ "LF alone never makes an end", "a\n.\nb\n.\r\nc\r\n", "a\n..\nb\n..\r\nc\r\n" },
	{ "CR alone never makes an end", "a\r.\rb\r.\r\nc\r\n", "a\r..\rb\r..\r\nc\r\n" },
	{ "empty", "", "" },
};

static void dot_stuffing(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(stuffed); i++) {
		struct sp_str in = sp_str_of(stuffed[i].in);
		for (size_t step = 1; step <= in.len + 1; step++) {
			struct smtp_stuff s;
			smtp_stuff_init(&s);
			struct sp_buf out;
			sp_buf_init(&out, 1000);
			for (size_t at = 0; at < in.len; at += step)
				smtp_stuff_add(&s, sp_str_make(in.p + at, sp_min(step, in.len - at)), &out);
			if (strcmp(sp_buf_cstr(&out), stuffed[i].want) != 0)
				print_error("%s (step %zu)\n", stuffed[i].label, step);
			assert_string_equal(sp_buf_cstr(&out), stuffed[i].want);
			assert_int_equal(smtp_stuff_at_line_end(&s), in.len == 0 || sp_str_ends(in, SP_STR("\r\n")));
			sp_buf_clear(&out);
		}
	}
}

/* --- content of any octets arrives the same by DATA and by BDAT --- */

/* The inverse, as a server does it: RFC 5321 4.5.2. */
static void unstuff(struct sp_str in, struct sp_buf *out)
{
	bool at_line = true;
	for (size_t i = 0; i < in.len; i++) {
		if (at_line && in.p[i] == '.') {
			if (sp_str_eq(sp_str_from(in, i), SP_STR(".\r\n")))
				return;
			i++;
		}
		sp_buf_addc(out, in.p[i]);
		at_line = in.p[i] == '\n' && i > 0 && in.p[i - 1] == '\r';
	}
	fail_msg("no end of content");
}

static void send_by_data(struct sp_str content, size_t step, struct sp_buf *out)
{
	struct smtp_client *c = session(SMTP_CLIENT_TLS_NEVER, "220 hi\r\n250-mx1\r\n250 PIPELINING\r\n");
	const char *to[] = { "a@x" };
	const struct smtp_client_mail mail = { .sender = "s@us.test", .recipients = to, .recipient_count = 1, .size = content.len };
	smtp_client_send(c, &mail);
	struct sp_str in = SP_STR("250 ok\r\n250 ok\r\n354 go\r\n");
	if (smtp_client_next(c, &in) != SMTP_CLIENT_BODY)
		fail_msg("no room for content");
	sp_buf_reset(smtp_client_output(c));
	for (size_t at = 0; at < content.len; at += step)
		smtp_client_body(c, sp_str_make(content.p + at, sp_min(step, content.len - at)));
	smtp_client_body_end(c);
	sp_buf_add(out, sp_buf_str(smtp_client_output(c)));
	smtp_client_free(c);
}

static void data_and_bdat_agree(void **state SP_UNUSED)
{
	unsigned seed = 7;
	for (int round = 0; round < 300; round++) {
		char content[200];
		size_t len = (size_t)(round % 120);
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245 + 12345;
			static const char *const bits[] = { "\r\n", ".", "x", "\r\n." };
			content[i] = bits[seed >> 16 & 3][0];
			if (content[i] == '\r' && i + 1 < len)
				content[++i] = '\n';
			else if (content[i] == '\r')
				content[i] = 'y';
		}
		struct sp_buf by_data, got;
		sp_buf_init(&by_data, 2000);
		sp_buf_init(&got, 2000);
		send_by_data(sp_str_make(content, len), 1 + (size_t)round % 7, &by_data);
		unstuff(sp_buf_str(&by_data), &got);

		/* by BDAT it goes with its envelope; a content this small is not asked for */
		struct smtp_client *c = session(SMTP_CLIENT_TLS_NEVER, "220 hi\r\n250-mx1\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
		const char *to[] = { "a@x" };
		const struct smtp_client_mail mail = { .sender = "", .recipients = to, .recipient_count = 1, .size = len };
		smtp_client_send(c, &mail);
		smtp_client_body(c, sp_str_make(content, len));
		smtp_client_body_end(c);
		struct sp_str said = sp_buf_str(smtp_client_output(c)), line;
		do
			assert_true(sp_take_line(&said, &line));
		while (!sp_str_starts(line, SP_STR("BDAT ")));
		assert_int_equal(said.len, got.len);
		assert_true(sp_str_eq(said, sp_buf_str(&got)));
		smtp_client_free(c);
		sp_buf_clear(&by_data);
		sp_buf_clear(&got);
	}
}

/* --- parameters --- */

#define EHLO_OF_ALL "220 hi\r\n250-mx1\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-MT-PRIORITY\r\n250 DELIVERBY\r\n"

/* RFC 5321 4.5.3.1.4: 512 octets with CRLF, and what the extensions add: RFC 1870 3: 26, 6152 2: 17, 6531 3.1: 10, 2852 2: 17, 6710 3: 15; RFC 3461: the
 * longest RET and ENVID, and the longest NOTIFY and ORCPT. */
#define MAIL_LINE_MAX (512 + 26 + 17 + 10 + 17 + 15 + 9 + 7 + SP_ENVID_MAX)
#define RCPT_LINE_MAX (512 + 29 + 7 + SP_ORCPT_MAX)

/* All that can be asked for, and all as long as it may be, in lines that the peer has to take. */
static void lines_keep_to_their_lengths(void **state SP_UNUSED)
{
	char address[255], envid[SP_ENVID_MAX + 1], orcpt[SP_ORCPT_MAX + 1];
	memset(address, '+', sizeof(address));          /* an ORCPT of our own would have three octets for each */
	memcpy(address + 64, "@x", 2);
	memset(address + 66, 'y', sizeof(address) - 67);
	address[sizeof(address) - 1] = '\0';
	memset(envid, 'e', sizeof(envid) - 1);
	envid[sizeof(envid) - 1] = '\0';
	memset(orcpt, 'o', sizeof(orcpt) - 1);
	memcpy(orcpt, "rfc822;", 7);
	orcpt[sizeof(orcpt) - 1] = '\0';
	struct sp_rcpt_wish rcpt[] = { { .notify = 7, .orcpt = orcpt }, { .notify = 7 } };
	struct sp_mail_wish wish = { .utf8 = true, .ret = SP_RET_FULL, .priority = -9, .by = SP_BY_NOTIFY, .by_trace = true, .by_ms = -1, .envid = envid };
	const char *to[] = { address, address };
	const struct smtp_client_mail mail = { .sender = address, .recipients = to, .recipient_count = 2, .size = UINT64_MAX, .eight_bit = true, .utf8_needed = true,
	                                       .wish = &wish, .rcpt_wishes = rcpt, .now_ms = INT64_MAX / 2 };
	struct smtp_client *c = session(SMTP_CLIENT_TLS_NEVER, EHLO_OF_ALL);
	smtp_client_send(c, &mail);
	struct sp_str said = sp_buf_str(smtp_client_output(c)), line;
	assert_true(sp_take_line(&said, &line) && sp_str_starts(line, SP_STR("MAIL FROM:<")));
	print_message("%.*s\n", SP_STR_ARG(line));
	assert_true(line.len + 2 <= MAIL_LINE_MAX);
	assert_true(memmem(line.p, line.len, envid, strlen(envid)) && sp_str_ends(line, SP_STR(" MT-PRIORITY=-9 BY=-999999999;NT")));
	for (size_t i = 0; i < 2; i++) {
		assert_true(sp_take_line(&said, &line) && sp_str_starts(line, SP_STR("RCPT TO:<")));
		assert_true(line.len + 2 <= RCPT_LINE_MAX);
	}
	smtp_client_free(c);
}

/* An ENVID or ORCPT that is longer than a peer has to take did not come from our server. */
static void longer_values_are_left_out(void **state SP_UNUSED)
{
	char envid[SP_ENVID_MAX + 2], orcpt[SP_ORCPT_MAX + 2];
	memset(envid, 'e', sizeof(envid) - 1);
	envid[sizeof(envid) - 1] = '\0';
	memset(orcpt, 'o', sizeof(orcpt) - 1);
	memcpy(orcpt, "rfc822;", 7);
	orcpt[sizeof(orcpt) - 1] = '\0';
	struct sp_rcpt_wish rcpt = { .notify = SP_NOTIFY_DELAY, .orcpt = orcpt };
	struct sp_mail_wish wish = { .envid = envid };
	const char *to[] = { "a@x" };
	const struct smtp_client_mail mail = { .sender = "s@x", .recipients = to, .recipient_count = 1, .size = 3, .wish = &wish, .rcpt_wishes = &rcpt };
	struct smtp_client *c = session(SMTP_CLIENT_TLS_NEVER, EHLO_OF_ALL);
	smtp_client_send(c, &mail);
	assert_string_equal(sp_buf_cstr(smtp_client_output(c)), "MAIL FROM:<s@x> SIZE=3 MT-PRIORITY=0\r\nRCPT TO:<a@x> NOTIFY=DELAY\r\nDATA\r\n");
	smtp_client_free(c);
}

/* Credentials that no server could take (RFC 4954 4.3) are a fault of the configuration, not of ours. */
static void credentials_too_long(void **state SP_UNUSED)
{
	struct sp_buf password;
	sp_buf_init(&password, 10000);
	while (password.len < 10000)
		sp_buf_addc(&password, 'p');
	const struct smtp_client_settings settings = { .helo = "us.test", .peer = "mx1", .tls = SMTP_CLIENT_TLS_IMPLICIT, .user = "u", .password = sp_buf_cstr(&password) };
	struct smtp_client *c = smtp_client_new(&settings);
	struct sp_str in = SP_STR("220 hi\r\n250-a\r\n250 AUTH PLAIN LOGIN\r\n");
	while (in.len > 0)
		assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_READ);
	assert_string_equal(sp_buf_cstr(smtp_client_output(c)), "EHLO us.test\r\nQUIT\r\n");
	assert_string_equal(smtp_client_fail(c)->reason, "auth-too-long");
	assert_false(smtp_client_fail(c)->permanent);
	smtp_client_free(c);
	sp_buf_clear(&password);
}

#ifndef __SANITIZE_ADDRESS__
/* Refused, cut off before they left, or never asked for: memory that the engine gives back holds no credentials. */
static void credentials_are_wiped(void **state SP_UNUSED)
{
	static const char *const secrets[SECRETS] = { "correct-horse-battery-staple", "AGFwcDEAY29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==" };
	static const char *const heard[] = {
		"220 hi\r\n",
		"220 hi\r\n250 a\r\n",
		"220 hi\r\n250-a\r\n250 AUTH PLAIN\r\n",
		"220 hi\r\n250-a\r\n250 AUTH PLAIN\r\n535 no\r\n221 bye\r\n",
		"220 hi\r\n250-a\r\n250 AUTH PLAIN\r\n235 yes\r\n",
		"220 hi\r\n250-a\r\n250 AUTH PLAIN\r\n421 later\r\n",
		"220 hi\r\n250-a\r\n250 AUTH LOGIN\r\n334 x\r\n334 x\r\n535 no\r\n",
	};
	const struct smtp_client_settings settings = { .helo = "us.test", .peer = "mx1", .tls = SMTP_CLIENT_TLS_IMPLICIT, .user = "app1", .password = secrets[0] };
	for (size_t i = 0; i < SP_COUNT(heard); i++) {
		watch_freed(secrets);
		struct smtp_client *c = smtp_client_new(&settings);
		struct sp_str in = sp_str_of(heard[i]);
		while (in.len > 0 && smtp_client_next(c, &in) == SMTP_CLIENT_READ)
			continue;
		smtp_client_free(c);
		unsigned left = watch_ends();
		if (left > 0)
			fail_msg("row %zu: %u times", i, left);
	}
}
#endif

/* --- the size of things --- */

static void a_thousand_recipients(void **state SP_UNUSED)
{
	enum { COUNT = 1000 };
	static char names[COUNT][32];
	static const char *to[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "user%zu@example.com", i);
		to[i] = names[i];
	}
	struct smtp_client *c = session(SMTP_CLIENT_TLS_NEVER, "220 hi\r\n250-mx1\r\n250 PIPELINING\r\n");
	const struct smtp_client_mail mail = { .sender = "s@us.test", .recipients = to, .recipient_count = COUNT, .size = 3 };
	smtp_client_send(c, &mail);
	struct sp_str said = sp_buf_str(smtp_client_output(c));
	assert_true(sp_str_ends(said, SP_STR("RCPT TO:<user999@example.com>\r\nDATA\r\n")));
	sp_buf_reset(smtp_client_output(c));

	struct sp_buf heard;
	sp_buf_init(&heard, 1 << 20);
	sp_buf_adds(&heard, "250 ok\r\n");
	for (size_t i = 0; i < COUNT; i++)
		sp_buf_adds(&heard, i % 3 == 0 ? "550 5.1.1 no\r\n" : "250 2.1.5 ok\r\n");
	sp_buf_adds(&heard, "354 go\r\n");
	struct sp_str in = sp_buf_str(&heard);
	assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_BODY);
	smtp_client_body(c, SP_STR("x\r\n"));
	smtp_client_body_end(c);
	sp_buf_reset(smtp_client_output(c));
	in = SP_STR("250 ok\r\n");
	assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_RESULT);
	const struct smtp_client_results *r = smtp_client_results(c);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(sp_failed(&r->recipients[i]), i % 3 == 0);
	assert_int_equal(r->messages, 1);
	assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_READY);
	assert_true(smtp_client_output(c)->cap <= 8193);        /* an idle session keeps little memory */
	sp_buf_clear(&heard);
	smtp_client_free(c);
}

/* What was put into the output but never left cannot have arrived. */
static void unsent_end_is_not_uncertain(void **state SP_UNUSED)
{
	struct sp_fail why;
	sp_fail_set(&why, SP_FAIL_CONNECT, "lost");
	for (int sent = 0; sent < 2; sent++) {
		struct smtp_client *c = session(SMTP_CLIENT_TLS_NEVER, "220 hi\r\n250-mx1\r\n250 PIPELINING\r\n");
		const char *to[] = { "a@x" };
		const struct smtp_client_mail mail = { .sender = "", .recipients = to, .recipient_count = 1, .size = 3 };
		smtp_client_send(c, &mail);
		struct sp_str in = SP_STR("250 ok\r\n250 ok\r\n354 go\r\n");
		assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_BODY);
		smtp_client_body(c, SP_STR("x\r\n"));
		smtp_client_body_end(c);
		if (sent)
			sp_buf_reset(smtp_client_output(c));
		smtp_client_lost(c, &why);
		assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_RESULT);
		assert_int_equal(smtp_client_results(c)->uncertain, sent);
		assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_CLOSE);
		assert_int_equal(smtp_client_output(c)->len, 0);
		smtp_client_free(c);
	}
}

/* A session that ended before TLS takes a mail only to give it back. */
static void nothing_leaves_a_session_that_ended(void **state SP_UNUSED)
{
	struct smtp_client *c = session(SMTP_CLIENT_TLS_MUST, "220 hi\r\n250-mx1\r\n250 PIPELINING\r\n221 bye\r\n");
	struct sp_str in = SP_STR("");
	assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_CLOSE);
	const char *to[] = { "a@x" };
	const struct smtp_client_mail mail = { .sender = "", .recipients = to, .recipient_count = 1, .size = 3 };
	smtp_client_send(c, &mail);
	assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_RESULT);
	assert_int_equal(smtp_client_results(c)->recipients[0].result, SP_RESULT_STARTTLS_NOT_SUPPORTED);
	assert_true(smtp_client_results(c)->site);
	assert_int_equal(smtp_client_next(c, &in), SMTP_CLIENT_CLOSE);
	assert_int_equal(smtp_client_output(c)->len, 0);
	smtp_client_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ehlo_offers),
		cmocka_unit_test(greeting_has_a_name),
		cmocka_unit_test(tls_that_does_not_come_about_has_a_reason),
		cmocka_unit_test(dot_stuffing),
		cmocka_unit_test(data_and_bdat_agree),
		cmocka_unit_test(lines_keep_to_their_lengths),
		cmocka_unit_test(longer_values_are_left_out),
		cmocka_unit_test(credentials_too_long),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(credentials_are_wiped),
#endif
		cmocka_unit_test(a_thousand_recipients),
		cmocka_unit_test(unsent_end_is_not_uncertain),
		cmocka_unit_test(nothing_leaves_a_session_that_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

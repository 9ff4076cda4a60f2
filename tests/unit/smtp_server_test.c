/* tests/unit/smtp_server_test.c - smtp/server.c: what dialogs cannot show: bounds, memory, questions that take long, the accessors. */
#include "smtp/server.h"
#include "freed_watch.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct smtp_server_settings settings = { .hostname = "relay.example.com", .message_size = 1000000, .recipients = 1000, .errors = 20 };

/* Until the next want that is not READ with nothing left, accepting what is asked. */
static enum smtp_server_want run(struct smtp_server *s, struct sp_str *in)
{
	for (;;) {
		enum smtp_server_want want = smtp_server_next(s, in);
		switch (want) {
		case SMTP_SERVER_MAIL:
		case SMTP_SERVER_RCPT:
		case SMTP_SERVER_BEGIN:
		case SMTP_SERVER_END:
			smtp_server_accept(s, NULL);
			break;
		case SMTP_SERVER_CONTENT:
		case SMTP_SERVER_ABANDON:
			break;
		case SMTP_SERVER_STARTTLS:
		case SMTP_SERVER_LOGIN:
		case SMTP_SERVER_XCLIENT:
		case SMTP_SERVER_READ:
		case SMTP_SERVER_CLOSE:
			return want;
		}
	}
}

static enum smtp_server_want say(struct smtp_server *s, const char *text)
{
	struct sp_str in = sp_str_of(text);
	enum smtp_server_want want = run(s, &in);
	assert_int_equal(in.len, 0);
	return want;
}

static void send_output(struct smtp_server *s)
{
	struct sp_buf *out = smtp_server_output(s);
	sp_buf_consume(out, out->len);
}

#define ENVELOPE "EHLO c\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\n"

/* Commands that the client sends without reading a reply: the engine stops, takes them up where it stopped, and answers each once. */
static void output_is_bounded(void **state)
{
	(void)state;
	static const struct { const char *label, *command, *reply; } rows[] = {
		{ "NOOP", "NOOP\r\n", "250 2.0.0 Ok\r\n" },
		{ "an empty refused chunk", "BDAT 0\r\n", "503 5.5.1 Say EHLO first\r\n" },
		{ "an unknown command", "FOO\r\n", "500 5.5.1 Unknown command\r\n" },
	};
	enum { COUNT = 100000 };
	struct smtp_server_settings patient = settings;
	patient.errors = 0;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		size_t len = strlen(rows[i].command), replies = 0, longest = 0;
		char *text = sp_alloc(COUNT * len);
		for (size_t n = 0; n < COUNT; n++)
			memcpy(text + n * len, rows[i].command, len);
		struct smtp_server *s = smtp_server_new(&patient);
		struct sp_str in = sp_str_make(text, COUNT * len);
		do {
			size_t before = in.len;
			assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_READ);
			assert_true(in.len < before);
			longest = sp_max(longest, smtp_server_output(s)->cap);
			if (in.len > 0) {                       /* full: another call without sending does nothing */
				size_t left = in.len;
				assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_READ);
				assert_int_equal(in.len, left);
			}
			replies += smtp_server_output(s)->len / strlen(rows[i].reply);
			assert_memory_equal(smtp_server_output(s)->p, rows[i].reply, strlen(rows[i].reply));
			send_output(s);
		} while (in.len > 0);
		assert_int_equal(replies, COUNT);
		assert_true(longest <= 2 * SMTP_SERVER_OUTPUT_FULL + 1);
		smtp_server_free(s);
		free(text);
	}
}

/* Recipients over the limit cost no memory: 100,000 of them, each refused. */
static void recipients_over_the_limit_cost_nothing(void **state)
{
	(void)state;
	struct smtp_server_settings few = settings;
	few.recipients = 1;
	struct smtp_server *s = smtp_server_new(&few);
	say(s, ENVELOPE);
	for (unsigned i = 0; i < 100000; i++) {
		send_output(s);
		say(s, "RCPT TO:<c@x.org>\r\n");
		assert_memory_equal(smtp_server_output(s)->p, "452 4.5.3", 9);
	}
	assert_int_equal(smtp_server_mail(s)->recipients, 1);
	smtp_server_free(s);
}

static size_t heap_in_use(void)
{
	return mallinfo2().uordblks;
}

static void an_idle_session_is_small(void **state)
{
	(void)state;
	enum { COUNT = 1000 };
	static struct smtp_server *sessions[COUNT];
	if (heap_in_use() == 0)
		skip();                                 /* a sanitizer's allocator, which does not tell */
	size_t before = heap_in_use();
	for (size_t i = 0; i < COUNT; i++) {
		struct smtp_server *s = sessions[i] = smtp_server_new(&settings);
		smtp_server_greet(s);
		char *text = sp_alloc(20000);
		int len = snprintf(text, 20000, "NOOP %04000d\r\n" ENVELOPE "DATA\r\n%04000d\r\n.\r\nNO", 1, 2);
		for (int at = 0; at < len; at += 1000) {
			struct sp_str in = sp_str_make(text + at, (size_t)(len - at < 1000 ? len - at : 1000));
			assert_int_equal(run(s, &in), SMTP_SERVER_READ);
			send_output(s);
		}
		free(text);
		struct sp_str none = SP_STR("");
		assert_int_equal(run(s, &none), SMTP_SERVER_READ);
	}
	size_t each = (heap_in_use() - before) / COUNT;
	for (size_t i = 0; i < COUNT; i++)
		smtp_server_free(sessions[i]);
	if (each > 2048)
		fail_msg("an idle session holds %zu octets", each);
}

static void content_is_lent_from_the_input(void **state)
{
	(void)state;
	struct smtp_server *s = smtp_server_new(&settings);
	say(s, ENVELOPE "DATA\r\n");
	static const char text[] = "line one\r\nline two\r\n.\r\n";
	struct sp_str in = sp_str_of(text);
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_CONTENT);
	assert_ptr_equal(smtp_server_content(s).p, text);
	assert_int_equal(smtp_server_content(s).len, 20);
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_END);
	smtp_server_accept(s, NULL);
	smtp_server_free(s);
}

static void the_accessors_follow_the_session(void **state)
{
	(void)state;
	struct smtp_server *s = smtp_server_new(&settings);
	smtp_server_greet(s);
	assert_int_equal(smtp_server_wait_s(s), 300);           /* RFC 5321 4.5.3.2.7 */
	struct sp_str in = SP_STR("EHLO c.example\r\nMAIL FROM:<a@x.org> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<b@X.org>\r\nDATA\r\nx\r\n.\r\n");
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_MAIL);
	assert_false(smtp_server_in_transaction(s));
	assert_string_equal(smtp_server_sender(s)->text, "a@x.org");
	const struct smtp_server_mail *m = smtp_server_mail(s);
	assert_true(m->size == 9 && m->eight_bit && m->esmtp);
	assert_string_equal(m->helo, "c.example");
	smtp_server_accept(s, NULL);
	assert_true(smtp_server_in_transaction(s));
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_RCPT);
	assert_string_equal(smtp_server_recipient(s)->text, "b@x.org");
	assert_string_equal(smtp_server_sender(s)->text, "a@x.org");
	smtp_server_accept(s, NULL);
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_BEGIN);
	assert_int_equal(smtp_server_mail(s)->recipients, 1);
	assert_false(smtp_server_in_content(s));
	smtp_server_accept(s, NULL);
	assert_true(smtp_server_in_content(s));
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_CONTENT);
	assert_true(smtp_server_in_content(s));
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_END);
	assert_false(smtp_server_in_content(s));                /* it is our turn: no data rate is asked for */
	assert_string_equal(smtp_server_sender(s)->text, "a@x.org");
	smtp_server_accept(s, NULL);
	assert_false(smtp_server_in_transaction(s));
	assert_int_equal(smtp_server_mail(s)->recipients, 0);
	smtp_server_free(s);
}

/* While a message is being stored nothing is read, and a dismissal waits for its reply: the client must not send it twice. */
static void a_dismissal_waits_for_the_stored_message(void **state)
{
	(void)state;
	struct smtp_server *s = smtp_server_new(&settings);
	say(s, ENVELOPE "DATA\r\n");
	struct sp_str in = SP_STR(".\r\nNOOP\r\n");
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_END);
	assert_int_equal(in.len, 6);
	send_output(s);
	smtp_server_dismiss(s, "4.3.2 Bye", true);
	smtp_server_accept(s, "250 2.0.0 Ok: queued as 1");
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_CLOSE);
	assert_string_equal(sp_buf_cstr(smtp_server_output(s)), "250 2.0.0 Ok: queued as 1\r\n421 4.3.2 Bye\r\n");
	smtp_server_free(s);
}

static void a_busy_banner_closes(void **state)
{
	(void)state;
	struct smtp_server *s = smtp_server_new(&settings);
	smtp_server_greet_refuse(s, "421 4.7.0 Too many connections");
	struct sp_str in = SP_STR("EHLO c\r\n");
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_CLOSE);
	assert_string_equal(sp_buf_cstr(smtp_server_output(s)), "421 4.7.0 Too many connections\r\n");
	smtp_server_free(s);
	smtp_server_free(NULL);
}

static void a_reply_cannot_break_its_line(void **state)
{
	(void)state;
	struct smtp_server *s = smtp_server_new(&settings);
	say(s, "EHLO c\r\n");
	struct sp_str in = SP_STR("MAIL FROM:<a@x.org>\r\n");
	assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_MAIL);
	send_output(s);
	char reply[1000] = "550 5.7.1 a\r\n250 b";
	memset(reply + 18, 'x', 900);
	smtp_server_refuse(s, reply);
	assert_int_equal(smtp_server_output(s)->len, 512);      /* RFC 5321 4.5.3.1.5 */
	assert_memory_equal(smtp_server_output(s)->p, "550 5.7.1 a??250 b", 18);
	smtp_server_free(s);
}

static void received_says_how_it_came(void **state)             /* RFC 3848, RFC 6531 4.3 */
{
	(void)state;
	static const struct { bool tls; const char *before, *mail, *with; } rows[] = {
		{ false, "HELO c\r\n", "MAIL FROM:<>\r\n", "SMTP" },
		{ false, "EHLO c\r\n", "MAIL FROM:<>\r\n", "ESMTP" },
		{ false, "EHLO c\r\n", "MAIL FROM:<> SMTPUTF8\r\n", "UTF8SMTP" },
		{ true, "EHLO c\r\n", "MAIL FROM:<>\r\n", "ESMTPS" },
		{ true, "EHLO c\r\n", "MAIL FROM:<> SMTPUTF8\r\n", "UTF8SMTPS" },
		{ true, "EHLO c\r\nAUTH PLAIN AGEAYg==\r\n", "MAIL FROM:<>\r\n", "ESMTPSA" },
		{ true, "EHLO c\r\nAUTH PLAIN AGEAYg==\r\n", "MAIL FROM:<> SMTPUTF8\r\n", "UTF8SMTPSA" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct smtp_server_settings set = settings;
		set.tls = rows[i].tls;
		set.auth = true;
		struct smtp_server *s = smtp_server_new(&set);
		if (say(s, rows[i].before) == SMTP_SERVER_LOGIN)
			smtp_server_accept(s, NULL);
		say(s, rows[i].mail);
		assert_string_equal(smtp_server_with(s), rows[i].with);
		smtp_server_free(s);
	}
}

static void a_known_client_need_not_authenticate(void **state)
{
	(void)state;
	struct smtp_server_settings set = settings;
	set.tls = set.auth = set.auth_required = true;
	struct smtp_server *s = smtp_server_new(&set);
	smtp_server_set_known(s);
	say(s, "EHLO c\r\nMAIL FROM:<a@x.org>\r\n");
	assert_true(smtp_server_in_transaction(s));
	smtp_server_free(s);
}

/* The handshake failed, or the server goes down meanwhile: nothing is said in clear to a client that waits for TLS. */
static void a_handshake_that_came_to_nothing_ends_in_silence(void **state)
{
	(void)state;
	struct smtp_server_settings set = settings;
	set.starttls = true;
	for (int dismissed = 0; dismissed < 2; dismissed++) {
		struct smtp_server *s = smtp_server_new(&set);
		assert_int_equal(say(s, "EHLO c\r\nSTARTTLS\r\n"), SMTP_SERVER_STARTTLS);
		send_output(s);
		if (dismissed)
			smtp_server_dismiss(s, "4.3.2 Bye", true);
		struct sp_str in = SP_STR("EHLO evil\r\n");
		assert_int_equal(smtp_server_next(s, &in), SMTP_SERVER_CLOSE);
		assert_int_equal(smtp_server_output(s)->len, 0);
		smtp_server_free(s);
	}
}

/* ---- passwords ---- */

#define PASSWORD "correct-horse-battery-staple"
#define PLAIN_RESPONSE "AGFwcDEAY29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ=="

#ifndef __SANITIZE_ADDRESS__
static void talk(struct smtp_server *s, const char *text, size_t piece)
{
	for (struct sp_str rest = sp_str_of(text); rest.len > 0; rest = sp_str_from(rest, sp_min(piece, rest.len))) {
		struct sp_str in = sp_str_make(rest.p, sp_min(piece, rest.len));
		if (run(s, &in) != SMTP_SERVER_LOGIN)
			continue;
		assert_int_equal(smtp_server_login(s)->password.len, strlen(PASSWORD));
		assert_memory_equal(smtp_server_login(s)->password.p, PASSWORD, strlen(PASSWORD));
		smtp_server_refuse(s, NULL);
		run(s, &in);
	}
}

/* Whatever pieces it comes in, whether it is right, wrong, malformed or in clear: memory that is given back holds no password. */
static void passwords_are_wiped(void **state)
{
	(void)state;
	static const char *const secrets[SECRETS] = { PASSWORD, &PLAIN_RESPONSE[8] };
	static const char *const texts[] = {
		"EHLO c\r\nAUTH PLAIN " PLAIN_RESPONSE "\r\nNOOP\r\n",
		"EHLO c\r\nAUTH PLAIN\r\n" PLAIN_RESPONSE "\r\nNOOP\r\n",
		"EHLO c\r\nAUTH LOGIN YXBwMQ==\r\nY29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==\r\nNOOP\r\n",
		"EHLO c\r\nAUTH PLAIN " PLAIN_RESPONSE "!\r\nNOOP\r\n",
		"EHLO c\r\nAUTH PLAIN x" PLAIN_RESPONSE " y\r\n",
		("EHLO c\r\nAUTH PLAIN\r\n" PLAIN_RESPONSE),
	};
	for (size_t i = 0; i < SP_COUNT(texts); i++) {
		for (int tls = 0; tls < 2; tls++) {
			for (size_t piece = 1; piece < 90; piece++) {
				struct smtp_server_settings set = settings;
				set.auth = true;
				set.tls = tls;
				watch_freed(secrets);
				struct smtp_server *s = smtp_server_new(&set);
				talk(s, texts[i], piece);
				smtp_server_free(s);
				unsigned left = watch_ends();
				if (left > 0)
					fail_msg("row %zu, tls %d, pieces of %zu: %u times", i, tls, piece, left);
			}
		}
	}
	watch_freed(secrets);
	free(sp_strdup(PASSWORD));
	assert_int_equal(watch_ends(), 1);              /* the watch works */
}
#endif

static void freed_at_any_point_nothing_leaks(void **state)
{
	(void)state;
	static const char text[] = ENVELOPE "DATA\r\nhello\r\n.\r\nMAIL FROM:<c@x.org>\r\nRCPT TO:<d@x.org>\r\nBDAT 6\r\nhello\r\nRSET\r\nQUIT\r\n";
	for (size_t len = 0; len < sizeof(text); len++) {
		struct smtp_server *s = smtp_server_new(&settings);
		struct sp_str in = sp_str_make(text, len);
		run(s, &in);
		smtp_server_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_is_bounded),
		cmocka_unit_test(recipients_over_the_limit_cost_nothing),
		cmocka_unit_test(an_idle_session_is_small),
		cmocka_unit_test(content_is_lent_from_the_input),
		cmocka_unit_test(the_accessors_follow_the_session),
		cmocka_unit_test(a_dismissal_waits_for_the_stored_message),
		cmocka_unit_test(a_busy_banner_closes),
		cmocka_unit_test(a_reply_cannot_break_its_line),
		cmocka_unit_test(received_says_how_it_came),
		cmocka_unit_test(a_known_client_need_not_authenticate),
		cmocka_unit_test(a_handshake_that_came_to_nothing_ends_in_silence),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(passwords_are_wiped),
#endif
		cmocka_unit_test(freed_at_any_point_nothing_leaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

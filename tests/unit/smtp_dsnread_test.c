/* tests/unit/smtp_dsnread_test.c - smtp/dsnread.c: notifications as others write them, our own, cut ones, and what is none. */
#include "smtp/dsn.h"
#include "smtp/dsnread.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEAD "From: MAILER-DAEMON@mx.example\r\nSubject: failed\r\nMIME-Version: 1.0\r\n" \
	"Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"b/1\"\r\n\r\nThis is MIME.\r\n\r\n--b/1\r\n" \
	"Content-Type: text/plain\r\n\r\nIt failed.\r\n\r\n--b/1\r\n"
#define PART "Content-Type: message/delivery-status\r\n\r\n"
#define MTA "Reporting-MTA: dns; mx.example\r\nArrival-Date: Sun, 22 Nov 2026 12:00:00 +0000\r\n\r\n"
#define TAIL "\r\n--b/1\r\nContent-Type: text/rfc822-headers\r\n\r\nFinal-Recipient: rfc822; x@x.example\r\nAction: failed\r\n\r\n--b/1--\r\n"

#define ONE(f) HEAD PART MTA f TAIL
#define FAILED "Action: failed\r\nStatus: 5.1.1\r\n"

/* What was read, as "final|original|failed or -|status|diagnostic" a recipient, "none" for a notification without any, "no" for none. */
static char *read_all(struct sp_str message)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	static struct smtp_dsnread out[SMTP_DSNREAD_MAX];
	size_t count = 99;
	struct sp_buf text;
	sp_buf_init(&text, 1 << 20);
	bool ok = smtp_dsnread(message, &arena, out, &count);
	if (!ok)
		assert_int_equal(count, 0);
	if (count == 0)
		sp_buf_adds(&text, ok ? "none" : "no");
	for (size_t i = 0; i < count; i++)
		sp_buf_printf(&text, "%s%s|%s|%s|%s|%s", i ? "\n" : "", out[i].final, out[i].original, out[i].failed ? "failed" : "-", out[i].status,
		              out[i].diagnostic);
	sp_arena_clear(&arena);
	return sp_buf_take(&text);
}

static const struct { const char *label, *message, *want; } rows[] = {         /* RFC 3464 2 */
	{ "all fields", ONE("Original-Recipient: rfc822;Ann@B.Example\r\nFinal-Recipient: RFC822; ann@mail.B.example\r\nAction: failed\r\n"
	  "Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no\r\n such user\r\n"), "ann@mail.b.example|Ann@b.example|failed|5.1.1|smtp; 550 5.1.1 no such user" },
	{ "case and comments", ONE("FINAL-RECIPIENT: rfc822 ; a@b.example\r\naction: Failed (bad address)\r\nSTATUS: 5.0.0 (permanent (really))\r\n"),
	  "a@b.example||failed|5.0.0|" },
	{ "angle brackets", ONE("Final-Recipient: rfc822; <a@b.example>\r\n" FAILED), "a@b.example||failed|5.1.1|" },
	{ "folded in front", ONE("Final-Recipient:\r\n rfc822;\r\n\ta@b.example\r\nAction:\r\n failed\r\nStatus: 5.1.1\r\n"), "a@b.example||failed|5.1.1|" },
	{ "delayed", ONE("Final-Recipient: rfc822; a@b.example\r\nAction: delayed\r\nStatus: 4.4.1\r\n"), "a@b.example||-|4.4.1|" },
	{ "delivered, with a word about failed", ONE("Final-Recipient: rfc822; a@b.example\r\nAction: delivered (not failed)\r\nStatus: 2.0.0\r\n"), "a@b.example||-|2.0.0|" },
	{ "no action", ONE("Final-Recipient: rfc822; a@b.example\r\nStatus: 5.1.1\r\n"), "a@b.example||-|5.1.1|" },
	{ "a status that is none", ONE("Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 550\r\n"), "a@b.example||failed||" },
	{ "a status of an unknown class", ONE("Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 6.1.1\r\n"), "a@b.example||failed||" },
	{ "a recipient of another kind", ONE("Final-Recipient: x400; /C=de/\r\n" FAILED), "||failed|5.1.1|" },
	{ "a recipient that is no address", ONE("Final-Recipient: rfc822; a b\r\n" FAILED), "||failed|5.1.1|" },
	{ "a recipient with a line end in quotes is none", ONE("Final-Recipient: rfc822; \"a\x01\"@b.example\r\n" FAILED), "||failed|5.1.1|" },
	{ "an address in UTF-8 (RFC 6533)", ONE("Final-Recipient: utf-8; \xc3\xa4@b.example\r\n" FAILED), "\xc3\xa4@b.example||failed|5.1.1|" },
	{ "several", ONE("Final-Recipient: rfc822; a@b.example\r\n" FAILED "\r\nFinal-Recipient: rfc822; c@d.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n"),
	  "a@b.example||failed|5.1.1|\nc@d.example||-|2.0.0|" },
	{ "empty lines more than needed", HEAD PART "\r\n\r\n" MTA "\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\n" FAILED "\r\n\r\n\r\n" TAIL,
	  "a@b.example||failed|5.1.1|" },
	{ "the diagnostic is made printable", ONE("Final-Recipient: rfc822; a@b.example\r\n" FAILED "Diagnostic-Code: smtp; \x1b[31m\xff\r\n"),
	  "a@b.example||failed|5.1.1|smtp; ?[31m?" },
	{ "no recipients", HEAD PART MTA TAIL, "none" },
	{ "the fields of the message are no recipient", HEAD PART "Final-Recipient: rfc822; a@b.example\r\n" FAILED TAIL, "none" },
	{ "bare line feeds", "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n" "Content-Type: message/delivery-status\n\n"
	  "Reporting-MTA: dns; m\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n--x--\n", "a@b.example||failed|5.1.1|" },
	{ "a boundary without quotes, blanks behind it", "content-TYPE: Multipart/Report (c) ; Boundary=x1 ; Report-Type=\"Delivery-Status\"\r\n\r\n--x1 \t\r\n" PART MTA
	  "Final-Recipient: rfc822; a@b.example\r\n" FAILED "\r\n--x1--\r\n", "a@b.example||failed|5.1.1|" },
	{ "a boundary that begins like another", "Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--xy\r\n" PART MTA
	  "Final-Recipient: rfc822; no@b.example\r\n" FAILED "\r\n--x\r\n" PART MTA "Final-Recipient: rfc822; a@b.example\r\n" FAILED "\r\n--x--\r\n", "a@b.example||failed|5.1.1|" },
	{ "the end of the part is missing: the last recipient may be cut", HEAD PART MTA "Final-Recipient: rfc822; a@b.example\r\n" FAILED "\r\n"
	  "Final-Recipient: rfc822; c@d.example\r\n" FAILED, "a@b.example||failed|5.1.1|" },
	{ "cut in a recipient", HEAD PART MTA "Final-Recipient: rfc822; a@b.example.n", "none" },
	{ "cut before the status", HEAD, "no" },
	{ "no status part", HEAD "Content-Type: text/plain\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\n" FAILED TAIL, "no" },
	{ "the status is in a message inside", HEAD "Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n"
	  "--x\r\n" PART MTA "Final-Recipient: rfc822; a@b.example\r\n" FAILED "\r\n--x--\r\n" TAIL, "no" },
	{ "behind the end", HEAD "\r\n--b/1--\r\n--b/1\r\n" PART MTA "Final-Recipient: rfc822; a@b.example\r\n" FAILED TAIL, "no" },
	{ "another report", "Content-Type: multipart/report; report-type=disposition-notification; boundary=x\r\n\r\n--x\r\n" PART MTA
	  "Final-Recipient: rfc822; a@b.example\r\n" FAILED "\r\n--x--\r\n", "no" },
	{ "a TLS report", "Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=x\r\n\r\n--x\r\n" PART MTA FAILED "\r\n--x--\r\n", "no" },
	{ "multipart/mixed", "Content-Type: multipart/mixed; report-type=delivery-status; boundary=x\r\n\r\n--x\r\n" PART MTA FAILED "\r\n--x--\r\n", "no" },
	{ "no boundary", "Content-Type: multipart/report; report-type=delivery-status\r\n\r\n--\r\n" PART MTA FAILED "\r\n----\r\n", "no" },
	{ "an empty boundary", "Content-Type: multipart/report; report-type=delivery-status; boundary=\"\"\r\n\r\n--\r\n" PART MTA FAILED "\r\n----\r\n", "no" },
	{ "a header and no more", "Content-Type: multipart/report; report-type=delivery-status; boundary=x", "no" },
	{ "a quote left open", "Content-Type: multipart/report; report-type=delivery-status; boundary=\"x\r\n\r\n--x\r\n" PART MTA FAILED, "no" },
	{ "a comment left open", "Content-Type: multipart/report (; boundary=x; report-type=delivery-status\r\n\r\n--x\r\n" PART MTA FAILED, "no" },
	{ "plain text", "Subject: x\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\nAction: failed\r\n", "no" },
	{ "nothing", "", "no" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char *got = read_all(sp_str_of(rows[i].message));
		print_message("%s: want %s, got %s\n", rows[i].label, rows[i].want, got);
		assert_string_equal(got, rows[i].want);
		free(got);
	}
}

/* What smtp/dsn.h writes is read. */
static void test_our_own(void **state)
{
	(void)state;
	struct sp_fail gone = { .kind = SP_FAIL_REPLY, .code = 550, .esc = "5.1.1", .permanent = true, .text = "550 5.1.1 no such user" };
	struct smtp_dsn_recipient recipients[] = { { .address = "a@b.example", .remote_mta = "mx.b.example", .fail = &gone }, { .address = "c@d.example", .fail = &gone } };
	struct smtp_dsn d = { .action = SMTP_DSN_FAILED, .hostname = "relay.example", .id = "X", .original_id = "Y", .sender = "s@s.example", .arrived_s = 1, .now_s = 2,
	                      .recipients = recipients, .count = 2, .original_header = SP_STR("Subject: x\r\n") };
	struct sp_buf text;
	sp_buf_init(&text, 1 << 20);
	smtp_dsn_write(&d, &text);
	char *got = read_all(sp_buf_str(&text));
	print_message("got %s\n", got);
	assert_int_equal(strncmp(got, "a@b.example||failed|5.1.1|", 26), 0);
	assert_non_null(strstr(got, "; 550 5.1.1 no such user\nc@d.example||failed|5.1.1|"));
	free(got);
	d.action = SMTP_DSN_DELAYED;
	sp_buf_reset(&text);
	smtp_dsn_write(&d, &text);
	got = read_all(sp_buf_str(&text));
	assert_null(strstr(got, "failed"));
	assert_int_equal(strncmp(got, "a@b.example||-|4.1.1|", 21), 0);
	free(got);
	sp_buf_clear(&text);
}

static void test_without_end(void **state)
{
	(void)state;
	struct sp_buf text;
	sp_buf_init(&text, 1 << 24);
	sp_buf_adds(&text, HEAD PART MTA);
	for (unsigned i = 0; i < 10000; i++)
		sp_buf_printf(&text, "Final-Recipient: rfc822; u%u@b.example\r\nDiagnostic-Code: %0300u\r\n" FAILED "\r\n", i, i);
	sp_buf_adds(&text, TAIL);
	char *got = read_all(sp_buf_str(&text));
	unsigned lines = 1;
	for (const char *p = got; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, SMTP_DSNREAD_MAX);
	assert_non_null(strstr(got, "u99@b.example||failed|5.1.1|0000"));
	free(got);
	sp_buf_clear(&text);
}

/* A sender must not make much memory out of little text. (A sanitizer's allocator tells of none.) */
static void test_many_parameters_take_little_memory(void **state)
{
	(void)state;
	static struct smtp_dsnread out[SMTP_DSNREAD_MAX];
	struct sp_buf text;
	sp_buf_init(&text, 1 << 20);
	sp_buf_adds(&text, "Content-Type: multipart/report");
	for (unsigned i = 0; i < 13000; i++)
		sp_buf_adds(&text, ";a=\"\"");
	sp_buf_adds(&text, "; report-type=\"delivery\\-status\"; boundary=\"b\"\r\n\r\n--b\r\n" PART MTA "Final-Recipient: rfc822; a@b.example\r\n" FAILED "\r\n--b--\r\n");
	struct sp_arena arena = SP_ARENA_EMPTY;
	size_t count = 0;
	struct mallinfo2 before = mallinfo2();
	assert_true(smtp_dsnread(sp_buf_str(&text), &arena, out, &count));
	struct mallinfo2 after = mallinfo2();
	size_t octets = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
	print_message("%zu octets for %zu\n", octets, text.len);
	assert_int_equal(count, 1);
	assert_true(octets < 16 * text.len);
	sp_arena_clear(&arena);
	sp_buf_clear(&text);
}

/* At every octet: never more than the whole has, and nothing that is not in it. */
static void test_cut_anywhere(void **state)
{
	(void)state;
	static const char whole[] = ONE("Final-Recipient: rfc822; a@b.example.net\r\nAction: failed\r\nStatus: 5.1.10\r\nDiagnostic-Code: smtp; 550 5.1.1 no\r\n");
	static const char want[] = "a@b.example.net||failed|5.1.10|smtp; 550 5.1.1 no";
	for (size_t len = 0; len < sizeof(whole); len++) {
		char *cut = sp_strndup(whole, len);             /* of its own, so that a sanitizer sees a step too far */
		char *got = read_all(sp_str_make(cut, len));
		if (strcmp(got, "no") != 0 && strcmp(got, "none") != 0 && strcmp(got, want) != 0)
			fail_msg("cut at %zu: %s", len, got);
		free(got);
		free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_our_own),
		cmocka_unit_test(test_without_end),
		cmocka_unit_test(test_many_parameters_take_little_memory),
		cmocka_unit_test(test_cut_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

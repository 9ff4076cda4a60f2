/* tests/unit/smtp_header_test.c - smtp/header.c: where a header section ends, what is in it, and what we add. */
#include "smtp/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
	const char *label, *header, *rest;      /* `rest`: the empty line and the body, or the body alone */
	bool separated;
	unsigned received;
	const char *has;                        /* "d" Date, "m" Message-ID, "f" From */
} sections[] = {
	{ "plain", "From: a@x\r\nDate: now\r\nMessage-ID: <1@x>\r\n", "\r\nFrom: body\r\nReceived: body\r\n", true, 0, "dmf" },
	{ "names know no case", "FROM: a\r\ndAtE: b\r\nmessage-id:c\r\nrECEIVED: d\r\n", "\r\n", true, 1, "dmf" },
	{ "folded lines are no fields", "Subject: a\r\n Date: b\r\n\tReceived: c\r\n", "\r\nx", true, 0, "" },
	{ "blanks before the colon, RFC 5322 4.5", "Date \t: x\r\n", "\r\n", true, 0, "d" },
	{ "names that only begin alike", "Dated: x\r\nX-From: y\r\nReceived-SPF: z\r\nResent-Date: q\r\n", "\r\n", true, 0, "" },
	{ "a name over the buffer", "X-Very-Long-Field-Name-Indeed: x\r\nFrom: a\r\n", "\r\n", true, 0, "f" },
	{ "three hops", "Received: a\r\nReceived: b\r\n\tid c\r\nReceived:\r\n", "\r\n", true, 3, "" },
	{ "an empty header", "", "\r\nbody\r\n", true, 0, "" },
	{ "an empty message", "", "", false, 0, "" },
	{ "no body, no empty line", "From: a\r\n", "", false, 0, "f" },
	{ "cut in a value", "From: a\r\nDate: b", "", false, 0, "df" },
	{ "cut in a name", "From: a\r\n", "Dat", false, 0, "f" },
	{ "cut behind CR", "From: a\r\n", "\r", false, 0, "f" },
	{ "no header at all", "", "Hello, world: text\r\nFrom: no\r\n", false, 0, "" },
	{ "text without colon", "", "Hello\r\nFrom: no\r\n\r\n", false, 0, "" },
	{ "a continuation of nothing", "", " Date: x\r\n\r\n", false, 0, "" },
	{ "a line that is no field ends it", "From: a\r\n", "Hi there\r\nDate: b\r\n\r\n", false, 0, "f" },
	{ "an mbox line in front", "", "From me@x Mon Jan 1\r\nDate: b\r\n\r\n", false, 0, "" },
	{ "a name is not empty", "From: a\r\n", ": x\r\n\r\n", false, 0, "f" },
	{ "8 bits in a name", "From: a\r\n", "D\xc3\xa4te: x\r\n\r\n", false, 0, "f" },
	{ "CR without LF", "From: a\r\n", "\rDate: x\r\n", false, 0, "f" },
	{ "bare LF lines", "From: a\nDate: b\n", "\nx", true, 0, "df" },
	{ "8 bits in a value", "From: \xc3\xa4\r\n", "\r\n", true, 0, "f" },
};

static struct smtp_header_scan scan(struct sp_str message, size_t piece)
{
	struct smtp_header_scan h;
	smtp_header_scan_init(&h);
	while (message.len > 0) {
		struct sp_str part = sp_str_make(message.p, sp_min(piece, message.len));
		size_t before = h.len, took = smtp_header_scan_feed(&h, part);
		assert_true(took <= part.len);
		assert_true(h.done || took == part.len);
		assert_true(h.len <= before + took);
		message = sp_str_from(message, part.len);
	}
	smtp_header_scan_finish(&h);
	return h;
}

static void section_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(sections); i++) {
		char message[512], has[4] = "";
		size_t len = (size_t)snprintf(message, sizeof(message), "%s%s", sections[i].header, sections[i].rest);
		for (size_t piece = 1; piece <= len + 1; piece++) {
			struct smtp_header_scan h = scan(sp_str_make(message, len), piece);
			snprintf(has, sizeof(has), "%s%s%s", h.has_date ? "d" : "", h.has_message_id ? "m" : "", h.has_from ? "f" : "");
			if (!h.done || h.len != strlen(sections[i].header) || h.separated != sections[i].separated ||
			    h.received != sections[i].received || strcmp(has, sections[i].has) != 0)
				fail_msg("%s, pieces of %zu: len %zu, separated %d, received %u, has %s", sections[i].label, piece, h.len,
				         h.separated, h.received, has);
		}
	}
}

static const struct {
	const char *label, *header;
	bool tls_optional, eight_bit, broken;
} flags[] = {
	{ "nothing of it", "Subject: TLS-Required: No\r\n\r\nTLS-Required: No\r\n", false, false, false },
	{ "TLS-Required: No, RFC 8689 3", "TLS-Required: No\r\n\r\n", true, false, false },
	{ "no case, blanks", "tls-required : \t nO \r\n\r\n", true, false, false },
	{ "folded", "TLS-Required:\r\n No\r\n \r\nA: b\r\n\r\n", true, false, false },
	{ "the last field", "A: b\r\nTLS-Required:No", true, false, false },
	{ "Yes is no value", "TLS-Required: Yes\r\n\r\n", false, false, false },
	{ "more than No", "TLS-Required: No way\r\n\r\n", false, false, false },
	{ "more than No, folded", "TLS-Required: No\r\n w\r\n\r\n", false, false, false },
	{ "Not", "TLS-Required: Not\r\n\r\n", false, false, false },
	{ "in two pieces", "TLS-Required: N o\r\n\r\n", false, false, false },
	{ "half of it", "TLS-Required: N\r\n\r\n", false, false, false },
	{ "empty", "TLS-Required:\r\n\r\n", false, false, false },
	{ "twice", "TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false, false, false },
	{ "and a contradiction", "TLS-Required: No\r\nTLS-Required: x\r\n\r\n", false, false, false },
	{ "No of another field", "TLS-Required: \r\nX: No\r\n\r\n", false, false, false },
	{ "8 bits", "Subject: \xc3\xb6\r\n\r\n", false, true, false },
	{ "8 bits of the body", "Subject: o\r\n\r\n\xc3\xb6", false, false, false },
	{ "a bare LF", "A: b\nC: d\r\n\r\n", false, false, true },
	{ "a bare LF for the empty line", "A: b\r\n\nx", false, false, true },
	{ "a bare CR", "A: b\rc\r\n\r\n", false, false, true },
	{ "two CR", "A: b\r\r\n\r\n", false, false, true },
	{ "a CR at the end", "A: b\r", false, false, true },
	{ "a bare LF of the body", "A: b\r\n\r\nx\ny", false, false, false },
};

static void flag_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(flags); i++) {
		struct sp_str message = sp_str_of(flags[i].header);
		for (size_t piece = 1; piece <= message.len + 1; piece++) {
			struct smtp_header_scan h = scan(message, piece);
			if (h.tls_optional != flags[i].tls_optional || h.eight_bit != flags[i].eight_bit || h.broken != flags[i].broken)
				fail_msg("%s, pieces of %zu: tls_optional %d, eight_bit %d, broken %d", flags[i].label, piece, h.tls_optional,
				         h.eight_bit, h.broken);
		}
	}
	struct smtp_header_scan h = scan(SP_STR("A: b\0\r\n\r\n"), 100);
	assert_true(h.broken);
}

static void a_section_over_the_limit_is_told(void **state)
{
	(void)state;
	struct smtp_header_scan h;
	smtp_header_scan_init(&h);
	static char line[1000];
	memset(line, 'x', sizeof(line));
	memcpy(line, "X: ", 3);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	size_t fed = 0;
	while (fed + sizeof(line) <= SMTP_HEADER_MAX) {
		fed += smtp_header_scan_feed(&h, sp_str_make(line, sizeof(line)));
		assert_false(h.too_long);
	}
	smtp_header_scan_feed(&h, sp_str_make(line, sizeof(line)));
	assert_true(h.too_long);
	assert_false(h.done);
}

static void nothing_is_taken_behind_the_end(void **state)
{
	(void)state;
	struct smtp_header_scan h;
	smtp_header_scan_init(&h);
	assert_int_equal(smtp_header_scan_feed(&h, SP_STR("A: b\r\n\r\nDate: x\r\n")), 6);
	assert_int_equal(smtp_header_scan_feed(&h, SP_STR("Date: x\r\n")), 0);
	assert_int_equal(h.len, 6);
	assert_false(h.has_date);
}

static void received_is_folded(void **state)            /* RFC 5321 4.4 */
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, 4096);
	struct smtp_received r = { "client.example", "[192.0.2.1]", "relay.example.com", "ESMTP", "0X3K9", "bob@x.org", 0, 0 };
	smtp_add_received(&out, &r);
	assert_string_equal(sp_buf_cstr(&out),
	                    "Received: from client.example ([192.0.2.1])\r\n\tby relay.example.com with ESMTP id 0X3K9\r\n"
	                    "\tfor <bob@x.org>;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n");
	sp_buf_reset(&out);
	r.recipient = "j\xc3\xb6rg@x.org";                      /* RFC 6531 3.7.3 */
	smtp_add_received(&out, &r);
	assert_null(strstr(sp_buf_cstr(&out), "for <"));
	sp_buf_reset(&out);
	r.with = "UTF8SMTPS";
	smtp_add_received(&out, &r);
	assert_non_null(strstr(sp_buf_cstr(&out), "with UTF8SMTPS id 0X3K9\r\n\tfor <j\xc3\xb6rg@x.org>;"));
	sp_buf_reset(&out);
	r.recipient = NULL;
	smtp_add_received(&out, &r);
	assert_null(strstr(sp_buf_cstr(&out), "for <"));
	assert_non_null(strstr(sp_buf_cstr(&out), "id 0X3K9;\r\n\tThu,"));
	sp_buf_reset(&out);
	r.priority = -3;                                        /* RFC 6710 4.1 (2) */
	smtp_add_received(&out, &r);
	assert_non_null(strstr(sp_buf_cstr(&out), "id 0X3K9\r\n\tPRIORITY -3;\r\n\tThu,"));
	sp_buf_clear(&out);
}

static void a_helo_cannot_break_out_of_received(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, 4096);
	struct smtp_received r = { "a(b)\r\nX: \"y\";\x80z", "local", "relay", "SMTP", "1", NULL, 0, 0 };
	smtp_add_received(&out, &r);
	assert_non_null(strstr(sp_buf_cstr(&out), "from a?b???X:??y???z (local)\r\n"));
	sp_buf_reset(&out);
	r.helo = "";
	smtp_add_received(&out, &r);
	assert_non_null(strstr(sp_buf_cstr(&out), "from unknown (local)"));
	sp_buf_reset(&out);
	char helo[601] = "";
	memset(helo, 'h', 600);
	r.helo = helo;
	smtp_add_received(&out, &r);
	assert_true(strcspn(sp_buf_cstr(&out), "\r") < 300);
	sp_buf_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(section_rows),
		cmocka_unit_test(flag_rows),
		cmocka_unit_test(a_section_over_the_limit_is_told),
		cmocka_unit_test(nothing_is_taken_behind_the_end),
		cmocka_unit_test(received_is_folded),
		cmocka_unit_test(a_helo_cannot_break_out_of_received),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

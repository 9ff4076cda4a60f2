/* tests/unit/rpt_read_test.c - rpt/unwrap.c, rpt/mime.c, rpt/read.c, rpt/read_print.c: reports as senders wrap and write them. */
#include "rpt/read.h"

#include "core/base64.h"
#include "core/gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sp_arena arena;

static int teardown(void **state)
{
	(void)state;
	sp_arena_clear(&arena);
	return 0;
}

/* ---- finding it ---- */

#define SMALL "{\"report-id\":\"r1\",\"policies\":[]}"

/* What stands for the document in a row: its JSON, gzip, or base64 of either. */
static const char *gz(const char *json, size_t *len)
{
	struct sp_buf out;
	sp_buf_init(&out, 1 << 20);
	struct core_gzip *g = core_gzip_new(&out);
	core_gzip_add(g, sp_str_of(json));
	core_gzip_finish(g);
	*len = out.len;
	const char *copy = sp_arena_dup(&arena, sp_buf_str(&out));
	sp_buf_clear(&out);
	return copy;
}

static const char *b64(struct sp_str s)
{
	struct sp_buf out;
	sp_buf_init(&out, 1 << 20);
	sp_base64_add(&out, s, 76);
	const char *copy = sp_arena_dup(&arena, sp_buf_str(&out));
	sp_buf_clear(&out);
	return copy;
}

/* `template` with %G (base64 of gzip), %B (base64 of JSON), %J (JSON), %Z (a zip's first octets) filled in; `crlf`: line ends. */
static struct sp_str fill(const char *template, bool crlf)
{
	struct sp_buf out;
	size_t len;
	const char *packed = gz(SMALL, &len);
	sp_buf_init(&out, 1 << 20);
	for (const char *c = template; *c; c++) {
		if (*c == '\n' && crlf)
			sp_buf_addc(&out, '\r');
		if (*c != '%' || *++c == '%')
			sp_buf_addc(&out, *c);
		else if (*c == 'G')
			sp_buf_adds(&out, b64(sp_str_make(packed, len)));
		else if (*c == 'B')
			sp_buf_adds(&out, b64(SP_STR(SMALL)));
		else if (*c == 'Z')
			sp_buf_adds(&out, b64(sp_str_make("PK\x03\x04zip", 7)));
		else
			sp_buf_adds(&out, SMALL);
	}
	struct sp_str s = sp_str_make(sp_arena_dup(&arena, sp_buf_str(&out)), out.len);
	sp_buf_clear(&out);
	return s;
}

#define TOP "From: a@s.example\nTLS-Report-Domain: d.example\nMIME-Version: 1.0\n"
#define REPORT TOP "Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"b b\"\n\npreamble\n--b b\n\nHello: people\n--b b\n"
#define END "\n--b b--\nepilogue {\n"

static const struct { const char *label, *file; unsigned want; const char *why; } wraps[] = {
	{ "JSON", "%J", 1, NULL },
	{ "JSON behind a byte order mark", "\xef\xbb\xbf%J", 1, NULL },
	{ "JSON behind empty lines", "\n \n%J\n", 1, NULL },
	{ "base64 of gzip, pasted", "%G", 1, NULL },
	{ "RFC 8460 5.3: the mail", REPORT "Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n%G" END, 1, NULL },
	{ "JSON in it, not encoded", REPORT "Content-Type: application/tlsrpt+json\n\n%J" END, 1, NULL },
	{ "JSON in it, base64", REPORT "Content-Type: application/tlsrpt+json\nContent-Transfer-Encoding: BASE64\n\n%B" END, 1, NULL },
	{ "quoted-printable", REPORT "Content-Type: application/tlsrpt+json\nContent-Transfer-Encoding: quoted-printable\n\n"
	                             "{\"report-id\"=3A=\n \"r1\", =22policies\":[]}   " END, 1, NULL },
	{ "the type lies: octet-stream", REPORT "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n%G" END, 1, NULL },
	{ "the type lies: gzip that is JSON", REPORT "Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n%B" END, 1, NULL },
	{ "the type lies: text/plain", REPORT "Content-Type: text/plain; name=x.txt\n\n%J" END, 1, NULL },
	{ "no end of the last part", REPORT "Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n%G", 1, NULL },
	{ "blanks behind the boundary", TOP "Content-Type: multipart/report; boundary=b\n\n--b \nContent-Type: a/b\n\n%J\n--b-- \n", 1, NULL },
	{ "comments and case in the type", TOP "CONTENT-TYPE : Multipart/Report (a; \"b\"); (c) Boundary=b\n\n--b\nContent-Type: a/b\n\n%J\n--b--\n", 1, NULL },
	{ "a boundary that begins as another", TOP "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed;\n boundary=bb\n\n"
	  "--bb\n\nx\n--bb\nContent-Type: a/b\n\n%J\n--bb--\n--b--\n", 1, NULL },
	{ "a mail that is nothing else", TOP "Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n%G", 1, NULL },
	{ "a mailbox line in front", "From a@s.example Sun Nov 22 00:00:00 2026\n" TOP "Content-Type: application/tlsrpt+json\n\n%J", 1, NULL },
	{ "forwarded as an attachment", "Subject: Fwd\nContent-Type: multipart/mixed; boundary=f\n\n--f\n\nsee\n--f\nContent-Type: message/rfc822\n\n"
	  REPORT "Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n%G" END "\n--f--\n", 1, NULL },
	{ "forwarded as octets", "Subject: Fwd\nContent-Type: multipart/mixed; boundary=f\n\n--f\nContent-Type: application/octet-stream; name=a.eml\n\n"
	  REPORT "Content-Type: a/b\n\n%J" END "\n--f--\n", 1, NULL },
	{ "forwarded forwarded", "Subject: Fwd\nContent-Type: message/rfc822\n\nSubject: Fwd\nContent-Type: message/rfc822\n\n" REPORT "\n%J" END, 1, NULL },
	{ "a mailbox", "From a@s.example Sun Nov 22 00:00:00 2026\n" REPORT "\n%J" END "\n>From here\nFrom here\n\nFrom b@s.example Sun Nov 22 00:00:00 2026\n"
	  TOP "Content-Type: a/b\n\n%J\n\nFrom c Sun Nov 22 00:00:00 2026\n" TOP "\nhello\n", 2, NULL },
	{ "two in one mail", "Subject: x\nContent-Type: multipart/mixed; boundary=f\n\n--f\nContent-Type: a/b\n\n%J\n--f\nContent-Type: a/b\n\n%J\n--f--", 2, NULL },
	{ "a list's footer behind base64", TOP "Content-Type: a/b\nContent-Transfer-Encoding: base64\n\n%G\n", 1, NULL },
	{ "JSON of another kind beside it", REPORT "Content-Type: application/json\n\n{\"a\":1}\n--b b\nContent-Type: a/b\n\n%J" END, 1, NULL },

	{ "nothing", "", 0, "it is empty" },
	{ "blanks", " \n", 0, "it is empty" },
	{ "text", "hello\n", 0, "neither JSON, nor gzip, nor a mail" },
	{ "JSON, broken", "{\"a\":\n x}", 0, "line 2, column 2: not JSON" },
	{ "JSON, cut", "{\"report-id\":", 0, "not JSON" },
	{ "two documents", "{}{}", 0, "not JSON" },
	{ "a count that is none", "{\"a\":99999999999999999999}", 0, "line 1, column 25: a number that is larger" },
	{ "a NUL", "{\"a\":\"\\u0000\"}", 0, "U+0000 in a string, which is not read" },
	{ "a report that is broken behind one that is not", REPORT "Content-Type: a/b\n\n%J\n--b b\nContent-Type: application/tlsrpt+json\n\n{\"x" END, 1, "not JSON" },
	{ "a zip archive", "PK\x03\x04...", 0, "zip archive" },
	{ "a zip archive in a mail", REPORT "Content-Type: application/zip; name=\"r.zip\"\nContent-Transfer-Encoding: base64\n\n%Z" END, 0, "r.zip: this is a zip archive" },
	{ "UTF-16", "\xff\xfe{", 0, "UTF-16" },
	{ "gzip that is none", "\x1f\x8bxxxxxxxxxxxxxxxxxxx", 0, "cannot be unpacked" },
	{ "a mail without a report", TOP "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\nContent-Type: image/png\n\nx\n--b--\n", 0, "it has text/plain, image/png" },
	{ "a mail of people", TOP "\nhello\n", 0, "it has text/plain" },
	{ "a mail without a boundary", TOP "Content-Type: multipart/report\n\n--b\n\n%J\n--b--\n", 0, "does not tell its boundary" },
	{ "an empty part", REPORT "Content-Type: application/tlsrpt+gzip\n\n" END, 0, "application/tlsrpt+gzip holds nothing" },
	{ "a part of something else", REPORT "Content-Type: application/tlsrpt+gzip\n\nnothing of it" END, 0, "neither gzip nor JSON" },
	{ "only JSON of another kind", REPORT "Content-Type: application/json\n\n{\"a\":1}" END, 0, "no TLS report" },
};

static void count_document(void *arg, const json_t *document, const struct rpt_carrier *carrier)
{
	unsigned *count = arg;
	assert_non_null(carrier);
	assert_string_equal(json_string_value(json_object_get(document, "report-id")), "r1");
	(*count)++;
}

static void expect_wrap(const char *label, struct sp_str file, unsigned want, const char *want_why)
{
	struct sp_buf why;
	unsigned seen = 0;
	sp_buf_init(&why, 4096);
	unsigned got = rpt_unwrap_each(file, count_document, &seen, &why);
	if (got != want || seen != want || (want_why ? strstr(sp_buf_cstr(&why), want_why) == NULL : why.len > 0))
		fail_msg("%s: want %u %s, got %u, %u: %s", label, want, want_why ? want_why : "", got, seen, sp_buf_cstr(&why));
	sp_buf_clear(&why);
}

static void test_wraps(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(wraps); i++)
		for (int crlf = 0; crlf < 2; crlf++)
			expect_wrap(wraps[i].label, fill(wraps[i].file, crlf), wraps[i].want, wraps[i].why);
}

static void test_gzip(void **state)
{
	(void)state;
	size_t len;
	const char *packed = gz(SMALL, &len);
	expect_wrap("gzip", sp_str_make(packed, len), 1, NULL);
	expect_wrap("gzip, cut", sp_str_make(packed, len - 4), 0, "cannot be unpacked");
}

static void test_gzip_in_quoted_printable_has_no_octet_behind_it(void **state)
{
	(void)state;
	size_t len;
	const char *packed = gz(SMALL, &len);
	struct sp_buf mail;
	sp_buf_init(&mail, 1 << 16);
	sp_buf_adds(&mail, REPORT "Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: quoted-printable\n\n");
	for (size_t i = 0; i < len; i++)
		sp_buf_printf(&mail, "=%02X%s", (unsigned char)packed[i], i % 20 == 19 ? "=\r\n" : "");
	sp_buf_adds(&mail, END);
	expect_wrap("quoted-printable", sp_buf_str(&mail), 1, NULL);
	sp_buf_clear(&mail);
}

static void test_base64_that_is_cut_is_not_called_too_large(void **state)
{
	(void)state;
	size_t len;
	const char *packed = gz(SMALL, &len), *text = b64(sp_str_make(packed, len));
	for (size_t cut = 20; cut < 40; cut++)          /* some leave bits over that are not zero */
		expect_wrap("cut", sp_str_of(sp_arena_printf(&arena, TOP "Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n\n%.*s",
		                                             (int)cut, text)), 0, "cut short");
}

/* ---- what is too much ---- */

static void test_a_bomb_of_gzip_does_not_fill_the_memory(void **state)
{
	(void)state;
	struct sp_buf out;
	static char zeros[1 << 20];
	memset(zeros, ' ', sizeof(zeros));
	sp_buf_init(&out, 1 << 20);
	struct core_gzip *g = core_gzip_new(&out);
	for (int i = 0; i < 65; i++)
		core_gzip_add(g, sp_str_make(zeros, sizeof(zeros)));
	core_gzip_finish(g);
	expect_wrap("65 MiB", sp_buf_str(&out), 0, "cannot be unpacked");
	sp_buf_clear(&out);
}

static void test_values_are_bounded(void **state)
{
	(void)state;
	struct sp_buf s;
	sp_buf_init(&s, 1 << 23);
	sp_buf_adds(&s, "[0");
	for (int i = 0; i < 1100000; i++)
		sp_buf_adds(&s, ",[]");
	sp_buf_adds(&s, "]");
	expect_wrap("a million arrays", sp_buf_str(&s), 0, "more values than are read");
	sp_buf_clear(&s);
}

static void test_each_mail_of_a_mailbox_has_parts_of_its_own(void **state)
{
	(void)state;
	struct sp_buf s;
	sp_buf_init(&s, 1 << 20);
	for (int i = 0; i < 300; i++)
		sp_buf_adds(&s, "From a@s.example Sun Nov 22 00:00:00 2026\n" REPORT "\n" SMALL END "\n");
	expect_wrap("300 mails", sp_buf_str(&s), 300, NULL);
	sp_buf_clear(&s);
}

static void test_parts_and_depth_are_bounded(void **state)
{
	(void)state;
	struct sp_buf s;
	sp_buf_init(&s, 1 << 20);
	sp_buf_adds(&s, TOP "Content-Type: multipart/mixed; boundary=b\n\n");
	for (int i = 0; i < 300; i++)
		sp_buf_adds(&s, "--b\n\nx\n");
	sp_buf_adds(&s, "--b\nContent-Type: a/b\n\n" SMALL "\n--b--\n");
	expect_wrap("300 parts", sp_buf_str(&s), 0, "it has text/plain");
	sp_buf_reset(&s);
	for (int i = 0; i < 50; i++)
		sp_buf_adds(&s, "Subject: x\nContent-Type: message/rfc822\n\n");
	sp_buf_adds(&s, REPORT "\n" SMALL END);
	expect_wrap("50 deep", sp_buf_str(&s), 0, "parts in parts");
	sp_buf_clear(&s);
}

/* ---- the mail around it ---- */

static void check_carrier(void *arg, const json_t *document SP_UNUSED, const struct rpt_carrier *c)
{
	*(bool *)arg = true;
	assert_true(c->mail && c->gzip);
	assert_string_equal(c->type, "multipart/report");
	assert_string_equal(c->report_type, "tlsrpt");
	assert_string_equal(c->domain, "d.example");
	assert_string_equal(c->submitter, "s.example");
	assert_string_equal(c->subject, "Report Domain: d.example  Submitter: s.example");
	assert_string_equal(c->part_type, "application/tlsrpt+gzip");
	assert_string_equal(c->file_name, "s.example!d.example!1!2.json.gz");
	assert_int_equal(c->signature_count, 2);
	assert_string_equal(c->signatures[0].domain, "s.example");
	assert_string_equal(c->signatures[0].fields, "From:TLS-Report-Domain");
	assert_true(!c->signatures[0].partial && c->signatures[1].partial);
}

static void test_carrier_is_of_the_innermost_mail(void **state)
{
	(void)state;
	static const char file[] =
		"Subject: Fwd\nTLS-Report-Domain: other.example\nDKIM-Signature: d=other.example\nContent-Type: multipart/mixed; boundary=f\n\n--f\n"
		"Content-Type: message/rfc822\n\n"
		"DKIM-Signature: v=1; d=s.example; h=From:\n\tTLS-Report-Domain ; b=x\nDKIM-Signature: l=5; d=x\n"
		"Subject: Report Domain: d.example\n  Submitter: s.example\nTLS-Report-Domain: d.example\nTLS-Report-Submitter:\n s.example\n"
		"Content-Type: Multipart/Report; report-type=tlsrpt; boundary=\"b\"\n\n--b\n"
		"Content-Type: application/tlsrpt+gzip\nContent-Transfer-Encoding: base64\n"
		"Content-Disposition: attachment; filename*0=\"s.example!d.ex\";\n filename*1*=ample%%211!2.json.gz\n\n%G\n--b--\n\n--f--\n";
	bool seen = false;
	struct sp_buf why;
	sp_buf_init(&why, 4096);
	assert_int_equal(rpt_unwrap_each(fill(file, true), check_carrier, &seen, &why), 1);
	assert_true(seen);
	sp_buf_clear(&why);
}

/* ---- reading ---- */

static struct rpt_read_report read_text(const char *json)
{
	struct rpt_read_report r = { 0 };
	struct sp_buf why;
	sp_buf_init(&why, 4096);
	json_t *document = rpt_unwrap(sp_str_of(json), &why);
	if (document == NULL || !rpt_read(document, &arena, &r, &why))
		fail_msg("%s: %s", json, sp_buf_cstr(&why));
	json_decref(document);
	sp_buf_clear(&why);
	return r;
}

/* As large senders write them: {what they send, what is understood}. Times and names are ours. */
#define HEAD "\"organization-name\":\"O\",\"date-range\":{\"start-datetime\":\"2026-11-21T00:00:00Z\",\"end-datetime\":\"2026-11-21T23:59:59Z\"},"
#define IDS "\"contact-info\":\"c@o.example\",\"report-id\":\"i\","
#define OUT_HEAD "{\"organization-name\": \"O\", \"date-range\": {\"start-datetime\": \"2026-11-21T00:00:00Z\", \"end-datetime\": \"2026-11-21T23:59:59Z\"}, " \
	"\"contact-info\": \"c@o.example\", \"report-id\": \"i\", \"policies\": ["
static const struct { const char *label, *json, *want; } shapes[] = {
	{ "no failures, no failure-details, as Google",
	  "{" HEAD IDS "\"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":[\"version: STSv1\",\"mode: enforce\"],\"policy-domain\":\"d.example\","
	  "\"mx-host\":[\"mx.d.example\"]},\"summary\":{\"total-successful-session-count\":7,\"total-failure-session-count\":0}}]}",
	  "{\"policy\": {\"policy-type\": \"sts\", \"policy-string\": [\"version: STSv1\", \"mode: enforce\"], \"policy-domain\": \"d.example\", \"mx-host\": [\"mx.d.example\"]}, "
	  "\"summary\": {\"total-successful-session-count\": 7, \"total-failure-session-count\": 0}, \"failure-details\": []}" },
	{ "no policy found, nothing but its domain, as Comcast",
	  "{" HEAD IDS "\"policies\":[{\"policy\":{\"policy-type\":\"no-policy-found\",\"policy-domain\":\"d.example\"},"
	  "\"summary\":{\"total-successful-session-count\":1,\"total-failure-session-count\":0}}]}",
	  "{\"policy\": {\"policy-type\": \"no-policy-found\", \"policy-string\": [], \"policy-domain\": \"d.example\", \"mx-host\": []}, "
	  "\"summary\": {\"total-successful-session-count\": 1, \"total-failure-session-count\": 0}, \"failure-details\": []}" },
	{ "empty arrays, as Microsoft",
	  "{" HEAD IDS "\"policies\":[{\"policy\":{\"policy-type\":\"tlsa\",\"policy-string\":[\"3 1 1 AB\"],\"policy-domain\":\"d.example\",\"mx-host\":[]},"
	  "\"summary\":{\"total-successful-session-count\":0,\"total-failure-session-count\":2},\"failure-details\":[{\"result-type\":\"dnssec-invalid\","
	  "\"failed-session-count\":2}]}]}",
	  "{\"policy\": {\"policy-type\": \"tlsa\", \"policy-string\": [\"3 1 1 AB\"], \"policy-domain\": \"d.example\", \"mx-host\": []}, "
	  "\"summary\": {\"total-successful-session-count\": 0, \"total-failure-session-count\": 2}, "
	  "\"failure-details\": [{\"result-type\": \"dnssec-invalid\", \"failed-session-count\": 2}]}" },
	{ "strings for arrays and nulls, as Mail.ru",
	  "{" HEAD IDS "\"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":\"version: STSv1\\r\\n\\nmode: none \\n\",\"policy-domain\":\"d.example\","
	  "\"mx-host\":\"mx.d.example\"},\"summary\":{\"total-successful-session-count\":\"12\",\"total-failure-session-count\":3.0},"
	  "\"failure-details\":[{\"result-type\":\"certificate-expired\",\"sending-mta-ip\":\"192.0.2.1\",\"receiving-ip\":null,\"receiving-mx-helo\":\"h\","
	  "\"receiving-mx-hostname\":\"mx.d.example\",\"failed-session-count\":3,\"failure-error-code\":\"x\",\"additional-information\":\"u\"}]}]}",
	  "{\"policy\": {\"policy-type\": \"sts\", \"policy-string\": [\"version: STSv1\", \"mode: none\"], \"policy-domain\": \"d.example\", \"mx-host\": [\"mx.d.example\"]}, "
	  "\"summary\": {\"total-successful-session-count\": 12, \"total-failure-session-count\": 3}, "
	  "\"failure-details\": [{\"result-type\": \"certificate-expired\", \"sending-mta-ip\": \"192.0.2.1\", \"receiving-mx-hostname\": \"mx.d.example\", "
	  "\"receiving-mx-helo\": \"h\", \"failed-session-count\": 3, \"additional-information\": \"u\", \"failure-reason-code\": \"x\"}]}" },
	{ "objects for arrays, members a level up",
	  "{" HEAD IDS "\"policies\":{\"policy-type\":\"sts\",\"policy-domain\":\"d.example\",\"total-successful-session-count\":1,"
	  "\"failure-details\":{\"result-type\":\"x\",\"failed-session-count\":-4}}}",
	  "{\"policy\": {\"policy-type\": \"sts\", \"policy-string\": [], \"policy-domain\": \"d.example\", \"mx-host\": []}, "
	  "\"summary\": {\"total-successful-session-count\": 1, \"total-failure-session-count\": 0}, "
	  "\"failure-details\": [{\"result-type\": \"x\", \"failed-session-count\": 0}]}" },
	{ "things that are no policies", "{" HEAD IDS "\"policies\":[null,1,\"x\",[]]}", "" },
	{ "null policies", "{" HEAD IDS "\"policies\":null}", "" },
};

static void test_shapes_of_real_senders(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(shapes); i++) {
		struct rpt_read_report r = read_text(shapes[i].json);
		json_t *v = rpt_read_json(&r);
		char *got = json_dumps(v, 0), *want = sp_arena_printf(&arena, OUT_HEAD "%s]}", shapes[i].want);
		if (strcmp(got, want) != 0)
			fail_msg("%s:\n want %s\n got  %s", shapes[i].label, want, got);
		free(got);
		json_decref(v);
	}
}

static void test_what_is_no_report(void **state)
{
	(void)state;
	static const char *const others[] = { "{}", "[]", "{\"a\":1}", "{\"policies\":[]}", "[{\"report-id\":\"x\"}]", "{\"report-id\":\"\"}" };
	for (size_t i = 0; i < SP_COUNT(others); i++) {
		struct rpt_read_report r;
		struct sp_buf why;
		sp_buf_init(&why, 4096);
		json_t *document = rpt_unwrap(sp_str_of(others[i]), &why);
		assert_non_null(document);
		assert_false(rpt_read(document, &arena, &r, &why));
		assert_non_null(strstr(sp_buf_cstr(&why), "no TLS report"));
		json_decref(document);
		sp_buf_clear(&why);
	}
}

static const struct { const char *label, *in, *want; } texts[] = {
	{ "letters", "a b\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "a b\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "escape of a terminal", "\\u001b[2Jx", "?[2Jx" },
	{ "C1, DEL", "\\u009b1m\\u007f", "?1m?" },
	{ "turned round", "a\\u202eb\\u2066\\u200f", "a?b??" },
	{ "what cannot be seen", "a\\u00adb\xf3\xa0\x81\x81\\ufff9", "a?b??" },
	{ "line ends", "a\\nb\\r\\t\\u2028", "a?b???" },
};

static void test_no_control_character_of_a_sender_reaches_the_terminal(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(texts); i++) {
		struct rpt_read_report r = read_text(sp_arena_printf(&arena, "{\"report-id\":\"x\",\"organization-name\":\"%s\"}", texts[i].in));
		if (strcmp(r.organization, texts[i].want) != 0)
			fail_msg("%s: want %s, got %s", texts[i].label, texts[i].want, r.organization);
	}
	char longer[2000];
	memset(longer, 'x', 999);
	strcpy(longer + 999, "\xc3\xbcyy");
	struct rpt_read_report r = read_text(sp_arena_printf(&arena, "{\"report-id\":\"%s\"}", longer));
	assert_int_equal(strlen(r.report_id), 1002);                    /* not in the middle of a character */
	assert_string_equal(r.report_id + 998, "x...");
}

/* ---- printing ---- */

static const char *print(const struct rpt_read_report *r, unsigned columns, bool colour)
{
	struct sp_buf out;
	sp_buf_init(&out, 1 << 20);
	rpt_read_print(r, columns, colour, &out);
	assert_false(sp_buf_failed(&out));
	const char *text = sp_arena_dup(&arena, sp_buf_str(&out));
	sp_buf_clear(&out);
	return text;
}

#define FAILURES "{" HEAD IDS "\"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-domain\":\"d.example\"},\"summary\":{" \
	"\"total-successful-session-count\":99999,\"total-failure-session-count\":13},\"failure-details\":[" \
	"{\"result-type\":\"certificate-expired\",\"failed-session-count\":2,\"receiving-mx-hostname\":\"mx-with-a-long-name.in.a.long.domain.d.example\"," \
	"\"receiving-ip\":\"2001:db8:1234:5678:9abc:def0:1234:5678\",\"sending-mta-ip\":\"2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa\"}," \
	"{\"result-type\":\"starttls-not-supported\",\"failed-session-count\":11},{\"result-type\":\"own-type\",\"failed-session-count\":0}]}]}"

static void test_table(void **state)
{
	(void)state;
	struct rpt_read_report r = read_text(FAILURES);
	const char *page = print(&r, 200, false);
	static const char *const parts[] = {
		"TLS report of O\n", "  contact   c@o.example\n", "  period    2026-11-21T00:00:00Z to 2026-11-21T23:59:59Z\n", "Policy of d.example: sts\n",
		"  sessions  100012: 99999 ok (>99.9 %), 13 failed (<0.1 %)\n", "  count  result                  mx host", "\n     11  starttls-not-supported\n",
		"\n      2  certificate-expired     mx-with-a-long-name.in.a.long.domain.d.example  2001:db8:1234:5678:9abc:def0:1234:5678  2001:db8:ffff",
		"\n      0  own-type\n", "  certificate-expired\n    The certificate had run out.",
	};
	const char *at = page;
	for (size_t i = 0; i < SP_COUNT(parts); i++) {
		at = strstr(at, parts[i]);
		if (at == NULL)
			fail_msg("want '%s' next in\n%s", parts[i], page);
	}
	assert_null(strstr(page, "reason"));                            /* a column that nobody filled */
	assert_null(strstr(page, "\033"));
	assert_non_null(strstr(print(&r, 200, true), "\033[31m13 failed (<0.1 %)\033[0m"));
	assert_non_null(strstr(page, "  starttls-not-supported\n    The MX host"));
}

static void test_a_count_of_19_digits_leaves_room_for_the_others(void **state)
{
	(void)state;
	struct rpt_read_report r = read_text("{" HEAD IDS "\"policies\":[{\"failure-details\":[{\"result-type\":\"validation-failure\",\"failed-session-count\":"
		"9223372036854775807,\"failure-reason-code\":\"reason\",\"receiving-mx-hostname\":\"mx.d.example\",\"receiving-mx-helo\":\"mx.d.example\","
		"\"receiving-ip\":\"203.0.113.58\",\"sending-mta-ip\":\"209.85.219.198\"}]}]}");
	struct sp_str page = sp_str_of(print(&r, 60, false)), line;
	while (sp_take_line(&page, &line))
		assert_true(line.len <= 60);
}

static void test_a_narrow_table_parts_words_at_their_marks(void **state)
{
	(void)state;
	struct rpt_read_report r = read_text("{" HEAD IDS "\"policies\":[{\"failure-details\":[{\"result-type\":\"certificate-host-mismatch\",\"failed-session-count\":2,"
		"\"failure-reason-code\":\"X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT\",\"receiving-mx-hostname\":\"mx.averyverylonglabelwithoutanymark.example\","
		"\"receiving-ip\":\"203.0.113.58\",\"sending-mta-ip\":\"209.85.219.198\"}]}]}");
	const char *page = print(&r, 80, false);
	static const char *const parts[] = { "certificate-", "\n         host-  ", "\n         mismatch  ", "mx.averyveryl " };
	for (size_t i = 0; i < SP_COUNT(parts); i++)
		if (strstr(page, parts[i]) == NULL)
			fail_msg("want '%s' in\n%s", parts[i], page);
}

static void test_information_is_shown_once(void **state)
{
	(void)state;
	struct rpt_read_report r = read_text("{" HEAD IDS "\"policies\":[{\"failure-details\":[{\"additional-information\":\"u:1\"},{\"additional-information\":\"u:2\"},"
		"{\"additional-information\":\"u:1\"},{}]}]}");
	const char *page = print(&r, 80, false), *at = strstr(page, "  see       u:1\n            u:2\n");
	assert_non_null(at);
	assert_null(strstr(at + 15, "u:1"));
}

static void test_lines_fit(void **state)
{
	(void)state;
	struct rpt_read_report r = read_text(FAILURES);
	for (unsigned columns = 60; columns < 200; columns++) {
		struct sp_str page = sp_str_of(print(&r, columns, false)), line;
		while (sp_take_line(&page, &line)) {
			if (line.len > columns)
				fail_msg("%u columns: %.*s", columns, SP_STR_ARG(line));
			assert_true(line.len == 0 || line.p[line.len - 1] != ' ');
		}
	}
}

static void test_a_long_table_is_cut_and_says_so(void **state)
{
	(void)state;
	struct sp_buf s;
	sp_buf_init(&s, 1 << 20);
	sp_buf_adds(&s, "{" HEAD "\"policies\":[{\"failure-details\":[{}");
	for (int i = 1; i < RPT_PRINT_ROWS + 7; i++)
		sp_buf_adds(&s, ",{\"failed-session-count\":2}");
	sp_buf_adds(&s, "]}]}");
	struct rpt_read_report r = read_text(sp_buf_cstr(&s));
	assert_non_null(strstr(print(&r, 80, false), "  ... and 7 more rows with 12 sessions"));
	sp_buf_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_wraps, teardown), cmocka_unit_test_teardown(test_gzip, teardown),
		cmocka_unit_test_teardown(test_gzip_in_quoted_printable_has_no_octet_behind_it, teardown),
		cmocka_unit_test_teardown(test_base64_that_is_cut_is_not_called_too_large, teardown),
		cmocka_unit_test_teardown(test_a_bomb_of_gzip_does_not_fill_the_memory, teardown),
		cmocka_unit_test_teardown(test_each_mail_of_a_mailbox_has_parts_of_its_own, teardown),
		cmocka_unit_test_teardown(test_values_are_bounded, teardown), cmocka_unit_test_teardown(test_parts_and_depth_are_bounded, teardown),
		cmocka_unit_test_teardown(test_carrier_is_of_the_innermost_mail, teardown),
		cmocka_unit_test_teardown(test_shapes_of_real_senders, teardown), cmocka_unit_test_teardown(test_what_is_no_report, teardown),
		cmocka_unit_test_teardown(test_no_control_character_of_a_sender_reaches_the_terminal, teardown),
		cmocka_unit_test_teardown(test_a_count_of_19_digits_leaves_room_for_the_others, teardown),
		cmocka_unit_test_teardown(test_a_narrow_table_parts_words_at_their_marks, teardown),
		cmocka_unit_test_teardown(test_information_is_shown_once, teardown),
		cmocka_unit_test_teardown(test_table, teardown), cmocka_unit_test_teardown(test_lines_fit, teardown),
		cmocka_unit_test_teardown(test_a_long_table_is_cut_and_says_so, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

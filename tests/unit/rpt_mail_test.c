/* tests/unit/rpt_mail_test.c - rpt/mail.c: a report as a message, after RFC 8460 5.3; read back by hand and by Python's email package. */
#include "rpt/mail.h"

#include "core/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static const struct rpt_head head = { "Company-X", "tls-reports@company-x.example", "2016-04-01.00ff00ff@company-x.example", 16892, "company-y.example" };

static struct rpt_mail a_mail(void)
{
	return (struct rpt_mail){ &head, "company-x.example", "tls-reports@company-x.example", "reports@company-y.example", "1x2y.3@relay.company-x.example",
	                          1459555200 + 3600, SP_STR("0123456789"), 5326, 303 };
}

static const char *written(const struct rpt_mail *m, struct sp_buf *out)
{
	sp_buf_init(out, 64 * MIB);
	rpt_mail_write(m, out);
	assert_false(sp_buf_failed(out));
	return sp_buf_cstr(out);
}

static void the_whole_text(void **state)
{
	(void)state;
	struct rpt_mail m = a_mail();
	struct sp_buf out;
	assert_string_equal(written(&m, &out),
		"From: tls-reports@company-x.example\r\n"
		"To: reports@company-y.example\r\n"
		"Date: Sat, 02 Apr 2016 01:00:00 +0000\r\n"
		"Message-ID: <1x2y.3@relay.company-x.example>\r\n"
		"Subject: Report Domain: company-y.example Submitter: company-x.example\r\n"
		" Report-ID: <2016-04-01.00ff00ff@company-x.example>\r\n"
		"TLS-Report-Domain: company-y.example\r\n"
		"TLS-Report-Submitter: company-x.example\r\n"
		"TLS-Required: No\r\n"
		"Auto-Submitted: auto-generated\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n"
		" boundary=\"=_1x2y3relaycompanyxexample.0\"\r\n"
		"\r\n"
		"This is a message in MIME format.\r\n"
		"\r\n"
		"--=_1x2y3relaycompanyxexample.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		"\r\n"
		"This is a TLS report (RFC 8460) from company-x.example: how its connections\r\n"
		"to the mail servers of company-y.example went on 2016-04-01 (a full day,\r\n"
		"UTC).\r\n"
		"\r\n"
		"    Sessions that succeeded:         5326\r\n"
		"    Sessions that failed:             303\r\n"
		"\r\n"
		"The attachment tells for each failure what went wrong, at which of your mail\r\n"
		"servers, and how often. A failure need not mean that mail was lost: it may\r\n"
		"have waited, have been sent to another server, or have gone out with less\r\n"
		"protection than your policy asks for, as that policy and ours allow.\r\n"
		"\r\n"
		"The attached file is for programs that read TLS reports: JSON, packed with\r\n"
		"gzip. To see it as a table, save it (or this whole message) and run:\r\n"
		"\r\n"
		"    strictpost report read 'company-x.example!company-y.example!1459468800!1459555199!2016040100ff00ffcompanyxexample.json.gz'\r\n"
		"\r\n"
		"You get this because the TXT record at _smtp._tls.company-y.example asks for\r\n"
		"it; who wants such reports elsewhere, or no more, changes that record.\r\n"
		"Questions about this one go to tls-reports@company-x.example, report id\r\n"
		"2016-04-01.00ff00ff@company-x.example.\r\n"
		"\r\n"
		"--=_1x2y3relaycompanyxexample.0\r\n"
		"Content-Type: application/tlsrpt+gzip\r\n"
		"Content-Transfer-Encoding: base64\r\n"
		"Content-Disposition: attachment;\r\n"
		" filename=\"company-x.example!company-y.example!1459468800!1459555199!2016040100ff00ffcompanyxexample.json.gz\"\r\n"
		"\r\n"
		"MDEyMzQ1Njc4OQ==\r\n"
		"\r\n"
		"--=_1x2y3relaycompanyxexample.0--\r\n");
	sp_buf_clear(&out);
}

/* RFC 5322 2.1.1 and 2.3, RFC 5321 4.5.3.1.6: ASCII, CRLF, at most 998 octets a line; as `usual` in a message with names of a usual length. */
static void expect_lines(struct sp_str text, size_t usual)
{
	assert_true(sp_str_ends(text, SP_STR("\r\n")));
	struct sp_str line;
	while (text.len > 0) {
		size_t len = sp_str_find(text, '\n');
		assert_true(len > 0 && len < text.len && text.p[len - 1] == '\r');
		line = sp_str_make(text.p, len - 1);
		text = sp_str_from(text, len + 1);
		bool has_file_name = memmem(line.p, line.len, "!", 1) != NULL;
		if (line.len > (has_file_name ? 998 : usual))
			print_message("too long: %.*s\n", SP_STR_ARG(line));
		assert_true(line.len <= (has_file_name ? 998 : usual));
		for (size_t i = 0; i < line.len; i++)
			assert_true(sp_is_print(line.p[i]));
	}
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;
	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void the_subject_is_folded_right(void **state)   /* RFC 8460 5.3, tlsrpt-subject; RFC 5322 2.2.3 */
{
	(void)state;
	static const struct { const char *label, *domain, *submitter, *id, *want; } rows[] = {
		{ "short", "a.b", "c.d", "1@c.d", "\r\nSubject: Report Domain: a.b Submitter: c.d Report-ID: <1@c.d>\r\n" },
		{ "an id without a second half", "a.b", "c.d", "5065427c-23d3", "Report-ID: <5065427c-23d3@c.d>\r\n" },
		{ "an id that is no id", "a.b", "c.d", "x y@<@>\r\nBcc: z", "Report-ID: <x-y@-----Bcc--z>\r\n" },
		{ "an id with nothing behind the @", "a.b", "c.d", "x@", "Report-ID: <x@-c.d>\r\n" },
		{ "long names", "a-rather-long-name-of-a-domain.in-a-long-zone.company-y.example", "another-rather-long-name.company-x.example", "1@c.d",
		  "\r\nSubject: Report Domain:\r\n a-rather-long-name-of-a-domain.in-a-long-zone.company-y.example Submitter:\r\n"
		  " another-rather-long-name.company-x.example Report-ID: <1@c.d>\r\n" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct rpt_head h = head;
		h.domain = rows[i].domain;
		h.report_id = rows[i].id;
		struct rpt_mail m = a_mail();
		m.head = &h;
		m.submitter = rows[i].submitter;
		struct sp_buf out;
		const char *text = written(&m, &out);
		print_message("%s: %.*s\n", rows[i].label, 200, strstr(text, "Subject:"));
		assert_non_null(strstr(text, rows[i].want));
		expect_lines(sp_buf_str(&out), 78);
		sp_buf_clear(&out);
	}
}

/* Whatever stands in the names: no field more, no line that is not ours, no line over the limit. */
static void header_injection_is_impossible(void **state)
{
	(void)state;
	static const char evil[] = "x\r\nBcc: victim@z.example\r\n\r\n--=_1.0\r\nbody\x01\xfc\n.\r\n";
	struct rpt_head h = { evil, evil, evil, 16892, evil };
	struct rpt_mail m = { &h, evil, evil, evil, evil, 0, SP_STR(evil), 1, 1 };
	struct sp_buf out;
	const char *text = written(&m, &out);
	assert_null(strstr(text, "\nBcc"));
	assert_null(strstr(text, "\nbody"));
	assert_null(strstr(text, "\n.\r"));
	const char *boundary = strstr(text, "boundary=\"") + strlen("boundary=\"");
	char mark[80];
	snprintf(mark, sizeof(mark), "--%.*s", (int)strcspn(boundary, "\""), boundary);
	assert_int_equal(count_of(text, mark), 3);
	expect_lines(sp_buf_str(&out), 998);
	sp_buf_clear(&out);
}

static void a_boundary_that_cannot_occur(void **state)
{
	(void)state;
	struct rpt_head h = head;
	h.contact = "=_77.0/=_77.1@company-x.example";
	struct rpt_mail m = a_mail();
	m.head = &h;
	m.message_id = "77";
	struct sp_buf out;
	const char *text = written(&m, &out);
	assert_non_null(strstr(text, "boundary=\"=_77.2\""));
	assert_int_equal(count_of(text, "=_77.2"), 4);
	sp_buf_clear(&out);
}

static void the_longest_names(void **state)
{
	(void)state;
	char domain[254], address[400], id[300];
	memset(domain, 'd', 253);
	for (size_t i = 60; i < 253; i += 61)
		domain[i] = '.';
	domain[253] = '\0';
	snprintf(address, sizeof(address), "\"%.*s\"@%s", 62, "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l", domain);
	snprintf(id, sizeof(id), "2016-04-01.0011223344556677@%.200s", domain);
	struct rpt_head h = { "Company-X", address, id, 16892, domain };
	struct rpt_mail m = { &h, domain, address, address, id, 0, SP_STR("x"), 0, 0 };
	struct sp_buf out;
	const char *text = written(&m, &out);
	expect_lines(sp_buf_str(&out), 998);
	char want[500];
	snprintf(want, sizeof(want), "\r\nTo:\r\n %s\r\n", address);                    /* whole, and nowhere folded inside */
	assert_non_null(strstr(text, want));
	sp_buf_clear(&out);
}

static void no_failures_need_no_words(void **state)
{
	(void)state;
	struct rpt_mail m = a_mail();
	m.failures = 0;
	struct sp_buf out;
	const char *text = written(&m, &out);
	assert_non_null(strstr(text, "Sessions that failed:               0\r\n"));
	assert_non_null(strstr(text, "There were no failures"));
	assert_null(strstr(text, "what went wrong"));
	sp_buf_clear(&out);
}

/* --- as others see it --- */

/* What tests/unit/rpt_mail_parse.py prints about a message. */
static void parse(struct sp_str text, char *said, size_t size)
{
	char path[] = "/tmp/rpt_mail_test.XXXXXX", command[1024];
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.len), (ssize_t)text.len);
	close(fd);
	const char *tests = getenv("TESTS_DIR");
	snprintf(command, sizeof(command), "/usr/bin/python3 '%s/unit/rpt_mail_parse.py' %s 2>&1", tests ? tests : "tests", path);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	size_t len = fread(said, 1, size - 1, pipe);
	said[len] = '\0';
	int status = pclose(pipe);
	unlink(path);
	if (status != 0)
		print_message("%s\n", said);
	assert_int_equal(status, 0);
}

static void python_reads_it(void **state)
{
	(void)state;
	struct sp_buf document, out;
	sp_buf_init(&document, MIB);
	struct rpt_compose *c = rpt_compose_new(&head, &document);
	rpt_compose_policy(c, &(struct rpt_policy){ 1, RPT_POLICY_NONE_FOUND, "", "", 1, 0 });
	rpt_compose_finish(c);
	struct rpt_mail m = a_mail();
	m.document = sp_buf_str(&document);
	m.to = "\"a, b\"@company-y.example";
	char said[8192], want[8192];
	written(&m, &out);
	parse(sp_buf_str(&out), said, sizeof(said));
	snprintf(want, sizeof(want),
		"From: tls-reports@company-x.example\n"
		"To: \"a, b\"@company-y.example\n"
		"Date: Sat, 02 Apr 2016 01:00:00 +0000\n"
		"Message-ID: <1x2y.3@relay.company-x.example>\n"
		"Subject: Report Domain: company-y.example Submitter: company-x.example Report-ID: <2016-04-01.00ff00ff@company-x.example>\n"
		"TLS-Report-Domain: company-y.example\n"
		"TLS-Report-Submitter: company-x.example\n"
		"TLS-Required: No\n"
		"Auto-Submitted: auto-generated\n"
		"MIME-Version: 1.0\n"
		"fields: 11\n"
		"to: ['\"a, b\"@company-y.example'] from: ['tls-reports@company-x.example']\n"
		"multipart/report tlsrpt\n"
		"['text/plain', 'application/tlsrpt+gzip'] This is a message in MIME format. ''\n"
		"attachment company-x.example!company-y.example!1459468800!1459555199!2016040100ff00ffcompanyxexample.json.gz\n"
		"text lines: 21 document: %zu\n"
		"domain: company-y.example\n", document.len);
	assert_string_equal(said, want);
	sp_buf_clear(&document);
	sp_buf_clear(&out);
}

static void megabytes_are_fine(void **state)
{
	(void)state;
	size_t len = 5 * MIB + 1;
	char *octets = sp_alloc(len);
	for (size_t i = 0; i < len; i++)
		octets[i] = (char)(i * 2654435761u >> 13);
	struct rpt_mail m = a_mail();
	m.document = sp_str_make(octets, len);
	struct sp_buf out, back;
	sp_buf_init(&back, len);
	const char *text = written(&m, &out);
	const char *start = strstr(strstr(text, "filename="), "\r\n\r\n") + 4, *end = strstr(start, "\r\n\r\n--=_");
	assert_non_null(end);
	assert_true(sp_base64_decode(sp_str_make(start, (size_t)(end - start)), &back));
	assert_int_equal(back.len, len);
	assert_memory_equal(back.p, octets, len);
	expect_lines(sp_buf_str(&out), 78);
	char said[8192];
	parse(sp_buf_str(&out), said, sizeof(said));
	assert_non_null(strstr(said, "document: 5242881\n"));
	sp_buf_clear(&out);
	sp_buf_clear(&back);
	free(octets);
}

static void a_full_buffer_shows(void **state)
{
	(void)state;
	struct rpt_mail m = a_mail();
	struct sp_buf out;
	sp_buf_init(&out, 1000);
	rpt_mail_write(&m, &out);
	assert_true(sp_buf_failed(&out));
	sp_buf_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_text), cmocka_unit_test(the_subject_is_folded_right), cmocka_unit_test(header_injection_is_impossible),
		cmocka_unit_test(a_boundary_that_cannot_occur), cmocka_unit_test(the_longest_names), cmocka_unit_test(no_failures_need_no_words),
		cmocka_unit_test(python_reads_it), cmocka_unit_test(megabytes_are_fine), cmocka_unit_test(a_full_buffer_shows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

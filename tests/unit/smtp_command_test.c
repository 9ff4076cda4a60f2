/* tests/unit/smtp_command_test.c - smtp/command.c: command lines, row by row. */
#include "smtp/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define X50 "xxxxxxxxxxyyyyyyyyyyxxxxxxxxxxyyyyyyyyyyxxxxxxxxxx"
#define LABELS_150 X50 ".a" X50 ".b" X50
#define PATH_256 "<" "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789xy" "@" LABELS_150 ".c" \
	"zzzzzzzzzzzzzzzzzzzzzzzzzzzzz.org" ">"

static const struct {
	const char *label, *line;
	enum smtp_verb verb;
	const char *reply;              /* its first octets; NULL: none */
	const char *path;               /* MAIL and RCPT: the address read */
} rows[] = {
	{ "EHLO", "EHLO client.example", SMTP_VERB_EHLO },
	{ "verbs know no case, RFC 5321 2.4", "eHlO client.example", SMTP_VERB_EHLO },
	{ "a literal", "HELO [192.0.2.1]", SMTP_VERB_HELO },
	{ "any word will do", "HELO my_host!", SMTP_VERB_HELO },
	{ "blanks at the end, RFC 5321 4.1.1", "NOOP  \t", SMTP_VERB_NOOP },
	{ "EHLO needs a name", "EHLO", SMTP_VERB_EHLO, "501 5.5.4" },
	{ "EHLO needs one name", "EHLO a b", SMTP_VERB_EHLO, "501 5.5.4" },
	{ "HELO over 255", "HELO " X50 X50 X50 X50 X50 "xxxxxx", SMTP_VERB_HELO, "501 5.5.4" },

	{ "MAIL", "MAIL FROM:<a@example.com>", SMTP_VERB_MAIL, NULL, "a@example.com" },
	{ "the null path", "MAIL FROM:<>", SMTP_VERB_MAIL, NULL, "" },
	{ "blank behind the colon (leniency)", "MAIL FROM: <a@example.com>", SMTP_VERB_MAIL, NULL, "a@example.com" },
	{ "any case", "mail from:<a@Example.com> size=5 body=7bit", SMTP_VERB_MAIL, NULL, "a@example.com" },
	{ "a quoted bracket", "MAIL FROM:<\"a>b\"@x.org>", SMTP_VERB_MAIL, NULL, "\"a>b\"@x.org" },
	{ "a quoted pair", "MAIL FROM:<\"a\\\">b\"@x.org>", SMTP_VERB_MAIL, NULL, "\"a\\\">b\"@x.org" },
	{ "a source route is dropped, RFC 5321 Appendix C", "MAIL FROM:<@a.org,@b.org:c@d.org>", SMTP_VERB_MAIL, NULL, "c@d.org" },
	{ "a U-label", "MAIL FROM:<a@b\xc3\xbc" "cher.example>", SMTP_VERB_MAIL, NULL, "a@xn--bcher-kva.example" },
	{ "a path of 256, RFC 5321 4.5.3.1.3", "MAIL FROM:" PATH_256, SMTP_VERB_MAIL, NULL, NULL },
	{ "SIZE", "MAIL FROM:<a@x.org> SIZE=12345", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "several blanks", "MAIL  FROM:<a@x.org>  SIZE=1  BODY=8BITMIME", SMTP_VERB_MAIL, NULL, "a@x.org" },
	{ "no path", "MAIL FROM:", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "no FROM", "MAIL <a@x.org>", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "TO in place of FROM", "MAIL TO:<a@x.org>", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "blank before the colon", "MAIL FROM :<a@x.org>", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "only the verb", "MAIL", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "no brackets", "MAIL FROM:a@x.org", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "bracket not closed", "MAIL FROM:<a@x.org", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "bracket closed in quotes only", "MAIL FROM:<\"a@x.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "no domain", "MAIL FROM:<a>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "postmaster is no sender", "MAIL FROM:<postmaster>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "text behind the bracket", "MAIL FROM:<a@x.org>SIZE=1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "two brackets", "MAIL FROM:<<a@x.org>>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "a path of 257", "MAIL FROM:<@b:" "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789xy" "@" LABELS_150 ".c"
	  "zzzzzzzzzzzzzzzzzzzzzzzzzzz.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "8 bits in the local part, RFC 6531 3.5", "MAIL FROM:<j\xc3\xb6rg@x.org>", SMTP_VERB_MAIL, "553 5.6.7" },
	{ "SIZE is a number", "MAIL FROM:<a@x.org> SIZE=a", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE alone", "MAIL FROM:<a@x.org> SIZE", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE=", "MAIL FROM:<a@x.org> SIZE=", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE over 2^64", "MAIL FROM:<a@x.org> SIZE=18446744073709551616", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE negative", "MAIL FROM:<a@x.org> SIZE=-1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE twice", "MAIL FROM:<a@x.org> SIZE=1 SIZE=1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "SIZE and =", "MAIL FROM:<a@x.org> SIZE=1=2", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BODY unknown", "MAIL FROM:<a@x.org> BODY=9BIT", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "BINARYMIME is not offered", "MAIL FROM:<a@x.org> BODY=BINARYMIME", SMTP_VERB_MAIL, "555 5.6.1" },
	{ "unknown parameter, RFC 5321 4.1.1.11", "MAIL FROM:<a@x.org> FOO=bar", SMTP_VERB_MAIL, "555 5.5.4 Unknown parameter FOO" },
	{ "unknown keyword alone", "MAIL FROM:<a@x.org> SMTPUTF8", SMTP_VERB_MAIL, "555 5.5.4" },
	{ "a keyword begins with a letter or digit", "MAIL FROM:<a@x.org> -A=1", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "8 bits in a parameter", "MAIL FROM:<a@x.org> A=\xc3\xb6", SMTP_VERB_MAIL, "501 5.5.4" },
	{ "source route without mailbox", "MAIL FROM:<@a.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "source route with a bad hop", "MAIL FROM:<@a..org:c@d.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "source route ends in a comma", "MAIL FROM:<@a.org,:c@d.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "source route without at", "MAIL FROM:<@a.org,b.org:c@d.org>", SMTP_VERB_MAIL, "501 5.1.7" },
	{ "source route of nothing", "MAIL FROM:<@:c@d.org>", SMTP_VERB_MAIL, "501 5.1.7" },

	{ "RCPT", "RCPT TO:<b@x.org>", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "postmaster, RFC 5321 4.1.1.3", "RCPT TO:<postmaster>", SMTP_VERB_RCPT, NULL, "postmaster" },
	{ "Postmaster", "RCPT TO:<PostMaster>", SMTP_VERB_RCPT, NULL, "PostMaster" },
	{ "a literal", "RCPT TO:<b@[192.0.2.1]>", SMTP_VERB_RCPT, NULL, "b@[192.0.2.1]" },
	{ "a route", "RCPT TO:<@a.org:b@x.org>", SMTP_VERB_RCPT, NULL, "b@x.org" },
	{ "the null path is no recipient", "RCPT TO:<>", SMTP_VERB_RCPT, "501 5.1.3" },
	{ "no domain", "RCPT TO:<b>", SMTP_VERB_RCPT, "501 5.1.3" },
	{ "SIZE is not for RCPT", "RCPT TO:<b@x.org> SIZE=1", SMTP_VERB_RCPT, "555 5.5.4" },
	{ "NOTIFY is not offered", "RCPT TO:<b@x.org> NOTIFY=NEVER", SMTP_VERB_RCPT, "555 5.5.4" },

	{ "DATA", "DATA", SMTP_VERB_DATA },
	{ "DATA takes nothing", "DATA now", SMTP_VERB_DATA, "501 5.5.4" },
	{ "RSET", "RSET", SMTP_VERB_RSET },
	{ "RSET takes nothing", "RSET x", SMTP_VERB_RSET, "501 5.5.4" },
	{ "QUIT takes nothing", "QUIT x", SMTP_VERB_QUIT, "501 5.5.4" },
	{ "NOOP takes anything", "NOOP a b c", SMTP_VERB_NOOP },
	{ "HELP", "HELP MAIL", SMTP_VERB_HELP },
	{ "VRFY", "VRFY bob", SMTP_VERB_VRFY },
	{ "VRFY whom", "VRFY", SMTP_VERB_VRFY, "501 5.5.4" },

	{ "BDAT", "BDAT 86", SMTP_VERB_BDAT },
	{ "BDAT LAST", "BDAT 86 LAST", SMTP_VERB_BDAT },
	{ "BDAT last", "bdat 0 last", SMTP_VERB_BDAT },
	{ "BDAT of nothing", "BDAT", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT of what", "BDAT x", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT over 2^64", "BDAT 18446744073709551616", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT of 21 digits", "BDAT 000000000000000000001", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT FIRST", "BDAT 1 FIRST", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT 1LAST", "BDAT 1LAST", SMTP_VERB_BDAT, "501 5.5.4" },
	{ "BDAT LAST and more", "BDAT 1 LAST 2", SMTP_VERB_BDAT, "501 5.5.4" },

	{ "unknown", "FOO bar", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "empty", "", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "only blanks", "   ", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "a blank in front", " NOOP", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "verb and more in one word", "NOOPS", SMTP_VERB_UNKNOWN, "500 5.5.1" },
	{ "known, not offered, RFC 5321 4.2.4", "EXPN list", SMTP_VERB_EXPN, "502 5.5.1" },
	{ "STARTTLS", "STARTTLS", SMTP_VERB_STARTTLS },
	{ "STARTTLS takes nothing, RFC 3207 4", "STARTTLS now", SMTP_VERB_STARTTLS, "501 5.5.4" },
	{ "HTTP", "GET / HTTP/1.1", SMTP_VERB_HTTP, "500 5.5.1" },
	{ "HTTP/2", "PRI * HTTP/2.0", SMTP_VERB_HTTP, "500 5.5.1" },
	{ "control character", "NOOP \x01", SMTP_VERB_NOOP, "500 5.5.2" },
	{ "bare CR", "NOOP a\rQUIT", SMTP_VERB_NOOP, "500 5.5.2" },
	{ "tab for a blank", "NOOP\tx", SMTP_VERB_UNKNOWN, "500 5.5.2" },
	{ "DEL", "NOOP \x7f", SMTP_VERB_NOOP, "500 5.5.2" },
	{ "8 bits", "NOOP \xc3\xb6", SMTP_VERB_NOOP, "500 5.5.2" },
	{ "8 bits in EHLO", "EHLO b\xc3\xbc" "cher.example", SMTP_VERB_EHLO, "500 5.5.2" },
};

static void command_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct smtp_command c;
		const char *reply = smtp_command_parse(sp_str_of(rows[i].line), &arena, &c);
		const char *want = rows[i].reply;
		if (c.verb != rows[i].verb || (reply == NULL) != (want == NULL) || (want && strncmp(reply, want, strlen(want)) != 0) ||
		    (rows[i].path && strcmp(c.path.text, rows[i].path) != 0))
			fail_msg("%s: %s: got %s, %s, path %s", rows[i].label, rows[i].line, smtp_verb_str(c.verb), reply ? reply : "no reply",
			         !reply && c.path.text ? c.path.text : "none");
		sp_arena_clear(&arena);
	}
}

static void parameters_are_read(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	assert_null(smtp_command_parse(SP_STR("MAIL FROM:<> BODY=8bitMIME SIZE=18446744073709551615"), &arena, &c));
	assert_true(c.eight_bit);
	assert_true(c.size == UINT64_MAX);
	assert_true(c.extended);
	assert_null(smtp_command_parse(SP_STR("MAIL FROM:<>"), &arena, &c));
	assert_false(c.eight_bit);
	assert_false(c.extended);
	assert_true(c.size == 0);
	assert_null(smtp_command_parse(SP_STR("BDAT 18446744073709551615"), &arena, &c));
	assert_true(c.chunk == UINT64_MAX);
	assert_false(c.last);
	assert_null(smtp_command_parse(SP_STR("BDAT 0 LAST"), &arena, &c));
	assert_true(c.chunk == 0);
	assert_true(c.last);
	assert_null(smtp_command_parse(SP_STR("EHLO Client.Example "), &arena, &c));
	assert_true(sp_str_eq(c.argument, SP_STR("Client.Example")));
	sp_arena_clear(&arena);
}

static void postmaster_has_no_domain(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	assert_null(smtp_command_parse(SP_STR("RCPT TO:<postmaster>"), &arena, &c));
	assert_string_equal(c.path.local, "postmaster");
	assert_string_equal(c.path.domain, "");
	assert_null(smtp_command_parse(SP_STR("MAIL FROM:<>"), &arena, &c));
	assert_string_equal(c.path.local, "");
	assert_string_equal(c.path.domain, "");
	sp_arena_clear(&arena);
}

static void nul_is_a_control_character(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	const char *reply = smtp_command_parse(SP_STR("RCPT TO:<a@x.org>\0"), &arena, &c);
	assert_non_null(reply);
	assert_memory_equal(reply, "500 5.5.2", 9);
	sp_arena_clear(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_rows),
		cmocka_unit_test(parameters_are_read),
		cmocka_unit_test(postmaster_has_no_domain),
		cmocka_unit_test(nul_is_a_control_character),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

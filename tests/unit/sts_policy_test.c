/* tests/unit/sts_policy_test.c - sts/policy.c and sts/mx.c: the policy document and its patterns, row by row. */
#include "sts/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define A63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define NAME_253 A63 "." A63 "." A63 "." "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeefffffffff.h"

/* Every warning of one parse, a line each. */
static void on_warning(void *arg, const char *text)
{
	sp_buf_printf(arg, "%s\n", text);
}

/* "enforce 86400 mx1.example.com *.example.net", or NULL */
static void describe(const struct sts_policy *p, struct sp_buf *out)
{
	sp_buf_printf(out, "%s %u", sts_mode_str(sts_policy_mode(p)), sts_policy_max_age_s(p));
	for (size_t i = 0; i < sts_policy_mx_count(p); i++)
		sp_buf_printf(out, " %s", sts_policy_mx(p, i));
}

#define BODY(text) { (text), sizeof(text) - 1 }
#define TAIL "mx: a.example\nmax_age: 86400\n"
#define HEAD "version: STSv1\nmode: enforce\n"

static const struct {
	const char *label;
	struct sp_str body;
	const char *want;       /* as describe() has it; NULL: invalid */
	const char *say;        /* part of the warning, or of the refusal; "": no warning; NULL: whatever */
} rows[] = {                                                    /* RFC 8461 3.2 */
	{ "the example of the RFC", BODY("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
	  "mx: backupmx.example.com\r\nmax_age: 604800\r\n"), "enforce 604800 mail.example.com *.example.net backupmx.example.com", "" },
	{ "LF", BODY("version: STSv1\nmode: testing\n" TAIL), "testing 86400 a.example", "" },
	{ "LF and CRLF mixed", BODY("version: STSv1\r\nmode: enforce\nmx: a.example\r\nmax_age: 86400\n"), "enforce 86400 a.example", "" },
	{ "no newline at the end", BODY(HEAD "mx: a.example\nmax_age: 86400"), "enforce 86400 a.example", "" },
	{ "no blank behind the colon", BODY("version:STSv1\nmode:enforce\nmx:a.example\nmax_age:86400\n"), "enforce 86400 a.example", "" },
	{ "blanks and tabs behind the colon", BODY("version: \t STSv1\nmode:\tenforce\n" TAIL), "enforce 86400 a.example", "" },
	{ "any order: the grammar knows none", BODY("max_age: 86400\nmx: a.example\nmode: enforce\nversion: STSv1\n"),
	  "enforce 86400 a.example", "" },
	{ "trailing blanks on a line", BODY("version: STSv1 \r\nmode: enforce\t\n" TAIL), "enforce 86400 a.example",
	  "line 1: there are blanks at the end" },
	{ "trailing blanks on the last line", BODY(HEAD "mx: a.example\nmax_age: 86400  "), "enforce 86400 a.example", "line 4: " },
	{ "blank lines at the end", BODY(HEAD TAIL "\n\r\n"), "enforce 86400 a.example", "line 5: there are empty lines at the end" },
	{ "lines of blanks at the end", BODY(HEAD TAIL " \n\t"), "enforce 86400 a.example", "line 5: there are empty lines at the end" },
	{ "blank line in the middle", BODY(HEAD "\n" TAIL), NULL, "line 3: the line is empty" },
	{ "line of blanks in the middle", BODY(HEAD " \n" TAIL), NULL, "line 3: the line is empty" },
	{ "blank line in front", BODY("\n" HEAD TAIL), NULL, "line 1: the line is empty" },
	{ "two blank lines in the middle name the first", BODY(HEAD "\n\n" TAIL), NULL, "line 3: " },
	{ "only blank lines", BODY("\n\n"), NULL, "version is missing" },
	{ "empty", BODY(""), NULL, "empty" },

	/* keys */
	{ "the first of a repeated mode counts", BODY(HEAD "mode: none\n" TAIL), "enforce 86400 a.example",
	  "line 3: mode was already set in line 2" },
	{ "a repeated mode need not be one", BODY(HEAD "mode: x\n" TAIL), "enforce 86400 a.example", "line 3: mode was already" },
	{ "the first of a repeated max_age counts", BODY(HEAD TAIL "max_age: 5\n"), "enforce 86400 a.example",
	  "line 5: max_age was already set in line 4" },
	{ "the first of a repeated version counts", BODY("version: STSv1\nversion: STSv2\nmode: none\nmax_age: 86400\n"), "none 86400",
	  "line 2: version was already set in line 1" },
	{ "a bad first version is not saved by a second", BODY("version: STSv2\nversion: STSv1\nmode: none\nmax_age: 86400\n"), NULL,
	  "line 1: " },
	{ "mx may repeat", BODY(HEAD "mx: b.example\n" TAIL), "enforce 86400 b.example a.example", "" },
	{ "the same mx twice", BODY(HEAD "mx: a.example\n" TAIL), "enforce 86400 a.example a.example", "" },
	{ "unknown keys are ignored", BODY(HEAD "x: y\n0a.b_c-D: z\n" TAIL), "enforce 86400 a.example", "" },
	{ "unknown key with a colon in its value", BODY(HEAD "url: https://a:b/?c=d;e\n" TAIL), "enforce 86400 a.example", "" },
	{ "unknown key with UTF-8 of 2, 3 and 4", BODY(HEAD "x: \xc2\x80 \xe2\x82\xac\xef\xbf\xbf \xf0\x90\x80\x80\xf4\x8f\xbf\xbf\n" TAIL),
	  "enforce 86400 a.example", "" },
	{ "unknown key of 32", BODY(HEAD "abcdefghijklmnopqrstuvwxyz012345: y\n" TAIL), "enforce 86400 a.example", "" },
	{ "unknown key of 33", BODY(HEAD "abcdefghijklmnopqrstuvwxyz0123456: y\n" TAIL), NULL, "line 3: " },
	{ "keys are case-sensitive", BODY("version: STSv1\nMode: enforce\n" TAIL), NULL, "mode is missing" },
	{ "a key in the wrong case is told", BODY(HEAD "MX: b.example\n" TAIL), "enforce 86400 a.example", "did you mean \"mx\"" },
	{ "VERSION is told", BODY(HEAD "VERSION: STSv1\n" TAIL), "enforce 86400 a.example", "did you mean \"version\"" },
	{ "max-age is told", BODY(HEAD "max-age: 1\n" TAIL), "enforce 86400 a.example", "did you mean \"max_age\"" },
	{ "no colon", BODY(HEAD "hello\n" TAIL), NULL, "line 3: there is no colon" },
	{ "equal sign instead of a colon", BODY("version=STSv1\n"), NULL, "line 1: there is no colon" },
	{ "blank before the colon", BODY("version : STSv1\nmode: none\nmax_age: 86400\n"), NULL, "blank before the colon" },
	{ "leading blank", BODY(" version: STSv1\nmode: none\nmax_age: 86400\n"), NULL, "line 1: the line begins with a blank" },
	{ "leading tab", BODY(HEAD "\tmx: b.example\n" TAIL), NULL, "line 3: the line begins with a blank" },
	{ "empty key", BODY(HEAD ": x\n" TAIL), NULL, "line 3: \"\" is not a key" },
	{ "key with a bad character", BODY(HEAD "a/b: x\n" TAIL), NULL, "line 3: \"a/b\" is not a key" },
	{ "key that begins with a hyphen", BODY(HEAD "-a: x\n" TAIL), NULL, "line 3: " },
	{ "key with UTF-8", BODY(HEAD "\xc3\xa9: x\n" TAIL), NULL, "line 3: \"??\" is not a key" },
	{ "empty value of an unknown key", BODY(HEAD "x:\n" TAIL), NULL, "line 3: there is no value" },
	{ "comment", BODY("# our policy\n" HEAD TAIL), NULL, "line 1: " },
	{ "HTML", BODY("<!DOCTYPE html>\n<title>Not: found</title>"), NULL, "HTML" },
	{ "BOM", BODY("\xef\xbb\xbf" HEAD TAIL), NULL, "byte order mark" },
	{ "BOM in a later line is no BOM", BODY(HEAD "\xef\xbb\xbf" "x: y\n" TAIL), NULL, "is not a key" },

	/* octets */
	{ "NUL in a value", BODY(HEAD "x: a\0b\n" TAIL), NULL, "line 3: the value holds a NUL" },
	{ "NUL behind the mode", BODY("version: STSv1\nmode: none\0\nmax_age: 86400\n"), NULL, "line 2: " },
	{ "NUL at the end", BODY(HEAD TAIL "\0"), NULL, "line 5: " },
	{ "control character in a value", BODY(HEAD "x: a\x1b[1m\n" TAIL), NULL, "line 3: the value holds a control character" },
	{ "DEL in a value", BODY(HEAD "x: a\x7f\n" TAIL), NULL, "line 3: the value holds a control character" },
	{ "tab inside a value", BODY(HEAD "x: a\tb\n" TAIL), NULL, "line 3: the value holds a tab" },
	{ "lone CR", BODY("version: STSv1\rmode: none\rmax_age: 86400\r"), NULL, "line 1: the line holds a carriage return" },
	{ "CR CR LF", BODY("version: STSv1\r\r\nmode: none\nmax_age: 86400\n"), NULL, "line 1: the line holds a carriage return" },
	{ "CR at the very end", BODY("version: STSv1\nmode: none\nmax_age: 86400\r"), NULL, "line 3: " },
	{ "Latin-1 in a value", BODY(HEAD "x: caf\xe9\n" TAIL), NULL, "line 3: the value is not valid UTF-8" },
	{ "UTF-8 cut short", BODY(HEAD "x: \xe2\x82\n" TAIL), NULL, "UTF-8" },
	{ "UTF-8 cut short at the end", BODY(HEAD TAIL "x: \xf0\x90\x80"), NULL, "UTF-8" },
	{ "overlong UTF-8 of 2", BODY(HEAD "x: \xc1\xbf\n" TAIL), NULL, "UTF-8" },
	{ "overlong UTF-8 of 3", BODY(HEAD "x: \xe0\x9f\xbf\n" TAIL), NULL, "UTF-8" },
	{ "shortest UTF-8 of 3", BODY(HEAD "x: \xe0\xa0\x80\n" TAIL), "enforce 86400 a.example", "" },
	{ "overlong UTF-8 of 4", BODY(HEAD "x: \xf0\x8f\xbf\xbf\n" TAIL), NULL, "UTF-8" },
	{ "UTF-8 surrogate", BODY(HEAD "x: \xed\xa0\x80\n" TAIL), NULL, "UTF-8" },
	{ "last before the surrogates", BODY(HEAD "x: \xed\x9f\xbf\n" TAIL), "enforce 86400 a.example", "" },
	{ "UTF-8 past U+10FFFF", BODY(HEAD "x: \xf4\x90\x80\x80\n" TAIL), NULL, "UTF-8" },
	{ "UTF-8 of 5", BODY(HEAD "x: \xf8\x88\x80\x80\x80\n" TAIL), NULL, "UTF-8" },
	{ "UTF-8 lead past the last", BODY(HEAD "x: \xf5\x80\x80\x80\n" TAIL), NULL, "UTF-8" },
	{ "octet that UTF-8 never has", BODY(HEAD "x: \xff\n" TAIL), NULL, "UTF-8" },
	{ "lone continuation octet", BODY(HEAD "x: \x80\n" TAIL), NULL, "UTF-8" },
	{ "second octet not a continuation", BODY(HEAD "x: \xc3(\n" TAIL), NULL, "UTF-8" },
	{ "fourth octet not a continuation", BODY(HEAD "x: \xf0\x90\x80(\n" TAIL), NULL, "UTF-8" },

	/* version */
	{ "missing version", BODY("mode: enforce\n" TAIL), NULL, "version is missing" },
	{ "version 2", BODY("version: STSv2\nmode: none\nmax_age: 86400\n"), NULL, "line 1: the version must be \"STSv1\"" },
	{ "version 10", BODY("version: STSv10\nmode: none\nmax_age: 86400\n"), NULL, "line 1: " },
	{ "version in lower case", BODY("version: stsv1\nmode: none\nmax_age: 86400\n"), NULL, "not \"stsv1\"" },

	/* mode */
	{ "missing mode", BODY("version: STSv1\n" TAIL), NULL, "mode is missing" },
	{ "unknown mode is an invalid policy, not none", BODY("version: STSv1\nmode: report\n" TAIL), NULL, "line 2: the mode must be" },
	{ "mode in upper case", BODY("version: STSv1\nmode: Enforce\n" TAIL), NULL, "lower case" },
	{ "none without mx is valid", BODY("version: STSv1\nmode: none\nmax_age: 86400\n"), "none 86400", "" },
	{ "none with mx is valid", BODY("version: STSv1\nmode: none\n" TAIL), "none 86400 a.example", "" },
	{ "enforce without mx", BODY(HEAD "max_age: 86400\n"), NULL, "mode enforce needs at least one mx" },
	{ "testing without mx", BODY("version: STSv1\nmode: testing\nmax_age: 86400\n"), NULL, "mode testing needs at least one mx" },

	/* max_age */
	{ "missing max_age", BODY(HEAD "mx: a.example\n"), NULL, "max_age is missing" },
	{ "max_age 0", BODY("version: STSv1\nmode: none\nmax_age: 0\n"), "none 0", "less than a day" },
	{ "max_age of a day less a second", BODY("version: STSv1\nmode: none\nmax_age: 86399\n"), "none 86399", "less than a day" },
	{ "max_age of a day", BODY("version: STSv1\nmode: none\nmax_age: 86400\n"), "none 86400", "" },
	{ "max_age at the maximum", BODY("version: STSv1\nmode: none\nmax_age: 31557600\n"), "none 31557600", "" },
	{ "max_age over the maximum is clamped", BODY("version: STSv1\nmode: none\nmax_age: 31557601\n"), "none 31557600",
	  "line 3: max_age 31557601 is over the maximum" },
	{ "max_age does not overflow 32 bits", BODY("version: STSv1\nmode: none\nmax_age: 4294967297\n"), "none 31557600", "4294967297" },
	{ "max_age of 10 digits", BODY("version: STSv1\nmode: none\nmax_age: 9999999999\n"), "none 31557600", "9999999999" },
	{ "max_age of 10 digits with zeros", BODY("version: STSv1\nmode: none\nmax_age: 0000086400\n"), "none 86400", "" },
	{ "max_age of 11 digits", BODY("version: STSv1\nmode: none\nmax_age: 00000086400\n"), NULL, "line 3: max_age must be" },
	{ "negative max_age", BODY("version: STSv1\nmode: none\nmax_age: -1\n"), NULL, "line 3: max_age must be" },
	{ "max_age with a sign", BODY("version: STSv1\nmode: none\nmax_age: +1\n"), NULL, "line 3: max_age must be" },
	{ "max_age with a unit", BODY("version: STSv1\nmode: none\nmax_age: 86400s\n"), NULL, "line 3: max_age must be" },
	{ "max_age with a point", BODY("version: STSv1\nmode: none\nmax_age: 1.5\n"), NULL, "line 3: max_age must be" },
	{ "max_age with a blank", BODY("version: STSv1\nmode: none\nmax_age: 86 400\n"), NULL, "line 3: max_age must be" },
	{ "max_age in hexadecimal", BODY("version: STSv1\nmode: none\nmax_age: 0x10\n"), NULL, "line 3: max_age must be" },
	{ "max_age empty", BODY("version: STSv1\nmode: none\nmax_age:\n"), NULL, "line 3: there is no value" },

	/* mx; the patterns themselves are below */
	{ "mx becomes lower case", BODY(HEAD "mx: MX1.Example.COM\nmx: *.B.Example\nmax_age: 86400\n"), "enforce 86400 mx1.example.com *.b.example", "" },
	{ "mx in A-labels", BODY(HEAD "mx: mx.xn--bcher-kva.example\nmax_age: 86400\n"), "enforce 86400 mx.xn--bcher-kva.example", "" },
	{ "mx in U-labels is told what to write", BODY(HEAD "mx: mx.b\xc3\xbc" "cher.example\nmax_age: 86400\n"), NULL, "xn--" },
	{ "mx with a dot at the end", BODY(HEAD "mx: a.example.\nmax_age: 86400\n"), "enforce 86400 a.example", "line 3: the dot at the end" },
	{ "wildcard with a dot at the end", BODY(HEAD "mx: *.a.example.\nmax_age: 86400\n"), "enforce 86400 *.a.example", "line 3: the dot" },
	{ "wildcard below a top-level domain", BODY(HEAD "mx: *.example\nmax_age: 86400\n"), "enforce 86400 *.example", "top-level domain" },
	{ "wildcard of two labels is not warned of", BODY(HEAD "mx: *.a.example\nmax_age: 86400\n"), "enforce 86400 *.a.example", "" },
	{ "one bad mx makes the policy invalid", BODY(HEAD "mx: 192.0.2.1\n" TAIL), NULL, "line 3: \"192.0.2.1\" is not an mx pattern" },
	{ "empty mx", BODY(HEAD "mx: \n" TAIL), NULL, "line 3: there is no value" },
	{ "two names in one mx", BODY(HEAD "mx: a.example b.example\n" TAIL), NULL, "line 3: " },
	{ "names with a comma in one mx", BODY(HEAD "mx: a.example,b.example\n" TAIL), NULL, "line 3: " },
	{ "a bad mx under mode none", BODY("version: STSv1\nmode: none\nmx: *\nmax_age: 86400\n"), NULL, "line 3: " },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf warnings, why, got;
		sp_buf_init(&warnings, 8192);
		sp_buf_init(&why, 1024);
		sp_buf_init(&got, 8192);
		struct sts_policy *p = sts_policy_parse(rows[i].body, on_warning, &warnings, &why);
		if (p)
			describe(p, &got);
		const char *said = sp_buf_cstr(p ? &warnings : &why);
		print_message("%s:\n    want %s\n    got  %s (%s)\n", rows[i].label, rows[i].want ? rows[i].want : "invalid",
		              p ? sp_buf_cstr(&got) : "invalid", said);
		assert_int_equal(p != NULL, rows[i].want != NULL);
		if (p)
			assert_string_equal(sp_buf_cstr(&got), rows[i].want);
		else
			assert_true(why.len > 0 && warnings.failed == false);
		if (rows[i].say && rows[i].say[0] == '\0')
			assert_string_equal(said, "");
		else if (rows[i].say)
			assert_non_null(strstr(said, rows[i].say));
		for (const char *c = said; *c; c++)
			assert_true(sp_is_print(*c) || *c == '\n');
		sts_policy_unref(p);
		p = sts_policy_parse(rows[i].body, NULL, NULL, NULL);           /* nobody interested in texts */
		assert_int_equal(p != NULL, rows[i].want != NULL);
		sts_policy_unref(p);
		sp_buf_clear(&warnings);
		sp_buf_clear(&why);
		sp_buf_clear(&got);
	}
}

/* Print, parse again: equal, and the same text. */
static void test_print_parses_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_policy *p = sts_policy_parse(rows[i].body, NULL, NULL, NULL);
		if (p == NULL)
			continue;
		struct sp_buf text, again;
		sp_buf_init(&text, 8192);
		sp_buf_init(&again, 8192);
		sts_policy_print(p, &text);
		struct sts_policy *q = sts_policy_parse(sp_buf_str(&text), NULL, NULL, NULL);
		print_message("%s: %s", rows[i].label, sp_buf_cstr(&text));
		assert_non_null(q);
		assert_true(sts_policy_equal(p, q));
		sts_policy_print(q, &again);
		assert_string_equal(sp_buf_cstr(&text), sp_buf_cstr(&again));
		sts_policy_unref(p);
		sts_policy_unref(q);
		sp_buf_clear(&text);
		sp_buf_clear(&again);
	}
}

static void test_canonical_text(void **state)           /* RFC 8460 4.4: policy-string */
{
	(void)state;
	struct sts_policy *p = sts_policy_parse(SP_STR("max_age:99999999999\n"), NULL, NULL, NULL);
	assert_null(p);
	p = sts_policy_parse(SP_STR("max_age:9999999999\r\nx:y\r\nmx:*.B.example\r\nmode:testing\r\nmx:a.example\r\nversion:STSv1"), NULL, NULL, NULL);
	struct sp_buf text;
	sp_buf_init(&text, 1024);
	sts_policy_print(p, &text);
	assert_string_equal(sp_buf_cstr(&text), "version: STSv1\nmode: testing\nmx: *.b.example\nmx: a.example\nmax_age: 31557600\n");
	sp_buf_clear(&text);
	sts_policy_unref(p);
}

static void test_equal(void **state)
{
	(void)state;
	static const struct { const char *label, *other; bool want; } equal_rows[] = {
		{ "other text, same policy", "mode: enforce\nversion: STSv1\nmx: A.EXAMPLE\nmx: b.example\nx: y\nmax_age: 0000086400", true },
		{ "mode differs", "version: STSv1\nmode: testing\nmx: a.example\nmx: b.example\nmax_age: 86400\n", false },
		{ "max_age differs", "version: STSv1\nmode: enforce\nmx: a.example\nmx: b.example\nmax_age: 86401\n", false },
		{ "mx order differs", "version: STSv1\nmode: enforce\nmx: b.example\nmx: a.example\nmax_age: 86400\n", false },
		{ "the first mx differs", "version: STSv1\nmode: enforce\nmx: c.example\nmx: b.example\nmax_age: 86400\n", false },
		{ "the second mx differs", "version: STSv1\nmode: enforce\nmx: a.example\nmx: c.example\nmax_age: 86400\n", false },
		{ "an mx more", "version: STSv1\nmode: enforce\nmx: a.example\nmx: b.example\nmx: c.example\nmax_age: 86400\n", false },
		{ "an mx less", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 86400\n", false },
	};
	struct sts_policy *p = sts_policy_parse(SP_STR(HEAD "mx: a.example\nmx: b.example\nmax_age: 86400\n"), NULL, NULL, NULL);
	for (size_t i = 0; i < SP_COUNT(equal_rows); i++) {
		struct sts_policy *q = sts_policy_parse(sp_str_of(equal_rows[i].other), NULL, NULL, NULL);
		bool got = sts_policy_equal(p, q);
		print_message("%s: want %d, got %d\n", equal_rows[i].label, equal_rows[i].want, got);
		assert_int_equal(got, equal_rows[i].want);
		sts_policy_unref(q);
	}
	sts_policy_unref(p);
}

/* What is missing is missing in no line. */
static void test_faults_of_the_whole_name_no_line(void **state)
{
	(void)state;
	static const struct { const char *body, *want; } whole[] = {
		{ "mode: none\nmax_age: 86400\n", "the version is missing" }, { "version: STSv1\nmax_age: 86400\n", "the mode is missing" },
		{ "version: STSv1\nmode: none\n", "max_age is missing" }, { HEAD "max_age: 86400\n", "mode enforce needs" }, { "", "the policy is empty" },
	};
	for (size_t i = 0; i < SP_COUNT(whole); i++) {
		struct sp_buf why;
		sp_buf_init(&why, 512);
		assert_null(sts_policy_parse(sp_str_of(whole[i].body), NULL, NULL, &why));
		print_message("want %s, got %s\n", whole[i].want, sp_buf_cstr(&why));
		assert_true(sp_str_starts(sp_buf_str(&why), sp_str_of(whole[i].want)));
		sp_buf_clear(&why);
	}
}

/* ---- limits ---- */

static struct sts_policy *parse_many(unsigned count, struct sp_buf *why)
{
	struct sp_buf body;
	sp_buf_init(&body, STS_POLICY_SIZE_MAX);
	sp_buf_adds(&body, "version: STSv1\nmode: enforce\nmax_age: 86400\n");
	for (unsigned i = 0; i < count; i++)
		sp_buf_printf(&body, "mx: mx%u.example.com\n", i);
	assert_false(sp_buf_failed(&body));
	struct sts_policy *p = sts_policy_parse(sp_buf_str(&body), NULL, NULL, why);
	sp_buf_clear(&body);
	return p;
}

static void test_many_patterns(void **state)
{
	(void)state;
	struct sp_buf why;
	sp_buf_init(&why, 1024);
	struct sts_policy *p = parse_many(STS_MX_MAX, &why);
	assert_non_null(p);
	assert_int_equal(sts_policy_mx_count(p), STS_MX_MAX);
	assert_string_equal(sts_policy_mx(p, 999), "mx999.example.com");
	assert_true(sts_policy_allows_mx(p, SP_STR("mx999.example.com")));
	assert_false(sts_policy_allows_mx(p, SP_STR("mx1000.example.com")));
	sts_policy_unref(p);
	assert_null(parse_many(STS_MX_MAX + 1, &why));
	print_message("%s\n", sp_buf_cstr(&why));
	assert_non_null(strstr(sp_buf_cstr(&why), "line 1004: there are more than 1000 mx lines"));
	sp_buf_clear(&why);
}

/* A policy with one line of `len` octets in all. */
static struct sts_policy *parse_padded(size_t len, struct sp_buf *why)
{
	char *body = sp_alloc(len);
	size_t at = (size_t)snprintf(body, len, "%s", HEAD TAIL "x: ");
	memset(body + at, 'y', len - at);
	struct sts_policy *p = sts_policy_parse(sp_str_make(body, len), NULL, NULL, why);
	free(body);
	return p;
}

static void test_sizes(void **state)
{
	(void)state;
	struct sp_buf why;
	sp_buf_init(&why, 1024);
	struct sts_policy *p = parse_padded(STS_POLICY_SIZE_MAX, &why);         /* one very long line */
	assert_non_null(p);
	sts_policy_unref(p);
	p = parse_padded(STS_POLICY_TEXT_MAX, &why);
	assert_non_null(p);
	sts_policy_unref(p);
	assert_null(parse_padded(STS_POLICY_TEXT_MAX + 1, &why));
	assert_non_null(strstr(sp_buf_cstr(&why), "larger"));
	sp_buf_clear(&why);
}

/* The print of the fullest policy is longer than its body, and must still come back from the cache. */
static void test_print_of_the_fullest_policy_parses_back(void **state)
{
	(void)state;
	struct sp_buf body, text;
	sp_buf_init(&body, STS_POLICY_SIZE_MAX);
	sp_buf_init(&text, STS_POLICY_TEXT_MAX);
	sp_buf_adds(&body, "version:STSv1\nmode:enforce\nmax_age:86400");
	for (unsigned i = 0; i < STS_MX_MAX; i++)
		sp_buf_printf(&body, "\nmx:%.58s%03u", A63, i);
	assert_false(sp_buf_failed(&body));
	struct sts_policy *p = sts_policy_parse(sp_buf_str(&body), NULL, NULL, NULL);
	assert_non_null(p);
	sts_policy_print(p, &text);
	assert_true(text.len > STS_POLICY_SIZE_MAX && !sp_buf_failed(&text));
	struct sts_policy *q = sts_policy_parse(sp_buf_str(&text), NULL, NULL, NULL);
	assert_non_null(q);
	assert_true(sts_policy_equal(p, q));
	sts_policy_unref(p);
	sts_policy_unref(q);
	sp_buf_clear(&body);
	sp_buf_clear(&text);
}

/* A long or hostile value is quoted printable and cut: the sentence fits 512 octets. */
static void test_quotes_are_cut(void **state)
{
	(void)state;
	struct sp_buf body, why;
	sp_buf_init(&body, 60000);
	sp_buf_init(&why, 512);
	sp_buf_adds(&body, "version: STSv1\nmode: ");
	for (int i = 0; i < 20000; i++)
		sp_buf_addc(&body, 'z');
	assert_null(sts_policy_parse(sp_buf_str(&body), NULL, NULL, &why));
	print_message("%s\n", sp_buf_cstr(&why));
	assert_false(sp_buf_failed(&why));
	assert_non_null(strstr(sp_buf_cstr(&why), "zzz\"..."));
	sp_buf_clear(&body);
	sp_buf_clear(&why);
}

static void test_refs(void **state)
{
	(void)state;
	struct sts_policy *p = sts_policy_parse(SP_STR(HEAD TAIL), NULL, NULL, NULL);
	assert_ptr_equal(sts_policy_ref(p), p);
	sts_policy_unref(p);
	assert_int_equal(sts_policy_max_age_s(p), 86400);
	sts_policy_unref(p);
	sts_policy_unref(NULL);
	assert_null(sts_policy_ref(NULL));
}

/* ---- patterns ---- */

static const struct { const char *label, *pattern; const char *why; /* NULL: it is one */ } patterns[] = {       /* RFC 8461 3.2, RFC 5321 4.1.2 */
	{ "name", "mx1.example.com", NULL },
	{ "wildcard", "*.example.com", NULL },
	{ "one label", "localhost", NULL },
	{ "wildcard and one label: grammar allows it", "*.com", NULL },
	{ "digits and hyphens", "1-a.2.e--x", NULL },
	{ "upper case", "MX.EXAMPLE", NULL },
	{ "A-label", "xn--bcher-kva.example", NULL },
	{ "label of 63", A63 ".example", NULL },
	{ "name of 253", NAME_253, NULL },
	{ "dot at the end", "mx.example.", NULL },
	{ "digits in front of a top-level domain", "192.0.2.com", NULL },
	{ "top-level domain with a digit", "mx.1a", NULL },
	{ "empty", "", "empty" },
	{ "bare star", "*", "followed by a domain" },
	{ "star and dot", "*.", "followed by a domain" },
	{ "star in the first label", "*foo.com", "whole first label" },
	{ "star at the end of the first label", "foo*.com", "whole first label" },
	{ "star in a later label", "a.*.com", "whole first label" },
	{ "two stars", "*.*.com", "whole first label" },
	{ "double star", "**.com", "whole first label" },
	{ "star at the end", "example.*", "whole first label" },
	{ "leading dot", ".example.com", "empty label" },
	{ "wildcard and two dots", "*..example.com", "empty label" },
	{ "two dots", "a..example", "empty label" },
	{ "two dots at the end", "a.example..", "empty label" },
	{ "only a dot", ".", "empty label" },
	{ "IPv4", "192.0.2.1", "IP address" },
	{ "IPv4 with a dot at the end", "192.0.2.1.", "IP address" },
	{ "IPv4 literal", "[192.0.2.1]", "IP address" },
	{ "IPv6", "2001:db8::1", "IP address" },
	{ "IPv6 loopback", "::1", "IP address" },
	{ "IPv6 literal", "[IPv6:2001:db8::1]", "IP address" },
	{ "a number", "12345", "IP address" },
	{ "port", "mx.example.com:25", "port" },
	{ "colon at the end", "mx.example.com:", "port" },
	{ "wildcard and port", "*.example.com:25", "port" },
	{ "URL", "https://mx.example.com", "port" },
	{ "slash", "mx.example.com/", "letters, digits" },
	{ "underscore", "mx_1.example.com", "letters, digits" },
	{ "underscore in front", "_mx.example.com", "letters, digits" },
	{ "blank", "mx example.com", "letters, digits" },
	{ "at sign", "a@example.com", "letters, digits" },
	{ "U-label", "b\xc3\xbc" "cher.example", "xn--" },
	{ "U-label in front", "\xc3\xbc.example", "xn--" },
	{ "U-label and port", "b\xc3\xbc" "cher.example:25", "xn--" },
	{ "hyphen in front", "-a.example", "hyphen" },
	{ "hyphen at the end", "a-.example", "hyphen" },
	{ "hyphen alone", "-", "hyphen" },
	{ "label of 64", A63 "x.example", "63" },
	{ "name of 254", NAME_253 "i", "253" },
	{ "wildcard of a name of 253", "*." NAME_253, NULL },
};

static void test_patterns(void **state)
{
	(void)state;
	assert_int_equal(strlen(NAME_253), 253);
	for (size_t i = 0; i < SP_COUNT(patterns); i++) {
		const char *why = "unset";
		bool got = sts_mx_pattern_ok(sp_str_of(patterns[i].pattern), &why);
		print_message("%s: want %s, got %s\n", patterns[i].label, patterns[i].why ? patterns[i].why : "ok", got ? "ok" : why);
		assert_int_equal(got, patterns[i].why == NULL);
		if (patterns[i].why)
			assert_non_null(strstr(why, patterns[i].why));
	}
}

static const struct { const char *label, *pattern, *host; bool want; } matches[] = {     /* RFC 8461 4.1 */
	{ "same name", "mx.example.com", "mx.example.com", true },
	{ "case of the host", "mx.example.com", "MX.Example.COM", true },
	{ "case of the pattern", "MX.Example.COM", "mx.example.com", true },
	{ "dot at the end of the host", "mx.example.com", "mx.example.com.", true },
	{ "dot at the end of the pattern", "mx.example.com.", "mx.example.com", true },
	{ "dots at the end of both", "*.example.com.", "mx.example.com.", true },
	{ "A-labels", "mx.xn--bcher-kva.example", "mx.XN--BCHER-KVA.example", true },
	{ "wildcard is one label", "*.example.com", "mx.example.com", true },
	{ "wildcard, case", "*.Example.com", "MX.eXample.COM", true },
	{ "wildcard and an underscore, as DNS may have", "*.example.com", "mx_1.example.com", true },
	{ "wildcard below a top-level domain", "*.com", "example.com", true },
	{ "other name", "mx1.example.com", "mx2.example.com", false },
	{ "suffix", "example.com", "mx.example.com", false },
	{ "longer pattern", "mx.example.com", "example.com", false },
	{ "end of a label", "mx.example.com", "xmx.example.com", false },
	{ "wildcard is not none", "*.example.com", "example.com", false },
	{ "wildcard is not two", "*.example.com", "a.b.example.com", false },
	{ "wildcard is not an empty label", "*.example.com", ".example.com", false },
	{ "wildcard of another domain", "*.example.com", "mx.example.net", false },
	{ "wildcard and the end of a label", "*.example.com", "mx.badexample.com", false },
	{ "wildcard and a host of one label", "*.com", "com", false },
	{ "wildcard and a longer host", "*.example.com", "mx.example.com.evil", false },
	{ "wildcard does not match itself", "*.example.com", "*.example.com", false },
	{ "wildcard is a label of a host name", "*.example.com", "m x.example.com", false },
	{ "wildcard and a hyphen", "*.example.com", "m-x.example.com", true },
	{ "wildcard does not match itself below", "*.example.com", "mx.*.example.com", false },
	{ "label of 63", "*.example", A63 ".example", true },
	{ "label of 64", "*.example", A63 "x.example", false },
	{ "empty host", "mx.example.com", "", false },
	{ "host that is a dot", "*.example.com", ".", false },
	{ "two dots at the end of the host", "mx.example.com", "mx.example.com..", false },
	{ "library style suffix", ".example.com", "mx.example.com", false },
	{ "star matches nothing", "*", "mx", false },
	{ "star in a label matches nothing", "*x.example.com", "mx.example.com", false },
	{ "star in a later label matches nothing", "mx.*.com", "mx.example.com", false },
	{ "star does not match itself", "*foo.com", "*foo.com", false },
	{ "IP address does not match itself", "192.0.2.1", "192.0.2.1", false },
	{ "wildcard matches no IP address", "*.0.2.1", "192.0.2.1", false },
	{ "port does not match itself", "mx.example.com:25", "mx.example.com:25", false },
	{ "empty pattern and host", "", "", false },
	{ "U-label matches nothing", "b\xc3\xbc.example", "b\xc3\xbc.example", false },
};

static void test_matches(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(matches); i++) {
		bool got = sts_mx_match(sp_str_of(matches[i].pattern), sp_str_of(matches[i].host));
		print_message("%s: %s against %s: want %d, got %d\n", matches[i].label, matches[i].host, matches[i].pattern, matches[i].want, got);
		assert_int_equal(got, matches[i].want);
	}
}

static void test_allows_any_of_its_patterns(void **state)
{
	(void)state;
	struct sts_policy *p = sts_policy_parse(SP_STR(HEAD "mx: a.example\nmx: *.b.example\nmx: c.example\nmax_age: 86400\n"), NULL, NULL, NULL);
	static const struct { char host[16]; bool want; } hosts[] = {
		{ "a.example", true }, { "x.b.example.", true }, { "C.EXAMPLE", true }, { "b.example", false }, { "d.example", false },
		{ "x.a.example", false },
	};
	for (size_t i = 0; i < SP_COUNT(hosts); i++) {
		bool got = sts_policy_allows_mx(p, sp_str_of(hosts[i].host));
		print_message("%s: want %d, got %d\n", hosts[i].host, hosts[i].want, got);
		assert_int_equal(got, hosts[i].want);
	}
	sts_policy_unref(p);
	p = sts_policy_parse(SP_STR("version: STSv1\nmode: none\nmax_age: 86400\n"), NULL, NULL, NULL);
	assert_false(sts_policy_allows_mx(p, SP_STR("a.example")));             /* whatever the mode: verdict.c knows what none means */
	sts_policy_unref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows), cmocka_unit_test(test_print_parses_back), cmocka_unit_test(test_canonical_text),
		cmocka_unit_test(test_equal), cmocka_unit_test(test_faults_of_the_whole_name_no_line),
		cmocka_unit_test(test_many_patterns), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_print_of_the_fullest_policy_parses_back), cmocka_unit_test(test_quotes_are_cut),
		cmocka_unit_test(test_refs), cmocka_unit_test(test_patterns), cmocka_unit_test(test_matches),
		cmocka_unit_test(test_allows_any_of_its_patterns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

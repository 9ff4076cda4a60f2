/* tests/unit/sts_record_test.c - sts/record.c: which of a set of TXT records is it, and what is its id. */
#include "sts/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ID32 "abcdefghijklmnopqrstuvwxyz012345"

struct row {
	const char *label;
	const char *txts[4];
	enum sts_record_status want;
	const char *id;         /* on OK */
	const char *why;        /* otherwise: a part of the phrase; NULL: any */
};

#define OK STS_RECORD_OK
#define NONE STS_RECORD_NONE
#define SEVERAL STS_RECORD_SEVERAL
#define INVALID STS_RECORD_INVALID

static const struct row rows[] = {                              /* RFC 8461 3.1 */
	{ "the example of the RFC", { "v=STSv1; id=20160831085700Z;" }, OK, "20160831085700Z", NULL },
	{ "no semicolon at the end", { "v=STSv1; id=a" }, OK, "a", NULL },
	{ "no blanks", { "v=STSv1;id=a;" }, OK, "a", NULL },
	{ "blanks and tabs around semicolons", { "v=STSv1;\t id=a \t; x=y ; " }, OK, "a", NULL },
	{ "blanks behind the last semicolon", { "v=STSv1; id=a;  " }, OK, "a", NULL },
	{ "id of 1", { "v=STSv1; id=7" }, OK, "7", NULL },
	{ "id of 32", { "v=STSv1; id=" ID32 }, OK, ID32, NULL },
	{ "id keeps its case", { "v=STSv1; id=aBcZ09" }, OK, "aBcZ09", NULL },
	{ "id behind an extension", { "v=STSv1; x=y; id=a" }, OK, "a", NULL },
	{ "extension name with all its characters", { "v=STSv1; id=a; 0a.b_c-D=v" }, OK, "a", NULL },
	{ "extension name of 32", { "v=STSv1; id=a; " ID32 "=v" }, OK, "a", NULL },
	{ "extension value with all its limits", { "v=STSv1; id=a; x=!:<>~" }, OK, "a", NULL },
	{ "the first of a repeated id counts, RFC 8461 3.2", { "v=STSv1; id=a; id=b" }, OK, "a", NULL },
	{ "a repeated id need not be one", { "v=STSv1; id=a; id=not-an-id" }, OK, "a", NULL },
	{ "an extension that is called ID", { "v=STSv1; ID=x; id=a" }, OK, "a", NULL },
	{ "a second v is an extension", { "v=STSv1; v=STSv1; id=a" }, OK, "a", NULL },

	/* which record */
	{ "wildcard TXT and SPF at the name are normal", { "v=spf1 -all", "v=STSv1; id=a", "site=x" }, OK, "a", NULL },
	{ "v=STSv10 beside it does not count", { "v=STSv10; id=b", "v=STSv1; id=a" }, OK, "a", NULL },
	{ "no records", { NULL }, NONE, NULL, "no TXT record" },
	{ "only others", { "v=spf1 -all" }, NONE, NULL, "begins with \"v=STSv1;\"" },
	{ "empty record", { "" }, NONE, NULL, NULL },
	{ "several records", { "v=STSv1; id=a", "v=STSv1; id=b" }, SEVERAL, NULL, "remove all but one" },
	{ "several of which one is invalid", { "v=STSv1;", "v=STSv1; id=b" }, SEVERAL, NULL, NULL },
	{ "the same twice", { "v=STSv1; id=a", "v=STSv1; id=a" }, SEVERAL, NULL, NULL },
	{ "several among others", { "v=STSv1;id=a", "v=spf1 -all", "v=STSv1; id=b" }, SEVERAL, NULL, NULL },
	{ "v=STSv10", { "v=STSv10; id=a" }, NONE, NULL, "version 1" },
	{ "lower case version", { "v=stsv1; id=a" }, NONE, NULL, "exactly" },
	{ "upper case V", { "V=STSv1; id=a" }, NONE, NULL, "exactly" },
	{ "blank in front", { " v=STSv1; id=a" }, NONE, NULL, "no blank" },
	{ "blanks and a quote in front", { "  \"v=STSv1; id=a" }, NONE, NULL, "quote" },
	{ "quotes in the record", { "\"v=STSv1; id=a\"" }, NONE, NULL, "quote" },
	{ "v = STSv1", { "v = STSv1; id=a" }, NONE, NULL, "exactly" },
	{ "only the version", { "v=STSv1" }, NONE, NULL, "id=" },
	{ "version and no semicolon", { "v=STSv1 id=a" }, NONE, NULL, NULL },
	{ "comma instead of semicolon", { "v=STSv1, id=a" }, NONE, NULL, NULL },

	/* DESIGN.md: accepted, because the grammar below the rule allows it */
	{ "v=STSv1 ;", { "v=STSv1 ; id=a" }, OK, "a", NULL },
	{ "v=STSv1 with a tab ;", { "v=STSv1\t; id=a;" }, OK, "a", NULL },
	{ "v=STSv1 ; beside an exact one does not count", { "v=STSv1 ; id=b", "v=STSv1; id=a" }, OK, "a", NULL },
	{ "v=STSv1 ; twice", { "v=STSv1 ; id=b", "v=STSv1  ; id=a" }, SEVERAL, NULL, NULL },

	/* its grammar */
	{ "missing id", { "v=STSv1;" }, INVALID, NULL, "id is missing" },
	{ "missing id, blanks", { "v=STSv1; " }, INVALID, NULL, "id is missing" },
	{ "missing id, extension there", { "v=STSv1; x=y;" }, INVALID, NULL, "id is missing" },
	{ "upper case ID is no id", { "v=STSv1; ID=a" }, INVALID, NULL, "id is missing" },
	{ "empty id", { "v=STSv1; id=;" }, INVALID, NULL, "empty" },
	{ "id of 33", { "v=STSv1; id=" ID32 "6" }, INVALID, NULL, "32" },
	{ "hyphen in the id", { "v=STSv1; id=a-b" }, INVALID, NULL, "letters and digits" },
	{ "blank in the id", { "v=STSv1; id=a b" }, INVALID, NULL, "letters and digits" },
	{ "blank before the id", { "v=STSv1; id= a" }, INVALID, NULL, "letters and digits" },
	{ "blank at the end without semicolon", { "v=STSv1; id=a " }, INVALID, NULL, NULL },
	{ "equal sign in the id", { "v=STSv1; id=a=b" }, INVALID, NULL, NULL },
	{ "UTF-8 in the id", { "v=STSv1; id=\xc3\xa9" }, INVALID, NULL, NULL },
	{ "the first of a repeated id is bad", { "v=STSv1; id=a-b; id=a" }, INVALID, NULL, NULL },
	{ "two semicolons", { "v=STSv1; id=a;;" }, INVALID, NULL, "two semicolons" },
	{ "two semicolons in front", { "v=STSv1;; id=a" }, INVALID, NULL, "two semicolons" },
	{ "field without a value", { "v=STSv1; id=a; x" }, INVALID, NULL, "name=value" },
	{ "field with an empty value", { "v=STSv1; id=a; x=" }, INVALID, NULL, "empty" },
	{ "field with an empty name", { "v=STSv1; id=a; =x" }, INVALID, NULL, "name" },
	{ "blank before the equal sign", { "v=STSv1; id =a" }, INVALID, NULL, "name" },
	{ "extension name of 33", { "v=STSv1; id=a; " ID32 "6=v" }, INVALID, NULL, "name" },
	{ "extension name that begins with a hyphen", { "v=STSv1; id=a; -x=v" }, INVALID, NULL, "name" },
	{ "equal sign in an extension value", { "v=STSv1; id=a; x=y=z" }, INVALID, NULL, "value" },
	{ "blank in an extension value", { "v=STSv1; id=a; x=y z" }, INVALID, NULL, "value" },
	{ "control character in an extension value", { "v=STSv1; id=a; x=y\x01" }, INVALID, NULL, "value" },
	{ "UTF-8 in an extension value", { "v=STSv1; id=a; x=\xc3\xa9" }, INVALID, NULL, "value" },
	{ "DEL in an extension value", { "v=STSv1; id=a; x=\x7f" }, INVALID, NULL, "value" },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		struct sp_str txts[4];
		size_t count = 0;
		for (; count < 4 && r->txts[count]; count++)
			txts[count] = sp_str_of(r->txts[count]);
		char id[STS_ID_MAX + 1];
		memset(id, 'x', sizeof(id));
		const char *why = NULL;
		enum sts_record_status got = sts_record_parse(txts, count, id, &why);
		print_message("%s: want %d %s, got %d %s (%s)\n", r->label, r->want, r->id ? r->id : "", got, id, why ? why : "");
		assert_int_equal(got, r->want);
		assert_string_equal(id, r->id ? r->id : "");
		if (got != STS_RECORD_OK)
			assert_non_null(why);
		if (r->why)
			assert_non_null(strstr(why, r->why));
	}
}

static void test_a_nul_ends_nothing(void **state)
{
	(void)state;
	static const struct { const char *label; struct sp_str txt; } nul_rows[] = {
		{ "NUL in the id", { "v=STSv1; id=a\0b", 15 } },
		{ "NUL behind the id", { "v=STSv1; id=a\0", 14 } },
		{ "NUL in a value", { "v=STSv1; id=a; x=y\0", 19 } },
	};
	for (size_t i = 0; i < SP_COUNT(nul_rows); i++) {
		char id[STS_ID_MAX + 1];
		const char *why;
		enum sts_record_status got = sts_record_parse(&nul_rows[i].txt, 1, id, &why);
		print_message("%s: want %d, got %d\n", nul_rows[i].label, STS_RECORD_INVALID, got);
		assert_int_equal(got, STS_RECORD_INVALID);
	}
}

/* A record of several strings, the longest that DNS allows: no limit of ours. */
static void test_a_long_record(void **state)
{
	(void)state;
	static char text[60000];
	size_t at = (size_t)snprintf(text, sizeof(text), "v=STSv1; id=a; x=");
	memset(text + at, 'y', sizeof(text) - at);
	struct sp_str txt = sp_str_make(text, sizeof(text));
	char id[STS_ID_MAX + 1];
	const char *why;
	assert_int_equal(sts_record_parse(&txt, 1, id, &why), STS_RECORD_OK);
	assert_string_equal(id, "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows), cmocka_unit_test(test_a_nul_ends_nothing), cmocka_unit_test(test_a_long_record),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

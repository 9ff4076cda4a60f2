/* core/tagged.c: which TXT record of a set is it? The records' own grammars are in sts_record_test.c and rpt_record_test.c. */
#include "core/tagged.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define V SP_STR("v=STSv1")

static const struct { const char *label; const char *txts[3]; size_t want; const char *found; enum sp_tagged_slip slip; } rows[] = {
	{ "no record",            { NULL }, 0, NULL, SP_TAGGED_EMPTY },
	{ "one among others",     { "v=spf1 -all", "v=STSv1; id=1" }, 1, "v=STSv1; id=1", 0 },
	{ "two",                  { "v=STSv1; id=1", "v=STSv1;id=2" }, 2, "v=STSv1;id=2", 0 },
	{ "a blank before ;",     { "v=STSv1 ; id=1" }, 1, "v=STSv1 ; id=1", 0 },
	{ "the exact one wins",   { "v=STSv1 ; id=1", "v=STSv1; id=2" }, 1, "v=STSv1; id=2", 0 },
	{ "another version",      { "v=STSv10; id=1" }, 0, NULL, SP_TAGGED_RESEMBLES },
	{ "other letters",        { "V=stsV1; id=1" }, 0, NULL, SP_TAGGED_RESEMBLES },
	{ "a quote before it",    { "\"v=STSv1; id=1\"" }, 0, NULL, SP_TAGGED_RESEMBLES },
	{ "cut",                  { "v=STSv1" }, 0, NULL, SP_TAGGED_CUT },
	{ "others",               { "v=spf1 -all", "" }, 0, NULL, SP_TAGGED_OTHERS },
};

static void test_find(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_str txts[3], found = { NULL, 0 };
		size_t count = 0;
		for (; count < 3 && rows[i].txts[count]; count++)
			txts[count] = sp_str_of(rows[i].txts[count]);
		size_t got = sp_tagged_find(txts, count, V, &found);
		print_message("%s: want %zu, got %zu\n", rows[i].label, rows[i].want, got);
		assert_int_equal(got, rows[i].want);
		if (got > 0)
			assert_true(sp_str_eq(found, sp_str_of(rows[i].found)));
		else
			assert_int_equal(sp_tagged_slip(txts, count, V), rows[i].slip);
	}
}

static const struct { const char *name; bool want; } names[] = {
	{ "id", true }, { "a-b_c.d", true }, { "9", true }, { "", false }, { "-a", false }, { "a b", false }, { "a=", false },
	{ "abcdefghijklmnopqrstuvwxyz012345", true }, { "abcdefghijklmnopqrstuvwxyz0123456", false },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(names); i++) {
		print_message("'%s': want %d\n", names[i].name, names[i].want);
		assert_int_equal(sp_tagged_name_ok(sp_str_of(names[i].name)), names[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_find), cmocka_unit_test(test_names) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

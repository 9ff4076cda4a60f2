/* The query of a request on the control socket (relay/query.h). */
#include "relay/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct got { const char *text, *domain; uint64_t number; int64_t day; bool flag; };

static bool read_query(const char *query, struct got *g, struct sp_arena *arena)
{
	const struct query_field fields[] = { { "text", QUERY_TEXT, &g->text }, { "domain", QUERY_DOMAIN, &g->domain },
	                                      { "number", QUERY_NUMBER, &g->number }, { "day", QUERY_DAY, &g->day }, { "flag", QUERY_FLAG, &g->flag } };
	struct sp_buf why;
	*g = (struct got){ .day = -1 };
	sp_buf_init(&why, 4096);
	bool good = query_read(sp_str_of(query), fields, SP_COUNT(fields), arena, &why);
	assert_int_equal(good, why.len == 0);
	sp_buf_clear(&why);
	return good;
}

static void test_refused(void **state)
{
	(void)state;
	static const struct { const char *label, *query; } rows[] = {
		{ "not known",              "other=1" },
		{ "twice",                  "flag=1&flag=1" },
		{ "no value",               "day" },
		{ "nothing between",        "flag=1&&day=2026-11-22" },
		{ "cut escape",             "text=%4" },
		{ "lone percent",           "text=%" },
		{ "not hexadecimal",        "text=%4g" },
		{ "NUL",                    "text=a%00b" },
		{ "line end",               "text=a%0D%0Ab" },
		{ "not UTF-8",              "text=%C3" },
		{ "overlong",               "text=%C0%AF" },
		{ "control of C1",          "text=%C2%85" },
		{ "no day",                 "day=2026-02-29" },
		{ "day and more",           "day=2026-02-28x" },
		{ "number and more",        "number=1%20" },
		{ "negative",               "number=-1" },
		{ "too large",              "number=9223372036854775808" },
		{ "flag",                   "flag=yes" },
		{ "no domain",              "domain=a..b" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct got g;
		print_message("%s\n", rows[i].label);
		assert_false(read_query(rows[i].query, &g, &arena));
		sp_arena_clear(&arena);
	}
}

static void test_read(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct got g;
	assert_true(read_query("", &g, &arena));
	assert_null(g.text);
	assert_true(read_query("text=a+b%26c%3d%41&domain=EXAMPLE.com.&number=9223372036854775807&day=1970-01-03&flag=1", &g, &arena));
	assert_string_equal(g.text, "a+b&c=A");
	assert_string_equal(g.domain, "example.com");
	assert_int_equal(g.number, INT64_MAX);
	assert_int_equal(g.day, 2);
	assert_true(g.flag);
	assert_true(read_query("text=j%C3%BCrg%40a.example&domain=b%C3%BCcher.example", &g, &arena));      /* RFC 6531, RFC 5890 */
	assert_string_equal(g.text, "j\xc3\xbcrg@a.example");
	assert_string_equal(g.domain, "xn--bcher-kva.example");
	assert_true(read_query("flag=0&text=", &g, &arena));
	assert_false(g.flag);
	assert_string_equal(g.text, "");
	sp_arena_clear(&arena);
}

static void test_written_is_read(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct sp_buf target;
	struct got g;
	char all[96] = "";
	for (int c = ' '; c <= '~'; c++)
		all[c - ' '] = (char)c;
	sp_buf_init(&target, 4096);
	sp_buf_adds(&target, "/list");
	query_add(&target, "domain", NULL);
	query_add(&target, "text", all);
	query_add(&target, "flag", "1");
	assert_memory_equal(sp_buf_cstr(&target), "/list?text=%20%21", 17);
	assert_true(read_query(sp_buf_cstr(&target) + 6, &g, &arena));
	assert_string_equal(g.text, all);
	assert_true(g.flag);
	sp_buf_clear(&target);
	sp_arena_clear(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_refused), cmocka_unit_test(test_read), cmocka_unit_test(test_written_is_read) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

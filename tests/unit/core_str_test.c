/* tests/unit/core_str_test.c - core/str.c, buf.c, arena.c, map.c, list.h: the ground everything stands on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/buf.h"
#include "core/list.h"
#include "core/map.h"

/* ---- str ---- */

static void test_digits(void **state)
{
	(void)state;
	static const struct { const char *label, *text; unsigned max; bool ok; uint64_t want; const char *rest; } rows[] = {
		{ "one", "7", 1, true, 7, "" },
		{ "stops at others", "12ab", 5, true, 12, "ab" },
		{ "leading zeros count as digits", "007", 3, true, 7, "" },
		{ "too many digits", "1234", 3, false, 0, "1234" },
		{ "none", "x1", 3, false, 0, "x1" },
		{ "empty", "", 3, false, 0, "" },
		{ "sign is not a digit", "-1", 3, false, 0, "-1" },
		{ "2^64-1", "18446744073709551615", 20, true, UINT64_MAX, "" },
		{ "2^64", "18446744073709551616", 20, false, 0, "18446744073709551616" },
		{ "more than a number holds", "99999999999999999999", 20, false, 0, "99999999999999999999" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_str s = sp_str_of(rows[i].text);
		uint64_t got = 0;
		bool ok = sp_take_digits(&s, rows[i].max, &got);
		if (ok != rows[i].ok || got != rows[i].want || !sp_str_eq(s, sp_str_of(rows[i].rest)))
			fail_msg("%s: got %d %llu", rows[i].label, ok, (unsigned long long)got);
	}
}

static void test_lines(void **state)
{
	(void)state;
	static const struct { const char *label, *text, *want; } rows[] = {
		{ "LF", "a\nb\n", "[a][b]" },
		{ "CRLF", "a\r\nb\r\n", "[a][b]" },
		{ "no end on the last", "a\nb", "[a][b]" },
		{ "empty ones", "\n\r\nx", "[][][x]" },
		{ "only one CR is the end's", "a\r\r\n", "[a\r]" },
		{ "a lone CR ends nothing", "a\rb", "[a\rb]" },
		{ "nothing", "", "" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_str s = sp_str_of(rows[i].text), line;
		struct sp_buf got;
		sp_buf_init(&got, 100);
		while (sp_take_line(&s, &line))
			sp_buf_printf(&got, "[%.*s]", SP_STR_ARG(line));
		if (strcmp(sp_buf_cstr(&got), rows[i].want) != 0)
			fail_msg("%s: got %s", rows[i].label, sp_buf_cstr(&got));
		sp_buf_clear(&got);
	}
}

static void test_takers(void **state)
{
	(void)state;
	struct sp_str s = SP_STR("MAIL FROM:<a>"), until;
	assert_false(sp_take_prefix(&s, SP_STR("mail")));
	assert_true(sp_take_prefix_nocase(&s, SP_STR("mail")));
	assert_int_equal(sp_take_blanks(&s), 1);
	assert_false(sp_take_char(&s, 'x'));
	until = sp_take_until(&s, ':');
	assert_true(sp_str_eq(until, SP_STR("FROM")));
	assert_true(sp_take_char(&s, '<'));
	until = sp_take_until(&s, ':');                 /* none left: all */
	assert_true(sp_str_eq(until, SP_STR("a>")));
	assert_int_equal(s.len, 0);
	assert_true(sp_str_eq(sp_str_trim(SP_STR(" \t a b \t")), SP_STR("a b")));
	assert_int_equal(sp_str_trim(SP_STR(" \t")).len, 0);
	assert_true(sp_str_ends(SP_STR("mx.example.com"), SP_STR(".com")));
	assert_false(sp_str_ends(SP_STR("om"), SP_STR(".com")));
	assert_true(sp_str_eq_nocase(SP_STR("eXample"), SP_STR("ExAMPLE")));
	assert_false(sp_str_eq_nocase(SP_STR("[\\"), SP_STR("{|")));    /* letters only */
	uint64_t n = 0;
	assert_true(sp_str_number(SP_STR("600"), 1, 600, &n));
	assert_int_equal(n, 600);
	assert_false(sp_str_number(SP_STR("601"), 1, 600, &n));
	assert_false(sp_str_number(SP_STR("0"), 1, 600, &n));
	assert_false(sp_str_number(SP_STR("5 "), 1, 600, &n));
	assert_true(sp_str_eq(sp_str_of(NULL), SP_STR("")));
}

/* ---- buf ---- */

static void test_buf_keeps_its_ceiling(void **state)
{
	(void)state;
	struct sp_buf b;
	sp_buf_init(&b, 8);
	sp_buf_adds(&b, "12345678");
	assert_false(sp_buf_failed(&b));
	sp_buf_addc(&b, '9');
	assert_true(sp_buf_failed(&b));
	assert_string_equal(sp_buf_cstr(&b), "12345678");
	sp_buf_adds(&b, "");                            /* failure sticks */
	assert_true(sp_buf_failed(&b));
	sp_buf_reset(&b);
	assert_false(sp_buf_failed(&b));
	sp_buf_printf(&b, "%s-%d", "abc", 42);
	assert_string_equal(sp_buf_cstr(&b), "abc-42");
	sp_buf_printf(&b, "%s", "too much for it");
	assert_true(sp_buf_failed(&b));
	assert_string_equal(sp_buf_cstr(&b), "abc-42");
	sp_buf_clear(&b);
	assert_string_equal(sp_buf_cstr(&b), "");
}

static void test_buf_moves(void **state)
{
	(void)state;
	struct sp_buf b;
	sp_buf_init(&b, 100000);
	for (int i = 0; i < 1000; i++)
		sp_buf_printf(&b, "%04d", i);
	assert_int_equal(b.len, 4000);
	sp_buf_consume(&b, 3996);
	assert_string_equal(sp_buf_cstr(&b), "0999");
	sp_buf_truncate(&b, 2);
	assert_string_equal(sp_buf_cstr(&b), "09");
	char *room = sp_buf_room(&b, 50000);
	assert_non_null(room);
	memset(room, 'x', 50000);
	sp_buf_wrote(&b, 50000);
	assert_int_equal(b.len, 50002);
	assert_null(sp_buf_room(&b, 60000));
	sp_buf_reset(&b);
	sp_buf_add_printable(&b, SP_STR("a\r\nb\x1b[0m\x80"));
	assert_string_equal(sp_buf_cstr(&b), "a??b?[0m?");
	char *taken = sp_buf_take(&b);
	assert_string_equal(taken, "a??b?[0m?");
	assert_int_equal(b.len, 0);
	free(taken);
	taken = sp_buf_take(&b);                        /* of nothing: never NULL */
	assert_string_equal(taken, "");
	free(taken);
}

/* ---- arena ---- */

static void test_arena(void **state)
{
	(void)state;
	struct sp_arena a = SP_ARENA_EMPTY;
	for (int round = 0; round < 2; round++) {
		char *first = sp_arena_printf(&a, "%s=%d", "key", 5);
		for (size_t size = 0; size < 20000; size += 777) {
			unsigned char *p = sp_arena_alloc(&a, size);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
			for (size_t i = 0; i < size; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xff, size);
		}
		assert_string_equal(first, "key=5");
		assert_string_equal(sp_arena_dup(&a, sp_str_make("abcdef", 3)), "abc");
		assert_null(sp_arena_strdup(&a, NULL));
		sp_arena_clear(&a);
	}
}

/* ---- list ---- */

struct item {
	int value;
	struct sp_link link;            /* in the test's list */
};

static void test_list(void **state)
{
	(void)state;
	struct sp_link head;
	struct item items[5] = { { .value = 0 } };
	sp_list_init(&head);
	assert_null(sp_list_first(&head));
	assert_null(sp_list_pop(&head));
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		assert_false(sp_link_used(&items[i].link));
		sp_list_push_back(&head, &items[i].link);
	}
	SP_LIST_EACH(&head, l)                          /* the body may remove what it is at */
		if (sp_container_of(l, struct item, link)->value % 2)
			sp_list_remove(l);
	sp_list_remove(&items[1].link);                 /* in no list: fine */
	sp_list_push_front(&head, &items[3].link);
	static const int want[] = { 3, 0, 2, 4 };
	assert_ptr_equal(sp_list_last(&head), &items[4].link);
	for (size_t i = 0; i < SP_COUNT(want); i++)
		assert_int_equal(sp_container_of(sp_list_pop(&head), struct item, link)->value, want[i]);
	assert_true(sp_list_empty(&head));
}

/* ---- map ---- */

struct entry {
	struct sp_map_node node;
	char key[16];
	bool seen;
};

static void see_and_remove_even(struct sp_map_node *n, void *arg)
{
	struct entry *e = sp_container_of(n, struct entry, node);
	assert_false(e->seen);
	e->seen = true;
	if (atoi(e->key) % 2 == 0)
		sp_map_remove(arg, n);
}

static void test_map(void **state)
{
	(void)state;
	enum { COUNT = 2000 };
	struct entry *entries = sp_alloc_array(COUNT, sizeof(*entries));
	struct sp_map m;
	sp_map_init(&m);
	assert_null(sp_map_find(&m, SP_STR("0")));
	assert_null(sp_map_any(&m));
	for (int i = 0; i < COUNT; i++) {
		snprintf(entries[i].key, sizeof(entries[i].key), "%d", i);
		sp_map_insert(&m, &entries[i].node, sp_str_of(entries[i].key));
	}
	assert_int_equal(m.count, COUNT);
	for (int i = 0; i < COUNT; i++)
		assert_ptr_equal(sp_map_find(&m, sp_str_of(entries[i].key)), &entries[i].node);
	sp_map_each(&m, see_and_remove_even, &m);
	for (int i = 0; i < COUNT; i++) {
		assert_true(entries[i].seen);
		assert_ptr_equal(sp_map_find(&m, sp_str_of(entries[i].key)), i % 2 ? &entries[i].node : NULL);
	}
	assert_int_equal(m.count, COUNT / 2);
	for (struct sp_map_node *n; (n = sp_map_any(&m)) != NULL;)
		sp_map_remove(&m, n);
	assert_int_equal(m.count, 0);
	sp_map_clear(&m);
	free(entries);
}

static const struct { const char *text; char mark; int want; const char *left; } escapes[] = {
	{ "%41b", '%', 'A', "b" }, { "=e9", '=', 0xe9, "" }, { "%4", '%', -1, "%4" }, { "%4g", '%', -1, "%4g" }, { "%g4", '%', -1, "%g4" },
	{ "=41", '%', -1, "=41" }, { "", '%', -1, "" }, { "%00", '%', 0, "" }, { "%aF", '%', 0xaf, "" },
};

static void test_escapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(escapes); i++) {
		struct sp_str s = sp_str_of(escapes[i].text);
		char c = 0;
		int got = sp_take_escape(&s, escapes[i].mark, &c) ? (unsigned char)c : -1;
		print_message("'%s': want %d, got %d\n", escapes[i].text, escapes[i].want, got);
		assert_int_equal(got, escapes[i].want);
		assert_true(sp_str_eq(s, sp_str_of(escapes[i].left)));
	}
}

static void test_among(void **state)
{
	(void)state;
	static const char *const names[] = { "open", "mailed" };
	size_t i = 7;
	assert_false(sp_str_among(SP_STR("Open"), names, SP_COUNT(names), &i));
	assert_false(sp_str_among(SP_STR(""), names, SP_COUNT(names), &i));
	assert_int_equal(i, 7);
	assert_true(sp_str_among(SP_STR("mailed"), names, SP_COUNT(names), &i));
	assert_int_equal(i, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digits),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_takers),
		cmocka_unit_test(test_buf_keeps_its_ceiling),
		cmocka_unit_test(test_buf_moves),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_among),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

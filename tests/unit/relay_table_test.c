/* tests/unit/relay_table_test.c - relay/table.c: widths, cuts, notes, streams of rows. */
#include "pty_fixture.h"
#include "relay/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define OUT_MAX (1 << 20)

static const struct table_column columns[] = { { "id", false, false }, { "size", true, false }, { "sender", false, true }, { "reason", false, true } };

static void add(struct table *t, const char *id, int size, const char *sender, const char *reason)
{
	table_cell(t, id);
	table_int(t, size);
	table_cell(t, sender);
	table_cell(t, reason);
}

static void slurp(FILE *f, struct sp_buf *out)
{
	int c;
	rewind(f);
	while ((c = getc(f)) != EOF)
		sp_buf_addc(out, (char)c);
	fclose(f);
}

static void test_columns_are_as_wide_as_what_they_hold(void **state SP_UNUSED)
{
	FILE *f = tmpfile();
	struct sp_buf out;
	sp_buf_init(&out, OUT_MAX);
	struct table *t = table_begin(f, columns, SP_COUNT(columns));
	add(t, "a1", 5, "bob@example.com", "no route\033[31m");
	table_note(t, "endpoint: 404");
	add(t, "a22", 12345, NULL, "");
	table_cell(t, "a3");
	table_int(t, 1);
	table_cell_colour(t, "<>", TERMINAL_BAD);
	table_cell(t, "a reason longer than any terminal is wide, which in a file is nevertheless not cut, as it may be read by a program");
	table_end(t, "nothing");
	slurp(f, &out);
	assert_string_equal(sp_buf_cstr(&out),
	                    "id    size  sender           reason\n"
	                    "a1       5  bob@example.com  no route?[31m\n"
	                    "    endpoint: 404\n"
	                    "a22  12345\n"
	                    "a3       1  <>               a reason longer than any terminal is wide, which in a file is nevertheless not cut, as it may be read by a program\n");
	sp_buf_clear(&out);
}

static void test_without_rows(void **state SP_UNUSED)
{
	struct sp_buf out;
	sp_buf_init(&out, OUT_MAX);
	FILE *f = tmpfile();
	table_end(table_begin(f, columns, SP_COUNT(columns)), NULL);
	table_end(table_begin(f, columns, SP_COUNT(columns)), "the queue is empty");
	slurp(f, &out);
	assert_string_equal(sp_buf_cstr(&out), "the queue is empty\n");
	sp_buf_clear(&out);
}

static void test_a_wider_row_behind_those_that_decide_is_not_cut(void **state SP_UNUSED)
{
	FILE *f = tmpfile();
	struct sp_buf out;
	sp_buf_init(&out, OUT_MAX);
	struct table *t = table_begin(f, columns, SP_COUNT(columns));
	for (int i = 0; i < TABLE_FIT; i++)
		add(t, "a", i, "b", "c");
	assert_true(ftell(f) > 0);              /* they do not wait for the end */
	add(t, "longer than the title", 1, "b@example.com", "c");
	table_end(t, NULL);
	slurp(f, &out);
	assert_non_null(strstr(sp_buf_cstr(&out), "\na    198  b       c\n"));
	assert_non_null(strstr(sp_buf_cstr(&out), "\nlonger than the title     1  b@example.com  c\n"));
	sp_buf_clear(&out);
}

static void test_flush_prints_and_goes_on(void **state SP_UNUSED)
{
	FILE *f = tmpfile();
	struct sp_buf out;
	sp_buf_init(&out, OUT_MAX);
	struct table *t = table_begin(f, columns, SP_COUNT(columns));
	add(t, "a", 1, "b", "c");
	table_flush(t);
	assert_true(ftell(f) > 0);
	add(t, "d", 2, "e", "f");
	table_end(t, NULL);
	slurp(f, &out);
	assert_string_equal(sp_buf_cstr(&out), "id  size  sender  reason\na      1  b       c\nd      2  e       f\n");
	sp_buf_clear(&out);
}

static void test_a_narrow_terminal_cuts_the_last_that_shrinks_first(void **state SP_UNUSED)
{
	static const struct { unsigned columns; const char *want; } rows[] = {
		{ 60, "a1     5  somebody@mail.example.com  a reason which is ra...\n" },
		{ 46, "a1     5  somebody@mail.example.com  a reas...\n" },
		{ 44, "a1     5  somebody@mail.example...  a rea...\n" },
	};
	setenv("TERM", "xterm", 1);
	setenv("NO_COLOR", "1", 1);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct pty p;
		struct sp_buf out;
		sp_buf_init(&out, OUT_MAX);
		pty_open(&p, rows[i].columns, 24);
		struct table *t = table_begin(p.f, columns, SP_COUNT(columns));
		add(t, "a1", 5, "somebody@mail.example.com", "a reason which is rather long, all things considered");
		table_end(t, NULL);
		pty_read(&p, &out);
		pty_close(&p);
		const char *second = strchr(sp_buf_cstr(&out), '\n') + 1;
		print_message("%u columns: want %sgot            %s", rows[i].columns, rows[i].want, second);
		assert_string_equal(second, rows[i].want);
		sp_buf_clear(&out);
	}
}

static void test_colours_are_for_terminals_and_take_no_room(void **state SP_UNUSED)
{
	struct pty p;
	struct sp_buf out;
	sp_buf_init(&out, OUT_MAX);
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	pty_open(&p, 80, 24);
	struct table *t = table_begin(p.f, (struct table_column[]){ { "a", false, false }, { "b", false, false } }, 2);
	table_cell_colour(t, "bad", TERMINAL_BAD);
	table_cell(t, "x");
	table_end(t, NULL);
	pty_read(&p, &out);
	pty_close(&p);
	assert_string_equal(sp_buf_cstr(&out), "\033[1ma\033[m    \033[1mb\033[m\n\033[31mbad\033[m  x\n");
	sp_buf_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_are_as_wide_as_what_they_hold),
		cmocka_unit_test(test_without_rows),
		cmocka_unit_test(test_a_wider_row_behind_those_that_decide_is_not_cut),
		cmocka_unit_test(test_flush_prints_and_goes_on),
		cmocka_unit_test(test_a_narrow_terminal_cuts_the_last_that_shrinks_first),
		cmocka_unit_test(test_colours_are_for_terminals_and_take_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

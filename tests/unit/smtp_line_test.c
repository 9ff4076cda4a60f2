/* tests/unit/smtp_line_test.c - smtp/line.c: command lines, whole, in pieces, too long, wrongly ended. */
#include "smtp/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What reading `in` in pieces gives: "[line]" for each line, "L" too long, "B" bare LF, "H" hopeless. */
static const char *read_all(struct sp_str in, bool allow_bare_lf, size_t piece, struct sp_buf *out)
{
	struct smtp_line_reader r;
	smtp_line_reader_init(&r, allow_bare_lf);
	sp_buf_reset(out);
	bool hopeless = false;
	while (in.len > 0 && !hopeless) {
		struct sp_str part = sp_str_make(in.p, sp_min(piece, in.len)), line;
		in = sp_str_from(in, part.len);
		enum smtp_line_status status;
		while (!hopeless && (status = smtp_line_read(&r, &part, &line)) != SMTP_LINE_MORE) {
			if (status == SMTP_LINE_DONE)
				sp_buf_printf(out, "[%.*s]", SP_STR_ARG(line));
			else
				sp_buf_addc(out, status == SMTP_LINE_TOO_LONG ? 'L' : status == SMTP_LINE_BARE_LF ? 'B' : 'H');
			hopeless = status == SMTP_LINE_HOPELESS;
		}
		assert_true(hopeless || part.len == 0);
	}
	smtp_line_reader_clear(&r);
	return sp_buf_cstr(out);
}

static const struct { const char *label, *in, *want, *allowed; } rows[] = {
	{ "one", "NOOP\r\n", "[NOOP]", "[NOOP]" },
	{ "two and a start", "A\r\nB\r\nC", "[A][B]", "[A][B]" },
	{ "empty", "\r\n\r\n", "[][]", "[][]" },
	{ "a bare CR is text", "A\rB\r\n", "[A\rB]", "[A\rB]" },
	{ "CR CR LF", "A\r\r\n", "[A\r]", "[A\r]" },
	{ "a bare LF is told, its line dropped", "A\nB\r\nC\r\n", "B[C]", "[A][B][C]" },
	{ "LF first", "\nB\r\nC\r\n", "B[C]", "[][B][C]" },
	{ "two bare LFs are hopeless", "A\nB\nC\r\n", "BH", "[A][B][C]" },
	{ "one in each of two lines is not", "A\nB\r\nC\nD\r\nE\r\n", "BB[E]", "[A][B][C][D][E]" },
};

static void line_rows(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, 4096);
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		for (size_t piece = 1; piece < 12; piece++) {
			assert_string_equal(read_all(sp_str_of(rows[i].in), false, piece, &out), rows[i].want);
			assert_string_equal(read_all(sp_str_of(rows[i].in), true, piece, &out), rows[i].allowed);
		}
	sp_buf_clear(&out);
}

static void length_rows(void **state)           /* DESIGN.md, limits */
{
	(void)state;
	static const struct { const char *label; size_t len; char want; } lengths[] = {
		{ "promised", 2048, '[' },
		{ "the longest", SMTP_LINE_MAX, '[' },
		{ "one more", SMTP_LINE_MAX + 1, 'L' },
		{ "the longest that is dropped", SMTP_LINE_DROP_MAX, 'L' },
		{ "longer still", SMTP_LINE_DROP_MAX + 1, 'H' },
	};
	static const size_t pieces[] = { 1, 1000, 8191, 8192, 8193, 100000 };
	struct sp_buf out;
	sp_buf_init(&out, 100000);
	for (size_t i = 0; i < SP_COUNT(lengths); i++) {
		size_t len = lengths[i].len;
		char *line = sp_alloc(len + 3);
		memset(line, 'x', len);
		memcpy(line + len - 2, "\r\nA\r\n", 5);
		for (size_t p = 0; p < SP_COUNT(pieces); p++) {
			const char *got = read_all(sp_str_make(line, len + 3), false, pieces[p], &out);
			if (got[0] != lengths[i].want || (got[0] != 'H' && strcmp(got + strlen(got) - 3, "[A]") != 0))
				fail_msg("%s, pieces of %zu: got %.3s, %zu octets", lengths[i].label, pieces[p], got, strlen(got));
			if (got[0] == '[')
				assert_int_equal(strlen(got), len - 2 + 2 + 3);
		}
		free(line);
	}
	sp_buf_clear(&out);
}

static void a_line_without_end_is_hopeless(void **state)
{
	(void)state;
	struct smtp_line_reader r;
	smtp_line_reader_init(&r, false);
	char block[4096];
	memset(block, 'x', sizeof(block));
	enum smtp_line_status status = SMTP_LINE_MORE;
	for (unsigned i = 0; i < 16; i++) {
		struct sp_str in = sp_str_make(block, sizeof(block)), line;
		assert_int_equal(status, SMTP_LINE_MORE);
		status = smtp_line_read(&r, &in, &line);
		assert_true(r.partial.cap <= SMTP_LINE_MAX + 1);
	}
	struct sp_str in = sp_str_make(block, 1), line;
	assert_int_equal(smtp_line_read(&r, &in, &line), SMTP_LINE_HOPELESS);
	in = SP_STR("\r\nNOOP\r\n");
	assert_int_equal(smtp_line_read(&r, &in, &line), SMTP_LINE_HOPELESS);
	assert_int_equal(r.partial.cap, 0);
	smtp_line_reader_clear(&r);
}

static void a_whole_line_is_not_copied(void **state)
{
	(void)state;
	struct smtp_line_reader r;
	smtp_line_reader_init(&r, false);
	struct sp_str in = SP_STR("NOOP\r\nQUIT\r\n"), line;
	const char *start = in.p;
	assert_int_equal(smtp_line_read(&r, &in, &line), SMTP_LINE_DONE);
	assert_ptr_equal(line.p, start);
	assert_int_equal(smtp_line_read(&r, &in, &line), SMTP_LINE_DONE);
	assert_ptr_equal(line.p, start + 6);
	assert_null(r.partial.p);
	smtp_line_reader_clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_rows),
		cmocka_unit_test(length_rows),
		cmocka_unit_test(a_line_without_end_is_hopeless),
		cmocka_unit_test(a_whole_line_is_not_copied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

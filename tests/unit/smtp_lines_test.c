/* tests/unit/smtp_lines_test.c - smtp/lines.c: what needs BINARYMIME, whatever pieces it comes in. */
#include "smtp/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static char x998[998 + 3], x999[999 + 3], x999_cr[999 + 3];

static const struct { const char *label; struct sp_str text; bool fine; } rows[] = {
	{ "nothing", SP_STR(""), true },
	{ "lines", SP_STR("a\r\n\r\nb\r\n"), true },
	{ "octets over 127", SP_STR("\xc3\xb6\xff\r\n"), true },
	{ "a line of 998 octets, RFC 5322 2.1.1", { x998, 1000 }, true },
	{ "a line of 999 octets", { x999, 1001 }, false },
	{ "a line of 998 octets and a CR too many", { x999_cr, 1001 }, false },
	{ "no end of line", SP_STR("a\r\nb"), false },
	{ "half an end of line", SP_STR("a\r"), false },
	{ "a bare LF", SP_STR("a\nb\r\n"), false },
	{ "a bare LF at the start", SP_STR("\na\r\n"), false },
	{ "a bare CR", SP_STR("a\rb\r\n"), false },
	{ "two CR", SP_STR("a\r\r\n"), false },
	{ "a NUL", SP_STR("a\0b\r\n"), false },
};

static void line_rows(void **state)
{
	(void)state;
	memset(x998, 'x', sizeof(x998));
	memcpy(x998 + 998, "\r\n", 2);
	memset(x999, 'x', sizeof(x999));
	memcpy(x999 + 999, "\r\n", 2);
	memcpy(x999_cr, x999, sizeof(x999));
	x999_cr[998] = '\r';
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		for (size_t piece = 1; piece <= rows[i].text.len + 1; piece++) {
			struct smtp_lines l = { 0 };
			for (struct sp_str rest = rows[i].text; rest.len > 0; rest = sp_str_from(rest, sp_min(piece, rest.len)))
				smtp_lines_feed(&l, sp_str_make(rest.p, sp_min(piece, rest.len)));
			if (smtp_lines_fine(&l) != rows[i].fine)
				fail_msg("%s, pieces of %zu", rows[i].label, piece);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(line_rows) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

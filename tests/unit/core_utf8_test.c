/* tests/unit/core_utf8_test.c - core/utf8.c: where a character ends, and what is none. */
#include "core/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct { const char *label; struct sp_str text; size_t len; uint32_t code; } rows[] = {
	{ "nothing", { "", 0 }, 0, 0 },
	{ "NUL", { "", 1 }, 1, 0 },
	{ "ASCII", { "ab", 2 }, 1, 'a' },
	{ "two octets, the least", { "\xc2\x80", 2 }, 2, 0x80 },
	{ "two octets, the most", { "\xdf\xbf", 2 }, 2, 0x7ff },
	{ "three octets, the least", { "\xe0\xa0\x80", 3 }, 3, 0x800 },
	{ "before the surrogates", { "\xed\x9f\xbf", 3 }, 3, 0xd7ff },
	{ "behind the surrogates", { "\xee\x80\x80", 3 }, 3, 0xe000 },
	{ "four octets, the least", { "\xf0\x90\x80\x80", 4 }, 4, 0x10000 },
	{ "the last of all", { "\xf4\x8f\xbf\xbf", 4 }, 4, 0x10ffff },
	{ "an octet that continues", { "\x80", 1 }, 0, 0 },
	{ "overlong, two octets", { "\xc1\xbf", 2 }, 0, 0 },
	{ "overlong, three octets", { "\xe0\x9f\xbf", 3 }, 0, 0 },
	{ "overlong, four octets", { "\xf0\x8f\xbf\xbf", 4 }, 0, 0 },
	{ "the first surrogate", { "\xed\xa0\x80", 3 }, 0, 0 },
	{ "the last surrogate", { "\xed\xbf\xbf", 3 }, 0, 0 },
	{ "over the last of all", { "\xf4\x90\x80\x80", 4 }, 0, 0 },
	{ "five octets", { "\xf8\x88\x80\x80\x80", 5 }, 0, 0 },
	{ "cut", { "\xe2\x82", 2 }, 0, 0 },
	{ "broken off by ASCII", { "\xe2\x82z", 3 }, 0, 0 },
};

static void test_characters(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		uint32_t code = 0;
		size_t len = sp_utf8_char(rows[i].text, &code);
		print_message("%s: want %zu, U+%04X; got %zu, U+%04X\n", rows[i].label, rows[i].len, (unsigned)rows[i].code, len, (unsigned)code);
		assert_int_equal(len, rows[i].len);
		if (len > 0)
			assert_int_equal(code, rows[i].code);
		assert_int_equal(sp_str_is_utf8(sp_str_make(rows[i].text.p, len)), true);
		if (len == 0 && rows[i].text.len > 0)
			assert_false(sp_str_is_utf8(rows[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_characters) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

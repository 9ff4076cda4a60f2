/* tests/unit/core_base64_test.c - core/base64.c: both ways. */
#include "core/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct { const char *label; struct sp_str octets; const char *text; } pairs[] = {         /* RFC 4648 10, but for the last */
	{ "nothing", { "", 0 }, "" },
	{ "f", { "f", 1 }, "Zg==" },
	{ "fo", { "fo", 2 }, "Zm8=" },
	{ "foo", { "foo", 3 }, "Zm9v" },
	{ "foob", { "foob", 4 }, "Zm9vYg==" },
	{ "fooba", { "fooba", 5 }, "Zm9vYmE=" },
	{ "foobar", { "foobar", 6 }, "Zm9vYmFy" },
	{ "all ones, zeros", { "\xff\xff\xff\x00\x00\x00\xfb\xf0", 8 }, "////AAAA+/A=" },
};

static void both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(pairs); i++) {
		struct sp_buf text, octets;
		sp_buf_init(&text, 64);
		sp_buf_init(&octets, 64);
		sp_base64_add(&text, pairs[i].octets, 0);
		print_message("%s: want %s, got %s\n", pairs[i].label, pairs[i].text, sp_buf_cstr(&text));
		assert_string_equal(sp_buf_cstr(&text), pairs[i].text);
		assert_int_equal(text.len, sp_base64_len(pairs[i].octets.len));
		assert_true(sp_base64_decode(sp_buf_str(&text), &octets));
		assert_true(sp_str_eq(sp_buf_str(&octets), pairs[i].octets));
		sp_buf_clear(&text);
		sp_buf_clear(&octets);
	}
}

static const struct { const char *label; struct sp_str text; const char *want; } texts[] = {           /* NULL: refused */
	{ "blanks and line ends anywhere", { " Z\tm\r\n9v\nYg\r=\n=\r\n", 17 }, "foob" },
	{ "only blanks", { " \r\n", 3 }, "" },
	{ "no padding", { "Zg", 2 }, NULL },
	{ "half of the padding", { "Zg=", 3 }, NULL },
	{ "too much padding", { "Zm9v=", 5 }, NULL },
	{ "three of padding", { "Z===", 4 }, NULL },
	{ "only padding", { "====", 4 }, NULL },
	{ "something behind the padding", { "Zg==Zg==", 8 }, NULL },
	{ "padding in the middle of a group", { "Zg=v", 4 }, NULL },
	{ "one character", { "Zm9vY", 5 }, NULL },
	{ "bits left over, one octet", { "Zh==", 4 }, NULL },
	{ "bits left over, two octets", { "Zm9=", 4 }, NULL },
	{ "outside the alphabet", { "Zm9v!m9v", 8 }, NULL },
	{ "of the URL alphabet", { "__--", 4 }, NULL },
	{ "NUL", { "Zm9v\0", 5 }, NULL },
	{ "eight bits", { "Zm9\xf6", 4 }, NULL },
};

static void decoding(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(texts); i++) {
		struct sp_buf out;
		sp_buf_init(&out, 64);
		sp_buf_adds(&out, "before ");
		bool ok = sp_base64_decode(texts[i].text, &out);
		print_message("%s: want %s, got %s\n", texts[i].label, texts[i].want ? texts[i].want : "refused", ok ? out.p + 7 : "refused");
		assert_int_equal(ok, texts[i].want != NULL);
		assert_string_equal(sp_buf_cstr(&out) + 7, ok ? texts[i].want : "");       /* refused: nothing added */
		sp_buf_clear(&out);
	}
}

static void lines_for_mail(void **state)        /* RFC 2045 6.8 */
{
	(void)state;
	char octets[58];
	memset(octets, 0, sizeof(octets));
	static const struct { size_t len, want; } rows[] = { { 0, 0 }, { 1, 6 }, { 56, 78 }, { 57, 78 }, { 58, 84 } };
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf out, back;
		sp_buf_init(&out, 256);
		sp_buf_init(&back, 256);
		sp_base64_add(&out, sp_str_make(octets, rows[i].len), 76);
		assert_int_equal(out.len, rows[i].want);
		assert_true(out.len == 0 || sp_str_ends(sp_buf_str(&out), SP_STR("\r\n")));
		assert_true(out.len <= 78 || memcmp(out.p + 76, "\r\n", 2) == 0);
		assert_true(sp_base64_decode(sp_buf_str(&out), &back));
		assert_int_equal(back.len, rows[i].len);
		sp_buf_clear(&out);
		sp_buf_clear(&back);
	}
}

static void a_ceiling_is_kept(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, 7);
	sp_base64_add(&out, SP_STR("foobar"), 0);
	assert_true(sp_buf_failed(&out));
	sp_buf_clear(&out);
	sp_buf_init(&out, 5);
	assert_false(sp_base64_decode(SP_STR("Zm9vYmFy"), &out));
	assert_int_equal(out.len, 0);
	sp_buf_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways), cmocka_unit_test(decoding), cmocka_unit_test(lines_for_mail), cmocka_unit_test(a_ceiling_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/core_json_test.c - core/json.c: JSON into a buffer; jansson, which others wrote, reads it back. */
#include "core/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <jansson.h>

static const struct { const char *label; struct sp_str text; const char *want; } rows[] = {
	{ "nothing", { "", 0 }, "\"\"" },
	{ "no pointer", { NULL, 0 }, "\"\"" },
	{ "plain", { "250 ok", 6 }, "\"250 ok\"" },
	{ "quote and backslash", { "a\"b\\c", 5 }, "\"a\\\"b\\\\c\"" },
	{ "line ends and blanks", { "a\r\n\tb", 5 }, "\"a\\r\\n\\tb\"" },
	{ "NUL and escape", { "\0\x1b[2J", 5 }, "\"\\u0000\\u001b[2J\"" },
	{ "DEL", { "\x7f", 1 }, "\"\\u007f\"" },
	{ "UTF-8", { "gr\xc3\xbc\xc3\x9f", 6 }, "\"gr\xc3\xbc\xc3\x9f\"" },
	{ "a control beyond ASCII", { "\xc2\x9b", 2 }, "\"\\u009b\"" },
	{ "what turns the direction of text", { "\xe2\x80\xae", 3 }, "\"\\u202e\"" },
	{ "a tag beyond 16 bits", { "\xf3\xa0\x81\x81", 4 }, "\"\\udb40\\udc41\"" },
	{ "an emoji", { "\xf0\x9f\x98\x80", 4 }, "\"\xf0\x9f\x98\x80\"" },
	{ "no UTF-8", { "\xffz\xe2\x82", 4 }, "\"\\ufffdz\\ufffd\\ufffd\"" },
};

static void test_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf b;
		sp_buf_init(&b, 256);
		sp_buf_add_json(&b, rows[i].text);
		print_message("%s: want %s, got %s\n", rows[i].label, rows[i].want, sp_buf_cstr(&b));
		assert_string_equal(sp_buf_cstr(&b), rows[i].want);
		json_t *read = json_loadb(b.p, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert_non_null(read);
		json_decref(read);
		sp_buf_clear(&b);
	}
}

static void write_all(struct sp_buf *b)
{
	struct sp_json j;
	sp_json_begin(&j, b);
	sp_json_open(&j, NULL, '{');
	sp_json_int(&j, "least", INT64_MIN);
	sp_json_cstr(&j, "text", "a");
	sp_json_cstr(&j, "nobody", NULL);
	sp_json_bool(&j, "yes", true);
	sp_json_open(&j, "empty", '[');
	sp_json_close(&j, ']');
	sp_json_open(&j, "list", '[');
	sp_json_int(&j, NULL, 1);
	sp_json_open(&j, NULL, '{');
	sp_json_close(&j, '}');
	sp_json_bool(&j, NULL, false);
	sp_json_close(&j, ']');
	sp_json_time(&j, "at", 1790000000007);
	sp_json_time(&j, "never", 0);
	sp_json_raw(&j, "inside", SP_STR("{\"a\":1}"));
	sp_json_raw(&j, "none", sp_str_of(NULL));
	sp_json_close(&j, '}');
}

static void test_commas_come_by_themselves(void **state)
{
	(void)state;
	struct sp_buf b;
	sp_buf_init(&b, 1024);
	write_all(&b);
	assert_false(sp_buf_failed(&b));
	assert_string_equal(sp_buf_cstr(&b),
	                    "{\"least\":-9223372036854775808,\"text\":\"a\",\"nobody\":null,\"yes\":true,\"empty\":[],\"list\":[1,{},false],"
	                    "\"at\":\"2026-09-21T14:13:20.007Z\",\"never\":null,\"inside\":{\"a\":1},\"none\":null}");
	sp_buf_clear(&b);
}

static void test_too_much_is_told_by_the_buffer(void **state)
{
	(void)state;
	struct sp_buf b;
	sp_buf_init(&b, 40);
	write_all(&b);
	assert_true(sp_buf_failed(&b));
	sp_buf_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings), cmocka_unit_test(test_commas_come_by_themselves), cmocka_unit_test(test_too_much_is_told_by_the_buffer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

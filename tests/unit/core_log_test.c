/* tests/unit/core_log_test.c - core/log.c: one event, one line, whatever the values hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/log.h"

static int kept_stderr = -1;
static int caught_fd = -1;

static void catch_stderr(void)
{
	char path[] = "/tmp/core_log_test.XXXXXX";
	caught_fd = mkstemp(path);
	assert_true(caught_fd >= 0);
	unlink(path);
	kept_stderr = dup(STDERR_FILENO);
	dup2(caught_fd, STDERR_FILENO);
}

/* What was written since catch_stderr(), for free(). */
static char *caught(void)
{
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
	off_t len = lseek(caught_fd, 0, SEEK_END);
	char *text = sp_alloc((size_t)len + 1);
	assert_int_equal(pread(caught_fd, text, (size_t)len, 0), len);
	close(caught_fd);
	return text;
}

/* One line with one value; what stands behind its key, without the line end. */
static char *value_line(enum sp_log_format format, struct sp_str value)
{
	struct sp_log l;
	sp_log_setup(format, SP_LOG_INFO);
	catch_stderr();
	sp_log_begin(&l, SP_LOG_INFO, "0X3K9", "delivery");
	sp_log_str(&l, "why", value);
	sp_log_end(&l);
	return caught();
}

static void test_text_values(void **state)
{
	(void)state;
	static const struct { const char *label; struct sp_str value; const char *want; } rows[] = {
		{ "plain", { "mx1.example.com", 15 }, " why=mx1.example.com\n" },
		{ "blank needs quotes", { "a b", 3 }, " why=\"a b\"\n" },
		{ "so does =", { "a=b", 3 }, " why=\"a=b\"\n" },
		{ "quote and backslash", { "a\"\\", 3 }, " why=\"a\\\"\\\\\"\n" },
		{ "no line break gets out", { "a\r\nb", 4 }, " why=\"a\\r\\nb\"\n" },
		{ "nor a terminal's escape", { "\x1b[2J", 4 }, " why=\"\\x1b[2J\"\n" },
		{ "NUL and DEL", { "\0\x7f", 2 }, " why=\"\\x00\\x7f\"\n" },
		{ "8-bit", { "\xc2\x9b", 2 }, " why=\"\\xc2\\x9b\"\n" },
		{ "empty is left out", { "", 0 }, " 0X3K9 delivery\n" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char *line = value_line(SP_LOG_TEXT, rows[i].value);
		if (!sp_str_ends(sp_str_of(line), sp_str_of(rows[i].want)))
			fail_msg("%s: got %s", rows[i].label, line);
		assert_non_null(strstr(line, "Z info 0X3K9 delivery"));
		assert_int_equal(strlen("2026-11-22T14:03:09.123Z"), strchr(line, ' ') - line);
		free(line);
	}
}

static void test_json_values(void **state)
{
	(void)state;
	static const struct { const char *label; struct sp_str value; const char *want; } rows[] = {
		{ "plain", { "mx", 2 }, "mx" },
		{ "quote and backslash", { "a\"\\", 3 }, "a\"\\" },
		{ "controls", { "\r\n\t\x01\x1b", 5 }, "\r\n\t\x01\x1b" },
		{ "UTF-8", { "m\xc3\xbcller\xf0\x9f\x93\xae", 11 }, "m\xc3\xbcller\xf0\x9f\x93\xae" },
		{ "not UTF-8", { "a\xff" "b", 3 }, "a\xef\xbf\xbd" "b" },
		{ "cut UTF-8", { "a\xc3", 2 }, "a\xef\xbf\xbd" },
		{ "overlong", { "\xc0\x80", 2 }, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "surrogate", { "\xed\xa0\x80", 3 }, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "C1 control", { "\xc2\x9b", 2 }, "\xc2\x9b" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char *line = value_line(SP_LOG_JSON, rows[i].value);
		json_t *got = json_loads(line, 0, NULL);
		if (got == NULL || strcmp(json_string_value(json_object_get(got, "why")), rows[i].want) != 0)
			fail_msg("%s: got %s", rows[i].label, line);
		assert_string_equal(json_string_value(json_object_get(got, "id")), "0X3K9");
		assert_string_equal(json_string_value(json_object_get(got, "event")), "delivery");
		assert_string_equal(json_string_value(json_object_get(got, "level")), "info");
		assert_null(strstr(line, "\xc2\x9b"));                  /* a terminal would obey it: escaped */
		json_decref(got);
		free(line);
	}
}

static void test_kinds_of_values(void **state)
{
	(void)state;
	for (int format = SP_LOG_TEXT; format <= SP_LOG_JSON; format++) {
		struct sp_log l;
		sp_log_setup((enum sp_log_format)format, SP_LOG_DEBUG);
		catch_stderr();
		sp_log_begin(&l, SP_LOG_DEBUG, NULL, "e");
		sp_log_int(&l, "n", INT64_MIN);
		sp_log_bool(&l, "b", true);
		sp_log_cstr(&l, "none", NULL);
		sp_log_end(&l);
		sp_log_text(SP_LOG_ERROR, "a b", "e2", "%d %s", 5, "words");
		char *lines = caught();
		if (format == SP_LOG_TEXT) {
			assert_non_null(strstr(lines, "Z debug - e n=-9223372036854775808 b=yes\n"));
			assert_non_null(strstr(lines, "Z error \"a b\" e2 text=\"5 words\"\n"));
		} else {
			assert_non_null(strstr(lines, "\"id\":\"-\",\"event\":\"e\",\"n\":-9223372036854775808,\"b\":true}\n"));
			assert_non_null(strstr(lines, "\"id\":\"a b\",\"event\":\"e2\",\"text\":\"5 words\"}\n"));
		}
		free(lines);
	}
}

static void test_levels(void **state)
{
	(void)state;
	sp_log_setup(SP_LOG_TEXT, SP_LOG_WARNING);
	assert_true(sp_log_enabled(SP_LOG_ERROR));
	assert_true(sp_log_enabled(SP_LOG_WARNING));
	assert_false(sp_log_enabled(SP_LOG_INFO));
	catch_stderr();
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, "id", "quiet");
	sp_log_cstr(&l, "k", "v");
	sp_log_int(&l, "n", 1);
	sp_log_bool(&l, "b", false);
	sp_log_end(&l);
	sp_log_text(SP_LOG_DEBUG, "id", "quiet", "x");
	char *lines = caught();
	assert_string_equal(lines, "");
	free(lines);
}

/* A value that is too long is cut, a pair that does not fit is left out whole: the line stays one that can be read. */
static void test_long_values(void **state)
{
	(void)state;
	char *big = sp_alloc(20001);
	memset(big, '\x01', 20000);
	sp_log_setup(SP_LOG_JSON, SP_LOG_INFO);
	catch_stderr();
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, "id", "big");
	sp_log_str(&l, "wide", sp_str_make(big, 20000));                /* 4096 octets at 6 each do not fit */
	memset(big, 'x', 20000);
	for (int i = 0; i < 10; i++)
		sp_log_str(&l, "x", sp_str_make(big, 20000));
	sp_log_int(&l, "n", 7);
	sp_log_end(&l);
	char *line = caught();
	json_t *got = json_loads(line, 0, NULL);
	assert_non_null(got);
	assert_null(json_object_get(got, "wide"));
	assert_int_equal(json_integer_value(json_object_get(got, "n")), 7);
	assert_int_equal(strlen(json_string_value(json_object_get(got, "x"))), 4096 + 3);
	assert_true(strlen(line) <= 16384);
	json_decref(got);
	free(line);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_values),
		cmocka_unit_test(test_json_values),
		cmocka_unit_test(test_kinds_of_values),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_long_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/rpt_event_test.c - rpt/event.c: the words of an event, and the days. */
#include "rpt/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- days ---- */

static void test_day_is_cut_at_midnight_utc(void **state SP_UNUSED)
{
	static const struct { const char *label; int64_t at_s; const char *want; } rows[] = {
		{ "the first second", 0, "1970-01-01" },
		{ "23:59:59.999", 86399, "1970-01-01" },
		{ "00:00:00", 86400, "1970-01-02" },
		{ "RFC 8460 B: 2016-04-01T00:00:00Z", 1459468800, "2016-04-01" },
		{ "RFC 8460 B: 2016-04-01T23:59:59Z", 1459555199, "2016-04-01" },
		{ "one second later", 1459555200, "2016-04-02" },
		{ "the last of a leap February", 951868799, "2000-02-29" },
		{ "March after it", 951868800, "2000-03-01" },
		{ "2024 has the 29th too", 1709164800, "2024-02-29" },
		{ "2025 has not", 1740787200, "2025-03-01" },
		{ "a leap second is not counted", 1483228799, "2016-12-31" },
		{ "the year after it", 1483228800, "2017-01-01" },
		{ "past 32 bits", 4294967296, "2106-02-07" },
		{ "2100 is no leap year", 4107542400, "2100-03-01" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char text[16];
		rpt_day_str(rpt_day_of(rows[i].at_s), text);
		if (strcmp(text, rows[i].want) != 0)
			fail_msg("%s: want %s, got %s", rows[i].label, rows[i].want, text);
	}
}

static void test_every_day_of_400_years(void **state SP_UNUSED)
{
	static const unsigned lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t day = 0, parsed;
	for (unsigned year = 1970; year < 2370; year++) {
		bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
		for (unsigned month = 1; month <= 12; month++) {
			unsigned last = lengths[month - 1] + (month == 2 && leap);
			for (unsigned n = 1; n <= last; n++, day++) {
				char want[48], got[16];
				snprintf(want, sizeof(want), "%04u-%02u-%02u", year, month, n);
				assert_string_equal(rpt_day_str(day, got), want);
				assert_true(rpt_day_parse(sp_str_of(want), &parsed));
				assert_int_equal(parsed, day);
			}
			char after[48];
			snprintf(after, sizeof(after), "%04u-%02u-%02u", year, month, last + 1);
			assert_false(rpt_day_parse(sp_str_of(after), &parsed));
		}
	}
	assert_int_equal(day, 146097);
}

static void test_only_dates_are_days(void **state SP_UNUSED)
{
	static const char *const rows[] = {
		"", "2026", "2026-11", "2026-11-2", "2026-11-222", "2026-1-22 ", "2026-13-01", "2026-00-10", "2026-11-00", "2026-11-31",
		"2025-02-29", "2100-02-29", "1969-12-31", "2026/11/22", "2026-11-2a", "+026-11-22", "2026-11--2", " 2026-11-2", "2026-11-22Z",
		"yesterday!", "20261122xx",
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		int64_t day = 77;
		if (rpt_day_parse(sp_str_of(rows[i]), &day) || day != 77)
			fail_msg("'%s' was taken for a day", rows[i]);
	}
	int64_t day;
	assert_true(rpt_day_parse(SP_STR("9999-12-31"), &day));
	char text[16];
	assert_string_equal(rpt_day_str(day + 1, text), "9999-12-31");
	assert_string_equal(rpt_day_str(INT64_MAX, text), "9999-12-31");
	assert_string_equal(rpt_day_str(INT64_MIN, text), "1970-01-01");
	assert_int_equal(rpt_day_of(-1), -1);
	assert_int_equal(rpt_day_of(-86400), -1);
	assert_int_equal(rpt_day_of(-86401), -2);
}

/* ---- events ---- */

static void test_policy_types_by_their_words(void **state SP_UNUSED)
{
	static const struct { const char *text; enum rpt_policy_type type; } rows[] = {         /* RFC 8460 4.4 */
		{ "tlsa", RPT_POLICY_TLSA }, { "sts", RPT_POLICY_STS }, { "no-policy-found", RPT_POLICY_NONE_FOUND },
	};
	enum rpt_policy_type type;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		assert_string_equal(rpt_policy_type_str(rows[i].type), rows[i].text);
		assert_true(rpt_policy_type_parse(sp_str_of(rows[i].text), &type));
		assert_int_equal(type, rows[i].type);
	}
	assert_false(rpt_policy_type_parse(SP_STR("STS"), &type));
	assert_false(rpt_policy_type_parse(SP_STR(""), &type));
	assert_int_equal(RPT_POLICY_TYPE_COUNT, 3);
}

static void test_event_in_one_word(void **state SP_UNUSED)
{
	static const struct { struct rpt_event event; const char *want; } rows[] = {
		{ { .policy_type = RPT_POLICY_STS, .reason = "not looked at" }, "sts" },
		{ { .policy_type = RPT_POLICY_NONE_FOUND, .result = SP_RESULT_STARTTLS_NOT_SUPPORTED }, "no-policy-found/starttls-not-supported" },
		{ { .policy_type = RPT_POLICY_TLSA, .result = SP_RESULT_DNSSEC_INVALID, .reason = "" }, "tlsa/dnssec-invalid" },
		{ { .policy_type = RPT_POLICY_STS, .result = SP_RESULT_VALIDATION_FAILURE, .reason = "mx-mismatch" },
		  "sts/validation-failure/mx-mismatch" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf out;
		sp_buf_init(&out, 200);
		rpt_event_print(&rows[i].event, &out);
		assert_string_equal(sp_buf_cstr(&out), rows[i].want);
		sp_buf_clear(&out);
	}
}

static void test_copy_stands_alone(void **state SP_UNUSED)
{
	char texts[7][8] = { "a.test", "v=1", "*.b", "why", "::1", "mx", "helo" };
	struct rpt_event e = { .at_s = 99, .policy_type = RPT_POLICY_STS, .policy_domain = texts[0], .policy_strings = texts[1],
	                       .mx_patterns = texts[2], .result = SP_RESULT_TLSA_INVALID, .reason = texts[3], .sending_ip = texts[4],
	                       .mx_host = texts[5], .mx_helo = texts[6], .mx_ip = NULL };
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct rpt_event copy = rpt_event_copy(&e, &arena);
	memset(texts, 'x', sizeof(texts));
	assert_int_equal(copy.at_s, 99);
	assert_int_equal(copy.policy_type, RPT_POLICY_STS);
	assert_int_equal(copy.result, SP_RESULT_TLSA_INVALID);
	assert_string_equal(copy.policy_domain, "a.test");
	assert_string_equal(copy.policy_strings, "v=1");
	assert_string_equal(copy.mx_patterns, "*.b");
	assert_string_equal(copy.reason, "why");
	assert_string_equal(copy.sending_ip, "::1");
	assert_string_equal(copy.mx_host, "mx");
	assert_string_equal(copy.mx_helo, "helo");
	assert_string_equal(copy.mx_ip, "");
	sp_arena_clear(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_day_is_cut_at_midnight_utc),
		cmocka_unit_test(test_every_day_of_400_years),
		cmocka_unit_test(test_only_dates_are_days),
		cmocka_unit_test(test_policy_types_by_their_words),
		cmocka_unit_test(test_event_in_one_word),
		cmocka_unit_test(test_copy_stands_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

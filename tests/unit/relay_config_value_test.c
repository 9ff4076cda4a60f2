/* tests/unit/relay_config_value_test.c - relay/config_value.c: durations, sizes, numbers, yes and no; and each printed form reads back. */
#include "relay/config_value.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define REFUSED INT64_MIN

static const struct { const char *label, *text; int64_t want_ms; } durations[] = {
	{ "bare: seconds", "90", 90000 },
	{ "zero", "0", 0 },
	{ "milliseconds", "250ms", 250 },
	{ "seconds", "5s", 5000 },
	{ "minutes", "5m", 300000 },
	{ "hours", "4h", 14400000 },
	{ "days", "5d", 432000000 },
	{ "upper case", "4H", 14400000 },
	{ "leading zeros", "007s", 7000 },
	{ "15 digits", "100000000000000ms", INT64_C(100000000000000) },
	{ "16 digits", "1000000000000000ms", REFUSED },
	{ "passes 2^63", "999999999999999d", REFUSED },
	{ "empty", "", REFUSED },
	{ "a unit alone", "m", REFUSED },
	{ "negative", "-5m", REFUSED },
	{ "plus", "+5m", REFUSED },
	{ "fraction", "1.5h", REFUSED },
	{ "blank before the unit", "5 m", REFUSED },
	{ "blank in front", " 5m", REFUSED },
	{ "blank behind", "5m ", REFUSED },
	{ "two units", "1h30m", REFUSED },
	{ "unknown unit", "2w", REFUSED },
	{ "unit spelled out", "5min", REFUSED },
	{ "size", "5K", REFUSED },
	{ "hexadecimal", "0x10", REFUSED },
};

static const struct { const char *label, *text; int64_t want; } sizes[] = {
	{ "bare: octets", "65536", 65536 },
	{ "zero", "0", 0 },
	{ "K is 1024", "64K", 65536 },
	{ "M", "50M", 52428800 },
	{ "G", "2G", INT64_C(2147483648) },
	{ "lower case", "64k", 65536 },
	{ "KB", "64KB", REFUSED },
	{ "KiB", "64KiB", REFUSED },
	{ "T", "1T", REFUSED },
	{ "fraction", "1.5G", REFUSED },
	{ "negative", "-1", REFUSED },
	{ "empty", "", REFUSED },
	{ "passes 2^63", "999999999999999G", REFUSED },
	{ "duration", "5m0", REFUSED },
};

static const struct { const char *label, *text; int64_t want, per_ms; const char *printed; } rates[] = {
	{ "a minute", "100/1m", 100, 60000, "100/1m" },
	{ "seconds without a unit", "1/10", 1, 10000, "1/10s" },
	{ "no limit", "0", 0, 0, "0" },
	{ "none in a time", "0/1m", REFUSED, 0, NULL },
	{ "no time", "100/0s", REFUSED, 0, NULL },
	{ "no number", "/1m", REFUSED, 0, NULL },
	{ "a number alone", "100", REFUSED, 0, NULL },
	{ "a unit alone", "100/m", REFUSED, 0, NULL },
	{ "the time is too long", "1/31d", REFUSED, 0, NULL },
	{ "too many", "1000000001/1m", REFUSED, 0, NULL },
	{ "a sign", "+1/1m", REFUSED, 0, NULL },
	{ "blanks", "100 / 1m", REFUSED, 0, NULL },
	{ "two slashes", "100/1/1m", REFUSED, 0, NULL },
	{ "empty", "", REFUSED, 0, NULL },
};

static void test_rates(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rates); i++) {
		int64_t count = 7, per_ms = 7;
		bool ok = config_rate(sp_str_of(rates[i].text), &count, &per_ms);
		print_message("%s: '%s'\n", rates[i].label, rates[i].text);
		assert_int_equal(ok, rates[i].want != REFUSED);
		if (!ok)
			continue;
		struct sp_buf out;
		sp_buf_init(&out, 64);
		config_print_rate(count, per_ms, &out);
		assert_int_equal(count, rates[i].want);
		assert_int_equal(per_ms, rates[i].per_ms);
		assert_string_equal(sp_buf_cstr(&out), rates[i].printed);
		sp_buf_clear(&out);
	}
}

static void check_number(const char *label, bool ok, int64_t got, int64_t want)
{
	if (!ok)
		got = REFUSED;
	print_message("%s: want %" PRId64 ", got %" PRId64 "\n", label, want, got);
	assert_true(got == want);
}

static void test_durations(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(durations); i++) {
		int64_t ms = 0;
		bool ok = config_duration(sp_str_of(durations[i].text), &ms);
		check_number(durations[i].label, ok, ms, durations[i].want_ms);
	}
}

static void test_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(sizes); i++) {
		int64_t octets = 0;
		bool ok = config_size(sp_str_of(sizes[i].text), &octets);
		check_number(sizes[i].label, ok, octets, sizes[i].want);
	}
}

static const struct { const char *text; int want; } bools[] = {        /* -1: refused */
	{ "yes", 1 }, { "true", 1 }, { "on", 1 }, { "no", 0 }, { "false", 0 }, { "off", 0 }, { "YES", 1 }, { "False", 0 }, { "Off", 0 },
	{ "", -1 }, { "y", -1 }, { "n", -1 }, { "1", -1 }, { "0", -1 }, { "yes ", -1 }, { "yess", -1 }, { "tru", -1 }, { "null", -1 },
};

static void test_bools(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(bools); i++) {
		bool value = false;
		int got = config_bool(sp_str_of(bools[i].text), &value) ? value : -1;
		print_message("'%s': want %d, got %d\n", bools[i].text, bools[i].want, got);
		assert_int_equal(got, bools[i].want);
	}
}

static const struct { const char *label, *text; double want; const char *print; } floats[] = {         /* want -1: refused */
	{ "whole", "2", 2, "2" },
	{ "one digit", "0.2", 0.2, "0.2" },
	{ "zeros behind", "2.500", 2.5, "2.5" },
	{ "zero", "0", 0, "0" },
	{ "zero with a point", "0.0", 0, "0" },
	{ "zeros behind the point", "0.05", 0.05, "0.05" },
	{ "nine digits", "2.123456789", 2.123456789, "2.123456789" },
	{ "small: no exponent", "0.000001", 0.000001, "0.000001" },
	{ "smallest", "0.000000001", 0.000000001, "0.000000001" },
	{ "largest", "999999999", 999999999, "999999999" },
	{ "ten", "10", 10, "10" },
	{ "ten digits behind the point", "0.1234567891", -1, NULL },
	{ "ten digits before it", "1234567890", -1, NULL },
	{ "nothing behind the point", "1.", -1, NULL },
	{ "nothing before it", ".5", -1, NULL },
	{ "a comma", "0,2", -1, NULL },
	{ "an exponent", "1e-3", -1, NULL },
	{ "negative", "-1", -1, NULL },
	{ "not a number", "nan", -1, NULL },
	{ "infinity", "inf", -1, NULL },
	{ "two points", "1.2.3", -1, NULL },
	{ "a unit", "1s", -1, NULL },
	{ "empty", "", -1, NULL },
};

static void test_floats(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(floats); i++) {
		double got = 0;
		if (!config_float(sp_str_of(floats[i].text), &got))
			got = -1;
		struct sp_buf text;
		sp_buf_init(&text, 100);
		config_print_float(got, &text);
		print_message("%s: want %.9f, got %.9f, printed '%s'\n", floats[i].label, floats[i].want, got, sp_buf_cstr(&text));
		assert_true(!(got < floats[i].want) && !(got > floats[i].want));
		if (floats[i].print) {
			double again;
			assert_string_equal(sp_buf_cstr(&text), floats[i].print);
			assert_true(config_float(sp_buf_str(&text), &again));
			assert_true(!(again < got) && !(again > got));
		}
		sp_buf_clear(&text);
	}
}

/* ---- printing ---- */

static const struct { const char *label; int64_t ms; const char *want; } printed_durations[] = {
	{ "nothing", 0, "0" }, { "ms", 1, "1ms" }, { "ms over a second", 1500, "1500ms" }, { "seconds", 60500, "60500ms" }, { "s", 5000, "5s" },
	{ "90 s", 90000, "90s" }, { "minutes", 60000, "1m" }, { "hours", 14400000, "4h" }, { "a day", 86400000, "1d" }, { "25 hours", 90000000, "25h" },
};

static const struct { const char *label; int64_t octets; const char *want; } printed_sizes[] = {
	{ "nothing", 0, "0" }, { "odd", 1023, "1023" }, { "K", 1024, "1K" }, { "K and a half", 1536, "1536" }, { "M", 52428800, "50M" },
	{ "G", INT64_C(1099511627776), "1024G" }, { "not quite G", INT64_C(1073741824) + 1024, "1048577K" },
};

static void check_text(const char *label, const struct sp_buf *got, const char *want)
{
	print_message("%s: want '%s', got '%s'\n", label, want, sp_buf_cstr(got));
	assert_string_equal(sp_buf_cstr(got), want);
}

static void test_print(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, 64);
	for (size_t i = 0; i < SP_COUNT(printed_durations); i++) {
		int64_t again;
		sp_buf_reset(&out);
		config_print_duration(printed_durations[i].ms, &out);
		check_text(printed_durations[i].label, &out, printed_durations[i].want);
		assert_true(config_duration(sp_buf_str(&out), &again));
		assert_true(again == printed_durations[i].ms);
	}
	for (size_t i = 0; i < SP_COUNT(printed_sizes); i++) {
		int64_t again;
		sp_buf_reset(&out);
		config_print_size(printed_sizes[i].octets, &out);
		check_text(printed_sizes[i].label, &out, printed_sizes[i].want);
		assert_true(config_size(sp_buf_str(&out), &again));
		assert_true(again == printed_sizes[i].octets);
	}
	sp_buf_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_bools),
		cmocka_unit_test(test_floats),
		cmocka_unit_test(test_print),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

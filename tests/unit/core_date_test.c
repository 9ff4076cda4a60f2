/* tests/unit/core_date_test.c - core/date.c: instants as text, in UTC whatever the zone. */
#include "core/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static const struct { int64_t at; const char *mail, *rfc3339; } dates[] = {
	{ 0, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00Z" },
	{ 1795356189, "Sun, 22 Nov 2026 14:03:09 +0000", "2026-11-22T14:03:09Z" },
	{ 951782400, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00Z" },
	{ 4107542399, "Sun, 28 Feb 2100 23:59:59 +0000", "2100-02-28T23:59:59Z" },
	{ -5, "Thu, 01 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00Z" },
	{ INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z" },
};

static void date_rows(void **state)     /* RFC 5322 3.3, RFC 3339 5.6 */
{
	(void)state;
	setenv("TZ", "Asia/Tokyo", 1);
	tzset();
	char text[40];
	for (size_t i = 0; i < SP_COUNT(dates); i++) {
		assert_string_equal(sp_date_mail(dates[i].at, text), dates[i].mail);
		assert_string_equal(sp_date_rfc3339(dates[i].at, text), dates[i].rfc3339);
	}
}

static const struct { const char *text; int64_t at; } parsed[] = {       /* at -1: refused */
	{ "1970-01-01T00:00:00Z", 0 },
	{ "2026-11-22T14:03:09Z", 1795356189 },
	{ "2026-11-22t14:03:09z", 1795356189 },
	{ "2026-11-22T14:03:09.123456Z", 1795356189 },
	{ "2026-11-22T16:03:09+02:00", 1795356189 },
	{ "2026-11-22T04:33:09-09:30", 1795356189 },
	{ "2000-02-29T00:00:00Z", 951782400 },
	{ "2100-02-28T23:59:59Z", 4107542399 },
	{ "2016-12-31T23:59:60Z", 1483228800 },
	{ "9999-12-31T23:59:59Z", 253402300799 },
	{ "9999-12-31T23:59:59-01:00", -1 },
	{ "1970-01-01T00:00:00+01:00", -1 },
	{ "1969-12-31T23:59:59Z", -1 },
	{ "2100-02-29T00:00:00Z", -1 },
	{ "2026-13-01T00:00:00Z", -1 },
	{ "2026-00-01T00:00:00Z", -1 },
	{ "2026-11-31T00:00:00Z", -1 },
	{ "2026-11-00T00:00:00Z", -1 },
	{ "2026-11-22T24:00:00Z", -1 },
	{ "2026-11-22T00:60:00Z", -1 },
	{ "2026-11-22T00:00:61Z", -1 },
	{ "2026-11-22T14:03:09", -1 },
	{ "2026-11-22T14:03:09.Z", -1 },
	{ "2026-11-22T14:03:09+0200", -1 },
	{ "2026-11-22T14:03:09+24:00", -1 },
	{ "2026-11-22T14:03:09Zx", -1 },
	{ "2026-11-22 14:03:09Z", -1 },
	{ "2026-11-2", -1 },
	{ "26-11-22T14:03:09Z", -1 },
	{ "", -1 },
};

static void parsed_rows(void **state)   /* RFC 3339 5.6, 5.7 */
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(parsed); i++) {
		int64_t at = 0;
		bool fine = sp_date_parse_rfc3339(sp_str_of(parsed[i].text), &at);
		if (fine != (parsed[i].at >= 0) || (fine && at != parsed[i].at))
			fail_msg("%s: got %d, %lld", parsed[i].text, fine, (long long)at);
	}
	for (int64_t at = 0; at < 253402300799; at += 86399 * 97) {
		char text[40];
		int64_t again = -1;
		assert_true(sp_date_parse_rfc3339(sp_str_of(sp_date_rfc3339(at, text)), &again));
		assert_true(again == at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(date_rows), cmocka_unit_test(parsed_rows) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

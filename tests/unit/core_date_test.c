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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(date_rows) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

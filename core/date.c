/* core/date.c - see date.h. */
#include "core/date.h"

#include <stdio.h>
#include <time.h>

#define LAST_SECOND 253402300799        /* of the year 9999: neither form has room for more */

static struct tm broken_down(int64_t unix_s)
{
	time_t t = unix_s < 0 ? 0 : unix_s > LAST_SECOND ? LAST_SECOND : unix_s;
	struct tm tm;
	gmtime_r(&t, &tm);
	return tm;
}

const char *sp_date_mail(int64_t unix_s, char text[40])
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct tm tm = broken_down(unix_s);
	snprintf(text, 40, "%s, %02u %s %04u %02u:%02u:%02u +0000", days[(unsigned)tm.tm_wday % 7], (unsigned)tm.tm_mday % 100,
	         months[(unsigned)tm.tm_mon % 12], ((unsigned)tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
	         (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
	return text;
}

const char *sp_date_rfc3339(int64_t unix_s, char text[40])
{
	struct tm tm = broken_down(unix_s);
	snprintf(text, 40, "%04u-%02u-%02uT%02u:%02u:%02uZ", ((unsigned)tm.tm_year + 1900) % 10000, ((unsigned)tm.tm_mon + 1) % 100,
	         (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
	return text;
}

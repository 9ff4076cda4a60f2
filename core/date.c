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

/* ---- back ---- */

/* Just `digits` digits, and `mark` behind them; '\0': nothing. */
static bool take_number(struct sp_str *s, unsigned digits, char mark, unsigned *out)
{
	unsigned n = 0;
	if (s->len < digits)
		return false;
	for (unsigned i = 0; i < digits; i++) {
		if (!sp_is_digit(s->p[i]))
			return false;
		n = n * 10 + (unsigned)(s->p[i] - '0');
	}
	*out = n;
	*s = sp_str_from(*s, digits);
	return mark == '\0' || sp_take_char(s, mark);
}

static unsigned days_of_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

static int64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
	unsigned before = year - 1;             /* whole years since the year 1 */
	int64_t days = (int64_t)before * 365 + before / 4 - before / 100 + before / 400 - 719162;
	for (unsigned m = 1; m < month; m++)
		days += days_of_month(year, m);
	return days + day - 1;
}

/* "Z", or "+02:00": what local time is ahead. */
static bool take_offset(struct sp_str *s, int64_t *ahead_s)
{
	*ahead_s = 0;
	if (sp_take_prefix_nocase(s, SP_STR("Z")))
		return true;
	bool behind = s->len > 0 && s->p[0] == '-';
	unsigned hour, minute;
	if (!(behind ? sp_take_char(s, '-') : sp_take_char(s, '+')) || !take_number(s, 2, ':', &hour) || !take_number(s, 2, '\0', &minute) ||
	    hour > 23 || minute > 59)
		return false;
	*ahead_s = ((int64_t)hour * 60 + minute) * 60 * (behind ? -1 : 1);
	return true;
}

static bool pass_over_fraction(struct sp_str *s)
{
	if (!sp_take_char(s, '.'))
		return true;
	size_t before = s->len;
	while (s->len > 0 && sp_is_digit(s->p[0]))
		*s = sp_str_from(*s, 1);
	return s->len < before;
}

bool sp_date_parse_rfc3339(struct sp_str text, int64_t *unix_s)
{
	unsigned year, month, day, hour, minute, second;
	int64_t ahead_s;
	if (!take_number(&text, 4, '-', &year) || !take_number(&text, 2, '-', &month) || !take_number(&text, 2, '\0', &day) ||
	    !sp_take_prefix_nocase(&text, SP_STR("T")) || !take_number(&text, 2, ':', &hour) || !take_number(&text, 2, ':', &minute) ||
	    !take_number(&text, 2, '\0', &second) || !pass_over_fraction(&text) || !take_offset(&text, &ahead_s) || text.len > 0)
		return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 60)
		return false;
	*unix_s = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - ahead_s;
	return *unix_s >= 0 && *unix_s <= LAST_SECOND;
}

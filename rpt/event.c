/* rpt/event.c - see event.h. */
#include "rpt/event.h"

#include <stdio.h>

#define DAY_MAX 2932896                 /* 9999-12-31: a year has four digits */

static const char *const type_names[] = {
#define X(name, text) [RPT_POLICY_##name] = text,
	RPT_POLICY_TYPES(X)
#undef X
};

const char *rpt_policy_type_str(enum rpt_policy_type t)
{
	return type_names[t];
}

bool rpt_policy_type_parse(struct sp_str s, enum rpt_policy_type *out)
{
	size_t i;
	bool found = sp_str_among(s, type_names, SP_COUNT(type_names), &i);
	if (found)
		*out = (enum rpt_policy_type)i;
	return found;
}

/* ---- events ---- */

struct rpt_event rpt_event_copy(const struct rpt_event *e, struct sp_arena *arena)
{
	struct rpt_event copy = *e;
	const char **const texts[] = { &copy.policy_domain, &copy.policy_strings, &copy.mx_patterns, &copy.reason,
	                               &copy.sending_ip, &copy.mx_host, &copy.mx_helo, &copy.mx_ip };
	for (size_t i = 0; i < SP_COUNT(texts); i++)
		*texts[i] = sp_arena_dup(arena, sp_str_of(*texts[i]));
	return copy;
}

void rpt_event_print(const struct rpt_event *e, struct sp_buf *out)
{
	sp_buf_adds(out, rpt_policy_type_str(e->policy_type));
	if (e->result == SP_RESULT_NONE)
		return;
	sp_buf_printf(out, "/%s", sp_result_str(e->result));
	if (e->reason && *e->reason)
		sp_buf_printf(out, "/%s", e->reason);
}

/* ---- days ---- */

/* RFC 8460 4.1: a report covers a day of UTC, from 00:00:00 on. Leap seconds are not in Unix time. */
int64_t rpt_day_of(int64_t at_s)
{
	return at_s / RPT_DAY_S - (at_s % RPT_DAY_S < 0);
}

/* The calendar is counted from 0000-03-01 on, so that the leap day ends its year: in 400 years there are 146097 days. */
#define DAYS_400 146097
#define DAYS_TO_1970 719468             /* from 0000-03-01 */

static int64_t day_from_date(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400, of_era = y % 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * DAYS_400 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
}

const char *rpt_day_str(int64_t day, char text[16])
{
	int64_t n = (day < 0 ? 0 : day > DAY_MAX ? DAY_MAX : day) + DAYS_TO_1970;
	int64_t era = n / DAYS_400, of_era = n % DAYS_400;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * of_year + 2) / 153;            /* 0: March */
	int64_t month = m < 10 ? m + 3 : m - 9;
	snprintf(text, 16, "%04u-%02u-%02u", (unsigned)(era * 400 + y + (month <= 2)) % 10000, (unsigned)month % 100,
	         (unsigned)(of_year - (153 * m + 2) / 5 + 1) % 100);
	return text;
}

static bool take_number(struct sp_str *s, size_t digits, int64_t *out)
{
	uint64_t n;
	if (s->len < digits || !sp_str_number(sp_str_make(s->p, digits), 0, 9999, &n))
		return false;
	*out = (int64_t)n;
	*s = sp_str_from(*s, digits);
	return true;
}

bool rpt_day_parse(struct sp_str s, int64_t *day)
{
	int64_t year, month, of_month;
	char text[16];
	if (s.len != 10)
		return false;
	struct sp_str rest = s;
	if (!take_number(&rest, 4, &year) || !sp_take_char(&rest, '-') || !take_number(&rest, 2, &month) || !sp_take_char(&rest, '-') ||
	    !take_number(&rest, 2, &of_month) || year < 1970 || month < 1 || month > 12 || of_month < 1 || of_month > 31)
		return false;
	int64_t n = day_from_date(year, month, of_month);
	if (!sp_str_eq(sp_str_of(rpt_day_str(n, text)), s))     /* the 30th of February is another day */
		return false;
	*day = n;
	return true;
}

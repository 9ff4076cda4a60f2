/* sts/rule.c - see rule.h. */
#include "sts/rule.h"

#include <time.h>

static const char *const levels[] = {
#define X(name, text) [STS_LEVEL_##name] = text,
	STS_LEVELS(X)
#undef X
};

const char *sts_level_str(enum sts_level l)
{
	return levels[l];
}

bool sts_level_parse(struct sp_str s, enum sts_level *out)
{
	size_t i;
	if (s.len == 0 || !sp_str_among(s, levels, SP_COUNT(levels), &i))
		return false;
	*out = (enum sts_level)i;
	return true;
}

const char *sts_dane_str(enum sts_dane d)
{
	static const char *const names[] = { [STS_DANE_AUTO] = "auto", [STS_DANE_OFF] = "off", [STS_DANE_REQUIRED] = "required" };
	return names[d];
}

bool sts_rule_in_force(const struct sts_rule *r, int64_t now_s)
{
	return r->until_s == 0 || now_s < r->until_s;
}

void sts_rule_print(const struct sts_rule *r, struct sp_buf *out)
{
	time_t last = (time_t)(r->until_s - 1);
	struct tm tm = { 0 };
	char day[16] = "";
	if (r->level != STS_LEVEL_UNSET)
		sp_buf_printf(out, "tls: %s", levels[r->level]);
	if (r->override)
		sp_buf_printf(out, "%soverride", r->level != STS_LEVEL_UNSET ? ", " : "");
	if (r->until_s != 0 && gmtime_r(&last, &tm) && strftime(day, sizeof(day), "%Y-%m-%d", &tm) > 0)
		sp_buf_printf(out, " until %s", day);
	if (*r->reason)
		sp_buf_printf(out, " (%s)", r->reason);
}

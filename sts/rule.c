/* sts/rule.c - see rule.h. */
#include "sts/rule.h"

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

bool sts_rule_in_force(const struct sts_rule *r, int64_t now_s)
{
	return r->until_s == 0 || now_s < r->until_s;
}

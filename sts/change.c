/* sts/change.c - see change.h. */
#include "sts/change.h"

static const char *const hows[] = {
#define X(name, text) [STS_HOW_##name] = text,
	STS_HOWS(X)
#undef X
};

const char *sts_how_str(enum sts_how h)
{
	return hows[h];
}

bool sts_how_parse(struct sp_str s, enum sts_how *out)
{
	size_t i;
	if (!sp_str_among(s, hows, SP_COUNT(hows), &i))
		return false;
	*out = (enum sts_how)i;
	return true;
}

static bool has_pattern(const struct sts_policy *p, const char *pattern)
{
	for (size_t i = 0; i < sts_policy_mx_count(p); i++)
		if (strcmp(sts_policy_mx(p, i), pattern) == 0)
			return true;
	return false;
}

/* The first wildcard of `to` that `from` has not; NULL: none. Both lists are at most STS_MX_MAX long. */
static const char *new_wildcard(const struct sts_policy *from, const struct sts_policy *to)
{
	for (size_t i = 0; i < sts_policy_mx_count(to); i++) {
		const char *pattern = sts_policy_mx(to, i);
		if (pattern[0] == '*' && !has_pattern(from, pattern))
			return pattern;
	}
	return NULL;
}

bool sts_change_weaker(const struct sts_policy *from, const struct sts_policy *to, struct sp_buf *why)
{
	struct sp_buf nobody;
	sp_buf_init(&nobody, 0);
	struct sp_buf *out = why ? why : &nobody;
	if (from == NULL || sts_policy_mode(from) != STS_MODE_ENFORCE)
		return false;
	if (to == NULL) {
		sp_buf_adds(out, "mode enforce is gone");
		return true;
	}
	if (sts_policy_mode(to) != STS_MODE_ENFORCE) {
		sp_buf_printf(out, "mode enforce became %s", sts_mode_str(sts_policy_mode(to)));
		return true;
	}
	const char *wildcard = new_wildcard(from, to);
	uint32_t before_s = sts_policy_max_age_s(from), now_s = sts_policy_max_age_s(to);
	bool shorter = now_s < STS_CHANGE_SHORT_S && now_s < before_s / 2;
	if (wildcard)
		sp_buf_printf(out, "mx %s was added", wildcard);
	if (shorter)
		sp_buf_printf(out, "%smax_age fell from %u to %u s", wildcard ? "; " : "", before_s, now_s);
	return wildcard != NULL || shorter;
}

/* tests/fuzz/match_fuzz.c - sts_mx_match() on anything: a pattern, a line end, a host. Compared with a plain second way of RFC 8461 4.1. */
#include "sts/policy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char *plain(struct sp_str s)
{
	if (s.len > 0 && s.p[s.len - 1] == '.')
		s.len--;
	char *copy = sp_str_dup(s);
	sp_lower_in_place(copy);
	return copy;
}

static bool is_label(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!sp_is_alnum(s[i]) && s[i] != '-' && s[i] != '_')
			return false;
	return len >= 1 && len <= 63;
}

/* By text alone; the caller has seen that the pattern is one and that no NUL is in either. */
static bool matches(const char *pattern, const char *host)
{
	if (strncmp(pattern, "*.", 2) != 0)
		return strcmp(pattern, host) == 0;
	const char *dot = strchr(host, '.');
	return dot && is_label(host, (size_t)(dot - host)) && strcmp(pattern + 1, dot) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sp_str host = sp_str_make((const char *)data, len);
	struct sp_str pattern = sp_take_until(&host, '\n');
	const char *why = NULL;
	bool ok = sts_mx_pattern_ok(pattern, &why);
	sp_assert(ok == (why == NULL));
	bool got = sts_mx_match(pattern, host);
	sp_assert(ok || !got);
	if (sp_str_contains(pattern, '\0') || sp_str_contains(host, '\0')) {
		sp_assert(!ok || sp_str_contains(host, '\0'));
		return 0;
	}
	char *p = plain(pattern), *h = plain(host);
	sp_assert(got == (ok && matches(p, h)));
	if (ok && !sp_str_ends(sp_str_of(h), SP_STR(".")))                      /* neither case nor one dot at the end counts */
		sp_assert(got == sts_mx_match(sp_str_of(p), sp_str_of(h)));
	sp_assert(!ok || p[0] == '*' || sts_mx_match(pattern, pattern));        /* a name matches itself */
	free(p);
	free(h);
	return 0;
}

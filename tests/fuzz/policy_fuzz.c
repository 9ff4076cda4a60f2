/* tests/fuzz/policy_fuzz.c - sts_policy_parse() on anything: parse, print, parse again, compare; and the promises of sts/policy.h. */
#include "sts/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A warning or a refusal is a whole printable sentence, whatever the file held. */
static void check_text(const char *text)
{
	sp_assert(strlen(text) > 10);
	for (const char *c = text; *c; c++)
		sp_assert(sp_is_print(*c));
}

static void on_warning(void *arg, const char *text)
{
	sp_assert(strncmp(text, "line ", 5) == 0);
	check_text(text);
	++*(size_t *)arg;
}

static void check_policy(const struct sts_policy *p)
{
	sp_assert(sts_policy_max_age_s(p) <= STS_MAX_AGE_MAX);
	sp_assert(sts_policy_mx_count(p) <= STS_MX_MAX);
	sp_assert(sts_policy_mode(p) == STS_MODE_NONE || sts_policy_mx_count(p) > 0);
	for (size_t i = 0; i < sts_policy_mx_count(p); i++) {
		struct sp_str mx = sp_str_of(sts_policy_mx(p, i));
		const char *why;
		sp_assert(sts_mx_pattern_ok(mx, &why));
		sp_assert(sts_policy_allows_mx(p, mx) == (mx.p[0] != '*'));
	}
}

static void check_print(const struct sts_policy *p)
{
	struct sp_buf text, again;
	sp_buf_init(&text, STS_POLICY_TEXT_MAX);
	sp_buf_init(&again, STS_POLICY_TEXT_MAX);
	sts_policy_print(p, &text);
	sp_assert(!sp_buf_failed(&text));
	struct sts_policy *q = sts_policy_parse(sp_buf_str(&text), NULL, NULL, NULL);
	sp_assert(q && sts_policy_equal(p, q));
	sts_policy_print(q, &again);
	sp_assert(sp_str_eq(sp_buf_str(&text), sp_buf_str(&again)));
	sts_policy_unref(q);
	sp_buf_clear(&text);
	sp_buf_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len > STS_POLICY_SIZE_MAX)
		return 0;
	struct sp_buf why;
	sp_buf_init(&why, 512);
	size_t warnings = 0;
	struct sts_policy *p = sts_policy_parse(sp_str_make((const char *)data, len), on_warning, &warnings, &why);
	sp_assert(!sp_buf_failed(&why) && (p != NULL) == (why.len == 0));
	if (p) {
		check_policy(p);
		check_print(p);
	} else {
		check_text(sp_buf_cstr(&why));
	}
	sts_policy_unref(p);
	sp_buf_clear(&why);
	return 0;
}

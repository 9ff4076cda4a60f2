/* sts/policy.h - the MTA-STS policy document: parse it, print it, match MX names against it.
 * Implements RFC 8461 3.2 (syntax) and 4.1 (MX matching), with the leniencies of DESIGN.md as warnings. Pure; a policy never
 * changes once parsed, so it is shared between threads by ref. Used by sts/discovery.c, sts/cache.c, sts/verdict.c. */
#ifndef STS_POLICY_H
#define STS_POLICY_H

#include "core/buf.h"

#define STS_POLICY_SIZE_MAX 65536               /* octets of a body (RFC 8461 3.2: at least; DESIGN.md: at most) */
#define STS_MAX_AGE_MAX 31557600u               /* RFC 8461 3.2: seconds */
#define STS_MX_MAX 1000                         /* patterns of a policy; more: invalid */
/* Octets that the parser takes. Our own print of a policy may be longer than the body it came from (a blank behind each colon, a line
 * end), and must parse again; whoever takes a body from outside holds it to STS_POLICY_SIZE_MAX. */
#define STS_POLICY_TEXT_MAX (STS_POLICY_SIZE_MAX + STS_MX_MAX + 4)

#define STS_MODES(X) X(NONE, "none") X(TESTING, "testing") X(ENFORCE, "enforce")
enum sts_mode {
#define X(name, text) STS_MODE_##name,
	STS_MODES(X)
#undef X
};
const char *sts_mode_str(enum sts_mode mode);
SP_NODISCARD bool sts_mode_parse(struct sp_str s, enum sts_mode *out);

struct sts_policy;              /* opaque, counted */

/* Called for what is forgiven (repeated key, trailing blanks, max_age over the maximum, a dot behind an mx name), and for what is legal but hardly
 * meant (a key that differs from ours in case, max_age below a day, "*.com"). A sentence with the line number, for the domain's owner. NULL: not interested. */
typedef void (*sts_warn_fn)(void *arg, const char *text);

/* Parses `body`, the bytes of mta-sts.txt, keeping no pointer into it. NULL when invalid; then `why` (may be NULL; room for 512
 * octets) receives a sentence with the line number. One ref. */
SP_NODISCARD struct sts_policy *sts_policy_parse(struct sp_str body, sts_warn_fn warn, void *warn_arg, struct sp_buf *why);
struct sts_policy *sts_policy_ref(struct sts_policy *p);
void sts_policy_unref(struct sts_policy *p);            /* NULL is fine */

enum sts_mode sts_policy_mode(const struct sts_policy *p);
uint32_t sts_policy_max_age_s(const struct sts_policy *p);      /* 0..31557600 */
size_t sts_policy_mx_count(const struct sts_policy *p);
const char *sts_policy_mx(const struct sts_policy *p, size_t i);        /* file order, lower case, A-labels */
bool sts_policy_equal(const struct sts_policy *a, const struct sts_policy *b);
/* True if `host` (any case, A-labels, a trailing dot is fine) may receive mail under `p`. Whatever the mode. */
bool sts_policy_allows_mx(const struct sts_policy *p, struct sp_str host);
/* RFC 8461 4.1: one pattern against one host name. */
bool sts_mx_match(struct sp_str pattern, struct sp_str host);
/* Is it a pattern at all: a host name, or "*." and a host name (RFC 8461 3.2: ["*."] Domain; a dot at the end is fine)? *why: static phrase. */
SP_NODISCARD bool sts_mx_pattern_ok(struct sp_str pattern, const char **why);

/* Canonical text, for the cache and for RFC 8460 policy-string: "version: STSv1\nmode: ...". Parses back to an equal policy. */
void sts_policy_print(const struct sts_policy *p, struct sp_buf *out);

#endif

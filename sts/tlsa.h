/* sts/tlsa.h - the TLSA records of an MX host: do they bind us, and which of them.
 * Implements RFC 7672 2.1.2, 2.2, 3.1 and RFC 7671 4, 5, 9 (digest agility), 10. Pure. Used by relay/plan.c, which looks up; sts/verdict.c decides with it,
 * and core/tls.h matches certificates against the records. */
#ifndef STS_TLSA_H
#define STS_TLSA_H

#include "core/dnsmsg.h"
#include "core/fail.h"

#define STS_TLSA_MAX 100                /* records that are looked at (DESIGN.md, limits); the rest is ignored, and counted */

#define STS_TLSA_STATES(X) \
	X(NONE,     "none")     /* no records, or not secure: DANE has no say about this host */ \
	X(USABLE,   "usable")   /* a session must prove one of `records` */ \
	X(UNUSABLE, "unusable") /* records, none of which we can use: encryption, without authentication (RFC 7672 2.2) */ \
	X(FAILED,   "failed")   /* the look-up failed or is bogus: the host must not be used (RFC 7672 2.1.2) */
enum sts_tlsa_state {
#define X(name, text) STS_TLSA_##name,
	STS_TLSA_STATES(X)
#undef X
};
const char *sts_tlsa_state_str(enum sts_tlsa_state s);

struct sts_tlsa {                       /* strings and records live in the arena given */
	enum sts_tlsa_state state;
	const char *base;               /* TLSA base domain: SNI, and the first reference name (RFC 7672 2.2.1, 2.2.3, 3.2.2) */
	const struct core_tlsa *records;        /* USABLE: those to match, after digest agility; in an order of their own, each once */
	size_t count;
	size_t ignored;                 /* beyond STS_TLSA_MAX */
	const char *strings;            /* all records looked at, as RFC 8460 4.4 shows them, "3 1 1 0A1B...", one a line, sorted; "" without any */
	struct sp_fail fail;            /* FAILED: dnssec-invalid; UNUSABLE: tlsa-invalid, what is wrong with the first of them. Defers: esc "4.7.5" */
};

/* What the answer to _<port>._tcp.<base> says. The caller asks only where the host's address answer, and the CNAMEs on the way to `base`, were secure
 * (RFC 7672 2.1.3, 2.2.2), and only a resolver whose AD bit it trusts. The answer's own AD bit decides: records of an insecure answer count as none
 * (RFC 7672 2.1.1). That there are none is believed of any answer: a resolver that validates gives none that is bogus. `base` and the answer's records are
 * borrowed: `arena` gets copies. */
void sts_tlsa_judge(const struct core_dns_answer *answer, const char *base, struct sp_arena *arena, struct sts_tlsa *out);
/* The same set, as far as what a session proves is concerned? NULL is a set of state NONE. */
bool sts_tlsa_equal(const struct sts_tlsa *a, const struct sts_tlsa *b);

#endif

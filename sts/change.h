/* sts/change.h - how a domain's policy changed, and whether the change lowers what it demanded. Pure. Used by sts/history.c and relay/.
 *
 * Only `enforce` protects, so only what was `enforce` can become weaker:
 *   mode      it is testing or none now, or no policy at all (expired, forgotten by an operator)
 *   mx        a wildcard was added: any host that gets a certificate below that name may take the mail
 *   max_age   less than half of what it was, and less than a week (RFC 8461 3.2 has weeks or more in mind): who keeps us from the policy host has that much less to wait */
#ifndef STS_CHANGE_H
#define STS_CHANGE_H

#include "sts/policy.h"
#include "sts/record.h"

#define STS_CHANGE_SHORT_S (7 * 86400)

#define STS_HOWS(X) \
	X(FIRST_SEEN, "first-seen") /* nothing was known of the domain before */ \
	X(SEEN_AGAIN, "seen-again") /* it had expired, or was forgotten */ \
	X(CHANGED,    "changed")    /* fetched, and another one than before; its id alone may be what changed */ \
	X(REMOVED,    "removed")    /* mode none in place of another (RFC 8461 8.3) */ \
	X(EXPIRED,    "expired")    /* it could not be fetched again in time */ \
	X(FORGOTTEN,  "forgotten")  /* by an operator */
enum sts_how {
#define X(name, text) STS_HOW_##name,
	STS_HOWS(X)
#undef X
};
const char *sts_how_str(enum sts_how h);
SP_NODISCARD bool sts_how_parse(struct sp_str s, enum sts_how *out);

/* Does `to` demand less than `from` did? Either may be NULL: none. Then `why` (may be NULL) says what, in a phrase. */
bool sts_change_weaker(const struct sts_policy *from, const struct sts_policy *to, struct sp_buf *why);

/* What the store's thread noted, for the log of who asked for it. */
struct sts_note {
	bool noted;                     /* there was a change */
	enum sts_how how;
	bool weaker;
	char from[8], to[8];            /* modes, "" without a policy */
	char why[256];                  /* of weaker */
};

#endif

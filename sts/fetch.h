/* sts/fetch.h - is what came over HTTPS a policy, and if not, what is that called? Private to sts/.
 * Implements RFC 8461 3.3 (what a fetch is) and RFC 8460 4.3.2.2 (its failures). Pure. Used by sts/discovery.c. */
#ifndef STS_FETCH_H
#define STS_FETCH_H

#include "sts/discovery.h"

/* The policy, one ref; or NULL with *why: result sts-webpki-invalid, sts-policy-fetch-error or sts-policy-invalid, and a reason word. */
SP_NODISCARD struct sts_policy *sts_fetch_judge(const struct sts_fetch *fetch, struct sp_fail *why);

#endif

/* sts/verdict.h - what a session to an MX host must prove, and whether it did: the one place where that is decided.
 * Implements RFC 8461 4 and 5, RFC 3207/7435 (opportunistic), and DESIGN.md's policy table. Pure. Used by relay/destination.c (before) and
 * relay/delivery.c (after the handshake). */
#ifndef STS_VERDICT_H
#define STS_VERDICT_H

#include "core/fail.h"
#include "sts/discovery.h"

#define STS_REQUIREMENTS(X) \
	X(NONE,    "none")    /* TLS if offered, clear text if not or if it breaks; no verification */ \
	X(TRY_PKIX,"testing") /* as NONE, but verified, and a failure is counted (mode testing) */ \
	X(PKIX,    "pkix")    /* a certificate for the host, chained to a trusted root, or nothing leaves (mode enforce) */
enum sts_requirement {
#define X(name, text) STS_REQUIRE_##name,
	STS_REQUIREMENTS(X)
#undef X
};
const char *sts_requirement_str(enum sts_requirement r);

/* What applies to one MX host of a domain. */
struct sts_demand {
	enum sts_requirement require;
	struct sp_fail barred;          /* failed(): this host may not be used; why (enforce, and not listed) */
	struct sp_fail counted;         /* failed(): a fault that is only counted (testing, and not listed): the session goes on */
	enum sts_mode mode;             /* of the policy; NONE without one */
	bool has_policy;
	char host[256];                 /* as asked for; for texts */
	char policy[128];               /* where it comes from, for texts: "mode enforce, id 20250101, cache"; "" without one */
};
/* `host`: A-labels, from DNS or from the configured route. */
void sts_verdict_host(const struct sts_finding *f, const char *host, struct sts_demand *out);

/* How far a session got, and what was shown. */
struct sts_shown {
	bool starttls_offered;          /* in the EHLO reply */
	struct sp_fail starttls;        /* failed(): not offered, refused, broken: as the client engine or core/conn told */
	bool encrypted;                 /* the handshake succeeded */
	bool verified;                  /* core_tls_verify() was asked, and found nothing wrong */
	struct sp_fail certificate;     /* failed(): what it said; only looked at where the demand verifies */
};
enum sts_decision {
	STS_DELIVER,                    /* go on */
	STS_RETRY_CLEAR,                /* handshake failed where TLS is not required: once more to the same host in the clear */
	STS_REFUSE                      /* nothing may be sent to this host: next host, else defer */
};
/* Decides after EHLO/STARTTLS/handshake. *why gets the failure to report: with REFUSE it is what barred the host; with the others it is failed() when a
 * fault was forgiven (testing; without a demand: no TLS came about, RFC 8460 4.4) and must be counted; barred/counted from sts_verdict_host() come first.
 * A refusal is never for NONE and TRY_PKIX. */
SP_NODISCARD enum sts_decision sts_verdict_session(const struct sts_demand *d, const struct sts_shown *shown, struct sp_fail *why);

#endif

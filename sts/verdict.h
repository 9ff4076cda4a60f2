/* sts/verdict.h - what a session to an MX host must prove, and whether it did: the one place where that is decided.
 * Implements RFC 8461 4 and 5, RFC 7672 2 and 3 (DANE), RFC 8689 4.2.1 (REQUIRETLS) and 4.2.2 (TLS-Required: No), RFC 3207/7435 (opportunistic), and
 * DESIGN.md's policy table. Pure. Used by relay/plan.c (before) and relay/delivery.c (after the handshake).
 * Precedence for one MX host: a rule with override; else usable TLSA, alone; else the domain's MTA-STS policy; else nothing. A rule without override is
 * a floor under that. What the mail itself asks for comes last: REQUIRETLS only raises; TLS-Required: No turns every demand into an attempt.
 * A refusal by policy defers: the next try may find an honest host. Permanent, with a reason that begins with "requiretls-", is only what RFC 8689 4.2.1 ends
 * in a bounce: what the mail alone asks for, and this host does not give. What the domain's own policy refuses defers mail with REQUIRETLS as it does other mail. */
#ifndef STS_VERDICT_H
#define STS_VERDICT_H

#include "core/fail.h"
#include "sts/discovery.h"
#include "sts/rule.h"
#include "sts/tlsa.h"

#define STS_REQUIREMENTS(X) \
	X(NONE,    "none")    /* TLS if offered, clear text if not or if it breaks; no verification */ \
	X(TRY_PKIX,"testing") /* as NONE, but verified, and a failure is counted (mode testing) */ \
	X(PKIX,    "pkix")    /* a certificate for the host, chained to a trusted root, or nothing leaves (mode enforce) */ \
	X(CLEAR,   "clear")   /* no TLS is begun (a rule's tls: none) */ \
	X(ENCRYPT, "encrypt") /* TLS or nothing leaves; whoever it is (TLSA records that cannot be used; a rule) */ \
	X(DANE,    "dane")    /* a certificate that matches the host's TLSA records, or nothing leaves */
enum sts_requirement {
#define X(name, text) STS_REQUIRE_##name,
	STS_REQUIREMENTS(X)
#undef X
};
const char *sts_requirement_str(enum sts_requirement r);

/* What a demand comes from, for logs and texts. */
#define STS_ORIGINS(X) X(NOBODY, "none") X(POLICY, "sts") X(TLSA, "tlsa") X(RULE, "rule") X(MAIL, "requiretls")
enum sts_origin {
#define X(name, text) STS_ORIGIN_##name,
	STS_ORIGINS(X)
#undef X
};
const char *sts_origin_str(enum sts_origin o);

/* What the mail asks for (core/wish.h): mail that asks for different things never shares a destination (relay/route.h). */
enum sts_wish { STS_WISH_NONE, STS_WISH_REQUIRE_TLS, STS_WISH_TLS_OPTIONAL };

/* All that the demand on one MX host depends on. Borrowed. */
struct sts_question {
	const struct sts_finding *finding;
	const char *host;               /* A-labels, from DNS or from the configured route; "" for an address literal */
	const struct sts_tlsa *tlsa;    /* NULL: not asked for (no secure address, DANE is off) */
	/* OFF: no TLSA counts, but under a rule's `tls: dane`. REQUIRED: a host without usable TLSA is barred, and one whose name came insecurely:
	 * dane-required (RFC 8460 4.3.2.1) */
	enum sts_dane dane;
	const struct sts_rule *rule;    /* in force; NULL: none */
	enum sts_wish wish;
	bool relaxed;                   /* with REQUIRE_TLS: this next hop need not offer REQUIRETLS, nor be named securely (`requiretls: relaxed`) */
	bool mx_secure;                 /* the host's name came from a DNSSEC-secure MX answer, or is configured */
};

/* What applies to one MX host of a domain. */
struct sts_demand {
	enum sts_requirement require;
	struct sp_fail barred;          /* failed(): this host may not be used; why (enforce, and not listed) */
	struct sp_fail counted;         /* failed(): not listed in the MTA-STS policy, and that bars nobody (testing; TLSA or a rule decides): the session goes on */
	enum sts_mode mode;             /* of the policy; NONE without one */
	bool has_policy;
	enum sts_origin origin;         /* who demands `require`, or bars the host */
	bool pkix_too;                  /* the policy wants a look at the certificate for its report, whatever decides (TLSA or a rule): mode is enforce or testing */
	bool peer_requiretls;           /* the peer must offer REQUIRETLS */
	bool tolerant;                  /* TLS-Required: No: whatever fails is let pass, and is no failure (RFC 8689 4.2.2) */
	bool uncounted;                 /* nothing of the session may be counted, as success or failure: tolerant, or no TLS was tried (CLEAR) */
	enum sts_wish wish;             /* of the question */
	const struct sts_tlsa *tlsa;    /* of the question; NULL where DANE has no say, and nothing is to be counted of it */
	const struct sts_rule *rule;    /* of the question, where it says something of TLS or overrides; for the log at each use */
	char host[256];                 /* as asked for; for texts */
	char policy[128];               /* where it comes from, for texts: "mode enforce, id 20250101, cache"; "" without one */
};
void sts_verdict_host(const struct sts_question *q, struct sts_demand *out);
/* What the session has to do for it: TLS or nothing; core_tls_verify() for `host`; core_tls_verify_dane() with tlsa->records. */
bool sts_demand_needs_tls(const struct sts_demand *d);
bool sts_demand_looks_pkix(const struct sts_demand *d);
bool sts_demand_looks_dane(const struct sts_demand *d);
/* May a session that was proved under `a` carry what is under `b`? Same host, same requirement from the same set of records, and the same wish. */
bool sts_demand_equal(const struct sts_demand *a, const struct sts_demand *b);

/* How far a session got, and what was shown. */
struct sts_shown {
	bool starttls_offered;          /* in the EHLO reply */
	struct sp_fail starttls;        /* failed(): not offered, refused, broken: as the client engine or core/conn told */
	bool encrypted;                 /* the handshake succeeded */
	bool verified;                  /* core_tls_verify() was asked, and found nothing wrong */
	struct sp_fail certificate;     /* failed(): what it said; only looked at where the demand verifies */
	bool dane_verified;             /* core_tls_verify_dane() was asked, and found nothing wrong */
	struct sp_fail dane;            /* failed(): what it said */
	bool requiretls_offered;        /* in the EHLO reply after the handshake; looked at by sts_verdict_ready() */
};
enum sts_decision {
	STS_DELIVER,                    /* go on */
	STS_RETRY_CLEAR,                /* handshake failed where TLS is not required: once more to the same host in the clear */
	STS_REFUSE                      /* nothing may be sent to this host: next host, else defer */
};
/* What the session means for each policy that applied (RFC 8460: both are reported). For a barred host there was no session: count only what failed(). Else
 * count one session under MTA-STS where d->has_policy, one under TLSA where d->tlsa is there, and one under no-policy-found where neither is. Nothing at all
 * where d->uncounted. */
struct sts_result {
	struct sp_fail why;             /* the failure that decided, or that was forgiven and must be told; see below */
	struct sp_fail sts;             /* failed(): how it failed the MTA-STS policy; in mode none, and without any policy, that no TLS came about (RFC 8460 4.4) */
	struct sp_fail tlsa;            /* failed(): how it failed the TLSA records, or what is wrong with them */
};
/* Decides after EHLO/STARTTLS/handshake. out->why gets the failure to tell: with REFUSE it is what barred the host; with the others it is failed() when a
 * fault was forgiven: testing; unusable TLSA; a rule with override; without a demand, that no TLS came about. A policy that is outweighed by TLSA that match
 * forgives nothing. A refusal is never for NONE, TRY_PKIX and CLEAR. For a barred host `shown` may be zeroed. */
SP_NODISCARD enum sts_decision sts_verdict_session(const struct sts_demand *d, const struct sts_shown *shown, struct sts_result *out);
/* After the EHLO that follows the handshake: does the peer offer what the mail requires? REFUSE with 5.7.30, permanent (RFC 8689 4.2.1), else DELIVER. */
SP_NODISCARD enum sts_decision sts_verdict_ready(const struct sts_demand *d, const struct sts_shown *shown, struct sp_fail *why);

#endif

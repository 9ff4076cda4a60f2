/* rpt/event.h - what one session to a receiving domain adds to its TLS report, as RFC 8460 4.3 and 4.4 name it.
 * One session, one event for each policy that applied; a session that fails several ways is one failure. Pure.
 * Made in relay/account.c, logged with the attempt, counted in rpt/ledger.c. */
#ifndef RPT_EVENT_H
#define RPT_EVENT_H

#include "core/arena.h"
#include "core/fail.h"
#include "core/log.h"

#define RPT_POLICY_TYPES(X) X(NONE_FOUND, "no-policy-found") X(STS, "sts") X(TLSA, "tlsa")
enum rpt_policy_type {
#define X(name, text) RPT_POLICY_##name,
	RPT_POLICY_TYPES(X)
#undef X
};
#define X(name, text) + 1
enum { RPT_POLICY_TYPE_COUNT = 0 RPT_POLICY_TYPES(X) };
#undef X
const char *rpt_policy_type_str(enum rpt_policy_type t);
bool rpt_policy_type_parse(struct sp_str s, enum rpt_policy_type *out);

/* The reason (RFC 8460 4.3 leaves its words to us; they are stable, and tests/e2e/test_ledger.py has most of them):
 *   starttls-not-supported  starttls-not-offered, starttls-refused (4yz, 5yz), ehlo-refused (under enforce)
 *   validation-failure      mx-mismatch: the MX host is not listed in the policy
 *                           starttls-injection, starttls-broken: octets behind the reply to STARTTLS; no reply at all
 *                           lost, timeout: before the handshake was through
 *                           alert-NAME: the peer's TLS alert (RFC 8446 6, "alert-protocol-version"), alert-NUMBER where it has no name
 *                           wrong-version-number and other words of OpenSSL: what the peer sent is no TLS
 *                           tls-version: older than tls.verified_min (mode testing); no-certificate; tls-setup: our own fault
 *                           tlsa-mismatch: no TLSA record matches what the host showed
 *                           X509_V_ERR_CERT_REVOKED, _CERT_CHAIN_TOO_LONG, _UNSPECIFIED
 *   certificate-*           OpenSSL's name of the fault, as in the RFC's example: X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_HOSTNAME_MISMATCH
 *   dnssec-invalid          servfail, timeout, refused, malformed, cname-chain: of the TLSA look-up
 *   tlsa-invalid            tlsa-usage, tlsa-selector, tlsa-matching, tlsa-length, tlsa-data: what is wrong with the first record
 *   dane-required           dane-required
 *   sts-policy-fetch-error  dns, refused, unreachable, lost, timeout, private-address, alert-NAME, http-status-NNN, redirect, media-type, encoding, body-too-large,
 *                           no-response, and the words of core/httpresp.c for what is no HTTP
 *   sts-policy-invalid      policy-syntax
 *   sts-webpki-invalid      X509_V_ERR_..., as above */
struct rpt_event {
	int64_t at_s;                   /* Unix time at which the session reached its conclusion: it names the day */
	enum rpt_policy_type policy_type;
	const char *policy_domain;      /* A-labels, lower case: who gets the report */
	const char *policy_strings;     /* the policy as applied, one string a line (sts_policy_print(), or one TLSA record a line); "": none could be had */
	/* STS: its mx patterns, one a line. TLSA: the TLSA base domain, which RFC 8460 1.1 calls the policy domain of DANE: the report tells it as policy-domain,
	 * and still goes to `policy_domain`, whose mail it was. Else "". Not kept where policy_strings is "". */
	const char *mx_patterns;
	enum sp_result result;          /* NONE: a successful session; what follows is then not looked at */
	const char *reason;             /* failure-reason-code, "" when none */
	const char *sending_ip, *mx_host, *mx_helo, *mx_ip;     /* RFC 8460 4.4; "" where the session did not get so far */
};
/* A copy whose strings live in `arena`; NULL strings become "". */
struct rpt_event rpt_event_copy(const struct rpt_event *e, struct sp_arena *arena);
/* The event in one word: "sts", "sts/validation-failure", "sts/validation-failure/mx-mismatch". */
void rpt_event_print(const struct rpt_event *e, struct sp_buf *out);

/* UTC days (RFC 8460 4.1). A day is the number of days since 1970-01-01; an instant belongs to the day it falls in, to the last millisecond. */
#define RPT_DAY_S 86400
int64_t rpt_day_of(int64_t at_s);
const char *rpt_day_str(int64_t day, char text[16]);                    /* "2026-11-22"; the nearest of 1970 to 9999 */
SP_NODISCARD bool rpt_day_parse(struct sp_str s, int64_t *day);         /* that form, a date that exists */

#endif

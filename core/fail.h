/* core/fail.h - a failure of the world, as a value: made where it was seen, passed up unchanged.
 * Only relay/outcome.c turns one into "next host", "retry at" or "bounce". Pure. Any thread.
 * The result types of RFC 8460 4.3 stand here, not in rpt/, because core/tls and core/http are where most of them
 * are seen, and core knows nobody. */
#ifndef CORE_FAIL_H
#define CORE_FAIL_H

#include "core/str.h"

#define SP_FAIL_KINDS(X) \
	X(NONE,     "none")      /* no failure */ \
	X(DNS,      "dns")       /* a lookup did not give what was needed */ \
	X(CONNECT,  "connect")   /* TCP: refused, unreachable, timed out, lost */ \
	X(TLS,      "tls")       /* handshake or certificate */ \
	X(REPLY,    "reply")     /* the peer said 4yz or 5yz; `code` is set */ \
	X(PROTOCOL, "protocol")  /* the peer broke the protocol, or fell silent */ \
	X(POLICY,   "policy")    /* what the peer offers does not satisfy the policy */ \
	X(HTTP,     "http")      /* a policy host answered, but not with what was asked */ \
	X(STORE,    "store")     /* our own disk */ \
	X(SHUTDOWN, "shutdown")  /* we are stopping */

enum sp_fail_kind {
#define X(name, text) SP_FAIL_##name,
	SP_FAIL_KINDS(X)
#undef X
};

/* RFC 8460 4.3. NONE: not about TLS, or no failure. */
#define SP_RESULTS(X) \
	X(NONE,                       "none") \
	X(STARTTLS_NOT_SUPPORTED,     "starttls-not-supported")     /* RFC 8460 4.3.1 */ \
	X(CERTIFICATE_HOST_MISMATCH,  "certificate-host-mismatch") \
	X(CERTIFICATE_EXPIRED,        "certificate-expired") \
	X(CERTIFICATE_NOT_TRUSTED,    "certificate-not-trusted") \
	X(VALIDATION_FAILURE,         "validation-failure") \
	X(TLSA_INVALID,               "tlsa-invalid")               /* RFC 8460 4.3.2.1 */ \
	X(DNSSEC_INVALID,             "dnssec-invalid") \
	X(DANE_REQUIRED,              "dane-required") \
	X(STS_POLICY_FETCH_ERROR,     "sts-policy-fetch-error")     /* RFC 8460 4.3.2.2 */ \
	X(STS_POLICY_INVALID,         "sts-policy-invalid") \
	X(STS_WEBPKI_INVALID,         "sts-webpki-invalid")

enum sp_result {
#define X(name, text) SP_RESULT_##name,
	SP_RESULTS(X)
#undef X
};

struct sp_fail {
	enum sp_fail_kind kind;
	enum sp_result result;          /* how RFC 8460 calls it; SP_RESULT_NONE if not about TLS */
	bool permanent;                 /* trying again later cannot help (NXDOMAIN, null MX, 5yz) */
	int code;                       /* SMTP reply code, 0 when none was seen */
	char esc[12];                   /* RFC 3463 status, "5.7.1"; the peer's where it gave one, else ours, or "" */
	char reason[48];                /* stable word for machines, RFC 8460 failure-reason-code: "mx-mismatch" */
	char text[512];                 /* what happened, to what, in which state; printable ASCII */
};

#define SP_FAIL_OK ((struct sp_fail){ .kind = SP_FAIL_NONE })

static inline bool sp_failed(const struct sp_fail *f) { return f->kind != SP_FAIL_NONE; }

/* Sets kind and text and clears the rest. Text is made printable and cut to fit. `f` may be NULL. */
void sp_fail_set(struct sp_fail *f, enum sp_fail_kind kind, const char *fmt, ...) SP_PRINTF(3, 4);
/* The same for a TLS failure with its RFC 8460 result type and reason word. */
void sp_fail_tls(struct sp_fail *f, enum sp_fail_kind kind, enum sp_result result, const char *reason,
                 const char *fmt, ...) SP_PRINTF(5, 6);

const char *sp_fail_kind_str(enum sp_fail_kind kind);
const char *sp_result_str(enum sp_result result);
bool sp_result_parse(struct sp_str s, enum sp_result *out);

#endif

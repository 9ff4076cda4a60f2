/* core/tls.h - TLS over OpenSSL: contexts, what a peer showed, and whether that proves a name.
 * Verification runs after the handshake, on the chain the peer sent, and never inside it: so one session gives both a
 * verdict and the exact result type of RFC 8460, and a session with no policy pays for no verification.
 * The TLS stream itself is part of core/conn. On the loop's thread; a context belongs to one thread. */
#ifndef CORE_TLS_H
#define CORE_TLS_H

#include "core/buf.h"
#include "core/fail.h"

struct core_tls_client;         /* opaque: the SSL_CTX and X509_STORE of a shard */
struct core_tls_session;        /* opaque: one resumable session, with what was proved when it was made */

enum core_tls_version { CORE_TLS_1_0 = 10, CORE_TLS_1_1, CORE_TLS_1_2, CORE_TLS_1_3 };
SP_NODISCARD bool core_tls_version_parse(struct sp_str s, enum core_tls_version *out);   /* "1.0" to "1.3" */

/* `ca_file`: PEM, "" for the system's store. NULL with *why on failure (unreadable file, no certificate in it). */
SP_NODISCARD struct core_tls_client *core_tls_client_new(const char *ca_file, struct sp_fail *why);
void core_tls_client_unref(struct core_tls_client *t);           /* counted: connections hold it too */
struct core_tls_client *core_tls_client_ref(struct core_tls_client *t);

/* What to ask of a handshake, see core_conn_start_tls(). Strings are copied. */
struct core_tls_ask {
	struct core_tls_client *client;
	const char *sni;                        /* host name; NULL sends none (address literals) */
	enum core_tls_version min_version;      /* below 1.2 the old ciphers are allowed too (opportunistic) */
	/* Borrowed; NULL for a full handshake. One made with another sni or min_version, or a TLS 1.3 ticket that was
	 * used before, is passed over. */
	struct core_tls_session *resume;
};

/* What the peer showed. Lives as long as the connection. */
struct core_tls_peer {
	const char *version;            /* "TLSv1.3" */
	const char *cipher;             /* "TLS_AES_256_GCM_SHA384" */
	bool resumed;
	struct x509_chain *chain;       /* for core_tls_verify(); NULL when it sent no certificate */
};

/* Does the peer prove to be `host`? Chain to a trusted root at `now_s` (Unix seconds), within dates, `host` among the
 * SAN dNSName entries (RFC 8461 4.1, RFC 6125; a wildcard is the whole left-most label; never the CN). True, or false
 * with *why: certificate-expired, certificate-not-trusted, certificate-host-mismatch or validation-failure, with
 * OpenSSL's error name as reason and the subject, names and dates that matter in the text. Where several faults are there,
 * the first in the order validation-failure (revoked, chain too long: the check itself is in doubt), not-trusted, expired,
 * host-mismatch is told. Not valid yet is not-trusted: it has not expired. Works alike on a resumed session. */
SP_NODISCARD bool core_tls_verify(struct core_tls_client *t, const struct core_tls_peer *peer, const char *host,
                                  int64_t now_s, struct sp_fail *why);
/* One line for logs and DSNs: leaf subject, SANs (cut), issuer, notAfter. Printable. Appends to `out`. */
void core_tls_describe(const struct core_tls_peer *peer, struct sp_buf *out);
/* The earliest notAfter in the peer's chain in Unix seconds, INT64_MAX without a chain. */
int64_t core_tls_chain_expires(const struct core_tls_peer *peer);

void core_tls_session_unref(struct core_tls_session *s);         /* NULL is fine */

#endif

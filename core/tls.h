/* core/tls.h - TLS over OpenSSL: contexts, what a peer showed, and whether that proves a name.
 * Verification runs after the handshake, on the chain the peer sent, and never inside it: so one session gives both a
 * verdict and the exact result type of RFC 8460, and a session with no policy pays for no verification.
 * The TLS stream itself is part of core/conn. On the loop's thread; a context belongs to one thread. */
#ifndef CORE_TLS_H
#define CORE_TLS_H

#include "core/buf.h"
#include "core/fail.h"
#include "core/tlsa.h"

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
/* The certificates of the chain, one by one. Texts are printable, and cut; names are those of type DNS, with a blank between. Initialised by the caller, used for one after
 * the other; a date that cannot be read is 0. False: there is no such certificate. */
#define CORE_TLS_NAMES_MAX 2048         /* octets of names of a certificate */
struct core_tls_certificate {
	struct sp_buf subject, names, issuer;
	int64_t not_before_s, not_after_s;      /* Unix seconds */
};
void core_tls_certificate_init(struct core_tls_certificate *c);
void core_tls_certificate_clear(struct core_tls_certificate *c);
SP_NODISCARD bool core_tls_chain_at(const struct core_tls_peer *peer, size_t i, struct core_tls_certificate *out);
/* Appends the chain as PEM, the leaf first, as many certificates as `out` has room for. */
void core_tls_chain_pem(const struct core_tls_peer *peer, struct sp_buf *out);
/* The earliest notAfter in the peer's chain in Unix seconds, INT64_MAX without a chain. */
int64_t core_tls_chain_expires(const struct core_tls_peer *peer);

void core_tls_session_unref(struct core_tls_session *s);         /* NULL is fine */

/* --- DANE (RFC 7671, RFC 7672) --- */

struct core_tls_dane {
	const struct core_tlsa *records;        /* of usages 2 and 3 only; those that OpenSSL does not take are passed over */
	size_t count;
	/* Reference names, the TLSA base domain first (RFC 7672 3.2.2): looked at for usage 2, where one of them must be among the SAN dNSName entries;
	 * usage 3 ignores names and dates (RFC 7672 3.1.1). */
	const char *const *names;
	size_t name_count;
};
/* Does the peer match? As core_tls_verify(), but what is trusted is in the records: through OpenSSL's own DANE matching, on the chain that was sent.
 * False with *why: validation-failure, reason "tlsa-mismatch", where no record matches ("no-certificate" where there is nothing to match); for a chain that
 * a usage 2 record anchors, what core_tls_verify() says of one that a root anchors: certificate-not-trusted (a bad signature, a weak key),
 * certificate-expired, certificate-host-mismatch. `depth`, where not NULL, gets where in the chain the match was, -1 for none. */
SP_NODISCARD bool core_tls_verify_dane(struct core_tls_client *t, const struct core_tls_peer *peer, const struct core_tls_dane *dane,
                                       int64_t now_s, int *depth, struct sp_fail *why);

/* --- the server's side --- */

struct core_tls_server;         /* opaque: certificate, key, and what is asked of clients. Never changes, is counted; all threads share one */

struct core_tls_server_ask {
	const char *certificate;        /* PEM file: the leaf, then the chain */
	const char *key;                /* PEM file; "" or NULL: in the same file */
	const char *client_ca;          /* PEM file: clients are asked for a certificate, and told apart by it; "" or NULL: they are not asked */
	enum core_tls_version min_version;
	bool tickets;                   /* sessions may be resumed; some clients break over tickets, above all those that show a certificate */
};
/* With `client_ca` no session is resumed: what a certificate proves is proved each time, on the whole chain.
 * NULL with *why: which file, what is wrong with it (unreadable: uid, mode; no certificate; the key is another one's; expired is only for the caller to
 * warn of), and what mends it. Blocks: for start and reload. */
SP_NODISCARD struct core_tls_server *core_tls_server_new(const struct core_tls_server_ask *ask, struct sp_fail *why);
struct core_tls_server *core_tls_server_ref(struct core_tls_server *t);
void core_tls_server_unref(struct core_tls_server *t);          /* NULL is fine */
int64_t core_tls_server_expires(const struct core_tls_server *t);       /* Unix seconds: notAfter of the leaf */
bool core_tls_server_names(const struct core_tls_server *t, const char *host);          /* is the certificate for `host`? As core_tls_verify() compares */
/* A client's certificate: true when it chains to `client_ca` and is in date; then its subject (RFC 2253, printable) is appended to `subject`. False when it
 * showed none (*why not failed), or with *why what is wrong with it. */
SP_NODISCARD bool core_tls_server_knows(struct core_tls_server *t, const struct core_tls_peer *peer, int64_t now_s, struct sp_buf *subject,
                                        struct sp_fail *why);

#endif

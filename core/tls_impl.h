/* core/tls_impl.h - what the files of TLS share: tls.c (the client's contexts), tls_server.c (the server's), tls_stream.c (the engine), tls_verify.c and
 * tls_dane.c (the proof). */
#ifndef CORE_TLS_IMPL_H
#define CORE_TLS_IMPL_H

#include "core/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>

struct core_tls_client {
	unsigned refs;
	SSL_CTX *strict;                /* TLS 1.2 and later, nothing weak */
	SSL_CTX *lenient;               /* whatever encrypts */
	X509_STORE *roots;
	BIO_METHOD *io;                 /* of the engine: reads and writes what core_tls_io lends */
};

struct core_tls_server {
	atomic_uint refs;
	SSL_CTX *ctx;
	X509 *leaf;
	X509_STORE *client_roots;       /* NULL: clients are not asked for a certificate */
	BIO_METHOD *io;
	int64_t expires_s;
};

struct x509_chain {
	STACK_OF(X509) *certs;          /* the leaf first, as it was sent */
};

struct core_tls_session {
	unsigned refs;
	SSL_SESSION *ssl;               /* with the chain of the full handshake */
	char *sni;                      /* what it was asked with; NULL: nothing */
	enum core_tls_version min_version;
	bool spent;                     /* a TLS 1.3 ticket that was used: RFC 8446 C.4 */
};

BIO_METHOD *core_tls_stream_bio(void);                                  /* tls_stream.c; for BIO_meth_free() */
int core_tls_stream_on_session(SSL *ssl, SSL_SESSION *session);         /* a ticket came; keeps it */
int core_tls_protocol(enum core_tls_version v);                         /* OpenSSL's number */
/* The handshake accepts any certificate; who wants to know judges it afterwards. */
int core_tls_accept_any(X509_STORE_CTX *chain, void *arg);
#define CORE_TLS_CHAIN_OCTETS_MAX (100 * 1024)

/* tls_verify.c */
X509 *core_tls_leaf(const struct core_tls_peer *peer);                  /* borrowed, or NULL */
void core_tls_add_name(struct sp_buf *out, const X509_NAME *name);     /* RFC 2253, printable, cut */
bool core_tls_not_after(const X509 *cert, int64_t *out_s);
bool core_tls_names_host(X509 *leaf, struct sp_str host);               /* among its SAN dNSName entries */

/* RFC 8460 4.3.1: "certificate-expired" is for one that has expired. One that is not valid yet has not; it falls under
 * certificate-not-trusted, which covers "certificate chain errors, etc." and asks for the exact word as reason code. So
 * do weak keys and purposes; validation-failure is left for what none of these describes. */
enum core_tls_fault { CORE_TLS_FAULT_OTHER, CORE_TLS_FAULT_UNTRUSTED, CORE_TLS_FAULT_EXPIRED, CORE_TLS_FAULTS };

/* The first error of each kind, and the certificate it is about. */
struct core_tls_faults {
	struct {
		int code;               /* X509_V_OK: none */
		X509 *at;               /* one ref; may be NULL */
	} first[CORE_TLS_FAULTS];
};
/* All that is wrong with the chain, but for names. `dane`: with its records as trust anchors instead of our roots; may be NULL. */
void core_tls_check_chain(struct core_tls_client *t, STACK_OF(X509) *certs, SSL_DANE *dane, int64_t now_s, struct core_tls_faults *f);
void core_tls_faults_clear(struct core_tls_faults *f);
/* True with *why where there is one: the one that counts most. */
bool core_tls_faults_tell(const struct core_tls_peer *peer, const struct core_tls_faults *f, struct sp_fail *why);
/* Is the leaf for one of these names? Else certificate-host-mismatch. */
bool core_tls_is_for(const struct core_tls_peer *peer, const char *const *hosts, size_t count, struct sp_fail *why);
bool core_tls_has_certificate(const struct core_tls_peer *peer, const char *host, struct sp_fail *why);

#endif

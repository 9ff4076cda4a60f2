/* core/tls_impl.h - what the files of TLS share: tls.c (the client's contexts), tls_server.c (the server's), tls_stream.c (the engine), tls_verify.c. */
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

#endif

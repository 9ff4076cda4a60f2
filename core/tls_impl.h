/* core/tls_impl.h - what the files of TLS share: tls.c (contexts), tls_stream.c (the engine), tls_verify.c. */
#ifndef CORE_TLS_IMPL_H
#define CORE_TLS_IMPL_H

#include "core/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

struct core_tls_client {
	unsigned refs;
	SSL_CTX *strict;                /* TLS 1.2 and later, nothing weak */
	SSL_CTX *lenient;               /* whatever encrypts */
	X509_STORE *roots;
	BIO_METHOD *io;                 /* of the engine: reads and writes what core_tls_io lends */
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
X509 *core_tls_leaf(const struct core_tls_peer *peer);                  /* borrowed, or NULL */

#endif

/* tests/unit/tls_fixture.h - certificates made on the spot, and a blocking TLS server on a thread for tests of clients. */
#ifndef TLS_FIXTURE_H
#define TLS_FIXTURE_H

#include "core/addr.h"

#include <openssl/ssl.h>
#include <pthread.h>

#define CERT_NOW 1700000000             /* 2023-11-14: when certificates that say nothing else are valid */
#define CERT_DAY 86400

struct cert {
	X509 *x509;
	EVP_PKEY *key;
};

struct cert_ask {
	const char *cn;
	const char *alt;                /* "DNS:a.example,DNS:b.example"; NULL: no such extension */
	const char *usage;              /* extended key usage, "serverAuth"; NULL: no such extension */
	int from_s, to_s;               /* from CERT_NOW; both 0: a day before to a day after */
	bool ca;
	bool weak;                      /* RSA 1024 */
};

struct cert cert_make(const struct cert_ask *ask, const struct cert *issuer);   /* NULL: self-signed */
void cert_clear(struct cert *c);
void cert_write_pem(const struct cert *c, char path[64]);       /* a new file in /tmp, named in `path` */

/* A server's context: `leaf`, then what follows it in the chain (NULL at the end). */
SSL_CTX *tls_server_context(const struct cert *leaf, const struct cert *const *rest);

/* Serves `turns` connections at 127.0.0.1, one after the other, each by serve(); blocking, on its own thread. */
struct peer {
	int fd;
	struct sp_addr at;
	unsigned turns;
	void (*serve)(int fd, void *arg);
	void *arg;
	pthread_t thread;
};
void peer_start(struct peer *p, unsigned turns, void (*serve)(int fd, void *arg), void *arg);
void peer_join(struct peer *p);

#endif

/* tests/bench/sinktls.h - the sink's side of TLS: certificates chosen by server name. Used by smtpsink. */
#ifndef BENCH_SINKTLS_H
#define BENCH_SINKTLS_H

#include <openssl/ssl.h>

/* A context that shows the certificate and chain in `dir`/NAME.pem to a client that asks for NAME, and
 * `fallback` (may be NULL) to others; all belong to the private key in `key`. TLS 1.2 and 1.3, tickets
 * without state. Ends the process where a file cannot be read. */
SSL_CTX *sinktls_new(const char *fallback, const char *dir, const char *key);

#endif

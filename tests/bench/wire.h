/* tests/bench/wire.h - one non-blocking connection, in clear or under TLS, watched by epoll.
 * Output is gathered until wire_flush(). No status is kept beyond "gone": both ends of a benchmark
 * simply count a lost connection. Used by smtpgen and smtpsink. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct wire {
	int epoll;
	int fd;                 /* -1: closed */
	void *owner;            /* what epoll hands back */
	SSL *ssl;               /* NULL in clear */
	bool handshaking;
	bool wants_out;         /* EPOLLOUT is set: output waits for room */
	char *out;
	size_t out_len, out_sent, out_cap;
};

/* Takes over `fd`, non-blocking, and has epoll watch it for input (and for output, if `connecting`). */
void wire_open(struct wire *w, int epoll, int fd, void *owner, bool connecting);
/* Starts TLS; the handshake goes on in wire_handshake(). */
void wire_start_tls(struct wire *w, SSL_CTX *ctx, bool server, const char *sni);
/* Returns 1 when it is through, 0 when it waits for the peer, -1 when it failed. */
int wire_handshake(struct wire *w);
/* Returns octets read, 0 when nothing is there now, -1 when the peer is gone. */
ssize_t wire_read(struct wire *w, char *buf, size_t cap);
/* True if epoll may stay silent although there is more to read. */
bool wire_has_more(const struct wire *w);
/* Lends room for at least `n` octets at the end of the output; wire_grow() then takes what was written. */
char *wire_room(struct wire *w, size_t n);
void wire_grow(struct wire *w, size_t n);
void wire_puts(struct wire *w, const char *s);
/* Writes what is gathered as far as the peer takes it. Returns -1 when the peer is gone. */
int wire_flush(struct wire *w);
void wire_close(struct wire *w);

uint64_t bench_now_ns(void);             /* CLOCK_MONOTONIC, the same for both ends */
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void *bench_alloc(size_t n);             /* zeroed; never NULL */

#endif

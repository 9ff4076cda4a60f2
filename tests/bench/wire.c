/* tests/bench/wire.c - see wire.h. */
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void watch(struct wire *w, int op, bool out)
{
	struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = w->owner };

	if (epoll_ctl(w->epoll, op, w->fd, &ev) != 0)
		bench_die("epoll_ctl: %s", strerror(errno));
	w->wants_out = out;
}

static void want_out(struct wire *w, bool out)
{
	if (w->wants_out != out)
		watch(w, EPOLL_CTL_MOD, out);
}

void wire_open(struct wire *w, int epoll, int fd, void *owner, bool connecting)
{
	*w = (struct wire){ .epoll = epoll, .fd = fd, .owner = owner };
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	watch(w, EPOLL_CTL_ADD, connecting);
}

void wire_start_tls(struct wire *w, SSL_CTX *ctx, bool server, const char *sni)
{
	w->ssl = SSL_new(ctx);
	if (w->ssl == NULL || SSL_set_fd(w->ssl, w->fd) != 1)
		bench_die("no TLS session: %s", ERR_reason_error_string(ERR_get_error()));
	if (sni != NULL)
		SSL_set_tlsext_host_name(w->ssl, sni);
	if (server)
		SSL_set_accept_state(w->ssl);
	else
		SSL_set_connect_state(w->ssl);
	w->handshaking = true;
}

/* What the last call of OpenSSL, which returned `ret` <= 0, waits for. Returns 0, or -1 for nothing. */
static int tls_waits(struct wire *w, int ret)
{
	int err = SSL_get_error(w->ssl, ret);

	if (err != SSL_ERROR_WANT_READ && err != SSL_ERROR_WANT_WRITE)
		return -1;
	want_out(w, err == SSL_ERROR_WANT_WRITE);
	return 0;
}

int wire_handshake(struct wire *w)
{
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(w->ssl);
	if (ret != 1)
		return tls_waits(w, ret);
	w->handshaking = false;
	want_out(w, false);
	return 1;
}

ssize_t wire_read(struct wire *w, char *buf, size_t cap)
{
	ssize_t n;
	int err;

	if (w->ssl == NULL) {
		n = read(w->fd, buf, cap);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		return n > 0 ? n : -1;
	}
	ERR_clear_error();
	n = SSL_read(w->ssl, buf, (int)cap);
	if (n > 0)
		return n;
	err = SSL_get_error(w->ssl, (int)n);
	return err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool wire_has_more(const struct wire *w)
{
	return w->fd >= 0 && w->ssl != NULL && !w->handshaking && SSL_has_pending(w->ssl);
}

char *wire_room(struct wire *w, size_t n)
{
	if (w->out_cap - w->out_len < n) {
		w->out_cap = w->out_len + n + 8192;
		w->out = realloc(w->out, w->out_cap);
		if (w->out == NULL)
			bench_die("out of memory");
	}
	return w->out + w->out_len;
}

void wire_grow(struct wire *w, size_t n)
{
	w->out_len += n;
}

void wire_puts(struct wire *w, const char *s)
{
	size_t n = strlen(s);

	memcpy(wire_room(w, n), s, n);
	wire_grow(w, n);
}

/* Returns octets written, 0 when the peer has no room now, -1 when it is gone. */
static ssize_t write_some(struct wire *w, const char *p, size_t n)
{
	ssize_t ret;

	if (w->ssl != NULL) {
		ERR_clear_error();
		ret = SSL_write(w->ssl, p, (int)n);
		return ret > 0 ? ret : tls_waits(w, (int)ret);
	}
	ret = send(w->fd, p, n, MSG_NOSIGNAL);
	if (ret >= 0)
		return ret;
	if (errno != EAGAIN && errno != EINTR)
		return -1;
	want_out(w, true);
	return 0;
}

int wire_flush(struct wire *w)
{
	while (w->out_sent < w->out_len) {
		ssize_t n = write_some(w, w->out + w->out_sent, w->out_len - w->out_sent);
		if (n <= 0)
			return (int)n;
		w->out_sent += (size_t)n;
	}
	w->out_len = w->out_sent = 0;
	want_out(w, false);
	return 0;
}

void wire_close(struct wire *w)
{
	if (w->ssl != NULL && !w->handshaking)
		SSL_shutdown(w->ssl);
	SSL_free(w->ssl);
	close(w->fd);
	free(w->out);
	*w = (struct wire){ .fd = -1 };
}

uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void bench_die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

void *bench_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (p == NULL)
		bench_die("out of memory");
	return p;
}

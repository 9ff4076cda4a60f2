/* core/conn.c - see conn.h: the life of a connection, its reading and its deadline. */
#include "core/conn_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void on_timer(uv_timer_t *h);

/* The word for machines; the text has the system's own. */
static const char *net_reason(int err)
{
	switch (err) {
	case UV_ECONNREFUSED:
		return "refused";
	case UV_ENETUNREACH:
	case UV_EHOSTUNREACH:
	case UV_ENETDOWN:
	case UV_EADDRNOTAVAIL:
	case UV_EACCES:                         /* a local firewall's reject */
	case UV_EPERM:
		return "unreachable";
	case UV_ETIMEDOUT:
		return "timeout";
	case UV_EMFILE:
	case UV_ENFILE:
		return "no-descriptors";
	default:
		return "lost";
	}
}

void conn_net_fail(struct sp_fail *why, int err, const char *doing, const struct sp_addr *remote)
{
	char peer[SP_ADDR_TEXT];
	sp_fail_tls(why, SP_FAIL_CONNECT, SP_RESULT_NONE, net_reason(err), "%s %s: %s", doing,
	            sp_addr_str(remote, peer), uv_strerror(err));
}

/* Birth. */

static void on_work(struct core_task *t)
{
	struct core_conn *c = sp_container_of(t, struct core_conn, task);
	if (c->tls_due) {
		conn_tls_resume(c);
		if (c->closing)
			return;
	}
	conn_flush(c);
}

struct core_conn *conn_new(struct core_loop *l, int fd, int family, int *err)
{
	struct core_conn *c = sp_alloc(sizeof(*c));
	c->loop = l;
	c->task.run = on_work;
	sp_buf_init(&c->held, CORE_READ_SIZE);

	uv_loop_t *uv = core_loop_uv(l);
	uv_timer_init(uv, &c->timer);
	if (family == AF_UNIX)
		uv_pipe_init(uv, &c->io.pipe, 0);
	else
		uv_tcp_init(uv, &c->io.tcp);
	c->open_handles = 2;                    /* from here on core_conn_close() is the way out */
	c->timer.data = c->io.handle.data = c;

	*err = family == AF_UNIX ? uv_pipe_open(&c->io.pipe, fd) : uv_tcp_open(&c->io.tcp, fd);
	if (*err < 0) {
		close(fd);
		core_conn_close(c);
		return NULL;
	}
	return c;
}

/* Replies are small and answered at once: waiting to fill a segment only costs time. */
static void no_delay(struct core_conn *c)
{
	if (c->io.handle.type == UV_TCP)
		uv_tcp_nodelay(&c->io.tcp, 1);
}

void conn_opened(struct core_conn *c)
{
	uv_os_fd_t fd;
	socklen_t len = sizeof(c->local);
	if (uv_fileno(&c->io.handle, &fd) == 0)
		getsockname(fd, &c->local.sa, &len);
	no_delay(c);
	c->phase = CONN_CLEAR;
	conn_reading(c);
}

static void on_connect(uv_connect_t *req, int status)
{
	struct core_conn *c = sp_container_of(req, struct core_conn, req.connect);
	if (c->closing)
		return;
	if (status < 0) {
		struct sp_fail why;
		conn_net_fail(&why, status, "connecting to", &c->remote);
		conn_end(c, &why);
		return;
	}
	conn_opened(c);
	if (c->wire.len > 0)
		core_loop_soon(c->loop, &c->task);
	c->ops->on_open(c->owner);
}

/* A socket for `to`, bound to `from`; negative (libuv's error) on failure. */
static int open_socket(const struct sp_addr *to, const struct sp_addr *from)
{
	int fd = socket(sp_addr_family(to), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return uv_translate_sys_error(errno);
	if (from == NULL)
		return fd;
	/* The port is chosen at connect, when both ends are known: else 28,000 connections in all use up the ports. */
	int on = 1;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, &from->sa, (socklen_t)sp_addr_size(from)) != 0) {
		int err = uv_translate_sys_error(errno);
		close(fd);
		return err;
	}
	return fd;
}

int core_conn_connect(struct core_loop *l, const struct sp_addr *to, const struct sp_addr *from,
                      uint64_t deadline_ms, const struct core_conn_ops *ops, void *owner,
                      struct core_conn **out, struct sp_fail *why)
{
	int fd = open_socket(to, from);
	int err = fd;
	struct core_conn *c = fd < 0 ? NULL : conn_new(l, fd, sp_addr_family(to), &err);
	if (c == NULL)
		goto fail;

	c->ops = ops;
	c->owner = owner;
	c->remote = *to;
	c->phase = CONN_CONNECTING;
	if (sp_addr_family(to) == AF_UNIX)
		uv_pipe_connect(&c->req.connect, &c->io.pipe, to->un.sun_path, on_connect);
	else if ((err = uv_tcp_connect(&c->req.connect, &c->io.tcp, &to->sa, on_connect)) < 0)
		goto fail;
	core_conn_deadline(c, deadline_ms);
	*out = c;
	return 0;
fail:
	core_conn_close(c);
	conn_net_fail(why, err, "connecting to", to);
	return -1;
}

void core_conn_adopt(struct core_conn *c, const struct core_conn_ops *ops, void *owner)
{
	c->ops = ops;
	c->owner = owner;
	conn_reading(c);
}

/* Reading. */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	(void)suggested;
	struct core_conn *c = h->data;
	*buf = uv_buf_init(core_loop_read_buffer(c->loop), CORE_READ_SIZE);
}

static void on_read_end(struct core_conn *c, int err)
{
	c->peer_ended = true;
	conn_reading(c);
	if (c->finishing) {
		if (c->shut || err != UV_EOF)
			core_conn_close(c);
		return;
	}

	struct sp_fail why = SP_FAIL_OK;
	if (c->write_error != 0 || err != UV_EOF) {
		conn_net_fail(&why, err != UV_EOF ? err : c->write_error, "connection to", &c->remote);
	} else if (c->phase != CONN_CLEAR) {
		/* Without close_notify whoever cut the line could have cut the data (RFC 8446 6.1). In the handshake it is chance whether a peer that goes away is
		 * seen to end the connection or to reset it: one word for both. */
		char peer[SP_ADDR_TEXT];
		sp_fail_tls(&why, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, c->phase == CONN_HANDSHAKE ? "lost" : "truncated",
		            "%s ended the connection %s", sp_addr_str(&c->remote, peer),
		            c->phase == CONN_HANDSHAKE ? "during the TLS handshake" : "without closing TLS");
	}
	conn_end(c, &why);
}

static void on_read(uv_stream_t *s, ssize_t nread, const uv_buf_t *buf)
{
	struct core_conn *c = s->data;
	if (nread < 0) {
		on_read_end(c, (int)nread);
		return;
	}
	if (nread == 0 || c->finishing)                 /* while finishing, read only to see the end */
		return;
	struct sp_str data = sp_str_make(buf->base, (size_t)nread);
	if (c->phase == CONN_CLEAR)
		c->ops->on_data(c->owner, data);
	else
		conn_tls_input(c, data);
}

static bool wants_reading(const struct core_conn *c)
{
	if (c->closing || c->peer_ended || c->phase == CONN_CONNECTING)
		return false;
	if (c->finishing || c->phase == CONN_HANDSHAKE)
		return c->finishing || !c->ended;
	return !c->ended && c->ops && !c->paused && c->held.len == 0;
}

void conn_reading(struct core_conn *c)
{
	bool want = wants_reading(c);
	if (want == c->reading || c->closing)
		return;
	c->reading = want;
	if (want) {
		int err = uv_read_start(&c->io.stream, on_alloc, on_read);
		sp_assert(err == 0);
	} else {
		uv_read_stop(&c->io.stream);
	}
}

void core_conn_pause(struct core_conn *c)
{
	c->paused = true;
	conn_reading(c);
	if (c->write_error != 0)                /* reading was to bring the end */
		core_loop_soon(c->loop, &c->task);
}

void core_conn_resume(struct core_conn *c)
{
	c->paused = false;
	if (c->phase == CONN_SECURE) {          /* the engine may have plaintext left without new records */
		c->tls_due = true;
		core_loop_soon(c->loop, &c->task);
	}
	conn_reading(c);
}

/* The deadline. Moving it later or away touches no timer: an early firing sees that it is not yet due. */

static void set_deadline(struct core_conn *c, uint64_t after_ms)
{
	c->deadline_at = uv_now(core_loop_uv(c->loop)) + after_ms;
	bool armed = uv_is_active((uv_handle_t *)&c->timer);
	if (!armed || uv_timer_get_due_in(&c->timer) > after_ms)
		uv_timer_start(&c->timer, on_timer, after_ms, 0);
}

void core_conn_deadline(struct core_conn *c, uint64_t after_ms)
{
	if (conn_silent(c) || c->ended)
		return;
	if (after_ms > 0)
		set_deadline(c, after_ms);
	else
		c->deadline_at = 0;
}

static void on_timer(uv_timer_t *h)
{
	struct core_conn *c = h->data;
	uint64_t now = uv_now(core_loop_uv(c->loop));
	if (c->deadline_at == 0)
		return;
	if (now < c->deadline_at) {
		uv_timer_start(&c->timer, on_timer, c->deadline_at - now, 0);
		return;
	}
	if (c->finishing) {
		core_conn_close(c);
		return;
	}

	static const struct {
		enum sp_fail_kind kind;
		enum sp_result result;
		const char *text;
	} late[] = {
		[CONN_CONNECTING] = { SP_FAIL_CONNECT, SP_RESULT_NONE, "did not accept the connection in time" },
		[CONN_CLEAR] = { SP_FAIL_PROTOCOL, SP_RESULT_NONE, "did not answer in time" },
		[CONN_HANDSHAKE] = { SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE,
		                     "did not complete the TLS handshake in time" },
		[CONN_SECURE] = { SP_FAIL_PROTOCOL, SP_RESULT_NONE, "did not answer in time (under TLS)" },
	};
	char peer[SP_ADDR_TEXT];
	struct sp_fail why;
	sp_fail_tls(&why, late[c->phase].kind, late[c->phase].result, "timeout", "%s %s",
	            sp_addr_str(&c->remote, peer), late[c->phase].text);
	conn_end(c, &why);
}

/* The end. */

void conn_end(struct core_conn *c, const struct sp_fail *why)
{
	if (c->closing || c->ended)
		return;
	if (c->finishing) {
		core_conn_close(c);
		return;
	}
	if (c->ops == NULL)                     /* nobody to tell yet; reading, once adopted, meets the same end */
		return;
	c->ended = true;
	c->deadline_at = 0;
	conn_reading(c);
	if (c->phase != CONN_HANDSHAKE) {
		c->ops->on_end(c->owner, why);
		return;
	}
	/* Lost, late or refused: a handshake that ended is a handshake that failed. RFC 8460 4.3.1 has no finer word. */
	struct sp_fail failed = *why;
	failed.kind = SP_FAIL_TLS;
	failed.result = SP_RESULT_VALIDATION_FAILURE;
	c->ops->on_tls(c->owner, &failed);
}

const struct sp_addr *core_conn_remote(const struct core_conn *c) { return &c->remote; }
const struct sp_addr *core_conn_local(const struct core_conn *c) { return &c->local; }

static void on_handle_closed(uv_handle_t *h)
{
	struct core_conn *c = h->data;
	if (--c->open_handles > 0)
		return;
	/* libuv has by now run every request's callback, so nothing reads these bytes any more. */
	core_chain_clear(&c->flying);
	core_chain_clear(&c->wire);
	core_chain_clear(&c->plain);
	core_tls_stream_free(c->tls);
	sp_buf_clear(&c->held);
	free(c);
}

void core_conn_close(struct core_conn *c)
{
	if (c == NULL || c->closing)
		return;
	c->closing = true;                      /* from here the owner hears nothing and may go */
	core_task_cancel(&c->task);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
	uv_close(&c->io.handle, on_handle_closed);
}

void core_conn_finish(struct core_conn *c, uint64_t linger_ms)
{
	if (c == NULL || conn_silent(c))
		return;
	if (c->phase == CONN_CONNECTING || c->write_error != 0) {
		core_conn_close(c);
		return;
	}
	c->finishing = true;
	if (c->phase == CONN_HANDSHAKE)
		core_chain_clear(&c->plain);    /* it will not be sent any more; an alert in `wire` will */
	set_deadline(c, linger_ms ? linger_ms : 1);
	conn_reading(c);
	core_loop_soon(c->loop, &c->task);
}

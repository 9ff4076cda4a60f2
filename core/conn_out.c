/* core/conn_out.c - see conn.h: what a connection sends.
 * Sending only queues. Once in a turn, before the loop waits, each connection that has something hands it to the kernel in
 * one gathering write, so a pipelined burst is one packet and a few records. What the kernel does not take is given to
 * libuv (`flying`); the rest waits for that. Under TLS only as much is encrypted as can be written. */
#include "core/conn_impl.h"

#define VECS 64
#define FLUSH_MAX (256 * 1024)          /* octets for one connection in one turn */

void conn_write_failed(struct core_conn *c, int err)
{
	c->write_error = err;
	core_chain_clear(&c->wire);
	core_chain_clear(&c->plain);
}

static void on_written(uv_write_t *req, int status)
{
	struct core_conn *c = sp_container_of(req, struct core_conn, req.write);
	if (c->closing)
		return;
	core_chain_clear(&c->flying);
	if (status < 0)
		conn_write_failed(c, status);
	conn_flush(c);
}

/* Gives the front of `wire` to libuv, which writes when the socket takes it. */
static void fly(struct core_conn *c)
{
	struct iovec vec[VECS];
	unsigned count = core_chain_vec(&c->wire, vec, VECS);
	core_chain_move(&c->wire, count, &c->flying);
	/* uv_buf_t is laid out as struct iovec on Unix, which libuv itself relies on. */
	int err = uv_write(&c->req.write, &c->io.stream, (const uv_buf_t *)vec, count, on_written);
	if (err < 0) {
		core_chain_clear(&c->flying);
		conn_write_failed(c, err);
	}
}

/* Writes from `wire`. True when the kernel took all it was offered; *done counts octets. */
static bool write_wire(struct core_conn *c, size_t *done)
{
	struct iovec vec[VECS];
	unsigned count = core_chain_vec(&c->wire, vec, VECS);
	size_t offered = 0;
	for (unsigned i = 0; i < count; i++)
		offered += vec[i].iov_len;
	int n = uv_try_write(&c->io.stream, (const uv_buf_t *)vec, count);
	if (n < 0) {
		if (n != UV_EAGAIN)
			conn_write_failed(c, n);
		return false;
	}
	core_chain_consume(&c->wire, (size_t)n);
	*done += (size_t)n;
	return (size_t)n == offered;
}

void conn_send_sealed(struct core_conn *c)
{
	struct sp_buf *sealed = core_loop_sealed(c->loop);
	size_t done = 0;
	if (sealed->len > 0 && c->wire.first == NULL && c->flying.first == NULL && c->write_error == 0) {
		uv_buf_t buf = uv_buf_init(sealed->p, (unsigned)sealed->len);
		int n = uv_try_write(&c->io.stream, &buf, 1);
		if (n > 0)
			done = (size_t)n;
		else if (n < 0 && n != UV_EAGAIN)
			conn_write_failed(c, n);
	}
	if (c->write_error == 0)
		core_chain_add_copy(&c->wire, sp_str_from(sp_buf_str(sealed), done));
	sp_buf_reset(sealed);
}

static void on_shut(uv_shutdown_t *req, int status)
{
	(void)status;                           /* whichever: we are leaving */
	struct core_conn *c = sp_container_of(req, struct core_conn, req.shutdown);
	if (c->closing)
		return;
	c->shut = true;
	if (c->peer_ended)
		core_conn_close(c);
}

/* All is sent and the owner has gone: say so to the peer, and wait for its end. Closing with unread octets in the socket
 * would reset the connection, and the peer might never see our last reply. */
static void shut(struct core_conn *c)
{
	if (c->shutting)
		return;
	c->shutting = true;
	if (uv_shutdown(&c->req.shutdown, &c->io.stream, on_shut) < 0)
		core_conn_close(c);
}

static bool goodbye(struct core_conn *c)
{
	if (c->phase != CONN_SECURE || c->shutting)
		return false;
	struct core_tls_io io = { .out = core_loop_sealed(c->loop) };
	core_tls_stream_goodbye(c->tls, &io);
	conn_send_sealed(c);
	return c->wire.first != NULL;
}

static void drained(struct core_conn *c)
{
	if (c->finishing) {
		if (goodbye(c))
			fly(c);                 /* on_written comes back here, and there is no second goodbye */
		else if (c->write_error == 0)
			shut(c);
		else
			core_conn_close(c);
		return;
	}
	if (!c->drain_due)
		return;
	c->drain_due = false;
	if (!c->ended && c->ops && c->ops->on_drained)
		c->ops->on_drained(c->owner);
}

static void on_write_error(struct core_conn *c)
{
	if (c->finishing) {
		core_conn_close(c);
		return;
	}
	/* Reading goes on: a peer that refuses and hangs up has often said why, and that is still to be read. */
	bool tls_broke = c->write_error == UV_EPROTO;
	if ((c->reading && !tls_broke) || c->ended)
		return;
	struct sp_fail why;
	conn_net_fail(&why, c->write_error, "connection to", &c->remote);
	if (tls_broke)
		why.kind = SP_FAIL_TLS;
	conn_end(c, &why);
}

void conn_flush(struct core_conn *c)
{
	if (c->closing || c->phase == CONN_CONNECTING || c->flying.first)
		return;
	size_t done = 0;
	while (c->write_error == 0 && done < FLUSH_MAX) {
		if (c->wire.first == NULL && (c->plain.first == NULL || !conn_tls_seal(c)))
			break;
		if (c->wire.first == NULL) {                    /* sealed and written at once */
			done += CORE_READ_SIZE;
			continue;
		}
		if (write_wire(c, &done))
			continue;
		if (c->write_error == 0)
			fly(c);
		break;
	}
	if (c->write_error != 0)
		on_write_error(c);
	else if (done >= FLUSH_MAX && (c->wire.first || c->plain.first) && c->flying.first == NULL)
		core_loop_soon(c->loop, &c->task);
	else if (core_conn_unsent(c) == 0 && c->flying.first == NULL)
		drained(c);
}

size_t core_conn_unsent(const struct core_conn *c)
{
	return c->plain.len + c->wire.len + c->flying.len;
}

static bool takes(const struct core_conn *c)
{
	return !conn_silent(c) && c->write_error == 0;
}

static struct core_chain *queue_of(struct core_conn *c)
{
	bool secret = c->phase == CONN_HANDSHAKE || c->phase == CONN_SECURE;
	return secret ? &c->plain : &c->wire;
}

static void queued(struct core_conn *c)
{
	c->drain_due = true;
	if (c->phase != CONN_CONNECTING && c->flying.first == NULL)
		core_loop_soon(c->loop, &c->task);
}

void core_conn_send(struct core_conn *c, struct sp_buf *data)
{
	if (!takes(c)) {
		sp_buf_clear(data);
		return;
	}
	core_chain_add(queue_of(c), data);
	queued(c);
}

void core_conn_send_lent(struct core_conn *c, struct sp_str bytes, void (*release)(void *arg), void *arg)
{
	if (!takes(c)) {
		core_loop_later(c->loop, release, arg);
		return;
	}
	core_chain_add_lent(queue_of(c), bytes, release, arg);
	queued(c);
}

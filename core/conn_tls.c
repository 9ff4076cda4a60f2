/* core/conn_tls.c - see conn.h: a connection under TLS, between the socket and core/tls_stream.
 * Records go from the loop's read buffer straight into the engine, and plaintext from the loop's plain buffer to the owner. A
 * connection has bytes of its own only while it is paused. */
#include "core/conn_impl.h"

#define RECORD_MAX 16384                /* RFC 8446 5.1: octets of plaintext in a record */
#define SEAL_MAX 65536                  /* octets of records for one write */

static bool may_start(const struct core_conn *c, struct sp_fail *why)
{
	sp_assert(c->phase == CONN_CLEAR && !conn_silent(c));
	if (!c->ended && c->write_error == 0)
		return true;
	conn_net_fail(why, c->write_error ? c->write_error : UV_ENOTCONN, "connection to", &c->remote);
	return false;
}

static int start(struct core_conn *c, struct core_tls_stream *tls)
{
	if (tls == NULL)
		return -1;
	c->tls = tls;
	c->phase = CONN_HANDSHAKE;
	c->tls_due = true;
	core_loop_soon(c->loop, &c->task);
	conn_reading(c);
	return 0;
}

int core_conn_start_tls(struct core_conn *c, const struct core_tls_ask *ask, struct sp_fail *why)
{
	return may_start(c, why) ? start(c, core_tls_stream_client(ask, why)) : -1;
}

int core_conn_start_tls_server(struct core_conn *c, struct core_tls_server *t, struct sp_str records, struct sp_fail *why)
{
	if (!may_start(c, why) || start(c, core_tls_stream_server(t, why)) != 0)
		return -1;
	sp_buf_add(&c->held, records);
	sp_assert(!sp_buf_failed(&c->held));
	return 0;
}

/* What is behind other octets gets its turn. */
static void send_records(struct core_conn *c)
{
	conn_send_sealed(c);
	if ((c->wire.first || c->plain.first || c->write_error) && c->flying.first == NULL)
		core_loop_soon(c->loop, &c->task);
}

static void handshake(struct core_conn *c, struct core_tls_io *io)
{
	struct sp_fail why = SP_FAIL_OK;
	enum core_tls_step step = core_tls_stream_handshake(c->tls, io, &why);
	send_records(c);                        /* also when it failed: the alert */
	if (step == CORE_TLS_MORE)
		return;
	if (step != CORE_TLS_DONE) {
		conn_end(c, &why);
		return;
	}
	c->phase = CONN_SECURE;
	conn_reading(c);
	if (c->plain.first)
		core_loop_soon(c->loop, &c->task);
	c->ops->on_tls(c->owner, &why);
}

static bool hears(const struct core_conn *c)
{
	return c->phase == CONN_SECURE && !conn_silent(c) && !c->ended;
}

void core_conn_keep_secret(struct core_conn *c, bool secret)
{
	c->secret = secret;
}

static void decrypt(struct core_conn *c, struct core_tls_io *io)
{
	char *room = core_loop_plain_buffer(c->loop);
	enum core_tls_step step = CORE_TLS_DONE;
	while (step == CORE_TLS_DONE && hears(c) && !c->paused) {
		struct sp_fail why = SP_FAIL_OK;
		size_t len;
		step = core_tls_stream_read(c->tls, io, room, CORE_READ_SIZE, &len, &why);
		send_records(c);
		if (len > 0)
			c->ops->on_data(c->owner, sp_str_make(room, len));
		if (c->secret)
			explicit_bzero(room, len);
		if (step == CORE_TLS_END || step == CORE_TLS_BROKEN) {
			conn_end(c, &why);
			return;
		}
	}
}

void conn_tls_input(struct core_conn *c, struct sp_str records)
{
	struct core_tls_io io = { .in = records, .out = core_loop_sealed(c->loop) };
	if (c->phase == CONN_HANDSHAKE)
		handshake(c, &io);
	if (hears(c))
		decrypt(c, &io);
	if (hears(c))
		sp_buf_add(&c->held, io.in);    /* the rest, where the owner paused in the middle */
	conn_reading(c);
}

void conn_tls_resume(struct core_conn *c)
{
	c->tls_due = false;
	if (conn_silent(c) || c->ended || (c->phase == CONN_SECURE && c->paused))
		return;
	struct sp_buf held = c->held;
	sp_buf_init(&c->held, CORE_READ_SIZE);
	conn_tls_input(c, sp_buf_str(&held));
	sp_buf_clear(&held);
}

/* The next octets to encrypt, as many as fill a record where small pieces stand in a row. */
static struct sp_str next_plain(struct core_conn *c)
{
	struct sp_str piece = core_chain_first(&c->plain);
	if (piece.len < RECORD_MAX && piece.len < c->plain.len) {
		char *room = core_loop_plain_buffer(c->loop);
		return sp_str_make(room, core_chain_copy(&c->plain, room, RECORD_MAX));
	}
	return sp_str_make(piece.p, sp_min(piece.len, RECORD_MAX));
}

bool conn_tls_seal(struct core_conn *c)
{
	if (c->phase != CONN_SECURE)
		return false;
	struct core_tls_io io = { .out = core_loop_sealed(c->loop) };
	while (c->plain.first && io.out->len < SEAL_MAX) {
		struct sp_fail why;
		struct sp_str plain = next_plain(c);
		if (plain.len > 0 && !core_tls_stream_write(c->tls, &io, plain, &why)) {
			conn_write_failed(c, UV_EPROTO);
			break;
		}
		core_chain_consume(&c->plain, plain.len);
	}
	conn_send_sealed(c);
	return c->write_error == 0;
}

const struct core_tls_peer *core_conn_tls_peer(const struct core_conn *c)
{
	return c->phase == CONN_SECURE ? core_tls_stream_peer(c->tls) : NULL;
}

struct core_tls_session *core_conn_tls_session(struct core_conn *c)
{
	return c->phase == CONN_SECURE ? core_tls_stream_session(c->tls) : NULL;
}

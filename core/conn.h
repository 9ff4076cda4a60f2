/* core/conn.h - one connection: TCP or unix socket, in clear or after a TLS handshake, client or server side.
 * The promise that all of core/ keeps: a starter that returns nonzero started nothing and calls nothing; one that returns 0
 * leads to one callback on a later turn, or to silence if you close first. On the loop's thread.
 *
 * Life:  connect/accept -> on_open -> on_data* -> on_end        any time: core_conn_close(), then silence
 *        core_conn_start_tls() between: on_tls once, then on_data brings plaintext again. */
#ifndef CORE_CONN_H
#define CORE_CONN_H

#include "core/addr.h"
#include "core/buf.h"
#include "core/fail.h"
#include "core/loop.h"
#include "core/tls.h"

struct core_conn;               /* opaque */

struct core_conn_ops {
	void (*on_open)(void *owner);                           /* connected (not called for accepted ones) */
	/* Bytes that came, decrypted. `data` is lent until this returns; keep what you need. Closing inside is fine. */
	void (*on_data)(void *owner, struct sp_str data);
	/* The handshake ended; *why is not failed when it succeeded. After a failure only close is left, or finish, which
	 * lets our alert arrive although the peer is still sending. Whatever ends a handshake (alert, lost connection,
	 * deadline) is told here and not by on_end: kind TLS, validation-failure, with reason the peer's alert
	 * ("alert-handshake-failure") or OpenSSL's words ("wrong-version-number"), "lost" or "timeout". */
	void (*on_tls)(void *owner, const struct sp_fail *why);
	/* All that was sent has gone to the kernel. NULL: not interested. */
	void (*on_drained)(void *owner);
	/* No more will come: *why is not failed for an orderly end by the peer, else CONNECT (reason "refused",
	 * "unreachable", "lost", or "timeout" while connecting), PROTOCOL with reason "timeout" when the deadline passed
	 * later, TLS when the stream broke (reason "truncated": ended without close_notify). Only close or finish is left. */
	void (*on_end)(void *owner, const struct sp_fail *why);
};

/* Starts connecting; `from` may be NULL; the deadline covers the connecting. On 0, *out is set and on_open or on_end
 * follows. Nonzero (no descriptor left, unknown family): *why says so, nothing was started. */
SP_NODISCARD int core_conn_connect(struct core_loop *l, const struct sp_addr *to, const struct sp_addr *from,
                                   uint64_t deadline_ms, const struct core_conn_ops *ops, void *owner,
                                   struct core_conn **out, struct sp_fail *why);

/* Listening. [::] means IPv6 only. With `reuse_port`, several loops share the address (SO_REUSEPORT). on_accept gets a
 * connection that reads nothing until core_conn_adopt(). Unix sockets: the file is made with mode `unix_mode`, a stale one is
 * replaced, and their folder made (0755) if only it is missing. */
struct core_listener;
struct core_listener_ops {
	void (*on_accept)(void *owner, struct core_conn *c);
	/* accept() failed (EMFILE ...): it pauses for a second by itself, so that it does not spin. */
	void (*on_error)(void *owner, const struct sp_fail *why);
};
SP_NODISCARD int core_listener_open(struct core_loop *l, const struct sp_addr *at, bool reuse_port, unsigned unix_mode,
                                    const struct core_listener_ops *ops, void *owner,
                                    struct core_listener **out, struct sp_fail *why);
const struct sp_addr *core_listener_addr(const struct core_listener *ln);       /* with the port, where 0 was asked for */
/* Would the address be ours alone? Sockets that share it (`reuse_port`) would let a second relay in without a word. Nonzero with *why: it is taken, or
 * cannot be had. Asked before the first listener is opened. Any thread. */
SP_NODISCARD int core_listener_probe(const struct sp_addr *at, struct sp_fail *why);
void core_listener_close(struct core_listener *ln);              /* NULL is fine */
/* Also gives an open connection another owner (a pool's, say). */
void core_conn_adopt(struct core_conn *c, const struct core_conn_ops *ops, void *owner);

/* Sends. Order is kept. The bytes of `data` are taken over and `data` is left empty (as after init). Failures come by on_end,
 * after what the peer said last. What is sent in one turn leaves together at its end, in one write and few records. */
void core_conn_send(struct core_conn *c, struct sp_buf *data);
/* Lends `bytes` until `release(arg)` is called, once, on the loop's thread, never from inside this call; also when the
 * connection is closed first (then a turn later, when the owner may be gone). No copy in clear; under TLS they are
 * encrypted as the socket takes them. */
void core_conn_send_lent(struct core_conn *c, struct sp_str bytes, void (*release)(void *arg), void *arg);
size_t core_conn_unsent(const struct core_conn *c);              /* octets accepted by send and not yet written */

/* Where passwords come in: what on_data was lent is overwritten as soon as that returns. Only what comes under TLS. */
void core_conn_keep_secret(struct core_conn *c, bool secret);

void core_conn_pause(struct core_conn *c);                       /* no on_data until resume; the deadline still runs */
void core_conn_resume(struct core_conn *c);

/* on_end with reason "timeout" unless moved on before; 0 takes it away. Absolute: data does not extend it. Cheap enough to be
 * set for every command. */
void core_conn_deadline(struct core_conn *c, uint64_t after_ms);

/* TLS, client side. Bytes that came before are never handed to on_data: whoever sent them in clear is not to be heard
 * (CVE-2021-22947, CVE-2011-0411); those still in the socket break the handshake. What was sent before goes out in clear
 * first. Nonzero: nothing started. The deadline of the connection applies. */
SP_NODISCARD int core_conn_start_tls(struct core_conn *c, const struct core_tls_ask *ask, struct sp_fail *why);
/* The server's side, for an adopted connection; the rest is the same. `t` is kept as long as it is needed. `records`: what came of the handshake already,
 * behind a PROXY header; copied, CORE_READ_SIZE octets at most; never anything else, see above. */
SP_NODISCARD int core_conn_start_tls_server(struct core_conn *c, struct core_tls_server *t, struct sp_str records, struct sp_fail *why);
const struct core_tls_peer *core_conn_tls_peer(const struct core_conn *c);   /* NULL in clear */
/* The latest session ticket the peer gave, for resumption by others; NULL if none. One ref for the caller. */
struct core_tls_session *core_conn_tls_session(struct core_conn *c);

const struct sp_addr *core_conn_remote(const struct core_conn *c);
const struct sp_addr *core_conn_local(const struct core_conn *c);   /* filled in by on_open/adopt */

void core_conn_close(struct core_conn *c);       /* idempotent, NULL is fine, fine inside callbacks; then silence. Unsent is dropped */
/* Sends what is queued, says close_notify, shuts down, waits for the peer's end, closes; all within `linger_ms`. Silence for the
 * owner from this call on. */
void core_conn_finish(struct core_conn *c, uint64_t linger_ms);

#endif

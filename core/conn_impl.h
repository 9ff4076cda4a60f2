/* core/conn_impl.h - what the files of a connection share: conn.c (its life), conn_out.c (what it sends), conn_tls.c. */
#ifndef CORE_CONN_IMPL_H
#define CORE_CONN_IMPL_H

#include "core/chain.h"
#include "core/conn.h"
#include "core/tls_stream.h"

#include <uv.h>

/*  CONNECTING -> CLEAR -> HANDSHAKE -> SECURE
 *  In any phase: `ended`, the owner was told so, and only sending what is queued is left; `finishing` and `closing`, the
 *  owner hears nothing any more. */
enum conn_phase { CONN_CONNECTING, CONN_CLEAR, CONN_HANDSHAKE, CONN_SECURE };

struct core_conn {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} io;
	uv_timer_t timer;               /* for deadline_at; may fire early, never late */
	union {
		uv_connect_t connect;   /* while CONNECTING */
		uv_write_t write;       /* while something is in `flying` */
		uv_shutdown_t shutdown; /* after the last write */
	} req;
	struct core_loop *loop;
	const struct core_conn_ops *ops;        /* NULL: accepted, not adopted yet */
	void *owner;                            /* borrowed; not touched once closing or finishing */
	struct core_task task;                  /* conn_work() */
	uint64_t deadline_at;                   /* loop time; 0: none */
	enum conn_phase phase;
	unsigned open_handles;                  /* initialised, close callback not run yet */
	int write_error;                        /* of libuv; sending is over, reading may still bring the peer's last words */
	bool closing, finishing, ended;
	bool paused, reading;
	bool secret;                            /* see core_conn_keep_secret() */
	bool tls_due;                           /* the engine is to be run although nothing came */
	bool peer_ended;                        /* read to its end, or reading failed */
	bool shutting, shut;                    /* our side: asked for, done */
	bool drain_due;                         /* sent since on_drained was last called */

	struct core_chain plain;                /* under TLS: to be encrypted */
	struct core_chain wire;                 /* to be written, before anything in `plain` */
	struct core_chain flying;               /* libuv is writing it */
	struct core_tls_stream *tls;            /* from HANDSHAKE on */
	struct sp_buf held;                     /* records that came while paused */
	struct sp_addr local, remote;
};

/* conn.c */
/* A connection around the socket `fd`, which it takes over in any case. NULL with *err (libuv's) when libuv refuses. */
struct core_conn *conn_new(struct core_loop *l, int fd, int family, int *err);
void conn_opened(struct core_conn *c);                          /* connected or accepted */
void conn_end(struct core_conn *c, const struct sp_fail *why);  /* tells the owner: the last thing a callback does */
void conn_reading(struct core_conn *c);                         /* starts or stops reading, as the state wants it */
static inline bool conn_silent(const struct core_conn *c) { return c->closing || c->finishing; }
void conn_net_fail(struct sp_fail *why, int err, const char *doing, const struct sp_addr *remote);

/* conn_out.c */
void conn_flush(struct core_conn *c);           /* writes what it can; may end or close: the last thing a callback does */
void conn_send_sealed(struct core_conn *c);     /* what the TLS engine wrote: to the socket, or behind what waits there */
void conn_write_failed(struct core_conn *c, int err);   /* nothing more is sent; conn_flush() tells */

/* conn_tls.c */
void conn_tls_input(struct core_conn *c, struct sp_str records);        /* may end or close */
void conn_tls_resume(struct core_conn *c);                              /* goes on with what is held; may end or close */
bool conn_tls_seal(struct core_conn *c);                                /* some of `plain`; false when it cannot */

#endif

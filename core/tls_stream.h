/* core/tls_stream.h - the TLS engine of one connection: records in, records out. It has no socket and keeps no read buffer:
 * each step reads from and writes to what core/conn lends it for that step. For core/conn.
 * What a step wrote to io->out must be sent whatever the step returned: after a failure it is the alert. */
#ifndef CORE_TLS_STREAM_H
#define CORE_TLS_STREAM_H

#include "core/tls.h"

struct core_tls_stream;

struct core_tls_io {
	struct sp_str in;               /* records that came; a step advances over what it has read */
	struct sp_buf *out;             /* records to send are appended */
};

enum core_tls_step {
	CORE_TLS_MORE,                  /* all of io->in was read; more is needed to go on */
	CORE_TLS_DONE,                  /* handshake: complete. read: `room` is full, there may be more */
	CORE_TLS_END,                   /* the peer said close_notify */
	CORE_TLS_BROKEN,                /* *why says how */
};

SP_NODISCARD struct core_tls_stream *core_tls_stream_client(const struct core_tls_ask *ask, struct sp_fail *why);
SP_NODISCARD struct core_tls_stream *core_tls_stream_server(struct core_tls_server *t, struct sp_fail *why);      /* takes a ref of its own */
void core_tls_stream_free(struct core_tls_stream *s);           /* NULL is fine */

enum core_tls_step core_tls_stream_handshake(struct core_tls_stream *s, struct core_tls_io *io, struct sp_fail *why);
/* Decrypts into `to`; *len octets are there whatever is returned. */
enum core_tls_step core_tls_stream_read(struct core_tls_stream *s, struct core_tls_io *io, char *to, size_t room,
                                        size_t *len, struct sp_fail *why);
/* Encrypts all of `plain`; false with *why when the stream is broken. */
SP_NODISCARD bool core_tls_stream_write(struct core_tls_stream *s, struct core_tls_io *io, struct sp_str plain,
                                        struct sp_fail *why);
void core_tls_stream_goodbye(struct core_tls_stream *s, struct core_tls_io *io);         /* writes close_notify */

const struct core_tls_peer *core_tls_stream_peer(const struct core_tls_stream *s);       /* after the handshake */
struct core_tls_session *core_tls_stream_session(struct core_tls_stream *s);             /* one ref, or NULL */

#endif

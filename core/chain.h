/* core/chain.h - octets on their way out: owned and lent pieces in one order, taken from the front. For core/conn.
 * Pure. On the loop's thread. */
#ifndef CORE_CHAIN_H
#define CORE_CHAIN_H

#include "core/buf.h"

#include <sys/uio.h>

struct core_piece;
struct core_chain {                     /* zeroed: empty */
	struct core_piece *first, *last;
	size_t len;                     /* octets in all */
};

/* Takes over the bytes of `data`, which is left as after init. Small ones join the last piece. */
void core_chain_add(struct core_chain *c, struct sp_buf *data);
void core_chain_add_copy(struct core_chain *c, struct sp_str bytes);
void core_chain_add_lent(struct core_chain *c, struct sp_str bytes, void (*release)(void *arg), void *arg);
void core_chain_clear(struct core_chain *c);                    /* frees and releases all */

void core_chain_consume(struct core_chain *c, size_t len);      /* drops the first `len` octets, frees and releases */
struct sp_str core_chain_first(const struct core_chain *c);     /* the first piece; len 0 when the chain is empty */
size_t core_chain_copy(const struct core_chain *c, char *to, size_t room);      /* from the front; how many octets */
/* Describes the first pieces for a gathering write; how many were described, at most `max`. */
unsigned core_chain_vec(const struct core_chain *c, struct iovec *vec, unsigned max);
/* Moves the first `count` pieces to the end of `to`. */
void core_chain_move(struct core_chain *c, unsigned count, struct core_chain *to);

#endif

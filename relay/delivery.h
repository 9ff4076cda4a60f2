/* relay/delivery.h - one session to a site: goes through the plan's hosts until one satisfies what the policy demands, then sends what
 * waits, message after message. Drives smtp/client.h over core/conn.h; asks sts/verdict.h whether to go on. On the shard's thread.
 *
 *   next host/address -> connect -> greeting, EHLO, STARTTLS, handshake, verify -> PROVEN -> message* -> pool (idle) -> message* -> QUIT
 *        ^-------------- refused, broken, or TLS only once more in the clear ---------|
 * Nothing of a message is sent before PROVEN (promise 1). */
#ifndef RELAY_DELIVERY_H
#define RELAY_DELIVERY_H

#include "relay/destination.h"

struct delivery {
	struct sp_link link;                    /* in dest->sessions */
	struct sp_link pool;                    /* in dest->pool, while idle */
	struct destination *dest;
	struct delivery_state *state;           /* private */
};

/* Starts one for `d` under `p` (takes a ref). It ends by destination_session_over(), always on a later turn. */
void delivery_start(struct destination *d, struct plan *p);
/* One of the pool: there is work again. */
void delivery_resume(struct delivery *y);
/* It may carry mail, or does. */
bool delivery_is_proven(const struct delivery *y);
/* No further message; what is being sent may end. */
void delivery_stop(struct delivery *y);
/* The message in its hand, of which nothing was sent on this connection, or on any that counts; 0: none such. */
uint64_t delivery_unsent(const struct delivery *y);
void delivery_give_back(struct delivery *y);    /* that one goes to the front of what waits; the session goes on */
/* What it counted of days before `today` goes to the store now. */
void delivery_flush_late(struct delivery *y, int64_t today);
/* At once: the message in hand stays in the store. */
void delivery_cut(struct delivery *y);

#endif

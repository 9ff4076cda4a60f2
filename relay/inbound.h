/* relay/inbound.h - one client session: drives smtp/server.h over a connection, checks that the client may relay, collects messages and
 * gives them to the spool; says 250 when the spool has them on disk. On the shard's thread. */
#ifndef RELAY_INBOUND_H
#define RELAY_INBOUND_H

#include "core/conn.h"
#include "relay/shard.h"

struct inbound;                 /* in shard->inbounds */

/* A client connected at `listen` (of the shard's configuration). Owns the connection. */
void inbound_start(struct shard *s, const struct config_listen *listen, struct core_conn *c);
/* Shutting down, called every second: a session gets 421 at its next command; the second time at once where it is idle, and with `now` in any case. */
void inbound_stop_all(struct shard *s, bool now);
/* Draining (relay/drain.h), called every second: sessions without a transaction get 421 and go. */
void inbound_drain_all(struct shard *s);

#endif

/* relay/clients.h - how many sessions each client address has, over all shards: limits.connections_per_client. Any thread. */
#ifndef RELAY_CLIENTS_H
#define RELAY_CLIENTS_H

#include "core/addr.h"

struct clients;
struct clients *clients_new(void);
void clients_free(struct clients *c);           /* everybody must have left */
/* One more session of `addr` (port apart). False, and not counted, when it has `limit` already. */
SP_NODISCARD bool clients_enter(struct clients *c, const struct sp_addr *addr, uint64_t limit);
void clients_leave(struct clients *c, const struct sp_addr *addr);

#endif

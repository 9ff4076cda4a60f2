/* relay/resume.h - TLS sessions to resume, a few a destination. A session is lent only to a connection of which the same is demanded (sts_demand_equal():
 * host name, requirement, TLSA records, wish), at the same address and port; the destination is the policy domain, the account and the source, so two domains
 * on one MX never share (TRAPS: pool and resumption keys hold everything that was proved). A ticket is used once (RFC 8446 C.4). On the shard's thread. */
#ifndef RELAY_RESUME_H
#define RELAY_RESUME_H

#include "core/addr.h"
#include "core/list.h"
#include "core/tls.h"
#include "sts/verdict.h"

#define RESUME_MAX 8                    /* sessions kept by a destination; the oldest goes */

struct resume_memory {
	struct sp_link entries;         /* of struct resume_entry, the newest first */
	size_t count;
};
void resume_init(struct resume_memory *m);
void resume_clear(struct resume_memory *m);             /* forgets all: the policy changed */
/* Takes over the ref on `session` (NULL is fine). */
void resume_keep(struct resume_memory *m, const struct sts_demand *demand, const struct sp_addr *addr, struct core_tls_session *session);
/* One that fits, no longer kept, one ref for the caller; NULL if none. */
struct core_tls_session *resume_take(struct resume_memory *m, const struct sts_demand *demand, const struct sp_addr *addr);

#endif

/* relay/resume.h - TLS sessions to resume, a few a destination. A session is lent only to a connection that asks for the same: host name,
 * address, port and requirement; the destination is the policy domain, so two domains on one MX never share (TRAPS: pool and
 * resumption keys hold everything that was proved). A ticket is used once (RFC 8446 C.4). On the shard's thread. */
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
void resume_keep(struct resume_memory *m, const char *host, const struct sp_addr *addr, enum sts_requirement require,
                 struct core_tls_session *session);
/* One that fits, no longer kept, one ref for the caller; NULL if none. */
struct core_tls_session *resume_take(struct resume_memory *m, const char *host, const struct sp_addr *addr, enum sts_requirement require);

#endif

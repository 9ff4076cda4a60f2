/* relay/pace.h - how hard the hosts of the world are pressed: sessions by address, over all shards and destinations, and addresses that are dead for now.
 * Destinations that share MX hosts share these limits, and nothing else: no verdict, no session. Any thread; a lock is held for a look at one entry.
 * An address begins with a few sessions, gets one more for each that served, and half as many when it said 421, or closed on us; TRAPS: a 421 is not a
 * dead site. One that did not answer is dead for a while that doubles; then one session probes it, and whoever waits is let go by its success. */
#ifndef RELAY_PACE_H
#define RELAY_PACE_H

#include "core/addr.h"
#include "core/fail.h"

struct pace;
struct pace *pace_new(void);
void pace_free(struct pace *p);                 /* nobody may be inside */

enum pace_answer {
	PACE_GO,                                /* one more session of this address; pace_leave() gives it back */
	PACE_FULL,                              /* it has as many as it may, or the relay has: wait for *again_ms, or take another address */
	PACE_DEAD                               /* it did not answer lately; *why says when and how */
};
/* `now_ms` is monotonic. `host_max`, `all_max`: delivery.host_concurrency, delivery.sessions. *again_ms: how long to wait. */
SP_NODISCARD enum pace_answer pace_enter(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, uint64_t host_max, uint64_t all_max,
                                         uint64_t *again_ms, struct sp_fail *why);
enum pace_end {
	PACE_SERVED,                            /* it took a message, or would have */
	PACE_UNREACHED,                         /* no connection, or no greeting */
	PACE_PRESSED,                           /* 421, or closed in the middle: fewer sessions */
	PACE_NEUTRAL                            /* says nothing of the host: our policy refused it, we stop */
};
void pace_leave(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, enum pace_end how);
/* For the status page: sessions now, addresses known, of these dead. */
struct pace_counts { uint64_t sessions, addresses, dead; };
void pace_counts(struct pace *p, uint64_t now_ms, struct pace_counts *out);

#endif

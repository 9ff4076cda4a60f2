/* relay/pace.h - how hard the hosts of the world are pressed: sessions by address, over all shards and destinations, and addresses that are dead for now.
 * Destinations that share MX hosts share these limits, and nothing else: no verdict, no session. Any thread; a lock is held for a look at one entry.
 * An address begins with a few sessions, gets one more for each that works, and half as many when it said 421, or closed on us; TRAPS: a 421 is not a
 * dead site. One that did not answer is dead for a while that doubles; then one session probes it, and whoever waits is let go by its success. */
#ifndef RELAY_PACE_H
#define RELAY_PACE_H

#include "core/addr.h"
#include "core/fail.h"

struct pace;
struct pace *pace_new(void);
void pace_free(struct pace *p);                 /* everybody must have left */

/* As the configuration has it now. */
struct pace_limits {
	uint64_t host_max, all_max;             /* delivery.host_concurrency, delivery.sessions */
	/* How long an address that did not answer is passed over. Shorter than the wait of a destination that failed for it, so that this one's next attempt
	 * looks for itself. */
	uint64_t dead_first_ms, dead_max_ms;
	bool anyway;                            /* an operator asked: an address is looked at though it is dead */
	bool spare;                             /* it is one more for who has sessions already: turned away, it makes nobody's place wanted */
};

enum pace_answer {
	PACE_GO,                                /* one more session of this address; pace_leave() gives it back */
	PACE_FULL,                              /* it has as many as it may, or the relay has: wait for *again_ms, or take another address */
	PACE_DEAD                               /* it did not answer lately; *why says when and how */
};
/* `now_ms` is monotonic, here and below. *again_ms: with FULL, how long to wait; with DEAD, until it is looked at again. */
SP_NODISCARD enum pace_answer pace_enter(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, const struct pace_limits *limits,
                                         uint64_t *again_ms, struct sp_fail *why);
/* Between enter and leave, once a session: it may carry mail. The address is alive, and may have one more. */
void pace_works(struct pace *p, const struct sp_addr *addr);
enum pace_end {
	PACE_SERVED,                            /* it came to an end as sessions do */
	PACE_UNREACHED,                         /* no connection, or no greeting; beside others that live that is as PRESSED */
	PACE_PRESSED,                           /* 421, or closed in the middle: fewer sessions, and none for a moment */
	PACE_NEUTRAL                            /* it answered, which says nothing else of it: our policy refused it, we stop */
};
/* `why`: with UNREACHED, for the texts of those that are kept away. */
void pace_leave(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, const struct pace_limits *limits, enum pace_end how, const struct sp_fail *why);
/* Was somebody turned away lately who wants a session of this address? Then one that only waits for mail should make room. */
bool pace_wanted(struct pace *p, const struct sp_addr *addr, uint64_t now_ms);

/* One address, for who explains. False: nothing is remembered of it. */
struct pace_view {
	uint64_t sessions, window;              /* now; that it may have by experience */
	uint64_t dead_ms, paused_ms;            /* for how long yet; 0: it is not */
	char how[160];                          /* it failed last; "" */
};
bool pace_look(struct pace *p, const struct sp_addr *addr, uint64_t now_ms, struct pace_view *out);

/* For the status page, looks at every address: sessions now, addresses known, of these dead. */
struct pace_counts { uint64_t sessions, addresses, dead; };
void pace_counts(struct pace *p, uint64_t now_ms, struct pace_counts *out);

#endif

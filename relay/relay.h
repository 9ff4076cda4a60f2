/* relay/relay.h - what all threads of a running relay share: the store, the shards, and the flags that are set from one thread and
 * read from all. Made and owned by relay/cmd_run.c. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "queue/spool.h"
#include "relay/clients.h"
#include "relay/config.h"
#include "relay/pace.h"
#include "relay/rate.h"

#include <stdatomic.h>

struct shard;
struct logins;
struct drain;
struct metrics;
struct evidence_tap;
struct holds;
struct scheduler;

struct relay {
	struct queue_store *store;              /* NULL: of a command that only looks (relay/check_world.h): nothing is cached, and nothing is written */
	struct core_mailbox *main_mailbox;      /* of the main loop */
	struct shard **shards;
	unsigned shard_count;
	bool trust_ad;                          /* the resolver is one whose AD bit may be believed; whether it says so: */
	atomic_int dnssec;                      /* enum dnssec_state, as the probe found (relay/dnssec.h) */
	struct metrics *metrics;                /* what all threads count (relay/metrics.h) */
	struct clients *clients;                /* client sessions by address */
	struct logins *logins;                  /* what all shards know of log-ins (relay/login.h) */
	struct holds *holds;                    /* one ref of what the shards have, or are about to (relay/holds.h); NULL: no rule. The main thread's */
	struct scheduler *scheduler;            /* the main thread's; NULL before it was started, and when it has stopped */
	struct pace *pace;                      /* outbound sessions by address */
	struct rates *rates;                    /* messages by next hop */
	const struct evidence_tap *evidence_tap;        /* relay/evidence.h; NULL in a relay that runs */
	const struct policy_tap *policy_tap;    /* relay/policy.h; NULL in a relay that runs */
	atomic_uint connections;                /* client sessions on all shards */
	atomic_uint fetches;                    /* policy fetches under way on all shards, but for */
	atomic_uint slow_fetches;               /* those that take long */
	atomic_uint unsettled;                  /* shards whose store takes no results: nothing new is delivered while not 0 */
	atomic_uint running;                    /* shards whose loop has not ended */
	atomic_bool stopping;
	atomic_bool draining;                   /* no mail is taken, but all is delivered (relay/drain.h) */
	/* main thread */
	struct drain *drain;
	int64_t started_s, config_at_s;         /* Unix time; when the configuration in force was read */
	bool config_good;                       /* what its file said at the last reload is in force */
};

/* Opens the spool with the tables of all rooms. NULL with *why, see queue_store_open(). Main thread. */
SP_NODISCARD struct queue_store *relay_open_store(const char *state_dir, struct sp_fail *why);

#define RELAY_FETCHES_MAX 32            /* policy fetches at once, in all (DESIGN.md, limits) */
#define RELAY_SLOW_FETCHES_MAX 256      /* and these besides: hosts that drip do not keep others from being asked */

#endif

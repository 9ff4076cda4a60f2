/* relay/shard.h - one shard: a thread with its loop, and what lives on it: listeners, client sessions, the destinations that hash to
 * it with their deliveries, and what it knows of policies. Nothing of a shard is touched from another thread but through its mailbox. */
#ifndef RELAY_SHARD_H
#define RELAY_SHARD_H

#include "core/conn.h"
#include "core/dns.h"
#include "core/mailbox.h"
#include "core/map.h"
#include "relay/metrics.h"
#include "relay/relay.h"

struct shard {
	struct relay *relay;
	unsigned index;
	struct core_thread *thread;
	struct core_loop *loop;
	struct core_mailbox *mailbox;
	struct metrics_block *metrics;          /* where it counts */
	struct core_timer *tick;                /* every second: what needs no timer of its own */
	uint64_t tick_due_us;                   /* monotonic */
	struct config *config;                  /* one ref; replaced on reload */
	struct holds *holds;                    /* one ref; NULL: no rule. Replaced by holds_spread() */
	struct core_dns *dns;
	struct core_tls_client *tls;
	struct sp_link listeners;               /* of struct shard_listener */
	struct sp_link inbounds;                /* of struct inbound */
	unsigned inbound_count;
	struct sp_map destinations;             /* struct destination, by name */
	struct sp_link idle_destinations;       /* with nothing to do, the longest idle first */
	atomic_uint idle_sessions;              /* deliveries that wait in pools */
	atomic_uint waiting_sessions;           /* and for room at their address */
	struct sp_map policies;                 /* struct policy_slot, by domain (policy.c) */
	struct sp_link policy_lru;              /* the longest unused first */
	struct sp_link questions;               /* relay/explain.c: those that wait for a plan */
	unsigned loads;                         /* pages on their way from the store */
	int64_t day;                            /* UTC, at the last tick (rpt/event.h) */
	unsigned ops;                           /* store operations under way whose done comes here */
	bool stopping, finished;
	bool stalled;                           /* destinations wait until the store takes results again */
	uint64_t stop_at_ms;                    /* monotonic: what is in flight is cut off then */
	uint64_t random;                        /* state of shard_random() */
};

/* Makes one with its listeners open, or NULL with *why; then, when all are made, shard_run() starts its thread. Main thread. */
struct shard *shard_start(struct relay *r, unsigned index, struct config *config, struct sp_fail *why);
void shard_run(struct shard *s);
/* One without a thread, without listeners and without what it does every second, for a command that looks as the relay would (relay/check_world.h): whoever made it
 * runs its loop. relay->store is NULL. The resolver and the roots are the configuration's. */
struct shard *shard_open_bare(struct relay *r, struct config *config, struct sp_fail *why);
void shard_close_bare(struct shard *s);         /* runs its loop until all is closed, frees it */
void shard_discard(struct shard *s);            /* one that was not run */
/* Main thread. Stop taking mail, let deliveries in flight finish until `grace_ms` passed. Calling again with less hurries. When done, relay->running goes
 * down by one; when all are done, shard_end() ends the loops: until then each may still hand something to another. */
void shard_stop(struct shard *s, uint64_t grace_ms);
void shard_end(struct shard *s);
void shard_reload(struct shard *s, struct config *config);      /* main thread; takes a ref of its own */
void shard_join(struct shard *s);                               /* main thread: waits for the end, frees */

/* The shard that a destination or a policy domain lives on. */
struct shard *shard_of(struct relay *r, const char *name);
/* Hands a job to the shard of its destination. Any thread that is a shard's or main. Owns the job from then on. */
void shard_give(struct relay *r, const char *destination, struct queue_job *job);
/* A destination is due, its row is taken; a message's deadline passed; a policy wants a refresh. Main thread. */
void shard_wake(struct relay *r, const char *destination, unsigned failures, int64_t since_ms);
void shard_overdue(struct relay *r, const char *destination, struct queue_job *job);
void shard_refresh(struct relay *r, const char *domain);
/* For an operator, after the store marked these messages: every shard gives back what it has of them and did not begin to send, so that the marks take effect at
 * once. Any number, copied; cheap where none is there. `done` on the main thread, at a later turn, when none of them is begun any more but by a session that is at it. Main thread. */
void shard_recall(struct relay *r, const uint64_t *ids, size_t count, void (*done)(void *owner), void *owner);
/* For an operator: an attempt now, whatever it waits for and its shard remembers of it. Main thread. */
void shard_retry(struct relay *r, const char *destination);
/* At start: a destination waits, and mail that comes meanwhile shall wait with it. */
void shard_hold(struct relay *r, const char *destination, const struct queue_wait *wait);

uint32_t shard_random(struct shard *s);                         /* uniform; not for secrets */
/* Writes and reads of the store that are answered here: count them, so that the shard does not end before the answer. */
static inline void shard_op_begin(struct shard *s) { s->ops++; }
void shard_op_end(struct shard *s);
void shard_check_finished(struct shard *s);                     /* after anything that may have been the last thing */

#endif

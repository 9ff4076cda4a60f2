/* relay/destination.h - all that waits for one next hop, and what is being done about it: plan, sessions, back-off.
 *
 *   QUIET   nothing to do; kept a while for its plan               give/wake -> WORKING
 *   WORKING jobs in memory or in the store, sessions open          all done -> QUIET; no session came about -> HELD
 *   HELD    waits for its retry time, or for its rate; mail that comes is parked    wake (the scheduler, when the time has come) -> WORKING
 * Its row in the store is ours (taken) from wake until it is released. On the shard's thread. */
#ifndef RELAY_DESTINATION_H
#define RELAY_DESTINATION_H

#include "relay/plan.h"
#include "relay/rate.h"
#include "relay/resume.h"
#include "relay/shard.h"

struct delivery;

struct destination {
	struct sp_map_node node;                /* in shard->destinations */
	struct sp_link idle;                    /* in shard->idle_destinations, while QUIET */
	struct shard *shard;
	char *name;
	struct sp_link waiting;                 /* of struct queue_job: to be sent, in the order of priorities */
	size_t waiting_count;
	struct sp_link inflight;                /* of struct queue_job: being sent, or being settled */
	struct sp_link sessions;                /* of struct delivery */
	struct sp_link pool;                    /* of struct delivery: those that wait for work */
	unsigned session_count, pool_count;
	unsigned queued_count;                  /* sessions that wait for room at the hosts (relay/pace.h), without a connection */
	size_t window;                          /* sessions allowed by experience; `concurrency` is above it */
	size_t concurrency;                     /* as its route, its domain or delivery.concurrency says */
	struct config_rate rate;                /* the same; count 0: none */
	struct rates_hop *hop;                  /* where its rate is counted; NULL: it never had one */
	struct core_timer *nudge;               /* mail has waited for a while: one more session */
	struct plan *plan;                      /* one ref; NULL: none yet */
	struct plan_making *making;
	bool impatient;                         /* an operator asked for an attempt now: addresses that are dead are tried, until it came to something */
	uint64_t retried_ms;                    /* monotonic: when one asked last; 0: never */
	bool failing;                           /* a session came to nothing while others go on: no new ones until that is clear */
	int64_t asked_s;                        /* Unix time when the plan was begun */
	bool fetched_now;                       /* its policy was fetched for it, and nothing came of it yet: no older than a fresh look would be */
	bool rechecked;                         /* the policy host was asked again in this attempt */
	struct resume_memory resume;
	unsigned failures;                      /* of the site in a row */
	int64_t since_ms, held_until_ms;        /* Unix ms; held_until_ms 0: not HELD */
	/* One that has no mail and is in no map: relay/check_look.c looks at an address by it. Its session says goodbye once it may carry mail, and this is told
	 * how it ended in place of all that follows for mail. Else NULL. */
	void (*looked)(struct destination *d, const struct sp_fail *why);
	struct sp_fail last;                    /* why it is held */
	bool taken;                             /* its row is ours */
	bool more;                              /* the store may have messages that are not in memory */
	bool loading;
	uint64_t quiet_since_ms, released_ms;   /* monotonic; when its row was given back last */
};

/* A job of this shard. Owned from here on. */
void destination_give(struct shard *s, const char *name, struct queue_job *job);
void destination_wake(struct shard *s, const char *name, unsigned failures, int64_t since_ms);
void destination_hold(struct shard *s, const char *name, const struct queue_wait *wait);
void destination_overdue(struct shard *s, const char *name, struct queue_job *job);
/* For an operator: what is not being sent of these messages (ids in order) goes back to the store, where marks wait for it. */
void destination_recall_all(struct shard *s, const uint64_t *ids, size_t count);
/* For an operator: an attempt now, whatever it waits for. */
void destination_retry(struct shard *s, const char *name);
/* The configuration changed: plans are made anew, and sessions proved under the old ones end after the message in hand. */
void destination_reload_all(struct shard *s);
/* The policy of `domain` was forgotten: plans that stand on it are made anew. */
void destination_forget_policy(struct shard *s, const char *domain);
/* Every second: plans that are old, destinations that are quiet for long. */
void destination_tick(struct shard *s);
/* A day is over: what sessions counted of it goes to the store now, so that its report has all of it. */
void destination_flush_late(struct shard *s, int64_t today);
/* Stopping: what is not being sent stays in the store. */
void destination_stop_all(struct shard *s);
/* Frees all; sessions and settlements must be over. */
void destination_clear_all(struct shard *s);

/* --- for relay/delivery.c --- */

/* Does what `host` of `p` proved still do? False when something else is demanded by now, or it is no host of the destination any more: then the session takes
 * no further message. */
bool destination_agrees(const struct destination *d, const struct plan *p, const struct plan_host *host);
/* Is it known what is demanded now? Else mail that a session has in hand goes back, and comes again under a plan that is made anew. */
bool destination_is_planned(const struct destination *d);
/* The next job for a session that is ready, now in flight; NULL when there is none. */
struct queue_job *destination_next(struct destination *d);
/* The job was not judged by the peer: it goes to the front again. */
void destination_return(struct destination *d, struct queue_job *job);
/* A transaction came to an end with this site: it works. */
void destination_works(struct destination *d);
/* A session went into the pool. */
void destination_session_idle(struct destination *d);
/* A session is over. `why` failed(): it never became, or no longer was, of use, on any host; `tried` says whether hosts were tried under the plan.
 * The delivery has left the lists. */
void destination_session_over(struct destination *d, const struct sp_fail *why);
/* --- for relay/settle.c --- */
/* Frees the job. `left`: some of it stays in the store; `waits`: without a time of its own, so it is to be parked. */
void destination_settled(struct destination *d, struct queue_job *job, bool left, bool waits);

#endif

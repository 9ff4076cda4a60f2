/* relay/settle.h - the end of an attempt: results into the store, notifications to senders, one log line.
 * A job stays in its destination's list of what is in flight until the store has the results; if the store cannot take them the relay
 * stops delivering until it can (else mail would be delivered twice). On the shard's thread. */
#ifndef RELAY_SETTLE_H
#define RELAY_SETTLE_H

#include "relay/account.h"
#include "relay/destination.h"

struct evidence_sheet;

/* What is known of the attempt, for the log and the DSN. All borrowed; members may be NULL or 0. */
struct settle_facts {
	const char *mx;                         /* "mx1.example.com" or "[192.0.2.1]" */
	const struct sp_addr *addr;
	const char *policy;                     /* "sts/enforce", "sts/testing", "none" */
	const char *tls;                        /* "TLSv1.3"; NULL: in clear */
	const char *cipher;
	const char *cert;                       /* "verified", a result type, "unverified" */
	const char *reply;                      /* the peer's last word, printable */
	int64_t queue_ms, connect_ms, tls_ms, transfer_ms;
	bool waited;                            /* no attempt of its own: it waited for the destination */
	bool dsn;                               /* the next hop has DSN, and so the duty to notify; false: a "relayed" notice is ours (RFC 3461 5.2.2) */
	struct evidence_sheet *sheet;           /* what its session saw (relay/evidence.h): settle takes it over; NULL: nothing is kept */
	bool by_dropped;                        /* it has no DELIVERBY, and does not know of BY=...;N (RFC 2852 4.1.4.2) */
};

/* `fails`: one a recipient of `job`, not failed() for delivered. The job is in d->inflight; settle calls destination_settled() in the end. `account`: what its
 * session counted, stored in the same transaction (DESIGN.md, promise 3); taken over, may be NULL. */
void settle_job(struct destination *d, struct queue_job *job, const struct sp_fail *fails, const struct settle_facts *facts, struct account *account);
/* For every recipient, without an attempt of their own: `why`, which with `site` is why the destination waits; else a recipient's own last failure is told, where
 * it has one. Expired ones, and those that an operator returns, bounce, late ones are told of. Returns true if something had to be
 * settled (then it owns the job, as above, and what goes on waiting is parked afterwards), false when all just wait: the caller parks them. */
bool settle_waiting(struct destination *d, struct queue_job *job, const struct sp_fail *why, bool site);
/* For a job whose turn has come: true when its sender wants no delivery any more (RFC 2852, by-mode R). Then it bounces, and settle owns it, as above. */
bool settle_late(struct destination *d, struct queue_job *job);

#endif

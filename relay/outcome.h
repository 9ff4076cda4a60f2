/* relay/outcome.h - what a failure means: the one place where "next host", "try again at" and "bounce" are decided.
 * Everything else only reports what it saw, as a struct sp_fail. Pure: clock and randomness are arguments. */
#ifndef RELAY_OUTCOME_H
#define RELAY_OUTCOME_H

#include "core/fail.h"
#include "queue/spool.h"
#include "relay/config.h"

enum outcome { OUTCOME_DELIVERED, OUTCOME_DEFER, OUTCOME_BOUNCE };
const char *outcome_str(enum outcome o);                /* "delivered", "deferred", "bounced" */

/* One recipient, after an attempt that concerned it. */
struct outcome_recipient {
	enum outcome outcome;
	struct sp_fail fail;            /* what to tell: as it came, or that the time is up, with the last failure */
	bool expired;                   /* BOUNCE: its time was up */
	int64_t next_at_ms;             /* DEFER: not before */
	unsigned notices;               /* DEFER: bits of enum queue_notice: of these the sender is to be told now */
	int64_t deadline_ms;            /* DEFER: when the message wants attention at the latest */
};
void outcome_recipient(const struct config *c, const struct queue_message *m, const struct queue_recipient *r,
                       const struct sp_fail *fail, int64_t now_ms, uint32_t random, struct outcome_recipient *out);

/* The same for one that waits while its destination cannot be reached: no attempt of its own, so no next_at_ms. */
void outcome_waiting(const struct config *c, const struct queue_message *m, const struct queue_recipient *r,
                     const struct sp_fail *fail, int64_t now_ms, struct outcome_recipient *out);

/* When a recipient that waits wants attention though nothing is tried: for a notice that its sender gets and did not get yet, else when it expires. */
int64_t outcome_deadline_ms(const struct config *c, const struct queue_message *m, const struct queue_recipient *r);

/* When a recipient is given up: delivery.expire after the message came; a mailed report after 24 hours (RFC 8460 5.5), whatever that says. A hold does not count
 * (RFC 4865: it is the sender's, not a delay of ours; an operator's neither): the time runs from the release. Sooner where its sender said so (RFC 2852, by-mode R). */
int64_t outcome_gives_up_ms(const struct config *c, const struct queue_message *m, const struct queue_recipient *r);
/* The sender's own time is up, and it wants no delivery after that: not to be tried any more. */
bool outcome_is_too_late(const struct queue_message *m, int64_t now_ms);

/* Is the sender told of the failure (RFC 3461 4.1)? */
bool outcome_tells_failure(const struct queue_recipient *r);
/* Is the sender told, by us, that the mail went to the next hop? Where it asked for success and nobody further on will tell it (RFC 3461 5.2.2; `dsn`: the hop
 * takes the duty over), for each hop with by-trace, and where the hop knows nothing of its by-time (RFC 2852). */
bool outcome_tells_relayed(const struct queue_message *m, const struct queue_recipient *r, bool dsn, bool by_dropped);

/* Given up with this: does the address itself take no mail? Only the peer can say so, by a 5yz that does not speak of the mail's size or content. */
bool outcome_is_dead_address(const struct outcome_recipient *o);

/* A site to which no session came about: back off until *next_at_ms, or OUTCOME_BOUNCE for all that waits. */
enum outcome outcome_site(const struct config *c, const struct sp_fail *fail, unsigned failures, int64_t now_ms, uint32_t random,
                          int64_t *next_at_ms);

/* A transaction ended without success for the mail as a whole: does the same mail go to another host now? Not when the peer may have taken
 * it (a duplicate is worse than a delay), not when the peer judged the mail. */
bool outcome_elsewhere(const struct sp_fail *fail, bool site, bool uncertain);

/* Refused for good by a policy (RFC 3463 3.8: X.7), which may be one for our address: the host's other address family may say something else. */
bool outcome_other_family(const struct sp_fail *fail);

/* RFC 8689 4.2.1: the message asks for what the host does not give; with the last host the message is returned. The words are sts/verdict.h's. */
bool outcome_is_unmet_wish(const struct sp_fail *fail);

/* What a host said or did to a session is no judgement of the mail: the failure as it is told of mail that had no other. Only what DNS says for good
 * stays permanent, and what the mail alone requires (REQUIRETLS) and no host gives (RFC 8689 4.2.1). */
struct sp_fail outcome_of_session(const struct sp_fail *fail);

/* Of two failures of one attempt, the one to tell the operator and the sender: what a policy refused before what did not answer;
 * but that a host does not give what REQUIRETLS asks for comes after all that may pass, since it ends in a bounce once every host was tried. */
bool outcome_worse(const struct sp_fail *a, const struct sp_fail *b);

/* Would a fresh look at the policy perhaps change this? (RFC 8461 5.1; DESIGN.md) */
bool outcome_wants_fresh_policy(const struct sp_fail *fail);

#endif

/* queue/steer.h - what an operator does to mail in the spool. One page a call: a transaction in turn with the others', over the messages behind `after` that fit, at most `limit` of them
 * and QUEUE_LOOKS rows looked at. What is at rest changes at once. What a shard has (taken) is marked, and changes when the shard lets go of it, in the transaction that parks or puts it
 * off (DELETE: right after it); what was delivered meanwhile is delivered. The caller then has the shards give back what they have not begun to send (shard_recall).
 *
 *   RETRY    due now, and its destination too, whatever either waits for; not what is held, nor what its sender holds (RFC 4865)
 *   HOLD     not tried, no notice, no expiry, until RELEASE, or until `until_ms`
 *   RELEASE  held or quarantined: due now. The time it was held does not count as delay: its deadlines are set as if it had come in that much later
 *   DELETE   gone, without a word to the sender. Of a mailed report (QUEUE_REPORT) the room that has reports is told in the same transaction (struct queue_schema, report_deleted)
 *   TAKE     as queue_load takes: jobs for the caller, which bounces them: their recipients have `returned` set. What a shard has is marked TAKE, and comes to queue_overdue(), with
 *            the same, when it is let go of; so does, after the next start, what a crash met before it was settled
 */
#ifndef QUEUE_STEER_H
#define QUEUE_STEER_H

#include "queue/list.h"

enum queue_steering { QUEUE_RETRY, QUEUE_HOLD, QUEUE_RELEASE, QUEUE_DELETE, QUEUE_TAKE };
struct queue_steer_ask {
	enum queue_steering what;
	struct queue_filter filter;
	uint64_t after;
	size_t limit;                   /* messages */
	int64_t now_ms;
	int64_t until_ms;               /* HOLD: 0: until RELEASE */
	uint64_t hold_rule;             /* HOLD: for this rule, which was made after the mail came in; 0: by hand */
	const char *reason;             /* printable; kept with what is held, "" none */
};
struct queue_steered {
	uint64_t messages, recipients;  /* that changed now */
	const uint64_t *ids;            /* `messages` of them */
	uint64_t marked;                /* messages that a shard has: they change when it lets go */
	const uint64_t *marked_ids;     /* `marked` of them */
	struct queue_job **jobs;        /* TAKE: the callee's */
	size_t job_count;
	const char *const *destinations;        /* RETRY, RELEASE: of the recipients that changed, each once: a shard may remember how long one waits (shard_retry) */
	size_t destination_count;
	uint64_t next;                  /* where to go on; 0: that was all */
};
void queue_steer(struct queue_store *s, const struct queue_steer_ask *ask, struct core_mailbox *reply_to,
                 void (*done)(void *owner, const struct queue_steered *out, const struct sp_fail *why), void *owner);

#endif

/* queue/holds.h - hold rules: what is to be held as it comes in, by an operator's word. In the spool, so that they survive restarts; a relay has all of them in memory
 * (relay/holds.h) and asks that copy. A rule ends by itself at `until_ms`; what it caught is due then. Taking one away releases what it caught, if so asked. */
#ifndef QUEUE_HOLDS_H
#define QUEUE_HOLDS_H

#include "queue/filter.h"

#define QUEUE_HOLDS_MAX 1000            /* rules; more are refused */
struct queue_hold {
	uint64_t id;                    /* from queue_store_next_id() */
	const char *sender, *recipient, *domain;        /* as in struct queue_filter; NULL: says nothing. All that is said must fit; one at least is said */
	int64_t since_ms, until_ms;     /* 0: without an end */
	const char *reason;             /* printable, "" none */
};
/* All rules; lent until `done` returns. Those that ended are deleted by the way. */
void queue_holds(struct queue_store *s, int64_t now_ms, struct core_mailbox *reply_to,
                 void (*done)(void *owner, const struct queue_hold *rules, size_t count, const struct sp_fail *why), void *owner);
/* Copied. Fails (SP_FAIL_STORE, reason "full") with QUEUE_HOLDS_MAX. */
void queue_holds_add(struct queue_store *s, const struct queue_hold *h, struct core_mailbox *reply_to,
                     void (*done)(void *owner, const struct sp_fail *why), void *owner);
/* *found: there was one. What it caught stays held (queue_steer with RELEASE lets it go: filter by hold_rule). */
void queue_holds_remove(struct queue_store *s, uint64_t id, struct core_mailbox *reply_to,
                        void (*done)(void *owner, bool found, const struct sp_fail *why), void *owner);

#endif

/* relay/policy_admin.h - what an operator does to the policy of a domain: have it fetched now, have it forgotten. Asked on the main thread by relay/api_policy.c, done on the shards.
 * Policies are else relay/policy.h's. */
#ifndef RELAY_POLICY_ADMIN_H
#define RELAY_POLICY_ADMIN_H

#include "relay/relay.h"
#include "sts/change.h"
#include "sts/discovery.h"

/* Asks the domain's record and policy host. One call of `done` on the main thread, on a later turn, as soon as it is known what came of it: f->source is STS_SOURCE_FRESH, or
 * fetch_fail failed(), or defer failed() (nothing was asked), or there is no policy. The finding is lent. */
void policy_admin_refresh(struct relay *r, const char *domain, void (*done)(void *owner, const struct sts_finding *f), void *owner);

/* Out of the cache, out of the memory of all shards, and plans that stand on it are made anew. From then on the domain is one that was never heard of: what it demands is what
 * can be learnt of it with the next message. `r` NULL: no relay runs, it is about the cache alone; `store` answers to `reply_to`, the main thread's. One call of `done`, on a later turn. */
void policy_admin_forget(struct relay *r, struct queue_store *store, struct core_mailbox *reply_to, const char *domain, const char *reason,
                         void (*done)(void *owner, bool found, const struct sts_note *note, const struct sp_fail *why), void *owner);

#endif

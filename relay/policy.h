/* relay/policy.h - the moving part of MTA-STS discovery: memory, cache, `_mta-sts` look-up, fetch; one at a time for a domain.
 * The decisions are sts/discovery.h's. On the thread of the shard that the domain hashes to. */
#ifndef RELAY_POLICY_H
#define RELAY_POLICY_H

#include "core/http.h"
#include "relay/shard.h"
#include "sts/change.h"
#include "sts/discovery.h"

struct policy_wait;             /* opaque: one asker */

/* Finds what applies to `domain`. Exactly one call of `done`, on a later turn; the finding is lent until it returns; `ttl_s` is how long it
 * may be used without asking again. `fresh`: mail is about to be given up because of the policy: ask the policy host again. */
struct policy_wait *policy_find(struct shard *s, const char *domain, bool fresh,
                                void (*done)(void *owner, const struct sts_finding *f, uint32_t ttl_s), void *owner);
void policy_cancel(struct policy_wait *w);      /* silence; NULL is fine; not after done */

/* Where look-ups and fetches are told to besides, for `strictpost check`, which shows how a policy was had (relay/check.h). In struct relay. All is lent. */
struct policy_tap {
	void (*record)(void *owner, const char *domain, const struct core_dns_answer *a);
	void (*fetched)(void *owner, const char *domain, const struct core_http_response *r, uint64_t took_ms);
	void *owner;
};

/* A copy of what is cached of the domain, into *out (initialised); false where it is not in memory. */
bool policy_peek(struct shard *s, const char *domain, struct sts_entry *out);

/* Background refresh by HTTPS, whatever the TXT record says. */
void policy_refresh(struct shard *s, const char *domain);
/* For an operator: the record and the policy host are asked, whatever is cached and however lately a fetch failed. One call of `done`, as above; where the shard stops meanwhile,
 * f->defer is SP_FAIL_SHUTDOWN. Not to be cancelled. */
void policy_renew(struct shard *s, const char *domain, void (*done)(void *owner, const struct sts_finding *f, uint32_t ttl_s), void *owner);
/* What is in memory of it is gone; who waits for it gets what is found anew. The row of the cache is the caller's to delete, by an operation submitted on this thread afterwards. */
void policy_forget(struct shard *s, const char *domain);
/* Ends everything under way and frees all. Askers must be gone, but for policy_renew()'s, who are told. */
void policy_clear(struct shard *s);

/* DESIGN.md: an address that is not public is contacted only in delivery.allow_private. */
bool policy_may_connect(const struct config *c, const struct sp_addr *to);

/* In the log, where there is something to tell: at warning where less is demanded than before. `reason`: an operator's, or NULL. Any thread. */
void policy_log_note(const char *domain, const struct sts_note *n, const char *reason);

#endif

/* relay/policy_impl.h - what the files of relay/policy.h share: policy.c runs the discovery, policy_store.c reads and writes the cache. For those two only. */
#ifndef RELAY_POLICY_IMPL_H
#define RELAY_POLICY_IMPL_H

#include "relay/policy.h"

#include "core/http.h"

enum slot_state { SLOT_IDLE, SLOT_LOADING, SLOT_TXT, SLOT_FETCHING };

struct policy_slot {
	struct sp_map_node node;                /* in shard->policies */
	struct sp_link lru;                     /* in shard->policy_lru, while idle */
	struct shard *shard;
	char *domain;
	enum slot_state state;
	struct sts_entry entry;
	bool loaded;                            /* the cache was asked */
	struct sts_finding finding;             /* the last one */
	bool has_finding;
	uint64_t checked_until;                 /* monotonic ms: the finding may be used without asking again */
	uint32_t txt_ttl_s;
	bool fresh, refresh, retried, asked_txt;        /* of the present run */
	bool forced;                            /* of the present run: an operator asks */
	bool forgot;                            /* while LOADING: what the cache had is not to be used */
	char id[STS_ID_MAX + 1];                /* of the present run */
	struct sp_link waits;                   /* of struct policy_wait */
	struct core_dns_query *query;
	struct core_http *http;
	uint64_t asked_ms;                      /* monotonic: when the fetch began */
	struct core_timer *timer;
	atomic_uint *place;                     /* where the fetch counts: relay->fetches, relay->slow_fetches, or NULL */
};

/* policy.c */
struct policy_slot *policy_slot_find(struct shard *s, const char *domain);      /* NULL: nothing of it is in memory */
void policy_slot_begin(struct policy_slot *p);
void policy_slot_finish(struct policy_slot *p);                                 /* the finding stands: tells who waits */

/* policy_store.c */
void policy_slot_load(struct policy_slot *p);           /* then begins again, with what the cache had */
void policy_slot_store(struct policy_slot *p);

#endif

/* relay/plan_impl.h - what the files of a plan share while one is made: plan.c finds the hosts and their addresses, plan_dane.c their TLSA records, and
 * plan_judge.c what each must prove. For those three only. */
#ifndef RELAY_PLAN_IMPL_H
#define RELAY_PLAN_IMPL_H

#include "relay/plan.h"
#include "relay/policy.h"

#define PLAN_GOOD_MAX_S 3600

struct plan_making;

struct host_query {
	struct plan_making *making;
	size_t host;
	bool v6, done;
	struct core_dns_query *query;
	enum core_dns_status status;
	bool secure;                            /* there are addresses, and DNSSEC says so, for the CNAMEs on the way too */
	const char *end;                        /* where its CNAMEs lead; NULL without any */
};

/* RFC 7672 2.2.2: where the records are looked for. */
enum tlsa_step { TLSA_AT_EXPANDED, TLSA_AT_ALIAS, TLSA_AT_HOST };
struct tlsa_query {
	struct plan_making *making;
	size_t host;
	enum tlsa_step step;
	const char *base;
	struct core_dns_query *query;
};

struct plan_making {
	struct shard *shard;
	struct plan *plan;
	void (*done)(void *owner, struct plan *p);
	void *owner;
	unsigned waiting;                       /* answers to come, and one for plan_make() itself */
	struct policy_wait *policy;
	struct core_dns_query *mx;
	struct host_query hosts[2 * PLAN_HOSTS_MAX];
	struct tlsa_query tlsa[PLAN_HOSTS_MAX];
	struct core_timer *later;               /* when everything was known at once */
	uint32_t ttl_s;
	int64_t ends_ms;                        /* Unix ms: the domain's entry ends, and all that was made by it; 0: it does not */
	bool patient;
	enum sts_dane dane;                     /* delivery.dane, or the domain's own */
	bool asks_tlsa;
	const struct sts_rule *rule;            /* in force; in the plan's arena; NULL: none */
	bool relaxed;                           /* requiretls: relaxed */
	bool credentials;                       /* are said to its hosts */
	const char *mx_end;                     /* where the domain's CNAMEs lead; NULL without any */
};

/* plan.c: one answer less to wait for; the last thing a callback does. */
void plan_answered(struct plan_making *m);
void plan_least_ttl(struct plan_making *m, uint32_t ttl_s);

/* plan_dane.c: both address answers of a host are there: asks for its TLSA records where there is a point in that. */
void plan_dane_ask(struct plan_making *m, size_t host);

/* plan_judge.c */
void plan_read_settings(struct plan_making *m); /* of the domain or next hop: DANE, the rule in force, REQUIRETLS */
void plan_judge_hosts(struct plan_making *m);

#endif

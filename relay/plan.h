/* relay/plan.h - where a destination's mail may go now: policy, MX hosts and their addresses, asked side by side and put in order.
 * Implements RFC 7672 2 (TLSA look-ups), RFC 5321 5.1 (MX and implicit MX, order, loops), RFC 7505 (null MX), RFC 5321 4.1.3 (literals), RFC 8461 5.
 * A plan never changes once made; it is counted, since deliveries use one while the next is made. On a shard's thread. */
#ifndef RELAY_PLAN_H
#define RELAY_PLAN_H

#include "relay/route.h"
#include "relay/shard.h"
#include "sts/verdict.h"

#define PLAN_HOSTS_MAX 5                /* MX hosts of an attempt (DESIGN.md, limits) */
#define PLAN_ADDRS_MAX 2                /* addresses of each family and host */
#define PLAN_NAMES_MAX 4                /* reference names (RFC 7672 3.2.2) */

struct plan_host {
	const char *name;               /* A-labels; "" for an address literal */
	const char *label;              /* for logs: the name, or "[192.0.2.1]" */
	uint16_t preference;
	const struct sts_tlsa *tlsa;    /* NULL: not asked for */
	const char *names[PLAN_NAMES_MAX];      /* with `tlsa`: for core_tls_verify_dane(), the TLSA base domain first */
	size_t name_count;
	struct sts_demand demand;       /* what a session to it must prove; barred: not to be used */
	bool unlooked;                  /* barred, since DANE is required and our resolver cannot be asked: no fault of the domain's, so not counted */
	struct sp_fail fail;            /* failed(): no address that may be used; why */
	struct sp_addr addrs[2 * PLAN_ADDRS_MAX];
	size_t addr_count;
	size_t addr_found;              /* that the DNS has: more than are taken */
	bool secure;                    /* its addresses are DNSSEC-secure, as a trusted resolver said */
	const char *alias;              /* where its CNAMEs lead; NULL without any */
};

struct plan {
	unsigned refs;
	struct sp_arena arena;
	const char *label;              /* the destination, for texts */
	struct route_target target;     /* the destination, taken apart; strings in the arena */
	const char *policy_domain;      /* NULL: no policy can apply (address literal, reports), and sessions are counted nowhere */
	bool sts_asked;                 /* sts.enabled: else that no MTA-STS policy was found says nothing */
	struct sts_finding finding;
	const char *policy_strings, *mx_patterns;       /* of the policy found, one a line, for reports; "" without one */
	struct plan_host *hosts;        /* by preference; random inside one */
	size_t host_count;
	struct sp_fail fail;            /* failed(): there is nowhere to go: DNS, null MX, loop to ourselves ...; permanent or not */
	size_t mx_count;                /* MX records, whatever became of them; 0: none, or not asked for */
	bool mx_authenticated;          /* the MX answer was DNSSEC-secure, as a trusted resolver said */
	uint64_t good_until_ms;         /* monotonic: made anew afterwards */
};

struct plan_making;             /* opaque: one being made */
/* Makes the plan for `destination`. `fresh`: ask the policy host again. `patient`: sts.first_contact: defer may still hold the mail. One call of `done`, on a later turn, with one ref. */
struct plan_making *plan_make(struct shard *s, const char *destination, bool fresh, bool patient,
                              void (*done)(void *owner, struct plan *p), void *owner);
void plan_cancel(struct plan_making *m);        /* silence; NULL is fine; not after done */
/* Does what sessions proved under `a` still do under `b`: the same of every host that both have, and the same policy? One that `a` bars has no sessions. */
bool plan_same_demands(const struct plan *a, const struct plan *b);
/* May a session that `host` of `then` proved go on under `now`? */
bool plan_host_agrees(const struct plan *now, const struct plan *then, const struct plan_host *host);
/* A plan with one address of one host of `p`: for a session that only looks at it (relay/check_look.c). Never old; `p` must outlive it. */
/* SIZE_MAX for `addr`: none, for a host that is barred or has none. */
struct plan *plan_narrow(const struct plan *p, size_t host, size_t addr);
struct plan *plan_ref(struct plan *p);
void plan_unref(struct plan *p);                /* NULL is fine */

#endif

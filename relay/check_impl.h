/* relay/check_impl.h - what the files of a check share: check.c asks, check_look.c looks at hosts, check_judge.c says what it means, check_mend.c what to do about it. For
 * those and the world only. */
#ifndef RELAY_CHECK_IMPL_H
#define RELAY_CHECK_IMPL_H

#include "relay/check.h"
#include "relay/destination.h"
#include "relay/plan_tell.h"

/* A session to one address; or to none, where the host is barred or has none: then the relay's own words for that. */
struct look {
	struct destination dest;        /* without mail: `looked` */
	struct check *check;
	size_t host;                    /* in check->plan */
	struct plan *plan;              /* narrow; one ref */
	bool over, cut;
	struct sp_fail fail;            /* over: failed() where no mail could go on it */
	json_t *seen;                   /* of relay/evidence.h */
};
#define CHECK_LOOKS_MAX (PLAN_HOSTS_MAX * 2 * PLAN_ADDRS_MAX)

struct check {
	struct sp_link link;            /* in world->checks */
	struct check_world *world;
	struct sp_arena arena;
	const char *name, *domain, *destination;
	const char *policy_domain;      /* NULL: none */
	bool connect, over;
	uint64_t began_ms;
	struct core_timer *timer;
	struct plan_making *making;
	struct plan *plan;              /* one ref; NULL: not yet, or not in time */
	struct core_dns_query *rpt;
	json_t *mta_sts, *tls_rpt;      /* told; NULL: not yet, or not looked for */
	struct look *looks[CHECK_LOOKS_MAX];
	size_t look_count;
	unsigned waiting;
	void (*done)(void *owner, enum check_status status, json_t *told);
	void *owner;
};

/* check.c: something that was waited for has come; the last thing a callback does. */
void check_answered(struct check *c);

/* check_record.c: what the DNS and the policy host said, as it was. */
void check_take_record(struct check *c, const char *domain, const struct core_dns_answer *a);
void check_take_fetch(struct check *c, const char *domain, const struct core_http_response *r, uint64_t took_ms);
json_t *check_tell_tls_rpt(const char *domain, const struct core_dns_answer *a);

/* check_look.c: in the order in which the relay goes through the hosts. */
void check_look_begin(struct check *c);
void check_look_cut(struct check *c);
void check_look_free(struct check *c);
void check_take_session(struct check *c, const char *destination, struct sp_str json);
json_t *check_tell_looks(const struct check *c);

/* check_judge.c: adds "prediction", "findings" and "status" to what was found. */
enum check_status check_judge(const struct check *c, json_t *told);

/* check_mend.c: what the owner of the domain does about a failure of a session to `host`; `seen` may be NULL. Into `out`. */
void check_mend(const struct check *c, const char *host, const char *result, const char *reason, const json_t *seen, struct sp_buf *out);

#endif

/* relay/plan_judge.c - see plan_impl.h: what the operator says of a next hop, and what each of its hosts must prove. */
#include "relay/plan_impl.h"

#include "relay/dnssec.h"

#include <stdio.h>

static bool is_relaxed(const struct config *c, const struct route_target *t)
{
	const struct config_route *r = route_config(c, t);
	if (r && r->requiretls != CONFIG_REQUIRETLS_UNSET)
		return r->requiretls == CONFIG_REQUIRETLS_RELAXED;
	return c->delivery.requiretls == CONFIG_REQUIRETLS_RELAXED;
}

void plan_read_settings(struct plan_making *m)
{
	const struct config *c = m->shard->config;
	const struct route_target *t = &m->plan->target;
	if (t->report) {                                        /* RFC 8460 3: these go out whatever anybody demands */
		m->dane = STS_DANE_OFF;
		return;
	}
	m->dane = (enum sts_dane)c->delivery.dane;
	m->relaxed = is_relaxed(c, t);
	m->asks_tlsa = m->dane != STS_DANE_OFF && t->host && dnssec_believed(m->shard->relay);
}

/* Nobody looked: that is what is to be told, not that there are no records. */
static void tell_not_believed(const struct plan_making *m, struct sp_fail *barred)
{
	char esc[sizeof(barred->esc)];
	if (barred->result != SP_RESULT_DANE_REQUIRED || dnssec_believed(m->shard->relay))
		return;
	snprintf(esc, sizeof(esc), "%s", barred->esc);
	sp_fail_tls(barred, SP_FAIL_POLICY, SP_RESULT_DANE_REQUIRED, "resolver-not-validating", "DANE is required for %.120s, and %s", m->plan->label,
	            dnssec_remedy(m->shard->relay));
	snprintf(barred->esc, sizeof(barred->esc), "%s", esc);
}

void plan_judge_hosts(struct plan_making *m)
{
	struct plan *p = m->plan;
	for (size_t i = 0; i < p->host_count; i++) {
		struct plan_host *h = &p->hosts[i];
		struct sts_question q = {
			.finding = &p->finding, .host = h->name, .tlsa = h->tlsa, .dane = m->dane, .rule = m->rule, .wish = p->target.wish,
			.relaxed = m->relaxed,
			.mx_secure = p->mx_authenticated || p->target.kind == ROUTE_HOST,       /* whoever configured it named it */
		};
		sts_verdict_host(&q, &h->demand);
		tell_not_believed(m, &h->demand.barred);
	}
}

/* --- what changed from one plan to the next --- */

static bool same_policy(const struct sts_policy *a, const struct sts_policy *b)
{
	return a == b || (a && b && sts_policy_equal(a, b));
}

static const struct plan_host *find_host(const struct plan *p, const char *name)
{
	for (size_t i = 0; i < p->host_count; i++)
		if (strcmp(p->hosts[i].name, name) == 0)
			return &p->hosts[i];
	return NULL;
}

bool plan_same_demands(const struct plan *a, const struct plan *b)
{
	for (size_t i = 0; i < a->host_count; i++) {
		const struct plan_host *other = find_host(b, a->hosts[i].name);
		if (other && !sts_demand_equal(&a->hosts[i].demand, &other->demand))
			return false;
	}
	return same_policy(a->finding.policy, b->finding.policy);
}

bool plan_host_agrees(const struct plan *now, const struct plan *then, const struct plan_host *host)
{
	const struct plan_host *present = find_host(now, host->name);
	return present && sts_demand_equal(&host->demand, &present->demand) && same_policy(now->finding.policy, then->finding.policy);
}

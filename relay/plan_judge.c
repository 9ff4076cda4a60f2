/* relay/plan_judge.c - see plan_impl.h: what the operator says of a next hop, and what each of its hosts must prove. */
#include "relay/plan_impl.h"

#include "core/clock.h"
#include "core/date.h"
#include "relay/dnssec.h"

#include <stdio.h>

static bool is_relaxed(const struct config *c, const struct config_domain *d, const struct route_target *t)
{
	const struct config_route *r = route_config(c, t);
	if (d && d->requiretls != CONFIG_REQUIRETLS_UNSET)
		return d->requiretls == CONFIG_REQUIRETLS_RELAXED;
	if (r && r->requiretls != CONFIG_REQUIRETLS_UNSET)
		return r->requiretls == CONFIG_REQUIRETLS_RELAXED;
	return c->delivery.requiretls == CONFIG_REQUIRETLS_RELAXED;
}

/* A copy: plans outlive the configuration that they were made under. */
static const struct sts_rule *copy_rule(const struct sts_rule *r, struct sp_arena *arena)
{
	struct sts_rule *copy = sp_arena_alloc(arena, sizeof(*copy));
	*copy = *r;
	copy->domain = sp_arena_strdup(arena, r->domain);
	copy->reason = sp_arena_strdup(arena, r->reason ? r->reason : "");
	return copy;
}

/* What lowers a domain's own demands is told at each use. */
static void log_override(const struct plan *p, const struct config_domain *d)
{
	const struct sts_rule *r = &d->rule;
	char until[40];
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_WARNING, p->label, "override");
	sp_log_cstr(&l, "domain", r->domain);
	sp_log_cstr(&l, "tls", r->level == STS_LEVEL_UNSET ? NULL : sts_level_str(r->level));
	sp_log_cstr(&l, "dane", d->has_dane && d->dane == STS_DANE_OFF ? "off" : NULL);
	sp_log_cstr(&l, "until", sp_date_rfc3339(r->until_s, until));
	sp_log_cstr(&l, "reason", r->reason);
	sp_log_end(&l);
}

/* config_domain_find() gives only what is in force; the plan ends with it. */
static void use_rule(struct plan_making *m, const struct config_domain *d)
{
	const struct sts_rule *r = &d->rule;
	m->ends_ms = r->until_s * 1000;
	if (r->override)
		log_override(m->plan, d);
	if (r->level != STS_LEVEL_UNSET)
		m->rule = copy_rule(r, &m->plan->arena);
}

/* RFC 4616 4: whoever is told the password can be the user. So it is said to a host that has proved its name, whatever mail goes there; unless the operator's
 * own entry for that host is content with less. A next hop by address has no name to prove. */
static void guard_credentials(struct plan_making *m, const struct config_domain *d)
{
	const struct route_target *t = &m->plan->target;
	m->credentials = t->host && t->user;
	if (!m->credentials || m->rule)
		return;
	const struct sts_rule verify = { .domain = t->host, .level = STS_LEVEL_VERIFY, .reason = "credentials are said to it" };
	m->rule = copy_rule(d && d->rule.level != STS_LEVEL_UNSET ? &d->rule : &verify, &m->plan->arena);
}

void plan_read_settings(struct plan_making *m)
{
	const struct config *c = m->shard->config;
	const struct route_target *t = &m->plan->target;
	const struct config_domain *d = t->host ? config_domain_find(c, t->host, core_clock_wall_s()) : NULL;
	if (t->report) {                                        /* RFC 8460 3: these go out whatever anybody demands */
		m->dane = STS_DANE_OFF;
		guard_credentials(m, d);
		return;
	}
	m->dane = d && d->has_dane ? d->dane : (enum sts_dane)c->delivery.dane;
	m->relaxed = is_relaxed(c, d, t);
	if (d)
		use_rule(m, d);
	guard_credentials(m, d);
	bool wanted = m->dane != STS_DANE_OFF || (m->rule && m->rule->level == STS_LEVEL_DANE);
	m->asks_tlsa = wanted && t->host && dnssec_believed(m->shard->relay);
}

/* Nobody looked: that is what is to be told, not that there are no records; and it is no fault of the domain's, so it is not counted as one. */
static void tell_not_believed(const struct plan_making *m, struct plan_host *h)
{
	struct sp_fail *barred = &h->demand.barred;
	char esc[sizeof(barred->esc)];
	if (barred->result != SP_RESULT_DANE_REQUIRED || dnssec_believed(m->shard->relay))
		return;
	snprintf(esc, sizeof(esc), "%s", barred->esc);
	sp_fail_tls(barred, SP_FAIL_POLICY, SP_RESULT_DANE_REQUIRED, "resolver-not-validating", "DANE is required for %.120s, and %s", m->plan->label,
	            dnssec_remedy(m->shard->relay));
	snprintf(barred->esc, sizeof(barred->esc), "%s", esc);
	h->unlooked = true;
}

void plan_judge_hosts(struct plan_making *m)
{
	struct plan *p = m->plan;
	for (size_t i = 0; i < p->host_count; i++) {
		struct plan_host *h = &p->hosts[i];
		struct sts_question q = {
			.finding = &p->finding, .host = h->name, .tlsa = h->tlsa, .dane = m->dane, .rule = m->rule,
			.wish = m->credentials && p->target.wish == STS_WISH_TLS_OPTIONAL ? STS_WISH_NONE : p->target.wish,
			.relaxed = m->relaxed,
			.mx_secure = p->mx_authenticated || p->target.kind == ROUTE_HOST,       /* whoever configured it named it */
		};
		sts_verdict_host(&q, &h->demand);
		tell_not_believed(m, h);
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
		if (other && !sp_failed(&a->hosts[i].demand.barred) && !sts_demand_equal(&a->hosts[i].demand, &other->demand))
			return false;
	}
	return same_policy(a->finding.policy, b->finding.policy);
}

bool plan_host_agrees(const struct plan *now, const struct plan *then, const struct plan_host *host)
{
	const struct plan_host *present = find_host(now, host->name);
	return present && sts_demand_equal(&host->demand, &present->demand) && same_policy(now->finding.policy, then->finding.policy);
}

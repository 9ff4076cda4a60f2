/* relay/plan_tell.c - see plan_tell.h. */
#include "relay/plan_tell.h"

#include "relay/api.h"

#include <stdio.h>

const char *plan_policy_word(const struct sts_demand *d, char text[64])
{
	if (d && d->origin == STS_ORIGIN_TLSA && d->tlsa)
		snprintf(text, 64, "dane/%s", sts_tlsa_state_str(d->tlsa->state));
	else if (d && d->origin == STS_ORIGIN_RULE && d->rule)
		snprintf(text, 64, "rule/%s", sts_level_str(d->rule->level));
	else if (d && d->origin == STS_ORIGIN_MAIL)
		snprintf(text, 64, "requiretls");
	else if (d && d->has_policy)
		snprintf(text, 64, "sts/%s", sts_mode_str(d->mode));
	else
		snprintf(text, 64, "none");
	return text;
}

static bool is_usable(const struct plan_host *h)
{
	return !sp_failed(&h->demand.barred) && h->addr_count > 0;
}

/* As relay/delivery_connect.c goes through the hosts, and relay/destination_work.c takes what comes of that. */
enum outcome plan_outcome(const struct plan *p, struct sp_fail *why)
{
	struct sp_fail worst = p->fail;
	for (size_t i = 0; !sp_failed(&p->fail) && i < p->host_count; i++) {
		const struct plan_host *h = &p->hosts[i];
		const struct sp_fail *fail = sp_failed(&h->demand.barred) ? &h->demand.barred : &h->fail;
		if (is_usable(h)) {
			*why = SP_FAIL_OK;
			return OUTCOME_DELIVERED;
		}
		if (outcome_worse(fail, &worst))
			worst = *fail;
	}
	*why = outcome_of_session(&worst);
	if (!sp_failed(why))
		sp_fail_set(why, SP_FAIL_DNS, "%s has no host that mail could go to", p->label);
	return why->permanent ? OUTCOME_BOUNCE : OUTCOME_DEFER;
}

/* --- small pieces --- */

json_t *plan_tell_text(struct sp_str text)
{
	struct sp_buf b;
	sp_buf_init(&b, text.len);
	sp_buf_add_printable(&b, text);
	json_t *told = json_string(sp_buf_cstr(&b));
	sp_buf_clear(&b);
	return told;
}

json_t *plan_tell_name(const char *name)
{
	json_t *told = json_string(name);       /* NULL where it is no UTF-8 */
	return told ? told : plan_tell_text(sp_str_of(name));
}

json_t *plan_tell_fail(const struct sp_fail *f)
{
	if (!sp_failed(f))
		return json_null();
	return json_pack("{s:s, s:o, s:s, s:s, s:b, s:o}", "kind", sp_fail_kind_str(f->kind),
	                 "result", f->result == SP_RESULT_NONE ? json_null() : json_string(sp_result_str(f->result)), "reason", f->reason,
	                 "status", f->esc, "permanent", f->permanent, "text", plan_tell_text(sp_str_of(f->text)));
}

/* One string a line. */
static json_t *tell_lines(const char *lines)
{
	json_t *list = json_array();
	struct sp_str rest = sp_str_of(lines), line;
	while (sp_take_line(&rest, &line))
		json_array_append_new(list, plan_tell_text(line));
	return list;
}

/* --- the plan --- */

static json_t *tell_policy(const struct sts_finding *f)
{
	if (f->policy == NULL)
		return json_null();
	json_t *mx = json_array();
	for (size_t i = 0; i < sts_policy_mx_count(f->policy); i++)
		json_array_append_new(mx, json_string(sts_policy_mx(f->policy, i)));
	return json_pack("{s:s, s:s, s:o, s:I, s:s, s:o, s:o}", "mode", sts_mode_str(sts_policy_mode(f->policy)), "id", f->id, "mx", mx,
	                 "max_age", (json_int_t)sts_policy_max_age_s(f->policy), "source", sts_source_str(f->source),
	                 "fetched", api_time(f->fetched_s), "expires", api_time(f->expires_s));
}

static json_t *tell_tlsa(const struct sts_tlsa *t)
{
	if (t == NULL)
		return json_null();
	return json_pack("{s:s, s:s, s:o, s:o}", "state", sts_tlsa_state_str(t->state), "base", t->base, "records", tell_lines(t->strings),
	                 "failure", plan_tell_fail(&t->fail));
}

static json_t *tell_listed(const struct plan *p, const struct plan_host *h)
{
	if (p->finding.policy == NULL || sts_policy_mode(p->finding.policy) == STS_MODE_NONE || *h->name == '\0')
		return json_null();
	return json_boolean(sts_policy_allows_mx(p->finding.policy, sp_str_of(h->name)));
}

static json_t *tell_host(const struct plan *p, const struct plan_host *h, bool believed)
{
	char text[SP_ADDR_TEXT], word[64];
	json_t *addresses = json_array();
	for (size_t i = 0; i < h->addr_count; i++)
		json_array_append_new(addresses, json_string(sp_addr_ip_str(&h->addrs[i], text)));
	return json_pack("{s:s, s:i, s:o, s:I, s:s, s:s?, s:o, s:o, s:s, s:s, s:s, s:o, s:o}", "name", h->label, "preference", (int)h->preference,
	                 "addresses", addresses, "address_count", (json_int_t)h->addr_found,
	                 "dnssec", !believed || h->addr_found == 0 ? "unknown" : h->secure ? "secure" : "insecure", "alias", h->alias,
	                 "listed", tell_listed(p, h), "tlsa", tell_tlsa(h->tlsa), "require", sts_requirement_str(h->demand.require),
	                 "origin", sts_origin_str(h->demand.origin), "policy", plan_policy_word(&h->demand, word),
	                 "barred", plan_tell_fail(&h->demand.barred), "address_failure", plan_tell_fail(&h->fail));
}

static const char *mx_word(const struct plan *p)
{
	if (p->target.kind != ROUTE_DOMAIN)
		return p->target.kind == ROUTE_HOST ? "route" : "literal";
	return p->mx_count > 0 ? "records" : p->host_count > 0 ? "implicit" : "none";
}

static json_t *tell_route(const struct plan *p)
{
	char text[SP_ADDR_TEXT];
	const struct route_target *t = &p->target;
	if (t->kind != ROUTE_HOST)
		return json_null();
	const char *host = t->host ? t->host : sp_addr_literal_str(&t->addr, text);
	return t->user ? json_sprintf("%s:%u as %s", host, t->port, t->user) : json_sprintf("%s:%u", host, t->port);
}

/* What the operator says of the next hop. */
static json_t *tell_rule(const struct plan *p, const struct config *c, int64_t now_s, bool *lowers)
{
	const struct config_domain *d = p->target.host ? config_domain_find(c, p->target.host, now_s) : NULL;
	*lowers = d && d->rule.override;
	if (d == NULL)
		return json_null();
	struct sp_buf text;
	sp_buf_init(&text, 1024);
	sts_rule_print(&d->rule, &text);
	if (d->has_dane)
		sp_buf_printf(&text, "%sdane: %s", text.len ? ", " : "", sts_dane_str(d->dane));
	json_t *told = text.len > 0 ? plan_tell_text(sp_buf_str(&text)) : json_null();
	sp_buf_clear(&text);
	return told;
}

json_t *plan_tell(const struct plan *p, const struct config *c, bool believed, int64_t now_s)
{
	bool lowers;
	struct sp_fail why;
	enum outcome outcome = plan_outcome(p, &why);
	json_t *hosts = json_array(), *rule = tell_rule(p, c, now_s, &lowers);
	for (size_t i = 0; i < p->host_count; i++)
		json_array_append_new(hosts, tell_host(p, &p->hosts[i], believed));
	bool by_mx = p->target.kind == ROUTE_DOMAIN;
	return json_pack("{s:s, s:s?, s:i, s:o, s:o, s:b, s:o, s:b, s:o, s:s, s:I, s:s, s:o, s:s, s:o}", "destination", p->label,
	                 "policy_domain", p->policy_domain, "port", (int)p->target.port, "route", tell_route(p), "rule", rule, "rule_lowers", lowers,
	                 "policy", tell_policy(&p->finding), "policy_record", p->finding.has_record, "policy_failure", plan_tell_fail(&p->finding.fetch_fail),
	                 "mx", mx_word(p), "mx_count", (json_int_t)p->mx_count,
	                 "mx_dnssec", !by_mx || !believed ? "unknown" : p->mx_authenticated ? "secure" : "insecure", "hosts", hosts,
	                 "outcome", outcome == OUTCOME_DELIVERED ? "attempt" : outcome == OUTCOME_DEFER ? "defer" : "bounce", "failure", plan_tell_fail(&why));
}

/* relay/plan_dane.c - see plan_impl.h: the TLSA records of a plan's hosts.
 *
 *   address secure, no CNAME -> at the host                                           RFC 7672 2.2.2
 *   address secure, CNAMEs   -> at the end of the chain, and where there are none: at the host     RFC 7672 2.2.2
 *   address not secure, CNAMEs -> is the host's own CNAME record secure? -> at the host (TLSA_AT_ALIAS asks)
 *   else                     -> nowhere: an unsigned zone is not asked, since some of their servers know TLSA only as SERVFAIL (RFC 7672 2.2.2)
 * A look-up that fails bars the host (sts/tlsa.h, FAILED). One address family that fails does not: the other's answer, whose zone is the same, says whether
 * there may be records; where it is the only one that there would be, the host has no address and is passed over. */
#include "relay/plan_impl.h"

static void ask(struct tlsa_query *t, enum tlsa_step step, const char *base);

static const char *host_name(const struct tlsa_query *t)
{
	return t->making->plan->hosts[t->host].name;
}

static void add_name(struct plan_host *h, const char *name)
{
	for (size_t i = 0; name && i < h->name_count; i++)
		if (strcmp(h->names[i], name) == 0)
			return;
	if (name) {
		sp_assert(h->name_count < PLAN_NAMES_MAX);
		h->names[h->name_count++] = name;
	}
}

/* RFC 7672 3.2.2: the TLSA base domain first; the host under its other name, which is as secure; and the domain, where it led here securely. */
static void set_names(const struct tlsa_query *t, struct plan_host *h)
{
	const struct plan *p = t->making->plan;
	h->name_count = 0;
	add_name(h, t->base);
	add_name(h, h->name);
	if (p->mx_authenticated) {
		add_name(h, p->target.host);
		add_name(h, t->making->mx_end);
	}
}

static void take(struct tlsa_query *t, const struct core_dns_answer *a)
{
	struct plan *p = t->making->plan;
	struct plan_host *h = &p->hosts[t->host];
	struct sts_tlsa *tlsa = sp_arena_alloc(&p->arena, sizeof(*tlsa));
	sts_tlsa_judge(a, t->base, &p->arena, tlsa);
	h->tlsa = tlsa;
	set_names(t, h);
}

static void on_tlsa(void *owner, const struct core_dns_answer *a)
{
	struct tlsa_query *t = owner;
	struct plan_making *m = t->making;
	t->query = NULL;
	bool known = a->status == CORE_DNS_OK || core_dns_status_lasting(a->status);
	plan_least_ttl(m, known ? a->ttl_s : 0);                /* what failed is asked again with the next attempt */
	if (t->step == TLSA_AT_ALIAS && known) {
		if (a->status == CORE_DNS_OK && a->authenticated)
			ask(t, TLSA_AT_HOST, host_name(t));
	} else {
		take(t, a);
		if (t->step == TLSA_AT_EXPANDED && m->plan->hosts[t->host].tlsa->state == STS_TLSA_NONE)
			ask(t, TLSA_AT_HOST, host_name(t));
	}
	plan_answered(m);
}

static void ask(struct tlsa_query *t, enum tlsa_step step, const char *base)
{
	struct plan_making *m = t->making;
	const char *name = host_name(t);
	t->step = step;
	t->base = base;
	if (step != TLSA_AT_ALIAS)
		name = sp_arena_printf(&m->plan->arena, "_%u._tcp.%s", m->plan->target.port, base);     /* RFC 6698 3 */
	m->waiting++;
	t->query = core_dns_lookup(m->shard->dns, name, step == TLSA_AT_ALIAS ? CORE_DNS_CNAME : CORE_DNS_TLSA, on_tlsa, t);
}

void plan_dane_ask(struct plan_making *m, size_t host)
{
	const struct host_query *v4 = &m->hosts[2 * host], *v6 = &m->hosts[2 * host + 1];
	const struct host_query *secure = v4->secure ? v4 : v6->secure ? v6 : NULL;
	struct tlsa_query *t = &m->tlsa[host];
	if (!m->asks_tlsa || m->plan->hosts[host].addr_count == 0)
		return;
	*t = (struct tlsa_query){ .making = m, .host = host };
	if (secure && secure->end)
		ask(t, TLSA_AT_EXPANDED, secure->end);
	else if (secure)
		ask(t, TLSA_AT_HOST, host_name(t));
	else if (v4->end || v6->end)
		ask(t, TLSA_AT_ALIAS, host_name(t));
}

/* relay/plan.c - see plan.h.
 *
 *   plan_make -> policy -+
 *             -> MX ------+-> addresses of up to 5 hosts, all at once -> TLSA of each where they are secure -> verdict for each host -> done
 * A literal or a configured next hop has no MX step. */
#include "relay/plan_impl.h"

#include "core/clock.h"
#include "relay/dnssec.h"

#include <stdio.h>
#include <stdlib.h>

#define GOOD_MIN_S 1                    /* a plan is used at least, and at most, for so long */
#define GOOD_FAILED_S 5
#define GOOD_ADDRESSLESS_S 60           /* one host has no address, says the DNS */

struct plan *plan_ref(struct plan *p)
{
	p->refs++;
	return p;
}

void plan_unref(struct plan *p)
{
	if (p == NULL || --p->refs > 0)
		return;
	sts_finding_clear(&p->finding);
	sp_arena_clear(&p->arena);
	free(p);
}

void plan_least_ttl(struct plan_making *m, uint32_t ttl_s)
{
	m->ttl_s = (uint32_t)sp_min(m->ttl_s, ttl_s);
}

/* --- the end --- */

/* RFC 8460 4.4, policy-string and mx-host; made once, as every session tells them. */
static void describe_policy(struct plan *p)
{
	struct sp_buf text, patterns;
	sp_buf_init(&text, 2 * STS_POLICY_SIZE_MAX);
	sp_buf_init(&patterns, 2 * STS_POLICY_SIZE_MAX);
	if (p->finding.policy) {
		sts_policy_print(p->finding.policy, &text);
		for (size_t i = 0; i < sts_policy_mx_count(p->finding.policy); i++)
			sp_buf_printf(&patterns, "%s\n", sts_policy_mx(p->finding.policy, i));
	}
	p->policy_strings = sp_arena_dup(&p->arena, sp_buf_str(&text));
	p->mx_patterns = sp_arena_dup(&p->arena, sp_buf_str(&patterns));
	sp_buf_clear(&text);
	sp_buf_clear(&patterns);
}

/* From now. Where the domain's entry ended while the plan was made, not at all: the next one is made without it. */
static uint64_t good_ms(const struct plan_making *m)
{
	uint64_t good_s = sp_failed(&m->plan->fail) ? GOOD_FAILED_S : sp_max(sp_min(m->ttl_s, PLAN_GOOD_MAX_S), GOOD_MIN_S);
	int64_t left_ms = m->ends_ms - core_clock_wall_ms();
	if (m->ends_ms > 0 && left_ms < (int64_t)good_s * 1000)
		return left_ms > 0 ? (uint64_t)left_ms : 0;
	return good_s * 1000;
}

static void complete(struct plan_making *m)
{
	struct plan *p = m->plan;
	describe_policy(p);
	plan_judge_hosts(m);
	bool unread = p->finding.defer.kind == SP_FAIL_STORE;   /* the cache of policies: no matter how long it takes */
	bool matters = p->target.wish != STS_WISH_TLS_OPTIONAL; /* RFC 8689 4.2.2: no policy keeps such mail, whatever it may be */
	if (!sp_failed(&p->fail) && sp_failed(&p->finding.defer) && (m->patient || unread) && matters)
		p->fail = p->finding.defer;
	p->good_until_ms = core_clock_mono_ms() + good_ms(m);
	void (*done)(void *, struct plan *) = m->done;
	void *owner = m->owner;
	core_timer_close(m->later);
	free(m);
	done(owner, p);
}

void plan_answered(struct plan_making *m)
{
	sp_assert(m->waiting > 0);
	if (--m->waiting == 0)
		complete(m);
}

/* --- addresses --- */

static void address_fail(struct plan_host *h, const struct host_query *v4, const struct host_query *v6)
{
	bool lasting = core_dns_status_lasting(v4->status) && core_dns_status_lasting(v6->status);
	enum core_dns_status status = core_dns_status_lasting(v4->status) ? v6->status : v4->status;
	sp_fail_set(&h->fail, SP_FAIL_DNS, "%s has no usable address: %s", h->label, core_dns_status_str(status));
	h->fail.permanent = lasting;
	snprintf(h->fail.esc, sizeof(h->fail.esc), lasting ? "5.4.4" : "4.4.3");
}

static void host_known(struct plan_making *m, size_t host)
{
	struct plan_host *h = &m->plan->hosts[host];
	const struct host_query *v4 = &m->hosts[2 * host], *v6 = &m->hosts[2 * host + 1];
	if (!v4->done || !v6->done)
		return;
	plan_dane_ask(m, host);
	if (h->addr_count > 0)
		return;
	if (!sp_failed(&h->fail))
		address_fail(h, v4, v6);
	plan_least_ttl(m, h->fail.permanent ? GOOD_ADDRESSLESS_S : GOOD_FAILED_S);   /* by the next attempt DNS may be mended */
}

static void add_address(struct plan_making *m, struct plan_host *h, const struct sp_addr *found, bool any)
{
	if (!any && !policy_may_connect(m->shard->config, found)) {
		char text[SP_ADDR_TEXT];
		sp_fail_set(&h->fail, SP_FAIL_DNS, "%s is at %s, which is not a public address; delivery.allow_private can allow its network",
		            h->label, sp_addr_ip_str(found, text));
		h->fail.permanent = m->plan->target.kind == ROUTE_LITERAL;            /* what is in the DNS may be mended, this not */
		snprintf(h->fail.esc, sizeof(h->fail.esc), h->fail.permanent ? "5.4.4" : "4.4.4");
		return;
	}
	h->addrs[h->addr_count] = *found;
	sp_addr_set_port(&h->addrs[h->addr_count++], m->plan->target.port);
}

static void on_address(void *owner, const struct core_dns_answer *a)
{
	struct host_query *q = owner;
	struct plan_making *m = q->making;
	struct plan_host *h = &m->plan->hosts[q->host];
	q->query = NULL;
	q->done = true;
	q->status = a->status;
	q->secure = a->status == CORE_DNS_OK && a->authenticated;
	q->end = a->cnames > 0 && a->status == CORE_DNS_OK ? sp_arena_strdup(&m->plan->arena, a->name) : NULL;
	plan_least_ttl(m, a->status == CORE_DNS_OK ? a->ttl_s : PLAN_GOOD_MAX_S);
	h->addr_found += a->count;
	h->secure |= q->secure && dnssec_believed(m->shard->relay);
	h->alias = q->end ? q->end : h->alias;
	/* Which two of many: a random start, so that load spreads over them. */
	size_t start = a->count > PLAN_ADDRS_MAX ? shard_random(m->shard) % a->count : 0, before = h->addr_count;
	for (size_t i = 0; i < a->count && h->addr_count - before < PLAN_ADDRS_MAX; i++)
		add_address(m, h, &a->records[(start + i) % a->count].addr, m->plan->target.kind == ROUTE_HOST);
	if (h->addr_count > 0)
		h->fail = SP_FAIL_OK;
	host_known(m, q->host);
	plan_answered(m);
}

static void look_up_host(struct plan_making *m, size_t host)
{
	for (size_t i = 0; i < 2; i++) {
		struct host_query *q = &m->hosts[2 * host + i];
		*q = (struct host_query){ .making = m, .host = host, .v6 = i == 1 };
		m->waiting++;
		q->query = core_dns_lookup(m->shard->dns, m->plan->hosts[host].name, q->v6 ? CORE_DNS_AAAA : CORE_DNS_A, on_address, q);
	}
}

static void look_up_hosts(struct plan_making *m)
{
	for (size_t i = 0; i < m->plan->host_count; i++)
		look_up_host(m, i);
}

static void set_hosts(struct plan *p, size_t count)
{
	p->hosts = sp_arena_alloc(&p->arena, count * sizeof(*p->hosts));
	p->host_count = count;
}

static void set_host(struct plan *p, size_t i, const char *name, uint16_t preference)
{
	struct plan_host *h = &p->hosts[i];
	h->name = h->label = sp_arena_strdup(&p->arena, name);
	h->preference = preference;
}

/* --- MX --- */

static void no_such_domain(struct plan_making *m, const struct core_dns_answer *a)
{
	struct plan *p = m->plan;
	bool lasting = core_dns_status_lasting(a->status);
	if (a->status == CORE_DNS_NXDOMAIN || a->status == CORE_DNS_BADNAME)
		sp_fail_set(&p->fail, SP_FAIL_DNS, "the domain %s does not exist", m->plan->target.host);
	else
		sp_fail_set(&p->fail, SP_FAIL_DNS, "the MX look-up for %s failed: %s", m->plan->target.host, core_dns_status_str(a->status));
	p->fail.permanent = lasting;
	snprintf(p->fail.esc, sizeof(p->fail.esc), "%s",
	         a->status == CORE_DNS_CHAIN ? "5.4.4" : lasting ? "5.1.2" : "4.4.3");
}

/* By preference; those of one preference in random order (RFC 5321 5.1). */
struct ranked { const struct core_dns_record *mx; uint32_t draw; };

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->mx->mx.preference != y->mx->mx.preference)
		return x->mx->mx.preference < y->mx->mx.preference ? -1 : 1;
	return x->draw < y->draw ? -1 : x->draw > y->draw;
}

/* RFC 5321 5.1: where we are among the hosts, only those better than us are left. */
static size_t before_ourselves(const struct ranked *hosts, size_t count, const char *hostname)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(hosts[i].mx->mx.host, hostname) != 0)
			continue;
		size_t n = i;
		while (n > 0 && hosts[n - 1].mx->mx.preference == hosts[i].mx->mx.preference)
			n--;
		return n;
	}
	return count;
}

static void loops_back(struct plan_making *m, const char *as)
{
	struct plan *p = m->plan;
	sp_fail_set(&p->fail, SP_FAIL_DNS, "mail for %s loops back to us: %s is its %s", m->plan->target.host, m->shard->config->hostname, as);
	p->fail.permanent = true;
	snprintf(p->fail.esc, sizeof(p->fail.esc), "5.4.6");
}

/* Takes no place among the hosts: "." beside others (RFC 7505 3 knows it alone only), or a name that is there with a better preference. */
static bool is_taken(const struct plan *p, size_t count, const char *host)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(p->hosts[i].name, host) == 0)
			return true;
	return host[0] == '\0';
}

static void take_mx(struct plan_making *m, const struct core_dns_answer *a)
{
	struct plan *p = m->plan;
	p->mx_count = a->count;
	struct ranked *ranked = sp_alloc_array(a->count, sizeof(*ranked));
	for (size_t i = 0; i < a->count; i++)
		ranked[i] = (struct ranked){ &a->records[i], shard_random(m->shard) };
	qsort(ranked, a->count, sizeof(*ranked), by_rank);
	size_t count = before_ourselves(ranked, a->count, m->shard->config->hostname);
	if (count == 0)
		loops_back(m, "best MX");
	set_hosts(p, sp_min(count, PLAN_HOSTS_MAX));
	size_t taken = 0;
	for (size_t i = 0; i < count && taken < PLAN_HOSTS_MAX; i++)
		if (!is_taken(p, taken, ranked[i].mx->mx.host))
			set_host(p, taken++, ranked[i].mx->mx.host, ranked[i].mx->mx.preference);
	p->host_count = taken;
	free(ranked);
}

static bool is_null_mx(const struct core_dns_answer *a)         /* RFC 7505 3 */
{
	return a->count == 1 && a->records[0].mx.host[0] == '\0';
}

static void on_mx(void *owner, const struct core_dns_answer *a)
{
	struct plan_making *m = owner;
	struct plan *p = m->plan;
	m->mx = NULL;
	p->mx_authenticated = a->authenticated && dnssec_believed(m->shard->relay);
	m->mx_end = a->cnames > 0 ? sp_arena_strdup(&p->arena, a->name) : NULL;
	plan_least_ttl(m, a->status == CORE_DNS_OK || a->status == CORE_DNS_NODATA ? a->ttl_s : PLAN_GOOD_MAX_S);
	if (a->status == CORE_DNS_OK && is_null_mx(a)) {
		sp_fail_set(&p->fail, SP_FAIL_DNS, "%s accepts no mail (null MX)", m->plan->target.host);
		p->fail.permanent = true;
		snprintf(p->fail.esc, sizeof(p->fail.esc), "5.1.10");           /* RFC 7505 4.2 */
	} else if (a->status == CORE_DNS_OK) {
		take_mx(m, a);
	} else if (a->status == CORE_DNS_NODATA && strcmp(m->plan->target.host, m->shard->config->hostname) == 0) {
		loops_back(m, "implicit MX");                                   /* <postmaster>, and whoever writes to us by name */
	} else if (a->status == CORE_DNS_NODATA) {                              /* RFC 5321 5.1: implicit MX */
		set_hosts(p, 1);
		set_host(p, 0, m->plan->target.host, 0);
	} else {
		no_such_domain(m, a);
	}
	look_up_hosts(m);
	plan_answered(m);
}

/* --- policy --- */

static void on_policy(void *owner, const struct sts_finding *f, uint32_t ttl_s)
{
	struct plan_making *m = owner;
	m->policy = NULL;
	sts_finding_copy(&m->plan->finding, f);
	plan_least_ttl(m, ttl_s);
	plan_answered(m);
}

/* --- start --- */

static void use_address(struct plan_making *m)
{
	char text[SP_ADDR_TEXT];
	struct plan *p = m->plan;
	set_hosts(p, 1);
	set_host(p, 0, "", 0);
	p->hosts[0].label = sp_arena_strdup(&p->arena, sp_addr_literal_str(&m->plan->target.addr, text));
	add_address(m, &p->hosts[0], &m->plan->target.addr, m->plan->target.kind == ROUTE_HOST);
}

static void on_later(void *owner)
{
	plan_answered(owner);
}

static void start(struct plan_making *m, bool fresh)
{
	struct plan *p = m->plan;
	const struct route_target *t = &p->target;
	plan_read_settings(m);
	p->policy_domain = t->policy_domain;
	if (t->policy_domain && m->shard->config->sts.enabled) {
		p->sts_asked = true;
		m->waiting++;
		m->policy = policy_find(m->shard, p->policy_domain, fresh, on_policy, m);
	}
	if (t->kind == ROUTE_DOMAIN) {
		m->waiting++;
		m->mx = core_dns_lookup(m->shard->dns, t->host, CORE_DNS_MX, on_mx, m);
	} else if (t->host) {
		set_hosts(p, 1);
		set_host(p, 0, t->host, 0);
		look_up_hosts(m);
	} else {
		use_address(m);
	}
}

struct plan_making *plan_make(struct shard *s, const char *destination, bool fresh, bool patient,
                              void (*done)(void *owner, struct plan *p), void *owner)
{
	struct plan_making *m = sp_alloc(sizeof(*m));
	*m = (struct plan_making){ .shard = s, .done = done, .owner = owner, .waiting = 1, .patient = patient,
	                            .ttl_s = PLAN_GOOD_MAX_S };
	m->plan = sp_alloc(sizeof(*m->plan));
	m->plan->refs = 1;
	m->plan->label = route_label(destination, &m->plan->arena);
	sts_finding_init(&m->plan->finding);
	m->later = core_timer_new(s->loop, on_later, m);
	core_timer_start(m->later, 0);
	if (route_parse(destination, (uint16_t)s->config->delivery.port, &m->plan->arena, &m->plan->target)) {
		if (route_in_force(s->config, &m->plan->target, &m->plan->fail))
			start(m, fresh);
	} else {
		sp_fail_set(&m->plan->fail, SP_FAIL_DNS, "'%s' is not a name that mail can go to", destination);
		m->plan->fail.permanent = true;
		snprintf(m->plan->fail.esc, sizeof(m->plan->fail.esc), "5.1.2");
	}
	return m;
}

struct plan *plan_narrow(const struct plan *p, size_t host, size_t addr)
{
	struct plan *n = sp_alloc(sizeof(*n));
	*n = *p;
	n->refs = 1;
	n->arena = SP_ARENA_EMPTY;
	sts_finding_init(&n->finding);
	sts_finding_copy(&n->finding, &p->finding);
	n->hosts = sp_arena_alloc(&n->arena, sizeof(*n->hosts));
	n->host_count = 1;
	n->hosts[0] = p->hosts[host];
	n->hosts[0].addr_count = addr == SIZE_MAX ? 0 : 1;
	if (addr != SIZE_MAX)
		n->hosts[0].addrs[0] = p->hosts[host].addrs[addr];
	n->good_until_ms = UINT64_MAX;
	return n;
}

void plan_cancel(struct plan_making *m)
{
	if (m == NULL)
		return;
	policy_cancel(m->policy);
	core_dns_cancel(m->mx);
	for (size_t i = 0; i < SP_COUNT(m->tlsa); i++)
		core_dns_cancel(m->tlsa[i].query);
	for (size_t i = 0; i < SP_COUNT(m->hosts); i++)
		core_dns_cancel(m->hosts[i].query);
	core_timer_close(m->later);
	plan_unref(m->plan);
	free(m);
}

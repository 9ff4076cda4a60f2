/* relay/delivery_count.c - see delivery_impl.h: what a session adds to the TLS report of the domain (RFC 8460 4.3, 4.4), in the log and in the ledger. */
#include "relay/delivery_impl.h"

#include "core/clock.h"

/* What the session itself says of every event. Strings are borrowed from `y` and the buffers in `t`. */
static struct rpt_event about(const struct delivery_state *y, struct delivery_told *t)
{
	bool reached = y->conn != NULL;
	return (struct rpt_event){
		.at_s = core_clock_wall_s(), .policy_domain = y->plan->policy_domain, .policy_strings = "", .mx_patterns = "", .reason = "",
		.sending_ip = reached ? sp_addr_ip_str(core_conn_local(y->conn), t->sending_ip) : "",
		.mx_host = y->host->name,
		.mx_helo = y->client ? smtp_client_greeted_as(y->client) : "",
		.mx_ip = reached ? sp_addr_ip_str(&y->addr, t->mx_ip) : "",
	};
}

static void set_fault(struct rpt_event *e, const struct sp_fail *fault)
{
	e->result = fault->result;
	e->reason = fault->reason;
}

static void add_event(struct delivery_told *t, const struct rpt_event *e)
{
	sp_assert(t->count < SP_COUNT(t->events));
	t->events[t->count++] = *e;
}

/* A barred host had no session: it is counted where a policy failed over it, and nowhere else. */
static bool counts(const struct delivery_state *y, const struct sp_fail *fault)
{
	return !sp_failed(&y->host->demand.barred) || sp_failed(fault);
}

/* DESIGN.md's table: the policy that rules, and the one that could not be had, each with its own result. */
static void add_sts(const struct delivery_state *y, const struct sts_result *r, struct delivery_told *t)
{
	const struct sts_finding *f = &y->plan->finding;
	struct rpt_event e = about(y, t);
	e.policy_type = RPT_POLICY_STS;
	if (f->policy && counts(y, &r->sts)) {
		e.policy_strings = y->plan->policy_strings;
		e.mx_patterns = y->plan->mx_patterns;
		set_fault(&e, &r->sts);
		add_event(t, &e);
	}
	if (sp_failed(&f->fetch_fail)) {
		e.policy_strings = e.mx_patterns = "";
		set_fault(&e, &f->fetch_fail);
		add_event(t, &e);
	}
}

/* RFC 8460 1.1: the policy domain is the TLSA base domain; the report is the recipient domain's. */
static bool add_tlsa(const struct delivery_state *y, const struct sts_result *r, struct delivery_told *t)
{
	const struct sts_tlsa *tlsa = y->host->demand.tlsa;
	bool applies = tlsa && tlsa->state != STS_TLSA_NONE;
	if (!(applies && counts(y, &r->tlsa)) && !sp_failed(&r->tlsa))
		return false;
	struct rpt_event e = about(y, t);
	e.policy_type = RPT_POLICY_TLSA;
	e.policy_strings = tlsa ? tlsa->strings : "";
	e.mx_patterns = tlsa ? tlsa->base : "";
	set_fault(&e, &r->tlsa);
	add_event(t, &e);
	return true;
}

static void add_none_found(const struct delivery_state *y, const struct sts_result *r, struct delivery_told *t)
{
	if (!y->plan->sts_asked || !counts(y, &r->sts))
		return;
	struct rpt_event e = about(y, t);
	e.policy_type = RPT_POLICY_NONE_FOUND;          /* RFC 8460 4.4: neither a DANE nor an MTA-STS policy */
	set_fault(&e, &r->sts);
	add_event(t, &e);
}

static void add_events(const struct delivery_state *y, const struct sts_result *r, struct delivery_told *t)
{
	add_sts(y, r, t);
	bool dane = add_tlsa(y, r, t);
	if (!dane && t->count == 0)
		add_none_found(y, r, t);
}

/* What says nothing of TLS is no conclusion (no connection, no greeting). A session has one: its retry in the clear belongs to it, and what happens behind the
 * proof changes nothing about it. What carries reports, or goes where no policy can be, is counted nowhere; nor is a session for "TLS-Required: No", which
 * asked for less than the domain's policy does: it is no failure of the domain's (RFC 8689 4.2.2), and as a success it would say that the policy was kept. */
static bool is_conclusion(const struct delivery_state *y, const struct sts_result *result)
{
	return y->plan->policy_domain && !y->concluded && result && !y->host->demand.uncounted && !y->host->unlooked;
}

/* By what rules the session, in the order of delivery_policy_word(). */
static enum metrics_policy policy_of(const struct sts_demand *d)
{
	static const enum metrics_policy of_mode[] = { [STS_MODE_NONE] = METRICS_STS_NONE, [STS_MODE_TESTING] = METRICS_STS_TESTING,
	                                               [STS_MODE_ENFORCE] = METRICS_STS_ENFORCE };
	if (d->origin == STS_ORIGIN_TLSA && d->tlsa)
		return METRICS_TLSA;
	if (d->origin == STS_ORIGIN_RULE && d->rule)
		return METRICS_RULE;
	if (d->origin == STS_ORIGIN_MAIL)
		return METRICS_REQUIRETLS;
	return d->has_policy ? of_mode[d->mode] : METRICS_NO_POLICY;
}

static void count(const struct delivery_state *y, const struct sts_result *result, const struct delivery_told *told)
{
	struct metrics_block *b = y->shard->metrics;
	if (told->count > 0)
		metrics_add_result(b, METRIC_SESSIONS, policy_of(&y->host->demand), metrics_result(&result->why));
	for (size_t i = 0; i < told->count; i++)
		metrics_add_result(b, METRIC_REPORTED, told->events[i].policy_type, told->events[i].result);
}

static enum metrics_verdict verdict_of(const char *word)
{
	static const char *const words[] = { [METRICS_PROVEN] = "proven", [METRICS_TOLERATED] = "tolerated", [METRICS_REFUSED] = "refused" };
	for (size_t i = 0; i < SP_COUNT(words); i++)
		if (strcmp(word, words[i]) == 0)
			return (enum metrics_verdict)i;
	return METRICS_FAILED;
}

void delivery_conclude(struct delivery_state *y, const char *word, const struct sp_fail *fault, const struct sts_result *result)
{
	struct delivery_told told = { .count = 0 };
	metrics_add(y->shard->metrics, METRIC_VERDICTS, verdict_of(word), 1);
	if (is_conclusion(y, result)) {
		add_events(y, result, &told);
		y->concluded = true;
		count(y, result, &told);
	}
	for (size_t i = 0; i < told.count; i++)
		account_add(&y->account, y->shard, &told.events[i]);
	delivery_log_session(y, word, fault, &told);
	delivery_evidence_conclude(y, word, fault, &told);
}

void delivery_flush_late(struct delivery *pub, int64_t today)
{
	struct delivery_state *y = pub->state;
	if (account_is_late(y->account, today))
		account_flush(&y->account, y->shard);
}

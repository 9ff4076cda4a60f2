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

/* DESIGN.md's table: the policy that rules, and the one that could not be had, each with its own result; without any, that there is none. */
static void add_events(const struct delivery_state *y, const struct sp_fail *fault, struct delivery_told *t)
{
	const struct sts_finding *f = &y->plan->finding;
	struct rpt_event e = about(y, t);
	bool unfetched = sp_failed(&f->fetch_fail);
	if (f->policy) {
		e.policy_type = RPT_POLICY_STS;
		e.policy_strings = y->plan->policy_strings;
		e.mx_patterns = y->plan->mx_patterns;
		set_fault(&e, fault);
		add_event(t, &e);
	}
	if (unfetched) {
		e.policy_type = RPT_POLICY_STS;
		e.policy_strings = e.mx_patterns = "";
		set_fault(&e, &f->fetch_fail);
		add_event(t, &e);
	}
	if (f->policy == NULL && !unfetched) {
		e.policy_type = RPT_POLICY_NONE_FOUND;
		set_fault(&e, fault);
		add_event(t, &e);
	}
}

/* What says nothing of TLS is no conclusion (no connection, no greeting). A session has one: its retry in the clear belongs to it, and what happens behind the
 * proof changes nothing about it. What carries reports, or goes where no policy can be, is counted nowhere. */
static bool is_conclusion(const struct delivery_state *y, const struct sp_fail *fault)
{
	return y->plan->policy_domain && !y->concluded && (!sp_failed(fault) || fault->result != SP_RESULT_NONE);
}

void delivery_conclude(struct delivery_state *y, const char *result, const struct sp_fail *fault)
{
	struct delivery_told told = { .count = 0 };
	if (is_conclusion(y, fault)) {
		add_events(y, fault, &told);
		y->concluded = true;
	}
	for (size_t i = 0; i < told.count; i++)
		account_add(&y->account, y->shard, &told.events[i]);
	delivery_log_session(y, result, fault, &told);
}

void delivery_flush_late(struct delivery *pub, int64_t today)
{
	struct delivery_state *y = pub->state;
	if (account_is_late(y->account, today))
		account_flush(&y->account, y->shard);
}

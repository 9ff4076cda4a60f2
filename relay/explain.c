/* relay/explain.c - see explain.h. A question goes to the shard by its mailbox, waits there for a plan where there is none, and comes back by the main one. */
#include "relay/explain.h"

#include "relay/api.h"
#include "relay/destination_impl.h"
#include "relay/dnssec.h"
#include "relay/holds.h"
#include "relay/plan_tell.h"
#include "relay/policy.h"

#include <inttypes.h>
#include <stdlib.h>

struct question {
	struct core_mail mail;          /* to the shard, and back */
	struct sp_link link;            /* in shard->questions, while a plan is made */
	struct relay *relay;
	struct shard *shard;
	char *destination, *address, *sender;
	struct plan_making *making;
	json_t *told;
	void (*done)(void *owner, json_t *told);
	void *owner;
};

/* --- back on the main thread --- */

static void run_told(struct core_mail *mail)
{
	struct question *q = sp_container_of(mail, struct question, mail);
	q->done(q->owner, q->told);
	free(q->destination);
	free(q->address);
	free(q->sender);
	free(q);
}

static void send_back(struct question *q)
{
	q->mail.run = run_told;
	core_mailbox_post(q->relay->main_mailbox, &q->mail);
}

/* --- on the shard --- */

static json_t *tell_time_ms(int64_t at_ms)
{
	return api_time(at_ms / 1000);
}

static const char *state_word(const struct destination *d)
{
	if (destination_held(d))
		return "held";
	return sp_link_used(&d->idle) ? "quiet" : "working";
}

static json_t *tell_rate(const struct destination *d)
{
	return d->rate.count == 0 ? json_null() : json_sprintf("%" PRId64 " in %" PRId64 " s", d->rate.count, d->rate.per_ms / 1000);
}

static json_t *tell_state(const struct destination *d)
{
	if (d == NULL)
		return json_pack("{s:s}", "state", "unknown");
	size_t under_way = 0;
	SP_LIST_EACH(&d->inflight, l)
		under_way++;
	bool held = destination_held(d);
	return json_pack("{s:s, s:o, s:o, s:i, s:o, s:i, s:i, s:I, s:I, s:I, s:b, s:o}", "state", state_word(d),
	                 "held_until", held ? tell_time_ms(d->held_until_ms) : json_null(), "why", sp_failed(&d->last) ? plan_tell_text(sp_str_of(d->last.text)) : json_null(),
	                 "failures", (int)d->failures, "since", tell_time_ms(d->since_ms), "sessions", (int)d->session_count, "idle_sessions", (int)d->pool_count,
	                 "sessions_allowed", (json_int_t)sp_min(d->window, d->concurrency), "waiting", (json_int_t)d->waiting_count,
	                 "under_way", (json_int_t)under_way, "more", d->more || d->taken, "rate", tell_rate(d));
}

static json_t *tell_addresses(const struct relay *r, const struct plan *p)
{
	json_t *list = json_array();
	uint64_t now = core_clock_mono_ms();
	for (size_t i = 0; i < p->host_count; i++) {
		for (size_t a = 0; a < p->hosts[i].addr_count; a++) {
			struct pace_view v;
			char text[SP_ADDR_TEXT];
			if (pace_look(r->pace, &p->hosts[i].addrs[a], now, &v))
				json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "address", sp_addr_ip_str(&p->hosts[i].addrs[a], text),
				                                      "sessions", (json_int_t)v.sessions, "sessions_allowed", (json_int_t)v.window,
				                                      "dead_for_ms", (json_int_t)v.dead_ms, "paused_for_ms", (json_int_t)v.paused_ms,
				                                      "why", *v.how ? plan_tell_text(sp_str_of(v.how)) : json_null()));
		}
	}
	return list;
}

static json_t *tell_refresh(struct shard *s, const char *domain)
{
	struct sts_entry e;
	sts_entry_init(&e);
	json_t *told = json_null();
	if (domain && policy_peek(s, domain, &e) && (e.policy || e.failures > 0))
		told = json_pack("{s:o, s:i, s:o, s:o}", "due", api_time(e.policy ? e.refresh_s : 0), "failures", (int)e.failures,
		                 "failure", e.failures > 0 ? plan_tell_text(sp_str_of(e.failed_text)) : json_null(), "not_before", api_time(e.retry_s));
	sts_entry_clear(&e);
	return told;
}

/* As relay/inbound_store.c does with a message. */
static bool is_caught(const struct question *q, struct sp_fail *why)
{
	struct queue_recipient to = { .address = q->address, .destination = q->destination };
	if (holds_apply(q->shard->holds, q->sender, &to, 1, false, core_clock_wall_ms()) == 0)
		return false;
	bool told = to.held->reason && *to.held->reason;
	sp_fail_set(why, SP_FAIL_POLICY, "held by an operator's rule%s%s", told ? ": " : "", told ? to.held->reason : "");
	return true;
}

/* In one word, and why. */
static void tell_now(const struct question *q, const struct destination *d, const struct plan *p, json_t *told)
{
	struct sp_fail why;
	enum outcome outcome = plan_outcome(p, &why);
	const char *word = "try";
	if (is_caught(q, &why)) {
		word = "hold";
	} else if (d && destination_held(d)) {
		word = "wait";
		why = d->last;
	} else if (outcome != OUTCOME_DELIVERED) {
		word = outcome == OUTCOME_DEFER ? "defer" : "bounce";
	}
	json_object_set_new(told, "now", json_string(word));
	json_object_set_new(told, "why", sp_failed(&why) ? plan_tell_text(sp_str_of(why.text)) : json_null());
}

static void tell(struct question *q, const struct plan *p, bool remembered)
{
	const struct relay *r = q->relay;
	const char *remedy = dnssec_remedy(r);
	struct destination *d = destination_find(q->shard, q->destination);
	json_t *resolver = json_pack("{s:s, s:b, s:s?}", "state", dnssec_state_str(dnssec_state(r)), "believed", dnssec_believed(r), "remedy", *remedy ? remedy : NULL);
	q->told = json_pack("{s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o}", "destination", p->label, "name", q->destination,
	                    "plan", plan_tell(p, q->shard->config, dnssec_believed(r), core_clock_wall_s()), "remembered", remembered, "resolver", resolver,
	                    "policy_refresh", tell_refresh(q->shard, p->policy_domain), "state", tell_state(d), "addresses", tell_addresses(r, p));
	tell_now(q, d, p, q->told);
	send_back(q);
}

static void on_plan(void *owner, struct plan *p)
{
	struct question *q = owner;
	sp_list_remove(&q->link);
	tell(q, p, false);
	plan_unref(p);
}

static void run_question(struct core_mail *mail)
{
	struct question *q = sp_container_of(mail, struct question, mail);
	const struct destination *d = destination_find(q->shard, q->destination);
	if (q->shard->stopping) {
		send_back(q);
	} else if (d && destination_is_planned(d)) {
		tell(q, d->plan, true);
	} else {
		sp_list_push_back(&q->shard->questions, &q->link);
		q->making = plan_make(q->shard, q->destination, false, true, on_plan, q);
	}
}

void explain_stop_all(struct shard *s)
{
	struct sp_link *l;
	while ((l = sp_list_pop(&s->questions))) {
		struct question *q = sp_container_of(l, struct question, link);
		plan_cancel(q->making);
		send_back(q);
	}
}

/* --- from the main thread --- */

void explain_destination(struct relay *r, const char *destination, const char *address, const char *sender, void (*done)(void *owner, json_t *told), void *owner)
{
	struct question *q = sp_alloc(sizeof(*q));
	*q = (struct question){ .mail.run = run_question, .relay = r, .shard = shard_of(r, destination), .destination = sp_strdup(destination),
	                        .address = sp_strdup(address), .sender = sp_strdup(sender ? sender : "?"), .done = done, .owner = owner };
	core_mailbox_post(q->shard->mailbox, &q->mail);
}

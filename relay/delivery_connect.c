/* relay/delivery_connect.c - see delivery_impl.h: from host to host and from address to address, and the connection to one. */
#include "relay/delivery_impl.h"

#include "core/clock.h"

#include <stdio.h>

#define CONNECT_MS 30000                /* TCP connect, per address */
#define LINGER_MS 5000                  /* to say goodbye in */

/* --- leaving a connection --- */

static void keep_session(struct delivery_state *y)
{
	if (y->conn && y->proven && y->shown.encrypted)
		resume_keep(&y->pub.dest->resume, &y->host->demand, &y->addr, core_conn_tls_session(y->conn));
}

void delivery_drop_connection(struct delivery_state *y, const struct sp_fail *why, bool politely)
{
	keep_session(y);
	delivery_evidence_over(y, why);
	delivery_leave(y, why);
	if (politely && y->conn)
		core_conn_finish(y->conn, LINGER_MS);
	else
		core_conn_close(y->conn);
	y->conn = NULL;
	smtp_client_free(y->client);
	y->client = NULL;
	core_file_close(y->reader);
	y->reader = NULL;
	y->reading = y->wants_body = y->proven = y->suits = false;
}

void delivery_try_failed(struct delivery_state *y, const struct sp_fail *why)
{
	if (outcome_worse(why, &y->worst))
		y->worst = *why;
	delivery_drop_connection(y, why, true);
	core_timer_start(y->timer, 0);          /* on a turn of its own: we may be inside the engine's or connection's call */
}

void delivery_retry_clear(struct delivery_state *y)
{
	struct sp_fail why;
	sp_fail_set(&why, SP_FAIL_TLS, "once more in the clear");
	delivery_drop_connection(y, &why, false);
	y->clear = y->again = true;
	core_timer_start(y->timer, 0);
}

/* --- the tries --- */

/* RFC 5321 5.1: those of one preference in random order, drawn anew for each session, so that they share the load. */
static void draw_order(struct delivery_state *y, size_t order[PLAN_HOSTS_MAX])
{
	const struct plan *p = y->plan;
	for (size_t i = 0; i < p->host_count; i++)
		order[i] = i;
	for (size_t i = 0; i + 1 < p->host_count; i++) {
		size_t same = 1;
		while (i + same < p->host_count && p->hosts[i + same].preference == p->hosts[i].preference)
			same++;
		size_t j = i + shard_random(y->shard) % same, first = order[i];
		order[i] = order[j];
		order[j] = first;
	}
}

/* Families in turn, IPv6 first (RFC 6724 2.1), so that one dead family costs one address. */
static void add_addresses(struct delivery_state *y, size_t h)
{
	const struct plan_host *host = &y->plan->hosts[h];
	for (int round = 0; round < PLAN_ADDRS_MAX; round++) {
		for (int family = 0; family < 2; family++) {
			int seen = 0;
			for (size_t a = 0; a < host->addr_count; a++)
				if (sp_addr_family(&host->addrs[a]) == (family == 0 ? AF_INET6 : AF_INET) && seen++ == round)
					y->tries[y->try_count++] = (struct try){ (unsigned char)h, (signed char)a };
		}
	}
}

void delivery_plan_tries(struct delivery_state *y)
{
	const struct plan *p = y->plan;
	size_t order[PLAN_HOSTS_MAX];
	draw_order(y, order);
	for (size_t i = 0; i < p->host_count; i++) {
		const struct plan_host *host = &p->hosts[order[i]];
		if (sp_failed(&host->demand.barred) || host->addr_count == 0)
			y->tries[y->try_count++] = (struct try){ (unsigned char)order[i], -1 };
		else
			add_addresses(y, order[i]);
	}
}

static void skip_host(struct delivery_state *y)
{
	const struct plan_host *h = y->host;
	delivery_evidence_begin(y);
	if (sp_failed(&h->demand.barred)) {
		delivery_refuse_host(y);
		return;
	}
	delivery_conclude(y, "failed", &h->fail, NULL);
	delivery_try_failed(y, &h->fail);
}

/* Our address of that family, as the destination's entry of `source` says; NULL: as the system chooses. */
static const struct sp_addr *our_address(const struct config_source *s, const struct sp_addr *to)
{
	const struct sp_addr *ours = s == NULL ? NULL : sp_addr_family(to) == AF_INET6 ? &s->v6 : &s->v4;
	return ours && sp_addr_family(ours) != AF_UNSPEC ? ours : NULL;
}

/* What the destination's route and source say, which belongs to no single host. */
void delivery_settings(const struct delivery_state *y, struct smtp_client_settings *out)
{
	const struct config *c = y->shard->config;
	const struct config_source *s = route_source(c, &y->plan->target);
	const struct config_route *r = route_config(c, &y->plan->target);
	out->helo = s && *s->hostname ? s->hostname : c->hostname;
	if (r && *r->user) {
		out->user = r->user;
		out->password = r->password;
	}
}

void delivery_connect_again(struct delivery_state *y)
{
	y->again = false;
	if (y->stopping) {
		delivery_give_up_job(y);
		delivery_end(y, &SP_FAIL_OK);
	} else {
		delivery_connect(y);
	}
}

void delivery_connect(struct delivery_state *y)
{
	struct sp_fail why;
	if (!delivery_enter(y))
		return;
	const struct config_source *source = route_source(y->shard->config, &y->plan->target);
	y->proven = y->suits = false;
	y->implicit_tls = route_implicit_tls(y->shard->config, &y->plan->target);
	y->shown = (struct sts_shown){ 0 };
	y->began_ms = core_clock_mono_ms();
	y->deadline_ms = y->began_ms + DELIVERY_SESSION_MS;
	delivery_evidence_begin(y);
	if (core_conn_connect(y->shard->loop, &y->addr, our_address(source, &y->addr), CONNECT_MS, &delivery_conn_ops, y, &y->conn, &why) != 0) {
		delivery_conclude(y, "failed", &why, NULL);
		delivery_try_failed(y, &why);
	}
}

/* No host is left. The message in hand had its attempt: put off on its own, so that one that breaks sessions does not stand before the others for ever. */
static void out_of_tries(struct delivery_state *y)
{
	struct sp_fail why = outcome_of_session(&y->worst);
	if (!sp_failed(&why))
		sp_fail_set(&why, SP_FAIL_DNS, "%s has no host that mail could go to", y->plan->label);
	if (y->job)
		delivery_settle_all(y, &why);
	delivery_end(y, &why);
}

void delivery_try_next(struct delivery_state *y)
{
	y->clear = y->concluded = false;
	if (y->stopping) {
		struct sp_fail why;
		sp_fail_set(&why, SP_FAIL_SHUTDOWN, "stopping");
		delivery_give_up_job(y);
		delivery_end(y, &why);
		return;
	}
	if (y->family == DELIVERY_FAMILY_BOTH && delivery_settle_judged(y)) {
		delivery_end(y, &SP_FAIL_OK);
		return;
	}
	y->family = y->family == DELIVERY_FAMILY_OTHER ? DELIVERY_FAMILY_BOTH : y->family;
	if (delivery_waits_in_vain(y)) {
		delivery_end(y, &SP_FAIL_OK);
		return;
	}
	if (y->next_try == y->try_count) {
		out_of_tries(y);
		return;
	}
	struct try t = y->tries[y->next_try++];
	y->host = &y->plan->hosts[t.host];
	y->addr = (struct sp_addr){ 0 };
	if (t.addr < 0) {
		skip_host(y);
		return;
	}
	y->addr = y->host->addrs[t.addr];
	delivery_connect(y);
}

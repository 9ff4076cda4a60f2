/* relay/delivery.c - see delivery.h. */
#include "relay/delivery_impl.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS 30000                /* TCP connect, per address */
#define IDLE_MS 5000                    /* in the pool */
#define IDLE_MAX 200                    /* sessions of a shard in pools */
#define LINGER_MS 5000                  /* to say goodbye in */

static const struct core_conn_ops conn_ops;
static void try_next(struct delivery_state *y);

/* --- the end --- */

static void on_timer(void *owner);

static void keep_session(struct delivery_state *y)
{
	if (y->conn && y->proven && y->shown.encrypted)
		resume_keep(&y->pub.dest->resume, y->host->name, &y->addr, y->host->demand.require, core_conn_tls_session(y->conn));
}

static void drop_connection(struct delivery_state *y, bool politely)
{
	keep_session(y);
	if (politely && y->conn)
		core_conn_finish(y->conn, LINGER_MS);
	else
		core_conn_close(y->conn);
	y->conn = NULL;
	smtp_client_free(y->client);
	y->client = NULL;
	core_file_close(y->reader);
	y->reader = NULL;
	y->reading = y->wants_body = y->proven = false;
}

static void leave_pool(struct delivery_state *y)
{
	if (!sp_link_used(&y->pub.pool))
		return;
	sp_list_remove(&y->pub.pool);
	y->pub.dest->pool_count--;
	y->shard->idle_sessions--;
}

static void end(struct delivery_state *y, const struct sp_fail *why)
{
	struct destination *d = y->pub.dest;
	struct sp_fail told = *why;
	sp_assert(y->job == NULL);
	leave_pool(y);
	drop_connection(y, true);
	sp_list_remove(&y->pub.link);
	d->session_count--;
	account_flush(&y->account, y->shard);
	core_timer_close(y->timer);
	plan_unref(y->plan);
	free(y->recipients);
	free(y);
	destination_session_over(d, &told);
}

static void give_up_job(struct delivery_state *y)
{
	struct queue_job *job = y->job;
	y->job = NULL;
	if (job)
		destination_return(y->pub.dest, job);
}

/* This host or address is of no use: on to the next. */
static void try_failed(struct delivery_state *y, const struct sp_fail *why)
{
	if (outcome_worse(why, &y->worst))
		y->worst = *why;
	drop_connection(y, true);
	core_timer_start(y->timer, 0);          /* on a turn of its own: we may be inside the engine's or connection's call */
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

static void plan_tries(struct delivery_state *y)
{
	const struct plan *p = y->plan;
	size_t order[PLAN_HOSTS_MAX];
	draw_order(y, order);
	for (size_t i = 0; i < p->host_count; i++) {
		size_t h = order[i];
		const struct plan_host *host = &p->hosts[h];
		if (sp_failed(&host->demand.barred) || host->addr_count == 0) {
			y->tries[y->try_count++] = (struct try){ (unsigned char)h, -1 };
			continue;
		}
		/* Families in turn, IPv6 first (RFC 6724 2.1), so that one dead family costs one address. */
		for (int round = 0; round < PLAN_ADDRS_MAX; round++) {
			for (int family = 0; family < 2; family++) {
				int seen = 0;
				for (size_t a = 0; a < host->addr_count; a++)
					if (sp_addr_family(&host->addrs[a]) == (family == 0 ? AF_INET6 : AF_INET) && seen++ == round)
						y->tries[y->try_count++] = (struct try){ (unsigned char)h, (signed char)a };
			}
		}
	}
}

static void skip_host(struct delivery_state *y)
{
	const struct plan_host *h = y->host;
	if (sp_failed(&h->demand.barred)) {
		delivery_conclude(y, "refused", &h->demand.barred);
		try_failed(y, &h->demand.barred);
	} else {
		delivery_conclude(y, "failed", &h->fail);
		try_failed(y, &h->fail);
	}
}

static void connect_to(struct delivery_state *y)
{
	struct sp_fail why;
	y->proven = false;
	y->shown = (struct sts_shown){ 0 };
	y->began_ms = core_clock_mono_ms();
	y->deadline_ms = y->began_ms + DELIVERY_SESSION_MS;
	if (core_conn_connect(y->shard->loop, &y->addr, NULL, CONNECT_MS, &conn_ops, y, &y->conn, &why) != 0) {
		delivery_conclude(y, "failed", &why);
		try_failed(y, &why);
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
	end(y, &why);
}

static void try_next(struct delivery_state *y)
{
	y->clear = y->concluded = false;
	if (y->stopping) {
		struct sp_fail why;
		sp_fail_set(&why, SP_FAIL_SHUTDOWN, "stopping");
		give_up_job(y);
		end(y, &why);
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
	connect_to(y);
}

static void retry_clear(struct delivery_state *y, const struct sp_fail *why)
{
	delivery_conclude(y, "tolerated", why);
	drop_connection(y, false);
	y->clear = y->again = true;
	core_timer_start(y->timer, 0);
}

/* --- proof --- */

static void refuse(struct delivery_state *y, const struct sp_fail *why)
{
	delivery_conclude(y, "refused", why);
	try_failed(y, why);
}

/* After EHLO without TLS, or after the handshake: may this connection carry mail? True: go on. */
static bool prove(struct delivery_state *y)
{
	struct sts_result result;
	switch (sts_verdict_session(&y->host->demand, &y->shown, &result)) {
	case STS_DELIVER:
		break;
	case STS_RETRY_CLEAR:
		retry_clear(y, &result.why);
		return false;
	case STS_REFUSE:
		refuse(y, &result.why);
		return false;
	}
	y->proven = true;
	y->proven_ms = core_clock_mono_ms();
	if (!y->clear)                          /* the retry in the clear was told with the handshake that failed */
		delivery_conclude(y, sp_failed(&result.why) ? "tolerated" : "proven", &result.why);
	return true;
}

static bool demand_verifies(const struct delivery_state *y)
{
	return y->host->demand.require != STS_REQUIRE_NONE;
}

/* RFC 8461 4: the certificate, and TLS 1.2 or better, which in `testing` the handshake did not insist on. */
static void verify(struct delivery_state *y, const struct core_tls_peer *peer)
{
	struct sp_fail *fail = &y->shown.certificate;
	struct sp_str version = sp_str_of(peer->version);
	enum core_tls_version v;
	if (!core_tls_verify(y->shard->tls, peer, y->host->name, core_clock_wall_s(), fail))
		return;
	bool known = sp_take_prefix(&version, SP_STR("TLSv")) &&
	             core_tls_version_parse(sp_str_eq(version, SP_STR("1")) ? SP_STR("1.0") : version, &v);
	y->shown.verified = known && (int64_t)v >= y->shard->config->tls.verified_min;
	if (!y->shown.verified)
		sp_fail_tls(fail, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "tls-version", "%s is older than tls.verified_min", peer->version);
}

static void no_handshake(struct delivery_state *y, const struct sp_fail *why)
{
	y->shown.starttls = *why;
	if (prove(y))                           /* not reached by any demand; the connection is of no use in any case */
		refuse(y, why);
}

static void on_tls(void *owner, const struct sp_fail *fail)
{
	struct delivery_state *y = owner;
	if (sp_failed(fail)) {
		no_handshake(y, fail);
		return;
	}
	y->shown.encrypted = true;
	const struct core_tls_peer *peer = core_conn_tls_peer(y->conn);
	if (demand_verifies(y))
		verify(y, peer);
	if (!prove(y))
		return;
	smtp_client_tls_done(y->client);
	struct sp_str none = { 0 };
	delivery_drive(y, &none);
}

static void start_tls(struct delivery_state *y)
{
	const struct config *c = y->shard->config;
	bool verified = y->host->demand.require == STS_REQUIRE_PKIX;
	struct core_tls_ask ask = {
		.client = y->shard->tls, .sni = *y->host->name ? y->host->name : NULL,
		.min_version = (enum core_tls_version)(verified ? c->tls.verified_min : c->tls.opportunistic_min),
	};
	struct sp_fail why;
	y->shown.starttls_offered = true;
	ask.resume = resume_take(&y->pub.dest->resume, y->host->name, &y->addr, y->host->demand.require);
	int refused = core_conn_start_tls(y->conn, &ask, &why);
	core_tls_session_unref(ask.resume);
	if (refused)
		no_handshake(y, &why);
}

/* --- one message --- */

static void set_deadline(struct delivery_state *y)
{
	uint64_t now = core_clock_mono_ms(), wait = (uint64_t)smtp_client_wait_s(y->client) * 1000;
	uint64_t left = y->deadline_ms > now ? y->deadline_ms - now : 1;
	core_conn_deadline(y->conn, sp_min(wait, left));
}

static void into_pool(struct delivery_state *y)
{
	y->idled = true;
	sp_list_push_front(&y->pub.dest->pool, &y->pub.pool);
	y->pub.dest->pool_count++;
	y->shard->idle_sessions++;
	core_timer_start(y->timer, IDLE_MS);
	core_conn_deadline(y->conn, 0);
}

/* In clear: nothing was asked of it until now. Where STARTTLS was offered, the engine went on because it was refused. */
static bool prove_clear(struct delivery_state *y)
{
	y->shown.starttls_offered = smtp_client_ext(y->client)->starttls;
	if (y->shown.starttls_offered && !y->clear)
		sp_fail_tls(&y->shown.starttls, SP_FAIL_REPLY, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-refused",
		            "%s offers STARTTLS and refuses it", y->host->label);
	return prove(y);
}

/* READY: the next message, the pool, or goodbye. */
static bool on_ready(struct delivery_state *y)
{
	if (!y->proven && !prove_clear(y))
		return false;
	if (!destination_agrees(y->pub.dest, y->plan))
		y->stopping = true;             /* what was proved is not what is demanded now */
	if (y->stopping)
		give_up_job(y);                 /* nothing of it has left on this connection */
	bool more = !y->stopping && smtp_client_reusable(y->client) && core_clock_mono_ms() - y->began_ms < DELIVERY_SESSION_MS &&
	            y->messages < (unsigned)y->shard->config->delivery.messages_per_session;
	if (y->job == NULL && more)
		y->job = destination_next(y->pub.dest);
	if (y->job) {
		delivery_begin_mail(y);
		return true;
	}
	if (more && y->shard->idle_sessions < IDLE_MAX) {
		into_pool(y);
		destination_session_idle(y->pub.dest);
		return false;
	}
	smtp_client_quit(y->client);
	return true;
}

/* --- the engine --- */

/* A session that served has ended: from the first host again, if a message is in hand. */
static void begin_anew(struct delivery_state *y)
{
	if (y->job == NULL) {
		end(y, &SP_FAIL_OK);
		return;
	}
	y->messages = 0;
	y->idled = false;
	y->next_try = 0;
	y->worst = SP_FAIL_OK;
	drop_connection(y, true);
	core_timer_start(y->timer, 0);
}

/* The engine wants no more of this connection. */
static void on_close(struct delivery_state *y)
{
	struct sp_fail why = *smtp_client_fail(y->client);
	if (!sp_failed(&why)) {                 /* QUIT was said */
		end(y, &SP_FAIL_OK);
		return;
	}
	if (y->messages > 0 || (y->idled && y->job == NULL)) {  /* it served, or would have; what is in hand, and who waits, gets another one */
		delivery_conclude(y, "failed", &why);
		begin_anew(y);
		return;
	}
	if (!y->proven && !y->clear) {
		struct sts_result result;
		y->shown.starttls = why;
		if (why.result != SP_RESULT_NONE) {
			if (sts_verdict_session(&y->host->demand, &y->shown, &result) == STS_RETRY_CLEAR) {
				retry_clear(y, &result.why);
				return;
			}
			why = sp_failed(&result.why) ? result.why : why;
		}
	}
	if (why.result != SP_RESULT_NONE)
		refuse(y, &why);
	else {
		delivery_conclude(y, "failed", &why);
		try_failed(y, &why);
	}
}

static void mark_in_hand(const struct shard *s, const struct queue_job *job)
{
	queue_store_in_hand(s->relay->store, s->index, job ? job->message->id : 0);
}

/* Does what the engine wants until it waits for the network. May free y. */
static void do_wants(struct delivery_state *y, struct sp_str *in)
{
	for (;;) {
		switch (smtp_client_next(y->client, in)) {
		case SMTP_CLIENT_READ:
			delivery_flush(y);
			set_deadline(y);
			return;
		case SMTP_CLIENT_HANDSHAKE:
			delivery_flush(y);
			set_deadline(y);
			start_tls(y);
			return;
		case SMTP_CLIENT_READY:
			delivery_flush(y);
			if (!on_ready(y))
				return;
			break;
		case SMTP_CLIENT_BODY:
			delivery_flush(y);
			y->wants_body = true;
			delivery_send_body(y);
			if (y->wants_body) {            /* the connection is full, or the file is being read */
				set_deadline(y);
				return;
			}
			break;
		case SMTP_CLIENT_RESULT:
			delivery_take_result(y);
			break;
		case SMTP_CLIENT_CLOSE:
			delivery_flush(y);
			on_close(y);
			return;
		}
	}
}

/* The last thing a caller does. A message that brings us down is found in hand at the next start. */
void delivery_drive(struct delivery_state *y, struct sp_str *in)
{
	const struct shard *s = y->shard;
	mark_in_hand(s, y->job);
	do_wants(y, in);
	mark_in_hand(s, NULL);
}

/* --- the connection --- */

static void on_open(void *owner)
{
	struct delivery_state *y = owner;
	char text[SP_ADDR_TEXT], peer[512];
	y->opened_ms = core_clock_mono_ms();
	snprintf(peer, sizeof(peer), "%s[%s]", *y->host->name ? y->host->name : "", sp_addr_ip_str(&y->addr, text));
	struct smtp_client_settings settings = {
		.helo = y->shard->config->hostname, .peer = peer,
		.tls = y->clear ? SMTP_CLIENT_TLS_NEVER :
		       y->host->demand.require == STS_REQUIRE_PKIX ? SMTP_CLIENT_TLS_MUST : SMTP_CLIENT_TLS_MAY,
	};
	y->client = smtp_client_new(&settings);
	struct sp_str none = { 0 };
	delivery_drive(y, &none);
}

static void on_data(void *owner, struct sp_str data)
{
	struct delivery_state *y = owner;
	if (sp_link_used(&y->pub.pool)) {       /* idle: 421, most likely; the engine will tell */
		leave_pool(y);
		core_timer_stop(y->timer);
	}
	delivery_drive(y, &data);
}

static void on_drained(void *owner)
{
	struct delivery_state *y = owner;
	struct sp_str none = { 0 };
	if (y->wants_body && !y->reading)
		delivery_drive(y, &none);
}

static void on_end(void *owner, const struct sp_fail *fail)
{
	struct delivery_state *y = owner;
	struct sp_fail why = *fail;
	if (!sp_failed(&why))
		sp_fail_set(&why, SP_FAIL_CONNECT, "%s closed the connection", y->host->label);
	if (y->client == NULL) {
		delivery_conclude(y, "failed", &why);
		try_failed(y, &why);
		return;
	}
	leave_pool(y);
	core_timer_stop(y->timer);
	struct sp_str none = { 0 };
	smtp_client_lost(y->client, &why);
	delivery_drive(y, &none);
}

static const struct core_conn_ops conn_ops = {
	.on_open = on_open, .on_data = on_data, .on_tls = on_tls, .on_drained = on_drained, .on_end = on_end,
};

static void on_timer(void *owner)
{
	struct delivery_state *y = owner;
	if (sp_link_used(&y->pub.pool)) {       /* idle for long enough */
		leave_pool(y);
		smtp_client_quit(y->client);
		struct sp_str none = { 0 };
		delivery_drive(y, &none);
	} else if (y->again) {
		y->again = false;
		connect_to(y);
	} else {
		try_next(y);
	}
}

/* --- from the destination --- */

void delivery_start(struct destination *d, struct plan *p)
{
	struct delivery_state *y = sp_alloc(sizeof(*y));
	y->pub.state = y;
	y->pub.dest = d;
	y->shard = d->shard;
	y->plan = plan_ref(p);
	y->timer = core_timer_new(d->shard->loop, on_timer, y);
	sp_list_push_back(&d->sessions, &y->pub.link);
	d->session_count++;
	plan_tries(y);
	core_timer_start(y->timer, 0);
}

void delivery_resume(struct delivery *pub)
{
	struct delivery_state *y = pub->state;
	struct sp_str none = { 0 };
	leave_pool(y);
	core_timer_stop(y->timer);
	delivery_drive(y, &none);
}

bool delivery_is_proven(const struct delivery *pub)
{
	return pub->state->proven;
}

void delivery_stop(struct delivery *pub)
{
	struct delivery_state *y = pub->state;
	y->stopping = true;
	if (sp_link_used(&pub->pool))
		delivery_resume(pub);
}

void delivery_cut(struct delivery *pub)
{
	struct delivery_state *y = pub->state;
	struct sp_fail why;
	sp_fail_set(&why, SP_FAIL_SHUTDOWN, "stopping");
	give_up_job(y);
	drop_connection(y, false);
	end(y, &why);
}

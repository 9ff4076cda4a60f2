/* relay/delivery.c - see delivery.h. */
#include "relay/delivery.h"

#include "core/clock.h"
#include "core/file.h"
#include "relay/outcome.h"
#include "relay/settle.h"
#include "rpt/event.h"
#include "smtp/client.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS 30000                /* TCP connect, per address */
#define SESSION_MS (20 * 60 * 1000)     /* a whole session, and a second for each 500 octets (DESIGN.md, limits) */
#define MS_AN_OCTET 2
#define LAST_REPLY_MS (11 * 60 * 1000)  /* RFC 5321 4.5.3.2.6: 10 minutes */
#define IDLE_MS 5000                    /* in the pool */
#define IDLE_MAX 200                    /* sessions of a shard in pools */
#define UNSENT_MAX (256 * 1024)         /* octets handed to the connection and not yet sent, before more content is */
#define PIECE_MAX 65536                 /* of content at a time */
#define LINGER_MS 5000
#define TRIES_MAX (PLAN_HOSTS_MAX * 2 * PLAN_ADDRS_MAX + PLAN_HOSTS_MAX)

/* One address of one host; `addr` < 0: the host has none that may be used, or is barred: only to be told. */
struct try { unsigned char host; signed char addr; };

struct delivery_state {
	struct delivery pub;
	struct shard *shard;
	struct plan *plan;                      /* one ref */
	struct try tries[TRIES_MAX];
	size_t try_count, next_try;
	const struct plan_host *host;           /* the present one */
	struct sp_addr addr;
	struct core_conn *conn;
	struct smtp_client *client;
	bool clear;                             /* this try stays in clear: the handshake failed, and that is allowed */
	bool again;                             /* the timer connects to the same address, not to the next */
	struct sts_shown shown;
	bool proven;                            /* this connection may carry mail */
	struct sp_fail worst;                   /* of all tries */
	struct core_timer *timer;               /* the next try on a later turn; idle in the pool */
	bool stopping;
	bool idled;                             /* was in the pool: it is good, though it may not have carried anything */
	/* the message in hand: kept from try to try, until somebody judged it or no host is left */
	struct queue_job *job;
	const char **recipients;
	struct smtp_client_mail mail;           /* what the engine borrows */
	size_t body_at;                         /* octets of the content given to the engine */
	bool wants_body;
	struct core_file_reader *reader;
	bool reading;
	/* times, monotonic ms */
	uint64_t began_ms, opened_ms, proven_ms, job_ms;
	bool first_job;
	unsigned messages;
	uint64_t deadline_ms;                   /* of the whole session */
};

static const struct core_conn_ops conn_ops;
static void drive(struct delivery_state *y, struct sp_str *in);
static void try_next(struct delivery_state *y);
static void settle_all(struct delivery_state *y, const struct sp_fail *why);

/* --- words for the log --- */

static const char *policy_word(const struct delivery_state *y, char text[64])
{
	if (y->host && y->host->demand.has_policy)
		snprintf(text, 64, "sts/%s", sts_mode_str(y->host->demand.mode));
	else
		snprintf(text, 64, "none");
	return text;
}

static const char *cert_word(const struct delivery_state *y)
{
	if (!y->shown.encrypted)
		return NULL;
	if (y->host->demand.require == STS_REQUIRE_NONE)
		return "unverified";
	return sp_failed(&y->shown.certificate) ? sp_result_str(y->shown.certificate.result) : "verified";
}

/* What this session adds to the TLS report of the domain (RFC 8460 4.3). */
static void add_report(const struct delivery_state *y, const struct sp_fail *fault, struct sp_buf *out)
{
	const struct sts_finding *f = &y->plan->finding;
	bool sts = (y->host && y->host->demand.has_policy) || sp_failed(&f->fetch_fail);
	struct rpt_event e = { .policy_type = sts ? RPT_POLICY_STS : RPT_POLICY_NONE_FOUND, .policy_domain = y->plan->policy_domain,
	                       .result = fault->result, .reason = fault->reason };
	if (y->plan->policy_domain == NULL)
		return;
	rpt_event_print(&e, out);
	if (sp_failed(&f->fetch_fail)) {
		e.policy_type = RPT_POLICY_STS;
		e.result = f->fetch_fail.result;
		e.reason = f->fetch_fail.reason;
		sp_buf_addc(out, ' ');
		rpt_event_print(&e, out);
	}
}

/* One line for a session that reached a conclusion. `result`: proven, tolerated (a fault that the policy lets pass), refused, failed. */
static void log_session(const struct delivery_state *y, const char *result, const struct sp_fail *fault)
{
	char text[SP_ADDR_TEXT], word[64];
	struct sp_buf report, cert;
	const struct core_tls_peer *peer = y->conn ? core_conn_tls_peer(y->conn) : NULL;
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, y->pub.dest->name, "session");
	if (!l.on) {
		sp_log_end(&l);
		return;
	}
	sp_buf_init(&report, 512);
	sp_buf_init(&cert, 1024);
	sp_log_cstr(&l, "mx", y->host->label);
	sp_log_cstr(&l, "ip", y->addr.sa.sa_family ? sp_addr_ip_str(&y->addr, text) : NULL);
	sp_log_cstr(&l, "policy", policy_word(y, word));
	sp_log_cstr(&l, "source", y->host->demand.has_policy ? sts_source_str(y->plan->finding.source) : NULL);
	sp_log_cstr(&l, "policy_id", y->host->demand.has_policy ? y->plan->finding.id : NULL);
	if (y->shown.encrypted && peer) {
		sp_log_cstr(&l, "tls", peer->version);
		sp_log_cstr(&l, "cipher", peer->cipher);
		sp_log_bool(&l, "resumed", peer->resumed);
		core_tls_describe(peer, &cert);
	}
	sp_log_cstr(&l, "mx_dnssec", y->plan->mx_authenticated ? "secure" : "insecure");
	sp_log_cstr(&l, "cert", cert_word(y));
	sp_log_str(&l, "chain", sp_buf_str(&cert));
	sp_log_cstr(&l, "result", result);
	if (sp_failed(fault)) {
		sp_log_cstr(&l, "fault", fault->result ? sp_result_str(fault->result) : sp_fail_kind_str(fault->kind));
		sp_log_cstr(&l, "reason", fault->reason);
		sp_log_cstr(&l, "why", fault->text);
	}
	if (fault->result || !sp_failed(fault))
		add_report(y, fault, &report);
	sp_log_str(&l, "report", sp_buf_str(&report));
	sp_log_end(&l);
	sp_buf_clear(&report);
	sp_buf_clear(&cert);
}

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
		log_session(y, "refused", &h->demand.barred);
		try_failed(y, &h->demand.barred);
	} else {
		log_session(y, "failed", &h->fail);
		try_failed(y, &h->fail);
	}
}

static void connect_to(struct delivery_state *y)
{
	struct sp_fail why;
	y->proven = false;
	y->shown = (struct sts_shown){ 0 };
	y->began_ms = core_clock_mono_ms();
	y->deadline_ms = y->began_ms + SESSION_MS;
	if (core_conn_connect(y->shard->loop, &y->addr, NULL, CONNECT_MS, &conn_ops, y, &y->conn, &why) != 0) {
		log_session(y, "failed", &why);
		try_failed(y, &why);
	}
}

/* No host is left. The message in hand had its attempt: put off on its own, so that one that breaks sessions does not stand before the others for ever. */
static void out_of_tries(struct delivery_state *y)
{
	struct sp_fail why = outcome_of_session(&y->worst);
	if (!sp_failed(&why))
		sp_fail_set(&why, SP_FAIL_DNS, "%s has no host that mail could go to", y->pub.dest->name);
	if (y->job)
		settle_all(y, &why);
	end(y, &why);
}

static void try_next(struct delivery_state *y)
{
	y->clear = false;
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
	log_session(y, "tolerated", why);
	drop_connection(y, false);
	y->clear = y->again = true;
	core_timer_start(y->timer, 0);
}

/* --- proof --- */

static void refuse(struct delivery_state *y, const struct sp_fail *why)
{
	log_session(y, "refused", why);
	try_failed(y, why);
}

/* After EHLO without TLS, or after the handshake: may this connection carry mail? True: go on. */
static bool prove(struct delivery_state *y)
{
	struct sp_fail why = SP_FAIL_OK;
	switch (sts_verdict_session(&y->host->demand, &y->shown, &why)) {
	case STS_DELIVER:
		break;
	case STS_RETRY_CLEAR:
		retry_clear(y, &why);
		return false;
	case STS_REFUSE:
		refuse(y, &why);
		return false;
	}
	y->proven = true;
	y->proven_ms = core_clock_mono_ms();
	if (!y->clear)                          /* the retry in the clear belongs to the session whose handshake failed, and was told */
		log_session(y, sp_failed(&why) ? "tolerated" : "proven", &why);
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
	if (!known || (int64_t)v < y->shard->config->tls.verified_min)
		sp_fail_tls(fail, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "tls-version", "%s is older than tls.verified_min", peer->version);
}

static void on_tls(void *owner, const struct sp_fail *fail)
{
	struct delivery_state *y = owner;
	if (sp_failed(fail)) {
		y->shown.starttls = *fail;
		if (prove(y)) {                 /* not reached by any demand; the connection is of no use in any case */
			refuse(y, fail);
		}
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
	drive(y, &none);
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
		refuse(y, &why);
}

/* --- one message --- */

static void set_deadline(struct delivery_state *y)
{
	uint64_t now = core_clock_mono_ms(), wait = (uint64_t)smtp_client_wait_s(y->client) * 1000;
	uint64_t left = y->deadline_ms > now ? y->deadline_ms - now : 1;
	core_conn_deadline(y->conn, sp_min(wait, left));
}

static void flush(struct delivery_state *y)
{
	struct sp_buf *out = smtp_client_output(y->client);
	if (out->len > 0)
		core_conn_send(y->conn, out);
}

static void begin_job(struct delivery_state *y)
{
	struct queue_job *j = y->job;
	queue_store_in_hand(y->shard->relay->store, y->shard->index, j->message->id);
	y->job_ms = core_clock_mono_ms();
	y->first_job = y->messages == 0;
	y->body_at = 0;
	y->deadline_ms = sp_max(y->deadline_ms, y->job_ms + SESSION_MS) + sp_body_len(j->message->body) * MS_AN_OCTET;
	y->recipients = sp_realloc(y->recipients, j->count * sizeof(*y->recipients));
	for (size_t i = 0; i < j->count; i++)
		y->recipients[i] = j->recipients[i].address;
	y->mail = (struct smtp_client_mail){ .sender = j->message->sender, .recipients = y->recipients, .recipient_count = j->count,
	                                     .size = sp_body_len(j->message->body), .eight_bit = j->message->eight_bit, .ends_in_crlf = true,
	                                     .domain = y->pub.dest->name };
	smtp_client_send(y->client, &y->mail);
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
	bool more = !y->stopping && smtp_client_reusable(y->client) && core_clock_mono_ms() - y->began_ms < SESSION_MS &&
	            y->messages < (unsigned)y->shard->config->delivery.messages_per_session;
	if (y->job == NULL && more)
		y->job = destination_next(y->pub.dest);
	if (y->job) {
		begin_job(y);
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

static void release_body(void *arg)
{
	sp_body_unref(arg);
}

static void give_piece(struct delivery_state *y, struct sp_str piece)
{
	struct sp_body *body = y->job->message->body;
	y->body_at += piece.len;
	if (sp_body_path(body) == NULL && smtp_client_body_raw(y->client)) {
		flush(y);
		core_conn_send_lent(y->conn, piece, release_body, sp_body_ref(body));
		smtp_client_body_lent(y->client, piece);
	} else {
		smtp_client_body(y->client, piece);
		flush(y);
	}
	if (y->body_at == sp_body_len(body)) {
		smtp_client_body_end(y->client);
		y->wants_body = false;
		/* Whatever it took so far: giving up on the last reply sooner would deliver the message twice. */
		y->deadline_ms = sp_max(y->deadline_ms, core_clock_mono_ms() + LAST_REPLY_MS);
	}
}

static void on_piece(void *owner, struct sp_str data, const struct sp_fail *why)
{
	struct delivery_state *y = owner;
	struct sp_str none = { 0 };
	y->reading = false;
	if (sp_failed(why) || data.len == 0) {
		struct sp_fail cut;
		sp_fail_set(&cut, SP_FAIL_STORE, "the content of %s cannot be read: %s", y->job->message->name,
		            sp_failed(why) ? why->text : "its file is shorter than its row says");
		y->wants_body = false;
		smtp_client_body_fail(y->client, &cut);
	} else {
		give_piece(y, data);
	}
	drive(y, &none);
}

/* As much of the content as the connection has room for. */
static void send_body(struct delivery_state *y)
{
	struct sp_body *body = y->job->message->body;
	if (sp_body_path(body)) {
		if (y->reading || core_conn_unsent(y->conn) > UNSENT_MAX)
			return;
		if (y->reader == NULL)
			y->reader = core_file_open(y->shard->loop, sp_body_path(body));
		y->reading = true;
		core_file_read(y->reader, PIECE_MAX, on_piece, y);
		return;
	}
	struct sp_str all = sp_body_bytes(body);
	while (y->wants_body && core_conn_unsent(y->conn) <= UNSENT_MAX)
		give_piece(y, sp_str_make(all.p + y->body_at, sp_min(PIECE_MAX, all.len - y->body_at)));
}

static void settle(struct delivery_state *y, const struct sp_fail *fails, const char *reply)
{
	char word[64];
	const struct core_tls_peer *peer = y->conn ? core_conn_tls_peer(y->conn) : NULL;
	struct queue_job *job = y->job;
	uint64_t now = core_clock_mono_ms();
	int64_t age_ms = core_clock_wall_ms() - job->message->arrived_ms;
	struct settle_facts facts = {
		.mx = y->host->label, .addr = &y->addr, .policy = policy_word(y, word),
		.tls = y->shown.encrypted && peer ? peer->version : NULL, .cipher = y->shown.encrypted && peer ? peer->cipher : NULL,
		.cert = cert_word(y), .reply = reply,
		.connect_ms = y->first_job ? (int64_t)(y->opened_ms - y->began_ms) : 0,
		.tls_ms = y->first_job ? (int64_t)(y->proven_ms - y->opened_ms) : 0,
		.transfer_ms = (int64_t)(now - y->job_ms),
	};
	facts.queue_ms = age_ms - facts.transfer_ms - facts.connect_ms - facts.tls_ms;
	if (facts.queue_ms < 0)
		facts.queue_ms = 0;
	y->job = NULL;
	settle_job(y->pub.dest, job, fails, &facts);
}

static void settle_all(struct delivery_state *y, const struct sp_fail *why)
{
	struct sp_fail *fails = sp_alloc_array(y->job->count, sizeof(*fails));
	for (size_t i = 0; i < y->job->count; i++)
		fails[i] = *why;
	settle(y, fails, NULL);
	free(fails);
}

static bool all_failed_elsewhere(const struct queue_job *job, const struct smtp_client_results *r)
{
	for (size_t i = 0; i < job->count; i++)
		if (!sp_failed(&r->recipients[i]) || !outcome_elsewhere(&r->recipients[i], r->site, r->uncertain))
			return false;
	return true;
}

static void on_result(struct delivery_state *y)
{
	const struct smtp_client_results *r = smtp_client_results(y->client);
	core_file_close(y->reader);
	y->reader = NULL;
	y->reading = y->wants_body = false;
	if (all_failed_elsewhere(y->job, r)) {
		return;                         /* stays in hand; the session's own failure tells why */
	}
	if (!r->site)
		destination_works(y->pub.dest);
	y->messages++;
	settle(y, r->recipients, r->reply);
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
		log_session(y, "failed", &why);
		begin_anew(y);
		return;
	}
	if (!y->proven && !y->clear) {
		struct sp_fail told = why;
		y->shown.starttls = why;
		if (why.result != SP_RESULT_NONE) {
			enum sts_decision decision = sts_verdict_session(&y->host->demand, &y->shown, &told);
			if (decision == STS_RETRY_CLEAR) {
				retry_clear(y, &told);
				return;
			}
			why = sp_failed(&told) ? told : why;
		}
	}
	if (why.result != SP_RESULT_NONE)
		refuse(y, &why);
	else {
		log_session(y, "failed", &why);
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
			flush(y);
			set_deadline(y);
			return;
		case SMTP_CLIENT_HANDSHAKE:
			flush(y);
			set_deadline(y);
			start_tls(y);
			return;
		case SMTP_CLIENT_READY:
			flush(y);
			if (!on_ready(y))
				return;
			break;
		case SMTP_CLIENT_BODY:
			flush(y);
			y->wants_body = true;
			send_body(y);
			if (y->wants_body) {            /* the connection is full, or the file is being read */
				set_deadline(y);
				return;
			}
			break;
		case SMTP_CLIENT_RESULT:
			on_result(y);
			break;
		case SMTP_CLIENT_CLOSE:
			flush(y);
			on_close(y);
			return;
		}
	}
}

/* The last thing a caller does. A message that brings us down is found in hand at the next start. */
static void drive(struct delivery_state *y, struct sp_str *in)
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
	drive(y, &none);
}

static void on_data(void *owner, struct sp_str data)
{
	struct delivery_state *y = owner;
	if (sp_link_used(&y->pub.pool)) {       /* idle: 421, most likely; the engine will tell */
		leave_pool(y);
		core_timer_stop(y->timer);
	}
	drive(y, &data);
}

static void on_drained(void *owner)
{
	struct delivery_state *y = owner;
	struct sp_str none = { 0 };
	if (y->wants_body && !y->reading)
		drive(y, &none);
}

static void on_end(void *owner, const struct sp_fail *fail)
{
	struct delivery_state *y = owner;
	struct sp_fail why = *fail;
	if (!sp_failed(&why))
		sp_fail_set(&why, SP_FAIL_CONNECT, "%s closed the connection", y->host->label);
	if (y->client == NULL) {
		log_session(y, "failed", &why);
		try_failed(y, &why);
		return;
	}
	leave_pool(y);
	core_timer_stop(y->timer);
	struct sp_str none = { 0 };
	smtp_client_lost(y->client, &why);
	drive(y, &none);
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
		drive(y, &none);
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
	drive(y, &none);
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

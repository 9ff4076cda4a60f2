/* relay/delivery_prove.c - see delivery_impl.h: a connection is brought to TLS, what the peer shows is looked at, and sts/verdict.h says what it is worth. */
#include "relay/delivery_impl.h"

#include "core/clock.h"

#include <stdio.h>

static const struct sts_demand *demand(const struct delivery_state *y)
{
	return &y->host->demand;
}

/* --- what comes of the verdict --- */

static void refuse(struct delivery_state *y, const struct sp_fail *why, const struct sts_result *result)
{
	delivery_conclude(y, "refused", why, result);
	delivery_try_failed(y, why);
}

void delivery_refuse_host(struct delivery_state *y)
{
	struct sts_shown nothing = { 0 };
	struct sts_result result;
	if (sts_verdict_session(demand(y), &nothing, &result) != STS_REFUSE)
		sp_assert(false);
	refuse(y, &result.why, &result);
}

/* The same host once more, in the clear; there is no such thing where TLS comes before the first octet. */
static void retry_clear(struct delivery_state *y, const struct sts_result *result)
{
	if (y->implicit_tls) {
		refuse(y, &result->why, result);
		return;
	}
	delivery_conclude(y, "tolerated", &result->why, result);
	delivery_retry_clear(y);
}

/* After EHLO without TLS, or after the handshake: may this connection carry mail? True: go on. */
static bool prove(struct delivery_state *y)
{
	struct sts_result result;
	switch (sts_verdict_session(demand(y), &y->shown, &result)) {
	case STS_DELIVER:
		break;
	case STS_RETRY_CLEAR:
		retry_clear(y, &result);
		return false;
	case STS_REFUSE:
		refuse(y, &result.why, &result);
		return false;
	}
	y->proven = true;
	y->proven_ms = core_clock_mono_ms();
	struct delivery_told nothing = { .count = 0 };
	if (y->clear)                           /* the retry in the clear was told with the handshake that failed */
		delivery_evidence_conclude(y, "tolerated", &SP_FAIL_OK, &nothing);
	else
		delivery_conclude(y, sp_failed(&result.why) ? "tolerated" : "proven", &result.why, &result);
	return true;
}

/* --- TLS --- */

/* RFC 8461 4: the certificate, and TLS 1.2 or better, which in `testing` the handshake did not insist on. */
static void verify_pkix(struct delivery_state *y, const struct core_tls_peer *peer)
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

static void verify_dane(struct delivery_state *y, const struct core_tls_peer *peer)
{
	const struct plan_host *h = y->host;
	struct core_tls_dane dane = { .records = h->tlsa->records, .count = h->tlsa->count, .names = h->names, .name_count = h->name_count };
	y->shown.dane_verified = core_tls_verify_dane(y->shard->tls, peer, &dane, core_clock_wall_s(), NULL, &y->shown.dane);
}

static void no_handshake(struct delivery_state *y, const struct sp_fail *why)
{
	struct sts_result result;
	y->shown.starttls = *why;
	if (prove(y)) {                         /* not reached by any demand; the connection is of no use in any case */
		y->proven = false;
		if (sts_verdict_session(demand(y), &y->shown, &result) == STS_DELIVER)
			result.why = *why;
		refuse(y, why, &result);
	}
}

static void note_handshake(struct delivery_state *y, const struct sp_fail *fail, const struct core_tls_peer *peer)
{
	char text[600];
	if (sp_failed(fail))
		snprintf(text, sizeof(text), "TLS: %s", fail->text);
	else
		snprintf(text, sizeof(text), "%s, %s%s", peer->version, peer->cipher, peer->resumed ? ", resumed" : "");
	delivery_evidence_note(y, text);
}

void delivery_on_tls(struct delivery_state *y, const struct sp_fail *fail)
{
	note_handshake(y, fail, sp_failed(fail) ? NULL : core_conn_tls_peer(y->conn));
	if (sp_failed(fail)) {
		no_handshake(y, fail);
		return;
	}
	y->shown.encrypted = true;
	const struct core_tls_peer *peer = core_conn_tls_peer(y->conn);
	metrics_time_ms(y->shard->metrics, METRIC_HANDSHAKE, core_clock_mono_ms() - y->handshake_ms);
	metrics_add(y->shard->metrics, METRIC_RESUMED, 0, peer->resumed);
	if (sts_demand_looks_pkix(demand(y)))
		verify_pkix(y, peer);
	if (sts_demand_looks_dane(demand(y)))
		verify_dane(y, peer);
	if (!prove(y))
		return;
	if (y->implicit_tls)
		delivery_new_client(y, SMTP_CLIENT_TLS_IMPLICIT);
	else
		smtp_client_tls_done(y->client);
	struct sp_str none = { 0 };
	delivery_drive(y, &none);
}

/* RFC 7672 2.2.3 and 8.1: under DANE the server picks its certificate by the TLSA base domain. Else the MX host's name (RFC 8461 4.2). */
static const char *sni_of(const struct plan_host *h)
{
	if (h->demand.require == STS_REQUIRE_DANE)
		return h->tlsa->base;
	return *h->name ? h->name : NULL;
}

void delivery_start_tls(struct delivery_state *y)
{
	const struct config *c = y->shard->config;
	bool verified = demand(y)->require == STS_REQUIRE_PKIX || demand(y)->require == STS_REQUIRE_DANE;
	struct core_tls_ask ask = {
		.client = y->shard->tls, .sni = sni_of(y->host),
		.min_version = (enum core_tls_version)(verified ? c->tls.verified_min : c->tls.opportunistic_min),
	};
	struct sp_fail why;
	y->shown.starttls_offered = true;
	y->handshake_ms = core_clock_mono_ms();
	ask.resume = resume_take(&y->pub.dest->resume, demand(y), &y->addr);
	int refused = core_conn_start_tls(y->conn, &ask, &why);
	core_tls_session_unref(ask.resume);
	if (refused)
		no_handshake(y, &why);
}

enum smtp_client_tls delivery_tls_mode(const struct delivery_state *y)
{
	if (y->clear || demand(y)->require == STS_REQUIRE_CLEAR)
		return SMTP_CLIENT_TLS_NEVER;
	return sts_demand_needs_tls(demand(y)) ? SMTP_CLIENT_TLS_MUST : SMTP_CLIENT_TLS_MAY;
}

/* --- at READY --- */

/* In clear: nothing was asked of it until now. Where STARTTLS was offered, the engine went on because it was refused. */
static bool prove_clear(struct delivery_state *y)
{
	bool tried = !y->clear && demand(y)->require != STS_REQUIRE_CLEAR;
	y->shown.starttls_offered = smtp_client_ext(y->client)->starttls;
	if (y->shown.starttls_offered && tried)
		sp_fail_tls(&y->shown.starttls, SP_FAIL_REPLY, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-refused",
		            "%s offers STARTTLS and refuses it", y->host->label);
	return prove(y);
}

static void count_proof(const struct delivery_state *y)
{
	bool verified = y->shown.verified || y->shown.dane_verified;
	metrics_add(y->shard->metrics, METRIC_PROOF, verified ? METRICS_VERIFIED : y->shown.encrypted ? METRICS_ENCRYPTED : METRICS_CLEAR, 1);
}

/* RFC 8689 4.2.1: REQUIRETLS must be among what the EHLO under TLS offers. A host that refuses that is told goodbye, as it says. */
static bool suit(struct delivery_state *y)
{
	struct sp_fail why;
	y->shown.requiretls_offered = smtp_client_ext(y->client)->requiretls;
	if (sts_verdict_ready(demand(y), &y->shown, &why) == STS_REFUSE) {
		smtp_client_quit(y->client);
		delivery_flush(y);
		refuse(y, &why, NULL);
		return false;
	}
	y->suits = true;
	count_proof(y);
	pace_works(y->shard->relay->pace, &y->addr);
	return true;
}

bool delivery_may_carry(struct delivery_state *y)
{
	return (y->proven || prove_clear(y)) && (y->suits || suit(y));
}

bool delivery_ended_early(struct delivery_state *y, const struct sp_fail *why)
{
	struct sts_result result;
	if (y->proven || y->clear || why->result == SP_RESULT_NONE)
		return false;
	y->shown.starttls = *why;
	switch (sts_verdict_session(demand(y), &y->shown, &result)) {
	case STS_RETRY_CLEAR:
		retry_clear(y, &result);
		break;
	case STS_REFUSE:
	case STS_DELIVER:
		refuse(y, sp_failed(&result.why) ? &result.why : why, &result);
		break;
	}
	return true;
}

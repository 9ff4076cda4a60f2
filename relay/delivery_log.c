/* relay/delivery_log.c - see delivery_impl.h: what a session was, in words. */
#include "relay/delivery_impl.h"

#include "core/log.h"
#include "relay/plan_tell.h"

const char *delivery_policy_word(const struct delivery_state *y, char text[64])
{
	return plan_policy_word(y->host ? &y->host->demand : NULL, text);
}

const char *delivery_cert_word(const struct delivery_state *y)
{
	if (!y->shown.encrypted)
		return NULL;
	if (sts_demand_looks_dane(&y->host->demand))
		return y->shown.dane_verified ? "verified" : sp_result_str(y->shown.dane.result);
	if (!sts_demand_looks_pkix(&y->host->demand))
		return "unverified";
	return y->shown.verified ? "verified" : sp_result_str(y->shown.certificate.result);
}

void delivery_log_session(const struct delivery_state *y, const char *result, const struct sp_fail *fault, const struct delivery_told *told)
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
	sp_log_cstr(&l, "policy", delivery_policy_word(y, word));
	sp_log_cstr(&l, "source", y->host->demand.has_policy ? sts_source_str(y->plan->finding.source) : NULL);
	sp_log_cstr(&l, "policy_id", y->host->demand.has_policy ? y->plan->finding.id : NULL);
	if (y->shown.encrypted && peer) {
		sp_log_cstr(&l, "tls", peer->version);
		sp_log_cstr(&l, "cipher", peer->cipher);
		sp_log_bool(&l, "resumed", peer->resumed);
		core_tls_describe(peer, &cert);
	}
	sp_log_cstr(&l, "mx_dnssec", y->plan->mx_authenticated ? "secure" : "insecure");
	sp_log_cstr(&l, "tlsa", y->host->tlsa ? sts_tlsa_state_str(y->host->tlsa->state) : NULL);
	sp_log_cstr(&l, "cert", delivery_cert_word(y));
	sp_log_str(&l, "chain", sp_buf_str(&cert));
	sp_log_cstr(&l, "result", result);
	if (sp_failed(fault)) {
		sp_log_cstr(&l, "fault", fault->result ? sp_result_str(fault->result) : sp_fail_kind_str(fault->kind));
		sp_log_cstr(&l, "reason", fault->reason);
		sp_log_cstr(&l, "why", fault->text);
	}
	for (size_t i = 0; i < told->count; i++) {
		sp_buf_adds(&report, i ? " " : "");
		rpt_event_print(&told->events[i], &report);
	}
	sp_log_str(&l, "report", sp_buf_str(&report));
	sp_log_end(&l);
	sp_buf_clear(&report);
	sp_buf_clear(&cert);
}


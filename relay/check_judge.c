/* relay/check_judge.c - see check_impl.h: what was found, judged for the owner of the domain. A problem is what keeps mail back, breaks what the domain publishes, or would
 * be a failure in its TLS report; unknown is what could not be found out now; advice is the rest. */
#include "relay/check_impl.h"

#include "core/clock.h"
#include "core/date.h"

#include <stdarg.h>
#include <stdio.h>

struct judging {
	const struct check *c;
	json_t *told, *findings;
	bool problem, unknown;
};
enum severity { PROBLEM, UNKNOWN, ADVICE };
#define TEXT_MAX 1200

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* What it is, and behind a line end what mends it. */
static void find(struct judging *j, enum severity s, const char *code, const char *host, const char *fmt, ...) SP_PRINTF(5, 6);
static void find(struct judging *j, enum severity s, const char *code, const char *host, const char *fmt, ...)
{
	static const char *const names[] = { [PROBLEM] = "problem", [UNKNOWN] = "unknown", [ADVICE] = "advice" };
	char text[TEXT_MAX];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	struct sp_str mend = sp_str_of(text), what = sp_take_until(&mend, '\n');
	size_t i;
	json_t *f;
	json_array_foreach(j->findings, i, f)
		if (host && strcmp(text_of(f, "code"), code) == 0 && strcmp(text_of(f, "host"), host) == 0)
			return;                 /* of two addresses of a host, most likely */
	json_array_append_new(j->findings, json_pack("{s:s, s:s, s:s?, s:o, s:o}", "severity", names[s], "code", code, "host", host, "text", plan_tell_text(what),
	                                             "mend", plan_tell_text(mend)));
	j->problem |= s == PROBLEM;
	j->unknown |= s == UNKNOWN;
}

/* --- the records --- */

static void judge_sts_record(struct judging *j)
{
	const json_t *r = j->c->mta_sts;
	const char *found = text_of(r, "found"), *why = text_of(r, "why"), *domain = j->c->policy_domain;
	if (strcmp(found, "unknown") == 0)
		find(j, UNKNOWN, "sts-record-unreachable", NULL, "whether the domain has an MTA-STS policy is not known: the look-up of %s failed: %s\n"
		     "try again; where it stays so, the domain's name servers or our resolver (resolver.servers) are to be looked at", text_of(r, "name"), text_of(r, "answer"));
	else if (strcmp(found, "none") == 0)
		find(j, ADVICE, "no-sts", NULL, "the domain has no MTA-STS policy: whoever is on the way can make senders deliver in clear, or to another host\n"
		     "publish a policy (RFC 8461): begin with mode: testing at https://mta-sts.%s%s and the TXT record \"v=STSv1; id=1;\" at _mta-sts.%s", domain,
		     STS_POLICY_PATH, domain);
	else if (strcmp(found, "ok") != 0)
		find(j, PROBLEM, "sts-record-invalid", NULL, "the record at %s is no MTA-STS record, and the domain is as without a policy: %s\n"
		     "let exactly one TXT record there begin with \"v=STSv1;\" and go on with \"id=\" and 1 to 32 letters and digits; strictpost policy txt tries one",
		     text_of(r, "name"), why);
}

static void judge_tls_rpt(struct judging *j)
{
	const json_t *r = j->c->tls_rpt;
	const char *found = text_of(r, "found");
	size_t i;
	json_t *s;
	if (r == NULL)
		return;
	if (strcmp(found, "unknown") == 0)
		find(j, UNKNOWN, "tls-rpt-unreachable", NULL, "the look-up of %s failed: %s\ntry again", text_of(r, "name"), text_of(r, "answer"));
	else if (strcmp(found, "none") == 0)
		find(j, ADVICE, "no-tls-rpt", NULL, "%s is missing: you will not hear of it when senders fail\n"
		     "publish \"v=TLSRPTv1; rua=mailto:tls-reports@%s\" there (RFC 8460)", text_of(r, "name"), j->c->policy_domain);
	else if (strcmp(found, "ok") != 0)
		find(j, PROBLEM, "tls-rpt-invalid", NULL, "the record at %s cannot be used, and no report is sent: %s\n"
		     "let exactly one TXT record there be of the form \"v=TLSRPTv1; rua=mailto:tls-reports@%s\"", text_of(r, "name"), text_of(r, "why"), j->c->policy_domain);
	json_array_foreach(json_object_get(r, "skipped"), i, s)
		find(j, ADVICE, "tls-rpt-entry", NULL, "an entry of rua at %s is passed over: %s\nmend or remove it", text_of(r, "name"), json_string_value(s));
}

/* --- the policy --- */

/* What may pass by itself, or is our own network. */
static bool may_pass(const struct sp_fail *f, int http_status)
{
	static const char *const words[] = { "timeout", "unreachable" };
	size_t i;
	if (strcmp(f->reason, "dns") == 0)
		return strstr(f->text, core_dns_status_str(CORE_DNS_NXDOMAIN)) == NULL && strstr(f->text, core_dns_status_str(CORE_DNS_NODATA)) == NULL;
	return http_status >= 500 || sp_str_among(sp_str_of(f->reason), words, SP_COUNT(words), &i);
}

static void judge_fetch(struct judging *j)
{
	const struct sp_fail *f = &j->c->plan->finding.fetch_fail;
	const json_t *fetch = json_object_get(j->c->mta_sts, "fetch");
	const char *domain = j->c->policy_domain, *mend = "look at what answers there; strictpost policy lint tries a policy before it is published";
	size_t i;
	json_t *w;
	json_array_foreach(json_object_get(fetch, "warnings"), i, w)
		find(j, ADVICE, "sts-policy-warning", NULL, "the policy: %s\nstrictpost policy lint tells the same before it is published", json_string_value(w));
	if (!sp_failed(f))
		return;
	if (f->result == SP_RESULT_STS_WEBPKI_INVALID)
		mend = "have a certificate from a public authority that names the policy host, and send its intermediates too";
	else if (f->result == SP_RESULT_STS_POLICY_INVALID)
		mend = "mend the policy: strictpost policy lint says what is wrong with it";
	bool passes = may_pass(f, (int)json_integer_value(json_object_get(fetch, "status")));
	find(j, passes ? UNKNOWN : PROBLEM, sp_result_str(f->result), NULL, "there is a record, but the policy cannot be had from https://mta-sts.%s%s: %s\n%s", domain,
	     STS_POLICY_PATH, f->text, mend);
}

static bool matches_a_host(const struct plan *p, const char *pattern)
{
	for (size_t i = 0; i < p->host_count; i++)
		if (sts_mx_match(sp_str_of(pattern), sp_str_of(p->hosts[i].name)))
			return true;
	return false;
}

static void judge_policy(struct judging *j)
{
	const struct plan *p = j->c->plan;
	const struct sts_policy *policy = p->finding.policy;
	if (policy == NULL)
		return;
	enum sts_mode mode = sts_policy_mode(policy);
	uint32_t age = sts_policy_max_age_s(policy);
	if (mode == STS_MODE_TESTING)
		find(j, ADVICE, "sts-testing", NULL, "the policy is in mode testing: failures are reported, and mail goes all the same\n"
		     "switch to mode: enforce, with a new id, when the reports are clean");
	if (mode == STS_MODE_NONE) {
		find(j, ADVICE, "sts-none", NULL, "the policy is in mode none: senders act as if there were no policy\nset mode: testing, then enforce, with a new id each time");
		return;
	}
	if (age < CHECK_MAX_AGE_SHORT_S)
		find(j, ADVICE, "sts-max-age", NULL, "max_age is %u s, shorter than a week: whoever keeps senders from the policy for that long has undone it\n"
		     "set max_age to some weeks or more (RFC 8461 3.2)", age);
	for (size_t i = 0; i < sts_policy_mx_count(policy) && p->mx_count > 0 && p->mx_count <= PLAN_HOSTS_MAX; i++)
		if (!matches_a_host(p, sts_policy_mx(policy, i)))
			find(j, ADVICE, "sts-unused-mx", NULL, "the policy lists %s, and no MX host is called so\nremove it, unless it is to come; and change the id",
			     sts_policy_mx(policy, i));
}

/* --- the plan --- */

static void judge_resolver(struct judging *j)
{
	const struct relay *r = &j->c->world->relay;
	if (!dnssec_believed(r))
		find(j, ADVICE, "dnssec-not-judged", NULL, "DANE was not looked at: the resolver is %s\n%s", dnssec_state_str(dnssec_state(r)), dnssec_remedy(r));
}

/* There is nowhere to go. */
static void judge_no_way(struct judging *j)
{
	const struct sp_fail *f = &j->c->plan->fail;
	if (strcmp(f->esc, "5.1.10") == 0)
		find(j, PROBLEM, "null-mx", NULL, "%s\nthat is the domain's own word (RFC 7505); to have mail, publish MX records in its place", f->text);
	else if (f->permanent)
		find(j, PROBLEM, "no-mail", NULL, "%s\nis the name spelt rightly? Else publish MX records for it", f->text);
	else
		find(j, UNKNOWN, "dns", NULL, "%s\ntry again; where it stays so, the domain's name servers or our resolver (resolver.servers) are to be looked at", f->text);
}

static void judge_barred(struct judging *j, const struct plan_host *h, const struct sp_fail *f)
{
	const char *domain = j->c->policy_domain ? j->c->policy_domain : j->c->domain;
	if (strcmp(f->reason, "mx-mismatch") == 0)
		find(j, PROBLEM, "mx-mismatch", h->label, "%s\nadd \"mx: %s\" to the policy of %s and change the id of its record; or take the host out of the MX records", f->text,
		     h->label, domain);
	else if (f->result == SP_RESULT_DNSSEC_INVALID)
		find(j, strcmp(f->reason, "timeout") == 0 ? UNKNOWN : PROBLEM, "dnssec-invalid", h->label, "%s\nmend the zone of %s: its signatures may have ended, its DS records may be "
		     "those of an old key, or its servers answer TLSA wrongly", f->text, h->label);
	else
		find(j, h->unlooked ? UNKNOWN : PROBLEM, f->result ? sp_result_str(f->result) : "barred", h->label, "%s\npublish usable TLSA records for %s, or change what is demanded of it",
		     f->text, h->label);
}

static void judge_host(struct judging *j, const struct plan_host *h)
{
	const struct sts_demand *d = &h->demand;
	if (sp_failed(&d->barred))
		judge_barred(j, h, &d->barred);
	else if (sp_failed(&d->counted))
		judge_barred(j, h, &d->counted);
	if (h->tlsa && h->tlsa->state == STS_TLSA_UNUSABLE)
		find(j, PROBLEM, "tlsa-invalid", h->label, "%s\npublish records of usage 3 (\"3 1 1\" and the digest of the host's key) or 2; others are not for mail (RFC 7672 3.1)",
		     h->tlsa->fail.text);
	if (h->tlsa && h->tlsa->state == STS_TLSA_USABLE && j->c->plan->target.kind == ROUTE_DOMAIN && !j->c->plan->mx_authenticated)
		find(j, ADVICE, "mx-insecure", h->label, "%s has TLSA records, but the domain's MX records are not signed: another host can be put in its place\nsign the zone of %s (DNSSEC)",
		     h->label, j->c->domain);
	if (h->addr_count == 0 && sp_failed(&h->fail))
		find(j, h->fail.permanent || h->addr_found > 0 ? PROBLEM : UNKNOWN, "no-address", h->label, "%s\ngive the host an address that everybody can reach, or take it out of the MX "
		     "records", h->fail.text);
	if (h->alias)
		find(j, ADVICE, "mx-alias", h->label, "%s is an alias of %s; an MX record must name a host that has its own addresses (RFC 5321 5.1)\nname %s in the MX record, or give %s "
		     "addresses", h->label, h->alias, h->alias, h->label);
}

/* --- the sessions --- */

/* A certificate of the chain that ends soon. */
static void judge_expiry(struct judging *j, const struct look *k, const json_t *seen)
{
	size_t i;
	json_t *one;
	int64_t ends, now = core_clock_wall_s();
	json_array_foreach(json_object_get(seen, "chain"), i, one) {
		struct sp_str after = sp_str_of(text_of(one, "not_after"));
		if (sp_date_parse_rfc3339(after, &ends) && ends > now && ends - now < CHECK_EXPIRES_SOON_S)
			find(j, ADVICE, "certificate-ends-soon", k->plan->hosts[0].label, "%s of %s ends in %lld days, at %s\nrenew it before", i == 0 ? "the certificate" : "a certificate in the chain",
			     k->plan->hosts[0].label, (long long)((ends - now) / 86400), after.p);
	}
}

/* "sts/certificate-expired/X509_V_ERR_...": its three parts. */
static void split(const char *entry, struct sp_str *type, struct sp_str *result, struct sp_str *reason)
{
	*reason = sp_str_of(entry);
	*type = sp_take_until(reason, '/');
	*result = sp_take_until(reason, '/');
}

/* By what the host showed, where it was seen. */
static void judge_fault(struct judging *j, const struct look *k, enum severity s, const char *result, const char *reason, const char *why)
{
	const char *host = k->plan->hosts[0].label;
	struct sp_buf mend;
	sp_buf_init(&mend, TEXT_MAX);
	check_mend(j->c, host, result, reason, json_array_get(k->seen, 0), &mend);
	find(j, s, result, host, "%s\n%s", why, sp_buf_cstr(&mend));
	sp_buf_clear(&mend);
}

/* What the TLS report would have. What is wrong with the policy or the host's name was said above; that a domain that demands nothing gets no TLS is worth a word. */
static void judge_report(struct judging *j, const struct look *k, const json_t *seen)
{
	size_t i;
	json_t *entry;
	json_array_foreach(json_object_get(seen, "report"), i, entry) {
		struct sp_str type, result, reason;
		char word[64], cause[64];
		split(json_string_value(entry), &type, &result, &reason);
		if (result.len == 0 || sp_str_starts(result, SP_STR("sts-")) || sp_str_eq(reason, SP_STR("mx-mismatch")) ||
		    sp_str_eq(result, SP_STR("tlsa-invalid")) || sp_str_eq(result, SP_STR("dnssec-invalid")) || sp_str_eq(result, SP_STR("dane-required")))
			continue;
		snprintf(word, sizeof(word), "%.*s", SP_STR_ARG(result));
		snprintf(cause, sizeof(cause), "%.*s", SP_STR_ARG(reason));
		bool asked = !sp_str_eq(type, SP_STR("no-policy-found")) && strcmp(text_of(seen, "policy"), "sts/none") != 0;
		const char *why = text_of(seen, "why");
		judge_fault(j, k, asked ? PROBLEM : ADVICE, word, cause, *why ? why : word);
	}
}

static bool another_carries(const struct check *c, const struct look *k)
{
	for (size_t i = 0; i < c->look_count; i++)
		if (c->looks[i]->host == k->host && c->looks[i]->over && !sp_failed(&c->looks[i]->fail))
			return true;
	return false;
}

/* A session that came to nothing. */
static void judge_failed(struct judging *j, const struct look *k)
{
	const struct sp_fail *f = &k->fail;
	const struct plan_host *h = &k->plan->hosts[0];
	if (k->cut)
		find(j, UNKNOWN, "not-in-time", h->label, "the session with %s was not over in time\ntry again, or give it longer with --timeout", h->label);
	else if (!sp_failed(f) || h->addr_count == 0 || sp_failed(&h->demand.barred))
		return;
	else if (f->result != SP_RESULT_NONE)
		judge_fault(j, k, PROBLEM, sp_result_str(f->result), f->reason, f->text);
	else if (f->kind == SP_FAIL_REPLY && f->code >= 500)
		find(j, PROBLEM, "refused", h->label, "%s\nit refuses us before any mail; ask its postmaster why, from another address it may not", f->text);
	else if (another_carries(j->c, k))
		find(j, ADVICE, "address-unreachable", h->label, "%s; another address of it answers\nmend or remove the address, unless it is only out of our reach", f->text);
	else
		find(j, UNKNOWN, "unreachable", h->label, "%s\ntry again; where it stays so, look whether port %u of it can be reached from here (firewalls, and providers that close port 25)",
		     f->text, j->c->plan->target.port);
}

static void judge_looks(struct judging *j)
{
	for (size_t i = 0; i < j->c->look_count; i++) {
		const struct look *k = j->c->looks[i];
		size_t n;
		json_t *seen;
		judge_failed(j, k);
		json_array_foreach(k->seen, n, seen) {
			judge_report(j, k, seen);
			judge_expiry(j, k, seen);
		}
	}
}

/* --- what would become of a message --- */

static void add_report(json_t *to, const struct look *k)
{
	size_t i, n;
	json_t *seen, *entry;
	json_array_foreach(k->seen, i, seen)
		json_array_foreach(json_object_get(seen, "report"), n, entry)
			json_array_append(to, entry);
}

static json_t *tell_prediction(const char *outcome, const struct look *k, const struct sp_fail *why, json_t *report)
{
	char text[SP_ADDR_TEXT], word[64];
	const struct plan_host *h = k ? &k->plan->hosts[0] : NULL;
	return json_pack("{s:s, s:s?, s:s?, s:s?, s:o, s:o}", "outcome", outcome, "host", h ? h->label : NULL,
	                 "address", h && h->addr_count > 0 ? sp_addr_ip_str(&h->addrs[0], text) : NULL,
	                 "policy", h ? plan_policy_word(&h->demand, word) : NULL, "failure", plan_tell_fail(why), "report", report);
}

/* relay/delivery_connect.c: the first that may carry mail gets it; where none does, the worst failure is told, and relay/outcome.h says what it means. */
static json_t *predict_by_looks(const struct check *c)
{
	const struct look *told = NULL;
	struct sp_fail worst = SP_FAIL_OK;
	bool cut = false;
	json_t *report = json_array();
	for (size_t i = 0; i < c->look_count; i++) {
		const struct look *k = c->looks[i];
		add_report(report, k);
		if (!k->cut && !sp_failed(&k->fail))
			return tell_prediction("deliver", k, &SP_FAIL_OK, report);
		cut |= k->cut;
		if (!k->cut && outcome_worse(&k->fail, &worst)) {
			worst = k->fail;
			told = k;
		}
	}
	struct sp_fail why = outcome_of_session(&worst);
	return tell_prediction(cut ? "unknown" : why.permanent ? "bounce" : "defer", told, &why, report);
}

static json_t *predict(const struct check *c)
{
	struct sp_fail why;
	if (c->plan == NULL)
		return tell_prediction("unknown", NULL, &SP_FAIL_OK, json_array());
	if (c->look_count > 0)
		return predict_by_looks(c);
	enum outcome outcome = plan_outcome(c->plan, &why);
	return tell_prediction(outcome == OUTCOME_DELIVERED ? "attempt" : outcome == OUTCOME_DEFER ? "defer" : "bounce", NULL, &why, json_array());
}

/* --- the whole --- */

static void judge_plan(struct judging *j)
{
	const struct plan *p = j->c->plan;
	judge_fetch(j);
	judge_policy(j);
	if (sp_failed(&p->finding.defer) && !sp_failed(&p->fail))
		find(j, UNKNOWN, "first-contact", NULL, "%s\ntry again", p->finding.defer.text);
	if (sp_failed(&p->fail))
		judge_no_way(j);
	else
		judge_resolver(j);
	for (size_t i = 0; i < p->host_count; i++)
		judge_host(j, &p->hosts[i]);
	judge_looks(j);
}

enum check_status check_judge(const struct check *c, json_t *told)
{
	struct judging j = { .c = c, .told = told, .findings = json_array() };
	if (c->plan)
		judge_plan(&j);
	else
		find(&j, UNKNOWN, "not-in-time", NULL, "what the domain demands was not known in time\ntry again, or give it longer with --timeout");
	if (c->mta_sts && !(c->plan && c->plan->fail.permanent))
		judge_sts_record(&j);
	if (!(c->plan && c->plan->fail.permanent))
		judge_tls_rpt(&j);
	enum check_status status = j.problem ? CHECK_PROBLEMS : j.unknown ? CHECK_UNDETERMINED : CHECK_SOUND;
	json_object_set_new(told, "prediction", predict(c));
	json_object_set_new(told, "findings", j.findings);
	json_object_set_new(told, "status", json_string(check_status_str(status)));
	return status;
}

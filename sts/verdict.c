/* sts/verdict.c - see verdict.h. */
#include "sts/verdict.h"

#include "core/buf.h"

#include <stdio.h>
#include <time.h>

const char *sts_requirement_str(enum sts_requirement r)
{
	static const char *const names[] = {
#define X(name, text) [STS_REQUIRE_##name] = text,
		STS_REQUIREMENTS(X)
#undef X
	};
	return names[r];
}

const char *sts_origin_str(enum sts_origin o)
{
	static const char *const names[] = {
#define X(name, text) [STS_ORIGIN_##name] = text,
		STS_ORIGINS(X)
#undef X
	};
	return names[o];
}

/* ---- before the session: may this host be used, and what must it prove? ---- */

static void describe_policy(const struct sts_finding *f, char *out, size_t size)
{
	time_t at = (time_t)f->fetched_s;
	struct tm tm = { 0 };
	char when[32] = "";
	if (gmtime_r(&at, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	snprintf(out, size, "mode %s, id %s, %s, fetched %s", sts_mode_str(sts_policy_mode(f->policy)), f->id[0] ? f->id : "unknown",
	         sts_source_str(f->source), when);
}

#define NAMED_MAX 3     /* patterns that a text names */

static void describe_patterns(const struct sts_policy *p, struct sp_buf *out)
{
	size_t count = sts_policy_mx_count(p), named = sp_min(count, NAMED_MAX);
	for (size_t i = 0; i < named; i++)
		sp_buf_printf(out, "%s%.60s", i ? ", " : "", sts_policy_mx(p, i));
	if (count > named)
		sp_buf_printf(out, " and %zu more", count - named);
}

/* RFC 8461 4.1: the host is not covered by any pattern. DESIGN.md: validation-failure with this reason word. */
static void tell_mismatch(const struct sts_finding *f, const struct sts_demand *d, struct sp_fail *why)
{
	struct sp_buf allowed;
	sp_buf_init(&allowed, 512);
	describe_patterns(f->policy, &allowed);
	sp_fail_tls(why, SP_FAIL_POLICY, SP_RESULT_VALIDATION_FAILURE, "mx-mismatch",
	            "MX host %.120s is not listed in the domain's MTA-STS policy (%s), which lists %s", d->host, d->policy,
	            sp_buf_cstr(&allowed));
	snprintf(why->esc, sizeof(why->esc), "4.7.0");
	sp_buf_clear(&allowed);
}

static enum sts_requirement requirement_of(enum sts_mode mode)
{
	switch (mode) {
	case STS_MODE_ENFORCE:
		return STS_REQUIRE_PKIX;                        /* RFC 8461 5: MUST NOT deliver to hosts that fail */
	case STS_MODE_TESTING:
		return STS_REQUIRE_TRY_PKIX;                    /* RFC 8461 5: delivered, and the failure reported */
	case STS_MODE_NONE:
		break;                                          /* RFC 8461 5: as though it has no active policy */
	}
	return STS_REQUIRE_NONE;
}

/* The later one tells; the policy's own is kept to be counted. */
static void bar(struct sts_demand *d, const struct sp_fail *why, enum sts_origin by)
{
	if (sp_failed(&d->barred) && d->origin == STS_ORIGIN_POLICY)
		d->counted = d->barred;
	d->barred = *why;
	d->origin = by;
}

/* Whoever decides now does not mind what barred the host. */
static void demand(struct sts_demand *d, enum sts_requirement require, enum sts_origin by)
{
	if (sp_failed(&d->barred))
		bar(d, &SP_FAIL_OK, by);
	d->require = require;
	d->origin = by;
}

static void apply_policy(const struct sts_question *q, struct sts_demand *d)
{
	const struct sts_finding *f = q->finding;
	if (f->policy == NULL)
		return;
	d->has_policy = true;
	d->mode = sts_policy_mode(f->policy);
	describe_policy(f, d->policy, sizeof(d->policy));
	if (d->mode == STS_MODE_NONE)
		return;
	demand(d, requirement_of(d->mode), STS_ORIGIN_POLICY);
	d->pkix_too = true;
	if (!sts_policy_allows_mx(f->policy, sp_str_of(q->host)))
		tell_mismatch(f, d, d->require == STS_REQUIRE_PKIX ? &d->barred : &d->counted);
}

/* RFC 8460 4.3.2.1: dane-required is for a host without TLSA records; one that has some, none of which can be used, has tlsa-invalid. */
static void bar_without_dane(struct sts_demand *d, const char *who, enum sts_origin by)
{
	struct sp_fail why;
	if (d->tlsa)
		sp_fail_tls(&why, SP_FAIL_POLICY, d->tlsa->fail.result, d->tlsa->fail.reason, "%s, and %s", who, d->tlsa->fail.text);
	else
		sp_fail_tls(&why, SP_FAIL_POLICY, SP_RESULT_DANE_REQUIRED, "dane-required", "%s, and %.120s has no TLSA records that are DNSSEC-secure",
		            who, d->host);
	snprintf(why.esc, sizeof(why.esc), "4.7.5");
	bar(d, &why, by);
}

/* RFC 7672 2.2.1: under mandatory DANE an MX answer that is not secure delays the mail: whoever forged it would have TLSA records of his own. */
static void bar_insecure_mx(struct sts_demand *d, const char *who, enum sts_origin by)
{
	struct sp_fail why;
	sp_fail_tls(&why, SP_FAIL_POLICY, SP_RESULT_DANE_REQUIRED, "mx-insecure", "%s, and that %.120s is an MX host of the domain is not DNSSEC-secure", who, d->host);
	snprintf(why.esc, sizeof(why.esc), "4.7.5");
	bar(d, &why, by);
}

static void apply_tlsa(const struct sts_question *q, struct sts_demand *d)
{
	if (q->dane == STS_DANE_OFF && !(q->rule && q->rule->level == STS_LEVEL_DANE))  /* which is a wish of its own */
		return;
	d->tlsa = q->tlsa && q->tlsa->state != STS_TLSA_NONE ? q->tlsa : NULL;
	switch (d->tlsa ? d->tlsa->state : STS_TLSA_NONE) {
	case STS_TLSA_USABLE:
		demand(d, STS_REQUIRE_DANE, STS_ORIGIN_TLSA);           /* RFC 7672 2.2: it alone decides about this host */
		if (q->dane == STS_DANE_REQUIRED && !q->mx_secure)
			bar_insecure_mx(d, "this relay requires DANE (dane: required)", STS_ORIGIN_TLSA);
		return;
	case STS_TLSA_FAILED:
		bar(d, &d->tlsa->fail, STS_ORIGIN_TLSA);                /* RFC 7672 2.1.2, 2.2: not to this host, or an attacker could strip the records */
		return;
	case STS_TLSA_UNUSABLE:
		if (d->require != STS_REQUIRE_PKIX)
			demand(d, STS_REQUIRE_ENCRYPT, STS_ORIGIN_TLSA);        /* RFC 7672 2.2: TLS, whoever it is */
		break;
	case STS_TLSA_NONE:
		break;
	}
	if (q->dane == STS_DANE_REQUIRED)
		bar_without_dane(d, "this relay requires DANE (dane: required)", STS_ORIGIN_TLSA);
}

/* How much is proved. What `testing` looks at in passing proves nothing. */
static int strength(enum sts_requirement r)
{
	switch (r) {
	case STS_REQUIRE_CLEAR:
		return 0;
	case STS_REQUIRE_NONE:
	case STS_REQUIRE_TRY_PKIX:
		return 1;
	case STS_REQUIRE_ENCRYPT:
		return 2;
	case STS_REQUIRE_PKIX:
	case STS_REQUIRE_DANE:
		break;
	}
	return 3;
}

static void apply_rule(const struct sts_question *q, struct sts_demand *d)
{
	static const enum sts_requirement wants[] = {
		[STS_LEVEL_CLEAR] = STS_REQUIRE_CLEAR, [STS_LEVEL_MAY] = STS_REQUIRE_NONE, [STS_LEVEL_ENCRYPT] = STS_REQUIRE_ENCRYPT,
		[STS_LEVEL_VERIFY] = STS_REQUIRE_PKIX, [STS_LEVEL_DANE] = STS_REQUIRE_DANE,
	};
	const struct sts_rule *r = q->rule;
	d->rule = r && (r->override || r->level != STS_LEVEL_UNSET) ? r : NULL;
	if (r == NULL || r->level == STS_LEVEL_UNSET)
		return;
	bool usable = d->tlsa && d->tlsa->state == STS_TLSA_USABLE, failed = d->tlsa && d->tlsa->state == STS_TLSA_FAILED;
	if (r->level == STS_LEVEL_DANE && !usable) {
		if (!failed)                            /* the host is barred, and why is told better there */
			bar_without_dane(d, "this relay's own rule for the domain requires DANE", STS_ORIGIN_RULE);
	} else if (r->level == STS_LEVEL_DANE && !q->mx_secure) {
		d->require = STS_REQUIRE_DANE;
		bar_insecure_mx(d, "this relay's own rule for the domain requires DANE", STS_ORIGIN_RULE);
	} else if (r->override) {
		demand(d, wants[r->level], STS_ORIGIN_RULE);
	} else if (strength(wants[r->level]) > strength(d->require)) {
		d->require = wants[r->level];           /* what bars the host goes on to bar it */
		if (!sp_failed(&d->barred))
			d->origin = STS_ORIGIN_RULE;
	}
}

/* RFC 8689 4.2.1, step 2: the name from an MX answer that DNSSEC does not protect must be allowed by the domain's MTA-STS policy. One in mode testing names its
 * hosts as surely: it came the same way. */
static bool named_securely(const struct sts_question *q, const struct sts_demand *d)
{
	return q->mx_secure || (d->pkix_too && sts_policy_allows_mx(q->finding->policy, sp_str_of(q->host)));
}

/* There may be a policy that names the host, and which is kept from us for now. */
static bool may_be_named(const struct sts_finding *f)
{
	return f->policy == NULL && (f->unreachable || (sp_failed(&f->fetch_fail) && f->fetch_fail.result != SP_RESULT_STS_POLICY_INVALID));
}

static void require_tls(const struct sts_question *q, struct sts_demand *d)
{
	if (strength(d->require) < strength(STS_REQUIRE_PKIX)) {                /* RFC 8689 4.2.1, step 4: a certificate that is verified, or DANE */
		d->require = STS_REQUIRE_PKIX;
		if (!sp_failed(&d->barred))
			d->origin = STS_ORIGIN_MAIL;
	}
	d->peer_requiretls = !q->relaxed;
	if (q->relaxed || sp_failed(&d->barred) || named_securely(q, d))
		return;
	struct sp_fail why;
	sp_fail_tls(&why, SP_FAIL_POLICY, SP_RESULT_NONE, "requiretls-mx-insecure", "the message requires TLS on all its way (REQUIRETLS), and that "
	            "%.120s is an MX host of the domain is neither DNSSEC-secure nor said by an MTA-STS policy", d->host);
	why.permanent = !may_be_named(q->finding);
	snprintf(why.esc, sizeof(why.esc), why.permanent ? "5.7.30" : "4.7.30");
	bar(d, &why, STS_ORIGIN_MAIL);
}

static void apply_wish(const struct sts_question *q, struct sts_demand *d)
{
	d->wish = q->wish;
	if (q->wish == STS_WISH_REQUIRE_TLS)
		require_tls(q, d);
	d->tolerant = q->wish == STS_WISH_TLS_OPTIONAL;
	d->uncounted = d->tolerant || d->require == STS_REQUIRE_CLEAR;
	if (!d->uncounted)
		return;
	if (d->require != STS_REQUIRE_CLEAR)            /* RFC 8689 4.2.2: TLS is tried, and no policy keeps the message */
		demand(d, STS_REQUIRE_NONE, STS_ORIGIN_NOBODY);
	d->barred = d->counted = SP_FAIL_OK;
	d->pkix_too = false;
	d->tlsa = NULL;
}

void sts_verdict_host(const struct sts_question *q, struct sts_demand *out)
{
	*out = (struct sts_demand){ .require = STS_REQUIRE_NONE, .mode = STS_MODE_NONE };
	snprintf(out->host, sizeof(out->host), "%s", q->host);
	apply_policy(q, out);
	apply_tlsa(q, out);
	apply_rule(q, out);
	apply_wish(q, out);
}

bool sts_demand_needs_tls(const struct sts_demand *d)
{
	return strength(d->require) >= strength(STS_REQUIRE_ENCRYPT);
}

bool sts_demand_looks_pkix(const struct sts_demand *d)
{
	return d->pkix_too || d->require == STS_REQUIRE_PKIX;
}

bool sts_demand_looks_dane(const struct sts_demand *d)
{
	return d->tlsa && d->tlsa->state == STS_TLSA_USABLE;
}

/* A rule's `verify`, and REQUIRETLS, are content with TLSA that match; MTA-STS would be too, but then TLSA is what is required. */
static bool content_with_dane(const struct sts_demand *d)
{
	return sts_demand_looks_dane(d) && (d->require == STS_REQUIRE_DANE || (d->require == STS_REQUIRE_PKIX && d->origin != STS_ORIGIN_POLICY));
}

bool sts_demand_equal(const struct sts_demand *a, const struct sts_demand *b)
{
	bool dane = content_with_dane(a);
	return !sp_failed(&a->barred) && !sp_failed(&b->barred) && strcmp(a->host, b->host) == 0 && a->require == b->require && a->wish == b->wish &&
	       a->peer_requiretls == b->peer_requiretls && dane == content_with_dane(b) && (!dane || sts_tlsa_equal(a->tlsa, b->tlsa));
}

/* ---- in the session: was it proved? ---- */

/* Whose word is broken, as in "mx1.example.com does not satisfy ...". */
static void name_demand(const struct sts_demand *d, enum sts_origin by, struct sp_buf *out)
{
	switch (by) {
	case STS_ORIGIN_NOBODY:
	case STS_ORIGIN_POLICY:
		sp_buf_printf(out, "the domain's MTA-STS policy (%s)", d->policy);
		break;
	case STS_ORIGIN_TLSA:
		if (d->tlsa->state == STS_TLSA_USABLE)
			sp_buf_printf(out, "the TLSA records of %.120s (DANE)", d->tlsa->base);
		else
			sp_buf_printf(out, "RFC 7672 2.2, by which the TLSA records of %.120s demand TLS though none can be used", d->tlsa->base);
		break;
	case STS_ORIGIN_RULE:
		sp_buf_printf(out, "this relay's own rule for %.120s, ", d->rule->domain);
		sts_rule_print(d->rule, out);
		break;
	case STS_ORIGIN_MAIL:
		sp_buf_adds(out, "the message, which requires TLS with a verified certificate (REQUIRETLS)");
		break;
	}
}

/* RFC 8689 4.2.1: a host that does not give what the message asks for is given up, and after the last one the message. What may be a passing fault (a lost
 * connection, a 4yz) says nothing of what the host gives. */
static bool may_pass(const struct sp_fail *seen)
{
	static const char *const broken_off[] = { "lost", "timeout", "unreachable" };   /* core/conn.c, of a handshake too */
	size_t i;
	return seen->kind == SP_FAIL_CONNECT || (seen->code >= 400 && seen->code < 500) ||
	       (seen->kind == SP_FAIL_PROTOCOL && seen->result != SP_RESULT_STARTTLS_NOT_SUPPORTED) ||
	       (seen->kind == SP_FAIL_TLS && sp_str_among(sp_str_of(seen->reason), broken_off, SP_COUNT(broken_off), &i));
}

static void tell_unmet(const struct sts_shown *shown, const struct sp_fail *seen, struct sp_fail *why)
{
	why->result = SP_RESULT_NONE;           /* RFC 8460 has no word for it: no policy of the domain is broken */
	why->permanent = !may_pass(seen);
	snprintf(why->reason, sizeof(why->reason), "%s", shown->encrypted ? "requiretls-certificate" : "requiretls-no-tls");
	snprintf(why->esc, sizeof(why->esc), "%s", why->permanent ? "5.7.10" : "4.7.10");       /* RFC 8689 4.2.1: encryption needed */
}

/* What was seen, under the name of whose demand it breaks. The peer's own code stays as evidence; but whatever it said, this
 * is no answer about the mail: the next try may find an honest host, so it is not permanent. */
static void tell_breach(const struct sts_demand *d, enum sts_origin by, const struct sts_shown *shown, const struct sp_fail *seen, struct sp_fail *why)
{
	struct sp_fail told;
	struct sp_buf name;
	sp_buf_init(&name, 512);
	name_demand(d, by, &name);
	sp_fail_tls(&told, SP_FAIL_POLICY, seen->result, seen->reason, "%.120s does not satisfy %s: %s", d->host, sp_buf_cstr(&name), seen->text);
	sp_buf_clear(&name);
	told.code = seen->code;
	snprintf(told.esc, sizeof(told.esc), "%s", seen->result == SP_RESULT_STARTTLS_NOT_SUPPORTED ? "4.7.4" : "4.7.5");
	if (by == STS_ORIGIN_MAIL)
		tell_unmet(shown, seen, &told);
	*why = told;
}

static void set_missing(struct sp_fail *f, enum sp_result result, const char *reason)
{
	if (f->result == SP_RESULT_NONE)
		f->result = result;
	if (f->reason[0] == '\0')
		snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

/* RFC 8460 4.3.1: no STARTTLS is one thing; STARTTLS that leads to no handshake is a failure of another kind. */
static struct sp_fail no_encryption(const struct sts_shown *shown)
{
	struct sp_fail f = shown->starttls;
	if (!sp_failed(&f))
		sp_fail_set(&f, SP_FAIL_POLICY, "%s", shown->starttls_offered ? "the session is not encrypted" : "the host does not offer STARTTLS");
	if (shown->starttls_offered)
		set_missing(&f, SP_RESULT_VALIDATION_FAILURE, "tls-not-established");
	else
		set_missing(&f, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-not-offered");
	return f;
}

/* What proves the host, beside encryption. */
enum proof { PROOF_NONE, PROOF_PKIX, PROOF_DANE, PROOF_EITHER };

static bool is_proved(const struct sts_shown *shown, enum proof proof)
{
	return proof == PROOF_NONE || (proof != PROOF_DANE && shown->verified) || (proof != PROOF_PKIX && shown->dane_verified);
}

/* The first thing that is not as `by` wants it; a session that fails several ways is one failure (RFC 8460 4.3). */
static bool breaches(const struct sts_demand *d, enum sts_origin by, enum proof proof, const struct sts_shown *shown, struct sp_fail *why)
{
	struct sp_fail seen = SP_FAIL_OK;
	if (!shown->encrypted || sp_failed(&shown->starttls)) {
		seen = no_encryption(shown);
	} else if (!is_proved(shown, proof)) {
		seen = proof == PROOF_DANE ? shown->dane : shown->certificate;
		if (!sp_failed(&seen))
			sp_fail_set(&seen, SP_FAIL_TLS, "the certificate was not verified");
		set_missing(&seen, SP_RESULT_VALIDATION_FAILURE, "not-verified");
	}
	if (!sp_failed(&seen))
		return false;
	tell_breach(d, by, shown, &seen, why);
	return true;
}

/* RFC 7435 3, RFC 8461 5: where TLS is not demanded, a peer that cannot do it gets the mail in the clear: on this session if it is still in step
 * (not offered, or refused by a reply), on a new one if a handshake broke it. */
static enum sts_decision without_demand(const struct sts_shown *shown)
{
	bool broken = !shown->encrypted && shown->starttls_offered && sp_failed(&shown->starttls) && shown->starttls.kind != SP_FAIL_REPLY;
	return broken ? STS_RETRY_CLEAR : STS_DELIVER;
}

/* Nothing is demanded, so nothing is broken; but RFC 8460 4.4 counts "successfully negotiated TLS connections", and one in the clear is none. */
static void tell_clear(const struct sts_shown *shown, struct sp_fail *why)
{
	if (shown->encrypted)
		return;
	*why = no_encryption(shown);
	why->permanent = false;
}

static void judge_sts(const struct sts_demand *d, const struct sts_shown *shown, struct sp_fail *f)
{
	bool barred = sp_failed(&d->barred);
	if (barred && d->origin == STS_ORIGIN_POLICY)
		*f = d->barred;
	else if (sp_failed(&d->counted))
		*f = d->counted;
	else if (!barred && d->pkix_too)
		(void)breaches(d, STS_ORIGIN_POLICY, PROOF_PKIX, shown, f);
	else if (!barred && (d->has_policy || d->tlsa == NULL))
		tell_clear(shown, f);
}

static bool is_about_tlsa(const struct sp_fail *f)              /* RFC 8460 4.3.2.1 */
{
	return f->result == SP_RESULT_TLSA_INVALID || f->result == SP_RESULT_DNSSEC_INVALID || f->result == SP_RESULT_DANE_REQUIRED;
}

static void judge_tlsa(const struct sts_demand *d, const struct sts_shown *shown, struct sp_fail *f)
{
	if (sp_failed(&d->barred)) {
		if (is_about_tlsa(&d->barred))
			*f = d->barred;
	} else if (sts_demand_looks_dane(d)) {
		(void)breaches(d, STS_ORIGIN_TLSA, PROOF_DANE, shown, f);
	} else if (d->tlsa) {
		*f = d->tlsa->fail;             /* none can be used; or a rule forgives that they could not be had */
	}
}

/* Under a demand: REFUSE with *why, or not. */
static bool is_refused(const struct sts_demand *d, const struct sts_shown *shown, struct sp_fail *why)
{
	switch (d->require) {
	case STS_REQUIRE_ENCRYPT:
		return breaches(d, d->origin, PROOF_NONE, shown, why);
	case STS_REQUIRE_PKIX:
		return breaches(d, d->origin, content_with_dane(d) ? PROOF_EITHER : PROOF_PKIX, shown, why);
	case STS_REQUIRE_DANE:
		return breaches(d, d->origin, PROOF_DANE, shown, why);
	case STS_REQUIRE_CLEAR:
	case STS_REQUIRE_NONE:
	case STS_REQUIRE_TRY_PKIX:
		break;
	}
	return false;
}

enum sts_decision sts_verdict_session(const struct sts_demand *d, const struct sts_shown *shown, struct sts_result *out)
{
	*out = (struct sts_result){ .why = SP_FAIL_OK };
	if (d->uncounted) {
		if (d->require != STS_REQUIRE_CLEAR)
			tell_clear(shown, &out->why);
		return d->require == STS_REQUIRE_CLEAR ? STS_DELIVER : without_demand(shown);
	}
	judge_sts(d, shown, &out->sts);
	judge_tlsa(d, shown, &out->tlsa);
	if (sp_failed(&d->barred)) {
		out->why = d->barred;
		return STS_REFUSE;
	}
	if (is_refused(d, shown, &out->why))
		return STS_REFUSE;
	if (d->require != STS_REQUIRE_DANE)
		out->why = sp_failed(&out->tlsa) ? out->tlsa : out->sts;
	return sts_demand_needs_tls(d) ? STS_DELIVER : without_demand(shown);
}

enum sts_decision sts_verdict_ready(const struct sts_demand *d, const struct sts_shown *shown, struct sp_fail *why)
{
	*why = SP_FAIL_OK;
	if (!d->peer_requiretls || shown->requiretls_offered)
		return STS_DELIVER;
	sp_fail_tls(why, SP_FAIL_POLICY, SP_RESULT_NONE, "requiretls-not-offered", "the message requires TLS on all its way (REQUIRETLS), and %.120s "
	            "does not offer to see to that", d->host);
	why->permanent = true;
	snprintf(why->esc, sizeof(why->esc), "5.7.30");         /* RFC 8689 4.2.1 */
	return STS_REFUSE;
}

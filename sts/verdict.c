/* sts/verdict.c - see verdict.h. */
#include "sts/verdict.h"

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

void sts_verdict_host(const struct sts_question *q, struct sts_demand *out)
{
	const struct sts_finding *f = q->finding;
	const char *host = q->host;
	*out = (struct sts_demand){ .require = STS_REQUIRE_NONE, .mode = STS_MODE_NONE };
	snprintf(out->host, sizeof(out->host), "%s", host);
	if (f->policy == NULL)
		return;
	out->has_policy = true;
	out->mode = sts_policy_mode(f->policy);
	out->require = requirement_of(out->mode);
	describe_policy(f, out->policy, sizeof(out->policy));
	if (out->require == STS_REQUIRE_NONE || sts_policy_allows_mx(f->policy, sp_str_of(host)))
		return;
	tell_mismatch(f, out, out->require == STS_REQUIRE_PKIX ? &out->barred : &out->counted);
}

/* ---- in the session: was it proved? ---- */

/* What was seen, under the name of the policy that it breaks. The peer's own code stays as evidence; but whatever it said, this
 * is no answer about the mail: the next try may find an honest host, so it is never permanent. */
static void tell_breach(const struct sts_demand *d, const struct sp_fail *seen, struct sp_fail *why)
{
	struct sp_fail told;
	sp_fail_tls(&told, SP_FAIL_POLICY, seen->result, seen->reason, "%.120s does not satisfy the domain's MTA-STS policy (%s): %s", d->host,
	            d->policy, seen->text);
	told.code = seen->code;
	snprintf(told.esc, sizeof(told.esc), "%s", seen->result == SP_RESULT_STARTTLS_NOT_SUPPORTED ? "4.7.4" : "4.7.5");
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

/* The first thing that is not as a policy wants it; a session that fails several ways is one failure (RFC 8460 4.3). */
static bool breaches(const struct sts_demand *d, const struct sts_shown *shown, struct sp_fail *why)
{
	struct sp_fail seen = SP_FAIL_OK;
	if (!shown->encrypted || sp_failed(&shown->starttls)) {
		seen = no_encryption(shown);
	} else if (!shown->verified) {
		seen = shown->certificate;
		if (!sp_failed(&seen))
			sp_fail_set(&seen, SP_FAIL_TLS, "the certificate was not verified");
		set_missing(&seen, SP_RESULT_VALIDATION_FAILURE, "not-verified");
	}
	if (!sp_failed(&seen))
		return false;
	tell_breach(d, &seen, why);
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

enum sts_decision sts_verdict_session(const struct sts_demand *d, const struct sts_shown *shown, struct sts_result *out)
{
	struct sp_fail *why = &out->why;
	*out = (struct sts_result){ .why = SP_FAIL_OK };
	if (sp_failed(&d->barred)) {
		*why = d->barred;
		return STS_REFUSE;
	}
	if (d->require == STS_REQUIRE_NONE) {
		tell_clear(shown, why);
		return without_demand(shown);
	}
	bool breach = breaches(d, shown, why);
	if (d->require == STS_REQUIRE_PKIX)
		return breach ? STS_REFUSE : STS_DELIVER;
	if (sp_failed(&d->counted))
		*why = d->counted;
	return without_demand(shown);
}

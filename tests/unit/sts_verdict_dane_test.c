/* tests/unit/sts_verdict_dane_test.c - sts/verdict.c where more than MTA-STS has a say: TLSA records, an operator's rule, REQUIRETLS and TLS-Required: No.
 * Every row of DESIGN.md's policy table that speaks of TLSA is here, and each pair of voices. */
#include "sts/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define UNTIL 1801440000        /* 2027-02-01T00:00:00Z */

/* `mode`: NULL for no policy. */
static void find(const char *mode, struct sts_finding *f)
{
	sts_finding_init(f);
	if (mode == NULL)
		return;
	char body[256];
	snprintf(body, sizeof(body), "version: STSv1\nmode: %s\nmx: mx1.example.com\nmax_age: 604800\n", mode);
	f->policy = sts_policy_parse(sp_str_of(body), NULL, NULL, NULL);
	assert_non_null(f->policy);
	f->source = STS_SOURCE_CACHE;
	snprintf(f->id, sizeof(f->id), "20270115");
}

/* ---- the voices ---- */

static const struct core_tlsa record = { 3, 1, 1, { "12345678901234567890123456789012", 32 } };
static const struct sts_tlsa
	usable = { .state = STS_TLSA_USABLE, .base = "mx1.example.com", .records = &record, .count = 1, .strings = "3 1 1 ...\n" },
	none = { .state = STS_TLSA_NONE, .base = "mx1.example.com", .strings = "" },
	unusable = { .state = STS_TLSA_UNUSABLE, .base = "mx1.example.com", .strings = "0 0 1 ...\n",
	             .fail = { SP_FAIL_POLICY, SP_RESULT_TLSA_INVALID, false, 0, "4.7.5", "tlsa-usage", "none of the TLSA records of mx1.example.com can be used" } },
	bogus = { .state = STS_TLSA_FAILED, .base = "mx1.example.com", .strings = "",
	          .fail = { SP_FAIL_POLICY, SP_RESULT_DNSSEC_INVALID, false, 0, "4.7.5", "servfail", "the TLSA records of mx1.example.com cannot be had" } };

#define RULE(level_, override_) { .domain = "example.com", .level = STS_LEVEL_##level_, .override = (override_), .until_s = (override_) ? UNTIL : 0, \
	.reason = (override_) ? "they mend it" : "" }
static const struct sts_rule
	floor_may = RULE(MAY, false), floor_encrypt = RULE(ENCRYPT, false), floor_verify = RULE(VERIFY, false), floor_dane = RULE(DANE, false),
	over_none = RULE(CLEAR, true), over_may = RULE(MAY, true), over_encrypt = RULE(ENCRYPT, true), over_verify = RULE(VERIFY, true),
	over_dane = RULE(DANE, true), over_nothing = RULE(UNSET, true);

enum wish { PLAIN, REQUIRETLS, RELAXED, TLS_NO };
#define LISTED "mx1.example.com"
#define STRANGER "mx.other.example"

static void ask(const char *mode, const char *host, const struct sts_tlsa *tlsa, enum sts_dane dane, const struct sts_rule *rule, enum wish wish, bool mx_secure,
                struct sts_finding *f, struct sts_demand *d)
{
	find(mode, f);
	memset(d, 0x55, sizeof(*d));
	sts_verdict_host(&(struct sts_question){ .finding = f, .host = host, .tlsa = tlsa, .dane = dane, .rule = rule, .mx_secure = mx_secure,
		.wish = wish == PLAIN ? STS_WISH_NONE : wish == TLS_NO ? STS_WISH_TLS_OPTIONAL : STS_WISH_REQUIRE_TLS, .relaxed = wish == RELAXED }, d);
}

/* ---- before the session ---- */

static const struct {
	const char *label, *mode, *host;
	const struct sts_tlsa *tlsa;
	enum sts_dane dane;
	const struct sts_rule *rule;
	enum wish wish;
	bool mx_secure;
	const char *want;               /* requirement, origin; then what bars, what is counted */
} hosts[] = {
	/* DESIGN.md: TLSA */
	{ "no TLSA was asked for", NULL, LISTED, NULL, STS_DANE_AUTO, NULL, PLAIN, false, "none none" },
	{ "there is none", NULL, LISTED, &none, STS_DANE_AUTO, NULL, PLAIN, false, "none none" },
	{ "there is none: the policy rules", "enforce", LISTED, &none, STS_DANE_AUTO, NULL, PLAIN, false, "pkix sts pkix-too" },
	{ "usable TLSA", NULL, LISTED, &usable, STS_DANE_AUTO, NULL, PLAIN, false, "dane tlsa" },
	{ "usable TLSA decides alone, enforce", "enforce", LISTED, &usable, STS_DANE_AUTO, NULL, PLAIN, false, "dane tlsa pkix-too" },
	{ "usable TLSA decides alone, testing", "testing", LISTED, &usable, STS_DANE_AUTO, NULL, PLAIN, false, "dane tlsa pkix-too" },
	{ "usable TLSA decides alone, mode none", "none", LISTED, &usable, STS_DANE_AUTO, NULL, PLAIN, false, "dane tlsa" },
	{ "usable TLSA and not listed: used, and counted", "enforce", STRANGER, &usable, STS_DANE_AUTO, NULL, PLAIN, false, "dane tlsa pkix-too counted=mx-mismatch" },
	{ "the TLSA look-up failed: never a downgrade", NULL, LISTED, &bogus, STS_DANE_AUTO, NULL, PLAIN, false, "none tlsa barred=servfail" },
	{ "the TLSA look-up failed, enforce", "enforce", LISTED, &bogus, STS_DANE_AUTO, NULL, PLAIN, false, "pkix tlsa pkix-too barred=servfail" },
	{ "the TLSA look-up failed, and not listed", "enforce", STRANGER, &bogus, STS_DANE_AUTO, NULL, PLAIN, false,
	  "pkix tlsa pkix-too barred=servfail counted=mx-mismatch" },
	{ "unusable TLSA: encryption", NULL, LISTED, &unusable, STS_DANE_AUTO, NULL, PLAIN, false, "encrypt tlsa" },
	{ "unusable TLSA, testing: encryption, and a look", "testing", LISTED, &unusable, STS_DANE_AUTO, NULL, PLAIN, false, "encrypt tlsa pkix-too" },
	{ "unusable TLSA does not weaken enforce", "enforce", LISTED, &unusable, STS_DANE_AUTO, NULL, PLAIN, false, "pkix sts pkix-too" },
	{ "unusable TLSA, not listed", "enforce", STRANGER, &unusable, STS_DANE_AUTO, NULL, PLAIN, false, "pkix sts pkix-too barred=mx-mismatch" },

	/* delivery.dane */
	{ "dane: off", "enforce", LISTED, &usable, STS_DANE_OFF, NULL, PLAIN, false, "pkix sts pkix-too" },
	{ "dane: off, the look-up failed", NULL, LISTED, &bogus, STS_DANE_OFF, NULL, PLAIN, false, "none none" },
	{ "dane: off, but for this domain", NULL, LISTED, &usable, STS_DANE_OFF, &floor_dane, PLAIN, true, "dane tlsa" },
	{ "dane: off, but for this domain, there is none", NULL, LISTED, &none, STS_DANE_OFF, &floor_dane, PLAIN, false, "none rule barred=dane-required" },
	{ "dane: required, there is", NULL, LISTED, &usable, STS_DANE_REQUIRED, NULL, PLAIN, true, "dane tlsa" },
	{ "dane: required, but the MX answer is not secure, RFC 7672 2.2.1", NULL, LISTED, &usable, STS_DANE_REQUIRED, NULL, PLAIN, false, "dane tlsa barred=mx-insecure" },
	{ "dane: required, there is none", NULL, LISTED, &none, STS_DANE_REQUIRED, NULL, PLAIN, false, "none tlsa barred=dane-required" },
	{ "dane: required, the address is not secure", "enforce", LISTED, NULL, STS_DANE_REQUIRED, NULL, PLAIN, false, "pkix tlsa pkix-too barred=dane-required" },
	{ "dane: required, none can be used", NULL, LISTED, &unusable, STS_DANE_REQUIRED, NULL, PLAIN, false, "encrypt tlsa barred=tlsa-usage" },
	{ "dane: required, the look-up failed", NULL, LISTED, &bogus, STS_DANE_REQUIRED, NULL, PLAIN, false, "none tlsa barred=servfail" },

	/* a rule is a floor */
	{ "floor: may is under everything", "enforce", LISTED, NULL, STS_DANE_AUTO, &floor_may, PLAIN, false, "pkix sts pkix-too" },
	{ "floor: encrypt", NULL, LISTED, NULL, STS_DANE_AUTO, &floor_encrypt, PLAIN, false, "encrypt rule" },
	{ "floor: encrypt, testing", "testing", LISTED, NULL, STS_DANE_AUTO, &floor_encrypt, PLAIN, false, "encrypt rule pkix-too" },
	{ "floor: encrypt, testing and not listed", "testing", STRANGER, NULL, STS_DANE_AUTO, &floor_encrypt, PLAIN, false, "encrypt rule pkix-too counted=mx-mismatch" },
	{ "floor: encrypt does not lower enforce", "enforce", LISTED, NULL, STS_DANE_AUTO, &floor_encrypt, PLAIN, false, "pkix sts pkix-too" },
	{ "floor: encrypt does not let pass who is not listed", "enforce", STRANGER, NULL, STS_DANE_AUTO, &floor_encrypt, PLAIN, false,
	  "pkix sts pkix-too barred=mx-mismatch" },
	{ "floor: verify", NULL, LISTED, NULL, STS_DANE_AUTO, &floor_verify, PLAIN, false, "pkix rule" },
	{ "floor: verify, testing", "testing", LISTED, NULL, STS_DANE_AUTO, &floor_verify, PLAIN, false, "pkix rule pkix-too" },
	{ "floor: verify, TLSA is as good", NULL, LISTED, &usable, STS_DANE_AUTO, &floor_verify, PLAIN, false, "dane tlsa" },
	{ "floor: verify, unusable TLSA", NULL, LISTED, &unusable, STS_DANE_AUTO, &floor_verify, PLAIN, false, "pkix rule" },
	{ "floor: verify, the look-up failed", NULL, LISTED, &bogus, STS_DANE_AUTO, &floor_verify, PLAIN, false, "pkix tlsa barred=servfail" },
	{ "floor: dane", NULL, LISTED, &usable, STS_DANE_AUTO, &floor_dane, PLAIN, true, "dane tlsa" },
	{ "floor: dane, but the MX answer is not secure", NULL, LISTED, &usable, STS_DANE_AUTO, &floor_dane, PLAIN, false, "dane rule barred=mx-insecure" },
	{ "floor: dane, there is none", "enforce", LISTED, &none, STS_DANE_AUTO, &floor_dane, PLAIN, false, "pkix rule pkix-too barred=dane-required" },
	{ "floor: dane, none can be used", NULL, LISTED, &unusable, STS_DANE_AUTO, &floor_dane, PLAIN, false, "encrypt rule barred=tlsa-usage" },
	{ "floor: dane, the look-up failed", NULL, LISTED, &bogus, STS_DANE_AUTO, &floor_dane, PLAIN, false, "none tlsa barred=servfail" },

	/* a rule with override takes the place of what is published */
	{ "override: none", "enforce", LISTED, &usable, STS_DANE_AUTO, &over_none, PLAIN, false, "clear rule uncounted" },
	{ "override: may", "enforce", LISTED, &usable, STS_DANE_AUTO, &over_may, PLAIN, false, "none rule pkix-too" },
	{ "override: may, not listed", "enforce", STRANGER, NULL, STS_DANE_AUTO, &over_may, PLAIN, false, "none rule pkix-too counted=mx-mismatch" },
	{ "override: may, the look-up failed", NULL, LISTED, &bogus, STS_DANE_AUTO, &over_may, PLAIN, false, "none rule" },
	{ "override: may, dane: required", NULL, LISTED, &none, STS_DANE_REQUIRED, &over_may, PLAIN, false, "none rule" },
	{ "override: encrypt", "enforce", LISTED, &usable, STS_DANE_AUTO, &over_encrypt, PLAIN, false, "encrypt rule pkix-too" },
	{ "override: verify", NULL, LISTED, &usable, STS_DANE_AUTO, &over_verify, PLAIN, false, "pkix rule" },
	{ "override: verify, not listed", "enforce", STRANGER, NULL, STS_DANE_AUTO, &over_verify, PLAIN, false, "pkix rule pkix-too counted=mx-mismatch" },
	{ "override: dane", "enforce", STRANGER, &usable, STS_DANE_AUTO, &over_dane, PLAIN, true, "dane rule pkix-too counted=mx-mismatch" },
	{ "override: dane, but the MX answer is not secure", NULL, LISTED, &usable, STS_DANE_AUTO, &over_dane, PLAIN, false, "dane rule barred=mx-insecure" },
	{ "override: dane, there is none", NULL, LISTED, NULL, STS_DANE_AUTO, &over_dane, PLAIN, false, "none rule barred=dane-required" },
	{ "override of nothing about TLS", "enforce", LISTED, NULL, STS_DANE_AUTO, &over_nothing, PLAIN, false, "pkix sts pkix-too" },

	/* RFC 8689 4.2.1: REQUIRETLS */
	{ "REQUIRETLS, nothing published", NULL, LISTED, NULL, STS_DANE_AUTO, NULL, REQUIRETLS, false, "pkix requiretls peer barred=requiretls-mx-insecure" },
	{ "REQUIRETLS, the MX answer is secure", NULL, LISTED, NULL, STS_DANE_AUTO, NULL, REQUIRETLS, true, "pkix requiretls peer" },
	{ "REQUIRETLS, enforce names the host", "enforce", LISTED, NULL, STS_DANE_AUTO, NULL, REQUIRETLS, false, "pkix sts pkix-too peer" },
	{ "REQUIRETLS, enforce does not name it: the policy's own refusal", "enforce", STRANGER, NULL, STS_DANE_AUTO, NULL, REQUIRETLS, true,
	  "pkix sts pkix-too peer barred=mx-mismatch" },
	{ "REQUIRETLS, testing names the host as surely", "testing", LISTED, NULL, STS_DANE_AUTO, NULL, REQUIRETLS, false, "pkix requiretls pkix-too peer" },
	{ "REQUIRETLS, testing does not name it", "testing", STRANGER, NULL, STS_DANE_AUTO, NULL, REQUIRETLS, false,
	  "pkix requiretls pkix-too peer barred=requiretls-mx-insecure counted=mx-mismatch" },
	{ "REQUIRETLS, mode none names nobody", "none", LISTED, NULL, STS_DANE_AUTO, NULL, REQUIRETLS, false, "pkix requiretls peer barred=requiretls-mx-insecure" },
	{ "REQUIRETLS, TLSA is as good", NULL, LISTED, &usable, STS_DANE_AUTO, NULL, REQUIRETLS, true, "dane tlsa peer" },
	{ "REQUIRETLS, TLSA under an insecure MX", NULL, LISTED, &usable, STS_DANE_AUTO, NULL, REQUIRETLS, false, "dane requiretls peer barred=requiretls-mx-insecure" },
	{ "REQUIRETLS, unusable TLSA", NULL, LISTED, &unusable, STS_DANE_AUTO, NULL, REQUIRETLS, true, "pkix requiretls peer" },
	{ "REQUIRETLS, the TLSA look-up failed: may pass", NULL, LISTED, &bogus, STS_DANE_AUTO, NULL, REQUIRETLS, true, "pkix tlsa peer barred=servfail" },
	{ "REQUIRETLS is above a rule's may", "enforce", LISTED, NULL, STS_DANE_AUTO, &over_may, REQUIRETLS, false, "pkix requiretls pkix-too peer" },
	{ "REQUIRETLS is above a rule's none", NULL, LISTED, NULL, STS_DANE_AUTO, &over_none, REQUIRETLS, true, "pkix requiretls peer" },
	{ "REQUIRETLS, a rule's encrypt", NULL, LISTED, NULL, STS_DANE_AUTO, &floor_encrypt, REQUIRETLS, true, "pkix requiretls peer" },
	{ "REQUIRETLS, a rule's verify", NULL, LISTED, NULL, STS_DANE_AUTO, &floor_verify, REQUIRETLS, true, "pkix rule peer" },
	{ "REQUIRETLS relaxed", NULL, LISTED, NULL, STS_DANE_AUTO, NULL, RELAXED, false, "pkix requiretls" },
	{ "REQUIRETLS relaxed, not named by the policy", "testing", STRANGER, NULL, STS_DANE_AUTO, NULL, RELAXED, false,
	  "pkix requiretls pkix-too counted=mx-mismatch" },

	/* RFC 8689 4.2.2: TLS-Required: No */
	{ "TLS-Required: No, enforce", "enforce", LISTED, NULL, STS_DANE_AUTO, NULL, TLS_NO, false, "none none tolerant uncounted" },
	{ "TLS-Required: No, not listed", "enforce", STRANGER, NULL, STS_DANE_AUTO, NULL, TLS_NO, false, "none none tolerant uncounted" },
	{ "TLS-Required: No, testing and not listed", "testing", STRANGER, NULL, STS_DANE_AUTO, NULL, TLS_NO, false, "none none tolerant uncounted" },
	{ "TLS-Required: No, usable TLSA", NULL, LISTED, &usable, STS_DANE_AUTO, NULL, TLS_NO, false, "none none tolerant uncounted" },
	{ "TLS-Required: No, unusable TLSA", NULL, LISTED, &unusable, STS_DANE_AUTO, NULL, TLS_NO, false, "none none tolerant uncounted" },
	{ "TLS-Required: No, the look-up failed", NULL, LISTED, &bogus, STS_DANE_AUTO, NULL, TLS_NO, false, "none none tolerant uncounted" },
	{ "TLS-Required: No, dane: required", NULL, LISTED, &none, STS_DANE_REQUIRED, NULL, TLS_NO, false, "none none tolerant uncounted" },
	{ "TLS-Required: No, a rule's verify", NULL, LISTED, NULL, STS_DANE_AUTO, &floor_verify, TLS_NO, false, "none none tolerant uncounted" },
	{ "TLS-Required: No, a rule's none", NULL, LISTED, NULL, STS_DANE_AUTO, &over_none, TLS_NO, false, "clear rule tolerant uncounted" },
};

static void print_demand(const struct sts_demand *d, struct sp_buf *out)
{
	sp_buf_printf(out, "%s %s%s%s%s%s", sts_requirement_str(d->require), sts_origin_str(d->origin), d->pkix_too ? " pkix-too" : "",
	              d->peer_requiretls ? " peer" : "", d->tolerant ? " tolerant" : "", d->uncounted ? " uncounted" : "");
	if (sp_failed(&d->barred))
		sp_buf_printf(out, " barred=%s", d->barred.reason);
	if (sp_failed(&d->counted))
		sp_buf_printf(out, " counted=%s", d->counted.reason);
}

static void test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(hosts); i++) {
		struct sts_finding f;
		struct sts_demand d;
		struct sp_buf got;
		sp_buf_init(&got, 1024);
		ask(hosts[i].mode, hosts[i].host, hosts[i].tlsa, hosts[i].dane, hosts[i].rule, hosts[i].wish, hosts[i].mx_secure, &f, &d);
		print_demand(&d, &got);
		print_message("%s: want %s, got %s (%s)\n", hosts[i].label, hosts[i].want, sp_buf_cstr(&got), d.barred.text);
		assert_string_equal(sp_buf_cstr(&got), hosts[i].want);
		bool bounces = strncmp(d.barred.reason, "requiretls-", 11) == 0;
		assert_int_equal(d.barred.permanent, bounces);
		assert_true(!sp_failed(&d.barred) || d.barred.esc[0] == (bounces ? '5' : '4'));
		if (bounces)
			assert_string_equal(d.barred.esc, "5.7.30");
		assert_ptr_equal(d.rule, hosts[i].rule);
		sp_buf_clear(&got);
		sts_finding_clear(&f);
	}
}

static void test_result_of_a_bar(void **state)
{
	(void)state;
	static const struct { const struct sts_tlsa *tlsa; enum sts_dane dane; const char *want; } rows[] = {  /* RFC 8460 4.3.2.1 */
		{ &bogus, STS_DANE_AUTO, "dnssec-invalid" }, { &none, STS_DANE_REQUIRED, "dane-required" }, { NULL, STS_DANE_REQUIRED, "dane-required" },
		{ &unusable, STS_DANE_REQUIRED, "tlsa-invalid" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_finding f;
		struct sts_demand d;
		struct sts_result r;
		ask("enforce", STRANGER, rows[i].tlsa, rows[i].dane, NULL, PLAIN, false, &f, &d);
		assert_int_equal(sts_verdict_session(&d, &(struct sts_shown){ 0 }, &r), STS_REFUSE);
		print_message("want %s, got %s and %s\n", rows[i].want, sp_result_str(r.tlsa.result), sp_result_str(r.sts.result));
		assert_string_equal(sp_result_str(r.why.result), rows[i].want);
		assert_string_equal(sp_result_str(r.tlsa.result), rows[i].want);
		assert_string_equal(r.sts.reason, "mx-mismatch");
		sts_finding_clear(&f);
	}
}

/* ---- in the session ---- */

enum seen { GOOD, PKIX_ONLY, DANE_ONLY, NEITHER, NO_STARTTLS, REFUSED, BROKEN, LOST, LATE };

static struct sts_shown show(enum seen seen)
{
	struct sts_shown s = { .starttls_offered = seen != NO_STARTTLS, .encrypted = seen <= NEITHER, .verified = seen == GOOD || seen == PKIX_ONLY,
	                       .dane_verified = seen == GOOD || seen == DANE_ONLY };
	if (s.encrypted && !s.verified)
		sp_fail_tls(&s.certificate, SP_FAIL_TLS, SP_RESULT_CERTIFICATE_EXPIRED, "expired", "it ended yesterday");
	if (s.encrypted && !s.dane_verified)
		sp_fail_tls(&s.dane, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "tlsa-mismatch", "it matches none");
	if (seen == REFUSED) {
		sp_fail_tls(&s.starttls, SP_FAIL_REPLY, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-refused", "454 not now");
		s.starttls.code = 454;
	}
	if (seen == BROKEN)
		sp_fail_tls(&s.starttls, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "alert", "handshake failure");
	if (seen == LOST || seen == LATE)
		sp_fail_tls(&s.starttls, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, seen == LATE ? "timeout" : "lost", "connection reset"); /* as core/conn.c tells it */
	return s;
}

static const struct {
	const char *label, *mode, *host;
	const struct sts_tlsa *tlsa;
	const struct sts_rule *rule;
	enum wish wish;                 /* the MX answer is secure */
	enum seen seen;
	const char *want;               /* decision, why; then the faults counted under each policy */
} sessions[] = {
	/* DESIGN.md: TLSA usable */
	{ "TLSA matches", NULL, LISTED, &usable, NULL, PLAIN, DANE_ONLY, "deliver" },
	{ "TLSA does not match", NULL, LISTED, &usable, NULL, PLAIN, PKIX_ONLY, "refuse tlsa-mismatch tlsa=validation-failure" },
	{ "TLSA, no STARTTLS", NULL, LISTED, &usable, NULL, PLAIN, NO_STARTTLS,
	  "refuse starttls-not-offered tlsa=starttls-not-supported" },
	{ "TLSA, STARTTLS refused: never in the clear", NULL, LISTED, &usable, NULL, PLAIN, REFUSED,
	  "refuse starttls-refused tlsa=starttls-not-supported" },
	{ "TLSA, the handshake breaks: never in the clear", NULL, LISTED, &usable, NULL, PLAIN, BROKEN, "refuse alert tlsa=validation-failure" },
	{ "TLSA matches, and enforce too", "enforce", LISTED, &usable, NULL, PLAIN, GOOD, "deliver" },
	{ "TLSA matches, enforce does not: enough, both reported", "enforce", LISTED, &usable, NULL, PLAIN, DANE_ONLY, "deliver sts=certificate-expired" },
	{ "TLSA does not match, enforce does: not enough", "enforce", LISTED, &usable, NULL, PLAIN, PKIX_ONLY, "refuse tlsa-mismatch tlsa=validation-failure" },
	{ "neither", "testing", LISTED, &usable, NULL, PLAIN, NEITHER, "refuse tlsa-mismatch sts=certificate-expired tlsa=validation-failure" },
	{ "TLSA matches, enforce does not list it", "enforce", STRANGER, &usable, NULL, PLAIN, GOOD, "deliver sts=validation-failure" },

	/* DESIGN.md: unusable */
	{ "unusable: encryption is enough, and it is told", NULL, LISTED, &unusable, NULL, PLAIN, NEITHER, "deliver tlsa-usage tlsa=tlsa-invalid" },
	{ "unusable, no STARTTLS", NULL, LISTED, &unusable, NULL, PLAIN, NO_STARTTLS, "refuse starttls-not-offered tlsa=tlsa-invalid" },
	{ "unusable, the handshake breaks: never in the clear", NULL, LISTED, &unusable, NULL, PLAIN, BROKEN, "refuse alert tlsa=tlsa-invalid" },
	{ "unusable, enforce holds", "enforce", LISTED, &unusable, NULL, PLAIN, GOOD, "deliver tlsa-usage tlsa=tlsa-invalid" },
	{ "unusable, enforce does not hold", "enforce", LISTED, &unusable, NULL, PLAIN, NEITHER, "refuse expired sts=certificate-expired tlsa=tlsa-invalid" },
	{ "unusable, testing", "testing", LISTED, &unusable, NULL, PLAIN, NEITHER, "deliver tlsa-usage sts=certificate-expired tlsa=tlsa-invalid" },
	{ "the look-up failed", "enforce", LISTED, &bogus, NULL, PLAIN, GOOD, "refuse servfail tlsa=dnssec-invalid" },

	/* rules */
	{ "rule: encrypt, whoever it is", NULL, LISTED, NULL, &floor_encrypt, PLAIN, NEITHER, "deliver" },
	{ "rule: encrypt, no STARTTLS", NULL, LISTED, NULL, &floor_encrypt, PLAIN, NO_STARTTLS, "refuse starttls-not-offered sts=starttls-not-supported" },
	{ "rule: encrypt, testing: told", "testing", LISTED, NULL, &floor_encrypt, PLAIN, NEITHER, "deliver expired sts=certificate-expired" },
	{ "rule: verify", NULL, LISTED, NULL, &floor_verify, PLAIN, PKIX_ONLY, "deliver" },
	{ "rule: verify, not so: our own matter, TLS came about", NULL, LISTED, NULL, &floor_verify, PLAIN, NEITHER, "refuse expired" },
	{ "override: none, nothing is counted", "enforce", LISTED, &usable, &over_none, PLAIN, NO_STARTTLS, "deliver" },
	{ "override: may, it holds", "enforce", LISTED, NULL, &over_may, PLAIN, GOOD, "deliver" },
	{ "override: may, no STARTTLS: told and counted", "enforce", LISTED, NULL, &over_may, PLAIN, NO_STARTTLS, "deliver starttls-not-offered sts=starttls-not-supported" },
	{ "override: may, the handshake breaks", "enforce", LISTED, NULL, &over_may, PLAIN, BROKEN, "retry-clear alert sts=validation-failure" },
	{ "override: may, TLSA does not match", NULL, LISTED, &usable, &over_may, PLAIN, NEITHER, "deliver tlsa-mismatch tlsa=validation-failure" },
	{ "override: may, TLSA could not be had", NULL, LISTED, &bogus, &over_may, PLAIN, GOOD, "deliver servfail tlsa=dnssec-invalid" },
	{ "override: encrypt, expired", "enforce", LISTED, NULL, &over_encrypt, PLAIN, NEITHER, "deliver expired sts=certificate-expired" },
	{ "override: verify over broken TLSA", NULL, LISTED, &usable, &over_verify, PLAIN, PKIX_ONLY, "deliver tlsa-mismatch tlsa=validation-failure" },
	{ "override: verify, TLSA that match are as good", NULL, LISTED, &usable, &over_verify, PLAIN, DANE_ONLY, "deliver" },
	{ "override: verify, neither", NULL, LISTED, &usable, &over_verify, PLAIN, NEITHER, "refuse expired tlsa=validation-failure" },

	/* REQUIRETLS: what the mail alone asks for ends in a bounce, what the domain's policy refuses is put off */
	{ "REQUIRETLS, verified", NULL, LISTED, NULL, NULL, REQUIRETLS, PKIX_ONLY, "deliver" },
	{ "REQUIRETLS, not verified", NULL, LISTED, NULL, NULL, REQUIRETLS, NEITHER, "refuse requiretls-certificate for-good" },
	{ "REQUIRETLS, no STARTTLS", NULL, LISTED, NULL, NULL, REQUIRETLS, NO_STARTTLS, "refuse requiretls-no-tls for-good sts=starttls-not-supported" },
	{ "REQUIRETLS, the handshake breaks", NULL, LISTED, NULL, NULL, REQUIRETLS, BROKEN, "refuse requiretls-no-tls for-good sts=validation-failure" },
	{ "REQUIRETLS, STARTTLS not now", NULL, LISTED, NULL, NULL, REQUIRETLS, REFUSED, "refuse requiretls-no-tls sts=starttls-not-supported" },
	{ "REQUIRETLS, the connection is lost", NULL, LISTED, NULL, NULL, REQUIRETLS, LOST, "refuse requiretls-no-tls sts=validation-failure" },
	{ "REQUIRETLS, the handshake takes too long", NULL, LISTED, NULL, NULL, REQUIRETLS, LATE, "refuse requiretls-no-tls sts=validation-failure" },
	{ "REQUIRETLS, testing does not hold", "testing", LISTED, NULL, NULL, REQUIRETLS, NEITHER, "refuse requiretls-certificate for-good sts=certificate-expired" },
	{ "REQUIRETLS, enforce does not hold: put off", "enforce", LISTED, NULL, NULL, REQUIRETLS, NEITHER, "refuse expired sts=certificate-expired" },
	{ "REQUIRETLS, TLSA match", NULL, LISTED, &usable, NULL, REQUIRETLS, DANE_ONLY, "deliver" },
	{ "REQUIRETLS, TLSA do not: put off", NULL, LISTED, &usable, NULL, REQUIRETLS, PKIX_ONLY, "refuse tlsa-mismatch tlsa=validation-failure" },
	{ "REQUIRETLS relaxed, not verified", NULL, LISTED, NULL, NULL, RELAXED, NEITHER, "refuse requiretls-certificate for-good" },

	/* TLS-Required: No */
	{ "TLS-Required: No, all is well", "enforce", LISTED, &usable, NULL, TLS_NO, GOOD, "deliver" },
	{ "TLS-Required: No, nothing is proved", "enforce", LISTED, &usable, NULL, TLS_NO, NEITHER, "deliver" },
	{ "TLS-Required: No, no STARTTLS", "enforce", STRANGER, NULL, NULL, TLS_NO, NO_STARTTLS, "deliver starttls-not-offered" },
	{ "TLS-Required: No, the handshake breaks", "enforce", LISTED, &usable, NULL, TLS_NO, BROKEN, "retry-clear alert" },
};

static void test_sessions(void **state)
{
	(void)state;
	static const char *const decisions[] = { [STS_DELIVER] = "deliver", [STS_RETRY_CLEAR] = "retry-clear", [STS_REFUSE] = "refuse" };
	for (size_t i = 0; i < SP_COUNT(sessions); i++) {
		struct sts_finding f;
		struct sts_demand d;
		struct sts_result r;
		struct sp_buf got;
		sp_buf_init(&got, 1024);
		ask(sessions[i].mode, sessions[i].host, sessions[i].tlsa, STS_DANE_AUTO, sessions[i].rule, sessions[i].wish, true, &f, &d);
		struct sts_shown shown = show(sessions[i].seen);
		sp_buf_adds(&got, decisions[sts_verdict_session(&d, &shown, &r)]);
		if (sp_failed(&r.why))
			sp_buf_printf(&got, " %s%s", r.why.reason, r.why.permanent ? " for-good" : "");
		if (sp_failed(&r.sts))
			sp_buf_printf(&got, " sts=%s", sp_result_str(r.sts.result));
		if (sp_failed(&r.tlsa))
			sp_buf_printf(&got, " tlsa=%s", sp_result_str(r.tlsa.result));
		print_message("%s: want %s, got %s (%s)\n", sessions[i].label, sessions[i].want, sp_buf_cstr(&got), r.why.text);
		assert_string_equal(sp_buf_cstr(&got), sessions[i].want);
		if (r.why.permanent)
			assert_string_equal(r.why.esc, "5.7.10");               /* RFC 8689 4.2.1 */
		assert_false(r.sts.permanent || r.tlsa.permanent);
		sp_buf_clear(&got);
		sts_finding_clear(&f);
	}
}

/* A text names what demanded it, and nothing else. */
static void test_texts(void **state)
{
	(void)state;
	static const struct { const char *label, *mode; const struct sts_tlsa *tlsa; const struct sts_rule *rule; enum wish wish; enum seen seen; const char *part; } rows[] = {
		{ "policy", "enforce", NULL, NULL, PLAIN, NEITHER, "does not satisfy the domain's MTA-STS policy (mode enforce, id 20270115" },
		{ "TLSA", "enforce", &usable, NULL, PLAIN, NEITHER, "does not satisfy the TLSA records of mx1.example.com (DANE): it matches none" },
		{ "unusable TLSA", NULL, &unusable, NULL, PLAIN, NO_STARTTLS, "RFC 7672 2.2, by which the TLSA records of mx1.example.com demand TLS" },
		{ "rule", NULL, NULL, &floor_verify, PLAIN, NEITHER, "does not satisfy this relay's own rule for example.com, tls: verify: it ended yesterday" },
		{ "rule with override", "enforce", NULL, &over_encrypt, PLAIN, NO_STARTTLS,
		  "this relay's own rule for example.com, tls: encrypt, override until 2027-01-31 (they mend it):" },
		{ "mail", "testing", NULL, NULL, REQUIRETLS, NEITHER, "does not satisfy the message, which requires TLS with a verified certificate (REQUIRETLS): it ended" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_finding f;
		struct sts_demand d;
		struct sts_result r;
		ask(rows[i].mode, LISTED, rows[i].tlsa, STS_DANE_AUTO, rows[i].rule, rows[i].wish, true, &f, &d);
		struct sts_shown shown = show(rows[i].seen);
		assert_int_equal(sts_verdict_session(&d, &shown, &r), STS_REFUSE);
		print_message("%s: %s\n", rows[i].label, r.why.text);
		assert_non_null(strstr(r.why.text, rows[i].part));
		assert_int_equal(strstr(r.why.text, "MTA-STS") != NULL, i == 0);
		sts_finding_clear(&f);
	}
}

/* Whoever keeps the policy from us for a while must not have the mail returned. */
static void test_requiretls_waits_for_a_policy_that_cannot_be_had_now(void **state)
{
	(void)state;
	static const struct { const char *label; bool unreachable; enum sp_result fetch; bool for_good; } rows[] = {
		{ "there is no record", false, SP_RESULT_NONE, true },
		{ "the record cannot be looked up", true, SP_RESULT_NONE, false },
		{ "the policy cannot be fetched", false, SP_RESULT_STS_POLICY_FETCH_ERROR, false },
		{ "the policy host has a bad certificate", false, SP_RESULT_STS_WEBPKI_INVALID, false },
		{ "the policy is none", false, SP_RESULT_STS_POLICY_INVALID, true },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_finding f;
		struct sts_demand d;
		find(NULL, &f);
		f.unreachable = rows[i].unreachable;
		if (rows[i].fetch != SP_RESULT_NONE)
			sp_fail_tls(&f.fetch_fail, SP_FAIL_HTTP, rows[i].fetch, "", "the policy host does not answer");
		sts_verdict_host(&(struct sts_question){ .finding = &f, .host = LISTED, .wish = STS_WISH_REQUIRE_TLS }, &d);
		print_message("%s: want %d, got %d, %s\n", rows[i].label, rows[i].for_good, d.barred.permanent, d.barred.esc);
		assert_string_equal(d.barred.reason, "requiretls-mx-insecure");
		assert_int_equal(d.barred.permanent, rows[i].for_good);
		assert_string_equal(d.barred.esc, rows[i].for_good ? "5.7.30" : "4.7.30");
		sts_finding_clear(&f);
	}
}

/* RFC 8689 4.2.1, step 5. */
static void test_ready(void **state)
{
	(void)state;
	static const struct { const char *label; enum wish wish; bool offered; enum sts_decision want; } rows[] = {
		{ "offered", REQUIRETLS, true, STS_DELIVER }, { "not offered", REQUIRETLS, false, STS_REFUSE }, { "relaxed", RELAXED, false, STS_DELIVER },
		{ "not asked for", PLAIN, false, STS_DELIVER }, { "TLS-Required: No", TLS_NO, false, STS_DELIVER },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_finding f;
		struct sts_demand d;
		struct sp_fail why;
		ask("enforce", LISTED, NULL, STS_DANE_AUTO, NULL, rows[i].wish, false, &f, &d);
		struct sts_shown shown = show(GOOD);
		shown.requiretls_offered = rows[i].offered;
		enum sts_decision got = sts_verdict_ready(&d, &shown, &why);
		print_message("%s: want %d, got %d (%s)\n", rows[i].label, rows[i].want, got, why.text);
		assert_int_equal(got, rows[i].want);
		assert_int_equal(sp_failed(&why), got == STS_REFUSE);
		assert_string_equal(why.esc, got == STS_REFUSE ? "5.7.30" : "");
		assert_string_equal(why.reason, got == STS_REFUSE ? "requiretls-not-offered" : "");
		assert_int_equal(why.permanent, got == STS_REFUSE);
		sts_finding_clear(&f);
	}
}

/* ---- may a session carry what is under another demand? ---- */

static void test_equal(void **state)
{
	(void)state;
	static const struct core_tlsa other_record = { 3, 1, 1, { "another_one_________________________", 32 } };
	static const struct sts_tlsa other = { .state = STS_TLSA_USABLE, .base = LISTED, .records = &other_record, .count = 1, .strings = "" };
	struct voice { const char *mode, *host; const struct sts_tlsa *tlsa; const struct sts_rule *rule; enum wish wish; };
	static const struct { const char *label; struct voice a, b; bool want; } rows[] = {
		{ "nothing twice", { NULL, LISTED }, { NULL, LISTED }, true },
		{ "another host", { NULL, LISTED }, { NULL, STRANGER }, false },
		{ "enforce is not nothing", { NULL, LISTED }, { "enforce", LISTED }, false },
		{ "testing is not enforce: it may not have held", { "testing", LISTED }, { "enforce", LISTED }, false },
		{ "the same policy", { "enforce", LISTED }, { "enforce", LISTED }, true },
		{ "a rule's verify proves what enforce does", { "enforce", LISTED }, { NULL, LISTED, NULL, &floor_verify }, true },
		{ "barred carries nothing", { "enforce", STRANGER }, { "enforce", STRANGER }, false },
		{ "the same records", { NULL, LISTED, &usable }, { NULL, LISTED, &usable }, true },
		{ "other records", { NULL, LISTED, &usable }, { NULL, LISTED, &other }, false },
		{ "records that came since", { "enforce", LISTED }, { "enforce", LISTED, &usable }, false },
		{ "REQUIRETLS is not plain", { "enforce", LISTED }, { "enforce", LISTED, NULL, NULL, REQUIRETLS }, false },
		{ "plain is not REQUIRETLS", { "enforce", LISTED, NULL, NULL, REQUIRETLS }, { "enforce", LISTED }, false },
		{ "relaxed is not enforced", { "enforce", LISTED, NULL, NULL, RELAXED }, { "enforce", LISTED, NULL, NULL, REQUIRETLS }, false },
		{ "TLS-Required: No is not nothing", { NULL, LISTED, NULL, NULL, TLS_NO }, { NULL, LISTED }, false },
		{ "either proof is not this proof", { NULL, LISTED, &usable, &over_verify }, { NULL, LISTED, NULL, &floor_verify }, false },
		{ "clear is not nothing", { NULL, LISTED, NULL, &over_none }, { NULL, LISTED }, false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_finding fa, fb;
		struct sts_demand a, b;
		ask(rows[i].a.mode, rows[i].a.host, rows[i].a.tlsa, STS_DANE_AUTO, rows[i].a.rule, rows[i].a.wish, true, &fa, &a);
		ask(rows[i].b.mode, rows[i].b.host, rows[i].b.tlsa, STS_DANE_AUTO, rows[i].b.rule, rows[i].b.wish, true, &fb, &b);
		print_message("%s: want %d, got %d\n", rows[i].label, rows[i].want, sts_demand_equal(&a, &b));
		assert_int_equal(sts_demand_equal(&a, &b), rows[i].want);
		sts_finding_clear(&fa);
		sts_finding_clear(&fb);
	}
}

static void test_what_to_look_at(void **state)
{
	(void)state;
	static const struct { const char *label, *mode; const struct sts_tlsa *tlsa; const struct sts_rule *rule; enum wish wish; bool tls, pkix, dane; } rows[] = {
		{ "nothing", NULL, NULL, NULL, PLAIN, false, false, false },
		{ "testing", "testing", NULL, NULL, PLAIN, false, true, false },
		{ "enforce", "enforce", NULL, NULL, PLAIN, true, true, false },
		{ "TLSA", NULL, &usable, NULL, PLAIN, true, false, true },
		{ "TLSA and testing", "testing", &usable, NULL, PLAIN, true, true, true },
		{ "unusable TLSA", NULL, &unusable, NULL, PLAIN, true, false, false },
		{ "rule: encrypt", NULL, NULL, &floor_encrypt, PLAIN, true, false, false },
		{ "rule: verify", NULL, NULL, &floor_verify, PLAIN, true, true, false },
		{ "override: none", "enforce", &usable, &over_none, PLAIN, false, false, false },
		{ "override: may", "enforce", &usable, &over_may, PLAIN, false, true, true },
		{ "REQUIRETLS", NULL, NULL, NULL, REQUIRETLS, true, true, false },
		{ "TLS-Required: No", "enforce", &usable, NULL, TLS_NO, false, false, false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_finding f;
		struct sts_demand d;
		ask(rows[i].mode, LISTED, rows[i].tlsa, STS_DANE_AUTO, rows[i].rule, rows[i].wish, true, &f, &d);
		print_message("%s: want %d %d %d, got %d %d %d\n", rows[i].label, rows[i].tls, rows[i].pkix, rows[i].dane, sts_demand_needs_tls(&d),
		              sts_demand_looks_pkix(&d), sts_demand_looks_dane(&d));
		assert_int_equal(sts_demand_needs_tls(&d), rows[i].tls);
		assert_int_equal(sts_demand_looks_pkix(&d), rows[i].pkix);
		assert_int_equal(sts_demand_looks_dane(&d), rows[i].dane);
		sts_finding_clear(&f);
	}
}

/* ---- rules ---- */

static void test_a_rule_ends(void **state)
{
	(void)state;
	assert_true(sts_rule_in_force(&over_may, UNTIL - 1));
	assert_false(sts_rule_in_force(&over_may, UNTIL));
	assert_true(sts_rule_in_force(&floor_verify, INT64_MAX));
}

static void test_rule_words(void **state)
{
	(void)state;
	static const struct { const struct sts_rule *rule; const char *want; } rows[] = {
		{ &floor_verify, "tls: verify" }, { &over_none, "tls: none, override until 2027-01-31 (they mend it)" },
		{ &over_nothing, "override until 2027-01-31 (they mend it)" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf got;
		sp_buf_init(&got, 1024);
		sts_rule_print(rows[i].rule, &got);
		assert_string_equal(sp_buf_cstr(&got), rows[i].want);
		sp_buf_clear(&got);
	}
	enum sts_level l;
	assert_true(sts_level_parse(SP_STR("verify"), &l));
	assert_int_equal(l, STS_LEVEL_VERIFY);
	assert_true(sts_level_parse(SP_STR("none"), &l));
	assert_int_equal(l, STS_LEVEL_CLEAR);
	assert_false(sts_level_parse(SP_STR(""), &l));
	assert_false(sts_level_parse(SP_STR("Verify"), &l));
	assert_string_equal(sts_level_str(STS_LEVEL_DANE), "dane");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts), cmocka_unit_test(test_result_of_a_bar), cmocka_unit_test(test_requiretls_waits_for_a_policy_that_cannot_be_had_now),
		cmocka_unit_test(test_sessions), cmocka_unit_test(test_texts),
		cmocka_unit_test(test_ready), cmocka_unit_test(test_equal), cmocka_unit_test(test_what_to_look_at), cmocka_unit_test(test_a_rule_ends),
		cmocka_unit_test(test_rule_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

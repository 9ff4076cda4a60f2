/* tests/unit/sts_verdict_test.c - sts/verdict.c: what an MX host must prove, and whether it did. Every row of DESIGN.md's policy table that
 * speaks of MTA-STS is here. */
#include "sts/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW 1800000000  /* 2027-01-15T08:00:00Z */

/* `mode`: NULL for no policy. */
static void find(const char *mode, struct sts_finding *f)
{
	sts_finding_init(f);
	if (mode == NULL)
		return;
	char body[256];
	snprintf(body, sizeof(body), "version: STSv1\nmode: %s\nmx: mx1.example.com\nmx: *.example.net\nmax_age: 604800\n", mode);
	f->policy = sts_policy_parse(sp_str_of(body), NULL, NULL, NULL);
	assert_non_null(f->policy);
	f->source = STS_SOURCE_CACHE;
	f->fetched_s = NOW;
	snprintf(f->id, sizeof(f->id), "20270115");
}

/* ---- before the session ---- */

static const struct {
	const char *label, *mode, *host;
	enum sts_requirement require;
	const char *barred, *counted;           /* reason words, NULL for none */
} hosts[] = {
	{ "no policy", NULL, "mx1.example.com", STS_REQUIRE_NONE, NULL, NULL },
	{ "no policy, any host", NULL, "mx.other.example", STS_REQUIRE_NONE, NULL, NULL },
	{ "none: as without a policy", "none", "mx1.example.com", STS_REQUIRE_NONE, NULL, NULL },
	{ "none, not listed: as without a policy", "none", "mx.other.example", STS_REQUIRE_NONE, NULL, NULL },
	{ "testing, listed", "testing", "mx1.example.com", STS_REQUIRE_TRY_PKIX, NULL, NULL },
	{ "testing, not listed: counted", "testing", "mx.other.example", STS_REQUIRE_TRY_PKIX, NULL, "mx-mismatch" },
	{ "enforce, listed", "enforce", "mx1.example.com", STS_REQUIRE_PKIX, NULL, NULL },
	{ "enforce, listed, other case and a dot", "enforce", "MX1.Example.COM.", STS_REQUIRE_PKIX, NULL, NULL },
	{ "enforce, listed by a wildcard", "enforce", "a.example.net", STS_REQUIRE_PKIX, NULL, NULL },
	{ "enforce, wildcard is one label", "enforce", "a.b.example.net", STS_REQUIRE_PKIX, "mx-mismatch", NULL },
	{ "enforce, MX not listed: barred", "enforce", "mx.other.example", STS_REQUIRE_PKIX, "mx-mismatch", NULL },
};

static void test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(hosts); i++) {
		struct sts_finding f;
		find(hosts[i].mode, &f);
		struct sts_demand d;
		memset(&d, 0x55, sizeof(d));
		sts_verdict_host(&(struct sts_question){ .finding = &f, .host = hosts[i].host }, &d);
		print_message("%s: want %s barred=%s counted=%s, got %s barred=%s counted=%s\n", hosts[i].label, sts_requirement_str(hosts[i].require),
		              hosts[i].barred ? hosts[i].barred : "", hosts[i].counted ? hosts[i].counted : "",
		              sts_requirement_str(d.require), d.barred.reason, d.counted.reason);
		assert_int_equal(d.require, hosts[i].require);
		assert_int_equal(d.has_policy, hosts[i].mode != NULL);
		assert_string_equal(sts_mode_str(d.mode), hosts[i].mode ? hosts[i].mode : "none");
		assert_int_equal(sp_failed(&d.barred), hosts[i].barred != NULL);
		assert_int_equal(sp_failed(&d.counted), hosts[i].counted != NULL);
		assert_string_equal(d.barred.reason, hosts[i].barred ? hosts[i].barred : "");
		assert_string_equal(d.counted.reason, hosts[i].counted ? hosts[i].counted : "");
		assert_string_equal(d.host, hosts[i].host);
		sts_finding_clear(&f);
	}
}

static void test_a_mismatch_is_explained(void **state)
{
	(void)state;
	struct sts_finding f;
	find("enforce", &f);
	struct sts_demand d;
	sts_verdict_host(&(struct sts_question){ .finding = &f, .host = "mx.other.example" }, &d);
	print_message("%s\n", d.barred.text);
	assert_int_equal(d.barred.kind, SP_FAIL_POLICY);
	assert_int_equal(d.barred.result, SP_RESULT_VALIDATION_FAILURE);
	assert_false(d.barred.permanent);
	assert_int_equal(d.barred.code, 0);
	assert_string_equal(d.barred.esc, "4.7.0");
	static const char *const parts[] = { "mx.other.example", "mode enforce", "id 20270115", "cache", "2027-01-15T08:00:00Z", "mx1.example.com, *.example.net" };
	for (size_t i = 0; i < SP_COUNT(parts); i++)
		assert_non_null(strstr(d.barred.text, parts[i]));
	assert_null(strstr(d.barred.text, "more"));
	sts_finding_clear(&f);
}

/* The longest names and many patterns: the sentence stays whole. */
static void test_a_long_mismatch_fits(void **state)
{
	(void)state;
	struct sp_buf body;
	sp_buf_init(&body, 65536);
	sp_buf_adds(&body, "version: STSv1\nmode: testing\nmax_age: 604800\n");
	for (int i = 0; i < 20; i++)
		sp_buf_printf(&body, "mx: m%d.aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff.example\n", i);
	struct sts_finding f;
	find(NULL, &f);
	f.policy = sts_policy_parse(sp_buf_str(&body), NULL, NULL, NULL);
	f.source = STS_SOURCE_CACHE_UNCONFIRMED;
	char host[254];
	memset(host, 'h', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	struct sts_demand d;
	sts_verdict_host(&(struct sts_question){ .finding = &f, .host = host }, &d);
	print_message("%s\n", d.counted.text);
	assert_string_equal(d.host, host);
	assert_non_null(strstr(d.counted.text, "m2.aaa"));
	assert_null(strstr(d.counted.text, "m3.aaa"));
	assert_non_null(strstr(d.counted.text, " and 17 more"));
	assert_non_null(strstr(d.policy, "id unknown, cache-unconfirmed"));
	sp_buf_clear(&body);
	sts_finding_clear(&f);
}

/* ---- in the session ---- */

enum starttls { OFFERED, MISSING };
enum seen {
	GOOD,                   /* encrypted, the certificate proves the host */
	CLEAR,                  /* nothing failed, but nothing is encrypted */
	NOT_OFFERED,            /* as the client engine tells it */
	REFUSED,                /* 454 to STARTTLS */
	REFUSED_FOR_GOOD,       /* 554 to STARTTLS */
	HANDSHAKE,              /* broken */
	LOST,                   /* the connection went during it; no result named */
	EXPIRED, WRONG_NAME, UNTRUSTED, UNNAMED,        /* certificates */
	UNVERIFIED,             /* encrypted, and nobody looked at the certificate */
	TWICE                   /* expired, and the session says that STARTTLS failed too */
};

static struct sts_shown show(enum starttls offered, enum seen seen)
{
	struct sts_shown s = { .starttls_offered = offered == OFFERED, .encrypted = seen == GOOD || seen >= EXPIRED, .verified = seen == GOOD };
	switch (seen) {
	case GOOD:
	case CLEAR:
	case UNVERIFIED:
		break;
	case NOT_OFFERED:
		sp_fail_tls(&s.starttls, SP_FAIL_PROTOCOL, SP_RESULT_STARTTLS_NOT_SUPPORTED, "no-starttls", "STARTTLS is not among the extensions");
		break;
	case REFUSED:
	case REFUSED_FOR_GOOD:
		sp_fail_tls(&s.starttls, SP_FAIL_REPLY, SP_RESULT_STARTTLS_NOT_SUPPORTED, "starttls-refused", "STARTTLS was refused");
		s.starttls.code = seen == REFUSED ? 454 : 554;
		s.starttls.permanent = seen == REFUSED_FOR_GOOD;
		snprintf(s.starttls.esc, sizeof(s.starttls.esc), "5.7.9");
		break;
	case HANDSHAKE:
		sp_fail_tls(&s.starttls, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "alert", "handshake failure");
		break;
	case LOST:
		sp_fail_set(&s.starttls, SP_FAIL_CONNECT, "connection reset");
		break;
	case EXPIRED:
		sp_fail_tls(&s.certificate, SP_FAIL_TLS, SP_RESULT_CERTIFICATE_EXPIRED, "X509_V_ERR_CERT_HAS_EXPIRED", "it ended yesterday");
		break;
	case WRONG_NAME:
		sp_fail_tls(&s.certificate, SP_FAIL_TLS, SP_RESULT_CERTIFICATE_HOST_MISMATCH, "X509_V_ERR_HOSTNAME_MISMATCH", "it is for others");
		break;
	case UNTRUSTED:
		sp_fail_tls(&s.certificate, SP_FAIL_TLS, SP_RESULT_CERTIFICATE_NOT_TRUSTED, "X509_V_ERR_SELF_SIGNED", "self-signed");
		break;
	case UNNAMED:
		sp_fail_set(&s.certificate, SP_FAIL_TLS, "no certificate");
		break;
	case TWICE:
		sp_fail_tls(&s.starttls, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "first", "the first fault");
		sp_fail_tls(&s.certificate, SP_FAIL_TLS, SP_RESULT_CERTIFICATE_EXPIRED, "second", "the second fault");
		break;
	}
	return s;
}

static const struct {
	const char *label, *mode, *host;        /* host NULL: a listed one */
	enum starttls offered;
	enum seen seen;
	enum sts_decision want;
	const char *result, *reason;            /* NULL: no failure to report */
} sessions[] = {
	/* DESIGN.md: nothing demanded: opportunistic. RFC 8460 4.4: what stays in the clear is no "successfully negotiated TLS connection" */
	{ "no policy, TLS", NULL, NULL, OFFERED, GOOD, STS_DELIVER, NULL, NULL },
	{ "no policy, no STARTTLS", NULL, NULL, MISSING, CLEAR, STS_DELIVER, "starttls-not-supported", "starttls-not-offered" },
	{ "no policy, no STARTTLS, told", NULL, NULL, MISSING, NOT_OFFERED, STS_DELIVER, "starttls-not-supported", "no-starttls" },
	{ "no policy, STARTTLS refused by a reply: goes on in the clear", NULL, NULL, OFFERED, REFUSED, STS_DELIVER, "starttls-not-supported", "starttls-refused" },
	{ "no policy, STARTTLS refused for good", NULL, NULL, OFFERED, REFUSED_FOR_GOOD, STS_DELIVER, "starttls-not-supported", "starttls-refused" },
	{ "no policy, handshake fails: once more in the clear", NULL, NULL, OFFERED, HANDSHAKE, STS_RETRY_CLEAR, "validation-failure", "alert" },
	{ "no policy, connection lost in the handshake", NULL, NULL, OFFERED, LOST, STS_RETRY_CLEAR, "validation-failure", "tls-not-established" },
	{ "no policy, the one attempt in the clear", NULL, NULL, OFFERED, CLEAR, STS_DELIVER, "validation-failure", "tls-not-established" },
	{ "no policy, certificate expired", NULL, NULL, OFFERED, EXPIRED, STS_DELIVER, NULL, NULL },
	{ "none, certificate for another name", "none", NULL, OFFERED, WRONG_NAME, STS_DELIVER, NULL, NULL },
	{ "none, not listed", "none", "mx.other.example", OFFERED, GOOD, STS_DELIVER, NULL, NULL },
	{ "none, no STARTTLS", "none", NULL, MISSING, CLEAR, STS_DELIVER, "starttls-not-supported", "starttls-not-offered" },
	{ "none, handshake fails", "none", NULL, OFFERED, HANDSHAKE, STS_RETRY_CLEAR, "validation-failure", "alert" },

	/* DESIGN.md: enforce */
	{ "enforce, honest", "enforce", NULL, OFFERED, GOOD, STS_DELIVER, NULL, NULL },
	{ "enforce, no STARTTLS", "enforce", NULL, MISSING, CLEAR, STS_REFUSE, "starttls-not-supported", "starttls-not-offered" },
	{ "enforce, no STARTTLS, told", "enforce", NULL, MISSING, NOT_OFFERED, STS_REFUSE, "starttls-not-supported", "no-starttls" },
	{ "enforce, STARTTLS refused", "enforce", NULL, OFFERED, REFUSED, STS_REFUSE, "starttls-not-supported", "starttls-refused" },
	{ "enforce, STARTTLS refused for good: no bounce", "enforce", NULL, OFFERED, REFUSED_FOR_GOOD, STS_REFUSE, "starttls-not-supported",
	  "starttls-refused" },
	{ "enforce, handshake fails: never in the clear", "enforce", NULL, OFFERED, HANDSHAKE, STS_REFUSE, "validation-failure", "alert" },
	{ "enforce, connection lost in the handshake", "enforce", NULL, OFFERED, LOST, STS_REFUSE, "validation-failure", "tls-not-established" },
	{ "enforce, offered, nothing failed, not encrypted", "enforce", NULL, OFFERED, CLEAR, STS_REFUSE, "validation-failure", "tls-not-established" },
	{ "enforce, certificate expired", "enforce", NULL, OFFERED, EXPIRED, STS_REFUSE, "certificate-expired", "X509_V_ERR_CERT_HAS_EXPIRED" },
	{ "enforce, certificate for another name", "enforce", NULL, OFFERED, WRONG_NAME, STS_REFUSE, "certificate-host-mismatch",
	  "X509_V_ERR_HOSTNAME_MISMATCH" },
	{ "enforce, certificate not trusted", "enforce", NULL, OFFERED, UNTRUSTED, STS_REFUSE, "certificate-not-trusted", "X509_V_ERR_SELF_SIGNED" },
	{ "enforce, no certificate", "enforce", NULL, OFFERED, UNNAMED, STS_REFUSE, "validation-failure", "not-verified" },
	{ "enforce, nobody verified", "enforce", NULL, OFFERED, UNVERIFIED, STS_REFUSE, "validation-failure", "not-verified" },
	{ "enforce, MX not listed", "enforce", "mx.other.example", OFFERED, GOOD, STS_REFUSE, "validation-failure", "mx-mismatch" },
	{ "enforce, not listed and expired: one failure, the first", "enforce", "mx.other.example", OFFERED, EXPIRED, STS_REFUSE,
	  "validation-failure", "mx-mismatch" },
	{ "enforce, two faults in one session: the first", "enforce", NULL, OFFERED, TWICE, STS_REFUSE, "validation-failure", "first" },

	/* DESIGN.md: testing delivers; the same failure, counted */
	{ "testing, honest", "testing", NULL, OFFERED, GOOD, STS_DELIVER, NULL, NULL },
	{ "testing, no STARTTLS", "testing", NULL, MISSING, CLEAR, STS_DELIVER, "starttls-not-supported", "starttls-not-offered" },
	{ "testing, STARTTLS refused", "testing", NULL, OFFERED, REFUSED, STS_DELIVER, "starttls-not-supported", "starttls-refused" },
	{ "testing, handshake fails: once more in the clear", "testing", NULL, OFFERED, HANDSHAKE, STS_RETRY_CLEAR, "validation-failure", "alert" },
	{ "testing, connection lost in the handshake", "testing", NULL, OFFERED, LOST, STS_RETRY_CLEAR, "validation-failure", "tls-not-established" },
	{ "testing, the one attempt in the clear", "testing", NULL, OFFERED, CLEAR, STS_DELIVER, "validation-failure", "tls-not-established" },
	{ "testing, certificate expired", "testing", NULL, OFFERED, EXPIRED, STS_DELIVER, "certificate-expired", "X509_V_ERR_CERT_HAS_EXPIRED" },
	{ "testing, certificate for another name", "testing", NULL, OFFERED, WRONG_NAME, STS_DELIVER, "certificate-host-mismatch",
	  "X509_V_ERR_HOSTNAME_MISMATCH" },
	{ "testing, certificate not trusted", "testing", NULL, OFFERED, UNTRUSTED, STS_DELIVER, "certificate-not-trusted", "X509_V_ERR_SELF_SIGNED" },
	{ "testing, MX not listed", "testing", "mx.other.example", OFFERED, GOOD, STS_DELIVER, "validation-failure", "mx-mismatch" },
	{ "testing, not listed and expired: one failure, the first", "testing", "mx.other.example", OFFERED, EXPIRED, STS_DELIVER,
	  "validation-failure", "mx-mismatch" },
	{ "testing, not listed and handshake fails", "testing", "mx.other.example", OFFERED, HANDSHAKE, STS_RETRY_CLEAR, "validation-failure", "mx-mismatch" },
	{ "testing, not listed and no STARTTLS", "testing", "mx.other.example", MISSING, CLEAR, STS_DELIVER, "validation-failure", "mx-mismatch" },
};

static void test_sessions(void **state)
{
	(void)state;
	static const char *const decisions[] = { [STS_DELIVER] = "deliver", [STS_RETRY_CLEAR] = "retry-clear", [STS_REFUSE] = "refuse" };
	for (size_t i = 0; i < SP_COUNT(sessions); i++) {
		struct sts_finding f;
		find(sessions[i].mode, &f);
		struct sts_demand d;
		sts_verdict_host(&(struct sts_question){ .finding = &f, .host = sessions[i].host ? sessions[i].host : "mx1.example.com" }, &d);
		struct sts_shown shown = show(sessions[i].offered, sessions[i].seen);
		struct sts_result told;
		memset(&told, 0x55, sizeof(told));
		enum sts_decision got = sts_verdict_session(&d, &shown, &told);
		struct sp_fail why = told.why;
		const char *result = sessions[i].result ? sessions[i].result : "none", *reason = sessions[i].reason ? sessions[i].reason : "";
		print_message("%s: want %s %s %s, got %s %s %s (%s)\n", sessions[i].label, decisions[sessions[i].want], result, reason, decisions[got],
		              sp_result_str(why.result), why.reason, why.text);
		assert_int_equal(got, sessions[i].want);
		assert_int_equal(sp_failed(&why), sessions[i].result != NULL);
		assert_string_equal(sp_result_str(why.result), result);
		assert_string_equal(why.reason, reason);
		assert_false(why.permanent);                    /* a refusal by policy defers: the next try may find an honest host */
		if (sp_failed(&why) && d.require != STS_REQUIRE_NONE) {
			assert_int_equal(why.kind, SP_FAIL_POLICY);
			assert_int_equal(why.esc[0], '4');
			assert_non_null(strstr(why.text, sessions[i].host ? sessions[i].host : "mx1.example.com"));
			assert_non_null(strstr(why.text, "MTA-STS policy (mode "));
			assert_non_null(strstr(why.text, "id 20270115, cache"));
		}
		sts_finding_clear(&f);
	}
}

static void test_a_breach_keeps_the_evidence(void **state)
{
	(void)state;
	struct sts_finding f;
	find("enforce", &f);
	struct sts_demand d;
	sts_verdict_host(&(struct sts_question){ .finding = &f, .host = "mx1.example.com" }, &d);
	static const struct { enum seen seen; int code; const char *esc, *text; } kept[] = {
		{ REFUSED_FOR_GOOD, 554, "4.7.4", "STARTTLS was refused" },
		{ EXPIRED, 0, "4.7.5", "it ended yesterday" },
		{ HANDSHAKE, 0, "4.7.5", "handshake failure" },
		{ LOST, 0, "4.7.5", "connection reset" },
	};
	for (size_t i = 0; i < SP_COUNT(kept); i++) {
		struct sts_shown shown = show(OFFERED, kept[i].seen);
		struct sts_result told;
		assert_int_equal(sts_verdict_session(&d, &shown, &told), STS_REFUSE);
		struct sp_fail why = told.why;
		print_message("want %d %s %s, got %d %s %s\n", kept[i].code, kept[i].esc, kept[i].text, why.code, why.esc, why.text);
		assert_int_equal(why.code, kept[i].code);
		assert_string_equal(why.esc, kept[i].esc);
		assert_non_null(strstr(why.text, kept[i].text));
	}
	sts_finding_clear(&f);
}

static void test_words(void **state)
{
	(void)state;
	assert_string_equal(sts_requirement_str(STS_REQUIRE_NONE), "none");
	assert_string_equal(sts_requirement_str(STS_REQUIRE_TRY_PKIX), "testing");
	assert_string_equal(sts_requirement_str(STS_REQUIRE_PKIX), "pkix");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts), cmocka_unit_test(test_a_mismatch_is_explained), cmocka_unit_test(test_a_long_mismatch_fits),
		cmocka_unit_test(test_sessions), cmocka_unit_test(test_a_breach_keeps_the_evidence), cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

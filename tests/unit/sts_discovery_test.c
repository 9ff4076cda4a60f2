/* tests/unit/sts_discovery_test.c - sts/discovery.c, entry.c, fetch.c: what DNS, the cache and the policy host make of each other.
 * The rows are named after DESIGN.md's policy table and the faults that others shipped. */
#include "sts/discovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1800000000
#define MIN 60
#define HOUR 3600
#define DAY 86400

#define ENFORCE "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 604800\n"
#define TESTING "version: STSv1\nmode: testing\nmx: mx.example.com\nmax_age: 604800\n"
#define NOTHING "version: STSv1\nmode: none\nmax_age: 604800\n"

static const struct sts_rules rules = { .first_contact_defer = false, .refresh_s = DAY };
static const struct sts_rules strict = { .first_contact_defer = true, .refresh_s = DAY };

/* ---- the world ---- */

struct answer {
	struct core_dns_answer dns;
	struct core_dns_record records[4];
};

/* `txts`: records separated by '|'; NULL with a status for none. */
static struct answer *answer(enum core_dns_status status, const char *txts)
{
	static struct answer a;
	memset(&a, 0, sizeof(a));
	a.dns.status = status;
	struct sp_str rest = sp_str_of(txts);
	while (rest.len > 0) {
		a.records[a.dns.count].type = CORE_DNS_TXT;
		a.records[a.dns.count++].txt = sp_take_until(&rest, '|');
	}
	a.dns.records = a.records;
	return &a;
}

static const struct core_dns_answer *record(const char *id)
{
	static char text[64];
	snprintf(text, sizeof(text), "v=STSv1; id=%s;", id);
	return &answer(CORE_DNS_OK, text)->dns;
}

static struct sts_fetch served(const char *body)
{
	return (struct sts_fetch){ .status = 200, .content_type = "text/plain", .content_encoding = "", .body = sp_str_of(body) };
}

static struct sts_fetch status_of(int status)
{
	return (struct sts_fetch){ .status = status, .content_type = "text/plain", .content_encoding = "", .body = SP_STR(ENFORCE) };
}

/* A domain whose policy was fetched under `id` at `at_s`. */
static void known(struct sts_entry *e, const char *id, const char *body, int64_t at_s)
{
	sts_entry_init(e);
	struct sts_fetch fetch = served(body);
	struct sts_finding f;
	sts_finding_init(&f);
	bool changed = false;
	sts_discover_fetched(e, id, &fetch, &rules, at_s, 0, &changed, &f);
	assert_true(changed && e->policy);
	sts_finding_clear(&f);
}

static void fetch_fails(struct sts_entry *e, const char *id, int64_t at_s)
{
	struct sts_fetch fetch = status_of(404);
	struct sts_finding f;
	sts_finding_init(&f);
	bool changed = false;
	sts_discover_fetched(e, id, &fetch, &rules, at_s, 0, &changed, &f);
	assert_true(changed);
	sts_finding_clear(&f);
}

/* "fetch ID" or "SOURCE MODE[ record][ REASON][ unreachable][ defer]" */
static const char *said(enum sts_next next, const char *id, const struct sts_finding *f)
{
	static char text[256];
	if (next == STS_NEXT_FETCH) {
		snprintf(text, sizeof(text), "fetch %s", id);
		return text;
	}
	snprintf(text, sizeof(text), "%s %s%s%s%s%s%s", sts_source_str(f->source),
	         f->policy ? sts_mode_str(sts_policy_mode(f->policy)) : "-", f->has_record ? " record" : "",
	         sp_failed(&f->fetch_fail) ? " " : "", sp_failed(&f->fetch_fail) ? f->fetch_fail.reason : "",
	         f->unreachable ? " unreachable" : "", sp_failed(&f->defer) ? " defer" : "");
	return text;
}

static void expect_txt(const char *label, const struct sts_entry *e, const struct core_dns_answer *txt, bool fresh,
                       const struct sts_rules *with, int64_t now_s, const char *want)
{
	struct sts_finding f;
	sts_finding_init(&f);
	char id[STS_ID_MAX + 1] = "unset";
	enum sts_next next = sts_discover_txt(e, txt, fresh, with, now_s, id, &f);
	const char *got = said(next, id, &f);
	print_message("%s: want '%s', got '%s'\n", label, want, got);
	assert_string_equal(got, want);
	if (f.policy) {
		assert_string_equal(f.id, e->id);
		assert_int_equal(f.fetched_s, e->fetched_s);
		assert_int_equal(f.expires_s, e->expires_s);
	}
	sts_finding_clear(&f);
}

/* ---- the record against the cache ---- */

enum cached { EMPTY, CACHED, EXPIRED, FAILED_NEW, FAILED_ONLY, CACHED_NONE };

static void make(enum cached what, struct sts_entry *e)
{
	switch (what) {
	case EMPTY:
		sts_entry_init(e);
		break;
	case CACHED:
		known(e, "1", ENFORCE, NOW - DAY);
		break;
	case CACHED_NONE:
		known(e, "1", NOTHING, NOW - DAY);
		break;
	case EXPIRED:
		known(e, "1", ENFORCE, NOW - 8 * DAY);
		break;
	case FAILED_NEW:                        /* a policy under 1, and the fetch under 2 failed a minute ago */
		known(e, "1", ENFORCE, NOW - DAY);
		fetch_fails(e, "2", NOW - MIN);
		break;
	case FAILED_ONLY:                       /* nothing, and the fetch under 1 failed a minute ago */
		sts_entry_init(e);
		fetch_fails(e, "1", NOW - MIN);
		break;
	}
}

static const struct {
	const char *label;
	enum cached cached;
	enum core_dns_status status;
	const char *txts;
	bool fresh, strict;
	const char *want;
} rows[] = {
	/* DESIGN.md: no record, or not exactly one, nothing cached: opportunistic, no-policy-found */
	{ "no record, nothing cached", EMPTY, CORE_DNS_NODATA, NULL, false, false, "none -" },
	{ "no such name, nothing cached", EMPTY, CORE_DNS_NXDOMAIN, NULL, false, false, "none -" },
	{ "other records only", EMPTY, CORE_DNS_OK, "v=spf1 -all", false, false, "none -" },
	{ "several records are none", EMPTY, CORE_DNS_OK, "v=STSv1; id=1;|v=STSv1; id=2;", false, false, "none -" },
	{ "invalid record is none", EMPTY, CORE_DNS_OK, "v=STSv1; id=not-an-id", false, false, "none -" },
	{ "CNAME loop is none", EMPTY, CORE_DNS_CHAIN, NULL, false, true, "none -" },
	{ "a name too long for _mta-sts is none", EMPTY, CORE_DNS_BADNAME, NULL, false, true, "none -" },
	{ "no record is no reason to defer", EMPTY, CORE_DNS_NODATA, NULL, false, true, "none -" },
	{ "an invalid record is no reason to defer", EMPTY, CORE_DNS_OK, "v=STSv1;", false, true, "none -" },
	{ "fresh without a record and a policy asks nothing", EMPTY, CORE_DNS_NODATA, NULL, true, false, "none -" },

	/* TRAPS: TXT SERVFAIL or timeout with nothing cached */
	{ "SERVFAIL, nothing cached: deliver", EMPTY, CORE_DNS_SERVFAIL, NULL, false, false, "none - unreachable" },
	{ "SERVFAIL, nothing cached, first_contact: defer", EMPTY, CORE_DNS_SERVFAIL, NULL, false, true, "none - unreachable defer" },
	{ "timeout, first_contact: defer", EMPTY, CORE_DNS_TIMEOUT, NULL, false, true, "none - unreachable defer" },
	{ "REFUSED, first_contact: defer", EMPTY, CORE_DNS_REFUSED, NULL, false, true, "none - unreachable defer" },
	{ "malformed answer, first_contact: defer", EMPTY, CORE_DNS_MALFORMED, NULL, false, true, "none - unreachable defer" },
	{ "SERVFAIL, expired, first_contact: defer", EXPIRED, CORE_DNS_SERVFAIL, NULL, false, true, "none - unreachable defer" },
	{ "SERVFAIL, cached, first_contact: defer: cached rules", CACHED, CORE_DNS_SERVFAIL, NULL, false, true, "cache-unconfirmed enforce" },

	/* a record */
	{ "record, nothing cached: fetch", EMPTY, CORE_DNS_OK, "v=STSv1; id=1;", false, false, "fetch 1" },
	{ "record among others: fetch", EMPTY, CORE_DNS_OK, "v=spf1 -all|v=STSv1; id=1;", false, false, "fetch 1" },
	{ "same id, cached: no fetch", CACHED, CORE_DNS_OK, "v=STSv1; id=1;", false, false, "cache enforce record" },
	{ "same id, cached none: no fetch", CACHED_NONE, CORE_DNS_OK, "v=STSv1; id=1;", false, false, "cache none record" },
	{ "another id, cached: fetch", CACHED, CORE_DNS_OK, "v=STSv1; id=2;", false, false, "fetch 2" },
	{ "an id that begins alike: fetch", CACHED, CORE_DNS_OK, "v=STSv1; id=10;", false, false, "fetch 10" },
	{ "same id, expired: fetch", EXPIRED, CORE_DNS_OK, "v=STSv1; id=1;", false, false, "fetch 1" },
	{ "another id, expired: fetch", EXPIRED, CORE_DNS_OK, "v=STSv1; id=2;", false, false, "fetch 2" },

	/* RFC 8461 5.1, DESIGN.md: record gone or unreachable, valid policy cached: it rules */
	{ "record gone, cached", CACHED, CORE_DNS_NODATA, NULL, false, false, "cache-unconfirmed enforce" },
	{ "name gone, cached", CACHED, CORE_DNS_NXDOMAIN, NULL, false, false, "cache-unconfirmed enforce" },
	{ "record unreachable, cached", CACHED, CORE_DNS_SERVFAIL, NULL, false, false, "cache-unconfirmed enforce" },
	{ "timeout, cached", CACHED, CORE_DNS_TIMEOUT, NULL, false, false, "cache-unconfirmed enforce" },
	{ "record invalid, cached", CACHED, CORE_DNS_OK, "v=STSv1;", false, false, "cache-unconfirmed enforce" },
	{ "several records, cached", CACHED, CORE_DNS_OK, "v=STSv1; id=1;|v=STSv1; id=2;", false, false, "cache-unconfirmed enforce" },
	{ "record gone, expired: no policy", EXPIRED, CORE_DNS_NODATA, NULL, false, false, "none -" },
	{ "record unreachable, expired: no policy", EXPIRED, CORE_DNS_SERVFAIL, NULL, false, false, "none - unreachable" },

	/* failed fetches back off, for a (domain, id) */
	{ "failed a minute ago, nothing cached", FAILED_ONLY, CORE_DNS_OK, "v=STSv1; id=1;", false, false, "none - record http-status-404" },
	{ "failed a minute ago, another id at once", FAILED_ONLY, CORE_DNS_OK, "v=STSv1; id=2;", false, false, "fetch 2" },
	{ "failed a minute ago, record gone", FAILED_ONLY, CORE_DNS_NODATA, NULL, false, false, "none -" },
	{ "failed a minute ago is no reason to defer", FAILED_ONLY, CORE_DNS_OK, "v=STSv1; id=1;", false, true, "none - record http-status-404" },
	{ "new id failed a minute ago, cached rules", FAILED_NEW, CORE_DNS_OK, "v=STSv1; id=2;", false, false,
	  "cache-unconfirmed enforce record http-status-404" },
	{ "new id failed, the old one is back", FAILED_NEW, CORE_DNS_OK, "v=STSv1; id=1;", false, false, "cache enforce record" },
	{ "new id failed, a newer one at once", FAILED_NEW, CORE_DNS_OK, "v=STSv1; id=3;", false, false, "fetch 3" },
	{ "new id failed, record gone", FAILED_NEW, CORE_DNS_NODATA, NULL, false, false, "cache-unconfirmed enforce" },
	{ "new id failed, mail in danger: not sooner", FAILED_NEW, CORE_DNS_OK, "v=STSv1; id=2;", true, false,
	  "cache-unconfirmed enforce record http-status-404" },

	/* DESIGN.md: before mail is given up because of a policy, it is looked up afresh */
	{ "mail in danger, same id: fetch", CACHED, CORE_DNS_OK, "v=STSv1; id=1;", true, false, "fetch 1" },
	{ "mail in danger, another id: fetch", CACHED, CORE_DNS_OK, "v=STSv1; id=2;", true, false, "fetch 2" },
	{ "mail in danger, record gone: fetch, there may be a mode none", CACHED, CORE_DNS_NODATA, NULL, true, false, "fetch 1" },
	{ "mail in danger, record unreachable: fetch", CACHED, CORE_DNS_SERVFAIL, NULL, true, false, "fetch 1" },
	{ "mail in danger, expired, record gone: nothing to fetch", EXPIRED, CORE_DNS_NODATA, NULL, true, false, "none -" },
};

static void test_record_against_cache(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sts_entry e;
		make(rows[i].cached, &e);
		expect_txt(rows[i].label, &e, &answer(rows[i].status, rows[i].txts)->dns, rows[i].fresh, rows[i].strict ? &strict : &rules, NOW,
		           rows[i].want);
		sts_entry_clear(&e);
	}
}

static void test_first_contact_is_explained(void **state)
{
	(void)state;
	struct sts_entry e;
	sts_entry_init(&e);
	struct sts_finding f;
	sts_finding_init(&f);
	char id[STS_ID_MAX + 1];
	assert_int_equal(sts_discover_txt(&e, &answer(CORE_DNS_SERVFAIL, NULL)->dns, false, &strict, NOW, id, &f), STS_NEXT_DONE);
	print_message("%s %s\n", f.defer.esc, f.defer.text);
	assert_int_equal(f.defer.kind, SP_FAIL_DNS);
	assert_int_equal(f.defer.result, SP_RESULT_NONE);
	assert_false(f.defer.permanent);
	assert_string_equal(f.defer.esc, "4.4.3");
	assert_string_equal(f.defer.reason, "first-contact");
	assert_non_null(strstr(f.defer.text, "server failure"));
	sts_finding_clear(&f);
}

/* ---- what a fetch is called, RFC 8460 4.3.2.2 ---- */

#define FAIL(k, r, why) { .kind = SP_FAIL_##k, .result = SP_RESULT_##r, .reason = why, .text = "as seen" }
#define FETCH_ERROR "sts-policy-fetch-error"
#define INVALID_POLICY "sts-policy-invalid"
#define WEBPKI "sts-webpki-invalid"

static const struct {
	const char *label;
	struct sts_fetch fetch;
	const char *result;     /* NULL: taken */
	const char *reason;
} fetches[] = {
	{ "a policy", { .status = 200, .content_type = "text/plain", .content_encoding = "", .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, NULL, NULL },
	{ "with parameters and in capitals", { .status = 200, .content_type = "Text/Plain ; Charset=utf-8", .content_encoding = "",
	  .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, NULL, NULL },
	{ "identity encoding", { .status = 200, .content_type = "text/plain", .content_encoding = " Identity", .body = { ENFORCE, sizeof(ENFORCE) - 1 } },
	  NULL, NULL },
	{ "no encoding told", { .status = 200, .content_type = "text/plain", .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, NULL, NULL },

	{ "no such name: for ever or not", { .fail = { .kind = SP_FAIL_DNS, .permanent = true, .text = "no such name" } }, FETCH_ERROR, "dns" },
	{ "connection refused", { .fail = FAIL(CONNECT, NONE, "refused") }, FETCH_ERROR, "refused" },
	{ "too late", { .fail = FAIL(HTTP, NONE, "timeout") }, FETCH_ERROR, "timeout" },
	{ "not HTTP", { .fail = FAIL(PROTOCOL, NONE, "") }, FETCH_ERROR, "protocol" },
	{ "body too large, told by the client", { .fail = FAIL(HTTP, NONE, "body-too-large"), .status = 200 }, FETCH_ERROR, "body-too-large" },
	{ "the handshake failed, no certificate was judged", { .fail = FAIL(TLS, VALIDATION_FAILURE, "timeout") }, FETCH_ERROR, "timeout" },
	{ "a bad certificate is not a failed fetch: expired", { .fail = FAIL(TLS, CERTIFICATE_EXPIRED, "X509_V_ERR_CERT_HAS_EXPIRED") }, WEBPKI,
	  "certificate-expired" },
	{ "certificate for another name", { .fail = FAIL(TLS, CERTIFICATE_HOST_MISMATCH, "") }, WEBPKI, "certificate-host-mismatch" },
	{ "certificate of an unknown root", { .fail = FAIL(TLS, CERTIFICATE_NOT_TRUSTED, "x") }, WEBPKI, "certificate-not-trusted" },
	{ "already named", { .fail = FAIL(TLS, STS_WEBPKI_INVALID, "chain") }, WEBPKI, "chain" },
	{ "already named, no reason", { .fail = FAIL(TLS, STS_WEBPKI_INVALID, "") }, WEBPKI, "tls" },
	{ "already named invalid", { .fail = FAIL(HTTP, STS_POLICY_INVALID, "x") }, INVALID_POLICY, "x" },
	{ "nothing at all", { .status = 0 }, FETCH_ERROR, "no-response" },

	{ "a 404 page is not an invalid policy", { .status = 404, .content_type = "text/html", .body = { "<html>", 6 } }, FETCH_ERROR, "http-status-404" },
	{ "404 with a policy in it", { .status = 404, .content_type = "text/plain", .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, FETCH_ERROR, "http-status-404" },
	{ "404 whose page is too large", { .status = 404, .fail = FAIL(HTTP, NONE, "body-too-large") }, FETCH_ERROR, "http-status-404" },
	{ "500", { .status = 500 }, FETCH_ERROR, "http-status-500" },
	{ "201 is not 200", { .status = 201, .content_type = "text/plain", .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, FETCH_ERROR, "http-status-201" },
	{ "199", { .status = 199 }, FETCH_ERROR, "http-status-199" },
	{ "299", { .status = 299 }, FETCH_ERROR, "http-status-299" },
	{ "RFC 8461 3.3: redirects are not followed: 300", { .status = 300 }, FETCH_ERROR, "redirect" },
	{ "301", { .status = 301, .content_type = "text/plain", .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, FETCH_ERROR, "redirect" },
	{ "399", { .status = 399 }, FETCH_ERROR, "redirect" },
	{ "400", { .status = 400 }, FETCH_ERROR, "http-status-400" },
	{ "HTML", { .status = 200, .content_type = "text/html", .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, FETCH_ERROR, "media-type" },
	{ "no media type", { .status = 200, .content_type = "", .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, FETCH_ERROR, "media-type" },
	{ "no media type at all", { .status = 200, .body = { ENFORCE, sizeof(ENFORCE) - 1 } }, FETCH_ERROR, "media-type" },
	{ "gzip that was not asked for", { .status = 200, .content_type = "text/plain", .content_encoding = "gzip", .body = { "\x1f\x8b", 2 } }, FETCH_ERROR,
	  "encoding" },
	{ "media type before encoding", { .status = 200, .content_type = "image/png", .content_encoding = "gzip", .body = { "x", 1 } }, FETCH_ERROR,
	  "media-type" },
	{ "not a policy", { .status = 200, .content_type = "text/plain", .body = { "hello\n", 6 } }, INVALID_POLICY, "policy-syntax" },
	{ "empty body", { .status = 200, .content_type = "text/plain", .body = { "", 0 } }, INVALID_POLICY, "policy-syntax" },
	{ "unknown mode is an invalid policy", { .status = 200, .content_type = "text/plain",
	  .body = { "version: STSv1\nmode: x\nmax_age: 86400\n", 38 } }, INVALID_POLICY, "policy-syntax" },
};

static void expect_fetch(size_t i, bool cached)
{
	struct sts_entry e;
	make(cached ? CACHED : EMPTY, &e);
	struct sts_finding f;
	sts_finding_init(&f);
	int64_t expires_s = e.expires_s, fetched_s = e.fetched_s;
	bool changed = false;
	sts_discover_fetched(&e, "2", &fetches[i].fetch, &rules, NOW, 0, &changed, &f);
	const char *result = fetches[i].result ? fetches[i].result : "none", *reason = fetches[i].reason ? fetches[i].reason : "";
	print_message("%s%s: want %s %s, got %s %s (%s)\n", fetches[i].label, cached ? ", cached" : "", result, reason,
	              sp_result_str(f.fetch_fail.result), f.fetch_fail.reason, f.fetch_fail.text);
	assert_string_equal(sp_result_str(f.fetch_fail.result), result);
	assert_string_equal(f.fetch_fail.reason, reason);
	assert_int_equal(sp_failed(&f.fetch_fail), fetches[i].result != NULL);
	assert_false(f.fetch_fail.permanent);
	assert_true(changed && f.has_record);
	assert_false(sp_failed(&f.defer));
	if (fetches[i].result) {                /* TRAPS: no error ever writes to the cache */
		assert_int_equal(f.source, cached ? STS_SOURCE_CACHE_UNCONFIRMED : STS_SOURCE_NONE);
		assert_int_equal(f.policy != NULL, cached);
		assert_string_equal(e.id, cached ? "1" : "");
		assert_int_equal(e.expires_s, expires_s);
		assert_int_equal(e.fetched_s, fetched_s);
		assert_string_equal(e.failed_id, "2");
		assert_int_equal(e.retry_s, NOW + STS_RETRY_MIN_S);
		assert_true(f.fetch_fail.text[0] != '\0');
		assert_string_equal(e.failed_text, f.fetch_fail.text);
	} else {
		assert_int_equal(f.source, STS_SOURCE_FRESH);
		assert_ptr_equal(f.policy, e.policy);
		assert_string_equal(e.id, "2");
		assert_int_equal(e.expires_s, NOW + 7 * DAY);
		assert_int_equal(e.failures, 0);
	}
	sts_finding_clear(&f);
	sts_entry_clear(&e);
}

static void test_fetches(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(fetches); i++) {
		expect_fetch(i, false);
		expect_fetch(i, true);
	}
}

static void test_a_body_over_the_limit_fails_and_is_never_cut(void **state)
{
	(void)state;
	static char body[STS_POLICY_SIZE_MAX + 1];
	memset(body, 'y', sizeof(body));
	memcpy(body, ENFORCE "x: ", sizeof(ENFORCE "x: ") - 1);
	for (size_t len = STS_POLICY_SIZE_MAX; len <= STS_POLICY_SIZE_MAX + 1; len++) {
		struct sts_entry e;
		sts_entry_init(&e);
		struct sts_fetch fetch = served("");
		fetch.body = sp_str_make(body, len);
		struct sts_finding f;
		sts_finding_init(&f);
		bool changed;
		sts_discover_fetched(&e, "1", &fetch, &rules, NOW, 0, &changed, &f);
		print_message("%zu octets: got %s\n", len, f.fetch_fail.reason);
		assert_string_equal(f.fetch_fail.reason, len > STS_POLICY_SIZE_MAX ? "body-too-large" : "");
		assert_int_equal(f.policy != NULL, len == STS_POLICY_SIZE_MAX);
		sts_finding_clear(&f);
		sts_entry_clear(&e);
	}
}

static void test_content_types(void **state)            /* RFC 8461 3.2, RFC 2045 5.1 */
{
	(void)state;
	static const struct { const char *type; bool want; } types[] = {
		{ "text/plain", true }, { "TEXT/PLAIN", true }, { "text/plain;charset=utf-8", true }, { "text/plain ; charset=utf-8", true },
		{ " text/plain\t", true }, { "text/plain;", true }, { "text/plain; charset=\"iso-8859-1\"; x=y", true },
		{ "", false }, { "text", false }, { "text/", false }, { "text/plainer", false }, { "text/plai", false }, { "text/html", false },
		{ "application/octet-stream", false }, { "text/html; text/plain", false }, { ";text/plain", false }, { "text/plain, text/html", false },
		{ NULL, false },
	};
	for (size_t i = 0; i < SP_COUNT(types); i++) {
		bool got = sts_content_type_ok(types[i].type);
		print_message("'%s': want %d, got %d\n", types[i].type ? types[i].type : "(none)", types[i].want, got);
		assert_int_equal(got, types[i].want);
	}
}

/* ---- over time ---- */

static void refetch(struct sts_entry *e, const char *id, const char *body, int64_t now_s, enum sts_mode want)
{
	struct sts_fetch fetch = served(body);
	struct sts_finding f;
	sts_finding_init(&f);
	bool changed;
	sts_discover_fetched(e, id, &fetch, &rules, now_s, 0, &changed, &f);
	assert_non_null(f.policy);
	assert_int_equal(f.source, STS_SOURCE_FRESH);
	assert_int_equal(sts_policy_mode(f.policy), want);
	sts_finding_clear(&f);
}

static void test_mode_none_replaces_enforce_at_once(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW - DAY);
	refetch(&e, "2", NOTHING, NOW, STS_MODE_NONE);
	expect_txt("confirmed", &e, record("2"), false, &rules, NOW + 1, "cache none record");
	sts_entry_clear(&e);
}

static void test_a_body_changed_under_the_same_id_is_healed(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", TESTING, NOW - DAY);
	refetch(&e, "1", ENFORCE, NOW, STS_MODE_ENFORCE);       /* the timed refresh, or mail in danger */
	expect_txt("healed", &e, record("1"), false, &rules, NOW + 1, "cache enforce record");
	sts_entry_clear(&e);
}

/* The policy is valid to the last second before its max_age is over, and not at it; nothing but a fetch moves that. */
static void test_a_txt_record_alone_extends_nothing(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW);
	for (int64_t at = NOW; at < NOW + 7 * DAY; at += HOUR)
		expect_txt("asked again", &e, record("1"), false, &rules, at, "cache enforce record");
	assert_int_equal(e.expires_s, NOW + 7 * DAY);
	expect_txt("the last second", &e, record("1"), false, &rules, NOW + 7 * DAY - 1, "cache enforce record");
	expect_txt("the last second, record gone", &e, &answer(CORE_DNS_NODATA, NULL)->dns, false, &rules, NOW + 7 * DAY - 1,
	           "cache-unconfirmed enforce");
	expect_txt("over", &e, record("1"), false, &rules, NOW + 7 * DAY, "fetch 1");
	expect_txt("over, record gone", &e, &answer(CORE_DNS_NODATA, NULL)->dns, false, &rules, NOW + 7 * DAY, "none -");
	sts_entry_clear(&e);
}

/* DESIGN.md: record present, policy cannot be fetched, nothing valid cached: opportunistic, and the failure is reported. */
static void test_an_expired_policy_that_cannot_be_fetched_is_none(void **state)
{
	(void)state;
	struct sts_entry e;
	make(EXPIRED, &e);
	struct sts_fetch fetch = status_of(500);
	struct sts_finding f;
	sts_finding_init(&f);
	bool changed;
	sts_discover_fetched(&e, "1", &fetch, &rules, NOW, 0, &changed, &f);
	assert_null(f.policy);
	assert_int_equal(f.source, STS_SOURCE_NONE);
	assert_true(f.has_record);
	assert_string_equal(f.fetch_fail.reason, "http-status-500");
	assert_false(sts_entry_valid(&e, NOW));
	sts_finding_clear(&f);
	expect_txt("and while it is held back", &e, record("1"), false, &rules, NOW + 1, "none - record http-status-500");
	sts_entry_clear(&e);
}

static void test_failed_fetches_back_off(void **state)
{
	(void)state;
	static const int64_t waits[] = { 300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 86400, 86400, 86400 };
	struct sts_entry e;
	sts_entry_init(&e);
	int64_t now_s = NOW;
	for (size_t i = 0; i < SP_COUNT(waits); i++) {
		fetch_fails(&e, "1", now_s);
		print_message("failure %zu: want %d s, got %d s\n", i + 1, (int)waits[i], (int)(e.retry_s - now_s));
		assert_int_equal(e.retry_s - now_s, waits[i]);
		assert_int_equal(e.failures, i + 1);
		expect_txt("held back from the same second on", &e, record("1"), false, &rules, now_s, "none - record http-status-404");
		expect_txt("held back to the last second", &e, record("1"), false, &rules, e.retry_s - 1, "none - record http-status-404");
		expect_txt("then fetched", &e, record("1"), false, &rules, e.retry_s, "fetch 1");
		expect_txt("mail in danger waits five minutes", &e, record("1"), true, &rules, now_s + 299, "none - record http-status-404");
		expect_txt("mail in danger waits no longer", &e, record("1"), true, &rules, now_s + 300, "fetch 1");
		now_s = e.retry_s;
	}
	fetch_fails(&e, "2", now_s);
	assert_int_equal(e.failures, 1);                        /* another id counts from the start */
	assert_int_equal(e.retry_s - now_s, 300);
	e.failures = UINT32_MAX;
	fetch_fails(&e, "2", now_s);
	assert_int_equal(e.failures, UINT32_MAX);               /* and does not overflow */
	assert_int_equal(e.retry_s - now_s, DAY);
	refetch(&e, "2", ENFORCE, now_s, STS_MODE_ENFORCE);
	assert_int_equal(e.failures, 0);
	assert_int_equal(e.retry_s, 0);
	assert_string_equal(e.failed_id, "");
	assert_string_equal(e.failed_reason, "");
	assert_string_equal(e.failed_text, "");
	assert_int_equal(e.failed_result, SP_RESULT_NONE);
	sts_entry_clear(&e);
}

static void test_a_failure_is_recalled_as_it_was(void **state)
{
	(void)state;
	struct sts_entry e;
	sts_entry_init(&e);
	struct sts_fetch fetch = { .fail = FAIL(TLS, CERTIFICATE_EXPIRED, "") };
	struct sts_finding f;
	sts_finding_init(&f);
	bool changed;
	sts_discover_fetched(&e, "1", &fetch, &rules, NOW, 0, &changed, &f);
	char id[STS_ID_MAX + 1];
	assert_int_equal(sts_discover_txt(&e, record("1"), false, &rules, NOW + 1, id, &f), STS_NEXT_DONE);
	assert_int_equal(f.fetch_fail.kind, SP_FAIL_TLS);
	assert_int_equal(f.fetch_fail.result, SP_RESULT_STS_WEBPKI_INVALID);
	assert_string_equal(f.fetch_fail.reason, "certificate-expired");
	assert_string_equal(f.fetch_fail.text, "as seen");
	fetch = status_of(404);
	sts_discover_fetched(&e, "1", &fetch, &rules, NOW, 0, &changed, &f);
	assert_int_equal(sts_discover_txt(&e, record("1"), false, &rules, NOW + 1, id, &f), STS_NEXT_DONE);
	assert_int_equal(f.fetch_fail.kind, SP_FAIL_HTTP);
	assert_int_equal(f.fetch_fail.result, SP_RESULT_STS_POLICY_FETCH_ERROR);
	sts_finding_clear(&f);
	sts_entry_clear(&e);
}

/* A long text from a peer is cut to what the entry holds, not past it. */
static void test_a_long_failure_is_cut(void **state)
{
	(void)state;
	struct sts_entry e;
	sts_entry_init(&e);
	struct sts_fetch fetch = { .fail = { .kind = SP_FAIL_HTTP } };
	memset(fetch.fail.text, 'x', sizeof(fetch.fail.text) - 1);
	memset(fetch.fail.reason, 'r', sizeof(fetch.fail.reason) - 1);
	struct sts_finding f;
	sts_finding_init(&f);
	bool changed;
	sts_discover_fetched(&e, "1", &fetch, &rules, NOW, 0, &changed, &f);
	assert_int_equal(strlen(e.failed_text), sizeof(e.failed_text) - 1);
	assert_int_equal(strlen(e.failed_reason), sizeof(e.failed_reason) - 1);
	sts_finding_clear(&f);
	sts_entry_clear(&e);
}

/* ---- mail in danger ---- */

static void test_a_refused_policy_is_fetched_afresh_every_five_minutes_at_most(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW);
	expect_txt("a second after it was fetched: at once", &e, record("1"), true, &rules, NOW + 1, "fetch 1");
	refetch(&e, "1", ENFORCE, NOW + 1, STS_MODE_ENFORCE);
	assert_int_equal(e.fresh_s, NOW + 1);
	expect_txt("not again in the same second", &e, record("1"), true, &rules, NOW + 1, "cache enforce record");
	expect_txt("not again", &e, record("1"), true, &rules, NOW + 2, "cache enforce record");
	expect_txt("not after 299 s", &e, record("1"), true, &rules, NOW + 300, "cache enforce record");
	expect_txt("record gone: not either", &e, &answer(CORE_DNS_NODATA, NULL)->dns, true, &rules, NOW + 300, "cache-unconfirmed enforce");
	expect_txt("a new id is no matter of that", &e, record("2"), true, &rules, NOW + 2, "fetch 2");
	expect_txt("after 300 s", &e, record("1"), true, &rules, NOW + 301, "fetch 1");
	fetch_fails(&e, "1", NOW + 301);
	assert_int_equal(e.fresh_s, NOW + 301);                 /* one that failed was one too */
	expect_txt("and if that failed", &e, record("1"), true, &rules, NOW + 302, "cache enforce record");
	expect_txt("without danger the failure is nobody's business", &e, record("1"), false, &rules, NOW + 302, "cache enforce record");
	expect_txt("a clock that jumped back holds nothing", &e, record("1"), true, &rules, NOW, "fetch 1");
	sts_entry_clear(&e);
}

/* A new id, a first fetch, or a refresh that was due do not use the allowance up. */
static void test_ordinary_fetches_do_not_count_as_fresh(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW);
	assert_int_equal(e.fresh_s, 0);
	refetch(&e, "2", ENFORCE, NOW + 1, STS_MODE_ENFORCE);
	assert_int_equal(e.fresh_s, 0);
	refetch(&e, "2", ENFORCE, e.refresh_s, STS_MODE_ENFORCE);
	assert_int_equal(e.fresh_s, 0);
	refetch(&e, "2", ENFORCE, e.expires_s, STS_MODE_ENFORCE);
	assert_int_equal(e.fresh_s, 0);
	refetch(&e, "2", ENFORCE, e.refresh_s - 1, STS_MODE_ENFORCE);
	assert_int_not_equal(e.fresh_s, 0);
	sts_entry_clear(&e);
}

/* A failure of an earlier, now forgotten id under danger: reported as the failure that holds the fetch back. */
static void test_danger_while_the_refresh_fails_tells_the_failure(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW);
	int64_t due_s = e.refresh_s;
	fetch_fails(&e, "1", due_s);                            /* the background refresh */
	assert_int_equal(e.fresh_s, 0);
	expect_txt("mail in danger", &e, record("1"), true, &rules, due_s + 10, "cache-unconfirmed enforce record http-status-404");
	sts_entry_clear(&e);
}

/* ---- refreshing ---- */

static int64_t refresh_after(const char *max_age, uint32_t refresh_s, uint32_t random)
{
	char body[128];
	snprintf(body, sizeof(body), "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: %s\n", max_age);
	struct sts_entry e;
	sts_entry_init(&e);
	struct sts_fetch fetch = served(body);
	struct sts_rules with = { .refresh_s = refresh_s };
	struct sts_finding f;
	sts_finding_init(&f);
	bool changed;
	sts_discover_fetched(&e, "1", &fetch, &with, NOW, random, &changed, &f);
	int64_t wait = e.refresh_s - NOW;
	sts_finding_clear(&f);
	sts_entry_clear(&e);
	return wait;
}

static void test_refresh_is_random_and_well_before_expiry(void **state)         /* RFC 8461 3.3, 10.2 */
{
	(void)state;
	static const struct { const char *label, *max_age; uint32_t refresh_s, random; int64_t want; } times[] = {
		{ "long max_age: by the interval, earliest", "31557600", DAY, 0, 34560 },
		{ "long max_age: latest", "31557600", DAY, 17280, 51840 },
		{ "random wraps round", "31557600", DAY, 17281, 34560 },
		{ "largest random", "31557600", DAY, UINT32_MAX, 34560 + UINT32_MAX % 17281 },
		{ "short max_age: by it, earliest", "3600", DAY, 0, 1440 },
		{ "short max_age: latest", "3600", DAY, 720, 2160 },
		{ "max_age of five minutes is not chased", "300", DAY, 0, 300 },
		{ "max_age 0 is not chased", "0", DAY, 7, 300 },
		{ "an interval of seconds, as the operator wants it", "604800", 2, 9, 2 },
		{ "an interval of a minute", "604800", 60, 5, 60 },
		{ "an interval of ten minutes", "604800", 600, 120, 360 },
	};
	for (size_t i = 0; i < SP_COUNT(times); i++) {
		int64_t got = refresh_after(times[i].max_age, times[i].refresh_s, times[i].random);
		print_message("%s: want %d, got %d\n", times[i].label, (int)times[i].want, (int)got);
		assert_int_equal(got, times[i].want);
	}
}

static void test_a_failed_refresh_shortens_nothing(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW);
	int64_t expires_s = e.expires_s, due_s = e.refresh_s;
	for (int64_t at = due_s; at < expires_s; at = e.refresh_s) {
		fetch_fails(&e, e.id, at);                      /* the id is the entry's own */
		assert_int_equal(e.expires_s, expires_s);
		assert_int_equal(e.fetched_s, NOW);
		assert_int_equal(e.refresh_s, e.retry_s);       /* tried again, with growing waits */
		assert_string_equal(e.id, "1");
		assert_string_equal(e.failed_id, "1");
		if (at + 1 < expires_s)
			expect_txt("the policy rules", &e, record("1"), false, &rules, at + 1, "cache enforce record");
	}
	assert_true(e.failures >= 9);
	refetch(&e, e.id, ENFORCE, expires_s, STS_MODE_ENFORCE);
	assert_string_equal(e.id, "1");
	sts_entry_clear(&e);
}

/* A failure soon after the fetch (mail in danger) does not bring the refresh forward. */
static void test_a_failure_does_not_advance_the_refresh(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW);
	int64_t due_s = e.refresh_s;
	fetch_fails(&e, "1", NOW + 10);
	assert_int_equal(e.refresh_s, due_s);
	sts_entry_clear(&e);
}

/* ---- clocks that jump ---- */

static void test_a_clock_that_jumped_ahead_drops_nothing(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW);
	expect_txt("a year ahead: expired", &e, record("1"), false, &rules, NOW + 365 * DAY, "fetch 1");
	fetch_fails(&e, "1", NOW + 365 * DAY);                  /* with such a clock every certificate is expired */
	assert_non_null(e.policy);
	expect_txt("back again: valid", &e, record("1"), false, &rules, NOW + HOUR, "cache enforce record");
	expect_txt("a failure of the future holds nothing back", &e, record("1"), true, &rules, NOW + HOUR, "fetch 1");
	sts_entry_clear(&e);
}

/* Fetched while the clock was ten years ahead: not dropped, fetched anew at the next chance, and in no case immortal. */
static void test_a_policy_from_the_future_is_neither_dropped_nor_immortal(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW + 3650LL * DAY);
	assert_true(sts_entry_valid(&e, NOW));
	expect_txt("same id: fetch", &e, record("1"), false, &rules, NOW, "fetch 1");
	expect_txt("record gone: fetch", &e, &answer(CORE_DNS_NODATA, NULL)->dns, false, &rules, NOW, "fetch 1");
	expect_txt("record unreachable: fetch", &e, &answer(CORE_DNS_SERVFAIL, NULL)->dns, false, &rules, NOW, "fetch 1");
	fetch_fails(&e, "1", NOW);
	assert_int_equal(e.fetched_s, NOW);
	assert_int_equal(e.expires_s, NOW + 7 * DAY);           /* the longest that it may still live, and not a second more */
	assert_int_equal(e.refresh_s, NOW + STS_RETRY_MIN_S);
	expect_txt("it rules", &e, record("1"), false, &rules, NOW + 1, "cache enforce record");
	expect_txt("to its end", &e, record("1"), false, &rules, NOW + 7 * DAY, "fetch 1");
	sts_entry_clear(&e);
	known(&e, "1", ENFORCE, NOW + 3650LL * DAY);
	refetch(&e, "1", ENFORCE, NOW, STS_MODE_ENFORCE);
	assert_int_equal(e.expires_s, NOW + 7 * DAY);
	sts_entry_clear(&e);
}

/* A clock a little ahead: the repair never moves an expiry later. */
static void test_a_small_jump_back_extends_nothing(void **state)
{
	(void)state;
	struct sts_entry e;
	known(&e, "1", ENFORCE, NOW + 10);
	e.expires_s = NOW + 100;
	fetch_fails(&e, "1", NOW);
	assert_int_equal(e.expires_s, NOW + 100);
	expect_txt("fetched exactly now is not the future", &e, record("1"), false, &rules, NOW, "cache enforce record");
	sts_entry_clear(&e);
}

/* ---- keeping ---- */

static void test_entries_and_findings_copy(void **state)
{
	(void)state;
	struct sts_entry a, b;
	known(&a, "1", ENFORCE, NOW);
	fetch_fails(&a, "2", NOW + 1);
	sts_entry_init(&b);
	sts_entry_copy(&b, &a);
	assert_ptr_equal(b.policy, a.policy);
	assert_string_equal(b.failed_id, "2");
	assert_int_equal(b.retry_s, a.retry_s);
	sts_entry_clear(&a);
	assert_null(a.policy);
	assert_string_equal(a.failed_id, "");
	assert_int_equal(sts_policy_max_age_s(b.policy), 7 * DAY);
	sts_entry_copy(&b, &b);                                 /* onto itself */
	assert_int_equal(sts_policy_max_age_s(b.policy), 7 * DAY);

	struct sts_finding f, g;
	sts_finding_init(&f);
	sts_finding_init(&g);
	char id[STS_ID_MAX + 1];
	assert_int_equal(sts_discover_txt(&b, record("1"), false, &rules, NOW + 2, id, &f), STS_NEXT_DONE);
	sts_finding_copy(&g, &f);
	sts_finding_clear(&f);
	sts_entry_clear(&b);
	assert_int_equal(sts_policy_mode(g.policy), STS_MODE_ENFORCE);
	assert_int_equal(g.source, STS_SOURCE_CACHE);
	sts_finding_clear(&g);
	assert_null(g.policy);
	assert_false(sts_entry_valid(&a, NOW));
}

/* What a finding held before is gone, whichever way it is filled. */
static void test_a_finding_is_filled_anew(void **state)
{
	(void)state;
	struct sts_entry good, empty;
	known(&good, "1", ENFORCE, NOW);
	sts_entry_init(&empty);
	struct sts_finding f;
	sts_finding_init(&f);
	char id[STS_ID_MAX + 1];
	assert_int_equal(sts_discover_txt(&good, record("1"), false, &rules, NOW, id, &f), STS_NEXT_DONE);
	assert_non_null(f.policy);
	assert_int_equal(sts_discover_txt(&empty, &answer(CORE_DNS_NODATA, NULL)->dns, false, &rules, NOW, id, &f), STS_NEXT_DONE);
	assert_null(f.policy);
	assert_int_equal(f.source, STS_SOURCE_NONE);
	assert_string_equal(f.id, "");
	assert_int_equal(f.expires_s, 0);
	assert_int_equal(sts_discover_txt(&good, record("1"), false, &rules, NOW, id, &f), STS_NEXT_DONE);
	struct sts_fetch fetch = status_of(404);
	bool changed;
	sts_discover_fetched(&empty, "1", &fetch, &rules, NOW, 0, &changed, &f);
	assert_null(f.policy);
	assert_string_equal(f.id, "");
	sts_finding_clear(&f);
	sts_entry_clear(&good);
	sts_entry_clear(&empty);
}

/* max_age 0: the policy of this moment, and of no later one. */
static void test_max_age_0_is_applied_once(void **state)
{
	(void)state;
	struct sts_entry e;
	sts_entry_init(&e);
	refetch(&e, "1", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 0\n", NOW, STS_MODE_ENFORCE);
	assert_false(sts_entry_valid(&e, NOW));
	expect_txt("next mail", &e, record("1"), false, &rules, NOW, "fetch 1");
	expect_txt("record gone", &e, &answer(CORE_DNS_NODATA, NULL)->dns, false, &rules, NOW, "none -");
	sts_entry_clear(&e);
}

/* A background refresh of an entry whose id is unknown: no record was seen, and none is claimed. */
static void test_without_an_id_no_record_is_claimed(void **state)
{
	(void)state;
	struct sts_entry e;
	sts_entry_init(&e);
	struct sts_fetch fetch = status_of(404);
	struct sts_finding f;
	sts_finding_init(&f);
	bool changed;
	sts_discover_fetched(&e, "", &fetch, &rules, NOW, 0, &changed, &f);
	assert_false(f.has_record);
	sts_finding_clear(&f);
	sts_entry_clear(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_against_cache), cmocka_unit_test(test_first_contact_is_explained), cmocka_unit_test(test_fetches),
		cmocka_unit_test(test_a_body_over_the_limit_fails_and_is_never_cut), cmocka_unit_test(test_content_types),
		cmocka_unit_test(test_mode_none_replaces_enforce_at_once), cmocka_unit_test(test_a_body_changed_under_the_same_id_is_healed),
		cmocka_unit_test(test_a_txt_record_alone_extends_nothing), cmocka_unit_test(test_an_expired_policy_that_cannot_be_fetched_is_none),
		cmocka_unit_test(test_failed_fetches_back_off), cmocka_unit_test(test_a_failure_is_recalled_as_it_was),
		cmocka_unit_test(test_a_long_failure_is_cut),
		cmocka_unit_test(test_a_refused_policy_is_fetched_afresh_every_five_minutes_at_most),
		cmocka_unit_test(test_ordinary_fetches_do_not_count_as_fresh), cmocka_unit_test(test_danger_while_the_refresh_fails_tells_the_failure),
		cmocka_unit_test(test_refresh_is_random_and_well_before_expiry), cmocka_unit_test(test_a_failed_refresh_shortens_nothing),
		cmocka_unit_test(test_a_failure_does_not_advance_the_refresh), cmocka_unit_test(test_a_clock_that_jumped_ahead_drops_nothing),
		cmocka_unit_test(test_a_policy_from_the_future_is_neither_dropped_nor_immortal),
		cmocka_unit_test(test_a_small_jump_back_extends_nothing), cmocka_unit_test(test_entries_and_findings_copy),
		cmocka_unit_test(test_a_finding_is_filled_anew), cmocka_unit_test(test_max_age_0_is_applied_once),
		 cmocka_unit_test(test_without_an_id_no_record_is_claimed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

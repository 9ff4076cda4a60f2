/* tests/unit/rpt_compose_test.c - rpt/compose.c and utf8.c: the report as a document, after RFC 8460 4.4 and its appendix B. */
#include "rpt/compose.h"

#include "core/gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#define MIB ((size_t)1 << 20)
#define DAY 16892                       /* 2016-04-01 */

static const struct rpt_head head = { "Company-X", "sts-reporting@company-x.example", "5065427c-23d3-47ca-b6e0-946ea0e8c4be", DAY, "company-y.example" };
static const struct rpt_policy testing = { 1, RPT_POLICY_STS, "version: STSv1\nmode: testing\nmx: *.mail.company-y.example\nmax_age: 86400\n",
                                           "*.mail.company-y.example", 5326, 303 };
static const struct rpt_failure failures[] = {
	{ 1, SP_RESULT_CERTIFICATE_EXPIRED, "2001:db8:abcd:0012::1", "mx1.mail.company-y.example", "", "", "", 100 },
	{ 2, SP_RESULT_STARTTLS_NOT_SUPPORTED, "2001:db8:abcd:0013::1", "mx2.mail.company-y.example", "", "203.0.113.56", "", 200 },
	{ 3, SP_RESULT_VALIDATION_FAILURE, "198.51.100.62", "mx-backup.mail.company-y.example", "", "203.0.113.58",
	  "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED", 3 },
};

/* The octets that `out` holds, unpacked and parsed; `text` too where it is not NULL. */
static json_t *unpack(const struct sp_buf *out, struct sp_buf *text)
{
	struct sp_buf own;
	sp_buf_init(&own, 64 * MIB);
	const char *why = NULL;
	assert_false(sp_buf_failed(out));
	assert_true(core_gunzip(sp_buf_str(out), &own, &why));
	json_error_t error;
	json_t *document = json_loadb(own.p, own.len, JSON_REJECT_DUPLICATES, &error);
	if (document == NULL)
		print_message("%s in %s\n", error.text, own.p);
	assert_non_null(document);
	if (text)
		sp_buf_add(text, sp_buf_str(&own));
	sp_buf_clear(&own);
	return document;
}

static json_t *compose(const struct rpt_head *h, const struct rpt_policy *p, const struct rpt_failure *f, size_t count, struct sp_buf *text)
{
	struct sp_buf out;
	sp_buf_init(&out, MIB);
	struct rpt_compose *c = rpt_compose_new(h, &out);
	rpt_compose_policy(c, p);
	for (size_t i = 0; i < count; i++)
		rpt_compose_failure(c, &f[i]);
	rpt_compose_finish(c);
	json_t *document = unpack(&out, text);
	sp_buf_clear(&out);
	return document;
}

/* RFC 8460 appendix B, without "additional-information": there is nothing of ours to link to. */
static const char golden[] =
	"{ \"organization-name\": \"Company-X\","
	"  \"date-range\": { \"start-datetime\": \"2016-04-01T00:00:00Z\", \"end-datetime\": \"2016-04-01T23:59:59Z\" },"
	"  \"contact-info\": \"sts-reporting@company-x.example\","
	"  \"report-id\": \"5065427c-23d3-47ca-b6e0-946ea0e8c4be\","
	"  \"policies\": [ {"
	"    \"policy\": { \"policy-type\": \"sts\","
	"      \"policy-string\": [ \"version: STSv1\", \"mode: testing\", \"mx: *.mail.company-y.example\", \"max_age: 86400\" ],"
	"      \"policy-domain\": \"company-y.example\", \"mx-host\": [ \"*.mail.company-y.example\" ] },"
	"    \"summary\": { \"total-successful-session-count\": 5326, \"total-failure-session-count\": 303 },"
	"    \"failure-details\": ["
	"      { \"result-type\": \"certificate-expired\", \"sending-mta-ip\": \"2001:db8:abcd:0012::1\","
	"        \"receiving-mx-hostname\": \"mx1.mail.company-y.example\", \"failed-session-count\": 100 },"
	"      { \"result-type\": \"starttls-not-supported\", \"sending-mta-ip\": \"2001:db8:abcd:0013::1\","
	"        \"receiving-mx-hostname\": \"mx2.mail.company-y.example\", \"receiving-ip\": \"203.0.113.56\", \"failed-session-count\": 200 },"
	"      { \"result-type\": \"validation-failure\", \"sending-mta-ip\": \"198.51.100.62\", \"receiving-ip\": \"203.0.113.58\","
	"        \"receiving-mx-hostname\": \"mx-backup.mail.company-y.example\", \"failed-session-count\": 3,"
	"        \"failure-reason-code\": \"X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED\" } ] } ] }";

/* Member by member, so that a fault is told with its place. */
static void expect_same(const char *path, const json_t *want, const json_t *got)
{
	if (json_is_object(want) && json_is_object(got)) {
		const char *name;
		json_t *value;
		char inner[512];
		json_object_foreach((json_t *)(uintptr_t)want, name, value) {
			snprintf(inner, sizeof(inner), "%s.%s", path, name);
			expect_same(inner, value, json_object_get(got, name));
		}
		if (json_object_size(got) != json_object_size(want))
			print_message("%s: want %zu members, got %zu\n", path, json_object_size(want), json_object_size(got));
		assert_int_equal(json_object_size(got), json_object_size(want));
	} else if (json_is_array(want) && json_is_array(got) && json_array_size(want) == json_array_size(got)) {
		char inner[512];
		for (size_t i = 0; i < json_array_size(want); i++) {
			snprintf(inner, sizeof(inner), "%s[%zu]", path, i);
			expect_same(inner, json_array_get(want, i), json_array_get(got, i));
		}
	} else {
		if (!json_equal(want, got))
			print_message("%s differs\n", path);
		assert_true(json_equal(want, got));
	}
}

static void the_example_of_the_rfc(void **state)
{
	(void)state;
	json_t *want = json_loads(golden, 0, NULL);
	json_t *got = compose(&head, &testing, failures, SP_COUNT(failures), NULL);
	assert_non_null(want);
	expect_same("$", want, got);
	json_decref(want);
	json_decref(got);
}

static void equal_input_gives_equal_octets(void **state)
{
	(void)state;
	struct sp_buf out[2];
	for (size_t i = 0; i < 2; i++) {
		sp_buf_init(&out[i], MIB);
		struct rpt_compose *c = rpt_compose_new(&head, &out[i]);
		rpt_compose_policy(c, &testing);
		for (size_t j = 0; j < SP_COUNT(failures); j++)
			rpt_compose_failure(c, &failures[j]);
		rpt_compose_finish(c);
	}
	assert_true(sp_str_eq(sp_buf_str(&out[0]), sp_buf_str(&out[1])));
	sp_buf_clear(&out[0]);
	sp_buf_clear(&out[1]);
}

/* TRAPS: always present; unknown members are left out, never null. */
static void every_mandatory_member_of_every_type(void **state)
{
	(void)state;
	static const struct { struct rpt_policy p; const char *want; } rows[] = {
		{ { 1, RPT_POLICY_NONE_FOUND, "", "", 7, 0 },
		  "{\"policy\":{\"policy-type\":\"no-policy-found\",\"policy-string\":[],\"policy-domain\":\"company-y.example\",\"mx-host\":[]},"
		  "\"summary\":{\"total-successful-session-count\":7,\"total-failure-session-count\":0}}" },
		{ { 1, RPT_POLICY_STS, "", "", 0, 0 },          /* it could not be had */
		  "{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":[],\"policy-domain\":\"company-y.example\",\"mx-host\":[]},"
		  "\"summary\":{\"total-successful-session-count\":0,\"total-failure-session-count\":0}}" },
		{ { 1, RPT_POLICY_TLSA, "3 1 1 AB\n2 0 1 CD", "", 1, 2 },
		  "{\"policy\":{\"policy-type\":\"tlsa\",\"policy-string\":[\"3 1 1 AB\",\"2 0 1 CD\"],\"policy-domain\":\"company-y.example\",\"mx-host\":[]},"
		  "\"summary\":{\"total-successful-session-count\":1,\"total-failure-session-count\":2}}" },
		{ { 1, RPT_POLICY_TLSA, "3 1 1 AB", "mx1.company-y.example", 1, 0 },    /* RFC 8460 1.1: the TLSA base domain */
		  "{\"policy\":{\"policy-type\":\"tlsa\",\"policy-string\":[\"3 1 1 AB\"],\"policy-domain\":\"mx1.company-y.example\",\"mx-host\":[]},"
		  "\"summary\":{\"total-successful-session-count\":1,\"total-failure-session-count\":0}}" },
		{ { 1, RPT_POLICY_STS, "version: STSv1\r\n\nmode: none", "a.example\n*.b.example\n", 1, 0 },
		  "{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":[\"version: STSv1\",\"mode: none\"],\"policy-domain\":\"company-y.example\","
		  "\"mx-host\":[\"a.example\",\"*.b.example\"]},"
		  "\"summary\":{\"total-successful-session-count\":1,\"total-failure-session-count\":0}}" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_buf text;
		sp_buf_init(&text, MIB);
		json_t *document = compose(&head, &rows[i].p, NULL, 0, &text), *want = json_loads(rows[i].want, 0, NULL);
		print_message("%s\n", sp_buf_cstr(&text));
		expect_same("policies[0]", want, json_array_get(json_object_get(document, "policies"), 0));
		assert_null(strstr(sp_buf_cstr(&text), "null"));
		json_decref(want);
		json_decref(document);
		sp_buf_clear(&text);
	}
}

static void several_policies(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, MIB);
	struct rpt_policy tlsa = { 2, RPT_POLICY_TLSA, "3 1 1 AB", "", 1, 1 }, none = { 3, RPT_POLICY_NONE_FOUND, "", "", 1, 0 };
	struct rpt_compose *c = rpt_compose_new(&head, &out);
	rpt_compose_policy(c, &testing);
	rpt_compose_failure(c, &failures[0]);
	rpt_compose_policy(c, &none);
	rpt_compose_policy(c, &tlsa);
	rpt_compose_failure(c, &failures[1]);
	rpt_compose_failure(c, &failures[2]);
	rpt_compose_finish(c);
	json_t *document = unpack(&out, NULL), *policies = json_object_get(document, "policies");
	static const size_t details[] = { 1, 0, 2 };
	assert_int_equal(json_array_size(policies), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(json_array_size(json_object_get(json_array_get(policies, i), "failure-details")), details[i]);
	json_decref(document);
	sp_buf_clear(&out);
}

static void the_whole_day(void **state)         /* RFC 8460 4.4: 00:00:00Z to 23:59:59Z */
{
	(void)state;
	static const struct { int64_t day; const char *from, *to; } rows[] = {
		{ 0, "1970-01-01T00:00:00Z", "1970-01-01T23:59:59Z" },
		{ 11016, "2000-02-29T00:00:00Z", "2000-02-29T23:59:59Z" },
		{ 20779, "2026-11-22T00:00:00Z", "2026-11-22T23:59:59Z" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct rpt_head h = head;
		h.day = rows[i].day;
		json_t *document = compose(&h, &testing, NULL, 0, NULL), *range = json_object_get(document, "date-range");
		assert_string_equal(json_string_value(json_object_get(range, "start-datetime")), rows[i].from);
		assert_string_equal(json_string_value(json_object_get(range, "end-datetime")), rows[i].to);
		json_decref(document);
	}
}

/* Merged rows have only a result; one that knows everything has all members. */
static void only_what_is_known(void **state)
{
	(void)state;
	struct rpt_failure rows[] = { { 1, SP_RESULT_DNSSEC_INVALID, "", "", "", "", "", 9 },
	                              { 2, SP_RESULT_TLSA_INVALID, "a", "b", "c", "d", "e", 1 } };
	json_t *document = compose(&head, &testing, rows, 2, NULL);
	json_t *details = json_object_get(json_array_get(json_object_get(document, "policies"), 0), "failure-details");
	json_t *want = json_loads("[{\"result-type\":\"dnssec-invalid\",\"failed-session-count\":9},{\"result-type\":\"tlsa-invalid\",\"sending-mta-ip\":\"a\","
	                          "\"receiving-mx-hostname\":\"b\",\"receiving-mx-helo\":\"c\",\"receiving-ip\":\"d\",\"failure-reason-code\":\"e\","
	                          "\"failed-session-count\":1}]", 0, NULL);
	expect_same("failure-details", want, details);
	json_decref(want);
	json_decref(document);
}

/* A peer chooses its HELO: whatever it holds, the report is JSON that anyone can read (RFC 7493 2.1). */
static void what_is_not_utf8_is_made_safe(void **state)
{
	(void)state;
#define FFFD "\xef\xbf\xbd"
	static const struct { const char *label, *text, *want; } rows[] = {
		{ "ASCII", "mx.example", "mx.example" },
		{ "quotes and controls", "a\"b\\c\x01\x1b\r\n\x7f</script>", "a\"b\\c\x01\x1b\r\n\x7f</script>" },
		{ "2, 3 and 4 octets", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xa7", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xa7" },
		{ "Latin-1", "b\xfc" "cher", "b" FFFD "cher" },
		{ "a continuation alone", "\x80x", FFFD "x" },
		{ "cut short", "x\xe2\x82", "x" FFFD FFFD },
		{ "cut by ASCII", "\xe2\x82y", FFFD FFFD "y" },
		{ "longer than need be", "\xc0\xaf\xe0\x80\xaf", FFFD FFFD FFFD FFFD FFFD },
		{ "surrogate", "\xed\xa0\x80", FFFD FFFD FFFD },
		{ "past the last", "\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD },
		{ "the last but two", "\xf4\x8f\xbf\xbd", "\xf4\x8f\xbf\xbd" },
		{ "noncharacter", "\xef\xbf\xbe\xef\xb7\x90", FFFD FFFD FFFD FFFD FFFD FFFD },
		{ "no octet of UTF-8", "\xff\xfe", FFFD FFFD },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct rpt_head h = head;
		h.organization = rows[i].text;
		struct rpt_failure f = failures[0];
		f.mx_helo = rows[i].text;
		json_t *document = compose(&h, &testing, &f, 1, NULL);
		json_t *details = json_object_get(json_array_get(json_object_get(document, "policies"), 0), "failure-details");
		print_message("%s\n", rows[i].label);
		assert_string_equal(json_string_value(json_object_get(document, "organization-name")), rows[i].want);
		assert_string_equal(json_string_value(json_object_get(json_array_get(details, 0), "receiving-mx-helo")), rows[i].want);
		json_decref(document);
	}
}

static void counts_no_reader_can_hold_are_capped(void **state)  /* RFC 7493 2.2 */
{
	(void)state;
	struct rpt_policy p = { 1, RPT_POLICY_NONE_FOUND, "", "", UINT64_MAX, (uint64_t)1 << 53 };
	json_t *document = compose(&head, &p, NULL, 0, NULL);
	json_t *summary = json_object_get(json_array_get(json_object_get(document, "policies"), 0), "summary");
	assert_int_equal(json_integer_value(json_object_get(summary, "total-successful-session-count")), 9007199254740991);
	assert_int_equal(json_integer_value(json_object_get(summary, "total-failure-session-count")), 9007199254740991);
	json_decref(document);
}

static void given_up_half_way(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, 64);
	rpt_compose_free(NULL);
	rpt_compose_free(rpt_compose_new(&head, &out));
	struct rpt_compose *c = rpt_compose_new(&head, &out);
	rpt_compose_policy(c, &testing);
	rpt_compose_failure(c, &failures[0]);
	rpt_compose_free(c);
	c = rpt_compose_new(&head, &out);
	rpt_compose_policy(c, &testing);
	rpt_compose_finish(c);
	assert_true(sp_buf_failed(&out));               /* a ceiling that was passed shows */
	sp_buf_clear(&out);
}

static void file_names(void **state)    /* RFC 8460 5.1 */
{
	(void)state;
	static const struct { const char *label, *submitter, *domain, *id; int64_t day; const char *want; } rows[] = {
		{ "an id", "mail.sender.example", "example.com", "a1B2", 16892, "mail.sender.example!example.com!1459468800!1459555199!a1B2.json.gz" },
		{ "letters and digits of an id", "s.example", "r.example", "2016-04-01.00ff@s.example", 0, "s.example!r.example!0!86399!2016040100ffsexample.json.gz" },
		{ "no id", "s.example", "r.example", "", 1, "s.example!r.example!86400!172799.json.gz" },
		{ "an id of neither", "s.example", "r.example", "-@-", 1, "s.example!r.example!86400!172799.json.gz" },
		{ "no way out of a header, a shell or a folder", "../s\r\nX: y", "r\"'`!$(x)/..", "1", 1, "..-s--X--y!r------x--..!86400!172799!1.json.gz" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct rpt_head h = { "", "", rows[i].id, rows[i].day, rows[i].domain };
		struct sp_buf out;
		sp_buf_init(&out, 1024);
		rpt_file_name(rows[i].submitter, &h, &out);
		print_message("%s: want %s, got %s\n", rows[i].label, rows[i].want, sp_buf_cstr(&out));
		assert_string_equal(sp_buf_cstr(&out), rows[i].want);
		sp_buf_clear(&out);
	}
}

/* --- 100,000 failures --- */

static size_t json_now, json_most;

static void *counted_alloc(size_t size)
{
	size_t *p = malloc(sizeof(size_t) * 2 + size);
	assert_non_null(p);
	*p = size;
	json_now += size;
	json_most = sp_max(json_most, json_now);
	return p + 2;
}

static void counted_free(void *p)
{
	if (p == NULL)
		return;
	size_t *own = (size_t *)p - 2;
	json_now -= *own;
	free(own);
}

/* KiB of "Name:" in /proc/self/status. */
static long status_kib(const char *name)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long kib = 0;
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			kib = atol(line + strlen(name) + 1);
	if (file)
		fclose(file);
	return kib;
}

static void reset_peak(void)
{
	FILE *file = fopen("/proc/self/clear_refs", "w");
	if (file) {
		fputs("5", file);
		fclose(file);
	}
}

static void a_hundred_thousand_failures_in_little_memory(void **state)
{
	(void)state;
	json_malloc_t old_alloc;
	json_free_t old_free;
	json_get_alloc_funcs(&old_alloc, &old_free);
	json_set_alloc_funcs(counted_alloc, counted_free);
	struct sp_buf out;
	sp_buf_init(&out, 64 * MIB);
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	reset_peak();
	long before = status_kib("VmRSS");
	struct rpt_compose *c = rpt_compose_new(&head, &out);
	rpt_compose_policy(c, &testing);
	for (unsigned i = 0; i < 100000; i++) {
		char host[64], ip[64];
		snprintf(host, sizeof(host), "mx%u.mail.company-y.example", i * 2654435761u);
		snprintf(ip, sizeof(ip), "2001:db8::%x:%x", i >> 8, i * 40503u & 0xffff);
		struct rpt_failure f = { i, SP_RESULT_VALIDATION_FAILURE, "192.0.2.1", host, host, ip, "handshake-timeout", i };
		rpt_compose_failure(c, &f);
	}
	rpt_compose_finish(c);
	long grown = status_kib("VmHWM") - before;
	clock_gettime(CLOCK_MONOTONIC, &to);
	json_set_alloc_funcs(old_alloc, old_free);
	print_message("100000 failures: %zu octets of gzip, %ld ms, JSON values never over %zu octets, %ld KiB grown\n", out.len,
	              (long)((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000), json_most, grown);
	assert_int_equal(json_now, 0);
	assert_in_range(json_most, 1, 64 * 1024);
#ifndef __SANITIZE_ADDRESS__            /* it keeps what is freed */
	assert_true(grown < 16 * 1024);
#endif
	json_t *document = unpack(&out, NULL);
	assert_int_equal(json_array_size(json_object_get(json_array_get(json_object_get(document, "policies"), 0), "failure-details")), 100000);
	json_decref(document);
	sp_buf_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hundred_thousand_failures_in_little_memory), cmocka_unit_test(the_example_of_the_rfc),
		cmocka_unit_test(equal_input_gives_equal_octets), cmocka_unit_test(every_mandatory_member_of_every_type),
		cmocka_unit_test(several_policies), cmocka_unit_test(the_whole_day), cmocka_unit_test(only_what_is_known),
		cmocka_unit_test(what_is_not_utf8_is_made_safe), cmocka_unit_test(counts_no_reader_can_hold_are_capped),
		cmocka_unit_test(given_up_half_way), cmocka_unit_test(file_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

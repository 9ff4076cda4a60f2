/* tests/unit/rpt_lint_test.c - rpt/lint*.c: what senders do wrong, and where it is said. A row changes one thing of a report without fault. */
#include "rpt/lint.h"
#include "rpt/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char good[] =
	"{\"organization-name\":\"O\",\"date-range\":{\"start-datetime\":\"2026-11-21T00:00:00Z\",\"end-datetime\":\"2026-11-21T23:59:59Z\"},"
	"\"contact-info\":\"c@o.example\",\"report-id\":\"i\",\"policies\":[{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":[\"version: STSv1\","
	"\"mode: enforce\",\"mx: *.d.example\"],\"policy-domain\":\"d.example\",\"mx-host\":[\"*.d.example\"]},"
	"\"summary\":{\"total-successful-session-count\":7,\"total-failure-session-count\":2},"
	"\"failure-details\":[{\"result-type\":\"validation-failure\",\"sending-mta-ip\":\"192.0.2.1\",\"receiving-mx-hostname\":\"mx.d.example\","
	"\"receiving-mx-helo\":\"mx\",\"receiving-ip\":\"2001:db8::1\",\"failed-session-count\":2,\"failure-reason-code\":\"x\"}]}]}";

/* The member at the end of a path in a row: "policies.0.policy.mx-host". */
static json_t *walk(json_t *v, const char *path, char last[64])
{
	struct sp_str s = sp_str_of(path);
	for (;;) {
		struct sp_str name = sp_take_until(&s, '.');
		snprintf(last, 64, "%.*s", SP_STR_ARG(name));
		if (s.len == 0)
			return v;
		v = json_is_array(v) ? json_array_get(v, (size_t)atoi(last)) : json_object_get(v, last);
		assert_non_null(v);
	}
}

struct finding {
	bool error;
	const char *where, *section, *text;     /* wanted: text holds this */
	unsigned seen, errors, warnings;
};

static void on_finding(void *arg, bool error, const char *where, const char *section, const char *text)
{
	struct finding *f = arg;
	f->errors += error;
	f->warnings += !error;
	if (f->where && error == f->error && strcmp(where, f->where) == 0 && strcmp(section, f->section) == 0 && strstr(text, f->text))
		f->seen++;
	else
		print_message("  also: %s %s: %s (%s)\n", error ? "error" : "warning", where, text, section);
}

#define E true
#define W false
#define P "policies.0.policy."
#define P_ "policies[0].policy."
#define S "policies.0.summary."
#define S_ "policies[0].summary."
#define F "policies.0.failure-details.0."
#define F_ "policies[0].failure-details[0]."
#define SCHEMA "RFC 8460 4.4"

/* value NULL: without the member. All rows have one finding, unless `more` says how many. */
static const struct row { const char *label, *path, *value; bool error; const char *where, *section, *text; unsigned more; } rows[] = {
	{ "no organization", "organization-name", NULL, E, "organization-name", SCHEMA, "is missing", 0 },
	{ "empty organization", "organization-name", "\"\"", E, "organization-name", SCHEMA, "is empty", 0 },
	{ "null", "contact-info", "null", E, "contact-info", SCHEMA, "is null", 0 },
	{ "a number for a string", "report-id", "17", E, "report-id", SCHEMA, "is a whole number, and must be a string", 0 },
	{ "contact: a URI", "contact-info", "\"mailto:a@b.example\"", W, "contact-info", SCHEMA, "is a URI", 0 },
	{ "contact: no address", "contact-info", "\"https//x\"", W, "contact-info", SCHEMA, "no mail address", 0 },
	{ "contact: nothing behind @", "contact-info", "\"a@\"", W, "contact-info", SCHEMA, "no mail address", 0 },
	{ "unknown member", "own", "1", W, "own", SCHEMA, "no member that RFC 8460 knows", 0 },
	{ "no policies", "policies", "[]", W, "policies", SCHEMA, "is empty", 0 },
	{ "policies are no array", "policies", "{}", E, "policies", SCHEMA, "is an object, and must be an array", 0 },
	{ "a policy is null", "policies.0", "null", E, "policies[0]", SCHEMA, "must be an object", 0 },

	{ "no date-range", "date-range", NULL, E, "date-range", SCHEMA, "is missing", 0 },
	{ "no end", "date-range.end-datetime", NULL, E, "date-range.end-datetime", SCHEMA, "is missing", 0 },
	{ "a date alone", "date-range.start-datetime", "\"2026-11-21\"", E, "date-range.start-datetime", SCHEMA, "no date-time", 0 },
	{ "Unix seconds", "date-range.start-datetime", "\"1794355200\"", E, "date-range.start-datetime", SCHEMA, "no date-time", 0 },
	{ "a day that is none", "date-range.start-datetime", "\"2026-02-29T00:00:00Z\"", E, "date-range.start-datetime", SCHEMA, "no date-time", 0 },
	{ "an hour that is none", "date-range.end-datetime", "\"2026-11-21T24:00:00Z\"", E, "date-range.end-datetime", SCHEMA, "no date-time", 0 },
	{ "no zone", "date-range.start-datetime", "\"2026-11-21T00:00:00\"", E, "date-range.start-datetime", SCHEMA, "time zone", 0 },
	{ "not a whole day", "date-range.start-datetime", "\"2026-11-21T01:00:00Z\"", W, "date-range", "RFC 8460 4.1", "not one whole day", 0 },
	{ "a day of another zone", "date-range.start-datetime", "\"2026-11-21T00:00:00+01:00\"", W, "date-range", "RFC 8460 4.1", "not one whole day", 0 },
	{ "two days", "date-range.start-datetime", "\"2026-11-20T00:00:00Z\"", W, "date-range", "RFC 8460 4.1", "not one whole day", 0 },
	{ "backwards", "date-range.start-datetime", "\"2026-11-23T00:00:00Z\"", E, "date-range", SCHEMA, "ends before it begins", 0 },
	{ "24:00 as the next day", "date-range.end-datetime", "\"2026-11-22T00:00:00Z\"", W, NULL, NULL, NULL, 0 },
	{ "the same instant in another zone", "date-range.end-datetime", "\"2026-11-22T00:59:59.999+01:00\"", W, NULL, NULL, NULL, 0 },

	{ "policy-type in capitals", P "policy-type", "\"STS\"", E, P_ "policy-type", SCHEMA, "is none of", 0 },
	{ "policy-type missing", P "policy-type", NULL, E, P_ "policy-type", SCHEMA, "is missing", 0 },
	{ "no policy", "policies.0.policy", NULL, E, "policies[0].policy", SCHEMA, "is missing", 0 },
	{ "policy-string missing", P "policy-string", NULL, E, P_ "policy-string", SCHEMA, "is missing", 0 },
	{ "policy-string is a string", P "policy-string", "\"version: STSv1\"", E, P_ "policy-string", SCHEMA, "is a string, and must be an array", 0 },
	{ "policy-string of numbers", P "policy-string", "[\"version: STSv1\",1]", E, P_ "policy-string[1]", SCHEMA, "must be a string", 0 },
	{ "the policy in one string", P "policy-string", "[\"version: STSv1\\r\\nmode: none\"]", W, P_ "policy-string[0]", "RFC 8460 4.5", "line ends", 0 },
	{ "no version", P "policy-string", "[\"mode: none\"]", W, P_ "policy-string", "RFC 8460 4.5", "no \"version: STSv1\"", 0 },
	{ "no line of a policy", P "policy-string", "[\"version: STSv1\",\"x\"]", W, P_ "policy-string[1]", "RFC 8460 4.5", "no line of an MTA-STS", 0 },
	{ "an empty policy: it could not be had", P "policy-string", "[]", W, NULL, NULL, NULL, 0 },
	{ "policy-domain missing", P "policy-domain", NULL, E, P_ "policy-domain", SCHEMA, "is missing", 0 },
	{ "policy-domain in U-labels", P "policy-domain", "\"b\xc3\xbc" "cher.example\"", E, P_ "policy-domain", SCHEMA, "A-labels", 0 },
	{ "policy-domain is an address", P "policy-domain", "\"a@d.example\"", E, P_ "policy-domain", SCHEMA, "not a domain name", 0 },
	{ "policy-domain with a dot", P "policy-domain", "\"d.example.\"", W, P_ "policy-domain", SCHEMA, "a dot at its end", 0 },
	{ "mx-host is a string", P "mx-host", "\"*.d.example\"", W, P_ "mx-host", SCHEMA, "must be an array", 0 },
	{ "mx-host is a string and wrong", P "mx-host", "\"a b\"", E, P_ "mx-host", SCHEMA, "not a pattern", 1 },
	{ "mx-host is null", P "mx-host", "null", E, P_ "mx-host", SCHEMA, "is null", 0 },
	{ "mx-host missing", P "mx-host", NULL, W, P_ "mx-host", SCHEMA, "is missing", 0 },
	{ "mx-host in U-labels", P "mx-host", "[\"*.b\xc3\xbc" "cher.example\"]", E, P_ "mx-host[0]", SCHEMA, "A-labels", 0 },
	{ "mx-host of an object", P "mx-host", "[{}]", E, P_ "mx-host[0]", SCHEMA, "must be a string", 0 },
	{ "mx-host-pattern", P "mx-host-pattern", "[]", W, P_ "mx-host-pattern", SCHEMA, "it is called mx-host", 0 },

	{ "no summary", "policies.0.summary", NULL, E, "policies[0].summary", SCHEMA, "is missing", 0 },
	{ "count missing", S "total-successful-session-count", NULL, E, S_ "total-successful-session-count", SCHEMA, "is missing", 0 },
	{ "count is a string", S "total-failure-session-count", "\"2\"", E, S_ "total-failure-session-count", SCHEMA, "is a string, and must be a whole number", 0 },
	{ "count is null", S "total-successful-session-count", "null", E, S_ "total-successful-session-count", SCHEMA, "is null", 0 },
	{ "count with a fraction", S "total-successful-session-count", "7.0", E, S_ "total-successful-session-count", SCHEMA, "a fraction", 0 },
	{ "negative count", S "total-successful-session-count", "-7", E, S_ "total-successful-session-count", SCHEMA, "is negative", 0 },
	{ "huge count", S "total-successful-session-count", "9223372036854775807", W, S_ "total-successful-session-count", SCHEMA, "2^53", 0 },
	{ "sums differ", S "total-failure-session-count", "3", W, S_ "total-failure-session-count", "RFC 8460 4.2", "is 3, and the failed-session-counts add up to 2", 0 },
	{ "failures nobody can see", "policies.0.failure-details", NULL, W, S_ "total-failure-session-count", "RFC 8460 4.2", "nobody can see", 0 },
	{ "empty failures", "policies.0.failure-details", "[]", W, S_ "total-failure-session-count", "RFC 8460 4.2", "nobody can see", 0 },
	{ "failure-details is null", "policies.0.failure-details", "null", E, "policies[0].failure-details", SCHEMA, "is null", 0 },
	{ "failure-details is an object", "policies.0.failure-details", "{}", E, "policies[0].failure-details", SCHEMA, "must be an array", 0 },
	{ "a failure is a string", "policies.0.failure-details.0", "\"x\"", E, "policies[0].failure-details[0]", SCHEMA, "must be an object", 0 },

	{ "result-type missing", F "result-type", NULL, E, F_ "result-type", SCHEMA, "is missing", 0 },
	{ "unknown result-type", F "result-type", "\"own\"", W, F_ "result-type", "RFC 8460 4.3", "no result type", 0 },
	{ "result-type none", F "result-type", "\"none\"", W, F_ "result-type", "RFC 8460 4.3", "no result type", 0 },
	{ "result-type in capitals", F "result-type", "\"Certificate_Expired\"", E, F_ "result-type", "RFC 8460 4.3", "is written \"certificate-expired\"", 0 },
	{ "a DANE result of an STS policy", F "result-type", "\"tlsa-invalid\"", W, F_ "result-type", "RFC 8460 4.3.2", "about DANE", 0 },
	{ "reason missing", F "failure-reason-code", NULL, W, F_ "failure-reason-code", "RFC 8460 4.3.3", "is missing", 0 },
	{ "failure-error-code", F "failure-error-code", "\"x\"", W, F_ "failure-error-code", SCHEMA, "it is called failure-reason-code", 0 },
	{ "sender missing", F "sending-mta-ip", NULL, W, F_ "sending-mta-ip", SCHEMA, "is missing", 0 },
	{ "sender is a name", F "sending-mta-ip", "\"mta.o.example\"", E, F_ "sending-mta-ip", SCHEMA, "is no IP address", 0 },
	{ "sender is empty", F "sending-mta-ip", "\"\"", W, F_ "sending-mta-ip", SCHEMA, "is empty", 0 },
	{ "receiver in brackets", F "receiving-ip", "\"[2001:db8::1]\"", E, F_ "receiving-ip", SCHEMA, "without brackets", 0 },
	{ "receiver in full", F "receiving-ip", "\"2001:DB8:0::1\"", W, F_ "receiving-ip", SCHEMA, "is written 2001:db8::1", 0 },
	{ "receiver missing", F "receiving-ip", NULL, W, NULL, NULL, NULL, 0 },
	{ "MX host missing", F "receiving-mx-hostname", NULL, W, F_ "receiving-mx-hostname", SCHEMA, "is missing", 0 },
	{ "MX host is an address", F "receiving-mx-hostname", "\"mx d\"", E, F_ "receiving-mx-hostname", SCHEMA, "not a domain name", 0 },
	{ "HELO is null", F "receiving-mx-helo", "null", E, F_ "receiving-mx-helo", SCHEMA, "is null", 0 },
	{ "a failure that did not happen", F "failed-session-count", "0", W, F_ "failed-session-count", SCHEMA, "is 0", 1 },
	{ "information is no URI", F "additional-information", "\"see there\"", W, F_ "additional-information", SCHEMA, "no URI", 0 },
	{ "information", F "additional-information", "\"https://o.example/x\"", W, NULL, NULL, NULL, 0 },
};

static const struct rpt_carrier bare;

static void expect(const char *label, const json_t *v, const struct rpt_carrier *c, struct finding *f, unsigned want_more)
{
	unsigned errors = rpt_lint(v, c, on_finding, f);
	unsigned all = f->errors + f->warnings, want = (f->where ? 1 : 0) + want_more;
	if (errors != f->errors || f->seen != (f->where ? 1 : 0) || all != want)
		fail_msg("%s: want %s %s (%s) and %u more; it was told %u times, of %u", label, f->where ? f->where : "nothing", f->text ? f->text : "",
		         f->section ? f->section : "", want_more, f->seen, all);
}

static void test_documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char last[64];
		json_t *v = json_loads(good, 0, NULL), *at = walk(v, rows[i].path, last);
		json_t *value = rows[i].value ? json_loads(rows[i].value, JSON_DECODE_ANY, NULL) : NULL;
		if (value == NULL)
			assert_int_equal(json_object_del(at, last), 0);
		else if (json_is_array(at))
			json_array_set_new(at, 0, value);
		else
			json_object_set_new(at, last, value);
		struct finding f = { .error = rows[i].error, .where = rows[i].where, .section = rows[i].section, .text = rows[i].text };
		expect(rows[i].label, v, &bare, &f, rows[i].more);
		json_decref(v);
	}
}

static void test_the_good_one_is_good(void **state)
{
	(void)state;
	json_t *v = json_loads(good, 0, NULL);
	expect("good", v, &bare, &(struct finding){ 0 }, 0);
	json_decref(v);
}

/* Other kinds of policy, other rules. */
static const struct { const char *label, *policy, *details; const char *where, *text; } policies[] = {
	{ "no policy found, nothing of it", "\"policy-type\":\"no-policy-found\",\"policy-string\":[]", "", NULL, NULL },
	{ "no policy found, no strings", "\"policy-type\":\"no-policy-found\"", "", P_ "policy-string", "is missing" },
	{ "TLSA", "\"policy-type\":\"tlsa\",\"policy-string\":[\"3 1 1 1F850A337E6DB9C609C522D136A475638CC43E1ED424F8EEC8513D747D1D085D\"]", "", NULL, NULL },
	{ "TLSA, no record", "\"policy-type\":\"tlsa\",\"policy-string\":[\"3 1 1\"]", "", P_ "policy-string[0]", "is no TLSA record" },
	{ "TLSA, blanks in the data", "\"policy-type\":\"tlsa\",\"policy-string\":[\"3 1 1 1F85 0A33\"]", "", P_ "policy-string[0]", "is no TLSA record" },
	{ "an STS result", "\"policy-type\":\"tlsa\",\"policy-string\":[\"3 1 1 00\"]", "{\"result-type\":\"sts-webpki-invalid\",\"failed-session-count\":1}",
	  F_ "result-type", "is about MTA-STS" },
	{ "a fetch error has no session", "\"policy-type\":\"sts\",\"policy-string\":[],\"mx-host\":[]",
	  "{\"result-type\":\"sts-policy-fetch-error\",\"failed-session-count\":1}", NULL, NULL },
	{ "nor has DNSSEC", "\"policy-type\":\"tlsa\",\"policy-string\":[]", "{\"result-type\":\"dnssec-invalid\",\"failed-session-count\":1}", NULL, NULL },
};

static void test_kinds_of_policy(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(policies); i++) {
		char text[2000];
		snprintf(text, sizeof(text), "{\"organization-name\":\"O\",\"date-range\":{\"start-datetime\":\"2026-11-21T00:00:00Z\",\"end-datetime\":"
		         "\"2026-11-21T23:59:59Z\"},\"contact-info\":\"c@o.example\",\"report-id\":\"i\",\"policies\":[{\"policy\":{%s,\"policy-domain\":\"d.example\"},"
		         "\"summary\":{\"total-successful-session-count\":1,\"total-failure-session-count\":%d},\"failure-details\":[%s]}]}", policies[i].policy,
		         *policies[i].details ? 1 : 0, policies[i].details);
		json_t *v = json_loads(text, 0, NULL);
		const char *section = strstr(policies[i].label, "TLSA,") ? "RFC 8460 4.5" : strstr(policies[i].label, "an STS") ? "RFC 8460 4.3.2" : SCHEMA;
		expect(policies[i].label, v, &bare, &(struct finding){ false, policies[i].where, section, policies[i].text, 0, 0, 0 }, 0);
		json_decref(v);
	}
}

static void test_what_is_no_object(void **state)
{
	(void)state;
	json_t *v = json_loads("[]", 0, NULL);
	expect("array", v, &bare, &(struct finding){ true, "", SCHEMA, "is an array", 0, 0, 0 }, 0);
	json_decref(v);
}

/* ---- the mail ---- */

static const struct rpt_carrier good_mail = {
	.gzip = true, .mail = true, .type = "multipart/report", .report_type = "tlsrpt", .domain = "d.example", .submitter = "o.example",
	.subject = "Report Domain: d.example  Submitter: o.example Report-ID: <i@o.example>", .part_type = "application/tlsrpt+gzip",
	.file_name = "o.example!d.example!1795219200!1795305599!i1.json.gz",
	.signatures = { { .domain = "o.example", .fields = "From:tls-report-domain:TLS-Report-Submitter" } }, .signature_count = 1,
};

#define C(member) offsetof(struct rpt_carrier, member)
/* The member and what it is in the row. */
static const struct { const char *label; size_t member; const char *value; bool error; const char *where, *section, *text; } mails[] = {
	{ "a member twice", C(repeated), "duplicate object key near 'x'", E, "", "RFC 8259 4", "near 'x'" },
	{ "not multipart/report", C(type), "multipart/mixed", E, "Content-Type", "RFC 8460 5.3", "is multipart/mixed, and must be" },
	{ "no type", C(type), NULL, E, "Content-Type", "RFC 8460 5.3", "is missing, and must be" },
	{ "no report-type", C(report_type), NULL, E, "Content-Type", "RFC 8460 5.3", "has no report-type" },
	{ "report-type of another kind", C(report_type), "delivery-status", E, "Content-Type", "RFC 8460 5.3", "report-type=delivery-status" },
	{ "application/gzip", C(part_type), "application/gzip", E, "Content-Type", "RFC 8460 5.3", "must be application/tlsrpt+gzip" },
	{ "no TLS-Report-Domain", C(domain), NULL, E, "TLS-Report-Domain", "RFC 8460 5.3", "is missing" },
	{ "TLS-Report-Domain is none", C(domain), "d example", E, "TLS-Report-Domain", "RFC 8460 5.3", "no domain name" },
	{ "TLS-Report-Domain of another", C(domain), "x.example", W, "TLS-Report-Domain", "RFC 8460 5.6", "is x.example, and the report is about d.example" },
	{ "no TLS-Report-Submitter", C(submitter), NULL, E, "TLS-Report-Submitter", "RFC 8460 5.3", "is missing" },
	{ "no subject", C(subject), NULL, W, "Subject", "RFC 8460 5.3", "should be \"Report Domain" },
	{ "another subject", C(subject), "TLS report", W, "Subject", "RFC 8460 5.3", "should be \"Report Domain" },
	{ "subject without <>", C(subject), "Report Domain: d.example Submitter: o.example Report-ID: i", W, "Subject", "RFC 8460 5.3", "<id@domain>" },
	{ "subject of another domain", C(subject), "Report Domain: x.example Submitter: o.example Report-ID: <i@o.example>", W, "Subject.domain", "RFC 8460 5.6", "x.example" },
	{ "no file name", C(file_name), NULL, W, "filename", "RFC 8460 5.1", "is missing" },
	{ "file name .gz", C(file_name), "o.example!d.example!1795219200!1795305599.gz", E, "filename", "RFC 8460 5.1", "must end in .json.gz" },
	{ "file name .json of gzip", C(file_name), "o.example!d.example!1795219200!1795305599.json", E, "filename", "RFC 8460 5.1", "must end in .json.gz" },
	{ "file name without an id", C(file_name), "o.example!d.example!1795219200!1795305599.json.gz", W, NULL, NULL, NULL },
	{ "file name of own form", C(file_name), "report.json.gz", W, "filename", "RFC 8460 5.1", "should be sender!domain" },
	{ "file name with dates", C(file_name), "o.example!d.example!20261121!2026-11-21.json.gz", W, "filename", "RFC 8460 5.6", "it begins at 20261121" },
	{ "an id with a dash", C(file_name), "o.example!d.example!1795219200!1795305599!i-1.json.gz", W, "filename", "RFC 8460 5.1", "letters and digits" },
	{ "file name of another domain", C(file_name), "o.example!x.example!1795219200!1795305599.json.gz", W, "filename.domain", "RFC 8460 5.6", "x.example" },
	{ "signed by others", C(signatures[0].domain), "ample", W, "DKIM-Signature", "RFC 8460 3", "by the submitter" },
	{ "signed by the domain above", C(submitter), "mta.o.example", W, NULL, NULL, NULL },
	{ "signed without its fields", C(signatures[0].fields), "from", W, "DKIM-Signature", "RFC 8460 5.3", "does not sign" },
};

static void expect_mail(const char *label, const struct rpt_carrier *c, struct finding f, unsigned more)
{
	json_t *v = json_loads(good, 0, NULL);
	expect(label, v, c, &f, more);
	json_decref(v);
}

static void test_mails(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(mails); i++) {
		struct rpt_carrier c = good_mail;
		memcpy((char *)&c + mails[i].member, &mails[i].value, sizeof(mails[i].value));
		unsigned more = strcmp(mails[i].label, "file name with dates") == 0;    /* the end is no number at all */
		expect_mail(mails[i].label, &c, (struct finding){ mails[i].error, mails[i].where, mails[i].section, mails[i].text, 0, 0, 0 }, more);
	}
}

static void test_mails_in_other_ways(void **state)
{
	(void)state;
	struct rpt_carrier c = good_mail;
	expect_mail("without fault", &c, (struct finding){ 0 }, 0);
	c.byte_order_mark = true;
	expect_mail("byte order mark", &c, (struct finding){ true, "", "RFC 8259 8.1", "byte order mark", 0, 0, 0 }, 0);
	c = good_mail;
	c.signature_count = 0;
	expect_mail("no DKIM-Signature", &c, (struct finding){ true, "DKIM-Signature", "RFC 8460 3", "is missing", 0, 0, 0 }, 0);
	c = good_mail;
	c.signatures[0].partial = true;
	expect_mail("signed in part", &c, (struct finding){ true, "DKIM-Signature", "RFC 8460 3", "has l=", 0, 0, 0 }, 0);
	c = good_mail;
	c.gzip = false;
	c.part_type = "application/tlsrpt+json";
	c.file_name = "o.example!d.example!1795219200!1795305599.json";
	expect_mail("not compressed", &c, (struct finding){ false, "Content-Type", "RFC 8460 5.2", "not compressed", 0, 0, 0 }, 0);
}

/* ---- our own ---- */

static void lint_any(void *arg, const json_t *document, const struct rpt_carrier *c)
{
	struct finding *f = arg;
	unsigned before = f->errors + f->warnings;
	(void)rpt_lint(document, c, on_finding, f);
	f->seen += f->errors + f->warnings == before;
}

/* The mail as relay/reporter.c makes it, but for the DKIM signature in front. */
static void test_our_own_reports_are_without_fault(void **state)
{
	(void)state;
	static const struct rpt_head head = { "O", "c@o.example", "2026-11-21.ab12@o.example", 20778, "d.example" };
	static const struct rpt_policy sts = { .type = RPT_POLICY_STS, .strings = "version: STSv1\nmode: enforce\nmx: *.d.example", .mx_patterns = "*.d.example",
	                                       .successes = 3, .failures = 2 };
	static const struct rpt_policy none = { .type = RPT_POLICY_NONE_FOUND, .strings = "", .mx_patterns = "", .successes = 1 };
	static const struct rpt_failure failure = { .result = SP_RESULT_VALIDATION_FAILURE, .sending_ip = "192.0.2.1", .mx_host = "mx.d.example", .mx_helo = "",
	                                            .mx_ip = "", .reason = "mx-mismatch", .count = 2 };
	struct sp_buf document, mail, why;
	sp_buf_init(&document, 1 << 20);
	sp_buf_init(&mail, 1 << 20);
	sp_buf_init(&why, 4096);
	struct rpt_compose *c = rpt_compose_new(&head, &document);
	rpt_compose_policy(c, &sts);
	rpt_compose_failure(c, &failure);
	rpt_compose_policy(c, &none);
	rpt_compose_finish(c);
	sp_buf_adds(&mail, "DKIM-Signature: v=1; d=o.example; h=From:TLS-Report-Domain:TLS-Report-Submitter; b=\r\n");
	rpt_mail_write(&(struct rpt_mail){ &head, "o.example", "c@o.example", "r@d.example", "m@o.example", 1795305600, sp_buf_str(&document), 4, 2 }, &mail);
	struct finding f = { 0 };
	assert_int_equal(rpt_unwrap_each(sp_buf_str(&mail), lint_any, &f, &why), 1);
	assert_int_equal(f.seen, 1);
	sp_buf_clear(&document);
	sp_buf_clear(&mail);
	sp_buf_clear(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_good_one_is_good), cmocka_unit_test(test_documents), cmocka_unit_test(test_kinds_of_policy),
		cmocka_unit_test(test_what_is_no_object), cmocka_unit_test(test_mails), cmocka_unit_test(test_mails_in_other_ways),
		cmocka_unit_test(test_our_own_reports_are_without_fault),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

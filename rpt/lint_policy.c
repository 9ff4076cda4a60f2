/* rpt/lint_policy.c - the policies of a report, their sums and their failures (RFC 8460 4.2 to 4.5); see lint_impl.h. */
#include "rpt/lint_impl.h"

#include "core/addr.h"
#include "core/fail.h"

#include <inttypes.h>
#include <string.h>

#define EXACT_MAX 9007199254740992      /* 2^53: beyond it, readers that keep numbers as doubles lose some */

/* ---- counts ---- */

/* A count of sessions; -1 where there is none that can be added up. */
static int64_t check_count(struct lint *l, const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	if (!json_is_integer(value)) {
		(void)lint_member(l, object, name, JSON_INTEGER, LINT_MUST);    /* says what is wrong */
		return -1;
	}
	size_t mark = lint_enter(l, name);
	int64_t n = json_integer_value(value);
	if (n < 0)
		lint_error(l, LINT_SCHEMA, "is negative: %" PRId64, n);
	else if (n > EXACT_MAX)
		lint_warning(l, LINT_SCHEMA, "is larger than many readers can keep exactly (2^53): %" PRId64, n);
	lint_leave(l, mark);
	return n >= 0 && n <= EXACT_MAX ? n : -1;
}

/* ---- the policy ---- */

enum type { TYPE_NONE, TYPE_STS, TYPE_TLSA, TYPE_UNKNOWN };

static enum type check_type(struct lint *l, const json_t *policy)
{
	static const char *const names[] = { "no-policy-found", "sts", "tlsa" };
	const char *text = lint_text(l, policy, "policy-type", LINT_MUST);
	for (size_t i = 0; text && i < SP_COUNT(names); i++)
		if (strcmp(text, names[i]) == 0)
			return (enum type)i;
	size_t mark = lint_enter(l, "policy-type");
	if (text)
		lint_error(l, LINT_SCHEMA, "\"%s\" is none of \"sts\", \"tlsa\" and \"no-policy-found\"", text);
	lint_leave(l, mark);
	return TYPE_UNKNOWN;
}

/* Usage, selector, matching type, and the data without blanks (RFC 8460 4.5, RFC 6698 2.2). */
static bool is_tlsa(struct sp_str s)
{
	uint64_t number;
	for (unsigned i = 0; i < 3; i++)
		if (!sp_take_digits(&s, 3, &number) || number > 255 || !sp_take_char(&s, ' '))
			return false;
	for (size_t i = 0; i < s.len; i++)
		if (!sp_is_digit(s.p[i]) && (sp_lower(s.p[i]) < 'a' || sp_lower(s.p[i]) > 'f'))
			return false;
	return s.len > 0;
}

/* RFC 8460 4.5: one string a line of the policy, one a TLSA record. */
static void check_line(struct lint *l, enum type type, const char *line)
{
	if (strpbrk(line, "\r\n"))
		lint_warning(l, "RFC 8460 4.5", "holds line ends: each line of a policy is a string of its own");
	else if (type == TYPE_TLSA && !is_tlsa(sp_str_of(line)))
		lint_warning(l, "RFC 8460 4.5", "\"%s\" is no TLSA record: usage, selector, matching type and hexadecimal data, a blank between", line);
	else if (type == TYPE_STS && *line && !strchr(line, ':'))
		lint_warning(l, "RFC 8460 4.5", "\"%s\" is no line of an MTA-STS policy: \"key: value\"", line);
}

static bool has_version(const json_t *lines)
{
	size_t i;
	json_t *line;
	json_array_foreach(lines, i, line)
		if (json_is_string(line) && sp_str_starts(sp_str_of(json_string_value(line)), SP_STR("version")))
			return true;
	return false;
}

static void check_strings(struct lint *l, const json_t *policy, enum type type)
{
	const json_t *lines = lint_member(l, policy, "policy-string", JSON_ARRAY, type == TYPE_STS || type == TYPE_TLSA ? LINT_MUST : LINT_SHOULD);
	size_t mark = lint_enter(l, "policy-string"), i;
	json_t *line;
	json_array_foreach(lines, i, line) {
		size_t item = lint_enter_item(l, i);
		if (json_is_string(line))
			check_line(l, type, json_string_value(line));
		else
			lint_error(l, LINT_SCHEMA, "must be a string");
		lint_leave(l, item);
	}
	if (type == TYPE_STS && json_array_size(lines) > 0 && !has_version(lines))
		lint_warning(l, "RFC 8460 4.5", "has no \"version: STSv1\": it is to be the policy as it was published");
	lint_leave(l, mark);
}

/* RFC 8460 4.4: an array of strings; one string is common, and told apart from what nobody can read. */
static void check_mx_hosts(struct lint *l, const json_t *policy, enum type type)
{
	const json_t *hosts = json_object_get(policy, "mx-host");
	size_t mark = lint_enter(l, "mx-host"), i;
	json_t *host;
	if (json_is_string(hosts)) {
		lint_warning(l, LINT_SCHEMA, "is a string, and must be an array of strings (strict readers refuse the report)");
		if (*json_string_value(hosts))
			lint_name(l, json_string_value(hosts), true);
	} else {
		lint_leave(l, mark);                                    /* a policy that could not be fetched has none */
		hosts = lint_member(l, policy, "mx-host", JSON_ARRAY, type == TYPE_STS ? LINT_SHOULD : LINT_MAY);
		mark = lint_enter(l, "mx-host");
	}
	json_array_foreach(hosts, i, host) {
		size_t item = lint_enter_item(l, i);
		if (json_is_string(host))
			lint_name(l, json_string_value(host), true);
		else
			lint_error(l, LINT_SCHEMA, "must be a string");
		lint_leave(l, item);
	}
	lint_leave(l, mark);
}

static enum type check_policy(struct lint *l, const json_t *item)
{
	static const char *const known[] = { "policy-type", "policy-string", "policy-domain", "mx-host", NULL };
	const json_t *policy = lint_member(l, item, "policy", JSON_OBJECT, LINT_MUST);
	if (policy == NULL)
		return TYPE_UNKNOWN;
	size_t mark = lint_enter(l, "policy");
	enum type type = check_type(l, policy);
	check_strings(l, policy, type);
	const char *domain = lint_text(l, policy, "policy-domain", LINT_MUST);
	size_t at = lint_enter(l, "policy-domain");
	if (domain)
		lint_name(l, domain, false);
	lint_leave(l, at);
	if (type != TYPE_TLSA)                  /* RFC 8460 1.1: there it is the MX host's, which says nothing of whose report this is */
		l->domain = l->domain ? l->domain : domain;
	check_mx_hosts(l, policy, type);
	lint_unknown(l, policy, known);
	lint_leave(l, mark);
	return type;
}

/* ---- failures ---- */

static bool is_about_sts(enum sp_result r)
{
	return r == SP_RESULT_STS_POLICY_FETCH_ERROR || r == SP_RESULT_STS_POLICY_INVALID || r == SP_RESULT_STS_WEBPKI_INVALID;
}

static bool is_about_dane(enum sp_result r)
{
	return r == SP_RESULT_TLSA_INVALID || r == SP_RESULT_DNSSEC_INVALID || r == SP_RESULT_DANE_REQUIRED;
}

/* NONE where it is none of RFC 8460 4.3. */
static enum sp_result check_result(struct lint *l, const json_t *failure, enum type type)
{
	enum sp_result result = SP_RESULT_NONE;
	const char *text = lint_text(l, failure, "result-type", LINT_MUST);
	if (text == NULL)
		return SP_RESULT_NONE;
	size_t mark = lint_enter(l, "result-type");
	char lower[64];
	snprintf(lower, sizeof(lower), "%s", text);
	sp_lower_in_place(lower);
	for (char *c = lower; *c; c++)
		*c = *c == '_' ? '-' : *c;
	if (sp_result_parse(sp_str_of(text), &result) && result != SP_RESULT_NONE) {
		if (is_about_sts(result) && type == TYPE_TLSA)
			lint_warning(l, "RFC 8460 4.3.2", "\"%s\" is about MTA-STS, and the policy is a TLSA one", text);
		if (is_about_dane(result) && type == TYPE_STS)
			lint_warning(l, "RFC 8460 4.3.2", "\"%s\" is about DANE, and the policy is an MTA-STS one", text);
	} else if (sp_result_parse(sp_str_of(lower), &result) && result != SP_RESULT_NONE)
		lint_error(l, "RFC 8460 4.3", "\"%s\" is written \"%s\"", text, lower);
	else                                                            /* the list may grow (RFC 8460 4.3, 6.6) */
		lint_warning(l, "RFC 8460 4.3", "\"%s\" is no result type of RFC 8460; what fits none is \"validation-failure\"", text);
	lint_leave(l, mark);
	return result;
}

static void check_ip(struct lint *l, const json_t *failure, const char *name, enum lint_need need)
{
	struct sp_addr addr;
	char canonical[SP_ADDR_TEXT];
	const char *text = lint_text(l, failure, name, need);
	if (text == NULL)
		return;
	size_t mark = lint_enter(l, name);
	if (!sp_addr_parse_ip(sp_str_of(text), 0, &addr))
		lint_error(l, LINT_SCHEMA, "\"%s\" is no IP address: dots and digits, or IPv6 after RFC 5952, without brackets", text);
	else if (strcmp(sp_addr_ip_str(&addr, canonical), text) != 0)
		lint_warning(l, LINT_SCHEMA, "\"%s\" is written %s (RFC 5952)", text, canonical);
	lint_leave(l, mark);
}

static void check_hostname(struct lint *l, const json_t *failure, enum lint_need need)
{
	const char *text = lint_text(l, failure, "receiving-mx-hostname", need);
	size_t mark = lint_enter(l, "receiving-mx-hostname");
	if (text)
		lint_name(l, text, false);
	lint_leave(l, mark);
}

static void check_words(struct lint *l, const json_t *failure, enum sp_result result)
{
	const char *info = lint_text(l, failure, "additional-information", LINT_MAY);
	bool renamed = json_object_get(failure, "failure-error-code") != NULL;
	const char *reason = lint_text(l, failure, "failure-reason-code", LINT_MAY);
	size_t mark = lint_enter(l, "additional-information");
	if (info && !strchr(info, ':'))
		lint_warning(l, LINT_SCHEMA, "\"%s\" is no URI (RFC 3986)", info);
	lint_leave(l, mark);
	mark = lint_enter(l, "failure-reason-code");
	if (reason == NULL && !renamed && result == SP_RESULT_VALIDATION_FAILURE)
		lint_warning(l, "RFC 8460 4.3.3", "is missing: \"validation-failure\" alone tells nobody what to mend");
	lint_leave(l, mark);
}

/* Its count, or -1. */
static int64_t check_failure(struct lint *l, const json_t *failure, enum type type)
{
	static const char *const known[] = { "result-type", "sending-mta-ip", "receiving-mx-hostname", "receiving-mx-helo", "receiving-ip",
	                                     "failed-session-count", "additional-information", "failure-reason-code", NULL };
	enum sp_result result = check_result(l, failure, type);
	bool session = !is_about_sts(result) && !is_about_dane(result);         /* what goes before one has no MX host yet */
	check_ip(l, failure, "sending-mta-ip", session ? LINT_SHOULD : LINT_MAY);
	check_hostname(l, failure, session ? LINT_SHOULD : LINT_MAY);
	lint_text(l, failure, "receiving-mx-helo", LINT_MAY);
	check_ip(l, failure, "receiving-ip", LINT_MAY);
	int64_t count = check_count(l, failure, "failed-session-count");
	size_t mark = lint_enter(l, "failed-session-count");
	if (count == 0)
		lint_warning(l, LINT_SCHEMA, "is 0: a failure that did not happen");
	lint_leave(l, mark);
	check_words(l, failure, result);
	lint_unknown(l, failure, known);
	return count;
}

/* The sum of their counts, or -1; *count: how many there are. */
static int64_t check_failures(struct lint *l, const json_t *item, enum type type, size_t *count)
{
	const json_t *failures = lint_member(l, item, "failure-details", JSON_ARRAY, LINT_MAY);
	int64_t total = failures || json_object_get(item, "failure-details") == NULL ? 0 : -1;
	size_t mark = lint_enter(l, "failure-details"), i;
	json_t *failure;
	json_array_foreach(failures, i, failure) {
		size_t at = lint_enter_item(l, i);
		int64_t n = -1;
		if (json_is_object(failure))
			n = check_failure(l, failure, type);
		else
			lint_error(l, LINT_SCHEMA, "must be an object");
		total = total < 0 || n < 0 || total > EXACT_MAX ? -1 : total + n;
		lint_leave(l, at);
	}
	*count = json_array_size(failures);
	lint_leave(l, mark);
	return total;
}

/* ---- sums ---- */

static void check_sums(struct lint *l, int64_t successes, int64_t failed, int64_t details, size_t detail_count)
{
	size_t mark = lint_enter(l, "summary");
	if (successes == 0 && failed == 0)
		lint_warning(l, "RFC 8460 4.2", "tells of no session");
	size_t member = lint_enter(l, "total-failure-session-count");
	if (failed > 0 && detail_count == 0 && details == 0)
		lint_warning(l, "RFC 8460 4.2", "is %" PRId64 ", and failure-details tells of none: nobody can see what failed", failed);
	else if (failed >= 0 && details >= 0 && failed != details)
		lint_warning(l, "RFC 8460 4.2", "is %" PRId64 ", and the failed-session-counts add up to %" PRId64, failed, details);
	lint_leave(l, member);
	lint_leave(l, mark);
}

static void check_item(struct lint *l, const json_t *item)
{
	static const char *const known[] = { "policy", "summary", "failure-details", NULL };
	static const char *const known_in_summary[] = { "total-successful-session-count", "total-failure-session-count", NULL };
	enum type type = check_policy(l, item);
	const json_t *summary = lint_member(l, item, "summary", JSON_OBJECT, LINT_MUST);
	int64_t successes = -1, failed = -1;
	if (summary) {
		size_t mark = lint_enter(l, "summary");
		successes = check_count(l, summary, known_in_summary[0]);
		failed = check_count(l, summary, known_in_summary[1]);
		lint_unknown(l, summary, known_in_summary);
		lint_leave(l, mark);
	}
	size_t detail_count;
	int64_t details = check_failures(l, item, type, &detail_count);
	check_sums(l, successes, failed, details, detail_count);
	lint_unknown(l, item, known);
}

void lint_policies(struct lint *l, const json_t *policies)
{
	size_t i;
	json_t *item;
	json_array_foreach(policies, i, item) {
		size_t mark = lint_enter_item(l, i);
		if (json_is_object(item))
			check_item(l, item);
		else
			lint_error(l, LINT_SCHEMA, "must be an object");
		lint_leave(l, mark);
	}
}

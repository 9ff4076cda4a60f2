/* rpt/read.c - see read.h: a JSON document into structs, and back. */
#include "rpt/read.h"

#include <string.h>

#define TEXT_MAX 1000                   /* octets of a string that are kept */
#define LINES_MAX 1000                  /* strings of an array, lines of a string */

/* ---- strings that may go to a terminal ---- */

/* The code point at the start of valid UTF-8, and its octets. */
static uint32_t code_point(const char *p, size_t *len)
{
	unsigned char c = (unsigned char)p[0];
	*len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t code = *len == 1 ? c : c & (0x7fu >> *len);
	for (size_t i = 1; i < *len; i++)
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	return code;
}

/* Control characters (C0, DEL, C1), what turns the direction of writing or ends a line, and what cannot be seen: not for terminals. */
static bool is_unfit(uint32_t code)
{
	static const struct { uint32_t first, last; } rows[] = {
		{ 0, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x61c, 0x61c }, { 0x180e, 0x180e }, { 0x200b, 0x200f }, { 0x2028, 0x202e },
		{ 0x2060, 0x206f }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe0fff },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		if (code >= rows[i].first && code <= rows[i].last)
			return true;
	return false;
}

/* `s` is UTF-8 (the JSON parser saw to that), but may be cut anywhere at TEXT_MAX. */
static const char *clean(struct sp_str s, struct sp_arena *arena)
{
	char *out = sp_arena_alloc(arena, sp_min(s.len, TEXT_MAX) + 4), *to = out;
	size_t len;
	for (size_t i = 0; i < s.len; i += len) {
		uint32_t code = code_point(s.p + i, &len);
		if (i + len > TEXT_MAX) {
			memcpy(to, "...", 3);
			break;
		}
		if (is_unfit(code))
			*to++ = '?';
		else
			for (size_t j = 0; j < len; j++)
				*to++ = s.p[i + j];
	}
	return out;
}

/* ---- members, whatever they are ---- */

static const char *text_of(const json_t *value, struct sp_arena *arena)
{
	return json_is_string(value) ? clean(sp_str_make(json_string_value(value), json_string_length(value)), arena) : "";
}

static const char *text(const json_t *object, const char *name, struct sp_arena *arena)
{
	return text_of(json_object_get(object, name), arena);
}

/* The second name where the first is not there: what drafts of the RFC called it, and some senders still do. */
static const json_t *either(const json_t *object, const char *name, const char *other)
{
	const json_t *value = json_object_get(object, name);
	return value ? value : json_object_get(object, other);
}

static uint64_t number(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	uint64_t n = 0;
	if (json_is_integer(value))
		return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
	if (json_is_real(value))
		return json_real_value(value) >= 1 && json_real_value(value) < 9e18 ? (uint64_t)json_real_value(value) : 0;
	if (json_is_string(value) && sp_str_number(sp_str_of(json_string_value(value)), 0, INT64_MAX, &n))
		return n;
	return 0;
}

/* An array of strings; or one string, of which each line counts. */
static const char **strings(const json_t *value, struct sp_arena *arena, size_t *count)
{
	size_t most = json_is_array(value) ? json_array_size(value) : json_string_length(value), n = 0, i;
	const char **out = sp_arena_alloc(arena, sizeof(*out) * (sp_min(most, LINES_MAX) + 1));
	json_t *item;
	json_array_foreach(value, i, item)
		if (json_is_string(item) && n < LINES_MAX)
			out[n++] = text_of(item, arena);
	struct sp_str s = json_is_string(value) ? sp_str_make(json_string_value(value), json_string_length(value)) : SP_STR(""), line;
	while (n < LINES_MAX && sp_take_line(&s, &line))
		if (sp_str_trim(line).len > 0)
			out[n++] = clean(sp_str_trim(line), arena);
	*count = n;
	return out;
}

/* The `i`-th of an array, or the value itself where it is an object that should be in one. */
static const json_t *item_at(const json_t *value, size_t i)
{
	return json_is_object(value) && i == 0 ? value : json_array_get(value, i);
}

static size_t item_count(const json_t *value)
{
	return json_is_object(value) ? 1 : json_array_size(value);
}

/* ---- the report ---- */

static struct rpt_read_failure read_failure(const json_t *v, struct sp_arena *arena)
{
	return (struct rpt_read_failure){
		.result = text(v, "result-type", arena),
		.sending_ip = text(v, "sending-mta-ip", arena),
		.mx_host = text(v, "receiving-mx-hostname", arena),
		.mx_helo = text(v, "receiving-mx-helo", arena),
		.mx_ip = text(v, "receiving-ip", arena),
		.reason = text_of(either(v, "failure-reason-code", "failure-error-code"), arena),
		.info = text_of(either(v, "additional-information", "additional-info-uri"), arena),
		.count = number(v, "failed-session-count"),
	};
}

static struct rpt_read_policy read_policy(const json_t *v, struct sp_arena *arena)
{
	const json_t *details = json_object_get(v, "failure-details");
	const json_t *policy = json_object_get(v, "policy"), *summary = json_object_get(v, "summary");
	policy = json_is_object(policy) ? policy : v;
	summary = json_is_object(summary) ? summary : v;
	struct rpt_read_policy out = {
		.type = text(policy, "policy-type", arena),
		.domain = text(policy, "policy-domain", arena),
		.successes = number(summary, "total-successful-session-count"),
		.failures = number(summary, "total-failure-session-count"),
	};
	out.strings = strings(json_object_get(policy, "policy-string"), arena, &out.string_count);
	out.mx_hosts = strings(either(policy, "mx-host", "mx-host-pattern"), arena, &out.mx_host_count);
	out.details = sp_arena_alloc(arena, sizeof(*out.details) * (item_count(details) + 1));
	for (size_t i = 0; i < item_count(details); i++)
		if (json_is_object(item_at(details, i)))
			out.details[out.detail_count++] = read_failure(item_at(details, i), arena);
	return out;
}

bool rpt_read(const json_t *document, struct sp_arena *arena, struct rpt_read_report *out, struct sp_buf *why)
{
	const json_t *range = json_object_get(document, "date-range"), *policies = json_object_get(document, "policies");
	*out = (struct rpt_read_report){
		.organization = text(document, "organization-name", arena),
		.contact = text(document, "contact-info", arena),
		.report_id = text(document, "report-id", arena),
		.from = text(range, "start-datetime", arena),
		.to = text(range, "end-datetime", arena),
	};
	if (!*out->organization && !*out->contact && !*out->report_id && !*out->from && item_count(policies) == 0) {
		sp_buf_adds(why, "this JSON is no TLS report: it has none of the members of RFC 8460 4.4");
		return false;
	}
	out->policies = sp_arena_alloc(arena, sizeof(*out->policies) * (item_count(policies) + 1));
	for (size_t i = 0; i < item_count(policies); i++)
		if (json_is_object(item_at(policies, i)))
			out->policies[out->policy_count++] = read_policy(item_at(policies, i), arena);
	return true;
}

/* ---- and back ---- */

static void put(json_t *object, const char *name, const char *value)
{
	if (*value)
		json_object_set_new(object, name, json_string(value));
}

static json_t *list(const char *const *items, size_t count)
{
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_string(items[i]));
	return array;
}

static json_t *failure_json(const struct rpt_read_failure *f)
{
	json_t *v = json_object();
	put(v, "result-type", f->result);
	put(v, "sending-mta-ip", f->sending_ip);
	put(v, "receiving-mx-hostname", f->mx_host);
	put(v, "receiving-mx-helo", f->mx_helo);
	put(v, "receiving-ip", f->mx_ip);
	json_object_set_new(v, "failed-session-count", json_integer((json_int_t)f->count));
	put(v, "additional-information", f->info);
	put(v, "failure-reason-code", f->reason);
	return v;
}

static json_t *policy_json(const struct rpt_read_policy *p)
{
	json_t *details = json_array();
	for (size_t i = 0; i < p->detail_count; i++)
		json_array_append_new(details, failure_json(&p->details[i]));
	return json_pack("{s:{s:s, s:o, s:s, s:o}, s:{s:I, s:I}, s:o}", "policy", "policy-type", p->type, "policy-string", list(p->strings, p->string_count),
	                 "policy-domain", p->domain, "mx-host", list(p->mx_hosts, p->mx_host_count), "summary", "total-successful-session-count",
	                 (json_int_t)p->successes, "total-failure-session-count", (json_int_t)p->failures, "failure-details", details);
}

json_t *rpt_read_json(const struct rpt_read_report *r)
{
	json_t *policies = json_array();
	for (size_t i = 0; i < r->policy_count; i++)
		json_array_append_new(policies, policy_json(&r->policies[i]));
	return json_pack("{s:s, s:{s:s, s:s}, s:s, s:s, s:o}", "organization-name", r->organization, "date-range", "start-datetime", r->from,
	                 "end-datetime", r->to, "contact-info", r->contact, "report-id", r->report_id, "policies", policies);
}

/* rpt/compose.c - see compose.h. The frame is written here, values and the small objects by jansson: never more than one of them is in memory. */
#include "rpt/compose.h"

#include "core/date.h"
#include "core/gzip.h"
#include "rpt/utf8.h"

#include <jansson.h>
#include <stdlib.h>

#define NUMBER_MAX 9007199254740991u    /* RFC 7493 2.2: what every reader takes as it is */

enum place { IN_POLICIES, IN_POLICY, IN_FAILURES };
struct rpt_compose {
	struct core_gzip *gzip;
	struct sp_buf scratch;          /* the string being made safe */
	enum place place;
	bool later;                     /* a policy was there before */
	char *domain;
};

/* --- values --- */

static json_t *string(struct rpt_compose *c, struct sp_str s)
{
	sp_buf_reset(&c->scratch);
	rpt_utf8_add(&c->scratch, s);
	json_t *value = json_stringn(sp_buf_cstr(&c->scratch), c->scratch.len);
	sp_assert(value != NULL);
	return value;
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)(n < NUMBER_MAX ? n : NUMBER_MAX));
}

static void set(json_t *object, const char *name, json_t *value)
{
	int rc = json_object_set_new(object, name, value);
	sp_assert(rc == 0);
}

/* RFC 8460 4.4: what is not known is left out. */
static void set_known(struct rpt_compose *c, json_t *object, const char *name, const char *value)
{
	if (value && *value)
		set(object, name, string(c, sp_str_of(value)));
}

/* Lines as an array of strings; without lines an empty one. */
static json_t *array(struct rpt_compose *c, const char *lines)
{
	json_t *a = json_array();
	struct sp_str rest = sp_str_of(lines), line;
	while (sp_take_line(&rest, &line))
		if (line.len > 0)
			json_array_append_new(a, string(c, line));
	return a;
}

/* --- octets --- */

static void put(struct rpt_compose *c, const char *text)
{
	core_gzip_add(c->gzip, sp_str_of(text));
}

static int on_octets(const char *p, size_t len, void *arg)
{
	struct rpt_compose *c = arg;
	core_gzip_add(c->gzip, sp_str_make(p, len));
	return 0;
}

/* Consumes `value`. */
static void dump(struct rpt_compose *c, json_t *value)
{
	int rc = json_dump_callback(value, on_octets, c, JSON_COMPACT | JSON_ENCODE_ANY);
	sp_assert(rc == 0);
	json_decref(value);
}

static void member(struct rpt_compose *c, const char *name, json_t *value)
{
	put(c, name);
	dump(c, value);
}

/* --- the document --- */

static json_t *date_range(struct rpt_compose *c, int64_t day)   /* RFC 8460 4.4: RFC 3339, UTC, a full day */
{
	char from[40], to[40];
	json_t *range = json_object();
	set(range, "start-datetime", string(c, sp_str_of(sp_date_rfc3339(day * RPT_DAY_S, from))));
	set(range, "end-datetime", string(c, sp_str_of(sp_date_rfc3339(day * RPT_DAY_S + RPT_DAY_S - 1, to))));
	return range;
}

struct rpt_compose *rpt_compose_new(const struct rpt_head *head, struct sp_buf *out)
{
	struct rpt_compose *c = sp_alloc(sizeof(*c));
	c->gzip = core_gzip_new(out);
	c->domain = sp_strdup(head->domain);
	sp_buf_init(&c->scratch, SIZE_MAX / 2);         /* as long as what it is made of */
	member(c, "{\"organization-name\":", string(c, sp_str_of(head->organization)));
	member(c, ",\n\"date-range\":", date_range(c, head->day));
	member(c, ",\n\"contact-info\":", string(c, sp_str_of(head->contact)));
	member(c, ",\n\"report-id\":", string(c, sp_str_of(head->report_id)));
	put(c, ",\n\"policies\":[");
	return c;
}

static void end_policy(struct rpt_compose *c)
{
	if (c->place == IN_FAILURES)
		put(c, "]");
	if (c->place != IN_POLICIES)
		put(c, "}");
	c->place = IN_POLICIES;
}

/* RFC 8460 1.1: the policy domain of DANE is the TLSA base domain. Where no record could be had there is none to tell. */
static const char *policy_domain(const struct rpt_compose *c, const struct rpt_policy *p)
{
	return p->type == RPT_POLICY_TLSA && *p->mx_patterns ? p->mx_patterns : c->domain;
}

/* RFC 8460 4.4: policy-string of no-policy-found, and mx-host of what is not "sts", have nothing to hold; but readers look for them. */
void rpt_compose_policy(struct rpt_compose *c, const struct rpt_policy *p)
{
	end_policy(c);
	bool found = p->type != RPT_POLICY_NONE_FOUND;
	json_t *policy = json_object(), *summary = json_object();
	set(policy, "policy-type", string(c, sp_str_of(rpt_policy_type_str(p->type))));
	set(policy, "policy-string", array(c, found ? p->strings : ""));
	set(policy, "policy-domain", string(c, sp_str_of(policy_domain(c, p))));
	set(policy, "mx-host", array(c, p->type == RPT_POLICY_STS ? p->mx_patterns : ""));
	set(summary, "total-successful-session-count", number(p->successes));
	set(summary, "total-failure-session-count", number(p->failures));
	put(c, c->later ? "," : "");
	member(c, "\n{\"policy\":", policy);
	member(c, ",\"summary\":", summary);
	c->place = IN_POLICY;
	c->later = true;
}

void rpt_compose_failure(struct rpt_compose *c, const struct rpt_failure *f)
{
	sp_assert(c->place != IN_POLICIES);
	/* We leave failure-details out where there are none, as most senders do. */
	put(c, c->place == IN_POLICY ? ",\"failure-details\":[\n" : ",\n");
	c->place = IN_FAILURES;
	json_t *failure = json_object();
	set(failure, "result-type", string(c, sp_str_of(sp_result_str(f->result))));
	set_known(c, failure, "sending-mta-ip", f->sending_ip);
	set_known(c, failure, "receiving-mx-hostname", f->mx_host);
	set_known(c, failure, "receiving-mx-helo", f->mx_helo);
	set_known(c, failure, "receiving-ip", f->mx_ip);
	set(failure, "failed-session-count", number(f->count));
	set_known(c, failure, "failure-reason-code", f->reason);
	dump(c, failure);
}

void rpt_compose_finish(struct rpt_compose *c)
{
	end_policy(c);
	put(c, "]}\n");
	core_gzip_finish(c->gzip);
	c->gzip = NULL;
	rpt_compose_free(c);
}

void rpt_compose_free(struct rpt_compose *c)
{
	if (c == NULL)
		return;
	core_gzip_free(c->gzip);
	sp_buf_clear(&c->scratch);
	free(c->domain);
	free(c);
}

/* --- its name --- */

/* What a domain has, and no more: the name stands in a mail header, and becomes a file at the receiver's. */
static void add_domain(struct sp_buf *out, const char *domain)
{
	for (; *domain; domain++)
		sp_buf_addc(out, sp_is_alnum(*domain) || strchr("-._", *domain) != NULL ? *domain : '-');
}

void rpt_file_name(const char *submitter, const struct rpt_head *head, struct sp_buf *out)      /* RFC 8460 5.1 */
{
	int64_t from_s = head->day * RPT_DAY_S;
	add_domain(out, submitter);
	sp_buf_addc(out, '!');
	add_domain(out, head->domain);
	sp_buf_printf(out, "!%lld!%lld", (long long)from_s, (long long)from_s + RPT_DAY_S - 1);
	size_t before = out->len;
	for (const char *c = head->report_id; *c; c++) {
		if (!sp_is_alnum(*c))                   /* RFC 8460 5.1: unique-id = 1*(ALPHA / DIGIT) */
			continue;
		sp_buf_adds(out, out->len == before ? "!" : "");
		sp_buf_addc(out, *c);
	}
	sp_buf_adds(out, ".json.gz");
}

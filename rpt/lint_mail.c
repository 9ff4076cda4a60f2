/* rpt/lint_mail.c - the mail around a report (RFC 8460 3, 5.1 to 5.3, 5.6); see lint_impl.h. */
#include "rpt/lint_impl.h"

#include "core/dnsmsg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAIL "RFC 8460 5.3"
#define NAMES "RFC 8460 5.1"

static bool is(const char *a, const char *b)
{
	return sp_str_eq_nocase(sp_str_of(a), sp_str_of(b));
}

/* ---- types and fields ---- */

static void check_types(struct lint *l, const struct rpt_carrier *c)
{
	size_t mark = lint_enter(l, "Content-Type");
	const char *want = c->gzip ? "application/tlsrpt+gzip" : "application/tlsrpt+json";
	if (c->type == NULL || strcmp(c->type, "multipart/report") != 0)
		lint_error(l, MAIL, "of the mail is %s, and must be multipart/report; report-type=\"tlsrpt\"", c->type ? c->type : "missing");
	else if (c->report_type == NULL || !is(c->report_type, "tlsrpt"))
		lint_error(l, MAIL, "has %s%s, and must have report-type=\"tlsrpt\"", c->report_type ? "report-type=" : "no report-type",
		           c->report_type ? c->report_type : "");
	if (strcmp(c->part_type, want) != 0)
		lint_error(l, MAIL, "of the report is %s, and must be %s", c->part_type, want);
	if (!c->gzip)
		lint_warning(l, "RFC 8460 5.2", "the report is not compressed: it should be, with gzip");
	lint_leave(l, mark);
}

static void check_domain_field(struct lint *l, const char *name, const char *value)
{
	size_t mark = lint_enter(l, name);
	if (value == NULL)
		lint_error(l, MAIL, "is missing");
	else if (!core_dns_name_ok(sp_str_of(value)))
		lint_error(l, MAIL, "\"%s\" is no domain name", value);
	lint_leave(l, mark);
}

/* RFC 8460 5.6: the report is what counts, where the rest says otherwise. */
static void check_same(struct lint *l, const char *name, const char *value, const char *in_report)
{
	size_t mark = lint_enter(l, name);
	if (value && in_report && core_dns_name_ok(sp_str_of(value)) && !is(value, in_report))
		lint_warning(l, "RFC 8460 5.6", "is %s, and the report is about %s", value, in_report);
	lint_leave(l, mark);
}

/* Blanks of any length are one. */
static void squeeze(const char *s, struct sp_buf *out)
{
	for (; *s; s++)
		if (!sp_is_blank(*s) || (out->len > 0 && out->p[out->len - 1] != ' '))
			sp_buf_addc(out, sp_is_blank(*s) ? ' ' : *s);
}

/* "Report Domain: D Submitter: S Report-ID: <I>" (the ABNF in RFC 8460 5.3) */
static void check_subject(struct lint *l, const char *subject)
{
	struct sp_buf text;
	size_t mark = lint_enter(l, "Subject");
	sp_buf_init(&text, 32768);
	squeeze(subject ? subject : "", &text);
	struct sp_str s = sp_buf_str(&text), domain = SP_STR(""), submitter = SP_STR("");
	bool good = sp_take_prefix(&s, SP_STR("Report Domain: "));
	domain = good ? sp_take_until(&s, ' ') : domain;
	good = good && sp_take_prefix(&s, SP_STR("Submitter: "));
	submitter = good ? sp_take_until(&s, ' ') : submitter;
	good = good && sp_take_prefix(&s, SP_STR("Report-ID: ")) && core_dns_name_ok(domain) && core_dns_name_ok(submitter);
	if (!good)
		lint_warning(l, MAIL, "should be \"Report Domain: <domain> Submitter: <domain> Report-ID: <id@domain>\"");
	else if (!sp_str_starts(s, SP_STR("<")) || !sp_str_ends(s, SP_STR(">")) || !sp_str_contains(s, '@'))
		lint_warning(l, MAIL, "the Report-ID in it should look like <id@domain> (RFC 5322 msg-id)");
	char *told = sp_str_dup(domain);
	if (good)
		check_same(l, "domain", told, l->domain);
	free(told);
	sp_buf_clear(&text);
	lint_leave(l, mark);
}

/* ---- the file name ---- */

/* One of the file name's times; false: not digits. */
static bool check_stamp(struct lint *l, struct sp_str digits, int64_t in_report, const char *what)
{
	uint64_t n;
	if (!sp_str_number(digits, 0, INT64_MAX, &n))
		return false;
	if (in_report != 0 && (int64_t)n != in_report)
		lint_warning(l, "RFC 8460 5.6", "it %s at %" PRIu64 ", and the report's date-range at %" PRId64, what, n, in_report);
	return true;
}

/* sender "!" policy-domain "!" begin "!" end [ "!" unique-id ] "." extension */
static void check_file_name(struct lint *l, const struct rpt_carrier *c)
{
	struct sp_str s = sp_str_of(c->file_name), fields[5];
	const char *want = c->gzip ? ".json.gz" : ".json";
	size_t mark = lint_enter(l, "filename"), count = 0;
	if (s.len == 0)
		lint_warning(l, NAMES, "is missing: receivers look for one such as sender!domain!1469664000!1469750399%s", want);
	else if (!sp_str_ends(s, sp_str_of(want)))
		lint_error(l, NAMES, "\"%s\" must end in %s", c->file_name, want);
	else {
		s.len -= strlen(want);
		while (s.len > 0 && count < SP_COUNT(fields))
			fields[count++] = sp_take_until(&s, '!');
		bool good = count >= 4 && s.len == 0 && core_dns_name_ok(fields[0]) && core_dns_name_ok(fields[1]);
		good = good && check_stamp(l, fields[2], l->begin_s, "begins") && check_stamp(l, fields[3], l->end_s, "ends");
		for (size_t i = 0; good && count == 5 && i < fields[4].len; i++)
			good = sp_is_alnum(fields[4].p[i]);
		if (!good)
			lint_warning(l, NAMES, "\"%s\" should be sender!domain!begin!end!id%s, times in Unix seconds, the id of letters and digits",
			             c->file_name, want);
		char *domain = count >= 2 ? sp_str_dup(fields[1]) : NULL;
		if (good)
			check_same(l, "domain", domain, l->domain);
		free(domain);
	}
	lint_leave(l, mark);
}

/* ---- DKIM ---- */

/* Is one of the two the other, or below it? The organizational domain needs a list that we do not have. */
static bool related(const char *a, const char *b)
{
	struct sp_str x = sp_str_of(a), y = sp_str_of(b);
	struct sp_str longer = x.len >= y.len ? x : y, shorter = x.len >= y.len ? y : x;
	if (longer.len == shorter.len)
		return sp_str_eq_nocase(x, y);
	struct sp_str tail = sp_str_from(longer, longer.len - shorter.len);
	return shorter.len > 0 && sp_str_eq_nocase(tail, shorter) && longer.p[longer.len - shorter.len - 1] == '.';
}

static bool covers(const char *fields, const char *name)
{
	struct sp_str s = sp_str_of(fields);
	while (s.len > 0)
		if (sp_str_eq_nocase(sp_take_until(&s, ':'), sp_str_of(name)))
			return true;
	return false;
}

static void check_dkim(struct lint *l, const struct rpt_carrier *c)
{
	size_t mark = lint_enter(l, "DKIM-Signature");
	bool own = false, partial = false, covered = false;
	for (unsigned i = 0; i < c->signature_count; i++) {
		const struct rpt_signature *s = &c->signatures[i];
		if (c->submitter == NULL || s->domain == NULL || !related(s->domain, c->submitter))
			continue;
		own = true;
		partial = partial || s->partial;
		covered = covered || (s->fields && covers(s->fields, "TLS-Report-Domain") && covers(s->fields, "TLS-Report-Submitter"));
	}
	if (c->signature_count == 0)
		lint_error(l, "RFC 8460 3", "is missing: a report without one must be ignored");
	else if (c->submitter && !own)
		lint_warning(l, "RFC 8460 3", "none is by the submitter, %s", c->submitter);
	if (partial)
		lint_error(l, "RFC 8460 3", "has l=, which a report must not have: anything could be put behind it");
	if (own && !covered)
		lint_warning(l, MAIL, "does not sign TLS-Report-Domain and TLS-Report-Submitter");
	lint_leave(l, mark);
}

void lint_mail(struct lint *l, const struct rpt_carrier *c)
{
	check_types(l, c);
	check_domain_field(l, "TLS-Report-Domain", c->domain);
	check_domain_field(l, "TLS-Report-Submitter", c->submitter);
	check_same(l, "TLS-Report-Domain", c->domain, l->domain);
	check_subject(l, c->subject);
	check_file_name(l, c);
	check_dkim(l, c);
}

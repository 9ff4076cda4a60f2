/* rpt/lint.c - see lint.h: the document and what its policies are checked with. */
#include "rpt/lint_impl.h"

#include "core/dnsmsg.h"
#include "rpt/event.h"

#include <string.h>

/* ---- telling ---- */

SP_PRINTF(4, 0) static void tell(struct lint *l, bool error, const char *section, const char *fmt, va_list args)
{
	struct sp_buf text, printable;
	sp_buf_init(&text, 4096);
	sp_buf_init(&printable, 4096);
	sp_buf_vprintf(&text, fmt, args);
	sp_buf_add_printable(&printable, sp_buf_str(&text));
	l->errors += error;
	l->told(l->arg, error, sp_buf_cstr(&l->where), section, sp_buf_cstr(&printable));
	sp_buf_clear(&text);
	sp_buf_clear(&printable);
}

void lint_error(struct lint *l, const char *section, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	tell(l, true, section, fmt, args);
	va_end(args);
}

void lint_warning(struct lint *l, const char *section, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	tell(l, false, section, fmt, args);
	va_end(args);
}

size_t lint_enter(struct lint *l, const char *name)
{
	size_t mark = l->where.len;
	if (mark > 0)
		sp_buf_addc(&l->where, '.');
	sp_buf_add_printable(&l->where, sp_str_make(name, strnlen(name, 64)));
	return mark;
}

size_t lint_enter_item(struct lint *l, size_t index)
{
	size_t mark = l->where.len;
	sp_buf_printf(&l->where, "[%zu]", index);
	return mark;
}

void lint_leave(struct lint *l, size_t mark)
{
	sp_buf_truncate(&l->where, mark);
}

/* ---- members ---- */

static const char *type_name(json_type type)
{
	switch (type) {
	case JSON_OBJECT:  return "an object";
	case JSON_ARRAY:   return "an array";
	case JSON_STRING:  return "a string";
	case JSON_INTEGER: return "a whole number";
	case JSON_REAL:    return "a number with a fraction or an exponent";
	case JSON_NULL:    return "null";
	default:           return "true or false";
	}
}

const json_t *lint_member(struct lint *l, const json_t *object, const char *name, json_type type, enum lint_need need)
{
	const json_t *value = json_object_get(object, name), *good = NULL;
	size_t mark = lint_enter(l, name);
	if (value && json_typeof(value) == type)
		good = value;
	else if (json_is_null(value))
		lint_error(l, LINT_SCHEMA, "is null: %s", need == LINT_MUST ? "it must be there" : "leave out what is not known");
	else if (value)
		lint_error(l, LINT_SCHEMA, "is %s, and must be %s", type_name(json_typeof(value)), type_name(type));
	else if (need == LINT_MUST)
		lint_error(l, LINT_SCHEMA, "is missing");
	else if (need == LINT_SHOULD)
		lint_warning(l, LINT_SCHEMA, "is missing");
	lint_leave(l, mark);
	return good;
}

const char *lint_text(struct lint *l, const json_t *object, const char *name, enum lint_need need)
{
	const char *text = json_string_value(lint_member(l, object, name, JSON_STRING, need));
	if (text == NULL || *text)
		return text;
	size_t mark = lint_enter(l, name);
	if (need == LINT_MUST)
		lint_error(l, LINT_SCHEMA, "is empty");
	else
		lint_warning(l, LINT_SCHEMA, "is empty: leave out what is not known");
	lint_leave(l, mark);
	return NULL;
}

/* What drafts of the RFC and their readers called it. */
static const struct { const char *wrong, *right; } misnomers[] = {
	{ "failure-error-code", "failure-reason-code" }, { "failure-code", "failure-reason-code" }, { "mx-host-pattern", "mx-host" },
	{ "additional-info-uri", "additional-information" }, { "additional-info", "additional-information" }, { "sending-ip", "sending-mta-ip" },
	{ "receiving-mta-ip", "receiving-ip" }, { "receiving-mx-host-name", "receiving-mx-hostname" }, { "receiving-mx-host", "receiving-mx-hostname" },
	{ "email-address", "contact-info" }, { "domain", "policy-domain" }, { "session-count", "failed-session-count" },
	{ "total-successful-sessions", "total-successful-session-count" }, { "total-failed-session-count", "total-failure-session-count" },
};

void lint_unknown(struct lint *l, const json_t *object, const char *const *known)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)object, name, value) {
		size_t i = 0, mark = lint_enter(l, name);
		while (known[i] && strcmp(known[i], name) != 0)
			i++;
		const char *meant = NULL;
		for (size_t j = 0; j < SP_COUNT(misnomers); j++)
			if (strcmp(misnomers[j].wrong, name) == 0)
				meant = misnomers[j].right;
		if (known[i] == NULL && meant)
			lint_warning(l, LINT_SCHEMA, "is no member that RFC 8460 knows; it is called %s", meant);
		else if (known[i] == NULL)
			lint_warning(l, LINT_SCHEMA, "is no member that RFC 8460 knows");
		lint_leave(l, mark);
	}
}

void lint_name(struct lint *l, const char *name, bool pattern)
{
	struct sp_str s = sp_str_of(name);
	for (size_t i = 0; i < s.len; i++) {
		if (!(s.p[i] & 0x80))
			continue;
		lint_error(l, LINT_SCHEMA, "\"%s\" must be in A-labels (xn--...)", name);
		return;
	}
	if (pattern && !sp_take_prefix(&s, SP_STR("*.")) && sp_str_starts(s, SP_STR(".")))
		s = sp_str_from(s, 1);                                  /* what drafts of RFC 8461 had for "*." */
	if (sp_str_ends(s, SP_STR(".")) && core_dns_name_ok(sp_str_make(s.p, s.len - 1)))
		lint_warning(l, LINT_SCHEMA, "\"%s\" has a dot at its end", name);
	else if (!core_dns_name_ok(s))
		lint_error(l, LINT_SCHEMA, "\"%s\" is not a %s", name, pattern ? "pattern of host names (RFC 8461 4.1)" : "domain name");
}

/* ---- dates ---- */

/* Two digits. */
static bool take_number(struct sp_str *s, uint64_t max, int64_t *out)
{
	uint64_t n;
	if (s->len < 2 || !sp_str_number(sp_str_make(s->p, 2), 0, max, &n))
		return false;
	*s = sp_str_from(*s, 2);
	*out = (int64_t)n;
	return true;
}

static bool take_offset(struct sp_str *s, int64_t *seconds)
{
	int64_t hour, minute;
	*seconds = 0;
	if (sp_take_char(s, 'Z') || sp_take_char(s, 'z'))
		return true;
	int64_t sign = sp_take_char(s, '-') ? -1 : sp_take_char(s, '+') ? 1 : 0;
	if (sign == 0 || !take_number(s, 23, &hour) || !sp_take_char(s, ':') || !take_number(s, 59, &minute))
		return false;
	*seconds = sign * (hour * 3600 + minute * 60);
	return true;
}

/* RFC 3339 5.6; Unix seconds, fractions cut off. *zone: it tells one. */
static bool parse_time(const char *text, int64_t *out, bool *zone)
{
	struct sp_str s = sp_str_of(text);
	int64_t day, hour, minute, second, offset = 0;
	if (s.len < 10 || !rpt_day_parse(sp_str_make(s.p, 10), &day))
		return false;
	s = sp_str_from(s, 10);
	if (!(sp_take_char(&s, 'T') || sp_take_char(&s, 't') || sp_take_char(&s, ' ')) || !take_number(&s, 23, &hour) || !sp_take_char(&s, ':') ||
	    !take_number(&s, 59, &minute) || !sp_take_char(&s, ':') || !take_number(&s, 60, &second))
		return false;
	if (sp_take_char(&s, '.'))
		while (s.len > 0 && sp_is_digit(s.p[0]))
			s = sp_str_from(s, 1);
	*zone = s.len > 0;
	if (*zone && (!take_offset(&s, &offset) || s.len > 0))
		return false;
	*out = day * RPT_DAY_S + hour * 3600 + minute * 60 + second - offset;
	return true;
}

static int64_t check_time(struct lint *l, const json_t *range, const char *name)
{
	int64_t at_s = 0;
	bool zone = true;
	const char *text = lint_text(l, range, name, LINT_MUST);
	size_t mark = lint_enter(l, name);
	if (text && !parse_time(text, &at_s, &zone))
		lint_error(l, LINT_SCHEMA, "\"%s\" is no date-time of RFC 3339, such as 2026-11-22T00:00:00Z", text);
	else if (text && !zone)
		lint_error(l, LINT_SCHEMA, "\"%s\" does not tell its time zone: put a Z behind it, for UTC", text);
	lint_leave(l, mark);
	return at_s;
}

static void check_range(struct lint *l, const json_t *document)
{
	static const char *const known[] = { "start-datetime", "end-datetime", NULL };
	const json_t *range = lint_member(l, document, "date-range", JSON_OBJECT, LINT_MUST);
	if (range == NULL)
		return;
	size_t mark = lint_enter(l, "date-range");
	l->begin_s = check_time(l, range, "start-datetime");
	l->end_s = check_time(l, range, "end-datetime");
	int64_t length = l->end_s - l->begin_s;
	if (l->begin_s == 0 || l->end_s == 0)
		l->begin_s = l->end_s = 0;
	else if (length < 0)
		lint_error(l, LINT_SCHEMA, "ends before it begins");
	else if (l->begin_s % RPT_DAY_S != 0 || (length != RPT_DAY_S - 1 && length != RPT_DAY_S))   /* 23:59:59, or "24:00" */
		lint_warning(l, "RFC 8460 4.1", "is not one whole day of UTC, 00:00:00Z to 23:59:59Z");
	lint_unknown(l, range, known);
	lint_leave(l, mark);
}

/* ---- the document ---- */

static void check_contact(struct lint *l, const json_t *document)
{
	const char *text = lint_text(l, document, "contact-info", LINT_MUST);
	if (text == NULL)
		return;
	struct sp_str s = sp_str_of(text), domain = s, local = sp_take_until(&domain, '@');
	size_t mark = lint_enter(l, "contact-info");
	if (sp_str_starts_nocase(s, SP_STR("mailto:")))
		lint_warning(l, LINT_SCHEMA, "\"%s\" is a URI, and should be the address alone", text);
	else if (local.len == 0 || domain.len == 0 || sp_str_contains(s, ' ') || sp_str_contains(s, '<'))
		lint_warning(l, LINT_SCHEMA, "\"%s\" is no mail address (RFC 5322 3.4.1)", text);
	lint_leave(l, mark);
}

static void check_document(struct lint *l, const json_t *document)
{
	static const char *const known[] = { "organization-name", "date-range", "contact-info", "report-id", "policies", NULL };
	lint_text(l, document, "organization-name", LINT_MUST);
	check_range(l, document);
	check_contact(l, document);
	l->report_id = lint_text(l, document, "report-id", LINT_MUST);
	const json_t *policies = lint_member(l, document, "policies", JSON_ARRAY, LINT_MUST);
	size_t mark = lint_enter(l, "policies");
	if (policies && json_array_size(policies) == 0)
		lint_warning(l, LINT_SCHEMA, "is empty: the report tells of no session");
	if (policies)
		lint_policies(l, policies);
	lint_leave(l, mark);
	lint_unknown(l, document, known);
}

unsigned rpt_lint(const json_t *document, const struct rpt_carrier *carrier, rpt_lint_fn told, void *arg)
{
	struct lint l = { .told = told, .arg = arg };
	sp_buf_init(&l.where, 1024);
	if (carrier->byte_order_mark)
		lint_error(&l, "RFC 8259 8.1", "the document begins with a byte order mark, which readers need not accept");
	if (carrier->repeated)
		lint_error(&l, "RFC 8259 4", "a member is there twice, and readers differ in which one they take: %s", carrier->repeated);
	if (json_is_object(document))
		check_document(&l, document);
	else
		lint_error(&l, LINT_SCHEMA, "the document is %s, and must be one object", type_name(json_typeof(document)));
	if (carrier->mail)
		lint_mail(&l, carrier);
	sp_buf_clear(&l.where);
	return l.errors;
}

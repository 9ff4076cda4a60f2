/* smtp/dsnread.c - see dsnread.h. */
#include "smtp/dsnread.h"

#include "smtp/address.h"
#include "smtp/dkim_canon.h"

#define BOUNDARY_MAX 70                 /* RFC 2046 5.1.1 */
#define DIAGNOSTIC_MAX 200

/* ---- values ---- */

/* Without its folds: what was CRLF and blanks is blanks. */
static struct sp_str unfold(struct sp_str value, struct sp_arena *arena)
{
	char *s = sp_arena_dup(arena, value);
	size_t len = 0;
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] != '\r' && value.p[i] != '\n')
			s[len++] = value.p[i];
	s[len] = '\0';
	return sp_str_trim(sp_str_make(s, len));
}

/* Blanks, and comments (RFC 5322 3.2.2), at the front. A comment that does not end is all the rest. */
static void skip_cfws(struct sp_str *s)
{
	unsigned depth = 0;
	size_t i = 0;
	for (; i < s->len && (depth > 0 || sp_is_blank(s->p[i]) || s->p[i] == '('); i++) {
		if (s->p[i] == '(')
			depth++;
		else if (s->p[i] == ')')
			depth--;
		else if (s->p[i] == '\\' && depth > 0 && i + 1 < s->len)
			i++;
	}
	*s = sp_str_from(*s, sp_min(i, s->len));
}

static bool ends_token(char c)          /* RFC 2045 5.1 */
{
	return c <= ' ' || c > '~' || strchr("()<>@,;:\\\"/[]?=", c) != NULL;
}

static struct sp_str take_token(struct sp_str *s)
{
	skip_cfws(s);
	size_t n = 0;
	while (n < s->len && !ends_token(s->p[n]))
		n++;
	struct sp_str token = sp_str_make(s->p, n);
	*s = sp_str_from(*s, n);
	skip_cfws(s);
	return token;
}

/* A token or a quoted string, without its quotes; nothing where they do not close. */
static struct sp_str take_value(struct sp_str *s, struct sp_arena *arena)
{
	if (!sp_take_char(s, '"'))
		return take_token(s);
	size_t end = 0;
	while (end < s->len && s->p[end] != '"')
		end += s->p[end] == '\\' ? 2 : 1;
	bool closed = end < s->len;
	struct sp_str quoted = sp_str_make(s->p, closed ? end : 0);
	char *text = sp_arena_dup(arena, quoted);       /* no more than it has: there may be thousands in a field */
	size_t len = 0;
	for (size_t i = 0; i < quoted.len; i++) {
		if (quoted.p[i] == '\\')
			i++;
		text[len++] = quoted.p[i];
	}
	*s = sp_str_from(*s, sp_min(end + 1, s->len));
	skip_cfws(s);
	return sp_str_make(text, len);
}

/* ---- the part ---- */

struct media {                          /* Content-Type; type and subtype empty where there is none */
	struct sp_str type, subtype;
	struct sp_str boundary, report_type;
};

static struct media read_media(struct sp_str value, struct sp_arena *arena)
{
	struct media m = { 0 };
	m.type = take_token(&value);
	if (!sp_take_char(&value, '/'))
		return m;
	m.subtype = take_token(&value);
	while (sp_take_char(&value, ';')) {
		struct sp_str name = take_token(&value);
		if (!sp_take_char(&value, '='))
			continue;
		skip_cfws(&value);
		struct sp_str text = take_value(&value, arena);
		if (sp_str_eq_nocase(name, SP_STR("boundary")))
			m.boundary = text;
		else if (sp_str_eq_nocase(name, SP_STR("report-type")))
			m.report_type = text;
	}
	return m;
}

/* The header section at the front of *s; *s is what follows the empty line, and empty where there is none. */
static struct sp_str take_header(struct sp_str *s)
{
	struct sp_str all = *s, line;
	while (sp_take_line(s, &line))
		if (line.len == 0)
			return sp_str_make(all.p, all.len - s->len);
	return all;
}

static struct media media_of(struct sp_str header, struct sp_arena *arena)
{
	struct smtp_field f;
	while (smtp_field_take(&header, &f))
		if (sp_str_eq_nocase(f.name, SP_STR("Content-Type")))
			return read_media(unfold(f.value, arena), arena);
	return (struct media){ 0 };
}

enum delimiter { NONE, NEXT, LAST };
/* RFC 2046 5.1.1: "--boundary" at the start of a line, blanks behind it; the last one has "--" more. */
static enum delimiter delimiter_of(struct sp_str line, struct sp_str boundary)
{
	if (!sp_take_prefix(&line, SP_STR("--")) || !sp_take_prefix(&line, boundary))
		return NONE;
	bool last = sp_take_prefix(&line, SP_STR("--"));
	return sp_str_trim(line).len > 0 ? NONE : last ? LAST : NEXT;
}

/* The lines up to a delimiter, which is taken too; *cut: there was none. */
static struct sp_str take_part(struct sp_str *s, struct sp_str boundary, enum delimiter *end)
{
	struct sp_str all = *s, line;
	for (;;) {
		size_t len = all.len - s->len;
		*end = NONE;
		if (!sp_take_line(s, &line))
			return all;
		*end = delimiter_of(line, boundary);
		if (*end != NONE)
			return sp_str_make(all.p, len);
	}
}

/* ---- the recipients ---- */

static bool is_status(struct sp_str s)          /* RFC 3463 2 */
{
	uint64_t class, subject, detail;
	return sp_take_digits(&s, 1, &class) && sp_take_char(&s, '.') && sp_take_digits(&s, 3, &subject) && sp_take_char(&s, '.') &&
	       sp_take_digits(&s, 3, &detail) && s.len == 0 && (class == 2 || class == 4 || class == 5);
}

/* RFC 3464 2.3.1, 2.3.2: "rfc822; address"; RFC 6533 3: "utf-8; address". Some put it in angle brackets. */
static const char *read_recipient(struct sp_str value, struct sp_arena *arena)
{
	struct sp_str type = take_token(&value);
	if (!sp_take_char(&value, ';') || (!sp_str_eq_nocase(type, SP_STR("rfc822")) && !sp_str_eq_nocase(type, SP_STR("utf-8"))))
		return "";
	skip_cfws(&value);
	value = sp_str_trim(value);
	if (value.len > 1 && value.p[0] == '<' && value.p[value.len - 1] == '>')
		value = sp_str_make(value.p + 1, value.len - 2);
	struct smtp_address a;
	const char *why;
	return smtp_address_parse(value, true, arena, &a, &why) ? a.text : "";
}

static const char *printable(struct sp_str s, struct sp_arena *arena)
{
	struct sp_buf b;
	sp_buf_init(&b, DIAGNOSTIC_MAX);
	sp_buf_add_printable(&b, sp_str_make(s.p, sp_min(s.len, DIAGNOSTIC_MAX)));
	const char *text = sp_arena_dup(arena, sp_buf_str(&b));
	sp_buf_clear(&b);
	return text;
}

static void read_field(const struct smtp_field *f, struct sp_arena *arena, struct smtp_dsnread *r)
{
	struct sp_str value = unfold(f->value, arena);
	if (sp_str_eq_nocase(f->name, SP_STR("Final-Recipient"))) {
		r->final = read_recipient(value, arena);
	} else if (sp_str_eq_nocase(f->name, SP_STR("Original-Recipient"))) {
		r->original = read_recipient(value, arena);
	} else if (sp_str_eq_nocase(f->name, SP_STR("Action"))) {       /* RFC 3464 2.3.3: a word; what follows is a comment */
		r->failed = sp_str_eq_nocase(take_token(&value), SP_STR("failed"));
	} else if (sp_str_eq_nocase(f->name, SP_STR("Status"))) {
		struct sp_str status = take_token(&value);
		r->status = is_status(status) ? sp_arena_dup(arena, status) : "";
	} else if (sp_str_eq_nocase(f->name, SP_STR("Diagnostic-Code"))) {
		r->diagnostic = printable(value, arena);
	}
}

/* RFC 3464 2.1: groups of fields with empty lines between them: first that of the message, then one a recipient. */
static size_t read_status(struct sp_str text, bool cut, struct sp_arena *arena, struct smtp_dsnread out[SMTP_DSNREAD_MAX])
{
	size_t groups = 0, count = 0;
	while (text.len > 0 && count < SMTP_DSNREAD_MAX) {
		struct sp_str group = take_header(&text);
		if (cut && text.len == 0)       /* it may have gone on */
			break;
		struct smtp_dsnread r = { .final = "", .original = "", .status = "", .diagnostic = "" };
		struct smtp_field f;
		bool any = false;
		for (; smtp_field_take(&group, &f); any = true)
			read_field(&f, arena, &r);
		if (any && groups++ > 0)
			out[count++] = r;
	}
	return count;
}

bool smtp_dsnread(struct sp_str message, struct sp_arena *arena, struct smtp_dsnread out[SMTP_DSNREAD_MAX], size_t *count)
{
	*count = 0;
	struct media m = media_of(take_header(&message), arena);
	if (!sp_str_eq_nocase(m.type, SP_STR("multipart")) || !sp_str_eq_nocase(m.subtype, SP_STR("report")) ||
	    !sp_str_eq_nocase(m.report_type, SP_STR("delivery-status")) || m.boundary.len == 0 || m.boundary.len > BOUNDARY_MAX)
		return false;
	enum delimiter end;
	take_part(&message, m.boundary, &end);          /* what stands before the first part */
	while (end == NEXT) {
		struct sp_str part = take_part(&message, m.boundary, &end);
		struct media p = media_of(take_header(&part), arena);
		if (!sp_str_eq_nocase(p.type, SP_STR("message")) ||
		    (!sp_str_eq_nocase(p.subtype, SP_STR("delivery-status")) && !sp_str_eq_nocase(p.subtype, SP_STR("global-delivery-status"))))
			continue;
		*count = read_status(part, end == NONE, arena, out);
		return true;
	}
	return false;
}

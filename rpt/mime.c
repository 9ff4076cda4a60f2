/* rpt/mime.c - see mime.h. */
#include "rpt/mime.h"

#define LOOK_AT_FIELDS 40               /* of what may be a mail */

/* ---- fields ---- */

static bool is_name_char(char c)        /* RFC 5322 2.2: printable, no colon */
{
	return c > ' ' && c <= '~' && c != ':';
}

/* The name in front of a line's colon; "" for what is no field. */
static struct sp_str name_of(struct sp_str line)
{
	size_t len = 0;
	while (len < line.len && is_name_char(line.p[len]))
		len++;
	size_t colon = len;
	while (colon < line.len && sp_is_blank(line.p[colon]))          /* RFC 5322 4.5: obsolete blanks */
		colon++;
	return sp_str_make(line.p, colon < line.len && line.p[colon] == ':' ? len : 0);
}

static void skip_from_line(struct sp_str *octets)
{
	struct sp_str line;
	if (sp_str_starts(*octets, SP_STR("From ")) || sp_str_starts(*octets, SP_STR(">From ")))
		(void)!sp_take_line(octets, &line);
}

bool rpt_mime_is_mail(struct sp_str octets)
{
	static const char *const telling[] = { "Received", "From", "Subject", "MIME-Version", "Content-Type", "Message-ID", "Return-Path",
	                                       "Delivered-To", "DKIM-Signature", "TLS-Report-Domain" };
	struct sp_str line;
	skip_from_line(&octets);
	for (unsigned fields = 0; fields < LOOK_AT_FIELDS && sp_take_line(&octets, &line); ) {
		if (line.len > 0 && sp_is_blank(line.p[0]) && fields > 0)
			continue;
		struct sp_str name = name_of(line);
		if (name.len == 0)
			return false;
		for (size_t i = 0; i < SP_COUNT(telling); i++)
			if (sp_str_eq_nocase(name, sp_str_of(telling[i])))
				return true;
		fields++;
	}
	return false;
}

bool rpt_mime_next_mail(struct sp_str *octets, struct sp_str *mail)
{
	static const struct sp_str start = { "From ", 5 };
	struct sp_str rest = *octets, line;
	bool mailbox = sp_str_starts(rest, start);
	if (rest.len == 0)
		return false;
	while (sp_take_line(&rest, &line) && !(mailbox && line.len == 0 && sp_str_starts(rest, start)))
		continue;
	*mail = sp_str_make(octets->p, octets->len - rest.len);
	*octets = rest;
	return true;
}

void rpt_mime_split(struct sp_str octets, struct sp_str *header, struct sp_str *body)
{
	skip_from_line(&octets);
	struct sp_str rest = octets, line;
	size_t len = 0;
	while (sp_take_line(&rest, &line) && line.len > 0 && (sp_is_blank(line.p[0]) || name_of(line).len > 0))
		len = octets.len - rest.len;
	*header = sp_str_make(octets.p, len);
	*body = sp_str_from(octets, len);
	(void)!(sp_take_prefix(body, SP_STR("\r\n")) || sp_take_prefix(body, SP_STR("\n")));
}

const char *rpt_mime_field(struct sp_str *header, const char *name, struct sp_arena *arena)
{
	struct sp_str line;
	while (sp_take_line(header, &line)) {
		if (!sp_str_eq_nocase(name_of(line), sp_str_of(name)))
			continue;
		struct sp_buf value;
		sp_buf_init(&value, RPT_MIME_VALUE_MAX);
		sp_buf_add(&value, sp_str_from(line, sp_str_find(line, ':') + 1));
		while (header->len > 0 && sp_is_blank(header->p[0]) && sp_take_line(header, &line))
			sp_buf_add(&value, line);
		const char *copy = sp_arena_dup(arena, sp_str_trim(sp_buf_str(&value)));
		sp_buf_clear(&value);
		return copy;
	}
	return NULL;
}

const char *rpt_mime_token(const char *value, struct sp_arena *arena)
{
	struct sp_str s = sp_str_of(value);
	char *token = sp_arena_dup(arena, sp_str_trim(sp_take_until(&s, ';')));
	sp_lower_in_place(token);
	return token;
}

/* ---- parameters ---- */

static void skip_blanks_and_comments(struct sp_str *s)
{
	unsigned depth = 0;
	while (s->len > 0 && (depth > 0 || sp_is_blank(s->p[0]) || s->p[0] == '(')) {
		depth += s->p[0] == '(';
		depth -= s->p[0] == ')' && depth > 0;
		*s = sp_str_from(*s, s->p[0] == '\\' && s->len > 1 ? 2 : 1);
	}
}

/* The value behind '=': a quoted string or a token; appended without its quotes. */
static void take_value(struct sp_str *s, struct sp_buf *out)
{
	bool quoted = sp_take_char(s, '"');
	while (s->len > 0) {
		char c = s->p[0];
		if (quoted ? c == '"' : c == ';' || sp_is_blank(c))
			break;
		if (quoted && c == '\\' && s->len > 1) {
			*s = sp_str_from(*s, 1);
			c = s->p[0];
		}
		sp_buf_addc(out, c);
		*s = sp_str_from(*s, 1);
	}
	sp_take_until(s, ';');
}

/* RFC 2231 4: charset'language'text with %41. */
static void add_extended(struct sp_str s, bool first, struct sp_buf *out)
{
	struct sp_str behind = s;
	sp_take_until(&behind, '\'');
	if (first && sp_str_contains(behind, '\'')) {
		sp_take_until(&behind, '\'');
		s = behind;
	}
	while (s.len > 0) {
		char c = s.p[0];
		if (!sp_take_escape(&s, '%', &c))
			s = sp_str_from(s, 1);
		sp_buf_addc(out, c);
	}
}

/* Appends one parameter's value to `out` if it is `name`, or a piece of it: name, name*, name*0, name*1*. */
static bool add_if_named(struct sp_str attribute, struct sp_str name, struct sp_str value, bool first, struct sp_buf *out)
{
	if (!sp_take_prefix_nocase(&attribute, name) || (attribute.len > 0 && attribute.p[0] != '*'))
		return false;
	if (attribute.len > 0 && attribute.p[attribute.len - 1] == '*')
		add_extended(value, first, out);
	else
		sp_buf_add(out, value);
	return true;
}

const char *rpt_mime_parameter(const char *value, const char *name, struct sp_arena *arena)
{
	struct sp_str s = sp_str_of(value);
	struct sp_buf all, one;
	sp_buf_init(&all, RPT_MIME_VALUE_MAX);
	sp_buf_init(&one, RPT_MIME_VALUE_MAX);
	bool found = false, whole = false;
	sp_take_until(&s, ';');
	while (s.len > 0 && !whole) {
		skip_blanks_and_comments(&s);
		size_t end = 0;
		while (end < s.len && s.p[end] != '=' && s.p[end] != ';')
			end++;
		struct sp_str attribute = sp_str_trim(sp_str_make(s.p, end));
		s = sp_str_from(s, end);
		if (!sp_take_char(&s, '=')) {
			sp_take_until(&s, ';');
			continue;
		}
		skip_blanks_and_comments(&s);
		sp_buf_reset(&one);
		take_value(&s, &one);
		bool added = add_if_named(attribute, sp_str_of(name), sp_buf_str(&one), !found, &all);
		found = found || added;
		whole = added && !sp_str_contains(attribute, '*');
	}
	const char *result = found ? sp_arena_dup(arena, sp_buf_str(&all)) : NULL;
	sp_buf_clear(&all);
	sp_buf_clear(&one);
	return result;
}

/* ---- parts ---- */

/* Is this line a delimiter (RFC 2046 5.1.1: "--" boundary, blanks), or the last one (another "--")? */
static bool is_delimiter(struct sp_str line, struct sp_str boundary, bool *last)
{
	if (!sp_take_prefix(&line, SP_STR("--")) || !sp_take_prefix(&line, boundary))
		return false;
	*last = sp_take_prefix(&line, SP_STR("--"));
	return sp_str_trim(line).len == 0;
}

/* Goes to behind the next delimiter line; what stood before it is in *before. */
static void next_delimiter(struct rpt_parts *p, struct sp_str *before)
{
	struct sp_str all = p->rest, line;
	bool last = true, found = false;
	size_t len = 0;
	while (!found && sp_take_line(&p->rest, &line)) {
		found = is_delimiter(line, p->boundary, &last);
		if (!found)
			len = all.len - p->rest.len;
	}
	*before = sp_str_make(all.p, len);
	if (found && sp_str_ends(*before, SP_STR("\n")))                /* the line end before a delimiter is part of it */
		before->len -= sp_str_ends(*before, SP_STR("\r\n")) ? 2 : 1;
	p->open = found && !last;
}

void rpt_parts_begin(struct rpt_parts *p, struct sp_str body, const char *boundary)
{
	struct sp_str preamble;
	*p = (struct rpt_parts){ .rest = body, .boundary = sp_str_of(boundary) };
	next_delimiter(p, &preamble);
}

bool rpt_parts_next(struct rpt_parts *p, struct sp_str *part)
{
	if (!p->open)
		return false;
	next_delimiter(p, part);
	return true;
}

/* ---- transfer encodings ---- */

static int base64_value(char c)
{
	if (sp_is_alnum(c))
		return sp_is_digit(c) ? c - '0' + 52 : c >= 'a' ? c - 'a' + 26 : c - 'A';
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool rpt_mime_decode_base64(struct sp_str text, struct sp_buf *out)
{
	uint32_t bits = 0;
	unsigned count = 0;                                             /* of them that are in no octet yet */
	for (size_t i = 0; i < text.len && text.p[i] != '='; i++) {
		int value = base64_value(text.p[i]);
		if (value < 0)                                          /* RFC 2045 6.8: others are ignored */
			continue;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		sp_buf_addc(out, (char)(bits >> count & 0xff));
	}
	return !sp_buf_failed(out);
}

/* RFC 2045 6.7. A '=' that means nothing stays as it is. */
static bool decode_quoted_printable(struct sp_str text, struct sp_buf *out)
{
	struct sp_str line, before = text;
	for (; sp_take_line(&text, &line); before = text) {
		bool ended = sp_str_ends(sp_str_make(before.p, before.len - text.len), SP_STR("\n"));
		while (line.len > 0 && sp_is_blank(line.p[line.len - 1]))
			line.len--;
		bool soft = line.len > 0 && line.p[line.len - 1] == '=';
		line.len -= soft;
		while (line.len > 0) {
			char c = line.p[0];
			if (!sp_take_escape(&line, '=', &c))
				line = sp_str_from(line, 1);
			sp_buf_addc(out, c);
		}
		if (!soft && ended)
			sp_buf_addc(out, '\n');
	}
	return !sp_buf_failed(out);
}

bool rpt_mime_decode(struct sp_str body, const char *encoding, struct sp_buf *room, struct sp_str *out)
{
	bool good = true;
	*out = body;
	if (sp_str_eq_nocase(sp_str_of(encoding), SP_STR("base64")))
		good = rpt_mime_decode_base64(body, room);
	else if (sp_str_eq_nocase(sp_str_of(encoding), SP_STR("quoted-printable")))
		good = decode_quoted_printable(body, room);
	else
		return true;
	*out = sp_buf_str(room);
	return good;
}

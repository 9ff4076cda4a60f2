/* relay/query.c - see query.h. */
#include "relay/query.h"

#include "rpt/event.h"
#include "smtp/address.h"

/* The value without its escapes; NULL where one is broken, or what comes of them is no text. */
static const char *decode(struct sp_str s, struct sp_arena *arena)
{
	char *text = sp_arena_alloc(arena, s.len + 1);
	size_t len = 0;
	while (s.len > 0) {
		char c = s.p[0];
		if (c != '%')
			s = sp_str_from(s, 1);
		else if (!sp_take_escape(&s, '%', &c))
			return NULL;
		text[len++] = c;
	}
	return smtp_is_utf8_text(sp_str_make(text, len)) ? text : NULL;
}

static bool read_value(const struct query_field *f, const char *text, struct sp_arena *arena)
{
	struct sp_str value = sp_str_of(text);
	const char *why, *domain;
	switch (f->kind) {
	case QUERY_TEXT:
		*(const char **)f->out = text;
		return true;
	case QUERY_DOMAIN:
		domain = smtp_domain_ascii(value, arena, &why);
		if (domain)
			*(const char **)f->out = domain;
		return domain != NULL;
	case QUERY_NUMBER:
		return sp_str_number(value, 0, INT64_MAX, f->out);
	case QUERY_DAY:
		return rpt_day_parse(value, f->out);
	case QUERY_FLAG:
		*(bool *)f->out = sp_str_eq(value, SP_STR("1"));
		return *(bool *)f->out || sp_str_eq(value, SP_STR("0"));
	}
	return false;
}

static size_t find_field(const struct query_field *fields, size_t count, struct sp_str name)
{
	size_t i = 0;
	while (i < count && !sp_str_eq(sp_str_of(fields[i].name), name))
		i++;
	return i;
}

bool query_read(struct sp_str query, const struct query_field *fields, size_t count, struct sp_arena *arena, struct sp_buf *why)
{
	uint32_t seen = 0;
	sp_assert(count <= 32);
	while (query.len > 0) {
		struct sp_str value = sp_take_until(&query, '&'), name = sp_take_until(&value, '=');
		size_t at = find_field(fields, count, name);
		if (at == count || (seen & (1u << at))) {
			sp_buf_adds(why, at == count ? "there is no field " : "more than one field ");
			sp_buf_add_printable(why, name);
			return false;
		}
		seen |= 1u << at;
		const char *text = decode(value, arena);
		if (text == NULL || !read_value(&fields[at], text, arena)) {
			sp_buf_printf(why, "%s: not a value for it: ", fields[at].name);
			sp_buf_add_printable(why, value);
			return false;
		}
	}
	return true;
}

static bool is_plain(char c)
{
	return sp_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';          /* RFC 3986 2.3 */
}

void query_add(struct sp_buf *target, const char *name, const char *value)
{
	if (value == NULL)
		return;
	sp_buf_printf(target, "%c%s=", sp_str_contains(sp_buf_str(target), '?') ? '&' : '?', name);
	for (; *value; value++) {
		if (is_plain(*value))
			sp_buf_addc(target, *value);
		else
			sp_buf_printf(target, "%%%02X", (unsigned char)*value);
	}
}

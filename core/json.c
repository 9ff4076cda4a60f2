/* core/json.c - see json.h. */
#include "core/json.h"

#include "core/date.h"
#include "core/utf8.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- strings ---- */

static bool is_plain(char c)
{
	return sp_is_print(c) && c != '"' && c != '\\';
}

/* RFC 8259 7: what must be escaped; and DEL, which a terminal might act upon. */
static void add_escape(struct sp_buf *b, uint32_t c)
{
	switch (c) {
	case '"': sp_buf_adds(b, "\\\""); break;
	case '\\': sp_buf_adds(b, "\\\\"); break;
	case '\n': sp_buf_adds(b, "\\n"); break;
	case '\r': sp_buf_adds(b, "\\r"); break;
	case '\t': sp_buf_adds(b, "\\t"); break;
	default:
		if (c > 0xffff)                 /* as UTF-16 has it */
			sp_buf_printf(b, "\\u%04x", (unsigned)(0xd7c0 + (c >> 10)));
		sp_buf_printf(b, "\\u%04x", (unsigned)(c > 0xffff ? 0xdc00 + (c & 0x3ff) : c));
	}
}

/* What is not ASCII: UTF-8 as it is but for what is not seen; U+FFFD for each octet that is none. How many octets that was. */
static size_t add_wide(struct sp_buf *b, struct sp_str s)
{
	uint32_t code;
	size_t len = sp_utf8_char(s, &code);
	if (len == 0)
		sp_buf_adds(b, "\\ufffd");
	else if (sp_utf8_is_hidden(code))
		add_escape(b, code);
	else
		sp_buf_add(b, sp_str_make(s.p, len));
	return sp_max(len, 1);
}

void sp_buf_add_json(struct sp_buf *b, struct sp_str value)
{
	sp_buf_addc(b, '"');
	while (value.len > 0) {
		size_t run = 0, used = 1;
		while (run < value.len && is_plain(value.p[run]))
			run++;
		sp_buf_add(b, sp_str_make(value.p, run));
		value = sp_str_from(value, run);
		if (value.len == 0)
			break;
		if ((unsigned char)value.p[0] & 0x80)
			used = add_wide(b, value);
		else
			add_escape(b, (unsigned char)value.p[0]);
		value = sp_str_from(value, used);
	}
	sp_buf_addc(b, '"');
}

/* ---- values ---- */

static void begin_value(struct sp_json *j, const char *key)
{
	if (j->comma)
		sp_buf_addc(j->out, ',');
	j->comma = true;
	if (key) {
		sp_buf_addc(j->out, '"');
		sp_buf_adds(j->out, key);
		sp_buf_adds(j->out, "\":");
	}
}

void sp_json_begin(struct sp_json *j, struct sp_buf *out)
{
	*j = (struct sp_json){ .out = out };
}

void sp_json_open(struct sp_json *j, const char *key, char bracket)
{
	begin_value(j, key);
	sp_buf_addc(j->out, bracket);
	j->comma = false;
}

void sp_json_close(struct sp_json *j, char bracket)
{
	sp_buf_addc(j->out, bracket);
	j->comma = true;
}

void sp_json_str(struct sp_json *j, const char *key, struct sp_str value)
{
	begin_value(j, key);
	sp_buf_add_json(j->out, value);
}

void sp_json_cstr(struct sp_json *j, const char *key, const char *value)
{
	if (value)
		sp_json_str(j, key, sp_str_of(value));
	else
		sp_json_raw(j, key, sp_str_of(NULL));
}

void sp_json_given(struct sp_json *j, const char *key, const char *value)
{
	if (value && *value)
		sp_json_cstr(j, key, value);
}

void sp_json_int(struct sp_json *j, const char *key, int64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, value);
	sp_json_raw(j, key, sp_str_of(text));
}

void sp_json_bool(struct sp_json *j, const char *key, bool value)
{
	sp_json_raw(j, key, value ? SP_STR("true") : SP_STR("false"));
}

void sp_json_time(struct sp_json *j, const char *key, int64_t at_ms)
{
	char seconds[40], text[56];
	if (at_ms <= 0) {
		sp_json_raw(j, key, sp_str_of(NULL));
		return;
	}
	struct sp_str s = sp_str_of(sp_date_rfc3339(at_ms / 1000, seconds));
	snprintf(text, sizeof(text), "\"%.*s.%03uZ\"", (int)s.len - 1, s.p, (unsigned)(at_ms % 1000));
	sp_json_raw(j, key, sp_str_of(text));
}

void sp_json_raw(struct sp_json *j, const char *key, struct sp_str json)
{
	begin_value(j, key);
	sp_buf_add(j->out, json.len > 0 ? json : SP_STR("null"));
}

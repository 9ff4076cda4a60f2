/* smtp/dsn_address.c - see dsn_address.h. */
#include "smtp/dsn_address.h"

#include "core/utf8.h"
#include "core/wish.h"
#include "smtp/xtext.h"

#include <stdio.h>

/* ---- characters ---- */

/* A character beyond ASCII, and its octets; false where there is none. */
static bool take_wide(struct sp_str *s, uint32_t *code, struct sp_str *octets)
{
	size_t len = sp_utf8_char(*s, code);
	if (len < 2)
		return false;
	*octets = sp_str_make(s->p, len);
	*s = sp_str_from(*s, len);
	return true;
}

/* U+0080 to U+009F are control characters. */
static bool is_shown(uint32_t code)
{
	return code >= 0xa0;
}

static void add_wide(struct sp_buf *out, uint32_t code)
{
	if (code >= 0x10000)
		sp_buf_addc(out, (char)(0xf0 | code >> 18));
	if (code >= 0x800)
		sp_buf_addc(out, (char)(code >= 0x10000 ? 0x80 | (code >> 12 & 0x3f) : 0xe0 | code >> 12));
	sp_buf_addc(out, (char)(code >= 0x800 ? 0x80 | (code >> 6 & 0x3f) : 0xc0 | code >> 6));
	sp_buf_addc(out, (char)(0x80 | (code & 0x3f)));
}

static char take_octet(struct sp_str *s)
{
	char c = s->p[0];
	*s = sp_str_from(*s, 1);
	return c;
}

void smtp_dsn_add_text(struct sp_buf *out, struct sp_str s, bool utf8)
{
	uint32_t code;
	struct sp_str octets;
	while (s.len > 0) {
		if (!utf8 || !take_wide(&s, &code, &octets)) {
			char c = take_octet(&s);
			sp_buf_addc(out, sp_is_print(c) ? c : '?');
		} else if (is_shown(code)) {
			sp_buf_add(out, octets);
		} else {
			sp_buf_addc(out, '?');
		}
	}
}

/* ---- xtext, RFC 3461 4 ---- */

void smtp_dsn_add_xtext(struct sp_buf *out, struct sp_str xtext)
{
	while (xtext.len > 0) {
		char c;
		if (!sp_take_escape(&xtext, '+', &c))
			c = take_octet(&xtext);
		sp_buf_addc(out, sp_is_print(c) ? c : '?');
	}
}

/* ---- RFC 6533 3 ---- */

/* "\x{F6}"; false where it is none, or of a character that does not exist. */
static bool take_embedded(struct sp_str *s, uint32_t *code)
{
	struct sp_str rest = *s;
	uint32_t c = 0;
	size_t digits = 0;
	if (!sp_take_prefix(&rest, SP_STR("\\x{")))
		return false;
	for (; rest.len > 0 && digits < 6 && sp_hex_value(rest.p[0]) >= 0; digits++)
		c = c << 4 | (uint32_t)sp_hex_value(take_octet(&rest));
	if (digits == 0 || !sp_take_char(&rest, '}') || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return false;
	*code = c;
	*s = rest;
	return true;
}

static void add_code(struct sp_buf *out, uint32_t code, bool global)
{
	if (code < 128 || !global || !is_shown(code))
		sp_buf_printf(out, "\\x{%02X}", (unsigned)code);
	else
		add_wide(out, code);
}

/* QCHAR: what stands for itself in either form. */
static bool stands_for_itself(char c)
{
	return c > ' ' && sp_is_print(c) && c != '+' && c != '=' && c != '\\';
}

/* `raw`: an address as it is; else as ORCPT has it, in one of the forms. */
static void add_international(struct sp_buf *out, struct sp_str s, bool raw, bool global)
{
	uint32_t code;
	struct sp_str octets;
	while (s.len > 0) {
		if (take_wide(&s, &code, &octets) || (!raw && take_embedded(&s, &code))) {
			add_code(out, code, global);
			continue;
		}
		char c = take_octet(&s);
		if (stands_for_itself(c))
			sp_buf_addc(out, c);
		else if (sp_is_print(c))
			add_code(out, (unsigned char)c, global);
		else
			sp_buf_addc(out, '?');
	}
}

void smtp_dsn_add_address(struct sp_buf *out, struct sp_str address, bool global)
{
	bool international = !sp_str_is_ascii(address) && sp_str_is_utf8(address);
	sp_buf_adds(out, international ? "utf-8; " : "rfc822; ");
	if (international)
		add_international(out, address, true, global);
	else
		smtp_dsn_add_text(out, address, false);
}

/* What Postfix 3.7 says of an address beyond ASCII: its octets in xtext. RFC 6533 3 has a form for it. */
static bool add_beyond_ascii(struct sp_buf *out, struct sp_str xtext, bool global)
{
	struct sp_buf address;
	sp_buf_init(&address, SP_ORCPT_MAX);
	bool so = smtp_xtext_decode(xtext, &address) && !sp_str_is_ascii(sp_buf_str(&address)) && sp_str_is_utf8(sp_buf_str(&address));
	if (so)
		smtp_dsn_add_address(out, sp_buf_str(&address), global);
	sp_buf_clear(&address);
	return so;
}

void smtp_dsn_add_orcpt(struct sp_buf *out, struct sp_str orcpt, bool global)
{
	struct sp_str type = sp_take_until(&orcpt, ';');
	if (sp_str_eq_nocase(type, SP_STR("rfc822")) && add_beyond_ascii(out, orcpt, global))
		return;
	smtp_dsn_add_text(out, type, false);
	sp_buf_adds(out, "; ");
	if (sp_str_eq_nocase(type, SP_STR("utf-8")))
		add_international(out, orcpt, false, global);
	else
		smtp_dsn_add_xtext(out, orcpt);
}

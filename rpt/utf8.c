/* rpt/utf8.c - see utf8.h. */
#include "rpt/utf8.h"

/* How many octets a character has that begins with `c`, and the smallest code point for which it takes so many; 0: none begins so. */
static size_t length_of(unsigned char c, uint32_t *least, uint32_t *bits)
{
	static const struct { unsigned char mask, mark; uint32_t least; } rows[] = {
		{ 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		if ((c & rows[i].mask) == rows[i].mark) {
			*least = rows[i].least;
			*bits = (uint32_t)(c & ~rows[i].mask);
			return i + 1;
		}
	}
	return 0;
}

/* RFC 7493 2.1: neither surrogates nor noncharacters. */
static bool allowed(uint32_t code)
{
	bool surrogate = code >= 0xd800 && code <= 0xdfff;
	bool noncharacter = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
	return code <= 0x10ffff && !surrogate && !noncharacter;
}

/* Octets of the character at the front of `s`; 0 where there is none. */
static size_t character(struct sp_str s)
{
	uint32_t least, code;
	size_t len = length_of((unsigned char)s.p[0], &least, &code);
	if (len == 0 || len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if ((c & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (c & 0x3f);
	}
	return code >= least && allowed(code) ? len : 0;
}

void rpt_utf8_add(struct sp_buf *out, struct sp_str s)
{
	while (s.len > 0) {
		size_t len = character(s);
		if (len > 0)
			sp_buf_add(out, sp_str_make(s.p, len));
		else
			sp_buf_adds(out, "\xef\xbf\xbd");
		s = sp_str_from(s, sp_max(len, 1));
	}
}

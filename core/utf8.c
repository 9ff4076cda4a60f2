/* core/utf8.c - see utf8.h. */
#include "core/utf8.h"

size_t sp_utf8_char(struct sp_str s, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	if (s.len == 0)
		return 0;
	const unsigned char *p = (const unsigned char *)s.p;
	*code = p[0];
	if (p[0] < 0x80)
		return 1;
	size_t len = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	if (len == 0 || s.len < len)
		return 0;
	uint32_t c = p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	*code = c;
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

bool sp_utf8_is_hidden(uint32_t code)
{
	static const struct { uint32_t first, last; } hidden[] = {
		{ 0x0, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x61c, 0x61c }, { 0x180e, 0x180e }, { 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f },
		{ 0xfdd0, 0xfdef }, { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb }, { 0xe0000, 0xe0fff },
	};
	for (size_t i = 0; i < SP_COUNT(hidden); i++)
		if (code >= hidden[i].first && code <= hidden[i].last)
			return true;
	return (code & 0xfffe) == 0xfffe;
}

bool sp_str_is_utf8(struct sp_str s)
{
	uint32_t code;
	for (size_t len; s.len > 0; s = sp_str_from(s, len)) {
		len = sp_utf8_char(s, &code);
		if (len == 0)
			return false;
	}
	return true;
}

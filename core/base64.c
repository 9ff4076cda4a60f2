/* core/base64.c - see base64.h. */
#include "core/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648 4: three octets are four characters; what is missing is zero bits, and "=". */
static void put_group(char to[4], const unsigned char *p, size_t len)
{
	unsigned b1 = len > 1 ? p[1] : 0, b2 = len > 2 ? p[2] : 0;
	unsigned bits = (unsigned)p[0] << 16 | b1 << 8 | b2;
	to[0] = alphabet[bits >> 18 & 63];
	to[1] = alphabet[bits >> 12 & 63];
	to[2] = len > 1 ? alphabet[bits >> 6 & 63] : '=';
	to[3] = len > 2 ? alphabet[bits & 63] : '=';
}

static void add_line(struct sp_buf *out, struct sp_str data)
{
	size_t len = sp_base64_len(data.len);
	char *room = sp_buf_room(out, len);
	if (room == NULL)
		return;
	for (size_t i = 0; i < data.len; i += 3, room += 4)
		put_group(room, (const unsigned char *)data.p + i, sp_min(3, data.len - i));
	sp_buf_wrote(out, len);
}

void sp_base64_add(struct sp_buf *out, struct sp_str data, size_t line)
{
	sp_assert(line % 4 == 0);
	size_t step = line > 0 ? line / 4 * 3 : data.len;
	while (data.len > 0 && !sp_buf_failed(out)) {
		size_t len = sp_min(step, data.len);
		add_line(out, sp_str_make(data.p, len));
		if (line > 0)
			sp_buf_adds(out, "\r\n");
		data = sp_str_from(data, len);
	}
}

/* --- back --- */

#define PAD 64
#define BLANK 65
#define WRONG 66

static unsigned value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (sp_is_digit(c))
		return (unsigned)(c - '0') + 52;
	if (c == '+' || c == '/')
		return c == '+' ? 62 : 63;
	if (c == '=')
		return PAD;
	return sp_is_blank(c) || c == '\r' || c == '\n' ? BLANK : WRONG;
}

struct group {
	uint32_t bits;
	unsigned chars, pads;           /* of 4 */
};

/* A full group: 3 octets, or 2 or 1 where it is padded; then the bits left over are zero (RFC 4648 3.5). */
static bool take_group(struct group *g, struct sp_buf *out)
{
	unsigned octets = 3 - g->pads;
	if (g->pads > 2 || (g->bits & ((1u << 8 * g->pads) - 1)) != 0)
		return false;
	char bytes[3] = { (char)(g->bits >> 16), (char)(g->bits >> 8), (char)g->bits };
	sp_buf_add(out, sp_str_make(bytes, octets));
	return true;
}

static bool decode(struct sp_str text, struct sp_buf *out)
{
	struct group g = { 0, 0, 0 };
	bool ended = false;
	for (size_t i = 0; i < text.len; i++) {
		unsigned v = value_of(text.p[i]);
		if (v == BLANK)
			continue;
		if (v == WRONG || ended || (g.pads > 0 && v != PAD))
			return false;
		g.bits = g.bits << 6 | (v == PAD ? 0 : v);
		g.pads += v == PAD;
		if (++g.chars < 4)
			continue;
		if (!take_group(&g, out))
			return false;
		ended = g.pads > 0;
		g = (struct group){ 0, 0, 0 };
	}
	return g.chars == 0 && !sp_buf_failed(out);
}

bool sp_base64_decode(struct sp_str text, struct sp_buf *out)
{
	size_t before = out->len;
	if (decode(text, out))
		return true;
	sp_buf_truncate(out, before);
	return false;
}

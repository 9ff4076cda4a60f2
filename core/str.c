/* core/str.c - see str.h. */
#include "core/str.h"

bool sp_str_eq(struct sp_str a, struct sp_str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool sp_str_eq_nocase(struct sp_str a, struct sp_str b)
{
	return a.len == b.len && sp_str_starts_nocase(a, b);
}

bool sp_str_starts(struct sp_str s, struct sp_str prefix)
{
	return s.len >= prefix.len && sp_str_eq(sp_str_make(s.p, prefix.len), prefix);
}

bool sp_str_starts_nocase(struct sp_str s, struct sp_str prefix)
{
	if (s.len < prefix.len)
		return false;
	for (size_t i = 0; i < prefix.len; i++)
		if (sp_lower(s.p[i]) != sp_lower(prefix.p[i]))
			return false;
	return true;
}

bool sp_str_ends(struct sp_str s, struct sp_str suffix)
{
	return s.len >= suffix.len && sp_str_eq(sp_str_from(s, s.len - suffix.len), suffix);
}

struct sp_str sp_str_from(struct sp_str s, size_t start)
{
	sp_assert(start <= s.len);
	return start ? sp_str_make(s.p + start, s.len - start) : s;
}

struct sp_str sp_str_trim(struct sp_str s)
{
	sp_take_blanks(&s);
	while (s.len > 0 && sp_is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

size_t sp_str_find(struct sp_str s, char c)
{
	const char *at = s.len ? memchr(s.p, c, s.len) : NULL;
	return at ? (size_t)(at - s.p) : s.len;
}

bool sp_str_contains(struct sp_str s, char c)
{
	return sp_str_find(s, c) < s.len;
}

bool sp_str_is_ascii(struct sp_str s)
{
	size_t n = 0;
	for (; n + 8 <= s.len; n += 8) {
		uint64_t word;
		memcpy(&word, s.p + n, 8);
		if (word & 0x8080808080808080u)
			return false;
	}
	for (; n < s.len; n++)
		if ((unsigned char)s.p[n] > 127)
			return false;
	return true;
}

char *sp_str_dup(struct sp_str s)
{
	return sp_strndup(s.p, s.len);
}

void sp_lower_in_place(char *s)
{
	for (; *s; s++)
		*s = sp_lower(*s);
}

bool sp_take_char(struct sp_str *s, char c)
{
	if (s->len == 0 || s->p[0] != c)
		return false;
	*s = sp_str_from(*s, 1);
	return true;
}

bool sp_take_prefix(struct sp_str *s, struct sp_str prefix)
{
	if (!sp_str_starts(*s, prefix))
		return false;
	*s = sp_str_from(*s, prefix.len);
	return true;
}

bool sp_take_prefix_nocase(struct sp_str *s, struct sp_str prefix)
{
	if (!sp_str_starts_nocase(*s, prefix))
		return false;
	*s = sp_str_from(*s, prefix.len);
	return true;
}

size_t sp_take_blanks(struct sp_str *s)
{
	size_t n = 0;
	while (n < s->len && sp_is_blank(s->p[n]))
		n++;
	*s = sp_str_from(*s, n);
	return n;
}

bool sp_take_digits(struct sp_str *s, unsigned max_digits, uint64_t *out)
{
	uint64_t n = 0;
	size_t i = 0;
	for (; i < s->len && sp_is_digit(s->p[i]); i++) {
		unsigned digit = (unsigned)(s->p[i] - '0');
		if (i == max_digits || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (i == 0)
		return false;
	*s = sp_str_from(*s, i);
	*out = n;
	return true;
}

struct sp_str sp_take_until(struct sp_str *s, char sep)
{
	size_t at = sp_str_find(*s, sep);
	struct sp_str before = sp_str_make(s->p, at);
	*s = sp_str_from(*s, at < s->len ? at + 1 : at);
	return before;
}

bool sp_take_line(struct sp_str *s, struct sp_str *line)
{
	if (s->len == 0)
		return false;
	*line = sp_take_until(s, '\n');
	if (line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	return true;
}

bool sp_str_number(struct sp_str s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t n;
	if (!sp_take_digits(&s, 20, &n) || s.len > 0 || n < min || n > max)
		return false;
	*out = n;
	return true;
}

bool sp_take_escape(struct sp_str *s, char mark, char *out)
{
	if (s->len < 3 || s->p[0] != mark || sp_hex_value(s->p[1]) < 0 || sp_hex_value(s->p[2]) < 0)
		return false;
	*out = (char)(sp_hex_value(s->p[1]) << 4 | sp_hex_value(s->p[2]));
	*s = sp_str_from(*s, 3);
	return true;
}

bool sp_str_among(struct sp_str s, const char *const *names, size_t count, size_t *out)
{
	for (size_t i = 0; i < count; i++) {
		if (sp_str_eq(s, sp_str_of(names[i]))) {
			*out = i;
			return true;
		}
	}
	return false;
}

uint64_t sp_hash(struct sp_str s)
{
	uint64_t h = 14695981039346656037u;
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
	return h;
}

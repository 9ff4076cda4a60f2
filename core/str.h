/* core/str.h - a borrowed run of bytes, and the takers that parsers advance it with.
 * A struct sp_str owns nothing and need not end in NUL; `p` may be NULL where len is 0. Pure. Any thread. */
#ifndef CORE_STR_H
#define CORE_STR_H

#include "core/base.h"

#include <string.h>

struct sp_str {
	const char *p;
	size_t len;
};

#define SP_STR(literal) ((struct sp_str){ (literal), sizeof(literal) - 1 })
#define SP_STR_ARG(s) ((int)(s).len), ((s).len ? (s).p : "")     /* for "%.*s" */

static inline struct sp_str sp_str_of(const char *s)            /* NULL gives the empty one */
{
	return (struct sp_str){ s, s ? strlen(s) : 0 };
}
static inline struct sp_str sp_str_make(const char *p, size_t len)
{
	return (struct sp_str){ p, len };
}

bool sp_str_eq(struct sp_str a, struct sp_str b);
bool sp_str_eq_nocase(struct sp_str a, struct sp_str b);         /* ASCII only, whatever the locale */
bool sp_str_starts(struct sp_str s, struct sp_str prefix);
bool sp_str_starts_nocase(struct sp_str s, struct sp_str prefix);
bool sp_str_ends(struct sp_str s, struct sp_str suffix);
struct sp_str sp_str_from(struct sp_str s, size_t start);        /* s without its first `start` bytes */
struct sp_str sp_str_trim(struct sp_str s);                      /* without SP and HTAB at both ends */
/* Index of the first `c`, or s.len. */
size_t sp_str_find(struct sp_str s, char c);
bool sp_str_contains(struct sp_str s, char c);
bool sp_str_is_ascii(struct sp_str s);                           /* no octet over 127; fast */
char *sp_str_dup(struct sp_str s);                               /* NUL-terminated copy, for free() */

/* Character classes of ASCII, independent of the locale. */
static inline bool sp_is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool sp_is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static inline bool sp_is_alnum(char c) { return sp_is_digit(c) || sp_is_alpha(c); }
static inline bool sp_is_blank(char c) { return c == ' ' || c == '\t'; }
static inline bool sp_is_print(char c) { return c >= ' ' && c <= '~'; }
static inline char sp_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }
void sp_lower_in_place(char *s);
static inline int sp_hex_value(char c)                           /* 0..15; -1 where it is no digit of that kind */
{
	char l = sp_lower(c);
	return sp_is_digit(c) ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* Takers: each removes what it takes from the front of *s; on false *s is untouched. */
SP_NODISCARD bool sp_take_char(struct sp_str *s, char c);
SP_NODISCARD bool sp_take_prefix(struct sp_str *s, struct sp_str prefix);
SP_NODISCARD bool sp_take_prefix_nocase(struct sp_str *s, struct sp_str prefix);
size_t sp_take_blanks(struct sp_str *s);                         /* SP and HTAB; how many */
/* 1 to max_digits digits as a number; false when there is none, more digits follow, or it passes 2^64-1. */
SP_NODISCARD bool sp_take_digits(struct sp_str *s, unsigned max_digits, uint64_t *out);
/* What stands before the first `sep`; takes the separator too. Without one: all that is left. */
struct sp_str sp_take_until(struct sp_str *s, char sep);
/* The next line, without its LF or CRLF; false at the end. The last one need not have an end. */
SP_NODISCARD bool sp_take_line(struct sp_str *s, struct sp_str *line);

/* The octet written as `mark` and two hexadecimal digits: %41, =41. */
SP_NODISCARD bool sp_take_escape(struct sp_str *s, char mark, char *out);

/* The index of `s` among `names`; false where it is none of them. */
SP_NODISCARD bool sp_str_among(struct sp_str s, const char *const *names, size_t count, size_t *out);

/* The whole of `s` as a decimal number from `min` to `max`. */
SP_NODISCARD bool sp_str_number(struct sp_str s, uint64_t min, uint64_t max, uint64_t *out);

/* FNV-1a, 64 bits: for tables and for spreading, not against an adversary who picks the keys. */
uint64_t sp_hash(struct sp_str s);

#endif

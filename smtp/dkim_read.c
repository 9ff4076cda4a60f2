/* smtp/dkim_read.c - what a message says of its author and of its signatures (dkim.h).
 * The author decides whose key signs, so From is read by the grammar (RFC 5322 3.4, with what 4.4 calls obsolete and RFC 6854 4 allows: groups):
 * where another reader could find another author, there is none. */
#include "smtp/address.h"
#include "smtp/dkim.h"
#include "smtp/dkim_canon.h"

#include <stdio.h>

#define DOMAIN_ROOM 1024        /* octets of a domain in U-labels, with what belongs to it */

/* ---- tokens ---- */

enum token {                    /* the specials of RFC 5322 3.2.3 stand for themselves */
	TOKEN_END = 0, TOKEN_ATOM = 'a', TOKEN_QUOTED = 'q', TOKEN_LITERAL = 'l', TOKEN_BAD = '?'
};

static bool is_atext(char c)    /* RFC 5322 3.2.3; RFC 6532 3.2, and older charsets in names: 8 bits */
{
	return (unsigned char)c > 127 || sp_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Takes what stands from `open`, at the front, to its `close`. False where there is none. */
static bool take_enclosed(struct sp_str *s, char open, char close)
{
	size_t depth = 1;
	for (size_t i = 1; i < s->len; i++) {
		char c = s->p[i];
		if (c == '\\') {                        /* quoted-pair */
			i++;
		} else if (c == close && --depth == 0) {
			*s = sp_str_from(*s, i + 1);
			return true;
		} else if (c == open && open == '(') {  /* RFC 5322 3.2.2: comments hold comments */
			depth++;
		}
	}
	return false;
}

static bool skip_blanks_and_comments(struct sp_str *s)
{
	while (s->len > 0) {
		char c = s->p[0];
		if (sp_is_blank(c) || c == '\r' || c == '\n')
			*s = sp_str_from(*s, 1);
		else if (c != '(')
			return true;
		else if (!take_enclosed(s, '(', ')'))
			return false;
	}
	return true;
}

static int take_token(struct sp_str *s, struct sp_str *text)
{
	if (!skip_blanks_and_comments(s))
		return TOKEN_BAD;
	if (s->len == 0)
		return TOKEN_END;
	size_t len = 0;
	while (len < s->len && is_atext(s->p[len]))
		len++;
	*text = sp_str_make(s->p, len);
	char c = s->p[0];
	if (c == '"')
		return take_enclosed(s, '"', '"') ? TOKEN_QUOTED : TOKEN_BAD;
	if (c == '[')
		return take_enclosed(s, '[', ']') ? TOKEN_LITERAL : TOKEN_BAD;
	*s = sp_str_from(*s, len ? len : 1);
	if (len)
		return TOKEN_ATOM;
	return c != '\0' && strchr("<>@,;:.", c) ? c : TOKEN_BAD;
}

/* ---- the From field ---- */

struct reader {
	struct sp_str rest, text;
	int token;                      /* the one that is looked at; `text` where it is an atom */
	unsigned mailboxes;
	struct sp_buf domain;           /* of the last mailbox */
};

static void next(struct reader *r)
{
	r->token = take_token(&r->rest, &r->text);
}

static bool expect(struct reader *r, int token)
{
	if (r->token != token)
		return false;
	next(r);
	return true;
}

static bool is_word(int token)
{
	return token == TOKEN_ATOM || token == TOKEN_QUOTED;
}

/* Passes over words and dots: a display name, or a local part, which has exactly one dot between two words. */
static bool skip_words(struct reader *r)
{
	bool local_part = is_word(r->token);
	int before = '.';
	while (is_word(r->token) || r->token == '.') {
		local_part = local_part && is_word(r->token) == (before == '.');
		before = r->token;
		next(r);
	}
	return local_part && before != '.';
}

/* RFC 5322 4.4: blanks and comments may stand around the dots. A literal is no domain that could sign. */
static bool read_domain(struct reader *r)
{
	sp_buf_reset(&r->domain);
	int before = '.';
	while ((r->token == TOKEN_ATOM && before == '.') || (r->token == '.' && before == TOKEN_ATOM)) {
		sp_buf_add(&r->domain, r->token == '.' ? SP_STR(".") : r->text);
		before = r->token;
		next(r);
	}
	r->mailboxes++;
	return before == TOKEN_ATOM && !sp_buf_failed(&r->domain);
}

/* RFC 5322 4.4: "@a.example,@b.example:" in front of the address, which has no meaning any more. */
static bool skip_route(struct reader *r)
{
	if (r->token != '@' && r->token != ',')
		return true;
	while (r->token == '@' || r->token == ',' || r->token == '.' || r->token == TOKEN_ATOM || r->token == TOKEN_LITERAL)
		next(r);
	return expect(r, ':');
}

static bool read_angle(struct reader *r)
{
	return skip_route(r) && skip_words(r) && expect(r, '@') && read_domain(r) && expect(r, '>');
}

static bool ends_element(const struct reader *r, bool in_group)
{
	return r->token == ',' || r->token == TOKEN_END || (in_group && r->token == ';');
}

/* Mailboxes and groups of them. Elements may be empty (RFC 5322 4.4). */
static bool read_list(struct reader *r)
{
	bool in_group = false;
	while (r->token != TOKEN_END) {
		if (expect(r, ','))
			continue;
		if (in_group && expect(r, ';')) {
			in_group = false;
			if (!ends_element(r, false))
				return false;
			continue;
		}
		bool named = is_word(r->token), local_part = skip_words(r);
		if (named && !in_group && expect(r, ':')) {
			in_group = true;
			continue;
		}
		bool good = expect(r, '<') ? read_angle(r) : local_part && expect(r, '@') && read_domain(r);
		if (!good || !ends_element(r, in_group))
			return false;
	}
	return !in_group;
}

/* The one field of this name; false where there is none, or more than one. */
static bool find_only(struct sp_str header, struct sp_str name, struct smtp_field *out)
{
	struct smtp_field f;
	unsigned count = 0;
	while (smtp_field_take(&header, &f))
		if (sp_str_eq_nocase(f.name, name)) {
			*out = f;
			count++;
		}
	return count == 1;
}

static bool to_ascii(struct sp_str domain, char out[256])
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *why, *ascii = smtp_domain_ascii(domain, &arena, &why);
	if (ascii)
		snprintf(out, 256, "%s", ascii);
	sp_arena_clear(&arena);
	return ascii != NULL;
}

bool smtp_dkim_author(struct sp_str header, char domain[256])
{
	struct smtp_field from;
	if (!find_only(header, SP_STR("From"), &from))  /* RFC 5322 3.6: exactly one */
		return false;
	struct reader r = { .rest = from.value };
	sp_buf_init(&r.domain, DOMAIN_ROOM);
	next(&r);
	bool good = read_list(&r) && r.mailboxes == 1 && to_ascii(sp_buf_str(&r.domain), domain);
	sp_buf_clear(&r.domain);
	return good;
}

/* ---- signatures that are there ---- */

static bool is_fws(char c)
{
	return sp_is_blank(c) || c == '\r' || c == '\n';
}

static struct sp_str trim_fws(struct sp_str s)
{
	while (s.len > 0 && is_fws(s.p[0]))
		s = sp_str_from(s, 1);
	while (s.len > 0 && is_fws(s.p[s.len - 1]))
		s.len--;
	return s;
}

/* The value of a tag, without the folds around it (RFC 6376 3.2); the first one counts. Empty where there is none. */
static struct sp_str tag_value(struct sp_str list, struct sp_str tag)
{
	while (list.len > 0) {
		struct sp_str value = sp_take_until(&list, ';');
		if (sp_str_eq(trim_fws(sp_take_until(&value, '=')), tag))
			return trim_fws(value);
	}
	return SP_STR("");
}

/* RFC 8616 4 lets d= and s= stand in U-labels as well. A name without A-labels has no such form: then a header section full of them costs nothing. */
static bool same_name(struct sp_str found, const char *name)
{
	char ascii[256];
	if (sp_str_eq_nocase(found, sp_str_of(name)))
		return true;
	return strstr(name, "xn--") != NULL && to_ascii(found, ascii) && sp_str_eq(sp_str_of(ascii), sp_str_of(name));
}

bool smtp_dkim_is_signed(struct sp_str header, const char *domain, const char *selector)
{
	struct smtp_field f;
	while (smtp_field_take(&header, &f))
		if (sp_str_eq_nocase(f.name, SP_STR("DKIM-Signature")) && same_name(tag_value(f.value, SP_STR("d")), domain) &&
		    same_name(tag_value(f.value, SP_STR("s")), selector))
			return true;
	return false;
}

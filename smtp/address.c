/* smtp/address.c - see address.h. */
#include "smtp/address.h"

#include "core/utf8.h"

#include <idn2.h>

#define LABEL_MAX 63            /* RFC 1035 2.3.4 */
#define DOMAIN_ASCII_MAX 253    /* what fits the 255 octets of the wire form, RFC 1035 2.3.4 */

/* ---- octets ---- */

static bool is_8bit(char c)
{
	return (unsigned char)c > 127;
}

static bool is_atext(char c)            /* RFC 5322 3.2.3 */
{
	return sp_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_control(uint32_t code)
{
	return code < ' ' || (code >= 127 && code < 0xa0);
}

bool smtp_is_utf8_text(struct sp_str s)
{
	uint32_t code;
	while (s.len > 0) {
		size_t len = sp_utf8_char(s, &code);
		if (len == 0 || is_control(code))
			return false;
		s = sp_str_from(s, len);
	}
	return true;
}

/* ---- domains ---- */

static bool is_ldh(char c)              /* and the underscore, which real host names have (leniency) */
{
	return sp_is_alnum(c) || c == '-' || c == '_';
}

static const char *label_fault(struct sp_str label)
{
	if (label.len == 0)
		return "empty label in the domain";
	if (label.len > LABEL_MAX)
		return "label of more than 63 octets in the domain";
	if (label.p[0] == '-' || label.p[label.len - 1] == '-')                 /* RFC 5321 4.1.2: Let-dig [Ldh-str] */
		return "hyphen at the end of a label in the domain";
	for (size_t i = 0; i < label.len; i++)
		if (!is_ldh(label.p[i]))
			return "character that no domain has";
	return NULL;
}

static bool all_digits(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!sp_is_digit(s.p[i]))
			return false;
	return true;
}

static const char *ascii_fault(struct sp_str s)
{
	if (s.len > DOMAIN_ASCII_MAX)
		return "domain too long";
	struct sp_str rest = s, label;
	do {
		label = sp_take_until(&rest, '.');
		const char *fault = label_fault(label);
		if (fault)
			return fault;
	} while (label.p + label.len < s.p + s.len);
	/* RFC 3696 2: no top-level domain is all digits; this is an address that lacks its brackets. */
	return all_digits(label) ? "address without brackets in place of a domain" : NULL;
}

/* U-labels to A-labels. The result comes out of Unicode's mappings, so what it holds must still be checked. */
static struct sp_str to_a_labels(struct sp_str s, struct sp_arena *arena, const char **why)
{
	char *ascii = NULL;
	if (s.len > 4 * SMTP_DOMAIN_MAX || sp_str_contains(s, '\0') ||
	    idn2_to_ascii_8z(sp_arena_dup(arena, s), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK) {
		*why = "domain is no valid internationalised name";
		return sp_str_make(NULL, 0);
	}
	struct sp_str copy = sp_str_of(sp_arena_strdup(arena, ascii));
	idn2_free(ascii);
	if (copy.len == 0)                              /* characters that Unicode maps to nothing */
		*why = "domain is no valid internationalised name";
	return copy;
}

const char *smtp_domain_ascii(struct sp_str s, struct sp_arena *arena, const char **why)
{
	if (s.len == 0) {
		*why = "empty domain";
		return NULL;
	}
	if (!sp_str_is_ascii(s)) {
		s = to_a_labels(s, arena, why);
		if (s.len == 0)
			return NULL;
	}
	if (s.len > 1 && s.p[s.len - 1] == '.')         /* leniency: the root's dot, as in DNS tools */
		s.len--;
	const char *fault = ascii_fault(s);
	if (fault) {
		*why = fault;
		return NULL;
	}
	char *domain = sp_arena_dup(arena, s);
	sp_lower_in_place(domain);
	return domain;
}

/* RFC 5321 4.1.3: "[192.0.2.1]" or "[IPv6:2001:db8::1]". No other kind of literal is registered. */
static bool parse_literal(struct sp_str s, struct sp_arena *arena, struct smtp_address *out, const char **why)
{
	struct sp_str inner = sp_str_make(s.p + 1, s.len - 1);
	if (inner.len == 0 || inner.p[inner.len - 1] != ']') {
		*why = "address literal without its closing bracket";
		return false;
	}
	inner.len--;
	bool v6 = sp_take_prefix_nocase(&inner, SP_STR("IPv6:"));
	if (!sp_addr_parse_ip(inner, 0, &out->ip) || (sp_addr_family(&out->ip) == AF_INET6) != v6) {
		*why = "address literal is neither [192.0.2.1] nor [IPv6:2001:db8::1]";
		return false;
	}
	char text[SP_ADDR_TEXT];
	out->domain = sp_arena_strdup(arena, sp_addr_literal_str(&out->ip, text));
	out->literal = true;
	return true;
}

/* ---- local parts ---- */

/* qtextSMTP and quoted-pairSMTP (RFC 5321 4.1.2). Octets over 127 pass here and are judged by the caller. */
static bool is_quotable(char c, bool escaped)
{
	return sp_is_print(c) || (!escaped && is_8bit(c));
}

/* Takes a Quoted-string, its quotes included. */
static bool take_quoted(struct sp_str *s, const char **why)
{
	size_t i = 1;
	for (; i < s->len && s->p[i] != '"'; i++) {
		bool escaped = s->p[i] == '\\';
		i += escaped;
		if (i < s->len && !is_quotable(s->p[i], escaped)) {
			*why = "character that no quoted local part has";
			return false;
		}
	}
	if (i >= s->len) {
		*why = "quoted local part without its closing quote";
		return false;
	}
	*s = sp_str_from(*s, i + 1);
	return true;
}

/* Takes a Dot-string: atoms with single dots between them. */
static bool take_dot_string(struct sp_str *s, const char **why)
{
	size_t i = 0;
	bool after_atom = false;
	for (; i < s->len && s->p[i] != '@'; i++) {
		char c = s->p[i];
		if (c == '.' && !after_atom)
			break;
		if (c != '.' && !is_atext(c) && !is_8bit(c)) {
			*why = "character that the local part has only in quotes";
			return false;
		}
		after_atom = c != '.';
	}
	if (!after_atom) {
		*why = i == 0 && (s->len == 0 || s->p[0] == '@') ? "empty local part" : "misplaced dot in the local part";
		return false;
	}
	*s = sp_str_from(*s, i);
	return true;
}

static bool check_local(struct sp_str local, bool allow_utf8, bool *utf8, const char **why)
{
	*utf8 = !sp_str_is_ascii(local);
	if (local.len > SMTP_LOCAL_MAX)
		*why = "local part of more than 64 octets";
	else if (*utf8 && !allow_utf8)
		*why = "local part with octets over 127";
	else if (*utf8 && !smtp_is_utf8_text(local))
		*why = "local part that is not UTF-8 text";
	else
		return true;
	return false;
}

bool smtp_address_parse(struct sp_str s, bool allow_utf8_local, struct sp_arena *arena, struct smtp_address *out,
                        const char **why)
{
	struct smtp_address a = { 0 };
	struct sp_str rest = s;
	if (s.len > 0 && s.p[0] == '"' ? !take_quoted(&rest, why) : !take_dot_string(&rest, why))
		return false;
	struct sp_str local = sp_str_make(s.p, s.len - rest.len);
	if (!check_local(local, allow_utf8_local, &a.utf8, why))
		return false;
	if (!sp_take_char(&rest, '@')) {
		*why = rest.len > 0 ? "text after a quoted local part" : "no domain";
		return false;
	}
	if (rest.len > 0 && rest.p[0] == '[') {
		if (!parse_literal(rest, arena, &a, why))
			return false;
	} else if ((a.domain = smtp_domain_ascii(rest, arena, why)) == NULL) {
		return false;
	}
	if (local.len + 1 + strlen(a.domain) + 2 > SMTP_PATH_MAX) {
		*why = "address too long";
		return false;
	}
	a.local = sp_arena_dup(arena, local);
	a.text = sp_arena_printf(arena, "%s@%s", a.local, a.domain);
	*out = a;
	return true;
}

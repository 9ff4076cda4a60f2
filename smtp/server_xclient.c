/* smtp/server_xclient.c - XCLIENT: a proxy says who the client really is (Postfix's XCLIENT_README). */
#include "smtp/server_impl.h"

#include "smtp/xtext.h"

#include <stddef.h>

#define VALUE_MAX 255           /* octets of a decoded value, as XCLIENT_README has it for NAME and HELO */

/* ---- what a value may be: false where it is none; what is kept may differ ---- */

static bool is_any(const char **value)
{
	return (*value)[0] != '\0';
}

/* "192.0.2.1", "IPV6:2001:db8::1". The mark is dropped. */
static bool is_addr(const char **value)
{
	struct sp_str s = sp_str_of(*value);
	struct sp_addr ip;
	if (sp_take_prefix_nocase(&s, SP_STR("IPV6:")))
		*value = s.p;
	return sp_addr_parse_ip(s, 0, &ip);
}

static bool is_port(const char **value)
{
	uint64_t n;
	return sp_str_number(sp_str_of(*value), 0, UINT16_MAX, &n);
}

static bool is_proto(const char **value)
{
	struct sp_str s = sp_str_of(*value);
	return sp_str_eq_nocase(s, SP_STR("SMTP")) || sp_str_eq_nocase(s, SP_STR("ESMTP"));
}

#define AT(member) offsetof(struct smtp_server_xclient, member)

static const struct {
	const char *name;
	size_t at;                      /* a const char * of struct smtp_server_xclient */
	bool (*check)(const char **value);
} attributes[] = {                      /* as server_hello.c offers them */
	{ "NAME", AT(name), is_any },
	{ "ADDR", AT(addr), is_addr },
	{ "PORT", AT(port), is_port },
	{ "PROTO", AT(proto), is_proto },
	{ "HELO", AT(helo), is_any },
	{ "LOGIN", AT(login), is_any },
	{ "DESTADDR", AT(destaddr), is_addr },
	{ "DESTPORT", AT(destport), is_port },
};

/* The value of an attribute, "" where it is unavailable for now or for good; NULL when it is malformed. */
static const char *read_value(struct sp_str text, size_t attribute, struct sp_arena *arena)
{
	if (sp_str_eq_nocase(text, SP_STR("[UNAVAILABLE]")) || sp_str_eq_nocase(text, SP_STR("[TEMPUNAVAIL]")))
		return "";
	struct sp_buf b;
	sp_buf_init(&b, VALUE_MAX);
	bool fine = smtp_xtext_decode(text, &b);
	for (size_t i = 0; fine && i < b.len; i++)
		fine = sp_is_print(b.p[i]);
	const char *value = sp_arena_dup(arena, sp_buf_str(&b));
	sp_buf_clear(&b);
	return fine && attributes[attribute].check(&value) ? value : NULL;
}

static bool read_attribute(struct sp_str word, struct smtp_server_xclient *out, struct sp_arena *arena)
{
	struct sp_str name = sp_take_until(&word, '=');
	for (size_t i = 0; i < SP_COUNT(attributes); i++) {
		if (!sp_str_eq_nocase(name, sp_str_of(attributes[i].name)))
			continue;
		const char **to = (const char **)(void *)((char *)out + attributes[i].at);
		*to = read_value(word, i, arena);
		return *to != NULL;
	}
	return false;
}

const char *server_check_xclient(struct smtp_server *s)
{
	struct sp_str rest = s->command.argument;
	struct smtp_server_xclient *x = sp_arena_alloc(&s->command_arena, sizeof(*x));
	while (rest.len > 0) {
		struct sp_str word = sp_take_until(&rest, ' ');
		sp_take_blanks(&rest);
		if (!read_attribute(word, x, &s->command_arena))
			return "501 5.5.4 Bad XCLIENT: a list of ATTRIBUTE=xtext is asked for";
	}
	s->xclient = x;
	return NULL;
}

bool server_apply_xclient(struct smtp_server *s)
{
	return server_want(s, SMTP_SERVER_XCLIENT);
}

const struct smtp_server_xclient *smtp_server_xclient(const struct smtp_server *s)
{
	sp_assert(s->want == SMTP_SERVER_XCLIENT);
	return s->xclient;
}

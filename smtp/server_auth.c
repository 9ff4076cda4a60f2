/* smtp/server_auth.c - AUTH (RFC 4954): PLAIN (RFC 4616), and LOGIN as clients in the field speak it. Under TLS only.
 * A password is in the line reader, in the input, and decoded here; the first is overwritten when the next line is read, the last by server_end_auth(). */
#include "smtp/server_impl.h"

#include "core/base64.h"

#include <stdlib.h>

#define RESPONSE_MAX 2048       /* octets of a decoded response: three strings of RFC 4616 2, which asks for 255 each */
#define NAME_MAX_LEN 255

struct server_auth {
	bool plain;                     /* PLAIN; else LOGIN */
	bool named;                     /* of LOGIN: the name has come */
	struct sp_buf first, second;    /* decoded: the response, or the name and the password of LOGIN */
	struct smtp_server_login login; /* strings in these two */
};

bool server_offers_auth(const struct smtp_server *s)
{
	return s->settings->auth && s->tls && !s->authenticated;        /* RFC 4954 4: once only */
}

void server_end_auth(struct smtp_server *s)
{
	if (s->auth == NULL)
		return;
	sp_buf_wipe(&s->auth->first);
	sp_buf_wipe(&s->auth->second);
	free(s->auth);
	s->auth = NULL;
}

/* The exchange ends here, and the session goes on. */
static bool fail(struct smtp_server *s, const char *reply)
{
	server_end_auth(s);
	server_say(s, reply);
	server_enter(s, SERVER_READY);
	return true;
}

/* ---- what the client says ---- */

/* NULL, or the refusal. The room is taken at once, so that no copy stays behind in freed memory. */
static const char *decode(struct sp_str text, struct sp_buf *out)
{
	static const char bad[] = "501 5.5.2 Bad base64";               /* RFC 4954 4 */
	sp_buf_init(out, RESPONSE_MAX);
	if (text.len > sp_base64_len(RESPONSE_MAX) || sp_buf_room(out, RESPONSE_MAX) == NULL)
		return "500 5.5.6 Authentication exchange line is too long";
	sp_buf_wrote(out, 0);
	for (size_t i = 0; i < text.len; i++)
		if (sp_is_blank(text.p[i]) || text.p[i] == '\r')
			return bad;
	return sp_base64_decode(text, out) ? NULL : bad;
}

/* A name as an account may have it. */
static bool is_name(struct sp_str s)
{
	return s.len <= NAME_MAX_LEN && smtp_is_utf8_text(s);
}

static bool ask(struct smtp_server *s, struct sp_str name, struct sp_str acting, struct sp_str password)
{
	struct server_auth *a = s->auth;
	if (!is_name(name) || !is_name(acting) || sp_str_contains(password, '\0'))
		return fail(s, "501 5.5.2 Bad authentication data");
	if (name.len == 0 || password.len == 0)                         /* RFC 4616 2: neither is empty */
		return fail(s, "535 5.7.8 Authentication credentials invalid");
	a->login = (struct smtp_server_login){ .mechanism = a->plain ? "PLAIN" : "LOGIN", .name = name.p, .password = password,
	                                       .acting = sp_str_eq(name, acting) || acting.len == 0 ? "" : acting.p };
	return server_want(s, SMTP_SERVER_LOGIN);
}

/* RFC 4616 2: [authzid] NUL authcid NUL passwd. */
static bool take_plain(struct smtp_server *s)
{
	struct sp_str rest = sp_buf_str(&s->auth->first);
	if (!sp_str_contains(rest, '\0'))
		return fail(s, "501 5.5.2 Bad authentication data");
	struct sp_str acting = sp_take_until(&rest, '\0');
	if (!sp_str_contains(rest, '\0'))
		return fail(s, "501 5.5.2 Bad authentication data");
	struct sp_str name = sp_take_until(&rest, '\0');
	return ask(s, name, acting, rest);
}

static bool take_response(struct smtp_server *s, struct sp_str text)
{
	struct server_auth *a = s->auth;
	bool password = !a->plain && a->named;
	const char *refusal = decode(text, password ? &a->second : &a->first);
	if (refusal)
		return fail(s, refusal);
	if (a->plain)
		return take_plain(s);
	if (password)
		return ask(s, sp_buf_str(&a->first), SP_STR(""), sp_buf_str(&a->second));
	a->named = true;
	server_say(s, "334 UGFzc3dvcmQ6");              /* "Password:" */
	return true;
}

/* ---- the command, and the lines behind it ---- */

static bool is_plain(const struct smtp_server *s)
{
	return sp_str_eq_nocase(s->command.argument, SP_STR("PLAIN"));
}

const char *server_check_auth(struct smtp_server *s)
{
	if (!s->mail.esmtp)
		return "503 5.5.1 AUTH needs EHLO";
	if (s->authenticated)                           /* RFC 4954 4 */
		return "503 5.5.1 Authenticated already";
	if (!is_plain(s) && !sp_str_eq_nocase(s->command.argument, SP_STR("LOGIN")))
		return "504 5.5.4 Unknown authentication mechanism";
	return NULL;
}

bool server_apply_auth(struct smtp_server *s)
{
	s->auth = sp_alloc(sizeof(*s->auth));
	s->auth->plain = is_plain(s);
	server_enter(s, SERVER_AUTH);
	struct sp_str initial = s->command.initial;
	if (initial.p)                                  /* RFC 4954 4: "=" is the empty one */
		return take_response(s, sp_str_eq(initial, SP_STR("=")) ? SP_STR("") : initial);
	server_say(s, s->auth->plain ? "334 " : "334 VXNlcm5hbWU6");    /* nothing to say, "Username:" */
	return true;
}

static bool on_response(struct smtp_server *s, struct sp_str line)
{
	if (s->goodbye) {
		server_leave(s, s->goodbye);
		return true;
	}
	if (sp_str_eq(line, SP_STR("*")))               /* RFC 4954 4 */
		return fail(s, "501 5.7.0 Authentication cancelled");
	return take_response(s, line);
}

bool server_on_auth(struct smtp_server *s, struct sp_str *in)
{
	struct sp_str line;
	switch (smtp_line_read(&s->lines, in, &line)) {
	case SMTP_LINE_MORE:
		return server_want(s, SMTP_SERVER_READ);
	case SMTP_LINE_DONE:
		return on_response(s, line);
	case SMTP_LINE_TOO_LONG:                        /* RFC 4954 4 speaks of 12288 octets for all mechanisms there are; ours need far less */
		return fail(s, "500 5.5.6 Authentication exchange line is too long");
	case SMTP_LINE_BARE_LF:
		return fail(s, "500 5.5.2 Bare LF: lines end in CRLF");
	case SMTP_LINE_HOPELESS:
		break;
	}
	server_leave(s, "421 4.7.0 Lines must end in CRLF");
	return true;
}

/* ---- the caller's side ---- */

const struct smtp_server_login *smtp_server_login(const struct smtp_server *s)
{
	sp_assert(s->want == SMTP_SERVER_LOGIN);
	return &s->auth->login;
}

void smtp_server_set_known(struct smtp_server *s)
{
	s->known = true;
}

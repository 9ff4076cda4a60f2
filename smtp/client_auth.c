/* smtp/client_auth.c - AUTH of the client engine. See client.h and client_state.h.
 * Implements RFC 4954 4 (AUTH), RFC 4616 (PLAIN), and LOGIN, which has no RFC: it asks for the user and then for the password. Both say the password as it is,
 * so they are used under TLS only. No security layer comes of them, so EHLO is not said again (RFC 4954 4). */
#include "smtp/client_state.h"

#include "core/base64.h"

#include <stdio.h>
#include <stdlib.h>

#define CREDENTIALS_MAX 12288           /* octets in base64 (RFC 4954 4.3): more is known by no server */
#define LINE_MAX_SENT 510               /* octets of a command, without CRLF (RFC 5321 4.5.3.1.4) */
#define TELLING 6                       /* characters in a row of what was said in base64 (four octets of a secret): no accident */

static void wipe_string(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void auth_wipe(struct smtp_client *c)
{
	wipe_string(&c->user);
	wipe_string(&c->password);
}

/* RFC 4616 2: no authorization identity, NUL, user, NUL, password. */
static void plain_response(const struct smtp_client *c, struct sp_buf *out)
{
	struct sp_buf clear;
	sp_buf_init(&clear, CREDENTIALS_MAX);
	if (sp_buf_room(&clear, strlen(c->user) + strlen(c->password) + 2)) {   /* at once: growing would leave copies behind */
		sp_buf_addc(&clear, '\0');
		sp_buf_adds(&clear, c->user);
		sp_buf_addc(&clear, '\0');
		sp_buf_adds(&clear, c->password);
	}
	sp_base64_add(out, sp_buf_str(&clear), 0);
	sp_buf_wipe(&clear);
}

/* What is said next, in base64. False where it is too long. */
static bool next_response(const struct smtp_client *c, struct sp_buf *out)
{
	sp_buf_init(out, CREDENTIALS_MAX);
	if (sp_buf_room(out, sp_base64_len(strlen(c->user) + strlen(c->password) + 2)) == NULL)
		return false;
	if (c->auth_login)
		sp_base64_add(out, sp_str_of(c->auth_said == 0 ? c->user : c->password), 0);
	else
		plain_response(c, out);
	return true;
}

static void say(struct smtp_client *c, const char *command, struct sp_buf *response)
{
	if (sp_buf_room(&c->out, strlen(command) + response->len + 2))
		client_command(c, "%s%s", command, sp_buf_cstr(response));
	c->auth_said++;
	sp_buf_wipe(response);
}

static void no_auth(struct smtp_client *c, const char *reason, const char *how)
{
	sp_fail_set(&c->fail, SP_FAIL_PROTOCOL, "%s %s; nothing was sent, as it is to be logged in to", c->peer, how);
	snprintf(c->fail.reason, sizeof(c->fail.reason), "%s", reason);
	client_leave(c);
}

void auth_begin(struct smtp_client *c)
{
	if (!c->tls_on) {
		no_auth(c, "auth-needs-tls", "gives no TLS, without which credentials are not said");
		return;
	}
	if (!c->ext.auth_plain && !c->ext.auth_login) {
		no_auth(c, "auth-not-offered", "offers neither AUTH PLAIN nor AUTH LOGIN");
		return;
	}
	c->auth_login = !c->ext.auth_plain;
	struct sp_buf response;
	if (!next_response(c, &response)) {
		no_auth(c, "auth-too-long", "is to be given credentials that are too long");
		return;
	}
	if (c->auth_login) {
		client_command(c, "AUTH LOGIN");
	} else if (strlen("AUTH PLAIN ") + response.len > LINE_MAX_SENT) {
		client_command(c, "AUTH PLAIN");        /* RFC 4954 4: an initial response may not make the command too long */
	} else {
		say(c, "AUTH PLAIN ", &response);
	}
	sp_buf_wipe(&response);
	client_enter(c, CLIENT_AUTH);
}

static void refused(struct smtp_client *c, const struct smtp_reply *r)
{
	client_refusal(c, &c->fail, r, "answered AUTH");
	c->fail.permanent = false;                      /* RFC 4954 6: 535 says that the password is wrong, which its operator can mend */
	snprintf(c->fail.reason, sizeof(c->fail.reason), "auth-refused");
	client_leave(c);
}

void on_auth(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code == 235) {
		auth_wipe(c);
		if (c->out.p && c->out.len == 0)
			explicit_bzero(c->out.p, c->out.cap);
		client_enter(c, CLIENT_READY);
	} else if (r->code == 334 && c->auth_said < (c->auth_login ? 2 : 1)) {
		struct sp_buf response;
		if (next_response(c, &response))        /* as it did before */
			say(c, "", &response);
	} else if (r->code < 400) {
		client_odd_reply(c, r);
	} else {
		refused(c, r);
	}
}

/* A run of the text that is a part of `secret`, and long enough to be no accident. */
static bool repeats(struct sp_str text, struct sp_str secret)
{
	for (size_t i = 0; secret.len >= TELLING && i + TELLING <= secret.len; i++)
		if (memmem(text.p, text.len, secret.p + i, TELLING))
			return true;
	return false;
}

bool auth_is_repeated(const struct smtp_client *c, struct sp_str text)
{
	if (text.len == 0 || c->auth_said == 0)
		return false;
	struct sp_buf said;
	sp_buf_init(&said, CREDENTIALS_MAX);
	size_t password_len = strlen(c->password);
	bool so = password_len > 0 && memmem(text.p, text.len, c->password, password_len);
	if (c->auth_login)
		sp_base64_add(&said, sp_str_of(c->password), 0);
	else
		plain_response(c, &said);
	so = so || repeats(text, sp_buf_str(&said));
	sp_buf_wipe(&said);
	return so;
}

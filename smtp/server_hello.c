/* smtp/server_hello.c - how a session begins, and begins anew: EHLO and what it offers, STARTTLS. */
#include "smtp/server_impl.h"

#include "core/date.h"

#include <inttypes.h>
#include <stdlib.h>

bool server_offers_hold(const struct smtp_server *s)
{
	return s->settings->hold_max_s > 0 && s->now_s > 0;
}

/* RFC 5321 4.1.1.1: what is offered as things stand: in clear, under TLS, to a client that is known. */
static void add_offers(struct smtp_server *s)
{
	const struct smtp_server_settings *set = s->settings;
	struct sp_buf *out = &s->out;
	char date[40];
	sp_buf_printf(out, "250-%.255s\r\n" "250-PIPELINING\r\n" "250-SIZE %" PRIu64 "\r\n" "250-8BITMIME\r\n" "250-SMTPUTF8\r\n"
	              "250-ENHANCEDSTATUSCODES\r\n" "250-CHUNKING\r\n" "250-BINARYMIME\r\n" "250-DSN\r\n" "250-DELIVERBY\r\n" "250-MT-PRIORITY\r\n",
	              set->hostname, set->message_size);
	if (server_offers_hold(s))                      /* RFC 4865 3 */
		sp_buf_printf(out, "250-FUTURERELEASE %" PRIu32 " %s\r\n", set->hold_max_s, sp_date_rfc3339(s->now_s + set->hold_max_s, date));
	if (s->tls)                                     /* RFC 8689 2: under TLS only */
		sp_buf_adds(out, "250-REQUIRETLS\r\n");
	if (set->starttls && !s->tls)                   /* RFC 3207 4.2: not offered under TLS */
		sp_buf_adds(out, "250-STARTTLS\r\n");
	if (set->xclient)
		sp_buf_adds(out, "250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n");
	if (server_offers_auth(s))
		sp_buf_adds(out, "250-AUTH PLAIN LOGIN\r\n");
	sp_buf_printf(out, "250 LIMITS RCPTMAX=%u\r\n", set->recipients);
}

bool server_apply_hello(struct smtp_server *s)
{
	free(s->helo);
	s->helo = sp_str_dup(s->command.argument);
	s->mail.esmtp = s->command.verb == SMTP_VERB_EHLO;
	if (s->mail.esmtp)
		add_offers(s);
	else
		sp_buf_printf(&s->out, "250 %.255s\r\n", s->settings->hostname);
	return server_reset(s);
}

void server_forget_client(struct smtp_server *s)
{
	free(s->helo);
	s->helo = NULL;
	s->mail = (struct smtp_server_mail){ 0 };
	server_enter(s, SERVER_START);
}

/* ---- STARTTLS ---- */

const char *server_check_starttls(struct smtp_server *s)
{
	if (s->tls)                                     /* RFC 3207 4.2 */
		return "503 5.5.1 TLS is active already";
	return s->mail.esmtp ? NULL : "503 5.5.1 STARTTLS needs EHLO";
}

bool server_apply_starttls(struct smtp_server *s)
{
	server_say(s, "220 2.0.0 Ready to start TLS");
	server_enter(s, SERVER_HANDSHAKE);
	return server_want(s, SMTP_SERVER_STARTTLS);
}

/* Called instead of smtp_server_tls_done(): the session ends, and in silence, since the client expects no clear text now. */
bool server_on_handshake(struct smtp_server *s, struct sp_str *in)
{
	*in = sp_str_from(*in, in->len);
	server_enter(s, SERVER_CLOSED);
	return true;
}

void smtp_server_tls_done(struct smtp_server *s)
{
	sp_assert(s->state == SERVER_HANDSHAKE);
	s->want = SMTP_SERVER_READ;
	s->tls = true;
	smtp_line_reader_clear(&s->lines);              /* RFC 3207 4.2: nothing that came in clear survives */
	smtp_line_reader_init(&s->lines, s->settings->normalise_bare_lf);
	server_forget_client(s);
}

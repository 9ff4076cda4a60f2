/* smtp/server_mail.c - transactions: how they end, and the commands of one: MAIL, RCPT, DATA, BDAT. */
#include "smtp/server_impl.h"

#include <inttypes.h>

bool server_abandon(struct smtp_server *s)
{
	if (!s->open)
		return true;
	s->open = false;
	return server_want(s, SMTP_SERVER_ABANDON);
}

static void forget_mail(struct smtp_server *s)
{
	sp_arena_clear(&s->mail_arena);
	s->sender = (struct smtp_address){ 0 };
	s->mail = (struct smtp_server_mail){ .esmtp = s->mail.esmtp, .helo = s->helo };
	s->received = 0;
	s->verdict = NULL;
}

void server_end_mail(struct smtp_server *s)
{
	s->open = false;
	forget_mail(s);
	server_enter(s, SERVER_READY);
	if (s->goodbye)
		server_leave(s, s->goodbye);
}

bool server_reset(struct smtp_server *s)
{
	bool told = server_abandon(s);
	forget_mail(s);
	server_enter(s, s->helo ? SERVER_READY : SERVER_START);
	return told;
}

/* ---- commands ---- */

static const char *check_extended(struct smtp_server *s)
{
	return s->command.extended && !s->mail.esmtp ? "555 5.5.4 Parameters need EHLO" : NULL;
}

static bool is_over_hold(const struct smtp_server *s)           /* RFC 4865 4.2 (7), (8) */
{
	return s->command.hold_for_s > s->settings->hold_max_s || s->command.hold_until_s > s->now_s + s->settings->hold_max_s;
}

/* RFC 4865 5.2.2: held for longer than BY= leaves for its delivery. */
static bool is_held_too_late(const struct smtp_server *s)
{
	const struct smtp_command *c = &s->command;
	bool by = c->wish.by != SP_BY_NONE;
	return by && ((c->hold_for_s > 0 && (int64_t)c->hold_for_s > c->by_s) || (c->hold_until_s > s->now_s && c->hold_until_s - s->now_s > c->by_s));
}

const char *server_check_mail(struct smtp_server *s)
{
	if (s->settings->auth_required && !s->authenticated && !s->known)
		return "530 5.7.0 Authentication required";    /* RFC 4954 6 */
	if (server_is_over_size(s, s->command.size))
		return server_size_refusal(s, &s->command_arena);      /* RFC 1870 6.1 (2) */
	if (is_over_hold(s))
		return sp_arena_printf(&s->command_arena, "501 5.5.4 Held too long: at most %" PRIu32 " seconds", s->settings->hold_max_s);
	if (is_held_too_late(s))
		return "501 5.5.4 It would be held until after the time of BY";
	return check_extended(s);
}

const char *server_check_rcpt(struct smtp_server *s)
{
	if (s->mail.recipients >= s->settings->recipients)
		return "452 4.5.3 Too many recipients";         /* RFC 5321 4.5.3.1.10: earlier ones stay */
	return check_extended(s);
}

const char *server_check_data(struct smtp_server *s)
{
	return s->mail.binary ? "503 5.5.1 BODY=BINARYMIME needs BDAT" : NULL;          /* RFC 3030 3 */
}

const char *server_check_bdat(struct smtp_server *s)
{
	return s->mail.esmtp ? NULL : "503 5.5.1 BDAT needs EHLO";
}

bool server_apply_mail(struct smtp_server *s)
{
	s->mail_arena = s->command_arena;               /* the sender, and what MAIL asks for, stay for the transaction */
	s->command_arena = SP_ARENA_EMPTY;
	const struct smtp_command *c = &s->command;
	s->sender = c->path;
	s->mail.size = c->size;
	s->mail.eight_bit = c->eight_bit;
	s->mail.binary = c->binary;
	s->mail.wish = c->wish;
	s->mail.hold_for_s = c->hold_for_s;
	s->mail.hold_until_s = c->hold_until_s;
	s->mail.by_s = c->by_s;
	return server_want(s, SMTP_SERVER_MAIL);
}

bool server_apply_rcpt(struct smtp_server *s)
{
	return server_want(s, SMTP_SERVER_RCPT);
}

bool server_apply_data(struct smtp_server *s)
{
	smtp_content_begin_data(&s->content, s->settings->normalise_bare_lf);
	return server_want(s, SMTP_SERVER_BEGIN);
}

bool server_apply_bdat(struct smtp_server *s)
{
	if (server_is_over_size(s, s->command.chunk))
		return server_fail_chunk(s, s->command.chunk, server_size_refusal(s, &s->mail_arena));
	bool first = s->state == SERVER_RCPT;
	if (first)
		smtp_content_begin_chunks(&s->content, s->settings->normalise_bare_lf, s->mail.binary);
	smtp_content_chunk(&s->content, s->command.chunk, s->command.last);
	if (first)
		return server_want(s, SMTP_SERVER_BEGIN);
	server_enter(s, SERVER_CHUNK);
	return true;
}

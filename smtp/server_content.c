/* smtp/server_content.c - the content of a message as the server engine takes it: behind DATA, in chunks, and what of it is dropped. */
#include "smtp/server_impl.h"

#include <inttypes.h>

bool server_is_over_size(const struct smtp_server *s, uint64_t more)
{
	uint64_t limit = s->settings->message_size;
	return limit > 0 && (s->received > limit || more > limit - s->received);
}

const char *server_size_refusal(struct smtp_server *s, struct sp_arena *arena)          /* RFC 1870 6.1 (4) */
{
	return sp_arena_printf(arena, "552 5.3.4 Message too big: at most %" PRIu64 " octets", s->settings->message_size);
}

static const char *fault_refusal(enum smtp_content_fault fault)
{
	/* 5.6.11 is not registered; large receivers use it for this very case, and 5.6.0 would tell the sender nothing. */
	switch (fault) {
	case SMTP_CONTENT_BARE_CR:
		return "550 5.6.11 Message has a bare CR: lines end in CRLF (RFC 5321 2.3.8)";
	case SMTP_CONTENT_BARE_LF:
		return "550 5.6.11 Message has a bare LF: lines end in CRLF (RFC 5321 2.3.8)";
	case SMTP_CONTENT_NUL:
		return "550 5.6.11 Message has a NUL octet, which needs an encoding (RFC 2045 2.8)";
	case SMTP_CONTENT_FINE:
		break;
	}
	return "550 5.6.0 Message refused";
}

/* `left` octets of a chunk are still to come: RFC 3030 2: they are accepted and discarded before the reply is sent. */
bool server_drop_chunk(struct smtp_server *s, uint64_t left, const char *reply, enum server_state back)
{
	s->left = left;
	s->verdict = reply;
	s->back = back;
	server_enter(s, SERVER_DROP);
	return true;
}

/* The message fails by this chunk. */
bool server_fail_chunk(struct smtp_server *s, uint64_t left, const char *reply)
{
	server_drop_chunk(s, left, reply, SERVER_READY);
	return server_abandon(s);
}

bool server_on_drop(struct smtp_server *s, struct sp_str *in)
{
	size_t n = in->len < s->left ? in->len : (size_t)s->left;
	*in = sp_str_from(*in, n);
	s->left -= n;
	if (s->left > 0)
		return server_want(s, SMTP_SERVER_READ);
	server_say(s, s->verdict);
	s->verdict = NULL;
	if (s->back == SERVER_READY)
		server_end_mail(s);
	else
		server_enter(s, s->back);
	return true;
}

/* Behind DATA there is no telling how much is to come: read on to the end of data, and refuse there. */
static bool fail_data(struct smtp_server *s, const char *reply)
{
	s->verdict = reply;
	return server_abandon(s);
}

static bool on_fault(struct smtp_server *s, const char *reply)
{
	return s->content.dots ? fail_data(s, reply) : server_fail_chunk(s, s->content.left, reply);
}

static bool lend(struct smtp_server *s, struct sp_str slice)
{
	if (server_is_over_size(s, slice.len))
		return on_fault(s, server_size_refusal(s, &s->mail_arena));
	s->received += slice.len;
	s->slice = slice;
	return server_want(s, SMTP_SERVER_CONTENT);
}

bool server_on_data(struct smtp_server *s, struct sp_str *in)
{
	struct sp_str slice;
	switch (smtp_content_read(&s->content, in, &slice)) {
	case SMTP_CONTENT_MORE:
		return server_want(s, SMTP_SERVER_READ);
	case SMTP_CONTENT_SLICE:
		return s->verdict ? true : lend(s, slice);
	case SMTP_CONTENT_FAULT:
		return s->verdict ? true : on_fault(s, fault_refusal(s->content.fault));
	case SMTP_CONTENT_END:
		break;
	}
	if (s->verdict == NULL)
		return server_want(s, SMTP_SERVER_END);
	server_say(s, s->verdict);
	server_end_mail(s);
	return true;
}

bool server_on_chunk(struct smtp_server *s, struct sp_str *in)
{
	struct sp_str slice;
	switch (smtp_content_read(&s->content, in, &slice)) {
	case SMTP_CONTENT_MORE:
		return server_want(s, SMTP_SERVER_READ);
	case SMTP_CONTENT_SLICE:
		return lend(s, slice);
	case SMTP_CONTENT_FAULT:
		return on_fault(s, fault_refusal(s->content.fault));
	case SMTP_CONTENT_END:
		break;
	}
	if (s->content.last)
		return server_want(s, SMTP_SERVER_END);
	server_say(s, sp_arena_printf(&s->command_arena, "250 2.0.0 Ok: %" PRIu64 " octets received", s->command.chunk));
	server_enter(s, SERVER_CHUNKS);
	return true;
}


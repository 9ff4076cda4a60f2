/* tests/fuzz/command_fuzz.c - smtp_command_parse() on anything: a reply is a reply, an address that is printed parses to the same, and what is asked for is
 * within its bounds. The first octet says what is offered. */
#include "smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_reply(const char *reply)
{
	sp_assert((reply[0] == '5' || reply[0] == '4') && sp_is_digit(reply[1]) && sp_is_digit(reply[2]) && reply[3] == ' ');
	for (; *reply; reply++)
		sp_assert(sp_is_print(*reply));
}

static void check_wishes(const struct smtp_command *c, const struct smtp_command_terms *terms)
{
	const struct sp_mail_wish *w = &c->wish;
	sp_assert(w->priority >= SP_PRIORITY_MIN && w->priority <= SP_PRIORITY_MAX);
	sp_assert(w->envid == NULL || (strlen(w->envid) <= SP_ENVID_MAX && w->envid[0] != '\0' && sp_str_is_ascii(sp_str_of(w->envid))));
	sp_assert(w->by != SP_BY_RETURN || c->by_s > 0);
	sp_assert(!w->require_tls || terms->require_tls);
	sp_assert((c->hold_for_s == 0 && c->hold_until_s == 0) || (terms->hold && (c->hold_for_s == 0 || c->hold_until_s == 0)));
	sp_assert(!(c->rcpt.notify & SP_NOTIFY_NEVER) || c->rcpt.notify == SP_NOTIFY_NEVER);
	const char *o = c->rcpt.orcpt;
	sp_assert(o == NULL || (strlen(o) <= SP_ORCPT_MAX && smtp_is_utf8_text(sp_str_of(o)) && (terms->utf8 || sp_str_is_ascii(sp_str_of(o)))));
	sp_assert(!c->path.utf8 || w->utf8 || terms->utf8);
}

static void check_envelope(const struct smtp_command *c, const struct smtp_command_terms *terms, struct sp_arena *arena)
{
	const char *line = sp_arena_printf(arena, "%s%s>%s ", c->verb == SMTP_VERB_MAIL ? "mail from:<" : "rcpt to:<", c->path.text,
	                                   c->wish.utf8 ? " smtputf8" : "");
	struct smtp_command again;
	sp_assert(smtp_command_parse(sp_str_of(line), terms, arena, &again) == NULL);
	sp_assert(again.verb == c->verb && strcmp(again.path.text, c->path.text) == 0 && again.extended == c->wish.utf8);
	sp_assert(strcmp(again.path.local, c->path.local) == 0 && strcmp(again.path.domain, c->path.domain) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	if (len == 0)
		return 0;
	struct smtp_command_terms terms = { .utf8 = data[0] & 1, .auth = data[0] & 2, .require_tls = data[0] & 4, .hold = data[0] & 8 };
	const char *reply = smtp_command_parse(sp_str_make((const char *)data + 1, len - 1), &terms, &arena, &c);
	sp_assert(c.verb < SMTP_VERB_COUNT);
	if (reply)
		check_reply(reply);
	else if (c.verb == SMTP_VERB_MAIL || c.verb == SMTP_VERB_RCPT)
		check_envelope(&c, &terms, &arena);
	else
		sp_assert(c.verb != SMTP_VERB_UNKNOWN);
	if (!reply)
		check_wishes(&c, &terms);
	sp_arena_clear(&arena);
	return 0;
}

/* tests/fuzz/command_fuzz.c - smtp_command_parse() on anything: a reply is a reply, and an address that is printed parses to the same. */
#include "smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_reply(const char *reply)
{
	sp_assert((reply[0] == '5' || reply[0] == '4') && sp_is_digit(reply[1]) && sp_is_digit(reply[2]) && reply[3] == ' ');
	for (; *reply; reply++)
		sp_assert(sp_is_print(*reply));
}

static void check_envelope(const struct smtp_command *c, struct sp_arena *arena)
{
	const char *line = sp_arena_printf(arena, "%s%s> ", c->verb == SMTP_VERB_MAIL ? "mail from:<" : "rcpt to:<", c->path.text);
	struct smtp_command again;
	sp_assert(smtp_command_parse(sp_str_of(line), arena, &again) == NULL);
	sp_assert(again.verb == c->verb && strcmp(again.path.text, c->path.text) == 0 && !again.extended);
	sp_assert(strcmp(again.path.local, c->path.local) == 0 && strcmp(again.path.domain, c->path.domain) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_command c;
	const char *reply = smtp_command_parse(sp_str_make((const char *)data, len), &arena, &c);
	sp_assert(c.verb < SMTP_VERB_COUNT);
	if (reply)
		check_reply(reply);
	else if (c.verb == SMTP_VERB_MAIL || c.verb == SMTP_VERB_RCPT)
		check_envelope(&c, &arena);
	else
		sp_assert(c.verb != SMTP_VERB_UNKNOWN);
	sp_arena_clear(&arena);
	return 0;
}

/* smtp/command.c - see command.h. */
#include "smtp/command.h"

#define HELO_MAX 255            /* RFC 5321 4.5.3.1.2 */
#define NUMBER_DIGITS 20        /* RFC 3030 2 */

/* ---- verbs ---- */

static const struct { const char *word; enum smtp_verb verb; } verbs[] = {
#define VERB_ROW(name, word) { word, SMTP_VERB_##name },
	SMTP_VERBS(VERB_ROW)
#undef VERB_ROW
	{ "GET", SMTP_VERB_HTTP },
	{ "HEAD", SMTP_VERB_HTTP },
	{ "POST", SMTP_VERB_HTTP },
	{ "PUT", SMTP_VERB_HTTP },
	{ "PATCH", SMTP_VERB_HTTP },
	{ "DELETE", SMTP_VERB_HTTP },
	{ "OPTIONS", SMTP_VERB_HTTP },
	{ "CONNECT", SMTP_VERB_HTTP },
	{ "TRACE", SMTP_VERB_HTTP },
	{ "PRI", SMTP_VERB_HTTP },      /* RFC 9113 3.4: how HTTP/2 begins */
};

const char *smtp_verb_str(enum smtp_verb v)
{
	for (size_t i = 0; i < SP_COUNT(verbs); i++)
		if (verbs[i].verb == v)
			return verbs[i].word;
	return "unknown";
}

static enum smtp_verb find_verb(struct sp_str word)
{
	for (size_t i = 0; i < SP_COUNT(verbs); i++)
		if (sp_str_eq_nocase(word, sp_str_of(verbs[i].word)))   /* RFC 5321 2.4: verbs know no case */
			return verbs[i].verb;
	return SMTP_VERB_UNKNOWN;
}

/* RFC 6531 3.7.4.2 gives VRFY a parameter SMTPUTF8; since nothing is looked up, it is text like the rest. */
static bool may_have_8bit(enum smtp_verb v)
{
	return v == SMTP_VERB_MAIL || v == SMTP_VERB_RCPT || v == SMTP_VERB_VRFY;
}

/* RFC 5321 2.4: commands are ASCII. Octets over 127 pass where an address may have them. */
static const char *check_octets(struct sp_str line, enum smtp_verb verb)
{
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.p[i];
		if (c < ' ' || c == 127)
			return "500 5.5.2 Control character in the command";
		if (c > 127 && !may_have_8bit(verb))
			return "500 5.5.2 Octet over 127 in the command";
	}
	return NULL;
}

/* ---- paths ---- */

/* Octets of the path in angle brackets at the front of `s`; 0 when it does not end. A '>' in quotes is text. */
static size_t path_len(struct sp_str s)
{
	bool quoted = false;
	for (size_t i = 1; i < s.len; i++) {
		if (quoted && s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '>' && !quoted)
			return i + 1;
	}
	return 0;
}

/* RFC 5321 4.1.2, Appendix C: "@a,@b:" in front of a mailbox is accepted and dropped. */
static bool drop_source_route(struct sp_str *s, struct sp_arena *arena, const char **why)
{
	if (s->len == 0 || s->p[0] != '@')
		return true;
	size_t colon = sp_str_find(*s, ':');
	if (colon == s->len) {
		*why = "source route without a mailbox";
		return false;
	}
	struct sp_str route = sp_str_make(s->p, colon), hop;
	*s = sp_str_from(*s, colon + 1);
	do {
		hop = sp_take_until(&route, ',');
		struct sp_str domain = hop;
		if (!sp_take_char(&domain, '@')) {
			*why = "malformed source route";
			return false;
		}
		if (smtp_domain_ascii(domain, arena, why) == NULL)
			return false;
	} while (hop.p + hop.len + 1 < s->p);           /* a comma follows, not the colon */
	return true;
}

static bool parse_mailbox(struct sp_str s, enum smtp_verb verb, bool utf8, struct sp_arena *arena, struct smtp_address *out,
                          const char **why)
{
	if (s.len == 0 && verb == SMTP_VERB_MAIL) {             /* RFC 5321 4.1.2: Reverse-path = Path / "<>" */
		*out = (struct smtp_address){ "", "", "" };
		return true;
	}
	if (verb == SMTP_VERB_RCPT && sp_str_eq_nocase(s, SP_STR("postmaster"))) {      /* RFC 5321 4.1.1.3 */
		const char *local = sp_arena_dup(arena, s);
		*out = (struct smtp_address){ local, local, "" };
		return true;
	}
	return drop_source_route(&s, arena, why) && smtp_address_parse(s, utf8, arena, out, why);
}

/* RFC 6531 3.5: 5.6.7 where the address would need SMTPUTF8, which was not said, with 550 at MAIL and 553 at RCPT; RFC 3463 3.2: 5.1.3 and 5.1.7 for bad syntax. */
static const char *bad_path(struct sp_str mailbox, enum smtp_verb verb, bool utf8, struct sp_arena *arena, const char *why)
{
	bool sender = verb == SMTP_VERB_MAIL;
	if (!utf8 && !sp_str_is_ascii(mailbox))
		return sp_arena_printf(arena, "%d 5.6.7 Non-ASCII address: %s; MAIL did not say SMTPUTF8", sender ? 550 : 553, why);
	return sp_arena_printf(arena, "501 %s Bad %s address: %s", sender ? "5.1.7" : "5.1.3", sender ? "sender" : "recipient", why);
}

/* Takes "FROM:<path>" or "TO:<path>"; *mailbox is what stands in the brackets. */
static const char *take_path(struct sp_str *s, enum smtp_verb verb, struct sp_arena *arena, struct sp_str *mailbox)
{
	bool sender = verb == SMTP_VERB_MAIL;
	if (!sp_take_prefix_nocase(s, sender ? SP_STR("FROM:") : SP_STR("TO:")))
		return sender ? "501 5.5.4 Say MAIL FROM:<address>" : "501 5.5.4 Say RCPT TO:<address>";
	sp_take_blanks(s);                              /* leniency: "MAIL FROM: <a@b>", which many clients say */
	if (s->len == 0 || s->p[0] != '<')
		return bad_path(SP_STR(""), verb, false, arena, "it stands in no angle brackets");
	size_t len = path_len(*s);
	if (len == 0)
		return bad_path(SP_STR(""), verb, false, arena, "its angle bracket is not closed");
	if (len > SMTP_PATH_MAX)                        /* RFC 5321 4.5.3.1.3 */
		return bad_path(SP_STR(""), verb, false, arena, "path of more than 256 octets");
	*mailbox = sp_str_make(s->p + 1, len - 2);
	*s = sp_str_from(*s, len);
	return NULL;
}

/* ---- what stands behind each verb ---- */

/* SMTPUTF8 among the parameters decides what the path of MAIL may hold. */
static const char *parse_envelope(struct sp_str s, const struct smtp_command_terms *terms, struct sp_arena *arena, struct smtp_command *out)
{
	struct sp_str mailbox = SP_STR("");
	const char *reply = take_path(&s, out->verb, arena, &mailbox);
	if (reply)
		return reply;
	reply = smtp_command_parameters(s, terms, arena, out);
	bool utf8 = out->verb == SMTP_VERB_MAIL ? out->wish.utf8 : terms->utf8;
	const char *why;
	if (parse_mailbox(mailbox, out->verb, utf8, arena, &out->path, &why) || (reply && !sp_str_is_ascii(mailbox)))
		return reply;
	return bad_path(mailbox, out->verb, utf8, arena, why);
}

/* Any word will do: who means well and is misconfigured is not to be kept from sending (RFC 5321 4.1.4), and nothing is decided by it. */
static const char *parse_hello(struct sp_str s, struct smtp_command *out)
{
	if (s.len == 0)
		return out->verb == SMTP_VERB_EHLO ? "501 5.5.4 Say EHLO your-host-name" : "501 5.5.4 Say HELO your-host-name";
	if (sp_str_contains(s, ' '))
		return "501 5.5.4 Bad host name: one word is asked for";
	if (s.len > HELO_MAX)
		return "501 5.5.4 Bad host name: more than 255 octets";
	out->argument = s;
	return NULL;
}

static const char *parse_bdat(struct sp_str s, struct smtp_command *out)        /* RFC 3030 2 */
{
	static const char bad[] = "501 5.5.4 Bad BDAT: BDAT octets [LAST] is asked for";
	if (!sp_take_digits(&s, NUMBER_DIGITS, &out->chunk))
		return bad;
	if (s.len == 0)
		return NULL;
	if (sp_take_blanks(&s) == 0 || !sp_str_eq_nocase(s, SP_STR("LAST")))
		return bad;
	out->last = true;
	return NULL;
}

static const char *parse_auth(struct sp_str s, struct smtp_command *out)        /* RFC 4954 4 */
{
	out->argument = sp_take_until(&s, ' ');
	sp_take_blanks(&s);
	if (s.len > 0)
		out->initial = s;
	if (out->argument.len == 0 || sp_str_contains(s, ' '))
		return "501 5.5.4 Say AUTH mechanism, or AUTH mechanism initial-response";
	return NULL;
}

static const char *parse_nothing(struct sp_str s)
{
	return s.len == 0 ? NULL : "501 5.5.4 This command takes no argument";          /* RFC 5321 4.1.1 */
}

const char *smtp_command_parse(struct sp_str line, const struct smtp_command_terms *terms, struct sp_arena *arena, struct smtp_command *out)
{
	while (line.len > 0 && sp_is_blank(line.p[line.len - 1]))               /* RFC 5321 4.1.1: blanks at the end are borne */
		line.len--;
	struct sp_str rest = line;
	struct sp_str word = sp_take_until(&rest, ' ');
	*out = (struct smtp_command){ .verb = find_verb(word) };
	const char *reply = check_octets(line, out->verb);
	if (reply)
		return reply;
	sp_take_blanks(&rest);                  /* leniency: several blanks behind the verb */
	switch (out->verb) {
	case SMTP_VERB_HELO:
	case SMTP_VERB_EHLO:
		return parse_hello(rest, out);
	case SMTP_VERB_MAIL:
	case SMTP_VERB_RCPT:
		return parse_envelope(rest, terms, arena, out);
	case SMTP_VERB_BDAT:
		return parse_bdat(rest, out);
	case SMTP_VERB_DATA:
	case SMTP_VERB_RSET:
	case SMTP_VERB_QUIT:
	case SMTP_VERB_STARTTLS:                /* RFC 3207 4 */
		return parse_nothing(rest);
	case SMTP_VERB_VRFY:
		return rest.len > 0 ? NULL : "501 5.5.4 Say VRFY address";
	case SMTP_VERB_NOOP:
	case SMTP_VERB_HELP:
		return NULL;
	case SMTP_VERB_AUTH:
		return parse_auth(rest, out);
	case SMTP_VERB_XCLIENT:
		out->argument = rest;
		return rest.len > 0 ? NULL : "501 5.5.4 Say XCLIENT ATTRIBUTE=value";
	case SMTP_VERB_EXPN:
		return "502 5.5.1 Not offered here";                    /* RFC 5321 4.2.4 */
	case SMTP_VERB_HTTP:
	case SMTP_VERB_UNKNOWN:
	case SMTP_VERB_COUNT:
		break;
	}
	return "500 5.5.1 Unknown command";
}

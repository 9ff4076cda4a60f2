/* smtp/server.c - see server.h. */
#include "smtp/server_impl.h"

#include <stdlib.h>

#define WAIT_S 300                      /* RFC 5321 4.5.3.2.7 */
#define REPLY_MAX 510                   /* RFC 5321 4.5.3.1.5, without CRLF */
#define OUTPUT_MAX (2 * SMTP_SERVER_OUTPUT_FULL)        /* FULL, and whatever one command may add */
#define OUTPUT_KEPT 1024                /* octets of memory that an idle session may hold on to for its next reply */

static const struct {
	bool (*handler)(struct smtp_server *s, struct sp_str *in);
	const char *unwelcome;
} states[] = {
#define STATE_ROW(name, handler, unwelcome) { handler, unwelcome },
	SERVER_STATES(STATE_ROW)
#undef STATE_ROW
};

static bool holds(const struct smtp_server *s)
{
	switch (s->state) {
	case SERVER_START:
		return s->helo == NULL && !s->open;
	case SERVER_READY:
		return s->helo != NULL && !s->open && s->mail.recipients == 0;
	case SERVER_MAIL:
		return s->open && s->mail.recipients == 0;
	case SERVER_RCPT:
	case SERVER_CHUNKS:
	case SERVER_CHUNK:
		return s->open && s->mail.recipients > 0;
	case SERVER_DATA:
		return s->mail.recipients > 0;
	case SERVER_DROP:
		return s->verdict != NULL;
	case SERVER_HANDSHAKE:
		return !s->open && !s->tls;
	case SERVER_AUTH:
		return !s->open && s->tls && s->helo != NULL && s->auth != NULL;
	case SERVER_CLOSED:
		break;
	}
	return true;
}

void server_enter(struct smtp_server *s, enum server_state next)
{
	s->state = next;                        /* the only assignment to s->state */
	sp_assert(holds(s));
}

bool server_want(struct smtp_server *s, enum smtp_server_want w)
{
	s->want = w;
	return false;
}

static bool is_question(enum smtp_server_want w)
{
	return w == SMTP_SERVER_MAIL || w == SMTP_SERVER_RCPT || w == SMTP_SERVER_BEGIN || w == SMTP_SERVER_END || w == SMTP_SERVER_LOGIN ||
	       w == SMTP_SERVER_XCLIENT;
}

/* ---- replies ---- */

void server_say(struct smtp_server *s, const char *reply)
{
	struct sp_str line = sp_str_of(reply);
	line.len = sp_min(line.len, REPLY_MAX);
	sp_buf_add_printable(&s->out, line);
	sp_buf_adds(&s->out, "\r\n");
	sp_assert(!sp_buf_failed(&s->out));
	s->errors += line.len > 0 && line.p[0] == '5';
}

void server_leave(struct smtp_server *s, const char *reply)
{
	server_say(s, reply);
	server_end_auth(s);
	server_enter(s, SERVER_CLOSED);
}

static bool refuse_command(struct smtp_server *s, const char *reply)
{
	server_say(s, reply);
	return true;
}

/* ---- commands ---- */

static bool apply_rset(struct smtp_server *s)
{
	server_say(s, "250 2.0.0 Ok");
	return server_reset(s);
}

static bool apply_noop(struct smtp_server *s)
{
	server_say(s, "250 2.0.0 Ok");
	return true;
}

static bool apply_vrfy(struct smtp_server *s)
{
	server_say(s, "252 2.5.0 Not verified here: send mail and see");       /* RFC 5321 3.5.3 */
	return true;
}

static bool apply_help(struct smtp_server *s)
{
	server_say(s, "214 2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
	return true;
}

static bool apply_quit(struct smtp_server *s)
{
	server_leave(s, "221 2.0.0 Bye");
	return true;
}

static bool offers_starttls(const struct smtp_server *s)
{
	return s->settings->starttls;
}

static bool offers_auth(const struct smtp_server *s)
{
	return s->settings->auth;
}

static bool offers_xclient(const struct smtp_server *s)
{
	return s->settings->xclient;
}

#define IN(name) (1u << SERVER_##name)
#define ALWAYS (IN(START) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(CHUNKS))       /* RFC 5321 4.1.4 */

static const struct command_row {
	unsigned states;                /* that welcome it */
	bool in_clear;                  /* also where settings.tls_required asks for TLS first */
	bool (*offered)(const struct smtp_server *s);   /* NULL: always */
	const char *(*check)(struct smtp_server *s);
	bool (*apply)(struct smtp_server *s);
} rows[SMTP_VERB_COUNT] = {
	[SMTP_VERB_EHLO] = { ALWAYS, true, NULL, NULL, server_apply_hello },
	[SMTP_VERB_HELO] = { ALWAYS, true, NULL, NULL, server_apply_hello },
	[SMTP_VERB_MAIL] = { IN(READY), false, NULL, server_check_mail, server_apply_mail },
	[SMTP_VERB_RCPT] = { IN(MAIL) | IN(RCPT), false, NULL, server_check_rcpt, server_apply_rcpt },
	[SMTP_VERB_DATA] = { IN(RCPT), false, NULL, server_check_data, server_apply_data },
	[SMTP_VERB_BDAT] = { IN(RCPT) | IN(CHUNKS), false, NULL, server_check_bdat, server_apply_bdat },
	[SMTP_VERB_RSET] = { ALWAYS, true, NULL, NULL, apply_rset },
	[SMTP_VERB_NOOP] = { ALWAYS, true, NULL, NULL, apply_noop },
	[SMTP_VERB_VRFY] = { ALWAYS, false, NULL, NULL, apply_vrfy },
	[SMTP_VERB_HELP] = { ALWAYS, false, NULL, NULL, apply_help },
	[SMTP_VERB_QUIT] = { ALWAYS, true, NULL, NULL, apply_quit },
	[SMTP_VERB_AUTH] = { IN(READY), false, offers_auth, server_check_auth, server_apply_auth },
	[SMTP_VERB_XCLIENT] = { IN(START) | IN(READY), false, offers_xclient, server_check_xclient, server_apply_xclient },
	[SMTP_VERB_STARTTLS] = { IN(READY), true, offers_starttls, server_check_starttls, server_apply_starttls },
};

static const char *unwelcome(const struct smtp_server *s)
{
	enum smtp_verb v = s->command.verb;
	bool nested = (v == SMTP_VERB_MAIL && s->state != SERVER_CHUNKS) || v == SMTP_VERB_STARTTLS || v == SMTP_VERB_AUTH ||
	              v == SMTP_VERB_XCLIENT;
	bool transaction = s->state != SERVER_START && s->state != SERVER_READY;
	return nested && transaction ? "503 5.5.1 A transaction is under way: end it, or say RSET" : states[s->state].unwelcome;
}

/* The reply that refuses the command, or NULL. `syntax` is the parser's opinion. */
static const char *judge(struct smtp_server *s, const struct command_row *row, const char *syntax)
{
	if (row->apply == NULL)
		return syntax;                          /* unknown, or never offered */
	if (row->offered && !row->offered(s))
		return "502 5.5.1 Not offered here";            /* RFC 5321 4.2.4 */
	if (s->command.verb == SMTP_VERB_AUTH && !s->tls)
		return "538 5.7.11 Encryption is required for AUTH";            /* RFC 4954 6 */
	if (s->settings->tls_required && !s->tls && !row->in_clear)
		return "530 5.7.0 Say STARTTLS first";          /* RFC 3207 4 */
	if (!(row->states & (1u << s->state)))
		return unwelcome(s);
	if (syntax)
		return syntax;
	return row->check ? row->check(s) : NULL;
}

static bool do_command(struct smtp_server *s, struct sp_str line)
{
	sp_arena_clear(&s->command_arena);
	struct smtp_command_terms terms = { .utf8 = s->mail.wish.utf8, .auth = s->settings->auth && s->tls, .require_tls = s->tls,
	                                    .hold = server_offers_hold(s) };
	const char *syntax = smtp_command_parse(line, &terms, &s->command_arena, &s->command);
	enum smtp_verb verb = s->command.verb;
	bool chunk = verb == SMTP_VERB_BDAT;
	const char *last_words = NULL;
	if (s->goodbye && !(chunk && s->state == SERVER_CHUNKS))
		last_words = s->goodbye;
	else if (verb == SMTP_VERB_HTTP && !s->spoken)          /* a browser was made to speak to us */
		last_words = "500 5.5.1 This is SMTP, not HTTP";
	else if (chunk && syntax)                               /* its octets, of unknown number, would be read as commands */
		last_words = syntax;
	s->spoken = true;
	if (last_words) {
		server_leave(s, last_words);
		return true;
	}
	const char *reply = judge(s, &rows[verb], syntax);
	if (reply == NULL)
		return rows[verb].apply(s);
	return chunk ? server_drop_chunk(s, s->command.chunk, reply, s->state) : refuse_command(s, reply);
}

bool server_on_command(struct smtp_server *s, struct sp_str *in)
{
	if (s->settings->errors > 0 && s->errors >= s->settings->errors) {
		server_leave(s, "421 4.7.0 Too many errors");
		return true;
	}
	if (s->out.len > SMTP_SERVER_OUTPUT_FULL)
		return server_want(s, SMTP_SERVER_READ);
	struct sp_str line;
	switch (smtp_line_read(&s->lines, in, &line)) {
	case SMTP_LINE_MORE:
		return server_want(s, SMTP_SERVER_READ);
	case SMTP_LINE_DONE:
		return do_command(s, line);
	case SMTP_LINE_TOO_LONG:
		return refuse_command(s, "500 5.5.2 Line too long");            /* RFC 5321 4.5.3.1.9 */
	case SMTP_LINE_BARE_LF:
		return refuse_command(s, "500 5.5.2 Bare LF: lines end in CRLF");
	case SMTP_LINE_HOPELESS:
		break;
	}
	server_leave(s, "421 4.7.0 Lines must end in CRLF");
	return true;
}

bool server_on_closed(struct smtp_server *s, struct sp_str *in)
{
	(void)in;
	return server_abandon(s) && server_want(s, SMTP_SERVER_CLOSE);
}

/* ---- the caller's side ---- */

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings)
{
	struct smtp_server *s = sp_alloc(sizeof(*s));
	s->settings = settings;
	s->want = SMTP_SERVER_READ;
	s->tls = settings->tls;
	sp_buf_init(&s->out, OUTPUT_MAX);
	smtp_line_reader_init(&s->lines, settings->normalise_bare_lf);
	server_enter(s, SERVER_START);
	return s;
}

void smtp_server_free(struct smtp_server *s)
{
	if (s == NULL)
		return;
	server_end_auth(s);
	sp_arena_clear(&s->command_arena);
	sp_arena_clear(&s->mail_arena);
	smtp_line_reader_clear(&s->lines);
	sp_buf_clear(&s->out);
	free(s->goodbye);
	free(s->helo);
	free(s);
}

void smtp_server_greet(struct smtp_server *s)
{
	sp_buf_printf(&s->out, "220 %.255s ESMTP strictpost\r\n", s->settings->hostname);       /* RFC 5321 4.2 */
}

void smtp_server_greet_refuse(struct smtp_server *s, const char *reply)
{
	server_leave(s, reply);
}

enum smtp_server_want smtp_server_next(struct smtp_server *s, struct sp_str *in)
{
	sp_assert(!is_question(s->want));
	if (s->out.len == 0 && s->out.cap > OUTPUT_KEPT)
		sp_buf_clear(&s->out);
	if (s->leave_now && s->state != SERVER_CLOSED && s->state != SERVER_HANDSHAKE)
		server_leave(s, s->goodbye);
	while (states[s->state].handler(s, in))
		;
	if (s->want == SMTP_SERVER_STARTTLS)
		*in = sp_str_from(*in, in->len);        /* RFC 3207 4.2, CVE-2011-0411: it came in clear, and would be read as if it came under TLS */
	return s->want;
}

struct sp_buf *smtp_server_output(struct smtp_server *s)
{
	return &s->out;
}

const struct smtp_address *smtp_server_sender(const struct smtp_server *s)
{
	return &s->sender;
}

const struct smtp_address *smtp_server_recipient(const struct smtp_server *s)
{
	sp_assert(s->want == SMTP_SERVER_RCPT);
	return &s->command.path;
}

const struct sp_rcpt_wish *smtp_server_recipient_wish(const struct smtp_server *s)
{
	sp_assert(s->want == SMTP_SERVER_RCPT);
	return &s->command.rcpt;
}

struct sp_str smtp_server_content(const struct smtp_server *s)
{
	sp_assert(s->want == SMTP_SERVER_CONTENT);
	return s->slice;
}

const struct smtp_server_mail *smtp_server_mail(const struct smtp_server *s)
{
	return &s->mail;
}

const char *smtp_server_with(const struct smtp_server *s)
{
	/* RFC 3848, RFC 6531 4.3; [SMTPUTF8][TLS][AUTH] */
	static const char *const words[2][2][2] = {
		{ { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
		{ { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } },
	};
	return s->mail.esmtp ? words[s->mail.wish.utf8][s->tls][s->authenticated] : "SMTP";
}

static void accept_begin(struct smtp_server *s, const char *reply)
{
	if (!s->content.dots) {
		server_enter(s, SERVER_CHUNK);                 /* RFC 3030 2: BDAT has one reply, behind its octets */
		return;
	}
	server_say(s, reply ? reply : "354 End data with <CR><LF>.<CR><LF>");
	server_enter(s, SERVER_DATA);
}

static void accept_login(struct smtp_server *s, const char *reply)
{
	s->authenticated = true;
	server_end_auth(s);
	server_say(s, reply ? reply : "235 2.7.0 Authentication successful");
	server_enter(s, SERVER_READY);
}

/* XCLIENT_README: back to the greeting; TLS stays as it is. */
static void accept_xclient(struct smtp_server *s)
{
	s->authenticated = s->known = false;
	server_forget_client(s);
	smtp_server_greet(s);
}

void smtp_server_accept(struct smtp_server *s, const char *reply)
{
	enum smtp_server_want asked = s->want;
	sp_assert(is_question(asked));
	s->want = SMTP_SERVER_READ;
	if (asked == SMTP_SERVER_MAIL) {
		server_say(s, reply ? reply : "250 2.1.0 Ok");
		s->open = true;
		server_enter(s, SERVER_MAIL);
	} else if (asked == SMTP_SERVER_RCPT) {
		server_say(s, reply ? reply : "250 2.1.5 Ok");
		s->mail.recipients++;
		server_enter(s, SERVER_RCPT);
	} else if (asked == SMTP_SERVER_BEGIN) {
		accept_begin(s, reply);
	} else if (asked == SMTP_SERVER_LOGIN) {
		accept_login(s, reply);
	} else if (asked == SMTP_SERVER_XCLIENT) {
		accept_xclient(s);
	} else {
		server_say(s, reply ? reply : "250 2.0.0 Ok");
		s->errors = 0;
		server_end_mail(s);
	}
}

void smtp_server_refuse(struct smtp_server *s, const char *reply)
{
	enum smtp_server_want asked = s->want;
	sp_assert(is_question(asked));
	s->want = SMTP_SERVER_READ;
	if (reply == NULL)
		reply = asked == SMTP_SERVER_LOGIN ? "535 5.7.8 Authentication credentials invalid" : "451 4.3.0 Not now: try again later";
	s->open &= asked == SMTP_SERVER_RCPT;
	if (sp_str_starts(sp_str_of(reply), SP_STR("421"))) {
		server_leave(s, reply);                        /* RFC 5321 3.8 */
	} else if (asked == SMTP_SERVER_BEGIN && !s->content.dots) {
		server_drop_chunk(s, s->command.chunk, sp_arena_strdup(&s->mail_arena, reply), SERVER_READY);
	} else {
		server_say(s, reply);
		server_end_auth(s);
		if (asked != SMTP_SERVER_RCPT && asked != SMTP_SERVER_XCLIENT)
			server_end_mail(s);             /* back to READY */
	}
}

void smtp_server_dismiss(struct smtp_server *s, const char *reply, bool now)
{
	bool whole = sp_str_starts(sp_str_of(reply), SP_STR("421"));
	struct sp_buf text;
	sp_buf_init(&text, REPLY_MAX);
	sp_buf_printf(&text, "%s%.*s", whole ? "" : "421 ", REPLY_MAX - 4, reply);
	free(s->goodbye);
	s->goodbye = sp_buf_take(&text);
	s->leave_now |= now;
}

void smtp_server_set_now(struct smtp_server *s, int64_t now_s)
{
	s->now_s = now_s;
}

unsigned smtp_server_wait_s(const struct smtp_server *s)
{
	(void)s;
	return WAIT_S;
}

bool smtp_server_in_content(const struct smtp_server *s)
{
	return !is_question(s->want) && (s->state == SERVER_DATA || s->state == SERVER_CHUNK || s->state == SERVER_DROP);
}

bool smtp_server_in_transaction(const struct smtp_server *s)
{
	return s->open;
}

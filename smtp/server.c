/* smtp/server.c - see server.h. */
#include "smtp/server.h"
#include "smtp/command.h"
#include "smtp/content.h"
#include "smtp/line.h"

#include <inttypes.h>
#include <stdlib.h>

#define WAIT_S 300                      /* RFC 5321 4.5.3.2.7 */
#define REPLY_MAX 510                   /* RFC 5321 4.5.3.1.5, without CRLF */
#define OUTPUT_MAX (2 * SMTP_SERVER_OUTPUT_FULL)        /* FULL, and whatever one command may add */
#define OUTPUT_KEPT 1024                /* octets of memory that an idle session may hold on to for its next reply */

static bool on_command(struct smtp_server *s, struct sp_str *in);
static bool on_data(struct smtp_server *s, struct sp_str *in);
static bool on_chunk(struct smtp_server *s, struct sp_str *in);
static bool on_drop(struct smtp_server *s, struct sp_str *in);
static bool on_closed(struct smtp_server *s, struct sp_str *in);

/*  START -> READY -> MAIL -> RCPT -> DATA -> READY              EHLO, HELO: any of the first five -> READY
 *                            RCPT -> CHUNK -> CHUNKS -> CHUNK .. -> READY
 *  a BDAT that is refused -> DROP -> where it was, or READY if the message failed by it
 *  any -> CLOSED (QUIT, 421): what is sent after that is not looked at
 *  The caller is asked in READY (MAIL), MAIL and RCPT (RCPT), RCPT (BEGIN), DATA and CHUNK (END); `want` holds the question until the
 *  answer moves us on. What holds where is in holds().
 *  A handler takes octets from `in`. True: go round again; false: return s->want. */
#define SERVER_STATES(X) /* state  handler  what a command that is unwelcome there is told */ \
	X(START,  on_command, "503 5.5.1 Say EHLO first") \
	X(READY,  on_command, "503 5.5.1 Say MAIL FROM first") \
	X(MAIL,   on_command, "503 5.5.1 No valid recipients") \
	X(RCPT,   on_command, "503 5.5.1 No valid recipients") \
	X(CHUNKS, on_command, "503 5.5.1 BDAT began this message: end it by BDAT, or say RSET")        /* RFC 3030 2 */ \
	X(DATA,   on_data,    NULL) \
	X(CHUNK,  on_chunk,   NULL) \
	X(DROP,   on_drop,    NULL) \
	X(CLOSED, on_closed,  NULL)

enum server_state {
#define STATE_ENUM(name, handler, unwelcome) SERVER_##name,
	SERVER_STATES(STATE_ENUM)
#undef STATE_ENUM
};

static const struct {
	bool (*handler)(struct smtp_server *s, struct sp_str *in);
	const char *unwelcome;
} states[] = {
#define STATE_ROW(name, handler, unwelcome) { handler, unwelcome },
	SERVER_STATES(STATE_ROW)
#undef STATE_ROW
};

struct smtp_server {
	const struct smtp_server_settings *settings;
	enum server_state state;
	enum smtp_server_want want;
	struct sp_buf out;
	struct smtp_line_reader lines;
	unsigned errors;                /* since the last message taken */
	bool spoken;                    /* a command has come */
	char *goodbye;                  /* dismissed: the 421 to come */
	bool leave_now;

	struct smtp_command command;    /* the one being worked on; strings in the line or in `command_arena` */
	struct sp_arena command_arena;

	bool open;                      /* MAIL was accepted; the caller has not been told that it is over */
	struct smtp_address sender;     /* strings in `mail_arena` */
	struct sp_arena mail_arena;     /* of the transaction */
	struct smtp_server_mail mail;
	char *helo;

	struct smtp_content content;
	struct sp_str slice;
	uint64_t received;              /* octets of content, as the caller gets them */
	const char *verdict;            /* in DATA and DROP: the refusal to be said at the end; in `mail_arena` or static */
	uint64_t left;                  /* in DROP: octets to come */
	enum server_state back;         /* in DROP: where to go then */
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
	case SERVER_CLOSED:
		break;
	}
	return true;
}

static void enter(struct smtp_server *s, enum server_state next)
{
	s->state = next;                        /* the only assignment to s->state */
	sp_assert(holds(s));
}

static bool want(struct smtp_server *s, enum smtp_server_want w)
{
	s->want = w;
	return false;
}

static bool is_question(enum smtp_server_want w)
{
	return w == SMTP_SERVER_MAIL || w == SMTP_SERVER_RCPT || w == SMTP_SERVER_BEGIN || w == SMTP_SERVER_END;
}

/* ---- replies ---- */

static void say(struct smtp_server *s, const char *reply)
{
	struct sp_str line = sp_str_of(reply);
	line.len = sp_min(line.len, REPLY_MAX);
	sp_buf_add_printable(&s->out, line);
	sp_buf_adds(&s->out, "\r\n");
	sp_assert(!sp_buf_failed(&s->out));
	s->errors += line.len > 0 && line.p[0] == '5';
}

/* The last words. What comes from the client after this is not looked at. */
static void leave(struct smtp_server *s, const char *reply)
{
	say(s, reply);
	enter(s, SERVER_CLOSED);
}

static bool refuse_command(struct smtp_server *s, const char *reply)
{
	say(s, reply);
	return true;
}

/* ---- transactions ---- */

/* Tells the caller, once, that its transaction came to nothing. */
static bool abandon(struct smtp_server *s)
{
	if (!s->open)
		return true;
	s->open = false;
	return want(s, SMTP_SERVER_ABANDON);
}

static void forget_mail(struct smtp_server *s)
{
	sp_arena_clear(&s->mail_arena);
	s->sender = (struct smtp_address){ 0 };
	s->mail = (struct smtp_server_mail){ .esmtp = s->mail.esmtp, .helo = s->helo };
	s->received = 0;
	s->verdict = NULL;
}

/* A message was stored or refused. */
static void end_mail(struct smtp_server *s)
{
	s->open = false;
	forget_mail(s);
	enter(s, SERVER_READY);
	if (s->goodbye)
		leave(s, s->goodbye);
}

/* RFC 5321 4.1.1.5: RSET, and EHLO (4.1.4), end the transaction and nothing else. */
static bool reset(struct smtp_server *s)
{
	bool told = abandon(s);
	forget_mail(s);
	enter(s, s->helo ? SERVER_READY : SERVER_START);
	return told;
}

/* ---- content ---- */

static bool is_over_size(const struct smtp_server *s, uint64_t more)
{
	uint64_t limit = s->settings->message_size;
	return limit > 0 && (s->received > limit || more > limit - s->received);
}

static const char *size_refusal(struct smtp_server *s, struct sp_arena *arena)          /* RFC 1870 6.1 (4) */
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
static bool drop_chunk(struct smtp_server *s, uint64_t left, const char *reply, enum server_state back)
{
	s->left = left;
	s->verdict = reply;
	s->back = back;
	enter(s, SERVER_DROP);
	return true;
}

/* The message fails by this chunk. */
static bool fail_chunk(struct smtp_server *s, uint64_t left, const char *reply)
{
	drop_chunk(s, left, reply, SERVER_READY);
	return abandon(s);
}

static bool on_drop(struct smtp_server *s, struct sp_str *in)
{
	size_t n = in->len < s->left ? in->len : (size_t)s->left;
	*in = sp_str_from(*in, n);
	s->left -= n;
	if (s->left > 0)
		return want(s, SMTP_SERVER_READ);
	say(s, s->verdict);
	s->verdict = NULL;
	if (s->back == SERVER_READY)
		end_mail(s);
	else
		enter(s, s->back);
	return true;
}

/* Behind DATA there is no telling how much is to come: read on to the end of data, and refuse there. */
static bool fail_data(struct smtp_server *s, const char *reply)
{
	s->verdict = reply;
	return abandon(s);
}

static bool on_fault(struct smtp_server *s, const char *reply)
{
	return s->content.dots ? fail_data(s, reply) : fail_chunk(s, s->content.left, reply);
}

static bool lend(struct smtp_server *s, struct sp_str slice)
{
	if (is_over_size(s, slice.len))
		return on_fault(s, size_refusal(s, &s->mail_arena));
	s->received += slice.len;
	s->slice = slice;
	return want(s, SMTP_SERVER_CONTENT);
}

static bool on_data(struct smtp_server *s, struct sp_str *in)
{
	struct sp_str slice;
	switch (smtp_content_read(&s->content, in, &slice)) {
	case SMTP_CONTENT_MORE:
		return want(s, SMTP_SERVER_READ);
	case SMTP_CONTENT_SLICE:
		return s->verdict ? true : lend(s, slice);
	case SMTP_CONTENT_FAULT:
		return s->verdict ? true : on_fault(s, fault_refusal(s->content.fault));
	case SMTP_CONTENT_END:
		break;
	}
	if (s->verdict == NULL)
		return want(s, SMTP_SERVER_END);
	say(s, s->verdict);
	end_mail(s);
	return true;
}

static bool on_chunk(struct smtp_server *s, struct sp_str *in)
{
	struct sp_str slice;
	switch (smtp_content_read(&s->content, in, &slice)) {
	case SMTP_CONTENT_MORE:
		return want(s, SMTP_SERVER_READ);
	case SMTP_CONTENT_SLICE:
		return lend(s, slice);
	case SMTP_CONTENT_FAULT:
		return on_fault(s, fault_refusal(s->content.fault));
	case SMTP_CONTENT_END:
		break;
	}
	if (s->content.last)
		return want(s, SMTP_SERVER_END);
	say(s, sp_arena_printf(&s->command_arena, "250 2.0.0 Ok: %" PRIu64 " octets received", s->command.chunk));
	enter(s, SERVER_CHUNKS);
	return true;
}

/* ---- commands: check is asked first, and its reply ends it; apply acts ---- */

static const char *check_extended(struct smtp_server *s)
{
	return s->command.extended && !s->mail.esmtp ? "555 5.5.4 Parameters need EHLO" : NULL;
}

static const char *check_mail(struct smtp_server *s)
{
	if (is_over_size(s, s->command.size))
		return size_refusal(s, &s->command_arena);      /* RFC 1870 6.1 (2) */
	return check_extended(s);
}

static const char *check_rcpt(struct smtp_server *s)
{
	if (s->mail.recipients >= s->settings->recipients)
		return "452 4.5.3 Too many recipients";         /* RFC 5321 4.5.3.1.10: earlier ones stay */
	return check_extended(s);
}

static const char *check_bdat(struct smtp_server *s)
{
	return s->mail.esmtp ? NULL : "503 5.5.1 BDAT needs EHLO";
}

static bool apply_hello(struct smtp_server *s)
{
	free(s->helo);
	s->helo = sp_str_dup(s->command.argument);
	s->mail.esmtp = s->command.verb == SMTP_VERB_EHLO;
	const char *host = s->settings->hostname;
	if (s->mail.esmtp)
		sp_buf_printf(&s->out, "250-%.255s\r\n" "250-PIPELINING\r\n" "250-SIZE %" PRIu64 "\r\n" "250-8BITMIME\r\n"
		              "250-ENHANCEDSTATUSCODES\r\n" "250-CHUNKING\r\n" "250 LIMITS RCPTMAX=%u\r\n",
		              host, s->settings->message_size, s->settings->recipients);
	else
		sp_buf_printf(&s->out, "250 %.255s\r\n", host);
	return reset(s);
}

static bool apply_mail(struct smtp_server *s)
{
	s->mail_arena = s->command_arena;               /* the sender stays for the transaction */
	s->command_arena = SP_ARENA_EMPTY;
	s->sender = s->command.path;
	s->mail.size = s->command.size;
	s->mail.eight_bit = s->command.eight_bit;
	return want(s, SMTP_SERVER_MAIL);
}

static bool apply_rcpt(struct smtp_server *s)
{
	return want(s, SMTP_SERVER_RCPT);
}

static bool apply_data(struct smtp_server *s)
{
	smtp_content_begin_data(&s->content, s->settings->normalise_bare_lf);
	return want(s, SMTP_SERVER_BEGIN);
}

static bool apply_bdat(struct smtp_server *s)
{
	if (is_over_size(s, s->command.chunk))
		return fail_chunk(s, s->command.chunk, size_refusal(s, &s->mail_arena));
	bool first = s->state == SERVER_RCPT;
	if (first)
		smtp_content_begin_chunks(&s->content, s->settings->normalise_bare_lf);
	smtp_content_chunk(&s->content, s->command.chunk, s->command.last);
	if (first)
		return want(s, SMTP_SERVER_BEGIN);
	enter(s, SERVER_CHUNK);
	return true;
}

static bool apply_rset(struct smtp_server *s)
{
	say(s, "250 2.0.0 Ok");
	return reset(s);
}

static bool apply_noop(struct smtp_server *s)
{
	say(s, "250 2.0.0 Ok");
	return true;
}

static bool apply_vrfy(struct smtp_server *s)
{
	say(s, "252 2.5.0 Not verified here: send mail and see");       /* RFC 5321 3.5.3 */
	return true;
}

static bool apply_help(struct smtp_server *s)
{
	say(s, "214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
	return true;
}

static bool apply_quit(struct smtp_server *s)
{
	leave(s, "221 2.0.0 Bye");
	return true;
}

#define IN(name) (1u << SERVER_##name)
#define ALWAYS (IN(START) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(CHUNKS))       /* RFC 5321 4.1.4 */

static const struct command_row {
	unsigned states;                /* that welcome it */
	const char *(*check)(struct smtp_server *s);
	bool (*apply)(struct smtp_server *s);
} rows[SMTP_VERB_COUNT] = {
	[SMTP_VERB_EHLO] = { ALWAYS, NULL, apply_hello },
	[SMTP_VERB_HELO] = { ALWAYS, NULL, apply_hello },
	[SMTP_VERB_MAIL] = { IN(READY), check_mail, apply_mail },
	[SMTP_VERB_RCPT] = { IN(MAIL) | IN(RCPT), check_rcpt, apply_rcpt },
	[SMTP_VERB_DATA] = { IN(RCPT), NULL, apply_data },
	[SMTP_VERB_BDAT] = { IN(RCPT) | IN(CHUNKS), check_bdat, apply_bdat },
	[SMTP_VERB_RSET] = { ALWAYS, NULL, apply_rset },
	[SMTP_VERB_NOOP] = { ALWAYS, NULL, apply_noop },
	[SMTP_VERB_VRFY] = { ALWAYS, NULL, apply_vrfy },
	[SMTP_VERB_HELP] = { ALWAYS, NULL, apply_help },
	[SMTP_VERB_QUIT] = { ALWAYS, NULL, apply_quit },
};

static const char *unwelcome(const struct smtp_server *s)
{
	bool nested = s->command.verb == SMTP_VERB_MAIL && (s->state == SERVER_MAIL || s->state == SERVER_RCPT);
	return nested ? "503 5.5.1 A transaction is under way: end it, or say RSET" : states[s->state].unwelcome;
}

/* The reply that refuses the command, or NULL. `syntax` is the parser's opinion. */
static const char *judge(struct smtp_server *s, const struct command_row *row, const char *syntax)
{
	if (row->apply == NULL)
		return syntax;                          /* unknown, or not offered */
	if (!(row->states & (1u << s->state)))
		return unwelcome(s);
	if (syntax)
		return syntax;
	return row->check ? row->check(s) : NULL;
}

static bool do_command(struct smtp_server *s, struct sp_str line)
{
	sp_arena_clear(&s->command_arena);
	const char *syntax = smtp_command_parse(line, &s->command_arena, &s->command);
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
		leave(s, last_words);
		return true;
	}
	const char *reply = judge(s, &rows[verb], syntax);
	if (reply == NULL)
		return rows[verb].apply(s);
	return chunk ? drop_chunk(s, s->command.chunk, reply, s->state) : refuse_command(s, reply);
}

static bool on_command(struct smtp_server *s, struct sp_str *in)
{
	if (s->settings->errors > 0 && s->errors >= s->settings->errors) {
		leave(s, "421 4.7.0 Too many errors");
		return true;
	}
	if (s->out.len > SMTP_SERVER_OUTPUT_FULL)
		return want(s, SMTP_SERVER_READ);
	struct sp_str line;
	switch (smtp_line_read(&s->lines, in, &line)) {
	case SMTP_LINE_MORE:
		return want(s, SMTP_SERVER_READ);
	case SMTP_LINE_DONE:
		return do_command(s, line);
	case SMTP_LINE_TOO_LONG:
		return refuse_command(s, "500 5.5.2 Line too long");            /* RFC 5321 4.5.3.1.9 */
	case SMTP_LINE_BARE_LF:
		return refuse_command(s, "500 5.5.2 Bare LF: lines end in CRLF");
	case SMTP_LINE_HOPELESS:
		break;
	}
	leave(s, "421 4.7.0 Lines must end in CRLF");
	return true;
}

static bool on_closed(struct smtp_server *s, struct sp_str *in)
{
	(void)in;
	return abandon(s) && want(s, SMTP_SERVER_CLOSE);
}

/* ---- the caller's side ---- */

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings)
{
	struct smtp_server *s = sp_alloc(sizeof(*s));
	s->settings = settings;
	s->want = SMTP_SERVER_READ;
	sp_buf_init(&s->out, OUTPUT_MAX);
	smtp_line_reader_init(&s->lines, settings->normalise_bare_lf);
	enter(s, SERVER_START);
	return s;
}

void smtp_server_free(struct smtp_server *s)
{
	if (s == NULL)
		return;
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
	leave(s, reply);
}

enum smtp_server_want smtp_server_next(struct smtp_server *s, struct sp_str *in)
{
	sp_assert(!is_question(s->want));
	if (s->out.len == 0 && s->out.cap > OUTPUT_KEPT)
		sp_buf_clear(&s->out);
	if (s->leave_now && s->state != SERVER_CLOSED)
		leave(s, s->goodbye);
	while (states[s->state].handler(s, in))
		;
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

struct sp_str smtp_server_content(const struct smtp_server *s)
{
	sp_assert(s->want == SMTP_SERVER_CONTENT);
	return s->slice;
}

const struct smtp_server_mail *smtp_server_mail(const struct smtp_server *s)
{
	return &s->mail;
}

static void accept_begin(struct smtp_server *s, const char *reply)
{
	if (!s->content.dots) {
		enter(s, SERVER_CHUNK);                 /* RFC 3030 2: BDAT has one reply, behind its octets */
		return;
	}
	say(s, reply ? reply : "354 End data with <CR><LF>.<CR><LF>");
	enter(s, SERVER_DATA);
}

void smtp_server_accept(struct smtp_server *s, const char *reply)
{
	enum smtp_server_want asked = s->want;
	sp_assert(is_question(asked));
	s->want = SMTP_SERVER_READ;
	if (asked == SMTP_SERVER_MAIL) {
		say(s, reply ? reply : "250 2.1.0 Ok");
		s->open = true;
		enter(s, SERVER_MAIL);
	} else if (asked == SMTP_SERVER_RCPT) {
		say(s, reply ? reply : "250 2.1.5 Ok");
		s->mail.recipients++;
		enter(s, SERVER_RCPT);
	} else if (asked == SMTP_SERVER_BEGIN) {
		accept_begin(s, reply);
	} else {
		say(s, reply ? reply : "250 2.0.0 Ok");
		s->errors = 0;
		end_mail(s);
	}
}

void smtp_server_refuse(struct smtp_server *s, const char *reply)
{
	enum smtp_server_want asked = s->want;
	sp_assert(is_question(asked));
	s->want = SMTP_SERVER_READ;
	if (reply == NULL)
		reply = "451 4.3.0 Not now: try again later";
	s->open &= asked == SMTP_SERVER_RCPT;
	if (sp_str_starts(sp_str_of(reply), SP_STR("421"))) {
		leave(s, reply);                        /* RFC 5321 3.8 */
	} else if (asked == SMTP_SERVER_BEGIN && !s->content.dots) {
		drop_chunk(s, s->command.chunk, sp_arena_strdup(&s->mail_arena, reply), SERVER_READY);
	} else {
		say(s, reply);
		if (asked != SMTP_SERVER_RCPT)
			end_mail(s);
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

/* tests/unit/smtp_server_dialog_test.c - plays tests/dialog/server-*.dlg against the server engine of smtp/server.h.
 * Each dialog is played three times: with the client's lines in a row as one segment; line by line; octet by octet. All must give
 * the same.
 *
 *   set size=1000 recipients=3 errors=5 normalise tls starttls tls-required auth auth-required xclient hold=3600
 *                           first line, if at all
 *   C: text                 the client says a line
 *   C-raw: "a\n\x00"        the client's octets, as they are
 *   C-fill: 9000 x          so many of that octet
 *   S: pattern              our next line; * stands for anything
 *   offers [+STARTTLS -AUTH]        a reply to EHLO, whatever it offers, but for what must be and must not be there
 *   hello | envelope        short for the banner and EHLO with their replies | and for MAIL FROM:<a@x.org>, RCPT TO:<b@x.org> with theirs
 *   accept rcpt 250 text    how the caller answers the next question of that kind: mail, rcpt, begin, end, login, xclient; without a text in the
 *   refuse rcpt 550 text    engine's words. What is not scripted is accepted.
 *   dismiss [now] 4.3.2 text
 *   handshake               the one that STARTTLS began is through; what the client says before is dropped
 *   E: mail a@x size=5 8bit .. | rcpt b@x | begin | end "content" | abandon | starttls | login PLAIN name [as other] password |
 *                           xclient name=a addr=b .. | close
 *                           what the caller was asked or told. mail, rcpt and begin may be passed over; the others may not
 * We may say nothing that no S: line names, nor end, abandon, starttls, login, xclient or close without an E: line. */
#include "smtp/server.h"

#include <glob.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ANSWERS 32
#define EVENTS 64
#define NOW_S 1795356189        /* 2026-11-22T14:03:09Z */

enum mode { SEGMENTS, LINES, OCTETS, MODES };

struct answer {
	bool accept, used;
	char kind[8];
	char *reply;                    /* NULL: the engine's own */
};

struct play {
	const char *file;
	int line;
	enum mode mode;
	struct smtp_server_settings settings;
	struct smtp_server *server;
	struct sp_buf heard;            /* C: lines not yet fed */
	struct sp_buf said;             /* output that no S: line has named yet */
	struct sp_buf content;
	struct answer answers[ANSWERS];
	size_t answer_count;
	char *events[EVENTS];
	size_t event_count, event_next;
	bool handshake;                 /* under way */
	bool closed;
};

#define wrong(p, ...) \
	(fprintf(stderr, "%s:%d (mode %d): ", (p)->file, (p)->line, (int)(p)->mode), fprintf(stderr, __VA_ARGS__), \
	 fputc('\n', stderr), fail())

/* ---- text ---- */

static bool matches(const char *pattern, const char *text)
{
	for (; *pattern; pattern++, text++) {
		if (*pattern == '*') {
			for (;; text++) {
				if (matches(pattern + 1, text))
					return true;
				if (*text == '\0')
					return false;
			}
		}
		if (*pattern != *text)
			return false;
	}
	return *text == '\0';
}

static void add_escaped(struct sp_buf *b, struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '\r')
			sp_buf_adds(b, "\\r");
		else if (s.p[i] == '\n')
			sp_buf_adds(b, "\\n");
		else if (sp_is_print(s.p[i]))
			sp_buf_addc(b, s.p[i]);
		else
			sp_buf_printf(b, "\\x%02x", (unsigned)(unsigned char)s.p[i]);
	}
}

static unsigned hex(char c)
{
	return (unsigned)(sp_is_digit(c) ? c - '0' : sp_lower(c) - 'a' + 10);
}

static void add_unescaped(struct sp_buf *b, struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] != '\\') {
			sp_buf_addc(b, s.p[i]);
			continue;
		}
		char c = s.p[++i];
		if (c == 'x' && i + 2 < s.len) {
			sp_buf_addc(b, (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])));
			i += 2;
		} else {
			sp_buf_addc(b, c == 'r' ? '\r' : c == 'n' ? '\n' : c);
		}
	}
}

static struct sp_str quoted(struct play *p, struct sp_str s)
{
	if (s.len < 2 || s.p[0] != '"' || s.p[s.len - 1] != '"')
		wrong(p, "\"text\" is asked for");
	return sp_str_make(s.p + 1, s.len - 2);
}

/* ---- the caller that relay/inbound.c would be ---- */

static void note(struct play *p, char *event)
{
	if (p->event_count == EVENTS)
		wrong(p, "too many events");
	p->events[p->event_count++] = event;
}

static char *mail_event(const struct smtp_server *s)
{
	const struct smtp_server_mail *m = smtp_server_mail(s);
	struct sp_buf b;
	sp_buf_init(&b, 1024);
	sp_buf_adds(&b, "mail ");
	add_escaped(&b, sp_str_of(smtp_server_sender(s)->text));
	if (m->size > 0)
		sp_buf_printf(&b, " size=%" PRIu64, m->size);
	sp_buf_printf(&b, "%s%s%s", m->eight_bit ? " 8bit" : "", m->binary ? " binary" : "", m->esmtp ? "" : " helo");
	const struct sp_mail_wish *w = &m->wish;
	if (w->ret != SP_RET_UNSAID)
		sp_buf_printf(&b, " ret=%s", w->ret == SP_RET_FULL ? "full" : "hdrs");
	if (w->envid)
		sp_buf_printf(&b, " envid=%s", w->envid);
	if (w->priority != 0)
		sp_buf_printf(&b, " priority=%d", w->priority);
	if (w->by != SP_BY_NONE)
		sp_buf_printf(&b, " by=%" PRId64 "%s%s", m->by_s, w->by == SP_BY_RETURN ? "R" : "N", w->by_trace ? "T" : "");
	if (m->hold_for_s > 0 || m->hold_until_s > 0)
		sp_buf_printf(&b, " hold=%" PRIu64 ",%" PRId64, m->hold_for_s, m->hold_until_s);
	sp_buf_printf(&b, "%s%s", w->utf8 ? " utf8" : "", w->require_tls ? " requiretls" : "");
	return sp_buf_take(&b);
}

static char *rcpt_event(const struct smtp_server *s)
{
	const struct sp_rcpt_wish *w = smtp_server_recipient_wish(s);
	struct sp_buf b;
	sp_buf_init(&b, 2048);
	sp_buf_adds(&b, "rcpt ");
	add_escaped(&b, sp_str_of(smtp_server_recipient(s)->text));
	if (w->notify)
		sp_buf_printf(&b, " notify=%s%s%s%s", w->notify & SP_NOTIFY_SUCCESS ? "s" : "", w->notify & SP_NOTIFY_FAILURE ? "f" : "",
		              w->notify & SP_NOTIFY_DELAY ? "d" : "", w->notify & SP_NOTIFY_NEVER ? "never" : "");
	if (w->orcpt) {
		sp_buf_adds(&b, " orcpt=");
		add_escaped(&b, sp_str_of(w->orcpt));
	}
	return sp_buf_take(&b);
}

static char *text_event(const char *kind, struct sp_str text)
{
	struct sp_buf b;
	sp_buf_init(&b, 1024 * 1024);
	sp_buf_adds(&b, kind);
	add_escaped(&b, text);
	if (kind[strlen(kind) - 1] == '"')
		sp_buf_addc(&b, '"');
	return sp_buf_take(&b);
}

static char *login_event(const struct smtp_server *s)
{
	const struct smtp_server_login *l = smtp_server_login(s);
	struct sp_buf b;
	sp_buf_init(&b, 8192);
	sp_buf_printf(&b, "login %s %s%s%s %.*s", l->mechanism, l->name, l->acting[0] ? " as " : "", l->acting, SP_STR_ARG(l->password));
	return sp_buf_take(&b);
}

static char *xclient_event(const struct smtp_server *s)
{
	const struct smtp_server_xclient *x = smtp_server_xclient(s);
	const struct { const char *name, *value; } said[] = {
		{ "name", x->name }, { "addr", x->addr }, { "port", x->port }, { "proto", x->proto }, { "helo", x->helo }, { "login", x->login },
		{ "destaddr", x->destaddr }, { "destport", x->destport },
	};
	struct sp_buf b;
	sp_buf_init(&b, 8192);
	sp_buf_adds(&b, "xclient");
	for (size_t i = 0; i < SP_COUNT(said); i++)
		if (said[i].value)
			sp_buf_printf(&b, " %s=%s", said[i].name, said[i].value);
	return sp_buf_take(&b);
}

static void answer(struct play *p, const char *kind)
{
	for (size_t i = 0; i < p->answer_count; i++) {
		struct answer *a = &p->answers[i];
		if (a->used || strcmp(a->kind, kind) != 0)
			continue;
		a->used = true;
		if (a->accept)
			smtp_server_accept(p->server, a->reply);
		else
			smtp_server_refuse(p->server, a->reply);
		return;
	}
	smtp_server_accept(p->server, NULL);
}

static void take_content(struct play *p)
{
	struct sp_str slice = smtp_server_content(p->server);
	if (slice.len == 0 || !smtp_server_in_content(p->server) || !smtp_server_in_transaction(p->server))
		wrong(p, "content out of place");
	sp_buf_add(&p->content, slice);
}

static void handle(struct play *p, enum smtp_server_want want)
{
	struct smtp_server *s = p->server;
	switch (want) {
	case SMTP_SERVER_MAIL:
		note(p, mail_event(s));
		answer(p, "mail");
		break;
	case SMTP_SERVER_RCPT:
		note(p, rcpt_event(s));
		answer(p, "rcpt");
		break;
	case SMTP_SERVER_BEGIN:
		note(p, sp_strdup("begin"));
		sp_buf_reset(&p->content);
		answer(p, "begin");
		break;
	case SMTP_SERVER_CONTENT:
		take_content(p);
		break;
	case SMTP_SERVER_END:
		note(p, text_event("end \"", sp_buf_str(&p->content)));
		answer(p, "end");
		break;
	case SMTP_SERVER_ABANDON:
		if (smtp_server_in_transaction(s))
			wrong(p, "abandoned and still in a transaction");
		note(p, sp_strdup("abandon"));
		break;
	case SMTP_SERVER_CLOSE:
		note(p, sp_strdup("close"));
		p->closed = true;
		break;
	case SMTP_SERVER_STARTTLS:
		note(p, sp_strdup("starttls"));
		p->handshake = true;
		break;
	case SMTP_SERVER_LOGIN:
		note(p, login_event(s));
		answer(p, "login");
		break;
	case SMTP_SERVER_XCLIENT:
		note(p, xclient_event(s));
		answer(p, "xclient");
		break;
	case SMTP_SERVER_READ:
		break;
	}
}

static void feed(struct play *p, struct sp_str in)
{
	while (!p->closed && !p->handshake) {
		enum smtp_server_want want = smtp_server_next(p->server, &in);
		handle(p, want);
		if (want != SMTP_SERVER_READ && want != SMTP_SERVER_CLOSE && want != SMTP_SERVER_STARTTLS)
			continue;
		sp_buf_add(&p->said, sp_buf_str(smtp_server_output(p->server)));
		sp_buf_reset(smtp_server_output(p->server));
		if (in.len == 0)
			break;
	}
}

static void flush(struct play *p)
{
	struct sp_str rest = sp_buf_str(&p->heard);
	while (rest.len > 0 && !p->closed) {
		size_t n = p->mode == SEGMENTS ? rest.len : 1;
		if (p->mode == LINES)
			n = sp_min(sp_str_find(rest, '\n') + 1, rest.len);
		/* A copy of just these octets, so that a sanitizer sees every look behind them. */
		char *copy = sp_strndup(rest.p, n);
		copy = sp_realloc(copy, n);
		feed(p, sp_str_make(copy, n));
		free(copy);
		rest = sp_str_from(rest, n);
	}
	sp_buf_reset(&p->heard);
}

/* ---- the script ---- */

static bool set_flag(struct smtp_server_settings *set, struct sp_str word)
{
	const struct { const char *name; bool *flag; } flags[] = {
		{ "normalise", &set->normalise_bare_lf }, { "tls", &set->tls }, { "starttls", &set->starttls },
		{ "tls-required", &set->tls_required }, { "auth", &set->auth }, { "auth-required", &set->auth_required },
		{ "xclient", &set->xclient },
	};
	for (size_t i = 0; i < SP_COUNT(flags); i++)
		if (sp_str_eq(word, sp_str_of(flags[i].name)))
			return *flags[i].flag = true;
	return false;
}

static void do_set(struct play *p, struct sp_str args)
{
	while (args.len > 0) {
		struct sp_str word = sp_take_until(&args, ' ');
		uint64_t n = 0;
		if (set_flag(&p->settings, word))
			continue;
		if (sp_take_prefix(&word, SP_STR("size=")) && sp_str_number(word, 0, UINT64_MAX, &n))
			p->settings.message_size = n;
		else if (sp_take_prefix(&word, SP_STR("recipients=")) && sp_str_number(word, 0, UINT32_MAX, &n))
			p->settings.recipients = (unsigned)n;
		else if (sp_take_prefix(&word, SP_STR("errors=")) && sp_str_number(word, 0, UINT32_MAX, &n))
			p->settings.errors = (unsigned)n;
		else if (sp_take_prefix(&word, SP_STR("hold=")) && sp_str_number(word, 0, UINT32_MAX, &n))
			p->settings.hold_max_s = (uint32_t)n;
		else
			wrong(p, "unknown setting");
	}
}

static void start(struct play *p)
{
	if (p->server)
		return;
	p->server = smtp_server_new(&p->settings);
	smtp_server_set_now(p->server, NOW_S);
	smtp_server_greet(p->server);
	feed(p, SP_STR(""));
}

static void do_fill(struct play *p, struct sp_str args)
{
	uint64_t n = 0;
	if (!sp_str_number(sp_take_until(&args, ' '), 1, 1000000, &n) || args.len != 1)
		wrong(p, "C-fill: number octet");
	for (; n > 0; n--)
		sp_buf_addc(&p->heard, args.p[0]);
}

static void do_answer(struct play *p, bool accept, struct sp_str args)
{
	struct sp_str kind = sp_take_until(&args, ' ');
	if (p->answer_count == ANSWERS)
		wrong(p, "too many answers");
	struct answer *a = &p->answers[p->answer_count++];
	*a = (struct answer){ .accept = accept, .reply = args.len > 0 ? sp_str_dup(args) : NULL };
	snprintf(a->kind, sizeof(a->kind), "%.*s", SP_STR_ARG(kind));
}

static void expect_line(struct play *p, struct sp_str want)
{
	struct sp_str said = sp_buf_str(&p->said), line;
	size_t lf = sp_str_find(said, '\n');
	if (lf == said.len || lf == 0 || said.p[lf - 1] != '\r')
		wrong(p, "we said nothing more, or no line: %.*s", SP_STR_ARG(said));
	line = sp_str_make(said.p, lf - 1);
	char *pattern = sp_str_dup(want), *text = sp_str_dup(line);
	if (!matches(pattern, text))
		wrong(p, "want %s, got %s", pattern, text);
	free(pattern);
	free(text);
	sp_buf_consume(&p->said, lf + 1);
}

static bool may_pass_over(const char *event)
{
	return !(strncmp(event, "end", 3) == 0 || strcmp(event, "abandon") == 0 || strcmp(event, "starttls") == 0 || strncmp(event, "login", 5) == 0 ||
	         strncmp(event, "xclient", 7) == 0 ||
	         strcmp(event, "close") == 0);
}

static void expect_event(struct play *p, struct sp_str want)
{
	char *pattern = sp_str_dup(want);
	while (p->event_next < p->event_count && !matches(pattern, p->events[p->event_next]) &&
	       may_pass_over(p->events[p->event_next]))
		p->event_next++;
	const char *got = p->event_next < p->event_count ? p->events[p->event_next] : "nothing";
	if (!matches(pattern, got))
		wrong(p, "want %s, got %s", pattern, got);
	p->event_next++;
	free(pattern);
}

static void do_dismiss(struct play *p, struct sp_str args)
{
	bool now = sp_take_prefix(&args, SP_STR("now "));
	char *reply = sp_str_dup(args);
	smtp_server_dismiss(p->server, reply, now);
	free(reply);
	feed(p, SP_STR(""));
}

static void do_line(struct play *p, struct sp_str s);

static const char *const envelope[] = {
	"hello", "C: MAIL FROM:<a@x.org>", "C: RCPT TO:<b@x.org>", "S: 250 2.1.0 *", "S: 250 2.1.5 *", NULL,
};

static void do_lines(struct play *p, const char *const *lines)
{
	for (; *lines; lines++)
		do_line(p, sp_str_of(*lines));
}

/* True if an EHLO reply in `said` has a line that begins with `keyword`. */
static bool is_offered(const struct play *p, struct sp_str keyword)
{
	struct sp_str said = sp_buf_str(&p->said), line;
	while (sp_take_line(&said, &line))
		if (line.len > 4 && sp_str_starts(sp_str_from(line, 4), keyword))
			return true;
	return false;
}

/* The lines of an EHLO reply. */
static void pass_over_offers(struct play *p, struct sp_str args)
{
	flush(p);
	while (args.len > 0) {
		struct sp_str word = sp_take_until(&args, ' ');
		if (is_offered(p, sp_str_from(word, 1)) != (word.p[0] == '+'))
			wrong(p, "%.*s does not hold in %.*s", SP_STR_ARG(word), SP_STR_ARG(sp_buf_str(&p->said)));
	}
	while (sp_buf_str(&p->said).len > 4 && p->said.p[3] == '-')
		expect_line(p, SP_STR("250-*"));
	expect_line(p, SP_STR("250 *"));
}

static void do_hello(struct play *p)
{
	flush(p);
	expect_line(p, SP_STR("220 *"));
	sp_buf_adds(&p->heard, "EHLO client.example\r\n");
	pass_over_offers(p, SP_STR(""));
}

static void do_handshake(struct play *p)
{
	flush(p);
	if (!p->handshake)
		wrong(p, "no handshake is under way");
	p->handshake = false;
	smtp_server_tls_done(p->server);
	feed(p, SP_STR(""));
}

static void do_line(struct play *p, struct sp_str s)
{
	if (sp_take_prefix(&s, SP_STR("set "))) {
		do_set(p, s);
		return;
	}
	start(p);
	if (sp_take_prefix(&s, SP_STR("C: "))) {
		sp_buf_add(&p->heard, s);
		sp_buf_adds(&p->heard, "\r\n");
	} else if (sp_str_eq(s, SP_STR("C:"))) {
		sp_buf_adds(&p->heard, "\r\n");
	} else if (sp_take_prefix(&s, SP_STR("C-raw: "))) {
		add_unescaped(&p->heard, quoted(p, s));
	} else if (sp_take_prefix(&s, SP_STR("C-fill: "))) {
		do_fill(p, s);
	} else if (sp_str_eq(s, SP_STR("hello"))) {
		do_hello(p);
	} else if (sp_str_eq(s, SP_STR("envelope"))) {
		do_lines(p, envelope);
	} else if (sp_take_prefix(&s, SP_STR("offers"))) {
		sp_take_blanks(&s);
		pass_over_offers(p, s);
	} else if (sp_str_eq(s, SP_STR("handshake"))) {
		do_handshake(p);
	} else {
		flush(p);
		if (sp_take_prefix(&s, SP_STR("S: ")))
			expect_line(p, s);
		else if (sp_take_prefix(&s, SP_STR("E: ")))
			expect_event(p, s);
		else if (sp_take_prefix(&s, SP_STR("accept ")))
			do_answer(p, true, s);
		else if (sp_take_prefix(&s, SP_STR("refuse ")))
			do_answer(p, false, s);
		else if (sp_take_prefix(&s, SP_STR("dismiss ")))
			do_dismiss(p, s);
		else
			wrong(p, "what is that?");
	}
}

static void expect_no_more(struct play *p)
{
	flush(p);
	if (p->said.len > 0)
		wrong(p, "we said more: %s", sp_buf_cstr(&p->said));
	for (; p->event_next < p->event_count; p->event_next++)
		if (!may_pass_over(p->events[p->event_next]))
			wrong(p, "there was more: %s", p->events[p->event_next]);
	for (size_t i = 0; i < p->answer_count; i++)
		if (!p->answers[i].used)
			wrong(p, "never asked for %s", p->answers[i].kind);
}

static void clear(struct play *p)
{
	smtp_server_free(p->server);
	for (size_t i = 0; i < p->event_count; i++)
		free(p->events[i]);
	for (size_t i = 0; i < p->answer_count; i++)
		free(p->answers[i].reply);
	sp_buf_clear(&p->heard);
	sp_buf_clear(&p->said);
	sp_buf_clear(&p->content);
}

static void play(const char *file, struct sp_str script, enum mode mode)
{
	struct play p = { .file = file, .mode = mode, .settings = { .hostname = "relay.example.com", .message_size = 1000000, .recipients = 100,
	                                                                         .errors = 20 } };
	sp_buf_init(&p.heard, 2 * 1024 * 1024);
	sp_buf_init(&p.said, 2 * 1024 * 1024);
	sp_buf_init(&p.content, 2 * 1024 * 1024);
	struct sp_str line;
	while (sp_take_line(&script, &line)) {
		p.line++;
		if (line.len > 0 && line.p[0] != '#')
			do_line(&p, line);
	}
	expect_no_more(&p);
	clear(&p);
}

/* ---- all of them ---- */

static void play_file(void **state)
{
	const char *file = *state;
	FILE *f = fopen(file, "rb");
	assert_non_null(f);
	struct sp_buf script;
	sp_buf_init(&script, 1024 * 1024);
	char *room = sp_buf_room(&script, 256 * 1024);
	sp_buf_wrote(&script, fread(room, 1, 256 * 1024, f));
	fclose(f);
	for (enum mode mode = SEGMENTS; mode < MODES; mode++)
		play(file, sp_buf_str(&script), mode);
	sp_buf_clear(&script);
}

int main(void)
{
	char pattern[4096];
	const char *dir = getenv("TESTS_DIR");
	snprintf(pattern, sizeof(pattern), "%s/dialog/server-*.dlg", dir ? dir : "tests");
	glob_t files;
	if (glob(pattern, 0, NULL, &files) != 0) {
		fprintf(stderr, "no dialogs at %s\n", pattern);
		return 1;
	}
	struct CMUnitTest *tests = sp_alloc_array(files.gl_pathc, sizeof(*tests));
	for (size_t i = 0; i < files.gl_pathc; i++) {
		const char *name = strrchr(files.gl_pathv[i], '/') + 1;
		tests[i] = (struct CMUnitTest){ .name = name, .test_func = play_file, .initial_state = files.gl_pathv[i] };
	}
	int failed = _cmocka_run_group_tests("dialogs", tests, files.gl_pathc, NULL, NULL);
	free(tests);
	globfree(&files);
	return failed;
}

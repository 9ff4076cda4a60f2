/* tests/unit/smtp_client_dialog_test.c - plays tests/dialog/client-*.dlg against the client engine of smtp/client.h.
 * Each dialog is played three times: as written; octet by octet, content too; and with content lent where the engine allows it.
 *
 *   tls MUST|MAY|NEVER|IMPLICIT        first line, if at all; MAY else
 *   login user password                credentials; before the first S: line
 *   S: text                            the peer says a line; lines in a row arrive in one segment
 *   S-raw: "text\r\n\x00"              the peer's octets, as they are
 *   C: pattern                         the client's next line; * stands for anything
 *   C-content m1                       the content of m1, octet for octet (BDAT)
 *   handshake ok|fail                  TLS
 *   send m1 to=a@x,b@x [from=s@x] [content="..."] [size=70000] [8bit] [crlf] [hold]
 *        [binary] [utf8] [utf8-header] [requiretls] [ret=FULL] [envid=e] [notify=NEVER/SUCCESS,DELAY] [orcpt=rfc822;a@x/...] [priority=3] [by=60;RT]
 *                                      of notify and orcpt, one for each recipient; by: seconds that are left
 *   body "text" | body end | body fail     the content of a message with hold
 *   lost text                          the connection ends; quit: we have no more work
 *   expect ready|reading|body|handshake|close|reusable|spent
 *   expect wait=300 messages=2 waiting="the EHLO reply"
 *   expect fail [kind= result= reason= code= text=*...*] | expect clean
 *   expect m1 a@x delivered|temporary|permanent [kind= code= esc= text=*...*]
 *   expect m1 [un]certain [no]site [no]dsn by-dropped|by-kept reply=*...*
 * The client may say nothing that no C: line names. */
#include "smtp/client.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAILS 8
#define WORDS 24
#define RECIPIENTS 2000
#define LONG_CONTENT 4096               /* octet by octet only up to this */

enum mode { AS_WRITTEN, OCTETS, LENT, MODES };

struct mail {
	char *name, *sender;
	char *recipients[RECIPIENTS];
	struct sp_buf content;
	struct smtp_client_mail m;
	bool hold, done;
	struct sp_fail *results;        /* NULL until RESULT */
	char *reply;
	bool uncertain, site, dsn, by_dropped;
	struct sp_mail_wish wish;
	struct sp_rcpt_wish rcpt_wishes[RECIPIENTS];
	char *kept[WORDS];              /* strings of the wishes */
	size_t kept_count;
};

struct play {
	const char *file;
	int line;
	enum mode mode;
	enum smtp_client_tls tls;
	char *user, *password;
	struct smtp_client *client;
	enum smtp_client_want want;
	struct sp_buf heard;            /* S: lines not yet fed */
	struct sp_buf said;             /* output that no C: line has named yet */
	struct mail mails[MAILS];
	size_t mail_count;
	struct mail *under_way;
	unsigned messages;
};

#define DIALOG_FAIL(p, ...) \
	do { \
		print_error("%s:%d (mode %d): ", (p)->file, (p)->line, (p)->mode); \
		print_error(__VA_ARGS__); \
		print_error("\n"); \
		fail(); \
	} while (0)

/* --- words --- */

static bool matches(const char *pattern, struct sp_str s)
{
	if (*pattern == '*') {
		for (size_t i = 0; i <= s.len; i++)
			if (matches(pattern + 1, sp_str_from(s, i)))
				return true;
		return false;
	}
	if (*pattern == '\0' || s.len == 0)
		return *pattern == '\0' && s.len == 0;
	return *pattern == s.p[0] && matches(pattern + 1, sp_str_from(s, 1));
}

static int hex(char c)
{
	return sp_is_digit(c) ? c - '0' : sp_lower(c) - 'a' + 10;
}

/* Takes a word off the line: up to a blank, but quotes hold blanks together, and \r \n \t \xHH stand for octets in them. */
static bool take_word(struct sp_str *line, struct sp_buf *word)
{
	sp_buf_reset(word);
	sp_take_blanks(line);
	if (line->len == 0)
		return false;
	bool quoted = false;
	size_t i = 0;
	for (; i < line->len && (quoted || !sp_is_blank(line->p[i])); i++) {
		char c = line->p[i];
		if (c == '"') {
			quoted = !quoted;
		} else if (c == '\\' && quoted && i + 1 < line->len) {
			char e = line->p[++i];
			if (e == 'x' && i + 2 < line->len) {
				sp_buf_addc(word, (char)(hex(line->p[i + 1]) * 16 + hex(line->p[i + 2])));
				i += 2;
			} else {
				sp_buf_addc(word, e == 'r' ? '\r' : e == 'n' ? '\n' : e == 't' ? '\t' : e);
			}
		} else {
			sp_buf_addc(word, c);
		}
	}
	*line = sp_str_from(*line, i);
	return true;
}

static const char *value_of(const struct sp_buf *word, const char *key)
{
	size_t len = strlen(key);
	const char *w = sp_buf_cstr(word);
	return strncmp(w, key, len) == 0 && w[len] == '=' ? w + len + 1 : NULL;
}

static bool is(const struct sp_buf *word, const char *what)
{
	return strcmp(sp_buf_cstr(word), what) == 0;
}

/* --- the engine's wants --- */

static void take_output(struct play *p)
{
	struct sp_buf *out = smtp_client_output(p->client);
	sp_buf_add(&p->said, sp_buf_str(out));
	sp_buf_reset(out);
}

static void take_result(struct play *p)
{
	const struct smtp_client_results *r = smtp_client_results(p->client);
	struct mail *m = p->under_way;
	if (m == NULL)
		DIALOG_FAIL(p, "a result, but no message under way");
	m->results = sp_alloc_array(m->m.recipient_count, sizeof(m->results[0]));
	memcpy(m->results, r->recipients, m->m.recipient_count * sizeof(m->results[0]));
	m->reply = sp_strdup(r->reply);
	m->uncertain = r->uncertain;
	m->site = r->site;
	m->dsn = r->dsn;
	m->by_dropped = r->by_dropped;
	p->messages = r->messages;
	p->under_way = NULL;
}

static void give_piece(struct play *p, struct sp_str piece)
{
	if (p->mode == LENT && smtp_client_body_raw(p->client)) {
		sp_buf_add(&p->said, piece);
		smtp_client_body_lent(p->client, piece);
	} else {
		smtp_client_body(p->client, piece);
	}
	take_output(p);
}

static void give_content(struct play *p, struct mail *m)
{
	struct sp_str rest = sp_buf_str(&m->content);
	size_t step = p->mode == AS_WRITTEN ? rest.len : p->mode == OCTETS && rest.len <= LONG_CONTENT ? 1 : 1000;
	while (rest.len > 0) {
		size_t len = sp_min(step, rest.len);
		give_piece(p, sp_str_make(rest.p, len));
		rest = sp_str_from(rest, len);
	}
	smtp_client_body_end(p->client);
	m->done = true;
}

static void pump(struct play *p, struct sp_str *in)
{
	for (;;) {
		p->want = smtp_client_next(p->client, in);
		take_output(p);
		if (p->want == SMTP_CLIENT_RESULT)
			take_result(p);
		else if (p->want == SMTP_CLIENT_BODY && p->under_way && !p->under_way->hold && !p->under_way->done)
			give_content(p, p->under_way);
		else
			return;
	}
}

static void feed(struct play *p)
{
	struct sp_str in = sp_buf_str(&p->heard);
	if (p->mode == OCTETS) {
		for (size_t i = 0; i < in.len; i++) {
			struct sp_str octet = sp_str_make(in.p + i, 1);
			pump(p, &octet);
		}
	} else {
		pump(p, &in);
	}
	sp_buf_reset(&p->heard);
}

static void need_client(struct play *p)
{
	if (p->client)
		return;
	const struct smtp_client_settings settings = { .helo = "relay.example", .peer = "mx1.test[192.0.2.1]", .tls = p->tls,
	                                               .user = p->user, .password = p->password };
	p->client = smtp_client_new(&settings);
	struct sp_str none = SP_STR("");
	pump(p, &none);
}

/* --- the lines of a dialog --- */

static struct mail *mail_named(struct play *p, const char *name)
{
	for (size_t i = 0; i < p->mail_count; i++)
		if (strcmp(p->mails[i].name, name) == 0)
			return &p->mails[i];
	return NULL;
}

/* "a@x,b@x"; "n*a@x" is n recipients a0@x a1@x ... */
static void add_recipients(struct mail *m, const char *list)
{
	struct sp_str rest = sp_str_of(list), one;
	uint64_t n;
	if (sp_take_digits(&rest, 4, &n) && sp_take_char(&rest, '*')) {
		for (uint64_t i = 0; i < n; i++) {
			struct sp_buf b;
			sp_buf_init(&b, 256);
			sp_buf_printf(&b, "%c%u%s", rest.p[0], (unsigned)i, rest.p + 1);
			m->recipients[m->m.recipient_count++] = sp_buf_take(&b);
		}
		return;
	}
	rest = sp_str_of(list);
	while (rest.len > 0) {
		one = sp_take_until(&rest, ',');
		m->recipients[m->m.recipient_count++] = sp_str_dup(one);
	}
}

static void fill_content(struct sp_buf *b, size_t size)
{
	while (b->len + 80 <= size)
		sp_buf_adds(b, "0123456789012345678901234567890123456789012345678901234567890123456789abcdefgh\r\n");
	while (b->len + 2 < size)
		sp_buf_addc(b, 'x');
	if (b->len < size)
		sp_buf_adds(b, "\r\n");
}

static const char *keep(struct mail *m, struct sp_str s)
{
	assert_true(m->kept_count < WORDS);
	return m->kept[m->kept_count++] = sp_str_dup(s);
}

static unsigned notify_bits(struct sp_str words)
{
	static const char *const names[] = { "SUCCESS", "FAILURE", "DELAY", "NEVER" };
	unsigned bits = 0;
	while (words.len > 0) {
		size_t i;
		assert_true(sp_str_among(sp_take_until(&words, ','), names, SP_COUNT(names), &i));
		bits |= 1u << i;
	}
	return bits;
}

static void rcpt_wishes(struct mail *m, const char *list, bool notify)
{
	struct sp_str rest = sp_str_of(list);
	for (size_t i = 0; rest.len > 0; i++) {
		struct sp_str one = sp_take_until(&rest, '/');
		if (notify)
			m->rcpt_wishes[i].notify = notify_bits(one);
		else
			m->rcpt_wishes[i].orcpt = keep(m, one);
	}
	m->m.rcpt_wishes = m->rcpt_wishes;
}

#define NOW_MS INT64_C(1800000000000)

static void by_wish(struct mail *m, const char *text)
{
	m->wish.by_ms = NOW_MS + (int64_t)(atof(text) * 1000);
	m->wish.by = strchr(text, 'R') ? SP_BY_RETURN : SP_BY_NOTIFY;
	m->wish.by_trace = strchr(text, 'T') != NULL;
}

/* True if the word was one of these. */
static bool wish_word(struct mail *m, const struct sp_buf *word)
{
	const char *v;
	if (is(word, "utf8"))
		m->wish.utf8 = true;
	else if (is(word, "utf8-header"))
		m->m.utf8_needed = true;
	else if (is(word, "requiretls"))
		m->m.require_tls = m->wish.require_tls = true;
	else if (is(word, "binary"))
		m->m.binary = true;
	else if ((v = value_of(word, "ret")))
		m->wish.ret = strcmp(v, "FULL") == 0 ? SP_RET_FULL : SP_RET_HDRS;
	else if ((v = value_of(word, "envid")))
		m->wish.envid = keep(m, sp_str_of(v));
	else if ((v = value_of(word, "notify")))
		rcpt_wishes(m, v, true);
	else if ((v = value_of(word, "orcpt")))
		rcpt_wishes(m, v, false);
	else if ((v = value_of(word, "priority")))
		m->wish.priority = atoi(v);
	else if ((v = value_of(word, "by")))
		by_wish(m, v);
	else
		return false;
	m->m.wish = &m->wish;
	return true;
}

static void play_send(struct play *p, struct sp_str line)
{
	struct sp_buf word;
	sp_buf_init(&word, 100000);
	assert_true(p->mail_count < MAILS && take_word(&line, &word));
	struct mail *m = &p->mails[p->mail_count++];
	m->name = sp_strdup(sp_buf_cstr(&word));
	sp_buf_init(&m->content, 1 << 24);
	const char *v;
	while (take_word(&line, &word)) {
		if ((v = value_of(&word, "to")))
			add_recipients(m, v);
		else if ((v = value_of(&word, "from")))
			m->sender = sp_strdup(v);
		else if ((v = value_of(&word, "size")))
			fill_content(&m->content, (size_t)atoi(v));
		else if (value_of(&word, "content"))
			sp_buf_add(&m->content, sp_str_from(sp_buf_str(&word), strlen("content=")));
		else if (is(&word, "8bit"))
			m->m.eight_bit = true;
		else if (is(&word, "crlf"))
			m->m.ends_in_crlf = true;
		else if (is(&word, "hold"))
			m->hold = true;
		else if (!wish_word(m, &word))
			DIALOG_FAIL(p, "send: what is %s?", sp_buf_cstr(&word));
	}
	sp_buf_clear(&word);
	m->m.sender = m->sender ? m->sender : "s@us.test";
	m->m.recipients = (const char *const *)m->recipients;
	m->m.size = m->content.len;
	m->m.domain = "x";
	m->m.now_ms = NOW_MS;
	p->under_way = m;
	smtp_client_send(p->client, &m->m);
	struct sp_str none = SP_STR("");
	pump(p, &none);
}

static void play_body(struct play *p, struct sp_str line)
{
	struct sp_buf word;
	sp_buf_init(&word, 100000);
	if (!take_word(&line, &word))
		DIALOG_FAIL(p, "body: of what?");
	struct sp_fail f;
	sp_fail_set(&f, SP_FAIL_STORE, "the spool file cannot be read");
	if (is(&word, "end"))
		smtp_client_body_end(p->client);
	else if (is(&word, "fail"))
		smtp_client_body_fail(p->client, &f);
	else
		give_piece(p, sp_buf_str(&word));
	sp_buf_clear(&word);
	struct sp_str none = SP_STR("");
	pump(p, &none);
}

static void play_client_line(struct play *p, struct sp_str pattern)
{
	char *want = sp_str_dup(sp_str_trim(pattern));
	struct sp_str rest = sp_buf_str(&p->said), line;
	if (!sp_take_line(&rest, &line))
		DIALOG_FAIL(p, "want '%s', got nothing", want);
	size_t len = p->said.len - rest.len;
	if (len < 2 || p->said.p[len - 2] != '\r')
		DIALOG_FAIL(p, "a line that does not end in CRLF: '%.*s'", SP_STR_ARG(line));
	if (!matches(want, line))
		DIALOG_FAIL(p, "want '%s', got '%.*s'", want, SP_STR_ARG(line));
	sp_buf_consume(&p->said, len);
	free(want);
}

static void play_client_content(struct play *p, struct sp_str name)
{
	char *n = sp_str_dup(sp_str_trim(name));
	struct mail *m = mail_named(p, n);
	free(n);
	if (m == NULL || !sp_str_starts(sp_buf_str(&p->said), sp_buf_str(&m->content)))
		DIALOG_FAIL(p, "want the content, got '%.60s'", sp_buf_cstr(&p->said));
	sp_buf_consume(&p->said, m->content.len);
}

static void nothing_unread(struct play *p)
{
	if (p->said.len > 0)
		DIALOG_FAIL(p, "no C: line for '%.200s'", sp_buf_cstr(&p->said));
}

/* --- expect --- */

static void check(struct play *p, const char *what, bool so)
{
	if (!so)
		DIALOG_FAIL(p, "not so: %s (want=%d, waiting for %s)", what, (int)p->want, smtp_client_state_str(p->client));
}

static void check_text(struct play *p, const char *what, const char *pattern, const char *got)
{
	if (!matches(pattern, sp_str_of(got)))
		DIALOG_FAIL(p, "%s: want '%s', got '%s'", what, pattern, got);
}

/* key=value words that describe a failure */
static void check_fail(struct play *p, struct sp_str line, const struct sp_fail *f)
{
	struct sp_buf word;
	sp_buf_init(&word, 4096);
	const char *v;
	while (take_word(&line, &word)) {
		if ((v = value_of(&word, "kind")))
			check_text(p, "kind", v, sp_fail_kind_str(f->kind));
		else if ((v = value_of(&word, "result")))
			check_text(p, "result", v, sp_result_str(f->result));
		else if ((v = value_of(&word, "reason")))
			check_text(p, "reason", v, f->reason);
		else if ((v = value_of(&word, "esc")))
			check_text(p, "esc", v, f->esc);
		else if ((v = value_of(&word, "text")))
			check_text(p, "text", v, f->text);
		else if ((v = value_of(&word, "code"))) {
			if (atoi(v) != f->code)
				DIALOG_FAIL(p, "code: want %s, got %d", v, f->code);
		} else
			DIALOG_FAIL(p, "expect: what is %s?", sp_buf_cstr(&word));
	}
	sp_buf_clear(&word);
}

static void expect_recipient(struct play *p, const struct mail *m, size_t i, struct sp_str line)
{
	struct sp_buf word;
	sp_buf_init(&word, 4096);
	assert_true(take_word(&line, &word));
	const struct sp_fail *f = &m->results[i];
	const char *got = !sp_failed(f) ? "delivered" : f->permanent ? "permanent" : "temporary";
	if (!is(&word, got))
		DIALOG_FAIL(p, "%s: want %s, got %s (%s)", m->recipients[i], sp_buf_cstr(&word), got, f->text);
	sp_buf_clear(&word);
	check_fail(p, line, f);
}

static void expect_mail(struct play *p, const struct mail *m, struct sp_str line)
{
	if (m->results == NULL)
		DIALOG_FAIL(p, "no result for %s yet", m->name);
	struct sp_buf word;
	sp_buf_init(&word, 4096);
	const char *v;
	while (take_word(&line, &word)) {
		size_t i = 0;
		while (i < m->m.recipient_count && !is(&word, m->recipients[i]))
			i++;
		if (i < m->m.recipient_count) {
			expect_recipient(p, m, i, line);
			break;
		}
		if (is(&word, "uncertain") || is(&word, "certain"))
			check(p, sp_buf_cstr(&word), m->uncertain == is(&word, "uncertain"));
		else if (is(&word, "site") || is(&word, "nosite"))
			check(p, sp_buf_cstr(&word), m->site == is(&word, "site"));
		else if (is(&word, "dsn") || is(&word, "nodsn"))
			check(p, sp_buf_cstr(&word), m->dsn == is(&word, "dsn"));
		else if (is(&word, "by-dropped") || is(&word, "by-kept"))
			check(p, sp_buf_cstr(&word), m->by_dropped == is(&word, "by-dropped"));
		else if ((v = value_of(&word, "reply")))
			check_text(p, "reply", v, m->reply);
		else
			DIALOG_FAIL(p, "expect: what is %s?", sp_buf_cstr(&word));
	}
	sp_buf_clear(&word);
}

static const struct {
	const char *word;
	enum smtp_client_want want;
} wants[] = {
	{ "reading", SMTP_CLIENT_READ }, { "ready", SMTP_CLIENT_READY }, { "body", SMTP_CLIENT_BODY },
	{ "handshake", SMTP_CLIENT_HANDSHAKE }, { "close", SMTP_CLIENT_CLOSE },
};

static bool expect_want(struct play *p, const struct sp_buf *word)
{
	for (size_t i = 0; i < SP_COUNT(wants); i++) {
		if (is(word, wants[i].word)) {
			check(p, wants[i].word, p->want == wants[i].want);
			return true;
		}
	}
	return false;
}

static void play_expect(struct play *p, struct sp_str line)
{
	struct sp_buf word;
	sp_buf_init(&word, 4096);
	const char *v;
	while (take_word(&line, &word)) {
		struct mail *m = mail_named(p, sp_buf_cstr(&word));
		if (m) {
			expect_mail(p, m, line);
			break;
		}
		if (is(&word, "fail")) {
			check(p, "fail", sp_failed(smtp_client_fail(p->client)));
			check_fail(p, line, smtp_client_fail(p->client));
			break;
		}
		if (expect_want(p, &word))
			continue;
		if (is(&word, "clean"))
			check(p, "clean", !sp_failed(smtp_client_fail(p->client)));
		else if (is(&word, "reusable") || is(&word, "spent"))
			check(p, sp_buf_cstr(&word), smtp_client_reusable(p->client) == is(&word, "reusable"));
		else if ((v = value_of(&word, "wait")))
			check(p, sp_buf_cstr(&word), smtp_client_wait_s(p->client) == (unsigned)atoi(v));
		else if ((v = value_of(&word, "messages")))
			check(p, sp_buf_cstr(&word), p->messages == (unsigned)atoi(v));
		else if ((v = value_of(&word, "waiting")))
			check_text(p, "waiting", v, smtp_client_state_str(p->client));
		else
			DIALOG_FAIL(p, "expect: what is %s?", sp_buf_cstr(&word));
	}
	sp_buf_clear(&word);
}

static void play_handshake(struct play *p, struct sp_str how)
{
	check(p, "wants a handshake", p->want == SMTP_CLIENT_HANDSHAKE);
	struct sp_fail f;
	sp_fail_set(&f, SP_FAIL_TLS, "the handshake failed");
	if (sp_str_eq(sp_str_trim(how), SP_STR("ok")))
		smtp_client_tls_done(p->client);
	else
		smtp_client_lost(p->client, &f);
	struct sp_str none = SP_STR("");
	pump(p, &none);
}

static void play_lost(struct play *p, struct sp_str why)
{
	struct sp_fail f;
	sp_fail_set(&f, SP_FAIL_CONNECT, "%.*s", SP_STR_ARG(why));
	smtp_client_lost(p->client, &f);
	struct sp_str none = SP_STR("");
	pump(p, &none);
}

static void set_tls(struct play *p, struct sp_str how)
{
	how = sp_str_trim(how);
	assert_null(p->client);
	p->tls = sp_str_eq(how, SP_STR("MUST")) ? SMTP_CLIENT_TLS_MUST :
	         sp_str_eq(how, SP_STR("NEVER")) ? SMTP_CLIENT_TLS_NEVER :
	         sp_str_eq(how, SP_STR("IMPLICIT")) ? SMTP_CLIENT_TLS_IMPLICIT : SMTP_CLIENT_TLS_MAY;
}

static void set_login(struct play *p, struct sp_str words)
{
	struct sp_buf word;
	sp_buf_init(&word, 20000);
	assert_null(p->client);
	assert_true(take_word(&words, &word));
	p->user = sp_strdup(sp_buf_cstr(&word));
	assert_true(take_word(&words, &word));
	p->password = sp_strdup(sp_buf_cstr(&word));
	sp_buf_clear(&word);
}

static void hear(struct play *p, struct sp_str line, bool raw)
{
	nothing_unread(p);
	if (raw) {
		struct sp_buf word;
		sp_buf_init(&word, 100000);
		assert_true(take_word(&line, &word));
		sp_buf_add(&p->heard, sp_buf_str(&word));
		sp_buf_clear(&word);
		return;
	}
	sp_buf_add(&p->heard, sp_str_from(line, line.len > 0 && line.p[0] == ' '));
	sp_buf_adds(&p->heard, "\r\n");
}

static void play_line(struct play *p, struct sp_str line)
{
	if (sp_str_trim(line).len == 0 || line.p[0] == '#')
		return;
	if (sp_take_prefix(&line, SP_STR("tls "))) {
		set_tls(p, line);
		return;
	}
	if (sp_take_prefix(&line, SP_STR("login "))) {
		set_login(p, line);
		return;
	}
	need_client(p);
	bool raw = sp_take_prefix(&line, SP_STR("S-raw:"));
	if (raw || sp_take_prefix(&line, SP_STR("S:"))) {
		hear(p, line, raw);
		return;
	}
	feed(p);
	if (sp_take_prefix(&line, SP_STR("C:")))
		play_client_line(p, line);
	else if (sp_take_prefix(&line, SP_STR("C-content ")))
		play_client_content(p, line);
	else if (sp_take_prefix(&line, SP_STR("expect ")))
		play_expect(p, line);
	else if (sp_take_prefix(&line, SP_STR("send ")))
		play_send(p, line);
	else if (sp_take_prefix(&line, SP_STR("body ")))
		play_body(p, line);
	else if (sp_take_prefix(&line, SP_STR("handshake ")))
		play_handshake(p, line);
	else if (sp_take_prefix(&line, SP_STR("lost ")))
		play_lost(p, line);
	else if (sp_str_eq(line, SP_STR("quit"))) {
		smtp_client_quit(p->client);
		struct sp_str none = SP_STR("");
		pump(p, &none);
	} else
		DIALOG_FAIL(p, "what is '%.*s'?", SP_STR_ARG(line));
}

static void clear(struct play *p)
{
	smtp_client_free(p->client);
	sp_buf_clear(&p->heard);
	sp_buf_clear(&p->said);
	for (size_t i = 0; i < p->mail_count; i++) {
		struct mail *m = &p->mails[i];
		for (size_t j = 0; j < m->m.recipient_count; j++)
			free(m->recipients[j]);
		sp_buf_clear(&m->content);
		free(m->name);
		free(m->sender);
		free(m->results);
		free(m->reply);
		for (size_t j = 0; j < m->kept_count; j++)
			free(m->kept[j]);
	}
	free(p->user);
	free(p->password);
	free(p);
}

static void play_file(const char *file, struct sp_str script, enum mode mode)
{
	struct play *p = sp_alloc(sizeof(*p));
	p->file = file;
	p->mode = mode;
	p->tls = SMTP_CLIENT_TLS_MAY;
	sp_buf_init(&p->heard, 1 << 24);
	sp_buf_init(&p->said, 1 << 26);
	struct sp_str line;
	while (sp_take_line(&script, &line)) {
		p->line++;
		play_line(p, line);
	}
	need_client(p);
	feed(p);
	nothing_unread(p);
	if (p->under_way)
		DIALOG_FAIL(p, "%s has no result at the end", p->under_way->name);
	clear(p);
}

static void read_file(const char *path, struct sp_buf *out)
{
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	char piece[4096];
	size_t n;
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		sp_buf_add(out, sp_str_make(piece, n));
	fclose(f);
}

static void dialog(void **state)
{
	const char *path = *state;
	struct sp_buf script;
	sp_buf_init(&script, 1 << 20);
	read_file(path, &script);
	const char *slash = strrchr(path, '/');
	for (int mode = 0; mode < MODES; mode++)
		play_file(slash ? slash + 1 : path, sp_buf_str(&script), (enum mode)mode);
	sp_buf_clear(&script);
}

/* The folder of the tests: $TESTS_DIR, else the one of the present directory. An argument plays one file only. */
int main(int argc, char **argv)
{
	const char *tests_dir = getenv("TESTS_DIR");
	char pattern[4096];
	snprintf(pattern, sizeof(pattern), "%s/dialog/client-*.dlg", tests_dir ? tests_dir : "tests");
	glob_t files = { 0 };
	if (glob(argc > 1 ? argv[1] : pattern, 0, NULL, &files) != 0) {
		fprintf(stderr, "no dialogs: %s\n", pattern);
		return 1;
	}
	struct CMUnitTest *tests = sp_alloc_array(files.gl_pathc, sizeof(*tests));
	for (size_t i = 0; i < files.gl_pathc; i++) {
		const char *slash = strrchr(files.gl_pathv[i], '/');
		tests[i].name = slash ? slash + 1 : files.gl_pathv[i];
		tests[i].test_func = dialog;
		tests[i].initial_state = files.gl_pathv[i];
	}
	int failed = _cmocka_run_group_tests("client dialogs", tests, files.gl_pathc, NULL, NULL);
	free(tests);
	globfree(&files);
	return failed;
}

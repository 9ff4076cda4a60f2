/* smtp/client.c - the session of the client engine: from the greeting to READY, and to its end. See client.h; the machine is drawn
 * in client_state.h, transactions are in client_mail.c and client_content.c. */
#include "smtp/client_state.h"

#include <stdio.h>
#include <stdlib.h>

#define OUTPUT_MAX ((size_t)1 << 30)    /* never reached: the caller's pieces bound it */
#define IDLE_MEMORY 8192                /* octets: a buffer that grew beyond this is not kept while a session waits for work */
#define IDLE_RESULTS 8                  /* the same for results */

static void on_greeting(struct smtp_client *c, const struct smtp_reply *r);
static void on_ehlo(struct smtp_client *c, const struct smtp_reply *r);
static void on_helo(struct smtp_client *c, const struct smtp_reply *r);
static void on_starttls(struct smtp_client *c, const struct smtp_reply *r);
static void on_unasked(struct smtp_client *c, const struct smtp_reply *r);
static void on_quit(struct smtp_client *c, const struct smtp_reply *r);

static const struct {
	const char *waiting_for;
	unsigned wait_s;
	enum smtp_client_want want;
	void (*on_reply)(struct smtp_client *c, const struct smtp_reply *r);
} states[] = {
#define X(name, waiting_for, wait_s, wants, handler) \
	[CLIENT_##name] = { waiting_for, wait_s, SMTP_CLIENT_##wants, handler },
	CLIENT_STATES(X)
#undef X
};

/* The lines below the drawing in client_state.h, as code. */
static bool holds(const struct smtp_client *c)
{
	bool usable = c->state >= CLIENT_READY && c->state <= CLIENT_RESULT && !c->broken;
	bool under_way = c->state >= CLIENT_RSET && c->state <= CLIENT_LAST;
	bool good = (c->tls_on || c->tls != SMTP_CLIENT_TLS_MUST) && c->password == NULL;
	return (!usable || good) && under_way == (c->mail != NULL);
}

static void let_go_of_memory(struct smtp_client *c)
{
	if (c->out.len == 0 && c->out.cap > IDLE_MEMORY)
		sp_buf_clear(&c->out);
	if (c->reader.reply.text.cap > IDLE_MEMORY)
		smtp_reply_reader_clear(&c->reader);
	if (c->t.count > IDLE_RESULTS) {
		transaction_clear(&c->t);
		transaction_publish(c);
	}
}

void client_enter(struct smtp_client *c, enum client_state next)
{
	c->state = next;                        /* the only assignment to c->state */
	if (next == CLIENT_RESULT) {
		c->mail = NULL;
		c->told = false;
		transaction_publish(c);
	}
	if (next == CLIENT_READY)
		let_go_of_memory(c);
	sp_assert(holds(c));
}

void client_command(struct smtp_client *c, const char *fmt, ...)
{
	size_t start = c->out.len;
	va_list args;
	va_start(args, fmt);
	sp_buf_vprintf(&c->out, fmt, args);
	va_end(args);
	struct sp_str line = sp_str_from(sp_buf_str(&c->out), start);
	sp_assert(!sp_str_contains(line, '\r') && !sp_str_contains(line, '\n'));
	sp_buf_adds(&c->out, "\r\n");
	sp_assert(!sp_buf_failed(&c->out));
}

/* --- failures --- */

void client_print_reply(const struct smtp_client *c, const struct smtp_reply *r, size_t max, struct sp_buf *out)
{
	if (c->password && auth_is_repeated(c, sp_buf_str(&r->text)))
		sp_buf_printf(out, "%d and a text that repeats the credentials", r->code);
	else
		smtp_reply_print(r, max, out);
}

void client_refusal(const struct smtp_client *c, struct sp_fail *f, const struct smtp_reply *r, const char *how)
{
	struct sp_buf said;
	sp_buf_init(&said, 512);
	client_print_reply(c, r, 400, &said);
	sp_fail_set(f, SP_FAIL_REPLY, "%s %s with %s", c->peer, how, sp_buf_cstr(&said));
	sp_buf_clear(&said);
	f->code = r->code;
	memcpy(f->esc, r->esc, sizeof(f->esc));
	f->permanent = r->code >= 500;
}

/* Why the session ends. Where that is before its first mail, a refused STARTTLS is still what there is to say of its TLS: what came behind the refusal must
 * not keep it out of the domain's report. */
static void set_end(struct smtp_client *c, const struct sp_fail *why)
{
	c->fail = *why;
	if (c->starttls_refused && c->mails == 0 && why->result == SP_RESULT_NONE) {
		c->fail.result = SP_RESULT_STARTTLS_NOT_SUPPORTED;
		snprintf(c->fail.reason, sizeof(c->fail.reason), "starttls-refused");
	}
}

void client_break(struct smtp_client *c, const struct sp_fail *why, bool heard)
{
	if (c->state == CLIENT_CLOSED)
		return;
	if (c->state != CLIENT_QUIT)            /* there, the session had its end already, good or bad */
		set_end(c, why);
	c->broken = true;
	if (c->mail)
		transaction_break(c, why, heard);
	else if (c->state != CLIENT_RESULT)
		client_enter(c, CLIENT_CLOSED);
	sp_buf_reset(&c->out);
}

static void break_protocol(struct smtp_client *c, const char *what)
{
	struct sp_fail f;
	sp_fail_set(&f, SP_FAIL_PROTOCOL, "%s sent %s while we waited for %s", c->peer, what, states[c->state].waiting_for);
	if (c->state == CLIENT_STARTTLS) {
		f.result = SP_RESULT_VALIDATION_FAILURE;
		snprintf(f.reason, sizeof(f.reason), "starttls-broken");
	}
	if (c->state == CLIENT_AUTH)
		snprintf(f.reason, sizeof(f.reason), "auth-broken");
	client_break(c, &f, false);
}

void client_odd_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct sp_buf said;
	sp_buf_init(&said, 512);
	client_print_reply(c, r, 100, &said);
	break_protocol(c, sp_buf_cstr(&said));
	sp_buf_clear(&said);
}

void client_leave(struct smtp_client *c)
{
	client_command(c, "QUIT");
	client_enter(c, CLIENT_QUIT);
}

/* 4yz and 5yz before any transaction concern the site. Anything else here is out of step. */
static void refused(struct smtp_client *c, const struct smtp_reply *r, const char *how)
{
	if (r->code < 400) {
		client_odd_reply(c, r);
		return;
	}
	client_refusal(c, &c->fail, r, how);
	client_leave(c);
}

/* RFC 5321 4.2.3: 421 may come at any time, and the peer closes behind it. */
static void on_421(struct smtp_client *c, const struct smtp_reply *r)
{
	struct sp_fail f;
	client_refusal(c, &f, r, "ended the session");
	if (c->state == CLIENT_STARTTLS) {      /* else a domain would never hear of it */
		f.result = SP_RESULT_STARTTLS_NOT_SUPPORTED;
		snprintf(f.reason, sizeof(f.reason), "starttls-refused");
	}
	client_break(c, &f, true);
}

/* --- to READY --- */

static void say_hello(struct smtp_client *c)
{
	c->ext = (struct smtp_client_ext){ 0 };
	client_command(c, "EHLO %s", c->helo);
	client_enter(c, CLIENT_EHLO);
}

/* The first word of the greeting; it is the peer's to choose. */
static void keep_name(struct smtp_client *c, const struct smtp_reply *r)
{
	struct sp_str text = sp_buf_str(&r->text);
	size_t n = 0;
	while (n < text.len && n < sizeof(c->greeted_as) - 1 && !sp_is_blank(text.p[n]) && text.p[n] != '\n') {
		c->greeted_as[n] = sp_is_print(text.p[n]) ? text.p[n] : '?';
		n++;
	}
	c->greeted_as[n] = '\0';
}

static void on_greeting(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code == 220) {
		keep_name(c, r);
		say_hello(c);
		return;
	}
	if (r->code < 400) {
		client_odd_reply(c, r);
		return;
	}
	/* RFC 5321 3.1: after a 554 the server waits for QUIT; we say it, but do not stay for the answer */
	client_refusal(c, &c->fail, r, "answered the connection");
	client_command(c, "QUIT");
	client_enter(c, CLIENT_CLOSED);
}

/* TLS is demanded and cannot be had. `how` ends the sentence that begins with the peer's name. */
static void no_tls(struct smtp_client *c, const struct smtp_reply *r, const char *reason, const char *how)
{
	struct sp_buf said;
	sp_buf_init(&said, 512);
	if (r)
		smtp_reply_print(r, 300, &said);
	sp_fail_tls(&c->fail, SP_FAIL_POLICY, SP_RESULT_STARTTLS_NOT_SUPPORTED, reason,
	            "%s %s%s%s; nothing was sent, as TLS is demanded", c->peer, how, r ? " with " : "", sp_buf_cstr(&said));
	sp_buf_clear(&said);
	if (r) {
		c->fail.code = r->code;
		memcpy(c->fail.esc, r->esc, sizeof(c->fail.esc));
	}
	client_leave(c);
}

static void log_in_or_work(struct smtp_client *c)
{
	if (c->password)
		auth_begin(c);
	else
		client_enter(c, CLIENT_READY);
}

static void start_tls_or_work(struct smtp_client *c)
{
	if (c->tls_on || c->tls == SMTP_CLIENT_TLS_NEVER) {
		log_in_or_work(c);
	} else if (c->ext.starttls) {
		client_command(c, "STARTTLS");
		client_enter(c, CLIENT_STARTTLS);
	} else if (c->tls == SMTP_CLIENT_TLS_MUST) {
		no_tls(c, NULL, "starttls-not-offered", "does not offer STARTTLS");
	} else {
		log_in_or_work(c);
	}
}

static void on_ehlo(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code == 250) {
		smtp_client_ext_parse(r, &c->ext);
		start_tls_or_work(c);
	} else if (r->code < 500 || c->tls_on) {
		refused(c, r, "answered EHLO");
	} else if (c->tls == SMTP_CLIENT_TLS_MUST) {
		no_tls(c, r, "ehlo-refused", "answered EHLO");          /* HELO would be a downgrade: it cannot offer STARTTLS */
	} else {
		client_command(c, "HELO %s", c->helo);                  /* RFC 5321 3.2 */
		client_enter(c, CLIENT_HELO);
	}
}

static void on_helo(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code == 250)
		log_in_or_work(c);
	else
		refused(c, r, "answered HELO");
}

/* What came behind the 220 would be read as if it had come under TLS: CVE-2021-22947. */
static void refuse_injection(struct smtp_client *c)
{
	struct sp_fail f;
	sp_fail_tls(&f, SP_FAIL_PROTOCOL, SP_RESULT_VALIDATION_FAILURE, "starttls-injection",
	            "%s sent octets in clear behind its reply to STARTTLS", c->peer);
	client_break(c, &f, false);
}

static void on_starttls(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code == 220) {
		client_enter(c, CLIENT_HANDSHAKE);      /* smtp_client_next() looks at what is left of the input */
	} else if (r->code < 400) {
		client_odd_reply(c, r);
	} else if (c->tls == SMTP_CLIENT_TLS_MUST) {
		no_tls(c, r, "starttls-refused", "answered STARTTLS");
	} else {
		c->starttls_refused = true;
		log_in_or_work(c);                      /* RFC 7435: opportunistic, goes on in clear */
	}
}

void smtp_client_tls_done(struct smtp_client *c)
{
	sp_assert(c->state == CLIENT_HANDSHAKE);
	sp_assert(c->out.len == 0);             /* all that was said in clear is sent */
	c->tls_on = true;
	smtp_reply_reader_clear(&c->reader);
	say_hello(c);                           /* RFC 3207 4.2: nothing learnt in clear survives */
}

/* --- the end --- */

/* At READY nothing is asked, so whatever comes ends the session: mostly a 421 on its way out. */
static void on_unasked(struct smtp_client *c, const struct smtp_reply *r)
{
	struct sp_fail f;
	client_refusal(c, &f, r, "broke into an idle session");
	f.permanent = false;
	if (r->code < 400)
		f.kind = SP_FAIL_PROTOCOL;
	client_break(c, &f, true);
}

static void on_quit(struct smtp_client *c, const struct smtp_reply *r SP_UNUSED)
{
	client_enter(c, CLIENT_CLOSED);
}

void smtp_client_quit(struct smtp_client *c)
{
	if (c->state == CLIENT_RESULT && c->told && !c->broken)
		client_enter(c, CLIENT_READY);
	if (c->state == CLIENT_READY)
		client_leave(c);
	sp_assert(c->state >= CLIENT_RESULT);           /* over, or about to be */
}

void smtp_client_lost(struct smtp_client *c, const struct sp_fail *why)
{
	struct sp_fail f = *why;
	if ((c->state == CLIENT_STARTTLS || c->state == CLIENT_HANDSHAKE) && f.result == SP_RESULT_NONE) {
		f.result = SP_RESULT_VALIDATION_FAILURE;        /* RFC 8460 4.3: a negotiation that was cut off is one that failed */
		if (f.reason[0] == '\0')
			snprintf(f.reason, sizeof(f.reason), "lost");
	}
	client_break(c, &f, false);
}

/* --- the loop --- */

static void on_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	bool over = c->state == CLIENT_QUIT || c->state == CLIENT_UNASKED;
	if (r->code == 421 && !over)
		on_421(c, r);
	else
		states[c->state].on_reply(c, r);
}

/* Takes octets in a state that waits for a reply. True if that changed the state. */
static bool take_reply(struct smtp_client *c, struct sp_str *in)
{
	switch (smtp_reply_feed(&c->reader, in)) {
	case SMTP_REPLY_MORE:
		return false;
	case SMTP_REPLY_BROKEN:
		break_protocol(c, c->reader.why);
		return true;
	case SMTP_REPLY_DONE:
		on_reply(c, &c->reader.reply);
		return true;
	}
	return false;
}

/* One step; true if there may be another at once. */
static bool step(struct smtp_client *c, struct sp_str *in)
{
	switch (c->state) {
	case CLIENT_RESULT:
		if (!c->told) {
			c->told = true;
			return false;
		}
		client_enter(c, c->broken ? CLIENT_CLOSED : CLIENT_READY);
		return true;
	case CLIENT_HANDSHAKE:
		if (in->len > 0)
			refuse_injection(c);
		return false;
	case CLIENT_READY:
		if (in->len == 0)
			return false;
		client_enter(c, CLIENT_UNASKED);
		return true;
	case CLIENT_CLOSED:
		return false;
	default:
		return in->len > 0 && take_reply(c, in);
	}
}

enum smtp_client_want smtp_client_next(struct smtp_client *c, struct sp_str *in)
{
	while (step(c, in))
		;
	return states[c->state].want;
}

struct smtp_client *smtp_client_new(const struct smtp_client_settings *settings)
{
	struct smtp_client *c = sp_alloc(sizeof(*c));
	c->helo = sp_strdup(settings->helo);
	c->peer = sp_strdup(settings->peer);
	c->tls = settings->tls;
	c->tls_on = settings->tls == SMTP_CLIENT_TLS_IMPLICIT;
	if (settings->user && settings->password) {
		c->user = sp_strdup(settings->user);
		c->password = sp_strdup(settings->password);
	}
	smtp_reply_reader_init(&c->reader);
	sp_buf_init(&c->out, OUTPUT_MAX);
	transaction_init(&c->t);
	client_enter(c, CLIENT_GREETING);
	return c;
}

void smtp_client_free(struct smtp_client *c)
{
	if (c == NULL)
		return;
	auth_wipe(c);
	transaction_clear(&c->t);
	smtp_reply_reader_clear(&c->reader);
	sp_buf_wipe(&c->out);                   /* it may hold credentials that were refused, or never sent */
	free(c->helo);
	free(c->peer);
	free(c);
}

struct sp_buf *smtp_client_output(struct smtp_client *c)
{
	return &c->out;
}

unsigned smtp_client_wait_s(const struct smtp_client *c)
{
	return states[c->state].wait_s;
}

const char *smtp_client_greeted_as(const struct smtp_client *c)
{
	return c->greeted_as;
}

const char *smtp_client_state_str(const struct smtp_client *c)
{
	return states[c->state].waiting_for;
}

const struct smtp_client_ext *smtp_client_ext(const struct smtp_client *c)
{
	return &c->ext;
}

const struct sp_fail *smtp_client_fail(const struct smtp_client *c)
{
	return &c->fail;
}

bool smtp_client_reusable(const struct smtp_client *c)
{
	bool in_step = c->state == CLIENT_READY || (c->state == CLIENT_RESULT && !c->broken);
	return in_step && (c->ext.mail_max == 0 || c->mails < c->ext.mail_max);         /* RFC 9422 4.1 */
}

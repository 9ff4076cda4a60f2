/* smtp/client_mail.c - one transaction of the client engine: the envelope, the results. See client.h and client_state.h; the
 * content is in client_content.c, who is asked for in client_choose.c. Implements RFC 5321 3.3, 4.1.1.2, 4.1.1.3 and 4.1.1.5, 2920 (which commands may
 * share a write). */
#include "smtp/client_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WHOLE_MAX 65536         /* octets: a content up to this goes by BDAT in one piece, behind its envelope where that is allowed */
#define REPLY_KEPT 400          /* octets of the last reply, for smtp_client_results() */

void transaction_init(struct transaction *t)
{
	*t = (struct transaction){ 0 };
	sp_buf_init(&t->held, WHOLE_MAX + 2);
	sp_buf_init(&t->reply, REPLY_KEPT);
	smtp_stuff_init(&t->stuff);
}

void transaction_clear(struct transaction *t)
{
	free(t->results);
	free(t->recipients);
	sp_buf_clear(&t->held);
	sp_buf_clear(&t->reply);
	transaction_init(t);
}

/* --- results --- */

void transaction_settle(struct transaction *t, size_t i, const struct sp_fail *f)
{
	t->results[i] = *f;
	if (t->recipients[i] != RECIPIENT_KEPT_BACK)
		t->recipients[i] = RECIPIENT_SETTLED;
}

bool transaction_settle_rest(struct transaction *t, const struct sp_fail *f)
{
	bool any = false;
	for (size_t i = 0; i < t->count; i++) {
		if (t->recipients[i] != RECIPIENT_ASKED && t->recipients[i] != RECIPIENT_ACCEPTED)
			continue;
		transaction_settle(t, i, f);
		any = true;
	}
	t->settled = true;
	return any;
}

void transaction_keep_reply(struct transaction *t, const struct smtp_reply *r)
{
	sp_buf_reset(&t->reply);
	smtp_reply_print(r, REPLY_KEPT, &t->reply);
}

void transaction_refused(struct smtp_client *c, const struct smtp_reply *r, const char *how)
{
	struct sp_fail f;
	client_refusal(c, &f, r, how);
	transaction_keep_reply(&c->t, r);
	transaction_settle_rest(&c->t, &f);
}

/* RFC 5321 4.1.4: MAIL may follow once the last transaction was concluded or aborted. One that the peer has begun and we gave up
 * is aborted by RSET, when there is a next one. That includes a refused DATA: there are servers that keep the envelope. */
void transaction_finish(struct smtp_client *c)
{
	c->need_rset = c->need_rset || c->t.open;
	client_enter(c, CLIENT_RESULT);
}

void transaction_break(struct smtp_client *c, const struct sp_fail *why, bool heard)
{
	struct transaction *t = &c->t;
	bool all_sent = t->complete && c->out.len == 0;
	bool any = transaction_settle_rest(t, why);
	t->uncertain = any && all_sent && !heard;       /* RFC 5321 4.5.3.2.6: it may have arrived */
	t->site = true;
	client_enter(c, CLIENT_RESULT);
}

void transaction_publish(struct smtp_client *c)
{
	const struct transaction *t = &c->t;
	c->lent = (struct smtp_client_results){
		.recipients = t->results,
		.reply = sp_buf_cstr(&t->reply),
		.uncertain = t->uncertain,
		.site = t->site,
		.messages = c->messages,
		.dsn = c->ext.dsn,
		.by_dropped = t->by_dropped,
	};
}

const struct smtp_client_results *smtp_client_results(const struct smtp_client *c)
{
	return &c->lent;
}

/* --- before anything is sent --- */

/* The first recipient from `i` on that has a RCPT of its own, or count. */
static size_t next_asked(const struct transaction *t, size_t i)
{
	while (i < t->count && t->recipients[i] == RECIPIENT_KEPT_BACK)
		i++;
	return i;
}

static void begin(struct smtp_client *c, const struct smtp_client_mail *m)
{
	struct transaction *t = &c->t;
	transaction_clear(t);
	t->count = m->recipient_count;
	t->results = sp_alloc_array(t->count, sizeof(t->results[0]));
	t->recipients = sp_alloc_array(t->count, 1);
}

/* --- the envelope --- */

static void put_mail(struct smtp_client *c)
{
	sp_assert(c->tls_on || c->tls != SMTP_CLIENT_TLS_MUST);         /* promise 1 */
	sp_buf_adds(&c->out, "MAIL FROM:<");
	sp_buf_adds(&c->out, c->mail->sender);
	sp_buf_addc(&c->out, '>');
	param_put_mail(c);
	sp_buf_adds(&c->out, "\r\n");
	c->mails++;
}

static void put_rcpt(struct smtp_client *c)
{
	struct transaction *t = &c->t;
	sp_buf_adds(&c->out, "RCPT TO:<");
	sp_buf_adds(&c->out, c->mail->recipients[t->asked]);
	sp_buf_addc(&c->out, '>');
	param_put_rcpt(c, t->asked);
	sp_buf_adds(&c->out, "\r\n");
	t->asked = next_asked(t, t->asked + 1);
}

static void put_data(struct smtp_client *c)
{
	client_command(c, "DATA");
	c->t.data_sent = true;
}

/* RFC 2920 3.1: RSET, MAIL, RCPT may stand anywhere in a group of commands, DATA at its end. */
static void put_envelope(struct smtp_client *c)
{
	struct transaction *t = &c->t;
	put_mail(c);
	if (!t->pipelined)
		return;
	while (t->asked < t->count)
		put_rcpt(c);
	if (!t->bdat)
		put_data(c);
}

void transaction_open(struct smtp_client *c)
{
	bool reset = c->need_rset;
	c->need_rset = false;
	if (reset)
		client_command(c, "RSET");
	if (!reset || c->t.pipelined)
		put_envelope(c);
	client_enter(c, reset ? CLIENT_RSET : CLIENT_MAIL);
}

void smtp_client_send(struct smtp_client *c, const struct smtp_client_mail *mail)
{
	sp_assert(c->mail == NULL && mail->recipient_count > 0);
	sp_assert(c->state >= CLIENT_READY);
	struct transaction *t = &c->t;
	struct sp_fail f;
	begin(c, mail);
	if (!smtp_client_reusable(c)) {
		bool over = c->state != CLIENT_READY && c->state != CLIENT_RESULT;
		sp_fail_set(&f, SP_FAIL_PROTOCOL, "%s takes no more messages in this session", c->peer);
		for (size_t i = 0; i < t->count; i++)
			transaction_settle(t, i, sp_failed(&c->fail) ? &c->fail : &f);
		t->site = true;
		c->broken = c->broken || over;
		client_enter(c, CLIENT_RESULT);
		return;
	}
	if (choose_none(c, mail, &f)) {
		for (size_t i = 0; i < t->count; i++)
			transaction_settle(t, i, &f);
		client_enter(c, CLIENT_RESULT);
		return;
	}
	if (choose_recipients(c, mail) == 0) {
		client_enter(c, CLIENT_RESULT);
		return;
	}
	c->mail = mail;
	t->asked = t->answered = next_asked(t, 0);
	t->pipelined = c->ext.pipelining;
	t->bdat = c->ext.chunking;
	t->whole = t->bdat && mail->size <= WHOLE_MAX;
	t->as_is = mail->binary;
	t->one_chunk = mail->ends_in_crlf || mail->binary;
	t->by_dropped = mail->wish && mail->wish->by == SP_BY_NOTIFY && !c->ext.deliverby;
	if (t->whole && t->pipelined)
		client_enter(c, CLIENT_BODY);           /* the content first: its envelope leaves in the same write */
	else
		transaction_open(c);
}

void on_rset(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code < 300) {
		if (!c->t.pipelined)
			put_envelope(c);
		client_enter(c, CLIENT_MAIL);
	} else if (r->code < 400) {
		client_odd_reply(c, r);
	} else {
		struct sp_fail f;
		client_refusal(c, &f, r, "answered RSET");      /* RFC 5321 4.1.1.5: it cannot be refused */
		f.permanent = false;
		client_break(c, &f, false);
	}
}

void on_mail(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->t;
	if (r->code < 300) {
		t->open = true;
	} else if (r->code < 400) {
		client_odd_reply(c, r);
		return;
	} else {
		transaction_refused(c, r, "answered MAIL FROM");
	}
	if (t->settled && !t->pipelined) {
		transaction_finish(c);
		return;
	}
	if (!t->pipelined)
		put_rcpt(c);
	client_enter(c, CLIENT_RCPT);           /* after a refused MAIL: the replies to what was pipelined behind it */
}

static void recipient_refused(struct smtp_client *c, size_t i, const struct smtp_reply *r)
{
	struct transaction *t = &c->t;
	if (t->recipients[i] != RECIPIENT_ASKED)
		return;                                 /* MAIL was refused: that is its result */
	struct sp_fail f;
	client_refusal(c, &f, r, "answered RCPT TO");
	if (r->code == 552)                             /* RFC 5321 4.5.3.1.10: too many recipients; to be taken as 452 */
		f.permanent = false;
	transaction_keep_reply(t, r);
	transaction_settle(t, i, &f);
}

/* At BODY, with an accepted envelope. */
static void begin_content(struct smtp_client *c)
{
	const struct transaction *t = &c->t;
	if (t->bdat && !t->whole)
		client_command(c, "BDAT %" PRIu64 "%s", c->mail->size, t->one_chunk ? " LAST" : "");
	client_enter(c, CLIENT_BODY);
}

static void after_recipients(struct smtp_client *c)
{
	struct transaction *t = &c->t;
	if (t->accepted == 0)
		t->settled = true;
	if (t->complete) {
		client_enter(c, CLIENT_LAST);
	} else if (t->data_sent) {
		client_enter(c, CLIENT_DATA);
	} else if (t->accepted == 0) {
		transaction_finish(c);
	} else if (t->bdat) {
		begin_content(c);
	} else {
		put_data(c);
		client_enter(c, CLIENT_DATA);
	}
}

void on_rcpt(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->t;
	size_t i = t->answered;
	if (r->code < 400 && (r->code >= 300 || !t->open)) {    /* a recipient taken for a mail that was refused is out of step as well */
		client_odd_reply(c, r);
		return;
	}
	if (r->code < 300) {                    /* RFC 5321 4.2.3: 250, 251 and 252 all accept */
		t->recipients[i] = RECIPIENT_ACCEPTED;
		t->accepted++;
	} else {
		recipient_refused(c, i, r);
	}
	t->answered = next_asked(t, i + 1);
	if (t->answered == t->count)
		after_recipients(c);
	else if (!t->pipelined)
		put_rcpt(c);
}

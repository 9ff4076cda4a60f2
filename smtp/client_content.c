/* smtp/client_content.c - the content of a transaction of the client engine. See client.h and client_state.h.
 * Implements RFC 5321 4.1.1.4 (DATA), 4.5.2 (by smtp/stuff.h), 2920 3.1 (DATA accepted for nobody), 3030 2 and 4.2 (BDAT). */
#include "smtp/client_state.h"

#include <inttypes.h>

void on_data(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->t;
	if (r->code == 354 && t->settled) {
		sp_buf_adds(&c->out, ".\r\n");          /* RFC 2920 3.1: nobody is to get it, but the peer waits for content */
		client_enter(c, CLIENT_DOT);
	} else if (r->code == 354) {
		client_enter(c, CLIENT_BODY);
	} else if (r->code < 400) {
		client_odd_reply(c, r);
	} else {
		if (!t->settled)
			transaction_refused(c, r, "answered DATA");
		transaction_finish(c);
	}
}

static void content_miscounted(struct smtp_client *c)
{
	struct sp_fail f;
	sp_fail_set(&f, SP_FAIL_STORE, "the stored content does not have the %" PRIu64 " octets that it should", c->mail->size);
	smtp_client_body_fail(c, &f);
}

/* Counts a piece; false if it may not be sent. */
static bool admit(struct smtp_client *c, struct sp_str piece)
{
	if (c->state == CLIENT_RESULT)          /* broken off by an earlier piece */
		return false;
	sp_assert(c->state == CLIENT_BODY);
	c->t.content_len += piece.len;
	if (c->t.content_len <= c->mail->size)
		return true;
	content_miscounted(c);
	return false;
}

void smtp_client_body(struct smtp_client *c, struct sp_str piece)
{
	struct transaction *t = &c->t;
	if (!admit(c, piece))
		return;
	if (!t->bdat) {
		smtp_stuff_add(&t->stuff, piece, &c->out);
		return;
	}
	sp_buf_add(t->whole ? &t->held : &c->out, piece);
	smtp_stuff_note(&t->stuff, piece);
}

bool smtp_client_body_raw(const struct smtp_client *c)
{
	return c->state == CLIENT_BODY && c->t.bdat && !c->t.whole;
}

void smtp_client_body_lent(struct smtp_client *c, struct sp_str piece)
{
	if (!admit(c, piece))
		return;
	sp_assert(smtp_client_body_raw(c));
	smtp_stuff_note(&c->t.stuff, piece);
}

/* Envelope, command and content in one write. */
static void send_whole(struct smtp_client *c)
{
	struct transaction *t = &c->t;
	if (!t->as_is && !smtp_stuff_at_line_end(&t->stuff))
		sp_buf_adds(&t->held, "\r\n");
	if (t->pipelined)
		transaction_open(c);
	client_command(c, "BDAT %zu LAST", t->held.len);
	sp_buf_add(&c->out, sp_buf_str(&t->held));
	sp_buf_clear(&t->held);
	t->complete = true;
	if (!t->pipelined)
		client_enter(c, CLIENT_LAST);
}

/* RFC 3030 2: the last chunk may be empty. Ours holds the CRLF that the content lacks. */
static void put_last_chunk(struct smtp_client *c)
{
	bool ended = smtp_stuff_at_line_end(&c->t.stuff);
	client_command(c, "BDAT %d LAST", ended ? 0 : 2);
	sp_buf_adds(&c->out, ended ? "" : "\r\n");
	c->t.complete = true;
}

static void end_chunk(struct smtp_client *c)
{
	struct transaction *t = &c->t;
	if (t->one_chunk) {
		t->complete = true;
		client_enter(c, CLIENT_LAST);
		return;
	}
	if (t->pipelined)                       /* RFC 3030 4.2: BDAT commands may be pipelined */
		put_last_chunk(c);
	client_enter(c, CLIENT_CHUNK);
}

static void end_data(struct smtp_client *c)
{
	/* RFC 5321 4.1.1.4: the dot stands on a line of its own, so the last line has to end */
	sp_buf_adds(&c->out, smtp_stuff_at_line_end(&c->t.stuff) ? ".\r\n" : "\r\n.\r\n");
	c->t.complete = true;
	client_enter(c, CLIENT_DOT);
}

void smtp_client_body_end(struct smtp_client *c)
{
	struct transaction *t = &c->t;
	if (!admit(c, SP_STR("")))
		return;
	bool wrong_end = t->bdat && !t->whole && t->one_chunk && !t->as_is && !smtp_stuff_at_line_end(&t->stuff);
	if (t->content_len != c->mail->size || wrong_end)
		content_miscounted(c);
	else if (t->whole)
		send_whole(c);
	else if (t->bdat)
		end_chunk(c);
	else
		end_data(c);
}

void smtp_client_body_fail(struct smtp_client *c, const struct sp_fail *why)
{
	struct transaction *t = &c->t;
	if (c->state == CLIENT_RESULT)
		return;
	sp_assert(c->state == CLIENT_BODY);
	transaction_settle_rest(t, why);
	if (!t->whole) {                        /* the peer has a part of it: only closing keeps that from being a message */
		c->fail = *why;
		c->broken = true;
		sp_buf_reset(&c->out);
	}
	transaction_finish(c);
}

/* A reply while the content is on its way: a refusal that could not wait. What of the content the peer has read is not known, so
 * nothing can follow it on this session. */
void on_early_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->t;
	if (r->code < 400 || t->whole) {        /* whole: the content is still being gathered here, so this answers nothing */
		client_odd_reply(c, r);
		return;
	}
	client_refusal(c, &c->fail, r, "answered the content before its end");
	transaction_keep_reply(t, r);
	transaction_settle_rest(t, &c->fail);
	c->broken = true;
	sp_buf_reset(&c->out);
	transaction_finish(c);
}

void on_chunk(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->t;
	if (r->code >= 300 && r->code < 400) {
		client_odd_reply(c, r);
		return;
	}
	if (r->code >= 400)
		transaction_refused(c, r, "answered BDAT");
	if (t->settled && !t->complete) {
		transaction_finish(c);
		return;
	}
	if (!t->complete)
		put_last_chunk(c);
	client_enter(c, CLIENT_LAST);           /* after a refusal: the reply to the chunk that was pipelined behind it */
}

void on_content(struct smtp_client *c, const struct smtp_reply *r)
{
	struct transaction *t = &c->t;
	if (r->code >= 300 && r->code < 400) {
		client_odd_reply(c, r);
		return;
	}
	/* RFC 5321 4.1.1.4: whatever it says, the envelope is consumed; a refused BDAT leaves that open (RFC 3030 2) */
	if (r->code < 300 || !t->bdat)
		t->open = false;
	if (!t->settled && r->code < 300) {
		transaction_keep_reply(t, r);
		c->messages++;
	} else if (!t->settled) {
		transaction_refused(c, r, "answered the content");
	}
	transaction_finish(c);
}

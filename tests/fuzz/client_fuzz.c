/* tests/fuzz/client_fuzz.c - smtp/client.h: any octets from a server, in pieces of any size. The first octet of the input chooses what TLS
 * is asked for and the size of the pieces, the second what mail is sent, the third what it asks for and whether we log in; the rest is what the server says.
 * It must hold: under MUST nothing but EHLO, STARTTLS and QUIT leaves before TLS, and never credentials; each line out is one command; every recipient has one
 * result; every text is printable, and holds no credentials; the engine ends. */
#include "smtp/client.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES 6

struct run {
	struct smtp_client *c;
	enum smtp_client_tls tls;
	bool tls_on, over, under_way;
	unsigned mails;
	uint8_t taste, asks;
	struct smtp_client_mail mail;
	struct sp_mail_wish wish;
};

enum { LOGIN = 1, IMPLICIT = 2, WISH = 4, RCPT_WISHES = 8, BINARY = 16, UTF8 = 32, BY = 64, REQUIRE_TLS = 128 };        /* bits of `asks` */
#define PASSWORD "s3cr3tpw"
#define PASSWORD_BASE64 "czNjcjN0cH"           /* as LOGIN says it */

static const char *const recipients[] = { "a@x.test", "b@x.test", "\"q q\"@x.test", "bad\r\nRCPT TO:<e@x>", "\xc3\xa9@x.test", "c@x.test" };
static const struct sp_rcpt_wish rcpt_wishes[] = {
	{ .notify = SP_NOTIFY_NEVER, .orcpt = "rfc822;a@x.test" }, { .notify = SP_NOTIFY_SUCCESS | SP_NOTIFY_DELAY }, { .orcpt = "" },
	{ .notify = SP_NOTIFY_FAILURE, .orcpt = "rfc822;bad\r\nRCPT TO:<e@x>" }, { .orcpt = "utf-8;\xc3\xa9@x.test" }, { .orcpt = "utf-8;\xff" },
};
_Static_assert(SP_COUNT(rcpt_wishes) == SP_COUNT(recipients), "one a recipient");
static const char large[70000];

static void check_text(const char *s)
{
	for (; *s; s++)
		sp_assert(sp_is_print(*s));
}

static void check_fail(const struct sp_fail *f)
{
	check_text(f->text);
	check_text(f->esc);
	sp_assert(strstr(f->text, PASSWORD) == NULL && strstr(f->text, PASSWORD_BASE64) == NULL);
}

static void take_output(struct run *r)
{
	struct sp_buf *out = smtp_client_output(r->c);
	if (r->tls == SMTP_CLIENT_TLS_MUST && !r->tls_on) {
		struct sp_str rest = sp_buf_str(out), line;
		while (sp_take_line(&rest, &line))
			sp_assert(sp_str_eq(line, SP_STR("EHLO us.test")) || sp_str_eq(line, SP_STR("STARTTLS")) ||
			          sp_str_eq(line, SP_STR("QUIT")));
	}
	sp_assert(memmem(sp_buf_cstr(out), out->len, "e@x>", 4) == NULL);       /* of the address that is none */
	sp_assert(r->tls_on || memmem(sp_buf_cstr(out), out->len, "AUTH ", 5) == NULL);
	sp_buf_reset(out);
}

static void send(struct run *r)
{
	uint8_t taste = (uint8_t)(r->taste + r->mails);
	r->wish = (struct sp_mail_wish){
		.utf8 = r->asks & UTF8, .require_tls = r->asks & REQUIRE_TLS, .ret = (enum sp_ret)(taste % 3), .priority = taste % 19 - 9,
		.by = r->asks & BY ? taste & 1 ? SP_BY_RETURN : SP_BY_NOTIFY : SP_BY_NONE, .by_trace = taste & 2, .by_ms = taste * 1000,
		.envid = taste & 4 ? "QQ314159" : taste & 8 ? "bad\r\nRCPT TO:<e@x>" : NULL,
	};
	r->mail = (struct smtp_client_mail){
		.sender = taste & 1 ? "" : "s@us.test",
		.recipients = recipients,
		.recipient_count = 1 + taste % SP_COUNT(recipients),
		.size = taste & 32 ? sizeof(large) : 2u + (taste >> 3 & 3),
		.eight_bit = taste & 64,
		.domain = "x.test",
		.binary = r->asks & BINARY && taste & 16,
		.wish = r->asks & WISH ? &r->wish : NULL,
		.rcpt_wishes = r->asks & RCPT_WISHES ? rcpt_wishes : NULL,
		.now_ms = 10000,
		.utf8_needed = r->asks & UTF8 && taste & 64,
		.require_tls = r->asks & REQUIRE_TLS,
	};
	r->mails++;
	r->under_way = true;
	smtp_client_send(r->c, &r->mail);
}

static void give_content(struct run *r)
{
	static const char content[] = ".\r\n.x";
	struct sp_fail f;
	sp_fail_set(&f, SP_FAIL_STORE, "disk");
	struct sp_str all = r->mail.size > 5 ? sp_str_make(large, sizeof(large)) : sp_str_make(content, r->mail.size);
	if (r->taste & 128 && r->mails == 3) {
		smtp_client_body_fail(r->c, &f);
		return;
	}
	if (smtp_client_body_raw(r->c))
		smtp_client_body_lent(r->c, all);
	else
		smtp_client_body(r->c, all);
	smtp_client_body_end(r->c);
}

static void take_result(struct run *r)
{
	sp_assert(r->under_way);
	r->under_way = false;
	const struct smtp_client_results *results = smtp_client_results(r->c);
	check_text(results->reply);
	for (size_t i = 0; i < r->mail.recipient_count; i++) {
		const struct sp_fail *f = &results->recipients[i];
		check_fail(f);
		sp_assert(sp_failed(f) || results->messages > 0);
		if (i == 3)
			sp_assert(sp_failed(f));
	}
}

/* Does what the engine wants; false when it waits for octets. */
static bool serve(struct run *r, enum smtp_client_want want, const struct sp_str *in)
{
	switch (want) {
	case SMTP_CLIENT_READ:
		sp_assert(in->len == 0 && smtp_client_wait_s(r->c) > 0);
		return false;
	case SMTP_CLIENT_HANDSHAKE:
		sp_assert(in->len == 0);
		r->tls_on = true;
		smtp_client_tls_done(r->c);
		return true;
	case SMTP_CLIENT_READY:
		sp_assert(r->tls_on || r->tls != SMTP_CLIENT_TLS_MUST);
		if (r->mails < MESSAGES && smtp_client_reusable(r->c))
			send(r);
		else
			smtp_client_quit(r->c);
		return true;
	case SMTP_CLIENT_BODY:
		give_content(r);
		return true;
	case SMTP_CLIENT_RESULT:
		take_result(r);
		return true;
	case SMTP_CLIENT_CLOSE:
		r->over = true;
		return false;
	}
	return false;
}

static void drive(struct run *r, struct sp_str in)
{
	enum smtp_client_want want;
	do {
		want = smtp_client_next(r->c, &in);
		take_output(r);
	} while (!r->over && serve(r, want, &in));
	take_output(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;
	struct run r = { .tls = (enum smtp_client_tls)(data[0] % 3), .taste = data[1], .asks = data[2] };
	if (r.asks & IMPLICIT)
		r.tls = SMTP_CLIENT_TLS_IMPLICIT;
	r.tls_on = r.tls == SMTP_CLIENT_TLS_IMPLICIT;
	const struct smtp_client_settings settings = { .helo = "us.test", .peer = "mx.test[192.0.2.1]", .tls = r.tls,
	                                               .user = r.asks & LOGIN ? "alice" : NULL, .password = r.asks & LOGIN ? PASSWORD : NULL };
	r.c = smtp_client_new(&settings);
	size_t step = data[0] / 3 == 0 ? 1 : data[0] / 3;
	drive(&r, SP_STR(""));
	for (size_t at = 3; at < size && !r.over; at += step)
		drive(&r, sp_str_make((const char *)data + at, sp_min(step, size - at)));
	struct sp_fail lost;
	sp_fail_set(&lost, SP_FAIL_CONNECT, "lost");
	smtp_client_lost(r.c, &lost);
	drive(&r, SP_STR(""));
	sp_assert(r.over && !r.under_way);
	check_fail(smtp_client_fail(r.c));
	smtp_client_free(r.c);
	return 0;
}

/* smtp/dsn_human.c - see dsn_human.h. RFC 3464 1.1: for people first; they have not read the RFC. */
#include "smtp/dsn_human.h"

#include "core/date.h"
#include "smtp/dsn_address.h"
#include "smtp/dsn_machine.h"

#include <stdio.h>

#define LINE_MAX_WANTED 76              /* RFC 5322 2.1.1 wants 78 at most */
#define WORD_MAX 900                    /* octets without a blank; longer ones are cut in two: RFC 5322 2.1.1, 998 in a line */

/* The next word, at most WORD_MAX octets of it. */
static struct sp_str take_word(struct sp_str *text)
{
	while (text->len > 0 && (sp_is_blank(text->p[0]) || text->p[0] == '\n' || text->p[0] == '\r'))
		*text = sp_str_from(*text, 1);
	size_t len = 0;
	while (len < text->len && len < WORD_MAX && !sp_is_blank(text->p[len]) && text->p[len] != '\n' && text->p[len] != '\r')
		len++;
	struct sp_str word = sp_str_make(text->p, len);
	*text = sp_str_from(*text, len);
	return word;
}

void smtp_dsn_add_folded(struct sp_buf *out, size_t column, const char *indent, struct sp_str text)
{
	bool fresh = true;                      /* nothing of the text stands in this line yet */
	for (struct sp_str word = take_word(&text); word.len > 0; word = take_word(&text)) {
		if (!fresh && column + 1 + word.len > LINE_MAX_WANTED) {
			sp_buf_printf(out, "\r\n%s", indent);
			column = strlen(indent);
			fresh = true;
		}
		if (!fresh)
			sp_buf_addc(out, ' ');
		sp_buf_add_printable(out, word);
		column += word.len + !fresh;
		fresh = false;
	}
}

static void paragraph(struct sp_buf *out, const char *indent, const char *text)
{
	sp_buf_adds(out, indent);
	smtp_dsn_add_folded(out, strlen(indent), indent, sp_str_of(text));
	sp_buf_adds(out, "\r\n");
}

SP_PRINTF(3, 4) static void paragraphf(struct sp_buf *out, const char *indent, const char *fmt, ...)
{
	struct sp_buf text;
	sp_buf_init(&text, 8192);
	va_list args;
	va_start(args, fmt);
	sp_buf_vprintf(&text, fmt, args);
	va_end(args);
	paragraph(out, indent, sp_buf_cstr(&text));
	sp_buf_clear(&text);
}

const char *smtp_dsn_reply(const struct sp_fail *f)
{
	if (f->kind != SP_FAIL_REPLY || f->code == 0)
		return NULL;
	char mark[24];
	snprintf(mark, sizeof(mark), " with %d", f->code);
	const char *at = strstr(f->text, mark);
	return at ? at + strlen(" with ") : NULL;
}

/* The policy, not the peer's taste, kept the message back. */
static bool is_policy(const struct smtp_dsn_recipient *r)
{
	return r->policy || (r->fail->kind == SP_FAIL_POLICY && !smtp_dsn_is_own(r->fail)) || r->fail->kind == SP_FAIL_TLS || r->fail->result != SP_RESULT_NONE;
}

static const char *domain_of(const char *address)
{
	const char *at = strrchr(address, '@');
	return at ? at + 1 : address;
}

/* What the sender can do, by the subject and detail of the status (RFC 3463 3): the first row that fits. */
static const struct {
	const char *status, *advice;
} advices[] = {
	{ ".1.10", "The domain says that it takes no mail at all. Please check the part of the address behind the @ for typing errors." },
	{ ".1.2",  "Please check the part of the address behind the @ for typing errors: there is no mail server for it." },
	{ ".1.",   "Please check the address for typing errors, or ask the recipient for a new one." },
	{ ".2.2",  "The mailbox is full. Please tell the recipient in another way, and send the message again later." },
	{ ".2.",   "Something is wrong with that mailbox. Please tell the recipient in another way." },
	{ ".3.4",  "The message is too large for that server. Please send a smaller one, or share large files by a link." },
	{ ".4.6",  "The mail servers of the recipient's domain send the message in a circle. Please tell the recipient in another way." },
	{ ".4.",   "The recipient's mail server could not be reached. Please send the message again later, or use another way." },
	{ ".5.3",  "There were too many recipients. Please send the message to fewer at once." },
	{ ".6.7",  "That server takes only addresses in plain letters. Please ask the recipient for such an address." },
	{ ".6.",   "That server cannot take the message in this form. Please let your mail program encode it (quoted-printable or base64)." },
	{ ".7.",   "The recipient's mail server refuses the message by its own rules. Please ask your postmaster, and show this notice." },
	{ "",      "If you cannot tell what is meant, please ask your postmaster, and show this notice." },
};

static const char *advice_for(const char *status)
{
	size_t i = 0;
	while (!sp_str_starts(sp_str_of(status + 1), sp_str_of(advices[i].status)))
		i++;                            /* the last row always fits */
	return advices[i].advice;
}

/* RFC 8689: it was the message that asked for more than the way to its recipient offers. */
static void write_require_tls(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	paragraphf(out, "    ", "The message asks to be sent by protected connections only (REQUIRETLS), and the way to %.255s is not%s:", domain_of(r->address),
	           d->action == SMTP_DSN_DELAYED ? ", for now" : "");
	paragraph(out, "      ", r->fail->text);
	if (d->action != SMTP_DSN_DELAYED)
		paragraph(out, "    ", "Send it without asking for that, if its content allows it, or reach the recipient in another way.");
}

static void write_policy(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	paragraphf(out, "    ", "The message was kept back, because it could not be sent in the protected way that mail to %.255s demands:",
	           domain_of(r->address));
	if (r->policy)
		paragraphf(out, "      ", "policy: %.900s", r->policy);
	paragraph(out, "      ", r->fail->text);
	paragraphf(out, "    ", "Neither your message nor the address is at fault. Either the mail servers of %.255s are set up wrongly, or someone "
	           "interferes with the connection to them.%s", domain_of(r->address),
	           d->action == SMTP_DSN_DELAYED ? " If it is urgent, please reach the recipient in another way." :
	           " Please reach the recipient in another way, and ask that this notice is shown to whoever runs mail there;"
	           " once it is mended, send the message again.");
}

static void write_reply(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, const char *reply, struct sp_buf *out)
{
	paragraphf(out, "    ", "The mail server %.300s%s:", r->remote_mta ? r->remote_mta : "of the recipient",
	           d->action == SMTP_DSN_DELAYED ? " does not take it for now, and says" : " refused it, and says");
	paragraph(out, "      ", reply);
}

static void write_address(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	struct sp_str s = sp_str_of(r->address);
	sp_buf_adds(out, "  <");
	smtp_dsn_add_text(out, sp_str_make(s.p, sp_min(s.len, WORD_MAX)), d->utf8);
	sp_buf_adds(out, ">\r\n");
}

static void write_next_hop(const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	paragraphf(out, "    ", "The mail server %.300s took it%s", r->remote_mta ? r->remote_mta : "of the recipient",
	           r->reply && *r->reply ? ", and says:" : ".");
	if (r->reply && *r->reply)
		paragraphf(out, "      ", "%.2000s", r->reply);
}

/* Why it did not go, and what can be done. */
static void write_reason(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	if (sp_str_starts(sp_str_of(r->fail->reason), SP_STR("requiretls-"))) {
		write_require_tls(d, r, out);
		return;
	}
	if (is_policy(r)) {
		write_policy(d, r, out);
		return;
	}
	const char *reply = smtp_dsn_reply(r->fail);
	if (reply)
		write_reply(d, r, reply, out);
	else
		paragraph(out, "    ", r->fail->text);
	if (d->action == SMTP_DSN_DELAYED)
		return;
	char status[12];
	paragraph(out, "    ", advice_for(smtp_dsn_is_own(r->fail) ? "5.0.0" : smtp_dsn_status(r->fail, true, status)));
}

static void write_recipient(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	sp_buf_adds(out, "\r\n");
	write_address(d, r, out);
	if (d->action == SMTP_DSN_RELAYED) {
		write_next_hop(r, out);
		return;
	}
	write_reason(d, r, out);
	if (r->tried)
		paragraphf(out, "    ", "(%.900s)", r->tried);
}

static int64_t first_retry_until(const struct smtp_dsn *d)
{
	int64_t until = 0;
	for (size_t i = 0; i < d->count; i++)
		if (d->recipients[i].retry_until_s > 0 && (until == 0 || d->recipients[i].retry_until_s < until))
			until = d->recipients[i].retry_until_s;
	return until;
}

static void write_delayed(const struct smtp_dsn *d, const char *date, struct sp_buf *out)
{
	paragraph(out, "", "This is a warning only: you need not send your message again.");
	sp_buf_adds(out, "\r\n");
	char until[40] = "";
	int64_t until_s = first_retry_until(d);
	paragraphf(out, "", "Your message of %s (queue id %.100s) has not been delivered to %s below yet. It will be tried again%s%s; if that is in "
	           "vain, you get another notice.", date, d->original_id, d->count == 1 ? "the recipient" : "the recipients",
	           until_s ? " until " : "", until_s ? sp_date_mail(until_s, until) : "");
}

static void write_failed(const struct smtp_dsn *d, const char *date, struct sp_buf *out)
{
	paragraphf(out, "", "Your message of %s (queue id %.100s) could not be delivered to %s below. It will not be tried again.", date,
	           d->original_id, d->count == 1 ? "the recipient" : "the recipients");
}

static void write_relayed(const struct smtp_dsn *d, const char *date, struct sp_buf *out)
{
	paragraphf(out, "", "Your message of %s (queue id %.100s) was passed on to the next mail server for %s below, as you wanted to know. That is not yet a "
	           "delivery: whether you hear of one is up to that server.", date, d->original_id, d->count == 1 ? "the recipient" : "the recipients");
}

/* RFC 2852: only where that time is up. */
static void write_deliver_by(const struct smtp_dsn *d, struct sp_buf *out)
{
	char date[40];
	if (d->deliver_by_s == 0 || d->now_s < d->deliver_by_s || d->action == SMTP_DSN_RELAYED)
		return;
	sp_buf_adds(out, "\r\n");
	paragraphf(out, "", "It was to be delivered by %s: that time is up.", sp_date_mail(d->deliver_by_s, date));
}

void smtp_dsn_write_human(const struct smtp_dsn *d, struct sp_buf *out)
{
	char arrived[40];
	sp_date_mail(d->arrived_s, arrived);
	paragraphf(out, "", "This is the mail relay at %.255s.", d->hostname);
	sp_buf_adds(out, "\r\n");
	switch (d->action) {
	case SMTP_DSN_DELAYED:
		write_delayed(d, arrived, out);
		break;
	case SMTP_DSN_RELAYED:
		write_relayed(d, arrived, out);
		break;
	case SMTP_DSN_FAILED:
		write_failed(d, arrived, out);
	}
	write_deliver_by(d, out);
	for (size_t i = 0; i < d->count; i++)
		write_recipient(d, &d->recipients[i], out);
}

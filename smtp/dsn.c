/* smtp/dsn.c - see dsn.h. The text for people is in dsn_human.c. */
#include "smtp/dsn_address.h"
#include "smtp/dsn_human.h"
#include "smtp/dsn_machine.h"

#include "core/utf8.h"

#include <stdio.h>

#define LINE_OCTETS_MAX 998             /* RFC 5322 2.1.1, without CRLF */

/* --- fields --- */

/* An address as it is: folding could change blanks in a quoted local part. */
static void add_to(const struct smtp_dsn *d, struct sp_buf *out)
{
	struct sp_str s = sp_str_of(d->sender);
	sp_buf_adds(out, "To: <");
	smtp_dsn_add_text(out, sp_str_make(s.p, sp_min(s.len, 900)), d->utf8);
	sp_buf_adds(out, ">\r\n");
}

/* The next field of a header section with its continuation lines; false at the end. */
static bool take_field(struct sp_str *header, struct sp_str *field_out)
{
	struct sp_str line, start = *header;
	if (!sp_take_line(header, &line))
		return false;
	while (header->len > 0 && sp_is_blank(header->p[0]))
		if (!sp_take_line(header, &line))
			break;
	*field_out = sp_str_make(start.p, start.len - header->len);
	return true;
}

/* The message's own Message-ID, with its brackets; empty where there is none that can be repeated. */
static struct sp_str message_id(struct sp_str header)
{
	struct sp_str f;
	while (take_field(&header, &f)) {
		if (!sp_take_prefix_nocase(&f, SP_STR("message-id:")))
			continue;
		size_t open = sp_str_find(f, '<');
		f = sp_str_from(f, open);
		size_t len = sp_str_find(f, '>') + 1;
		if (len > f.len || len > 250)
			break;
		for (size_t i = 0; i < len; i++)
			if (!sp_is_print(f.p[i]) || f.p[i] == ' ')
				return SP_STR("");
		return sp_str_make(f.p, len);
	}
	return SP_STR("");
}

/* --- what is returned --- */

struct returned {
	struct sp_str octets;           /* empty: nothing */
	bool whole;                     /* message/rfc822; else its header */
	bool eight_bit;
	bool global;                    /* its header is UTF-8 (RFC 6532) */
};

/* RFC 2045 2.7 and 2.8: CRLF lines of at most 998 octets without NUL can be returned as they are. */
static bool fits_mail(struct sp_str s)
{
	while (s.len > 0) {
		size_t at = sp_str_find(s, '\n');
		if (at == s.len)
			return at <= LINE_OCTETS_MAX && !sp_str_contains(s, '\r') && !sp_str_contains(s, '\0');
		struct sp_str line = sp_str_make(s.p, at);
		if (sp_str_find(line, '\r') + 1 != at || at > LINE_OCTETS_MAX + 1 || sp_str_contains(line, '\0'))
			return false;
		s = sp_str_from(s, at + 1);
	}
	return true;
}

static struct returned choose_returned(const struct smtp_dsn *d)
{
	bool whole = d->original_body.len > 0 && fits_mail(d->original_body);
	struct sp_str octets = whole ? d->original_body : d->original_header;
	bool global = d->utf8 && !sp_str_is_ascii(d->original_header) && sp_str_is_utf8(d->original_header);
	return (struct returned){ octets, whole, !sp_str_is_ascii(octets), global };
}

static void add_whole(struct sp_buf *out, struct sp_str message)
{
	sp_buf_add(out, message);
	if (!sp_str_ends(message, SP_STR("\r\n")))
		sp_buf_adds(out, "\r\n");
}

/* Line by line: what does not fit mail is cut or replaced, as this is only for looking at. */
static void add_header(struct sp_buf *out, struct sp_str header)
{
	struct sp_str line;
	while (sp_take_line(&header, &line)) {
		line.len = sp_min(line.len, LINE_OCTETS_MAX);
		size_t start = out->len;
		sp_buf_add(out, line);
		for (size_t i = start; i < out->len; i++)
			if (out->p[i] == '\0' || out->p[i] == '\r')
				out->p[i] = '?';
		sp_buf_adds(out, "\r\n");
	}
}

/* --- the whole --- */

static bool contains(struct sp_str s, const char *what)
{
	return s.len > 0 && memmem(s.p, s.len, what, strlen(what)) != NULL;
}

/* RFC 2046 5.1.1: a boundary that does not occur in what it divides. "=_" cannot stand in quoted-printable or base64. Our own lines
 * never begin with "--". */
static void choose_boundary(const struct smtp_dsn *d, struct sp_str returned, char boundary[70])
{
	char id[48];
	size_t len = 0;
	for (const char *c = d->id; *c && len < sizeof(id) - 1; c++)
		if (sp_is_alnum(*c))
			id[len++] = *c;
	id[len] = '\0';
	unsigned n = 0;
	do
		snprintf(boundary, 70, "=_%s.%u", id, n++);
	while (contains(returned, boundary));
}

static void write_head(const struct smtp_dsn *d, bool eight_bit, const char *boundary, struct sp_buf *out)
{
	static const char *const subjects[] = {
		[SMTP_DSN_FAILED] = "Undelivered Mail Returned to Sender", [SMTP_DSN_DELAYED] = "Delayed Mail (still being retried)",
		[SMTP_DSN_RELAYED] = "Mail Passed On to the Next Server",
	};
	smtp_dsn_field(out, "From", "Mail Delivery System <MAILER-DAEMON@%.255s>", d->hostname);
	add_to(d, out);
	smtp_dsn_field(out, "Subject", "%s", subjects[d->action]);
	smtp_dsn_date_field(out, "Date", d->now_s);
	smtp_dsn_field(out, "Message-ID", "<%.100s@%.255s>", d->id, d->hostname);
	struct sp_str original = message_id(d->original_header);
	if (original.len > 0) {                 /* RFC 3834 3.1.5 */
		smtp_dsn_field(out, "In-Reply-To", "%.*s", SP_STR_ARG(original));
		smtp_dsn_field(out, "References", "%.*s", SP_STR_ARG(original));
	}
	sp_buf_adds(out, "Auto-Submitted: auto-replied\r\n");           /* RFC 3834 5 */
	if (d->tls_optional)
		sp_buf_adds(out, "TLS-Required: No\r\n");                     /* RFC 8689 6 */
	sp_buf_adds(out, "MIME-Version: 1.0\r\n");
	/* RFC 6522 3 */
	sp_buf_printf(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n", boundary);
	if (eight_bit)
		sp_buf_adds(out, "Content-Transfer-Encoding: 8bit\r\n");        /* RFC 2045 6.4: at least as wide as its parts */
	sp_buf_adds(out, "\r\nThis is a MIME-encapsulated message.\r\n");
}

static void part(struct sp_buf *out, const char *boundary, const char *type, const char *description, bool eight_bit)
{
	sp_buf_printf(out, "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\n%s\r\n", boundary, type, description,
	              eight_bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

static void write_returned(const struct returned *r, const char *boundary, struct sp_buf *out)
{
	if (r->octets.len == 0)
		return;
	if (r->whole)
		part(out, boundary, r->global ? "message/global" : "message/rfc822", "Undelivered message", r->eight_bit);
	else
		part(out, boundary, r->global ? "message/global-headers" : "text/rfc822-headers", "Header of the message", r->eight_bit);
	if (r->whole)
		add_whole(out, r->octets);
	else
		add_header(out, r->octets);
}

/* RFC 6533 4 to 6: the types for internationalized mail are used where a part has octets over 127, which it has only with d->utf8. */
void smtp_dsn_write(const struct smtp_dsn *d, struct sp_buf *out)
{
	struct returned r = choose_returned(d);
	struct sp_buf human, machine;
	char boundary[70];
	sp_buf_init(&human, out->max);
	sp_buf_init(&machine, out->max);
	smtp_dsn_write_human(d, &human);
	smtp_dsn_write_machine(d, &machine);
	bool wide_human = !sp_str_is_ascii(sp_buf_str(&human)), wide_machine = !sp_str_is_ascii(sp_buf_str(&machine));
	choose_boundary(d, r.octets, boundary);
	write_head(d, r.eight_bit || wide_human || wide_machine, boundary, out);
	part(out, boundary, wide_human ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", "Notification", wide_human);
	sp_buf_add(out, sp_buf_str(&human));
	part(out, boundary, wide_machine ? "message/global-delivery-status" : "message/delivery-status", "Delivery report", wide_machine);
	sp_buf_add(out, sp_buf_str(&machine));
	write_returned(&r, boundary, out);
	sp_buf_printf(out, "\r\n--%s--\r\n", boundary);
	out->failed |= sp_buf_failed(&human) || sp_buf_failed(&machine);
	sp_buf_clear(&human);
	sp_buf_clear(&machine);
}

/* smtp/dsn.c - see dsn.h. The text for people is in dsn_human.c. */
#include "smtp/dsn_human.h"

#include "core/date.h"

#include <stdio.h>

#define LINE_OCTETS_MAX 998             /* RFC 5322 2.1.1, without CRLF */

/* --- status --- */

/* RFC 3463 2: class.subject.detail. */
static bool valid_status(const char *s)
{
	struct sp_str rest = sp_str_of(s);
	uint64_t class, subject, detail;
	return sp_take_digits(&rest, 1, &class) && sp_take_char(&rest, '.') && sp_take_digits(&rest, 3, &subject) &&
	       sp_take_char(&rest, '.') && sp_take_digits(&rest, 3, &detail) && rest.len == 0 && (class == 4 || class == 5);
}

static const char *status_of_code(int code)
{
	switch (code) {
	case 421: return "3.2";         /* the system takes no mail now */
	case 452: return "3.1";         /* storage */
	case 552: return "2.2";         /* quota */
	case 553: return "1.3";         /* address syntax */
	default:  return "0.0";
	}
}

/* Subject and detail, RFC 3463 3 and the IANA registry. */
static const char *status_of_fail(const struct sp_fail *f, bool permanent)
{
	if (f->result == SP_RESULT_STARTTLS_NOT_SUPPORTED)
		return "7.4";                   /* security features not supported */
	if (f->result != SP_RESULT_NONE)
		return "7.5";                   /* cryptographic failure */
	switch (f->kind) {
	case SP_FAIL_DNS:      return permanent && f->permanent ? "1.2" : "4.3";
	case SP_FAIL_CONNECT:  return "4.1";
	case SP_FAIL_TLS:      return "7.5";
	case SP_FAIL_POLICY:   return "7.1";
	case SP_FAIL_HTTP:     return "7.5";
	case SP_FAIL_PROTOCOL: return "5.0";
	case SP_FAIL_STORE:    return "3.0";
	case SP_FAIL_SHUTDOWN: return "3.2";
	case SP_FAIL_REPLY:    return status_of_code(f->code);
	case SP_FAIL_NONE:     break;
	}
	return "0.0";
}

const char *smtp_dsn_status(const struct sp_fail *f, bool permanent, char text[12])
{
	const char *rest = valid_status(f->esc) ? f->esc + 2 : status_of_fail(f, permanent);
	snprintf(text, 12, "%c.%s", permanent ? '5' : '4', rest);
	return text;
}

/* --- fields --- */

SP_PRINTF(3, 4) static void field(struct sp_buf *out, const char *name, const char *fmt, ...)
{
	struct sp_buf value;
	sp_buf_init(&value, 8192);
	va_list args;
	va_start(args, fmt);
	sp_buf_vprintf(&value, fmt, args);
	va_end(args);
	sp_buf_printf(out, "%s: ", name);
	smtp_dsn_add_folded(out, strlen(name) + 2, " ", sp_buf_str(&value));
	sp_buf_adds(out, "\r\n");
	sp_buf_clear(&value);
}

/* An address as it is: folding could change blanks in a quoted local part. */
static void address_field(struct sp_buf *out, const char *before, const char *address, const char *after)
{
	struct sp_str s = sp_str_of(address);
	sp_buf_adds(out, before);
	sp_buf_add_printable(out, sp_str_make(s.p, sp_min(s.len, 900)));
	sp_buf_printf(out, "%s\r\n", after);
}

static void date_field(struct sp_buf *out, const char *name, int64_t at_s)
{
	char date[40];
	field(out, name, "%s", sp_date_mail(at_s, date));
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
};

static bool has_eight_bit(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] > 127)
			return true;
	return false;
}

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
	return (struct returned){ octets, whole, has_eight_bit(octets) };
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

static void write_head(const struct smtp_dsn *d, const struct returned *r, const char *boundary, struct sp_buf *out)
{
	bool delayed = d->action == SMTP_DSN_DELAYED;
	field(out, "From", "Mail Delivery System <MAILER-DAEMON@%.255s>", d->hostname);
	address_field(out, "To: <", d->sender, ">");
	field(out, "Subject", "%s", delayed ? "Delayed Mail (still being retried)" : "Undelivered Mail Returned to Sender");
	date_field(out, "Date", d->now_s);
	field(out, "Message-ID", "<%.100s@%.255s>", d->id, d->hostname);
	struct sp_str original = message_id(d->original_header);
	if (original.len > 0) {                 /* RFC 3834 3.1.5 */
		field(out, "In-Reply-To", "%.*s", SP_STR_ARG(original));
		field(out, "References", "%.*s", SP_STR_ARG(original));
	}
	sp_buf_adds(out, "Auto-Submitted: auto-replied\r\n");           /* RFC 3834 5 */
	sp_buf_adds(out, "MIME-Version: 1.0\r\n");
	/* RFC 6522 3 */
	sp_buf_printf(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n", boundary);
	if (r->eight_bit)
		sp_buf_adds(out, "Content-Transfer-Encoding: 8bit\r\n");        /* RFC 2045 6.4: at least as wide as its parts */
	sp_buf_adds(out, "\r\nThis is a MIME-encapsulated message.\r\n");
}

/* "mx1.example.com [192.0.2.1]" is "mx1.example.com" to a machine. */
static struct sp_str host_of(const char *remote_mta)
{
	struct sp_str s = sp_str_of(remote_mta);
	size_t len = sp_min(sp_str_find(s, ' '), sp_str_find(s, '['));
	return len > 0 ? sp_str_make(s.p, len) : s;
}

/* RFC 3464 2.3. */
static void write_recipient(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	bool failed = d->action == SMTP_DSN_FAILED;
	char status[12];
	sp_buf_adds(out, "\r\n");
	address_field(out, "Final-Recipient: rfc822; ", r->address, "");
	field(out, "Action", "%s", failed ? "failed" : "delayed");
	field(out, "Status", "%s", smtp_dsn_status(r->fail, failed, status));
	if (r->remote_mta && *r->remote_mta)
		field(out, "Remote-MTA", "dns; %.*s", SP_STR_ARG(host_of(r->remote_mta)));
	const char *reply = smtp_dsn_reply(r->fail);
	field(out, "Diagnostic-Code", "%s; %s", reply ? "smtp" : "X-Strictpost", reply ? reply : r->fail->text);
	if (r->fail->result != SP_RESULT_NONE)
		field(out, "X-Strictpost-Result", "%s", sp_result_str(r->fail->result));
	if (r->policy)
		field(out, "X-Strictpost-Policy", "%.900s", r->policy);
	if (r->last_attempt_s > 0)
		date_field(out, "Last-Attempt-Date", r->last_attempt_s);
	if (!failed && r->retry_until_s > 0)
		date_field(out, "Will-Retry-Until", r->retry_until_s);
}

static void write_machine(const struct smtp_dsn *d, struct sp_buf *out)
{
	field(out, "Reporting-MTA", "dns; %.255s", d->hostname);        /* RFC 3464 2.2.2 */
	field(out, "X-Strictpost-Queue-ID", "%.100s", d->original_id);
	date_field(out, "Arrival-Date", d->arrived_s);
	for (size_t i = 0; i < d->count; i++)
		write_recipient(d, &d->recipients[i], out);
}

static void write_returned(const struct returned *r, const char *boundary, struct sp_buf *out)
{
	if (r->octets.len == 0)
		return;
	sp_buf_printf(out, "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\n", boundary,
	              r->whole ? "message/rfc822" : "text/rfc822-headers",
	              r->whole ? "Undelivered message" : "Header of the message");
	if (r->eight_bit)
		sp_buf_adds(out, "Content-Transfer-Encoding: 8bit\r\n");
	sp_buf_adds(out, "\r\n");
	if (r->whole)
		add_whole(out, r->octets);
	else
		add_header(out, r->octets);
}

void smtp_dsn_write(const struct smtp_dsn *d, struct sp_buf *out)
{
	struct returned r = choose_returned(d);
	char boundary[70];
	choose_boundary(d, r.octets, boundary);
	write_head(d, &r, boundary, out);
	sp_buf_printf(out, "\r\n--%s\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Description: Notification\r\n\r\n", boundary);
	smtp_dsn_write_human(d, out);
	sp_buf_printf(out, "\r\n--%s\r\nContent-Type: message/delivery-status\r\nContent-Description: Delivery report\r\n\r\n", boundary);
	write_machine(d, out);
	write_returned(&r, boundary, out);
	sp_buf_printf(out, "\r\n--%s--\r\n", boundary);
}

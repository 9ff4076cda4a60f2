/* rpt/mail.c - see mail.h. Nobody ends a line here but we: what comes from outside is made printable, and stands as one word. */
#include "rpt/mail.h"

#include "core/base64.h"
#include "core/date.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE_OCTETS 76              /* RFC 2045 6.8, RFC 5322 2.1.1; words that are longer stand alone */
#define WORD_MAX 600                    /* octets: an address has at most 320, a file name may have more */
#define TEXT_MAX 16384

/* --- lines --- */

struct lines {
	struct sp_buf *out;
	size_t start;                   /* of the line, in out */
	const char *indent;             /* what a further line begins with */
};

/* One word behind a blank; on a line of its own where this one has no room. Nothing is ever broken inside of it. */
static void add_word(struct lines *l, struct sp_str word)
{
	word.len = sp_min(word.len, WORD_MAX);
	size_t used = l->out->len - l->start;
	if (used > 0 && used + 1 + word.len > LINE_OCTETS) {
		sp_buf_adds(l->out, "\r\n");
		l->start = l->out->len;
		sp_buf_adds(l->out, l->indent);
	} else if (used > 0) {
		sp_buf_addc(l->out, ' ');
	}
	sp_buf_add_printable(l->out, word);
}

static void add_words(struct lines *l, const char *text)
{
	struct sp_str rest = sp_str_of(text);
	while (rest.len > 0)
		add_word(l, sp_take_until(&rest, ' '));
}

/* --- the header --- */

static void field(struct sp_buf *out, const char *name, const char *value)
{
	struct lines l = { out, out->len, " " };        /* RFC 5322 2.2.3: folded before the value, or not at all */
	sp_buf_printf(out, "%s:", name);
	add_word(&l, sp_str_of(value));
	sp_buf_adds(out, "\r\n");
}

static bool is_id_char(char c)          /* RFC 5322 3.6.4: dot-atom-text */
{
	return sp_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);
}

/* RFC 8460 5.3: "<" id-left "@" id-right ">". A report id need not have two halves; then the submitter is the second. */
static void report_id(const struct rpt_mail *m, char *text, size_t size)
{
	const char *id = m->head->report_id, *at = strchr(id, '@');
	snprintf(text, size, at && at > id && at[1] != '\0' ? "<%.250s>" : "<%.250s@%.250s>", id, m->submitter);
	size_t last = strlen(text) - 1;
	bool seen = false;
	for (size_t i = 1; i < last; i++) {
		bool first_at = text[i] == '@' && !seen;
		seen |= first_at;
		if (!first_at && !is_id_char(text[i]))
			text[i] = '-';
	}
}

/* RFC 8460 5.3, tlsrpt-subject. */
static void subject(const struct rpt_mail *m, struct sp_buf *out)
{
	char id[512];
	report_id(m, id, sizeof(id));
	struct lines l = { out, out->len, " " };
	sp_buf_adds(out, "Subject:");
	add_words(&l, "Report Domain:");
	add_word(&l, sp_str_of(m->head->domain));
	add_word(&l, SP_STR("Submitter:"));
	add_word(&l, sp_str_of(m->submitter));
	add_word(&l, SP_STR("Report-ID:"));
	add_word(&l, sp_str_of(id));
	sp_buf_adds(out, "\r\n");
}

static void write_header(const struct rpt_mail *m, const char *boundary, struct sp_buf *out)
{
	char date[40], id[512];
	field(out, "From", m->from);
	field(out, "To", m->to);
	field(out, "Date", sp_date_mail(m->now_s, date));
	snprintf(id, sizeof(id), "<%.500s>", m->message_id);
	field(out, "Message-ID", id);
	subject(m, out);
	field(out, "TLS-Report-Domain", m->head->domain);               /* RFC 8460 5.3 */
	field(out, "TLS-Report-Submitter", m->submitter);
	field(out, "TLS-Required", "No");                               /* RFC 8689 3; RFC 8460 3: reports go out although TLS fails */
	field(out, "Auto-Submitted", "auto-generated");                 /* RFC 3834 5 */
	field(out, "MIME-Version", "1.0");
	sp_buf_printf(out, "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary=\"%s\"\r\n", boundary);      /* RFC 6522 3 */
	sp_buf_adds(out, "\r\nThis is a message in MIME format.\r\n");
}

/* --- what people read --- */

SP_PRINTF(2, 3) static void paragraph(struct sp_buf *out, const char *fmt, ...)
{
	struct sp_buf text;
	sp_buf_init(&text, TEXT_MAX);
	va_list args;
	va_start(args, fmt);
	sp_buf_vprintf(&text, fmt, args);
	va_end(args);
	struct lines l = { out, out->len, "" };
	add_words(&l, sp_buf_cstr(&text));
	sp_buf_adds(out, "\r\n\r\n");
	sp_buf_clear(&text);
}

static void write_counts(const struct rpt_mail *m, struct sp_buf *out)
{
	sp_buf_printf(out, "    Sessions that succeeded: %12" PRIu64 "\r\n", m->successes);
	sp_buf_printf(out, "    Sessions that failed:    %12" PRIu64 "\r\n\r\n", m->failures);
	if (m->failures == 0)
		paragraph(out, "There were no failures, so nothing needs to be done.");
	else
		paragraph(out, "The attachment tells for each failure what went wrong, at which of your mail servers, and how often. A failure need not "
		          "mean that mail was lost: it may have waited, have been sent to another server, or have gone out with less protection than "
		          "your policy asks for, as that policy and ours allow.");
}

/* Whoever gets this asked for it in DNS, but may know neither what it is nor what to do with such a file. */
static void write_human(const struct rpt_mail *m, const char *file, struct sp_buf *out)
{
	char day[40];
	sp_date_rfc3339(m->head->day * RPT_DAY_S, day);
	paragraph(out, "This is a TLS report (RFC 8460) from %.255s: how its connections to the mail servers of %.255s went on %.10s (a full day, UTC).",
	          m->submitter, m->head->domain, day);
	write_counts(m, out);
	paragraph(out, "The attached file is for programs that read TLS reports: JSON, packed with gzip. To see it as a table, save it (or this whole "
	          "message) and run:");
	sp_buf_adds(out, "    strictpost report read '");         /* in quotes, because of the "!" */
	sp_buf_add_printable(out, sp_str_of(file));
	sp_buf_adds(out, "'\r\n\r\n");
	paragraph(out, "You get this because the TXT record at _smtp._tls.%.255s asks for it; who wants such reports elsewhere, or no more, changes that "
	          "record. Questions about this one go to %.320s, report id %.250s.", m->head->domain, m->head->contact, m->head->report_id);
}

/* --- the whole --- */

/* RFC 2046 5.1.1: what occurs in no part. Base64 has no "_", and a line of ours never begins with "--"; the loop is for names that hold anything. */
static void choose_boundary(const struct rpt_mail *m, struct sp_str human, char boundary[70])
{
	char id[48];
	size_t len = 0;
	for (const char *c = m->message_id; *c && len < sizeof(id) - 1; c++)
		if (sp_is_alnum(*c))
			id[len++] = *c;
	id[len] = '\0';
	unsigned n = 0;
	do
		snprintf(boundary, 70, "=_%s.%u", id, n++);
	while (human.len > 0 && memmem(human.p, human.len, boundary, strlen(boundary)) != NULL);
}

void rpt_mail_write(const struct rpt_mail *m, struct sp_buf *out)
{
	char boundary[70];
	struct sp_buf file, human;
	sp_buf_init(&file, TEXT_MAX);
	sp_buf_init(&human, TEXT_MAX);
	rpt_file_name(m->submitter, m->head, &file);
	write_human(m, sp_buf_cstr(&file), &human);
	choose_boundary(m, sp_buf_str(&human), boundary);
	write_header(m, boundary, out);
	sp_buf_printf(out, "\r\n--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n", boundary);
	sp_buf_add(out, sp_buf_str(&human));
	/* RFC 8460 5.3: the report is the second part */
	sp_buf_printf(out, "--%s\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n", boundary);
	sp_buf_printf(out, "Content-Disposition: attachment;\r\n filename=\"%s\"\r\n\r\n", sp_buf_cstr(&file));
	sp_base64_add(out, m->document, LINE_OCTETS);
	sp_buf_printf(out, "\r\n--%s--\r\n", boundary);
	sp_buf_clear(&file);
	sp_buf_clear(&human);
}

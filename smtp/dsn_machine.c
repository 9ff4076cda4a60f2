/* smtp/dsn_machine.c - see dsn_machine.h. */
#include "smtp/dsn_machine.h"

#include "core/date.h"
#include "smtp/dsn_address.h"
#include "smtp/dsn_human.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE_OCTETS 990                 /* at most: RFC 5322 2.1.1, 998 */

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

/* What this relay keeps mail back for by itself, in relay/'s words (relay/route.c, relay/destination_work.c). */
static const struct { const char *reason, *status; } own[] = {
	{ "rate", "4.5" },              /* congestion */
	{ "route-gone", "3.5" },        /* incorrectly configured */
	{ "source-gone", "3.5" },
};

static const char *own_status(const struct sp_fail *f)
{
	for (size_t i = 0; i < SP_COUNT(own) && f->kind == SP_FAIL_POLICY; i++)
		if (strcmp(f->reason, own[i].reason) == 0)
			return own[i].status;
	return NULL;
}

bool smtp_dsn_is_own(const struct sp_fail *f)
{
	return own_status(f) != NULL;
}

/* Subject and detail, RFC 3463 3 and the IANA registry. */
static const char *status_of_fail(const struct sp_fail *f, bool permanent)
{
	if (f->result == SP_RESULT_STARTTLS_NOT_SUPPORTED)
		return "7.4";                   /* security features not supported */
	if (f->result != SP_RESULT_NONE)
		return "7.5";                   /* cryptographic failure */
	if (own_status(f))
		return own_status(f);
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

void smtp_dsn_field(struct sp_buf *out, const char *name, const char *fmt, ...)
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

void smtp_dsn_date_field(struct sp_buf *out, const char *name, int64_t at_s)
{
	char date[40];
	smtp_dsn_field(out, name, "%s", sp_date_mail(at_s, date));
}

/* An address as it is: folding could change blanks in a quoted local part. */
static void address_field(struct sp_buf *out, const char *name, const char *value, bool global,
                          void (*add)(struct sp_buf *out, struct sp_str s, bool global))
{
	size_t start = out->len;
	sp_buf_printf(out, "%s: ", name);
	add(out, sp_str_of(value), global);
	sp_buf_truncate(out, sp_min(out->len, start + LINE_OCTETS));
	sp_buf_adds(out, "\r\n");
}

/* --- the whole --- */

const char *smtp_dsn_action_str(enum smtp_dsn_action action)
{
	static const char *const names[] = { [SMTP_DSN_FAILED] = "failed", [SMTP_DSN_DELAYED] = "delayed", [SMTP_DSN_RELAYED] = "relayed" };
	return names[action];
}

/* "mx1.example.com [192.0.2.1]" is "mx1.example.com" to a machine. */
static struct sp_str host_of(const char *remote_mta)
{
	struct sp_str s = sp_str_of(remote_mta);
	size_t len = sp_min(sp_str_find(s, ' '), sp_str_find(s, '['));
	return len > 0 ? sp_str_make(s.p, len) : s;
}

/* What the next hop said, or what kept it from saying anything. */
static void write_diagnosis(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	if (d->action == SMTP_DSN_RELAYED) {
		if (r->reply && *r->reply)
			smtp_dsn_field(out, "Diagnostic-Code", "smtp; %.2000s", r->reply);
		return;
	}
	const char *reply = smtp_dsn_reply(r->fail);
	smtp_dsn_field(out, "Diagnostic-Code", "%s; %s", reply ? "smtp" : "X-Strictpost", reply ? reply : r->fail->text);
	if (r->fail->result != SP_RESULT_NONE)
		smtp_dsn_field(out, "X-Strictpost-Result", "%s", sp_result_str(r->fail->result));
	if (r->policy)
		smtp_dsn_field(out, "X-Strictpost-Policy", "%.900s", r->policy);
}

/* RFC 3464 2.3. */
static void write_recipient(const struct smtp_dsn *d, const struct smtp_dsn_recipient *r, struct sp_buf *out)
{
	char status[12];
	bool relayed = d->action == SMTP_DSN_RELAYED;
	sp_buf_adds(out, "\r\n");
	if (r->orcpt && *r->orcpt)
		address_field(out, "Original-Recipient", r->orcpt, d->utf8, smtp_dsn_add_orcpt);
	address_field(out, "Final-Recipient", r->address, d->utf8, smtp_dsn_add_address);
	smtp_dsn_field(out, "Action", "%s", smtp_dsn_action_str(d->action));
	smtp_dsn_field(out, "Status", "%s", relayed ? "2.0.0" : smtp_dsn_status(r->fail, d->action == SMTP_DSN_FAILED, status));
	if (r->remote_mta && *r->remote_mta)
		smtp_dsn_field(out, "Remote-MTA", "dns; %.*s", SP_STR_ARG(host_of(r->remote_mta)));
	write_diagnosis(d, r, out);
	if (r->last_attempt_s > 0)
		smtp_dsn_date_field(out, "Last-Attempt-Date", r->last_attempt_s);
	if (d->action == SMTP_DSN_DELAYED && r->retry_until_s > 0)
		smtp_dsn_date_field(out, "Will-Retry-Until", r->retry_until_s);
}

void smtp_dsn_write_machine(const struct smtp_dsn *d, struct sp_buf *out)
{
	char date[40];
	if (d->envid && *d->envid) {            /* RFC 3464 2.2.1; not folded: its blanks are its own */
		sp_buf_adds(out, "Original-Envelope-Id: ");
		smtp_dsn_add_xtext(out, sp_str_of(d->envid));
		sp_buf_adds(out, "\r\n");
	}
	smtp_dsn_field(out, "Reporting-MTA", "dns; %.255s", d->hostname);       /* RFC 3464 2.2.2 */
	smtp_dsn_field(out, "X-Strictpost-Queue-ID", "%.100s", d->original_id);
	smtp_dsn_date_field(out, "Arrival-Date", d->arrived_s);
	if (d->deliver_by_s > 0)
		smtp_dsn_date_field(out, "Deliver-By-Date", d->deliver_by_s);   /* RFC 2852 5 */
	if (d->hold_for_s > 0)
		smtp_dsn_field(out, "Future-Release-Request", "for;%" PRIu32, d->hold_for_s);   /* RFC 4865 5.1.2 */
	else if (d->hold_until_s > 0)
		smtp_dsn_field(out, "Future-Release-Request", "until;%s", sp_date_rfc3339(d->hold_until_s, date));
	for (size_t i = 0; i < d->count; i++)
		write_recipient(d, &d->recipients[i], out);
}

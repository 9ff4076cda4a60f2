/* rpt/mail.h - a report as a message: multipart/report; report-type="tlsrpt" (RFC 8460 5.3, RFC 6522), unsigned. Pure. Used by relay/reporter.c. */
#ifndef RPT_MAIL_H
#define RPT_MAIL_H

#include "rpt/compose.h"

struct rpt_mail {
	const struct rpt_head *head;
	const char *submitter;          /* domain: TLS-Report-Submitter, and in the subject */
	const char *from;               /* address; its domain is the submitter's */
	const char *to;
	const char *message_id;         /* without <>; unique to this message */
	int64_t now_s;
	struct sp_str document;         /* gzip */
	uint64_t successes, failures;   /* for the part that people read */
};
/* Appends the whole message, ASCII, CRLF lines of at most 78 characters where a field's parts allow. TLS-Required: No (RFC 8689 3), Auto-Submitted (RFC 3834 5). */
void rpt_mail_write(const struct rpt_mail *m, struct sp_buf *out);

#endif

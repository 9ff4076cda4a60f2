/* smtp/reply.h - a server's reply, read octet by octet.
 * Implements RFC 5321 4.2 (multi-line replies), RFC 3463 (status codes), and the limits of DESIGN.md. Pure. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "core/buf.h"

#define SMTP_REPLY_LINE_MAX 4096        /* octets of a line; more: a broken reply */
#define SMTP_REPLY_KEPT_MAX 65536       /* octets of text that are kept; the rest of a long reply is read and dropped */
#define SMTP_REPLY_READ_MAX 1048576     /* octets of one reply; more: a broken one */

struct smtp_reply {
	int code;               /* 200..599 */
	char esc[12];           /* "2.1.5" when the first line has one that fits the code's class, else "" */
	unsigned lines;
	struct sp_buf text;     /* lines joined by LF, without codes (the esc is kept); raw octets: print with care */
};

enum smtp_reply_status { SMTP_REPLY_MORE, SMTP_REPLY_DONE, SMTP_REPLY_BROKEN };

struct smtp_reply_reader {
	struct smtp_reply reply;        /* valid on DONE, until the next feed */
	struct sp_buf line;
	size_t read;                    /* octets of this reply so far */
	bool fresh;                     /* the next octet begins a new reply */
	const char *why;                /* on BROKEN: static English phrase */
};
void smtp_reply_reader_init(struct smtp_reply_reader *r);
void smtp_reply_reader_clear(struct smtp_reply_reader *r);
/* Takes octets of one reply from the front of `in`. A bare LF ends a line as CRLF does (leniency: reading replies only). */
SP_NODISCARD enum smtp_reply_status smtp_reply_feed(struct smtp_reply_reader *r, struct sp_str *in);

/* "250 2.1.5 Ok" on one line: code, lines joined by "; ", printable, at most `max` octets. Appends to `out`. */
void smtp_reply_print(const struct smtp_reply *r, size_t max, struct sp_buf *out);

#endif

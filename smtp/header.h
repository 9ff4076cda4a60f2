/* smtp/header.h - the header section of a message, as a relay needs it: where it ends, how many hops, what is missing;
 * and the fields that we add. Implements RFC 5322 2.2, 3.6, RFC 5321 4.4 (Received), 6.3 (loops), RFC 3848, 6531 3.7.3, 8689 3. Pure. */
#ifndef SMTP_HEADER_H
#define SMTP_HEADER_H

#include "core/buf.h"

#define SMTP_HEADER_MAX (1024 * 1024)   /* octets: 552 5.3.4 above (DESIGN.md, limits) */
#define SMTP_RECEIVED_MAX 100           /* RFC 5321 6.3: 554 5.4.6 above */

/* Looks at the octets of a message as they come and finds the end of its header section: the first empty line, or else the first
 * line that is no field and no continuation of one, as other relays see it too. */
enum smtp_header_state {
	SMTP_HEADER_LINE_START,
	SMTP_HEADER_NAME,               /* in a field's name, or in a line that turns out to be no field */
	SMTP_HEADER_NAME_END,           /* blanks before the colon (RFC 5322 4.5) */
	SMTP_HEADER_VALUE,              /* up to the end of the line */
	SMTP_HEADER_CR                  /* a CR at the start of a line: the empty line, most likely */
};
enum smtp_header_no { SMTP_HEADER_NO_NOTHING, SMTP_HEADER_NO_N, SMTP_HEADER_NO_WHOLE, SMTP_HEADER_NO_ENDED, SMTP_HEADER_NO_OTHER };
struct smtp_header_scan {
	size_t len;             /* octets of the header section so far; once `done`, all of it, without the empty line. It may step back at the
	                         * end: octets counted in hope turned out to be no field */
	bool done;
	bool separated;         /* once `done`: an empty line follows. If not, who adds a field must put one behind it */
	bool too_long;          /* over SMTP_HEADER_MAX; scanning goes on */
	unsigned received;      /* Received fields */
	bool has_date, has_message_id, has_from;
	bool tls_optional;      /* a field "TLS-Required: No" (RFC 8689 3), just one, and nothing else in it */
	bool eight_bit;         /* octets over 127 in it */
	bool broken;            /* a bare CR or LF, or a NUL, in it: only content that came as BINARYMIME may bring that (smtp/content.h) */
	enum smtp_header_state state;
	size_t line_len;        /* octets of the line being read that are in `len` */
	char name[20];          /* start of the field name being read, lower case */
	unsigned name_len;      /* octets of it, also those that `name` has no room for */
	bool after_cr;          /* the last octet was a CR */
	bool in_tls_required;   /* in a field of that name */
	unsigned tls_required;  /* so many of them */
	enum smtp_header_no no; /* how much of "No" the value of the first is so far */
};
void smtp_header_scan_init(struct smtp_header_scan *h);
/* Takes the octets up to the end of the header section; returns how many of `data` belong to it (all, while not done; what `len` says is
 * what counts). Nothing more is taken once `done`. Lines end in CRLF; a bare LF does it too. */
size_t smtp_header_scan_feed(struct smtp_header_scan *h, struct sp_str data);
void smtp_header_scan_finish(struct smtp_header_scan *h);       /* the message ended */

struct smtp_received {
	const char *helo;               /* what the client called itself: any text; what no name has becomes '?', cut at 255 */
	const char *client_literal;     /* "[192.0.2.1]", "[IPv6:...]", or "local" for a unix socket */
	const char *by;                 /* our host name */
	const char *with;               /* smtp_server_with() */
	const char *id;
	const char *recipient;          /* "for <x>", only for a message of one recipient; else NULL. Left out where it has octets over 127 and
	                                 * `with` does not say that the message is SMTPUTF8 */
	int64_t at_s;
	int priority;                   /* RFC 6710 4.1 (2): told where it is not 0 */
};
/* Appends a folded Received field with its CRLF. */
void smtp_add_received(struct sp_buf *out, const struct smtp_received *r);

#endif

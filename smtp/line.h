/* smtp/line.h - command lines out of a stream of octets.
 * Implements RFC 5321 2.3.8 (lines end in CRLF and nothing else) and the limits of DESIGN.md. Pure. Used by smtp/server.c.
 * A line that is too long, or that holds a bare LF, is dropped whole up to its CRLF, so that client and server agree on
 * which reply belongs to which command. Lines may hold passwords: what is copied is overwritten once it is done with. */
#ifndef SMTP_LINE_H
#define SMTP_LINE_H

#include "core/buf.h"

#define SMTP_LINE_MAX 8192              /* octets of a command line, CRLF included; RFC 5321 4.5.3.1.4 asks for 512, we promise 2048 */
#define SMTP_LINE_DROP_MAX 65536        /* octets of one broken line that are dropped before we give up */

enum smtp_line_status {
	SMTP_LINE_MORE,         /* all input is taken; the line goes on */
	SMTP_LINE_DONE,         /* *line is one, without its CRLF; lent until the next call */
	SMTP_LINE_TOO_LONG,     /* a line over SMTP_LINE_MAX has just ended */
	SMTP_LINE_BARE_LF,      /* told at the first bare LF of a line, at once, since a client that ends lines so waits for it;
	                         * the rest of the line is dropped without another word */
	SMTP_LINE_HOPELESS      /* over SMTP_LINE_DROP_MAX, or a second bare LF in one line: there is no staying in step */
};

struct smtp_line_reader {
	bool allow_bare_lf;             /* a bare LF ends a line too */
	enum smtp_line_status fault;    /* of the line under way: TOO_LONG, BARE_LF; HOPELESS for ever; MORE while it is fine */
	size_t len;                     /* octets of it so far */
	bool cr;                        /* the last of them is a CR */
	bool lent;                      /* `partial` holds the line lent last, to be forgotten at the next call */
	struct sp_buf partial;          /* the start of a line that came in pieces */
};

void smtp_line_reader_init(struct smtp_line_reader *r, bool allow_bare_lf);
void smtp_line_reader_clear(struct smtp_line_reader *r);
/* Takes the octets of one line from the front of `in`. A whole line in `in` is lent from there, without a copy. */
SP_NODISCARD enum smtp_line_status smtp_line_read(struct smtp_line_reader *r, struct sp_str *in, struct sp_str *line);

#endif

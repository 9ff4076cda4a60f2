/* smtp/content.h - the content of a message out of the octets that carry it: behind DATA, or in BDAT chunks.
 * Implements RFC 5321 4.5.2 (transparency), 4.1.1.4 (the end of data), 2.3.8 (line ends), RFC 3030 2 (chunks). Pure.
 * Used by smtp/server.c.
 *
 * What comes out are CRLF lines: slices of the input wherever that is possible, and never a bare CR, a bare LF or a NUL.
 * Behind DATA the content ends at the first CRLF "." CRLF of the stream, and at nothing else: not at LF.LF, LF.CRLF, CRLF.LF or
 * CR.CR, whatever else is done about them; what other servers take for an end would smuggle a second message past us.
 * - A bare CR or LF is a fault: RFC 5321 2.3.8 forbids them, and passing them on would let the next hop see another end.
 *   With `normalise_bare_lf`, a bare LF becomes CRLF; a lone dot between such lines stays in the text, where the next hop
 *   gets it stuffed. A bare CR stays a fault: there is no telling what it was meant to be.
 * - NUL is a fault: neither 7bit nor 8bit data may hold it (RFC 2045 2.7, 2.8; RFC 6152 1), and what the next hops make of it
 *   differs (cut, dropped, refused). The client hears of it now instead of by a bounce.
 * Chunks of a BODY=BINARYMIME message (RFC 3030 3) are the exception: they are octets, and come out as they are.
 * After a fault the rest is read to its end all the same, so that the session stays in step. */
#ifndef SMTP_CONTENT_H
#define SMTP_CONTENT_H

#include "core/str.h"

enum smtp_content_step {
	SMTP_CONTENT_MORE,      /* all input is taken (of a chunk: all that is there) */
	SMTP_CONTENT_SLICE,     /* *slice lends octets of the message, from `in` or static; call again */
	SMTP_CONTENT_FAULT,     /* told once; from now on everything is dropped up to the end; c->fault says what it was */
	SMTP_CONTENT_END        /* the content (of a chunk: the chunk) is complete */
};

enum smtp_content_fault { SMTP_CONTENT_FINE, SMTP_CONTENT_BARE_CR, SMTP_CONTENT_BARE_LF, SMTP_CONTENT_NUL };

enum smtp_content_state {
	SMTP_CONTENT_AT_START,          /* behind CRLF, or at the very start */
	SMTP_CONTENT_AT_LF_START,       /* behind a bare LF that became CRLF */
	SMTP_CONTENT_DOT,               /* a dot at the start of a line, held back */
	SMTP_CONTENT_DOT_CR,            /* ... and a CR behind it */
	SMTP_CONTENT_TEXT,
	SMTP_CONTENT_CR                 /* a CR at the end of the input, held back */
};

struct smtp_content {
	bool dots;                      /* behind DATA: dots are stuffed, and CRLF "." CRLF ends it */
	bool normalise_bare_lf;
	enum smtp_content_state state;
	bool after_lf;                  /* in DOT and DOT_CR: the line began behind a bare LF, so it cannot be the end */
	enum smtp_content_fault fault;
	bool fault_told;
	bool last;                      /* of BDAT: this chunk ends the message */
	bool binary;                    /* of BDAT: nothing is looked at */
	uint64_t left;                  /* of BDAT: octets of the chunk to come */
};

void smtp_content_begin_data(struct smtp_content *c, bool normalise_bare_lf);
/* For BDAT: once a message, then smtp_content_chunk() for each chunk. Lines may go on from one chunk to the next. */
void smtp_content_begin_chunks(struct smtp_content *c, bool normalise_bare_lf, bool binary);
void smtp_content_chunk(struct smtp_content *c, uint64_t len, bool last);
/* Takes octets from the front of `in`. At the end of the last chunk an unfinished line gets its CRLF, since content may leave us by
 * DATA, where every line has one; not so where it is binary. */
SP_NODISCARD enum smtp_content_step smtp_content_read(struct smtp_content *c, struct sp_str *in, struct sp_str *slice);

#endif

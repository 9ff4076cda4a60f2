/* rpt/mime.h - as much of MIME as it takes to find a report in a mail: fields, parameters, parts, transfer encodings.
 * Reads RFC 5322 2.2, RFC 2045 5 and 6, RFC 2046 5.1, RFC 2231 3 and 4 leniently: LF is a line end too, a part that nothing ends goes on to the end. Pure.
 * Used by rpt/unwrap.c. */
#ifndef RPT_MIME_H
#define RPT_MIME_H

#include "core/arena.h"
#include "core/buf.h"

#define RPT_MIME_VALUE_MAX 16384        /* octets of a field's value; the rest is not looked at */

/* Does it begin as a message does: a header field, among the first ones one that a mail has? A line "From ..." in front (mbox) is fine. */
bool rpt_mime_is_mail(struct sp_str octets);
/* The next mail of a mailbox (mbox: a line "From " begins each, an empty line stands before it); what does not begin so is one mail. False: no more. */
SP_NODISCARD bool rpt_mime_next_mail(struct sp_str *octets, struct sp_str *mail);
/* Header section and body of a message or part; lent. A first line "From ..." is in neither. */
void rpt_mime_split(struct sp_str octets, struct sp_str *header, struct sp_str *body);
/* The next field called `name` from *header on, which goes behind it: its value unfolded, trimmed, in `arena`. NULL: no more. */
const char *rpt_mime_field(struct sp_str *header, const char *name, struct sp_arena *arena);
/* What stands before the first ';' of a value, in lower case: "text/plain". */
const char *rpt_mime_token(const char *value, struct sp_arena *arena);
/* A parameter of a value, quotes undone, continuations (RFC 2231) joined. NULL: not there. */
const char *rpt_mime_parameter(const char *value, const char *name, struct sp_arena *arena);

struct rpt_parts {
	struct sp_str rest;             /* behind a delimiter line */
	struct sp_str boundary;
	bool open;
};
void rpt_parts_begin(struct rpt_parts *p, struct sp_str body, const char *boundary);
SP_NODISCARD bool rpt_parts_next(struct rpt_parts *p, struct sp_str *part);

/* What `body` stands for under a Content-Transfer-Encoding: in `room`, or `body` itself where nothing is encoded. False: over room's ceiling. */
SP_NODISCARD bool rpt_mime_decode(struct sp_str body, const char *encoding, struct sp_buf *room, struct sp_str *out);
/* base64 as it is found: what is outside the alphabet is passed over, the end need not be whole. False: over `out`'s ceiling. */
SP_NODISCARD bool rpt_mime_decode_base64(struct sp_str text, struct sp_buf *out);

#endif

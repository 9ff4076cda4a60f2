/* smtp/stuff.h - the content of a message in the form that DATA takes it.
 * Implements RFC 5321 4.5.2 (transparency) and 4.1.1.4 (the end of the content). Pure. Used by smtp/client_mail.c. */
#ifndef SMTP_STUFF_H
#define SMTP_STUFF_H

#include "core/buf.h"

struct smtp_stuff {
	char last[2];           /* the two octets before the next one; CRLF at the start */
};
void smtp_stuff_init(struct smtp_stuff *s);
/* Appends `piece` with a dot before each dot that begins a line. Pieces may be cut anywhere. */
void smtp_stuff_add(struct smtp_stuff *s, struct sp_str piece, struct sp_buf *out);
/* For a transfer that changes nothing (BDAT): only remembers how the content ends so far. */
void smtp_stuff_note(struct smtp_stuff *s, struct sp_str piece);
/* True if what was added so far is empty or ends in CRLF. */
bool smtp_stuff_at_line_end(const struct smtp_stuff *s);

#endif

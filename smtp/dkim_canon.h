/* smtp/dkim_canon.h - the fields of a header section, and the relaxed canonical forms that are signed.
 * Implements RFC 6376 3.4.2 (fields) and 3.4.4 (body). Pure. Used by smtp/dkim*.c and their tests. */
#ifndef SMTP_DKIM_CANON_H
#define SMTP_DKIM_CANON_H

#include "core/buf.h"

struct smtp_field {             /* borrowed from the header section */
	struct sp_str name;     /* as written, without the blanks that may stand before the colon (RFC 5322 4.5) */
	struct sp_str value;    /* behind the colon, with its folds, without the last line end */
};
/* The next field of a header section, taken from the front of *header; false at the end. What is no field is passed over. */
SP_NODISCARD bool smtp_field_take(struct sp_str *header, struct smtp_field *out);

/* Appends "name:value" and CRLF. At most as long as the field was, and 2. */
void smtp_dkim_canon_field(const struct smtp_field *f, struct sp_buf *out);

/* A body on its way. What is to be hashed goes to `sink` in pieces. */
#define SMTP_DKIM_PIECE 4096            /* octets at most in a call of `sink` */
struct smtp_dkim_canon {
	void (*sink)(void *arg, struct sp_str piece);
	void *arg;
	size_t line_ends;               /* CRLFs held back: at the end of the body they do not count */
	bool blank;                     /* held back: at the end of a line it does not count */
	bool cr;                        /* held back: is it the start of a CRLF? */
	bool any;                       /* a line with something in it was seen */
	size_t len;                     /* of `piece` */
	char piece[SMTP_DKIM_PIECE];
};
void smtp_dkim_canon_init(struct smtp_dkim_canon *c, void (*sink)(void *arg, struct sp_str piece), void *arg);
void smtp_dkim_canon_add(struct smtp_dkim_canon *c, struct sp_str data);        /* cut anywhere */
void smtp_dkim_canon_finish(struct smtp_dkim_canon *c);

#endif

/* smtp/dsn_machine.h - the part of a delivery status notification that programs read (RFC 3464), and fields as it and the header have them.
 * Inside of smtp/dsn.c. */
#ifndef SMTP_DSN_MACHINE_H
#define SMTP_DSN_MACHINE_H

#include "smtp/dsn.h"

/* The fields of the message, and those of each recipient. Octets over 127 only where d->utf8 and an address has them. */
void smtp_dsn_write_machine(const struct smtp_dsn *d, struct sp_buf *out);

/* Not the way to the next hop, but a rate or the configuration of this relay keeps the mail back. */
bool smtp_dsn_is_own(const struct sp_fail *f);

/* "Name: value" in lines of at most 76 octets but for longer words; made printable. */
void smtp_dsn_field(struct sp_buf *out, const char *name, const char *fmt, ...) SP_PRINTF(3, 4);
void smtp_dsn_date_field(struct sp_buf *out, const char *name, int64_t at_s);

#endif

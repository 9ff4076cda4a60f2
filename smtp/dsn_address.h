/* smtp/dsn_address.h - addresses and other words in notifications: xtext decoded (RFC 3461 4), and the forms of internationalized addresses (RFC 6533 3).
 * What comes from peers and clients is made harmless here. Inside of smtp/dsn.c. Pure. */
#ifndef SMTP_DSN_ADDRESS_H
#define SMTP_DSN_ADDRESS_H

#include "core/buf.h"

/* Printable ASCII, and with `utf8` characters beyond it, as they are; anything else becomes "?". */
void smtp_dsn_add_text(struct sp_buf *out, struct sp_str s, bool utf8);
/* "+2B" becomes "+"; what is not printable becomes "?". */
void smtp_dsn_add_xtext(struct sp_buf *out, struct sp_str xtext);
/* "rfc822; a@example.com", or "utf-8; ..." where it has octets over 127: as they are where the body part may have them (`global`), else as "\x{F6}". */
void smtp_dsn_add_address(struct sp_buf *out, struct sp_str address, bool global);
/* What ORCPT said, "rfc822;a+2Bb@example.com" or "utf-8;...", in the same forms. */
void smtp_dsn_add_orcpt(struct sp_buf *out, struct sp_str orcpt, bool global);

#endif

/* smtp/dsn_human.h - the part of a delivery status notification that people read. Inside of smtp/dsn.c. */
#ifndef SMTP_DSN_HUMAN_H
#define SMTP_DSN_HUMAN_H

#include "smtp/dsn.h"

/* What happened to which recipient, and what the sender can do. ASCII, CRLF lines of at most 76 octets but for words that are longer. */
void smtp_dsn_write_human(const struct smtp_dsn *d, struct sp_buf *out);

/* The reply in a failure's text (see smtp/client.h), "550 5.1.1 No such user"; NULL where no peer's reply is told. */
const char *smtp_dsn_reply(const struct sp_fail *f);

/* The words of `text`, made printable, in lines of at most 76 octets. Each line but the first begins with `indent`; `column` octets stand
 * before the first. Ends without CRLF. */
void smtp_dsn_add_folded(struct sp_buf *out, size_t column, const char *indent, struct sp_str text);

#endif

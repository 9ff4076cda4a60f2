/* smtp/xtext.h - xtext: how parameters of ESMTP write what they may not hold as it is. Implements RFC 3461 4. Pure. */
#ifndef SMTP_XTEXT_H
#define SMTP_XTEXT_H

#include "core/buf.h"

/* Appends what `text` stands for, which may be any octets. False where it is no xtext, or passes the ceiling of `out`: nothing is added then. Hexadecimal
 * digits may be small (leniency). */
SP_NODISCARD bool smtp_xtext_decode(struct sp_str text, struct sp_buf *out);

#endif

/* smtp/dsnread.h - delivery status notifications that others wrote: what became of whom.
 * Implements RFC 3464 2 (the fields), RFC 6522 3 (multipart/report), as much of RFC 2045 5.1 and RFC 2046 5.1 as finds the part. Pure.
 * Used by relay/report_bounce.c. The reverse of dsn.h. */
#ifndef SMTP_DSNREAD_H
#define SMTP_DSNREAD_H

#include "core/arena.h"

#define SMTP_DSNREAD_MAX 100            /* recipients; what follows is passed over */

struct smtp_dsnread {                   /* a recipient */
	const char *final, *original;   /* "local@domain", domain in lower case; "" where there is none, or it is no mail address */
	bool failed;                    /* Action: failed */
	const char *status;             /* "5.1.1"; "" where it cannot be read */
	const char *diagnostic;         /* "smtp; 550 5.1.1 no such user", unfolded, printable, at most 200 octets; "" */
};
/* Reads a message, or its beginning: of the delivery status as much as is there counts, but for a field or a recipient that is cut off. The fields are read as they
 * are (RFC 3464 2.1: 7bit is enough for them). In `arena`. False, and none, where it is no multipart/report of delivery-status with that part at its top level. */
SP_NODISCARD bool smtp_dsnread(struct sp_str message, struct sp_arena *arena, struct smtp_dsnread out[SMTP_DSNREAD_MAX], size_t *count);

#endif

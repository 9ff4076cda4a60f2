/* smtp/lines.h - is content what any next hop takes, or does it need BINARYMIME: are there only lines of at most 998 octets, each with its CRLF, and no NUL?
 * Implements RFC 5322 2.1.1, 2.3 and RFC 2045 2.7, 2.8. Pure. Used by relay/intake.c for what came as BODY=BINARYMIME. */
#ifndef SMTP_LINES_H
#define SMTP_LINES_H

#include "core/str.h"

#define SMTP_TEXT_LINE_MAX 998          /* octets without CRLF: RFC 5322 2.1.1 */

struct smtp_lines {                     /* zeroed at the start */
	size_t len;                     /* octets of the line under way */
	bool after_cr;                  /* the last of them is a CR */
	bool broken;                    /* nothing can mend it */
};
void smtp_lines_feed(struct smtp_lines *l, struct sp_str data);
/* At the end: are they lines? */
bool smtp_lines_fine(const struct smtp_lines *l);

#endif

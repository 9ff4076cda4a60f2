/* core/date.h - an instant as people, mail and reports write it. Always UTC: no dependence on a zone. Pure. Any thread. */
#ifndef CORE_DATE_H
#define CORE_DATE_H

#include "core/str.h"

/* "Sun, 22 Nov 2026 14:03:09 +0000", RFC 5322 3.3; `text` has 40 octets. */
const char *sp_date_mail(int64_t unix_s, char text[40]);
/* "2026-11-22T14:03:09Z", RFC 3339 5.6; `text` has 40 octets. */
const char *sp_date_rfc3339(int64_t unix_s, char text[40]);
/* The whole of `text` as RFC 3339 5.6 has it, with any offset; fractions of a second are dropped. False where it is no instant of the years 1970 to 9999. */
SP_NODISCARD bool sp_date_parse_rfc3339(struct sp_str text, int64_t *unix_s);

#endif

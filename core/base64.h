/* core/base64.h - base64 (RFC 4648 4), both ways. Pure. Any thread. */
#ifndef CORE_BASE64_H
#define CORE_BASE64_H

#include "core/buf.h"

static inline size_t sp_base64_len(size_t octets) { return (octets + 2) / 3 * 4; }
/* Appends `data`. `line` > 0 (a multiple of 4): CRLF behind every `line` characters and at the end (RFC 2045 6.8: 76). */
void sp_base64_add(struct sp_buf *out, struct sp_str data, size_t line);
/* Appends what `text` stands for. Blanks and line ends are passed over; anything else outside the alphabet, a wrong end (too few "=", bits left
 * over), or what passes the ceiling of `out` gives false, and adds nothing. */
SP_NODISCARD bool sp_base64_decode(struct sp_str text, struct sp_buf *out);

#endif

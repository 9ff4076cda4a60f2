/* core/gzip.h - gzip (RFC 1952) over zlib: as it comes, and back with a bound. Any thread, one at a time. */
#ifndef CORE_GZIP_H
#define CORE_GZIP_H

#include "core/buf.h"

struct core_gzip;                       /* opaque: one stream being made */
/* What it makes is appended to `out`, which lives until finish. The header holds no name and no time: equal data gives equal octets. */
struct core_gzip *core_gzip_new(struct sp_buf *out);
void core_gzip_add(struct core_gzip *g, struct sp_str data);
void core_gzip_finish(struct core_gzip *g);             /* frees it; a ceiling that was passed shows in `out` */
void core_gzip_free(struct core_gzip *g);               /* gives it up; NULL is fine */

/* Unpacks all of `in` (members in a row are one, RFC 1952 2.2) to `out`, at most up to its ceiling. What is larger, cut short, broken, or goes
 * on with something else gives false and a static phrase in *why, and adds nothing. */
SP_NODISCARD bool core_gunzip(struct sp_str in, struct sp_buf *out, const char **why);

#endif

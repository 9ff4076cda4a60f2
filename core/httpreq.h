/* core/httpreq.h - one HTTP/1.1 request, from bytes to method, target and body, with limits.
 * Implements RFC 9112 as a server: the framing by core/httpgate.c, which forgives nothing, the rest by llhttp. Exactly one Host, a length or
 * chunks but never both. Pure. Used by core/httpd.c. */
#ifndef CORE_HTTPREQ_H
#define CORE_HTTPREQ_H

#include "core/str.h"

struct core_httpreq;            /* opaque */

enum core_httpreq_state { CORE_HTTPREQ_MORE, CORE_HTTPREQ_DONE, CORE_HTTPREQ_FAILED };

struct core_httpreq *core_httpreq_new(size_t head_max, size_t body_max);
void core_httpreq_free(struct core_httpreq *r);                  /* NULL is fine */

/* Takes bytes; *used: so many of them belong to this request, the rest is the next one's. After DONE or FAILED it is not to be called again. */
SP_NODISCARD enum core_httpreq_state core_httpreq_feed(struct core_httpreq *r, struct sp_str data, size_t *used);

/* After FAILED: the status to answer with (400, 413 or 431; then the connection is out of step and is to be closed), and why, in a phrase. */
int core_httpreq_status(const struct core_httpreq *r);
const char *core_httpreq_why(const struct core_httpreq *r);

bool core_httpreq_begun(const struct core_httpreq *r);           /* any byte seen */
bool core_httpreq_expects(const struct core_httpreq *r);         /* the body is still to come, and waits for "100 Continue" (RFC 9110 10.1.1) */
/* After DONE. Strings are lent until free. */
const char *core_httpreq_method(const struct core_httpreq *r);   /* "GET"; also after FAILED, "" where it was not seen */
struct sp_str core_httpreq_path(const struct core_httpreq *r);   /* from "/" on, as sent (not decoded), without the query */
struct sp_str core_httpreq_query(const struct core_httpreq *r);  /* behind the "?", as sent; empty when there is none */
struct sp_str core_httpreq_body(const struct core_httpreq *r);
/* The value of a field that matters to whoever decides whether to answer; empty where there is none, or one that is longer than 1 KiB. The Host of a
 * target with scheme and authority is that authority (RFC 9112 3.2.2). Authorization is wiped at free. */
enum core_httpreq_field { CORE_HTTPREQ_HOST, CORE_HTTPREQ_ORIGIN, CORE_HTTPREQ_AUTHORIZATION };
struct sp_str core_httpreq_field(const struct core_httpreq *r, enum core_httpreq_field f);
bool core_httpreq_has(const struct core_httpreq *r, enum core_httpreq_field f);         /* was there, whatever it says */
bool core_httpreq_keep_alive(const struct core_httpreq *r);      /* the client wants to go on (RFC 9112 9.3) */

#endif

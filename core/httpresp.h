/* core/httpresp.h - one HTTP/1 response, from bytes to status, type and body, with limits.
 * Implements RFC 9112 as a client that sends one request a connection: interim responses are skipped, bodies by length, chunks
 * or the end of the connection, all over llhttp. Pure. Used by core/http.c. */
#ifndef CORE_HTTPRESP_H
#define CORE_HTTPRESP_H

#include "core/fail.h"

struct core_httpresp;           /* opaque */

enum core_httpresp_state { CORE_HTTPRESP_MORE, CORE_HTTPRESP_DONE, CORE_HTTPRESP_FAILED };

struct core_httpresp *core_httpresp_new(size_t head_max, size_t body_max);
void core_httpresp_free(struct core_httpresp *r);                /* NULL is fine */

/* Takes bytes. After DONE or FAILED it is not to be called again; bytes behind a complete response are ignored. */
SP_NODISCARD enum core_httpresp_state core_httpresp_feed(struct core_httpresp *r, struct sp_str data);
/* The connection ended in order: DONE for a body that ends so, else FAILED. */
SP_NODISCARD enum core_httpresp_state core_httpresp_end(struct core_httpresp *r);

const struct sp_fail *core_httpresp_fail(const struct core_httpresp *r);    /* PROTOCOL or HTTP after FAILED */
bool core_httpresp_begun(const struct core_httpresp *r);                    /* any byte seen */
int core_httpresp_status(const struct core_httpresp *r);                    /* 0 until the head is complete */
const char *core_httpresp_content_type(const struct core_httpresp *r);      /* the first one; "" when missing */
const char *core_httpresp_content_encoding(const struct core_httpresp *r);  /* "" when missing */
struct sp_str core_httpresp_body(const struct core_httpresp *r);            /* lent until free */

#endif

/* core/httpd.h - an HTTP/1.1 server for few clients: each connection has one request at a time, answered at once or later. Keep-alive,
 * pipelined requests wait their turn in the socket. Errors of its own are answered as JSON: {"error": "..."}.
 * Used by relay/admin.c. On the loop's thread. */
#ifndef CORE_HTTPD_H
#define CORE_HTTPD_H

#include "core/conn.h"
#include "core/httpreq.h"

struct core_httpd;
struct core_httpd_request;              /* a request that waits for its answer */

struct core_httpd_limits {
	size_t head_max, body_max;      /* octets of a request: more is answered 431 or 413 */
	unsigned connections_max;       /* more are answered 503 and closed */
	size_t answers_max;             /* octets of all answers that are not taken yet: what comes on top is answered 503; a single one may be larger */
	uint64_t request_ms;            /* from the first octet of a request to its last, else 408 */
	uint64_t idle_ms;               /* between requests, and for taking an answer: then it is closed */
};
extern const struct core_httpd_limits core_httpd_usual;        /* 16 KiB, 64 KiB, 64, 32 MiB, 10 s, 60 s */

/* Called for every well-formed request; `q` is the callee's until it answers it, exactly once: also when the client has gone meanwhile, or the
 * server was closed, which it need not know. Answering, and closing the server, inside is fine. */
typedef void core_httpd_handler(void *owner, struct core_httpd_request *q);

/* Listens at `at`; `unix_mode` as in conn.h. Nonzero with *why: nothing was started. */
SP_NODISCARD int core_httpd_open(struct core_loop *l, const struct sp_addr *at, unsigned unix_mode, const struct core_httpd_limits *limits,
                                 core_httpd_handler *handler, void *owner, struct core_httpd **out, struct sp_fail *why);
const struct sp_addr *core_httpd_addr(const struct core_httpd *d);
/* No handler is called any more. Answers that were given still go out where that takes no longer than a second. NULL is fine. */
void core_httpd_close(struct core_httpd *d);

/* Lent until the answer. */
const char *core_httpd_method(const struct core_httpd_request *q);     /* "GET" for HEAD too: its answer's body is not sent */
struct sp_str core_httpd_path(const struct core_httpd_request *q);     /* as sent, not decoded, without the query */
struct sp_str core_httpd_query(const struct core_httpd_request *q);    /* as sent, without the "?" */
struct sp_str core_httpd_field(const struct core_httpd_request *q, enum core_httpreq_field f);         /* see httpreq.h */
bool core_httpd_has(const struct core_httpd_request *q, enum core_httpreq_field f);
struct sp_str core_httpd_body(const struct core_httpd_request *q);

/* The answer; `q` is gone. `body` is taken over and left empty; a failed one (larger than its ceiling) is answered 500. */
void core_httpd_answer(struct core_httpd_request *q, int status, const char *content_type, struct sp_buf *body);
/* {"error": "..."} with a status of 4yz or 5yz; text that is not printable ASCII is replaced. */
void core_httpd_refuse(struct core_httpd_request *q, int status, const char *fmt, ...) SP_PRINTF(3, 4);
/* 401 with what would open the door: "Bearer realm=\"x\"" (RFC 9110 11.6.1). */
void core_httpd_refuse_stranger(struct core_httpd_request *q, const char *challenge, const char *why);
/* 405 with the methods that would do: "GET, HEAD" (RFC 9110 15.5.6). */
void core_httpd_refuse_method(struct core_httpd_request *q, const char *allow);

#endif

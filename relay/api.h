/* relay/api.h - the admin API without its sockets: requests by method, path and query, answers as JSON. Each area of it (relay/api_*.c, relay/report_api.c) has a table of
 * routes; all of them stand in conf/openapi.yaml, which tests/e2e/test_openapi.py holds against the code. Asked by relay/admin.c over HTTP, and by relay/api_client.c
 * in the process of a command where no relay runs. Main thread.
 *
 *   area        paths                                                                                    where
 *   status      /livez /readyz /status /destinations /drain                                              api_status.c
 *   metrics     /metrics                                                                                 api_metrics.c
 *   queue       /queue/list /queue/message /queue/content /queue/summary /queue/holds
 *               /queue/{retry,hold,release,delete,bounce}                                                api_queue*.c
 *   policy      /policy/list /policy/refresh /policy/forget /policy/history                              api_policy.c
 *   evidence    /evidence/message /evidence/sessions /evidence/chain                                     api_evidence.c
 *   explain     /explain/domain                                                                          api_explain.c
 *   report      /report/...                                                                              report_api.c
 *
 * Lists come in pages: {"<rows>": [...], "next": "..."}: ask again with after=<next>, until it is null. So a list of a million rows costs nobody memory, can be left at
 * any time, and a page is one short read on the store's thread. What changes many things works the same way: each request does one page of it, says how much
 * that was, and where to go on; who stops asking stops it. What changes something is POST or DELETE, and is logged at info with its reason.
 * Times are RFC 3339 in UTC; members have Postfix's names where Postfix has one (postqueue -j). Errors are {"error": "..."}: 400 for what is asked wrongly, 404 for what is not
 * there, 409 for what cannot be now, 503 where it needs a relay that runs. */
#ifndef RELAY_API_H
#define RELAY_API_H

#include "core/arena.h"
#include "core/buf.h"
#include "relay/query.h"

#include <jansson.h>

struct api;
#define API_PAGE_MAX 1000               /* rows of a page */
#define API_ANSWER_MAX (4u << 20)       /* octets of an answer: a page ends before them */

/* A request; gone with its answer, of which there is exactly one, at once or later. */
struct api_request {
	struct api *api;
	void *self;                     /* of its area */
	const char *method;
	struct sp_str path, query;      /* in `arena` */
	struct sp_arena arena;          /* lives as long as the request */
	/* private */
	void (*done)(void *owner, int status, const char *content_type, struct sp_buf *body);
	void *owner;
};
/* Reads all of the query. False: refused with 400, and gone. */
SP_NODISCARD bool api_read(struct api_request *q, const struct query_field *fields, size_t count);
void api_answer(struct api_request *q, int status, json_t *value);              /* takes the reference */
void api_refuse(struct api_request *q, int status, const char *fmt, ...) SP_PRINTF(3, 4);
/* `body` is taken over and left empty; one that failed (larger than its ceiling) is answered 500. */
void api_send(struct api_request *q, int status, const char *content_type, struct sp_buf *body);
json_t *api_time(int64_t at_s);                 /* RFC 3339; null for 0 and less */

struct api_route {
	const char *method, *path;      /* "GET" also answers HEAD */
	void (*run)(struct api_request *q);
};
struct api *api_new(void);
/* An area's routes; the table lives as long as the api. At most 16 areas. */
void api_add(struct api *a, const struct api_route *routes, size_t count, void *self);
/* One call of `done`; `body` is the callee's to take over or clear. */
void api_ask(struct api *a, const char *method, struct sp_str path, struct sp_str query,
             void (*done)(void *owner, int status, const char *content_type, struct sp_buf *body), void *owner);
/* The methods that a path takes, "GET, HEAD", in `out`; false: there is no such path. */
bool api_allows(const struct api *a, struct sp_str path, struct sp_buf *out);
bool api_busy(const struct api *a);             /* somebody waits for an answer: mailbox and store must stay */
void api_free(struct api *a);                   /* not busy; NULL is fine */

#endif

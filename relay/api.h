/* relay/api.h - the admin API without its sockets: requests by method, path and query, answers as JSON. Each area of it (relay/api_*.c, relay/report_api.c) has a table of
 * routes, and is made with the others in relay/api_areas.c; all of them stand in conf/openapi.yaml, which tests/e2e/test_openapi.py holds against the code. Asked by relay/admin.c over HTTP, and by relay/api_client.c
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
#include "core/fail.h"
#include "core/json.h"
#include "core/list.h"
#include "relay/query.h"

#include <jansson.h>

struct core_loop;
struct core_mailbox;
struct queue_store;
struct relay;
struct reporter;
struct config;
struct api;
/* What requests are answered with. All but `config` is borrowed, and outlives the api. */
struct api_world {
	struct core_loop *loop;
	struct core_mailbox *mailbox;   /* of the loop: where the store answers */
	struct queue_store *store;
	struct reporter *reporter;
	struct relay *relay;            /* NULL: a command asks itself, and no relay runs */
	struct config *config;          /* in force now: read it anew in each request, or take a ref */
};
#define API_PAGE_MAX 1000               /* rows of a page */
#define API_ANSWER_MAX (4u << 20)       /* octets of an answer: a page ends before them */

/* A request; gone with its answer, of which there is exactly one, at once or later. */
struct api_request {
	struct api *api;
	const struct api_world *world;
	void *self;                     /* of its area */
	const char *method;             /* of the route: lives on */
	struct sp_str path, query;      /* in `arena` */
	struct sp_arena arena;          /* lives as long as the request */
	struct sp_link waits;           /* for its area, in a list of those that one answer of the store is for */
	/* private */
	void (*done)(void *owner, int status, const char *content_type, struct sp_buf *body);
	void *owner;
};
/* Reads all of the query. False: refused with 400, and gone. */
SP_NODISCARD bool api_read(struct api_request *q, const struct query_field *fields, size_t count);
void api_answer(struct api_request *q, int status, json_t *value);              /* takes the reference; NULL, which could not be made, is answered 500 */
void api_refuse(struct api_request *q, int status, const char *fmt, ...) SP_PRINTF(3, 4);
/* `body` is taken over and left empty; one that failed (larger than its ceiling) is answered 500 instead. */
void api_send(struct api_request *q, int status, const char *content_type, struct sp_buf *body);
void api_print(json_t *value, struct sp_buf *out);      /* appends it as answers have it; takes the reference */
/* What the store could not do: 503 while it stops, else 500. True: refused, and gone; false where `why` says nothing. */
bool api_store_refused(struct api_request *q, const struct sp_fail *why);
/* Is it one for a page, 1 to `most`? False: refused with 400, and gone. */
SP_NODISCARD bool api_limit_ok(struct api_request *q, uint64_t limit, uint64_t most);

/* A page of many rows, written by hand: {"<rows>": [ ... ], "next": "..."}. `max`: the ceiling of its octets. */
struct api_page { struct sp_json json; struct sp_buf body; };
void api_page_begin(struct api_page *p, size_t max);
void api_page_send(struct api_request *q, struct api_page *p, const char *next);       /* closes the rows, and sends; NULL or "": that was all */

json_t *api_text(const char *text);             /* null for NULL and "" */
json_t *api_time(int64_t at_s);                 /* RFC 3339; null for 0 and less */

enum api_flags {
	API_NEEDS_RELAY = 1,            /* 503 where none runs: `world->relay` is never NULL in it */
	API_PUBLIC = 2                  /* over TCP without the token too: it tells nothing */
};
struct api_route {
	const char *method, *path;      /* "GET" also answers HEAD */
	void (*run)(struct api_request *q);
	unsigned flags;                 /* enum api_flags */
};
/* Takes a ref of its own on the configuration. It has no routes yet: api_areas_new() is what to call. */
struct api *api_new(const struct api_world *w);
void api_reload(struct api *a, struct config *c);
const struct api_world *api_world(const struct api *a);
/* An area's routes; the table lives as long as the api. `self` is what its requests get; api_free() calls `free_self` with it. Both may be NULL. At most 16 areas. */
void api_add(struct api *a, const struct api_route *routes, size_t count, void *self, void (*free_self)(void *self));
/* One call of `done`; `body` is the callee's to take over or clear. */
void api_ask(struct api *a, const char *method, struct sp_str path, struct sp_str query,
             void (*done)(void *owner, int status, const char *content_type, struct sp_buf *body), void *owner);
/* There is the path, but not with this method: those that it takes in `allowed`, "GET, HEAD" (RFC 9110 15.5.6). */
bool api_refuses_method(const struct api *a, const char *method, struct sp_str path, struct sp_buf *allowed);
bool api_is_public(const struct api *a, struct sp_str path);
bool api_busy(const struct api *a);             /* somebody waits for an answer: mailbox and store must stay */
void api_free(struct api *a);                   /* not busy; NULL is fine */

#endif

/* relay/api_queue_impl.h - the queue's part of the admin API (relay/api.h): looking at mail in the spool, and what an operator does to it. Works on a spool without a relay too, but for
 * what needs one. Main thread.
 *
 *   GET    /queue/list     FILTER limit= after=     messages, with where each recipient stands: names and types as postqueue -j has them, and more
 *   GET    /queue/count    FILTER after=            {"messages", "recipients", "next"}: of a page; add up
 *   GET    /queue/message  id=                      one of the list
 *   GET    /queue/content  id= offset=              up to 1 MiB of its content (message/rfc822), from an octet on; empty: that was all
 *   GET    /queue/summary  limit= after=            recipients by destination and age
 *   POST   /queue/retry, hold, release, delete, bounce    FILTER or all=1, reason= limit= after=; hold: for= (seconds) rule=     one page: {"messages", "recipients", "marked", "next"}
 *   GET    /queue/holds                             rules that hold mail as it comes in
 *   POST   /queue/holds    sender= recipient= domain= for= reason=      {"id"}; mail that was there before is POST /queue/hold?rule=ID, with the same words
 *   DELETE /queue/holds    id=                      what it caught stays held: POST /queue/release?rule=ID
 *   FILTER: id= sender= recipient= domain= destination= older_than= (seconds) state= rule=, as struct queue_filter has them
 * A change is answered when it holds: what was not being sent by then is not sent any more. What was ("marked") changes when its session lets go of it; if that delivers it, it is delivered.
 *
 * api_queue.c reads what is asked and shows messages, api_queue_read.c their content and the ages by destination, api_queue_steer.c changes them, api_holds.c keeps the
 * rules. For those four. */
#ifndef RELAY_API_QUEUE_IMPL_H
#define RELAY_API_QUEUE_IMPL_H

#include "queue/holds.h"
#include "queue/list.h"
#include "queue/steer.h"
#include "relay/api.h"
#include "relay/relay.h"

/* What is asked: the strings live as long as the request. */
struct queue_asked {
	struct queue_filter filter;
	uint64_t after, limit;
	bool all;                       /* changes: all=1 */
	uint64_t for_s, rule;           /* for=, rule= */
	const char *reason;             /* "" none */
};
enum queue_question { QUEUE_ASKS_LIST, QUEUE_ASKS_CHANGE, QUEUE_ASKS_HOLD };
/* False: refused with 400, and gone. `limit` is from 1 to `most`, and `usual` where nothing is said. */
SP_NODISCARD bool queue_asked_read(struct api_request *q, enum queue_question kind, uint64_t usual, uint64_t most, struct queue_asked *out);
/* user@domain, @domain, or <>; NULL is fine. False: refused. */
SP_NODISCARD bool queue_read_pattern(struct api_request *q, const char *name, const char *text);
/* "after" of the next page, or null. */
json_t *queue_next_value(uint64_t next);
#define QUEUE_FOR_MAX_S (10ULL * 365 * 86400)
#define QUEUE_REASON_MAX 500            /* octets: it goes into a DSN, and beside every recipient that is held */

/* api_queue_read.c */
void queue_show_content(struct api_request *q);
void queue_show_summary(struct api_request *q);
/* api_queue_steer.c */
void queue_do_retry(struct api_request *q);
void queue_do_hold(struct api_request *q);
void queue_do_release(struct api_request *q);
void queue_do_delete(struct api_request *q);
void queue_do_bounce(struct api_request *q);
/* api_holds.c */
void queue_show_holds(struct api_request *q);
void queue_add_hold(struct api_request *q);
void queue_remove_hold(struct api_request *q);

#endif

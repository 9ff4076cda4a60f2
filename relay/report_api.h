/* relay/report_api.h - what can be asked of the reporter, as requests and JSON: over the control socket of a relay (relay/admin.c), and by `strictpost report` of
 * itself where no relay runs (relay/report_client.c). Days are "YYYY-MM-DD", instants RFC 3339.
 *   POST   /report/send?day=&domain=&again=&dry=    begins a run: {"run": 3}; 409 while another one is under way
 *   GET    /report/run?after=N                      how far it is, and its results numbered N+1 and on that are still kept
 *   GET    /report/list?after_day=&after_domain=&day=&domain=&state=    a page of rows with their endpoints; "next": where to go on, or null
 *   GET    /report/document?day=&domain=            the document (gzip) as it will be or was sent; without a day, the last one that there is
 *   GET    /report/suppressions?after=              addresses that are left alone
 *   DELETE /report/suppressions?address=            mails to it again
 * Errors are {"error": "..."}. On the reporter's loop. */
#ifndef RELAY_REPORT_API_H
#define RELAY_REPORT_API_H

#include "relay/reporter.h"

struct report_api;
/* The reporter must outlive it. Takes a ref of its own on the configuration. */
struct report_api *report_api_new(const struct reporter_world *w, struct reporter *r, struct config *c);
void report_api_reload(struct report_api *a, struct config *c);
/* One call of `done`, at once or later; `body` is the callee's to take over or clear. */
typedef void report_api_done(void *owner, int status, const char *content_type, struct sp_buf *body);
void report_api_ask(struct report_api *a, const char *method, struct sp_str path, struct sp_str query, report_api_done *done, void *owner);
/* Somebody waits for an answer: the mailbox and the reporter must stay. */
bool report_api_busy(const struct report_api *a);
void report_api_free(struct report_api *a);             /* not busy, no run under way; NULL is fine */

#endif

/* relay/admin.h - the admin API: HTTP/1.1 and JSON on the control socket (admin.socket), whose file permissions are the authorisation.
 *   GET /livez    200 while the main loop runs
 *   GET /readyz   200 when mail is taken and delivered; 503 with the reason when not
 *   GET /status   what the relay has done and has, as one JSON object
 *   /report/...   see report_api.h
 * Errors are {"error": "..."}. No request is logged above level debug. Main thread. */
#ifndef RELAY_ADMIN_H
#define RELAY_ADMIN_H

#include "relay/relay.h"
#include "relay/report_api.h"

struct admin;

/* Opens the socket. Where that fails a warning says why and what to do, and the relay goes without. Takes a ref of its own on the configuration; `reports`
 * is borrowed. */
struct admin *admin_start(struct relay *r, struct report_api *reports, struct core_loop *l, struct config *c);
/* Another configuration: the socket moves where admin.socket says so; where the new one cannot be opened, the old one stays. One that could not
 * be opened before is tried again. */
void admin_reload(struct admin *a, struct config *c);
/* Takes no more requests, removes the socket. NULL is fine, and so is twice. */
void admin_stop(struct admin *a);
/* The store is still to answer: the main mailbox must stay open. */
bool admin_busy(const struct admin *a);
void admin_free(struct admin *a);       /* stopped and not busy; NULL is fine */

#endif

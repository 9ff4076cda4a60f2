/* relay/status.h - what /status tells beyond what is at hand: rates of late, sessions by what they proved, the queue, policies, the disk. Main thread.
 *
 *   throughput  messages accepted, recipients delivered, deferred, bounced: {"minute", "hour", "total"}, since start
 *   tls         outbound sessions that came about: {"hour", "total"}, each {"verified", "encrypted", "clear"}
 *   queue       messages, recipients, destinations_waiting, held, quarantined, oldest, oldest_waiting; or error
 *   policies    enforce, testing, none: valid now; expired, failing, lapsing, never_fetched, first_lapse
 *   reports     open, due        evidence_octets
 *   disk        free, total, needed, database, log */
#ifndef RELAY_STATUS_H
#define RELAY_STATUS_H

#include "relay/api.h"

struct status_watch;
/* Looks at the counters from now on. `world` without a relay: it never does. */
struct status_watch *status_watch_new(const struct api_world *world);
void status_watch_free(struct status_watch *w);         /* nothing is asked; NULL is fine */
/* Asks the store for the queue, and, not more often than every some seconds, for the rest. One call of `done`, on a later turn. Once at a time. */
void status_watch_ask(struct status_watch *w, void (*done)(void *owner), void *owner);
/* Adds the members. */
void status_watch_tell(const struct status_watch *w, json_t *into);

#endif

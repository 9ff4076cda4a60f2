/* relay/drain.h - emptying a relay before it is taken away: it takes no mail from outside any more (new sessions get 421 4.3.2, idle ones too, MAIL in those that are in the
 * middle of a transaction), delivers what it has, and stops when nothing is left in the spool but what is held or quarantined. Its own mail (DSNs, reports) still goes. Not kept
 * across a restart. Main thread; all threads read relay->draining. */
#ifndef RELAY_DRAIN_H
#define RELAY_DRAIN_H

#include "relay/relay.h"

struct core_loop;
struct drain;
/* `on_empty`: once, when all is done; the caller stops the relay. `r` is borrowed. */
struct drain *drain_new(struct relay *r, struct core_loop *l, void (*on_empty)(void *owner), void *owner);
void drain_begin(struct drain *d);              /* twice is fine */
void drain_undo(struct drain *d);
int64_t drain_since_s(const struct drain *d);   /* Unix time; 0: it does not drain */
bool drain_busy(const struct drain *d);         /* the store was asked: mailbox and store must stay. NULL is fine */
void drain_free(struct drain *d);               /* not busy; NULL is fine */

#endif

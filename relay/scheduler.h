/* relay/scheduler.h - what comes due: destinations whose wait is over, messages whose time is up or whose sender is to be told of a delay,
 * policies to be refreshed; and a clock that was set back. Asks the store, tells the shards. On the main loop. */
#ifndef RELAY_SCHEDULER_H
#define RELAY_SCHEDULER_H

#include "relay/relay.h"

struct scheduler;
/* First tells the shards which destinations wait from before; then goes on by itself. */
struct scheduler *scheduler_start(struct relay *r, struct core_loop *l, const struct config *c);
void scheduler_reload(struct scheduler *s, const struct config *c);
/* Looks now for what is due, and for what an operator returns: he has changed something. */
void scheduler_look(struct scheduler *s);
/* Ends after answers that are under way: calls `stopped` once, on a later turn, and frees itself. */
void scheduler_stop(struct scheduler *s, void (*stopped)(void *owner), void *owner);

#endif

/* relay/destination_impl.h - what the files of a destination share. destination.c keeps destinations and hears what others tell them; destination_work.c
 * decides what is to be done next, and what a failure means for all that waits; destination_store.c leaves mail in the store and fetches it from there.
 * destination_steer.c does what an operator asks. For those only. */
#ifndef RELAY_DESTINATION_IMPL_H
#define RELAY_DESTINATION_IMPL_H

#include "relay/destination.h"

#include "core/clock.h"
#include "relay/delivery.h"
#include "relay/settle.h"

/* destination.c */
struct destination *destination_find(struct shard *s, const char *name);        /* NULL: it is not in memory */
struct destination *destination_get(struct shard *s, const char *name);         /* made where it is not; one with nothing to do is to be kicked, so that it goes again */
void destination_read_limits(struct destination *d);                            /* as the configuration has them now */

#define DESTINATION_WINDOW_FIRST 5      /* sessions to a site that is not known yet; one more for each transaction that went well */

/* destination_work.c: does what is to be done now, and sees to it that what is to be done later is done then. */
void destination_kick(struct destination *d);
void destination_retire_sessions(struct destination *d);        /* what was proved is not good enough now: they end after the message in hand */
void destination_on_nudge(void *owner);
bool destination_held(const struct destination *d);

/* destination_store.c */
struct queue_job *destination_pop_waiting(struct destination *d);       /* NULL: none */
void destination_add_waiting(struct destination *d, struct queue_job *job);
void destination_park(struct destination *d, const struct queue_job *job);
void destination_release(struct destination *d);                        /* gives its row back, with how long all of it waits */
void destination_wait_in_store(struct destination *d, struct queue_job *job);   /* one that cannot be tried now, with the others, unless its time is up */
void destination_wait_all(struct destination *d);                       /* the same for all in memory */
void destination_load_page(struct destination *d);
bool destination_wants_page(const struct destination *d);               /* what is in memory will soon be gone */
size_t destination_room(const struct destination *d);                   /* how many messages are worth to be had in memory */

#endif

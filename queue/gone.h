/* queue/gone.h - messages that went with a body in a file, which is removed when the transaction is on the disk. Used by queue/settle.c, steer.c, lapse.c.
 * A crash before it leaves files without a row: swept at the next start. */
#ifndef QUEUE_GONE_H
#define QUEUE_GONE_H

#include "queue/store.h"

struct queue_gone { uint64_t *ids; size_t count, room; };
void queue_gone_add(struct queue_gone *g, uint64_t id);
void queue_gone_unlink(struct queue_gone *g, const struct queue_store *s);
void queue_gone_clear(struct queue_gone *g);

#endif

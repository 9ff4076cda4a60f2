/* queue/wish.h - the small things of a message in one number, as its row keeps them: 0 or 1 for plain mail. For queue/rows.c. Pure. */
#ifndef QUEUE_WISH_H
#define QUEUE_WISH_H

#include "queue/spool.h"

/* eight_bit, binary, and of the wish all but its times and envid. */
int64_t queue_wish_pack(const struct queue_message *m);
/* Sets what pack() looked at. False, with `m` as it may be: no number of ours. */
SP_NODISCARD bool queue_wish_unpack(int64_t flags, struct queue_message *m);

/* As RFC 3461 4.1 allows: NEVER stands alone. */
bool queue_wish_is_notify(int64_t notify);

#endif

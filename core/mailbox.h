/* core/mailbox.h - how threads talk: messages queued in order, handled on the receiver's thread.
 * A mail is embedded in what it carries; the sender gives it away by posting. */
#ifndef CORE_MAILBOX_H
#define CORE_MAILBOX_H

#include "core/loop.h"

struct core_mail {
	struct core_mail *next;                         /* in the queue; NULL elsewhere */
	void (*run)(struct core_mail *m);               /* called once by the receiver; owns the mail from then on */
};

/* Of a loop: posting wakes it. */
struct core_mailbox;
struct core_mailbox *core_mailbox_open(struct core_loop *l);
void core_mailbox_post(struct core_mailbox *mb, struct core_mail *m);   /* any thread */
/* On the loop's thread, also from a mail's run(). What is still queued is run first; nothing may be posted from then on. A
 * post that is just returning (its mail said "I am done") is waited for. While open, a mailbox keeps its loop running. */
void core_mailbox_close(struct core_mailbox *mb);

/* Of a thread that waits (the store): no loop. */
struct core_queue;
struct core_queue *core_queue_new(void);
void core_queue_put(struct core_queue *q, struct core_mail *m);         /* any thread */
/* Everything queued, in order, as a chain by `next`; waits until there is something, or core_queue_end() was called
 * (then NULL once empty). */
struct core_mail *core_queue_take(struct core_queue *q);
/* The same, but waits for `wait_us` microseconds at most; NULL when nothing came. */
struct core_mail *core_queue_take_for(struct core_queue *q, uint64_t wait_us);
void core_queue_end(struct core_queue *q);                              /* any thread */
void core_queue_free(struct core_queue *q);     /* empty, and nobody inside any more */

#endif

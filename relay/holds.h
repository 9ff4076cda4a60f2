/* relay/holds.h - the hold rules (queue/holds.h) in memory: what an operator wants held as it comes in. A snapshot of all rules that never changes and is counted; each shard has
 * one and looks at it, without a lock, for every message that it takes. The main thread makes another one when the rules change, and hears when every shard
 * has it. Used by relay/inbound_store.c, relay/settle.c (notifications of ours), relay/api_holds.c and relay/cmd_run.c. */
#ifndef RELAY_HOLDS_H
#define RELAY_HOLDS_H

#include "queue/holds.h"
#include "relay/relay.h"

struct holds;
/* Copies the rules; one ref. Any thread, as all but the last two. */
struct holds *holds_new(const struct queue_hold *rules, size_t count);
struct holds *holds_ref(struct holds *h);               /* NULL is fine, and stands for no rule, here and below */
void holds_unref(struct holds *h);

/* Sets `held` of the recipients that a rule in force at `now_ms` catches; the first that fits, by its age. It points into `h`: keep a ref while it is used. `ours`: a
 * notification of our own, which is caught by rules that name the empty sender alone. How many are held. */
size_t holds_apply(const struct holds *h, const char *sender, struct queue_recipient *recipients, size_t count, bool ours, int64_t now_ms);

/* Reads the rules from the store and gives them to every shard. `done` when all have them and what they took under the old ones has been handed to the store: an operation that is
 * submitted then sees it. *why: the store cannot tell them, the old ones stay. Main thread. */
void holds_spread(struct relay *r, void (*done)(void *owner, const struct sp_fail *why), void *owner);
/* At start, before shards are made: reads the rules into r->holds, running `l`, on which nothing else goes on yet. Nonzero with *why. Main thread. */
SP_NODISCARD int holds_load(struct relay *r, struct core_loop *l, struct sp_fail *why);

#endif

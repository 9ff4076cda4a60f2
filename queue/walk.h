/* queue/walk.h - a page of the messages that fit a filter, in the order of their ids. Used by queue/list.c and queue/steer.c, on the store's thread.
 * Recipients are walked, whose rows are small and mostly bear the ids of their messages, and not messages, which lie between their bodies. A page ends after QUEUE_LOOKS
 * rows or QUEUE_LOOK_MS, whatever it found: the store has others to serve. What is kept (held, quarantined) is found by recipient_marked, what rests for one destination by
 * recipient_rest while it is less than a page; what a shard has is in no index, since fresh mail would pay for it. */
#ifndef QUEUE_WALK_H
#define QUEUE_WALK_H

#include "core/arena.h"
#include "queue/list.h"
#include "queue/marks.h"

#define QUEUE_LOOK_MS 4

struct queue_walk {
	const struct queue_filter *filter;
	enum queue_walk_of { QUEUE_WALK_ALL, QUEUE_WALK_REST, QUEUE_WALK_MARKED } of;   /* where the caller wants less than the filter says: what rests, what is marked */
	uint64_t after;
	/* On a message that fits, with how many of its recipients do. It may read, with statements of its own. False: no more. */
	bool (*each)(void *owner, uint64_t id, uint64_t recipients);
	void *owner;
	uint64_t next;                  /* out: where to go on; 0: that was all */
};
SP_NODISCARD enum core_db_status queue_walk(struct core_db *db, struct queue_walk *w);

/* What is looked at of a recipient. Strings in an arena. */
struct queue_walk_recipient {
	int64_t row;                    /* its id in the table */
	uint32_t n;
	const char *address, *destination, *failure, *hold_reason;
	unsigned attempts;
	bool taken;                     /* a shard has it */
	int64_t next_at_ms, deadline_ms, hold_since_ms, hold_until_ms;
	uint64_t hold_rule;
	enum queue_mark mark;
	enum queue_state state;
	bool fits;
};
/* All of a message, by n; without those that are only waiting to be deleted. */
SP_NODISCARD enum core_db_status queue_walk_recipients(struct core_db *db, const struct queue_filter *f, uint64_t id, struct sp_arena *arena,
                                                       struct queue_walk_recipient **out, size_t *count);

#endif

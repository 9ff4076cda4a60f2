/* relay/worst.h - the destinations with the most recipients waiting, found by reading the spool a page at a time (queue_shape()), round after round: no page
 * takes long, whatever the spool holds, and what is told is of the last whole round. Pure. */
#ifndef RELAY_WORST_H
#define RELAY_WORST_H

#include "queue/list.h"

#define WORST_COUNT 10
struct worst_row {
	char *name;
	uint64_t recipients;
	char *failure;                          /* why it waits; "" not known */
	unsigned failures;                      /* in a row */
	int64_t oldest_ms, next_at_ms;          /* arrival of the oldest; 0: now, or a shard has it */
};
struct worst {
	struct worst_row rows[WORST_COUNT];     /* the most first; of the last whole round */
	size_t count;
	/* private: of this round */
	struct worst_row found[WORST_COUNT];
	size_t found_count;
	struct worst_row open;                  /* a destination that the last page ended inside of; name NULL: none */
	char *after;                            /* where the next page begins; "" is the start of a round */
};
void worst_init(struct worst *w);
void worst_clear(struct worst *w);
/* A page that queue_shape() gave for w->after, and what it says comes next. True: that was the end of the round. */
bool worst_page(struct worst *w, const struct queue_shape *rows, size_t count, const char *next);

#endif

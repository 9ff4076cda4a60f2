/* relay/rate.h - how many messages may go in a time: a token comes at even intervals, and of those that were not used at most a second's worth is kept, so
 * that a pause is not followed by a flood. The clock is an argument, monotonic ms.
 * Destinations of one next hop and account (relay/route.h: those that differ by source or wish) share a rate, over all shards. */
#ifndef RELAY_RATE_H
#define RELAY_RATE_H

#include "relay/config.h"

struct rate {
	struct config_rate limit;               /* count 0: none */
	uint64_t free_at_us;                    /* the next token comes then, on the clock's scale; in the past: some are there */
};
/* Another limit, at start and after a reload; what is owed stays as far as the new limit owes it. */
void rate_set(struct rate *r, const struct config_rate *limit, uint64_t now_ms);
/* How long until the next message may go; 0: now. */
uint64_t rate_wait_ms(const struct rate *r, uint64_t now_ms);
/* One goes. Only when rate_wait_ms() says so. */
void rate_take(struct rate *r, uint64_t now_ms);
/* How many may go in `ms`, one at least; SIZE_MAX without a limit. */
size_t rate_in(const struct rate *r, uint64_t ms);


struct rates;                                   /* opaque: by next hop. Any thread */
struct rates_hop;                               /* opaque: one of them, counted */
struct rates *rates_new(void);
void rates_free(struct rates *r);               /* everybody must have left; NULL is fine */
/* What a hop owes when the last one leaves is remembered until it is paid. */
struct rates_hop *rates_join(struct rates *r, const char *hop, uint64_t now_ms);
void rates_leave(struct rates *r, struct rates_hop *h, uint64_t now_ms);
/* As rate_wait_ms() under `limit`; with `take`, one goes where that is 0. */
uint64_t rates_ask(struct rates *r, struct rates_hop *h, const struct config_rate *limit, bool take, uint64_t now_ms);

#endif

/* relay/rate.c - see rate.h. One number is enough: when the next message is due if all so far had kept their distance. */
#include "relay/rate.h"

#include "core/list.h"
#include "core/map.h"

#include <pthread.h>
#include <stdlib.h>

#define KEPT_US 1000000                 /* tokens of so long are kept; one in any case */

static uint64_t interval_us(const struct rate *r)
{
	uint64_t us = (uint64_t)r->limit.per_ms * 1000 / (uint64_t)r->limit.count;
	return us > 0 ? us : 1;
}

/* The earliest moment that counts: who did not send for a while gets no more than what is kept. */
static uint64_t floor_us(const struct rate *r, uint64_t now_us)
{
	uint64_t interval = interval_us(r), kept = KEPT_US > interval ? KEPT_US - interval : 0;
	uint64_t oldest = now_us > kept ? now_us - kept : 0;
	return r->free_at_us > oldest ? r->free_at_us : oldest;
}

void rate_set(struct rate *r, const struct config_rate *limit, uint64_t now_ms)
{
	r->limit = *limit;
	if (limit->count > 0)
		r->free_at_us = sp_min(r->free_at_us, now_ms * 1000 + interval_us(r));
}

uint64_t rate_wait_ms(const struct rate *r, uint64_t now_ms)
{
	uint64_t now_us = now_ms * 1000;
	return r->limit.count == 0 || r->free_at_us <= now_us ? 0 : (r->free_at_us - now_us + 999) / 1000;
}

void rate_take(struct rate *r, uint64_t now_ms)
{
	if (r->limit.count > 0)
		r->free_at_us = floor_us(r, now_ms * 1000) + interval_us(r);
}

size_t rate_in(const struct rate *r, uint64_t ms)
{
	return r->limit.count == 0 ? SIZE_MAX : sp_max(ms * 1000 / interval_us(r), 1);
}

/* --- by next hop --- */

#define LEFT_MAX 10000                  /* hops that are remembered for what they owe */

struct rates {
	pthread_mutex_t lock;
	struct sp_map map;                      /* of struct rates_hop, by name */
	struct sp_link left;                    /* of struct rates_hop: nobody is there; the longest left first */
	size_t left_count;
};

struct rates_hop {
	struct sp_map_node node;
	struct sp_link left;
	unsigned refs;
	char *name;
	struct rate rate;
};

struct rates *rates_new(void)
{
	struct rates *r = sp_alloc(sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	sp_map_init(&r->map);
	sp_list_init(&r->left);
	return r;
}

static void unleave(struct rates *r, struct rates_hop *h)
{
	if (!sp_link_used(&h->left))
		return;
	sp_list_remove(&h->left);
	r->left_count--;
}

static void forget(struct rates *r, struct rates_hop *h)
{
	unleave(r, h);
	sp_map_remove(&r->map, &h->node);
	free(h->name);
	free(h);
}

void rates_free(struct rates *r)
{
	if (r == NULL)
		return;
	while (!sp_list_empty(&r->left))
		forget(r, sp_container_of(sp_list_first(&r->left), struct rates_hop, left));
	sp_assert(r->map.count == 0);
	sp_map_clear(&r->map);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void sweep(struct rates *r, uint64_t now_ms)
{
	for (unsigned looks = 2; looks > 0 && !sp_list_empty(&r->left); looks--) {
		struct rates_hop *h = sp_container_of(sp_list_first(&r->left), struct rates_hop, left);
		if (rate_wait_ms(&h->rate, now_ms) > 0 && r->left_count < LEFT_MAX)
			return;
		forget(r, h);
	}
}

struct rates_hop *rates_join(struct rates *r, const char *hop, uint64_t now_ms)
{
	pthread_mutex_lock(&r->lock);
	struct sp_map_node *n = sp_map_find(&r->map, sp_str_of(hop));
	struct rates_hop *h = n ? sp_container_of(n, struct rates_hop, node) : NULL;
	if (h == NULL) {
		sweep(r, now_ms);
		h = sp_alloc(sizeof(*h));
		h->name = sp_strdup(hop);
		sp_map_insert(&r->map, &h->node, sp_str_of(h->name));
	}
	unleave(r, h);
	h->refs++;
	pthread_mutex_unlock(&r->lock);
	return h;
}

void rates_leave(struct rates *r, struct rates_hop *h, uint64_t now_ms)
{
	pthread_mutex_lock(&r->lock);
	sp_assert(h->refs > 0);
	if (--h->refs == 0) {
		sp_list_push_back(&r->left, &h->left);
		r->left_count++;
		if (rate_wait_ms(&h->rate, now_ms) == 0)
			forget(r, h);
	}
	pthread_mutex_unlock(&r->lock);
}

uint64_t rates_ask(struct rates *r, struct rates_hop *h, const struct config_rate *limit, bool take, uint64_t now_ms)
{
	pthread_mutex_lock(&r->lock);
	if (h->rate.limit.count != limit->count || h->rate.limit.per_ms != limit->per_ms)
		rate_set(&h->rate, limit, now_ms);
	uint64_t wait_ms = rate_wait_ms(&h->rate, now_ms);
	if (take && wait_ms == 0)
		rate_take(&h->rate, now_ms);
	pthread_mutex_unlock(&r->lock);
	return wait_ms;
}

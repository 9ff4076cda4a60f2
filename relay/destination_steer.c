/* relay/destination_steer.c - see destination.h: what an operator asks of mail that is in memory. */
#include "relay/destination_impl.h"

#include <stdlib.h>

#define RETRIED_MS 2000                 /* that an attempt counts as one made now */

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* ---- giving back ---- */

struct recall {
	const uint64_t *ids;                    /* in order */
	size_t count;
};

static bool is_meant(const struct recall *r, uint64_t id)
{
	return bsearch(&id, r->ids, r->count, sizeof(id), by_number) != NULL;
}

/* From the hands of sessions into the list of what waits: nothing of them was said to a peer yet. */
static void recall_from_sessions(struct destination *d, const struct recall *r)
{
	SP_LIST_EACH(&d->sessions, l) {
		struct delivery *y = sp_container_of(l, struct delivery, link);
		uint64_t id = delivery_unsent(y);
		if (id > 0 && is_meant(r, id))
			delivery_give_back(y);
	}
}

static void recall_from_list(struct destination *d, const struct recall *r)
{
	SP_LIST_EACH(&d->waiting, l) {
		struct queue_job *j = sp_container_of(l, struct queue_job, link);
		if (!is_meant(r, j->message->id))
			continue;
		sp_list_remove(l);
		d->waiting_count--;
		destination_park(d, j);
		d->taken = true;                /* what of it still waits, waits at rest: its row is to tell of it */
		queue_job_free(j);
	}
}

static void recall_one(struct sp_map_node *n, void *arg)
{
	struct destination *d = sp_container_of(n, struct destination, node);
	if (d->session_count > 0)
		recall_from_sessions(d, arg);
	if (d->waiting_count == 0)
		return;
	size_t before = d->waiting_count;
	recall_from_list(d, arg);
	if (d->waiting_count < before)
		destination_kick(d);
}

void destination_recall_all(struct shard *s, const uint64_t *ids, size_t count)
{
	struct recall r = { ids, count };
	if (s->stopping || count == 0)          /* what is not being sent is in the store already */
		return;
	sp_map_each(&s->destinations, recall_one, &r);
}

/* ---- trying now ---- */

/* Whatever it waits for, and what is remembered of how it failed, counts for nothing once. */
static void forget_wait(struct destination *d)
{
	d->held_until_ms = 0;
	if (d->plan)
		d->plan->good_until_ms = 0;     /* its failure may be mended; sessions in the pool wait for the new one */
}

void destination_retry(struct shard *s, const char *name)
{
	uint64_t now = core_clock_mono_ms();
	if (s->stopping)                        /* its row is due at the next start */
		return;
	struct destination *d = destination_get(s, name);
	bool waits = destination_held(d) || d->failures > 0;
	if (waits && d->retried_ms > 0 && now - d->retried_ms < RETRIED_MS)     /* for another page of its mail: one attempt shows it for all */
		return;
	if (waits)
		forget_wait(d);
	d->retried_ms = now;
	d->impatient = true;
	d->more = d->taken = true;
	destination_kick(d);
}

/* relay/destination_store.c - see destination_impl.h: mail that is left in the store, and fetched from there a page at a time. */
#include "relay/destination_impl.h"

#include "relay/outcome.h"

#include <stdlib.h>

#define WAITING_MAX 500                 /* jobs of a destination in memory; more stay in the store until their turn */
#define LOAD_MESSAGES 100               /* of a page */
#define LOAD_OCTETS (4 * 1024 * 1024)   /* bodies of a page */
#define ROOM_MS (5 * 60 * 1000)         /* in memory is at most what a rate lets go in so long */

struct queue_job *destination_pop_waiting(struct destination *d)
{
	struct sp_link *l = sp_list_pop(&d->waiting);
	if (l == NULL)
		return NULL;
	d->waiting_count--;
	return sp_container_of(l, struct queue_job, link);
}

void destination_add_waiting(struct destination *d, struct queue_job *job)
{
	queue_job_insert(&d->waiting, job);
	d->waiting_count++;
}

/* --- leaving mail in the store --- */

static int64_t job_deadline(const struct destination *d, const struct queue_job *j)
{
	int64_t first_ms = INT64_MAX;
	for (size_t i = 0; i < j->count; i++)
		first_ms = sp_min(first_ms, outcome_deadline_ms(d->shard->config, j->message, &j->recipients[i]));
	return first_ms;
}

void destination_park(struct destination *d, const struct queue_job *j)
{
	queue_park(d->shard->relay->store, j, job_deadline(d, j));
}

void destination_release(struct destination *d)
{
	/* Not held: nothing is due, so what waits has times of its own, also where the site failed last. */
	bool waits = destination_held(d);
	struct queue_wait wait = { .failures = waits ? d->failures : 0, .since_ms = waits ? d->since_ms : 0,
	                           .next_at_ms = waits ? d->held_until_ms : 0, .text = sp_failed(&d->last) ? d->last.text : "" };
	queue_release(d->shard->relay->store, d->name, &wait);
	d->taken = false;
	d->released_ms = core_clock_mono_ms();
}

void destination_wait_in_store(struct destination *d, struct queue_job *j)
{
	sp_list_push_back(&d->inflight, &j->link);
	if (settle_waiting(d, j, &d->last, true))
		return;
	sp_list_remove(&j->link);
	destination_park(d, j);
	d->taken = true;
	queue_job_free(j);
}

void destination_wait_all(struct destination *d)
{
	struct queue_job *j;
	while ((j = destination_pop_waiting(d)))
		destination_wait_in_store(d, j);
}

/* --- pages from the store --- */

struct load {                                   /* survives the destination's name only */
	struct shard *shard;
	char *name;
};

static void on_loaded(void *owner, struct queue_job **jobs, size_t count, const struct sp_fail *why)
{
	struct load *load = owner;
	struct shard *s = load->shard;
	struct destination *d = destination_find(s, load->name);
	sp_assert(d != NULL && d->loading);
	d->loading = false;
	s->loads--;
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, d->name, "store", "waiting mail cannot be read, it stays: %s", why->text);
	if (count == 0)
		d->more = false;
	for (size_t i = 0; i < count; i++) {
		if (destination_held(d) || s->stopping) {
			destination_wait_in_store(d, jobs[i]);
			continue;
		}
		destination_add_waiting(d, jobs[i]);
	}
	free(load->name);
	free(load);
	destination_kick(d);
	shard_op_end(s);
}

/* Many destinations may wake at once, and what is on its way is not counted yet. */
static bool page_fits(const struct shard *s)
{
	size_t coming = (size_t)(s->loads + 1) * s->relay->shard_count * LOAD_OCTETS;
	return sp_body_memory() + coming <= (size_t)s->config->limits.memory / 4 * 3;
}

/* What a rate does not let go soon is better at rest, where its time is minded. */
size_t destination_room(const struct destination *d)
{
	struct rate rate = { .limit = d->rate };
	return sp_min(rate_in(&rate, ROOM_MS), WAITING_MAX);
}

bool destination_wants_page(const struct destination *d)
{
	return d->more && !d->loading && d->failures == 0 && d->waiting_count < sp_min(LOAD_MESSAGES, destination_room(d) + 1) / 2;
}

void destination_load_page(struct destination *d)
{
	struct load *load = sp_alloc(sizeof(*load));
	load->shard = d->shard;
	load->name = sp_strdup(d->name);
	d->loading = true;
	shard_op_begin(d->shard);
	/* One message is enough to find out whether a site is back. */
	size_t limit = d->failures > 0 || !page_fits(d->shard) ? 1 : sp_min(LOAD_MESSAGES, destination_room(d));
	d->shard->loads++;
	queue_load(d->shard->relay->store, d->name, core_clock_wall_ms(), limit, LOAD_OCTETS, d->shard->mailbox, on_loaded, load);
}

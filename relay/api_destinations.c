/* relay/api_destinations.c - GET /destinations, an area of the admin API (relay/api.h): what waits, by destination.
 *   ?top=N           those with the most recipients waiting, at most WORST_COUNT, out of the whole spool: it is read a page at a time, and what was found is good for TOP_MS
 *   ?after= limit=   all of them by name, in pages */
#include "relay/api_areas.h"

#include "core/clock.h"
#include "relay/worst.h"

#include <stdlib.h>

#define TOP_MS 10000
#define TOP_SHARE 20                    /* a look at the whole spool takes one part in so many of the time, however long it takes */
#define PAGE_USUAL 200

struct waiter {
	struct sp_link link;                    /* in destinations.waiting */
	struct api_request *request;
	uint64_t top;
};

struct destinations {
	const struct api_world *world;
	struct worst worst;
	struct sp_link waiting;                 /* of struct waiter */
	bool reading;
	uint64_t began_ms, good_until_ms;       /* monotonic */
};

static json_t *row_value(const char *name, uint64_t recipients, int64_t oldest_ms, int64_t next_at_ms, unsigned failures, const char *failure)
{
	return json_pack("{s:s, s:I, s:o, s:o, s:I, s:o}", "destination", name, "recipients", (json_int_t)recipients, "oldest", api_time(oldest_ms / 1000),
	                 "next_attempt", api_time(next_at_ms / 1000), "failures", (json_int_t)failures, "delay_reason",
	                 api_text(failure));
}

/* ---- the worst ---- */

static void answer_top(struct destinations *d, struct api_request *q, uint64_t top)
{
	json_t *rows = json_array();
	for (size_t i = 0; i < d->worst.count && i < top; i++) {
		const struct worst_row *r = &d->worst.rows[i];
		json_array_append_new(rows, row_value(r->name, r->recipients, r->oldest_ms, r->next_at_ms, r->failures, r->failure));
	}
	api_answer(q, 200, json_pack("{s:o, s:n}", "destinations", rows, "next"));
}

static void answer_all(struct destinations *d, const struct sp_fail *why)
{
	struct sp_link *l;
	uint64_t now_ms = core_clock_mono_ms();
	d->reading = false;
	d->good_until_ms = sp_failed(why) ? 0 : now_ms + sp_max(TOP_MS, (now_ms - d->began_ms) * TOP_SHARE);
	while ((l = sp_list_pop(&d->waiting)) != NULL) {
		struct waiter *w = sp_container_of(l, struct waiter, link);
		if (!api_store_refused(w->request, why))
			answer_top(d, w->request, w->top);
		free(w);
	}
}

static void on_page(void *owner, const struct queue_shape *rows, size_t count, const char *next, const struct sp_fail *why)
{
	struct destinations *d = owner;
	if (sp_failed(why)) {
		worst_clear(&d->worst);         /* a half round is none */
		worst_init(&d->worst);
	}
	if (sp_failed(why) || worst_page(&d->worst, rows, count, next))
		answer_all(d, why);
	else
		queue_shape(d->world->store, d->worst.after, API_PAGE_MAX, core_clock_wall_ms(), d->world->mailbox, on_page, d);
}

static void tell_top(struct destinations *d, struct api_request *q, uint64_t top)
{
	if (!d->reading && core_clock_mono_ms() < d->good_until_ms) {
		answer_top(d, q, top);
		return;
	}
	struct waiter *w = sp_alloc(sizeof(*w));
	w->request = q;
	w->top = top;
	sp_list_push_back(&d->waiting, &w->link);
	if (d->reading)
		return;
	d->reading = true;
	d->began_ms = core_clock_mono_ms();
	queue_shape(d->world->store, d->worst.after, API_PAGE_MAX, core_clock_wall_ms(), d->world->mailbox, on_page, d);
}

/* ---- all of them ---- */

static void on_listed(void *owner, const struct queue_shape *rows, size_t count, const char *next, const struct sp_fail *why)
{
	struct api_request *q = owner;
	if (api_store_refused(q, why))
		return;
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++) {
		const struct queue_shape *r = &rows[i];
		json_t *v = row_value(r->destination, r->recipients, r->oldest_ms, r->next_at_ms, r->failures, r->failure);
		json_object_set_new(v, "whole", json_boolean(r->whole));
		json_array_append_new(list, v);
	}
	api_answer(q, 200, json_pack("{s:o, s:s?}", "destinations", list, "next", next && *next ? next : NULL));
}

static void on_get(struct api_request *q)
{
	struct destinations *d = q->self;
	uint64_t top = 0, limit = PAGE_USUAL;
	const char *after = "";
	const struct query_field fields[] = { { "top", QUERY_NUMBER, &top }, { "after", QUERY_TEXT, &after }, { "limit", QUERY_NUMBER, &limit } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (top > WORST_COUNT)
		api_refuse(q, 400, "top: from 1 to %d", WORST_COUNT);
	else if (top > 0)
		tell_top(d, q, top);
	else if (api_limit_ok(q, limit, API_PAGE_MAX))
		queue_shape(q->world->store, after, limit, core_clock_wall_ms(), q->world->mailbox, on_listed, q);
}

/* ---- the area ---- */

static void free_self(void *self)
{
	struct destinations *d = self;
	worst_clear(&d->worst);
	free(d);
}

void api_destinations_add(struct api *a)
{
	static const struct api_route routes[] = { { "GET", "/destinations", on_get, 0 } };
	struct destinations *d = sp_alloc(sizeof(*d));
	d->world = api_world(a);
	worst_init(&d->worst);
	sp_list_init(&d->waiting);
	api_add(a, routes, SP_COUNT(routes), d, free_self);
}

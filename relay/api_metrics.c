/* relay/api_metrics.c - GET /metrics, an area of the admin API (relay/api.h): what the relay counts (relay/metrics.h) and what it has (relay/gauges.h), for Prometheus.
 * The store is asked once for all who wait, and at most every STORED_MS; for what takes it long, more seldom (relay/stored.h):
 *
 *   GET -> queue_gauges -> policies and reports -> pages of the spool (relay/worst.h) -> answers */
#include "relay/api_areas.h"

#include "core/clock.h"
#include "relay/gauges.h"
#include "relay/metrics.h"

#include <stdlib.h>

#define STORED_MS 10000                 /* what the store said is good for so long */
#define PAGE 5000                       /* destinations */
#define PAGES 5                         /* of the spool, each time; one takes QUEUE_LOOK_MS at most (queue/walk.h), and a million recipients some 250 of them */
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct scrape {
	struct gauges_stored stored;
	struct worst worst;
	uint64_t good_until_ms;                 /* monotonic */
	unsigned pages;                         /* still to be read */
	bool asking;                            /* the store is asked */
	struct sp_link waiting;                 /* of struct api_request */
	const struct api_world *world;
};

static void answer(struct scrape *m, struct api_request *q)
{
	struct sp_buf body;
	sp_buf_init(&body, API_ANSWER_MAX);
	metrics_write(m->world->relay->metrics, &body);
	gauges_write(m->world->relay, m->world->config, &m->stored, &m->worst, &body);
	api_send(q, 200, CONTENT_TYPE, &body);
}

static void answer_all(struct scrape *m)
{
	struct sp_link *l;
	m->asking = false;
	m->good_until_ms = core_clock_mono_ms() + STORED_MS;
	while ((l = sp_list_pop(&m->waiting)) != NULL)
		answer(m, sp_container_of(l, struct api_request, waits));
}

/* ---- pages of the spool ---- */

static void read_page(struct scrape *m);

static void on_page(void *owner, const struct queue_shape *rows, size_t count, const char *next, const struct sp_fail *why)
{
	struct scrape *m = owner;
	if (!sp_failed(why) && worst_page(&m->worst, rows, count, next))
		m->pages = 1;                   /* the end of a round; the next one begins at the next scrape */
	m->pages = sp_failed(why) ? 0 : m->pages - 1;
	if (m->pages > 0)
		read_page(m);
	else
		answer_all(m);
}

static void read_page(struct scrape *m)
{
	queue_shape(m->world->store, m->worst.after, PAGE, core_clock_wall_ms(), m->world->mailbox, on_page, m);
}

static void read_pages(void *owner)
{
	struct scrape *m = owner;
	m->pages = PAGES;
	read_page(m);
}

/* ---- GET ---- */

static void on_gauges(void *owner, const struct queue_gauges *g, const struct sp_fail *why)
{
	struct scrape *m = owner;
	m->stored.queue_known = !sp_failed(why);
	m->stored.queue = *g;
	stored_ask(&m->stored.rest, m->world->store, m->world->mailbox, read_pages, m);
}

static void on_get(struct api_request *q)
{
	struct scrape *m = q->self;
	if (!api_read(q, NULL, 0))
		return;
	if (!m->asking && core_clock_mono_ms() < m->good_until_ms) {
		answer(m, q);
		return;
	}
	sp_list_push_back(&m->waiting, &q->waits);
	if (m->asking)
		return;
	m->asking = true;
	queue_gauges(m->world->store, m->world->mailbox, on_gauges, m);
}

/* ---- the area ---- */

static void free_scrape(void *self)
{
	struct scrape *m = self;
	worst_clear(&m->worst);
	free(m);
}

void api_metrics_add(struct api *a)
{
	static const struct api_route routes[] = { { "GET", "/metrics", on_get, API_NEEDS_RELAY } };
	struct scrape *m = sp_alloc(sizeof(*m));
	m->world = api_world(a);
	worst_init(&m->worst);
	sp_list_init(&m->waiting);
	api_add(a, routes, SP_COUNT(routes), m, free_scrape);
}

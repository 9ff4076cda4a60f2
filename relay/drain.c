/* relay/drain.c - see drain.h. */
#include "relay/drain.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "queue/list.h"

#include <stdlib.h>

#define LOOK_MS 500

struct drain {
	struct relay *relay;
	struct core_timer *timer;
	int64_t since_s;                /* 0: not draining */
	bool asking;                    /* the store was asked, and has not answered */
	void (*on_empty)(void *owner);
	void *owner;
};

static void on_counted(void *owner, const struct queue_gauges *g, const struct sp_fail *why)
{
	struct drain *d = owner;
	d->asking = false;
	if (d->since_s == 0 || atomic_load(&d->relay->stopping))
		return;
	if (sp_failed(why) || g->recipients > g->held + g->quarantined) {
		core_timer_start(d->timer, LOOK_MS);
		return;
	}
	sp_log_text(SP_LOG_INFO, NULL, "drain", "empty; %llu recipients stay held, %llu quarantined", (unsigned long long)g->held,
	            (unsigned long long)g->quarantined);
	d->on_empty(d->owner);
}

/* Nobody is connected: all that was said 250 to is in the spool, and counted. Counted before, a message could come in behind. */
static void on_look(void *owner)
{
	struct drain *d = owner;
	if (atomic_load(&d->relay->stopping))
		return;
	if (atomic_load(&d->relay->connections) > 0) {
		core_timer_start(d->timer, LOOK_MS);
		return;
	}
	d->asking = true;
	queue_gauges(d->relay->store, d->relay->main_mailbox, on_counted, d);
}

struct drain *drain_new(struct relay *r, struct core_loop *l, void (*on_empty)(void *owner), void *owner)
{
	struct drain *d = sp_alloc(sizeof(*d));
	d->relay = r;
	d->on_empty = on_empty;
	d->owner = owner;
	d->timer = core_timer_new(l, on_look, d);
	return d;
}

void drain_begin(struct drain *d)
{
	if (d->since_s > 0)
		return;
	d->since_s = core_clock_wall_s();
	atomic_store(&d->relay->draining, true);
	if (!d->asking)
		core_timer_start(d->timer, LOOK_MS);
}

void drain_undo(struct drain *d)
{
	d->since_s = 0;
	atomic_store(&d->relay->draining, false);
	core_timer_stop(d->timer);
}

int64_t drain_since_s(const struct drain *d)
{
	return d->since_s;
}

bool drain_busy(const struct drain *d)
{
	return d && d->asking;
}

void drain_free(struct drain *d)
{
	if (d == NULL)
		return;
	sp_assert(!d->asking);
	core_timer_close(d->timer);
	free(d);
}

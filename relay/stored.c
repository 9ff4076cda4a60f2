/* relay/stored.c - see stored.h. */
#include "relay/stored.h"

#include "core/clock.h"
#include "queue/evidence.h"

#include <stdlib.h>

#define REST_MS 10000                   /* at least, between two looks */
#define SHARE 100                       /* of the store's time, one part */

struct stored_op {
	struct queue_op op;
	struct stored *target, seen;
	uint64_t took_us;
	void (*done)(void *owner);
	void *owner;
};

static enum core_db_status run_look(struct core_db *db, struct queue_op *op)
{
	struct stored_op *o = sp_container_of(op, struct stored_op, op);
	uint64_t began_us = core_clock_mono_us();
	enum core_db_status status = sts_cache_count(db, core_clock_wall_s(), &o->seen.policies);
	if (status == CORE_DB_OK)
		status = rpt_outbox_states(db, core_clock_wall_s(), &o->seen.reports);
	if (status == CORE_DB_OK)
		status = queue_evidence_octets(db, &o->seen.evidence);
	o->took_us = core_clock_mono_us() - began_us;
	return status;
}

static void on_looked(struct queue_op *op, const struct sp_fail *why)
{
	struct stored_op *o = sp_container_of(op, struct stored_op, op);
	o->seen.known = !sp_failed(why);
	o->seen.again_ms = core_clock_mono_ms() + sp_max(REST_MS, o->took_us * SHARE / 1000);
	*o->target = o->seen;
	o->done(o->owner);
	free(o);
}

void stored_ask(struct stored *s, struct queue_store *store, struct core_mailbox *reply_to, void (*done)(void *owner), void *owner)
{
	if (s->known && core_clock_mono_ms() < s->again_ms) {
		done(owner);
		return;
	}
	struct stored_op *o = sp_alloc(sizeof(*o));
	*o = (struct stored_op){ .op.run = run_look, .op.done = on_looked, .op.reply_to = reply_to, .target = s, .done = done, .owner = owner };
	queue_store_submit(store, &o->op);
}

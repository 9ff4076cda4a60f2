/* relay/account.c - see account.h. */
#include "relay/account.h"

#include "core/log.h"
#include "rpt/ledger.h"

#include <stdlib.h>

#define EVENTS_FIRST 2                  /* a session has one, or two; room for more is made apart */

struct account {
	struct queue_extra extra;
	struct queue_op op;                     /* account_flush() */
	struct queue_store *store;
	uint64_t number;                        /* of the batch; 0: it was not tried yet */
	struct rpt_rules rules;
	int64_t first_day;                      /* of its events */
	struct rpt_event *events;               /* `first`, or memory of its own */
	size_t count, room;
	struct rpt_event first[EVENTS_FIRST];
	struct sp_arena arena;                  /* their strings */
};

/* On the store's thread. The number is drawn at the first try: a session may last for hours before, and the ledger knows a number for RPT_COUNTED_SPAN only. */
static enum core_db_status add_to_ledger(struct core_db *db, struct queue_extra *x)
{
	struct account *a = sp_container_of(x, struct account, extra);
	if (a->number == 0)
		a->number = queue_store_next_id(a->store);
	return rpt_ledger_add(db, a->number, a->events, a->count, &a->rules);
}

static struct account *new_account(struct shard *s)
{
	struct account *a = sp_alloc(sizeof(*a));
	a->extra.run = add_to_ledger;
	a->store = s->relay->store;
	a->rules = (struct rpt_rules){ .spread_s = s->config->report.spread_ms / 1000, .details_max = s->config->report.details_per_domain };
	a->first_day = INT64_MAX;
	a->events = a->first;
	a->room = EVENTS_FIRST;
	return a;
}

static void make_room(struct account *a)
{
	bool own = a->events != a->first;
	a->room *= 2;
	a->events = sp_realloc(own ? a->events : NULL, a->room * sizeof(*a->events));
	if (!own)
		memcpy(a->events, a->first, sizeof(a->first));
}

void account_add(struct account **a, struct shard *s, const struct rpt_event *e)
{
	if (!s->config->report.enabled || s->relay->store == NULL)
		return;
	if (*a == NULL)
		*a = new_account(s);
	if ((*a)->count == (*a)->room)
		make_room(*a);
	(*a)->events[(*a)->count++] = rpt_event_copy(e, &(*a)->arena);
	(*a)->first_day = sp_min((*a)->first_day, rpt_day_of(e->at_s));
}

struct queue_extra *account_extra(struct account *a)
{
	return a ? &a->extra : NULL;
}

void account_free(struct account *a)
{
	if (a == NULL)
		return;
	if (a->events != a->first)
		free(a->events);
	sp_arena_clear(&a->arena);
	free(a);
}

/* On the store's thread. */
static enum core_db_status run_flush(struct core_db *db, struct queue_op *op)
{
	struct account *a = sp_container_of(op, struct account, op);
	return add_to_ledger(db, &a->extra);
}

/* It insists, so a failure is the end of the process with a disk that takes nothing, or a fault of the tables. */
static void on_flushed(struct queue_op *op, const struct sp_fail *why)
{
	struct account *a = sp_container_of(op, struct account, op);
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, NULL, "report", "%zu sessions with %s are not counted: %s", a->count, a->events[0].policy_domain, why->text);
	account_free(a);
}

void account_flush(struct account **a, struct shard *s)
{
	if (*a == NULL)
		return;
	(*a)->op.run = run_flush;
	(*a)->op.done = on_flushed;
	(*a)->op.insist = (*a)->op.patient = true;
	queue_store_submit(s->relay->store, &(*a)->op);
	*a = NULL;
}

bool account_is_late(const struct account *a, int64_t today)
{
	return a && a->first_day < today;
}

/* relay/alarm.c - see alarm.h. */
#include "relay/alarm.h"

#include "core/clock.h"
#include "core/log.h"
#include "queue/list.h"
#include "relay/metrics.h"
#include "sts/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS 60000                   /* between two looks; sooner where less than that is alarming */
#define LOOK_MIN_MS 100

struct alarm {
	struct relay *relay;
	struct core_timer *timer;               /* NULL: stopped */
	uint64_t oldest_ms, idle_ms;            /* alarm.oldest, 0: never; alarm.idle */
	struct alarm_backlog backlog;
	uint64_t lapse_told_ms;                 /* monotonic; 0: nothing lapses */
	bool asking;
};

/* ---- the backlog ---- */

enum alarm_word alarm_backlog_look(struct alarm_backlog *b, uint64_t now_ms, uint64_t delivered, uint64_t age_ms, uint64_t oldest_ms, uint64_t idle_ms)
{
	bool moved = delivered != b->delivered, first = b->moved_ms == 0;
	if (moved || first)
		b->moved_ms = now_ms;
	b->delivered = delivered;
	bool stuck = oldest_ms > 0 && age_ms > oldest_ms && now_ms - b->moved_ms >= idle_ms;
	if (!stuck) {
		bool told = b->told_ms > 0;
		b->told_ms = 0;
		return told ? ALARM_MOVES : ALARM_NOTHING;
	}
	if (b->told_ms > 0 && now_ms - b->told_ms < ALARM_AGAIN_MS)
		return ALARM_NOTHING;
	b->told_ms = now_ms;
	return ALARM_STUCK;
}

static void print_time(char text[32], uint64_t ms)
{
	uint64_t s = ms / 1000;
	if (s >= 86400)
		snprintf(text, 32, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(text, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(text, 32, "%" PRIu64 " min", s / 60);
	else
		snprintf(text, 32, "%" PRIu64 " s", s);
}

static void look_at_backlog(struct alarm *a, const struct queue_gauges *g)
{
	char age[32], idle[32];
	int64_t now_ms = core_clock_wall_ms();
	uint64_t age_ms = g->oldest_waiting_ms > 0 && g->oldest_waiting_ms < now_ms ? (uint64_t)(now_ms - g->oldest_waiting_ms) : 0;
	uint64_t delivered = metrics_sum(a->relay->metrics, METRIC_RECIPIENTS, METRICS_DELIVERED);
	switch (alarm_backlog_look(&a->backlog, core_clock_mono_ms(), delivered, age_ms, a->oldest_ms, a->idle_ms)) {
	case ALARM_NOTHING:
		break;
	case ALARM_MOVES:
		sp_log_text(SP_LOG_INFO, NULL, "alarm", "the backlog moves again");
		break;
	case ALARM_STUCK:
		print_time(age, age_ms);
		print_time(idle, core_clock_mono_ms() - a->backlog.moved_ms);
		sp_log_text(SP_LOG_ERROR, NULL, "alarm", "the backlog does not move: the oldest mail waits for %s, and nothing was delivered for %s; %" PRIu64
		            " messages wait. `strictpost queue summary` tells for whom, `strictpost explain DOMAIN` why; `strictpost status` whether it is us",
		            age, idle, g->messages);
	}
}

/* ---- protection ---- */

static void look_at_policies(struct alarm *a, const struct sts_cache_counts *p)
{
	uint64_t now_ms = core_clock_mono_ms();
	if (p->lapsing == 0) {
		a->lapse_told_ms = 0;
		return;
	}
	if (a->lapse_told_ms > 0 && now_ms - a->lapse_told_ms < ALARM_AGAIN_MS)
		return;
	a->lapse_told_ms = now_ms;
	char left[32];
	int64_t left_s = p->lapses_s - core_clock_wall_s();
	print_time(left, left_s > 0 ? (uint64_t)left_s * 1000 : 0);
	sp_log_text(SP_LOG_WARNING, NULL, "alarm", "%" PRIu64 " policies cannot be refreshed and are about to expire, the first in %s: mail to these domains then goes without "
	            "their protection. `strictpost policy list` tells which, `strictpost check DOMAIN` what is wrong there", p->lapsing, left);
}

struct lapse_op {
	struct queue_op op;
	struct alarm *alarm;
	struct sts_cache_counts counts;
};

static enum core_db_status run_lapse(struct core_db *db, struct queue_op *op)
{
	return sts_cache_count(db, core_clock_wall_s(), &sp_container_of(op, struct lapse_op, op)->counts);
}

static void answered(struct alarm *a)
{
	uint64_t look_ms = sp_min(LOOK_MS, sp_max(LOOK_MIN_MS, sp_min(a->oldest_ms ? a->oldest_ms : LOOK_MS, a->idle_ms) / 4));
	a->asking = false;
	if (a->timer)
		core_timer_start(a->timer, look_ms);
}

static void on_lapse(struct queue_op *op, const struct sp_fail *why)
{
	struct lapse_op *l = sp_container_of(op, struct lapse_op, op);
	struct alarm *a = l->alarm;
	if (!sp_failed(why))
		look_at_policies(a, &l->counts);
	free(l);
	answered(a);
}

/* ---- looking ---- */

static void on_gauges(void *owner, const struct queue_gauges *g, const struct sp_fail *why)
{
	struct alarm *a = owner;
	if (!sp_failed(why))
		look_at_backlog(a, g);
	struct lapse_op *l = sp_alloc(sizeof(*l));
	l->alarm = a;
	l->op.run = run_lapse;
	l->op.done = on_lapse;
	l->op.reply_to = a->relay->main_mailbox;
	queue_store_submit(a->relay->store, &l->op);
}

static void on_timer(void *owner)
{
	struct alarm *a = owner;
	a->asking = true;
	queue_gauges(a->relay->store, a->relay->main_mailbox, on_gauges, a);
}

/* ---- life ---- */

void alarm_reload(struct alarm *a, const struct config *c)
{
	a->oldest_ms = (uint64_t)c->alarm.oldest_ms;
	a->idle_ms = (uint64_t)c->alarm.idle_ms;
	if (!a->asking)
		core_timer_start(a->timer, 0);
}

struct alarm *alarm_start(struct relay *r, struct core_loop *l, const struct config *c)
{
	struct alarm *a = sp_alloc(sizeof(*a));
	a->relay = r;
	a->timer = core_timer_new(l, on_timer, a);
	alarm_reload(a, c);
	return a;
}

void alarm_stop(struct alarm *a)
{
	if (a == NULL || a->timer == NULL)
		return;
	core_timer_close(a->timer);
	a->timer = NULL;
}

bool alarm_busy(const struct alarm *a)
{
	return a && a->asking;
}

void alarm_free(struct alarm *a)
{
	alarm_stop(a);
	free(a);
}

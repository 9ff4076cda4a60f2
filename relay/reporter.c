/* relay/reporter.c - see reporter.h: its life, its places, its own schedule and the sweep.
 * The store is asked for what is due; the earliest of the rest says how long to sleep, but no longer than some seconds: clocks jump, and mail that bounced
 * makes a report due again. */
#include "relay/reporter_impl.h"

#include "core/clock.h"
#include "core/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define DUE_PAGE (2 * REPORTER_AT_ONCE) /* rows asked for at once: those under way are still due */
#define SLEEP_MAX_MS 15000
#define BEGIN_MS 500
#define PAUSE_MS 30000
#define SWEEP_MS (3600 * 1000)
#define SWEEP_FIRST_MS (600 * 1000)     /* after a long rest what is due is tried before it is thought too old */
#define SWEEP_PAGE 200                  /* rows forgotten at once */
#define SWEEP_NEXT_MS 50
#define GRACE_MS 4000                   /* for endpoints that have not answered when the reporter is stopped */

/* ---- the store ---- */

void reporter_submit(struct reporter *r, struct reporter_op *o, enum core_db_status (*run)(struct core_db *db, struct queue_op *op),
                     void (*done)(struct queue_op *op, const struct sp_fail *why))
{
	o->reporter = r;
	o->op.run = run;
	o->op.done = done;
	o->op.reply_to = r->world.mailbox;
	r->ops++;
	queue_store_submit(r->world.store, &o->op);
}

static void say_stopped(void *arg)
{
	struct reporter *r = arg;
	r->stopped(r->owner);
}

static void check_stopped(struct reporter *r)
{
	if (!r->stopping || r->told || r->ops > 0 || r->attempt_count > 0 || r->run || !sp_list_empty(&r->documents))
		return;
	r->told = true;
	core_loop_later(r->world.loop, say_stopped, r);
}

void reporter_op_end(struct reporter *r)
{
	r->ops--;
	check_stopped(r);
}

/* ---- what is due ---- */

struct due_op {
	struct reporter_op base;
	struct rpt_filter filter;
	struct sp_arena arena;
	const struct rpt_report *rows;
	size_t count;
};

static enum core_db_status run_due(struct core_db *db, struct queue_op *op)
{
	struct due_op *d = sp_container_of(op, struct due_op, base.op);
	sp_arena_clear(&d->arena);
	d->count = 0;
	return rpt_outbox_due(db, &d->filter, DUE_PAGE, &d->arena, &d->rows, &d->count);
}

/* Begins what is due, and returns in how many ms to look again. */
static uint64_t begin_due(struct reporter *r, const struct due_op *d)
{
	int64_t now_s = core_clock_wall_s();
	uint64_t sleep_ms = SLEEP_MAX_MS;
	for (size_t i = 0; i < d->count; i++) {
		const struct rpt_report *row = &d->rows[i];
		int64_t due_s = sp_max(row->due_s, (row->day + 1) * RPT_DAY_S + REPORTER_LATE_S);
		if (due_s > now_s) {
			sleep_ms = sp_min((size_t)(due_s - now_s) * 1000, sleep_ms);
			continue;
		}
		if (attempt_find(r, row->day, row->domain))
			continue;
		if (!reporter_has_place(r))
			return SLEEP_MAX_MS;            /* an attempt that ends looks again */
		struct attempt_ask ask = { .day = row->day, .domain = row->domain, .stores = true };
		attempt_begin(r, &ask, NULL);
	}
	return sleep_ms;
}

static void on_due(struct queue_op *op, const struct sp_fail *why)
{
	struct due_op *d = sp_container_of(op, struct due_op, base.op);
	struct reporter *r = d->base.reporter;
	r->asking = false;
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, NULL, "store", "what reports are due cannot be read: %s", why->text);
	if (!r->stopping)
		core_timer_start(r->due_timer, sp_failed(why) ? SLEEP_MAX_MS : begin_due(r, d));
	sp_arena_clear(&d->arena);
	free(d);
	reporter_op_end(r);
}

static void ask_due(void *owner)
{
	struct reporter *r = owner;
	if (!r->begun || r->stopping || r->asking)
		return;
	if (!r->config->report.enabled || core_clock_mono_ms() < r->pause_until_ms) {
		core_timer_start(r->due_timer, SLEEP_MAX_MS);
		return;
	}
	struct due_op *d = sp_alloc(sizeof(*d));
	d->filter = (struct rpt_filter){ .last_day = rpt_day_of(core_clock_wall_s()) - 1, .open_only = true,
	                                 .due_by_s = core_clock_wall_s() + SLEEP_MAX_MS / 1000,
	                                 .begun_only = r->config->report.schedule == CONFIG_SCHEDULE_EXTERNAL };
	r->asking = true;
	reporter_submit(r, &d->base, run_due, on_due);
}

bool reporter_has_place(const struct reporter *r)
{
	return !r->stopping && r->attempt_count < REPORTER_AT_ONCE;
}

void reporter_pause(struct reporter *r)
{
	r->pause_until_ms = core_clock_mono_ms() + PAUSE_MS;
}

void reporter_next(struct reporter *r)
{
	if (r->run)
		reporter_run_next(r->run);
	if (r->begun && !r->stopping && !r->asking)
		core_timer_start(r->due_timer, 0);
	check_stopped(r);
}

/* ---- the sweep ---- */

struct sweep_op {
	struct reporter_op base;
	int64_t now_s, keep_days;
	bool more;
	void (*done)(void *owner, bool more);
	void *owner;
};

static enum core_db_status run_sweep(struct core_db *db, struct queue_op *op)
{
	struct sweep_op *s = sp_container_of(op, struct sweep_op, base.op);
	s->more = false;
	return rpt_outbox_sweep(db, s->now_s, s->keep_days, SWEEP_PAGE, &s->more);
}

static void on_swept(struct queue_op *op, const struct sp_fail *why)
{
	struct sweep_op *s = sp_container_of(op, struct sweep_op, base.op);
	struct reporter *r = s->base.reporter;
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, NULL, "store", "reports that are over stay where they are: %s", why->text);
	s->done(s->owner, !sp_failed(why) && s->more);
	free(s);
	reporter_op_end(r);
}

void reporter_sweep(struct reporter *r, void (*done)(void *owner, bool more), void *owner)
{
	struct sweep_op *s = sp_alloc(sizeof(*s));
	s->now_s = core_clock_wall_s();
	s->keep_days = r->config->report.keep_days;
	s->base.op.patient = true;
	s->done = done;
	s->owner = owner;
	reporter_submit(r, &s->base, run_sweep, on_swept);
}

static void on_batch_swept(void *owner, bool more)
{
	struct reporter *r = owner;
	if (!r->stopping)
		core_timer_start(r->sweep_timer, more ? SWEEP_NEXT_MS : SWEEP_MS);
}

static void on_sweep_timer(void *owner)
{
	reporter_sweep(owner, on_batch_swept, owner);
}

/* ---- identifiers ---- */

void reporter_draw_id(const struct config *c, struct sp_buf *out)
{
	time_t now = (time_t)core_clock_wall_s();
	uint64_t random = 0;
	struct tm tm;
	char text[32] = "";
	if (gmtime_r(&now, &tm))
		strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random = core_clock_mono_us();
	sp_buf_printf(out, "%s.%016" PRIx64 "@%s", text, random, config_report_identity(c)->submitter);
}

/* ---- life ---- */

static void on_grace_over(void *owner)
{
	struct reporter *r = owner;
	SP_LIST_EACH(&r->attempts, l)
		attempt_stop(sp_container_of(l, struct attempt, link), true);
}

struct reporter *reporter_new(const struct reporter_world *w, struct config *c)
{
	struct reporter *r = sp_alloc(sizeof(*r));
	r->world = *w;
	r->config = config_ref(c);
	sp_list_init(&r->attempts);
	sp_list_init(&r->documents);
	lane_open(&r->to_send, w->loop);
	lane_open(&r->to_show, w->loop);
	r->due_timer = core_timer_new(w->loop, ask_due, r);
	r->sweep_timer = core_timer_new(w->loop, on_sweep_timer, r);
	r->grace_timer = core_timer_new(w->loop, on_grace_over, r);
	return r;
}

bool reporter_open(struct reporter *r, struct sp_fail *why)
{
	const struct config *c = r->config;
	if (r->tls == NULL)
		r->tls = core_tls_client_new(c->tls.ca_file, why);
	if (r->tls && r->dns == NULL)
		r->dns = core_dns_open(r->world.loop, c->resolver.servers, (unsigned)c->resolver.timeout_ms, why);
	return r->dns != NULL;
}

/* The trusted roots may have changed in their file; the resolver changes at the next start only. */
void reporter_reload(struct reporter *r, struct config *c)
{
	struct sp_fail why;
	config_unref(r->config);
	r->config = config_ref(c);
	struct core_tls_client *tls = core_tls_client_new(c->tls.ca_file, &why);
	if (tls) {
		core_tls_client_unref(r->tls);
		r->tls = tls;
	} else {
		sp_log_text(SP_LOG_ERROR, NULL, "reload", "the trusted roots for reports stay as they were: %s", why.text);
	}
	reporter_next(r);
}

void reporter_begin(struct reporter *r)
{
	r->begun = true;
	core_timer_start(r->due_timer, BEGIN_MS);
	core_timer_start(r->sweep_timer, SWEEP_FIRST_MS);
}

void reporter_stop(struct reporter *r, void (*stopped)(void *owner), void *owner)
{
	r->stopping = true;
	r->stopped = stopped;
	r->owner = owner;
	core_timer_stop(r->due_timer);
	core_timer_stop(r->sweep_timer);
	core_timer_start(r->grace_timer, GRACE_MS);
	if (r->run)
		reporter_run_stop(r->run);
	SP_LIST_EACH(&r->attempts, l)
		attempt_stop(sp_container_of(l, struct attempt, link), false);
	check_stopped(r);
}

void reporter_free(struct reporter *r)
{
	if (r == NULL)
		return;
	sp_assert(r->attempt_count == 0 && r->run == NULL && r->ops == 0);
	lane_close(&r->to_send);
	lane_close(&r->to_show);
	core_timer_close(r->due_timer);
	core_timer_close(r->sweep_timer);
	core_timer_close(r->grace_timer);
	core_dns_close(r->dns);
	core_tls_client_unref(r->tls);
	config_unref(r->config);
	free(r);
}

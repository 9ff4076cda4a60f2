/* relay/reporter_run.c - a run that somebody asked for: the rows that it is about, page by page in the order of day and domain, each as soon as a place is free.
 * A report that the reporter has in hand already, of its own accord, is not begun a second time: its result is told when it comes. */
#include "relay/reporter_impl.h"

#include "core/clock.h"
#include "core/log.h"

#include <stdlib.h>

#define PAGE 128                        /* rows read at once */

struct reporter_run {
	struct reporter *reporter;
	const struct reporter_run_ops *ops;
	void *owner;
	bool again, dry;
	int64_t today;                          /* when the run began: days before it are over */
	struct rpt_filter filter;
	char *domain;                           /* filter.domain, or NULL */
	struct page_op *page;                   /* the rows at hand, or NULL */
	size_t at;                              /* in them */
	struct core_timer *late;                /* asking: the day has just ended, and not all of it may be in the ledger */
	bool asking, begun, all_read, stopped;
	bool swept;
	size_t under_way;
	struct sp_fail fail;
};

struct page_op {
	struct reporter_op base;
	struct reporter_run *run;               /* it waits */
	bool first;
	int64_t after_day;
	char *after_domain;
	struct sp_arena arena;
	const struct rpt_report *rows;
	size_t count;
	uint64_t total;
};

static void free_page(struct page_op *p)
{
	if (p == NULL)
		return;
	sp_arena_clear(&p->arena);
	free(p->after_domain);
	free(p);
}

/* ---- the end ---- */

static void end(struct reporter_run *run)
{
	struct reporter *r = run->reporter;
	struct sp_fail fail = run->fail;
	const struct reporter_run_ops *ops = run->ops;
	void *owner = run->owner;
	if (run->stopped && !sp_failed(&fail))
		sp_fail_set(&fail, SP_FAIL_SHUTDOWN, "the reporter was stopped");
	r->run = NULL;
	core_timer_close(run->late);
	free_page(run->page);
	free(run->domain);
	free(run);
	ops->on_end(owner, &fail);
	reporter_next(r);
}

static void on_swept(void *owner, bool more)
{
	struct reporter_run *run = owner;
	if (more && !run->stopped) {
		reporter_sweep(run->reporter, on_swept, run);
		return;
	}
	end(run);
}

/* Where no relay runs, nobody else clears away what is over. */
static void end_or_sweep(struct reporter_run *run)
{
	if (run->swept)
		return;
	if (run->dry || run->stopped || run->reporter->begun) {
		end(run);
		return;
	}
	run->swept = true;
	reporter_sweep(run->reporter, on_swept, run);
}

/* ---- rows ---- */

static enum core_db_status run_page(struct core_db *db, struct queue_op *op)
{
	struct page_op *p = sp_container_of(op, struct page_op, base.op);
	enum core_db_status status = CORE_DB_OK;
	sp_arena_clear(&p->arena);
	p->count = 0;
	if (p->first)
		status = rpt_outbox_count(db, &p->run->filter, &p->total);
	if (status != CORE_DB_OK && status != CORE_DB_ROW)
		return status;
	return rpt_outbox_list(db, &p->run->filter, p->after_day, p->after_domain, PAGE, &p->arena, &p->rows, &p->count);
}

static void on_page(struct queue_op *op, const struct sp_fail *why)
{
	struct page_op *p = sp_container_of(op, struct page_op, base.op);
	struct reporter_run *run = p->run;
	struct reporter *r = run->reporter;
	run->asking = false;
	run->page = p;
	run->at = 0;
	run->all_read = p->count < PAGE;
	if (sp_failed(why)) {
		run->fail = *why;
		p->count = 0;
		run->all_read = true;
	}
	if (p->first)
		run->ops->on_begin(run->owner, sp_failed(why) ? 0 : p->total);
	reporter_run_next(run);
	reporter_op_end(r);
}

static void ask_page(struct reporter_run *run)
{
	struct page_op *p = sp_alloc(sizeof(*p));
	p->run = run;
	p->first = run->page == NULL;
	p->after_domain = sp_strdup("");
	if (run->page && run->page->count > 0) {
		const struct rpt_report *last = &run->page->rows[run->page->count - 1];
		p->after_day = last->day;
		free(p->after_domain);
		p->after_domain = sp_strdup(last->domain);
	}
	free_page(run->page);
	run->page = NULL;
	run->asking = true;
	reporter_submit(run->reporter, &p->base, run_page, on_page);
}

/* False: it has to wait, for the same report begun by another run. */
static void begin(struct reporter_run *run, const struct rpt_report *row)
{
	struct reporter *r = run->reporter;
	struct attempt_ask ask = { .day = row->day, .domain = row->domain, .stores = !run->dry && row->day < run->today, .dry = run->dry };
	ask.again = run->again && ask.stores;
	struct attempt *same = ask.stores ? attempt_find(r, row->day, row->domain) : NULL;
	run->under_way++;
	if (same)
		same->run = run;
	else
		attempt_begin(r, &ask, run);
}

void reporter_run_next(struct reporter_run *run)
{
	while (run->page && run->at < run->page->count && !run->stopped && reporter_has_place(run->reporter))
		begin(run, &run->page->rows[run->at++]);
	if (run->asking || (run->page && run->at < run->page->count && !run->stopped))
		return;
	if (!run->all_read && !run->stopped)
		ask_page(run);
	else if (run->under_way == 0)
		end_or_sweep(run);
}

void reporter_run_result(struct reporter_run *run, const struct reporter_result *result)
{
	run->under_way--;
	run->ops->on_result(run->owner, result);        /* what comes next begins when the attempt has left its place */
}

void reporter_run_stop(struct reporter_run *run)
{
	run->stopped = true;
	if (core_timer_running(run->late)) {
		core_timer_stop(run->late);
		run->asking = false;
	}
	if (!run->swept)
		reporter_run_next(run);
}

/* ---- the beginning ---- */

static void on_late(void *owner)
{
	ask_page(owner);
}

static void ask_first_page(struct reporter_run *run)
{
	int64_t begins_ms = (run->today * RPT_DAY_S + REPORTER_LATE_S) * 1000, now_ms = core_clock_wall_ms();
	run->asking = true;
	if (now_ms < begins_ms)
		core_timer_start(run->late, (uint64_t)(begins_ms - now_ms));
	else
		ask_page(run);
}

bool reporter_run(struct reporter *r, const struct reporter_ask *ask, const struct reporter_run_ops *ops, void *owner)
{
	if (r->run || r->stopping)
		return false;
	struct reporter_run *run = sp_alloc(sizeof(*run));
	run->reporter = r;
	run->ops = ops;
	run->owner = owner;
	run->again = ask->again;
	run->dry = ask->dry;
	run->today = rpt_day_of(core_clock_wall_s());
	run->domain = sp_strdup(ask->domain);
	run->filter = (struct rpt_filter){ .first_day = ask->day >= 0 ? ask->day : 0, .last_day = ask->day >= 0 ? ask->day : run->today - 1,
	                                   .domain = run->domain, .due_by_s = INT64_MAX };
	run->filter.open_only = !ask->again && run->filter.last_day < run->today;
	run->late = core_timer_new(r->world.loop, on_late, run);
	r->run = run;
	ask_first_page(run);
	return true;
}

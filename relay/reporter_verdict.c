/* relay/reporter_verdict.c - what an attempt came to: decided in the transaction that stores it, from the endpoints as they are there (a mail may have arrived or
 * bounced while others were still tried), then told to the run and the log.
 *   an endpoint took it                    DELIVERED
 *   a mail is out, nothing else to try     MAILED
 *   nobody asked                           NO_RECORD
 *   tried, or not able to                  OPEN until 24 h after the first attempt (RFC 8460 5.5), then FAILED */
#include "relay/reporter_impl.h"

#include "core/clock.h"
#include "core/log.h"
#include "relay/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS 1000                   /* after the store did not take it */

struct end_op {
	struct reporter_op base;
	struct attempt *attempt;                /* it waits */
	int64_t now_s;
	bool complete;                          /* all endpoints were tried */
	bool failed;                            /* one of the record that may be tried again did not take it */
	const char *text;
	struct sp_arena arena;
	const struct rpt_endpoint *endpoints;
	size_t count;
	enum rpt_state state;
	int64_t due_s;
};

/* ---- the decision ---- */

static bool any(const struct end_op *e, enum rpt_endpoint_state state)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->endpoints[i].state == state)
			return true;
	return false;
}

static enum rpt_state decide(const struct end_op *e)
{
	const struct attempt *a = e->attempt;
	bool mailed = any(e, RPT_ENDPOINT_MAILED);
	if (any(e, RPT_ENDPOINT_DELIVERED))
		return RPT_STATE_DELIVERED;
	if (mailed && (!e->failed || e->now_s >= a->row.expires_s))
		return RPT_STATE_MAILED;
	if (a->verdict == VERDICT_NO_RECORD)
		return RPT_STATE_NO_RECORD;
	if (a->verdict == VERDICT_NEVER || e->now_s >= a->row.expires_s)
		return RPT_STATE_FAILED;
	return RPT_STATE_OPEN;
}

static enum core_db_status put_unstored(struct core_db *db, const struct attempt *a)
{
	enum core_db_status status = CORE_DB_OK;
	for (size_t i = 0; i < a->record.count && status == CORE_DB_OK; i++)
		if (a->endpoints[i].unstored)
			status = rpt_outbox_endpoint_put(db, a->day, a->domain, &a->endpoints[i].result);
	return status;
}

static enum core_db_status run_end(struct core_db *db, struct queue_op *op)
{
	struct end_op *e = sp_container_of(op, struct end_op, base.op);
	struct attempt *a = e->attempt;
	sp_arena_clear(&e->arena);
	e->count = 0;
	enum core_db_status status = put_unstored(db, a);
	if (status == CORE_DB_OK)
		status = rpt_outbox_endpoints(db, a->day, a->domain, &e->arena, &e->endpoints, &e->count);
	if (status != CORE_DB_OK)
		return status;
	e->state = decide(e);
	e->due_s = e->now_s + rpt_retry_s(a->row.attempts + 1);
	if (e->due_s > a->row.expires_s && e->now_s < a->row.expires_s)
		e->due_s = a->row.expires_s;    /* the last one; no later */
	if (!e->complete && e->state != RPT_STATE_DELIVERED) {
		e->state = RPT_STATE_OPEN;
		return CORE_DB_OK;              /* stopped in the middle: this was no attempt, and the others are still to be tried */
	}
	return rpt_outbox_attempted(db, a->day, a->domain, e->state, e->due_s, e->text);
}

/* ---- telling ---- */

static void list_endpoints(const struct rpt_endpoint *endpoints, size_t count, struct sp_buf *out)
{
	for (size_t i = 0; i < count; i++) {
		sp_buf_adds(out, i ? ", " : "");
		sp_buf_add_printable(out, sp_str_of(endpoints[i].uri));
		sp_buf_printf(out, " %s (%s)", rpt_endpoint_state_str(endpoints[i].state), endpoints[i].text);
	}
}

static void log_result(const struct attempt *a, const struct reporter_result *r, int64_t due_s)
{
	struct sp_log l;
	struct sp_buf list;
	char day[16];
	sp_buf_init(&list, 8192);
	list_endpoints(r->endpoints, r->endpoint_count, &list);
	bool failed = strcmp(r->state, rpt_state_str(RPT_STATE_FAILED)) == 0;
	sp_log_begin(&l, failed ? SP_LOG_WARNING : SP_LOG_INFO, a->domain, "report");
	sp_log_cstr(&l, "day", rpt_day_str(a->day, day));
	sp_log_cstr(&l, "state", r->state);
	sp_log_cstr(&l, "report_id", r->report_id);
	sp_log_int(&l, "successes", (int64_t)r->successes);
	sp_log_int(&l, "failures", (int64_t)r->failures);
	sp_log_int(&l, "octets", (int64_t)r->octets);
	sp_log_str(&l, "endpoints", sp_buf_str(&list));
	sp_log_cstr(&l, "why", r->text);
	if (due_s > 0)
		sp_log_int(&l, "next_in_s", due_s - core_clock_wall_s());
	sp_log_end(&l);
	sp_buf_clear(&list);
}

/* Its run and the log hear of it, then it goes. */
static void tell(struct attempt *a, const char *state, const char *text, const struct rpt_endpoint *endpoints, size_t count, int64_t due_s)
{
	struct reporter_result r = { .day = a->day, .domain = a->domain, .report_id = a->report_id, .state = state, .text = text,
	                             .successes = a->row.successes, .failures = a->row.failures, .endpoints = endpoints, .endpoint_count = count };
	if (a->document) {
		r.successes = a->document->successes;
		r.failures = a->document->failures;
		r.octets = a->document->gz.len;
	}
	if (!a->dry && a->verdict != VERDICT_OVER && a->verdict != VERDICT_NONE)
		log_result(a, &r, due_s);
	if (a->run)
		reporter_run_result(a->run, &r);
	attempt_free(a);
}

static void on_ended(struct queue_op *op, const struct sp_fail *why)
{
	struct end_op *e = sp_container_of(op, struct end_op, base.op);
	struct attempt *a = e->attempt;
	struct reporter *r = a->reporter;
	if (sp_failed(why) && !r->stopping) {
		sp_log_text(SP_LOG_ERROR, a->domain, "store", "what came of its report could not be stored, trying again: %s", why->text);
		reporter_pause(r);
		core_timer_start(a->timer, RETRY_MS);
	} else {
		bool open = e->state == RPT_STATE_OPEN;
		if (!sp_failed(why) && r->world.metrics)
			metrics_add(r->world.metrics, METRIC_REPORTS, e->state, 1);
		tell(a, rpt_state_str(e->state), e->state == RPT_STATE_DELIVERED ? "" : e->text, e->endpoints, e->count, open ? e->due_s : 0);
	}
	sp_arena_clear(&e->arena);
	free(e);
	reporter_op_end(r);
}

/* ---- without the store ---- */

static enum rpt_state sum_up(const struct attempt *a)
{
	enum rpt_state state = RPT_STATE_FAILED;
	for (size_t i = 0; i < a->record.count; i++) {
		if (a->endpoints[i].result.state == RPT_ENDPOINT_DELIVERED)
			return RPT_STATE_DELIVERED;
		if (a->endpoints[i].result.state == RPT_ENDPOINT_MAILED)
			state = RPT_STATE_MAILED;
	}
	return state;
}

/* A dry run, a day that is not over, a row that has come to an end, or a stop: nothing is stored. */
static void tell_unstored(struct attempt *a, const char *text)
{
	struct rpt_endpoint endpoints[RPT_RUA_MAX];
	size_t count = 0;
	for (size_t i = 0; i < a->record.count; i++)
		if (a->endpoints[i].tried)
			endpoints[count++] = a->endpoints[i].result;
	const char *state = rpt_state_str(RPT_STATE_FAILED);
	if (a->verdict == VERDICT_NONE)
		state = rpt_state_str(RPT_STATE_OPEN);
	else if (a->verdict == VERDICT_OVER)
		state = rpt_state_str(a->row.domain ? a->row.state : RPT_STATE_NO_RECORD);
	else if (a->verdict == VERDICT_NO_RECORD)
		state = rpt_state_str(RPT_STATE_NO_RECORD);
	else if (a->verdict == VERDICT_TRIED)
		state = a->dry ? "dry" : rpt_state_str(sum_up(a));
	tell(a, state, text, endpoints, count, 0);
}

/* ---- the end ---- */

/* Why it was not delivered: the first endpoint that may be tried again says it. */
static const char *first_failure(const struct attempt *a, bool *failed)
{
	const char *text = a->text;
	*failed = a->verdict == VERDICT_LATER;
	for (size_t i = a->record.count; i-- > 0 && a->verdict == VERDICT_TRIED; ) {
		const struct endpoint *e = &a->endpoints[i];
		if (!e->tried || e->result.state == RPT_ENDPOINT_DELIVERED || e->result.state == RPT_ENDPOINT_MAILED)
			continue;
		text = e->text;
		*failed = *failed || e->result.state == RPT_ENDPOINT_FAILED;
	}
	return text;
}

static bool tried_all(const struct attempt *a)
{
	for (size_t i = 0; i < a->record.count && a->verdict == VERDICT_TRIED; i++)
		if (!a->endpoints[i].tried && !(a->endpoints[i].begun && a->endpoints[i].result.state != RPT_ENDPOINT_FAILED))
			return false;
	return a->verdict != VERDICT_NONE;
}

void attempt_conclude(struct attempt *a)
{
	bool failed;
	const char *text = first_failure(a, &failed);
	if (!a->stores || a->verdict == VERDICT_OVER || a->verdict == VERDICT_NONE) {
		tell_unstored(a, text);
		return;
	}
	struct end_op *e = sp_alloc(sizeof(*e));
	a->over = true;
	e->attempt = a;
	e->now_s = core_clock_wall_s();
	e->complete = tried_all(a);
	e->failed = failed;
	e->text = text;
	reporter_submit(a->reporter, &e->base, run_end, on_ended);
}

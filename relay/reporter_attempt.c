/* relay/reporter_attempt.c - one report, from its row to its end:
 *   begin (row, endpoints of earlier attempts) -> look up _smtp._tls -> suppressions -> document -> endpoints -> conclude
 * All endpoints of the record are tried, but for those that took it already; side by side, or one after another when the document is large.
 * The row is read in the transaction that begins the attempt: what was delivered meanwhile is not sent again. */
#include "relay/reporter_impl.h"

#include "core/clock.h"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOKUP_PREFIX "_smtp._tls."     /* RFC 8460 3 */

static void end_with(struct attempt *a, enum verdict verdict, const char *text)
{
	a->verdict = verdict;
	snprintf(a->text, sizeof(a->text), "%s", text);
	attempt_conclude(a);
}

/* ---- endpoints ---- */

/* Begins what may be begun; the end, when nothing is left. */
static void send_on(struct attempt *a)
{
	size_t width = document_is_large(a->document) ? 1 : RPT_RUA_MAX;
	a->at_work++;                           /* an endpoint may end at once: not before all are looked at */
	for (size_t i = 0; i < a->record.count && !a->reporter->stopping && a->at_work <= width; i++) {
		struct endpoint *e = &a->endpoints[i];
		if (e->begun)
			continue;
		e->begun = true;
		a->at_work++;
		endpoint_begin(e);
	}
	if (--a->at_work == 0)
		end_with(a, VERDICT_TRIED, "");
}

void attempt_endpoint_done(struct attempt *a)
{
	if (--a->at_work == 0)
		send_on(a);
}

static bool took_it(const struct rpt_endpoint *e)
{
	return e->state == RPT_ENDPOINT_DELIVERED || e->state == RPT_ENDPOINT_MAILED;
}

/* Those that took it in an earlier attempt are not asked again. */
static void prepare_endpoints(struct attempt *a)
{
	for (size_t i = 0; i < a->record.count; i++) {
		struct endpoint *e = &a->endpoints[i];
		e->attempt = a;
		e->rua = &a->record.rua[i];
		e->result.uri = e->rua->uri;
		e->result.text = e->text;
		for (size_t k = 0; k < a->known_count && !e->begun; k++) {
			e->begun = took_it(&a->known[k]) && strcmp(a->known[k].uri, e->rua->uri) == 0;
			if (e->begun)
				e->result = a->known[k];
		}
	}
}

/* ---- the document ---- */

static void on_document(void *owner, const struct sp_fail *why)
{
	struct attempt *a = owner;
	if (a->reporter->stopping)
		end_with(a, VERDICT_NONE, "");
	else if (!sp_failed(why))
		send_on(a);
	else if (why->kind == SP_FAIL_STORE)
		end_with(a, VERDICT_LATER, why->text);
	else
		end_with(a, VERDICT_NEVER, why->text);
}

/* ---- suppressions ---- */

struct suppress_op {
	struct reporter_op base;
	struct attempt *attempt;                /* it waits */
	int64_t now_s;
};

static enum core_db_status run_suppressed(struct core_db *db, struct queue_op *op)
{
	struct suppress_op *s = sp_container_of(op, struct suppress_op, base.op);
	enum core_db_status status = CORE_DB_OK;
	for (size_t i = 0; i < s->attempt->record.count && (status == CORE_DB_OK || status == CORE_DB_ROW); i++) {
		struct endpoint *e = &s->attempt->endpoints[i];
		if (e->rua->kind != RPT_RUA_MAILTO)
			continue;
		status = rpt_suppressed(db, e->rua->address, s->now_s, &e->suppressed_until_s);
		e->suppressed = status == CORE_DB_ROW;
	}
	return status;
}

static void on_suppressed(struct queue_op *op, const struct sp_fail *why)
{
	struct suppress_op *s = sp_container_of(op, struct suppress_op, base.op);
	struct attempt *a = s->attempt;
	struct reporter *r = a->reporter;
	if (r->stopping)
		end_with(a, VERDICT_NONE, "");
	else if (sp_failed(why))
		end_with(a, VERDICT_LATER, why->text);
	else
		a->document = document_new(r, &r->to_send, a->config, a->day, a->domain, a->report_id, on_document, a);
	free(s);
	reporter_op_end(r);
}

static void ask_suppressed(struct attempt *a)
{
	struct suppress_op *s = sp_alloc(sizeof(*s));
	s->attempt = a;
	s->now_s = core_clock_wall_s();
	reporter_submit(a->reporter, &s->base, run_suppressed, on_suppressed);
}

/* ---- the record ---- */

static void log_skipped(const struct attempt *a)
{
	for (size_t i = 0; i < a->record.skipped_count; i++)
		sp_log_text(SP_LOG_DEBUG, a->domain, "report", "an endpoint is passed over: %s", a->record.skipped[i]);
}

/* RFC 8460 3: without exactly one record that holds, nobody asked for a report. */
static void read_record(struct attempt *a, const struct core_dns_answer *answer)
{
	struct sp_str txts[CORE_DNS_RECORDS_MAX];
	size_t count = sp_min(answer->count, SP_COUNT(txts));
	const char *why = "";
	for (size_t i = 0; i < count; i++)
		txts[i] = answer->records[i].txt;
	if (rpt_record_parse(txts, count, &a->arena, &a->record, &why) != RPT_RECORD_OK) {
		a->record.count = 0;
		end_with(a, VERDICT_NO_RECORD, why);
		return;
	}
	log_skipped(a);
	prepare_endpoints(a);
	ask_suppressed(a);
}

static void on_txt(void *owner, const struct core_dns_answer *answer)
{
	struct attempt *a = owner;
	char text[320];
	a->query = NULL;
	snprintf(text, sizeof(text), "the look-up of " LOOKUP_PREFIX "%.240s ended in: %s", a->domain, core_dns_status_str(answer->status));
	if (answer->status == CORE_DNS_OK)
		read_record(a, answer);
	else
		end_with(a, core_dns_status_lasting(answer->status) ? VERDICT_NO_RECORD : VERDICT_LATER, text);
}

/* ---- the beginning ---- */

struct begin_op {
	struct reporter_op base;
	struct attempt *attempt;                /* it waits */
	struct rpt_filter filter;
	const char *drawn;                      /* an id, should the row have none */
	int64_t now_s;
	bool gone, over;
};

static enum core_db_status read_row(struct core_db *db, struct begin_op *b)
{
	struct attempt *a = b->attempt;
	const struct rpt_report *row;
	size_t count = 0;
	enum core_db_status status = rpt_outbox_list(db, &b->filter, 0, "", 1, &a->arena, &row, &count);
	b->gone = count == 0;
	if (!b->gone)
		a->row = *row;
	return status;
}

static enum core_db_status begin_row(struct core_db *db, struct begin_op *b)
{
	struct attempt *a = b->attempt;
	enum core_db_status status = CORE_DB_OK;
	if (a->again)
		status = rpt_outbox_reopen(db, a->day, a->domain, b->now_s);
	if (status == CORE_DB_OK)
		status = read_row(db, b);
	b->over = b->gone || a->row.state != RPT_STATE_OPEN;
	if (status != CORE_DB_OK || b->over)
		return status;
	status = rpt_outbox_begin(db, a->day, a->domain, b->drawn, b->now_s);
	return status == CORE_DB_OK ? read_row(db, b) : status;
}

static enum core_db_status run_begin(struct core_db *db, struct queue_op *op)
{
	struct begin_op *b = sp_container_of(op, struct begin_op, base.op);
	struct attempt *a = b->attempt;
	enum core_db_status status = a->stores ? begin_row(db, b) : read_row(db, b);
	if (status == CORE_DB_OK && a->stores)
		status = rpt_outbox_endpoints(db, a->day, a->domain, &a->arena, &a->known, &a->known_count);
	return status;
}

static void look_up(struct attempt *a)
{
	char name[512];
	snprintf(name, sizeof(name), LOOKUP_PREFIX "%.255s", a->domain);
	a->query = core_dns_lookup(a->reporter->dns, name, CORE_DNS_TXT, on_txt, a);
}

static void on_begun(struct queue_op *op, const struct sp_fail *why)
{
	struct begin_op *b = sp_container_of(op, struct begin_op, base.op);
	struct attempt *a = b->attempt;
	struct reporter *r = a->reporter;
	bool keeps_id = a->row.report_id && a->row.report_id[0] != '\0' && (a->stores || a->dry);
	a->report_id = keeps_id ? a->row.report_id : b->drawn;
	if (sp_failed(why)) {
		sp_log_text(SP_LOG_ERROR, a->domain, "store", "its report cannot be begun: %s", why->text);
		reporter_pause(r);
		end_with(a, VERDICT_NONE, why->text);
	} else if (b->gone || b->over) {
		end_with(a, VERDICT_OVER, b->gone ? "the ledger has no session of that day and domain" : a->row.text);
	} else if (r->stopping) {
		end_with(a, VERDICT_NONE, "");
	} else {
		look_up(a);
	}
	free(b);
	reporter_op_end(r);
}

static void on_timer(void *owner)
{
	attempt_conclude(owner);
}

void attempt_begin(struct reporter *r, const struct attempt_ask *ask, struct reporter_run *run)
{
	struct attempt *a = sp_alloc(sizeof(*a));
	struct begin_op *b = sp_alloc(sizeof(*b));
	struct sp_buf id;
	sp_buf_init(&id, REPORTER_TEXT);
	a->reporter = r;
	a->config = config_ref(r->config);
	a->run = run;
	a->day = ask->day;
	a->domain = sp_strdup(ask->domain);
	a->stores = ask->stores;
	a->dry = ask->dry;
	a->again = ask->again;
	a->timer = core_timer_new(r->world.loop, on_timer, a);
	sp_list_push_back(&r->attempts, &a->link);
	r->attempt_count++;
	reporter_draw_id(a->config, &id);
	b->attempt = a;
	b->drawn = sp_arena_strdup(&a->arena, sp_buf_cstr(&id));
	b->now_s = core_clock_wall_s();
	b->filter = (struct rpt_filter){ .first_day = a->day, .last_day = a->day, .domain = a->domain };
	sp_buf_clear(&id);
	reporter_submit(r, &b->base, run_begin, on_begun);
}

struct attempt *attempt_find(struct reporter *r, int64_t day, const char *domain)
{
	SP_LIST_EACH(&r->attempts, l) {
		struct attempt *a = sp_container_of(l, struct attempt, link);
		if (a->stores && a->day == day && strcmp(a->domain, domain) == 0)
			return a;
	}
	return NULL;
}

/* ---- the end ---- */

void attempt_stop(struct attempt *a, bool hard)
{
	if (a->query) {
		core_dns_cancel(a->query);
		a->query = NULL;
		end_with(a, VERDICT_NONE, "");
		return;
	}
	if (a->over && core_timer_running(a->timer)) {          /* the store did not take it: once more, and its run is told in any case */
		core_timer_stop(a->timer);
		attempt_conclude(a);
		return;
	}
	if (!hard)
		return;
	size_t cancelled = 0;
	for (size_t i = 0; i < a->record.count; i++)
		cancelled += endpoint_cancel(&a->endpoints[i]);
	while (cancelled-- > 0)                 /* the last one may take the attempt away */
		attempt_endpoint_done(a);
}

void attempt_free(struct attempt *a)
{
	struct reporter *r = a->reporter;
	sp_list_remove(&a->link);
	r->attempt_count--;
	core_timer_close(a->timer);
	document_free(a->document);
	sp_arena_clear(&a->arena);
	config_unref(a->config);
	free(a->domain);
	free(a);
	reporter_next(r);
}

/* relay/report_list.c - the part of relay/report_api.c that reads tables: rows of the outbox with their endpoints, and suppressions, a page at a time. */
#include "relay/report_api_impl.h"

#include "core/clock.h"
#include "relay/reporter_impl.h"
#include "smtp/dkim.h"

#include <stdlib.h>

#define PAGE 100                        /* rows looked at for one answer */
#define PAGE_OCTETS (1u << 20)          /* and it ends where they are so much: owners of domains choose how many endpoints there are, and how long */
#define ROW_OCTETS 1024                 /* of a row, without its endpoints */
#define ENDPOINT_OCTETS 100             /* of an endpoint, but for its texts */
#define NOTICE_MAX 1024                 /* octets */
#define DAYS_MAX 512                    /* rows of a domain: report.keep_days is 366 at most */

/* One question to the store; its request waits. */
struct list_op {
	struct queue_op op;
	struct api_request *request;
	struct sp_arena arena;
	/* reports */
	struct rpt_filter filter;
	int64_t after_day;
	const char *after_domain;
	bool by_state;
	enum rpt_state state;
	const struct rpt_report *rows;
	const struct rpt_endpoint **endpoints;  /* of each row */
	size_t *endpoint_counts;
	/* suppressions */
	const char *address;                    /* after, or which */
	const struct rpt_suppression *suppressions;
	bool found;
	size_t count;
};

static void submit(struct list_op *l, struct api_request *q, enum core_db_status (*run)(struct core_db *db, struct queue_op *op),
                   void (*done)(struct queue_op *op, const struct sp_fail *why))
{
	l->request = q;
	l->op.run = run;
	l->op.done = done;
	l->op.reply_to = q->world->mailbox;
	queue_store_submit(q->world->store, &l->op);
}

static void free_op(struct list_op *l)
{
	sp_arena_clear(&l->arena);
	free(l);
}

/* ---- reports ---- */

static bool wanted(const struct list_op *l, const struct rpt_report *row)
{
	return !l->by_state || row->state == l->state;
}

static enum core_db_status run_list(struct core_db *db, struct queue_op *op)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	sp_arena_clear(&l->arena);
	l->count = 0;
	enum core_db_status status = rpt_outbox_list(db, &l->filter, l->after_day, l->after_domain, PAGE, &l->arena, &l->rows, &l->count);
	l->endpoints = sp_arena_alloc(&l->arena, (l->count + 1) * sizeof(const struct rpt_endpoint *));
	l->endpoint_counts = sp_arena_alloc(&l->arena, (l->count + 1) * sizeof(size_t));
	for (size_t i = 0; i < l->count && status == CORE_DB_OK; i++)
		if (wanted(l, &l->rows[i]))
			status = rpt_outbox_endpoints(db, l->rows[i].day, l->rows[i].domain, &l->arena, &l->endpoints[i], &l->endpoint_counts[i]);
	return status;
}

static json_t *row_value(const struct list_op *l, size_t i)
{
	const struct rpt_report *r = &l->rows[i];
	bool due = r->state == RPT_STATE_OPEN;
	return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:i, s:s, s:I, s:I, s:o}", "day", json_day(r->day), "domain", r->domain,
	                 "state", rpt_state_str(r->state), "report_id", r->report_id, "due", api_time(due ? r->due_s : 0),
	                 "expires", api_time(due ? r->expires_s : 0), "attempts", (int)r->attempts, "text", r->text,
	                 "successes", (json_int_t)r->successes, "failures", (json_int_t)r->failures,
	                 "endpoints", json_endpoints(l->endpoints[i], l->endpoint_counts[i], false));
}

/* Octets of row_value(), about. */
static size_t weight(const struct list_op *l, size_t i)
{
	size_t octets = ROW_OCTETS;
	for (size_t e = 0; e < l->endpoint_counts[i]; e++)
		octets += ENDPOINT_OCTETS + strlen(l->endpoints[i][e].uri) + strlen(l->endpoints[i][e].text);
	return octets;
}

/* Returns how many rows were looked at. */
static size_t add_rows(const struct list_op *l, json_t *list)
{
	size_t octets = 0, i = 0;
	for (; i < l->count && octets < PAGE_OCTETS; i++) {
		if (!wanted(l, &l->rows[i]))
			continue;
		json_array_append_new(list, row_value(l, i));
		octets += weight(l, i);
	}
	return i;
}

void report_notice(struct api_request *q)
{
	struct smtp_dkim_signer signers[SMTP_DKIM_SIGNERS_MAX];
	struct sp_buf why;
	size_t count;
	if (!api_read(q, NULL, 0))
		return;
	sp_buf_init(&why, NOTICE_MAX);
	json_t *v = reporter_signers(q->world->config, signers, SP_COUNT(signers), &count, &why) ? json_null() : json_string(sp_buf_cstr(&why));
	sp_buf_clear(&why);
	api_answer(q, 200, json_pack("{s:o}", "notice", v));
}

/* "2026-11-22/example.com": where the next page begins after. */
static json_t *next_value(const struct rpt_report *last)
{
	char day[16];
	return json_sprintf("%s/%s", rpt_day_str(last->day, day), last->domain);
}

static bool read_after(const char *after, int64_t *day, const char **domain)
{
	struct sp_str rest = sp_str_of(after), first = sp_take_until(&rest, '/');
	*domain = rest.p ? rest.p : "";
	return rpt_day_parse(first, day);
}

static void on_list(struct queue_op *op, const struct sp_fail *why)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	if (sp_failed(why)) {
		api_refuse(l->request, 500, "%s", why->text);
		free_op(l);
		return;
	}
	json_t *list = json_array(), *next = json_null();
	size_t seen = add_rows(l, list);
	if (seen < l->count || l->count == PAGE)
		next = next_value(&l->rows[seen - 1]);
	api_answer(l->request, 200, json_pack("{s:o, s:o}", "reports", list, "next", next));
	free_op(l);
}

void report_list(struct api_request *q)
{
	int64_t after_day = 0, day = -1;
	const char *after = NULL, *after_domain = "", *domain = NULL, *state = NULL;
	const struct query_field fields[] = { { "after", QUERY_TEXT, &after }, { "day", QUERY_DAY, &day }, { "domain", QUERY_DOMAIN, &domain }, { "state", QUERY_TEXT, &state } };
	enum rpt_state wanted_state = RPT_STATE_OPEN;
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (state && !rpt_state_parse(sp_str_of(state), &wanted_state)) {
		api_refuse(q, 400, "state: open, mailed, delivered, failed or no-record, not %s", state);
		return;
	}
	if (after && !read_after(after, &after_day, &after_domain)) {
		api_refuse(q, 400, "after: what \"next\" of a page says, not %s", after);
		return;
	}
	struct list_op *l = sp_alloc(sizeof(*l));
	l->filter = (struct rpt_filter){ .first_day = day >= 0 ? day : 0, .last_day = day >= 0 ? day : INT64_MAX, .domain = domain,
	                                 .open_only = state && wanted_state == RPT_STATE_OPEN, .due_by_s = INT64_MAX };
	l->by_state = state != NULL;
	l->state = wanted_state;
	l->after_day = after_day;
	l->after_domain = after_domain;
	submit(l, q, run_list, on_list);
}

/* ---- the last day of a domain ---- */

static enum core_db_status run_days(struct core_db *db, struct queue_op *op)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	sp_arena_clear(&l->arena);
	l->count = 0;
	return rpt_outbox_list(db, &l->filter, 0, "", DAYS_MAX, &l->arena, &l->rows, &l->count);
}

static void on_days(struct queue_op *op, const struct sp_fail *why)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	if (sp_failed(why))
		api_refuse(l->request, 500, "%s", why->text);
	else if (l->count == 0)
		api_refuse(l->request, 404, "no session to %s was counted", l->filter.domain);
	else
		report_send_document(l->request, l->rows[l->count - 1].day, l->filter.domain);
	free_op(l);
}

void report_document(struct api_request *q)
{
	int64_t day = -1;
	const char *domain = NULL;
	const struct query_field fields[] = { { "day", QUERY_DAY, &day }, { "domain", QUERY_DOMAIN, &domain } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (domain == NULL) {
		api_refuse(q, 400, "domain: whose report?");
	} else if (day >= 0) {
		report_send_document(q, day, domain);
	} else {
		struct list_op *l = sp_alloc(sizeof(*l));
		l->filter = (struct rpt_filter){ .last_day = INT64_MAX, .domain = domain, .due_by_s = INT64_MAX };
		submit(l, q, run_days, on_days);
	}
}

/* ---- suppressions ---- */

static enum core_db_status run_suppressions(struct core_db *db, struct queue_op *op)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	sp_arena_clear(&l->arena);
	l->count = 0;
	return rpt_suppressions(db, l->address, core_clock_wall_s(), PAGE, &l->arena, &l->suppressions, &l->count);
}

static void on_suppressions(struct queue_op *op, const struct sp_fail *why)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	json_t *list = json_array();
	for (size_t i = 0; i < l->count && !sp_failed(why); i++) {
		const struct rpt_suppression *s = &l->suppressions[i];
		json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:s}", "address", s->address, "since", api_time(s->since_s),
		                                      "until", api_time(s->until_s), "text", s->text));
	}
	if (sp_failed(why)) {
		json_decref(list);
		api_refuse(l->request, 500, "%s", why->text);
	} else {
		json_t *next = l->count == PAGE ? json_string(l->suppressions[PAGE - 1].address) : json_null();
		api_answer(l->request, 200, json_pack("{s:o, s:o}", "suppressions", list, "next", next));
	}
	free_op(l);
}

void report_suppressions(struct api_request *q)
{
	const char *after = "";
	const struct query_field fields[] = { { "after", QUERY_TEXT, &after } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	struct list_op *l = sp_alloc(sizeof(*l));
	l->address = after;
	submit(l, q, run_suppressions, on_suppressions);
}

static enum core_db_status run_unsuppress(struct core_db *db, struct queue_op *op)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	enum core_db_status status = rpt_unsuppress(db, l->address);
	l->found = status == CORE_DB_ROW;
	return status;
}

static void on_unsuppressed(struct queue_op *op, const struct sp_fail *why)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	if (sp_failed(why))
		api_refuse(l->request, 500, "%s", why->text);
	else if (!l->found)
		api_refuse(l->request, 404, "%s is not suppressed", l->address);
	else
		api_answer(l->request, 200, json_pack("{s:s}", "address", l->address));
	free_op(l);
}

void report_unsuppress(struct api_request *q)
{
	const char *address = NULL;
	const struct query_field fields[] = { { "address", QUERY_TEXT, &address } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (address == NULL) {
		api_refuse(q, 400, "address: which one?");
		return;
	}
	struct list_op *l = sp_alloc(sizeof(*l));
	l->address = address;
	submit(l, q, run_unsuppress, on_unsuppressed);
}

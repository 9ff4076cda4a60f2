/* relay/report_api.c - the reporter's area of the admin API (relay/api.h): runs and documents; the tables of the store are in report_list.c. Days are "YYYY-MM-DD".
 *   POST   /report/send?day=&domain=&again=&dry=    begins a run: {"run": 3}; 409 while another one is under way
 *   GET    /report/run?after=N                      how far it is, and its results numbered N+1 and on that are still kept
 *   GET    /report/list?after=&day=&domain=&state=  a page of rows with their endpoints
 *   GET    /report/notice                           what stands in the way of all mailed reports, or null
 *   GET    /report/document?day=&domain=            the document (gzip) as it will be or was sent; without a day, the last one that there is
 *   GET    /report/suppressions?after=              addresses that are left alone
 *   DELETE /report/suppressions?address=            mails to it again */
#include "relay/report_api_impl.h"

#include "relay/api_areas.h"
#include "relay/config.h"

#include <stdlib.h>

#define KEPT_OCTETS (512u << 10)        /* of results that are kept for who asks */

json_t *json_day(int64_t day)
{
	char text[16];
	return json_string(rpt_day_str(day, text));
}

/* ---- runs ---- */

struct kept {
	struct sp_link link;                    /* in report_api.kept */
	uint64_t number;
	size_t len;
	char json[];
};

static void drop_oldest(struct report_api *a)
{
	struct kept *k = sp_container_of(sp_list_pop(&a->kept), struct kept, link);
	a->kept_octets -= k->len;
	free(k);
}

static void keep(struct report_api *a, struct sp_str json)
{
	struct kept *k = sp_alloc(sizeof(*k) + json.len);
	k->number = a->run.done;
	k->len = json.len;
	memcpy(k->json, json.p, json.len);
	sp_list_push_back(&a->kept, &k->link);
	a->kept_octets += k->len;
	while (a->kept_octets > KEPT_OCTETS)
		drop_oldest(a);
}

static void on_begin(void *owner, uint64_t total)
{
	struct report_api *a = owner;
	a->run.total = total;
}

static json_t *endpoint_value(const struct rpt_endpoint *e, bool dry)
{
	if (dry)
		return json_pack("{s:s, s:s}", "uri", e->uri, "text", e->text);
	return json_pack("{s:s, s:s, s:s, s:o}", "uri", e->uri, "state", rpt_endpoint_state_str(e->state), "text", e->text, "at", api_time(e->at_s));
}

json_t *json_endpoints(const struct rpt_endpoint *endpoints, size_t count, bool dry)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, endpoint_value(&endpoints[i], dry));
	return list;
}

static void count_state(struct report_api *a, const char *state)
{
	enum rpt_state s;
	if (rpt_state_parse(sp_str_of(state), &s))
		a->run.states[s]++;
	else
		a->run.dry++;
}

static void on_result(void *owner, const struct reporter_result *r)
{
	struct report_api *a = owner;
	bool dry = strcmp(r->state, "dry") == 0;
	struct sp_buf text;
	sp_buf_init(&text, KEPT_OCTETS);
	a->run.done++;
	count_state(a, r->state);
	json_t *v = json_pack("{s:I, s:o, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "n", (json_int_t)a->run.done, "day", json_day(r->day),
	                      "domain", r->domain, "state", r->state, "report_id", r->report_id ? r->report_id : "", "text", r->text ? r->text : "",
	                      "successes", (json_int_t)r->successes, "failures", (json_int_t)r->failures, "octets", (json_int_t)r->octets,
	                      "endpoints", json_endpoints(r->endpoints, r->endpoint_count, dry));
	api_print(v, &text);
	if (!sp_buf_failed(&text))              /* else it is told as one that went by too fast */
		keep(a, sp_buf_str(&text));
	sp_buf_clear(&text);
}

static void on_end(void *owner, const struct sp_fail *why)
{
	struct report_api *a = owner;
	a->run.running = false;
	a->run.fail = *why;
}

static void send_reports(struct api_request *q)
{
	static const struct reporter_run_ops ops = { .on_begin = on_begin, .on_result = on_result, .on_end = on_end };
	struct report_api *a = q->self;
	struct reporter_ask ask = { .day = -1 };
	struct sp_fail why;
	const struct query_field fields[] = { { "day", QUERY_DAY, &ask.day }, { "domain", QUERY_DOMAIN, &ask.domain },
	                                      { "again", QUERY_FLAG, &ask.again }, { "dry", QUERY_FLAG, &ask.dry } };
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	if (!q->world->config->report.enabled) {
		api_refuse(q, 409, "report.enabled is no in the configuration: no session is counted and no report sent");
		return;
	}
	if (!reporter_open(q->world->reporter, &why)) {
		api_refuse(q, 503, "%s", why.text);
		return;
	}
	if (!reporter_run(q->world->reporter, &ask, &ops, a)) {
		api_refuse(q, 409, a->run.running ? "another run of strictpost report send is under way" : "the relay is stopping");
		return;
	}
	while (!sp_list_empty(&a->kept))
		drop_oldest(a);
	uint64_t number = a->run.number + 1;
	a->run = (struct report_run){ .number = number, .running = true };
	api_answer(q, 200, json_pack("{s:I}", "run", (json_int_t)number));
}

static json_t *run_value(const struct report_api *a)
{
	const struct report_run *r = &a->run;
	json_t *v = json_pack("{s:I, s:b, s:I, s:I, s:I}", "run", (json_int_t)r->number, "running", (int)r->running, "total", (json_int_t)r->total,
	                      "done", (json_int_t)r->done, "dry", (json_int_t)r->dry);
	for (int s = 0; s < RPT_STATE_COUNT; s++)
		json_object_set_new(v, rpt_state_str((enum rpt_state)s), json_integer((json_int_t)r->states[s]));
	json_object_set_new(v, "error", sp_failed(&r->fail) ? json_string(r->fail.text) : json_null());
	return v;
}

/* The results stand as text already: they go behind the last member. */
static void show_run(struct api_request *q)
{
	struct report_api *a = q->self;
	uint64_t after = 0;
	const struct query_field fields[] = { { "after", QUERY_NUMBER, &after } };
	struct sp_buf body;
	const char *separator = "";
	if (!api_read(q, fields, SP_COUNT(fields)))
		return;
	sp_buf_init(&body, API_ANSWER_MAX);
	api_print(run_value(a), &body);
	sp_buf_truncate(&body, body.len - 1);
	sp_buf_adds(&body, ",\"results\":[");
	SP_LIST_EACH(&a->kept, l) {
		const struct kept *k = sp_container_of(l, struct kept, link);
		if (k->number <= after)
			continue;
		sp_buf_adds(&body, separator);
		sp_buf_add(&body, sp_str_make(k->json, k->len));
		separator = ",";
	}
	sp_buf_adds(&body, "]}\n");
	api_send(q, 200, "application/json", &body);
}

/* ---- documents ---- */

static void on_document(void *owner, struct sp_str document, const struct sp_fail *why)
{
	struct api_request *q = owner;
	struct sp_buf body;
	if (sp_failed(why)) {
		int status = why->kind == SP_FAIL_STORE ? 500 : why->kind == SP_FAIL_SHUTDOWN ? 503 : 404;
		api_refuse(q, status, "%s", why->text);
		return;
	}
	sp_buf_init(&body, document.len);
	sp_buf_add(&body, document);
	api_send(q, 200, "application/gzip", &body);
}

void report_send_document(struct api_request *q, int64_t day, const char *domain)
{
	reporter_document(q->world->reporter, day, domain, on_document, q);
}

/* ---- routes ---- */

static const struct api_route routes[] = {
	{ "POST",   "/report/send",         send_reports },
	{ "GET",    "/report/run",          show_run },
	{ "GET",    "/report/list",         report_list },
	{ "GET",    "/report/notice",       report_notice },
	{ "GET",    "/report/document",     report_document },
	{ "GET",    "/report/suppressions", report_suppressions },
	{ "DELETE", "/report/suppressions", report_unsuppress },
};

static void free_api(void *self)
{
	struct report_api *a = self;
	while (!sp_list_empty(&a->kept))
		drop_oldest(a);
	free(a);
}

void api_report_add(struct api *api)
{
	struct report_api *a = sp_alloc(sizeof(*a));
	sp_list_init(&a->kept);
	api_add(api, routes, SP_COUNT(routes), a, free_api);
}

/* relay/report_api.c - see report_api.h: the routes, runs, and documents. The tables of the store are in report_list.c. */
#include "relay/report_api_impl.h"

#include "core/clock.h"
#include "core/date.h"
#include "core/log.h"

#include <stdlib.h>

#define KEPT_OCTETS (512u << 10)        /* of results that are kept for who asks */
#define ANSWER_MAX (4u << 20)

/* ---- answers ---- */

static int add_octets(const char *octets, size_t len, void *arg)
{
	sp_buf_add(arg, sp_str_make(octets, len));
	return 0;
}

static void print_json(json_t *value, struct sp_buf *out)
{
	json_dump_callback(value, add_octets, out, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(value);
}

void request_answer(struct request *q, int status, json_t *value)
{
	struct sp_buf body;
	sp_buf_init(&body, ANSWER_MAX);
	print_json(value, &body);
	sp_buf_addc(&body, '\n');
	request_send(q, status, "application/json", &body);
}

void request_refuse(struct request *q, int status, const char *fmt, ...)
{
	struct sp_buf raw, text;
	va_list args;
	sp_buf_init(&raw, REFUSAL_MAX);
	sp_buf_init(&text, REFUSAL_MAX);
	va_start(args, fmt);
	sp_buf_vprintf(&raw, fmt, args);
	va_end(args);
	sp_buf_add_printable(&text, sp_buf_str(&raw));
	request_answer(q, status, json_pack("{s:s}", "error", sp_buf_cstr(&text)));
	sp_buf_clear(&raw);
	sp_buf_clear(&text);
}

void request_send(struct request *q, int status, const char *content_type, struct sp_buf *body)
{
	struct report_api *a = q->api;
	a->under_way--;
	q->done(q->owner, status, content_type, body);
	sp_arena_clear(&q->arena);
	free(q);
}

bool request_read(struct request *q, const struct query_field *fields, size_t count)
{
	struct sp_buf why;
	sp_buf_init(&why, REFUSAL_MAX);
	bool good = query_read(q->query, fields, count, &q->arena, &why);
	if (!good)
		request_refuse(q, 400, "%s", sp_buf_cstr(&why));
	sp_buf_clear(&why);
	return good;
}

json_t *json_day(int64_t day)
{
	char text[16];
	return json_string(rpt_day_str(day, text));
}

json_t *json_time(int64_t at_s)
{
	char text[40];
	return at_s > 0 ? json_string(sp_date_rfc3339(at_s, text)) : json_null();
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
	return json_pack("{s:s, s:s, s:s, s:o}", "uri", e->uri, "state", rpt_endpoint_state_str(e->state), "text", e->text, "at", json_time(e->at_s));
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
	print_json(v, &text);
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

static void send_reports(struct request *q)
{
	static const struct reporter_run_ops ops = { .on_begin = on_begin, .on_result = on_result, .on_end = on_end };
	struct report_api *a = q->api;
	struct reporter_ask ask = { .day = -1 };
	const struct query_field fields[] = { { "day", QUERY_DAY, &ask.day }, { "domain", QUERY_DOMAIN, &ask.domain },
	                                      { "again", QUERY_FLAG, &ask.again }, { "dry", QUERY_FLAG, &ask.dry } };
	if (!request_read(q, fields, SP_COUNT(fields)))
		return;
	if (!a->config->report.enabled) {
		request_refuse(q, 409, "report.enabled is no in the configuration: no session is counted and no report sent");
		return;
	}
	if (!reporter_run(a->reporter, &ask, &ops, a)) {
		request_refuse(q, 409, a->run.running ? "another run of strictpost report send is under way" : "the relay is stopping");
		return;
	}
	while (!sp_list_empty(&a->kept))
		drop_oldest(a);
	uint64_t number = a->run.number + 1;
	a->run = (struct report_run){ .number = number, .running = true };
	request_answer(q, 200, json_pack("{s:I}", "run", (json_int_t)number));
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
static void show_run(struct request *q)
{
	struct report_api *a = q->api;
	uint64_t after = 0;
	const struct query_field fields[] = { { "after", QUERY_NUMBER, &after } };
	struct sp_buf body;
	const char *separator = "";
	if (!request_read(q, fields, SP_COUNT(fields)))
		return;
	sp_buf_init(&body, ANSWER_MAX);
	print_json(run_value(a), &body);
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
	request_send(q, 200, "application/json", &body);
}

/* ---- documents ---- */

static void on_document(void *owner, struct sp_str document, const struct sp_fail *why)
{
	struct request *q = owner;
	struct sp_buf body;
	if (sp_failed(why)) {
		int status = why->kind == SP_FAIL_STORE ? 500 : why->kind == SP_FAIL_SHUTDOWN ? 503 : 404;
		request_refuse(q, status, "%s", why->text);
		return;
	}
	sp_buf_init(&body, document.len);
	sp_buf_add(&body, document);
	request_send(q, 200, "application/gzip", &body);
}

void request_document(struct request *q, int64_t day, const char *domain)
{
	reporter_document(q->api->reporter, day, domain, on_document, q);
}

/* ---- routes ---- */

static const struct {
	const char *method, *path;
	void (*run)(struct request *q);
} routes[] = {
	{ "POST",   "/report/send",         send_reports },
	{ "GET",    "/report/run",          show_run },
	{ "GET",    "/report/list",         report_list },
	{ "GET",    "/report/document",     report_document },
	{ "GET",    "/report/suppressions", report_suppressions },
	{ "DELETE", "/report/suppressions", report_unsuppress },
};

void report_api_ask(struct report_api *a, const char *method, struct sp_str path, struct sp_str query, report_api_done *done, void *owner)
{
	struct request *q = sp_alloc(sizeof(*q));
	bool known = false;
	*q = (struct request){ .api = a, .done = done, .owner = owner };
	q->query = query.len > 0 ? sp_str_make(sp_arena_dup(&q->arena, query), query.len) : sp_str_of("");
	a->under_way++;
	for (size_t i = 0; i < SP_COUNT(routes); i++) {
		if (!sp_str_eq(path, sp_str_of(routes[i].path)))
			continue;
		known = true;
		if (strcmp(method, routes[i].method) == 0) {
			routes[i].run(q);
			return;
		}
	}
	if (known)
		request_refuse(q, 405, "%.*s does not take %s", (int)sp_min(path.len, 200), path.p, method);
	else
		request_refuse(q, 404, "there is no %.*s", (int)sp_min(path.len, 200), path.p);
}

/* ---- life ---- */

struct report_api *report_api_new(const struct reporter_world *w, struct reporter *r, struct config *c)
{
	struct report_api *a = sp_alloc(sizeof(*a));
	a->world = *w;
	a->reporter = r;
	a->config = config_ref(c);
	sp_list_init(&a->kept);
	return a;
}

void report_api_reload(struct report_api *a, struct config *c)
{
	config_unref(a->config);
	a->config = config_ref(c);
}

bool report_api_busy(const struct report_api *a)
{
	return a->under_way > 0;
}

void report_api_free(struct report_api *a)
{
	if (a == NULL)
		return;
	while (!sp_list_empty(&a->kept))
		drop_oldest(a);
	config_unref(a->config);
	free(a);
}

/* relay/api.c - see api.h. */
#include "relay/api.h"

#include "core/date.h"
#include "relay/config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define AREAS_MAX 16
#define REFUSAL_MAX 1024                /* octets of an error's text */
#define PATH_TOLD 200

struct area {
	const struct api_route *routes;
	size_t count;
	void *self;
	void (*free_self)(void *self);
};

struct api {
	struct api_world world;                 /* one ref on its configuration */
	struct area areas[AREAS_MAX];
	size_t area_count;
	unsigned under_way;                     /* requests without their answer */
};

/* ---- answers ---- */

static int add_octets(const char *octets, size_t len, void *arg)
{
	sp_buf_add(arg, sp_str_make(octets, len));
	return 0;
}

void api_print(json_t *value, struct sp_buf *out)
{
	json_dump_callback(value, add_octets, out, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(value);
}

void api_answer(struct api_request *q, int status, json_t *value)
{
	struct sp_buf body;
	if (value == NULL) {                    /* jansson makes nothing of text that is not UTF-8 */
		api_refuse(q, 500, "the answer cannot be written as JSON");
		return;
	}
	sp_buf_init(&body, API_ANSWER_MAX);
	api_print(value, &body);
	sp_buf_addc(&body, '\n');
	api_send(q, status, "application/json", &body);
}

void api_refuse(struct api_request *q, int status, const char *fmt, ...)
{
	struct sp_buf raw, text;
	va_list args;
	sp_buf_init(&raw, REFUSAL_MAX);
	sp_buf_init(&text, REFUSAL_MAX);
	va_start(args, fmt);
	sp_buf_vprintf(&raw, fmt, args);
	va_end(args);
	sp_buf_add_printable(&text, sp_buf_str(&raw));
	api_answer(q, status, json_pack("{s:s}", "error", sp_buf_failed(&raw) ? "refused, and why is longer than an error may be" : sp_buf_cstr(&text)));
	sp_buf_clear(&raw);
	sp_buf_clear(&text);
}

void api_send(struct api_request *q, int status, const char *content_type, struct sp_buf *body)
{
	if (sp_buf_failed(body)) {
		sp_buf_clear(body);
		api_refuse(q, 500, "the answer is larger than the limit");
		return;
	}
	q->api->under_way--;
	q->done(q->owner, status, content_type, body);
	sp_arena_clear(&q->arena);
	free(q);
}

bool api_read(struct api_request *q, const struct query_field *fields, size_t count)
{
	struct sp_buf why;
	sp_buf_init(&why, REFUSAL_MAX);
	bool good = query_read(q->query, fields, count, &q->arena, &why);
	if (!good)
		api_refuse(q, 400, "%s", sp_buf_cstr(&why));
	sp_buf_clear(&why);
	return good;
}

bool api_store_refused(struct api_request *q, const struct sp_fail *why)
{
	if (sp_failed(why))
		api_refuse(q, why->kind == SP_FAIL_SHUTDOWN ? 503 : 500, "the spool: %s", why->text);
	return sp_failed(why);
}

bool api_limit_ok(struct api_request *q, uint64_t limit, uint64_t most)
{
	if (limit >= 1 && limit <= most)
		return true;
	api_refuse(q, 400, "limit: from 1 to %llu", (unsigned long long)most);
	return false;
}

void api_page_begin(struct api_page *p, size_t max)
{
	sp_buf_init(&p->body, max);
	sp_json_begin(&p->json, &p->body);
	sp_json_open(&p->json, NULL, '{');
}

void api_page_send(struct api_request *q, struct api_page *p, const char *next)
{
	sp_json_close(&p->json, ']');
	sp_json_cstr(&p->json, "next", next && *next ? next : NULL);
	sp_json_close(&p->json, '}');
	sp_buf_addc(&p->body, '\n');
	api_send(q, 200, "application/json", &p->body);
}

json_t *api_text(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

json_t *api_time(int64_t at_s)
{
	char text[40];
	return at_s > 0 ? json_string(sp_date_rfc3339(at_s, text)) : json_null();
}

/* ---- routes ---- */

void api_add(struct api *a, const struct api_route *routes, size_t count, void *self, void (*free_self)(void *self))
{
	sp_assert(a->area_count < AREAS_MAX);
	a->areas[a->area_count++] = (struct area){ .routes = routes, .count = count, .self = self, .free_self = free_self };
}

/* The route of a method and a path, or with NULL the path's first, and its area. */
static const struct api_route *find(const struct api *a, const char *method, struct sp_str path, const struct area **area)
{
	for (size_t i = 0; i < a->area_count; i++)
		for (size_t k = 0; k < a->areas[i].count; k++) {
			const struct api_route *r = &a->areas[i].routes[k];
			if (!sp_str_eq(path, sp_str_of(r->path)) || (method && strcmp(method, r->method) != 0))
				continue;
			*area = &a->areas[i];
			return r;
		}
	return NULL;
}

bool api_refuses_method(const struct api *a, const char *method, struct sp_str path, struct sp_buf *allowed)
{
	const struct area *area;
	if (find(a, method, path, &area) || find(a, NULL, path, &area) == NULL)
		return false;
	for (size_t i = 0; i < a->area_count; i++)
		for (size_t k = 0; k < a->areas[i].count; k++) {
			const struct api_route *r = &a->areas[i].routes[k];
			if (sp_str_eq(path, sp_str_of(r->path)))
				sp_buf_printf(allowed, "%s%s", allowed->len ? ", " : "", strcmp(r->method, "GET") == 0 ? "GET, HEAD" : r->method);
		}
	return true;
}

bool api_is_public(const struct api *a, struct sp_str path)
{
	const struct area *area;
	const struct api_route *r = find(a, NULL, path, &area);
	return r && (r->flags & API_PUBLIC);
}

void api_ask(struct api *a, const char *method, struct sp_str path, struct sp_str query,
             void (*done)(void *owner, int status, const char *content_type, struct sp_buf *body), void *owner)
{
	const struct area *area = NULL;
	const struct api_route *r = find(a, method, path, &area);
	struct api_request *q = sp_alloc(sizeof(*q));
	*q = (struct api_request){ .api = a, .world = &a->world, .method = r ? r->method : "", .done = done, .owner = owner };
	q->path = path.len > 0 ? sp_str_make(sp_arena_dup(&q->arena, path), path.len) : sp_str_of("");
	q->query = query.len > 0 ? sp_str_make(sp_arena_dup(&q->arena, query), query.len) : sp_str_of("");
	a->under_way++;
	if (r && (r->flags & API_NEEDS_RELAY) && a->world.relay == NULL) {
		api_refuse(q, 503, "%s needs a running relay; start it with: strictpost run", r->path);
	} else if (r) {
		q->self = area->self;
		r->run(q);
	} else if (find(a, NULL, path, &area)) {
		api_refuse(q, 405, "%.*s does not take %s", (int)sp_min(path.len, PATH_TOLD), path.p, method);
	} else {
		api_refuse(q, 404, "there is no %.*s", (int)sp_min(path.len, PATH_TOLD), path.len > 0 ? path.p : "");
	}
}

/* ---- life ---- */

struct api *api_new(const struct api_world *w)
{
	struct api *a = sp_alloc(sizeof(*a));
	a->world = *w;
	config_ref(w->config);
	return a;
}

void api_reload(struct api *a, struct config *c)
{
	config_unref(a->world.config);
	a->world.config = config_ref(c);
}

const struct api_world *api_world(const struct api *a)
{
	return &a->world;
}

bool api_busy(const struct api *a)
{
	return a->under_way > 0;
}

void api_free(struct api *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->area_count; i++)
		if (a->areas[i].free_self)
			a->areas[i].free_self(a->areas[i].self);
	config_unref(a->world.config);
	free(a);
}

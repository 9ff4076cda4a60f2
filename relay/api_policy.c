/* relay/api_policy.c - policies, as an area of the admin API (relay/api.h):
 *   GET  /policy/list     what is cached, by domain: ?domain= or ?mode= failing=1 within=SECONDS
 *   GET  /policy/history  what changed, the newest first: ?domain= weaker=1
 *   POST /policy/refresh  ?domain= asks the domain now, and answers when it is known what came of it, or that it takes long; who asks again then joins it
 *   POST /policy/forget   ?domain= reason= */
#include "relay/api_areas.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "relay/policy_admin.h"
#include "sts/history.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE_USUAL 200
#define REASON_MAX STS_HISTORY_REASON_MAX

static json_t *number(int64_t n)
{
	return json_integer((json_int_t)n);
}

/* ---- list ---- */

struct list_op {
	struct queue_op op;
	struct api_request *request;
	const char *domain, *after;             /* in the request's arena; domain NULL: all */
	struct sts_cache_filter filter;
	size_t limit;
	int64_t now_s;
	struct sp_arena arena;
	struct sts_cached *rows;
	size_t count;
	const char *next;
};

static void clear_rows(struct list_op *l)
{
	while (l->count > 0)
		sts_entry_clear(&l->rows[--l->count].entry);
	sp_arena_clear(&l->arena);
}

static enum core_db_status run_list(struct core_db *db, struct queue_op *op)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	clear_rows(l);
	l->next = NULL;
	if (l->domain == NULL)
		return sts_cache_list(db, &l->filter, l->after, l->limit, l->now_s, &l->arena, l->rows, &l->count, &l->next);
	sts_entry_init(&l->rows[0].entry);
	l->rows[0].domain = l->domain;
	enum core_db_status status = sts_cache_get(db, l->domain, &l->rows[0].entry);
	l->count = status == CORE_DB_ROW;
	return status;
}

static json_t *mx_value(const struct sts_policy *p)
{
	json_t *list = json_array();
	for (size_t i = 0; p && i < sts_policy_mx_count(p); i++)
		json_array_append_new(list, json_string(sts_policy_mx(p, i)));
	return list;
}

static json_t *failure_value(const struct sts_entry *e)
{
	if (e->failures == 0)
		return json_null();
	return json_pack("{s:s, s:s, s:s, s:s, s:o}", "result", sp_result_str(e->failed_result), "reason", e->failed_reason, "text", e->failed_text,
	                 "id", e->failed_id, "not_before", api_time(e->retry_s));
}

static json_t *cached_value(const struct sts_cached *c, int64_t now_s)
{
	const struct sts_entry *e = &c->entry;
	const struct sts_policy *p = e->policy;
	bool valid = sts_entry_valid(e, now_s);
	char source[300];
	snprintf(source, sizeof(source), "https://mta-sts.%s%s", c->domain, STS_POLICY_PATH);
	json_t *v = json_pack("{s:s, s:s, s:s?, s:o, s:o, s:o}", "domain", c->domain, "state", valid ? "valid" : p ? "expired" : "never-fetched",
	                      "mode", p ? sts_mode_str(sts_policy_mode(p)) : NULL, "id", api_text(p ? e->id : ""), "mx", mx_value(p),
	                      "max_age", p ? number(sts_policy_max_age_s(p)) : json_null());
	json_object_set_new(v, "source", json_string(source));
	json_object_set_new(v, "fetched", p ? api_time(e->fetched_s) : json_null());
	json_object_set_new(v, "expires", p ? api_time(e->expires_s) : json_null());
	json_object_set_new(v, "refresh_due", valid ? api_time(e->refresh_s) : json_null());
	json_object_set_new(v, "days_left", valid ? json_real((double)((e->expires_s - now_s) * 10 / 86400) / 10) : json_null());
	json_object_set_new(v, "failures", number(e->failures));
	json_object_set_new(v, "failure", failure_value(e));
	return v;
}

static void on_listed(struct queue_op *op, const struct sp_fail *why)
{
	struct list_op *l = sp_container_of(op, struct list_op, op);
	if (!api_store_refused(l->request, why)) {
		json_t *rows = json_array();
		for (size_t i = 0; i < l->count; i++)
			json_array_append_new(rows, cached_value(&l->rows[i], l->now_s));
		api_answer(l->request, 200, json_pack("{s:o, s:s?}", "policies", rows, "next", l->next));
	}
	clear_rows(l);
	free(l->rows);
	free(l);
}

static bool read_filter(struct api_request *q, const char *mode, uint64_t within_s, int64_t now_s, struct sts_cache_filter *f)
{
	if (within_s > 0)
		f->expires_by_s = now_s + (int64_t)sp_min(within_s, 2 * (uint64_t)STS_MAX_AGE_MAX);
	f->by_mode = mode != NULL;
	if (mode == NULL || sts_mode_parse(sp_str_of(mode), &f->mode))
		return true;
	api_refuse(q, 400, "mode: '%s' is none of enforce, testing, none", mode);
	return false;
}

static void on_list(struct api_request *q)
{
	const char *domain = NULL, *mode = NULL, *after = "";
	uint64_t limit = PAGE_USUAL, within_s = 0;
	struct sts_cache_filter filter = { .failing = false };
	int64_t now_s = core_clock_wall_s();
	const struct query_field fields[] = {
		{ "domain", QUERY_DOMAIN, &domain }, { "mode", QUERY_TEXT, &mode }, { "failing", QUERY_FLAG, &filter.failing },
		{ "within", QUERY_NUMBER, &within_s }, { "after", QUERY_TEXT, &after }, { "limit", QUERY_NUMBER, &limit },
	};
	if (!api_read(q, fields, SP_COUNT(fields)) || !api_limit_ok(q, limit, API_PAGE_MAX) || !read_filter(q, mode, within_s, now_s, &filter))
		return;
	struct list_op *l = sp_alloc(sizeof(*l));
	*l = (struct list_op){ .op.run = run_list, .op.done = on_listed, .op.reply_to = q->world->mailbox, .request = q, .domain = domain, .after = after,
	                       .filter = filter, .limit = limit, .now_s = now_s };
	l->rows = sp_alloc_array(limit, sizeof(*l->rows));
	queue_store_submit(q->world->store, &l->op);
}

/* ---- history ---- */

struct history_op {
	struct queue_op op;
	struct api_request *request;
	const char *domain;                     /* in the request's arena; NULL: all */
	bool weaker;
	int64_t before;
	size_t limit;
	struct sp_arena arena;
	struct sts_change *rows;
	size_t count;
	int64_t next;
};

static enum core_db_status run_history(struct core_db *db, struct queue_op *op)
{
	struct history_op *h = sp_container_of(op, struct history_op, op);
	sp_arena_clear(&h->arena);
	return sts_history_list(db, h->domain, h->weaker, h->before, h->limit, &h->arena, h->rows, &h->count, &h->next);
}

static json_t *side_value(const struct sts_side *s)
{
	if (*s->mode == '\0')
		return json_null();
	json_t *mx = json_array();
	for (struct sp_str rest = sp_str_of(s->mx); rest.len > 0;) {
		struct sp_str pattern = sp_take_until(&rest, ' ');
		json_array_append_new(mx, json_stringn(pattern.p, pattern.len));
	}
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "mode", s->mode, "id", s->id, "max_age", number(s->max_age_s), "mx", mx, "mx_count", number(s->mx_count));
}

static json_t *change_value(const struct sts_change *c)
{
	return json_pack("{s:o, s:s, s:s, s:b, s:o, s:o, s:o, s:o}", "time", api_time(c->at_s), "domain", c->domain, "how", sts_how_str(c->how),
	                 "weaker", (int)c->weaker, "why", api_text(c->why), "reason", api_text(c->reason), "from", side_value(&c->from),
	                 "to", side_value(&c->to));
}

static void on_history_read(struct queue_op *op, const struct sp_fail *why)
{
	struct history_op *h = sp_container_of(op, struct history_op, op);
	if (!api_store_refused(h->request, why)) {
		json_t *rows = json_array();
		char next[24] = "";
		for (size_t i = 0; i < h->count; i++)
			json_array_append_new(rows, change_value(&h->rows[i]));
		if (h->next > 0)
			snprintf(next, sizeof(next), "%lld", (long long)h->next);
		api_answer(h->request, 200, json_pack("{s:o, s:o}", "changes", rows, "next", api_text(next)));
	}
	sp_arena_clear(&h->arena);
	free(h->rows);
	free(h);
}

static void on_history(struct api_request *q)
{
	const char *domain = NULL;
	bool weaker = false;
	uint64_t limit = PAGE_USUAL, after = 0;
	const struct query_field fields[] = {
		{ "domain", QUERY_DOMAIN, &domain }, { "weaker", QUERY_FLAG, &weaker }, { "after", QUERY_NUMBER, &after }, { "limit", QUERY_NUMBER, &limit },
	};
	if (!api_read(q, fields, SP_COUNT(fields)) || !api_limit_ok(q, limit, API_PAGE_MAX))
		return;
	struct history_op *h = sp_alloc(sizeof(*h));
	*h = (struct history_op){ .op.run = run_history, .op.done = on_history_read, .op.reply_to = q->world->mailbox, .request = q, .domain = domain,
	                          .weaker = weaker, .before = (int64_t)sp_min(after, (uint64_t)INT64_MAX), .limit = limit };
	h->rows = sp_alloc_array(limit, sizeof(*h->rows));
	queue_store_submit(q->world->store, &h->op);
}

/* ---- refresh ---- */

#define REFRESH_WAIT_MS 10000                   /* then whoever asks is told that it goes on: no client waits for as long as a fetch may take */

struct refresh {
	struct api_request *request;            /* NULL: answered, while the fetch goes on */
	const char *domain;                     /* in its arena */
	struct core_timer *timer;
};

static const char *outcome_of(const struct sts_finding *f)
{
	if (sp_failed(&f->fetch_fail) || sp_failed(&f->defer) || f->unreachable)
		return "failed";
	return f->source == STS_SOURCE_FRESH ? "fetched" : "no-policy";
}

static json_t *fetch_failure_value(const struct sts_finding *f)
{
	const struct sp_fail *why = sp_failed(&f->fetch_fail) ? &f->fetch_fail : &f->defer;
	if (sp_failed(why))
		return json_pack("{s:s, s:s, s:s}", "result", sp_result_str(why->result), "reason", why->reason, "text", why->text);
	if (f->unreachable)
		return json_pack("{s:s, s:s, s:s}", "result", "", "reason", "dns", "text", "the look-up of the _mta-sts record failed");
	return json_null();
}

static json_t *finding_value(const char *domain, const struct sts_finding *f)
{
	const struct sts_policy *p = f->policy;
	json_t *v = json_pack("{s:s, s:s, s:s?, s:o, s:o, s:o, s:o}", "domain", domain, "outcome", outcome_of(f), "mode",
	                      p ? sts_mode_str(sts_policy_mode(p)) : NULL, "id", api_text(p ? f->id : ""), "mx", mx_value(p), "max_age",
	                      p ? number(sts_policy_max_age_s(p)) : json_null(), "expires", p ? api_time(f->expires_s) : json_null());
	json_object_set_new(v, "failure", fetch_failure_value(f));
	return v;
}

static void answer_refresh(struct refresh *r, const struct sts_finding *f)
{
	if (f->defer.kind == SP_FAIL_SHUTDOWN || f->defer.kind == SP_FAIL_STORE)
		api_refuse(r->request, 503, "%s", f->defer.text);
	else if (f->defer.kind == SP_FAIL_POLICY)
		api_refuse(r->request, 409, "%s", f->defer.text);
	else
		api_answer(r->request, 200, finding_value(r->domain, f));
}

static void on_refreshed(void *owner, const struct sts_finding *f)
{
	struct refresh *r = owner;
	if (r->request)
		answer_refresh(r, f);
	core_timer_close(r->timer);
	free(r);
}

static void on_refresh_late(void *owner)
{
	struct refresh *r = owner;
	api_answer(r->request, 200, json_pack("{s:s, s:s}", "domain", r->domain, "outcome", "under-way"));
	r->request = NULL;
	core_timer_close(r->timer);
	r->timer = NULL;
}

/* True when there is one. */
static bool has_domain(struct api_request *q, const char *domain)
{
	if (domain == NULL)
		api_refuse(q, 400, "domain: it is missing");
	return domain != NULL;
}

static void on_refresh(struct api_request *q)
{
	const char *domain = NULL;
	const struct query_field fields[] = { { "domain", QUERY_DOMAIN, &domain } };
	if (!api_read(q, fields, SP_COUNT(fields)) || !has_domain(q, domain))
		return;
	struct refresh *r = sp_alloc(sizeof(*r));
	*r = (struct refresh){ .request = q, .domain = domain, .timer = core_timer_new(q->world->loop, on_refresh_late, r) };
	core_timer_start(r->timer, REFRESH_WAIT_MS);
	sp_log_text(SP_LOG_INFO, domain, "policy", "an operator has it fetched now");
	policy_admin_refresh(q->world->relay, domain, on_refreshed, r);
}

/* ---- forget ---- */

static void on_forgotten(void *owner, bool found, const struct sts_note *note, const struct sp_fail *why)
{
	struct api_request *q = owner;
	if (sp_failed(why))
		api_refuse(q, 503, "the spool took no change: %s", why->text);
	else if (!found)
		api_refuse(q, 404, "no policy of this domain is cached");
	else
		api_answer(q, 200, json_pack("{s:b, s:o, s:b}", "forgotten", 1, "mode", api_text(note->from), "weaker", (int)note->weaker));
}

static void on_forget(struct api_request *q)
{
	const char *domain = NULL, *reason = "";
	const struct query_field fields[] = { { "domain", QUERY_DOMAIN, &domain }, { "reason", QUERY_TEXT, &reason } };
	if (!api_read(q, fields, SP_COUNT(fields)) || !has_domain(q, domain))
		return;
	if (strlen(reason) > REASON_MAX) {
		api_refuse(q, 400, "reason: at most %d characters", REASON_MAX);
		return;
	}
	policy_admin_forget(q->world->relay, q->world->store, q->world->mailbox, domain, reason, on_forgotten, q);
}

static const struct api_route routes[] = {
	{ "GET",  "/policy/list",    on_list,    0 },
	{ "GET",  "/policy/history", on_history, 0 },
	{ "POST", "/policy/refresh", on_refresh, API_NEEDS_RELAY },
	{ "POST", "/policy/forget",  on_forget,  0 },
};

void api_policy_add(struct api *a)
{
	api_add(a, routes, SP_COUNT(routes), NULL, NULL);
}

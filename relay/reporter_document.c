/* relay/reporter_document.c - the document of a day and a domain: read page by page, so that the store is never kept long, composed as it comes.
 *   policies -> (page of failures)* of each policy that has some -> finish
 * Memory: a document grows to REPORTER_SMALL freely; beyond, one of a lane at a time does, and the others wait for it to go. */
#include "relay/reporter_impl.h"

#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE 500                        /* failures read at once */

struct page_op {
	struct reporter_op base;
	struct document *document;              /* NULL: it has gone meanwhile */
	int64_t day;
	char *domain;
	int64_t policy;                         /* whose failures; 0: the policies themselves */
	int64_t after;
	struct sp_arena arena;
	const struct rpt_policy *policies;
	const struct rpt_failure *failures;
	size_t count;
};

static void step(struct document *d);

/* ---- the end ---- */

static void tell(struct document *d, const struct sp_fail *why)
{
	rpt_compose_free(d->compose);
	d->compose = NULL;
	d->done(d->owner, why);
}

static void never(struct document *d, const char *reason, const char *text)
{
	struct sp_fail why;
	sp_fail_tls(&why, SP_FAIL_PROTOCOL, SP_RESULT_NONE, reason, "%s", text);
	tell(d, &why);
}

static void give_up(struct document *d)
{
	struct sp_fail why;
	sp_fail_set(&why, SP_FAIL_SHUTDOWN, "the relay is stopping");
	tell(d, &why);
}

static void complete(struct document *d)
{
	struct sp_fail none = SP_FAIL_OK;
	rpt_compose_finish(d->compose);
	d->compose = NULL;
	if (sp_buf_failed(&d->gz))
		never(d, "too-large", "the report is larger than 8 MiB; report.details_per_domain bounds it");
	else
		tell(d, &none);
}

/* ---- large ones ---- */

bool document_is_large(const struct document *d)
{
	return d->gz.len > REPORTER_SMALL;
}

/* False: it has to wait. */
static bool may_grow(struct document *d)
{
	struct lane *l = d->lane;
	if (!document_is_large(d) || l->holder == d)
		return true;
	if (l->holder == NULL) {
		l->holder = d;
		return true;
	}
	sp_list_push_back(&l->waits, &d->wait);
	return false;
}

static void on_next(void *owner)
{
	struct lane *l = owner;
	step(l->holder);
}

void lane_open(struct lane *l, struct core_loop *loop)
{
	sp_list_init(&l->waits);
	l->next = core_timer_new(loop, on_next, l);
}

void lane_close(struct lane *l)
{
	core_timer_close(l->next);
}

/* The next one goes on by itself: whoever frees this one may be in the middle of a list of attempts, and the end of another would take that away. */
static void leave_lane(struct document *d)
{
	struct lane *l = d->lane;
	sp_list_remove(&d->wait);
	if (l->holder != d)
		return;
	struct sp_link *first = sp_list_pop(&l->waits);
	l->holder = first ? sp_container_of(first, struct document, wait) : NULL;
	if (l->holder)
		core_timer_start(l->next, 0);
	else
		core_timer_stop(l->next);
}

/* ---- pages ---- */

static enum core_db_status run_page(struct core_db *db, struct queue_op *op)
{
	struct page_op *p = sp_container_of(op, struct page_op, base.op);
	sp_arena_clear(&p->arena);
	p->count = 0;
	if (p->policy == 0)
		return rpt_ledger_policies(db, p->day, p->domain, &p->arena, &p->policies, &p->count);
	return rpt_ledger_failures(db, p->policy, p->after, PAGE, &p->arena, &p->failures, &p->count);
}

/* The policies live as long as the document; the arena of the page is the document's from here on. */
static void take_policies(struct document *d, struct page_op *p)
{
	d->arena = p->arena;
	p->arena = SP_ARENA_EMPTY;
	d->policies = p->policies;
	d->policy_count = p->count;
	for (size_t i = 0; i < p->count; i++) {
		d->successes += p->policies[i].successes;
		d->failures += p->policies[i].failures;
	}
	if (p->count > 0)
		rpt_compose_policy(d->compose, &d->policies[0]);
}

static void take_failures(struct document *d, const struct page_op *p)
{
	for (size_t i = 0; i < p->count; i++)
		rpt_compose_failure(d->compose, &p->failures[i]);
	if (p->count > 0)
		d->after = p->failures[p->count - 1].id;
	if (p->count == PAGE)
		return;
	d->after = 0;
	if (++d->policy_at < d->policy_count)
		rpt_compose_policy(d->compose, &d->policies[d->policy_at]);
}

static void take(struct document *d, struct page_op *p, const struct sp_fail *why)
{
	d->page = NULL;
	if (sp_failed(why)) {
		tell(d, why);
		return;
	}
	if (p->policy == 0)
		take_policies(d, p);
	else
		take_failures(d, p);
	if (d->policy_count == 0)
		never(d, "no-sessions", "the ledger has no session of that day and domain");
	else
		step(d);
}

static void on_page(struct queue_op *op, const struct sp_fail *why)
{
	struct page_op *p = sp_container_of(op, struct page_op, base.op);
	struct reporter *r = p->base.reporter;
	if (p->document)
		take(p->document, p, why);
	sp_arena_clear(&p->arena);
	free(p->domain);
	free(p);
	reporter_op_end(r);
}

static void ask_page(struct document *d, int64_t policy)
{
	struct page_op *p = sp_alloc(sizeof(*p));
	p->document = d;
	p->day = d->head.day;
	p->domain = sp_strdup(d->domain);
	p->policy = policy;
	p->after = d->after;
	d->page = p;
	reporter_submit(d->reporter, &p->base, run_page, on_page);
}

/* Goes on to the next page, when there is one and it may. */
static void step(struct document *d)
{
	while (d->policy_at < d->policy_count && d->policies[d->policy_at].failures == 0)
		if (++d->policy_at < d->policy_count)
			rpt_compose_policy(d->compose, &d->policies[d->policy_at]);
	if (d->reporter->stopping)
		give_up(d);
	else if (sp_buf_failed(&d->gz))
		never(d, "too-large", "the report is larger than 8 MiB; report.details_per_domain bounds it");
	else if (!may_grow(d))
		return;
	else if (d->policy_at < d->policy_count)
		ask_page(d, d->policies[d->policy_at].id);
	else
		complete(d);
}

/* ---- life ---- */

struct document *document_new(struct reporter *r, struct lane *lane, struct config *c, int64_t day, const char *domain, const char *report_id,
                              void (*done)(void *owner, const struct sp_fail *why), void *owner)
{
	struct document *d = sp_alloc(sizeof(*d));
	const struct config_identity *who = config_report_identity(c);
	d->reporter = r;
	d->lane = lane;
	d->config = config_ref(c);
	d->domain = sp_strdup(domain);
	d->report_id = sp_strdup(report_id);
	d->head = (struct rpt_head){ .organization = who->organization, .contact = who->contact, .report_id = d->report_id, .day = day,
	                             .domain = d->domain };
	sp_buf_init(&d->gz, REPORTER_DOCUMENT_MAX);
	d->compose = rpt_compose_new(&d->head, &d->gz);
	d->done = done;
	d->owner = owner;
	ask_page(d, 0);
	return d;
}

void document_free(struct document *d)
{
	if (d == NULL)
		return;
	if (d->page)
		d->page->document = NULL;
	sp_list_remove(&d->link);
	leave_lane(d);
	rpt_compose_free(d->compose);
	sp_arena_clear(&d->arena);
	sp_buf_clear(&d->gz);
	config_unref(d->config);
	free(d->domain);
	free(d->report_id);
	free(d);
}

/* ---- one that somebody wants to see ---- */

struct sight {
	struct reporter_op base;                /* first the row is read, for its id */
	struct document *document;
	int64_t day;
	char *domain;
	struct sp_arena arena;
	const struct rpt_report *row;
	size_t count;
	void (*done)(void *owner, struct sp_str document, const struct sp_fail *why);
	void *owner;
};

static void end_sight(struct sight *s, struct sp_str document, const struct sp_fail *why)
{
	s->done(s->owner, document, why);
	document_free(s->document);
	sp_arena_clear(&s->arena);
	free(s->domain);
	free(s);
}

static void on_document(void *owner, const struct sp_fail *why)
{
	struct sight *s = owner;
	struct reporter *r = s->base.reporter;
	end_sight(s, sp_failed(why) ? sp_str_of("") : sp_buf_str(&s->document->gz), why);
	reporter_next(r);
}

static enum core_db_status run_sight(struct core_db *db, struct queue_op *op)
{
	struct sight *s = sp_container_of(op, struct sight, base.op);
	struct rpt_filter filter = { .first_day = s->day, .last_day = s->day, .domain = s->domain };
	sp_arena_clear(&s->arena);
	s->count = 0;
	return rpt_outbox_list(db, &filter, 0, "", 1, &s->arena, &s->row, &s->count);
}

static void on_sight(struct queue_op *op, const struct sp_fail *why)
{
	struct sight *s = sp_container_of(op, struct sight, base.op);
	struct reporter *r = s->base.reporter;
	struct sp_fail none;
	struct sp_buf id;
	sp_buf_init(&id, REPORTER_TEXT);
	if (sp_failed(why)) {
		end_sight(s, sp_str_of(""), why);
	} else if (s->count == 0) {
		sp_fail_tls(&none, SP_FAIL_PROTOCOL, SP_RESULT_NONE, "no-sessions", "the ledger has no session of that day and domain");
		end_sight(s, sp_str_of(""), &none);
	} else {
		if (s->row->report_id[0] == '\0')
			reporter_draw_id(r->config, &id);       /* its own is drawn when it is sent */
		const char *report_id = id.len > 0 ? sp_buf_cstr(&id) : s->row->report_id;
		s->document = document_new(r, &r->to_show, r->config, s->day, s->domain, report_id, on_document, s);
		sp_list_push_back(&r->documents, &s->document->link);
	}
	sp_buf_clear(&id);
	reporter_op_end(r);
}

void reporter_document(struct reporter *r, int64_t day, const char *domain,
                       void (*done)(void *owner, struct sp_str document, const struct sp_fail *why), void *owner)
{
	struct sight *s = sp_alloc(sizeof(*s));
	s->day = day;
	s->domain = sp_strdup(domain);
	s->done = done;
	s->owner = owner;
	reporter_submit(r, &s->base, run_sight, on_sight);
}

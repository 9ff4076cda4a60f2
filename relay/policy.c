/* relay/policy.c - see policy.h.
 *
 *   IDLE -> LOADING (cache) -> TXT (look-up; once more after a second when DNS fails and nothing is cached) -> [FETCHING] -> IDLE
 *   IDLE -> LOADING -> FETCHING -> IDLE                          (refresh: the record is not asked)
 * Whoever asks while it runs rides along. */
#include "relay/policy.h"

#include "core/clock.h"
#include "core/log.h"
#include "sts/history.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOTS_MAX 20000                 /* policies in the memory of a shard; the longest unused goes */
#define TXT_RETRY_MS 1000               /* the one short retry of DESIGN.md */
#define TTL_MAX_S 3600                  /* an id is compared at least this often */
#define TTL_FAILED_S 30                 /* DNS failed: not asked again for so long (RFC 2308 7: at most 5 minutes) */
#define TTL_UNREAD_S 2                   /* the cache could not be read */
#define FETCH_WAIT_MS 200               /* when RELAY_FETCHES_MAX are under way */
#define FETCH_SLOW_MS 3000              /* then a fetch gives its place to another one, and goes on as a slow one */
#define HEAD_MAX 32768                  /* octets of a policy host's response head */

enum slot_state { SLOT_IDLE, SLOT_LOADING, SLOT_TXT, SLOT_FETCHING };

struct policy_slot {
	struct sp_map_node node;                /* in shard->policies */
	struct sp_link lru;                     /* in shard->policy_lru, while idle */
	struct shard *shard;
	char *domain;
	enum slot_state state;
	struct sts_entry entry;
	bool loaded;                            /* the cache was asked */
	struct sts_finding finding;             /* the last one */
	bool has_finding;
	uint64_t checked_until;                 /* monotonic ms: the finding may be used without asking again */
	uint32_t txt_ttl_s;
	bool fresh, refresh, retried, asked_txt;        /* of the present run */
	char id[STS_ID_MAX + 1];                /* of the present run */
	struct sp_link waits;                   /* of struct policy_wait */
	struct core_dns_query *query;
	struct core_http *http;
	uint64_t asked_ms;                      /* monotonic: when the fetch began */
	struct core_timer *timer;
	atomic_uint *place;                     /* where the fetch counts: relay->fetches, relay->slow_fetches, or NULL */
};

struct policy_wait {
	struct sp_link link;                    /* in slot->waits */
	bool fresh;
	void (*done)(void *owner, const struct sts_finding *f, uint32_t ttl_s);
	void *owner;
};

static void begin(struct policy_slot *p);

bool policy_may_connect(const struct config *c, const struct sp_addr *to)
{
	return sp_addr_is_public(to) || sp_nets_contain(c->delivery.allow_private.nets, c->delivery.allow_private.count, to);
}

static void leave_place(struct policy_slot *p)
{
	if (p->place)
		atomic_fetch_sub(p->place, 1);
	p->place = NULL;
}

static bool take_place(struct policy_slot *p, atomic_uint *place, unsigned max)
{
	if (atomic_fetch_add(place, 1) >= max) {
		atomic_fetch_sub(place, 1);
		return false;
	}
	leave_place(p);
	p->place = place;
	return true;
}

static void free_slot(struct policy_slot *p)
{
	sp_map_remove(&p->shard->policies, &p->node);
	sp_list_remove(&p->lru);
	core_dns_cancel(p->query);
	core_http_cancel(p->http);
	core_timer_close(p->timer);
	leave_place(p);
	sts_entry_clear(&p->entry);
	sts_finding_clear(&p->finding);
	free(p->domain);
	free(p);
}

static struct policy_slot *find_slot(struct shard *s, const char *domain)
{
	struct sp_map_node *n = sp_map_find(&s->policies, sp_str_of(domain));
	return n ? sp_container_of(n, struct policy_slot, node) : NULL;
}

static void on_timer(void *owner);

static struct policy_slot *get_slot(struct shard *s, const char *domain)
{
	struct policy_slot *p = find_slot(s, domain);
	if (p)
		return p;
	if (s->policies.count >= SLOTS_MAX && !sp_list_empty(&s->policy_lru))
		free_slot(sp_container_of(sp_list_first(&s->policy_lru), struct policy_slot, lru));
	p = sp_alloc(sizeof(*p));
	p->shard = s;
	p->domain = sp_strdup(domain);
	sts_entry_init(&p->entry);
	sts_finding_init(&p->finding);
	sp_list_init(&p->waits);
	p->timer = core_timer_new(s->loop, on_timer, p);
	sp_map_insert(&s->policies, &p->node, sp_str_of(p->domain));
	sp_list_push_back(&s->policy_lru, &p->lru);
	return p;
}

/* --- the end of a run --- */

static void log_finding(const struct policy_slot *p)
{
	const struct sts_finding *f = &p->finding;
	struct sp_log l;
	sp_log_begin(&l, sp_failed(&f->fetch_fail) ? SP_LOG_WARNING : SP_LOG_DEBUG, p->domain, "policy");
	sp_log_cstr(&l, "mode", f->policy ? sts_mode_str(sts_policy_mode(f->policy)) : "no-policy");
	sp_log_cstr(&l, "source", sts_source_str(f->source));
	sp_log_cstr(&l, "policy_id", f->id);
	if (f->policy)
		sp_log_int(&l, "expires_in_s", f->expires_s - core_clock_wall_s());
	if (sp_failed(&f->fetch_fail)) {
		sp_log_cstr(&l, "result", sp_result_str(f->fetch_fail.result));
		sp_log_cstr(&l, "reason", f->fetch_fail.reason);
		sp_log_cstr(&l, "why", f->fetch_fail.text);
	}
	sp_log_end(&l);
}

static uint32_t seconds_left(const struct policy_slot *p)
{
	uint64_t now = core_clock_mono_ms();
	return p->checked_until > now ? (uint32_t)((p->checked_until - now) / 1000) : 0;
}

/* Tells those who wait; one who asked for a fresh look while another one ran goes on waiting. Whoever is told may ask again at once: that is a new run,
 * and not for those who wait now; or make room by freeing this slot: so what is left to do here is done first. */
static void tell(struct policy_slot *p, uint32_t ttl_s, bool was_fresh)
{
	struct sp_link told;
	sp_list_init(&told);
	SP_LIST_EACH(&p->waits, l) {
		if (sp_container_of(l, struct policy_wait, link)->fresh && !was_fresh)
			continue;
		sp_list_remove(l);
		sp_list_push_back(&told, l);
	}
	struct sts_finding finding;
	sts_finding_init(&finding);
	sts_finding_copy(&finding, &p->finding);
	if (p->finding.source == STS_SOURCE_FRESH)
		p->finding.source = STS_SOURCE_CACHE;   /* for all who come later */
	sp_list_push_back(&p->shard->policy_lru, &p->lru);
	if (!sp_list_empty(&p->waits)) {
		p->fresh = true;
		begin(p);
	}
	struct sp_link *l;
	while ((l = sp_list_pop(&told))) {
		struct policy_wait *w = sp_container_of(l, struct policy_wait, link);
		w->done(w->owner, &finding, ttl_s);
		free(w);
	}
	sts_finding_clear(&finding);
}

static void finish(struct policy_slot *p)
{
	bool was_fresh = p->fresh || p->finding.source == STS_SOURCE_FRESH, asked_txt = p->asked_txt;
	p->state = SLOT_IDLE;
	p->fresh = p->refresh = p->retried = p->asked_txt = false;
	leave_place(p);
	p->has_finding = true;
	if (asked_txt)                          /* a refresh compares no id: the next use does, when it would have anyway */
		p->checked_until = core_clock_mono_ms() + (uint64_t)p->txt_ttl_s * 1000;
	log_finding(p);
	tell(p, seconds_left(p), was_fresh);
}

/* --- the cache --- */

struct cache_op {
	struct queue_op op;
	struct shard *shard;
	char *domain;
	struct sts_entry entry;
	int64_t now_s;                          /* of a put */
	struct sts_note note;
	bool found;
};

static void free_cache_op(struct cache_op *c)
{
	sts_entry_clear(&c->entry);
	free(c->domain);
	free(c);
}

static struct cache_op *new_cache_op(struct policy_slot *p)
{
	struct cache_op *c = sp_alloc(sizeof(*c));
	c->shard = p->shard;
	c->domain = sp_strdup(p->domain);
	sts_entry_init(&c->entry);
	c->op.reply_to = p->shard->mailbox;
	shard_op_begin(p->shard);
	return c;
}

static enum core_db_status run_put(struct core_db *db, struct queue_op *op)
{
	struct cache_op *c = sp_container_of(op, struct cache_op, op);
	return sts_history_put(db, c->domain, &c->entry, c->now_s, &c->note);
}

static void on_put(struct queue_op *op, const struct sp_fail *why)
{
	struct cache_op *c = sp_container_of(op, struct cache_op, op);
	struct shard *s = c->shard;
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, c->domain, "policy-cache", "the policy could not be stored, it will be fetched again: %s", why->text);
	else
		policy_log_note(c->domain, &c->note, NULL);
	free_cache_op(c);
	shard_op_end(s);
}

static void store_entry(struct policy_slot *p)
{
	if (p->shard->relay->store == NULL)
		return;
	struct cache_op *c = new_cache_op(p);
	sts_entry_copy(&c->entry, &p->entry);
	c->now_s = core_clock_wall_s();
	c->op.run = run_put;
	c->op.done = on_put;
	c->op.patient = true;
	queue_store_submit(p->shard->relay->store, &c->op);
}

static enum core_db_status run_get(struct core_db *db, struct queue_op *op)
{
	struct cache_op *c = sp_container_of(op, struct cache_op, op);
	sts_entry_clear(&c->entry);
	enum core_db_status status = sts_cache_get(db, c->domain, &c->entry);
	c->found = status == CORE_DB_ROW;
	return status;
}

/* The cache may know an `enforce` that an attacker keeps us from learning anew: while it cannot be read, nothing goes (promise 1). */
static void load_failed(struct policy_slot *p, const struct sp_fail *why)
{
	sts_finding_clear(&p->finding);
	p->finding.defer = *why;
	p->txt_ttl_s = TTL_UNREAD_S;
	finish(p);
}

static void on_get(struct queue_op *op, const struct sp_fail *why)
{
	struct cache_op *c = sp_container_of(op, struct cache_op, op);
	struct shard *s = c->shard;
	struct policy_slot *p = find_slot(s, c->domain);        /* by name: the slot may be gone */
	if (p && p->state == SLOT_LOADING && sp_failed(why)) {
		load_failed(p, why);
	} else if (p && p->state == SLOT_LOADING) {
		p->loaded = true;
		if (c->found)
			sts_entry_copy(&p->entry, &c->entry);
		begin(p);
	}
	free_cache_op(c);
	shard_op_end(s);
}

static void load_entry(struct policy_slot *p)
{
	if (p->shard->relay->store == NULL) {   /* nothing is cached */
		p->loaded = true;
		begin(p);
		return;
	}
	p->state = SLOT_LOADING;
	struct cache_op *c = new_cache_op(p);
	c->op.run = run_get;
	c->op.done = on_get;
	queue_store_submit(p->shard->relay->store, &c->op);
}

/* --- the fetch --- */

static void count_fetch(const struct policy_slot *p)
{
	struct metrics_block *b = p->shard->metrics;
	const struct sp_fail *fail = &p->finding.fetch_fail;
	metrics_add_result(b, METRIC_FETCHES, 0, metrics_result(fail));
	metrics_time_ms(b, METRIC_FETCH, core_clock_mono_ms() - p->asked_ms);
	if (sp_failed(fail) && sts_entry_valid(&p->entry, core_clock_wall_s()))
		metrics_add(b, METRIC_REFRESH_FAILURES, 0, 1);
}

static void on_fetched(void *owner, const struct core_http_response *r)
{
	struct policy_slot *p = owner;
	const struct config *c = p->shard->config;
	const struct policy_tap *tap = p->shard->relay->policy_tap;
	struct sts_rules rules = { .first_contact_defer = c->sts.first_contact == CONFIG_FIRST_DEFER,
	                           .refresh_s = (uint32_t)(c->sts.refresh_ms / 1000) };
	struct sts_fetch fetch = { .fail = r->fail, .status = r->status, .content_type = r->content_type,
	                           .content_encoding = r->content_encoding, .body = r->body };
	bool changed = false;
	p->http = NULL;
	core_timer_stop(p->timer);
	if (tap)
		tap->fetched(tap->owner, p->domain, r, core_clock_mono_ms() - p->asked_ms);
	sts_finding_clear(&p->finding);
	sts_discover_fetched(&p->entry, p->id, &fetch, &rules, core_clock_wall_s(), shard_random(p->shard), &changed, &p->finding);
	count_fetch(p);
	if (changed)
		store_entry(p);
	finish(p);
}

static bool may_fetch_from(void *owner, const struct sp_addr *to)
{
	struct policy_slot *p = owner;
	return policy_may_connect(p->shard->config, to);
}

static void fetch(struct policy_slot *p)
{
	const struct config *c = p->shard->config;
	p->state = SLOT_FETCHING;
	if (!take_place(p, &p->shard->relay->fetches, RELAY_FETCHES_MAX)) {
		core_timer_start(p->timer, FETCH_WAIT_MS);
		return;
	}
	core_timer_start(p->timer, FETCH_SLOW_MS);
	char host[sizeof("mta-sts.") + 255];
	snprintf(host, sizeof(host), "mta-sts.%s", p->domain);          /* RFC 8461 3.3 */
	struct core_http_ask ask = {
		.method = "GET", .host = host, .port = 443, .path = STS_POLICY_PATH,
		.deadline_ms = (uint64_t)c->sts.fetch_timeout_ms,
		.head_max = HEAD_MAX, .body_max = (size_t)c->sts.policy_size,
		.verify = true, .min_version = CORE_TLS_1_2,
		.may_connect = may_fetch_from,
	};
	p->asked_ms = core_clock_mono_ms();
	p->http = core_http_start(p->shard->loop, p->shard->dns, p->shard->tls, &ask, on_fetched, p);
}

/* Hosts that hang until the deadline would else keep all others waiting for it. */
static void give_way(struct policy_slot *p)
{
	if (!take_place(p, &p->shard->relay->slow_fetches, RELAY_SLOW_FETCHES_MAX))
		core_timer_start(p->timer, FETCH_WAIT_MS);
}

/* --- the record --- */

static void on_txt(void *owner, const struct core_dns_answer *a)
{
	struct policy_slot *p = owner;
	const struct config *c = p->shard->config;
	const struct policy_tap *tap = p->shard->relay->policy_tap;
	int64_t now_s = core_clock_wall_s();
	p->query = NULL;
	p->asked_txt = true;
	bool answered = a->status == CORE_DNS_OK || core_dns_status_lasting(a->status);
	if (!answered && !p->retried && !sts_entry_valid(&p->entry, now_s)) {
		p->retried = true;
		core_timer_start(p->timer, TXT_RETRY_MS);
		return;
	}
	if (tap)
		tap->record(tap->owner, p->domain, a);
	p->txt_ttl_s = answered ? (uint32_t)sp_min(a->ttl_s, TTL_MAX_S) : TTL_FAILED_S;
	struct sts_rules rules = { .first_contact_defer = c->sts.first_contact == CONFIG_FIRST_DEFER,
	                           .refresh_s = (uint32_t)(c->sts.refresh_ms / 1000) };
	sts_finding_clear(&p->finding);
	if (sts_discover_txt(&p->entry, a, p->fresh, &rules, now_s, p->id, &p->finding) == STS_NEXT_FETCH)
		fetch(p);
	else
		finish(p);
}

static void look_up(struct policy_slot *p)
{
	char name[sizeof("_mta-sts.") + 255];
	snprintf(name, sizeof(name), "_mta-sts.%s", p->domain);         /* RFC 8461 3.1 */
	p->state = SLOT_TXT;
	p->query = core_dns_lookup(p->shard->dns, name, CORE_DNS_TXT, on_txt, p);
}

static void on_timer(void *owner)
{
	struct policy_slot *p = owner;
	if (p->state == SLOT_TXT)
		look_up(p);
	else if (p->state == SLOT_FETCHING && p->http)
		give_way(p);
	else if (p->state == SLOT_FETCHING)
		fetch(p);
	else if (p->state == SLOT_IDLE)
		tell(p, seconds_left(p), false);       /* what is known is still good: told on a later turn, to whoever is left */
}

static void begin(struct policy_slot *p)
{
	sp_list_remove(&p->lru);
	core_timer_stop(p->timer);
	if (!p->loaded && p->state == SLOT_IDLE) {
		load_entry(p);
	} else if (p->refresh && p->entry.policy) {
		snprintf(p->id, sizeof(p->id), "%s", p->entry.id);
		fetch(p);
	} else if (p->refresh && sp_list_empty(&p->waits)) {
		p->refresh = false;             /* gone meanwhile, and nobody asks */
		p->state = SLOT_IDLE;
		sp_list_push_back(&p->shard->policy_lru, &p->lru);
	} else {
		look_up(p);
	}
}

struct policy_wait *policy_find(struct shard *s, const char *domain, bool fresh,
                                void (*done)(void *owner, const struct sts_finding *f, uint32_t ttl_s), void *owner)
{
	struct policy_slot *p = get_slot(s, domain);
	struct policy_wait *w = sp_alloc(sizeof(*w));
	w->fresh = fresh;
	w->done = done;
	w->owner = owner;
	sp_list_push_back(&p->waits, &w->link);
	if (p->state != SLOT_IDLE)
		return w;
	uint64_t now = core_clock_mono_ms();
	bool good = p->has_finding && p->checked_until > now && (p->finding.policy == NULL || p->finding.expires_s > core_clock_wall_s());
	if (good && !fresh) {
		sp_list_remove(&p->lru);
		core_timer_start(p->timer, 0);
	} else {
		p->fresh = fresh;
		begin(p);
	}
	return w;
}

void policy_cancel(struct policy_wait *w)
{
	if (w == NULL)
		return;
	sp_list_remove(&w->link);
	free(w);
}

void policy_refresh(struct shard *s, const char *domain)
{
	struct policy_slot *p = get_slot(s, domain);
	if (p->state != SLOT_IDLE)
		return;
	p->refresh = true;
	begin(p);
}

void policy_clear(struct shard *s)
{
	struct sp_map_node *n;
	while ((n = sp_map_any(&s->policies)))
		free_slot(sp_container_of(n, struct policy_slot, node));
	sp_map_clear(&s->policies);
}

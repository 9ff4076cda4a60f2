/* relay/policy.c - see policy.h.
 *
 *   IDLE -> LOADING (cache) -> TXT (look-up; once more after a second when DNS fails and nothing is cached) -> [FETCHING] -> IDLE
 *   IDLE -> LOADING -> FETCHING -> IDLE                          (refresh: the record is not asked)
 * Whoever asks while it runs rides along. */
#include "relay/policy_impl.h"

#include "core/clock.h"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOTS_MAX 20000                 /* policies in the memory of a shard; the longest unused goes */
#define TXT_RETRY_MS 1000               /* the one short retry of DESIGN.md */
#define TTL_MAX_S 3600                  /* an id is compared at least this often */
#define TTL_FAILED_S 30                 /* DNS failed: not asked again for so long (RFC 2308 7: at most 5 minutes) */
#define FETCH_WAIT_MS 200               /* when RELAY_FETCHES_MAX are under way */
#define FETCH_SLOW_MS 3000              /* then a fetch gives its place to another one, and goes on as a slow one */
#define HEAD_MAX 32768                  /* octets of a policy host's response head */

struct policy_wait {
	struct sp_link link;                    /* in slot->waits */
	bool fresh, forced;
	void (*done)(void *owner, const struct sts_finding *f, uint32_t ttl_s);
	void *owner;
};

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

struct policy_slot *policy_slot_find(struct shard *s, const char *domain)
{
	struct sp_map_node *n = sp_map_find(&s->policies, sp_str_of(domain));
	return n ? sp_container_of(n, struct policy_slot, node) : NULL;
}

static void on_timer(void *owner);

static struct policy_slot *get_slot(struct shard *s, const char *domain)
{
	struct policy_slot *p = policy_slot_find(s, domain);
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

/* For those who were not told: they asked for more than the run that is over. */
static void begin_fresh(struct policy_slot *p)
{
	p->fresh = true;
	SP_LIST_EACH(&p->waits, l)
		p->forced = p->forced || sp_container_of(l, struct policy_wait, link)->forced;
	policy_slot_begin(p);
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
	if (!sp_list_empty(&p->waits))
		begin_fresh(p);
	struct sp_link *l;
	while ((l = sp_list_pop(&told))) {
		struct policy_wait *w = sp_container_of(l, struct policy_wait, link);
		w->done(w->owner, &finding, ttl_s);
		free(w);
	}
	sts_finding_clear(&finding);
}

void policy_slot_finish(struct policy_slot *p)
{
	bool was_fresh = p->fresh || p->finding.source == STS_SOURCE_FRESH, asked_txt = p->asked_txt;
	p->state = SLOT_IDLE;
	p->fresh = p->refresh = p->retried = p->asked_txt = p->forced = false;
	leave_place(p);
	p->has_finding = true;
	if (asked_txt)                          /* a refresh compares no id: the next use does, when it would have anyway */
		p->checked_until = core_clock_mono_ms() + (uint64_t)p->txt_ttl_s * 1000;
	log_finding(p);
	tell(p, seconds_left(p), was_fresh);
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
		policy_slot_store(p);
	policy_slot_finish(p);
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
	bool wanted = sts_discover_txt(&p->entry, a, p->fresh, &rules, now_s, p->id, &p->finding) == STS_NEXT_FETCH;
	if (wanted || (p->forced && (p->finding.has_record || sts_entry_valid(&p->entry, now_s))))
		fetch(p);
	else
		policy_slot_finish(p);
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

void policy_slot_begin(struct policy_slot *p)
{
	sp_list_remove(&p->lru);
	core_timer_stop(p->timer);
	if (!p->loaded && p->state == SLOT_IDLE) {
		policy_slot_load(p);
	} else if (p->refresh && p->entry.policy && !p->forced) {
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
		policy_slot_begin(p);
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

bool policy_peek(struct shard *s, const char *domain, struct sts_entry *out)
{
	const struct policy_slot *p = policy_slot_find(s, domain);
	if (p)
		sts_entry_copy(out, &p->entry);
	return p != NULL;
}

void policy_refresh(struct shard *s, const char *domain)
{
	struct policy_slot *p = get_slot(s, domain);
	if (p->state != SLOT_IDLE)
		return;
	p->refresh = true;
	policy_slot_begin(p);
}

void policy_renew(struct shard *s, const char *domain, void (*done)(void *owner, const struct sts_finding *f, uint32_t ttl_s), void *owner)
{
	struct policy_slot *p = get_slot(s, domain);
	struct policy_wait *w = sp_alloc(sizeof(*w));
	*w = (struct policy_wait){ .fresh = true, .forced = true, .done = done, .owner = owner };
	sp_list_push_back(&p->waits, &w->link);
	if (p->state == SLOT_IDLE)
		begin_fresh(p);
}

void policy_forget(struct shard *s, const char *domain)
{
	struct policy_slot *p = policy_slot_find(s, domain);
	if (p == NULL)
		return;
	sts_entry_clear(&p->entry);
	sts_finding_clear(&p->finding);
	p->has_finding = false;
	p->forgot = p->state == SLOT_LOADING;
	if (p->state == SLOT_IDLE && !sp_list_empty(&p->waits))
		policy_slot_begin(p);                       /* they were to be told what is forgotten */
}

/* Operators who still wait. */
static void turn_away(struct policy_slot *p)
{
	struct sts_finding stopped;
	struct sp_link *l;
	sts_finding_init(&stopped);
	sp_fail_set(&stopped.defer, SP_FAIL_SHUTDOWN, "the relay is stopping");
	while ((l = sp_list_pop(&p->waits))) {
		struct policy_wait *w = sp_container_of(l, struct policy_wait, link);
		sp_assert(w->forced);
		w->done(w->owner, &stopped, 0);
		free(w);
	}
}

void policy_clear(struct shard *s)
{
	struct sp_map_node *n;
	while ((n = sp_map_any(&s->policies))) {
		struct policy_slot *p = sp_container_of(n, struct policy_slot, node);
		turn_away(p);
		free_slot(p);
	}
	sp_map_clear(&s->policies);
}

/* relay/holds.c - see holds.h.
 *
 *   spread: store -> rules -> snapshot -> a mail to each shard -> its answer, behind whatever it had submitted -> done */
#include "relay/holds.h"

#include "core/clock.h"
#include "relay/shard.h"

#include <stdlib.h>

struct holds {
	atomic_uint refs;
	struct sp_arena arena;          /* the strings */
	size_t count;
	struct queue_hold rules[];      /* by id, which is by age */
};

static int by_id(const void *a, const void *b)
{
	const struct queue_hold *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

static const char *copy(struct sp_arena *arena, const char *s)
{
	return s ? sp_arena_strdup(arena, s) : NULL;
}

struct holds *holds_new(const struct queue_hold *rules, size_t count)
{
	struct holds *h = sp_alloc(sizeof(*h) + count * sizeof(h->rules[0]));
	atomic_init(&h->refs, 1);
	h->count = count;
	for (size_t i = 0; i < count; i++) {
		h->rules[i] = rules[i];
		h->rules[i].sender = copy(&h->arena, rules[i].sender);
		h->rules[i].recipient = copy(&h->arena, rules[i].recipient);
		h->rules[i].domain = copy(&h->arena, rules[i].domain);
		h->rules[i].reason = copy(&h->arena, rules[i].reason);
	}
	if (count > 1)
		qsort(h->rules, count, sizeof(h->rules[0]), by_id);
	return h;
}

struct holds *holds_ref(struct holds *h)
{
	if (h)
		atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	return h;
}

void holds_unref(struct holds *h)
{
	if (h == NULL || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
		return;
	sp_arena_clear(&h->arena);
	free(h);
}

/* ---- a message ---- */

/* Is the rule one for mail of this sender, whoever gets it? */
static bool concerns(const struct queue_hold *rule, struct sp_str sender, bool ours, int64_t now_ms)
{
	if (rule->until_ms > 0 && rule->until_ms <= now_ms)
		return false;
	if (ours && (rule->sender == NULL || strcmp(rule->sender, "<>") != 0))
		return false;
	return rule->sender == NULL || queue_address_fits(sender, rule->sender);
}

static bool catches(const struct queue_hold *rule, struct sp_str address)
{
	if (rule->recipient && !queue_address_fits(address, rule->recipient))
		return false;
	return rule->domain == NULL || sp_str_eq_nocase(queue_address_domain(address), sp_str_of(rule->domain));
}

static const struct queue_hold *find(const struct queue_hold *const *rules, size_t count, struct sp_str address)
{
	for (size_t i = 0; i < count; i++)
		if (catches(rules[i], address))
			return rules[i];
	return NULL;
}

size_t holds_apply(const struct holds *h, const char *sender, struct queue_recipient *recipients, size_t count, bool ours, int64_t now_ms)
{
	const struct queue_hold *rules[QUEUE_HOLDS_MAX];
	size_t rule_count = 0, held = 0;
	for (size_t i = 0; h && i < h->count && rule_count < QUEUE_HOLDS_MAX; i++)
		if (concerns(&h->rules[i], sp_str_of(sender), ours, now_ms))
			rules[rule_count++] = &h->rules[i];
	for (size_t i = 0; rule_count > 0 && i < count; i++) {
		recipients[i].held = find(rules, rule_count, sp_str_of(recipients[i].address));
		held += recipients[i].held != NULL;
	}
	return held;
}

/* ---- all shards ---- */

struct spreading {
	struct relay *relay;
	unsigned wanted;                        /* answers of shards */
	void (*done)(void *owner, const struct sp_fail *why);
	void *owner;
};

struct spread_mail {
	struct core_mail mail;
	struct spreading *spreading;
	struct shard *shard;
	struct holds *holds;                    /* one ref, on its way */
};

static void finish(struct spreading *p, const struct sp_fail *why)
{
	p->done(p->owner, why);
	free(p);
}

/* On the main thread. */
static void on_answer(struct core_mail *mail)
{
	struct spread_mail *m = sp_container_of(mail, struct spread_mail, mail);
	struct spreading *p = m->spreading;
	free(m);
	if (--p->wanted == 0)
		finish(p, &SP_FAIL_OK);
}

/* On the shard's. */
static void on_snapshot(struct core_mail *mail)
{
	struct spread_mail *m = sp_container_of(mail, struct spread_mail, mail);
	holds_unref(m->shard->holds);
	m->shard->holds = m->holds;
	m->mail.run = on_answer;
	core_mailbox_post(m->spreading->relay->main_mailbox, &m->mail);
}

static struct holds *replace(struct relay *r, const struct queue_hold *rules, size_t count)
{
	holds_unref(r->holds);
	r->holds = count > 0 ? holds_new(rules, count) : NULL;
	return r->holds;
}

static void on_rules(void *owner, const struct queue_hold *rules, size_t count, const struct sp_fail *why)
{
	struct spreading *p = owner;
	struct relay *r = p->relay;
	if (sp_failed(why)) {
		finish(p, why);
		return;
	}
	replace(r, rules, count);
	p->wanted = r->shard_count;
	for (unsigned i = 0; i < r->shard_count; i++) {
		struct spread_mail *m = sp_alloc(sizeof(*m));
		m->spreading = p;
		m->shard = r->shards[i];
		m->holds = holds_ref(r->holds);
		m->mail.run = on_snapshot;
		core_mailbox_post(m->shard->mailbox, &m->mail);
	}
	if (r->shard_count == 0)
		finish(p, &SP_FAIL_OK);
}

void holds_spread(struct relay *r, void (*done)(void *owner, const struct sp_fail *why), void *owner)
{
	struct spreading *p = sp_alloc(sizeof(*p));
	p->relay = r;
	p->done = done;
	p->owner = owner;
	queue_holds(r->store, core_clock_wall_ms(), r->main_mailbox, on_rules, p);
}

/* ---- at start ---- */

struct loading {
	struct relay *relay;
	struct core_loop *loop;
	struct sp_fail *why;
	bool done;
};

static void on_loaded(void *owner, const struct queue_hold *rules, size_t count, const struct sp_fail *why)
{
	struct loading *l = owner;
	*l->why = *why;
	if (!sp_failed(why))
		replace(l->relay, rules, count);
	l->done = true;
	core_loop_stop(l->loop);
}

int holds_load(struct relay *r, struct core_loop *l, struct sp_fail *why)
{
	struct loading loading = { .relay = r, .loop = l, .why = why };
	queue_holds(r->store, core_clock_wall_ms(), r->main_mailbox, on_loaded, &loading);
	while (!loading.done)
		core_loop_run(l);
	return sp_failed(why) ? -1 : 0;
}

/* relay/policy_store.c - see policy_impl.h: what is known of a domain, read from the cache and written there. */
#include "relay/policy_impl.h"

#include "core/clock.h"
#include "core/log.h"
#include "sts/history.h"

#include <stdlib.h>

#define TTL_UNREAD_S 2                   /* the cache could not be read */

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

void policy_slot_store(struct policy_slot *p)
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
	policy_slot_finish(p);
}

static void on_get(struct queue_op *op, const struct sp_fail *why)
{
	struct cache_op *c = sp_container_of(op, struct cache_op, op);
	struct shard *s = c->shard;
	struct policy_slot *p = policy_slot_find(s, c->domain);        /* by name: the slot may be gone */
	if (p && p->state == SLOT_LOADING && sp_failed(why)) {
		load_failed(p, why);
	} else if (p && p->state == SLOT_LOADING) {
		p->loaded = true;
		if (c->found && !p->forgot)
			sts_entry_copy(&p->entry, &c->entry);
		p->forgot = false;
		policy_slot_begin(p);
	}
	free_cache_op(c);
	shard_op_end(s);
}

void policy_slot_load(struct policy_slot *p)
{
	if (p->shard->relay->store == NULL) {   /* nothing is cached */
		p->loaded = true;
		policy_slot_begin(p);
		return;
	}
	p->state = SLOT_LOADING;
	struct cache_op *c = new_cache_op(p);
	c->op.run = run_get;
	c->op.done = on_get;
	queue_store_submit(p->shard->relay->store, &c->op);
}

/* relay/resume.c - see resume.h. */
#include "relay/resume.h"

#include <stdlib.h>
#include <string.h>

struct resume_entry {
	struct sp_link link;            /* in memory->entries */
	struct sp_addr addr;            /* port included */
	struct sts_demand demand;       /* what was proved; what it points to is in `arena`, since it outlives the plan */
	struct sp_arena arena;
	struct core_tls_session *session;
};

void resume_init(struct resume_memory *m)
{
	sp_list_init(&m->entries);
	m->count = 0;
}

/* The entry goes, its session's ref passes to the caller. */
static struct core_tls_session *remove_entry(struct resume_memory *m, struct resume_entry *e)
{
	struct core_tls_session *session = e->session;
	sp_list_remove(&e->link);
	m->count--;
	sp_arena_clear(&e->arena);
	free(e);
	return session;
}

void resume_clear(struct resume_memory *m)
{
	while (!sp_list_empty(&m->entries))
		core_tls_session_unref(remove_entry(m, sp_container_of(sp_list_first(&m->entries), struct resume_entry, link)));
}

static struct sp_str copy_octets(struct sp_str s, struct sp_arena *arena)
{
	return sp_str_make(sp_arena_dup(arena, s), s.len);
}

static const struct sts_tlsa *copy_tlsa(const struct sts_tlsa *t, struct sp_arena *arena)
{
	if (t == NULL)
		return NULL;
	struct sts_tlsa *copy = sp_arena_alloc(arena, sizeof(*copy));
	struct core_tlsa *records = sp_arena_alloc(arena, t->count * sizeof(*records));
	*copy = *t;
	for (size_t i = 0; i < t->count; i++) {
		records[i] = t->records[i];
		records[i].data = copy_octets(t->records[i].data, arena);
	}
	copy->records = records;
	copy->base = sp_arena_strdup(arena, t->base);
	copy->strings = "";
	return copy;
}

void resume_keep(struct resume_memory *m, const struct sts_demand *demand, const struct sp_addr *addr, struct core_tls_session *session)
{
	if (session == NULL)
		return;
	if (m->count == RESUME_MAX)
		core_tls_session_unref(remove_entry(m, sp_container_of(sp_list_last(&m->entries), struct resume_entry, link)));
	struct resume_entry *e = sp_alloc(sizeof(*e));
	e->addr = *addr;
	e->demand = *demand;
	e->demand.tlsa = copy_tlsa(demand->tlsa, &e->arena);
	e->demand.rule = NULL;          /* for logs only: what it asks for is in the demand */
	e->session = session;
	sp_list_push_front(&m->entries, &e->link);
	m->count++;
}

struct core_tls_session *resume_take(struct resume_memory *m, const struct sts_demand *demand, const struct sp_addr *addr)
{
	SP_LIST_EACH(&m->entries, l) {
		struct resume_entry *e = sp_container_of(l, struct resume_entry, link);
		if (sts_demand_equal(&e->demand, demand) && sp_addr_eq(&e->addr, addr))
			return remove_entry(m, e);
	}
	return NULL;
}

/* core/map.c - see map.h. Chained slots, doubled when there are as many nodes as slots. */
#include "core/map.h"

#include <stdlib.h>
#include <sys/random.h>

#define FIRST_SLOTS 16

void sp_map_init(struct sp_map *m)
{
	*m = (struct sp_map){ 0 };
	if (getrandom(&m->seed, sizeof(m->seed), GRND_NONBLOCK) != (ssize_t)sizeof(m->seed))
		m->seed = (uint64_t)(uintptr_t)m * 0x9e3779b97f4a7c15u;         /* early boot: less random, still works */
}

void sp_map_clear(struct sp_map *m)
{
	free(m->slots);
	*m = (struct sp_map){ .seed = m->seed };
}

static uint64_t hash_key(const struct sp_map *m, struct sp_str key)
{
	uint64_t h = m->seed;                           /* FNV-1a from a secret start, then splitmix64's mix */
	for (size_t i = 0; i < key.len; i++)
		h = (h ^ (unsigned char)key.p[i]) * 1099511628211u;
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
	return h ^ (h >> 31);
}

static struct sp_map_node **slot_of(const struct sp_map *m, uint64_t hash)
{
	return &m->slots[hash & (m->slot_count - 1)];
}

static void grow(struct sp_map *m)
{
	struct sp_map old = *m;
	m->slot_count = old.slot_count ? old.slot_count * 2 : FIRST_SLOTS;
	m->slots = sp_alloc_array(m->slot_count, sizeof(*m->slots));
	for (size_t i = 0; i < old.slot_count; i++) {
		while (old.slots[i]) {
			struct sp_map_node *n = old.slots[i];
			old.slots[i] = n->next;
			struct sp_map_node **slot = slot_of(m, n->hash);
			n->next = *slot;
			*slot = n;
		}
	}
	free(old.slots);
}

struct sp_map_node *sp_map_find(const struct sp_map *m, struct sp_str key)
{
	if (m->count == 0)
		return NULL;
	uint64_t hash = hash_key(m, key);
	for (struct sp_map_node *n = *slot_of(m, hash); n; n = n->next)
		if (n->hash == hash && sp_str_eq(n->key, key))
			return n;
	return NULL;
}

void sp_map_insert(struct sp_map *m, struct sp_map_node *n, struct sp_str key)
{
	if (m->count == m->slot_count)
		grow(m);
	n->key = key;
	n->hash = hash_key(m, key);
	struct sp_map_node **slot = slot_of(m, n->hash);
	n->next = *slot;
	*slot = n;
	m->count++;
}

void sp_map_remove(struct sp_map *m, struct sp_map_node *n)
{
	struct sp_map_node **at = slot_of(m, n->hash);
	while (*at != n) {
		sp_assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = n->next;
	n->next = NULL;
	m->count--;
}

struct sp_map_node *sp_map_any(const struct sp_map *m)
{
	for (size_t i = 0; m->count > 0 && i < m->slot_count; i++)
		if (m->slots[i])
			return m->slots[i];
	return NULL;
}

void sp_map_each(struct sp_map *m, void (*each)(struct sp_map_node *n, void *arg), void *arg)
{
	for (size_t i = 0; i < m->slot_count; i++) {
		struct sp_map_node *next;
		for (struct sp_map_node *n = m->slots[i]; n; n = next) {
			next = n->next;
			each(n, arg);
		}
	}
}

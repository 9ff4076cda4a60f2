/* core/map.h - an intrusive hash table from strings to objects: policies by domain, destinations by name.
 * The object embeds a struct sp_map_node and owns its key; the map owns only its slots.
 * Pure. One thread at a time. */
#ifndef CORE_MAP_H
#define CORE_MAP_H

#include "core/str.h"

struct sp_map_node {
	struct sp_map_node *next;       /* in its slot */
	uint64_t hash;
	struct sp_str key;              /* borrowed from the object; stays put while the node is in the map */
};

struct sp_map {
	struct sp_map_node **slots;     /* NULL until the first insert */
	size_t slot_count;              /* a power of two */
	size_t count;
	uint64_t seed;                  /* drawn at init, so that peers cannot pick keys that collide */
};

void sp_map_init(struct sp_map *m);
void sp_map_clear(struct sp_map *m);                            /* frees the slots; the nodes are the caller's */
struct sp_map_node *sp_map_find(const struct sp_map *m, struct sp_str key);
void sp_map_insert(struct sp_map *m, struct sp_map_node *n, struct sp_str key);     /* key must not be in it */
void sp_map_remove(struct sp_map *m, struct sp_map_node *n);    /* n must be in it */
/* Some node, or NULL when empty: to empty a map. */
struct sp_map_node *sp_map_any(const struct sp_map *m);
/* Calls `each` for every node; it may remove the node it is given, and no other. */
void sp_map_each(struct sp_map *m, void (*each)(struct sp_map_node *n, void *arg), void *arg);

#endif

/* relay/clients.c - see clients.h. A lock, taken twice a session and only where the limit is set, is no burden. */
#include "relay/clients.h"

#include "core/map.h"

#include <pthread.h>
#include <stdlib.h>

struct clients {
	pthread_mutex_t lock;
	struct sp_map map;              /* of struct client, by address */
};

struct client {
	struct sp_map_node node;        /* in clients->map */
	char addr[SP_ADDR_TEXT];
	uint64_t sessions;              /* 1 or more */
};

struct clients *clients_new(void)
{
	struct clients *c = sp_alloc(sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	sp_map_init(&c->map);
	return c;
}

void clients_free(struct clients *c)
{
	if (c == NULL)
		return;
	sp_assert(c->map.count == 0);
	sp_map_clear(&c->map);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct client *find(struct clients *c, const char *addr)
{
	struct sp_map_node *n = sp_map_find(&c->map, sp_str_of(addr));
	return n ? sp_container_of(n, struct client, node) : NULL;
}

bool clients_enter(struct clients *c, const struct sp_addr *addr, uint64_t limit)
{
	char text[SP_ADDR_TEXT];
	sp_addr_ip_str(addr, text);
	pthread_mutex_lock(&c->lock);
	struct client *client = find(c, text);
	bool ok = (client ? client->sessions : 0) < limit;
	if (ok && client == NULL) {
		client = sp_alloc(sizeof(*client));
		memcpy(client->addr, text, sizeof(text));
		sp_map_insert(&c->map, &client->node, sp_str_of(client->addr));
	}
	if (ok)
		client->sessions++;
	pthread_mutex_unlock(&c->lock);
	return ok;
}

void clients_leave(struct clients *c, const struct sp_addr *addr)
{
	char text[SP_ADDR_TEXT];
	sp_addr_ip_str(addr, text);
	pthread_mutex_lock(&c->lock);
	struct client *client = find(c, text);
	sp_assert(client != NULL);
	if (--client->sessions == 0) {
		sp_map_remove(&c->map, &client->node);
		free(client);
	}
	pthread_mutex_unlock(&c->lock);
}

/* relay/login_book.c - see login_book.h. */
#include "relay/login_book.h"

#include "relay/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

struct login_fit {
	struct sp_map_node node;                /* in fits */
	struct sp_link link;                    /* in fit_order */
	struct login_mark mark;
	uint64_t until_ms;
};

void login_book_init(struct login_book *b)
{
	sp_map_init(&b->clients);
	sp_map_init(&b->fits);
	sp_list_init(&b->quiet);
	sp_list_init(&b->fit_order);
	sp_assert(getrandom(b->key, sizeof(b->key), 0) == (ssize_t)sizeof(b->key));
}

static void drop_client(struct login_book *b, struct login_client *c)
{
	sp_list_remove(&c->link);
	sp_map_remove(&b->clients, &c->node);
	free(c);
}

static void drop_fit(struct login_book *b, struct login_fit *f)
{
	sp_list_remove(&f->link);
	sp_map_remove(&b->fits, &f->node);
	explicit_bzero(f, sizeof(*f));
	free(f);
}

void login_book_clear(struct login_book *b)
{
	struct sp_link *l;
	while ((l = sp_list_first(&b->quiet)) != NULL)
		drop_client(b, sp_container_of(l, struct login_client, link));
	while ((l = sp_list_first(&b->fit_order)) != NULL)
		drop_fit(b, sp_container_of(l, struct login_fit, link));
	sp_assert(b->clients.count == 0);       /* nothing pending */
	sp_map_clear(&b->clients);
	sp_map_clear(&b->fits);
	explicit_bzero(b->key, sizeof(b->key));
}

/* ---- addresses ---- */

/* Port apart; of IPv6 the first 64 bits, as "2001:db8::"; a mapped IPv4 address as itself. */
static void client_text(const struct sp_addr *addr, char text[SP_ADDR_TEXT])
{
	struct sp_addr net = *addr;
	bool six = sp_addr_family(addr) == AF_INET6;
	if (six && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
		sp_addr_from_ipv4(&addr->in6.sin6_addr.s6_addr[12], 0, &net);
	else if (six)
		memset(&net.in6.sin6_addr.s6_addr[8], 0, 8);
	sp_addr_ip_str(&net, text);
}

struct login_client *login_book_enter(struct login_book *b, const struct sp_addr *addr, uint64_t now_ms)
{
	char text[SP_ADDR_TEXT];
	client_text(addr, text);
	struct sp_map_node *n = sp_map_find(&b->clients, sp_str_of(text));
	struct login_client *c = n ? sp_container_of(n, struct login_client, node) : NULL;
	if (c == NULL) {
		c = sp_alloc(sizeof(*c));
		memcpy(c->address, text, sizeof(text));
		sp_map_insert(&b->clients, &c->node, sp_str_of(c->address));
	}
	if (c->failures > 0 && now_ms - c->failed_ms >= LOGIN_FORGET_MS)
		c->failures = 0;
	sp_list_remove(&c->link);
	c->pending++;
	return c;
}

void login_book_leave(struct login_book *b, struct login_client *c)
{
	sp_assert(c->pending > 0);
	if (--c->pending > 0)
		return;
	sp_list_push_back(&b->quiet, &c->link);
	if (c->failures == 0)
		drop_client(b, c);
	if (b->clients.count > LOGIN_ADDRESSES && !sp_list_empty(&b->quiet))
		drop_client(b, sp_container_of(sp_list_first(&b->quiet), struct login_client, link));
}

uint64_t login_book_failed(struct login_client *c, uint64_t now_ms)
{
	uint64_t delay = LOGIN_DELAY_MS;
	for (unsigned i = 0; i < c->failures && delay < LOGIN_DELAY_MAX_MS; i++)
		delay *= 2;
	if (delay > LOGIN_DELAY_MAX_MS)
		delay = LOGIN_DELAY_MAX_MS;
	c->failures++;
	c->failed_ms = now_ms;
	c->until_ms = now_ms + delay;
	return delay;
}

/* ---- what fitted ---- */

static void add_field(struct core_sha256 *h, struct sp_str s)
{
	uint64_t len = s.len;                   /* before it: no two rows of fields give the same octets */
	core_sha256_add(h, sp_str_make((const char *)&len, sizeof(len)));
	core_sha256_add(h, s);
}

struct login_mark login_book_mark(const struct login_book *b, const char *name, struct sp_str password, const char *hash)
{
	struct login_mark mark;
	struct core_sha256 *h = core_sha256_new();
	core_sha256_add(h, sp_str_make((const char *)b->key, sizeof(b->key)));
	add_field(h, sp_str_of(name));
	add_field(h, password);
	add_field(h, sp_str_of(hash));
	core_sha256_finish(h, mark.octets);
	return mark;
}

static struct login_fit *find_fit(const struct login_book *b, const struct login_mark *mark)
{
	struct sp_map_node *n = sp_map_find(&b->fits, sp_str_make((const char *)mark->octets, sizeof(mark->octets)));
	return n ? sp_container_of(n, struct login_fit, node) : NULL;
}

void login_book_remember(struct login_book *b, const struct login_mark *mark, uint64_t now_ms)
{
	struct login_fit *f = find_fit(b, mark);
	if (f)
		drop_fit(b, f);
	f = sp_alloc(sizeof(*f));
	f->mark = *mark;
	f->until_ms = now_ms + LOGIN_REMEMBER_MS;
	sp_map_insert(&b->fits, &f->node, sp_str_make((const char *)f->mark.octets, sizeof(f->mark.octets)));
	sp_list_push_back(&b->fit_order, &f->link);
	if (b->fits.count > LOGIN_REMEMBERED)
		drop_fit(b, sp_container_of(sp_list_first(&b->fit_order), struct login_fit, link));
}

bool login_book_knows(struct login_book *b, const struct login_mark *mark, uint64_t now_ms)
{
	for (struct sp_link *l; (l = sp_list_first(&b->fit_order)) != NULL;) {
		struct login_fit *oldest = sp_container_of(l, struct login_fit, link);
		if (now_ms < oldest->until_ms)
			break;
		drop_fit(b, oldest);
	}
	return find_fit(b, mark) != NULL;
}

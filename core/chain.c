/* core/chain.c - see chain.h. */
#include "core/chain.h"

#include <stdlib.h>

#define JOIN_MAX 4096           /* copying this costs less than one more piece */
#define JOINED_MAX 16384        /* about one TLS record */

struct core_piece {
	struct core_piece *next;
	struct sp_str rest;             /* what has not been taken yet; in `own`, or lent */
	struct sp_buf own;              /* empty in a lent piece */
	void (*release)(void *arg);     /* NULL in an owned piece */
	void *arg;
};

static struct core_piece *append(struct core_chain *c)
{
	struct core_piece *p = sp_alloc(sizeof(*p));
	if (c->last)
		c->last->next = p;
	else
		c->first = p;
	c->last = p;
	return p;
}

static bool joins(const struct core_chain *c, size_t len)
{
	const struct core_piece *p = c->last;
	return p && p->release == NULL && len <= JOIN_MAX && p->own.len + len <= JOINED_MAX;
}

/* Adds to the last piece, which may move in memory. */
static void join(struct core_chain *c, struct sp_str bytes)
{
	struct core_piece *p = c->last;
	size_t taken = p->own.len - p->rest.len;
	p->own.max = JOINED_MAX;
	sp_buf_add(&p->own, bytes);
	p->rest = sp_str_from(sp_buf_str(&p->own), taken);
	c->len += bytes.len;
}

void core_chain_add(struct core_chain *c, struct sp_buf *data)
{
	if (data->len > 0 && joins(c, data->len)) {
		join(c, sp_buf_str(data));
	} else if (data->len > 0) {
		struct core_piece *p = append(c);
		p->own = *data;
		p->rest = sp_buf_str(data);
		c->len += data->len;
		sp_buf_init(data, data->max);
		return;
	}
	sp_buf_clear(data);
}

void core_chain_add_copy(struct core_chain *c, struct sp_str bytes)
{
	if (bytes.len == 0)
		return;
	if (joins(c, bytes.len)) {
		join(c, bytes);
		return;
	}
	struct sp_buf copy;
	sp_buf_init(&copy, bytes.len);
	sp_buf_add(&copy, bytes);
	core_chain_add(c, &copy);
}

void core_chain_add_lent(struct core_chain *c, struct sp_str bytes, void (*release)(void *arg), void *arg)
{
	struct core_piece *p = append(c);               /* also when empty: it is released in its turn */
	p->rest = bytes;
	p->release = release;
	p->arg = arg;
	c->len += bytes.len;
}

static void drop_first(struct core_chain *c)
{
	struct core_piece *p = c->first;
	c->first = p->next;
	if (c->first == NULL)
		c->last = NULL;
	c->len -= p->rest.len;
	sp_buf_clear(&p->own);
	if (p->release)
		p->release(p->arg);
	free(p);
}

void core_chain_clear(struct core_chain *c)
{
	while (c->first)
		drop_first(c);
}

void core_chain_consume(struct core_chain *c, size_t len)
{
	sp_assert(len <= c->len);
	while (c->first && len >= c->first->rest.len) {
		len -= c->first->rest.len;
		drop_first(c);
	}
	if (len > 0) {
		c->first->rest = sp_str_from(c->first->rest, len);
		c->len -= len;
	}
}

struct sp_str core_chain_first(const struct core_chain *c)
{
	return c->first ? c->first->rest : sp_str_make(NULL, 0);
}

size_t core_chain_copy(const struct core_chain *c, char *to, size_t room)
{
	size_t done = 0;
	for (const struct core_piece *p = c->first; p && done < room; p = p->next) {
		size_t len = sp_min(p->rest.len, room - done);
		if (len > 0)
			memcpy(to + done, p->rest.p, len);
		done += len;
	}
	return done;
}

unsigned core_chain_vec(const struct core_chain *c, struct iovec *vec, unsigned max)
{
	unsigned count = 0;
	for (const struct core_piece *p = c->first; p && count < max; p = p->next)
		vec[count++] = (struct iovec){ .iov_base = (char *)p->rest.p, .iov_len = p->rest.len };
	return count;
}

void core_chain_move(struct core_chain *c, unsigned count, struct core_chain *to)
{
	for (; count > 0 && c->first; count--) {
		struct core_piece *p = c->first;
		c->first = p->next;
		if (c->first == NULL)
			c->last = NULL;
		c->len -= p->rest.len;
		p->next = NULL;
		if (to->last)
			to->last->next = p;
		else
			to->first = p;
		to->last = p;
		to->len += p->rest.len;
	}
}

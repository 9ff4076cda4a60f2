/* relay/recall.c - shard_recall() of relay/shard.h: one list of messages, which all shards look through, each in its turn. */
#include "relay/destination.h"

#include <stdlib.h>

struct recall {
	struct core_mail mail;
	struct relay *relay;
	unsigned next;                          /* the shard whose turn it is */
	void (*done)(void *owner);
	void *owner;
	size_t count;
	uint64_t ids[];                         /* in order */
};

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static void on_over(struct core_mail *mail)
{
	struct recall *c = sp_container_of(mail, struct recall, mail);
	c->done(c->owner);
	free(c);
}

static void on_shard(struct core_mail *mail);

static void pass_on(struct recall *c)
{
	bool over = c->count == 0 || c->next == c->relay->shard_count;
	c->mail.run = over ? on_over : on_shard;
	core_mailbox_post(over ? c->relay->main_mailbox : c->relay->shards[c->next]->mailbox, &c->mail);
}

static void on_shard(struct core_mail *mail)
{
	struct recall *c = sp_container_of(mail, struct recall, mail);
	destination_recall_all(c->relay->shards[c->next++], c->ids, c->count);
	pass_on(c);
}

void shard_recall(struct relay *r, const uint64_t *ids, size_t count, void (*done)(void *owner), void *owner)
{
	struct recall *c = sp_alloc(sizeof(*c) + count * sizeof(*ids));
	c->relay = r;
	c->done = done;
	c->owner = owner;
	c->count = count;
	for (size_t i = 0; i < count; i++)
		c->ids[i] = ids[i];
	if (count > 1)
		qsort(c->ids, count, sizeof(*ids), by_number);
	pass_on(c);
}

/* queue/message.c - messages, and what a shard has of one for one destination. See spool.h. */
#include "queue/spool.h"

#include <stdatomic.h>
#include <stdlib.h>

struct shared {
	struct queue_message m;
	atomic_uint refs;
	char strings[];         /* sender, client, envid */
};

static size_t size_of(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

/* NULL stays NULL. */
static char *put(char **at, const char *s)
{
	size_t size = size_of(s);
	char *copy = s ? memcpy(*at, s, size) : NULL;
	*at += size;
	return copy;
}

struct queue_message *queue_message_new(const struct queue_message *fields)
{
	const char *sender = fields->sender ? fields->sender : "";
	const char *client = fields->client ? fields->client : "";
	const char *envid = fields->wish.envid ? fields->wish.envid : "";
	struct shared *s = sp_alloc(sizeof(*s) + strlen(sender) + strlen(client) + strlen(envid) + 3);
	char *at = s->strings;
	s->m = *fields;
	s->m.sender = put(&at, sender);
	s->m.client = put(&at, client);
	s->m.wish.envid = put(&at, envid);
	queue_id_str(s->m.id, s->m.name);
	atomic_init(&s->refs, 1);
	return &s->m;
}

struct queue_message *queue_message_ref(struct queue_message *m)
{
	struct shared *s = sp_container_of(m, struct shared, m);
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return m;
}

void queue_message_unref(struct queue_message *m)
{
	if (m == NULL)
		return;
	struct shared *s = sp_container_of(m, struct shared, m);
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	sp_body_unref(m->body);
	free(s);
}

/* One piece of memory: the job, its recipients, their strings. */
struct queue_job *queue_job_new(struct queue_message *m, const struct queue_recipient *recipients, size_t count)
{
	size_t size = sizeof(struct queue_job) + count * sizeof(*recipients);
	for (size_t i = 0; i < count; i++)
		size += size_of(recipients[i].address) + size_of(recipients[i].destination) + size_of(recipients[i].failure) +
		        size_of(recipients[i].wish.orcpt) + size_of(recipients[i].returned);
	struct queue_job *j = sp_alloc(size);
	j->message = queue_message_ref(m);
	j->recipients = (struct queue_recipient *)(void *)(j + 1);
	j->count = count;
	char *at = (char *)(j->recipients + count);
	for (size_t i = 0; i < count; i++) {
		j->recipients[i] = recipients[i];
		j->recipients[i].address = put(&at, recipients[i].address);
		j->recipients[i].destination = put(&at, recipients[i].destination);
		j->recipients[i].failure = put(&at, recipients[i].failure);
		j->recipients[i].wish.orcpt = put(&at, recipients[i].wish.orcpt);
		j->recipients[i].returned = put(&at, recipients[i].returned);
	}
	return j;
}

void queue_job_free(struct queue_job *j)
{
	if (j == NULL)
		return;
	queue_message_unref(j->message);
	free(j);
}

static int priority_of(const struct sp_link *l)
{
	return sp_container_of(l, struct queue_job, link)->message->wish.priority;
}

void queue_job_insert(struct sp_link *list, struct queue_job *j)
{
	struct sp_link *at = list;              /* goes before this one; plain mail behind plain mail looks at one */
	while (at->prev != list && priority_of(at->prev) < j->message->wish.priority)
		at = at->prev;
	sp_list_insert_before(at, &j->link);
}

/* queue/message.c - messages, and what a shard has of one for one destination. See spool.h. */
#include "queue/spool.h"

#include <stdatomic.h>
#include <stdlib.h>

struct shared {
	struct queue_message m;
	atomic_uint refs;
	char strings[];         /* sender, client */
};

static char *put(char **at, const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = memcpy(*at, s, size);
	*at += size;
	return copy;
}

struct queue_message *queue_message_new(const struct queue_message *fields)
{
	const char *sender = fields->sender ? fields->sender : "";
	const char *client = fields->client ? fields->client : "";
	struct shared *s = sp_alloc(sizeof(*s) + strlen(sender) + strlen(client) + 2);
	char *at = s->strings;
	s->m = *fields;
	s->m.sender = put(&at, sender);
	s->m.client = put(&at, client);
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
		size += strlen(recipients[i].address) + strlen(recipients[i].destination) + 2 +
		        (recipients[i].failure ? strlen(recipients[i].failure) + 1 : 0);
	struct queue_job *j = sp_alloc(size);
	j->message = queue_message_ref(m);
	j->recipients = (struct queue_recipient *)(void *)(j + 1);
	j->count = count;
	char *at = (char *)(j->recipients + count);
	for (size_t i = 0; i < count; i++) {
		j->recipients[i] = recipients[i];
		j->recipients[i].address = put(&at, recipients[i].address);
		j->recipients[i].destination = put(&at, recipients[i].destination);
		if (recipients[i].failure)
			j->recipients[i].failure = put(&at, recipients[i].failure);
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

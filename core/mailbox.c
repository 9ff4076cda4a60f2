/* core/mailbox.c - see mailbox.h.
 * A mailbox is a stack that senders push onto without a lock; the receiver takes all of it at once and turns it round.
 * Only the sender who finds it empty wakes the loop, so a burst costs one wake-up. */
#include "core/mailbox.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

struct core_mailbox {
	uv_async_t wake;
	_Atomic(struct core_mail *) newest;     /* a stack by `next`: the newest first */
	atomic_uint posting;                    /* senders inside core_mailbox_post() */
	struct core_mail *batch;                /* taken, not run yet, oldest first; the receiver's */
	bool closing;
};

static struct core_mail *reversed(struct core_mail *m)
{
	struct core_mail *r = NULL;
	while (m) {
		struct core_mail *next = m->next;
		m->next = r;
		r = m;
		m = next;
	}
	return r;
}

/* Next in order; NULL when there is none now. */
static struct core_mail *next_mail(struct core_mailbox *mb)
{
	if (mb->batch == NULL)
		mb->batch = reversed(atomic_exchange_explicit(&mb->newest, NULL, memory_order_acquire));
	struct core_mail *m = mb->batch;
	if (m) {
		mb->batch = m->next;
		m->next = NULL;
	}
	return m;
}

/* What was there when the wake-up came; what is posted meanwhile has its own wake-up, so senders cannot hold the loop. */
static void on_wake(uv_async_t *h)
{
	struct core_mailbox *mb = h->data;
	struct core_mail *m = next_mail(mb);
	while (m) {
		bool last = mb->batch == NULL;
		m->run(m);                              /* may close the mailbox, which then has run the rest */
		m = last || mb->closing ? NULL : next_mail(mb);
	}
}

struct core_mailbox *core_mailbox_open(struct core_loop *l)
{
	struct core_mailbox *mb = sp_alloc(sizeof(*mb));
	int err = uv_async_init(core_loop_uv(l), &mb->wake, on_wake);
	sp_assert(err == 0);
	mb->wake.data = mb;
	return mb;
}

void core_mailbox_post(struct core_mailbox *mb, struct core_mail *m)
{
	atomic_fetch_add_explicit(&mb->posting, 1, memory_order_relaxed);
	struct core_mail *top = atomic_load_explicit(&mb->newest, memory_order_relaxed);
	do
		m->next = top;
	while (!atomic_compare_exchange_weak_explicit(&mb->newest, &top, m, memory_order_release, memory_order_relaxed));
	if (top == NULL)
		uv_async_send(&mb->wake);
	/* The last touch. A receiver that was told by this very mail that all is done may be waiting to close. */
	atomic_fetch_sub_explicit(&mb->posting, 1, memory_order_release);
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

void core_mailbox_close(struct core_mailbox *mb)
{
	if (mb == NULL || mb->closing)
		return;
	mb->closing = true;
	while (atomic_load_explicit(&mb->posting, memory_order_acquire) > 0)
		sched_yield();
	for (struct core_mail *m; (m = next_mail(mb)) != NULL;)
		m->run(m);
	uv_close((uv_handle_t *)&mb->wake, on_closed);
}

struct core_queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct core_mail *first, **last;
	bool ended;
};

struct core_queue *core_queue_new(void)
{
	struct core_queue *q = sp_alloc(sizeof(*q));
	pthread_condattr_t attr;
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->filled, &attr);
	pthread_condattr_destroy(&attr);
	q->last = &q->first;
	return q;
}

void core_queue_put(struct core_queue *q, struct core_mail *m)
{
	m->next = NULL;
	pthread_mutex_lock(&q->lock);
	bool wake = q->first == NULL;
	*q->last = m;
	q->last = &m->next;
	/* Signalled under the lock: the taker may free the queue once it has what it waited for. */
	if (wake)
		pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

static struct core_mail *take_all(struct core_queue *q)
{
	struct core_mail *all = q->first;
	q->first = NULL;
	q->last = &q->first;
	return all;
}

struct core_mail *core_queue_take(struct core_queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->first == NULL && !q->ended)
		pthread_cond_wait(&q->filled, &q->lock);
	struct core_mail *all = take_all(q);
	pthread_mutex_unlock(&q->lock);
	return all;
}

struct core_mail *core_queue_take_for(struct core_queue *q, uint64_t wait_us)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	uint64_t ns = (uint64_t)until.tv_nsec + wait_us * 1000;
	until.tv_sec += (time_t)(ns / 1000000000);
	until.tv_nsec = (long)(ns % 1000000000);
	pthread_mutex_lock(&q->lock);
	int timed_out = 0;
	while (q->first == NULL && !q->ended && !timed_out)
		timed_out = pthread_cond_timedwait(&q->filled, &q->lock, &until);
	struct core_mail *all = take_all(q);
	pthread_mutex_unlock(&q->lock);
	return all;
}

void core_queue_end(struct core_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->ended = true;
	pthread_cond_broadcast(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

void core_queue_free(struct core_queue *q)
{
	if (q == NULL)
		return;
	sp_assert(q->first == NULL);
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

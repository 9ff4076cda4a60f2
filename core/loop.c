/* core/loop.c - see loop.h.
 * One turn of libuv is: timers, idle, prepare, poll, check, close callbacks. Deferred calls run in idle; tasks run in prepare
 * (what timers and deferred calls asked for) and in check (what the poll asked for), so nothing waits through a poll. While
 * either list holds something the idle handle is active, which keeps the loop alive and the poll from blocking. */
#include "core/loop.h"

#include "core/buf.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define SEALED_MAX (1 << 20)    /* octets of TLS records that one step may write; a step seals 64 KiB at most */
#define FREE_TURNS 1000         /* more than any orderly shutdown needs */

struct later {
	struct later *next;
	void (*fn)(void *arg);
	void *arg;
};

struct core_loop {
	uv_loop_t uv;
	uv_idle_t idle;
	uv_prepare_t prepare;
	uv_check_t check;
	struct sp_link tasks;           /* of struct core_task.link */
	struct later *later_first, **later_last;
	struct sp_buf sealed;
	char read_buffer[CORE_READ_SIZE];
	char plain_buffer[CORE_READ_SIZE];
};

static bool nothing_due(const struct core_loop *l)
{
	return sp_list_empty(&l->tasks) && l->later_first == NULL;
}

/* Only what was queued when it began: what a call queues runs after the next poll, so sockets are not starved. */
static void on_idle(uv_idle_t *h)
{
	struct core_loop *l = h->data;
	struct later *due = l->later_first;
	l->later_first = NULL;
	l->later_last = &l->later_first;
	while (due) {
		struct later *d = due;
		due = d->next;
		d->fn(d->arg);
		free(d);
	}
}

static void run_tasks(struct core_loop *l)
{
	struct sp_link due;
	sp_list_init(&due);
	if (!sp_list_empty(&l->tasks)) {
		sp_list_insert_before(&l->tasks, &due);         /* the new head takes the whole ring ... */
		sp_list_remove(&l->tasks);
		sp_list_init(&l->tasks);                        /* ... and the old one is empty */
	}
	for (struct sp_link *at; (at = sp_list_pop(&due)) != NULL;) {
		struct core_task *t = sp_container_of(at, struct core_task, link);
		t->run(t);                                      /* may free t, and cancel others in `due` */
	}
	if (nothing_due(l))
		uv_idle_stop(&l->idle);
}

static void on_prepare(uv_prepare_t *h) { run_tasks(h->data); }
static void on_check(uv_check_t *h) { run_tasks(h->data); }

struct core_loop *core_loop_new(void)
{
	/* libuv writes with write(2) and writev(2), which have no MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);

	struct core_loop *l = sp_alloc(sizeof(*l));
	int err = uv_loop_init(&l->uv);
	if (err < 0) {
		fprintf(stderr, "strictpost: no event loop: %s\n", uv_strerror(err));
		abort();
	}
	sp_list_init(&l->tasks);
	l->later_last = &l->later_first;
	sp_buf_init(&l->sealed, SEALED_MAX);
	uv_idle_init(&l->uv, &l->idle);
	uv_prepare_init(&l->uv, &l->prepare);
	uv_check_init(&l->uv, &l->check);
	l->idle.data = l->prepare.data = l->check.data = l;
	uv_prepare_start(&l->prepare, on_prepare);
	uv_check_start(&l->check, on_check);
	uv_unref((uv_handle_t *)&l->prepare);
	uv_unref((uv_handle_t *)&l->check);
	return l;
}

void core_loop_run(struct core_loop *l)
{
	uv_run(&l->uv, UV_RUN_DEFAULT);
}

void core_loop_stop(struct core_loop *l)
{
	uv_stop(&l->uv);
}

bool core_loop_turn(struct core_loop *l)
{
	return uv_run(&l->uv, UV_RUN_NOWAIT) != 0;
}

void core_loop_free(struct core_loop *l)
{
	if (l == NULL)
		return;
	for (int i = 0; i < FREE_TURNS && core_loop_turn(l); i++)
		;
	uv_close((uv_handle_t *)&l->idle, NULL);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->check, NULL);
	uv_run(&l->uv, UV_RUN_NOWAIT);
	int err = uv_loop_close(&l->uv);
	if (err != 0)
		uv_print_all_handles(&l->uv, stderr);           /* what was forgotten */
	sp_assert(err == 0);
	sp_buf_clear(&l->sealed);
	free(l);
}

struct uv_loop_s *core_loop_uv(struct core_loop *l) { return &l->uv; }
char *core_loop_read_buffer(struct core_loop *l) { return l->read_buffer; }
char *core_loop_plain_buffer(struct core_loop *l) { return l->plain_buffer; }
struct sp_buf *core_loop_sealed(struct core_loop *l) { return &l->sealed; }

void core_loop_soon(struct core_loop *l, struct core_task *t)
{
	if (sp_link_used(&t->link))
		return;
	if (nothing_due(l))
		uv_idle_start(&l->idle, on_idle);
	sp_list_push_back(&l->tasks, &t->link);
}

void core_task_cancel(struct core_task *t)
{
	sp_list_remove(&t->link);
}

void core_loop_later(struct core_loop *l, void (*fn)(void *arg), void *arg)
{
	struct later *d = sp_alloc(sizeof(*d));
	d->fn = fn;
	d->arg = arg;
	if (nothing_due(l))
		uv_idle_start(&l->idle, on_idle);
	*l->later_last = d;
	l->later_last = &d->next;
}

/* Timers and signals: one libuv handle each, freed by its close callback. */

static void on_closed_free(uv_handle_t *h)
{
	free(h->data);
}

struct core_timer {
	uv_timer_t handle;
	void (*fire)(void *owner);
	void *owner;
};

static void on_timer(uv_timer_t *h)
{
	struct core_timer *t = h->data;
	t->fire(t->owner);
}

struct core_timer *core_timer_new(struct core_loop *l, void (*fire)(void *owner), void *owner)
{
	struct core_timer *t = sp_alloc(sizeof(*t));
	t->fire = fire;
	t->owner = owner;
	uv_timer_init(&l->uv, &t->handle);
	t->handle.data = t;
	return t;
}

void core_timer_start(struct core_timer *t, uint64_t after_ms)
{
	uv_timer_start(&t->handle, on_timer, after_ms, 0);
}

void core_timer_stop(struct core_timer *t)
{
	uv_timer_stop(&t->handle);
}

bool core_timer_running(const struct core_timer *t)
{
	return uv_is_active((const uv_handle_t *)&t->handle) != 0;
}

void core_timer_close(struct core_timer *t)
{
	if (t)
		uv_close((uv_handle_t *)&t->handle, on_closed_free);
}

struct core_signal {
	uv_signal_t handle;
	void (*fire)(void *owner, int signo);
	void *owner;
};

static void on_signal(uv_signal_t *h, int signo)
{
	struct core_signal *s = h->data;
	s->fire(s->owner, signo);
}

struct core_signal *core_signal_open(struct core_loop *l, int signo, void (*fire)(void *owner, int signo), void *owner)
{
	struct core_signal *s = sp_alloc(sizeof(*s));
	s->fire = fire;
	s->owner = owner;
	uv_signal_init(&l->uv, &s->handle);
	s->handle.data = s;
	int err = uv_signal_start(&s->handle, on_signal, signo);
	sp_assert(err == 0);                                    /* fails for numbers that are no signals */
	return s;
}

void core_signal_close(struct core_signal *s)
{
	if (s)
		uv_close((uv_handle_t *)&s->handle, on_closed_free);
}

struct core_thread {
	pthread_t id;
	char name[16];
	void (*run)(void *arg);
	void *arg;
};

static void *thread_main(void *arg)
{
	struct core_thread *t = arg;
	pthread_setname_np(pthread_self(), t->name);
	t->run(t->arg);
	return NULL;
}

struct core_thread *core_thread_start(const char *name, void (*run)(void *arg), void *arg)
{
	struct core_thread *t = sp_alloc(sizeof(*t));
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->run = run;
	t->arg = arg;

	/* Blocked before it exists, so that no signal finds it first: the main loop is who hears them. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0) {
		fprintf(stderr, "strictpost: no thread for %s: %s\n", name, strerror(err));
		abort();
	}
	return t;
}

void core_thread_join(struct core_thread *t)
{
	if (t == NULL)
		return;
	int err = pthread_join(t->id, NULL);
	sp_assert(err == 0);
	free(t);
}

unsigned core_cpu_count(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) < 1)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

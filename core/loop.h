/* core/loop.h - an event loop, and what runs on it without a connection: timers, signals, threads, deferred calls.
 * Hides libuv. Everything here is called on the loop's own thread unless it says otherwise. */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include "core/list.h"

struct sp_buf;
struct core_loop;               /* opaque: a uv_loop_t and the buffers that all of its users share */

struct core_loop *core_loop_new(void);          /* SIGPIPE is ignored from then on, in the whole process */
void core_loop_run(struct core_loop *l);        /* until nothing on it can happen any more, or core_loop_stop() */
void core_loop_stop(struct core_loop *l);
bool core_loop_turn(struct core_loop *l);       /* one turn, without waiting; true while something can happen (tests) */
/* Runs what is left (close callbacks) and frees it. Asserts that uv_loop_close() == 0: nothing leaked or forgotten. It waits
 * for nothing: where connections were left to core_conn_finish(), core_loop_run() comes first. */
void core_loop_free(struct core_loop *l);

/* The libuv loop, for core/ only. */
struct uv_loop_s *core_loop_uv(struct core_loop *l);
/* The loop's one read buffer (CORE_READ_SIZE octets), for core/ only: its bytes last until the callback returns. */
#define CORE_READ_SIZE 65536
char *core_loop_read_buffer(struct core_loop *l);
/* As large, for plaintext; and where TLS engines write their records: emptied by whoever filled it. For core/ only. */
char *core_loop_plain_buffer(struct core_loop *l);
struct sp_buf *core_loop_sealed(struct core_loop *l);

/* Work to be done in this turn, after the callback that asks for it and before the loop waits: once, however often it was
 * asked for. Embedded in its object, zeroed at first. For core/ only. */
struct core_task {
	struct sp_link link;            /* in core_loop.tasks */
	void (*run)(struct core_task *t);
};
void core_loop_soon(struct core_loop *l, struct core_task *t);
void core_task_cancel(struct core_task *t);     /* fine when it is not queued */

/* Timers. One-shot; start again from the callback to repeat. */
struct core_timer;
struct core_timer *core_timer_new(struct core_loop *l, void (*fire)(void *owner), void *owner);
void core_timer_start(struct core_timer *t, uint64_t after_ms);  /* anew if it runs */
void core_timer_stop(struct core_timer *t);                      /* after this it does not fire */
bool core_timer_running(const struct core_timer *t);
void core_timer_close(struct core_timer *t);                     /* NULL is fine; the owner may go at once */

/* Calls `fn(arg)` once, after the present callback has returned. Cannot be taken back. */
void core_loop_later(struct core_loop *l, void (*fn)(void *arg), void *arg);

/* Signals, on the main loop. */
struct core_signal;
struct core_signal *core_signal_open(struct core_loop *l, int signo, void (*fire)(void *owner, int signo), void *owner);
void core_signal_close(struct core_signal *s);

/* A thread, named for ps and gdb (15 characters at most). All signals are blocked in it. */
struct core_thread;
struct core_thread *core_thread_start(const char *name, void (*run)(void *arg), void *arg);
void core_thread_join(struct core_thread *t);                    /* waits, frees */

unsigned core_cpu_count(void);                                   /* that this process may run on, at least 1 */

#endif

/* tests/unit/core_loop_test.c - core/loop.c. Every test ends with core_loop_free(), which finds what was left open. */
#include "core/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What happened, in order, one letter each. */
static char story[64];

static void tell(char c)
{
	size_t len = strlen(story);
	story[len] = c;
	story[len + 1] = '\0';
}

static struct core_loop *begin(void)
{
	story[0] = '\0';
	return core_loop_new();
}

static char A[] = "a", B[] = "b";
static void fire(void *owner) { tell(*(const char *)owner); }

static void test_timers_fire_in_order_of_time(void **state)
{
	(void)state;
	struct core_loop *l = begin();
	struct core_timer *a = core_timer_new(l, fire, A), *b = core_timer_new(l, fire, B);
	core_timer_start(a, 20);
	core_timer_start(b, 1);
	core_loop_run(l);
	assert_string_equal(story, "ba");
	assert_false(core_timer_running(a));
	core_timer_close(a);
	core_timer_close(b);
	core_timer_close(NULL);
	core_loop_free(l);
}

static void test_stopped_timer_is_silent(void **state)
{
	(void)state;
	struct core_loop *l = begin();
	struct core_timer *a = core_timer_new(l, fire, A), *b = core_timer_new(l, fire, B);
	core_timer_start(a, 1);
	core_timer_start(b, 1);
	core_timer_stop(a);
	core_timer_close(b);                    /* closed while it runs: silent too */
	core_loop_run(l);
	assert_string_equal(story, "");
	core_timer_close(a);
	core_loop_free(l);
}

struct again {
	struct core_timer *timer;
	int left;
};

static void fire_again(void *owner)
{
	struct again *a = owner;
	tell('t');
	if (--a->left > 0)
		core_timer_start(a->timer, 1);
	else
		core_timer_close(a->timer);
}

static void test_timer_repeats_and_closes_from_its_callback(void **state)
{
	(void)state;
	struct core_loop *l = begin();
	struct again a = { .left = 3 };
	a.timer = core_timer_new(l, fire_again, &a);
	core_timer_start(a.timer, 1);
	core_loop_run(l);
	assert_string_equal(story, "ttt");
	core_loop_free(l);
}

static struct core_loop *the_loop;

static void say_b(void *arg) { (void)arg, tell('b'); }
static void say_a(void *arg)
{
	(void)arg;
	tell('a');
	core_loop_later(the_loop, say_b, NULL);
	tell('.');
}

static void test_later_runs_after_the_present_callback(void **state)
{
	(void)state;
	the_loop = begin();
	core_loop_later(the_loop, say_a, NULL);
	assert_string_equal(story, "");
	assert_true(core_loop_turn(the_loop));
	assert_string_equal(story, "a.");
	core_loop_run(the_loop);
	assert_string_equal(story, "a.b");
	core_loop_free(the_loop);
}

static void test_free_runs_what_was_put_off(void **state)
{
	(void)state;
	the_loop = begin();
	core_loop_later(the_loop, say_a, NULL);
	core_loop_free(the_loop);
	assert_string_equal(story, "a.b");
}

struct job {
	struct core_task task;
	char name;
	struct job *cancels, *asks;
};

static void do_job(struct core_task *t)
{
	struct job *j = sp_container_of(t, struct job, task);
	tell(j->name);
	if (j->cancels)
		core_task_cancel(&j->cancels->task);
	if (j->asks)
		core_loop_soon(the_loop, &j->asks->task);
	j->asks = NULL;
}

static void test_task_runs_once_however_often_asked(void **state)
{
	(void)state;
	the_loop = begin();
	struct job a = { .task.run = do_job, .name = 'a' }, b = { .task.run = do_job, .name = 'b' };
	core_loop_soon(the_loop, &a.task);
	core_loop_soon(the_loop, &b.task);
	core_loop_soon(the_loop, &a.task);
	core_loop_run(the_loop);
	assert_string_equal(story, "ab");
	core_loop_free(the_loop);
}

static void test_task_cancels_another_and_asks_again(void **state)
{
	(void)state;
	the_loop = begin();
	struct job a = { .task.run = do_job, .name = 'a' }, b = { .task.run = do_job, .name = 'b' };
	a.cancels = &b;
	a.asks = &a;
	core_loop_soon(the_loop, &a.task);
	core_loop_soon(the_loop, &b.task);
	core_loop_run(the_loop);
	assert_string_equal(story, "aa");
	core_task_cancel(&b.task);              /* not queued: nothing happens */
	core_loop_free(the_loop);
}

static void task_from_timer(void *owner)
{
	tell('t');
	core_loop_soon(the_loop, owner);
}

static void test_task_of_a_timer_runs_in_the_same_turn(void **state)
{
	(void)state;
	the_loop = begin();
	struct job a = { .task.run = do_job, .name = 'a' };
	struct core_timer *t = core_timer_new(the_loop, task_from_timer, &a.task);
	core_timer_start(t, 0);
	core_loop_turn(the_loop);
	assert_string_equal(story, "ta");
	core_timer_close(t);
	core_loop_free(the_loop);
}

static struct core_signal *the_signal;

static void on_signal(void *owner, int signo)
{
	assert_ptr_equal(owner, story);
	assert_int_equal(signo, SIGUSR1);
	tell('s');
	core_signal_close(the_signal);
}

static void test_signal_reaches_the_loop_once(void **state)
{
	(void)state;
	struct core_loop *l = begin();
	the_signal = core_signal_open(l, SIGUSR1, on_signal, story);
	kill(getpid(), SIGUSR1);
	core_loop_run(l);
	assert_string_equal(story, "s");
	core_loop_free(l);
}

static void test_writing_to_a_closed_pipe_does_not_kill(void **state)
{
	(void)state;
	struct core_loop *l = begin();
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(write(ends[1], "x", 1), -1);
	close(ends[1]);
	core_loop_free(l);
}

static void stop(void *owner)
{
	core_loop_stop(owner);
	core_loop_later(owner, say_b, NULL);
}

static void test_stop_leaves_the_rest_for_later(void **state)
{
	(void)state;
	struct core_loop *l = begin();
	struct core_timer *t = core_timer_new(l, fire, A);
	core_timer_start(t, 60000);
	core_loop_later(l, stop, l);
	core_loop_run(l);                       /* returns although the timer runs */
	core_timer_close(t);
	core_loop_free(l);
	assert_string_equal(story, "b");
}

static void on_thread(void *arg)
{
	sigset_t blocked;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	atomic_store((atomic_int *)arg, sigismember(&blocked, SIGTERM) ? 1 : 2);
}

static void test_thread_runs_with_signals_blocked(void **state)
{
	(void)state;
	atomic_int done = 0;
	struct core_thread *t = core_thread_start("a name that is too long", on_thread, &done);
	core_thread_join(t);
	core_thread_join(NULL);
	assert_int_equal(atomic_load(&done), 1);
	assert_true(core_cpu_count() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers_fire_in_order_of_time),
		cmocka_unit_test(test_stopped_timer_is_silent),
		cmocka_unit_test(test_timer_repeats_and_closes_from_its_callback),
		cmocka_unit_test(test_later_runs_after_the_present_callback),
		cmocka_unit_test(test_free_runs_what_was_put_off),
		cmocka_unit_test(test_task_runs_once_however_often_asked),
		cmocka_unit_test(test_task_cancels_another_and_asks_again),
		cmocka_unit_test(test_task_of_a_timer_runs_in_the_same_turn),
		cmocka_unit_test(test_signal_reaches_the_loop_once),
		cmocka_unit_test(test_writing_to_a_closed_pipe_does_not_kill),
		cmocka_unit_test(test_stop_leaves_the_rest_for_later),
		cmocka_unit_test(test_thread_runs_with_signals_blocked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

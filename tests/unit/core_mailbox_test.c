/* tests/unit/core_mailbox_test.c - core/mailbox.c, with senders on threads of their own. */
#include "core/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SENDERS 4
#define LETTERS 20000

struct letter {
	struct core_mail mail;
	unsigned sender, number;
};

static struct core_mailbox *box;
static unsigned next_number[SENDERS];           /* touched by the receiver alone */
static unsigned seen;

static void on_letter(struct core_mail *m)
{
	struct letter *l = sp_container_of(m, struct letter, mail);
	assert_null(m->next);
	assert_int_equal(l->number, next_number[l->sender]);    /* each sender's order is kept */
	next_number[l->sender]++;
	seen++;
	free(l);
}

static struct letter *new_letter(unsigned sender, unsigned number)
{
	struct letter *l = sp_alloc(sizeof(*l));
	l->mail.run = on_letter;
	l->sender = sender;
	l->number = number;
	return l;
}

static void begin(void)
{
	memset(next_number, 0, sizeof(next_number));
	seen = 0;
}

static void send_all(void *arg)
{
	unsigned sender = *(unsigned *)arg;
	for (unsigned i = 0; i < LETTERS; i++)
		core_mailbox_post(box, &new_letter(sender, i)->mail);
}

static void close_box(struct core_mail *m)
{
	free(m);
	core_mailbox_close(box);
}

static void test_many_senders_keep_their_order(void **state)
{
	(void)state;
	begin();
	struct core_loop *l = core_loop_new();
	box = core_mailbox_open(l);
	struct core_thread *threads[SENDERS];
	unsigned ids[SENDERS];
	for (unsigned i = 0; i < SENDERS; i++) {
		ids[i] = i;
		threads[i] = core_thread_start("sender", send_all, &ids[i]);
	}
	while (seen < SENDERS * LETTERS)
		core_loop_turn(l);
	for (unsigned i = 0; i < SENDERS; i++)
		core_thread_join(threads[i]);
	core_mailbox_close(box);
	core_loop_free(l);
	assert_int_equal(seen, SENDERS * LETTERS);
}

static void send_one_and_goodbye(void *arg)
{
	(void)arg;
	core_mailbox_post(box, &new_letter(0, 0)->mail);
	struct core_mail *last = sp_alloc(sizeof(*last));
	last->run = close_box;
	core_mailbox_post(box, last);           /* the receiver closes while this is returning */
}

static void test_closed_by_the_last_letter(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		begin();
		struct core_loop *l = core_loop_new();
		box = core_mailbox_open(l);
		struct core_thread *t = core_thread_start("sender", send_one_and_goodbye, NULL);
		core_loop_run(l);
		core_loop_free(l);
		assert_int_equal(seen, 1);
		core_thread_join(t);
	}
}

static void test_close_runs_what_is_queued(void **state)
{
	(void)state;
	begin();
	struct core_loop *l = core_loop_new();
	box = core_mailbox_open(l);
	for (unsigned i = 0; i < 3; i++)
		core_mailbox_post(box, &new_letter(0, i)->mail);
	core_mailbox_close(box);
	assert_int_equal(seen, 3);
	core_mailbox_close(NULL);
	core_loop_free(l);
}

static void test_closing_letter_in_the_middle_loses_none(void **state)
{
	(void)state;
	begin();
	struct core_loop *l = core_loop_new();
	box = core_mailbox_open(l);
	core_mailbox_post(box, &new_letter(0, 0)->mail);
	struct core_mail *middle = sp_alloc(sizeof(*middle));
	middle->run = close_box;
	core_mailbox_post(box, middle);
	core_mailbox_post(box, &new_letter(0, 1)->mail);
	core_loop_run(l);
	assert_int_equal(seen, 2);
	core_loop_free(l);
}

static unsigned bounces;

static void on_bounce(struct core_mail *m)
{
	if (++bounces < 5)
		core_mailbox_post(box, m);      /* to ourselves: a later turn */
	else
		close_box(m);
}

static void test_letter_posts_itself_again(void **state)
{
	(void)state;
	bounces = 0;
	struct core_loop *l = core_loop_new();
	box = core_mailbox_open(l);
	struct core_mail *m = sp_alloc(sizeof(*m));
	m->run = on_bounce;
	core_mailbox_post(box, m);
	core_loop_turn(l);
	assert_in_range(bounces, 0, 1);         /* one a turn: it cannot hold the loop */
	core_loop_run(l);
	assert_int_equal(bounces, 5);
	core_loop_free(l);
}

static void put_all(void *arg)
{
	struct core_queue *q = arg;
	for (unsigned i = 0; i < LETTERS; i++)
		core_queue_put(q, &new_letter(0, i)->mail);
	core_queue_end(q);
}

static void test_queue_gives_all_in_order_then_ends(void **state)
{
	(void)state;
	begin();
	struct core_queue *q = core_queue_new();
	struct core_thread *t = core_thread_start("putter", put_all, q);
	for (struct core_mail *m; (m = core_queue_take(q)) != NULL;) {
		while (m) {
			struct core_mail *next = m->next;
			m->next = NULL;
			m->run(m);
			m = next;
		}
	}
	assert_int_equal(seen, LETTERS);
	assert_null(core_queue_take(q));        /* ended stays ended */
	core_thread_join(t);
	core_queue_free(q);
	core_queue_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_senders_keep_their_order),
		cmocka_unit_test(test_closed_by_the_last_letter),
		cmocka_unit_test(test_close_runs_what_is_queued),
		cmocka_unit_test(test_closing_letter_in_the_middle_loses_none),
		cmocka_unit_test(test_letter_posts_itself_again),
		cmocka_unit_test(test_queue_gives_all_in_order_then_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/queue_model_test.c - queue/spool.h and queue/steer.h in a random order, with crashes, against a model that fits on a page: no recipient is lost, none has two
 * owners, what is held stays held, what was deleted stays gone, and what was asked for while a shard had it is done when it lets go. */
#include "queue_page.h"

#define RUNS 12
#define STEPS 400
#define MESSAGES 24
#define NOW INT64_C(1000000)

/* The model: where a recipient is, and what was asked for while it is in hand. */
enum place { NONE, HAND, REST, HOLD, GONE };
struct one { uint64_t id; enum place place; bool hold, delete, take, returned; };
static struct one all[MESSAGES];

static uint32_t seed;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static struct one *find(uint64_t id)
{
	for (size_t i = 0; i < MESSAGES; i++)
		if (all[i].place != NONE && all[i].id == id)
			return &all[i];
	fail_msg("nobody knows this message");
	return NULL;
}

/* A shard lets go of it. */
static void rests(struct one *o)
{
	o->place = o->delete ? GONE : o->hold ? HOLD : REST;
	o->returned = o->take && o->place == REST;
	o->hold = o->delete = false;
}

static void jobs_come(bool overdue_ones)
{
	for (size_t i = 0; i < job_count; i++) {
		struct one *o = find(jobs[i]->message->id);
		bool returned = jobs[i]->recipients[0].returned != NULL;
		assert_int_equal(o->place, REST);               /* never two owners */
		assert_int_equal(returned, o->returned);
		assert_true(overdue_ones || !returned);
		o->place = HAND;
		o->take = returned;
		o->returned = false;
	}
}

static void check_all(void)
{
	static const enum queue_state states[] = { [HAND] = QUEUE_STATE_ACTIVE, [REST] = QUEUE_STATE_DEFERRED, [HOLD] = QUEUE_STATE_HOLD };
	uint64_t there = 0;
	lapse(0);
	for (size_t i = 0; i < MESSAGES; i++) {
		if (all[i].place == NONE)
			continue;
		bool gone = all[i].place == GONE;
		struct queue_filter f = { .id = all[i].id, .state = gone ? QUEUE_STATE_ANY : states[all[i].place] };
		if (list(&f, 0, 1) != (gone ? 0 : 1))
			fail_msg("seed %u: message %zu is not in place %d", seed, i, all[i].place);
		there += !gone;
	}
	count_all(&(struct queue_filter){ 0 });
	assert_int_equal(counted_messages, there);
}

static void step_steer(struct one *o, enum queue_steering what)
{
	bool hand = o->place == HAND;
	steer_id(what, o->id, NOW);
	if (o->place == GONE)
		assert_true(steered.messages == 0 && steered.marked == 0);
	else if (hand && what >= QUEUE_HOLD && what != QUEUE_RELEASE) {
		o->hold = what == QUEUE_HOLD;                   /* the last word counts */
		o->delete = what == QUEUE_DELETE;
		o->take = what == QUEUE_TAKE;
	} else if (hand && what == QUEUE_RELEASE) {
		o->hold = false;
	} else if (!hand && what == QUEUE_HOLD) {
		o->place = HOLD;
		o->take = o->returned = false;
	} else if (what == QUEUE_RELEASE && o->place == HOLD) {
		o->place = REST;
	} else if (!hand && what == QUEUE_DELETE) {
		o->place = GONE;
	} else if (!hand && what == QUEUE_TAKE) {
		assert_int_equal(job_count, 1);
		assert_non_null(jobs[0]->recipients[0].returned);
		o->place = HAND;
		o->take = true;
		o->returned = false;
	}
}

static void crash(void)
{
	reopen_spool();                                         /* nobody gives anything back */
	for (size_t i = 0; i < MESSAGES; i++)
		if (all[i].place == HAND)
			rests(&all[i]);
}

static void step_hand(struct one *o)
{
	if (o->place != HAND)
		return;
	switch (random_below(3)) {
	case 0:
		park("x.example", o->id, 50);
		rests(o);
		return;
	case 1:
		settle_one(o->id, 0, QUEUE_DEFERRED, 10, NOW * 2);
		rests(o);
		return;
	default:
		settle_one(o->id, 0, QUEUE_DELIVERED, 0, 0);
		o->place = GONE;
	}
}

static void step(void)
{
	struct one *o = &all[random_below(MESSAGES)];
	if (o->place == NONE || (o->place == GONE && random_below(3) == 0)) {
		*o = (struct one){ .id = accept_one(30, "a@x.example"), .place = HAND };
		return;
	}
	switch (random_below(8)) {
	case 0:
		load("x.example", NOW, 1 + random_below(5), MANY);
		jobs_come(false);
		return;
	case 1:
		overdue(random_below(2) ? 1 : NOW);
		jobs_come(true);
		return;
	case 2:
		if (random_below(8) == 0)
			crash();
		return;
	case 3:
		release("x.example", 0, random_below(2));
		return;
	case 4:
	case 5:
		step_hand(o);
		return;
	default:
		step_steer(o, (enum queue_steering)random_below(5));
	}
}

static void test_random_steps_against_a_model(void **state SP_UNUSED)
{
	for (uint32_t run = 0; run < RUNS; run++) {
		seed = run * 7919 + 1;
		memset(all, 0, sizeof(all));
		open_spool();
		for (int i = 0; i < STEPS; i++) {
			step();
			if (i % 10 == 0)
				check_all();
		}
		crash();
		check_all();
		drop_jobs();
		close_spool();
		remove_tree(spool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_random_steps_against_a_model) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

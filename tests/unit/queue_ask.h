/* tests/unit/queue_ask.h - what is at rest in a spool, asked step by step. For the tests of queue/spool.h. */
#ifndef QUEUE_ASK_H
#define QUEUE_ASK_H

#include "queue_fixture.h"

#define ALL 100                         /* of a page: more than a test has */
#define MANY ((size_t)1 << 30)
#define FAR (INT64_MAX - 1)

static struct queue_job *jobs[ALL];
static size_t job_count;
static char due_names[ALL][64];
static unsigned due_failures[ALL];
static size_t due_count;
static int64_t due_next;

static SP_UNUSED void drop_jobs(void)
{
	for (size_t i = 0; i < job_count; i++)
		queue_job_free(jobs[i]);
	job_count = 0;
}

static SP_UNUSED void on_jobs(void *owner SP_UNUSED, struct queue_job **list, size_t count, const struct sp_fail *why)
{
	drop_jobs();
	for (size_t i = 0; i < count; i++)
		jobs[i] = list[i];
	job_count = count;
	answered(why);
}

static SP_UNUSED size_t load(const char *destination, int64_t now_ms, size_t limit, size_t octets)
{
	pending++;
	queue_load(store, destination, now_ms, limit, octets, box, on_jobs, NULL);
	await_answers();
	return job_count;
}

static SP_UNUSED size_t overdue(int64_t now_ms)
{
	pending++;
	queue_overdue(store, now_ms, ALL, box, on_jobs, NULL);
	await_answers();
	return job_count;
}

static SP_UNUSED void on_due(void *owner SP_UNUSED, const struct queue_due *due, size_t count, int64_t next_ms, const struct sp_fail *why)
{
	for (size_t i = 0; i < count; i++) {
		snprintf(due_names[i], sizeof(due_names[i]), "%s", due[i].name);
		due_failures[i] = due[i].failures;
	}
	due_count = count;
	due_next = next_ms;
	answered(why);
}

static SP_UNUSED size_t ask_due(int64_t now_ms, size_t limit)
{
	pending++;
	queue_due(store, now_ms, limit, box, on_due, NULL);
	await_answers();
	return due_count;
}

static SP_UNUSED void release(const char *name, int64_t next_at_ms, unsigned failures)
{
	struct queue_wait wait = { .next_at_ms = next_at_ms, .failures = failures, .since_ms = 500, .text = "connection refused" };
	queue_release(store, name, &wait);
	ask_due(-1, 1);                         /* nobody is told of a release: an answer to anything later tells */
}

static SP_UNUSED void park(const char *destination, uint64_t id, int64_t deadline_ms)
{
	park_all(destination, id, deadline_ms);
	ask_due(-1, 1);
}

static SP_UNUSED void assert_content(const struct queue_message *m)
{
	char *want = content_of(m->id, m->size);
	assert_int_equal(sp_body_len(m->body), m->size);
	assert_memory_equal(sp_body_bytes(m->body).p, want, m->size);
	free(want);
}

static SP_UNUSED int end_test(void **state)
{
	drop_jobs();
	return remove_folder(state);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, make_folder, end_test)

#endif

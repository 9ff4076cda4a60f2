/* tests/unit/queue_page.h - pages of a spool, and what an operator does to it, asked step by step. For the tests of queue/list.h, steer.h, holds.h. */
#ifndef QUEUE_PAGE_H
#define QUEUE_PAGE_H

#include "queue_ask.h"

#include "queue/holds.h"
#include "queue/steer.h"

#define ROWS 64
#define TO 8

/* What a page told, as text: "n address state[ due=..][ why]" of each recipient that fits. */
struct shown { uint64_t id; size_t count; char text[TO][256]; int64_t next_at_ms[TO], deadline_ms[TO]; uint64_t rule[TO]; };
static struct shown shown[ROWS];
static size_t shown_count;
static uint64_t next_page;

static SP_UNUSED void on_listed(void *owner SP_UNUSED, const struct queue_listed *rows, size_t count, uint64_t next, const struct sp_fail *why)
{
	shown_count = 0;
	for (size_t i = 0; i < count && i < ROWS; i++) {
		struct shown *s = &shown[shown_count++];
		*s = (struct shown){ .id = rows[i].id };
		for (size_t k = 0; k < rows[i].count && s->count < TO; k++) {
			const struct queue_listed_recipient *r = &rows[i].recipients[k];
			if (!r->fits)
				continue;
			s->next_at_ms[s->count] = r->next_at_ms;
			s->deadline_ms[s->count] = r->deadline_ms;
			s->rule[s->count] = r->hold_rule;
			snprintf(s->text[s->count++], sizeof(s->text[0]), "%u %s %s%s%s%s%s", r->n, r->address, queue_state_str(r->state), *r->failure ? " " : "",
			         r->failure, *r->hold_reason ? " for " : "", r->hold_reason);
		}
	}
	next_page = next;
	answered(why);
}

static SP_UNUSED size_t list(const struct queue_filter *f, uint64_t after, size_t limit)
{
	pending++;
	queue_list(store, f, after, limit, box, on_listed, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	return shown_count;
}

static uint64_t counted_messages, counted_recipients;

static SP_UNUSED void on_counted(void *owner SP_UNUSED, uint64_t messages, uint64_t recipients, uint64_t next, const struct sp_fail *why)
{
	counted_messages += messages;
	counted_recipients += recipients;
	next_page = next;
	answered(why);
}

/* Over all pages. */
static SP_UNUSED void count_all(const struct queue_filter *f)
{
	counted_messages = counted_recipients = next_page = 0;
	do {
		pending++;
		queue_count(store, f, next_page, box, on_counted, NULL);
		await_answers();
		assert_false(sp_failed(&last));
	} while (next_page != 0);
}

static struct queue_steered steered;    /* numbers only */
static uint64_t steered_ids[ROWS];

static SP_UNUSED void on_steered(void *owner SP_UNUSED, const struct queue_steered *out, const struct sp_fail *why)
{
	steered.messages += out->messages;
	steered.recipients += out->recipients;
	steered.marked += out->marked;
	steered.job_count += out->job_count;
	steered.destination_count += out->destination_count;
	for (size_t i = 0; i < out->messages && i < ROWS; i++)
		steered_ids[i] = out->ids[i];
	for (size_t i = 0; i < out->job_count; i++) {
		if (job_count < ALL)
			jobs[job_count++] = out->jobs[i];
		else
			queue_job_free(out->jobs[i]);
	}
	steered.next = out->next;
	answered(why);
}

/* All pages of `limit`, or of as many as one may have. Jobs are in `jobs`. */
static SP_UNUSED void steer_with(const struct queue_steer_ask *template)
{
	struct queue_steer_ask ask = *template;
	steered = (struct queue_steered){ 0 };
	drop_jobs();
	do {
		ask.after = steered.next;
		pending++;
		queue_steer(store, &ask, box, on_steered, NULL);
		await_answers();
		assert_false(sp_failed(&last));
	} while (steered.next != 0);
}

static SP_UNUSED void steer(enum queue_steering what, const struct queue_filter *f, int64_t now_ms)
{
	struct queue_steer_ask ask = { .what = what, .filter = *f, .limit = 1000, .now_ms = now_ms, .reason = "looked at" };
	steer_with(&ask);
}

static SP_UNUSED void steer_id(enum queue_steering what, uint64_t id, int64_t now_ms)
{
	steer(what, &(struct queue_filter){ .id = id }, now_ms);
}

static SP_UNUSED void lapse(int64_t now_ms)
{
	queue_lapse(store, now_ms);
	ask_due(-1, 1);                         /* nobody is told of it: an answer to anything later tells */
}

#endif

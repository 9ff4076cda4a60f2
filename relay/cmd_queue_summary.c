/* relay/cmd_queue_summary.c - strictpost queue summary: recipients by destination and age, as Postfix's qshape has them. */
#include "relay/cmd_queue.h"

#include "core/clock.h"
#include "queue/list.h"
#include "relay/cmd.h"
#include "relay/cmd_verb.h"
#include "relay/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT_MAX 100000                 /* destinations in memory; what comes behind them is added up */
#define TOP 50                          /* printed unless told */

static const char help[] =
	"usage: strictpost queue summary [--limit N] [--json] [--config FILE]\n\n"
	"Prints how many recipients wait for each destination, by how many minutes ago their messages came, the most first. What is held is in it.\n"
	"  --limit N   so many destinations (50); the others are added up\n"
	"  --json      one JSON object a destination and line, all of them, in the order of their names\n"
	"exit: 0 printed, 1 it could not be read, 2 usage, 78 a configuration that does not hold\n";

struct row {
	char *name, *failure;
	uint64_t recipients, ages[QUEUE_AGES];
	int64_t oldest_s, next_s;
	unsigned failures;
};
struct summary {
	bool json;
	uint64_t limit;
	struct row *rows;
	size_t count, room;
	struct row others, total;
};

/* ---- adding up ---- */

static void add(struct row *to, const struct row *r)
{
	to->recipients += r->recipients;
	for (size_t i = 0; i < QUEUE_AGES; i++)
		to->ages[i] += r->ages[i];
	if (r->oldest_s > 0 && (to->oldest_s == 0 || r->oldest_s < to->oldest_s))
		to->oldest_s = r->oldest_s;
}

static void free_row(struct row *r)
{
	free(r->name);
	free(r->failure);
}

static void keep(struct summary *s, struct row *r)
{
	struct row *last = s->count > 0 ? &s->rows[s->count - 1] : NULL;
	bool goes_on = last && strcmp(last->name, r->name) == 0;        /* a large one comes in pieces */
	if (goes_on || s->count == KEPT_MAX) {
		add(goes_on ? last : &s->others, r);
		free_row(r);
		return;
	}
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->rows = sp_realloc(s->rows, s->room * sizeof(*s->rows));
	}
	s->rows[s->count++] = *r;
}

static bool on_row(void *owner, const json_t *v)
{
	struct summary *s = owner;
	if (s->json) {
		cmd_print_json(v);
		return !ferror(stdout);
	}
	struct row r = { .name = sp_strdup(queue_text(v, "destination")), .failure = sp_strdup(queue_text(v, "delay_reason")),
	                 .recipients = queue_number(v, "recipients"), .oldest_s = queue_time(v, "oldest"), .next_s = queue_time(v, "next_attempt"),
	                 .failures = (unsigned)queue_number(v, "failures") };
	for (size_t i = 0; i < QUEUE_AGES; i++)
		r.ages[i] = (uint64_t)json_integer_value(json_array_get(json_object_get(v, "ages"), i));
	add(&s->total, &r);
	keep(s, &r);
	return true;
}

/* ---- printing ---- */

static int by_size(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	return x->recipients > y->recipients ? -1 : x->recipients < y->recipients ? 1 : strcmp(x->name, y->name);
}

static void print_row(struct table *t, const char *name, const struct row *r, int64_t now_s)
{
	char age[TERMINAL_NUMBER];
	table_cell(t, name);
	table_int(t, (int64_t)r->recipients);
	for (size_t i = 0; i < QUEUE_AGES; i++)
		table_int(t, (int64_t)r->ages[i]);
	table_cell(t, r->oldest_s > 0 ? terminal_age(now_s - r->oldest_s, age) : "");
	table_cell(t, r->next_s > now_s ? terminal_age(r->next_s - now_s, age) : "");
	table_cell_colour(t, r->failure, r->failures > 0 ? TERMINAL_BAD : TERMINAL_PLAIN);
}

static struct table *begin_table(char titles[QUEUE_AGES][16])
{
	static struct table_column columns[QUEUE_AGES + 5];
	size_t n = 0;
	columns[n++] = (struct table_column){ .title = "Destination", .shrinks = true };
	columns[n++] = (struct table_column){ .title = "All", .right = true };
	for (size_t i = 0; i < QUEUE_AGES; i++) {
		bool last = queue_age_min[i] == 0;
		snprintf(titles[i], 16, "%u%s", last && i > 0 ? queue_age_min[i - 1] : queue_age_min[i], last ? "+" : "");
		columns[n++] = (struct table_column){ .title = titles[i], .right = true };
	}
	columns[n++] = (struct table_column){ .title = "Oldest", .right = true };
	columns[n++] = (struct table_column){ .title = "Next", .right = true };
	columns[n++] = (struct table_column){ .title = "Why", .shrinks = true };
	return table_begin(stdout, columns, n);
}

static void print_table(struct summary *s)
{
	char titles[QUEUE_AGES][16], text[64];
	int64_t now_s = core_clock_wall_s();
	struct table *t = begin_table(titles);
	if (s->count > 1)
		qsort(s->rows, s->count, sizeof(*s->rows), by_size);
	if (s->count > 0)
		print_row(t, "TOTAL", &s->total, now_s);
	for (size_t i = 0; i < s->count; i++) {
		if (i < s->limit)
			print_row(t, s->rows[i].name, &s->rows[i], now_s);
		else
			add(&s->others, &s->rows[i]);
	}
	if (s->others.recipients > 0) {
		snprintf(text, sizeof(text), "%zu others", s->count > s->limit ? s->count - (size_t)s->limit : 0);
		print_row(t, s->count == KEPT_MAX ? "others" : text, &s->others, now_s);
	}
	table_end(t, "the queue is empty");
}

static int work(struct api_client *c, void *arg, struct sp_buf *why)
{
	struct summary *s = arg;
	bool good = api_client_each(c, "/queue/summary?limit=1000", "destinations", on_row, s, why);
	if (good && !s->json)
		print_table(s);
	for (size_t i = 0; i < s->count; i++)
		free_row(&s->rows[i]);
	free(s->rows);
	return RELAY_EXIT_OK;
}

int cmd_queue_summary(int argc, char **argv)
{
	struct summary s = { .limit = TOP };
	struct cmd_options o;
	const char *limit = NULL;
	int status;
	const struct cmd_option own[] = { { "limit", &limit, NULL, NULL }, { 0 } };
	if (!cmd_options_with(argc, argv, help, true, own, &o, &status) || !cmd_arguments(argc, argv, 0, 0, &status))
		return status;
	if (limit && !sp_str_number(sp_str_of(limit), 1, KEPT_MAX, &s.limit)) {
		fprintf(stderr, "strictpost queue summary: --limit: '%s' is no number from 1 to %d\n", limit, KEPT_MAX);
		return RELAY_EXIT_USAGE;
	}
	s.json = o.json;
	return queue_with_client(o.config, true, work, &s);
}

/* relay/worst.c - see worst.h. */
#include "relay/worst.h"

#include <stdlib.h>
#include <string.h>

static void clear_row(struct worst_row *row)
{
	free(row->name);
	free(row->failure);
	*row = (struct worst_row){ 0 };
}

static void clear_rows(struct worst_row *rows, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		clear_row(&rows[i]);
	*count = 0;
}

void worst_init(struct worst *w)
{
	*w = (struct worst){ .after = sp_strdup("") };
}

void worst_clear(struct worst *w)
{
	clear_rows(w->rows, &w->count);
	clear_rows(w->found, &w->found_count);
	clear_row(&w->open);
	free(w->after);
}

/* Takes over the texts. */
static void add(struct worst *w, struct worst_row row)
{
	size_t at = w->found_count;
	while (at > 0 && w->found[at - 1].recipients < row.recipients)
		at--;
	if (at == WORST_COUNT || row.recipients == 0) {
		clear_row(&row);
		return;
	}
	if (w->found_count == WORST_COUNT)
		clear_row(&w->found[--w->found_count]);
	memmove(&w->found[at + 1], &w->found[at], (w->found_count - at) * sizeof(row));
	w->found[at] = row;
	w->found_count++;
}

static void close_open(struct worst *w)
{
	if (w->open.name)
		add(w, w->open);
	w->open = (struct worst_row){ 0 };
}

static void take(struct worst_row *open, const struct queue_shape *s)
{
	if (open->name == NULL)
		*open = (struct worst_row){ .name = sp_strdup(s->destination), .failure = sp_strdup(s->failure ? s->failure : ""), .failures = s->failures,
		                            .oldest_ms = s->oldest_ms, .next_at_ms = s->next_at_ms };
	open->recipients += s->recipients;
	if (s->oldest_ms > 0 && (open->oldest_ms == 0 || s->oldest_ms < open->oldest_ms))
		open->oldest_ms = s->oldest_ms;
}

bool worst_page(struct worst *w, const struct queue_shape *rows, size_t count, const char *next)
{
	for (size_t i = 0; i < count; i++) {
		if (w->open.name && strcmp(w->open.name, rows[i].destination) != 0)
			close_open(w);
		take(&w->open, &rows[i]);
		if (rows[i].whole)
			close_open(w);
	}
	free(w->after);
	w->after = sp_strdup(next ? next : "");
	if (*w->after)
		return false;
	close_open(w);
	clear_rows(w->rows, &w->count);
	memcpy(w->rows, w->found, sizeof(w->rows));
	w->count = w->found_count;
	w->found_count = 0;
	return true;
}

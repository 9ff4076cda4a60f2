/* relay/worst.c - see worst.h. */
#include "relay/worst.h"

#include <stdlib.h>
#include <string.h>

static void clear_rows(struct worst_row *rows, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		free(rows[i].name);
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
	free(w->open.name);
	free(w->after);
}

/* Takes over the name. */
static void add(struct worst *w, struct worst_row row)
{
	size_t at = w->found_count;
	while (at > 0 && w->found[at - 1].recipients < row.recipients)
		at--;
	if (at == WORST_COUNT || row.recipients == 0) {
		free(row.name);
		return;
	}
	if (w->found_count == WORST_COUNT)
		free(w->found[--w->found_count].name);
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

bool worst_page(struct worst *w, const struct queue_shape *rows, size_t count, const char *next)
{
	for (size_t i = 0; i < count; i++) {
		if (w->open.name && strcmp(w->open.name, rows[i].destination) != 0)
			close_open(w);
		if (w->open.name == NULL)
			w->open.name = sp_strdup(rows[i].destination);
		w->open.recipients += rows[i].recipients;
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

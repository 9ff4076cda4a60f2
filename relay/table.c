/* relay/table.c - see table.h. */
#include "relay/table.h"

#include <inttypes.h>
#include <stdlib.h>

#define GAP 2                           /* columns between two of the table's */
#define LEAST 8                         /* none is cut below */
#define NOTE_INDENT 4

struct cell {
	char *text;                     /* as a terminal may have it; ours */
	size_t width;
	enum terminal_colour colour;
};
struct row {
	struct cell *cells;             /* as many as there are columns, or one */
	bool note;
};
struct table {
	FILE *to;
	const struct table_column *columns;
	size_t count, filled;           /* columns; cells of `current` */
	size_t widths[TABLE_COLUMNS_MAX];
	unsigned terminal;              /* its width; 0: none */
	bool fitted;                    /* the heading is printed, the widths are settled */
	struct row *rows;               /* kept until then */
	size_t row_count;
	struct cell *current;
};

struct table *table_begin(FILE *to, const struct table_column *columns, size_t count)
{
	sp_assert(count > 0 && count <= TABLE_COLUMNS_MAX);
	struct table *t = sp_alloc(sizeof(*t));
	t->to = to;
	t->columns = columns;
	t->count = count;
	t->terminal = terminal_width(to);
	t->rows = sp_alloc_array(TABLE_FIT, sizeof(*t->rows));
	return t;
}

static void free_row(const struct table *t, struct row *r)
{
	for (size_t i = 0; i < (r->note ? 1 : t->count); i++)
		free(r->cells[i].text);
	free(r->cells);
}

/* ---- printing ---- */

static void print_blanks(const struct table *t, size_t n)
{
	fprintf(t->to, "%*s", (int)n, "");
}

/* `text`, cut to `width` (0: not); the columns it took. */
static size_t print_text(const struct table *t, const char *text, size_t width, enum terminal_colour c)
{
	struct sp_buf out;
	sp_buf_init(&out, TABLE_CELL_MAX);
	size_t used = terminal_fit(&out, sp_str_of(text), width);
	fprintf(t->to, "%s%s%s", terminal_on(t->to, c), sp_buf_cstr(&out), terminal_off(t->to, c));
	sp_buf_clear(&out);
	return used;
}

static void print_cells(const struct table *t, const struct cell *cells)
{
	size_t last = t->count;         /* cells up to the last one that is not empty: no blanks at the end of a line */
	while (last > 0 && cells[last - 1].width == 0)
		last--;
	for (size_t i = 0; i < last; i++) {
		const struct table_column *c = &t->columns[i];
		size_t room = t->widths[i], limit = t->terminal > 0 && c->shrinks ? room : 0;
		size_t width = limit > 0 ? sp_min(cells[i].width, limit) : cells[i].width, blanks = room > width ? room - width : 0;
		if (c->right)
			print_blanks(t, blanks);
		width = print_text(t, cells[i].text, limit, cells[i].colour);
		if (!c->right && i + 1 < last)
			print_blanks(t, room > width ? room - width : 0);
		if (i + 1 < last)
			print_blanks(t, GAP);
	}
	fputc('\n', t->to);
}

static void print_row(const struct table *t, const struct row *r)
{
	if (!r->note) {
		print_cells(t, r->cells);
		return;
	}
	print_blanks(t, NOTE_INDENT);
	print_text(t, r->cells[0].text, t->terminal > 0 ? t->terminal - NOTE_INDENT : 0, r->cells[0].colour);
	fputc('\n', t->to);
}

static void print_heading(const struct table *t)
{
	struct cell cells[TABLE_COLUMNS_MAX];
	for (size_t i = 0; i < t->count; i++)
		cells[i] = (struct cell){ (char *)(uintptr_t)t->columns[i].title, strlen(t->columns[i].title), TERMINAL_BOLD };
	print_cells(t, cells);
}

/* ---- widths ---- */

static void widen(struct table *t)
{
	for (size_t i = 0; i < t->count; i++)
		t->widths[i] = strlen(t->columns[i].title);
	for (size_t n = 0; n < t->row_count; n++)
		for (size_t i = 0; !t->rows[n].note && i < t->count; i++)
			t->widths[i] = sp_max(t->widths[i], t->rows[n].cells[i].width);
}

/* From the last column that shrinks to the first, as much as is too much. */
static void shrink(struct table *t)
{
	size_t total = GAP * (t->count - 1);
	for (size_t i = 0; i < t->count; i++)
		total += t->widths[i];
	for (size_t i = t->count; i-- > 0 && total > t->terminal;) {
		if (!t->columns[i].shrinks || t->widths[i] <= LEAST)
			continue;
		size_t less = sp_min(t->widths[i] - LEAST, total - t->terminal);
		t->widths[i] -= less;
		total -= less;
	}
}

void table_flush(struct table *t)
{
	if (t->fitted)
		return;
	t->fitted = true;
	widen(t);
	if (t->terminal > 0)
		shrink(t);
	print_heading(t);
	for (size_t n = 0; n < t->row_count; n++) {
		print_row(t, &t->rows[n]);
		free_row(t, &t->rows[n]);
	}
	t->row_count = 0;
}

/* ---- rows ---- */

static void take_row(struct table *t, struct cell *cells, bool note)
{
	struct row r = { cells, note };
	if (t->fitted) {
		print_row(t, &r);
		free_row(t, &r);
		return;
	}
	t->rows[t->row_count++] = r;
	if (t->row_count == TABLE_FIT)
		table_flush(t);
}

static void set(struct cell *c, const char *text, enum terminal_colour colour)
{
	struct sp_buf clean;
	sp_buf_init(&clean, TABLE_CELL_MAX);
	struct sp_str s = sp_str_of(text);
	s.len = sp_min(s.len, TABLE_CELL_MAX);
	*c = (struct cell){ .width = terminal_fit(&clean, s, 0), .colour = colour };
	c->text = sp_buf_take(&clean);
}

void table_cell_colour(struct table *t, const char *text, enum terminal_colour c)
{
	if (t->current == NULL)
		t->current = sp_alloc_array(t->count, sizeof(*t->current));
	set(&t->current[t->filled++], text, c);
	if (t->filled < t->count)
		return;
	struct cell *row = t->current;
	t->current = NULL;
	t->filled = 0;
	take_row(t, row, false);
}

void table_cell(struct table *t, const char *text)
{
	table_cell_colour(t, text, TERMINAL_PLAIN);
}

void table_int(struct table *t, int64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, value);
	table_cell(t, text);
}

void table_note(struct table *t, const char *text)
{
	sp_assert(t->filled == 0);
	struct cell *note = sp_alloc(sizeof(*note));
	set(note, text, TERMINAL_PLAIN);
	take_row(t, note, true);
}

void table_end(struct table *t, const char *empty)
{
	sp_assert(t->filled == 0);
	if (t->fitted || t->row_count > 0)
		table_flush(t);
	else if (empty)
		fprintf(t->to, "%s\n", empty);
	free(t->rows);
	free(t);
}

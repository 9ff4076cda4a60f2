/* relay/table.h - a list for people: rows under a heading, columns as wide as what they hold and all of them as wide as the terminal. Rows come one by one: the first
 * TABLE_FIT of them decide the widths, what comes later and is wider pushes its line out and is not cut; on a terminal the columns that may shrink are cut with "...".
 * For programs there is --json, in another way: one object a line. */
#ifndef RELAY_TABLE_H
#define RELAY_TABLE_H

#include "relay/terminal.h"

#define TABLE_FIT 200                   /* rows and notes kept until they are printed: the widths are those of these */
#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_MAX 4096             /* octets of a cell or a note; more is cut */

struct table_column {
	const char *title;
	bool right;                     /* numbers */
	bool shrinks;                   /* may be cut on a terminal that is too narrow; the last column that shrinks is cut first, none below 8 */
};
struct table;
/* `columns` and `title`s: lent until the end. */
struct table *table_begin(FILE *to, const struct table_column *columns, size_t count);
/* The next cell of the row; whatever is not printable is replaced. NULL is "". Behind the last column a row is complete. */
void table_cell(struct table *t, const char *text);
void table_cell_colour(struct table *t, const char *text, enum terminal_colour c);
void table_int(struct table *t, int64_t value);
/* A line of its own under the last complete row, indented: not fitted, cut at the terminal's width only. */
void table_note(struct table *t, const char *text);
/* Prints what is kept, as table_end() does, and goes on: before something else is printed, or waited for. The widths stay as they are from now on. */
void table_flush(struct table *t);
/* Prints what is kept; with no row at all, `empty` (NULL: nothing) in place of the heading. Frees. */
void table_end(struct table *t, const char *empty);

#endif

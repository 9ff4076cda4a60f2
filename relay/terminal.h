/* relay/terminal.h - what the subcommands know of the terminal they write to. Standard output and standard error are each a terminal or not; what is written to a pipe or a file
 * has no colour, no escapes, no progress, and is not fitted to a width. Peer text never reaches a terminal unescaped: tables and progress see to that themselves, everything
 * else goes through terminal_fit(). */
#ifndef RELAY_TERMINAL_H
#define RELAY_TERMINAL_H

#include "core/buf.h"

#include <stdio.h>

bool terminal_is(FILE *f);                      /* a terminal, and one that TERM names: not dumb */
unsigned terminal_width(FILE *f);               /* columns, at least 40; 0: no terminal, no limit */
unsigned terminal_height(FILE *f);              /* lines, at least 5; 0: no terminal */

enum terminal_colour { TERMINAL_PLAIN, TERMINAL_GOOD, TERMINAL_WARN, TERMINAL_BAD, TERMINAL_DIM, TERMINAL_BOLD };
/* The sequences that begin and end a colour; "" on what is no terminal, with NO_COLOR set (no-color.org), and for PLAIN. Constants. */
const char *terminal_on(FILE *f, enum terminal_colour c);
const char *terminal_off(FILE *f, enum terminal_colour c);

/* Adds `s` as a terminal may have it: what is neither printable ASCII nor UTF-8 of a character that shows itself (no control, nothing that turns the direction of what
 * follows) becomes '?'. More than `columns` of it (0: no limit) are cut, with "..." at the end. The columns it takes. */
size_t terminal_fit(struct sp_buf *out, struct sp_str s, size_t columns);

/* Asks on standard error, reads a line from standard input: "y" or "yes" is yes. False for anything else, and at the end of input. Where one of the two is no terminal it is
 * not asked: false, and a line says that --yes is needed. `yes`: it was given, nothing is asked. Peer text in it goes through terminal_fit() first. */
SP_NODISCARD bool terminal_confirm(bool yes, const char *fmt, ...) SP_PRINTF(2, 3);

#define TERMINAL_NUMBER 32              /* octets for a number as text */
/* 12 s, 3 min 5 s, 2 h, 4 d 1 h: two units at most; "-" below 0. Returns `text`, as terminal_size() does. */
const char *terminal_age(int64_t s, char text[TERMINAL_NUMBER]);
const char *terminal_size(uint64_t octets, char text[TERMINAL_NUMBER]);      /* 512, 14.2K, 3.4M: powers of 1024 */

#endif

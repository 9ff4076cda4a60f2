/* relay/terminal.h - what the subcommands know of the terminal they write to. Standard output and standard error are each a terminal or not; what is written to a pipe or a file
 * has no colour, no escapes, no progress, and is not fitted to a width. Peer text never reaches a terminal unescaped: tables and progress see to that themselves. */
#ifndef RELAY_TERMINAL_H
#define RELAY_TERMINAL_H

#include "core/buf.h"

#include <stdio.h>

bool terminal_is(FILE *f);                      /* a terminal, and not TERM=dumb */
unsigned terminal_width(FILE *f);               /* columns, at least 40; 0: no terminal, no limit */
unsigned terminal_height(FILE *f);              /* lines; 0: no terminal */

enum terminal_colour { TERMINAL_PLAIN, TERMINAL_GOOD, TERMINAL_WARN, TERMINAL_BAD, TERMINAL_DIM, TERMINAL_BOLD };
/* The sequences that begin and end a colour; "" on what is no terminal, with NO_COLOR set (no-color.org), and for PLAIN. */
const char *terminal_on(FILE *f, enum terminal_colour c);
const char *terminal_off(FILE *f, enum terminal_colour c);

/* Asks on standard error, reads from the terminal: "y" or "yes" is yes. False for anything else, and at the end of input. Without a terminal it is not asked: false, and a
 * line says that --yes is needed. `yes`: it was given, nothing is asked. */
bool terminal_confirm(bool yes, const char *fmt, ...) SP_PRINTF(2, 3);

/* 3 min, 2 h 5 min, 4 d: two units at most; "-" below 0. In `text`, 24 octets. */
const char *terminal_age(int64_t s, char text[24]);
const char *terminal_size(uint64_t octets, char text[24]);      /* 512, 14.2K, 3.4M */

#endif

/* relay/progress.h - how far something long has come, on standard error, only where that is a terminal: one line that is written over, at most ten times a second,
 * and is gone when it is over. */
#ifndef RELAY_PROGRESS_H
#define RELAY_PROGRESS_H

#include "relay/terminal.h"

struct progress;
struct progress *progress_begin(const char *doing);             /* "deleting": lent */
/* `total` 0: not known, then only a count is shown. `what` (may be NULL): what is at work, printable or not. */
void progress_show(struct progress *p, uint64_t done, uint64_t total, const char *what);
void progress_hide(struct progress *p);                         /* before anything else is printed; the next show brings it back */
void progress_end(struct progress *p);                          /* NULL is fine */

/* After this SIGINT does not end the process, but makes progress_interrupted() true: between two pages, so that what was done is said. A second one ends it. */
void progress_catch_interrupt(void);
bool progress_interrupted(void);

#endif

/* rpt/lint.h - is a report as RFC 8460 4.4 wants it, and the mail it came in as 5.3 does? Every fault with its place and the section. Pure.
 * Used by `strictpost report lint`. */
#ifndef RPT_LINT_H
#define RPT_LINT_H

#include "rpt/read.h"

/* `error`: the RFC says MUST, or a reader will stumble; else a warning. `where`: "policies[0].summary.total-failure-session-count", "Subject", "".
 * `section`: "RFC 8460 4.4". Lent; `text` is printable ASCII. */
typedef void (*rpt_lint_fn)(void *arg, bool error, const char *where, const char *section, const char *text);
/* The number of errors. `carrier`: what the document came in. */
unsigned rpt_lint(const json_t *document, const struct rpt_carrier *carrier, rpt_lint_fn told, void *arg);

#endif

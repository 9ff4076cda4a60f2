/* rpt/lint.h - is a report as RFC 8460 4.4 wants it? Every fault with the place and the section. Pure. Used by `strictpost report lint`. */
#ifndef RPT_LINT_H
#define RPT_LINT_H

#include <jansson.h>

#include "core/base.h"

/* `error`: the RFC says MUST, or a reader will stumble; else a warning. `where`: "policies[0].summary.total-failure-session-count". */
typedef void (*rpt_lint_fn)(void *arg, bool error, const char *where, const char *text);
/* The number of errors. */
unsigned rpt_lint(const json_t *document, rpt_lint_fn told, void *arg);

#endif

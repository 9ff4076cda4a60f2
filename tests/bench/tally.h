/* tests/bench/tally.h - what has arrived at the sink: messages, domains, sessions, times.
 * One tally a process. Used by smtpsink. */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include "payload.h"

#include <stdio.h>

struct tally_domain;

/* The domain of an address as it stands in RCPT TO; made at its first sight. Never freed. */
struct tally_domain *tally_domain(const char *name, size_t len);
/* One message came in whole, as `c` found it, for the `n` recipients at `to`. */
void tally_message(const struct payload_check *c, struct tally_domain *const *to, size_t n);
void tally_session(void);
void tally_tls(bool resumed);
/* One line of JSON; with `each`, the messages of each domain too. */
void tally_print(FILE *f, bool each);

#endif

/* relay/cmd_explain_domain.h - strictpost explain DOMAIN, as relay/cmd_explain.c hands it over. */
#ifndef RELAY_CMD_EXPLAIN_DOMAIN_H
#define RELAY_CMD_EXPLAIN_DOMAIN_H

#include "relay/cmd_explain.h"

/* Is it a domain, or an address literal? */
bool explain_is_domain(const char *name);
/* What the relay that runs would do now with mail for it, and why, and how the latest sessions went; without a relay, what `strictpost check` finds. The exit status. */
int explain_domain(const char *name, const struct explain_options *o);

#endif

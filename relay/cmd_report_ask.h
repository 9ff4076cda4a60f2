/* relay/cmd_report_ask.h - what the verbs of `strictpost report` that ask the reporter share: their options, answers as JSON. */
#ifndef RELAY_CMD_REPORT_ASK_H
#define RELAY_CMD_REPORT_ASK_H

#include "core/arena.h"
#include "relay/api_client.h"

#include <jansson.h>

struct report_options {
	const char *config, *state, *remove;
	const char *day, *domain;       /* checked; the domain in A-labels, in `arena`. NULL: not told */
	bool again, dry, json;
	struct sp_arena arena;          /* the caller's to clear */
};
/* `takes`: the letters of the options that the verb has, of "dmsarnj" (day, domain, state, again, remove, dry-run, json). The arguments begin at optind then.
 * False: --help was answered, or something was wrong and said so; *status is the exit status. */
SP_NODISCARD bool report_options(int argc, char **argv, const char *help, const char *takes, struct report_options *out, int *status);
/* A policy domain, as the ledger has it; NULL after it was said that it is none. */
const char *report_domain(const char *text, struct sp_arena *arena);

json_int_t report_number(const json_t *v, const char *name);
const char *report_text(const json_t *v, const char *name);             /* "" where there is none */

#endif

/* relay/cmd_options.h - the options that most subcommands share: --config FILE, --json, --help. */
#ifndef RELAY_CMD_OPTIONS_H
#define RELAY_CMD_OPTIONS_H

#include <stdbool.h>

struct cmd_options {
	const char *config;             /* cmd_config_default() unless told */
	bool json;
};
/* Takes them out of argv; the arguments begin at optind then. False: --help was answered, or something was wrong and `help` is on standard error;
 * *status is the exit status. `has_json`: false where --json is wrong usage. */
bool cmd_options(int argc, char **argv, const char *help, bool has_json, struct cmd_options *out, int *status);

#endif

/* relay/cmd_options.h - the options that most subcommands share: --config FILE, --json, --help; and those of one alone that take a text. */
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

struct cmd_option {                     /* --NAME TEXT, or --NAME where `text` is NULL; a row without a name is the last one */
	const char *name, **text;       /* *text: lent by argv; not touched where the option is not given */
	bool *given;                    /* set true; only without `text` */
};
#define CMD_OPTIONS_OWN_MAX 8
/* The same for a subcommand that has options of its own, too. */
bool cmd_options_with(int argc, char **argv, const char *help, bool has_json, const struct cmd_option *own, struct cmd_options *out, int *status);

#endif

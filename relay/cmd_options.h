/* relay/cmd_options.h - the options that most subcommands share: --config FILE, --json, --help; and those of one alone, which are rows of a table. */
#ifndef RELAY_CMD_OPTIONS_H
#define RELAY_CMD_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct cmd_options {
	const char *config;             /* cmd_config_default() unless told */
	bool json;
};
/* Takes them out of argv; the arguments begin at optind then. False: --help was answered, or something was wrong and said so on standard error;
 * *status is the exit status. `has_json`: false where --json is wrong usage. */
bool cmd_options(int argc, char **argv, const char *help, bool has_json, struct cmd_options *out, int *status);
/* What --json writes: one object, one line of standard output, in ASCII with all else escaped (RFC 8259 7): programs may have it, and a terminal too, whatever peers wrote. */
void cmd_print_json(const json_t *v);
bool cmd_write_json(const json_t *v, FILE *to);         /* the same indented; false: errno */

struct cmd_option {                     /* --NAME TEXT, --NAME DURATION or --NAME; one of the three pointers. A row without a name is the last one */
	const char *name, **text;       /* *text: lent by argv; not touched where the option is not given */
	bool *given;                    /* set true */
	int64_t *duration_ms;           /* cmd_duration(); not touched where the option is not given */
};
#define CMD_OPTIONS_OWN_MAX 16
/* The same for a subcommand that has options of its own, too. */
bool cmd_options_with(int argc, char **argv, const char *help, bool has_json, const struct cmd_option *own, struct cmd_options *out, int *status);

/* Behind cmd_options(): are there from `min` to `max` arguments? False after it was said that one is missing, or that one is too many. */
bool cmd_arguments(int argc, char **argv, int min, int max, int *status);

/* "2h", "30m", "1d 12h", "1d12h": the configuration's durations (relay/config_value.h), or a sum of them. A bare number is none: 2 of what? */
bool cmd_duration(const char *text, int64_t *ms);

#endif

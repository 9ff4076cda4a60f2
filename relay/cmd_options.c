/* relay/cmd_options.c - see cmd_options.h. */
#include "relay/cmd_options.h"

#include "relay/cmd.h"

#include <getopt.h>
#include <stdio.h>

bool cmd_options(int argc, char **argv, const char *help, bool has_json, struct cmd_options *out, int *status)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { "json", no_argument, NULL, 'j' }, { 0 }
	};
	*out = (struct cmd_options){ .config = cmd_config_default() };
	int o;
	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (o == 'h') {
			fputs(help, stdout);
			*status = RELAY_EXIT_OK;
			return false;
		}
		if (o == '?' || (o == 'j' && !has_json)) {
			fputs(help, stderr);
			*status = RELAY_EXIT_USAGE;
			return false;
		}
		if (o == 'c')
			out->config = optarg;
		out->json = out->json || o == 'j';
	}
	return true;
}

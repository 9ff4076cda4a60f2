/* relay/cmd_options.c - see cmd_options.h. */
#include "relay/cmd_options.h"

#include "relay/cmd.h"

#include "core/base.h"

#include <getopt.h>
#include <stdio.h>

#define SHARED 3
#define OWN 256                         /* + its row: what getopt_long() calls an option of `own` */

static void list_options(const struct cmd_option *own, struct option list[SHARED + CMD_OPTIONS_OWN_MAX + 1])
{
	size_t n = 0;
	list[n++] = (struct option){ "config", required_argument, NULL, 'c' };
	list[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	list[n++] = (struct option){ "json", no_argument, NULL, 'j' };
	for (int i = 0; own[i].name; i++) {
		sp_assert(i < CMD_OPTIONS_OWN_MAX);
		list[n++] = (struct option){ own[i].name, own[i].text ? required_argument : no_argument, NULL, OWN + i };
	}
	list[n] = (struct option){ 0 };
}

bool cmd_options_with(int argc, char **argv, const char *help, bool has_json, const struct cmd_option *own, struct cmd_options *out, int *status)
{
	struct option options[SHARED + CMD_OPTIONS_OWN_MAX + 1];
	list_options(own, options);
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
		else if (o >= OWN && own[o - OWN].text)
			*own[o - OWN].text = optarg;
		else if (o >= OWN)
			*own[o - OWN].given = true;
		out->json = out->json || o == 'j';
	}
	return true;
}

bool cmd_options(int argc, char **argv, const char *help, bool has_json, struct cmd_options *out, int *status)
{
	return cmd_options_with(argc, argv, help, has_json, &(struct cmd_option){ NULL, NULL }, out, status);
}

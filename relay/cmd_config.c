/* relay/cmd_config.c - strictpost config check|show|keys. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"

#include "core/clock.h"
#include "relay/config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define PROBLEMS_MAX 262144             /* octets */
#define SHOWN_MAX (64 * 1024 * 1024)      /* a file of 16 MiB, with its defaults filled in */

static const char help[] =
	"usage: strictpost config check [FILE]     every problem with its line, and warnings; exit 0 sound, 78 not\n"
	"       strictpost config show  [FILE]     the whole configuration, defaults filled in\n"
	"       strictpost config keys             every key: type, default, meaning\n"
	"options: --config FILE (default: $STRICTPOST_CONFIG, else /etc/strictpost/strictpost.yaml)\n";

static int check(const char *path, bool show)
{
	struct sp_buf problems, out;
	sp_buf_init(&problems, PROBLEMS_MAX);
	sp_buf_init(&out, show ? SHOWN_MAX : PROBLEMS_MAX);
	struct config *c = config_load(path, &problems);
	if (c == NULL)
		fputs(sp_buf_cstr(&problems), stderr);
	else if (show) {
		config_print(c, &out);
		fputs(sp_buf_cstr(&out), stdout);
	} else {
		config_warnings(c, core_clock_wall_s(), &out);
		fputs(sp_buf_cstr(&out), stderr);
		printf("%s: sound\n", path);
	}
	int status = c ? RELAY_EXIT_OK : RELAY_EXIT_CONFIG;
	config_unref(c);
	sp_buf_clear(&problems);
	sp_buf_clear(&out);
	return status;
}

static int keys(void)
{
	struct sp_buf out;
	sp_buf_init(&out, PROBLEMS_MAX);
	config_print_rows(&out);
	fputs(sp_buf_cstr(&out), stdout);
	sp_buf_clear(&out);
	return RELAY_EXIT_OK;
}

int cmd_config(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	if (!cmd_options(argc, argv, help, false, &o, &status))
		return status;
	const char *verb = optind < argc ? argv[optind] : "";
	const char *path = optind + 1 < argc ? argv[optind + 1] : o.config;
	if (optind + 2 < argc || (strcmp(verb, "check") != 0 && strcmp(verb, "show") != 0 && strcmp(verb, "keys") != 0)) {
		fputs(help, stderr);
		return RELAY_EXIT_USAGE;
	}
	return strcmp(verb, "keys") == 0 ? keys() : check(path, strcmp(verb, "show") == 0);
}

/* relay/cmd_config.c - strictpost config check|show|keys. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_verb.h"

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

/* [FILE], or --config FILE. */
static int run(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	bool takes_file = strcmp(argv[0], "keys") != 0;
	if (!cmd_options(argc, argv, help, false, &o, &status) || !cmd_arguments(argc, argv, 0, takes_file, &status))
		return status;
	if (!takes_file)
		return keys();
	return check(optind < argc ? argv[optind] : o.config, strcmp(argv[0], "show") == 0);
}

int cmd_config(int argc, char **argv)
{
	static const struct cmd_verb verbs[] = { { .name = "check", .run = run }, { .name = "show", .run = run }, { .name = "keys", .run = run } };
	return cmd_verbs(&(struct cmd_verbs){ .group = "config", .help = help, .verbs = verbs, .count = SP_COUNT(verbs) }, argc, argv);
}

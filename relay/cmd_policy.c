/* relay/cmd_policy.c - strictpost policy VERB: its verbs are rows here. */
#include "relay/cmd_policy.h"

#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_verb.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: strictpost policy lint FILE|-               is this a valid mta-sts.txt? (- reads standard input)\n"
	"       strictpost policy txt RECORD...             do these TXT records of _mta-sts.<domain> announce a policy?\n"
	"                                                   one argument for each record of the set\n"
	"       strictpost policy match HOST PATTERN...     is an MX host covered by one of these mx patterns?\n"
	"       strictpost policy list [OPTIONS]            the policies that are cached, and how their refresh goes\n"
	"       strictpost policy show DOMAIN...            all that is cached of a domain\n"
	"       strictpost policy history [DOMAIN...]       what changed, the newest first; what weakened an enforce is marked\n"
	"       strictpost policy refresh DOMAIN...|--all   ask the domain now, and say what came of it\n"
	"       strictpost policy forget DOMAIN...          drop what is cached of a domain\n"
	"options: --json   one JSON object on standard output; of lists, one a line\n"
	"         --help   of list, show, history, refresh and forget: more\n"
	"exit: 0 valid, match, done; 1 not; 2 usage, or a file that cannot be read\n";

/* ---- lint, txt and match take no option but --json ---- */

static int with_input(int argc, char **argv, int (*run)(bool json, int argc, char **argv))
{
	struct cmd_options o;                   /* --config is taken, as everywhere; nothing here depends on it */
	int status;
	if (!cmd_options(argc, argv, help, true, &o, &status))
		return status;
	return run(o.json, argc - optind, argv + optind);
}

static int lint(int argc, char **argv)
{
	return with_input(argc, argv, cmd_policy_lint);
}

static int txt(int argc, char **argv)
{
	return with_input(argc, argv, cmd_policy_txt);
}

static int match(int argc, char **argv)
{
	return with_input(argc, argv, cmd_policy_match);
}

static const struct cmd_verb verbs[] = {
	{ "lint", NULL, "", lint },                      { "txt", NULL, "", txt },
	{ "match", NULL, "", match },                    { "list", NULL, "", cmd_policy_list },
	{ "show", NULL, "", cmd_policy_show },           { "history", NULL, "", cmd_policy_history },
	{ "refresh", NULL, "", cmd_policy_refresh },     { "forget", NULL, "", cmd_policy_forget },
};

/* "--json txt RECORD", "--config FILE list": options in front of the verb are put behind it. Nothing happens where there is no verb. */
static void verb_first(int argc, char **argv)
{
	int at = 1;
	while (at < argc && argv[at][0] == '-')
		at += strcmp(argv[at], "--config") == 0 || strcmp(argv[at], "-c") == 0 ? 2 : 1;
	if (at >= argc)
		return;
	char *verb = argv[at];
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof(*argv));
	argv[1] = verb;
}

int cmd_policy(int argc, char **argv)
{
	static const struct cmd_verbs policy = { .group = "policy", .help = help, .verbs = verbs, .count = SP_COUNT(verbs) };
	if (argc > 1 && argv[1][0] == '-' && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0)
		verb_first(argc, argv);
	return cmd_verbs(&policy, argc, argv);
}

/* relay/main.c - the program: finds the subcommand and hands over. */
#include "relay/cmd.h"
#include "relay/cmd_verb.h"

#include "core/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cmd_verb commands[] = {
	{ "run",         NULL, "run the relay in the foreground",                        cmd_run },
	{ "config",      NULL, "check a configuration file, or print it with defaults",  cmd_config },
	{ "check",       NULL, "what a domain demands, would mail reach it, what to mend", cmd_check },
	{ "policy",      NULL, "policies: what is cached, what changed; lint a file, match an MX", cmd_policy },
	{ "queue",       NULL, "look at the queue; retry, hold, release, delete, return, export", cmd_queue },
	{ "report",      NULL, "send TLS reports (RFC 8460); show, read and check them", cmd_report },
	{ "dkim",        NULL, "make a key that signs mail and reports, print its DNS record", cmd_dkim },
	{ "user",        NULL, "who may log in, with which password, and send as whom",  cmd_user },
	{ "explain",     NULL, "the whole story of a message: what was seen, and why it waits", cmd_explain },
	{ "status",      NULL, "what the running relay has done and has",                cmd_status },
	{ "top",         NULL, "the same on the whole terminal, drawn anew every two seconds", cmd_top },
	{ "drain",       NULL, "take no more mail, and end when all is delivered", cmd_drain },
	{ "healthcheck", NULL, "is the running relay well? for containers",              cmd_healthcheck },
};

const char *cmd_config_default(void)
{
	const char *env = getenv("STRICTPOST_CONFIG");
	return env && *env ? env : "/etc/strictpost/strictpost.yaml";
}

static int run(int argc, char **argv)
{
	static const struct cmd_verbs program = {
		.group = "",
		.head = "strictpost " STRICTPOST_VERSION " - an outbound SMTP relay that never downgrades\n\nusage: strictpost COMMAND [ARGUMENTS]\n\n",
		.verbs = commands,
		.count = SP_COUNT(commands),
		.foot = "\nstrictpost COMMAND --help tells more. The configuration is --config FILE, else $STRICTPOST_CONFIG,\n"
		        "else /etc/strictpost/strictpost.yaml.\n",
	};
	if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
		puts("strictpost " STRICTPOST_VERSION);
		return RELAY_EXIT_OK;
	}
	return cmd_verbs(&program, argc, argv);
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);
	if ((fflush(stdout) == 0 && !ferror(stdout)) || status != RELAY_EXIT_OK)
		return status;
	fprintf(stderr, "strictpost: cannot write the answer to standard output: %s\n", strerror(errno));
	return RELAY_EXIT_FAILED;
}

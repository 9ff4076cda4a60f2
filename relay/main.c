/* relay/main.c - the program: finds the subcommand and hands over. */
#include "relay/cmd.h"

#include "core/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *what;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run",         "run the relay in the foreground",                        cmd_run },
	{ "config",      "check a configuration file, or print it with defaults",  cmd_config },
	{ "policy",      "lint an MTA-STS policy, a TXT record, or match an MX",   cmd_policy },
	{ "report",      "send TLS reports (RFC 8460); show, read and check them", cmd_report },
	{ "dkim",        "make a key that signs mail and reports, print its DNS record", cmd_dkim },
	{ "user",        "who may log in, with which password, and send as whom",  cmd_user },
	{ "status",      "what the running relay has done and has",                cmd_status },
	{ "healthcheck", "is the running relay well? for containers",              cmd_healthcheck },
};

const char *cmd_config_default(void)
{
	const char *env = getenv("STRICTPOST_CONFIG");
	return env && *env ? env : "/etc/strictpost/strictpost.yaml";
}

static void usage(FILE *to)
{
	fputs("strictpost " STRICTPOST_VERSION " - an outbound SMTP relay that never downgrades\n\n"
	      "usage: strictpost COMMAND [ARGUMENTS]\n\n", to);
	for (size_t i = 0; i < SP_COUNT(commands); i++)
		fprintf(to, "  %-11s %s\n", commands[i].name, commands[i].what);
	fputs("\nstrictpost COMMAND --help tells more. The configuration is --config FILE, else $STRICTPOST_CONFIG,\n"
	      "else /etc/strictpost/strictpost.yaml.\n", to);
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return RELAY_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
		puts("strictpost " STRICTPOST_VERSION);
		return RELAY_EXIT_OK;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return RELAY_EXIT_OK;
	}
	for (size_t i = 0; i < SP_COUNT(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "strictpost: there is no command '%s'; see strictpost --help\n", argv[1]);
	return RELAY_EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);
	if ((fflush(stdout) == 0 && !ferror(stdout)) || status != RELAY_EXIT_OK)
		return status;
	fprintf(stderr, "strictpost: cannot write the answer to standard output: %s\n", strerror(errno));
	return RELAY_EXIT_FAILED;
}

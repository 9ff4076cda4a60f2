/* relay/cmd_report.c - strictpost report VERB: finds the verb and hands over. A verb is a row here. */
#include "relay/cmd.h"
#include "relay/cmd_report.h"

#include "core/base.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *arguments, *what;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "send", "[OPTIONS]", "send what is due, or a day and a domain of your choice", cmd_report_send },
	{ "list", "[OPTIONS]", "what was sent, what is to be, and how that went", cmd_report_list },
	{ "show", "[OPTIONS] DOMAIN", "a report as it was or will be sent", cmd_report_show },
	{ "suppressions", "[OPTIONS]", "addresses to which no report is mailed for a while", cmd_report_suppressions },
	{ "read", "[--json] FILE|-...", "print reports that were received", cmd_report_read },
	{ "lint", "[--json] FILE|-", "is a report as RFC 8460 wants it?", cmd_report_lint },
	{ "txt", "[--json] RECORD...", "do these TXT records of _smtp._tls.<domain> ask for reports?", cmd_report_txt },
	{ NULL, NULL, NULL, NULL },
};

static void usage(FILE *to)
{
	const char *lead = "usage:";
	for (size_t i = 0; verbs[i].name; i++, lead = "")
		fprintf(to, "%-6s strictpost report %-12s %-20s  %s\n", lead, verbs[i].name, verbs[i].arguments, verbs[i].what);
	fputs("strictpost report VERB --help tells more.\n", to);
}

int cmd_report(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
		usage(stdout);
		return RELAY_EXIT_OK;
	}
	for (size_t i = 0; verbs[i].name; i++)
		if (strcmp(verb, verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	if (*verb)
		fprintf(stderr, "strictpost report: there is no verb '%s'\n", verb);
	usage(stderr);
	return RELAY_EXIT_USAGE;
}

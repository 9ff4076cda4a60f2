/* relay/cmd_report.c - strictpost report VERB: its verbs are rows here. */
#include "relay/cmd.h"
#include "relay/cmd_report.h"
#include "relay/cmd_verb.h"

#include "core/base.h"

static const struct cmd_verb verbs[] = {
	{ "send", "[OPTIONS]", "send what is due, or a day and a domain of your choice", cmd_report_send },
	{ "list", "[OPTIONS]", "what was sent, what is to be, and how that went", cmd_report_list },
	{ "show", "[OPTIONS] DOMAIN", "a report as it was or will be sent", cmd_report_show },
	{ "suppressions", "[OPTIONS]", "addresses to which no report is mailed for a while", cmd_report_suppressions },
	{ "read", "[--json] FILE|-...", "print reports that were received", cmd_report_read },
	{ "lint", "[--json] FILE|-", "is a report as RFC 8460 wants it?", cmd_report_lint },
	{ "txt", "[--json] RECORD...", "do these TXT records of _smtp._tls.<domain> ask for reports?", cmd_report_txt },
};

int cmd_report(int argc, char **argv)
{
	static const struct cmd_verbs report = {
		.group = "report",
		.head = "usage: strictpost report VERB [ARGUMENTS]\n\n",
		.verbs = verbs,
		.count = SP_COUNT(verbs),
		.foot = "\nstrictpost report VERB --help tells more.\n",
	};
	return cmd_verbs(&report, argc, argv);
}

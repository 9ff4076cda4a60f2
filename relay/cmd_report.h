/* relay/cmd_report.h - the subcommands of `strictpost report`. Each gets its own arguments (argv[0] is its name) and returns as those of relay/cmd.h.
 * cmd_report.c finds them; cmd_report_file.c has read, lint and txt, which need nothing but their input; cmd_report_send.c has send;
 * cmd_report_list.c list, show and suppressions. */
#ifndef RELAY_CMD_REPORT_H
#define RELAY_CMD_REPORT_H

int cmd_report_send(int argc, char **argv);
int cmd_report_list(int argc, char **argv);
int cmd_report_show(int argc, char **argv);
int cmd_report_suppressions(int argc, char **argv);
int cmd_report_read(int argc, char **argv);
int cmd_report_lint(int argc, char **argv);
int cmd_report_txt(int argc, char **argv);

/* A report on standard output, as `read` prints it. */
struct rpt_read_report;
void cmd_report_print(const struct rpt_read_report *report);

#endif

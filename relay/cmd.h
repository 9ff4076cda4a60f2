/* relay/cmd.h - the subcommands. Each gets its own arguments (argv[0] is its name), answers --help, and returns the exit status:
 * 0 done, 1 it did not work, 2 wrong usage (sysexits.h's 78 for a configuration that does not hold). */
#ifndef RELAY_CMD_H
#define RELAY_CMD_H

#define RELAY_EXIT_OK 0
#define RELAY_EXIT_FAILED 1
#define RELAY_EXIT_USAGE 2
#define RELAY_EXIT_CONFIG 78            /* EX_CONFIG */

int cmd_run(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_queue(int argc, char **argv);           /* its verbs: cmd_queue.h */
int cmd_report(int argc, char **argv);          /* its verbs: cmd_report.h */
int cmd_dkim(int argc, char **argv);
int cmd_user(int argc, char **argv);
int cmd_check(int argc, char **argv);           /* its exit statuses are answers: relay/cmd_check.c */
int cmd_explain(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_healthcheck(int argc, char **argv);

/* --config's default: $STRICTPOST_CONFIG, else /etc/strictpost/strictpost.yaml. */
const char *cmd_config_default(void);

#endif

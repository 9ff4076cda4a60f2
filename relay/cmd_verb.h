/* relay/cmd_verb.h - subcommands and their verbs: found by name, listed for --help, and what a mistyped one may have meant. relay/main.c has the commands; a command that has
 * verbs with options of their own has a table like it. */
#ifndef RELAY_CMD_VERB_H
#define RELAY_CMD_VERB_H

#include <stddef.h>

struct cmd_verb {
	const char *name, *arguments, *what;    /* "list", "[OPTIONS]" (NULL: not shown), "what is in the queue" */
	int (*run)(int argc, char **argv);      /* argv[0] is its name */
};
struct cmd_verbs {
	const char *group;                      /* "queue": strictpost queue VERB; "": the program itself */
	const char *head, *foot;                /* around the list of the verbs, which is the help; NULL: nothing */
	const char *help;                       /* or this alone, where it is not NULL */
	const struct cmd_verb *verbs;
	size_t count;
};
/* Finds argv[1] and hands over; answers --help, help, and help VERB. Returns the exit status. */
int cmd_verbs(const struct cmd_verbs *v, int argc, char **argv);

/* What is running, for what it says: "queue list"; "" before. */
const char *cmd_name(void);

/* Is `typed` likely a mistake for `meant`? By the letters that must be changed, added, left out or swapped; 0: the same. Over CMD_SLIP_MAX: another word. */
#define CMD_SLIP_MAX 2
size_t cmd_slips(const char *typed, const char *meant);

#endif

/* relay/cmd_explain.h - strictpost explain ID|DOMAIN: what its files share. cmd_explain.c reads the command line and gathers a message's story, explain_print.c tells it to people. */
#ifndef RELAY_CMD_EXPLAIN_H
#define RELAY_CMD_EXPLAIN_H

#include "relay/api_client.h"

struct explain_options {
	const char *config;
	bool json;
	bool pem;                       /* the chains' certificates too */
	bool transcript;                /* the dialogues of attempts, */
	bool all_transcripts;           /* and of what was tried meanwhile for the destination */
};

/* Prints one element of the story: {"at", "data", "session", "pem"}, as relay/api_evidence.c has events; or, without "data", a session of the destination's. */
void explain_print_event(const json_t *event, const struct explain_options *o);
/* Where the recipients stand: an element of /queue/list; NULL: the message is not in the queue any more. `outcomes`: what the events say of recipients that are gone. */
void explain_print_now(const json_t *message, const json_t *events);

#endif

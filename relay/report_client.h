/* relay/report_client.h - asks the reporter, wherever it is, in the words of relay/report_api.h: the running relay over its control socket, or, where no relay runs,
 * one of our own over the spool, which is ours alone meanwhile. For the subcommands: it blocks. */
#ifndef RELAY_REPORT_CLIENT_H
#define RELAY_REPORT_CLIENT_H

#include "relay/control.h"

struct report_client;
/* NULL after it was told on standard error why (with `name`, the subcommand), and what to do; *status: the exit status. */
SP_NODISCARD struct report_client *report_client_open(const char *name, const char *config_path, int *status);
/* One request and its answer with status 200. False with `why`, also where the answer says no. The answer's body is to be cleared in any case. */
SP_NODISCARD bool report_client_ask(struct report_client *c, const char *method, const char *target, struct control_answer *out, struct sp_buf *why);
/* Between two questions: a reporter of our own works meanwhile. */
void report_client_wait(struct report_client *c, unsigned wait_ms);
bool report_client_is_relay(const struct report_client *c);     /* a relay runs: what is mailed goes out now */
/* What is under way comes to an end first: some seconds at most. */
void report_client_close(struct report_client *c);              /* NULL is fine */

#endif

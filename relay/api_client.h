/* relay/api_client.h - asks the admin API (relay/api.h) for a subcommand: of the running relay over its control socket, or, where no relay runs, in this process over the
 * spool, which is ours alone meanwhile (what needs a running relay is answered 503 there). It blocks. */
#ifndef RELAY_API_CLIENT_H
#define RELAY_API_CLIENT_H

#include "relay/control.h"

#include <jansson.h>

struct api_client;
/* `name`: the subcommand, for what it says; `alone`: the command makes sense without a relay. NULL after it was told on standard error why not, and what to do (no such
 * socket, no permission and whose it is, no relay there); *status: the exit status. */
SP_NODISCARD struct api_client *api_client_open(const char *name, const char *config_path, bool alone, int *status);
/* One request, and its answer with status 200, which is to be cleared in any case. False with `why`, also where the answer says no: out->status tells then. */
SP_NODISCARD bool api_client_ask(struct api_client *c, const char *method, const char *target, struct control_answer *out, struct sp_buf *why);
/* The answer as JSON, a new reference; NULL with `why`. */
SP_NODISCARD json_t *api_client_json(struct api_client *c, const char *method, const char *target, struct sp_buf *why);
void api_client_wait(struct api_client *c, unsigned wait_ms);   /* between two questions: work of our own goes on meanwhile */
void api_client_pause(struct api_client *c);    /* between two pages: leaves the relay to its mail for some time; where no relay runs, nothing */
bool api_client_is_relay(const struct api_client *c);
void api_client_close(struct api_client *c);                    /* what is under way comes to an end first: some seconds at most. NULL is fine */

/* All pages of a list: `target` without after=; `row` for each element of `rows`; it returns false to stop, which is no failure. False with `why`. */
SP_NODISCARD bool api_client_each(struct api_client *c, const char *target, const char *rows, bool (*row)(void *owner, const json_t *row), void *owner,
                                  struct sp_buf *why);

#endif

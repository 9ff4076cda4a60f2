/* relay/cmd_policy.h - the subcommands of `strictpost policy`, which return as those of relay/cmd.h. cmd_policy.c finds them; cmd_policy_lint.c has lint, txt and match, which need nothing
 * but their input; cmd_policy_list.c has list, show and history, cmd_policy_change.c refresh and forget: these ask the admin API (relay/api_policy.c). */
#ifndef RELAY_CMD_POLICY_H
#define RELAY_CMD_POLICY_H

#include "core/arena.h"
#include "relay/api_client.h"

#include <jansson.h>

int cmd_policy_lint(bool json, int argc, char **argv);          /* the arguments alone */
int cmd_policy_txt(bool json, int argc, char **argv);
int cmd_policy_match(bool json, int argc, char **argv);
int cmd_policy_list(int argc, char **argv);
int cmd_policy_show(int argc, char **argv);
int cmd_policy_history(int argc, char **argv);
int cmd_policy_refresh(int argc, char **argv);
int cmd_policy_forget(int argc, char **argv);

/* ---- what those that ask share; cmd_policy_list.c ---- */

#define POLICY_TEXT_MAX 4096            /* of a target, of what went wrong */
#define POLICY_MX_MAX 131072             /* of all patterns of a policy */
/* Domains of the command line as policies have them, in A-labels, in `arena`. False after it was said which is none. */
SP_NODISCARD bool policy_domains(int count, char **words, struct sp_arena *arena, const char ***out);
const char *policy_text(const json_t *v, const char *name);     /* "" where there is none */
json_int_t policy_number(const json_t *v, const char *name);
void policy_complain(const struct sp_buf *why);                 /* on standard error */
/* The row of a domain; json_null() where it is not in the cache; NULL with `why`. A new reference. */
SP_NODISCARD json_t *policy_ask(struct api_client *c, const char *domain, struct sp_buf *why);

#endif

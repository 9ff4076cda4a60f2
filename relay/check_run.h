/* relay/check_run.h - checks many domains (relay/check.h), some at a time, on one loop of its own: what `strictpost check` does, and `strictpost explain DOMAIN` where no relay runs.
 * It blocks. */
#ifndef RELAY_CHECK_RUN_H
#define RELAY_CHECK_RUN_H

#include "relay/check.h"

#define CHECK_PARALLEL 16
#define CHECK_PARALLEL_MAX 256
#define CHECK_DEADLINE_MS (120 * 1000)  /* of a domain: a policy host alone has a minute (RFC 8461 3.3) */

struct check_run {
	const char *const *names;       /* each passed check_name() */
	size_t count;
	unsigned parallel;
	struct check_ask ask;           /* of each; its name is not looked at */
	bool forget_rules;
	/* One call for each domain as it is ready. `told` is lent. False: no more of it (nobody reads any more). */
	bool (*each)(void *owner, size_t index, enum check_status status, json_t *told);
	void *owner;
	size_t done;                    /* out: how many were ready; fewer than `count` where it was interrupted */
};
/* Shows progress on a terminal, where there is more than one. After SIGINT what is under way is left. False with *why where it could not begin. */
SP_NODISCARD bool check_run(struct check_run *r, struct config *config, struct sp_fail *why);

#endif

/* relay/check_world.h - what the relay's own code needs to find out about a domain, without a relay: one shard without a spool on a loop of the caller's, the resolver looked at
 * once, and nothing cached. What it finds is what a relay with the same configuration and an empty cache finds. For `strictpost check` and `strictpost explain DOMAIN`. */
#ifndef RELAY_CHECK_WORLD_H
#define RELAY_CHECK_WORLD_H

#include "relay/dnssec.h"
#include "relay/evidence.h"
#include "relay/policy.h"

struct check_world {
	struct relay relay;
	struct shard *shard;
	struct core_loop *loop;         /* the shard's */
	struct config *config;          /* one ref */
	struct dnssec *dnssec;
	struct policy_tap policy_tap;
	struct evidence_tap evidence_tap;
	struct sp_link checks;          /* of struct check, under way (relay/check_impl.h) */
	void (*ready)(void *owner);
	void *owner;
};

/* The configuration to look with: `path`'s; where `must` is false and there is no such file, or we may not read it, the built-in one. NULL with the problems. *from: how
 * it is called in answers, static or `path`. NULL for `path`: the built-in one. */
SP_NODISCARD struct config *check_config(const char *path, bool must, const char **from, struct sp_buf *problems);

/* `ready` is called on a later turn, when it is known whether the resolver validates; checks may begin then. -1 with *why where there are no roots or no resolver. */
SP_NODISCARD int check_world_open(struct check_world *w, struct config *config, void (*ready)(void *owner), void *owner, struct sp_fail *why);
void check_world_close(struct check_world *w);  /* checks must be over */

#endif

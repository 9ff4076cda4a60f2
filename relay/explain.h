/* relay/explain.h - what a relay that runs would do now with mail for a destination, and why: the shard that it lives on is asked, with all that it remembers. For relay/api_explain.c.
 *
 *   {"destination": for people, "name": as evidence has it, "plan": relay/plan_tell.h, "remembered": true where the present plan was told, false where one was made for this (and is forgotten again),
 *    "resolver": {"state", "believed", "remedy"}, "policy_refresh": {"due", "failures", "failure", "not_before"} or null where nothing is cached,
 *    "state": {"state": "unknown" (nothing is in memory of it), "quiet", "working" or "held", "held_until", "why", "failures", "since", "sessions", "idle_sessions",
 *              "sessions_allowed", "waiting", "under_way", "more": there is more in the spool, "rate": "20 in 60 s" or null},
 *    "addresses": [{"address", "sessions", "sessions_allowed", "dead_for_ms", "paused_for_ms", "why"}], those that are remembered,
 *    "now": "try", "hold" (by an operator's rule, whatever the plan says), "wait", "defer" or "bounce", "why": text} */
#ifndef RELAY_EXPLAIN_H
#define RELAY_EXPLAIN_H

#include "relay/relay.h"

#include <jansson.h>

/* Of mail to `address`, from `sender` (NULL: from one whom no rule names). One call of `done` on the main thread, on a later turn: `told` is a new reference, NULL
 * where the relay is stopping. Main thread. */
void explain_destination(struct relay *r, const char *destination, const char *address, const char *sender, void (*done)(void *owner, json_t *told), void *owner);
/* The shard stops: who waits for a plan is told. On its thread. */
void explain_stop_all(struct shard *s);

#endif

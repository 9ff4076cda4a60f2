/* relay/check.h - looks at one domain as the relay would before it sent mail there, and says what to mend: `strictpost check`. The decisions are the relay's own
 * (relay/plan.h, relay/delivery.h, relay/outcome.h), made in a world without a spool (relay/check_world.h), so that what is foretold is what a relay does.
 * What was found is one JSON object:
 *
 *   {"domain": A-labels or a literal, "name": as it was given, "status": "sound", "problems" or "undetermined",
 *    "prediction": {"outcome": "deliver" (seen by --connect), "attempt" (not looked), "defer", "bounce" or "unknown", "host", "address", "policy", "failure": FAIL,
 *                   "report": what the sessions until then add to the TLS report, as in the log},
 *    "findings": [{"severity": "problem", "unknown" or "advice", "code", "host" or null, "text", "mend"}],
 *    "mta_sts": {"name", "answer", "records": [{"text", "used"}], "id" or null, "why" or null, "fetch": null where nothing was fetched, else
 *                {"host", "status", "content_type", "address", "took_ms", "octets", "warnings", "failure": FAIL}} or null where it was not looked for,
 *    "tls_rpt": {"name", "answer", "records", "rua": [...], "skipped": [...], "why" or null} or null,
 *    "resolver": {"state", "believed", "remedy" or null},
 *    "plan": relay/plan_tell.h; null when it did not come about in time,
 *    "sessions": null without --connect, else [{"host", "address", "carries": mail could go on it, "failure": FAIL, "cut", "seen": [relay/evidence.h's sessions]}],
 *    "took_ms"}
 * FAIL as in relay/plan_tell.h. On the thread of the world's loop. */
#ifndef RELAY_CHECK_H
#define RELAY_CHECK_H

#include "relay/check_world.h"

#include <jansson.h>

enum check_status { CHECK_SOUND, CHECK_PROBLEMS, CHECK_UNDETERMINED };
const char *check_status_str(enum check_status s);

#define CHECK_EXPIRES_SOON_S (14 * 86400)       /* of a certificate: worth a word */
#define CHECK_MAX_AGE_SHORT_S (7 * 86400)       /* RFC 8461 3.2: "weeks or greater" is what is expected */

struct check_ask {
	const char *name;               /* a domain (A- or U-labels), or an address literal */
	const char *sender;             /* of the mail that is thought of: routes and sources by sender; NULL: none that has any */
	bool connect;                   /* a session to each host and address, without mail */
	bool by_itself;                 /* routes are left aside; so are rules, where check_forget_rules() was called */
	uint64_t deadline_ms;           /* for everything together: what is known by then is told */
};
/* Is it a name that can be looked at? Then its A-labels, in `arena`; NULL with *why. */
const char *check_name(const char *name, struct sp_arena *arena, const char **why);
/* What the operator says of domains counts for nothing in this world: what they demand by themselves is looked at. Before the first check. */
void check_forget_rules(struct check_world *w);

struct check;
/* `name` passed check_name(). One call of `done`, on a later turn; the object is lent, and the check is gone when it returns. */
struct check *check_start(struct check_world *w, const struct check_ask *ask,
                          void (*done)(void *owner, enum check_status status, json_t *told), void *owner);
/* Ends it with what is known; `done` is called before this returns. */
void check_cut(struct check *c);

#endif

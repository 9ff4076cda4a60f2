/* queue/filter.h - which messages of the spool are meant: for lists, counts and what operators do to many (queue/list.h, queue/steer.h). Borrowed strings; what is NULL or 0 says
 * nothing; all that is said must fit. Without anything said: all messages. */
#ifndef QUEUE_FILTER_H
#define QUEUE_FILTER_H

#include "core/arena.h"
#include "queue/spool.h"

/* Where a recipient stands, in Postfix's words where it has one (queue_name). */
#define QUEUE_STATES(X) \
	X(ANY,         "")            /* of a filter: whichever */ \
	X(ACTIVE,      "active")      /* a shard has it: about to be sent, or being sent */ \
	X(DEFERRED,    "deferred")    /* waits for its next attempt, or for its destination's, or for the time its sender set (RFC 4865) */ \
	X(HOLD,        "hold")        /* an operator holds it */ \
	X(QUARANTINED, "quarantined") /* cannot be read, or was in hand in three crashes (queue/spool.h) */
enum queue_state {
#define X(name, text) QUEUE_STATE_##name,
	QUEUE_STATES(X)
#undef X
};
const char *queue_state_str(enum queue_state s);
SP_NODISCARD bool queue_state_parse(struct sp_str text, enum queue_state *out);

struct queue_filter {
	uint64_t id;                    /* this message */
	const char *sender;             /* "ann@a.example", "@a.example" (any of that domain, no subdomain), "<>"; without case */
	const char *recipient;          /* the same of one recipient */
	const char *domain;             /* of one recipient: lower case, A-labels, as its address has it */
	const char *destination;        /* its next hop, as struct queue_recipient has it */
	int64_t before_ms;              /* arrived before this */
	enum queue_state state;         /* one recipient that fits is in it */
	uint64_t hold_rule;             /* of one recipient: it is held by this rule (queue/holds.h), or will be when a shard lets go of it */
};
/* Operations concern the recipients that fit, not the others of the same message; a filter that says nothing of recipients means all of them. True where it speaks of
 * them: recipient, domain, destination, state, hold_rule. */
bool queue_filter_names_recipients(const struct queue_filter *f);
/* Strings copied into `arena`. */
struct queue_filter queue_filter_copy(const struct queue_filter *f, struct sp_arena *arena);

/* What stands behind the last "@"; empty: there is none. */
struct sp_str queue_address_domain(struct sp_str address);
/* `address` against "user@domain", "@domain" or "<>" (the empty path). Without case. Pure. */
bool queue_address_fits(struct sp_str address, const char *pattern);

#endif

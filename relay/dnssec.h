/* relay/dnssec.h - does the relay's own resolver validate? DANE stands on its AD bit (RFC 7672 2.1.1), so it is asked at start, every hour, and every
 * minute while it does not: the SOA of resolver.probe, which is signed (the root, unless configured), must come back with AD. Of several servers each is
 * asked, and one that does not validate turns DANE off: look-ups that the others fail go to it too, so it would make an attack look like an unsigned zone.
 * The probe lives on the main loop; what it found is read from all threads. */
#ifndef RELAY_DNSSEC_H
#define RELAY_DNSSEC_H

#include "core/loop.h"
#include "relay/relay.h"

#define DNSSEC_STATES(X) \
	X(UNKNOWN,        "not known yet")                              /* trusted, and has not answered: each answer's AD bit counts */ \
	X(VALIDATING,     "trusted, validating") \
	X(NOT_VALIDATING, "trusted, not validating")                    /* no answer is secure, and DANE is off */ \
	X(UNTRUSTED,      "not trusted")                                /* so is it here: AD from elsewhere could be anybody's word */
enum dnssec_state {
#define X(name, text) DNSSEC_##name,
	DNSSEC_STATES(X)
#undef X
};
const char *dnssec_state_str(enum dnssec_state s);

struct dnssec;
/* Begins; relay->trust_ad is settled. Never NULL: where no resolver can be set up, that is logged, and DANE is off. */
struct dnssec *dnssec_start(struct relay *r, struct core_loop *l, struct config *c);
/* One call of `done` on a later turn, when the first look came to an end, whatever it found: dnssec_state() tells. Silent once it is freed. */
void dnssec_when_known(struct dnssec *d, void (*done)(void *owner), void *owner);
void dnssec_reload(struct dnssec *d, struct config *c);         /* asks at once: the operator may just have mended it */
void dnssec_free(struct dnssec *d);                             /* NULL is fine */

/* Any thread. */
enum dnssec_state dnssec_state(const struct relay *r);
bool dnssec_believed(const struct relay *r);                    /* is an answer with AD secure? */
/* Why it is not believed, and what mends it: for logs, and for mail that waits for DANE. "" where it is. */
const char *dnssec_remedy(const struct relay *r);

#endif

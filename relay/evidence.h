/* relay/evidence.h - what a session saw, as it goes: the SMTP dialogue with times, what applied and what was proved, as the JSON that queue/evidence.h keeps and `strictpost explain`
 * shows. One a delivery (relay/delivery_impl.h); it goes to the store with the results it explains, or alone when the session had none and failed. Bounded: a line of the dialogue is cut
 * at 512 octets, of a session's beginning 64 lines and of each message's part 64 are kept (first and last halves), a chain is at most 100 KiB of PEM. Content of mail and
 * credentials are never in it. On the shard's thread.
 *
 * session: {"at", "destination", "host", "address", "local", "policy": "sts/enforce", "policy_id", "source": "cache", "fetched", "expires", "require", "mx_dnssec", "tlsa", "tls", "cipher",
 *           "resumed", "chain": [{"subject", "names", "issuer", "not_before", "not_after"}], "cert", "verdict": "proven", "fault", "reason", "why", "report": [...], "dialogue": [[ms, "<", "220 ..."], ...]}
 * event:   {"event": "attempt", "sender", "client", "arrived", "size", "recipients": [{"address", "outcome", "reply", "next_attempt", "why"}], "times": {...}, "dialogue": [...]} */
#ifndef RELAY_EVIDENCE_H
#define RELAY_EVIDENCE_H

#include "queue/evidence.h"
#include "relay/relay.h"

/* Where sessions are told to instead of the store: `strictpost check --connect` looks at them (relay/check.h). In struct relay; NULL in a relay that runs. */
struct evidence_tap {
	void (*session)(void *owner, const char *destination, struct sp_str json, struct sp_str chain_pem);
	void *owner;
};

#endif

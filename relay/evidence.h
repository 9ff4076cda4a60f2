/* relay/evidence.h - what is kept of attempts: the JSON that queue/evidence.h stores and `strictpost explain` shows. A sheet is what a session saw (relay/delivery_evidence.c fills it):
 * it goes to the store with the results that it explains, or alone where the session failed. Beside it stand events of a message: that it came, what an attempt gave it, what
 * an operator did. Content of mail and credentials are never in it (relay/dialogue.h). Bounded: a session and an event 384 KiB, a chain 100 KiB of PEM, of a
 * message's recipients the first 100 in full. Nothing is made where evidence.keep is 0.
 *
 * session: {"at", "destination", "host", "address", "local", "policy": "sts/enforce", "policy_text": "mode enforce, id 1, cache", "policy_id", "source": "cache", "fetched", "expires",
 *           "require": "pkix", "mx_dnssec", "tlsa", "tls", "cipher", "resumed", "cert": "verified", "chain": [{"subject", "names", "issuer", "not_before", "not_after"}],
 *           "verdict": "proven", "fault", "reason", "why", "report": ["sts"], "earlier": [{"session", "host", "address", "verdict", "why"}], "dialogue": [[ms, "<", "220 ..."], ...]}
 *   verdict: proven; tolerated (a fault that was let pass); refused; failed. earlier: hosts that were tried before, in the same attempt.
 * event:   {"event": "accepted", "sender", "client", "via", "user", "subject", "tls", "helo", "size", "recipients": [{"address"}], "about": of a notice, "kind"}
 *          {"event": "attempt" or, without one of its own, "waited", "destination", "host", "address", "policy", "tls", "cert", "recipients": [{"address", "outcome", "attempts", "status",
 *           "fault", "reason", "why", "reply", "next_attempt", "next_why", "expired"}], "notices": [{"id", "kind"}], "times": {...}, "dialogue_at", "dialogue": [...]}
 *          {"event": "hold" and other words of what an operator did, "reason"} */
#ifndef RELAY_EVIDENCE_H
#define RELAY_EVIDENCE_H

#include "core/json.h"
#include "queue/evidence.h"
#include "relay/dialogue.h"
#include "relay/outcome.h"
#include "relay/relay.h"
#include "relay/settle.h"

/* Where sessions are told to instead of the store: `strictpost check --connect` looks at them (relay/check.h). In struct relay; NULL in a relay that runs. */
struct evidence_tap {
	void (*session)(void *owner, const char *destination, struct sp_str json, struct sp_str chain_pem);
	void *owner;
};

#define EVIDENCE_DATA_MAX 393216        /* octets of a session's or an event's JSON: more than its parts can come to, whatever a peer shows */
#define EVIDENCE_RECIPIENTS_MAX 100     /* of an event, told in full */

/* Is anything kept, or looked at? */
bool evidence_wanted(const struct relay *r, const struct config *c);

/* ---- sessions ---- */

struct evidence_sheet {
	uint64_t session;                       /* its id; 0: there was none */
	bool is_new;                            /* its row is to be written: */
	int64_t at_ms;
	char *destination;
	struct sp_buf data, chain;
	char chain_hash[QUEUE_EVIDENCE_HASH];
	struct dialogue_part dialogue;          /* of the message; for its event */
	int64_t dialogue_at_ms;
};
/* The session's row, where it is to be written. On the store's thread. NULL is fine. */
SP_NODISCARD enum core_db_status evidence_sheet_write(struct core_db *db, const struct evidence_sheet *sheet);
void evidence_sheet_free(struct evidence_sheet *sheet);         /* NULL is fine */
/* Takes it over: alone into the store. Nobody waits for it; it is lost where the store fails. */
void evidence_sheet_keep(struct evidence_sheet *sheet, struct queue_store *store);

/* ---- events ---- */

/* Rows for a transaction: an attempt of a job with what came of it, and how its notices came into the spool. NULL is none. */
struct evidence_attempt;
/* `facts`: its sheet is taken over. NULL where nothing is kept. */
struct evidence_attempt *evidence_attempt_new(struct shard *s, const struct queue_job *job, const char *destination, const struct settle_facts *facts);
/* What came of it: to be called once. `outcomes`: one a recipient; `kinds`: one a notice ("failed"). */
void evidence_attempt_end(struct evidence_attempt *a, const struct queue_job *job, const struct outcome_recipient *outcomes,
                          struct queue_message *const *notices, const char *const *kinds, size_t notice_count);
/* On the store's thread. Written with results that must be written, perhaps where there is little room left: from the fourth time on it is left out. */
SP_NODISCARD enum core_db_status evidence_attempt_write(struct core_db *db, struct evidence_attempt *a);
void evidence_attempt_free(struct evidence_attempt *a);

/* What an operator did to messages: "retry", "hold", "release", "delete", "bounce". In a transaction of its own, on the loop of no one: nobody waits for it. `ids` and strings are
 * copied. Any thread. */
void evidence_act(struct queue_store *store, const struct config *c, const uint64_t *ids, size_t count, const char *word, const char *reason);

#endif

/* queue/evidence.h - what was seen of attempts, kept for evidence.keep and at most evidence.size octets, of delivered mail too. Tables of its own in the spool:
 *
 *   evidence_session (id, at, destination, data, chain)       a session with a site: what applied, what was proved, how its dialogue began
 *   evidence_event   (id, at, message, session or NULL, data) what happened to a message: accepted, an attempt over that session, waited, held, deleted ...
 *   evidence_chain   (hash, pem)                              certificates, each chain once, however many sessions showed it
 *   evidence_size    octets kept, so that nobody counts them
 * `data` is a JSON object, which relay/evidence.h writes and nobody here reads. Written in the transaction of the results it belongs to (struct queue_extra). On the
 * store's thread but for the asynchronous reads below. Loss of evidence loses no mail: the oldest goes first, and a row that cannot be read is left out. */
#ifndef QUEUE_EVIDENCE_H
#define QUEUE_EVIDENCE_H

#include "core/arena.h"
#include "queue/store.h"

#define QUEUE_EVIDENCE_VERSION 1
SP_NODISCARD enum core_db_status queue_evidence_migrate(struct core_db *db, unsigned from);    /* relay/ hands it to queue_store_open() */

/* Borrowed. Ids are queue_store_next_id()'s: a row that is there already is passed over, so that a transaction may be repeated. */
struct queue_evidence_session {
	uint64_t id;
	int64_t at_ms;
	const char *destination;
	struct sp_str data;
	struct sp_str chain;            /* PEM, leaf first; empty: none was shown */
	struct sp_str chain_hash;       /* of `chain`, by queue_evidence_hash(): not made on the store's thread, where all mail waits; empty where that is */
};
#define QUEUE_EVIDENCE_HASH 32
void queue_evidence_hash(struct sp_str chain, char out[QUEUE_EVIDENCE_HASH]);   /* any thread */
struct queue_evidence_event {
	uint64_t id;
	int64_t at_ms;
	uint64_t message, session;      /* session 0: none */
	struct sp_str data;
};
SP_NODISCARD enum core_db_status queue_evidence_add_session(struct core_db *db, const struct queue_evidence_session *s);
SP_NODISCARD enum core_db_status queue_evidence_add_event(struct core_db *db, const struct queue_evidence_event *e);
/* Deletes what is older than `keep_ms` (0: everything) by the clock `now_ms`, and the oldest while there are more than `octets_max`; up to *budget rows, and takes as many
 * off it: 0 left means that there may be more. Chains that no session names any more go with them. What a clock that was ahead has written goes with what came later. */
SP_NODISCARD enum core_db_status queue_evidence_sweep(struct core_db *db, int64_t now_ms, int64_t keep_ms, uint64_t octets_max, size_t *budget);

/* Octets that are kept. */
SP_NODISCARD enum core_db_status queue_evidence_octets(struct core_db *db, uint64_t *out);

/* The story of a message: its events by id behind `after`, each with its session (NULL where it has none, or where that is gone). Lent until `done` returns. */
struct queue_evidence_row { struct queue_evidence_event event; const struct queue_evidence_session *session; };
void queue_evidence_of(struct queue_store *s, uint64_t message, uint64_t after, size_t limit, struct core_mailbox *reply_to,
                       void (*done)(void *owner, const struct queue_evidence_row *rows, size_t count, uint64_t next, const struct sp_fail *why), void *owner);
/* Sessions, the newest first, below `before` (0: from the newest), with a destination, or with all (NULL). `chain` is empty here. */
void queue_evidence_sessions(struct queue_store *s, const char *destination, uint64_t before, size_t limit, struct core_mailbox *reply_to,
                             void (*done)(void *owner, const struct queue_evidence_session *rows, size_t count, uint64_t next, const struct sp_fail *why), void *owner);
/* The certificates that a session showed, as PEM; empty: none, or no such session. */
void queue_evidence_chain(struct queue_store *s, uint64_t session, struct core_mailbox *reply_to,
                          void (*done)(void *owner, struct sp_str pem, const struct sp_fail *why), void *owner);

#endif

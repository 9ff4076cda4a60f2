/* queue/recover.h - what a start finds of the run before: mail that was in memory, and the message that may have crashed it.
 * Used by queue/store.c. */
#ifndef QUEUE_RECOVER_H
#define QUEUE_RECOVER_H

#include "core/db.h"

/* Fresh recipients come to rest, due at once; destinations that a shard had are due; every destination with mail has a row. Damage is logged
 * and passed over; other failures are told. */
SP_NODISCARD bool queue_recover(struct core_db *db, struct sp_fail *why);

/* The message's recipients at rest are never tried again, nor expire, until an operator acts; `reason` goes into the log at error, and stays with them. What a shard has of it is
 * left to it: released from quarantine, it would be taken a second time. */
SP_NODISCARD enum core_db_status queue_quarantine(struct core_db *db, uint64_t id, const char *reason);

/* Which message each shard was working on is kept in a small shared file, which a crash of the process leaves as it was. A message that
 * was in hand in several crashes is quarantined. */
struct queue_in_hand;
SP_NODISCARD struct queue_in_hand *queue_in_hand_open(const char *state_dir, struct core_db *db, struct sp_fail *why);
void queue_in_hand_set(struct queue_in_hand *h, unsigned slot, uint64_t id);
void queue_in_hand_close(struct queue_in_hand *h);      /* a clean end: nothing is in hand; NULL is fine */

#endif

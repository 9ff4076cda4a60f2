/* relay/account.h - what the sessions of a delivery add to the ledger, from the moment a session reached its conclusion until the store has it.
 * Events wait in a list of the delivery; they go with the first results that are stored after them (settle_job), or alone (account_flush) when the delivery
 * ends without any, or when their day is over: the report of a day must not be made before all of it is there. A list is one batch of the ledger with one
 * number, so that it is counted once, however often a transaction is repeated. On the shard's thread. */
#ifndef RELAY_ACCOUNT_H
#define RELAY_ACCOUNT_H

#include "relay/shard.h"
#include "rpt/event.h"

struct account;                         /* events on their way; NULL is none */

/* Adds an event (copied), made when there is none. Nothing happens where report.enabled is no, or without a store. */
void account_add(struct account **a, struct shard *s, const struct rpt_event *e);
/* What a transaction of the store is to do besides: lent until account_free(). NULL for NULL. */
struct queue_extra *account_extra(struct account *a);
void account_free(struct account *a);                   /* stored, or of no use; NULL is fine */
/* Stores them alone; tried again until the store takes them, also while we stop: nobody waits for it but queue_store_close(). Takes *a over and leaves NULL. */
void account_flush(struct account **a, struct shard *s);
/* Is there an event of a day before `today`? */
bool account_is_late(const struct account *a, int64_t today);

#endif

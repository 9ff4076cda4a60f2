/* relay/login.h - a log-in under way: the hash is computed on libuv's threads, never on the loop; a failure is answered late, and later each time for the same
 * client address (1 s, 2 s, 4 s ... 30 s; forgotten after 10 minutes), a name that does not exist as late as a wrong password, and with as much work. On the
 * shard's thread; what is known of addresses is shared by all (a lock).
 *
 * While a failure of an address waits for its answer, further log-ins from there wait as well, and only a few of them: else who hangs up without waiting would
 * guess as fast as hashes are computed. An IPv6 address counts as its /64, which one client has to itself. A success forgets nothing: who knows one account
 * could go on guessing others.
 *
 * libuv's threads are shared with the file reads and writes of deliveries: LOGIN_COMPUTING of the hashes at once are computed in all, the others wait in line.
 *
 * What fitted is remembered for LOGIN_REMEMBER_MS: an application that logs in for each message would cost a core a tenth of a second each time. Kept is a
 * SHA-256 over a random key of this process, the name, the password, and the hash that they fitted; so a changed password or user is forgotten at once, a
 * guess gains nothing by it, and what is kept is worth no more than the passwords that pass through the same memory. */
#ifndef RELAY_LOGIN_H
#define RELAY_LOGIN_H

#include "relay/shard.h"

#define LOGIN_COMPUTING 2               /* hashes at once, in the whole relay: half of libuv's threads */
#define LOGIN_WAITING 256               /* log-ins in line for that; more: LOGIN_BUSY */
#define LOGIN_OF_ADDRESS 64             /* of these from one address */
#define LOGIN_OF_FAILING 4              /* and from one that is being kept waiting */
#define LOGIN_DELAY_MS 1000             /* after the first failure; twice as long each time */
#define LOGIN_DELAY_MAX_MS 30000
#define LOGIN_FORGET_MS (10 * 60 * 1000)
#define LOGIN_ADDRESSES 10000           /* whose failures are kept; the oldest go */
#define LOGIN_REMEMBER_MS (5 * 60 * 1000)
#define LOGIN_REMEMBERED 1024           /* log-ins; the oldest go */

struct logins;                          /* opaque: what all shards share, relay->logins */
struct logins *logins_new(void);
void logins_free(struct logins *s);             /* NULL is fine; no log-in is under way any more */

struct login;                           /* opaque: one under way */

enum login_answer {
	LOGIN_OK,
	LOGIN_WRONG,                            /* name or password */
	LOGIN_BUSY                              /* too many at once, or the hash could not be computed: temporary (454 4.7.0) */
};
/* Exactly one call of `done`, on a later turn. `password` is copied and wiped. `client`: whose failures are counted. The users are those of the shard's
 * configuration now. The shard does not end before a hash that is being computed (shard_op_begin()). */
struct login *login_begin(struct shard *s, const struct sp_addr *client, const char *name, struct sp_str password,
                          void (*done)(void *owner, enum login_answer answer), void *owner);
void login_cancel(struct login *l);             /* silence; NULL is fine; not after done. A failure counts all the same */

#endif

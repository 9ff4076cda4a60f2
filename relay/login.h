/* relay/login.h - a log-in under way: the hash is computed on libuv's threads, never on the loop; a failure is answered late, and later each time for the same
 * client address (1 s, 2 s, 4 s ... 30 s; forgotten after 10 minutes), a name that does not exist as late as a wrong password, and with as much work. On the
 * shard's thread; what is known of addresses is shared by all (a lock). */
#ifndef RELAY_LOGIN_H
#define RELAY_LOGIN_H

#include "relay/shard.h"

struct login;                           /* opaque: one under way */

enum login_answer {
	LOGIN_OK,
	LOGIN_WRONG,                            /* name or password */
	LOGIN_BUSY                              /* too many at once, or the hash could not be computed: temporary (454 4.7.0) */
};
/* Exactly one call of `done`, on a later turn. `password` is copied and wiped. `client`: whose failures are counted. */
struct login *login_begin(struct shard *s, const struct sp_addr *client, const char *name, struct sp_str password,
                          void (*done)(void *owner, enum login_answer answer), void *owner);
void login_cancel(struct login *l);             /* silence; NULL is fine; not after done */

#endif

/* relay/reread.h - files that the configuration names and that change under us: certificates and keys above all, the users file, password files, DKIM keys.
 * Looked at every 10 seconds (and at SIGHUP, which reads everything); a change makes the configuration anew from its text as it was. What does not hold is
 * logged once, and the running one stays. On the main thread. */
#ifndef RELAY_REREAD_H
#define RELAY_REREAD_H

#include "core/loop.h"
#include "relay/config.h"

struct reread;
/* `changed` gets one ref of the new configuration. */
struct reread *reread_start(struct core_loop *l, struct config *c, void (*changed)(void *owner, struct config *c), void *owner);
void reread_config(struct reread *r, struct config *c);         /* another one is in force */
void reread_free(struct reread *r);                             /* NULL is fine */

#endif

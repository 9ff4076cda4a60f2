/* relay/bounce.h - writes the notification for a message as a message of our own. What it returns of a message whose content is in a
 * file is read without blocking: the header; of one that failed all of it up to 50 KiB, or as RET says: only the header, or all of it up to 1 MiB (RFC 3461
 * 4.3). Of mail under REQUIRETLS the header only, and the notification is under REQUIRETLS too (RFC 8689 5). On the shard's thread. */
#ifndef RELAY_BOUNCE_H
#define RELAY_BOUNCE_H

#include "relay/shard.h"
#include "smtp/dsn.h"

struct bounce;                  /* opaque: one being written */
/* One call of `done`, at once or later, with one ref of the notification; NULL when there is nobody to tell (null sender: a bounce that cannot
 * be delivered is logged and dropped, RFC 5321 4.5.5). The recipients are borrowed until then. Returns NULL when done was called at once. */
struct bounce *bounce_write(struct shard *s, struct queue_message *m, enum smtp_dsn_action action,
                            const struct smtp_dsn_recipient *recipients, size_t count,
                            void (*done)(void *owner, struct queue_message *dsn), void *owner);

/* A copy, one ref, of a bounce that cannot go under REQUIRETLS: it goes without rather than not at all (RFC 8689 5). NULL where `m` is none: it has a sender, asks
 * for no such thing, or its content is in a file, which belongs to it alone. */
struct queue_message *bounce_without_require_tls(struct shard *s, const struct queue_message *m);

/* The destination that a notification with this wish is routed to; in `arena`. An address that no longer parses goes to our own host name, where it fails by DNS. */
const char *bounce_destination(const struct config *c, const char *address, const struct sp_mail_wish *wish, struct sp_arena *arena);

#endif

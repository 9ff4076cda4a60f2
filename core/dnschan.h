/* core/dnschan.h - one DNS server, asked through a c-ares channel of its own on a libuv loop.
 * One channel a server, so that which server is asked when, and what counts as an answer, is decided in core/dns.c and is the
 * same with every c-ares version. Used by core/dns.c alone. On the loop's thread. */
#ifndef CORE_DNSCHAN_H
#define CORE_DNSCHAN_H

#include "core/dnsmsg.h"
#include "core/loop.h"

struct core_dnschan;            /* opaque: the channel, its sockets, what was asked */
struct core_dnschan_ask;        /* opaque: one question under way */

/* The servers in /etc/resolv.conf, at most `max`; how many. */
size_t core_dnschan_system_servers(struct sp_addr *out, size_t max);

/* NULL when c-ares refuses. */
struct core_dnschan *core_dnschan_open(struct core_loop *l, const struct sp_addr *server, unsigned timeout_ms);
void core_dnschan_close(struct core_dnschan *c);        /* asks fall silent; NULL is fine; not from `got` */

/* Asks for (`name`, `type`) with RD, AD and EDNS0. One call of `got`: TIMEOUT when nothing came in time (or the server's port is
 * closed), BADNAME, MALFORMED, or OK with the message, whatever its rcode. It may run before this returns: so *out is set first,
 * and is NULL again once `got` has been called. */
void core_dnschan_ask(struct core_dnschan *c, const char *name, enum core_dns_type type,
                      void (*got)(void *owner, enum core_dns_status status, struct sp_str message), void *owner,
                      struct core_dnschan_ask **out);
void core_dnschan_forget(struct core_dnschan_ask *ask); /* silence; NULL is fine */

#endif

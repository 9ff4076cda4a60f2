/* core/dns.h - look-ups through c-ares: one resolver a loop.
 * Queries carry AD and EDNS0, so that a validating resolver says whether its answer was authenticated (RFC 6840 5.7).
 * Answers are parsed here from the wire (core/dnsmsg.h). On the loop's thread. */
#ifndef CORE_DNS_H
#define CORE_DNS_H

#include "core/dnsmsg.h"
#include "core/fail.h"
#include "core/loop.h"
#include "core/metric.h"

#define CORE_DNS_SERVERS_MAX 8
struct core_dns;                /* opaque */
struct core_dns_query;          /* opaque: one look-up under way */

/* `servers`: "ip" or "ip:port", comma separated; "" reads /etc/resolv.conf. `timeout_ms` is for one try of one server;
 * 2 tries each.
 * Servers that did not answer lately are asked last; one that fails, refuses or talks nonsense is not asked again for that
 * look-up, the next one is. NULL with *why. */
SP_NODISCARD struct core_dns *core_dns_open(struct core_loop *l, const char *servers, unsigned timeout_ms,
                                            struct sp_fail *why);
/* Pending look-ups fall silent. */
void core_dns_close(struct core_dns *d);

/* Looks up `name` (A-labels, no trailing dot needed; never with a search list; "." is the root). Exactly one call of `done`,
 * on a later turn, even on failure; `answer` is lent until it returns. The same question at the same time is asked once. */
struct core_dns_query *core_dns_lookup(struct core_dns *d, const char *name, enum core_dns_type type,
                                       void (*done)(void *owner, const struct core_dns_answer *answer), void *owner);
void core_dns_cancel(struct core_dns_query *q);         /* silence from then on; NULL is fine; not after done */

/* How long answered and failed look-ups of `type` took, LATENCY in us: adds to *into. Nothing for a type that is not counted. Any thread, while it is open. */
void core_dns_times(const struct core_dns *d, enum core_dns_type type, struct core_histogram_sum *into);

/* The addresses of the servers in use; how many, at most CORE_DNS_SERVERS_MAX. */
size_t core_dns_servers(const struct core_dns *d, struct sp_addr out[CORE_DNS_SERVERS_MAX]);

/* May AD be believed? True when every server in use is a loopback address. */
bool core_dns_servers_local(const struct core_dns *d);

#endif

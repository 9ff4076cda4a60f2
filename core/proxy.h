/* core/proxy.h - the PROXY protocol's header, version 1 and 2: whom a load balancer speaks for (haproxy's proxy-protocol.txt, 2020/03/05). Pure. */
#ifndef CORE_PROXY_H
#define CORE_PROXY_H

#include "core/addr.h"

#define CORE_PROXY_MAX 4096             /* octets of a header, with its TLVs; more is broken */

enum core_proxy_step { CORE_PROXY_MORE, CORE_PROXY_DONE, CORE_PROXY_BROKEN };

struct core_proxy {
	bool local;                     /* LOCAL, UNKNOWN, or a family that is none of ours: the connection's own addresses count (a health check) */
	struct sp_addr from, to;        /* unless local */
	const char *why;                /* BROKEN: static English phrase */
};
/* `data`: all octets so far. DONE: *taken octets were the header. */
SP_NODISCARD enum core_proxy_step core_proxy_read(struct sp_str data, size_t *taken, struct core_proxy *out);

#endif

/* core/addr.h - IP addresses with ports, unix socket paths, and networks (CIDR). Pure. Any thread. */
#ifndef CORE_ADDR_H
#define CORE_ADDR_H

#include "core/str.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SP_ADDR_TEXT 128        /* octets that any printed address fits, NUL included */

struct sp_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
};

/* "192.0.2.1" or "2001:db8::1", no brackets, no zone. */
SP_NODISCARD bool sp_addr_parse_ip(struct sp_str s, uint16_t port, struct sp_addr *out);
/* "192.0.2.1:25", "[2001:db8::1]:25", "unix:/path". */
SP_NODISCARD bool sp_addr_parse(struct sp_str s, struct sp_addr *out);
void sp_addr_from_ipv4(const uint8_t octets[4], uint16_t port, struct sp_addr *out);
void sp_addr_from_ipv6(const uint8_t octets[16], uint16_t port, struct sp_addr *out);

static inline int sp_addr_family(const struct sp_addr *a) { return a->sa.sa_family; }   /* AF_INET, AF_INET6, AF_UNIX */
uint16_t sp_addr_port(const struct sp_addr *a);                 /* 0 for unix */
void sp_addr_set_port(struct sp_addr *a, uint16_t port);
size_t sp_addr_size(const struct sp_addr *a);                   /* for connect() and bind() */
bool sp_addr_eq(const struct sp_addr *a, const struct sp_addr *b);       /* port included */
bool sp_addr_eq_ip(const struct sp_addr *a, const struct sp_addr *b);    /* port apart; ::ffff:1.2.3.4 equals 1.2.3.4 */

/* Writes into `text` and returns it: "192.0.2.1", "2001:db8::1", the path of a unix socket. */
const char *sp_addr_ip_str(const struct sp_addr *a, char text[SP_ADDR_TEXT]);
const char *sp_addr_str(const struct sp_addr *a, char text[SP_ADDR_TEXT]);       /* with port: what sp_addr_parse() reads */
/* RFC 5321 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
const char *sp_addr_literal_str(const struct sp_addr *a, char text[SP_ADDR_TEXT]);

/* A network: an address and how many leading bits count. Mapped IPv4 (::ffff:0:0/96) is compared as IPv4. */
struct sp_net {
	struct sp_addr addr;
	unsigned bits;
};
/* "10.0.0.0/8", "::1/128", or a bare address. False also when host bits are set ("10.0.0.1/8"). */
SP_NODISCARD bool sp_net_parse(struct sp_str s, struct sp_net *out);
bool sp_net_contains(const struct sp_net *net, const struct sp_addr *a);
bool sp_nets_contain(const struct sp_net *nets, size_t count, const struct sp_addr *a);

bool sp_addr_is_loopback(const struct sp_addr *a);       /* 127.0.0.0/8, mapped too, and ::1 */
/* False for what is not on the public internet: private (RFC 1918, RFC 4193), loopback, link-local, unspecified,
 * multicast, broadcast, shared (RFC 6598), reserved, documentation, benchmarking, and IPv6 forms that lead there: mapped,
 * 6to4, Teredo, NAT64 (64:ff9b::/96, RFC 6052) and the discard prefix. (IANA special-purpose registries, RFC 6890.) */
bool sp_addr_is_public(const struct sp_addr *a);

#endif

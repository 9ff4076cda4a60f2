/* core/proxy.c - see proxy.h. */
#include "core/proxy.h"

#define V1_MAX 107                      /* octets of a line, its CRLF included (2.1) */
#define V2_HEAD 16                      /* octets before the addresses (2.2) */

static const char v1_mark[] = "PROXY ";
static const char v2_mark[] = "\r\n\r\n\0\r\nQUIT\n";

static enum core_proxy_step broken(struct core_proxy *out, const char *why)
{
	out->why = why;
	return CORE_PROXY_BROKEN;
}

/* Of two that begin alike as far as both go. */
static bool agrees(struct sp_str data, struct sp_str mark)
{
	size_t len = sp_min(data.len, mark.len);
	return len == 0 || memcmp(data.p, mark.p, len) == 0;
}

/* --- version 1: "PROXY TCP4 192.0.2.1 192.0.2.9 56324 25" --- */

static bool take_port(struct sp_str *s, struct sp_addr *to)
{
	uint64_t port;
	if (!sp_str_number(sp_take_until(s, ' '), 0, 65535, &port))
		return false;
	sp_addr_set_port(to, (uint16_t)port);
	return true;
}

static bool take_ends(struct sp_str line, int family, struct core_proxy *out)
{
	bool ok = sp_addr_parse_ip(sp_take_until(&line, ' '), 0, &out->from) && sp_addr_parse_ip(sp_take_until(&line, ' '), 0, &out->to) &&
	          sp_addr_family(&out->from) == family && sp_addr_family(&out->to) == family;
	return ok && take_port(&line, &out->from) && take_port(&line, &out->to) && line.len == 0;
}

static enum core_proxy_step read_v1(struct sp_str data, size_t *taken, struct core_proxy *out)
{
	struct sp_str line = sp_str_make(data.p, sp_str_find(sp_str_make(data.p, sp_min(data.len, V1_MAX)), '\n'));
	if (line.len == sp_min(data.len, V1_MAX))
		return data.len < V1_MAX ? CORE_PROXY_MORE : broken(out, "a PROXY line of more than 107 octets");
	if (line.p[line.len - 1] != '\r')
		return broken(out, "a PROXY line that does not end in CRLF");
	*taken = line.len + 1;
	line.len--;
	line = sp_str_from(line, sizeof(v1_mark) - 1);
	struct sp_str kind = sp_take_until(&line, ' ');
	out->local = sp_str_eq(kind, SP_STR("UNKNOWN"));
	if (out->local)
		return CORE_PROXY_DONE;
	int family = sp_str_eq(kind, SP_STR("TCP4")) ? AF_INET : sp_str_eq(kind, SP_STR("TCP6")) ? AF_INET6 : AF_UNSPEC;
	if (family == AF_UNSPEC)
		return broken(out, "a PROXY line of a kind that is none of TCP4, TCP6, UNKNOWN");
	return take_ends(line, family, out) ? CORE_PROXY_DONE : broken(out, "a PROXY line whose addresses or ports cannot be read");
}

/* --- version 2 --- */

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };
enum { FAMILY_UNSPEC, FAMILY_INET, FAMILY_INET6, FAMILY_UNIX };
enum { TRANSPORT_UNSPEC, TRANSPORT_STREAM };

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Addresses, then ports, each the source's first. False: too short for them. What follows them (TLVs) says nothing that we ask. */
static bool read_ends(const uint8_t *p, size_t len, unsigned family, struct core_proxy *out)
{
	size_t octets = family == FAMILY_INET ? 4 : 16;
	if (len < 2 * octets + 4)
		return false;
	const uint8_t *ports = p + 2 * octets;
	if (family == FAMILY_INET) {
		sp_addr_from_ipv4(p, u16(ports), &out->from);
		sp_addr_from_ipv4(p + octets, u16(ports + 2), &out->to);
	} else {
		sp_addr_from_ipv6(p, u16(ports), &out->from);
		sp_addr_from_ipv6(p + octets, u16(ports + 2), &out->to);
	}
	return true;
}

static enum core_proxy_step read_v2(struct sp_str data, size_t *taken, struct core_proxy *out)
{
	const uint8_t *p = (const uint8_t *)data.p;
	if (data.len < V2_HEAD)
		return CORE_PROXY_MORE;
	if (p[12] != COMMAND_LOCAL && p[12] != COMMAND_PROXY)
		return broken(out, "a PROXY header of another version, or with an unknown command");
	size_t len = u16(p + 14);
	if (V2_HEAD + len > CORE_PROXY_MAX)
		return broken(out, "a PROXY header of more than 4096 octets");
	if (data.len < V2_HEAD + len)
		return CORE_PROXY_MORE;
	*taken = V2_HEAD + len;
	unsigned family = p[13] >> 4, transport = p[13] & 15;
	out->local = p[12] == COMMAND_LOCAL || family == FAMILY_UNSPEC || family == FAMILY_UNIX;
	if (out->local)
		return CORE_PROXY_DONE;
	if (family > FAMILY_UNIX || transport != TRANSPORT_STREAM)
		return broken(out, "a PROXY header of an unknown family, or not about a stream");
	return read_ends(p + V2_HEAD, len, family, out) ? CORE_PROXY_DONE : broken(out, "a PROXY header too short for its addresses");
}

enum core_proxy_step core_proxy_read(struct sp_str data, size_t *taken, struct core_proxy *out)
{
	struct sp_str v1 = sp_str_make(v1_mark, sizeof(v1_mark) - 1), v2 = sp_str_make(v2_mark, sizeof(v2_mark) - 1);
	*out = (struct core_proxy){ 0 };
	*taken = 0;
	if (!agrees(data, v1) && !agrees(data, v2))
		return broken(out, "no PROXY header: the client spoke SMTP or TLS, or is no load balancer");
	if (data.len < sp_min(v1.len, v2.len))
		return CORE_PROXY_MORE;
	return agrees(data, v1) ? read_v1(data, taken, out) : read_v2(data, taken, out);
}

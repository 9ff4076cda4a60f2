/* core/addr.c - see addr.h. */
#include "core/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

#define IPV4_BITS 32
#define IPV6_BITS 128
#define MAPPED_BITS 96          /* ::ffff:0:0/96 */

/* ---- from text and octets ---- */

bool sp_addr_parse_ip(struct sp_str s, uint16_t port, struct sp_addr *out)
{
	char text[INET6_ADDRSTRLEN];
	if (s.len == 0 || s.len >= sizeof(text) || sp_str_contains(s, '\0'))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	uint8_t octets[16];
	if (inet_pton(AF_INET, text, octets) == 1)
		sp_addr_from_ipv4(octets, port, out);
	else if (inet_pton(AF_INET6, text, octets) == 1)
		sp_addr_from_ipv6(octets, port, out);
	else
		return false;
	return true;
}

static bool parse_unix(struct sp_str path, struct sp_addr *out)
{
	struct sp_addr a = { .un = { .sun_family = AF_UNIX } };
	if (path.len == 0 || path.len >= sizeof(a.un.sun_path) || sp_str_contains(path, '\0'))
		return false;
	memcpy(a.un.sun_path, path.p, path.len);
	*out = a;
	return true;
}

bool sp_addr_parse(struct sp_str s, struct sp_addr *out)
{
	if (sp_take_prefix(&s, SP_STR("unix:")))
		return parse_unix(s, out);
	struct sp_str ip;
	bool bracketed = sp_take_char(&s, '[');
	size_t end = sp_str_find(s, bracketed ? ']' : ':');
	if (end == s.len)
		return false;
	ip = sp_str_make(s.p, end);
	s = sp_str_from(s, end + (bracketed ? 1 : 0));
	uint64_t port;
	struct sp_addr a;
	if (!sp_take_char(&s, ':') || !sp_str_number(s, 0, UINT16_MAX, &port) || !sp_addr_parse_ip(ip, (uint16_t)port, &a))
		return false;
	if (bracketed != (sp_addr_family(&a) == AF_INET6))
		return false;
	*out = a;
	return true;
}

void sp_addr_from_ipv4(const uint8_t octets[4], uint16_t port, struct sp_addr *out)
{
	*out = (struct sp_addr){ .in = { .sin_family = AF_INET, .sin_port = htons(port) } };
	memcpy(&out->in.sin_addr, octets, 4);
}

void sp_addr_from_ipv6(const uint8_t octets[16], uint16_t port, struct sp_addr *out)
{
	*out = (struct sp_addr){ .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
	memcpy(&out->in6.sin6_addr, octets, 16);
}

/* ---- parts ---- */

uint16_t sp_addr_port(const struct sp_addr *a)
{
	switch (sp_addr_family(a)) {
	case AF_INET: return ntohs(a->in.sin_port);
	case AF_INET6: return ntohs(a->in6.sin6_port);
	default: return 0;
	}
}

void sp_addr_set_port(struct sp_addr *a, uint16_t port)
{
	if (sp_addr_family(a) == AF_INET)
		a->in.sin_port = htons(port);
	else if (sp_addr_family(a) == AF_INET6)
		a->in6.sin6_port = htons(port);
}

size_t sp_addr_size(const struct sp_addr *a)
{
	switch (sp_addr_family(a)) {
	case AF_INET: return sizeof(a->in);
	case AF_INET6: return sizeof(a->in6);
	default: return offsetof(struct sockaddr_un, sun_path) + strlen(a->un.sun_path) + 1;
	}
}

/* The octets that make an address, mapped IPv4 as its four: so that every comparison sees one form. */
struct octets {
	const uint8_t *p;
	unsigned bits;                  /* 32, 128; 0 for what is no IP address */
};

static struct octets octets_of(const struct sp_addr *a)
{
	if (sp_addr_family(a) == AF_INET)
		return (struct octets){ (const uint8_t *)&a->in.sin_addr, IPV4_BITS };
	if (sp_addr_family(a) != AF_INET6)
		return (struct octets){ NULL, 0 };
	const uint8_t *p = a->in6.sin6_addr.s6_addr;
	if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return (struct octets){ p + 12, IPV4_BITS };
	return (struct octets){ p, IPV6_BITS };
}

bool sp_addr_eq_ip(const struct sp_addr *a, const struct sp_addr *b)
{
	struct octets x = octets_of(a), y = octets_of(b);
	return x.bits > 0 && x.bits == y.bits && memcmp(x.p, y.p, x.bits / 8) == 0;
}

bool sp_addr_eq(const struct sp_addr *a, const struct sp_addr *b)
{
	if (sp_addr_family(a) == AF_UNIX && sp_addr_family(b) == AF_UNIX)
		return strcmp(a->un.sun_path, b->un.sun_path) == 0;
	return sp_addr_eq_ip(a, b) && sp_addr_port(a) == sp_addr_port(b);
}

/* ---- to text ---- */

const char *sp_addr_ip_str(const struct sp_addr *a, char text[SP_ADDR_TEXT])
{
	switch (sp_addr_family(a)) {
	case AF_INET:
		inet_ntop(AF_INET, &a->in.sin_addr, text, SP_ADDR_TEXT);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &a->in6.sin6_addr, text, SP_ADDR_TEXT);
		break;
	case AF_UNIX:
		snprintf(text, SP_ADDR_TEXT, "%s", a->un.sun_path);
		break;
	default:
		snprintf(text, SP_ADDR_TEXT, "(no address)");
	}
	return text;
}

const char *sp_addr_str(const struct sp_addr *a, char text[SP_ADDR_TEXT])
{
	char ip[SP_ADDR_TEXT];
	sp_addr_ip_str(a, ip);
	switch (sp_addr_family(a)) {
	case AF_INET:
		snprintf(text, SP_ADDR_TEXT, "%.64s:%u", ip, sp_addr_port(a));
		break;
	case AF_INET6:
		snprintf(text, SP_ADDR_TEXT, "[%.64s]:%u", ip, sp_addr_port(a));
		break;
	case AF_UNIX:
		snprintf(text, SP_ADDR_TEXT, "unix:%.120s", ip);
		break;
	default:
		return sp_addr_ip_str(a, text);
	}
	return text;
}

const char *sp_addr_literal_str(const struct sp_addr *a, char text[SP_ADDR_TEXT])
{
	char ip[SP_ADDR_TEXT];
	bool v6 = sp_addr_family(a) == AF_INET6;
	snprintf(text, SP_ADDR_TEXT, v6 ? "[IPv6:%.64s]" : "[%.120s]", sp_addr_ip_str(a, ip));     /* RFC 5321 4.1.3 */
	return text;
}

/* ---- networks ---- */

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	unsigned rest = bits % 8;
	return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

static bool host_bits_clear(struct octets o, unsigned bits)
{
	for (unsigned i = bits; i < o.bits; i++)
		if (o.p[i / 8] & (0x80u >> (i % 8)))
			return false;
	return true;
}

bool sp_net_parse(struct sp_str s, struct sp_net *out)
{
	size_t slash = sp_str_find(s, '/');
	struct sp_addr a;
	if (!sp_addr_parse_ip(sp_str_make(s.p, slash), 0, &a))
		return false;
	struct octets o = octets_of(&a);
	unsigned written = sp_addr_family(&a) == AF_INET6 ? IPV6_BITS : IPV4_BITS;
	unsigned mapped = written - o.bits;                     /* leading bits that only say "mapped": 96 or 0 */
	uint64_t bits = written;
	if (slash < s.len && !sp_str_number(sp_str_from(s, slash + 1), mapped, written, &bits))
		return false;
	if (!host_bits_clear(o, (unsigned)bits - mapped))
		return false;
	*out = (struct sp_net){ a, (unsigned)bits - mapped };
	return true;
}

bool sp_net_contains(const struct sp_net *net, const struct sp_addr *a)
{
	struct octets n = octets_of(&net->addr), o = octets_of(a);
	return n.bits > 0 && n.bits == o.bits && bits_equal(n.p, o.p, net->bits);
}

bool sp_nets_contain(const struct sp_net *nets, size_t count, const struct sp_addr *a)
{
	for (size_t i = 0; i < count; i++)
		if (sp_net_contains(&nets[i], a))
			return true;
	return false;
}

/* ---- what is on the public internet ---- */

struct prefix4 { uint8_t octets[4]; unsigned bits; };
struct prefix6 { uint8_t octets[16]; unsigned bits; };

static const struct prefix4 special4[] = {              /* IANA IPv4 special-purpose registry, RFC 6890 */
	{ { 0 }, 8 },                   /* "this network", unspecified */
	{ { 10 }, 8 },                  /* RFC 1918 */
	{ { 100, 64 }, 10 },            /* RFC 6598: shared, behind carrier NAT */
	{ { 127 }, 8 },                 /* loopback */
	{ { 169, 254 }, 16 },           /* RFC 3927: link-local */
	{ { 172, 16 }, 12 },            /* RFC 1918 */
	{ { 192, 0, 0 }, 24 },          /* RFC 6890: protocol assignments */
	{ { 192, 0, 2 }, 24 },          /* RFC 5737: documentation */
	{ { 192, 88, 99 }, 24 },        /* RFC 7526: 6to4 relays, gone */
	{ { 192, 168 }, 16 },           /* RFC 1918 */
	{ { 198, 18 }, 15 },            /* RFC 2544: benchmarking */
	{ { 198, 51, 100 }, 24 },       /* RFC 5737 */
	{ { 203, 0, 113 }, 24 },        /* RFC 5737 */
	{ { 224 }, 4 },                 /* multicast */
	{ { 240 }, 4 },                 /* reserved, limited broadcast */
};

static const struct prefix6 special6[] = {              /* inside 2000::/3; all else is refused below */
	{ { 0x20, 0x01, 0x00 }, 23 },           /* RFC 2928: protocol assignments, Teredo (2001::/32) among them */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 },     /* RFC 3849: documentation */
	{ { 0x3f, 0xff, 0x00 }, 20 },           /* RFC 9637: documentation */
};

static const struct prefix6 global6 = { { 0x20 }, 3 };
static const struct prefix6 nat64 = { { 0x00, 0x64, 0xff, 0x9b }, 96 };         /* RFC 6052: IPv4 in the last 4 octets */
static const struct prefix6 sixto4 = { { 0x20, 0x02 }, 16 };                    /* RFC 3056: IPv4 in octets 2 to 5 */

static bool is_public4(const uint8_t *octets)
{
	for (size_t i = 0; i < SP_COUNT(special4); i++)
		if (bits_equal(octets, special4[i].octets, special4[i].bits))
			return false;
	return true;
}

static bool is_public6(const uint8_t *octets)
{
	if (bits_equal(octets, nat64.octets, nat64.bits))
		return is_public4(octets + 12);
	if (bits_equal(octets, sixto4.octets, sixto4.bits))
		return is_public4(octets + 2);
	if (!bits_equal(octets, global6.octets, global6.bits))  /* loopback, fc00::/7, fe80::/10, ff00::/8, 100::/64 ... */
		return false;
	for (size_t i = 0; i < SP_COUNT(special6); i++)
		if (bits_equal(octets, special6[i].octets, special6[i].bits))
			return false;
	return true;
}

bool sp_addr_is_loopback(const struct sp_addr *a)
{
	struct octets o = octets_of(a);
	static const uint8_t one[16] = { [15] = 1 };
	return o.bits == IPV4_BITS ? o.p[0] == 127 : o.bits > 0 && bits_equal(o.p, one, IPV6_BITS);
}

bool sp_addr_is_public(const struct sp_addr *a)
{
	struct octets o = octets_of(a);
	if (o.bits == 0)
		return false;
	return o.bits == IPV4_BITS ? is_public4(o.p) : is_public6(o.p);
}

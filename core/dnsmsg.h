/* core/dnsmsg.h - a DNS answer, from the wire to structs.
 * Implements what RFC 1035 4, RFC 2181, RFC 6840 5.8 ask of a stub that reads MX, TXT, A, AAAA, CNAME and TLSA. Pure.
 * Used by core/dns.c, and fuzzed. */
#ifndef CORE_DNSMSG_H
#define CORE_DNSMSG_H

#include "core/addr.h"
#include "core/arena.h"
#include "core/tlsa.h"

enum core_dns_type {
	CORE_DNS_A = 1, CORE_DNS_CNAME = 5, CORE_DNS_SOA = 6, CORE_DNS_MX = 15, CORE_DNS_TXT = 16, CORE_DNS_AAAA = 28,
	CORE_DNS_TLSA = 52
};

#define CORE_DNS_STATUSES(X) \
	X(OK,        "ok")          /* at least one record of the type */ \
	X(NODATA,    "no data")     /* the name exists, without that type */ \
	X(NXDOMAIN,  "no such name") \
	X(SERVFAIL,  "server failure") \
	X(REFUSED,   "refused")     /* also NOTIMP, FORMERR and the like */ \
	X(TIMEOUT,   "timeout")     /* no server answered */ \
	X(MALFORMED, "malformed answer") \
	X(CHAIN,     "CNAME chain too long or looping") /* over CORE_DNS_CNAME_MAX */ \
	X(BADNAME,   "not a valid name")

enum core_dns_status {
#define X(name, text) CORE_DNS_##name,
	CORE_DNS_STATUSES(X)
#undef X
};

#define CORE_DNS_CNAME_MAX 16           /* DESIGN.md, limits */
#define CORE_DNS_RECORDS_MAX 512        /* of the asked type; the rest is ignored */

struct core_dns_record {
	enum core_dns_type type;
	uint32_t ttl_s;
	union {
		struct sp_addr addr;                                     /* A, AAAA; port 0 */
		struct { uint16_t preference; const char *host; } mx;    /* lower case, no trailing dot; "" is the root (null MX) */
		struct sp_str txt;                                       /* the strings of one record, joined (RFC 7208 3.3 style) */
		struct core_tlsa tlsa;
	};
};

struct core_dns_answer {
	enum core_dns_status status;
	bool authenticated;             /* AD bit of the answer; meaningful only with a trusted resolver */
	uint32_t ttl_s;                 /* the least of the records and CNAMEs used; for NODATA/NXDOMAIN the SOA's (RFC 2308 5), else 0 */
	unsigned cnames;                /* followed */
	const char *name;               /* where the chain ended: lower case, no trailing dot */
	size_t count;
	const struct core_dns_record *records;  /* of the asked type, at the end of the chain */
};

const char *core_dns_status_str(enum core_dns_status s);
/* NXDOMAIN, NODATA, BADNAME and CHAIN will be so again; the others may pass. */
bool core_dns_status_lasting(enum core_dns_status s);

/* Parses one complete message, the reply to a question for (`name`, `type`). All strings live in `arena`. The question must be the
 * one asked (RFC 5452 9.1), else MALFORMED. Host names in MX that are not host names (RFC 1123 2.1, octets that do not print) are
 * dropped from the records; a set of only such ones is MALFORMED, not NODATA: it forbids the implicit MX (RFC 5321 5.1).
 * A TLSA record too short for its three numbers is kept with 255 in each: there, and unusable (RFC 7672 2.2). */
void core_dnsmsg_parse(struct sp_str message, const char *name, enum core_dns_type type,
                       struct sp_arena *arena, struct core_dns_answer *out);

/* True if `name` is a host name in A-labels: LDH labels of 1..63 (underscore allowed), 253 in all, no empty label. */
bool core_dns_name_ok(struct sp_str name);

#endif

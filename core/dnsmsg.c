/* core/dnsmsg.c - see dnsmsg.h.
 * The libc's resolver library takes the message apart (it checks every count, length and compression pointer against the end
 * of the message); here stands what the pieces mean. Two walks over the answer section: one for the CNAME chain, one for the
 * records at its end, because a server may send them in any order (RFC 1034 3.6.2, RFC 2181 5). */
#include "core/dnsmsg.h"

#include <arpa/nameser.h>
#include <resolv.h>

#define NAME_MAX_LEN 253
#define LABEL_MAX_LEN 63
#define CNAMES_KEPT 64                  /* of a message; a chain may use CORE_DNS_CNAME_MAX of them */

const char *core_dns_status_str(enum core_dns_status s)
{
	static const char *const names[] = {
#define X(name, text) [CORE_DNS_##name] = text,
		CORE_DNS_STATUSES(X)
#undef X
	};
	return names[s];
}

bool core_dns_status_lasting(enum core_dns_status s)
{
	return s == CORE_DNS_NXDOMAIN || s == CORE_DNS_NODATA || s == CORE_DNS_BADNAME || s == CORE_DNS_CHAIN;
}

bool core_dns_name_ok(struct sp_str name)
{
	if (name.len == 0 || name.len > NAME_MAX_LEN)
		return false;
	size_t label = 0;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if ((!sp_is_alnum(c) && c != '-' && c != '_') || ++label > LABEL_MAX_LEN) {
			return false;
		}
	}
	return label > 0;
}

/* ---- pieces of a message ---- */

struct cname {
	const char *owner, *target;     /* lower case, in the arena */
	uint32_t ttl_s;
};

struct reading {
	ns_msg msg;
	enum core_dns_type type;
	struct sp_arena *arena;
	struct core_dns_answer *out;
	struct core_dns_record *records;
	struct cname cnames[CNAMES_KEPT];
	size_t cname_count;
};

static char *lower_dup(struct sp_arena *arena, struct sp_str s)
{
	char *copy = sp_arena_dup(arena, s);
	sp_lower_in_place(copy);
	return copy;
}

static struct sp_str without_dot(const char *name)
{
	struct sp_str s = sp_str_of(name);
	if (s.len > 0 && s.p[s.len - 1] == '.')
		s.len--;
	return s;
}

/* RFC 2181 8: a TTL with its highest bit set is 0. */
static uint32_t ttl_of(const ns_rr *rr)
{
	return ns_rr_ttl(*rr) > INT32_MAX ? 0 : (uint32_t)ns_rr_ttl(*rr);
}

static void lower_ttl(struct core_dns_answer *out, uint32_t ttl_s)
{
	if (ttl_s < out->ttl_s)
		out->ttl_s = ttl_s;
}

/* The name at rdata[skip], lower case; it must end where the rdata ends. NULL when it does not. */
static const char *rdata_name(struct reading *r, const ns_rr *rr, size_t skip)
{
	char text[NS_MAXDNAME];
	size_t len = ns_rr_rdlen(*rr);
	if (len <= skip)
		return NULL;
	const unsigned char *at = ns_rr_rdata(*rr) + skip;
	int used = dn_expand(ns_msg_base(r->msg), ns_msg_end(r->msg), at, text, sizeof(text));
	if (used < 0 || (size_t)used != len - skip)
		return NULL;
	return lower_dup(r->arena, without_dot(text));
}

static unsigned get16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* ---- one record of the asked type; false: its data is not what the type says ---- */

/* RFC 1035 3.3.14; the strings of one record are one text (RFC 8461 3.1, as in RFC 7208 3.3). */
static bool read_txt(struct reading *r, struct sp_str data, struct core_dns_record *rec)
{
	char *text = sp_arena_alloc(r->arena, data.len + 1);
	size_t len = 0;
	if (data.len == 0)
		return false;
	while (data.len > 0) {
		size_t piece = (unsigned char)data.p[0];
		if (piece + 1 > data.len)
			return false;
		memcpy(text + len, data.p + 1, piece);
		len += piece;
		data = sp_str_from(data, piece + 1);
	}
	rec->txt = sp_str_make(text, len);
	return true;
}

/* RFC 6698 2.1. Too short to have the three numbers: kept as a record that nobody can use, because a set without usable
 * records asks for more than no set (RFC 7672 2.2). */
static void read_tlsa(struct reading *r, struct sp_str data, struct core_dns_record *rec)
{
	rec->tlsa.usage = rec->tlsa.selector = rec->tlsa.matching = 255;
	rec->tlsa.data = SP_STR("");
	if (data.len < 3)
		return;
	rec->tlsa.usage = (uint8_t)data.p[0];
	rec->tlsa.selector = (uint8_t)data.p[1];
	rec->tlsa.matching = (uint8_t)data.p[2];
	struct sp_str rest = sp_str_from(data, 3);
	rec->tlsa.data = sp_str_make(sp_arena_dup(r->arena, rest), rest.len);
}

/* `*keep` turns false for a record that is well-formed and of no use. */
static bool read_record(struct reading *r, const ns_rr *rr, struct core_dns_record *rec, bool *keep)
{
	struct sp_str data = sp_str_make((const char *)ns_rr_rdata(*rr), ns_rr_rdlen(*rr));
	switch (r->type) {
	case CORE_DNS_A:
		if (data.len != 4)
			return false;
		sp_addr_from_ipv4(ns_rr_rdata(*rr), 0, &rec->addr);
		return true;
	case CORE_DNS_AAAA:
		if (data.len != 16)
			return false;
		sp_addr_from_ipv6(ns_rr_rdata(*rr), 0, &rec->addr);
		return true;
	case CORE_DNS_MX:
		rec->mx.host = rdata_name(r, rr, 2);
		if (rec->mx.host == NULL)
			return false;
		rec->mx.preference = (uint16_t)get16(ns_rr_rdata(*rr));
		*keep = *rec->mx.host == '\0' || core_dns_name_ok(sp_str_of(rec->mx.host));     /* RFC 7505: "." is null MX */
		return true;
	case CORE_DNS_TXT:
		return read_txt(r, data, rec);
	case CORE_DNS_TLSA:
		read_tlsa(r, data, rec);
		return true;
	case CORE_DNS_CNAME:
	case CORE_DNS_SOA:
		return true;                    /* that it is there is all that is asked */
	}
	return false;
}

/* ---- the walks ---- */

static bool collect_cnames(struct reading *r)
{
	for (int i = 0; i < ns_msg_count(r->msg, ns_s_an); i++) {
		ns_rr rr;
		if (ns_parserr(&r->msg, ns_s_an, i, &rr) != 0)
			return false;
		if (ns_rr_type(rr) != ns_t_cname || ns_rr_class(rr) != ns_c_in || r->cname_count == CNAMES_KEPT)
			continue;
		struct cname *c = &r->cnames[r->cname_count++];
		c->owner = lower_dup(r->arena, without_dot(ns_rr_name(rr)));
		c->target = rdata_name(r, &rr, 0);
		c->ttl_s = ttl_of(&rr);
		if (c->target == NULL)
			return false;
	}
	return true;
}

static const struct cname *find_cname(const struct reading *r, const char *owner)
{
	for (size_t i = 0; i < r->cname_count; i++)
		if (strcmp(r->cnames[i].owner, owner) == 0)
			return &r->cnames[i];
	return NULL;
}

/* False: too long, or in a circle. */
static bool follow_chain(struct reading *r)
{
	const struct cname *c;
	while (r->type != CORE_DNS_CNAME && (c = find_cname(r, r->out->name)) != NULL) {
		if (r->out->cnames == CORE_DNS_CNAME_MAX)
			return false;
		r->out->cnames++;
		r->out->name = c->target;
		lower_ttl(r->out, c->ttl_s);
	}
	return true;
}

/* Fills out->records; *dropped counts records that were there and are of no use. */
static bool collect_records(struct reading *r, unsigned *dropped)
{
	size_t most = sp_min(ns_msg_count(r->msg, ns_s_an), CORE_DNS_RECORDS_MAX);
	struct core_dns_record *records = sp_arena_alloc(r->arena, most * sizeof(*records));
	for (int i = 0; i < ns_msg_count(r->msg, ns_s_an) && r->out->count < most; i++) {
		ns_rr rr;
		if (ns_parserr(&r->msg, ns_s_an, i, &rr) != 0)
			return false;
		if (ns_rr_type(rr) != (unsigned)r->type || ns_rr_class(rr) != ns_c_in ||
		    !sp_str_eq_nocase(without_dot(ns_rr_name(rr)), sp_str_of(r->out->name)))
			continue;
		struct core_dns_record rec = { .type = r->type, .ttl_s = ttl_of(&rr) };
		bool keep = true;
		if (!read_record(r, &rr, &rec, &keep))
			return false;
		if (!keep) {
			(*dropped)++;
			continue;
		}
		lower_ttl(r->out, rec.ttl_s);
		records[r->out->count++] = rec;
	}
	r->out->records = records;
	return true;
}

/* RFC 2308 5: how long "there is none" holds: the lesser of the SOA's TTL and its last field. Without one: not at all. */
static void negative_ttl(struct reading *r)
{
	for (int i = 0; i < ns_msg_count(r->msg, ns_s_ns); i++) {
		ns_rr rr;
		if (ns_parserr(&r->msg, ns_s_ns, i, &rr) != 0)
			break;
		if (ns_rr_type(rr) != ns_t_soa || ns_rr_class(rr) != ns_c_in || ns_rr_rdlen(rr) < 22)
			continue;
		const unsigned char *minimum = ns_rr_rdata(rr) + ns_rr_rdlen(rr) - 4;
		lower_ttl(r->out, ttl_of(&rr));
		lower_ttl(r->out, (uint32_t)get16(minimum) << 16 | get16(minimum + 2));
		return;
	}
	r->out->ttl_s = 0;
}

/* ---- the whole ---- */

/* RFC 5452 9.1: what is answered must be what was asked. */
static bool question_matches(struct reading *r)
{
	ns_rr q;
	return ns_msg_count(r->msg, ns_s_qd) == 1 && ns_parserr(&r->msg, ns_s_qd, 0, &q) == 0 &&
	       ns_rr_type(q) == (unsigned)r->type && ns_rr_class(q) == ns_c_in &&
	       sp_str_eq_nocase(without_dot(ns_rr_name(q)), sp_str_of(r->out->name));
}

static enum core_dns_status judge(struct reading *r, struct sp_str message)
{
	if (message.len > UINT16_MAX ||
	    ns_initparse((const unsigned char *)message.p, (int)message.len, &r->msg) != 0 ||
	    !ns_msg_getflag(r->msg, ns_f_qr) || ns_msg_getflag(r->msg, ns_f_opcode) != ns_o_query)
		return CORE_DNS_MALFORMED;
	int rcode = ns_msg_getflag(r->msg, ns_f_rcode);
	bool complaint = rcode != ns_r_noerror && rcode != ns_r_nxdomain;
	bool bare = complaint && ns_msg_count(r->msg, ns_s_qd) == 0;    /* an error may come without its question */
	if (!bare && !question_matches(r))
		return CORE_DNS_MALFORMED;
	if (complaint)
		return rcode == ns_r_servfail ? CORE_DNS_SERVFAIL : CORE_DNS_REFUSED;
	if (ns_msg_getflag(r->msg, ns_f_tc))            /* the part that came is not the answer (RFC 2181 9) */
		return CORE_DNS_MALFORMED;
	r->out->authenticated = ns_msg_getflag(r->msg, ns_f_ad) != 0;
	if (!collect_cnames(r))
		return CORE_DNS_MALFORMED;
	if (!follow_chain(r))
		return CORE_DNS_CHAIN;
	if (rcode == ns_r_nxdomain)                     /* RFC 6604: it speaks of the end of the chain */
		return CORE_DNS_NXDOMAIN;
	unsigned dropped = 0;
	if (!collect_records(r, &dropped))
		return CORE_DNS_MALFORMED;
	if (r->out->count > 0)
		return CORE_DNS_OK;
	return dropped > 0 ? CORE_DNS_MALFORMED : CORE_DNS_NODATA;      /* RFC 5321 5.1: no implicit MX beside a bad one */
}

void core_dnsmsg_parse(struct sp_str message, const char *name, enum core_dns_type type,
                       struct sp_arena *arena, struct core_dns_answer *out)
{
	*out = (struct core_dns_answer){ .ttl_s = UINT32_MAX, .name = lower_dup(arena, without_dot(name)) };
	struct reading r = { .type = type, .arena = arena, .out = out };
	out->status = judge(&r, message);
	if (out->status == CORE_DNS_NODATA || out->status == CORE_DNS_NXDOMAIN)
		negative_ttl(&r);
	if (out->status != CORE_DNS_OK) {
		out->count = 0;
		out->records = NULL;
	}
	if (out->ttl_s == UINT32_MAX || !(out->status == CORE_DNS_OK || core_dns_status_lasting(out->status)))
		out->ttl_s = 0;
	if (out->status == CORE_DNS_MALFORMED)
		out->authenticated = false;
}

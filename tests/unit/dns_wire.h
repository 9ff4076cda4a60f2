/* tests/unit/dns_wire.h - DNS messages written by hand, right ones and wrong ones: for the parser's tests and the test server. */
#ifndef TESTS_UNIT_DNS_WIRE_H
#define TESTS_UNIT_DNS_WIRE_H

#include "core/buf.h"

#define WIRE_QR 0x8000
#define WIRE_TC 0x0200
#define WIRE_RD 0x0100
#define WIRE_RA 0x0080
#define WIRE_AD 0x0020

struct wire {
	struct sp_buf b;
};

static inline void wire_u8(struct wire *w, unsigned v) { sp_buf_addc(&w->b, (char)v); }
static inline void wire_u16(struct wire *w, unsigned v)
{
	wire_u8(w, v >> 8);
	wire_u8(w, v & 0xff);
}
static inline void wire_u32(struct wire *w, uint32_t v)
{
	wire_u16(w, v >> 16);
	wire_u16(w, v & 0xffff);
}

static inline void wire_head(struct wire *w, unsigned id, unsigned flags, unsigned qd, unsigned an, unsigned ns, unsigned ar)
{
	sp_buf_init(&w->b, 70000);
	wire_u16(w, id);
	wire_u16(w, flags);
	wire_u16(w, qd);
	wire_u16(w, an);
	wire_u16(w, ns);
	wire_u16(w, ar);
}

/* "mx.example.com" as labels; no escapes. */
static inline void wire_name(struct wire *w, const char *name)
{
	struct sp_str rest = sp_str_of(name);
	while (rest.len > 0) {
		struct sp_str label = sp_take_until(&rest, '.');
		wire_u8(w, (unsigned)label.len);
		sp_buf_add(&w->b, label);
	}
	wire_u8(w, 0);
}

static inline void wire_pointer(struct wire *w, unsigned to) { wire_u16(w, 0xc000 | to); }

static inline void wire_question(struct wire *w, const char *name, unsigned type)
{
	wire_name(w, name);
	wire_u16(w, type);
	wire_u16(w, 1);
}

/* Owner, type, class, TTL and a place for the length, where wire_rr_end() puts it. */
static inline size_t wire_rr(struct wire *w, const char *owner, unsigned type, uint32_t ttl)
{
	wire_name(w, owner);
	wire_u16(w, type);
	wire_u16(w, 1);
	wire_u32(w, ttl);
	wire_u16(w, 0);
	return w->b.len;
}

static inline void wire_rr_end(struct wire *w, size_t start)
{
	size_t len = w->b.len - start;
	w->b.p[start - 2] = (char)(len >> 8);
	w->b.p[start - 1] = (char)(len & 0xff);
}

static inline void wire_raw(struct wire *w, const char *owner, unsigned type, uint32_t ttl, struct sp_str data)
{
	size_t at = wire_rr(w, owner, type, ttl);
	sp_buf_add(&w->b, data);
	wire_rr_end(w, at);
}

static inline void wire_cname(struct wire *w, const char *owner, const char *target, uint32_t ttl)
{
	size_t at = wire_rr(w, owner, 5, ttl);
	wire_name(w, target);
	wire_rr_end(w, at);
}

static inline void wire_mx(struct wire *w, const char *owner, unsigned preference, const char *host, uint32_t ttl)
{
	size_t at = wire_rr(w, owner, 15, ttl);
	wire_u16(w, preference);
	wire_name(w, host);
	wire_rr_end(w, at);
}

static inline void wire_soa(struct wire *w, const char *owner, uint32_t ttl, uint32_t minimum)
{
	size_t at = wire_rr(w, owner, 6, ttl);
	wire_name(w, "ns");
	wire_name(w, "hostmaster");
	for (int i = 0; i < 4; i++)
		wire_u32(w, 1);
	wire_u32(w, minimum);
	wire_rr_end(w, at);
}

#endif

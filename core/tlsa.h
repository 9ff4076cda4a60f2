/* core/tlsa.h - a TLSA record, as DNS has it (RFC 6698 2.1): read by core/dnsmsg.h, judged by sts/tlsa.h, matched by core/tls.h (core/tls_dane.c). Pure. */
#ifndef CORE_TLSA_H
#define CORE_TLSA_H

#include "core/str.h"

struct core_tlsa {
	uint8_t usage, selector, matching;
	struct sp_str data;             /* the certificate association data, octets; lent */
};

/* `data` is, to its last octet, what `selector` says: 0, a certificate with a key that we know; 1, such a key (a SubjectPublicKeyInfo). For matching type 0. */
SP_NODISCARD bool core_tlsa_is_full(const struct core_tlsa *r);

#endif

/* core/tlsa.h - a TLSA record, as DNS has it (RFC 6698 2.1): read by core/dnsmsg.h, judged by sts/tlsa.h, matched by core/tls.h. Pure. */
#ifndef CORE_TLSA_H
#define CORE_TLSA_H

#include "core/str.h"

struct core_tlsa {
	uint8_t usage, selector, matching;
	struct sp_str data;             /* the certificate association data, octets; lent */
};

#endif

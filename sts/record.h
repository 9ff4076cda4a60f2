/* sts/record.h - the `_mta-sts` TXT record: which of a set is it, and what is its id.
 * Implements RFC 8461 3.1. Pure. Used by sts/discovery.c and `strictpost policy txt`. */
#ifndef STS_RECORD_H
#define STS_RECORD_H

#include "core/str.h"

#define STS_ID_MAX 32

enum sts_record_status {
	STS_RECORD_OK,
	STS_RECORD_NONE,                /* no record that begins with v=STSv1; */
	STS_RECORD_SEVERAL,             /* more than one: as if there were none (RFC 8461 3.1) */
	STS_RECORD_INVALID              /* one, and it breaks the grammar */
};

/* `txts`: the records of the set, the strings of each joined. On OK `id` holds the id; otherwise *why is a static English phrase
 * that a domain owner can act on. Only OK means that the domain has a policy. */
SP_NODISCARD enum sts_record_status sts_record_parse(const struct sp_str *txts, size_t count, char id[STS_ID_MAX + 1],
                                                     const char **why);
#endif

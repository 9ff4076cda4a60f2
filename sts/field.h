/* sts/field.h - what the TXT record and the policy have in common: the names of their fields. Private to sts/. Pure. */
#ifndef STS_FIELD_H
#define STS_FIELD_H

#include "core/str.h"

#define STS_FIELD_NAME_MAX 32

/* RFC 8461 3.1 and 3.2: (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".") */
static inline bool sts_field_name_ok(struct sp_str name)
{
	if (name.len == 0 || name.len > STS_FIELD_NAME_MAX || !sp_is_alnum(name.p[0]))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!sp_is_alnum(name.p[i]) && name.p[i] != '_' && name.p[i] != '-' && name.p[i] != '.')
			return false;
	return true;
}

#endif

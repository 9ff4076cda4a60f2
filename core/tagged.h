/* core/tagged.h - TXT records that begin with their version and go on with fields, "v=STSv1; id=1": which of a set is it, and what their parts may look
 * like. What RFC 8461 3.1 and RFC 8460 3 have in common. Pure. Any thread. Used by sts/record.c, sts/policy.c and rpt/record.c. */
#ifndef CORE_TAGGED_H
#define CORE_TAGGED_H

#include "core/str.h"

/* How many of `txts` (the records of a set, the strings of each joined) are of `version` ("v=STSv1"); *found is the last of them. Records that do not begin
 * with the version and a semicolon are discarded, says the text of both RFCs. The grammar behind that sentence allows blanks before the semicolon: such a
 * record is taken when no other begins exactly so, because its owner did mean it. */
size_t sp_tagged_find(const struct sp_str *txts, size_t count, struct sp_str version, struct sp_str *found);

/* Why a set without one has none: the usual slips are told apart. */
enum sp_tagged_slip {
	SP_TAGGED_EMPTY,                /* no record at all */
	SP_TAGGED_CUT,                  /* one ends after the version */
	SP_TAGGED_RESEMBLES,            /* one is nearly it: a blank or quote before it, other letters, another version */
	SP_TAGGED_OTHERS                /* others only */
};
enum sp_tagged_slip sp_tagged_slip(const struct sp_str *txts, size_t count, struct sp_str version);

/* *WSP ";" *WSP, from the front of *s; nothing is taken when there is none. */
SP_NODISCARD bool sp_tagged_take_delimiter(struct sp_str *s);
/* The name of a field: (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / "."). */
#define SP_TAGGED_NAME_MAX 32
bool sp_tagged_name_ok(struct sp_str name);

#endif

/* rpt/rua.h - one entry of a record's `rua`: from a URI to an endpoint that can be used, or why not. RFC 3986 3, RFC 6068 2. Pure.
 * Private to rpt/record.c. */
#ifndef RPT_RUA_H
#define RPT_RUA_H

#include "rpt/record.h"

#define RPT_URI_MAX 2048                /* octets; longer is passed over */

/* Adds what `entry` (between two commas, without blanks) stands for to `out`: mostly one endpoint, several where a mailto: names several
 * addresses. What cannot be used, and what is there already, is passed over, and told in out->skipped. Nothing is added once `out` is full. */
void rpt_rua_add(struct sp_str entry, struct sp_arena *arena, struct rpt_record *out);

#endif

/* relay/query.h - the query of a request on the control socket: "day=2026-11-22&domain=example.com". Pure.
 * Strict: every name is known and stands once, every value is decoded and whole (RFC 3986 2.1; "+" is a plus). Read in relay/report_api.c, written by the command line. */
#ifndef RELAY_QUERY_H
#define RELAY_QUERY_H

#include "core/arena.h"
#include "core/buf.h"

enum query_kind {
	QUERY_TEXT,                     /* const char *, UTF-8 without controls: addresses may be that (RFC 6531), and so may an operator's reason */
	QUERY_DOMAIN,                   /* const char *, lower case, A-labels */
	QUERY_NUMBER,                   /* uint64_t */
	QUERY_DAY,                      /* int64_t: rpt_day_parse() */
	QUERY_FLAG                      /* bool: "1" or "0" */
};
struct query_field {
	const char *name;
	enum query_kind kind;
	void *out;                      /* left alone where the field is missing */
};
/* Reads all of `query`; strings live in `arena`. False with `why`. At most 32 fields. */
SP_NODISCARD bool query_read(struct sp_str query, const struct query_field *fields, size_t count, struct sp_arena *arena, struct sp_buf *why);
/* Appends "?name=value" or "&name=value" to a target, whichever fits. Nothing for NULL. */
void query_add(struct sp_buf *target, const char *name, const char *value);

#endif

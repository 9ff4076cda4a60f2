/* rpt/read.h - a report that somebody sent: JSON, gzip, or the mail that carried it, into structs; as lenient as it can be (rpt/lint.h is the strict one).
 * RFC 8460 4.4, 5.3. Pure. Used by `strictpost report read`, `lint` and `show`. */
#ifndef RPT_READ_H
#define RPT_READ_H

#include "core/arena.h"
#include "core/buf.h"

#include <jansson.h>

#define RPT_FILE_MAX (64u * 1024 * 1024)        /* octets of a report, also once unpacked */

/* The JSON document in `file`, whatever it is wrapped in: found by looking at the octets, not at a name. NULL with `why` (position, and what to do). A new reference. */
SP_NODISCARD json_t *rpt_unwrap(struct sp_str file, struct sp_buf *why);

struct rpt_read_failure {
	const char *result, *sending_ip, *mx_host, *mx_helo, *mx_ip, *reason, *info;    /* "" where not told */
	uint64_t count;
};
struct rpt_read_policy {
	const char *type, *domain;
	const char **strings; size_t string_count;
	const char **mx_hosts; size_t mx_host_count;
	uint64_t successes, failures;
	struct rpt_read_failure *details; size_t detail_count;
};
struct rpt_read_report {
	const char *organization, *contact, *report_id, *from, *to;     /* as written */
	struct rpt_read_policy *policies; size_t policy_count;
};
/* Takes out what is there; what has the wrong type is as if it were not. False only where it is no report at all, with `why`. All in `arena`, printable ASCII and
 * UTF-8 without control characters: it may go to a terminal. */
SP_NODISCARD bool rpt_read(const json_t *document, struct sp_arena *arena, struct rpt_read_report *out, struct sp_buf *why);

/* A table for people, fitted to `columns`. */
void rpt_read_print(const struct rpt_read_report *r, unsigned columns, struct sp_buf *out);

#endif

/* rpt/read.h - a report that somebody sent: JSON, gzip, or the mail that carried it, into structs; as lenient as it can be (rpt/lint.h is the strict one).
 * RFC 8460 4.4, 5.3. Pure. Used by `strictpost report read`, `lint` and `show`. */
#ifndef RPT_READ_H
#define RPT_READ_H

#include "core/arena.h"
#include "core/buf.h"

#include <jansson.h>

/* ---- out of its wrapping: unwrap.c ---- */

#define RPT_FILE_MAX (64u * 1024 * 1024)        /* octets of a report, also once unpacked */
#define RPT_SIGNATURES_MAX 8

/* What a report came in, for rpt/lint.h. Strings as written, NULL where there is none; lent. */
struct rpt_carrier {
	bool gzip, byte_order_mark;
	const char *repeated;           /* what the JSON parser says of a member that is there twice */
	bool mail;                      /* the rest is about the message that holds it; of a forwarded one, not of the one around it */
	const char *type, *report_type; /* "multipart/report", "tlsrpt"; types in lower case */
	const char *domain, *submitter; /* TLS-Report-Domain, TLS-Report-Submitter */
	const char *subject;
	const char *part_type, *file_name;
	struct rpt_signature {          /* DKIM-Signature (RFC 6376 3.5) */
		const char *domain, *fields;    /* d=, h= */
		bool partial;                   /* has l= */
	} signatures[RPT_SIGNATURES_MAX];
	unsigned signature_count;
};
typedef void (*rpt_found_fn)(void *arg, const json_t *document, const struct rpt_carrier *carrier);
/* Calls `found` for each JSON document in `file`, whatever it is wrapped in (gzip, base64, a mail, a mail in a mail): found by looking at the octets, not at
 * a name. In bounded depth, parts and memory. Returns how many. `why` tells of the first thing that looked like a report, or should have been one, and could
 * not be read, and what to do; "" only where there was none such, and at least one report. */
unsigned rpt_unwrap_each(struct sp_str file, rpt_found_fn found, void *arg, struct sp_buf *why);
/* The first of them alone. NULL with `why` (else of no matter). A new reference. */
SP_NODISCARD json_t *rpt_unwrap(struct sp_str file, struct sp_buf *why);

/* ---- into structs: read.c ---- */

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
	const char *organization, *contact, *report_id, *from, *to;     /* as written; "" where not told */
	struct rpt_read_policy *policies; size_t policy_count;
};
/* Takes out what is there; what has the wrong type is as if it were not. False only where it is no report at all, with `why`. All in `arena`, printable ASCII and
 * UTF-8 without control characters: it may go to a terminal. */
SP_NODISCARD bool rpt_read(const json_t *document, struct sp_arena *arena, struct rpt_read_report *out, struct sp_buf *why);
/* What was understood, in RFC 8460's own form: every type right, nothing that is unknown. A new reference. */
json_t *rpt_read_json(const struct rpt_read_report *r);

/* ---- for people: read_print.c ---- */

#define RPT_PRINT_ROWS 1000             /* failure rows of a policy; how many more there are is told */
/* A table, fitted to `columns`; what the types of failure mean, below it. `colour`: with escapes of a terminal. */
void rpt_read_print(const struct rpt_read_report *r, unsigned columns, bool colour, struct sp_buf *out);

#endif

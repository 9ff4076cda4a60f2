/* rpt/compose.h - the report as a document: JSON after RFC 8460 4.4, gzipped as it is made, so that its size is no matter. Pure.
 * Used by relay/reporter.c:  new -> (policy -> failure*)* -> finish. Every mandatory member is there, unknown ones are left out, never null,
 * and so are failure-details where there are none. Equal input gives equal octets. Strings may hold any octets: what is not UTF-8 becomes U+FFFD. */
#ifndef RPT_COMPOSE_H
#define RPT_COMPOSE_H

#include "core/buf.h"
#include "rpt/ledger.h"

struct rpt_head {
	const char *organization, *contact, *report_id;
	int64_t day;                    /* see rpt_day_of(); date-range: 00:00:00Z to 23:59:59Z */
	const char *domain;             /* policy-domain */
};
struct rpt_compose;
/* What it makes is appended to `out` (gzip), which lives until finish; of `head` nothing is kept. A ceiling that was passed shows in `out`. */
struct rpt_compose *rpt_compose_new(const struct rpt_head *head, struct sp_buf *out);
void rpt_compose_policy(struct rpt_compose *c, const struct rpt_policy *p);
void rpt_compose_failure(struct rpt_compose *c, const struct rpt_failure *f);   /* of the policy before */
void rpt_compose_finish(struct rpt_compose *c);                                 /* frees it */
void rpt_compose_free(struct rpt_compose *c);                                   /* gives it up; NULL is fine */

/* "submitter!domain!1013662812!1013749130!id.json.gz" (RFC 8460 5.1); from the report id its letters and digits. */
void rpt_file_name(const char *submitter, const struct rpt_head *head, struct sp_buf *out);

#endif

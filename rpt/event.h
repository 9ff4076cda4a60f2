/* rpt/event.h - what one session to a receiving domain adds to its TLS report, as RFC 8460 4.3 and 4.4 name it.
 * One session, one event for each policy that applied; a session that fails several ways is one failure. Pure.
 * Made in relay/account.c, logged with the attempt, counted in rpt/ledger.c. */
#ifndef RPT_EVENT_H
#define RPT_EVENT_H

#include "core/arena.h"
#include "core/fail.h"
#include "core/log.h"

#define RPT_POLICY_TYPES(X) X(NONE_FOUND, "no-policy-found") X(STS, "sts") X(TLSA, "tlsa")
enum rpt_policy_type {
#define X(name, text) RPT_POLICY_##name,
	RPT_POLICY_TYPES(X)
#undef X
};
#define X(name, text) + 1
enum { RPT_POLICY_TYPE_COUNT = 0 RPT_POLICY_TYPES(X) };
#undef X
const char *rpt_policy_type_str(enum rpt_policy_type t);
bool rpt_policy_type_parse(struct sp_str s, enum rpt_policy_type *out);

struct rpt_event {
	int64_t at_s;                   /* Unix time at which the session reached its conclusion: it names the day */
	enum rpt_policy_type policy_type;
	const char *policy_domain;      /* A-labels, lower case: who gets the report */
	const char *policy_strings;     /* the policy as applied, one string a line (sts_policy_print(), or one TLSA record a line); "": none could be had */
	const char *mx_patterns;        /* STS: its mx patterns, one a line; else "" */
	enum sp_result result;          /* NONE: a successful session; what follows is then not looked at */
	const char *reason;             /* failure-reason-code, "" when none */
	const char *sending_ip, *mx_host, *mx_helo, *mx_ip;     /* RFC 8460 4.4; "" where the session did not get so far */
};
/* A copy whose strings live in `arena`; NULL strings become "". */
struct rpt_event rpt_event_copy(const struct rpt_event *e, struct sp_arena *arena);
/* The event in one word: "sts", "sts/validation-failure", "sts/validation-failure/mx-mismatch". */
void rpt_event_print(const struct rpt_event *e, struct sp_buf *out);

/* UTC days (RFC 8460 4.1). A day is the number of days since 1970-01-01; an instant belongs to the day it falls in, to the last millisecond. */
#define RPT_DAY_S 86400
int64_t rpt_day_of(int64_t at_s);
const char *rpt_day_str(int64_t day, char text[16]);                    /* "2026-11-22"; the nearest of 1970 to 9999 */
SP_NODISCARD bool rpt_day_parse(struct sp_str s, int64_t *day);         /* that form, a date that exists */

#endif

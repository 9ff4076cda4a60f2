/* rpt/event.h - what one session to a receiving domain adds to its TLS report, as RFC 8460 4.3 and 4.4 name it.
 * One session, one event for each policy that applied; a session that fails several ways is one failure. Pure.
 * Made in relay/delivery.c, logged with the attempt. */
#ifndef RPT_EVENT_H
#define RPT_EVENT_H

#include "core/fail.h"
#include "core/log.h"

#define RPT_POLICY_TYPES(X) X(NONE_FOUND, "no-policy-found") X(STS, "sts") X(TLSA, "tlsa")
enum rpt_policy_type {
#define X(name, text) RPT_POLICY_##name,
	RPT_POLICY_TYPES(X)
#undef X
};
const char *rpt_policy_type_str(enum rpt_policy_type t);

struct rpt_event {
	enum rpt_policy_type policy_type;
	const char *policy_domain;
	enum sp_result result;          /* NONE: a successful session */
	const char *reason;             /* failure-reason-code, "" when none */
};
/* The event in one word: "sts", "sts/validation-failure", "sts/validation-failure/mx-mismatch". */
void rpt_event_print(const struct rpt_event *e, struct sp_buf *out);

#endif

/* relay/plan_tell.h - a plan as JSON: `strictpost check` (relay/check.h) and `strictpost explain DOMAIN` (relay/api_explain.c) tell it alike. Pure but for `now_s`.
 *
 *   {"destination", "policy_domain", "port", "route": "mx.corp.example:587" or null, "rule": "tls: verify (contract)" or null, "rule_lowers",
 *    "policy": {"mode", "id", "mx": [...], "max_age", "source", "fetched", "expires"} or null, "policy_record": a valid record was seen, "policy_failure": FAIL,
 *    "mx": "records", "implicit", "route", "literal" or "none", "mx_count", "mx_dnssec": "secure", "insecure" or "unknown",
 *    "hosts": [{"name", "preference", "addresses", "address_count", "dnssec", "alias", "listed": by the policy, null without one,
 *               "tlsa": {"state", "base", "records", "failure": FAIL} or null where it was not asked for,
 *               "require", "origin", "policy": "sts/enforce", "barred": FAIL, "address_failure": FAIL}],
 *    "outcome": "attempt", "defer" or "bounce", "failure": FAIL}
 * FAIL is null, or {"kind", "result", "reason", "status", "permanent", "text"}; `result` is null where it is not about TLS. */
#ifndef RELAY_PLAN_TELL_H
#define RELAY_PLAN_TELL_H

#include "relay/outcome.h"
#include "relay/plan.h"

#include <jansson.h>

/* Tells `p`, made under the configuration `c`. `believed`: is a secure answer of the resolver taken for one (relay/dnssec.h)? One reference. */
json_t *plan_tell(const struct plan *p, const struct config *c, bool believed, int64_t now_s);
json_t *plan_tell_fail(const struct sp_fail *f);                /* null where it is none */
/* Any octets, as printable ASCII. */
json_t *plan_tell_text(struct sp_str text);
/* UTF-8 as it is, else as plan_tell_text(). */
json_t *plan_tell_name(const char *name);

/* What comes of the plan before a host was asked. DELIVERED: there are hosts to be tried; else *why is what all mail to it is told, as the relay would. */
enum outcome plan_outcome(const struct plan *p, struct sp_fail *why);
/* "sts/enforce", "dane/usable", "rule/encrypt", "none": what a session to a host stands under, in logs too. */
const char *plan_policy_word(const struct sts_demand *d, char text[64]);

#endif

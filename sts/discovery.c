/* sts/discovery.c - see discovery.h. The judgement of a fetch is in fetch.c, the plain keeping of entries in entry.c. */
#include "sts/discovery.h"

#include "sts/fetch.h"

#include <stdio.h>

#define RETRY_MAX_S 86400       /* the wait after a failed fetch doubles up to a day */

/* ---- waiting after failures ---- */

static int64_t retry_wait_s(unsigned failures)
{
	int64_t wait = STS_RETRY_MIN_S;
	for (unsigned i = 1; i < failures && wait < RETRY_MAX_S; i++)
		wait *= 2;
	return wait < RETRY_MAX_S ? wait : RETRY_MAX_S;
}

/* May nothing be fetched under `id` now? A failure in the future was noted by a clock that has jumped back since: it holds nothing. When mail would
 * be given up, the least wait is enough: its owner may have mended the policy. */
static bool held_back(const struct sts_entry *e, const char *id, bool fresh, int64_t now_s)
{
	if (e->failures == 0 || strcmp(e->failed_id, id) != 0)
		return false;                                           /* a new id may be fetched at once */
	int64_t failed_s = e->retry_s - retry_wait_s(e->failures);
	int64_t until_s = fresh ? failed_s + STS_RETRY_MIN_S : e->retry_s;
	return failed_s <= now_s && now_s < until_s;
}

static void recall_failure(const struct sts_entry *e, struct sp_fail *fail)
{
	enum sp_fail_kind kind = e->failed_result == SP_RESULT_STS_WEBPKI_INVALID ? SP_FAIL_TLS : SP_FAIL_HTTP;
	sp_fail_tls(fail, kind, e->failed_result, e->failed_reason, "%s", e->failed_text);
}

static void note_failure(struct sts_entry *e, const char *id, const struct sp_fail *fail, int64_t now_s)
{
	bool again = e->failures > 0 && strcmp(e->failed_id, id) == 0;
	e->failures = again ? e->failures + (e->failures < UINT32_MAX) : 1;
	e->retry_s = now_s + retry_wait_s(e->failures);
	snprintf(e->failed_id, sizeof(e->failed_id), "%s", id);
	e->failed_result = fail->result;
	snprintf(e->failed_reason, sizeof(e->failed_reason), "%s", fail->reason);
	snprintf(e->failed_text, sizeof(e->failed_text), "%.*s", (int)sizeof(e->failed_text) - 1, fail->text);
	if (e->refresh_s < e->retry_s)
		e->refresh_s = e->retry_s;
}

static void forget_failure(struct sts_entry *e)
{
	e->failed_id[0] = e->failed_reason[0] = e->failed_text[0] = '\0';
	e->failed_result = SP_RESULT_NONE;
	e->failures = 0;
	e->retry_s = 0;
}

/* ---- what the record says ---- */

enum record { RECORD_SEEN, RECORD_ABSENT, RECORD_UNREACHABLE };

static enum record read_answer(const struct core_dns_answer *txt, char id[STS_ID_MAX + 1])
{
	if (txt->status != CORE_DNS_OK)
		return core_dns_status_lasting(txt->status) ? RECORD_ABSENT : RECORD_UNREACHABLE;
	struct sp_str txts[CORE_DNS_RECORDS_MAX];
	size_t count = sp_min(txt->count, SP_COUNT(txts));
	for (size_t i = 0; i < count; i++)
		txts[i] = txt->records[i].txt;
	const char *why;
	return sts_record_parse(txts, count, id, &why) == STS_RECORD_OK ? RECORD_SEEN : RECORD_ABSENT;
}

/* The clock stood later when this was fetched than it does now: nothing of its times can be relied on. */
static bool from_the_future(const struct sts_entry *e, int64_t now_s)
{
	return e->policy != NULL && e->fetched_s > now_s;
}

static bool wants_fetch(const struct sts_entry *e, enum record record, const char *id, bool fresh, int64_t now_s)
{
	if (record == RECORD_SEEN && (!sts_entry_valid(e, now_s) || strcmp(id, e->id) != 0))
		return true;
	if (!sts_entry_valid(e, now_s))
		return false;                                   /* RFC 8461 3.1: without a record there is no policy to ask for */
	if (from_the_future(e, now_s))
		return true;
	return fresh && (e->fresh_s > now_s || now_s - e->fresh_s >= STS_RETRY_MIN_S);
}

static void fill(const struct sts_entry *e, enum sts_source source, struct sts_finding *out)
{
	out->policy = sts_policy_ref(e->policy);
	out->source = source;
	out->fetched_s = e->fetched_s;
	out->expires_s = e->expires_s;
	snprintf(out->id, sizeof(out->id), "%s", e->id);
}

/* DESIGN.md: SERVFAIL with nothing cached delivers (RFC 8461 3.1), unless the operator is strict at the first contact. */
static void refuse_first_contact(const struct core_dns_answer *txt, struct sp_fail *defer)
{
	sp_fail_set(defer, SP_FAIL_DNS, "it is not known whether the domain has an MTA-STS policy: the look-up of its _mta-sts record ended in: %s "
	            "(setting sts.first_contact: defer)", core_dns_status_str(txt->status));
	snprintf(defer->esc, sizeof(defer->esc), "4.4.3");
	snprintf(defer->reason, sizeof(defer->reason), "first-contact");
}

enum sts_next sts_discover_txt(const struct sts_entry *e, const struct core_dns_answer *txt, bool fresh,
                               const struct sts_rules *rules, int64_t now_s, char id[STS_ID_MAX + 1], struct sts_finding *out)
{
	enum record record = read_answer(txt, id);
	if (record != RECORD_SEEN)
		snprintf(id, STS_ID_MAX + 1, "%s", e->id);
	bool wanted = wants_fetch(e, record, id, fresh, now_s);
	if (wanted && !held_back(e, id, fresh, now_s))
		return STS_NEXT_FETCH;
	sts_finding_clear(out);
	out->has_record = record == RECORD_SEEN;
	if (wanted)
		recall_failure(e, &out->fetch_fail);
	/* RFC 8461 5.1: a cached policy that has not expired is applied, whatever keeps us from a newer one. */
	if (sts_entry_valid(e, now_s))
		fill(e, record == RECORD_SEEN && !wanted ? STS_SOURCE_CACHE : STS_SOURCE_CACHE_UNCONFIRMED, out);
	else
		out->unreachable = record == RECORD_UNREACHABLE;
	if (out->unreachable && rules->first_contact_defer)
		refuse_first_contact(txt, &out->defer);
	return STS_NEXT_DONE;
}

/* ---- what the fetch brought ---- */

/* RFC 8461 10.2: refreshed well before it runs out, at a time that nobody else picks: in the middle fifth of its life, or of the operator's
 * interval where that is shorter. A policy of minutes or less is not chased: it is fetched again when mail asks for it. */
static int64_t refresh_wait_s(uint32_t max_age_s, const struct sts_rules *rules, uint32_t random)
{
	uint32_t period = max_age_s < rules->refresh_s ? max_age_s : rules->refresh_s;
	int64_t wait = (int64_t)period * 2 / 5 + random % (period / 5 + 1);
	int64_t least = rules->refresh_s < STS_RETRY_MIN_S ? rules->refresh_s : STS_RETRY_MIN_S;
	return wait > least ? wait : least;
}

static void keep_policy(struct sts_entry *e, struct sts_policy *policy, const char *id, const struct sts_rules *rules, int64_t now_s,
                        uint32_t random)
{
	uint32_t max_age_s = sts_policy_max_age_s(policy);
	sts_policy_unref(e->policy);
	e->policy = policy;
	snprintf(e->id, sizeof(e->id), "%s", id);
	e->fetched_s = now_s;
	e->expires_s = now_s + max_age_s;
	e->refresh_s = now_s + refresh_wait_s(max_age_s, rules, random);
	forget_failure(e);
}

/* A policy from the future was in truth fetched now at the latest, so this is the longest that it may live. It never moves an expiry
 * later, and without it a clock once wrong would make a policy immortal. */
static void bring_to_now(struct sts_entry *e, int64_t now_s)
{
	int64_t latest_s = now_s + sts_policy_max_age_s(e->policy);
	e->fetched_s = now_s;
	e->refresh_s = now_s;
	if (e->expires_s > latest_s)
		e->expires_s = latest_s;
}

/* Nothing else fetches a valid policy under an unchanged id before its refresh is due. */
static bool was_fresh(const struct sts_entry *e, const char *id, int64_t now_s)
{
	return sts_entry_valid(e, now_s) && strcmp(id, e->id) == 0 && now_s < e->refresh_s;
}

void sts_discover_fetched(struct sts_entry *e, const char *id, const struct sts_fetch *fetch, const struct sts_rules *rules,
                          int64_t now_s, uint32_t random, bool *changed, struct sts_finding *out)
{
	struct sp_fail fail = SP_FAIL_OK;
	struct sts_policy *policy = sts_fetch_judge(fetch, &fail);
	char of[STS_ID_MAX + 1];
	snprintf(of, sizeof(of), "%s", id);                     /* `id` may be e->id */
	sts_finding_clear(out);
	out->has_record = of[0] != '\0';
	*changed = true;
	if (was_fresh(e, of, now_s))
		e->fresh_s = now_s;
	if (policy) {
		keep_policy(e, policy, of, rules, now_s, random);
		fill(e, STS_SOURCE_FRESH, out);                 /* also with max_age 0: it is the policy of this moment */
		return;
	}
	if (from_the_future(e, now_s))
		bring_to_now(e, now_s);
	note_failure(e, of, &fail, now_s);
	out->fetch_fail = fail;
	if (sts_entry_valid(e, now_s))
		fill(e, STS_SOURCE_CACHE_UNCONFIRMED, out);
}

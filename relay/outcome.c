/* relay/outcome.c - see outcome.h. */
#include "relay/outcome.h"

#include "rpt/outbox.h"

#include <stdio.h>

#define BUSY_SHARE 5                    /* a site that is too busy to talk is not a dead one, and is asked so much sooner */

const char *outcome_str(enum outcome o)
{
	static const char *const names[] = {
		[OUTCOME_DELIVERED] = "delivered", [OUTCOME_DEFER] = "deferred", [OUTCOME_BOUNCE] = "bounced",
	};
	return names[o];
}

/* ---- times ---- */

static int64_t expire_ms(const struct config *c, const struct queue_message *m)
{
	return m->kind == QUEUE_REPORT ? INT64_C(1000) * RPT_GIVE_UP_S : c->delivery.expire_ms;
}

/* RFC 4865: mail that was held is as old as its release; and what an operator held is so much younger. */
static int64_t start_ms(const struct queue_message *m, const struct queue_recipient *r)
{
	return sp_max(m->wish.hold_until_ms, m->arrived_ms) + r->held_ms;
}

static int64_t age_ms(const struct queue_message *m, const struct queue_recipient *r, int64_t now_ms)
{
	return now_ms - start_ms(m, r);
}

bool outcome_is_too_late(const struct queue_message *m, int64_t now_ms)
{
	return m->wish.by == SP_BY_RETURN && now_ms >= m->wish.by_ms;
}

static bool expired(const struct config *c, const struct queue_message *m, const struct queue_recipient *r, int64_t now_ms)
{
	return age_ms(m, r, now_ms) >= expire_ms(c, m) || outcome_is_too_late(m, now_ms);
}

int64_t outcome_gives_up_ms(const struct config *c, const struct queue_message *m, const struct queue_recipient *r)
{
	int64_t at_ms = queue_deadline_ms(start_ms(m, r), 0, expire_ms(c, m), true);
	return m->wish.by == SP_BY_RETURN && m->wish.by_ms < at_ms ? m->wish.by_ms : at_ms;
}

/* ---- who is told ---- */

/* Somebody stands behind it: nobody does behind the null sender, and of a report the outbox is told. */
static bool has_sender(const struct queue_message *m)
{
	return m->kind == QUEUE_MAIL && *m->sender;
}

bool outcome_tells_failure(const struct queue_recipient *r)
{
	return r->wish.notify == 0 || (r->wish.notify & SP_NOTIFY_FAILURE);
}

/* RFC 3461 4.1: where NOTIFY was said, only if DELAY is in it. */
static bool has_delay_notice(const struct config *c, const struct queue_message *m, const struct queue_recipient *r)
{
	return c->delivery.delay_notice_ms > 0 && has_sender(m) && (r->wish.notify == 0 || (r->wish.notify & SP_NOTIFY_DELAY));
}

/* RFC 2852 4.1.3: by-mode N, and NOTIFY was not said or has DELAY in it. */
static bool has_by_notice(const struct queue_message *m, const struct queue_recipient *r)
{
	return m->wish.by == SP_BY_NOTIFY && has_sender(m) && (r->wish.notify == 0 || (r->wish.notify & SP_NOTIFY_DELAY));
}

bool outcome_tells_relayed(const struct queue_message *m, const struct queue_recipient *r, bool dsn, bool by_dropped)
{
	if (!has_sender(m) || (r->wish.notify & SP_NOTIFY_NEVER))
		return false;
	return (!dsn && (r->wish.notify & SP_NOTIFY_SUCCESS)) || (m->wish.by != SP_BY_NONE && (m->wish.by_trace || by_dropped));
}

static int64_t deadline_ms(const struct config *c, const struct queue_message *m, const struct queue_recipient *r, unsigned told)
{
	int64_t notice_ms = has_delay_notice(c, m, r) ? c->delivery.delay_notice_ms : 0;
	int64_t at_ms = queue_deadline_ms(start_ms(m, r), notice_ms, expire_ms(c, m), (told & QUEUE_NOTICE_DELAY) != 0);
	bool by = m->wish.by == SP_BY_RETURN || (has_by_notice(m, r) && !(told & QUEUE_NOTICE_BY));
	return by && m->wish.by_ms < at_ms ? m->wish.by_ms : at_ms;
}

int64_t outcome_deadline_ms(const struct config *c, const struct queue_message *m, const struct queue_recipient *r)
{
	return deadline_ms(c, m, r, r->notified);
}

static unsigned notices_due(const struct config *c, const struct queue_message *m, const struct queue_recipient *r, int64_t now_ms)
{
	unsigned due = 0;
	if (has_delay_notice(c, m, r) && age_ms(m, r, now_ms) >= c->delivery.delay_notice_ms)
		due |= QUEUE_NOTICE_DELAY;
	if (has_by_notice(m, r) && now_ms >= m->wish.by_ms)
		due |= QUEUE_NOTICE_BY;
	return due & ~r->notified;
}

/* ---- one recipient ---- */

/* RFC 3463 3.5: 4.7, delivery time expired; what kept it from going stays in the text. */
static void tell_expired(const struct config *c, const struct queue_message *m, bool too_late, const struct sp_fail *last, struct sp_fail *out)
{
	char text[sizeof(out->text)], when[64];
	snprintf(text, sizeof(text), "%s", last->text);
	snprintf(when, sizeof(when), "within %lld hours", (long long)(expire_ms(c, m) / 3600000));
	*out = *last;
	out->permanent = true;
	if (too_late)                           /* RFC 2852 4.1.3: this status, whatever the peers said */
		snprintf(out->esc, sizeof(out->esc), "5.4.7");
	else if (out->code == 0)
		snprintf(out->esc, sizeof(out->esc), sp_failed(last) && strncmp(last->esc, "4.7.", 4) == 0 ? "5.7.1" : "5.4.7");
	if (out->kind == SP_FAIL_NONE)
		out->kind = SP_FAIL_CONNECT;
	snprintf(out->text, sizeof(out->text), "not delivered %s; the last failure was: %.400s", too_late ? "by the time that its sender set" : when,
	         *text ? text : "the destination could not be reached");
}

void outcome_waiting(const struct config *c, const struct queue_message *m, const struct queue_recipient *r,
                     const struct sp_fail *fail, int64_t now_ms, struct outcome_recipient *out)
{
	*out = (struct outcome_recipient){ .fail = *fail };
	if (expired(c, m, r, now_ms)) {
		out->outcome = OUTCOME_BOUNCE;
		out->expired = true;
		tell_expired(c, m, outcome_is_too_late(m, now_ms), fail, &out->fail);
		return;
	}
	out->outcome = OUTCOME_DEFER;
	out->notices = notices_due(c, m, r, now_ms);
	out->deadline_ms = deadline_ms(c, m, r, r->notified | out->notices);
}

void outcome_recipient(const struct config *c, const struct queue_message *m, const struct queue_recipient *r,
                       const struct sp_fail *fail, int64_t now_ms, uint32_t random, struct outcome_recipient *out)
{
	*out = (struct outcome_recipient){ .fail = *fail };
	if (!sp_failed(fail)) {
		out->outcome = OUTCOME_DELIVERED;
	} else if (fail->permanent) {
		out->outcome = OUTCOME_BOUNCE;
	} else {
		struct queue_retry retry = config_retry(c);
		outcome_waiting(c, m, r, fail, now_ms, out);
		out->next_at_ms = now_ms + queue_retry_wait_ms(&retry, r->attempts + 1, random);
	}
}

/* ---- sites and sessions ---- */

bool outcome_is_dead_address(const struct outcome_recipient *o)
{
	const struct sp_fail *f = &o->fail;
	bool of_content = strncmp(f->esc, "5.6.", 4) == 0 || strcmp(f->esc, "5.3.4") == 0 || strcmp(f->esc, "5.2.3") == 0;      /* RFC 3463 3.3, 3.4, 3.7 */
	return o->outcome == OUTCOME_BOUNCE && !o->expired && f->kind == SP_FAIL_REPLY && f->permanent && f->code >= 500 && !of_content;
}

enum outcome outcome_site(const struct config *c, const struct sp_fail *fail, unsigned failures, int64_t now_ms, uint32_t random,
                          int64_t *next_at_ms)
{
	struct queue_retry retry = config_retry(c);
	int64_t wait_ms = queue_retry_wait_ms(&retry, failures ? failures : 1, random);
	*next_at_ms = now_ms + (fail->code == 421 ? wait_ms / BUSY_SHARE : wait_ms);
	return outcome_of_session(fail).permanent ? OUTCOME_BOUNCE : OUTCOME_DEFER;
}

bool outcome_elsewhere(const struct sp_fail *fail, bool site, bool uncertain)
{
	return site && !uncertain && fail->kind != SP_FAIL_STORE && fail->kind != SP_FAIL_SHUTDOWN;
}

bool outcome_other_family(const struct sp_fail *fail)
{
	return fail->kind == SP_FAIL_REPLY && fail->permanent && strncmp(fail->esc, "5.7.", 4) == 0;
}

bool outcome_is_unmet_wish(const struct sp_fail *f)
{
	return f->kind == SP_FAIL_POLICY && f->permanent && strncmp(f->reason, "requiretls-", 11) == 0;
}

struct sp_fail outcome_of_session(const struct sp_fail *fail)
{
	struct sp_fail told = *fail;
	told.permanent = fail->permanent && (fail->kind == SP_FAIL_DNS || outcome_is_unmet_wish(fail));
	return told;
}

static int weight(const struct sp_fail *f)
{
	switch (f->kind) {
	case SP_FAIL_NONE:
		return 0;
	case SP_FAIL_SHUTDOWN:
		return 1;
	case SP_FAIL_DNS:
		return f->permanent ? 2 : 5;            /* one host that does not exist does not make the site permanent */
	case SP_FAIL_CONNECT:
		return 4;
	case SP_FAIL_STORE:
		return 6;
	case SP_FAIL_PROTOCOL:
	case SP_FAIL_HTTP:
		return 7;
	case SP_FAIL_REPLY:
		return 8;
	case SP_FAIL_TLS:
		return 9;
	case SP_FAIL_POLICY:
		/* RFC 8689 4.2.1: a bounce comes after each host was tried; one that could not be may give it */
		return outcome_is_unmet_wish(f) ? 3 : 10;
	}
	return 0;
}

bool outcome_worse(const struct sp_fail *a, const struct sp_fail *b)
{
	int x = weight(a) + (a->result != SP_RESULT_NONE ? 20 : 0), y = weight(b) + (b->result != SP_RESULT_NONE ? 20 : 0);
	return x > y;
}

bool outcome_wants_fresh_policy(const struct sp_fail *fail)
{
	return fail->result != SP_RESULT_NONE;
}

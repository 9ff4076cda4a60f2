/* relay/outcome.c - see outcome.h. */
#include "relay/outcome.h"

#include "rpt/outbox.h"

#include <stdio.h>

const char *outcome_str(enum outcome o)
{
	static const char *const names[] = {
		[OUTCOME_DELIVERED] = "delivered", [OUTCOME_DEFER] = "deferred", [OUTCOME_BOUNCE] = "bounced",
	};
	return names[o];
}

int64_t outcome_expire_ms(const struct config *c, const struct queue_message *m)
{
	return m->kind == QUEUE_REPORT ? INT64_C(1000) * RPT_GIVE_UP_S : c->delivery.expire_ms;
}

static bool expired(const struct config *c, const struct queue_message *m, int64_t now_ms)
{
	return now_ms - m->arrived_ms >= outcome_expire_ms(c, m);
}

/* RFC 3463 3.5: 4.7, delivery time expired; what kept it from going stays in the text. */
static void tell_expired(int64_t expire_ms, const struct sp_fail *last, struct sp_fail *out)
{
	char text[sizeof(out->text)];
	snprintf(text, sizeof(text), "%s", last->text);
	*out = *last;
	out->permanent = true;
	if (out->code == 0)
		snprintf(out->esc, sizeof(out->esc), sp_failed(last) && last->esc[0] == '4' && strncmp(last->esc, "4.7.", 4) == 0 ? "5.7.1" : "5.4.7");
	if (out->kind == SP_FAIL_NONE)
		out->kind = SP_FAIL_CONNECT;
	snprintf(out->text, sizeof(out->text), "not delivered within %lld hours; the last failure was: %.400s",
	         (long long)(expire_ms / 3600000), *text ? text : "the destination could not be reached");
}

/* Is its sender ever told of a delay? Nobody stands behind the null sender. */
static bool has_notice(const struct config *c, const struct queue_message *m)
{
	return c->delivery.delay_notice_ms > 0 && m->kind == QUEUE_MAIL && *m->sender;
}

int64_t outcome_deadline_ms(const struct config *c, const struct queue_message *m, bool notified)
{
	return queue_deadline_ms(m->arrived_ms, has_notice(c, m) ? c->delivery.delay_notice_ms : 0, outcome_expire_ms(c, m), notified);
}

static void wait_on(const struct config *c, const struct queue_message *m, const struct queue_recipient *r,
                    int64_t now_ms, struct outcome_recipient *out)
{
	out->outcome = OUTCOME_DEFER;
	out->notify = has_notice(c, m) && !r->notified && now_ms - m->arrived_ms >= c->delivery.delay_notice_ms;
	out->deadline_ms = outcome_deadline_ms(c, m, r->notified || out->notify);
}

void outcome_waiting(const struct config *c, const struct queue_message *m, const struct queue_recipient *r,
                     const struct sp_fail *fail, int64_t now_ms, struct outcome_recipient *out)
{
	*out = (struct outcome_recipient){ .fail = *fail };
	if (!expired(c, m, now_ms)) {
		wait_on(c, m, r, now_ms, out);
		return;
	}
	out->outcome = OUTCOME_BOUNCE;
	out->expired = true;
	tell_expired(outcome_expire_ms(c, m), fail, &out->fail);
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
	*next_at_ms = now_ms + queue_retry_wait_ms(&retry, failures ? failures : 1, random);
	return outcome_of_session(fail).permanent ? OUTCOME_BOUNCE : OUTCOME_DEFER;
}

bool outcome_elsewhere(const struct sp_fail *fail, bool site, bool uncertain)
{
	return site && !uncertain && fail->kind != SP_FAIL_STORE && fail->kind != SP_FAIL_SHUTDOWN;
}

/* RFC 8689 4.2.1: the message asks for what the host does not give; with the last host the message is returned. The words are sts/verdict.h's. */
static bool is_unmet_wish(const struct sp_fail *f)
{
	return f->kind == SP_FAIL_POLICY && f->permanent && strncmp(f->reason, "requiretls-", 11) == 0;
}

struct sp_fail outcome_of_session(const struct sp_fail *fail)
{
	struct sp_fail told = *fail;
	told.permanent = fail->permanent && (fail->kind == SP_FAIL_DNS || is_unmet_wish(fail));
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
		return is_unmet_wish(f) ? 3 : 10;       /* RFC 8689 4.2.1: each host is tried before the message is returned; one that could not be tried may give it */
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

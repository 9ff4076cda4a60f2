/* relay/settle.c - see settle.h.
 *
 *   decide (outcome.c) -> DSNs, one after the other (bounce.c), reading what they return where it is in a file -> queue_settle -> destination_settled
 *                                                                             -> again in a second, while the store fails */
#include "relay/settle.h"

#include "core/clock.h"
#include "core/date.h"
#include "relay/bounce.h"
#include "relay/evidence.h"
#include "relay/holds.h"
#include "relay/settle_log.h"
#include "rpt/outbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define AGAIN_MS 1000                   /* the store could not take results */

/* In the order in which they are written. */
static const enum smtp_dsn_action notice_kinds[] = { SMTP_DSN_DELAYED, SMTP_DSN_RELAYED, SMTP_DSN_FAILED };
#define NOTICES SP_COUNT(notice_kinds)

struct settlement {
	struct destination *dest;               /* lives on while the job is in flight */
	struct queue_job *job;
	struct outcome_recipient *outcomes;     /* one a recipient of the job */
	struct sp_arena arena;
	struct bounce *bounce;                  /* under way, or NULL */
	size_t notices;                         /* of the kinds of notices so many are written, or not needed */
	struct queue_message *dsns[NOTICES];    /* refs */
	const char *dsn_kinds[NOTICES];         /* "failed"; for the evidence */
	size_t dsn_count;
	const char *dsn_address;                /* who gets them */
	const char *dsn_to;                     /* their destination, as the store has it: a reload may change the routes meanwhile */
	char *proved;                           /* for the DSN: "policy sts/enforce, TLSv1.3, certificate verified"; NULL: it was not tried */
	bool dsn_held;                          /* by a rule of `holds`: they stay in the store */
	struct holds *holds;                    /* one ref, or NULL */
	char *remote;                           /* for the DSN: "mx1.example.com [192.0.2.1]" or NULL */
	struct core_timer *again;
	bool stuck;                             /* counted in relay->unsettled */
	/* what goes into the transaction besides; not touched while it is under way */
	struct queue_extra extra;
	struct account *account;                /* of the session; NULL: nothing to count */
	struct evidence_attempt *evidence;      /* NULL: nothing is kept */
	char *reply;                            /* the peer's last word, for a mailed report and for who is told that it went; NULL: none */
	bool dsn, by_dropped;                   /* as in settle_facts */
};

static void write_results(struct settlement *t);

static void free_settlement(struct settlement *t)
{
	for (size_t i = 0; i < t->dsn_count; i++)
		queue_message_unref(t->dsns[i]);
	core_timer_close(t->again);
	account_free(t->account);
	evidence_attempt_free(t->evidence);
	sp_arena_clear(&t->arena);
	holds_unref(t->holds);
	free(t->reply);
	free(t->remote);
	free(t->proved);
	free(t->outcomes);
	free(t);
}

/* --- the store --- */

static void route_dsn(struct settlement *t, struct queue_message *dsn)
{
	struct queue_recipient r = { .address = t->dsn_address, .destination = t->dsn_to };
	shard_give(t->dest->shard->relay, r.destination, queue_job_new(dsn, &r, 1));
}

static void unstick(struct settlement *t)
{
	if (!t->stuck)
		return;
	t->stuck = false;
	atomic_fetch_sub(&t->dest->shard->relay->unsettled, 1);
}

/* The end comes before the store is well: the next start finds the message as it was before the attempt. */
static void abandon(struct settlement *t, const struct sp_fail *why)
{
	struct destination *d = t->dest;
	struct queue_job *job = t->job;
	sp_log_text(SP_LOG_ERROR, job->message->name, "store", "its results are lost, it will be tried again after the next start: %s", why->text);
	unstick(t);
	free_settlement(t);
	destination_settled(d, job, false, false);
}

static void on_settled(void *owner, const struct sp_fail *why)
{
	struct settlement *t = owner;
	struct shard *s = t->dest->shard;
	shard_op_end(s);
	if (sp_failed(why) && s->stopping && core_clock_mono_ms() >= s->stop_at_ms) {
		abandon(t, why);
		return;
	}
	if (sp_failed(why)) {
		if (!t->stuck)
			atomic_fetch_add(&s->relay->unsettled, 1);
		t->stuck = true;
		sp_log_text(SP_LOG_ERROR, t->job->message->name, "store", "results cannot be stored, deliveries pause until they can: %s", why->text);
		core_timer_start(t->again, AGAIN_MS);
		return;
	}
	unstick(t);
	for (size_t i = 0; i < t->dsn_count && !t->dsn_held; i++)
		route_dsn(t, t->dsns[i]);
	struct destination *d = t->dest;
	struct queue_job *job = t->job;
	bool left = false, waits = false;
	for (size_t i = 0; i < job->count; i++) {
		left |= t->outcomes[i].outcome == OUTCOME_DEFER;
		waits |= t->outcomes[i].outcome == OUTCOME_DEFER && t->outcomes[i].next_at_ms == 0;
		job->recipients[i].notified |= t->outcomes[i].notices;
	}
	free_settlement(t);
	destination_settled(d, job, left, waits);
}

static void on_again(void *owner)
{
	write_results(owner);
}

static void fill_result(const struct settlement *t, size_t i, struct queue_result *r)
{
	const struct outcome_recipient *o = &t->outcomes[i];
	*r = (struct queue_result){ .id = t->job->message->id, .n = t->job->recipients[i].n };
	switch (o->outcome) {
	case OUTCOME_DELIVERED:
		r->outcome = QUEUE_DELIVERED;
		break;
	case OUTCOME_BOUNCE:
		r->outcome = QUEUE_BOUNCED;
		break;
	case OUTCOME_DEFER:
		r->outcome = QUEUE_DEFERRED;
		r->next_at_ms = o->next_at_ms;
		r->deadline_ms = o->deadline_ms;
		r->text = o->fail.text;
	}
}

/* A mailed report came to its end: its endpoint is told. Such mail has one recipient. */
static enum core_db_status tell_outbox(struct core_db *db, const struct settlement *t)
{
	enum core_db_status status = CORE_DB_OK;
	int64_t now_s = core_clock_wall_s();
	for (size_t i = 0; i < t->job->count && status == CORE_DB_OK; i++) {
		const struct outcome_recipient *o = &t->outcomes[i];
		bool delivered = o->outcome == OUTCOME_DELIVERED;
		if (o->outcome != OUTCOME_DEFER)
			status = rpt_outbox_mailed(db, t->job->message->id, delivered, outcome_is_dead_address(o),
			                           !delivered ? o->fail.text : t->reply ? t->reply : "", now_s, now_s + RPT_SUPPRESS_S);
	}
	return status;
}

/* On the store's thread, while the settlement waits for it. */
static enum core_db_status run_extra(struct core_db *db, struct queue_extra *x)
{
	struct settlement *t = sp_container_of(x, struct settlement, extra);
	struct queue_extra *counts = account_extra(t->account);
	enum core_db_status status = counts ? counts->run(db, counts) : CORE_DB_OK;
	if ((status == CORE_DB_OK || status == CORE_DB_ROW) && t->job->message->kind == QUEUE_REPORT)
		status = tell_outbox(db, t);
	return status == CORE_DB_OK || status == CORE_DB_ROW ? evidence_attempt_write(db, t->evidence) : status;
}

/* The notifications with their one recipient, which a rule for mail of the empty sender may hold. */
static void fill_dsns(struct settlement *t, struct queue_dsn *dsns)
{
	struct shard *s = t->dest->shard;
	holds_unref(t->holds);
	t->holds = holds_ref(s->holds);
	if (t->dsn_to == NULL)                  /* they ask for the same */
		t->dsn_to = bounce_destination(s->config, t->dsn_address, &t->dsns[0]->wish, &t->arena);
	for (size_t i = 0; i < t->dsn_count; i++) {
		dsns[i].message = t->dsns[i];
		dsns[i].recipient = (struct queue_recipient){ .address = t->dsn_address, .destination = t->dsn_to };
		t->dsn_held = holds_apply(t->holds, "", &dsns[i].recipient, 1, true, core_clock_wall_ms()) > 0;
	}
}

static void write_results(struct settlement *t)
{
	struct shard *s = t->dest->shard;
	size_t count = t->job->count, n = 0;
	struct queue_result *results = sp_alloc_array(count * 2, sizeof(*results));
	for (size_t i = 0; i < count; i++) {
		const struct outcome_recipient *o = &t->outcomes[i];
		fill_result(t, i, &results[n]);
		if (o->outcome != OUTCOME_DEFER || o->next_at_ms)
			n++;
		if (o->notices) {
			fill_result(t, i, &results[n]);
			results[n].notices = o->notices;
			results[n++].outcome = QUEUE_NOTIFIED;
		}
	}
	struct queue_dsn dsns[NOTICES];
	if (t->dsn_count > 0)
		fill_dsns(t, dsns);
	shard_op_begin(s);
	queue_settle(s->relay->store, results, n, dsns, t->dsn_count, &t->extra, s->mailbox, on_settled, t);
	free(results);
}

/* The first time: all that is to be told of the attempt is known. */
static void begin_results(struct settlement *t)
{
	evidence_attempt_end(t->evidence, t->job, t->outcomes, t->dsns, t->dsn_kinds, t->dsn_count);
	write_results(t);
}

/* --- notifications --- */

static bool wants(const struct settlement *t, size_t i, enum smtp_dsn_action action)
{
	const struct outcome_recipient *o = &t->outcomes[i];
	const struct queue_recipient *r = &t->job->recipients[i];
	switch (action) {
	case SMTP_DSN_FAILED:
		return o->outcome == OUTCOME_BOUNCE && outcome_tells_failure(r);
	case SMTP_DSN_DELAYED:
		return o->outcome == OUTCOME_DEFER && o->notices != 0;
	case SMTP_DSN_RELAYED:
		return o->outcome == OUTCOME_DELIVERED && outcome_tells_relayed(t->job->message, r, t->dsn, t->by_dropped);
	}
	return false;
}

/* RFC 2852 4.1.3: of mail whose by-time is up, 4.4.7 is told, whatever delays it. */
static const struct sp_fail *told(struct settlement *t, const struct outcome_recipient *o)
{
	if (!(o->notices & QUEUE_NOTICE_BY))
		return &o->fail;
	struct sp_fail *f = sp_arena_alloc(&t->arena, sizeof(*f));
	*f = o->fail;
	memcpy(f->esc, "4.4.7", sizeof("4.4.7"));
	return f;
}

/* What the reader is told of the attempts, in one line. */
static const char *tell_tries(struct settlement *t, const struct queue_recipient *r)
{
	const struct destination *d = t->dest;
	char date[40];
	if (t->proved)
		return sp_arena_printf(&t->arena, "Last tried on %s, attempt %u, at %s: %s", sp_date_mail(core_clock_wall_s(), date), r->attempts + 1,
		                       t->remote ? t->remote : "no host", t->proved);
	if (d->failures > 0 && d->since_ms > 0)
		return sp_arena_printf(&t->arena, "Tried in vain since %s, %u times", sp_date_mail(d->since_ms / 1000, date), d->failures);
	return NULL;
}

static size_t list_recipients(struct settlement *t, enum smtp_dsn_action action, struct smtp_dsn_recipient *list)
{
	const struct queue_job *job = t->job;
	size_t count = 0;
	for (size_t i = 0; i < job->count; i++) {
		const struct outcome_recipient *o = &t->outcomes[i];
		if (!wants(t, i, action))
			continue;
		list[count++] = (struct smtp_dsn_recipient){
			.address = job->recipients[i].address, .remote_mta = t->remote, .fail = told(t, o), .last_attempt_s = core_clock_wall_s(),
			.retry_until_s = outcome_gives_up_ms(t->dest->shard->config, job->message, &job->recipients[i]) / 1000,
			.policy = o->fail.result != SP_RESULT_NONE ? o->fail.text : NULL, .tried = tell_tries(t, &job->recipients[i]),
			.orcpt = job->recipients[i].wish.orcpt, .reply = t->reply,
		};
	}
	return count;
}

/* RFC 8689 5: the null sender's mail is not dropped for want of REQUIRETLS. Such mail has one recipient, or is treated as any other. */
static bool send_unprotected(struct settlement *t)
{
	if (t->job->count != 1 || t->outcomes[0].outcome != OUTCOME_BOUNCE || !outcome_is_unmet_wish(&t->outcomes[0].fail))
		return false;
	struct queue_message *copy = bounce_without_require_tls(t->dest->shard, t->job->message);
	if (copy == NULL)
		return false;
	t->dsn_kinds[t->dsn_count] = "without REQUIRETLS";
	t->dsns[t->dsn_count++] = copy;
	t->dsn_address = t->job->recipients[0].address;
	return true;
}

static void on_notice(void *owner, struct queue_message *dsn);

/* One for each kind, with those who are to be told of in it; then the results can be stored. */
static void write_notices(struct settlement *t)
{
	struct shard *s = t->dest->shard;
	bool report = t->job->message->kind == QUEUE_REPORT;            /* the outbox is told instead */
	while (!report && t->notices < NOTICES) {
		enum smtp_dsn_action action = notice_kinds[t->notices++];
		struct smtp_dsn_recipient *list = sp_arena_alloc(&t->arena, t->job->count * sizeof(*list));
		size_t count = list_recipients(t, action, list);
		if (count > 0) {
			t->bounce = bounce_write(s, t->job->message, action, list, count, on_notice, t);
			return;
		}
	}
	begin_results(t);
}

static void on_notice(void *owner, struct queue_message *dsn)
{
	struct settlement *t = owner;
	t->bounce = NULL;
	if (dsn) {
		t->dsn_kinds[t->dsn_count] = smtp_dsn_action_str(notice_kinds[t->notices - 1]);
		t->dsns[t->dsn_count++] = dsn;
	}
	write_notices(t);
}

/* --- beginning --- */

static char *proved_by(const struct settle_facts *f)
{
	struct sp_buf b;
	sp_buf_init(&b, 512);
	sp_buf_printf(&b, "policy %s, %s", f->policy ? f->policy : "none", f->tls ? f->tls : "no TLS");
	if (f->cert)
		sp_buf_printf(&b, ", certificate %s", f->cert);
	return sp_buf_take(&b);
}

static struct settlement *new_settlement(struct destination *d, struct queue_job *job, const struct settle_facts *facts)
{
	struct settlement *t = sp_alloc(sizeof(*t));
	t->dest = d;
	t->job = job;
	t->dsn_address = job->message->sender;
	t->extra.run = run_extra;
	t->reply = facts->reply ? sp_strdup(facts->reply) : NULL;
	t->dsn = facts->dsn;
	t->by_dropped = facts->by_dropped;
	t->outcomes = sp_alloc_array(job->count, sizeof(*t->outcomes));
	t->again = core_timer_new(d->shard->loop, on_again, t);
	t->proved = facts->waited ? NULL : proved_by(facts);
	if (facts->mx) {
		char text[SP_ADDR_TEXT];
		struct sp_buf b;
		sp_buf_init(&b, 512);
		sp_buf_printf(&b, "%s [%s]", facts->mx, facts->addr ? sp_addr_ip_str(facts->addr, text) : "?");
		t->remote = sp_buf_take(&b);
	}
	return t;
}

static void conclude(struct settlement *t, const struct settle_facts *facts)
{
	bool went = false;
	for (size_t i = 0; i < t->job->count; i++) {
		settle_count(t->dest, t->job, &t->outcomes[i]);
		settle_log(t->dest, t->job, i, &t->outcomes[i], facts);
		went |= t->outcomes[i].outcome == OUTCOME_DELIVERED;
	}
	if (went)
		metrics_add(t->dest->shard->metrics, METRIC_SENT_BYTES, 0, t->job->message->size);
	t->evidence = evidence_attempt_new(t->dest->shard, t->job, t->dest->name, facts);
	if (send_unprotected(t))
		begin_results(t);
	else
		write_notices(t);
}

/* RFC 5321 4.5.3.1.10: 452 behind recipients that were taken says that the rest is to come in a transaction of its own, at once. */
static void send_rest_at_once(struct settlement *t, int64_t now_ms)
{
	bool delivered = false;
	for (size_t i = 0; i < t->job->count; i++)
		delivered |= t->outcomes[i].outcome == OUTCOME_DELIVERED;
	for (size_t i = 0; i < t->job->count && delivered; i++)
		if (t->outcomes[i].outcome == OUTCOME_DEFER && t->outcomes[i].fail.code == 452)
			t->outcomes[i].next_at_ms = now_ms;
}

void settle_job(struct destination *d, struct queue_job *job, const struct sp_fail *fails, const struct settle_facts *facts, struct account *account)
{
	struct shard *s = d->shard;
	struct settlement *t = new_settlement(d, job, facts);
	t->account = account;
	int64_t now_ms = core_clock_wall_ms();
	for (size_t i = 0; i < job->count; i++)
		outcome_recipient(s->config, job->message, &job->recipients[i], &fails[i], now_ms, shard_random(s), &t->outcomes[i]);
	send_rest_at_once(t, now_ms);
	conclude(t, facts);
}

bool settle_late(struct destination *d, struct queue_job *job)
{
	struct sp_fail why;
	if (!outcome_is_too_late(job->message, core_clock_wall_ms()))
		return false;
	sp_fail_set(&why, SP_FAIL_CONNECT, "its turn did not come");
	return settle_waiting(d, job, &why, false);
}

/* RFC 3463 3.8: 7.1, not authorized: nobody further on said no. */
static void tell_returned(const char *reason, struct sp_fail *out)
{
	sp_fail_set(out, SP_FAIL_POLICY, "returned by the operator%s%s", *reason ? ": " : "", reason);
	out->permanent = true;
	snprintf(out->esc, sizeof(out->esc), "5.7.1");
	snprintf(out->reason, sizeof(out->reason), "returned");
}

/* What to tell of one that waits: that it does so no more, by an operator's word; the site's failure; or its own last one, where the site is fine. */
static struct sp_fail waits_for(const struct queue_recipient *r, const struct sp_fail *why, bool site)
{
	struct sp_fail told = *why;
	if (r->returned)
		tell_returned(r->returned, &told);
	else if (!site && r->failure && *r->failure)
		sp_fail_set(&told, SP_FAIL_CONNECT, "%s", r->failure);
	return told;
}

bool settle_waiting(struct destination *d, struct queue_job *job, const struct sp_fail *why, bool site)
{
	static const struct settle_facts no_facts = { .waited = true };
	struct shard *s = d->shard;
	struct settlement *t = new_settlement(d, job, &no_facts);
	int64_t now_ms = core_clock_wall_ms();
	bool act = false;
	for (size_t i = 0; i < job->count; i++) {
		struct sp_fail told = waits_for(&job->recipients[i], why, site);
		if (told.permanent)
			outcome_recipient(s->config, job->message, &job->recipients[i], &told, now_ms, 0, &t->outcomes[i]);
		else
			outcome_waiting(s->config, job->message, &job->recipients[i], &told, now_ms, &t->outcomes[i]);
		act |= t->outcomes[i].outcome == OUTCOME_BOUNCE || t->outcomes[i].notices;
	}
	if (act) {
		conclude(t, &no_facts);
		return true;
	}
	for (size_t i = 0; i < job->count; i++) {
		metrics_add(s->metrics, METRIC_RECIPIENTS, METRICS_DEFERRED, 1);
		settle_log(d, job, i, &t->outcomes[i], &no_facts);
	}
	free_settlement(t);
	return false;
}

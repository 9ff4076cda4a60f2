/* relay/policy_admin.c - see policy_admin.h. */
#include "relay/policy_admin.h"

#include "core/clock.h"
#include "relay/destination.h"
#include "relay/policy.h"
#include "sts/history.h"

#include <stdlib.h>

/* ---- refresh ---- */

struct refresh {
	struct core_mail mail;          /* to the shard, and back */
	struct relay *relay;
	struct shard *shard;
	char *domain;
	struct sts_finding finding;
	void (*done)(void *owner, const struct sts_finding *f);
	void *owner;
};

static void run_refreshed(struct core_mail *mail)
{
	struct refresh *f = sp_container_of(mail, struct refresh, mail);
	f->done(f->owner, &f->finding);
	sts_finding_clear(&f->finding);
	free(f->domain);
	free(f);
}

static void send_back(struct refresh *f)
{
	f->mail.run = run_refreshed;
	core_mailbox_post(f->relay->main_mailbox, &f->mail);
}

static void on_renewed(void *owner, const struct sts_finding *finding, uint32_t ttl_s SP_UNUSED)
{
	struct refresh *f = owner;
	sts_finding_copy(&f->finding, finding);
	send_back(f);
}

static void run_refresh(struct core_mail *mail)
{
	struct refresh *f = sp_container_of(mail, struct refresh, mail);
	if (f->shard->stopping)
		sp_fail_set(&f->finding.defer, SP_FAIL_SHUTDOWN, "the relay is stopping");
	else if (!f->shard->config->sts.enabled)
		sp_fail_set(&f->finding.defer, SP_FAIL_POLICY, "sts.enabled is no in the configuration: no policy is looked up");
	else
		policy_renew(f->shard, f->domain, on_renewed, f);
	if (sp_failed(&f->finding.defer))
		send_back(f);
}

void policy_admin_refresh(struct relay *r, const char *domain, void (*done)(void *owner, const struct sts_finding *f), void *owner)
{
	struct refresh *f = sp_alloc(sizeof(*f));
	*f = (struct refresh){ .mail.run = run_refresh, .relay = r, .shard = shard_of(r, domain), .domain = sp_strdup(domain), .done = done, .owner = owner };
	sts_finding_init(&f->finding);
	core_mailbox_post(f->shard->mailbox, &f->mail);
}

/* ---- forget ---- */

/* Asked once; its parts answer on the main thread. */
struct forget {
	struct queue_store *store;
	struct core_mailbox *reply_to;
	char *domain, *reason;
	int64_t now_s;
	unsigned waiting;               /* for parts */
	bool found;
	struct sts_note note;
	struct sp_fail fail;
	void (*done)(void *owner, bool found, const struct sts_note *note, const struct sp_fail *why);
	void *owner;
};

/* Of each shard: what it had stored before stands in the store ahead of this deletion, and it stores nothing of the old policy behind it. */
struct part {
	struct core_mail mail;
	struct queue_op op;
	struct forget *forget;
	struct shard *shard;            /* NULL: no relay runs */
	bool found;
	struct sts_note note;
};

static enum core_db_status run_delete(struct core_db *db, struct queue_op *op)
{
	struct part *p = sp_container_of(op, struct part, op);
	const struct forget *f = p->forget;
	return sts_history_forget(db, f->domain, f->reason, f->now_s, &p->found, &p->note);
}

static void finish(struct forget *f)
{
	policy_log_note(f->domain, &f->note, f->reason);
	f->done(f->owner, f->found, &f->note, &f->fail);
	free(f->domain);
	free(f->reason);
	free(f);
}

static void on_deleted(struct queue_op *op, const struct sp_fail *why)
{
	struct part *p = sp_container_of(op, struct part, op);
	struct forget *f = p->forget;
	if (sp_failed(why))
		f->fail = *why;
	else
		f->found = f->found || p->found;
	if (!sp_failed(why) && p->note.noted)
		f->note = p->note;              /* the first deletion finds it, the others nothing */
	free(p);
	if (--f->waiting == 0)
		finish(f);
}

static void run_part(struct core_mail *mail)
{
	struct part *p = sp_container_of(mail, struct part, mail);
	if (p->shard && !p->shard->stopping) {
		policy_forget(p->shard, p->forget->domain);
		destination_forget_policy(p->shard, p->forget->domain);
	}
	p->op.run = run_delete;
	p->op.done = on_deleted;
	p->op.reply_to = p->forget->reply_to;
	queue_store_submit(p->forget->store, &p->op);
}

static void begin_part(struct forget *f, struct shard *s)
{
	struct part *p = sp_alloc(sizeof(*p));
	p->forget = f;
	p->shard = s;
	p->mail.run = run_part;
	if (s)
		core_mailbox_post(s->mailbox, &p->mail);
	else
		run_part(&p->mail);
}

void policy_admin_forget(struct relay *r, struct queue_store *store, struct core_mailbox *reply_to, const char *domain, const char *reason,
                         void (*done)(void *owner, bool found, const struct sts_note *note, const struct sp_fail *why), void *owner)
{
	struct forget *f = sp_alloc(sizeof(*f));
	*f = (struct forget){ .store = store, .reply_to = reply_to, .domain = sp_strdup(domain), .reason = sp_strdup(reason ? reason : ""),
	                      .now_s = core_clock_wall_s(), .waiting = r ? r->shard_count : 1, .done = done, .owner = owner };
	for (unsigned i = 0; r && i < r->shard_count; i++)
		begin_part(f, r->shards[i]);
	if (r == NULL)
		begin_part(f, NULL);
}

/* relay/evidence_event.c - see evidence.h: what became of a message in an attempt. */
#include "relay/evidence.h"

#include "core/clock.h"
#include "relay/shard.h"

#include <stdio.h>
#include <stdlib.h>

struct notice { uint64_t id; int64_t at_ms; struct sp_buf data; };

struct evidence_attempt {
	struct evidence_sheet *sheet;           /* NULL: there was no session */
	uint64_t id, message;
	int64_t at_ms;
	struct sp_buf data;
	struct sp_json json;                    /* writes into `data` */
	char *reply;                            /* the peer's last word; NULL: none */
	struct notice notices[4];
	size_t notice_count;
	unsigned tries;                         /* to write it; the store's */
};
#define TRIES 3

struct evidence_attempt *evidence_attempt_new(struct shard *s, const struct queue_job *job, const char *destination, const struct settle_facts *facts)
{
	char ip[SP_ADDR_TEXT];
	if (s->relay->store == NULL || s->config->evidence.keep_ms == 0) {
		evidence_sheet_free(facts->sheet);
		return NULL;
	}
	struct evidence_attempt *a = sp_alloc(sizeof(*a));
	struct sp_json *j = &a->json;
	a->sheet = facts->sheet;
	a->id = queue_store_next_id(s->relay->store);
	a->message = job->message->id;
	a->at_ms = core_clock_wall_ms();
	a->reply = facts->reply ? sp_strdup(facts->reply) : NULL;
	sp_buf_init(&a->data, EVIDENCE_DATA_MAX);
	sp_json_begin(j, &a->data);
	sp_json_open(j, NULL, '{');
	sp_json_cstr(j, "event", facts->waited ? "waited" : "attempt");
	sp_json_cstr(j, "destination", destination);
	sp_json_given(j, "host", facts->mx);
	sp_json_given(j, "address", facts->addr && sp_addr_family(facts->addr) != AF_UNSPEC ? sp_addr_ip_str(facts->addr, ip) : NULL);
	sp_json_given(j, "policy", facts->policy);
	sp_json_given(j, "tls", facts->tls);
	sp_json_given(j, "cert", facts->cert);
	if (!facts->waited) {
		sp_json_open(j, "times", '{');
		sp_json_int(j, "queue_ms", facts->queue_ms);
		sp_json_int(j, "connect_ms", facts->connect_ms);
		sp_json_int(j, "tls_ms", facts->tls_ms);
		sp_json_int(j, "transfer_ms", facts->transfer_ms);
		sp_json_close(j, '}');
	}
	return a;
}

/* ---- what came of it ---- */

static const char *why_then(const struct outcome_recipient *o, const struct queue_recipient *r, int64_t now_ms, char text[80])
{
	if (o->next_at_ms == 0)
		return "when its destination is tried next";
	if (o->next_at_ms <= now_ms)
		return "at once: the host took some recipients, and wants the others in a transaction of their own";
	snprintf(text, 80, "retry %u, by delivery.retry", r->attempts + 1);
	return text;
}

static void add_recipient(struct evidence_attempt *a, const struct queue_recipient *r, const struct outcome_recipient *o)
{
	struct sp_json *j = &a->json;
	char text[80];
	bool waits = o->outcome == OUTCOME_DEFER;
	sp_json_open(j, NULL, '{');
	sp_json_cstr(j, "address", r->address);
	sp_json_cstr(j, "outcome", outcome_str(o->outcome));
	if (waits && o->next_at_ms)
		sp_json_int(j, "attempts", r->attempts + 1);
	if (sp_failed(&o->fail)) {
		sp_json_given(j, "status", o->fail.esc);
		sp_json_cstr(j, "fault", o->fail.result ? sp_result_str(o->fail.result) : sp_fail_kind_str(o->fail.kind));
		sp_json_given(j, "reason", o->fail.reason);
		sp_json_cstr(j, "why", o->fail.text);
	} else {
		sp_json_given(j, "reply", a->reply);
	}
	if (o->expired)
		sp_json_bool(j, "expired", true);
	if (waits) {
		sp_json_time(j, "next_attempt", o->next_at_ms);
		sp_json_cstr(j, "next_why", why_then(o, r, a->at_ms, text));
	}
	sp_json_close(j, '}');
}

/* Those of many that were not told in full. */
static void add_briefly(struct evidence_attempt *a, const struct queue_recipient *r, const struct outcome_recipient *o)
{
	sp_json_open(&a->json, NULL, '{');
	sp_json_cstr(&a->json, "address", r->address);
	sp_json_cstr(&a->json, "outcome", outcome_str(o->outcome));
	sp_json_close(&a->json, '}');
}

/* How a notice of ours came into the spool: its own story begins with it. */
static void add_notice(struct evidence_attempt *a, const struct queue_message *m, const char *kind, const struct queue_job *about)
{
	struct notice *n = &a->notices[a->notice_count++];
	struct sp_json j;
	*n = (struct notice){ .id = m->id, .at_ms = m->arrived_ms };
	sp_buf_init(&n->data, 16384);
	sp_json_begin(&j, &n->data);
	sp_json_open(&j, NULL, '{');
	sp_json_cstr(&j, "event", "accepted");
	sp_json_cstr(&j, "sender", m->sender);
	sp_json_given(&j, "client", m->client);
	sp_json_int(&j, "size", (int64_t)m->size);
	sp_json_cstr(&j, "about", about->message->name);
	sp_json_cstr(&j, "kind", kind);
	sp_json_close(&j, '}');
}

static void add_notices(struct evidence_attempt *a, const struct queue_job *job, struct queue_message *const *notices, const char *const *kinds, size_t count)
{
	sp_json_open(&a->json, "notices", '[');
	for (size_t i = 0; i < count && i < SP_COUNT(a->notices); i++) {
		sp_json_open(&a->json, NULL, '{');
		sp_json_cstr(&a->json, "id", notices[i]->name);
		sp_json_cstr(&a->json, "kind", kinds[i]);
		sp_json_close(&a->json, '}');
		add_notice(a, notices[i], kinds[i], job);
	}
	sp_json_close(&a->json, ']');
}

void evidence_attempt_end(struct evidence_attempt *a, const struct queue_job *job, const struct outcome_recipient *outcomes,
                          struct queue_message *const *notices, const char *const *kinds, size_t notice_count)
{
	if (a == NULL)
		return;
	size_t told = sp_min(job->count, EVIDENCE_RECIPIENTS_MAX);
	sp_json_open(&a->json, "recipients", '[');
	for (size_t i = 0; i < told; i++)
		add_recipient(a, &job->recipients[i], &outcomes[i]);
	for (size_t i = told; i < job->count && a->data.len < EVIDENCE_DATA_MAX / 2; i++)
		add_briefly(a, &job->recipients[i], &outcomes[i]);
	sp_json_close(&a->json, ']');
	if (notice_count > 0)
		add_notices(a, job, notices, kinds, notice_count);
	if (a->sheet && a->sheet->dialogue_at_ms) {
		sp_json_time(&a->json, "dialogue_at", a->sheet->dialogue_at_ms);
		dialogue_part_print(&a->sheet->dialogue, "dialogue", &a->json);
	}
	sp_json_close(&a->json, '}');
}

/* ---- the store ---- */

enum core_db_status evidence_attempt_write(struct core_db *db, struct evidence_attempt *a)
{
	if (a == NULL || a->tries == TRIES)
		return CORE_DB_OK;
	a->tries++;
	struct queue_evidence_event e = { .id = a->id, .at_ms = a->at_ms, .message = a->message, .session = a->sheet ? a->sheet->session : 0,
	                                  .data = sp_buf_str(&a->data) };
	enum core_db_status status = evidence_sheet_write(db, a->sheet);
	if (status == CORE_DB_OK && !sp_buf_failed(&a->data))
		status = queue_evidence_add_event(db, &e);
	for (size_t i = 0; i < a->notice_count && status == CORE_DB_OK; i++) {
		const struct notice *n = &a->notices[i];
		struct queue_evidence_event came = { .id = n->id, .at_ms = n->at_ms, .message = n->id, .data = sp_buf_str(&n->data) };
		status = queue_evidence_add_event(db, &came);
	}
	return status;
}

void evidence_attempt_free(struct evidence_attempt *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->notice_count; i++)
		sp_buf_clear(&a->notices[i].data);
	evidence_sheet_free(a->sheet);
	sp_buf_clear(&a->data);
	free(a->reply);
	free(a);
}

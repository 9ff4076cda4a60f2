/* relay/inbound_store.c - see inbound_impl.h: what becomes of a message whose content is complete. */
#include "relay/inbound_impl.h"

#include "core/clock.h"
#include "core/file.h"
#include "relay/evidence.h"
#include "relay/holds.h"
#include "relay/report_bounce.h"
#include "relay/route.h"

#include <stdio.h>
#include <stdlib.h>

/* A message between the end of its content and the spool's answer: it outlives the session. */
struct storing {
	struct inbound *session;                /* NULL: the client went away; the message stays accepted if the spool took it */
	struct shard *shard;
	uint64_t id;
	int64_t arrived_ms;
	struct queue_message *message;          /* one ref; NULL until the content is complete */
	struct sp_arena arena;                  /* of the recipients' strings */
	struct queue_recipient *recipients;
	size_t count;
	struct inbound_client client;
	struct sp_mail_wish wish;               /* strings in the arena */
	size_t held;                            /* recipients that an operator's rule holds */
	struct holds *holds;                    /* one ref: of the rules that hold recipients; NULL: none */
	char *sender, *helo, *dkim;
	struct queue_extra extra;               /* its evidence: */
	struct sp_buf evidence;                 /* JSON; empty: none is kept */
};

static void free_storing(struct storing *st)
{
	queue_message_unref(st->message);
	sp_arena_clear(&st->arena);
	free(st->recipients);
	holds_unref(st->holds);
	inbound_client_clear(&st->client);
	free(st->sender);
	free(st->helo);
	free(st->dkim);
	sp_buf_clear(&st->evidence);
	free(st);
}

static void log_accepted(const struct storing *st)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, st->message->name, "accepted");
	inbound_client_log(&l, &st->client);
	sp_log_cstr(&l, "helo", st->helo);
	sp_log_cstr(&l, "from", *st->message->sender ? st->message->sender : "<>");
	sp_log_int(&l, "recipients", (int64_t)st->count);
	if (st->held > 0)
		sp_log_int(&l, "held", (int64_t)st->held);
	sp_log_cstr(&l, "to", st->count == 1 ? st->recipients[0].address : NULL);
	sp_log_int(&l, "size", (int64_t)st->message->size);
	sp_log_cstr(&l, "dkim", st->dkim);
	sp_log_cstr(&l, "wish", st->wish.require_tls ? "requiretls" : st->wish.tls_optional ? "tls-optional" : NULL);
	if (st->wish.priority != 0)             /* RFC 6710 4.1 (3) */
		sp_log_int(&l, "priority", st->wish.priority);
	sp_log_end(&l);
}

static int by_destination(const void *a, const void *b)
{
	const struct queue_recipient *x = a, *y = b;
	int order = strcmp(x->destination, y->destination);
	return order ? order : x->n < y->n ? -1 : 1;
}

/* Those that are held are at rest already. */
static size_t drop_held(struct queue_recipient *recipients, size_t count)
{
	size_t left = 0;
	for (size_t i = 0; i < count; i++)
		if (recipients[i].held == NULL)
			recipients[left++] = recipients[i];
	return left;
}

/* One job for each destination among the recipients. */
static void hand_out(struct storing *st)
{
	size_t count = st->held > 0 ? drop_held(st->recipients, st->count) : st->count;
	qsort(st->recipients, count, sizeof(*st->recipients), by_destination);
	for (size_t i = 0, n; i < count; i += n) {
		for (n = 1; i + n < count && strcmp(st->recipients[i + n].destination, st->recipients[i].destination) == 0;)
			n++;
		shard_give(st->shard->relay, st->recipients[i].destination, queue_job_new(st->message, &st->recipients[i], n));
	}
}

static void answer(struct inbound *in, const char *reply, bool ok)
{
	struct sp_str none = { 0 };
	in->storing = NULL;
	inbound_forget_transaction(in);
	if (ok)
		smtp_server_accept(in->engine, reply);
	else
		inbound_refuse(in, METRIC_REFUSED, reply);
	inbound_feed(in, none);
}

static void drop_body(const struct storing *st)
{
	if (sp_body_path(st->message->body))
		core_file_unlink(st->shard->loop, sp_body_path(st->message->body));
}

static void on_stored(void *owner, const struct sp_fail *why)
{
	struct storing *st = owner;
	struct shard *s = st->shard;
	char reply[80];
	if (sp_failed(why)) {
		sp_log_text(SP_LOG_ERROR, st->message->name, "store", "a message could not be stored, its client keeps it: %s", why->text);
		drop_body(st);
		if (st->session)
			answer(st->session, "452 4.3.1 The message could not be stored; try again later", false);
	} else {
		metrics_add(s->metrics, METRIC_ACCEPTED, 0, 1);
		metrics_add(s->metrics, METRIC_RECIPIENTS_ACCEPTED, 0, st->count);
		metrics_add(s->metrics, METRIC_RECEIVED_BYTES, 0, st->message->size);
		log_accepted(st);
		if (st->message->wish.hold_until_ms == 0)
			hand_out(st);
		snprintf(reply, sizeof(reply), "250 2.0.0 Ok: queued as %s", st->message->name);
		if (st->session)
			answer(st->session, reply, true);
	}
	free_storing(st);
	shard_op_end(s);
}

/* relay/evidence.h: the event that the story of a message begins with. */
static void write_evidence(struct storing *st)
{
	struct sp_json j;
	const struct inbound_client *c = &st->client;
	sp_buf_init(&st->evidence, EVIDENCE_DATA_MAX);
	sp_json_begin(&j, &st->evidence);
	sp_json_open(&j, NULL, '{');
	sp_json_cstr(&j, "event", "accepted");
	sp_json_cstr(&j, "sender", st->sender);
	sp_json_cstr(&j, "client", c->text);
	sp_json_given(&j, "via", c->via);
	sp_json_given(&j, "user", c->user);
	sp_json_given(&j, "subject", c->subject);
	sp_json_given(&j, "tls", c->tls);
	sp_json_given(&j, "helo", st->helo);
	sp_json_given(&j, "dkim", st->dkim);
	sp_json_int(&j, "size", (int64_t)st->message->size);
	sp_json_int(&j, "recipient_count", (int64_t)st->count);
	sp_json_open(&j, "recipients", '[');
	for (size_t i = 0; i < sp_min(st->count, EVIDENCE_RECIPIENTS_MAX); i++) {
		sp_json_open(&j, NULL, '{');
		sp_json_cstr(&j, "address", st->recipients[i].address);
		sp_json_close(&j, '}');
	}
	sp_json_close(&j, ']');
	sp_json_close(&j, '}');
}

/* On the store's thread. */
static enum core_db_status run_extra(struct core_db *db, struct queue_extra *x)
{
	struct storing *st = sp_container_of(x, struct storing, extra);
	struct queue_evidence_event e = { .id = st->id, .at_ms = st->arrived_ms, .message = st->id, .data = sp_buf_str(&st->evidence) };
	return queue_evidence_add_event(db, &e);
}

static void store(struct storing *st)
{
	struct shard *s = st->shard;
	st->holds = holds_ref(s->holds);
	st->held = holds_apply(st->holds, st->sender, st->recipients, st->count, false, core_clock_wall_ms());
	if (s->config->evidence.keep_ms > 0) {
		write_evidence(st);
		st->extra.run = run_extra;
	}
	shard_op_begin(s);
	queue_accept(s->relay->store, st->message, st->recipients, st->count, st->extra.run ? &st->extra : NULL, s->mailbox, on_stored, st);
}

static void on_report_bounce(void *owner, bool taken, const struct sp_fail *why)
{
	struct storing *st = owner;
	if (!taken && !sp_failed(why)) {
		store(st);
		return;
	}
	drop_body(st);
	if (sp_failed(why))
		sp_log_text(SP_LOG_ERROR, st->message->name, "store", "the bounce of a report could not be taken note of, its client keeps it: %s", why->text);
	if (st->session && taken)
		answer(st->session, "250 2.0.0 Ok: taken note of, no report goes there for a while", true);
	else if (st->session)
		answer(st->session, "452 4.3.1 The message could not be stored; try again later", false);
	free_storing(st);
}

/* What the header asks for is known only now, and where mail goes depends on it. RFC 8689 4.1: with REQUIRETLS the field is ignored. */
static void decide_wish(struct storing *st, bool tls_optional)
{
	st->wish.tls_optional = tls_optional && !st->wish.require_tls && st->shard->config->delivery.tls_required_no == CONFIG_TLS_NO_HONOUR;
	enum sts_wish wish = route_wish(&st->wish);
	for (size_t i = 0; wish != STS_WISH_NONE && i < st->count; i++)
		st->recipients[i].destination = route_wished(st->recipients[i].destination, wish, &st->arena);
}

static void make_message(struct storing *st, const struct intake_result *r)
{
	struct sp_buf client;
	sp_buf_init(&client, 1024);
	inbound_client_name(&st->client, &client);
	struct queue_message fields = { .id = st->id, .kind = QUEUE_MAIL, .arrived_ms = st->arrived_ms, .sender = st->sender, .wish = st->wish,
	                                .client = sp_buf_cstr(&client), .size = r->size, .header_len = r->header_len, .eight_bit = r->eight_bit,
	                                .binary = r->binary, .body = r->body };
	st->message = queue_message_new(&fields);
	sp_buf_clear(&client);
}

static void on_body(void *owner, const struct intake_result *r)
{
	struct storing *st = owner;
	struct shard *s = st->shard;
	if (sp_failed(&r->fail)) {
		sp_log_text(SP_LOG_ERROR, NULL, "store", "the content of a message could not be written, its client keeps it: %s", r->fail.text);
		if (st->session)
			answer(st->session, "452 4.3.1 The message could not be stored; try again later", false);
		free_storing(st);
		return;
	}
	st->dkim = sp_strdup(r->signed_by);
	decide_wish(st, r->tls_optional);
	make_message(st, r);
	if (report_bounce_fits(s->config, st->sender, st->recipients, st->count))
		report_bounce_read(s, st->message, on_report_bounce, st);
	else
		store(st);
}

/* The reply that refuses the message as it stands, or NULL. */
static const char *refusal(const struct inbound *in)
{
	const char *reply = intake_refusal(in->intake);
	if (reply)
		return reply;
	if (in->shard->config->delivery.tls_required_no == CONFIG_TLS_NO_REFUSE && !in->wish.require_tls && intake_tls_optional(in->intake))
		return "550 5.7.1 The field \"TLS-Required: No\" is not taken here (RFC 8689 3): send it without";
	return NULL;
}

/* The transaction's own things go along; the session keeps nothing of them. */
static struct storing *take_over(struct inbound *in)
{
	struct storing *st = sp_alloc(sizeof(*st));
	st->session = in;
	st->shard = in->shard;
	st->sender = sp_strdup(smtp_server_sender(in->engine)->text);
	st->helo = sp_strdup(smtp_server_mail(in->engine)->helo);
	inbound_client_copy(&st->client, &in->client);
	st->wish = in->wish;
	st->arena = in->arena;                  /* the strings */
	in->arena = SP_ARENA_EMPTY;
	st->recipients = in->recipients;
	st->count = in->recipient_count;
	in->recipients = NULL;
	in->recipient_count = in->recipient_cap = 0;
	st->id = in->id;
	st->arrived_ms = core_clock_wall_ms();
	return st;
}

void inbound_store(struct inbound *in)
{
	intake_end(in->intake);
	const char *reply = refusal(in);
	if (reply) {
		inbound_forget_transaction(in);
		inbound_refuse(in, METRIC_REFUSED, reply);
		return;
	}
	struct intake *intake = in->intake;
	in->intake = NULL;
	in->storing = take_over(in);
	intake_finish(intake, on_body, in->storing);
}

void inbound_store_left(struct inbound *in)
{
	if (in->storing)
		in->storing->session = NULL;
}

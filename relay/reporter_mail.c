/* relay/reporter_mail.c - an endpoint of a report: mailto (RFC 8460 5.3). The message is composed, signed, and given to our own spool; that the endpoint has it, and
 * under which message, is part of the transaction that takes it. A large one goes to a file of the spool first, as any mail does.
 *   compose -> sign -> [file] -> accept, with the endpoint -> give */
#include "relay/reporter_impl.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "queue/spool.h"
#include "relay/route.h"
#include "rpt/mail.h"
#include "smtp/dkim.h"
#include "smtp/header.h"

#include <stdio.h>
#include <stdlib.h>

#define MAIL_MAX (REPORTER_DOCUMENT_MAX / 3 * 4 + REPORTER_DOCUMENT_MAX / 8)    /* octets: base64, its line ends, and what stands around it */
#define FIELDS_MAX 65536

struct outgoing {
	struct queue_extra extra;
	struct endpoint *endpoint;              /* its attempt waits */
	struct reporter *reporter;
	struct rpt_endpoint mailed;             /* what becomes of it, when the spool takes the message */
	struct queue_recipient recipient;
	struct sp_arena arena;                  /* of the two */
	uint64_t id;
	struct queue_message *message;
	struct sp_buf fields, mail;             /* the signatures, and what is signed */
	size_t size;
	uint32_t header_len;
	char *path;                             /* of its file, or NULL */
	struct core_file_writer *file;
};

/* ---- the end ---- */

static void end(struct outgoing *o)
{
	struct endpoint *e = o->endpoint;
	queue_message_unref(o->message);
	sp_buf_clear(&o->fields);
	sp_buf_clear(&o->mail);
	sp_arena_clear(&o->arena);
	free(o->path);
	free(o);
	attempt_endpoint_done(e->attempt);
}

/* It is tried again with the report's next attempt. */
static void fail(struct outgoing *o, const char *text)
{
	struct endpoint *e = o->endpoint;
	endpoint_set(e, RPT_ENDPOINT_FAILED, "the spool does not take it: %s", text);
	e->unstored = e->attempt->stores;
	if (o->path && o->message)              /* written, and no row names it */
		core_file_unlink(o->reporter->world.loop, o->path);
	end(o);
}

/* ---- the spool ---- */

static enum core_db_status run_mailed(struct core_db *db, struct queue_extra *x)
{
	const struct outgoing *o = sp_container_of(x, struct outgoing, extra);
	const struct attempt *a = o->endpoint->attempt;
	return rpt_outbox_endpoint_put(db, a->day, a->domain, &o->mailed);
}

static void hand_out(const struct outgoing *o)
{
	struct reporter *r = o->reporter;
	if (r->world.give && !r->stopping)      /* else it waits in the spool */
		r->world.give(r->world.owner, o->recipient.destination, queue_job_new(o->message, &o->recipient, 1));
}

static void on_accepted(void *owner, const struct sp_fail *why)
{
	struct outgoing *o = owner;
	struct reporter *r = o->reporter;
	if (sp_failed(why)) {
		fail(o, why->text);
	} else {
		endpoint_set(o->endpoint, RPT_ENDPOINT_MAILED, "%s", o->mailed.text);
		o->endpoint->result.message = o->id;
		hand_out(o);
		end(o);
	}
	reporter_op_end(r);
}

static void accept_mail(struct outgoing *o, struct sp_body *body)
{
	struct queue_message fields = { .id = o->id, .kind = QUEUE_REPORT, .arrived_ms = core_clock_wall_ms(),
	                                .sender = config_report_identity(o->endpoint->attempt->config)->contact, .size = o->size,
	                                .header_len = o->header_len, .client = "strictpost report", .body = body };
	struct reporter *r = o->reporter;
	o->message = queue_message_new(&fields);
	o->extra.run = run_mailed;
	r->ops++;
	queue_accept(r->world.store, o->message, &o->recipient, 1, o->endpoint->attempt->stores ? &o->extra : NULL, r->world.mailbox, on_accepted, o);
}

static void on_written(void *owner, const struct sp_fail *why)
{
	struct outgoing *o = owner;
	struct reporter *r = o->reporter;
	o->file = NULL;
	if (sp_failed(why))
		fail(o, why->text);
	else
		accept_mail(o, sp_body_from_file(o->path, o->size));
	reporter_op_end(r);
}

static void to_file(struct outgoing *o)
{
	struct reporter *r = o->reporter;
	struct sp_buf path;
	sp_buf_init(&path, 4096);
	queue_store_body_path(r->world.store, o->id, &path);
	o->path = sp_buf_take(&path);
	o->file = core_file_create(r->world.loop, o->path);
	core_file_write(o->file, &o->fields);
	core_file_write(o->file, &o->mail);
	r->ops++;
	core_file_finish(o->file, on_written, o);
}

static void to_memory(struct outgoing *o)
{
	sp_buf_add(&o->fields, sp_buf_str(&o->mail));
	sp_buf_clear(&o->mail);
	accept_mail(o, sp_body_from_memory(sp_buf_take(&o->fields), o->size));
}

/* ---- the message ---- */

static bool address(struct outgoing *o, const char *to)
{
	const struct config *c = o->endpoint->attempt->config;
	struct smtp_address parsed, from;
	struct route_mail mail = { .report = true };
	char name[QUEUE_ID_TEXT];
	const char *why;
	if (!smtp_address_parse(sp_str_of(to), false, &o->arena, &parsed, &why)) {
		fail(o, why);
		return false;
	}
	if (smtp_address_parse(sp_str_of(config_report_identity(c)->contact), true, &o->arena, &from, &why))
		mail.sender = &from;
	o->recipient = (struct queue_recipient){ .address = parsed.text, .destination = route_destination(c, &mail, &parsed, &o->arena) };
	o->mailed = (struct rpt_endpoint){ .uri = o->endpoint->rua->uri, .state = RPT_ENDPOINT_MAILED, .at_s = core_clock_wall_s(), .message = o->id,
	                                   .text = sp_arena_printf(&o->arena, "in the spool as %s", queue_id_str(o->id, name)) };
	return true;
}

static void compose(struct outgoing *o)
{
	const struct attempt *a = o->endpoint->attempt;
	const struct config_identity *who = config_report_identity(a->config);
	char name[QUEUE_ID_TEXT], message_id[512];
	int64_t now_s = core_clock_wall_s();
	snprintf(message_id, sizeof(message_id), "%s.%lld@%s", queue_id_str(o->id, name), (long long)now_s, who->submitter);
	struct rpt_mail m = { .head = &a->document->head, .submitter = who->submitter, .from = who->contact, .to = o->recipient.address,
	                      .message_id = message_id, .now_s = now_s, .document = sp_buf_str(&a->document->gz),
	                      .successes = a->document->successes, .failures = a->document->failures };
	rpt_mail_write(&m, &o->mail);
}

static void sign(struct outgoing *o)
{
	const struct config *c = o->endpoint->attempt->config;
	struct smtp_dkim_signer signers[SMTP_DKIM_SIGNERS_MAX];
	size_t count = config_dkim_signers(c, config_report_identity(c)->submitter, CONFIG_DKIM_REPORTS, signers, SP_COUNT(signers));
	struct smtp_header_scan scan;
	smtp_dkim_sign(signers, count, sp_buf_str(&o->mail), core_clock_wall_s(), &o->fields);
	smtp_header_scan_init(&scan);
	smtp_header_scan_feed(&scan, sp_buf_str(&o->mail));
	o->size = o->fields.len + o->mail.len;
	o->header_len = (uint32_t)(o->fields.len + scan.len);
}

void endpoint_mail(struct endpoint *e)
{
	struct outgoing *o = sp_alloc(sizeof(*o));
	struct reporter *r = e->attempt->reporter;
	o->endpoint = e;
	o->reporter = r;
	o->id = queue_store_next_id(r->world.store);
	sp_buf_init(&o->mail, MAIL_MAX);
	sp_buf_init(&o->fields, FIELDS_MAX + (size_t)e->attempt->config->limits.inline_body);
	if (!address(o, e->rua->address))
		return;
	compose(o);
	sign(o);
	if (sp_buf_failed(&o->mail) || sp_buf_failed(&o->fields))
		fail(o, "it is too large");
	else if (o->size > (size_t)e->attempt->config->limits.inline_body)
		to_file(o);
	else
		to_memory(o);
}

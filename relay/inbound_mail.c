/* relay/inbound_mail.c - see inbound_impl.h: envelopes, and content on its way in. */
#include "relay/inbound_impl.h"

#include "core/clock.h"
#include "relay/route.h"

#include <stdlib.h>

#define MS_AN_OCTET 2

/* NULL, or why no message can be taken now. */
static const char *short_of(const struct shard *s)
{
	if (!queue_store_accepting(s->relay->store))
		return "452 4.3.1 The spool is nearly full or failing; try again later";
	if (sp_body_memory() > (size_t)s->config->limits.memory / 8 * 9)
		return "452 4.3.1 Short of memory; try again later";
	return NULL;
}

void inbound_refuse(struct inbound *in, enum metrics_counter counter, const char *reply)
{
	metrics_add(in->shard->metrics, counter, *reply == '5' ? METRICS_PERMANENT : METRICS_TEMPORARY, 1);
	smtp_server_refuse(in->engine, reply);
}

static void log_refused(const struct inbound *in, const char *to, const char *reply)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, NULL, "refused");
	inbound_client_log(&l, &in->client);
	sp_log_cstr(&l, "helo", smtp_server_mail(in->engine)->helo);
	sp_log_cstr(&l, "from", smtp_server_sender(in->engine)->text);
	sp_log_cstr(&l, "to", to);
	sp_log_cstr(&l, "reply", reply);
	sp_log_end(&l);
}

/* --- MAIL --- */

/* Until when the client wants it held (RFC 4865), Unix ms; 0: it may go at once. The engine has held it against what is offered. */
static int64_t held_until(const struct smtp_server_mail *mail, int64_t now_ms)
{
	int64_t until_ms = mail->hold_for_s > 0 ? now_ms + (int64_t)mail->hold_for_s * 1000 : mail->hold_until_s * 1000;
	return until_ms > now_ms ? until_ms : 0;
}

/* RFC 2852 4: the seconds count from when MAIL came. */
static int64_t by_time(const struct smtp_server_mail *mail, int64_t now_ms)
{
	return mail->wish.by == SP_BY_NONE ? 0 : now_ms + mail->by_s * 1000;
}

/* RFC 6710 4.1: nobody gets a higher priority than the operator grants. NULL, or the reply that says so. */
static const char *grant_priority(struct inbound *in)
{
	int most = (int)in->shard->config->limits.priority;
	if (in->wish.priority <= most)
		return NULL;
	in->wish.priority = most;
	return sp_arena_printf(&in->arena, "250 2.3.6 %d is the new priority: no higher one is granted here", most);
}

static const char *refuse_mail(struct inbound *in)
{
	const char *reply = short_of(in->shard), *sender = smtp_server_sender(in->engine)->text;
	if (reply)
		return reply;
	if (atomic_load(&in->shard->relay->draining))
		return INBOUND_DRAINING;                /* RFC 5321 3.8: 421 fits any command */
	if (!inbound_client_may_send(in, sender)) {
		reply = sp_arena_printf(&in->arena, "553 5.7.1 <%.300s>: not an address that %.128s may send from", sender, in->client.user);
		log_refused(in, NULL, reply);
		return reply;
	}
	return NULL;
}

void inbound_mail(struct inbound *in)
{
	const struct smtp_server_mail *mail = smtp_server_mail(in->engine);
	int64_t now_ms = core_clock_wall_ms();
	in->wish = mail->wish;
	in->wish.envid = sp_arena_strdup(&in->arena, mail->wish.envid);
	in->wish.by_ms = by_time(mail, now_ms);
	in->wish.hold_until_ms = held_until(mail, now_ms);
	in->wish.hold_for_s = (uint32_t)mail->hold_for_s;
	const char *reply = refuse_mail(in);
	if (reply) {
		inbound_refuse(in, METRIC_REFUSED, reply);
		inbound_forget_transaction(in);
	} else {
		smtp_server_accept(in->engine, grant_priority(in));
	}
}

/* --- RCPT --- */

static void add_recipient(struct inbound *in, const struct smtp_address *to)
{
	if (in->recipient_count == in->recipient_cap) {
		in->recipient_cap = in->recipient_cap ? in->recipient_cap * 2 : 4;
		in->recipients = sp_realloc(in->recipients, in->recipient_cap * sizeof(*in->recipients));
	}
	struct route_mail mail = { .sender = smtp_server_sender(in->engine), .wish = STS_WISH_NONE };
	const struct sp_rcpt_wish *wish = smtp_server_recipient_wish(in->engine);
	in->recipients[in->recipient_count] = (struct queue_recipient){
		.n = (uint32_t)in->recipient_count,
		.address = sp_arena_strdup(&in->arena, to->text),
		.destination = route_destination(in->shard->config, &mail, to, &in->arena),
		.wish = { .notify = wish->notify, .orcpt = sp_arena_strdup(&in->arena, wish->orcpt) },
	};
	in->recipient_count++;
}

void inbound_rcpt(struct inbound *in)
{
	const struct smtp_address *to = smtp_server_recipient(in->engine);
	if (inbound_client_may_relay(in)) {
		add_recipient(in, to);
		smtp_server_accept(in->engine, NULL);
		return;
	}
	const char *reply = in->listen->auth == CONFIG_AUTH_NONE ? "550 5.7.1 Relaying denied: this client is not in listen.allow" :
	                    "550 5.7.1 Relaying denied: this client is not in listen.allow, and has not logged in";
	log_refused(in, to->text, reply);
	inbound_refuse(in, METRIC_RECIPIENTS_REFUSED, reply);
}

/* --- content --- */

static const char *client_literal(const struct inbound_client *c, char text[SP_ADDR_TEXT])
{
	if (c->local)
		return "local";
	return sp_addr_family(&c->addr) == AF_UNSPEC ? "unknown" : sp_addr_literal_str(&c->addr, text);
}

void inbound_begin(struct inbound *in)
{
	const char *reply = short_of(in->shard);
	if (reply) {
		inbound_forget_transaction(in);
		inbound_refuse(in, METRIC_REFUSED, reply);
		return;
	}
	char name[QUEUE_ID_TEXT], literal[SP_ADDR_TEXT];
	const struct smtp_server_mail *mail = smtp_server_mail(in->engine);
	in->id = queue_store_next_id(in->shard->relay->store);
	struct smtp_received received = {
		.helo = mail->helo, .client_literal = client_literal(&in->client, literal),
		.by = in->config->hostname, .with = smtp_server_with(in->engine), .id = queue_id_str(in->id, name),
		.recipient = in->recipient_count == 1 ? in->recipients[0].address : NULL,
		.at_s = core_clock_wall_s(), .priority = in->wish.priority,
	};
	in->intake = intake_new(in->shard, in->id, mail->binary, in->client.user, &received);
	in->content_deadline_ms = core_clock_mono_ms() + (uint64_t)smtp_server_wait_s(in->engine) * 1000;
	smtp_server_accept(in->engine, NULL);
}

void inbound_content(struct inbound *in)
{
	struct sp_str content = smtp_server_content(in->engine);
	intake_add(in->intake, content);
	in->content_deadline_ms += content.len * MS_AN_OCTET;
	in->deadline_ms += content.len * MS_AN_OCTET;
}

/* relay/inbound.c - see inbound.h. */
#include "relay/inbound.h"

#include "core/clock.h"
#include "core/file.h"
#include "relay/intake.h"
#include "relay/report_bounce.h"
#include "relay/route.h"
#include "smtp/server.h"

#include <stdio.h>
#include <stdlib.h>

#define ERRORS_MAX 20                   /* refused or wrong commands of a session (DESIGN.md, limits) */
#define SESSION_MS (20 * 60 * 1000)     /* a session, and a second for each 500 octets */
#define MS_AN_OCTET 2
#define UNSENT_MAX 65536                /* octets of replies that a client may leave unread before it is not read from */
#define LINGER_MS 2000
#define PENDING_MAX (2 * CORE_READ_SIZE)

struct inbound {
	struct sp_link link;                    /* in shard->inbounds */
	struct shard *shard;
	struct core_conn *conn;
	struct smtp_server *engine;
	struct smtp_server_settings settings;
	char *hostname;                         /* settings.hostname: survives a reload */
	char client[SP_ADDR_TEXT];              /* the client's address */
	bool may_relay;
	bool dismissed;                         /* it was told once; the second time it goes, unless a message is coming in */
	bool counted;                           /* in relay->clients */
	struct sp_buf pending;                  /* octets that came while the engine waits */
	bool paused;
	uint64_t began_ms, deadline_ms;         /* monotonic; of the session */
	uint64_t content_deadline_ms;           /* of the content being received: the minimum data rate */
	/* the transaction */
	struct sp_arena arena;
	struct queue_recipient *recipients;
	size_t recipient_count, recipient_cap;
	struct intake *intake;
	uint64_t id;
	struct storing *storing;                /* the spool has the message, or is about to */
};

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
	char *sender, *client, *helo, *dkim;
};

static const struct core_conn_ops conn_ops;
static void drive(struct inbound *in, struct sp_str *data);
static void feed(struct inbound *in, struct sp_str data);

/* --- limits --- */

static bool count_client(struct inbound *in)
{
	uint64_t limit = (uint64_t)in->shard->config->limits.connections_per_client;
	in->counted = limit > 0 && clients_enter(in->shard->relay->clients, core_conn_remote(in->conn), limit);
	return limit == 0 || in->counted;
}

static void uncount_client(struct inbound *in)
{
	if (in->counted)
		clients_leave(in->shard->relay->clients, core_conn_remote(in->conn));
	in->counted = false;
}

/* NULL, or why no message can be taken now. */
static const char *short_of(const struct shard *s)
{
	if (!queue_store_accepting(s->relay->store))
		return "452 4.3.1 The spool is nearly full or failing; try again later";
	if (sp_body_memory() > (size_t)s->config->limits.memory / 8 * 9)
		return "452 4.3.1 Short of memory; try again later";
	return NULL;
}

/* --- the end of a session --- */

static void forget_transaction(struct inbound *in)
{
	intake_abort(in->intake);
	in->intake = NULL;
	in->recipient_count = 0;
	sp_arena_clear(&in->arena);
}

static void close_session(struct inbound *in, bool politely)
{
	struct shard *s = in->shard;
	forget_transaction(in);
	if (in->storing)
		in->storing->session = NULL;
	uncount_client(in);
	if (politely)
		core_conn_finish(in->conn, LINGER_MS);
	else
		core_conn_close(in->conn);
	sp_list_remove(&in->link);
	s->inbound_count--;
	atomic_fetch_sub(&s->relay->connections, 1);
	smtp_server_free(in->engine);
	sp_buf_clear(&in->pending);
	free(in->recipients);
	free(in->hostname);
	free(in);
	shard_check_finished(s);
}

/* --- waiting --- */

static void set_deadline(struct inbound *in)
{
	uint64_t now = core_clock_mono_ms();
	uint64_t at = now + (uint64_t)smtp_server_wait_s(in->engine) * 1000;
	if (in->intake)                         /* a refused chunk is dropped under the session's deadline alone */
		at = sp_min(at, in->content_deadline_ms);
	at = sp_min(at, in->deadline_ms);
	core_conn_deadline(in->conn, at > now ? at - now : 1);
}

static void flush(struct inbound *in)
{
	struct sp_buf *out = smtp_server_output(in->engine);
	if (out->len > 0)
		core_conn_send(in->conn, out);
}

/* Reads nothing until resume(); what is left of the input is kept. */
static void pause_with(struct inbound *in, struct sp_str rest)
{
	if (in->pending.len > 0) {              /* then that is what `rest` is the end of: see feed() */
		sp_buf_consume(&in->pending, in->pending.len - rest.len);
	} else {
		sp_buf_add(&in->pending, rest);
		sp_assert(!sp_buf_failed(&in->pending));
	}
	if (!in->paused)
		core_conn_pause(in->conn);
	in->paused = true;
}

/* --- MAIL and RCPT --- */

static void on_mail(struct inbound *in)
{
	const char *reply = short_of(in->shard);
	if (reply)
		smtp_server_refuse(in->engine, reply);
	else
		smtp_server_accept(in->engine, NULL);
}

static void add_recipient(struct inbound *in, const struct smtp_address *to)
{
	if (in->recipient_count == in->recipient_cap) {
		in->recipient_cap = in->recipient_cap ? in->recipient_cap * 2 : 4;
		in->recipients = sp_realloc(in->recipients, in->recipient_cap * sizeof(*in->recipients));
	}
	struct route_mail mail = { .sender = smtp_server_sender(in->engine), .wish = route_wish(&smtp_server_mail(in->engine)->wish) };
	in->recipients[in->recipient_count] = (struct queue_recipient){
		.n = (uint32_t)in->recipient_count,
		.address = sp_arena_strdup(&in->arena, to->text),
		.destination = route_destination(in->shard->config, &mail, to, &in->arena),
	};
	in->recipient_count++;
}

static void log_refused(const struct inbound *in, const struct smtp_address *to, const char *reply)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, NULL, "refused");
	sp_log_cstr(&l, "client", in->client);
	sp_log_cstr(&l, "helo", smtp_server_mail(in->engine)->helo);
	sp_log_cstr(&l, "from", smtp_server_sender(in->engine)->text);
	sp_log_cstr(&l, "to", to->text);
	sp_log_cstr(&l, "reply", reply);
	sp_log_end(&l);
}

static void on_rcpt(struct inbound *in)
{
	const struct smtp_address *to = smtp_server_recipient(in->engine);
	const char *reply = NULL;
	if (!in->may_relay)
		reply = "550 5.7.1 Relaying denied: this client is not in listen.allow";
	if (reply) {
		log_refused(in, to, reply);
		smtp_server_refuse(in->engine, reply);
		return;
	}
	add_recipient(in, to);
	smtp_server_accept(in->engine, NULL);
}

/* --- content --- */

static void on_begin(struct inbound *in)
{
	const char *reply = short_of(in->shard);
	if (reply) {
		forget_transaction(in);
		smtp_server_refuse(in->engine, reply);
		return;
	}
	char name[QUEUE_ID_TEXT], literal[SP_ADDR_TEXT];
	const struct smtp_server_mail *mail = smtp_server_mail(in->engine);
	const struct sp_addr *remote = core_conn_remote(in->conn);
	in->id = queue_store_next_id(in->shard->relay->store);
	struct smtp_received received = {
		.helo = mail->helo,
		.client_literal = sp_addr_family(remote) == AF_UNIX ? "local" : sp_addr_literal_str(remote, literal),
		.by = in->hostname, .with = smtp_server_with(in->engine), .id = queue_id_str(in->id, name),
		.recipient = in->recipient_count == 1 ? in->recipients[0].address : NULL,
		.at_s = core_clock_wall_s(),
	};
	in->intake = intake_new(in->shard, in->id, mail->binary, &received);
	in->content_deadline_ms = core_clock_mono_ms() + (uint64_t)smtp_server_wait_s(in->engine) * 1000;
	smtp_server_accept(in->engine, NULL);
}

static void on_intake_drained(void *owner)
{
	struct inbound *in = owner;
	struct sp_str none = { 0 };
	feed(in, none);
}

static void on_content(struct inbound *in)
{
	struct sp_str content = smtp_server_content(in->engine);
	intake_add(in->intake, content);
	in->content_deadline_ms += content.len * MS_AN_OCTET;
	in->deadline_ms += content.len * MS_AN_OCTET;
}

/* --- storing --- */

static void free_storing(struct storing *st)
{
	queue_message_unref(st->message);
	sp_arena_clear(&st->arena);
	free(st->recipients);
	free(st->sender);
	free(st->client);
	free(st->helo);
	free(st->dkim);
	free(st);
}

static void log_accepted(const struct storing *st)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, st->message->name, "accepted");
	sp_log_cstr(&l, "client", st->client);
	sp_log_cstr(&l, "helo", st->helo);
	sp_log_cstr(&l, "from", *st->message->sender ? st->message->sender : "<>");
	sp_log_int(&l, "recipients", (int64_t)st->count);
	sp_log_cstr(&l, "to", st->count == 1 ? st->recipients[0].address : NULL);
	sp_log_int(&l, "size", (int64_t)st->message->size);
	sp_log_cstr(&l, "dkim", st->dkim);
	sp_log_end(&l);
}

static int by_destination(const void *a, const void *b)
{
	const struct queue_recipient *x = a, *y = b;
	int order = strcmp(x->destination, y->destination);
	return order ? order : x->n < y->n ? -1 : 1;
}

/* One job for each destination among the recipients. */
static void hand_out(struct storing *st)
{
	qsort(st->recipients, st->count, sizeof(*st->recipients), by_destination);
	for (size_t i = 0, n; i < st->count; i += n) {
		for (n = 1; i + n < st->count && strcmp(st->recipients[i + n].destination, st->recipients[i].destination) == 0;)
			n++;
		shard_give(st->shard->relay, st->recipients[i].destination, queue_job_new(st->message, &st->recipients[i], n));
	}
}

static void answer(struct inbound *in, const char *reply, bool ok)
{
	struct sp_str none = { 0 };
	in->storing = NULL;
	forget_transaction(in);
	if (ok)
		smtp_server_accept(in->engine, reply);
	else
		smtp_server_refuse(in->engine, reply);
	feed(in, none);
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
		atomic_fetch_add_explicit(&s->relay->accepted, 1, memory_order_relaxed);
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

static void store(struct storing *st)
{
	struct shard *s = st->shard;
	shard_op_begin(s);
	queue_accept(s->relay->store, st->message, st->recipients, st->count, NULL, s->mailbox, on_stored, st);
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
	struct queue_message fields = { .id = st->id, .kind = QUEUE_MAIL, .arrived_ms = st->arrived_ms, .sender = st->sender,
	                                .client = st->client, .size = r->size, .header_len = r->header_len, .eight_bit = r->eight_bit, .binary = r->binary,
	                                .body = r->body };
	st->message = queue_message_new(&fields);
	if (report_bounce_fits(s->config, st->sender, st->recipients, st->count))
		report_bounce_read(s, st->message, on_report_bounce, st);
	else
		store(st);
}

/* The content is complete. Reads on when the spool has answered. */
static void on_content_end(struct inbound *in)
{
	const char *refusal = intake_refusal(in->intake);
	if (refusal) {
		forget_transaction(in);
		smtp_server_refuse(in->engine, refusal);
		return;
	}
	struct storing *st = sp_alloc(sizeof(*st));
	st->session = in;
	st->shard = in->shard;
	st->sender = sp_strdup(smtp_server_sender(in->engine)->text);
	st->helo = sp_strdup(smtp_server_mail(in->engine)->helo);
	st->client = sp_strdup(in->client);
	st->arena = in->arena;                  /* the strings go along */
	in->arena = SP_ARENA_EMPTY;
	st->recipients = in->recipients;
	st->count = in->recipient_count;
	in->recipients = NULL;
	in->recipient_count = in->recipient_cap = 0;
	st->id = in->id;
	st->arrived_ms = core_clock_wall_ms();
	struct intake *intake = in->intake;
	in->intake = NULL;
	in->storing = st;
	intake_finish(intake, on_body, st);
}

/* --- the engine --- */

/* Until it waits for the client, for the spool or for room. May free the session: the last thing a caller does. */
static void drive(struct inbound *in, struct sp_str *data)
{
	for (;;) {
		if (in->storing || (in->intake && intake_unwritten(in->intake) > INTAKE_UNWRITTEN_MAX)) {
			if (in->intake)
				intake_on_drained(in->intake, on_intake_drained, in);
			core_conn_deadline(in->conn, 0);
			pause_with(in, *data);
			return;
		}
		switch (smtp_server_next(in->engine, data)) {
		case SMTP_SERVER_READ:
			flush(in);
			if (data->len > 0 && core_conn_unsent(in->conn) <= UNSENT_MAX)
				break;
			set_deadline(in);
			if (data->len > 0) {
				pause_with(in, *data);          /* on_drained goes on */
				return;
			}
			sp_buf_clear(&in->pending);
			if (in->paused)
				core_conn_resume(in->conn);
			in->paused = false;
			return;
		case SMTP_SERVER_MAIL:
			on_mail(in);
			break;
		case SMTP_SERVER_RCPT:
			on_rcpt(in);
			break;
		case SMTP_SERVER_BEGIN:
			on_begin(in);
			break;
		case SMTP_SERVER_CONTENT:
			on_content(in);
			break;
		case SMTP_SERVER_END:
			flush(in);
			on_content_end(in);
			break;
		case SMTP_SERVER_ABANDON:
			forget_transaction(in);
			break;
		case SMTP_SERVER_STARTTLS:
		case SMTP_SERVER_LOGIN:
		case SMTP_SERVER_XCLIENT:
			smtp_server_refuse(in->engine, NULL);
			break;
		case SMTP_SERVER_CLOSE:
			flush(in);
			close_session(in, true);
			return;
		}
	}
}

/* New octets behind those that wait. */
static void feed(struct inbound *in, struct sp_str data)
{
	if (in->pending.len > 0) {
		sp_buf_add(&in->pending, data);
		sp_assert(!sp_buf_failed(&in->pending));
		data = sp_buf_str(&in->pending);
	}
	drive(in, &data);
}

static void on_data(void *owner, struct sp_str data)
{
	feed(owner, data);
}

static void on_drained(void *owner)
{
	struct inbound *in = owner;
	struct sp_str none = { 0 };
	if (in->paused && !in->storing)
		feed(in, none);
}

static void on_tls(void *owner, const struct sp_fail *why)
{
	(void)owner;
	(void)why;                              /* no TLS is started on this side */
}

static void log_lost(const struct inbound *in, const struct sp_fail *why)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, NULL, "client-lost");
	sp_log_cstr(&l, "client", in->client);
	sp_log_cstr(&l, "in", smtp_server_in_content(in->engine) ? "content" : "transaction");
	sp_log_cstr(&l, "why", sp_failed(why) ? why->text : "the client closed the connection");
	sp_log_end(&l);
}

static void on_end(void *owner, const struct sp_fail *why)
{
	struct inbound *in = owner;
	if (smtp_server_in_transaction(in->engine) && !in->storing)
		log_lost(in, why);
	if (sp_failed(why) && strcmp(why->reason, "timeout") == 0 && !in->storing) {
		smtp_server_dismiss(in->engine, "421 4.4.2 Timeout, closing the connection", true);
		struct sp_str none = { 0 };
		while (smtp_server_next(in->engine, &none) == SMTP_SERVER_ABANDON)
			forget_transaction(in);
		flush(in);
		close_session(in, true);
		return;
	}
	close_session(in, false);
}

static const struct core_conn_ops conn_ops = {
	.on_data = on_data, .on_tls = on_tls, .on_drained = on_drained, .on_end = on_end,
};

/* --- start and stop --- */

static const char *busy(struct inbound *in)
{
	struct shard *s = in->shard;
	if (s->stopping)
		return "421 4.3.2 Shutting down";
	if (atomic_load(&s->relay->connections) > (unsigned)s->config->limits.connections)
		return "421 4.7.0 Too many connections";
	if (!count_client(in))
		return "421 4.7.0 Too many connections from your address";
	return NULL;
}

void inbound_start(struct shard *s, const struct config_listen *listen, struct core_conn *c)
{
	struct inbound *in = sp_alloc(sizeof(*in));
	in->shard = s;
	in->conn = c;
	sp_list_push_back(&s->inbounds, &in->link);
	s->inbound_count++;
	atomic_fetch_add(&s->relay->connections, 1);
	sp_buf_init(&in->pending, PENDING_MAX);
	core_conn_adopt(c, &conn_ops, in);
	const struct sp_addr *remote = core_conn_remote(c);
	sp_addr_ip_str(remote, in->client);
	in->may_relay = sp_nets_contain(listen->allow.nets, listen->allow.count, remote);
	in->hostname = sp_strdup(s->config->hostname);
	in->settings = (struct smtp_server_settings){
		.hostname = in->hostname, .message_size = (uint64_t)s->config->limits.message_size,
		.recipients = (unsigned)s->config->limits.recipients, .errors = ERRORS_MAX,
		.normalise_bare_lf = sp_nets_contain(listen->bare_lf.nets, listen->bare_lf.count, remote),
	};
	in->engine = smtp_server_new(&in->settings);
	in->began_ms = core_clock_mono_ms();
	in->deadline_ms = in->began_ms + SESSION_MS;
	const char *reply = busy(in);
	if (reply)
		smtp_server_greet_refuse(in->engine, reply);
	else
		smtp_server_greet(in->engine);
	struct sp_str none = { 0 };
	drive(in, &none);
}

void inbound_stop_all(struct shard *s, bool now)
{
	SP_LIST_EACH(&s->inbounds, l) {
		struct inbound *in = sp_container_of(l, struct inbound, link);
		struct sp_str none = { 0 };
		bool idle = in->dismissed && !smtp_server_in_transaction(in->engine);
		smtp_server_dismiss(in->engine, "421 4.3.2 Shutting down", now || idle);
		in->dismissed = true;
		if ((now || idle) && in->storing == NULL)
			drive(in, &none);
	}
}

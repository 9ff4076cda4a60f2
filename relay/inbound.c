/* relay/inbound.c - see inbound.h: the life of a session, over its phases (inbound_impl.h). */
#include "relay/inbound_impl.h"

#include "core/clock.h"
#include "core/proxy.h"

#include <stdlib.h>

#define ERRORS_MAX 20                   /* refused or wrong commands of a session (DESIGN.md, limits) */
#define SESSION_MS (20 * 60 * 1000)     /* a session, and a second for each 500 octets */
#define PROXY_MS 10000                  /* for a PROXY header: its sender is near, and has it ready */
#define HANDSHAKE_MS 60000              /* for a TLS handshake */
#define UNSENT_MAX 65536                /* octets of replies that a client may leave unread before it is not read from */
#define LINGER_MS 2000
#define SMTP_PORT 25
#define PENDING_MAX (2 * CORE_READ_SIZE)

static void drive(struct inbound *in, struct sp_str *data);

/* --- the end of a session --- */

void inbound_forget_transaction(struct inbound *in)
{
	intake_abort(in->intake);
	in->intake = NULL;
	in->recipient_count = 0;
	in->wish = (struct sp_mail_wish){ 0 };
	sp_arena_clear(&in->arena);
}

static void forget_pending(struct inbound *in)
{
	if (in->listen->auth != CONFIG_AUTH_NONE)       /* a password may be in it */
		sp_buf_wipe(&in->pending);
	else
		sp_buf_clear(&in->pending);
}

static void close_session(struct inbound *in, bool politely)
{
	struct shard *s = in->shard;
	inbound_forget_transaction(in);
	inbound_store_left(in);
	login_cancel(in->login);
	inbound_client_uncount(in);
	if (politely)
		core_conn_finish(in->conn, LINGER_MS);
	else
		core_conn_close(in->conn);
	sp_list_remove(&in->link);
	s->inbound_count--;
	atomic_fetch_sub(&s->relay->connections, 1);
	smtp_server_free(in->engine);
	inbound_client_clear(&in->client);
	forget_pending(in);
	free(in->login_name);
	free(in->recipients);
	config_unref(in->config);
	free(in);
	shard_check_finished(s);
}

/* What is left of a session that never came to SMTP. */
static void log_unheard(const struct inbound *in, const char *where, const char *why)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, NULL, "client-lost");
	inbound_client_log(&l, &in->client);
	sp_log_cstr(&l, "in", where);
	sp_log_cstr(&l, "why", why);
	sp_log_end(&l);
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

/* --- TLS --- */

/* What came in clear is gone by now; `records` is what came of the handshake behind a PROXY header. */
static void begin_handshake(struct inbound *in, struct sp_str records)
{
	struct sp_fail why;
	in->phase = INBOUND_HANDSHAKE;
	if (in->paused)
		core_conn_resume(in->conn);
	in->paused = false;
	if (records.len > CORE_READ_SIZE || core_conn_start_tls_server(in->conn, in->listen->server, records, &why) != 0) {
		log_unheard(in, "handshake", records.len > CORE_READ_SIZE ? "it sent more than a handshake begins with" : why.text);
		close_session(in, false);
		return;
	}
	sp_buf_clear(&in->pending);
	uint64_t now = core_clock_mono_ms(), left = in->deadline_ms > now ? in->deadline_ms - now : 1;
	core_conn_deadline(in->conn, sp_min(HANDSHAKE_MS, left));
}

/* --- the engine --- */

static void on_intake_drained(void *owner)
{
	struct sp_str none = { 0 };
	inbound_feed(owner, none);
}

/* Until it waits for the client, for the spool or for room. May free the session: the last thing a caller does. */
static void drive(struct inbound *in, struct sp_str *data)
{
	smtp_server_set_now(in->engine, core_clock_wall_s());
	for (;;) {
		if (in->storing || in->login || (in->intake && intake_unwritten(in->intake) > INTAKE_UNWRITTEN_MAX)) {
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
			if (core_conn_unsent(in->conn) > UNSENT_MAX) {  /* also where all was taken: commands in small pieces have as many replies */
				pause_with(in, *data);          /* on_drained goes on */
				return;
			}
			forget_pending(in);
			if (in->paused)
				core_conn_resume(in->conn);
			in->paused = false;
			return;
		case SMTP_SERVER_MAIL:
			inbound_mail(in);
			break;
		case SMTP_SERVER_RCPT:
			inbound_rcpt(in);
			break;
		case SMTP_SERVER_BEGIN:
			inbound_begin(in);
			break;
		case SMTP_SERVER_CONTENT:
			inbound_content(in);
			break;
		case SMTP_SERVER_END:
			flush(in);
			inbound_store(in);
			break;
		case SMTP_SERVER_ABANDON:
			inbound_forget_transaction(in);
			break;
		case SMTP_SERVER_STARTTLS:
			flush(in);
			begin_handshake(in, SP_STR(""));
			return;
		case SMTP_SERVER_LOGIN:
			flush(in);
			inbound_client_login(in);
			break;
		case SMTP_SERVER_XCLIENT:
			inbound_client_xclient(in);
			break;
		case SMTP_SERVER_CLOSE:
			flush(in);
			close_session(in, true);
			return;
		}
	}
}

void inbound_feed(struct inbound *in, struct sp_str data)
{
	if (in->pending.len > 0) {
		sp_buf_add(&in->pending, data);
		sp_assert(!sp_buf_failed(&in->pending));
		data = sp_buf_str(&in->pending);
	}
	drive(in, &data);
}

/* --- the beginning of a session --- */

static const char *busy(struct inbound *in)
{
	struct shard *s = in->shard;
	if (s->stopping)
		return "421 4.3.2 Shutting down";
	if (atomic_load(&s->relay->draining))
		return INBOUND_DRAINING;
	if (atomic_load(&s->relay->connections) > (unsigned)s->config->limits.connections)
		return "421 4.7.0 Too many connections";
	if (!inbound_client_count(in))
		return "421 4.7.0 Too many connections from your address";
	return NULL;
}

static void fill_settings(struct inbound *in)
{
	const struct config_listen *l = in->listen;
	struct smtp_server_settings *t = &in->settings;
	t->hostname = in->config->hostname;
	t->message_size = (uint64_t)in->config->limits.message_size;
	t->recipients = (unsigned)in->config->limits.recipients;
	t->errors = ERRORS_MAX;
	t->tls = l->tls == CONFIG_LISTEN_IMPLICIT;
	t->starttls = l->tls == CONFIG_LISTEN_STARTTLS;
	t->tls_required = l->tls_required;
	t->auth = l->auth != CONFIG_AUTH_NONE;
	t->auth_required = l->auth == CONFIG_AUTH_REQUIRED;
	t->xclient = sp_nets_contain(l->xclient.nets, l->xclient.count, &in->client.addr);
	bool submission = sp_addr_port(&l->address) != SMTP_PORT;       /* RFC 4865 4.2 (2): not where MTAs meet */
	t->hold_max_s = submission ? (uint32_t)(in->config->limits.hold_ms / 1000) : 0;
}

/* `data`: what came behind a PROXY header, which is then what is pending. */
static void greet(struct inbound *in, const char *refusal, struct sp_str *data)
{
	in->phase = INBOUND_TALK;
	fill_settings(in);
	in->engine = smtp_server_new(&in->settings);
	inbound_client_known(in);
	if (refusal)
		smtp_server_greet_refuse(in->engine, refusal);
	else
		smtp_server_greet(in->engine);
	drive(in, data);
}

/* The client is known by its address; TLS or the greeting is next. */
static void begin(struct inbound *in, struct sp_str *data)
{
	const char *refusal = busy(in);
	if (in->listen->tls != CONFIG_LISTEN_IMPLICIT) {
		greet(in, refusal, data);
	} else if (refusal) {                   /* a handshake is dearer than what it would say */
		log_unheard(in, "greeting", refusal);
		close_session(in, false);
	} else {
		begin_handshake(in, *data);
	}
}

/* --- PROXY --- */

static void on_proxy_data(struct inbound *in, struct sp_str data)
{
	size_t taken;
	struct core_proxy proxy;
	sp_buf_add(&in->pending, data);
	sp_assert(!sp_buf_failed(&in->pending));        /* a header is complete or broken by CORE_PROXY_MAX */
	switch (core_proxy_read(sp_buf_str(&in->pending), &taken, &proxy)) {
	case CORE_PROXY_MORE:
		return;
	case CORE_PROXY_BROKEN:
		log_unheard(in, "proxy", proxy.why);
		close_session(in, false);
		return;
	case CORE_PROXY_DONE:
		break;
	}
	if (!proxy.local)
		inbound_client_proxied(in, &proxy.from);
	sp_buf_consume(&in->pending, taken);
	struct sp_str rest = sp_buf_str(&in->pending);
	begin(in, &rest);
}

/* --- what the connection tells --- */

static void on_data(void *owner, struct sp_str data)
{
	struct inbound *in = owner;
	if (in->phase == INBOUND_PROXY)
		on_proxy_data(in, data);
	else
		inbound_feed(in, data);
}

static void on_drained(void *owner)
{
	struct inbound *in = owner;
	struct sp_str none = { 0 };
	if (in->paused && !in->storing && !in->login)
		inbound_feed(in, none);
}

static void on_tls(void *owner, const struct sp_fail *why)
{
	struct inbound *in = owner;
	struct sp_str none = { 0 };
	if (sp_failed(why)) {
		log_unheard(in, "handshake", why->text);
		close_session(in, true);        /* so that our alert arrives */
		return;
	}
	inbound_client_handshake(in);
	if (in->engine == NULL) {
		greet(in, in->shard->stopping ? "421 4.3.2 Shutting down" : NULL, &none);
		return;
	}
	in->phase = INBOUND_TALK;
	smtp_server_tls_done(in->engine);
	inbound_client_known(in);
	drive(in, &none);
}

static void log_lost(const struct inbound *in, const struct sp_fail *why)
{
	log_unheard(in, smtp_server_in_content(in->engine) ? "content" : "transaction", sp_failed(why) ? why->text : "the client closed the connection");
}

static void time_is_up(struct inbound *in)
{
	struct sp_str none = { 0 };
	smtp_server_dismiss(in->engine, "421 4.4.2 Timeout, closing the connection", true);
	while (smtp_server_next(in->engine, &none) == SMTP_SERVER_ABANDON)
		inbound_forget_transaction(in);
	flush(in);
	close_session(in, true);
}

static void on_end(void *owner, const struct sp_fail *why)
{
	struct inbound *in = owner;
	if (in->phase == INBOUND_PROXY) {
		if (sp_failed(why))             /* a health check that connects and goes is no news */
			log_unheard(in, "proxy", why->text);
		close_session(in, false);
		return;
	}
	bool waits = in->storing || in->login;
	if (smtp_server_in_transaction(in->engine) && !in->storing)
		log_lost(in, why);
	if (sp_failed(why) && strcmp(why->reason, "timeout") == 0 && !waits)
		time_is_up(in);
	else
		close_session(in, false);
}

/* --- start and stop --- */

void inbound_start(struct shard *s, const struct config_listen *listen, struct core_conn *c)
{
	static const struct core_conn_ops ops = { .on_data = on_data, .on_tls = on_tls, .on_drained = on_drained, .on_end = on_end };
	struct inbound *in = sp_alloc(sizeof(*in));
	struct sp_str none = { 0 };
	in->shard = s;
	in->config = config_ref(s->config);
	in->listen = listen;
	in->conn = c;
	sp_list_push_back(&s->inbounds, &in->link);
	s->inbound_count++;
	atomic_fetch_add(&s->relay->connections, 1);
	metrics_add(s->metrics, METRIC_CLIENTS, 0, 1);
	sp_buf_init(&in->pending, PENDING_MAX);
	core_conn_adopt(c, &ops, in);
	core_conn_keep_secret(c, listen->auth != CONFIG_AUTH_NONE);
	inbound_client_init(in);
	in->began_ms = core_clock_mono_ms();
	in->deadline_ms = in->began_ms + SESSION_MS;
	if (!sp_nets_contain(listen->proxy.nets, listen->proxy.count, core_conn_remote(c))) {
		begin(in, &none);
		return;
	}
	in->phase = INBOUND_PROXY;
	core_conn_deadline(c, PROXY_MS);
}

static void stop_one(struct inbound *in, bool now)
{
	struct sp_str none = { 0 };
	if (in->engine == NULL) {                       /* nothing was said yet, and nothing is lost */
		close_session(in, false);
		return;
	}
	bool idle = in->dismissed && !smtp_server_in_transaction(in->engine);
	smtp_server_dismiss(in->engine, "421 4.3.2 Shutting down", now || idle);
	in->dismissed = true;
	if ((!now && !idle) || in->storing)
		return;
	if (in->login) {
		login_cancel(in->login);
		in->login = NULL;
		smtp_server_refuse(in->engine, "454 4.7.0 Shutting down; try again later");
	}
	drive(in, &none);
}

/* Those in the middle of a transaction come to its end, and hear of it at their next MAIL. */
static void drain_one(struct inbound *in)
{
	struct sp_str none = { 0 };
	if (in->phase != INBOUND_TALK || in->storing || in->login || smtp_server_in_transaction(in->engine))
		return;
	smtp_server_dismiss(in->engine, INBOUND_DRAINING, true);
	drive(in, &none);
}

void inbound_drain_all(struct shard *s)
{
	SP_LIST_EACH(&s->inbounds, l)
		drain_one(sp_container_of(l, struct inbound, link));
}

void inbound_stop_all(struct shard *s, bool now)
{
	SP_LIST_EACH(&s->inbounds, l)
		stop_one(sp_container_of(l, struct inbound, link), now);
}

/* core/httpd.c - see httpd.h.
 *   READING -> HANDLING (nothing is read) -> SENDING (nothing is read until the answer has gone) -> READING
 * So whoever sends requests without reading answers fills his own socket, not our memory. */
#include "core/httpd.h"

#include "core/clock.h"
#include "core/httpreq.h"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINGER_MS 1000
#define LINGER_FULL_MS 250              /* with those that are too many */
#define HEAD_MAX 1024                   /* of an answer */
#define ERROR_MAX 2048

const struct core_httpd_limits core_httpd_usual = {
	.head_max = 16384, .body_max = 65536, .connections_max = 64, .answers_max = 32u << 20, .request_ms = 10000, .idle_ms = 60000,
};

enum client_state { READING, HANDLING, SENDING };

struct core_httpd {
	struct core_loop *loop;
	struct core_listener *listener;
	struct core_httpd_limits limits;
	core_httpd_handler *handler;
	void *owner;
	struct sp_link clients;                 /* of struct client */
	unsigned client_count;
	size_t untaken;                         /* octets of answers on their way */
};

struct client {
	struct sp_link link;                    /* in httpd.clients */
	struct core_httpd *server;
	struct core_conn *conn;
	enum client_state state;
	struct core_httpreq *reader;            /* while READING */
	bool continued;                         /* "100 Continue" was sent */
	bool last;                              /* the answer ends the connection */
	struct sp_buf held;                     /* octets behind the request that is being handled */
	struct core_httpd_request *request;     /* while HANDLING */
	size_t untaken;                         /* SENDING: octets of the answer's body */
};

struct core_httpd_request {
	struct client *client;                  /* NULL: has gone */
	struct core_httpreq *parsed;
	const char *method;
	bool head_only, keep_alive;
};

struct answer {
	int status;
	const char *content_type, *allow, *challenge;
	struct sp_buf *body;
	bool head_only, keep_alive;
};

/* ---- answers ---- */

static const char *reason_of(int status)
{
	static const struct { int status; const char *reason; } rows[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 409, "Conflict" },
		{ 413, "Content Too Large" }, { 415, "Unsupported Media Type" }, { 422, "Unprocessable Content" },
		{ 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 503, "Service Unavailable" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		if (rows[i].status == status)
			return rows[i].reason;
	return "";
}

/* RFC 9110 6.6.1; the process keeps to the C locale. */
static void add_date(struct sp_buf *out)
{
	time_t now = (time_t)core_clock_wall_s();
	struct tm tm;
	char text[40];
	if (gmtime_r(&now, &tm) && strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		sp_buf_printf(out, "Date: %s\r\n", text);
}

static void send_answer(struct core_conn *conn, const struct answer *a)
{
	struct sp_buf head;
	sp_buf_init(&head, HEAD_MAX);
	sp_buf_printf(&head, "HTTP/1.1 %d %s\r\n", a->status, reason_of(a->status));
	add_date(&head);
	sp_buf_printf(&head, "Content-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n", a->content_type, a->body->len);
	if (a->allow)
		sp_buf_printf(&head, "Allow: %s\r\n", a->allow);
	if (a->challenge)
		sp_buf_printf(&head, "WWW-Authenticate: %s\r\n", a->challenge);
	sp_buf_adds(&head, a->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
	sp_assert(!sp_buf_failed(&head));
	core_conn_send(conn, &head);
	if (a->head_only || a->body->len == 0)
		sp_buf_clear(a->body);
	else
		core_conn_send(conn, a->body);
}

static void write_error(struct sp_buf *out, const char *text)
{
	sp_buf_init(out, ERROR_MAX);
	sp_buf_adds(out, "{\"error\": \"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			sp_buf_addc(out, '\\');
		sp_buf_addc(out, sp_is_print(*text) ? *text : '?');
	}
	sp_buf_adds(out, "\"}\n");
	sp_assert(!sp_buf_failed(out));
}

/* To somebody who is not, or no more, in step; the connection is to be finished. */
static void send_refusal(struct core_conn *conn, int status, const char *text, bool head_only)
{
	struct sp_buf body;
	write_error(&body, text);
	send_answer(conn, &(struct answer){ .status = status, .content_type = "application/json", .body = &body, .head_only = head_only });
}

/* ---- clients ---- */

static void forget(struct client *c)
{
	sp_list_remove(&c->link);
	c->server->client_count--;
	c->server->untaken -= c->untaken;
	if (c->request)
		c->request->client = NULL;
	core_httpreq_free(c->reader);
	sp_buf_clear(&c->held);
	free(c);
}

static void drop(struct client *c)
{
	core_conn_close(c->conn);
	forget(c);
}

static void finish(struct client *c, uint64_t linger_ms)
{
	core_conn_finish(c->conn, linger_ms);
	forget(c);
}

static void refuse_client(struct client *c, int status, const char *why)
{
	sp_log_text(SP_LOG_DEBUG, NULL, "http", "%d %s", status, why);
	send_refusal(c->conn, status, why, strcmp(core_httpreq_method(c->reader), "HEAD") == 0);
	finish(c, LINGER_MS);
}

/* The last thing a callback does: the handler may answer, and close the server. */
static void handle(struct client *c)
{
	struct core_httpd *d = c->server;
	struct core_httpd_request *q = sp_alloc(sizeof(*q));
	q->client = c;
	q->parsed = c->reader;
	q->method = core_httpreq_method(q->parsed);
	q->head_only = strcmp(q->method, "HEAD") == 0;
	q->keep_alive = core_httpreq_keep_alive(q->parsed);
	if (q->head_only)
		q->method = "GET";
	c->reader = NULL;
	c->request = q;
	c->state = HANDLING;
	core_conn_pause(c->conn);
	core_conn_deadline(c->conn, 0);
	d->handler(d->owner, q);
}

static void send_continue(struct client *c)
{
	struct sp_buf b;
	sp_buf_init(&b, 64);
	sp_buf_adds(&b, "HTTP/1.1 100 Continue\r\n\r\n");
	core_conn_send(c->conn, &b);
	c->continued = true;
}

static void take(struct client *c, struct sp_str data)
{
	size_t used;
	if (!core_httpreq_begun(c->reader))
		core_conn_deadline(c->conn, c->server->limits.request_ms);
	switch (core_httpreq_feed(c->reader, data, &used)) {
	case CORE_HTTPREQ_MORE:
		if (!c->continued && core_httpreq_expects(c->reader))
			send_continue(c);
		return;
	case CORE_HTTPREQ_DONE:
		sp_buf_add(&c->held, sp_str_from(data, used));
		handle(c);
		return;
	case CORE_HTTPREQ_FAILED:
		refuse_client(c, core_httpreq_status(c->reader), core_httpreq_why(c->reader));
	}
}

static void read_next(struct client *c)
{
	const struct core_httpd_limits *limits = &c->server->limits;
	struct sp_buf held = c->held;
	c->state = READING;
	c->continued = false;
	c->reader = core_httpreq_new(limits->head_max, limits->body_max);
	sp_buf_init(&c->held, CORE_READ_SIZE);
	core_conn_deadline(c->conn, limits->idle_ms);
	core_conn_resume(c->conn);
	if (held.len > 0)
		take(c, sp_buf_str(&held));             /* it may be gone after this */
	sp_buf_clear(&held);
}

static void on_data(void *owner, struct sp_str data)
{
	struct client *c = owner;
	sp_assert(c->state == READING);                 /* paused otherwise */
	take(c, data);
}

static void on_drained(void *owner)
{
	struct client *c = owner;
	if (c->state != SENDING)
		return;
	c->server->untaken -= c->untaken;
	c->untaken = 0;
	if (c->last)
		finish(c, LINGER_MS);
	else
		read_next(c);
}

static void on_end(void *owner, const struct sp_fail *why)
{
	struct client *c = owner;
	bool late = strcmp(why->reason, "timeout") == 0;
	if (late && c->state == READING && core_httpreq_begun(c->reader))
		refuse_client(c, 408, "the request did not come in time");
	else if (sp_failed(why))
		drop(c);
	else
		finish(c, LINGER_MS);                   /* it may still read what was answered */
}

static const struct core_conn_ops conn_ops = { .on_data = on_data, .on_drained = on_drained, .on_end = on_end };

static void on_accept(void *owner, struct core_conn *conn)
{
	struct core_httpd *d = owner;
	if (d->client_count >= d->limits.connections_max) {
		send_refusal(conn, 503, "too many connections", false);
		core_conn_finish(conn, LINGER_FULL_MS);
		return;
	}
	struct client *c = sp_alloc(sizeof(*c));
	c->server = d;
	c->conn = conn;
	sp_list_push_back(&d->clients, &c->link);
	d->client_count++;
	core_conn_adopt(conn, &conn_ops, c);
	read_next(c);
}

static void on_accept_error(void *owner SP_UNUSED, const struct sp_fail *why)
{
	sp_log_text(SP_LOG_WARNING, NULL, "http", "%s", why->text);
}

/* ---- the server ---- */

int core_httpd_open(struct core_loop *l, const struct sp_addr *at, unsigned unix_mode, const struct core_httpd_limits *limits,
                    core_httpd_handler *handler, void *owner, struct core_httpd **out, struct sp_fail *why)
{
	static const struct core_listener_ops ops = { on_accept, on_accept_error };
	struct core_httpd *d = sp_alloc(sizeof(*d));
	d->loop = l;
	d->limits = *limits;
	d->handler = handler;
	d->owner = owner;
	sp_list_init(&d->clients);
	if (core_listener_open(l, at, false, unix_mode, &ops, d, &d->listener, why) != 0) {
		free(d);
		return -1;
	}
	*out = d;
	return 0;
}

const struct sp_addr *core_httpd_addr(const struct core_httpd *d) { return core_listener_addr(d->listener); }

void core_httpd_close(struct core_httpd *d)
{
	if (d == NULL)
		return;
	core_listener_close(d->listener);
	SP_LIST_EACH(&d->clients, l) {
		struct client *c = sp_container_of(l, struct client, link);
		if (c->state == SENDING)
			finish(c, LINGER_MS);
		else
			drop(c);
	}
	free(d);
}

/* ---- requests ---- */

const char *core_httpd_method(const struct core_httpd_request *q) { return q->method; }
struct sp_str core_httpd_path(const struct core_httpd_request *q) { return core_httpreq_path(q->parsed); }
struct sp_str core_httpd_query(const struct core_httpd_request *q) { return core_httpreq_query(q->parsed); }
struct sp_str core_httpd_field(const struct core_httpd_request *q, enum core_httpreq_field f) { return core_httpreq_field(q->parsed, f); }
bool core_httpd_has(const struct core_httpd_request *q, enum core_httpreq_field f) { return core_httpreq_has(q->parsed, f); }
struct sp_str core_httpd_body(const struct core_httpd_request *q) { return core_httpreq_body(q->parsed); }

static void log_request(const struct core_httpd_request *q, int status)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_DEBUG, NULL, "http");
	sp_log_cstr(&l, "method", q->head_only ? "HEAD" : q->method);
	sp_log_str(&l, "path", core_httpd_path(q));
	sp_log_int(&l, "status", status);
	sp_log_end(&l);
}

static void answer(struct core_httpd_request *q, struct answer *a)
{
	struct client *c = q->client;
	log_request(q, a->status);
	a->head_only = q->head_only;
	a->keep_alive = q->keep_alive;
	if (c) {
		c->request = NULL;
		c->state = SENDING;
		core_conn_deadline(c->conn, c->server->limits.idle_ms);
		c->last = !q->keep_alive;
		c->untaken = a->body->len;
		c->server->untaken += c->untaken;
		send_answer(c->conn, a);
	} else {
		sp_buf_clear(a->body);
	}
	core_httpreq_free(q->parsed);
	free(q);
}

void core_httpd_answer(struct core_httpd_request *q, int status, const char *content_type, struct sp_buf *body)
{
	if (sp_buf_failed(body)) {
		sp_buf_clear(body);
		core_httpd_refuse(q, 500, "the answer is larger than the limit");
		return;
	}
	const struct core_httpd *d = q->client ? q->client->server : NULL;
	if (d && d->untaken > 0 && body->len > d->limits.answers_max - sp_min(d->untaken, d->limits.answers_max)) {
		sp_buf_clear(body);
		core_httpd_refuse(q, 503, "too many answers wait for those who asked to take them");
		return;
	}
	answer(q, &(struct answer){ .status = status, .content_type = content_type, .body = body });
}

void core_httpd_refuse(struct core_httpd_request *q, int status, const char *fmt, ...)
{
	char text[ERROR_MAX / 2 - 32];          /* every character may be escaped */
	struct sp_buf body;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	write_error(&body, text);
	answer(q, &(struct answer){ .status = status, .content_type = "application/json", .body = &body });
}

void core_httpd_refuse_stranger(struct core_httpd_request *q, const char *challenge, const char *why)
{
	struct sp_buf body;
	write_error(&body, why);
	answer(q, &(struct answer){ .status = 401, .content_type = "application/json", .challenge = challenge, .body = &body });
}

void core_httpd_refuse_method(struct core_httpd_request *q, const char *allow)
{
	struct sp_buf body;
	write_error(&body, "this method is not for this resource");
	answer(q, &(struct answer){ .status = 405, .content_type = "application/json", .allow = allow, .body = &body });
}

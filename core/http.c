/* core/http.c - see http.h.
 *   look up A and AAAA -> for each address: connect -> handshake -> verify -> request -> response (httpresp.c)
 * An address that fails before a byte of response came gives its place to the next one; every address gets its share of the
 * time that is left, so that a dead one cannot eat it all. One timer bounds the whole. */
#include "core/http.h"

#include "core/clock.h"
#include "core/httpresp.h"

#include <stdio.h>
#include <stdlib.h>

#define ADDRS_MAX 16
#define ADDRS_A_FAMILY (ADDRS_MAX / 2)
#define SHARE_MAX_MS 10000      /* for connecting and the handshake with one address, when there are others */
#define SHARE_MIN_MS 1000
#define GRACE_MS 500            /* how long the first family's addresses wait for the other family's */
#define REQUEST_HEAD_MAX 16384

enum family { V6, V4, FAMILIES };

struct lookup {
	struct core_http *http;
	struct core_dns_query *query;           /* NULL once answered */
	enum core_dns_status status;
};

struct core_http {
	struct core_loop *loop;
	struct core_tls_client *tls;
	struct core_http_ask ask;               /* its strings are ours, the body is borrowed */
	void (*done)(void *owner, const struct core_http_response *r);
	void *owner;
	struct core_timer *deadline, *grace;
	uint64_t ends_at_ms;                    /* monotonic */
	bool grace_over, bad_ask;
	struct lookup lookups[FAMILIES];
	struct sp_addr addrs[ADDRS_MAX];
	size_t addr_count, addr_at;             /* addr_at: the next to try */
	struct core_conn *conn;
	struct core_httpresp *reader;           /* of this connection */
	struct sp_fail fail;                    /* the most telling of the addresses' failures */
	struct sp_fail tls_fail;
};

/* ---- the end ---- */

/* Nothing calls us any more: so that the owner, when told, may close what we stand on. */
static void fall_silent(struct core_http *h)
{
	core_conn_close(h->conn);
	h->conn = NULL;
	for (int f = 0; f < FAMILIES; f++) {
		core_dns_cancel(h->lookups[f].query);
		h->lookups[f].query = NULL;
	}
	core_timer_close(h->deadline);
	core_timer_close(h->grace);
	h->deadline = h->grace = NULL;
}

static void free_http(struct core_http *h)
{
	core_httpresp_free(h->reader);
	core_tls_client_unref(h->tls);
	free((char *)h->ask.method);
	free((char *)h->ask.host);
	free((char *)h->ask.path);
	free((char *)h->ask.content_type);
	free(h);
}

/* Tells the owner, once, and goes. `why` is NULL for a complete response. */
static void finish(struct core_http *h, const struct sp_fail *why)
{
	struct core_http_response r = { .tls_fail = h->tls_fail, .content_type = "", .content_encoding = "" };
	if (h->conn)
		r.remote = *core_conn_remote(h->conn);
	if (h->reader) {
		r.status = core_httpresp_status(h->reader);
		r.content_type = core_httpresp_content_type(h->reader);
		r.content_encoding = core_httpresp_content_encoding(h->reader);
	}
	if (why)
		r.fail = *why;
	else
		r.body = core_httpresp_body(h->reader);
	fall_silent(h);
	h->done(h->owner, &r);
	free_http(h);
}

static bool lookups_pending(const struct core_http *h)
{
	return h->lookups[V6].query || h->lookups[V4].query;
}

/* A certificate that is wrong tells more than a host that is away. */
static int weight(const struct sp_fail *f)
{
	switch (f->kind) {
	case SP_FAIL_NONE: return 0;
	case SP_FAIL_CONNECT: return 1;
	case SP_FAIL_TLS: return f->result == SP_RESULT_STS_WEBPKI_INVALID ? 4 : 3;
	default: return 2;
	}
}

static void step(struct core_http *h);

/* This address is done with; the next one may do better. */
static void next_address(struct core_http *h, const struct sp_fail *why)
{
	core_conn_close(h->conn);
	h->conn = NULL;
	core_httpresp_free(h->reader);
	h->reader = NULL;
	if (weight(why) >= weight(&h->fail)) {
		h->fail = *why;
		if (h->fail.result != SP_RESULT_STS_WEBPKI_INVALID)
			h->fail.result = SP_RESULT_NONE;        /* how a fetch that failed is called is the caller's business */
	}
	step(h);
}

static bool is_repeatable(const struct core_http *h)
{
	return strcmp(h->ask.method, "GET") == 0 || strcmp(h->ask.method, "HEAD") == 0;
}

/* ---- the response ---- */

static void on_data(void *owner, struct sp_str data)
{
	struct core_http *h = owner;
	if (h->reader == NULL)                          /* in clear, before the handshake: nobody we want to hear */
		return;
	enum core_httpresp_state state = core_httpresp_feed(h->reader, data);
	if (state == CORE_HTTPRESP_DONE)
		finish(h, NULL);
	else if (state == CORE_HTTPRESP_FAILED)
		finish(h, core_httpresp_fail(h->reader));
}

static void on_end(void *owner, const struct sp_fail *why)
{
	struct core_http *h = owner;
	struct sp_fail lost = *why;
	bool asked = h->reader != NULL, begun = asked && core_httpresp_begun(h->reader);
	if (begun && !sp_failed(why)) {
		if (core_httpresp_end(h->reader) == CORE_HTTPRESP_DONE)
			finish(h, NULL);
		else
			finish(h, core_httpresp_fail(h->reader));
		return;
	}
	if (!sp_failed(why)) {
		char peer[SP_ADDR_TEXT];
		sp_fail_tls(&lost, SP_FAIL_CONNECT, SP_RESULT_NONE, "lost", "%s closed the connection without an answer",
		            sp_addr_str(core_conn_remote(h->conn), peer));
	}
	lost.result = SP_RESULT_NONE;
	if (begun || (asked && !is_repeatable(h)))      /* RFC 9110 9.2.2: it may have been done */
		finish(h, &lost);
	else
		next_address(h, &lost);
}

/* ---- the request ---- */

static void send_request(struct core_http *h)
{
	const struct core_http_ask *ask = &h->ask;
	struct sp_buf b;
	sp_buf_init(&b, REQUEST_HEAD_MAX + ask->body.len);
	sp_buf_printf(&b, "%s %s HTTP/1.1\r\nHost: %s", ask->method, ask->path, ask->host);
	if (ask->port != 443)
		sp_buf_printf(&b, ":%u", ask->port);
	sp_buf_adds(&b, "\r\nUser-Agent: strictpost/" STRICTPOST_VERSION "\r\nAccept: */*\r\nConnection: close\r\n");
	if (ask->content_type)
		sp_buf_printf(&b, "Content-Type: %s\r\n", ask->content_type);
	if (ask->content_type || ask->body.len > 0)
		sp_buf_printf(&b, "Content-Length: %zu\r\n", ask->body.len);
	sp_buf_adds(&b, "\r\n");
	sp_buf_add(&b, ask->body);
	sp_assert(!sp_buf_failed(&b));                  /* start() refused what is too long */
	h->reader = core_httpresp_new(ask->head_max, ask->body_max);
	core_conn_deadline(h->conn, 0);                 /* from here on the whole request's deadline rules */
	core_conn_send(h->conn, &b);
}

/* RFC 8461 3.3: the certificate must be valid for the policy host. */
static bool certificate_ok(struct core_http *h, struct sp_fail *why)
{
	const struct core_tls_peer *peer = core_conn_tls_peer(h->conn);
	struct sp_fail cause;
	if (core_tls_verify(h->tls, peer, h->ask.host, core_clock_wall_s(), &cause))
		return true;
	if (!h->ask.verify) {
		h->tls_fail = cause;
		return true;
	}
	cause.result = SP_RESULT_STS_WEBPKI_INVALID;
	*why = cause;
	return false;
}

static void on_tls(void *owner, const struct sp_fail *why)
{
	struct core_http *h = owner;
	struct sp_fail refused;
	h->tls_fail = SP_FAIL_OK;
	if (sp_failed(why))
		next_address(h, why);
	else if (!certificate_ok(h, &refused))
		next_address(h, &refused);
	else
		send_request(h);
}

static void on_open(void *owner)
{
	struct core_http *h = owner;
	struct core_tls_ask ask = { .client = h->tls, .sni = h->ask.host, .min_version = h->ask.min_version };
	struct sp_fail why;
	if (core_conn_start_tls(h->conn, &ask, &why) != 0)
		next_address(h, &why);
}

static const struct core_conn_ops conn_ops = { .on_open = on_open, .on_data = on_data, .on_tls = on_tls, .on_end = on_end };

/* ---- addresses ---- */

static uint64_t share_ms(const struct core_http *h)
{
	uint64_t now = core_clock_mono_ms();
	uint64_t left = h->ends_at_ms > now ? h->ends_at_ms - now : 1;
	size_t others = h->addr_count - h->addr_at;     /* addr_at is already behind the one we connect to */
	if (others == 0 && !lookups_pending(h))
		return left;
	uint64_t share = left / (others + 1);
	share = share < SHARE_MIN_MS ? SHARE_MIN_MS : share;
	return share < SHARE_MAX_MS ? share : SHARE_MAX_MS;
}

/* Starts connecting to the next address that may be connected to; false when none is left. */
static bool connect_next(struct core_http *h)
{
	while (h->addr_at < h->addr_count) {
		struct sp_addr *to = &h->addrs[h->addr_at++];
		char text[SP_ADDR_TEXT];
		struct sp_fail why;
		if (h->ask.may_connect && !h->ask.may_connect(h->owner, to))
			sp_fail_tls(&why, SP_FAIL_CONNECT, SP_RESULT_NONE, "private-address",
			            "%s is at %s, which is not a public address", h->ask.host, sp_addr_ip_str(to, text));
		else if (core_conn_connect(h->loop, to, NULL, share_ms(h), &conn_ops, h, &h->conn, &why) == 0)
			return true;
		if (weight(&why) >= weight(&h->fail))
			h->fail = why;
	}
	return false;
}

static void no_address(struct core_http *h)
{
	enum core_dns_status v6 = h->lookups[V6].status, v4 = h->lookups[V4].status;
	enum core_dns_status worst = core_dns_status_lasting(v4) ? v6 : v4;     /* "may pass" rather than "there is none" */
	sp_fail_set(&h->fail, SP_FAIL_DNS, "no address for %s: %s", h->ask.host, core_dns_status_str(worst));
	snprintf(h->fail.reason, sizeof(h->fail.reason), "dns");
	h->fail.permanent = core_dns_status_lasting(worst);
}

/* Does what comes next, when nothing is under way. */
static void step(struct core_http *h)
{
	bool waiting = lookups_pending(h);
	if (h->conn || (waiting && !h->grace_over))
		return;
	if (connect_next(h) || waiting)
		return;
	if (!sp_failed(&h->fail))
		no_address(h);
	struct sp_fail why = h->fail;
	finish(h, &why);
}

static void on_grace(void *owner)
{
	struct core_http *h = owner;
	h->grace_over = true;
	step(h);
}

/* The families take turns, v6 first (RFC 8305 4); what comes late is tried last. */
static void add_address(struct core_http *h, const struct sp_addr *a, size_t slot)
{
	size_t at = sp_min(slot, h->addr_count);
	memmove(&h->addrs[at + 1], &h->addrs[at], (h->addr_count - at) * sizeof(h->addrs[0]));
	h->addrs[at] = *a;
	sp_addr_set_port(&h->addrs[at], h->ask.port);
	h->addr_count++;
}

static void on_lookup(void *owner, const struct core_dns_answer *answer)
{
	struct lookup *k = owner;
	struct core_http *h = k->http;
	size_t family = (size_t)(k - h->lookups);
	k->query = NULL;
	k->status = answer->status;
	for (size_t i = 0; i < answer->count && i < ADDRS_A_FAMILY; i++) {
		bool started = h->addr_at > 0;
		add_address(h, &answer->records[i].addr, started ? h->addr_count : 2 * i + family);
	}
	if (h->addr_count > 0 && lookups_pending(h) && !h->grace_over)
		core_timer_start(h->grace, GRACE_MS);
	step(h);
}

/* ---- the start ---- */

static void on_deadline(void *owner)
{
	struct core_http *h = owner;
	struct sp_fail why;
	if (h->bad_ask)
		sp_fail_set(&why, SP_FAIL_HTTP, "not something to ask of an HTTP server");
	else if (sp_failed(&h->fail) && h->fail.result == SP_RESULT_STS_WEBPKI_INVALID)
		why = h->fail;                          /* that one address refused to prove itself says more than the clock */
	else
		sp_fail_tls(&why, SP_FAIL_PROTOCOL, SP_RESULT_NONE, "timeout", "no complete answer from %s within %u s%s%s",
		            h->ask.host, (unsigned)(h->ask.deadline_ms / 1000), sp_failed(&h->fail) ? "; before: " : "",
		            h->fail.text);
	finish(h, &why);
}

/* Nothing that could end the request line or a field early. */
static bool is_clean(const char *s, bool blanks)
{
	for (; s && *s; s++)
		if (!sp_is_print(*s) || (*s == ' ' && !blanks))
			return false;
	return true;
}

static bool ask_ok(const struct core_http_ask *ask)
{
	size_t len = strlen(ask->path) + strlen(ask->host) + (ask->content_type ? strlen(ask->content_type) : 0);
	return core_dns_name_ok(sp_str_of(ask->host)) && ask->path[0] == '/' && is_clean(ask->path, false) &&
	       is_clean(ask->content_type, true) && len < REQUEST_HEAD_MAX - 512;
}

struct core_http *core_http_start(struct core_loop *l, struct core_dns *dns, struct core_tls_client *tls,
                                  const struct core_http_ask *ask,
                                  void (*done)(void *owner, const struct core_http_response *r), void *owner)
{
	struct core_http *h = sp_alloc(sizeof(*h));
	h->loop = l;
	h->tls = core_tls_client_ref(tls);
	h->ask = *ask;
	h->ask.method = sp_strdup(ask->method);
	h->ask.host = sp_strdup(ask->host);
	h->ask.path = sp_strdup(ask->path);
	h->ask.content_type = sp_strdup(ask->content_type);
	h->done = done;
	h->owner = owner;
	h->ends_at_ms = core_clock_mono_ms() + ask->deadline_ms;
	h->deadline = core_timer_new(l, on_deadline, h);
	h->grace = core_timer_new(l, on_grace, h);
	h->bad_ask = !ask_ok(ask);
	core_timer_start(h->deadline, h->bad_ask ? 0 : ask->deadline_ms);
	if (h->bad_ask)
		return h;
	static const enum core_dns_type types[FAMILIES] = { [V6] = CORE_DNS_AAAA, [V4] = CORE_DNS_A };
	for (int f = 0; f < FAMILIES; f++) {
		h->lookups[f].http = h;
		h->lookups[f].query = core_dns_lookup(dns, h->ask.host, types[f], on_lookup, &h->lookups[f]);
	}
	return h;
}

void core_http_cancel(struct core_http *h)
{
	if (h == NULL)
		return;
	fall_silent(h);
	free_http(h);
}

/* tests/unit/core_http_test.c - core/http.c against an HTTPS server of our own. Names are looked up in a table below (a fake of
 * core/dns), and the wall clock stands at CERT_NOW (a fake of core/clock), so that certificates never grow old. */
#include "core/http.h"

#include "core/clock.h"
#include "core/list.h"
#include "tls_fixture.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the fakes ---- */

int64_t core_clock_wall_ms(void)
{
	return (int64_t)CERT_NOW * 1000;
}

uint64_t core_clock_mono_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct core_dns {
	struct core_loop *loop;
	struct sp_link queries;
};

struct core_dns_query {
	struct sp_link link;            /* in dns.queries */
	struct core_timer *timer;
	enum core_dns_type type;
	char name[100];
	void (*done)(void *owner, const struct core_dns_answer *answer);
	void *owner;
};

static const struct host {
	const char *name;
	const char *v4, *v6;            /* addresses, blank between; "!" SERVFAIL; NULL: no data */
	unsigned v4_ms, v6_ms;          /* how long the lookup takes */
	bool missing;
} hosts[] = {
	{ "good.t.example", "127.0.0.1", NULL, 0, 0, false },
	{ "v6.t.example", NULL, "::1", 0, 0, false },
	{ "both.t.example", "127.0.0.1", "::1", 0, 0, false },
	{ "refused-first.t.example", "127.0.0.3 127.0.0.1", NULL, 0, 0, false },
	{ "silent-first.t.example", "127.0.0.2 127.0.0.1", NULL, 0, 0, false },
	{ "silent.t.example", "127.0.0.2", NULL, 0, 0, false },
	{ "refused.t.example", "127.0.0.3 127.0.0.4", NULL, 0, 0, false },
	{ "private-first.t.example", "127.0.0.9 127.0.0.1", NULL, 0, 0, false },
	{ "private.t.example", "127.0.0.9", NULL, 0, 0, false },
	{ "wrong-first.t.example", "127.0.0.1 127.0.0.3", NULL, 0, 0, false },
	{ "slow-v6.t.example", "127.0.0.1", "::1", 0, 60000, false },
	{ "refused-slow-v6.t.example", "127.0.0.3", "::1", 0, 800, false },
	{ "v6-fails.t.example", "127.0.0.1", "!", 0, 0, false },
	{ "fails.t.example", NULL, "!", 0, 0, false },
	{ "nodata.t.example", NULL, NULL, 0, 0, false },
	{ "missing.t.example", NULL, NULL, 0, 0, true },
};

static const struct host *find_host(const char *name)
{
	for (size_t i = 0; i < SP_COUNT(hosts); i++)
		if (strcmp(hosts[i].name, name) == 0)
			return &hosts[i];
	fail_msg("no host %s", name);
	return NULL;
}

static void on_fake_answer(void *owner)
{
	struct core_dns_query *q = owner;
	const struct host *h = find_host(q->name);
	struct sp_str list = sp_str_of(q->type == CORE_DNS_A ? h->v4 : h->v6);
	struct core_dns_record records[4] = { { .ttl_s = 60 } };
	struct core_dns_answer a = { .status = h->missing ? CORE_DNS_NXDOMAIN : CORE_DNS_NODATA, .name = q->name, .records = records };
	if (sp_str_eq(list, SP_STR("!"))) {
		a.status = CORE_DNS_SERVFAIL;
		list = SP_STR("");
	}
	while (list.len > 0) {
		assert_true(sp_addr_parse_ip(sp_take_until(&list, ' '), 0, &records[a.count].addr));
		records[a.count++].type = q->type;
		a.status = CORE_DNS_OK;
	}
	q->done(q->owner, &a);
	core_dns_cancel(q);
}

struct core_dns_query *core_dns_lookup(struct core_dns *d, const char *name, enum core_dns_type type,
                                       void (*done)(void *owner, const struct core_dns_answer *answer), void *owner)
{
	struct core_dns_query *q = sp_alloc(sizeof(*q));
	const struct host *h = find_host(name);
	snprintf(q->name, sizeof(q->name), "%s", name);
	q->type = type;
	q->done = done;
	q->owner = owner;
	q->timer = core_timer_new(d->loop, on_fake_answer, q);
	core_timer_start(q->timer, type == CORE_DNS_A ? h->v4_ms : h->v6_ms);
	sp_list_push_back(&d->queries, &q->link);
	return q;
}

void core_dns_cancel(struct core_dns_query *q)
{
	if (q == NULL)
		return;
	sp_list_remove(&q->link);
	core_timer_close(q->timer);
	free(q);
}

/* ---- the server ---- */

enum cert_kind { GOOD, EXPIRED, OTHER_NAME, UNTRUSTED, CERTS };
enum manner {
	POLITE,                         /* answers, close_notify, closes */
	RUDE,                           /* answers, closes without close_notify */
	MUTE,                           /* reads the request, closes without a word */
	STUCK,                          /* reads the request, says nothing, waits for the end */
	CLEAR,                          /* speaks HTTP without TLS */
};

static SSL_CTX *contexts[CERTS];
static struct cert root, other_root, certs[CERTS];
static char ca_path[64];

static struct script {
	enum cert_kind cert;
	enum manner manner;
	const char *answer;
	char request[4096];
	unsigned served;
} script;

static size_t request_end(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
	if (end == NULL)
		return SIZE_MAX;
	return (size_t)(end - text) + 4 + (length && length < end ? (size_t)atoi(length + 15) : 0);
}

static void answer_tls(SSL *ssl, int fd)
{
	size_t len = 0;
	int n;
	memset(script.request, 0, sizeof(script.request));
	while (len < request_end(script.request) &&
	       (n = SSL_read(ssl, script.request + len, (int)(sizeof(script.request) - 1 - len))) > 0)
		len += (size_t)n;
	char c;
	if (script.manner == STUCK)
		while (read(fd, &c, 1) > 0)
			;
	if (script.manner == MUTE || script.manner == STUCK)
		return;
	SSL_write(ssl, script.answer, (int)strlen(script.answer));
	if (script.manner == POLITE)
		SSL_shutdown(ssl);
}

static void serve(int fd, void *arg)
{
	(void)arg;
	script.served++;
	if (script.manner == CLEAR) {
		ssize_t n = write(fd, "HTTP/1.1 400 No\r\n\r\n", 19);
		(void)n;
		return;
	}
	SSL *ssl = SSL_new(contexts[script.cert]);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		answer_tls(ssl, fd);
	SSL_free(ssl);
}

/* Accepts nothing: connections are made by the kernel, and nobody speaks. */
static int silent_listener(uint16_t port)
{
	struct sp_addr a;
	int on = 1;
	assert_true(sp_addr_parse_ip(SP_STR("127.0.0.2"), port, &a));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, &a.sa, (socklen_t)sp_addr_size(&a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* ---- a request, and what came of it ---- */

static struct core_loop *loop;
static struct core_dns dns;
static struct core_tls_client *client;

static struct seen {
	unsigned calls;
	char text[300], fail_text[512];
	enum sp_result result, tls_result;
} seen;

static void on_done(void *owner, const struct core_http_response *r)
{
	struct seen *s = owner;
	s->calls++;
	s->result = r->fail.result;
	s->tls_result = r->tls_fail.result;
	snprintf(s->fail_text, sizeof(s->fail_text), "%s", r->fail.text);
	if (sp_failed(&r->fail))
		snprintf(s->text, sizeof(s->text), "! %s %s %d", sp_fail_kind_str(r->fail.kind), r->fail.reason, r->status);
	else
		snprintf(s->text, sizeof(s->text), "%d %s[%.*s]", r->status, r->content_type, SP_STR_ARG(r->body));
}

static bool not_127_0_0_9(void *owner, const struct sp_addr *to)
{
	char text[SP_ADDR_TEXT];
	assert_ptr_equal(owner, &seen);
	return strcmp(sp_addr_ip_str(to, text), "127.0.0.9") != 0;
}

static struct core_http_ask ask_for(const char *host, uint16_t port)
{
	return (struct core_http_ask){
		.method = "GET", .host = host, .port = port, .path = "/.well-known/mta-sts.txt", .deadline_ms = 5000,
		.head_max = 1024, .body_max = 100, .verify = true, .min_version = CORE_TLS_1_2, .may_connect = not_127_0_0_9,
	};
}

static void run(const struct core_http_ask *ask)
{
	seen = (struct seen){ 0 };
	core_http_start(loop, &dns, client, ask, on_done, &seen);
	assert_int_equal(seen.calls, 0);                /* never before it returns */
	core_loop_run(loop);
	assert_int_equal(seen.calls, 1);
	assert_true(sp_list_empty(&dns.queries));
}

static int set_up_certs(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	root = cert_make(&(struct cert_ask){ .cn = "Root", .ca = true, .from_s = -99 * CERT_DAY, .to_s = 99 * CERT_DAY }, NULL);
	other_root = cert_make(&(struct cert_ask){ .cn = "Other", .ca = true }, NULL);
	const char *names = "DNS:*.t.example";
	certs[GOOD] = cert_make(&(struct cert_ask){ .cn = "x", .alt = names }, &root);
	certs[EXPIRED] = cert_make(&(struct cert_ask){ .cn = "x", .alt = names, .from_s = -9 * CERT_DAY, .to_s = -CERT_DAY }, &root);
	certs[OTHER_NAME] = cert_make(&(struct cert_ask){ .cn = "good.t.example", .alt = "DNS:other.test" }, &root);
	certs[UNTRUSTED] = cert_make(&(struct cert_ask){ .cn = "x", .alt = names }, &other_root);
	for (int i = 0; i < CERTS; i++)
		contexts[i] = tls_server_context(&certs[i], NULL);
	cert_write_pem(&root, ca_path);
	return 0;
}

static int tear_down_certs(void **state)
{
	(void)state;
	unlink(ca_path);
	cert_clear(&root);
	cert_clear(&other_root);
	for (int i = 0; i < CERTS; i++) {
		cert_clear(&certs[i]);
		SSL_CTX_free(contexts[i]);
	}
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	struct sp_fail why;
	loop = core_loop_new();
	dns.loop = loop;
	sp_list_init(&dns.queries);
	client = core_tls_client_new(ca_path, &why);
	script = (struct script){ .answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello" };
	return client ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	core_tls_client_unref(client);
	core_loop_run(loop);
	core_loop_free(loop);
	return 0;
}

/* ---- tests ---- */

static void test_get(void **state)
{
	(void)state;
	struct peer p;
	char want[300];
	peer_start(&p, 1, serve, NULL);
	struct core_http_ask ask = ask_for("good.t.example", sp_addr_port(&p.at));
	run(&ask);
	peer_join(&p);
	assert_string_equal(seen.text, "200 text/plain[hello]");
	snprintf(want, sizeof(want),
	         "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: good.t.example:%u\r\nUser-Agent: strictpost/" STRICTPOST_VERSION "\r\n"
	         "Accept: */*\r\nConnection: close\r\n\r\n", sp_addr_port(&p.at));
	assert_string_equal(script.request, want);
}

static void test_post(void **state)
{
	(void)state;
	struct peer p;
	peer_start(&p, 1, serve, NULL);
	script.answer = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
	struct core_http_ask ask = ask_for("good.t.example", sp_addr_port(&p.at));
	ask.method = "POST";
	ask.path = "/v1/tlsrpt?x=y";
	ask.content_type = "application/tlsrpt+gzip";
	ask.body = SP_STR("the report");
	run(&ask);
	peer_join(&p);
	assert_string_equal(seen.text, "201 []");
	assert_non_null(strstr(script.request, "POST /v1/tlsrpt?x=y HTTP/1.1\r\n"));
	assert_non_null(strstr(script.request, "Content-Type: application/tlsrpt+gzip\r\nContent-Length: 10\r\n\r\nthe report"));
}

static void test_answers(void **state)
{
	(void)state;
	static const struct { const char *label; enum manner manner; const char *answer, *want; } rows[] = {
		{ "redirects are not followed, RFC 8461 3.3", POLITE,
		  "HTTP/1.1 301 Moved\r\nLocation: https://good.t.example/\r\nContent-Length: 0\r\n\r\n", "301 []" },
		{ "to the end", POLITE, "HTTP/1.0 200 OK\r\n\r\nhello", "200 [hello]" },
		{ "to the end, but who ended it?", RUDE, "HTTP/1.0 200 OK\r\n\r\nhello", "! tls truncated 200" },
		{ "complete, rudely", RUDE, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhe", "200 [he]" },
		{ "chunks", POLITE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n", "200 [he]" },
		{ "cut", POLITE, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "! protocol truncated 200" },
		{ "too large", POLITE, "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", "! http body-too-large 200" },
		{ "not found", POLITE, "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", "404 [no]" },
		{ "something else", POLITE, "220 mx.example ESMTP\r\n", "! protocol http-syntax 0" },
		{ "nothing", MUTE, "", "! tls truncated 0" },
		{ "no TLS", CLEAR, "", "! tls" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct peer p;
		peer_start(&p, 1, serve, NULL);
		script.manner = rows[i].manner;
		script.answer = rows[i].answer;
		struct core_http_ask ask = ask_for("good.t.example", sp_addr_port(&p.at));
		run(&ask);
		peer_join(&p);
		if (strncmp(seen.text, rows[i].want, strlen(rows[i].want)) != 0 || seen.result != SP_RESULT_NONE)
			fail_msg("%s: want \"%s\" got \"%s\" (%s)", rows[i].label, rows[i].want, seen.text, seen.fail_text);
	}
}

static void test_certificates(void **state)
{
	(void)state;
	static const struct { const char *label; enum cert_kind cert; enum sp_result unverified; } rows[] = {
		{ "expired", EXPIRED, SP_RESULT_CERTIFICATE_EXPIRED },
		{ "for another name, ours only as CN", OTHER_NAME, SP_RESULT_CERTIFICATE_HOST_MISMATCH },
		{ "from nobody we know", UNTRUSTED, SP_RESULT_CERTIFICATE_NOT_TRUSTED },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		for (int verify = 0; verify < 2; verify++) {
			struct peer p;
			peer_start(&p, 1, serve, NULL);
			script.cert = rows[i].cert;
			memset(script.request, 0, sizeof(script.request));
			struct core_http_ask ask = ask_for("good.t.example", sp_addr_port(&p.at));
			ask.verify = verify;
			run(&ask);
			peer_join(&p);
			bool ok;
			if (verify)             /* refused before a byte was asked */
				ok = strncmp(seen.text, "! tls ", 6) == 0 && seen.result == SP_RESULT_STS_WEBPKI_INVALID &&
				     script.request[0] == '\0';
			else
				ok = strcmp(seen.text, "200 text/plain[hello]") == 0 && seen.tls_result == rows[i].unverified;
			if (!ok)
				fail_msg("%s, verify %d: %s %s %s", rows[i].label, verify, seen.text, sp_result_str(seen.result), seen.fail_text);
		}
	}
}

static void test_addresses(void **state)
{
	(void)state;
	static const struct { const char *host; unsigned served; const char *want; } rows[] = {
		{ "refused-first.t.example", 1, "200 " },
		{ "silent-first.t.example", 1, "200 " },
		{ "private-first.t.example", 1, "200 " },
		{ "both.t.example", 1, "200 " },                          /* nobody at ::1 */
		{ "slow-v6.t.example", 1, "200 " },                       /* does not wait a minute for the other family */
		{ "v6-fails.t.example", 1, "200 " },
		{ "refused.t.example", 0, "! connect refused 0" },
		{ "refused-slow-v6.t.example", 0, "! connect " },         /* waits for the other family when there is nothing else */
		{ "private.t.example", 0, "! connect private-address 0" },
		{ "silent.t.example", 0, "! protocol timeout 0" },
		{ "fails.t.example", 0, "! dns dns 0" },
		{ "nodata.t.example", 0, "! dns dns 0" },
		{ "missing.t.example", 0, "! dns dns 0" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct peer p;
		script.served = 0;
		peer_start(&p, rows[i].served, serve, NULL);
		int silent = silent_listener(sp_addr_port(&p.at));
		struct core_http_ask ask = ask_for(rows[i].host, sp_addr_port(&p.at));
		ask.deadline_ms = 3000;
		uint64_t start = core_clock_mono_ms();
		run(&ask);
		assert_true(core_clock_mono_ms() - start < 4000);
		peer_join(&p);
		close(silent);
		if (strncmp(seen.text, rows[i].want, strlen(rows[i].want)) != 0 || script.served != rows[i].served)
			fail_msg("%s: want \"%s\" got \"%s\" (%s)", rows[i].host, rows[i].want, seen.text, seen.fail_text);
	}
}

/* That a certificate was wrong is told, not that the next address was away. */
static void test_wrong_certificate_is_told(void **state)
{
	(void)state;
	struct peer p;
	peer_start(&p, 1, serve, NULL);
	script.cert = EXPIRED;
	struct core_http_ask ask = ask_for("wrong-first.t.example", sp_addr_port(&p.at));
	run(&ask);
	peer_join(&p);
	assert_int_equal(seen.result, SP_RESULT_STS_WEBPKI_INVALID);
}

/* A host that has only IPv6. */
static void test_v6_only(void **state)
{
	(void)state;
	struct peer p = { .turns = 1, .serve = serve };
	socklen_t len = sizeof(p.at.in6);
	assert_true(sp_addr_parse(SP_STR("[::1]:0"), &p.at));
	p.fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (p.fd < 0 || bind(p.fd, &p.at.sa, len) != 0)
		skip();                                         /* this machine has no IPv6 */
	close(p.fd);
	peer_start(&p, 0, serve, NULL);                         /* for a port that is free */
	peer_join(&p);
	struct sp_addr at;
	assert_true(sp_addr_parse_ip(SP_STR("::1"), sp_addr_port(&p.at), &at));
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, &at.sa, len), 0);
	assert_int_equal(listen(fd, 5), 0);
	seen = (struct seen){ 0 };
	struct core_http_ask ask = ask_for("v6.t.example", sp_addr_port(&at));
	core_http_start(loop, &dns, client, &ask, on_done, &seen);
	for (int i = 0; i < 20; i++)
		core_loop_turn(loop);
	int conn = accept(fd, NULL, NULL);                      /* it came by IPv6 */
	assert_true(conn >= 0);
	close(conn);
	close(fd);
	core_loop_run(loop);
	assert_int_equal(seen.calls, 1);
	assert_true(strncmp(seen.text, "! ", 2) == 0);
}

/* A lost GET may be asked of the next address, a lost POST may have been done. */
static void test_only_gets_are_repeated(void **state)
{
	(void)state;
	for (int post = 0; post < 2; post++) {
		struct peer p;
		script.served = 0;
		script.manner = MUTE;
		peer_start(&p, 1, serve, NULL);
		int silent = silent_listener(sp_addr_port(&p.at));
		struct core_http_ask ask = ask_for("wrong-first.t.example", sp_addr_port(&p.at));     /* .1, then .3: refused */
		ask.method = post ? "POST" : "GET";
		ask.body = post ? SP_STR("x") : SP_STR("");
		run(&ask);
		peer_join(&p);
		close(silent);
		assert_int_equal(script.served, 1);
		assert_true(strncmp(seen.text, "! tls truncated", 15) == 0);
	}
}

static void test_deadline(void **state)
{
	(void)state;
	struct peer p;
	script.manner = STUCK;
	peer_start(&p, 1, serve, NULL);
	struct core_http_ask ask = ask_for("good.t.example", sp_addr_port(&p.at));
	ask.deadline_ms = 300;
	uint64_t start = core_clock_mono_ms();
	run(&ask);
	assert_true(core_clock_mono_ms() - start < 2000);
	peer_join(&p);
	assert_string_equal(seen.text, "! protocol timeout 0");
}

static void test_cancel_at_any_time(void **state)
{
	(void)state;
	enum { ROUNDS = 40 };
	for (int i = 0; i < ROUNDS; i++) {
		struct peer p;
		script.manner = i % 2 ? POLITE : STUCK;
		peer_start(&p, 0, serve, NULL);
		peer_join(&p);
		int silent = silent_listener(sp_addr_port(&p.at));
		seen = (struct seen){ 0 };
		struct core_http_ask ask = ask_for("silent-first.t.example", sp_addr_port(&p.at));
		struct core_http *h = core_http_start(loop, &dns, client, &ask, on_done, &seen);
		for (int t = 0; t < i; t++)
			core_loop_turn(loop);
		assert_int_equal(seen.calls, 0);
		core_http_cancel(h);
		core_loop_run(loop);
		assert_int_equal(seen.calls, 0);
		close(silent);
	}
	core_http_cancel(NULL);
}

static void test_cancel_during_the_answer(void **state)
{
	(void)state;
	struct peer p;
	script.manner = STUCK;
	peer_start(&p, 1, serve, NULL);
	seen = (struct seen){ 0 };
	script.served = 0;
	struct core_http_ask ask = ask_for("good.t.example", sp_addr_port(&p.at));
	struct core_http *h = core_http_start(loop, &dns, client, &ask, on_done, &seen);
	uint64_t end = core_clock_mono_ms() + 300;
	while (core_clock_mono_ms() < end)
		core_loop_turn(loop);
	core_http_cancel(h);
	core_loop_run(loop);
	peer_join(&p);
	assert_int_equal(script.served, 1);
	assert_int_equal(seen.calls, 0);
}

static void test_asks_that_are_none(void **state)
{
	(void)state;
	static const struct { const char *label, *host, *path, *type; } rows[] = {
		{ "a second line in the path", "good.t.example", "/x HTTP/1.1\r\nX: y", NULL },
		{ "blank in the path", "good.t.example", "/a b", NULL },
		{ "path without slash", "good.t.example", "x", NULL },
		{ "a second line in the host", "good.t.example\r\nX: y", "/", NULL },
		{ "a second line in the type", "good.t.example", "/", "a/b\r\nX: y" },
		{ "empty host", "", "/", NULL },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct core_http_ask ask = ask_for(rows[i].host, 443);
		ask.path = rows[i].path;
		ask.content_type = rows[i].type;
		run(&ask);
		if (strcmp(seen.text, "! http  0") != 0)
			fail_msg("%s: %s", rows[i].label, seen.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_get),
		TEST(test_post),
		TEST(test_answers),
		TEST(test_certificates),
		TEST(test_addresses),
		TEST(test_wrong_certificate_is_told),
		TEST(test_v6_only),
		TEST(test_only_gets_are_repeated),
		TEST(test_deadline),
		TEST(test_cancel_at_any_time),
		TEST(test_cancel_during_the_answer),
		TEST(test_asks_that_are_none),
	};
	return cmocka_run_group_tests(tests, set_up_certs, tear_down_certs);
}

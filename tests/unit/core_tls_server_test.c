/* tests/unit/core_tls_server_test.c - core/tls_server.c and the server's side of core/tls_stream.c and core/conn_tls.c: certificate and key files as rows,
 * handshakes in memory against OpenSSL's client side, and connections of ours with both ends on one loop. */
#include "conn_fixture.h"
#include "core/tls_stream.h"
#include "tls_fixture.h"

#include <malloc.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct cert root, middle, leaf, weak, other_root;
static char dir[] = "/tmp/strictpost-test-XXXXXX";

static const char *path_of(const char *name)
{
	static char paths[4][128];
	static unsigned n;
	char *path = paths[n++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static FILE *create(const char *name)
{
	FILE *f = fopen(path_of(name), "w");
	sp_assert(f);
	return f;
}

static void write_certs(const char *name, const struct cert *first, const struct cert *second)
{
	FILE *f = create(name);
	sp_assert(PEM_write_X509(f, first->x509) == 1 && (second == NULL || PEM_write_X509(f, second->x509) == 1));
	fclose(f);
}

static void write_key(const char *name, const struct cert *of, const char *password)
{
	FILE *f = create(name);
	sp_assert(PEM_write_PrivateKey(f, of->key, password ? EVP_aes_128_cbc() : NULL, (const unsigned char *)password,
	                               password ? (int)strlen(password) : 0, NULL, NULL) == 1);
	fclose(f);
}

static void write_text(const char *name, const char *text)
{
	FILE *f = create(name);
	fputs(text, f);
	fclose(f);
}

static int set_up(void **state)
{
	(void)state;
	root = cert_make(&(struct cert_ask){ .cn = "Test Root", .ca = true }, NULL);
	other_root = cert_make(&(struct cert_ask){ .cn = "Other Root", .ca = true }, NULL);
	middle = cert_make(&(struct cert_ask){ .cn = "Middle", .ca = true }, &root);
	leaf = cert_make(&(struct cert_ask){ .cn = "relay", .alt = "DNS:relay.example.com" }, &middle);
	weak = cert_make(&(struct cert_ask){ .cn = "weak", .weak = true }, NULL);
	sp_assert(mkdtemp(dir));
	write_certs("chain.pem", &leaf, &middle);
	write_certs("backwards.pem", &middle, &leaf);
	write_certs("root.pem", &root, NULL);
	write_certs("weak.pem", &weak, NULL);
	write_key("key.pem", &leaf, NULL);
	write_key("root-key.pem", &root, NULL);
	write_key("weak-key.pem", &weak, NULL);
	write_key("locked.pem", &leaf, "secret");
	write_text("empty.pem", "");
	write_text("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
	FILE *both = create("both.pem");
	sp_assert(PEM_write_X509(both, leaf.x509) == 1 && PEM_write_PrivateKey(both, leaf.key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(both);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	struct cert *const all[] = { &root, &other_root, &middle, &leaf, &weak };
	for (size_t i = 0; i < SP_COUNT(all); i++)
		cert_clear(all[i]);
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static struct core_tls_server *server_new(const char *client_ca, bool tickets, enum core_tls_version min)
{
	struct sp_fail why;
	struct core_tls_server_ask ask = { .certificate = path_of("chain.pem"), .key = path_of("key.pem"), .client_ca = client_ca ? path_of(client_ca) : "",
	                                   .min_version = min, .tickets = tickets };
	struct core_tls_server *t = core_tls_server_new(&ask, &why);
	if (t == NULL)
		fail_msg("%s", why.text);
	return t;
}

/* --- files --- */

static const struct {
	const char *label, *certificate, *key, *client_ca;
	enum core_tls_version min;
	const char *reason, *text;      /* "": it is taken */
} files[] = {
	{ "chain and key", "chain.pem", "key.pem", NULL, CORE_TLS_1_2, "", "" },
	{ "both in one file", "both.pem", NULL, NULL, CORE_TLS_1_2, "", "" },
	{ "no such certificate", "none.pem", "key.pem", NULL, CORE_TLS_1_2, "missing", "none.pem: there is no such file" },
	{ "no such key", "chain.pem", "none.pem", NULL, CORE_TLS_1_2, "missing", "none.pem: there is no such file" },
	{ "a folder", "chain.pem", "", NULL, CORE_TLS_1_2, "unreadable", "not a plain file" },
	{ "empty certificate", "empty.pem", "key.pem", NULL, CORE_TLS_1_2, "no-certificate", "there is no certificate in it" },
	{ "broken certificate", "broken.pem", "key.pem", NULL, CORE_TLS_1_2, "no-certificate", "certificate 1 cannot be read" },
	{ "empty key", "chain.pem", "empty.pem", NULL, CORE_TLS_1_2, "no-key", "there is no private key in it" },
	{ "key with a password", "chain.pem", "locked.pem", NULL, CORE_TLS_1_2, "no-key", "needs a password" },
	{ "another's key", "chain.pem", "root-key.pem", NULL, CORE_TLS_1_2, "key-mismatch", "belongs to another certificate" },
	{ "chain in the wrong order", "backwards.pem", "key.pem", NULL, CORE_TLS_1_2, "order", "it must be the first" },
	{ "RSA 1024", "weak.pem", "weak-key.pem", NULL, CORE_TLS_1_2, "unusable", "ee key too small" },
	{ "RSA 1024 for old clients", "weak.pem", "weak-key.pem", NULL, CORE_TLS_1_0, "", "" },
	{ "clients' authority", "chain.pem", "key.pem", "root.pem", CORE_TLS_1_2, "", "" },
	{ "clients' authority without a certificate", "chain.pem", "key.pem", "empty.pem", CORE_TLS_1_2, "no-certificate", "there is no certificate in it" },
	{ "no such clients' authority", "chain.pem", "key.pem", "none.pem", CORE_TLS_1_2, "missing", "there is no such file" },
};

static void test_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(files); i++) {
		struct sp_fail why;
		struct core_tls_server_ask ask = { .certificate = path_of(files[i].certificate), .key = files[i].key ? path_of(files[i].key) : NULL,
		                                   .client_ca = files[i].client_ca ? path_of(files[i].client_ca) : NULL, .min_version = files[i].min };
		struct core_tls_server *t = core_tls_server_new(&ask, &why);
		bool want = *files[i].reason == '\0';
		if ((t != NULL) != want || strcmp(why.reason, files[i].reason) != 0 || strstr(why.text, files[i].text) == NULL)
			fail_msg("%s: want '%s' '%s', got '%s' '%s'", files[i].label, files[i].reason, files[i].text, why.reason, why.text);
		core_tls_server_unref(t);
	}
}

static void test_expiry_and_name(void **state)
{
	(void)state;
	struct core_tls_server *t = server_new(NULL, false, CORE_TLS_1_2);
	assert_int_equal(core_tls_server_expires(t), CERT_NOW + CERT_DAY);
	assert_true(core_tls_server_names(t, "relay.example.com"));
	assert_false(core_tls_server_names(t, "example.com"));
	core_tls_server_unref(t);
}

/* --- handshakes in memory --- */

struct pair {
	struct core_tls_stream *server;
	SSL_CTX *ctx;
	SSL *ssl;                       /* the client, over memory */
	struct sp_buf to_client;
	enum core_tls_step step;
	struct sp_fail why;
};

static unsigned tickets_seen;
static SSL_SESSION *last_session;

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	tickets_seen++;
	SSL_SESSION_free(last_session);
	last_session = session;
	return 1;
}

static void pair_open(struct pair *p, struct core_tls_server *t, int version, const struct cert *shows)
{
	*p = (struct pair){ .step = CORE_TLS_MORE };
	p->server = core_tls_stream_server(t, &p->why);
	assert_non_null(p->server);
	sp_buf_init(&p->to_client, 1 << 20);
	p->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(p->ctx, 0);
	SSL_CTX_set_min_proto_version(p->ctx, version);
	SSL_CTX_set_max_proto_version(p->ctx, version);
	SSL_CTX_set_session_cache_mode(p->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(p->ctx, on_new_session);
	if (shows) {
		sp_assert(SSL_CTX_use_certificate(p->ctx, shows->x509) == 1 && SSL_CTX_use_PrivateKey(p->ctx, shows->key) == 1);
		sp_assert(SSL_CTX_add1_chain_cert(p->ctx, middle.x509) == 1);
	}
	p->ssl = SSL_new(p->ctx);
	SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(p->ssl);
}

static void pair_close(struct pair *p)
{
	core_tls_stream_free(p->server);
	SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  /* else the session is no longer good */
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	sp_buf_clear(&p->to_client);
}

/* One round: the client says what it can, the server hears up to `limit` octets of it and answers. False when nothing moved. */
static bool pair_round(struct pair *p, size_t limit)
{
	char text[65536], plain[1024];
	size_t len = 0;
	ERR_clear_error();
	if (SSL_in_init(p->ssl))
		SSL_do_handshake(p->ssl);
	else
		SSL_read(p->ssl, plain, sizeof(plain));         /* tickets */
	int n = BIO_read(SSL_get_wbio(p->ssl), text, sizeof(text));
	struct core_tls_io io = { .in = sp_str_make(text, sp_min(n > 0 ? (size_t)n : 0, limit)), .out = &p->to_client };
	if (p->step == CORE_TLS_MORE)
		p->step = core_tls_stream_handshake(p->server, &io, &p->why);
	else if (p->step == CORE_TLS_DONE && io.in.len > 0)
		p->step = core_tls_stream_read(p->server, &io, plain, sizeof(plain), &len, &p->why) == CORE_TLS_BROKEN ? CORE_TLS_BROKEN : CORE_TLS_DONE;
	bool moved = n > 0 || p->to_client.len > 0;
	BIO_write(SSL_get_rbio(p->ssl), sp_buf_cstr(&p->to_client), (int)p->to_client.len);
	sp_buf_reset(&p->to_client);
	return moved;
}

static void pair_shake(struct pair *p)
{
	while (pair_round(p, SIZE_MAX))
		;
}

static void test_versions(void **state)
{
	(void)state;
	static const struct { const char *label; enum core_tls_version min; int client; const char *want; } rows[] = {
		{ "1.3", CORE_TLS_1_2, TLS1_3_VERSION, "TLSv1.3" },       { "1.2", CORE_TLS_1_2, TLS1_2_VERSION, "TLSv1.2" },
		{ "1.1 is too old", CORE_TLS_1_2, TLS1_1_VERSION, NULL }, { "1.2 is too old", CORE_TLS_1_3, TLS1_2_VERSION, NULL },
		{ "1.0 where it may", CORE_TLS_1_0, TLS1_VERSION, "TLSv1" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct core_tls_server *t = server_new(NULL, false, rows[i].min);
		struct pair p;
		pair_open(&p, t, rows[i].client, NULL);
		SSL_set_cipher_list(p.ssl, "ALL:@SECLEVEL=0");
		pair_shake(&p);
		if ((p.step == CORE_TLS_DONE) != (rows[i].want != NULL))
			fail_msg("%s: %s", rows[i].label, p.why.text);
		if (rows[i].want)
			assert_string_equal(core_tls_stream_peer(p.server)->version, rows[i].want);
		pair_close(&p);
		core_tls_server_unref(t);
	}
}

/* TLS 1.2 lets a client ask for a second handshake in the first one's session: CVE-2009-3555, and work for nothing. */
static void test_no_renegotiation(void **state)
{
	(void)state;
	struct core_tls_server *t = server_new(NULL, false, CORE_TLS_1_2);
	struct pair p;
	pair_open(&p, t, TLS1_2_VERSION, NULL);
	pair_shake(&p);
	assert_int_equal(p.step, CORE_TLS_DONE);
	SSL_renegotiate(p.ssl);
	pair_shake(&p);
	assert_int_equal(SSL_in_init(p.ssl), 1);        /* it was not had */
	pair_close(&p);
	core_tls_server_unref(t);
}

static void test_tickets(void **state)
{
	(void)state;
	static const struct { const char *label, *client_ca; bool tickets; int version; bool resumes; } rows[] = {
		{ "1.3", NULL, true, TLS1_3_VERSION, true },
		{ "1.2", NULL, true, TLS1_2_VERSION, true },
		{ "1.3 off", NULL, false, TLS1_3_VERSION, false },
		{ "1.2 off", NULL, false, TLS1_2_VERSION, false },
		{ "1.3 with client certificates", "root.pem", true, TLS1_3_VERSION, false },
		{ "1.2 with client certificates", "root.pem", true, TLS1_2_VERSION, false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct core_tls_server *t = server_new(rows[i].client_ca, rows[i].tickets, CORE_TLS_1_2);
		struct pair p;
		tickets_seen = 0;
		for (int turn = 0; turn < 2; turn++) {
			pair_open(&p, t, rows[i].version, NULL);
			if (last_session)
				SSL_set_session(p.ssl, last_session);
			pair_shake(&p);
			if (p.step != CORE_TLS_DONE)
				fail_msg("%s: %s", rows[i].label, p.why.text);
			if (core_tls_stream_peer(p.server)->resumed != (turn && rows[i].resumes) || (tickets_seen > 0) != rows[i].resumes)
				fail_msg("%s: turn %d, resumed %d, tickets %u", rows[i].label, turn, core_tls_stream_peer(p.server)->resumed, tickets_seen);
			pair_close(&p);
		}
		SSL_SESSION_free(last_session);
		last_session = NULL;
		core_tls_server_unref(t);
	}
}

static void test_clients_by_certificate(void **state)
{
	(void)state;
	static const struct { const char *label; bool asks, shows, other; int from_d, to_d; const char *usage; bool want; const char *why; bool weak; } rows[] = {
		{ "through an intermediate", true, true, false, -1, 1, NULL, true, "" },
		{ "for clients", true, true, false, -1, 1, "clientAuth", true, "" },
		{ "for servers only", true, true, false, -1, 1, "serverAuth", false, "certificate purpose" },
		{ "shows none", true, false, false, -1, 1, NULL, false, "" },
		{ "is not asked", false, true, false, -1, 1, NULL, false, "" },
		{ "of another authority", true, true, true, -1, 1, NULL, false, "certificate \"CN=app1" },
		{ "expired", true, true, false, -9, -1, NULL, false, "expired" },
		{ "not valid yet", true, true, false, 1, 9, NULL, false, "not yet valid" },
		{ "with a key that can be broken", true, true, false, -1, 1, NULL, false, "key too weak", true },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct cert_ask ask = { .cn = "app1\r\nx", .from_s = rows[i].from_d * CERT_DAY, .to_s = rows[i].to_d * CERT_DAY, .usage = rows[i].usage,
		                        .weak = rows[i].weak };
		struct cert cert = cert_make(&ask, rows[i].other ? &other_root : &middle);
		struct core_tls_server *t = server_new(rows[i].asks ? "root.pem" : NULL, true, CORE_TLS_1_2);
		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			struct pair p;
			struct sp_buf subject;
			struct sp_fail why;
			sp_buf_init(&subject, 1024);
			pair_open(&p, t, version, rows[i].shows ? &cert : NULL);
			pair_shake(&p);
			if (p.step != CORE_TLS_DONE)            /* a bad certificate is no reason to refuse the session: AUTH is left */
				fail_msg("%s: %s", rows[i].label, p.why.text);
			bool got = core_tls_server_knows(t, core_tls_stream_peer(p.server), CERT_NOW, &subject, &why);
			if (got != rows[i].want || sp_failed(&why) != (*rows[i].why != '\0') || strstr(why.text, rows[i].why) == NULL)
				fail_msg("%s: got %d (%s)", rows[i].label, got, why.text);
			assert_null(strpbrk(sp_buf_cstr(&subject), "\r\n"));
			if (got)
				assert_non_null(strstr(sp_buf_cstr(&subject), "CN=app1"));
			sp_buf_clear(&subject);
			pair_close(&p);
		}
		core_tls_server_unref(t);
		cert_clear(&cert);
	}
}

/* A client that dies, or cheats, anywhere in the handshake: nothing but an end. */
static void test_clients_killed_at_any_step(void **state)
{
	(void)state;
	struct core_tls_server *t = server_new("root.pem", true, CORE_TLS_1_2);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		for (size_t cut = 0; cut < 400; cut += 7) {
			struct pair p;
			pair_open(&p, t, version, NULL);
			pair_round(&p, cut);
			pair_close(&p);
			pair_open(&p, t, version, NULL);
			pair_round(&p, SIZE_MAX);
			pair_round(&p, cut);
			pair_close(&p);
		}
	}
	core_tls_server_unref(t);
}

/* DESIGN.md, measures: an idle TLS session of a client in less than 64 KiB, with what else it holds. */
static void test_memory_of_an_idle_session(void **state)
{
	(void)state;
	enum { COUNT = 50 };
	static struct pair pairs[COUNT];
	struct core_tls_server *t = server_new(NULL, true, CORE_TLS_1_2);
	for (int i = 0; i < COUNT; i++) {
		pair_open(&pairs[i], t, TLS1_3_VERSION, NULL);
		pair_shake(&pairs[i]);
		assert_int_equal(pairs[i].step, CORE_TLS_DONE);
	}
	size_t before = mallinfo2().uordblks;
	for (int i = 0; i < COUNT; i++) {
		core_tls_stream_free(pairs[i].server);
		pairs[i].server = NULL;
	}
	size_t each = (before - mallinfo2().uordblks) / COUNT;
	print_message("an idle server stream: %zu octets\n", each);
	assert_true(each < 40 * 1024);
	for (int i = 0; i < COUNT; i++)
		pair_close(&pairs[i]);
	core_tls_server_unref(t);
	SSL_SESSION_free(last_session);
	last_session = NULL;
}

/* --- connections, both ends on one loop --- */

struct talk {
	struct core_loop *loop;
	struct host host;
	struct end *client;
	struct core_tls_server *server;
	struct core_tls_client *trust;
};

static void talk_open(struct talk *k)
{
	*k = (struct talk){ .loop = core_loop_new(), .server = server_new(NULL, true, CORE_TLS_1_2) };
	struct sp_fail why;
	k->trust = core_tls_client_new(path_of("root.pem"), &why);
	assert_non_null(k->trust);
	host_open(&k->host, k->loop, "127.0.0.1:0");
	k->client = end_new(k->loop);
	end_connect(k->client, core_listener_addr(k->host.listener), 5000);
	host_until(&k->host, 1);
	end_until(k->client, 'o');
}

static void talk_close(struct talk *k)
{
	end_free(k->client);
	host_close(&k->host);
	core_tls_client_unref(k->trust);
	core_tls_server_unref(k->server);
	core_loop_free(k->loop);
}

static void start_client(struct talk *k)
{
	struct sp_fail why;
	struct core_tls_ask ask = { .client = k->trust, .sni = "relay.example.com", .min_version = CORE_TLS_1_2 };
	assert_int_equal(core_conn_start_tls(k->client->conn, &ask, &why), 0);
}

static void start_server(struct talk *k, struct sp_str records)
{
	struct sp_fail why;
	assert_int_equal(core_conn_start_tls_server(k->host.ends[0]->conn, k->server, records, &why), 0);
}

static void test_starttls(void **state)
{
	(void)state;
	struct talk k;
	talk_open(&k);
	struct end *server = k.host.ends[0];
	end_send(k.client, "STARTTLS\r\n");
	end_until(server, 'd');
	end_send(server, "220 go\r\n");
	start_server(&k, SP_STR(""));
	end_until(k.client, 'd');
	start_client(&k);
	end_until(server, 't');
	end_until(k.client, 't');
	assert_false(sp_failed(&server->why));
	assert_string_equal(core_conn_tls_peer(server->conn)->version, "TLSv1.3");
	sp_buf_reset(&server->got);
	*server->story = '\0';
	end_send(k.client, "EHLO a\r\n");
	end_until(server, 'd');
	assert_string_equal(sp_buf_cstr(&server->got), "EHLO a\r\n");
	talk_close(&k);
}

/* CVE-2011-0411: a command smuggled in behind STARTTLS in clear must not be read as if it had come under TLS. */
static void test_cve_2011_0411_clear_text_before_the_handshake(void **state)
{
	(void)state;
	struct talk k;
	talk_open(&k);
	struct end *server = k.host.ends[0];
	end_send(k.client, "STARTTLS\r\n");
	end_until(server, 'd');
	core_conn_pause(server->conn);                  /* so that it is in the socket when the handshake begins */
	end_send(k.client, "MAIL FROM:<evil@example.com>\r\n");
	for (int i = 0; i < 10; i++)
		core_loop_turn(k.loop);
	start_server(&k, SP_STR(""));
	end_until(server, 't');
	assert_true(sp_failed(&server->why));
	assert_string_equal(sp_buf_cstr(&server->got), "STARTTLS\r\n");
	talk_close(&k);
}

/* Behind a PROXY header the handshake may have begun already, in the same segment. */
static void test_records_that_came_already(void **state)
{
	(void)state;
	struct talk k;
	talk_open(&k);
	struct end *server = k.host.ends[0];
	start_client(&k);
	end_until(server, 'd');                         /* a ClientHello, read as if it were clear text */
	start_server(&k, sp_buf_str(&server->got));
	end_until(server, 't');
	end_until(k.client, 't');
	assert_false(sp_failed(&server->why));
	assert_false(sp_failed(&k.client->why));
	talk_close(&k);
}

static void test_a_handshake_that_hangs_meets_the_deadline(void **state)
{
	(void)state;
	struct talk k;
	talk_open(&k);
	struct end *server = k.host.ends[0];
	start_server(&k, SP_STR(""));
	core_conn_deadline(server->conn, 30);
	end_until(server, 't');
	assert_string_equal(server->why.reason, "timeout");
	assert_int_equal(server->why.kind, SP_FAIL_TLS);
	talk_close(&k);
}

/* A configuration goes, and with it its ref, while sessions are under way. */
static void test_context_outlives_its_owner(void **state)
{
	(void)state;
	struct talk k;
	talk_open(&k);
	start_server(&k, SP_STR(""));
	core_tls_server_unref(k.server);
	k.server = NULL;
	start_client(&k);
	end_until(k.host.ends[0], 't');
	assert_false(sp_failed(&k.host.ends[0]->why));
	talk_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_expiry_and_name),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_no_renegotiation),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_clients_by_certificate),
		cmocka_unit_test(test_clients_killed_at_any_step),
		cmocka_unit_test(test_memory_of_an_idle_session),
		cmocka_unit_test(test_starttls),
		cmocka_unit_test(test_cve_2011_0411_clear_text_before_the_handshake),
		cmocka_unit_test(test_records_that_came_already),
		cmocka_unit_test(test_a_handshake_that_hangs_meets_the_deadline),
		cmocka_unit_test(test_context_outlives_its_owner),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* tests/unit/core_conn_tls_test.c - core/conn_tls.c: connections that begin in clear and go on under TLS, against a blocking
 * OpenSSL server on a thread. Every test ends with core_loop_free(). */
#include "conn_fixture.h"
#include "tls_fixture.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define BIG (4u << 20)
#define HOST "mx.example.com"

static struct core_loop *loop;
static struct core_tls_client *client;
static struct cert root, leaf;
static SSL_CTX *server;
static char *big;

static int set_up_all(void **state)
{
	(void)state;
	root = cert_make(&(struct cert_ask){ .cn = "Test Root", .ca = true }, NULL);
	leaf = cert_make(&(struct cert_ask){ .cn = "mx", .alt = "DNS:" HOST }, &root);
	server = tls_server_context(&leaf, NULL);
	char path[64];
	struct sp_fail why;
	cert_write_pem(&root, path);
	client = core_tls_client_new(path, &why);
	unlink(path);
	big = sp_alloc(BIG + 1);
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)('a' + (i * 7 + i / 4096) % 26);
	return client ? 0 : -1;
}

static int tear_down_all(void **state)
{
	(void)state;
	core_tls_client_unref(client);
	SSL_CTX_free(server);
	cert_clear(&root);
	cert_clear(&leaf);
	free(big);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	loop = core_loop_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	core_loop_free(loop);
	return 0;
}

/* The server's side. */

struct script {
	SSL_CTX *ctx;                   /* NULL: `server` */
	const char *answer;             /* to the first line; NULL: nothing */
	void (*talk)(SSL *ssl, struct script *s);       /* NULL: no handshake, waits for the client's end */
	bool hang_up;                   /* instead of a handshake */
	bool accepted;
	bool heard_goodbye;
	unsigned long error;            /* of a handshake that failed */
	unsigned records;               /* SSL_read() calls that gave something: one record each */
	char heard[64];                 /* the beginning of what came under TLS */
	size_t heard_len;
};

static void read_line(int fd)
{
	char c = 0;
	while (c != '\n' && read(fd, &c, 1) == 1)
		;
}

static void read_to_end(int fd)
{
	char sink[4096];
	while (read(fd, sink, sizeof(sink)) > 0)
		;
}

static void serve(int fd, void *arg)
{
	struct script *s = arg;
	read_line(fd);
	if (s->answer)
		sp_assert(write(fd, s->answer, strlen(s->answer)) > 0);
	if (s->hang_up)
		return;
	if (s->talk == NULL) {
		read_to_end(fd);
		return;
	}
	SSL *ssl = SSL_new(s->ctx ? s->ctx : server);
	SSL_set_fd(ssl, fd);
	ERR_clear_error();
	s->accepted = SSL_accept(ssl) == 1;
	s->error = ERR_peek_error();
	if (s->accepted)
		s->talk(ssl, s);
	SSL_free(ssl);
	if (!s->accepted)
		read_to_end(fd);
}

/* Reads up to `until` octets or the end; true at the end by close_notify. */
static bool hear(SSL *ssl, struct script *s, size_t until, bool echo)
{
	char text[16384];
	for (size_t total = 0; total < until;) {
		int n = SSL_read(ssl, text, sizeof(text));
		if (n <= 0) {
			s->heard_goodbye = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
			return s->heard_goodbye;
		}
		s->records++;
		size_t keep = sp_min((size_t)n, sizeof(s->heard) - 1 - s->heard_len);
		memcpy(s->heard + s->heard_len, text, keep);
		s->heard_len += keep;
		total += (size_t)n;
		if (echo && SSL_write(ssl, text, n) != n)
			return false;
	}
	return false;
}

static void talk_echo(SSL *ssl, struct script *s)
{
	hear(ssl, s, SIZE_MAX, true);
	SSL_shutdown(ssl);
}

static void talk_listen(SSL *ssl, struct script *s)
{
	hear(ssl, s, SIZE_MAX, false);
	SSL_shutdown(ssl);
}

static void talk_much(SSL *ssl, struct script *s)
{
	sp_assert(SSL_write(ssl, big, BIG) == (int)BIG);
	hear(ssl, s, SIZE_MAX, false);
}

static void talk_goodbye(SSL *ssl, struct script *s)
{
	(void)s;
	SSL_write(ssl, "bye", 3);
	SSL_shutdown(ssl);
	read_to_end(SSL_get_fd(ssl));
}

static void talk_cut(SSL *ssl, struct script *s)
{
	hear(ssl, s, 1, false);
	SSL_write(ssl, "half", 4);              /* and the connection ends without close_notify */
}

/* The client's side. */

static struct core_tls_ask ask_of(struct core_tls_session *resume)
{
	return (struct core_tls_ask){ .client = client, .sni = HOST, .min_version = CORE_TLS_1_2, .resume = resume };
}

static void start_tls(struct end *e)
{
	struct core_tls_ask ask = ask_of(NULL);
	struct sp_fail why;
	assert_int_equal(core_conn_start_tls(e->conn, &ask, &why), 0);
}

/* Connected, the 220 heard, the handshake begun. */
static struct end *upgrade_with(struct peer *p, const struct core_tls_ask *ask)
{
	struct end *e = end_new(loop);
	struct sp_fail why;
	end_connect(e, &p->at, 10000);
	end_send(e, "STARTTLS\r\n");
	end_until(e, 'd');
	sp_buf_reset(&e->got);
	memset(e->story, 0, sizeof(e->story));
	assert_int_equal(core_conn_start_tls(e->conn, ask, &why), 0);
	assert_string_equal(e->story, "");
	return e;
}

static struct end *upgrade(struct peer *p)
{
	struct core_tls_ask ask = ask_of(NULL);
	return upgrade_with(p, &ask);
}

/* The loop runs until all is closed: what was sent has been sent, and the server sees the end. */
static void leave(struct end *e, struct peer *p)
{
	end_free(e);
	core_loop_run(loop);
	peer_join(p);
}

static void until_got(struct end *e, size_t len)
{
	for (int i = 0; i < 100000 && e->got.len < len; i++) {
		core_loop_turn(loop);
		usleep(50);
	}
	assert_int_equal(e->got.len, len);
}

static void test_handshake_echo_finish(void **state)
{
	(void)state;
	struct script s = { .answer = "220 go\r\n", .talk = talk_echo };
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = upgrade(&p);
	assert_null(core_conn_tls_peer(e->conn));
	end_send(e, "EHLO ");                   /* kept until the handshake is done */
	end_until(e, 't');
	assert_false(sp_failed(&e->why));

	const struct core_tls_peer *peer = core_conn_tls_peer(e->conn);
	assert_string_equal(peer->version, "TLSv1.3");
	assert_false(peer->resumed);
	struct sp_fail why;
	assert_true(core_tls_verify(client, peer, HOST, CERT_NOW, &why));
	end_send(e, "relay");
	until_got(e, 10);
	assert_string_equal(sp_buf_cstr(&e->got), "EHLO relay");

	end_finish(e, 5000);
	leave(e, &p);
	assert_true(s.heard_goodbye);
}

static void test_clear_text_before_the_handshake_goes_first(void **state)
{
	(void)state;
	struct script s = { .talk = talk_echo };        /* answers nothing: both at once */
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = end_new(loop);
	e->at_open = start_tls;
	end_connect(e, &p.at, 10000);
	end_send(e, "STARTTLS\r\n");
	end_until(e, 't');
	assert_false(sp_failed(&e->why));
	leave(e, &p);
}

/* CVE-2021-22947: what came behind the 220 is not heard under TLS. */
static void test_injected_reply_is_not_heard_under_tls(void **state)
{
	(void)state;
	struct script s = { .answer = "220 go\r\n250 injected\r\n", .talk = talk_echo };
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = upgrade(&p);
	end_until(e, 't');
	assert_false(sp_failed(&e->why));
	end_send(e, "EHLO");
	until_got(e, 4);
	assert_string_equal(sp_buf_cstr(&e->got), "EHLO");
	leave(e, &p);
}

static void test_small_sends_become_few_records(void **state)
{
	(void)state;
	struct script s = { .answer = "220 go\r\n", .talk = talk_listen };
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = upgrade(&p);
	end_until(e, 't');
	for (int i = 0; i < 100; i++) {
		end_send(e, "small owned piece");
		core_conn_send_lent(e->conn, SP_STR(" and a lent one "), end_release, e);
	}
	end_until(e, 'w');
	assert_int_equal(e->releases, 100);
	end_finish(e, 5000);
	leave(e, &p);
	assert_int_equal(s.records, 1);
	assert_memory_equal(s.heard, "small owned piece and a lent one small", 38);
}

static void test_much_both_ways(void **state)
{
	(void)state;
	struct script s = { .answer = "220 go\r\n", .talk = talk_echo };
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = upgrade(&p);
	end_until(e, 't');
	core_conn_send_lent(e->conn, sp_str_make(big, BIG), end_release, e);
	end_send(e, "end");
	until_got(e, BIG + 3);
	assert_memory_equal(e->got.p, big, BIG);
	assert_string_equal(e->got.p + BIG, "end");
	assert_int_equal(e->releases, 1);
	leave(e, &p);
}

static void test_pause_holds_and_resume_gives_all(void **state)
{
	(void)state;
	struct script s = { .answer = "220 go\r\n", .talk = talk_much };
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = upgrade(&p);
	while (e->got.len < BIG) {
		size_t before = e->got.len;
		e->pause_at = 'd';
		core_conn_resume(e->conn);
		for (int i = 0; i < 1000 && e->got.len == before; i++) {
			core_loop_turn(loop);
			usleep(50);
		}
		size_t len = e->got.len;
		assert_true(len > before);
		core_loop_turn(loop);
		core_loop_turn(loop);
		assert_int_equal(e->got.len, len);              /* nothing while paused */
		if (e->got.len > BIG / 2)
			e->pause_at = 0;
	}
	until_got(e, BIG);
	assert_memory_equal(e->got.p, big, BIG);
	leave(e, &p);
}

/* The end. */

static void test_ends(void **state)
{
	(void)state;
	static const struct {
		const char *label, *got, *reason;
		void (*talk)(SSL *ssl, struct script *s);
		enum sp_fail_kind kind;
	} cases[] = {
		{ "close_notify", "bye", "", talk_goodbye, SP_FAIL_NONE },
		{ "cut without close_notify", "half", "truncated", talk_cut, SP_FAIL_TLS },
	};
	for (size_t i = 0; i < SP_COUNT(cases); i++) {
		struct script s = { .answer = "220 go\r\n", .talk = cases[i].talk };
		struct peer p;
		peer_start(&p, 1, serve, &s);
		struct end *e = upgrade(&p);
		end_send(e, "x");
		end_until(e, 'e');
		if (e->why.kind != cases[i].kind || strcmp(e->why.reason, cases[i].reason) != 0 ||
		    strcmp(sp_buf_cstr(&e->got), cases[i].got) != 0)
			fail_msg("%s: %d %s %s", cases[i].label, e->why.kind, e->why.text, sp_buf_cstr(&e->got));
		leave(e, &p);
	}
}

static void test_deadline_under_tls(void **state)
{
	(void)state;
	struct script s = { .answer = "220 go\r\n", .talk = talk_listen };
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = upgrade(&p);
	end_until(e, 't');
	core_conn_deadline(e->conn, 30);
	end_until(e, 'e');
	assert_int_equal(e->why.kind, SP_FAIL_PROTOCOL);
	assert_string_equal(e->why.reason, "timeout");
	leave(e, &p);
}

/* Handshakes that come to nothing are told by on_tls, once, and by nothing else. */
static void test_failed_handshakes(void **state)
{
	(void)state;
	static const struct {
		const char *label, *reason;
		bool hang_up;
		uint64_t deadline_ms;
	} cases[] = {
		{ "hangs", "timeout", false, 50 },
		{ "ends", NULL, true, 5000 },
	};
	for (size_t i = 0; i < SP_COUNT(cases); i++) {
		struct script s = { .answer = "220 go\r\n", .hang_up = cases[i].hang_up };
		struct peer p;
		peer_start(&p, 1, serve, &s);
		struct end *e = upgrade(&p);
		core_conn_deadline(e->conn, cases[i].deadline_ms);
		end_until(e, 't');
		if (e->why.kind != SP_FAIL_TLS || e->why.result != SP_RESULT_VALIDATION_FAILURE ||
		    (cases[i].reason && strcmp(e->why.reason, cases[i].reason) != 0))
			fail_msg("%s: %d %s", cases[i].label, e->why.kind, e->why.text);
		for (int turn = 0; turn < 20; turn++)
			core_loop_turn(loop);
		assert_string_equal(e->story, "t");
		assert_null(core_conn_tls_peer(e->conn));
		leave(e, &p);
	}
}

static void serve_clear(int fd, void *arg)
{
	(void)arg;
	char hello[1024];
	read_line(fd);
	sp_assert(write(fd, "220 go\r\n", 8) == 8);
	sp_assert(read(fd, hello, sizeof(hello)) > 0);          /* the ClientHello */
	sp_assert(write(fd, "250 injected\r\n", 14) == 14);
	read_to_end(fd);
}

static void test_clear_text_instead_of_a_handshake(void **state)
{
	(void)state;
	struct peer p;
	peer_start(&p, 1, serve_clear, NULL);
	struct end *e = upgrade(&p);
	end_until(e, 't');
	assert_int_equal(e->why.result, SP_RESULT_VALIDATION_FAILURE);
	assert_string_equal(e->why.reason, "wrong-version-number");
	assert_int_equal(e->got.len, 0);
	leave(e, &p);
}

static void test_alert_of_a_failed_handshake_is_sent(void **state)
{
	(void)state;
	static char alt[110 * 1024];            /* a chain over the limit */
	size_t len = 0;
	for (int i = 0; len + 80 < sizeof(alt); i++)
		len += (size_t)snprintf(alt + len, sizeof(alt) - len, "%sDNS:a-rather-long-name-%d.example.com", i ? "," : "", i);
	struct cert fat = cert_make(&(struct cert_ask){ .cn = "fat", .alt = alt }, &root);
	const struct cert *rest[] = { &fat, NULL };
	struct script s = { .answer = "220 go\r\n", .talk = talk_echo, .ctx = tls_server_context(&fat, rest) };
	SSL_CTX_set_max_proto_version(s.ctx, TLS1_2_VERSION);
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = upgrade(&p);
	e->finish_at = 't';                     /* closing would reset the connection: the chain is not yet read */
	end_until(e, 't');
	assert_true(sp_failed(&e->why));
	leave(e, &p);
	assert_false(s.accepted);
	assert_in_range(ERR_GET_REASON(s.error), SSL_AD_REASON_OFFSET, SSL_AD_REASON_OFFSET + 255);
	SSL_CTX_free(s.ctx);
	cert_clear(&fat);
}

static void test_start_tls_after_the_end_starts_nothing(void **state)
{
	(void)state;
	struct script s = { .answer = "421 no\r\n", .hang_up = true };
	struct peer p;
	peer_start(&p, 1, serve, &s);
	struct end *e = end_new(loop);
	end_connect(e, &p.at, 10000);
	end_send(e, "STARTTLS\r\n");
	end_until(e, 'e');
	struct core_tls_ask ask = ask_of(NULL);
	struct sp_fail why;
	assert_int_not_equal(core_conn_start_tls(e->conn, &ask, &why), 0);
	assert_int_equal(why.kind, SP_FAIL_CONNECT);
	leave(e, &p);
}

/* Leaving. */

static void test_leaving_inside_callbacks_under_tls(void **state)
{
	(void)state;
	static const struct { char close_at, finish_at; } cases[] = {
		{ 't', 0 }, { 'd', 0 }, { 'w', 0 }, { 'e', 0 }, { 0, 't' }, { 0, 'd' }, { 0, 'w' }, { 0, 'e' },
	};
	for (size_t i = 0; i < SP_COUNT(cases); i++) {
		char at = cases[i].close_at ? cases[i].close_at : cases[i].finish_at;
		struct script s = { .answer = "220 go\r\n", .talk = at == 'e' ? talk_goodbye : talk_echo };
		struct peer p;
		peer_start(&p, 1, serve, &s);
		struct end *e = upgrade(&p);
		e->close_at = cases[i].close_at;
		e->finish_at = cases[i].finish_at;
		end_send(e, "x");
		end_until(e, at);
		leave(e, &p);
	}
}

static void test_leaving_during_the_handshake(void **state)
{
	(void)state;
	for (int finish = 0; finish < 2; finish++) {
		struct script s = { .answer = "220 go\r\n" };           /* never answers the ClientHello */
		struct peer p;
		peer_start(&p, 1, serve, &s);
		struct end *e = upgrade(&p);
		core_conn_send_lent(e->conn, SP_STR("never sent"), end_release, e);
		core_loop_turn(loop);
		if (finish)
			end_finish(e, 50);
		else
			end_close(e);
		for (int i = 0; i < 100; i++) {
			core_loop_turn(loop);
			usleep(1000);
		}
		assert_string_equal(e->story, "");
		assert_int_equal(e->releases, 1);
		leave(e, &p);
	}
}

/* Resumption. */

static void test_session_resumes_on_another_connection(void **state)
{
	(void)state;
	struct script s = { .answer = "220 go\r\n", .talk = talk_echo };
	struct peer p;
	peer_start(&p, 2, serve, &s);
	struct core_tls_session *ticket = NULL;
	for (int i = 0; i < 2; i++) {
		struct core_tls_ask ask = ask_of(ticket);
		struct end *e = upgrade_with(&p, &ask);
		end_until(e, 't');
		end_send(e, "x");
		until_got(e, 1);                        /* the tickets stand before it */
		const struct core_tls_peer *peer = core_conn_tls_peer(e->conn);
		struct sp_fail why;
		assert_int_equal(peer->resumed, i == 1);
		assert_true(core_tls_verify(client, peer, HOST, CERT_NOW, &why));
		assert_false(core_tls_verify(client, peer, HOST, CERT_NOW + 9 * CERT_DAY, &why));
		assert_int_equal(why.result, SP_RESULT_CERTIFICATE_EXPIRED);
		core_tls_session_unref(ticket);
		ticket = core_conn_tls_session(e->conn);
		assert_non_null(ticket);
		end_free(e);
		core_loop_turn(loop);
	}
	core_tls_session_unref(ticket);
	peer_join(&p);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_handshake_echo_finish),
		LOOP_TEST(test_clear_text_before_the_handshake_goes_first),
		LOOP_TEST(test_injected_reply_is_not_heard_under_tls),
		LOOP_TEST(test_small_sends_become_few_records),
		LOOP_TEST(test_much_both_ways),
		LOOP_TEST(test_pause_holds_and_resume_gives_all),
		LOOP_TEST(test_ends),
		LOOP_TEST(test_deadline_under_tls),
		LOOP_TEST(test_failed_handshakes),
		LOOP_TEST(test_clear_text_instead_of_a_handshake),
		LOOP_TEST(test_alert_of_a_failed_handshake_is_sent),
		LOOP_TEST(test_start_tls_after_the_end_starts_nothing),
		LOOP_TEST(test_leaving_inside_callbacks_under_tls),
		LOOP_TEST(test_leaving_during_the_handshake),
		LOOP_TEST(test_session_resumes_on_another_connection),
	};
	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}

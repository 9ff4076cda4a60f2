/* tests/unit/core_conn_test.c - core/conn.c, conn_out.c, chain.c and listener.c: connections in clear. Every test ends with
 * core_loop_free(), which finds what was left open; the sanitizers find what was left allocated. */
#include "conn_fixture.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BIG (8u << 20)

static struct core_loop *loop;

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

static char *big_text(void)
{
	char *p = sp_alloc(BIG + 1);
	for (size_t i = 0; i < BIG; i++)
		p[i] = (char)('a' + (i * 7 + i / 4096) % 26);
	return p;
}

static void test_echo(void **state)
{
	(void)state;
	struct host h = { .like.echo = true };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	end_send(e, "sent while connecting");           /* is kept until it can go */
	end_until(e, 'd');
	assert_string_equal(sp_buf_cstr(&e->got), "sent while connecting");
	assert_string_equal(e->story, "owd");
	assert_int_equal(sp_addr_port(core_conn_remote(e->conn)), sp_addr_port(core_listener_addr(h.listener)));
	assert_true(sp_addr_eq(core_conn_local(e->conn), core_conn_remote(h.ends[0]->conn)));
	assert_true(sp_addr_eq(core_conn_remote(e->conn), core_conn_local(h.ends[0]->conn)));
	assert_null(core_conn_tls_peer(e->conn));
	assert_null(core_conn_tls_session(e->conn));

	end_close(e);
	end_until(h.ends[0], 'e');
	assert_false(sp_failed(&h.ends[0]->why));
	end_free(e);
	host_close(&h);
}

/* An address where nobody listens. */
static struct sp_addr dead_end(void)
{
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct sp_addr at = *core_listener_addr(h.listener);
	host_close(&h);
	return at;
}

static void test_refused(void **state)
{
	(void)state;
	struct sp_addr at = dead_end();
	struct end *e = end_new(loop);
	end_connect(e, &at, 5000);
	assert_string_equal(e->story, "");              /* never from inside the starter */
	end_until(e, 'e');
	assert_int_equal(e->why.kind, SP_FAIL_CONNECT);
	assert_string_equal(e->why.reason, "refused");
	end_free(e);
}

static void test_starter_that_fails_starts_nothing(void **state)
{
	(void)state;
	struct sp_addr to = dead_end(), from;
	struct core_conn *c = NULL;
	struct sp_fail why;
	assert_true(sp_addr_parse(SP_STR("192.0.2.1:0"), &from));       /* not ours */
	assert_int_not_equal(core_conn_connect(loop, &to, &from, 5000, &end_ops, NULL, &c, &why), 0);
	assert_null(c);
	assert_int_equal(why.kind, SP_FAIL_CONNECT);
	assert_string_equal(why.reason, "unreachable");
}

static void test_from_address(void **state)
{
	(void)state;
	struct host h = { 0 };
	struct sp_addr from;
	struct sp_fail why;
	char text[SP_ADDR_TEXT];
	host_open(&h, loop, "127.0.0.1:0");
	assert_true(sp_addr_parse(SP_STR("127.0.0.9:0"), &from));
	struct end *e = end_new(loop);
	assert_int_equal(core_conn_connect(loop, core_listener_addr(h.listener), &from, 5000, &end_ops, e, &e->conn, &why),
	                 0);
	host_until(&h, 1);
	assert_string_equal(sp_addr_ip_str(core_conn_remote(h.ends[0]->conn), text), "127.0.0.9");
	end_free(e);
	host_close(&h);
}

static void test_close_while_connecting_is_silent(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	core_conn_send_lent(e->conn, SP_STR("lent"), end_release, e);
	end_close(e);
	for (int i = 0; i < 10; i++)
		core_loop_turn(loop);
	assert_string_equal(e->story, "");
	assert_int_equal(e->releases, 1);
	core_conn_close(NULL);
	end_free(e);
	host_close(&h);
}

/* Closing or finishing inside any callback, then silence. */
static void test_leaving_inside_a_callback(void **state)
{
	(void)state;
	static const struct { char close_at, finish_at; const char *story; } cases[] = {
		{ 'o', 0, "o" }, { 'w', 0, "ow" }, { 'd', 0, "owd" }, { 'e', 0, "owde" },
		{ 0, 'o', "o" }, { 0, 'w', "ow" }, { 0, 'd', "owd" }, { 0, 'e', "owde" },
	};
	for (size_t i = 0; i < SP_COUNT(cases); i++) {
		struct host h = { .like.echo = true, .like.finish_at = 'd' };
		host_open(&h, loop, "127.0.0.1:0");
		struct end *e = end_new(loop);
		e->close_at = cases[i].close_at;
		e->finish_at = cases[i].finish_at;
		end_connect(e, core_listener_addr(h.listener), 5000);
		end_send(e, "x");
		end_until(e, cases[i].close_at ? cases[i].close_at : cases[i].finish_at);
		host_until(&h, 1);
		for (int turn = 0; turn < 50; turn++)
			core_loop_turn(loop);
		if (strcmp(e->story, cases[i].story) != 0)
			fail_msg("case %zu: want %s, got %s", i, cases[i].story, e->story);
		end_free(e);
		host_close(&h);
	}
}

/* Deadlines. */

/* A listener whose queue is full: SYNs get no answer. */
static int full_listener(struct sp_addr *at, int fillers[8])
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(*at);
	assert_true(sp_addr_parse(SP_STR("127.0.0.1:0"), at));
	assert_int_equal(bind(fd, &at->sa, sizeof(at->in)), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, &at->sa, &len), 0);
	for (int i = 0; i < 8; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fillers[i], &at->sa, sizeof(at->in));
	}
	return fd;
}

static void test_deadline_while_connecting(void **state)
{
	(void)state;
	struct sp_addr at;
	int fillers[8], fd = full_listener(&at, fillers);
	struct end *e = end_new(loop);
	end_connect(e, &at, 50);
	end_until(e, 'e');
	assert_string_equal(e->story, "e");
	assert_int_equal(e->why.kind, SP_FAIL_CONNECT);
	assert_string_equal(e->why.reason, "timeout");
	end_free(e);
	for (int i = 0; i < 8; i++)
		close(fillers[i]);
	close(fd);
}

static void test_deadline_of_a_silent_peer(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 50);
	end_until(e, 'e');
	assert_string_equal(e->story, "oe");
	assert_int_equal(e->why.kind, SP_FAIL_PROTOCOL);
	assert_string_equal(e->why.reason, "timeout");
	end_free(e);
	host_close(&h);
}

static void turn_for(unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		core_loop_turn(loop);
		usleep(1000);
	}
}

static void test_deadline_moves(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 30);
	end_until(e, 'o');
	core_conn_deadline(e->conn, 60000);             /* later */
	turn_for(60);
	assert_string_equal(e->story, "o");
	core_conn_deadline(e->conn, 30);                /* earlier */
	core_conn_deadline(e->conn, 0);                 /* away */
	turn_for(60);
	assert_string_equal(e->story, "o");
	core_conn_pause(e->conn);                       /* runs while paused too */
	core_conn_deadline(e->conn, 30);
	end_until(e, 'e');
	assert_string_equal(e->why.reason, "timeout");
	core_conn_deadline(e->conn, 1);                 /* after the end: nothing */
	turn_for(5);
	assert_string_equal(e->story, "oe");
	end_free(e);
	host_close(&h);
}

/* Sending. */

static void test_small_sends_of_one_turn_leave_together(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	end_until(e, 'o');
	host_until(&h, 1);
	for (int i = 0; i < 500; i++)
		end_send(e, "RCPT TO:<somebody@example.com>\r\n");
	assert_int_equal(core_conn_unsent(e->conn), 500 * 32);
	end_until(h.ends[0], 'd');
	assert_int_equal(core_conn_unsent(e->conn), 0);
	assert_int_equal(h.ends[0]->got.len, 500 * 32);
	assert_int_equal(h.ends[0]->data_calls, 1);
	assert_string_equal(e->story, "ow");
	end_free(e);
	host_close(&h);
}

static void test_lent_and_owned_in_order(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	for (int i = 0; i < 100; i++) {                 /* more pieces than one writev() takes */
		end_send(e, "<");
		core_conn_send_lent(e->conn, SP_STR("lent"), end_release, e);
		core_conn_send_lent(e->conn, sp_str_make(NULL, 0), end_release, e);
	}
	assert_int_equal(e->releases, 0);               /* never from inside the call */
	end_until(e, 'w');
	end_until(h.ends[0], 'd');
	turn_for(5);
	assert_int_equal(e->releases, 200);
	assert_int_equal(h.ends[0]->got.len, 500);
	for (size_t i = 0; i < 500; i += 5)
		assert_memory_equal(h.ends[0]->got.p + i, "<lent", 5);
	end_free(e);
	host_close(&h);
}

static void test_large_transfer(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	char *text = big_text();
	end_connect(e, core_listener_addr(h.listener), 0);
	core_conn_send_lent(e->conn, sp_str_make(text, BIG), end_release, e);
	end_send(e, "end");
	host_until(&h, 1);
	while (h.ends[0]->got.len < BIG + 3)
		core_loop_turn(loop);
	assert_memory_equal(h.ends[0]->got.p, text, BIG);
	end_until(e, 'w');
	assert_string_equal(e->story, "ow");            /* drained once, when all had gone */
	assert_int_equal(e->releases, 1);
	end_free(e);
	host_close(&h);
	free(text);
}

static void test_close_with_much_queued_releases_once(void **state)
{
	(void)state;
	struct host h = { .hold = true };               /* reads nothing */
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	char *text = big_text();
	end_connect(e, core_listener_addr(h.listener), 5000);
	core_conn_send_lent(e->conn, sp_str_make(text, BIG), end_release, e);
	core_conn_send_lent(e->conn, sp_str_make(text, BIG), end_release, e);
	end_until(e, 'o');
	turn_for(5);
	assert_int_equal(e->releases, 0);
	assert_true(core_conn_unsent(e->conn) > 0);
	core_conn_send_lent(e->conn, sp_str_make(text, BIG), end_release, e);
	core_conn_close(e->conn);
	core_conn_send_lent(e->conn, sp_str_make(text, BIG), end_release, e);   /* too late: released all the same */
	turn_for(5);
	assert_int_equal(e->releases, 4);
	assert_string_equal(e->story, "o");
	e->conn = NULL;
	end_free(e);
	host_close(&h);
	free(text);
}

static void test_peer_closes_while_we_write(void **state)
{
	(void)state;
	struct host h = { .hold = true };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	char *text = big_text();
	end_connect(e, core_listener_addr(h.listener), 5000);
	core_conn_send_lent(e->conn, sp_str_make(text, BIG), end_release, e);
	host_until(&h, 1);
	turn_for(5);
	end_close(h.ends[0]);
	end_until(e, 'e');
	assert_int_equal(e->why.kind, SP_FAIL_CONNECT);
	assert_string_equal(e->why.reason, "lost");
	assert_int_equal(e->releases, 1);
	end_free(e);
	host_close(&h);
	free(text);
}

/* "554 go away" and a reset, while we were sending: the reply must still be heard. */
static void test_last_words_of_a_peer_that_resets(void **state)
{
	(void)state;
	struct host h = { .hold = true };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	host_until(&h, 1);
	end_until(e, 'o');
	core_conn_pause(e->conn);
	end_send(e, "MAIL FROM:<>\r\n");
	turn_for(5);
	end_send(h.ends[0], "554 go away\r\n");
	turn_for(5);
	end_close(h.ends[0]);               /* with unread octets: a reset */
	turn_for(5);
	core_conn_resume(e->conn);
	end_send(e, "RCPT TO:<a@example.com>\r\n");     /* fails */
	end_until(e, 'e');
	assert_string_equal(sp_buf_cstr(&e->got), "554 go away\r\n");
	assert_int_equal(e->why.kind, SP_FAIL_CONNECT);
	end_free(e);
	host_close(&h);
}

static void test_write_error_while_paused_is_told(void **state)
{
	(void)state;
	struct host h = { .hold = true };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	host_until(&h, 1);
	end_until(e, 'o');
	end_send(e, "x");
	turn_for(5);
	core_conn_pause(e->conn);
	end_close(h.ends[0]);
	turn_for(5);
	end_send(e, "y");
	end_until(e, 'e');
	assert_string_equal(e->why.reason, "lost");
	end_free(e);
	host_close(&h);
}

/* Receiving. */

static void test_pause_and_resume(void **state)
{
	(void)state;
	struct host h = { .like.pause_at = 'd' };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	end_until(e, 'o');
	host_until(&h, 1);
	end_send(e, "one");
	end_until(h.ends[0], 'd');
	end_send(e, "two");
	turn_for(5);
	assert_string_equal(sp_buf_cstr(&h.ends[0]->got), "one");
	core_conn_resume(h.ends[0]->conn);
	core_conn_resume(h.ends[0]->conn);
	turn_for(5);
	assert_string_equal(sp_buf_cstr(&h.ends[0]->got), "onetwo");
	end_free(e);
	host_close(&h);
}

static void test_accepted_reads_nothing_until_adopted(void **state)
{
	(void)state;
	struct host h = { .hold = true };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	end_send(e, "hello");
	host_until(&h, 1);
	turn_for(5);
	assert_int_equal(h.ends[0]->got.len, 0);
	core_conn_adopt(h.ends[0]->conn, &end_ops, h.ends[0]);
	end_until(h.ends[0], 'd');

	struct end *next = end_new(loop);               /* and again, by another owner */
	next->conn = h.ends[0]->conn;
	h.ends[0]->conn = NULL;
	core_conn_adopt(next->conn, &end_ops, next);
	end_send(e, "again");
	end_until(next, 'd');
	assert_string_equal(sp_buf_cstr(&h.ends[0]->got), "hello");
	assert_string_equal(sp_buf_cstr(&next->got), "again");
	end_free(next);
	end_free(e);
	host_close(&h);
}

/* "421 too many connections", without anybody to own it. */
static void test_refusal_without_adoption(void **state)
{
	(void)state;
	struct host h = { .hold = true };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	host_until(&h, 1);
	core_conn_deadline(h.ends[0]->conn, 1);         /* nobody to tell */
	turn_for(5);
	end_send(h.ends[0], "421 later\r\n");
	end_finish(h.ends[0], 5000);
	end_until(e, 'e');
	assert_false(sp_failed(&e->why));
	assert_string_equal(sp_buf_cstr(&e->got), "421 later\r\n");
	end_free(e);
	host_close(&h);
}

/* Finishing. */

static void test_finish_sends_all_then_ends(void **state)
{
	(void)state;
	struct host h = { .like.follow = true };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	char *text = big_text();
	end_connect(e, core_listener_addr(h.listener), 5000);
	end_until(e, 'o');
	core_conn_send_lent(e->conn, sp_str_make(text, BIG), end_release, e);
	core_conn_finish(e->conn, 10000);
	end_finish(e, 10000);
	host_until(&h, 1);
	end_until(h.ends[0], 'e');
	assert_int_equal(h.ends[0]->got.len, BIG);
	assert_false(sp_failed(&h.ends[0]->why));
	assert_string_equal(e->story, "o");
	assert_int_equal(e->releases, 1);
	end_free(e);
	host_close(&h);
	free(text);
}

/* Our last reply must survive what the client sent and we did not read. */
static void test_finish_with_unread_octets_does_not_reset(void **state)
{
	(void)state;
	struct host h = { .like.pause_at = 'd' };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	end_send(e, "QUIT\r\n");
	host_until(&h, 1);
	end_until(h.ends[0], 'd');
	end_send(e, "and more that nobody reads");
	turn_for(5);
	end_send(h.ends[0], "221 bye\r\n");
	end_finish(h.ends[0], 10000);
	end_until(e, 'e');
	assert_false(sp_failed(&e->why));
	assert_string_equal(sp_buf_cstr(&e->got), "221 bye\r\n");
	end_free(e);
	host_close(&h);
}

static void test_finish_is_bounded_by_linger(void **state)
{
	(void)state;
	static const uint64_t lingers[] = { 0, 30 };
	for (size_t i = 0; i < SP_COUNT(lingers); i++) {
		struct host h = { .hold = true };       /* never reads, never ends */
		host_open(&h, loop, "127.0.0.1:0");
		struct end *e = end_new(loop);
		char *text = big_text();
		end_connect(e, core_listener_addr(h.listener), 5000);
		end_until(e, 'o');
		core_conn_send_lent(e->conn, sp_str_make(text, BIG), end_release, e);
		end_finish(e, lingers[i]);
		turn_for(60);
		assert_int_equal(e->releases, 1);
		end_free(e);
		host_close(&h);
		free(text);
	}
}

static void test_finish_while_connecting_closes(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 5000);
	end_finish(e, 60000);
	core_conn_finish(NULL, 1);
	turn_for(5);
	assert_string_equal(e->story, "");
	end_free(e);
	host_close(&h);
}

/* Listening. */

static const struct core_listener_ops no_ops;

static void test_address_in_use(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct core_listener *second = NULL;
	struct sp_fail why;
	assert_int_not_equal(core_listener_open(loop, core_listener_addr(h.listener), false, 0, &no_ops, NULL, &second, &why),
	                     0);
	assert_null(second);
	assert_non_null(strstr(why.text, "address already in use"));
	host_close(&h);
	core_listener_close(NULL);
}

static void test_reuse_port_shares_an_address(void **state)
{
	(void)state;
	struct sp_addr at;
	struct core_listener *a, *b;
	struct sp_fail why;
	assert_true(sp_addr_parse(SP_STR("127.0.0.1:0"), &at));
	assert_int_equal(core_listener_open(loop, &at, true, 0, &no_ops, NULL, &a, &why), 0);
	assert_int_equal(core_listener_open(loop, core_listener_addr(a), true, 0, &no_ops, NULL, &b, &why), 0);
	core_listener_close(a);
	core_listener_close(b);
	core_listener_close(b);
}

static void test_ipv6_listener_is_ipv6_only(void **state)
{
	(void)state;
	struct sp_addr at;
	struct host six = { 0 }, four = { 0 };
	char text[32];
	if (access("/proc/net/if_inet6", R_OK) != 0)
		skip();
	host_open(&six, loop, "[::]:0");
	snprintf(text, sizeof(text), "0.0.0.0:%u", sp_addr_port(core_listener_addr(six.listener)));
	host_open(&four, loop, text);                   /* beside it */
	assert_true(sp_addr_parse(SP_STR("[::1]:0"), &at));
	sp_addr_set_port(&at, sp_addr_port(core_listener_addr(six.listener)));
	struct end *e = end_new(loop);
	end_connect(e, &at, 5000);
	end_until(e, 'o');
	host_until(&six, 1);
	end_free(e);
	host_close(&six);
	host_close(&four);
}

static void test_out_of_descriptors_pauses_and_goes_on(void **state)
{
	(void)state;
	struct host h = { 0 };
	host_open(&h, loop, "127.0.0.1:0");
	struct end *e = end_new(loop);
	end_connect(e, core_listener_addr(h.listener), 0);
	int last = dup(0);
	close(last);
	struct rlimit before, few;
	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = (rlim_t)last;
	setrlimit(RLIMIT_NOFILE, &few);

	struct sp_fail why;
	struct core_conn *c;
	assert_int_not_equal(core_conn_connect(loop, core_listener_addr(h.listener), NULL, 0, &end_ops, NULL, &c, &why), 0);
	assert_string_equal(why.reason, "no-descriptors");
	turn_for(100);
	assert_int_equal(h.errors, 1);                  /* does not spin */
	assert_string_equal(h.why.reason, "no-descriptors");
	setrlimit(RLIMIT_NOFILE, &before);
	host_until(&h, 1);                              /* the one that waited */
	end_free(e);
	host_close(&h);
}

static char folder[] = "/tmp/strictpost-test-XXXXXX";

static struct sp_addr unix_address(const char *name, char path[100])
{
	struct sp_addr at;
	char text[128];
	snprintf(path, 100, "%s/%s", folder, name);
	snprintf(text, sizeof(text), "unix:%s", path);
	assert_true(sp_addr_parse(sp_str_of(text), &at));
	return at;
}

static void test_unix_listener(void **state)
{
	(void)state;
	char path[100], text[128];
	struct stat st;
	struct sp_addr at = unix_address("a", path);
	struct host h = { .like.echo = true };
	mode_t mask = umask(077);
	snprintf(text, sizeof(text), "unix:%s", path);
	host_open(&h, loop, text);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	struct core_listener *second;
	struct sp_fail why;
	assert_int_not_equal(core_listener_open(loop, &at, false, 0666, &no_ops, NULL, &second, &why), 0);     /* alive */

	struct end *e = end_new(loop);
	end_connect(e, &at, 5000);
	end_send(e, "hello");
	end_until(e, 'd');
	assert_int_equal(h.count, 2);                   /* the first came to see whether anybody lives here */
	assert_true(sp_addr_eq(core_conn_remote(h.ends[1]->conn), &at));
	end_free(e);
	host_close(&h);
	assert_int_not_equal(stat(path, &st), 0);       /* taken away */
}

static void test_unix_listener_replaces_only_what_is_stale(void **state)
{
	(void)state;
	char path[100];
	struct stat st;
	struct core_listener *ln;
	struct sp_fail why;
	struct sp_addr at = unix_address("b", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, &at.sa, (socklen_t)sp_addr_size(&at)), 0);
	close(fd);                                      /* its maker died */
	mode_t mask = umask(0);
	assert_int_equal(core_listener_open(loop, &at, false, 0666, &no_ops, NULL, &ln, &why), 0);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);

	unlink(path);                                   /* somebody else's by the time we close: left alone */
	fclose(fopen(path, "w"));
	core_listener_close(ln);
	assert_int_equal(stat(path, &st), 0);
	assert_int_not_equal(core_listener_open(loop, &at, false, 0666, &no_ops, NULL, &ln, &why), 0);         /* a file */
	unlink(path);

	at = unix_address("no/where/c", path);
	assert_int_not_equal(core_listener_open(loop, &at, false, 0666, &no_ops, NULL, &ln, &why), 0);
	at = unix_address("made/c", path);              /* where only the folder is missing, it is made */
	assert_int_equal(core_listener_open(loop, &at, false, 0666, &no_ops, NULL, &ln, &why), 0);
	core_listener_close(ln);
	path[strlen(path) - 2] = '\0';
	assert_int_equal(rmdir(path), 0);
}

static void test_unix_connect_to_nobody(void **state)
{
	(void)state;
	char path[100];
	struct sp_addr at = unix_address("d", path);
	struct end *e = end_new(loop);
	end_connect(e, &at, 5000);
	end_until(e, 'e');
	assert_string_equal(e->story, "e");
	assert_int_equal(e->why.kind, SP_FAIL_CONNECT);
	end_free(e);
}

/* DESIGN: a plain idle session under 8 KiB. (The sanitizers' allocator does not count, there it always holds.) */
static void test_idle_connection_is_small(void **state)
{
	(void)state;
	enum { COUNT = 30 };
	struct host h = { 0 };
	struct end *ends[COUNT];
	host_open(&h, loop, "127.0.0.1:0");
	for (int i = 0; i < COUNT; i++)
		ends[i] = end_new(loop);
	size_t before = mallinfo2().uordblks;
	for (int i = 0; i < COUNT; i++) {
		end_connect(ends[i], core_listener_addr(h.listener), 60000);
		end_until(ends[i], 'o');
	}
	size_t each = (mallinfo2().uordblks - before) / COUNT;
	print_message("an idle connection, both sides with their test owners: %zu octets\n", each);
	assert_true(each < 8 * 1024);
	for (int i = 0; i < COUNT; i++)
		end_free(ends[i]);
	host_close(&h);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_echo),
		LOOP_TEST(test_refused),
		LOOP_TEST(test_starter_that_fails_starts_nothing),
		LOOP_TEST(test_from_address),
		LOOP_TEST(test_close_while_connecting_is_silent),
		LOOP_TEST(test_leaving_inside_a_callback),
		LOOP_TEST(test_deadline_while_connecting),
		LOOP_TEST(test_deadline_of_a_silent_peer),
		LOOP_TEST(test_deadline_moves),
		LOOP_TEST(test_small_sends_of_one_turn_leave_together),
		LOOP_TEST(test_lent_and_owned_in_order),
		LOOP_TEST(test_large_transfer),
		LOOP_TEST(test_close_with_much_queued_releases_once),
		LOOP_TEST(test_peer_closes_while_we_write),
		LOOP_TEST(test_last_words_of_a_peer_that_resets),
		LOOP_TEST(test_write_error_while_paused_is_told),
		LOOP_TEST(test_pause_and_resume),
		LOOP_TEST(test_accepted_reads_nothing_until_adopted),
		LOOP_TEST(test_refusal_without_adoption),
		LOOP_TEST(test_finish_sends_all_then_ends),
		LOOP_TEST(test_finish_with_unread_octets_does_not_reset),
		LOOP_TEST(test_finish_is_bounded_by_linger),
		LOOP_TEST(test_finish_while_connecting_closes),
		LOOP_TEST(test_address_in_use),
		LOOP_TEST(test_reuse_port_shares_an_address),
		LOOP_TEST(test_ipv6_listener_is_ipv6_only),
		LOOP_TEST(test_out_of_descriptors_pauses_and_goes_on),
		LOOP_TEST(test_unix_listener),
		LOOP_TEST(test_unix_listener_replaces_only_what_is_stale),
		LOOP_TEST(test_unix_connect_to_nobody),
		LOOP_TEST(test_idle_connection_is_small),
	};
	if (mkdtemp(folder) == NULL)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}

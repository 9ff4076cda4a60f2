/* tests/unit/core_httpd_test.c - core/httpd.c on a unix socket: answers at once and later, pipelining, limits, and clients that go. */
#include "conn_fixture.h"

#include "core/httpd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct core_loop *loop;
static struct core_httpd *server;
static char folder[32];
static struct sp_addr at;
static struct core_httpd_request *waiting[8];   /* that "/later" keeps */
static size_t waiting_count;
static unsigned handled;                        /* requests */
static const char *label = "";                 /* of the row that is tried */
static struct core_httpd_limits limits;

static void answer_text(struct core_httpd_request *q, int status, const char *text)
{
	struct sp_buf body;
	sp_buf_init(&body, 1000);
	sp_buf_adds(&body, text);
	core_httpd_answer(q, status, "text/plain", &body);
	assert_int_equal(body.len, 0);
}

static void answer_echo(struct core_httpd_request *q)
{
	struct sp_buf body;
	sp_buf_init(&body, 1 << 20);
	sp_buf_printf(&body, "%s %.*s %.*s %.*s", core_httpd_method(q), SP_STR_ARG(core_httpd_path(q)), SP_STR_ARG(core_httpd_query(q)),
	              SP_STR_ARG(core_httpd_body(q)));
	core_httpd_answer(q, 200, "text/plain", &body);
}

static void answer_large(struct core_httpd_request *q)
{
	struct sp_buf body;
	sp_buf_init(&body, 8 << 20);
	memset(sp_buf_room(&body, 4 << 20), 'x', 4 << 20);
	sp_buf_wrote(&body, 4 << 20);
	core_httpd_answer(q, 200, "text/plain", &body);
}

static void answer_failed(struct core_httpd_request *q)
{
	struct sp_buf body;
	sp_buf_init(&body, 2);
	sp_buf_adds(&body, "abc");
	core_httpd_answer(q, 200, "text/plain", &body);
}

static void on_request(void *owner SP_UNUSED, struct core_httpd_request *q)
{
	struct sp_str path = core_httpd_path(q);
	handled++;
	if (sp_str_eq(path, SP_STR("/later"))) {
		waiting[waiting_count++] = q;
	} else if (sp_str_eq(path, SP_STR("/large"))) {
		answer_large(q);
	} else if (sp_str_eq(path, SP_STR("/failed"))) {
		answer_failed(q);
	} else if (sp_str_eq(path, SP_STR("/refuse"))) {
		core_httpd_refuse(q, 404, "no \"%s\" \\ here\n", "x");
	} else if (sp_str_eq(path, SP_STR("/stranger"))) {
		core_httpd_refuse_stranger(q, "Bearer realm=\"x\"", "who?");
	} else if (sp_str_eq(path, SP_STR("/method"))) {
		core_httpd_refuse_method(q, "POST");
	} else if (sp_str_eq(path, SP_STR("/stop"))) {
		core_httpd_close(server);
		server = NULL;
		answer_text(q, 200, "to nobody");
	} else {
		answer_echo(q);
	}
}

/* ---- the fixture ---- */

static int open_server(void **state SP_UNUSED)
{
	char path[64];
	struct sp_fail why;
	snprintf(folder, sizeof(folder), "/tmp/httpd-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "unix:%s/s", folder);
	assert_true(sp_addr_parse(sp_str_of(path), &at));
	loop = core_loop_new();
	limits = core_httpd_usual;
	handled = 0;
	assert_int_equal(core_httpd_open(loop, &at, 0600, &limits, on_request, NULL, &server, &why), 0);
	return 0;
}

static void reopen_server(void)
{
	struct sp_fail why;
	core_httpd_close(server);
	assert_int_equal(core_httpd_open(loop, &at, 0600, &limits, on_request, NULL, &server, &why), 0);
}

static int close_server(void **state SP_UNUSED)
{
	core_httpd_close(server);
	server = NULL;
	while (waiting_count > 0)
		answer_text(waiting[--waiting_count], 200, "late");
	core_loop_run(loop);
	core_loop_free(loop);                   /* nothing leaked or forgotten */
	assert_int_not_equal(access(at.un.sun_path, F_OK), 0);
	return rmdir(folder);
}

static bool patient(const struct timespec *since)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - since->tv_sec < 20;
}

#define UNTIL(condition) do { \
		struct timespec since; \
		clock_gettime(CLOCK_MONOTONIC, &since); \
		while (!(condition)) { \
			if (!patient(&since)) \
				fail_msg("%s: not so: %s", label, #condition); \
			core_loop_turn(loop); \
			usleep(100); \
		} \
	} while (0)

static struct end *client(const char *request)
{
	struct end *e = end_new(loop);
	end_connect(e, &at, 30000);
	end_until(e, 'o');
	end_send(e, request);
	return e;
}

static const char *got(struct end *e)
{
	return sp_buf_cstr(&e->got);
}

static unsigned count_of(struct end *e, const char *text)
{
	unsigned n = 0;
	for (const char *p = got(e); (p = strstr(p, text)) != NULL; p += strlen(text))
		n++;
	return n;
}

static bool ends_with(struct end *e, const char *text)
{
	return sp_str_ends(sp_buf_str(&e->got), sp_str_of(text));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- what is answered ---- */

static const struct { const char *label, *request, *first, *has, *last; bool ends; } rows[] = {
	{ "echo", GET("/a?b=c"), "HTTP/1.1 200 OK\r\nDate: ", "Content-Length: 11\r\n", "\r\n\r\nGET /a b=c ", false },
	{ "head", "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n", "Content-Length: 8\r\n", "\r\n\r\n", false },
	{ "body", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz", "HTTP/1.1 200 OK\r\n", "text/plain", "POST /a  xyz", false },
	{ "close", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n", "Connection: close\r\n", "GET /a  ", true },
	{ "HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "Connection: close\r\n", "GET /a  ", true },
	{ "refusal", GET("/refuse"), "HTTP/1.1 404 Not Found\r\n", "application/json", "\r\n\r\n{\"error\": \"no \\\"x\\\" \\\\ here?\"}\n", false },
	{ "refused head", "HEAD /refuse HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ", "Content-Length: 31\r\n", "\r\n\r\n", false },
	{ "no length is no body", "POST /a HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n", "text/plain", "POST /a  ", false },
	{ "method", GET("/method"), "HTTP/1.1 405 Method Not Allowed\r\n", "Allow: POST\r\n", "}\n", false },
	{ "answer that does not fit", GET("/failed"), "HTTP/1.1 500 ", "application/json", "}\n", false },
	{ "malformed", "GET / HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 Bad Request\r\n", "Connection: close\r\n", "{\"error\": \"a line ends in LF alone\"}\n", true },
	{ "two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\naa" GET("/a"),
	  "HTTP/1.1 400 ", "Connection: close\r\n", "}\n", true },
	{ "body too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\nab", "HTTP/1.1 413 ", "close", "}\n", true },
	{ "malformed head", "HEAD / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", "HTTP/1.1 400 ", "close", "\r\n\r\n", true },
	{ "waits for 100", "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "", "\r\n\r\n", false },
};

static void test_answers(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		label = rows[i].label;
		struct end *e = client(rows[i].request);
		UNTIL(ends_with(e, rows[i].last) && strstr(got(e), rows[i].has));
		if (strncmp(got(e), rows[i].first, strlen(rows[i].first)) != 0)
			fail_msg("%s: got %s", label, got(e));
		if (rows[i].ends)
			end_until(e, 'e');
		else
			assert_false(end_heard(e, 'e'));
		assert_int_equal(count_of(e, "HTTP/1.1 "), 1);
		end_free(e);
	}
}

static void test_head_too_large(void **state SP_UNUSED)
{
	struct end *e = client("GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < 300 && e->conn; i++)
		end_send(e, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
	end_until(e, 'e');
	assert_non_null(strstr(got(e), "HTTP/1.1 431 Request Header Fields Too Large\r\n"));
	end_free(e);
}

static void test_body_that_waited_for_100(void **state SP_UNUSED)
{
	struct end *e = client("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
	UNTIL(count_of(e, "100 Continue") == 1);
	end_send(e, "2\r\nhi\r\n0\r\n\r\n" GET("/b"));
	UNTIL(strstr(got(e), "POST /a  hi") && strstr(got(e), "GET /b  "));
	assert_int_equal(count_of(e, "100 Continue"), 1);
	end_free(e);
}

/* ---- several requests ---- */

static void test_pipelined_requests_wait_their_turn(void **state SP_UNUSED)
{
	struct end *e = client(GET("/1") GET("/later") GET("/2") "GET /3 HT");
	UNTIL(waiting_count == 1);
	for (int i = 0; i < 50; i++)
		core_loop_turn(loop);
	assert_int_equal(count_of(e, "HTTP/1.1 200"), 1);
	answer_text(waiting[--waiting_count], 200, "at last");
	UNTIL(strstr(got(e), "GET /2"));
	assert_true(strstr(got(e), "GET /1") < strstr(got(e), "at last") && strstr(got(e), "at last") < strstr(got(e), "GET /2"));
	end_send(e, "TP/1.1\r\nHost: a\r\n\r\n");
	UNTIL(strstr(got(e), "GET /3"));
	end_free(e);
}

static void test_requests_without_reading_do_not_fill_memory(void **state SP_UNUSED)
{
	struct end *e = client(GET("/large"));
	core_conn_pause(e->conn);
	for (int i = 0; i < 20; i++)
		end_send(e, GET("/large"));
	for (int i = 0; i < 200; i++)
		core_loop_turn(loop);
	assert_int_equal(handled, 1);           /* its answer has not gone yet */
	core_conn_resume(e->conn);
	UNTIL(count_of(e, "HTTP/1.1 200") >= 2);
	end_free(e);
}

static void test_slow_clients_do_not_fill_memory(void **state SP_UNUSED)
{
	struct end *slow[4];
	limits.answers_max = 9u << 20;
	reopen_server();
	for (size_t i = 0; i < SP_COUNT(slow); i++) {           /* 4 MiB each; their first octets go into the sockets */
		slow[i] = client(GET("/large"));
		core_conn_pause(slow[i]->conn);
		UNTIL(handled == i + 1);
	}
	for (size_t i = 0; i < SP_COUNT(slow); i++) {
		core_conn_resume(slow[i]->conn);
		UNTIL(strstr(got(slow[i]), i < 2 ? "HTTP/1.1 200" : "HTTP/1.1 503"));
		UNTIL(slow[i]->got.len > (i < 2 ? (size_t)4 << 20 : 0));
	}
	struct end *e = client(GET("/large"));                  /* those were taken */
	UNTIL(strstr(got(e), "HTTP/1.1 200"));
	end_free(e);
	for (size_t i = 0; i < SP_COUNT(slow); i++)
		end_free(slow[i]);
}

/* Who says at once that nothing more will come still gets the answer. */
static void test_request_and_half_close(void **state SP_UNUSED)
{
	char text[1000];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, &at.sa, (socklen_t)sp_addr_size(&at)), 0);
	assert_int_equal(write(fd, GET("/later"), strlen(GET("/later"))), strlen(GET("/later")));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	UNTIL(waiting_count == 1);
	answer_text(waiting[--waiting_count], 200, "done");
	ssize_t n = -1;
	UNTIL((n = recv(fd, text, sizeof(text), MSG_DONTWAIT)) > 0);
	assert_memory_equal(text + n - 8, "\r\n\r\ndone", 8);
	UNTIL(recv(fd, text, sizeof(text), MSG_DONTWAIT) == 0);
	close(fd);
}

/* ---- clients that go, and the end ---- */

static void test_answer_to_somebody_who_has_gone(void **state SP_UNUSED)
{
	struct end *e = client(GET("/later"));
	UNTIL(waiting_count == 1);
	end_free(e);
	for (int i = 0; i < 20; i++)
		core_loop_turn(loop);
	assert_string_equal(core_httpd_method(waiting[0]), "GET");
	answer_text(waiting[--waiting_count], 200, "anybody?");
	e = client(GET("/a"));
	UNTIL(ends_with(e, "GET /a  "));
	end_free(e);
}

static void test_closed_with_requests_waiting(void **state SP_UNUSED)
{
	struct end *one = client(GET("/later")), *two = client("GET /");
	UNTIL(waiting_count == 1);
	core_httpd_close(server);
	server = NULL;
	end_until(one, 'e');
	end_until(two, 'e');
	answer_text(waiting[--waiting_count], 200, "too late");
	end_free(one);
	end_free(two);
}

static void test_closed_by_its_handler(void **state SP_UNUSED)
{
	struct end *e = client(GET("/stop") GET("/a"));
	end_until(e, 'e');
	assert_string_equal(got(e), "");
	end_free(e);
}

static void test_answer_on_its_way_survives_the_close(void **state SP_UNUSED)
{
	struct end *e = client(GET("/later"));
	UNTIL(waiting_count == 1);
	answer_text(waiting[--waiting_count], 200, "last words");
	core_httpd_close(server);
	server = NULL;
	end_until(e, 'e');
	assert_true(ends_with(e, "last words"));
	end_free(e);
}

/* ---- limits ---- */

static void test_connections_are_limited(void **state SP_UNUSED)
{
	limits.connections_max = 2;
	reopen_server();
	struct end *one = client(GET("/1")), *two = client(GET("/2"));
	UNTIL(ends_with(one, "GET /1  ") && ends_with(two, "GET /2  "));
	struct end *three = client("");
	end_until(three, 'e');
	assert_non_null(strstr(got(three), "HTTP/1.1 503 Service Unavailable\r\n"));
	assert_true(ends_with(three, "{\"error\": \"too many connections\"}\n"));
	end_free(one);
	end_free(three);
	for (int i = 0; i < 50; i++)
		core_loop_turn(loop);
	struct end *four = client(GET("/4"));
	UNTIL(ends_with(four, "GET /4  "));
	end_free(two);
	end_free(four);
}

static void test_slow_request_is_late(void **state SP_UNUSED)
{
	limits.request_ms = 150;
	reopen_server();
	struct end *e = client("GET / HTTP/1.1\r\n");
	for (int i = 0; i < 8 && !end_heard(e, 'e'); i++) {     /* data does not extend it */
		end_send(e, "X: y\r\n");
		for (int j = 0; j < 50; j++) {
			core_loop_turn(loop);
			usleep(1000);
		}
	}
	end_until(e, 'e');
	assert_non_null(strstr(got(e), "HTTP/1.1 408 Request Timeout\r\n"));
	end_free(e);
}

static void test_idle_connection_is_closed_without_a_word(void **state SP_UNUSED)
{
	limits.idle_ms = 100;
	reopen_server();
	struct end *silent = client(""), *once = client(GET("/a"));
	end_until(silent, 'e');
	end_until(once, 'e');
	assert_string_equal(got(silent), "");
	assert_true(ends_with(once, "GET /a  "));
	end_free(silent);
	end_free(once);
}

static void test_handling_takes_its_time(void **state SP_UNUSED)
{
	limits.idle_ms = limits.request_ms = 50;
	reopen_server();
	struct end *e = client(GET("/later"));
	UNTIL(waiting_count == 1);
	for (int i = 0; i < 150; i++) {
		core_loop_turn(loop);
		usleep(1000);
	}
	answer_text(waiting[--waiting_count], 200, "slowly");
	UNTIL(ends_with(e, "slowly"));
	end_free(e);
}

static void test_who_does_not_read_is_closed(void **state SP_UNUSED)
{
	limits.idle_ms = 100;
	reopen_server();
	struct end *e = client(GET("/large"));
	core_conn_pause(e->conn);
	for (int i = 0; i < 300; i++) {
		core_loop_turn(loop);
		usleep(1000);
	}
	core_conn_resume(e->conn);
	end_until(e, 'e');
	assert_true(e->got.len < (size_t)4 << 20);
	end_free(e);
}

/* ---- the socket ---- */

static void test_socket_is_ours_alone(void **state SP_UNUSED)
{
	struct stat st;
	struct sp_fail why;
	struct core_httpd *second;
	assert_int_equal(stat(at.un.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_not_equal(core_httpd_open(loop, &at, 0600, &limits, on_request, NULL, &second, &why), 0);
	assert_true(sp_failed(&why));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, open_server, close_server)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_answers),
		T(test_head_too_large),
		T(test_body_that_waited_for_100),
		T(test_pipelined_requests_wait_their_turn),
		T(test_requests_without_reading_do_not_fill_memory),
		T(test_slow_clients_do_not_fill_memory),
		T(test_request_and_half_close),
		T(test_answer_to_somebody_who_has_gone),
		T(test_closed_with_requests_waiting),
		T(test_closed_by_its_handler),
		T(test_answer_on_its_way_survives_the_close),
		T(test_connections_are_limited),
		T(test_slow_request_is_late),
		T(test_idle_connection_is_closed_without_a_word),
		T(test_handling_takes_its_time),
		T(test_who_does_not_read_is_closed),
		T(test_socket_is_ours_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

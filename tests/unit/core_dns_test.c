/* tests/unit/core_dns_test.c - core/dns.c and core/dnschan.c against DNS servers of our own on loopback. The first label of a
 * name says what its server does; every query is checked for what it must carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/dns.h"
#include "dns_wire.h"

/* ---- the server: one thread, UDP and TCP on one port ---- */

struct server {
	int udp, tcp, stop[2];
	struct sp_addr addr;
	pthread_t thread;
	bool dead;                      /* takes queries and says nothing */
	char suffix;                    /* last octet of the addresses it gives */
	atomic_uint queries, tcp_queries, bad_queries;
};

/* RD and AD set, one question, an OPT record that says 1232. */
static bool query_ok(const unsigned char *q, size_t len)
{
	return len > 23 && q[2] == 0x01 && q[3] == 0x20 && q[5] == 1 && q[11] == 1 && q[len - 11] == 0 && q[len - 10] == 0 &&
	       q[len - 9] == 41 && q[len - 8] == (1232 >> 8) && q[len - 7] == (1232 & 0xff);
}

static void read_name(const unsigned char *q, char name[300])
{
	char *out = name;
	for (const unsigned char *at = q + 12; *at; at += *at + 1) {
		memcpy(out, at + 1, *at);
		out += *at;
		*out++ = '.';
	}
	if (out > name)
		out--;
	*out = '\0';
}

static void add_answers(struct server *s, struct wire *w, const char *name, unsigned type, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char ip[4] = { (char)192, 0, (char)i, s->suffix };
		if (type == CORE_DNS_TXT)
			wire_raw(w, name, type, 60, SP_STR("\6answer"));
		else
			wire_raw(w, name, type, 60, sp_str_make(ip, 4));
	}
}

/* The reply to `q`; false for silence. */
static bool reply_to(struct server *s, const unsigned char *q, bool by_tcp, struct wire *w)
{
	char name[300];
	read_name(q, name);
	unsigned type = q[12 + (*name ? strlen(name) + 2 : 1) + 1];
	unsigned id = (unsigned)q[0] << 8 | q[1], flags = WIRE_QR | WIRE_RD | WIRE_RA | WIRE_AD;
	unsigned answers = 1;
	struct sp_str n = sp_str_of(name), what = sp_take_until(&n, '.');
	if (sp_str_eq(what, SP_STR("silent")))
		return false;
	if (sp_str_eq(what, SP_STR("once")) && s->queries == 1)
		return false;
	if (sp_str_eq(what, SP_STR("servfail")) || (sp_str_eq(what, SP_STR("fail1")) && s->suffix == 1)) {
		flags |= 2;
		answers = 0;
	} else if (sp_str_eq(what, SP_STR("refused"))) {
		flags |= 5;
		answers = 0;
	} else if (sp_str_eq(what, SP_STR("nxdomain"))) {
		flags |= 3;
		answers = 0;
	} else if (sp_str_eq(what, SP_STR("nodata"))) {
		answers = 0;
	} else if (sp_str_eq(what, SP_STR("big"))) {
		answers = 200;
		if (!by_tcp) {
			flags |= WIRE_TC;
			answers = 0;
		}
	}
	bool malformed = sp_str_eq(what, SP_STR("malformed"));
	wire_head(w, id, flags, 1, answers + (malformed ? 3 : 0), 0, 0);
	wire_question(w, name, type);
	add_answers(s, w, name, type, answers);
	return true;
}

static void serve_udp(struct server *s)
{
	unsigned char q[600];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	ssize_t len = recvfrom(s->udp, q, sizeof(q), 0, (struct sockaddr *)&from, &from_len);
	if (len < 17)
		return;
	s->queries++;
	if (!query_ok(q, (size_t)len))
		s->bad_queries++;
	struct wire w;
	if (s->dead || !reply_to(s, q, false, &w))
		return;
	char name[300];
	read_name(q, name);
	if (strncmp(name, "spoofed.", 8) == 0) {        /* a forger is faster: another id, then another question */
		w.b.p[0] ^= 1;
		w.b.p[w.b.len - 1] = 66;
		sendto(s->udp, w.b.p, w.b.len, 0, (struct sockaddr *)&from, from_len);
		w.b.p[0] ^= 1;
		w.b.p[13] ^= 1;
		sendto(s->udp, w.b.p, w.b.len, 0, (struct sockaddr *)&from, from_len);
		w.b.p[13] ^= 1;
		w.b.p[w.b.len - 1] = s->suffix;
	}
	sendto(s->udp, w.b.p, w.b.len, 0, (struct sockaddr *)&from, from_len);
	sp_buf_clear(&w.b);
}

static bool read_full(int fd, unsigned char *p, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, p + at, len - at);
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* One query of a connection; false at its end. */
static bool serve_tcp(struct server *s, int fd)
{
	unsigned char head[2], q[600];
	size_t len = 0;
	if (read_full(fd, head, 2))
		len = (size_t)head[0] << 8 | head[1];
	struct wire w;
	if (len < 17 || len > sizeof(q) || !read_full(fd, q, len) || !reply_to(s, q, true, &w))
		return false;
	s->tcp_queries++;
	struct sp_buf out;
	sp_buf_init(&out, 70000);
	sp_buf_addc(&out, (char)(w.b.len >> 8));
	sp_buf_addc(&out, (char)(w.b.len & 0xff));
	sp_buf_add(&out, sp_buf_str(&w.b));
	bool sent = send(fd, out.p, out.len, MSG_NOSIGNAL) == (ssize_t)out.len;
	sp_buf_clear(&out);
	sp_buf_clear(&w.b);
	return sent;
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int conn = -1;                          /* one at a time is enough: c-ares keeps one a server */
	for (;;) {
		struct pollfd fds[] = {
			{ s->stop[0], POLLIN, 0 }, { s->udp, POLLIN, 0 }, { conn < 0 ? s->tcp : -1, POLLIN, 0 }, { conn, POLLIN, 0 },
		};
		poll(fds, 4, -1);
		if (fds[0].revents)
			break;
		if (fds[1].revents)
			serve_udp(s);
		if (fds[2].revents)
			conn = accept(s->tcp, NULL, NULL);
		if (fds[3].revents && !serve_tcp(s, conn)) {
			close(conn);
			conn = -1;
		}
	}
	if (conn >= 0)
		close(conn);
	return NULL;
}

static void start_server(struct server *s, char suffix)
{
	*s = (struct server){ .suffix = suffix };
	for (int tries = 0; tries < 50; tries++) {              /* a port that is free for both */
		socklen_t len = sizeof(s->addr.in);
		assert_true(sp_addr_parse(SP_STR("127.0.0.1:0"), &s->addr));
		s->udp = socket(AF_INET, SOCK_DGRAM, 0);
		s->tcp = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(bind(s->udp, &s->addr.sa, len), 0);
		getsockname(s->udp, &s->addr.sa, &len);
		if (bind(s->tcp, &s->addr.sa, len) == 0)
			break;
		close(s->udp);
		close(s->tcp);
	}
	assert_int_equal(listen(s->tcp, 10), 0);
	assert_int_equal(pipe(s->stop), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(struct server *s)
{
	assert_int_equal(write(s->stop[1], "x", 1), 1);
	pthread_join(s->thread, NULL);
	close(s->udp);
	close(s->tcp);
	close(s->stop[0]);
	close(s->stop[1]);
	assert_int_equal(s->bad_queries, 0);
}

/* ---- a resolver, and what it said ---- */

#define TIMEOUT_MS 400

static struct server one, two;
static struct core_loop *loop;
static struct core_dns *dns;

struct seen {
	unsigned calls;
	char text[200];
};

static void open_dns(size_t servers)
{
	char list[2 * SP_ADDR_TEXT], a[SP_ADDR_TEXT], b[SP_ADDR_TEXT];
	struct sp_fail why;
	snprintf(list, sizeof(list), servers == 2 ? "%s, %s" : "%s", sp_addr_str(&one.addr, a), sp_addr_str(&two.addr, b));
	dns = core_dns_open(loop, list, TIMEOUT_MS, &why);
	if (dns == NULL)
		fail_msg("%s", why.text);
}

static int setup(void **state)
{
	(void)state;
	start_server(&one, 1);
	start_server(&two, 2);
	loop = core_loop_new();
	dns = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	core_dns_close(dns);
	core_loop_run(loop);
	core_loop_free(loop);
	stop_server(&one);
	stop_server(&two);
	return 0;
}

static void on_seen(void *owner, const struct core_dns_answer *a)
{
	struct seen *s = owner;
	char ip[SP_ADDR_TEXT] = "";
	s->calls++;
	if (a->count > 0 && a->records[0].type == CORE_DNS_A)
		sp_addr_ip_str(&a->records[0].addr, ip);
	snprintf(s->text, sizeof(s->text), "%s%s %zu %s", core_dns_status_str(a->status), a->authenticated ? " AD" : "", a->count, ip);
}

static struct core_dns_query *look_up(const char *name, struct seen *s)
{
	*s = (struct seen){ 0 };
	struct core_dns_query *q = core_dns_lookup(dns, name, CORE_DNS_A, on_seen, s);
	assert_non_null(q);
	assert_int_equal(s->calls, 0);                  /* never before it returns */
	return q;
}

/* Until all of them were told; then a little longer, to see whether they are told twice. */
static void wait_for(struct seen *s, size_t count)
{
	uint64_t end = core_clock_mono_ms() + 20 * TIMEOUT_MS;
	size_t told;
	do {
		core_loop_turn(loop);
		usleep(500);
		told = 0;
		for (size_t i = 0; i < count; i++)
			told += s[i].calls > 0;
	} while (told < count && core_clock_mono_ms() < end);
	for (int i = 0; i < 5; i++)
		core_loop_turn(loop);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(s[i].calls, 1);
}

static void expect(const char *label, const char *name, const char *want)
{
	struct seen s;
	look_up(name, &s);
	wait_for(&s, 1);
	if (strcmp(s.text, want) != 0)
		fail_msg("%s: want \"%s\" got \"%s\"", label, want, s.text);
}

static void test_answers(void **state)
{
	(void)state;
	static const struct { const char *label, *name, *want; } rows[] = {
		{ "an address", "ok.example", "ok AD 1 192.0.0.1" },
		{ "trailing dot", "ok.example.", "ok AD 1 192.0.0.1" },
		{ "upper case", "OK.Example", "ok AD 1 192.0.0.1" },
		{ "underscores", "_25._tcp.ok.example", "ok AD 1 192.0.0.1" },
		{ "no data", "nodata.example", "no data AD 0 " },
		{ "no such name", "nxdomain.example", "no such name AD 0 " },
		{ "SERVFAIL", "servfail.example", "server failure 0 " },
		{ "REFUSED", "refused.example", "refused 0 " },
		{ "malformed", "malformed.example", "malformed answer 0 " },
		{ "silence", "silent.example", "timeout 0 " },
		{ "first packet lost", "ok2.example", "ok AD 1 192.0.0.1" },
		{ "too large for UDP", "big.example", "ok AD 200 192.0.0.1" },
		{ "a forged answer first", "spoofed.example", "ok AD 1 192.0.0.1" },
		{ "not a name", "a b.example", "not a valid name 0 " },
		{ "empty label", "a..example", "not a valid name 0 " },
		{ "empty", "", "not a valid name 0 " },
		{ "a label of 64", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", "not a valid name 0 " },
	};
	open_dns(1);
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		expect(rows[i].label, rows[i].name, rows[i].want);
	assert_int_equal(one.tcp_queries, 1);
	assert_int_equal(two.queries, 0);
}

static void test_lost_packet_is_asked_again(void **state)
{
	(void)state;
	open_dns(1);
	expect("once", "once.example", "ok AD 1 192.0.0.1");
	assert_int_equal(one.queries, 2);
}

static void test_next_server(void **state)
{
	(void)state;
	open_dns(2);
	expect("the first fails", "fail1.example", "ok AD 1 192.0.0.2");
	assert_int_equal(one.queries, 1);
	expect("both fail, and each is asked once", "servfail.example", "server failure 0 ");
	assert_int_equal(one.queries, 2);
	assert_int_equal(two.queries, 2);
	expect("no such name is an answer", "nxdomain.example", "no such name AD 0 ");
	assert_int_equal(two.queries, 2);
	expect("silence is tried twice everywhere", "silent.example", "timeout 0 ");
	assert_int_equal(one.queries, 5);
	assert_int_equal(two.queries, 4);
}

/* A dead first server costs one timeout, not one for every lookup. */
static void test_dead_server_goes_last(void **state)
{
	(void)state;
	one.dead = true;
	open_dns(2);
	expect("the dead one first", "ok.example", "ok AD 1 192.0.0.2");
	unsigned asked = one.queries;
	uint64_t start = core_clock_mono_ms();
	expect("not again", "ok3.example", "ok AD 1 192.0.0.2");
	assert_true(core_clock_mono_ms() - start < TIMEOUT_MS);
	assert_int_equal(one.queries, asked);
}

static void test_closed_port(void **state)
{
	(void)state;
	struct sp_fail why;
	struct server gone;
	start_server(&gone, 9);
	stop_server(&gone);
	char list[SP_ADDR_TEXT];
	dns = core_dns_open(loop, sp_addr_str(&gone.addr, list), TIMEOUT_MS, &why);
	assert_non_null(dns);
	expect("nobody there", "ok.example", "timeout 0 ");
}

static void test_same_question_is_asked_once(void **state)
{
	(void)state;
	open_dns(1);
	struct seen s[20];
	for (int i = 0; i < 20; i++)
		look_up(i % 2 ? "ok.example" : "OK.example.", &s[i]);
	wait_for(s, 20);
	assert_int_equal(one.queries, 1);
	for (int i = 0; i < 20; i++)
		assert_string_equal(s[i].text, "ok AD 1 192.0.0.1");
	expect("and afresh afterwards", "ok.example", "ok AD 1 192.0.0.1");
	assert_int_equal(one.queries, 2);
}

static void test_many_at_once(void **state)
{
	(void)state;
	enum { COUNT = 300 };
	static struct seen s[COUNT];
	open_dns(2);
	for (int i = 0; i < COUNT; i++) {
		char name[40];
		snprintf(name, sizeof(name), "%s.n%d.example", i % 10 ? "ok" : "big", i);
		look_up(name, &s[i]);
	}
	wait_for(s, COUNT);
	for (int i = 0; i < COUNT; i++)
		if (strncmp(s[i].text, "ok AD", 5) != 0)
			fail_msg("%d: %s", i, s[i].text);
}

static void test_cancel(void **state)
{
	(void)state;
	open_dns(1);
	struct seen a, b, c, d;
	struct core_dns_query *qa = look_up("silent.a.example", &a), *qb = look_up("ok.example", &b);
	struct core_dns_query *qd = look_up("a b", &d);
	look_up("ok.example", &c);
	core_dns_cancel(qa);
	core_dns_cancel(qb);                            /* c wants the same and goes on */
	core_dns_cancel(qd);                            /* its end is known, and not told yet */
	core_dns_cancel(NULL);
	wait_for(&c, 1);
	uint64_t end = core_clock_mono_ms() + 3 * TIMEOUT_MS;
	while (core_clock_mono_ms() < end)
		core_loop_turn(loop);
	assert_int_equal(a.calls + b.calls + d.calls, 0);
	qa = look_up("silent.a.example", &a);           /* under way when the resolver closes */
	core_dns_cancel(qa);
}

static void test_close_with_pending(void **state)
{
	(void)state;
	open_dns(2);
	static struct seen s[50];
	for (int i = 0; i < 50; i++) {
		char name[40];
		snprintf(name, sizeof(name), "%s.n%d.example", i % 2 ? "silent" : "big", i);
		look_up(name, &s[i]);
		if (i % 10 == 0)
			core_loop_turn(loop);
	}
	unsigned before = 0, after = 0;
	for (int i = 0; i < 50; i++)
		before += s[i].calls;
	core_dns_close(dns);
	dns = NULL;
	core_loop_run(loop);
	for (int i = 0; i < 50; i++)
		after += s[i].calls;
	assert_int_equal(after, before);
}

static struct seen inner[3];
static struct core_dns_query *sibling;

static void on_do_everything(void *owner, const struct core_dns_answer *a)
{
	on_seen(owner, a);
	core_dns_cancel(sibling);
	sibling = NULL;
	core_dns_lookup(dns, "ok.example", CORE_DNS_A, on_seen, &inner[1]);
	core_dns_close(dns);                            /* silence for the rest */
	dns = NULL;
}

static void test_callback_cancels_starts_and_closes(void **state)
{
	(void)state;
	open_dns(1);
	memset(inner, 0, sizeof(inner));
	core_dns_lookup(dns, "ok.example", CORE_DNS_A, on_do_everything, &inner[0]);
	sibling = core_dns_lookup(dns, "ok.example", CORE_DNS_A, on_seen, &inner[2]);
	core_dns_lookup(dns, "ok.example", CORE_DNS_A, on_seen, &inner[2]);
	wait_for(inner, 1);
	core_loop_run(loop);
	assert_int_equal(inner[1].calls + inner[2].calls, 0);
}

static void test_root(void **state)
{
	(void)state;
	open_dns(1);
	struct seen s = { 0 };
	core_dns_lookup(dns, ".", CORE_DNS_TXT, on_seen, &s);
	wait_for(&s, 1);
	assert_string_equal(s.text, "ok AD 1 ");
}

static void test_server_lists(void **state)
{
	(void)state;
	static const struct { const char *list; bool ok, local; } rows[] = {
		{ "127.0.0.1", true, true },
		{ "127.0.0.1:5353,[::1]:53, 127.9.9.9", true, true },
		{ "::1", true, true },
		{ "127.0.0.1,192.0.2.53", true, false },
		{ "2001:db8::53", true, false },
		{ "localhost", false, false },
		{ "127.0.0.1:99999", false, false },
		{ "unix:/run/dns", false, false },
		{ "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9", false, false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_fail why;
		struct core_dns *d = core_dns_open(loop, rows[i].list, 1000, &why);
		if ((d != NULL) != rows[i].ok || (d && core_dns_servers_local(d) != rows[i].local))
			fail_msg("%s", rows[i].list);
		if (d == NULL)
			assert_int_equal(why.kind, SP_FAIL_DNS);
		core_dns_close(d);
	}
	struct sp_fail why;
	dns = core_dns_open(loop, "", 1000, &why);      /* what the system says, or 127.0.0.1 */
	assert_non_null(dns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_answers),
		TEST(test_lost_packet_is_asked_again),
		TEST(test_next_server),
		TEST(test_dead_server_goes_last),
		TEST(test_closed_port),
		TEST(test_same_question_is_asked_once),
		TEST(test_many_at_once),
		TEST(test_cancel),
		TEST(test_close_with_pending),
		TEST(test_callback_cancels_starts_and_closes),
		TEST(test_root),
		TEST(test_server_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

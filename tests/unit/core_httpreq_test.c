/* tests/unit/core_httpreq_test.c - core/httpreq.c and core/httpgate.c: requests whole, octet by octet, and wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/httpreq.h"

#define HEAD_MAX 256
#define BODY_MAX 32

/* "method path ?query [body] keep|close +rest", "more", or "! status". */
static void shown(const struct core_httpreq *r, enum core_httpreq_state state, size_t rest, struct sp_buf *out)
{
	sp_buf_reset(out);
	if (state == CORE_HTTPREQ_MORE) {
		sp_buf_adds(out, core_httpreq_expects(r) ? "more, expects" : "more");
	} else if (state == CORE_HTTPREQ_FAILED) {
		assert_true(core_httpreq_why(r)[0] != '\0');
		sp_buf_printf(out, "! %d", core_httpreq_status(r));
	} else {
		sp_buf_printf(out, "%s %.*s ?%.*s [%.*s] %s +%zu", core_httpreq_method(r), SP_STR_ARG(core_httpreq_path(r)),
		              SP_STR_ARG(core_httpreq_query(r)), SP_STR_ARG(core_httpreq_body(r)),
		              core_httpreq_keep_alive(r) ? "keep" : "close", rest);
	}
}

static void feed(struct sp_str text, size_t piece, struct sp_buf *out)
{
	struct core_httpreq *r = core_httpreq_new(HEAD_MAX, BODY_MAX);
	enum core_httpreq_state state = CORE_HTTPREQ_MORE;
	while (text.len > 0 && state == CORE_HTTPREQ_MORE) {
		struct sp_str now = sp_str_make(text.p, sp_min(piece, text.len));
		size_t used;
		state = core_httpreq_feed(r, now, &used);
		assert_true(used <= now.len && (state != CORE_HTTPREQ_MORE || used == now.len));
		text = sp_str_from(text, used);
	}
	shown(r, state, text.len, out);
	core_httpreq_free(r);
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define H64 "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
#define LONG H64 H64 H64 H64 H64 H64 H64 H64 H64 H64 H64 H64 H64
#define ROW(label, text, want) { label, { text, sizeof(text) - 1 }, want }

static const struct { const char *label; struct sp_str text; const char *want; } rows[] = {
	ROW("plain", GET "\r\n", "GET / ? [] keep +0"),
	ROW("query", "GET /a/b?c=d&e=%2F?f HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a/b ?c=d&e=%2F?f [] keep +0"),
	ROW("empty query", "GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a ? [] keep +0"),
	ROW("head", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / ? [] keep +0"),
	ROW("close", GET "Connection: Close\r\n\r\n", "GET / ? [] close +0"),
	ROW("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "GET / ? [] close +0"),
	ROW("HTTP/1.0 that keeps", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / ? [] keep +0"),
	ROW("length", POST "Content-Length: 5\r\n\r\nhello", "POST / ? [hello] keep +0"),
	ROW("post without a length: curl -X POST", POST "\r\n", "POST / ? [] keep +0"),
	ROW("pipelined behind a post without a length", POST "\r\nGET /b", "POST / ? [] keep +6"),
	ROW("length of none", POST "Content-Length: 0\r\n\r\n", "POST / ? [] keep +0"),
	ROW("length with blanks around", POST "Content-Length: \t5 \r\n\r\nhello", "POST / ? [hello] keep +0"),
	ROW("chunks", CHUNKED "3\r\nhel\r\n02\r\nlo\r\n0\r\n\r\n", "POST / ? [hello] keep +0"),
	ROW("chunks with an extension", CHUNKED "5;x=y\r\nhello\r\n0;z\r\n\r\n", "POST / ? [hello] keep +0"),
	ROW("chunks and trailers", CHUNKED "1\r\na\r\n0\r\nX: y\r\nHost: b\r\n\r\n", "POST / ? [a] keep +0"),
	ROW("hexadecimal chunk", CHUNKED "1F\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n",
	    "POST / ? [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx] keep +0"),
	ROW("pipelined", GET "\r\nGET /b HTTP", "GET / ? [] keep +11"),
	ROW("pipelined behind a length", POST "Content-Length: 1\r\n\r\naGET", "POST / ? [a] keep +3"),
	ROW("pipelined behind chunks", CHUNKED "1\r\na\r\n0\r\n\r\nGET", "POST / ? [a] keep +3"),
	ROW("empty lines before it", "\r\n\r\n" GET "\r\n", "GET / ? [] keep +0"),
	ROW("whole target", "GET http://b:8/c?d HTTP/1.1\r\nHost: a\r\n\r\n", "GET /c ?d [] keep +0"),
	ROW("delete without a body", "DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n", "DELETE /a ? [] keep +0"),
	ROW("get with a body", GET "Content-Length: 1\r\n\r\na", "GET / ? [a] keep +0"),
	ROW("upgrade is not taken up", GET "Connection: upgrade\r\nUpgrade: h2c\r\n\r\nabc", "GET / ? [] keep +3"),
	ROW("empty field, and one in UTF-8", GET "X:\r\nY: \xc3\xa4\r\n\r\n", "GET / ? [] keep +0"),
	ROW("a request that begins", "GET / HT", "more"),
	ROW("nothing", "", "more"),
	ROW("waits for 100", POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "more, expects"),
	ROW("waits for 100 in vain", POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", "POST / ? [] keep +0"),
	ROW("has not waited", POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\na", "more"),
	/* limits */
	ROW("body at its limit", POST "Content-Length: 32\r\n\r\n" X32, "POST / ? [" X32 "] keep +0"),
	ROW("announced over it", POST "Content-Length: 33\r\n\r\n", "! 413"),
	ROW("announced far over it", POST "Content-Length: 18446744073709551615\r\n\r\n", "! 413"),
	ROW("announced over every number", POST "Content-Length: 18446744073709551616\r\n\r\n", "! 400"),
	ROW("chunks at the limit", CHUNKED "20\r\n" X32 "\r\n0\r\n\r\n", "POST / ? [" X32 "] keep +0"),
	ROW("chunks over it", CHUNKED "20\r\n" X32 "\r\n1\r\nx\r\n0\r\n\r\n", "! 413"),
	ROW("a chunk over every number", CHUNKED "fffffffff\r\n", "! 400"),
	ROW("chunk extensions without end", CHUNKED "1;" LONG, "! 413"),
	ROW("trailers without end", CHUNKED "0\r\nX: " LONG, "! 413"),
	ROW("head over the limit", GET "X: " H64 H64 H64 H64, "! 431"),
	ROW("request line over it", "GET /" H64 H64 H64 H64, "! 431"),
	ROW("empty lines without end", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
	    "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
	    "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
	    "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", "! 431"),
	/* RFC 9112 6.3: how long is the body? */
	ROW("two lengths", POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\naa", "! 400"),
	ROW("two lengths alike", POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "! 400"),
	ROW("a list of lengths", POST "Content-Length: 1, 1\r\n\r\na", "! 400"),
	ROW("length with a sign", POST "Content-Length: +1\r\n\r\na", "! 400"),
	ROW("negative length", POST "Content-Length: -1\r\n\r\na", "! 400"),
	ROW("hexadecimal length", POST "Content-Length: 0x1\r\n\r\na", "! 400"),
	ROW("empty length", POST "Content-Length:\r\n\r\na", "! 400"),
	ROW("length, then chunks", POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "! 400"),
	ROW("chunks, then length", POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", "! 400"),
	ROW("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "! 400"),
	ROW("nearly chunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "! 400"),
	ROW("chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "! 400"),
	ROW("chunked and more", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "! 400"),
	ROW("more and chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "! 400"),
	ROW("identity", POST "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na", "! 400"),
	ROW("coding hidden by a tab in the name", POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", "! 400"),
	/* RFC 9112 2.2, 5: lines and fields */
	ROW("bare LF", "GET / HTTP/1.1\nHost: a\n\n", "! 400"),
	ROW("bare LF behind a field", GET "X: y\n\r\n", "! 400"),
	ROW("bare LF at the end", GET "\n", "! 400"),
	ROW("bare LF before it", "\n" GET "\r\n", "! 400"),
	ROW("bare CR in a field", GET "X: a\rY: b\r\n\r\n", "! 400"),
	ROW("bare CR at the end", GET "\rX", "! 400"),
	ROW("two CR", GET "X: y\r\r\n\r\n", "! 400"),
	ROW("obs-fold", GET "X: a\r\n b\r\n\r\n", "! 400"),
	ROW("obs-fold at once", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "! 400"),
	ROW("blank before the colon", GET "X : y\r\n\r\n", "! 400"),
	ROW("blank in a name", GET "X y: z\r\n\r\n", "! 400"),
	ROW("no name", GET ": y\r\n\r\n", "! 400"),
	ROW("no colon", GET "X\r\n\r\n", "! 400"),
	ROW("NUL in a value", GET "X: a\0b\r\n\r\n", "! 400"),
	ROW("NUL in a name", GET "X\0: b\r\n\r\n", "! 400"),
	ROW("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("NUL at first", "\0" GET "\r\n", "! 400"),
	ROW("control character in a value", GET "X: \x7f\r\n\r\n", "! 400"),
	ROW("no host", "GET / HTTP/1.1\r\n\r\n", "! 400"),
	ROW("two hosts", GET "Host: a\r\n\r\n", "! 400"),
	ROW("two authorizations", GET "Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n", "! 400"),
	ROW("two origins", GET "Origin: null\r\nOrigin: null\r\n\r\n", "! 400"),
	/* RFC 9112 3: the request line */
	ROW("two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "! 400"),
	ROW("tab in the line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("UTF-8 in the target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("no version", "GET /\r\n\r\n", "! 400"),
	ROW("HTTP/0.9", "GET / HTTP/0.9\r\n\r\n", "! 400"),
	ROW("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "! 400"),
	ROW("HTTP/1.11", "GET / HTTP/1.11\r\nHost: a\r\n\r\n", "! 400"),
	ROW("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "! 400"),
	ROW("RTSP", "SETUP / RTSP/1.0\r\n\r\n", "! 400"),
	ROW("method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("method nobody knows", "DANCE / HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("whole target without Host", "GET http://a/ HTTP/1.1\r\n\r\n", "! 400"),
	ROW("authority alone", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "! 400"),
	ROW("SMTP", "EHLO client.example\r\n", "! 400"),
	ROW("TLS", "\x16\x03\x01\x02", "! 400"),
	/* RFC 9112 7.1: chunks */
	ROW("bare LF behind a size", CHUNKED "1\na\r\n0\r\n\r\n", "! 400"),
	ROW("bare CR behind a size", CHUNKED "1\ra\r\n0\r\n\r\n", "! 400"),
	ROW("bare LF in an extension", CHUNKED "1;x\ny\r\na\r\n0\r\n\r\n", "! 400"),
	ROW("bare LF behind a chunk", CHUNKED "1\r\na\n0\r\n\r\n", "! 400"),
	ROW("something else behind a chunk", CHUNKED "1\r\naxy0\r\n\r\n", "! 400"),
	ROW("chunk longer than told", CHUNKED "1\r\nab\r\n0\r\n\r\n", "! 400"),
	ROW("no size", CHUNKED "\r\n", "! 400"),
	ROW("size with 0x", CHUNKED "0x1\r\na\r\n0\r\n\r\n", "! 400"),
	ROW("size with a blank", CHUNKED "1 \r\na\r\n0\r\n\r\n", "! 400"),
	ROW("size with a sign", CHUNKED "-1\r\na\r\n0\r\n\r\n", "! 400"),
	ROW("bare LF behind the last chunk", CHUNKED "0\r\n\n", "! 400"),
	ROW("bare LF in trailers", CHUNKED "0\r\nX: y\n\r\n", "! 400"),
	ROW("obs-fold in trailers", CHUNKED "0\r\nX: y\r\n z\r\n\r\n", "! 400"),
};

static void test_requests(void **state)
{
	(void)state;
	struct sp_buf got;
	sp_buf_init(&got, 1000);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		static const size_t pieces[] = { 100000, 1, 2, 7 };
		for (size_t p = 0; p < SP_COUNT(pieces); p++) {
			feed(rows[i].text, pieces[p], &got);
			if (strcmp(sp_buf_cstr(&got), rows[i].want) != 0)
				fail_msg("%s, by %zu: want \"%s\" got \"%s\"", rows[i].label, pieces[p], rows[i].want, sp_buf_cstr(&got));
		}
	}
	sp_buf_clear(&got);
}

static void test_fields_that_decide(void **state SP_UNUSED)
{
	struct core_httpreq *r = core_httpreq_new(8192, BODY_MAX);
	struct sp_buf text;
	size_t used;
	sp_buf_init(&text, 8192);
	sp_buf_adds(&text, "GET / HTTP/1.1\r\nhost:  a.example:8025 \r\nOrigin:\r\nAUTHORIZATION: Bearer ");
	memset(sp_buf_room(&text, 1024), 'x', 1024);
	sp_buf_wrote(&text, 1024);
	sp_buf_adds(&text, "\r\n\r\n");
	for (size_t i = 0; i < text.len; i++)
		assert_int_equal(core_httpreq_feed(r, sp_str_make(text.p + i, 1), &used), i + 1 < text.len ? CORE_HTTPREQ_MORE : CORE_HTTPREQ_DONE);
	assert_true(sp_str_eq(core_httpreq_field(r, CORE_HTTPREQ_HOST), SP_STR("a.example:8025")));
	assert_true(core_httpreq_has(r, CORE_HTTPREQ_ORIGIN));
	assert_int_equal(core_httpreq_field(r, CORE_HTTPREQ_ORIGIN).len, 0);
	assert_true(core_httpreq_has(r, CORE_HTTPREQ_AUTHORIZATION));
	assert_int_equal(core_httpreq_field(r, CORE_HTTPREQ_AUTHORIZATION).len, 0);    /* too long: nobody's token, and not its beginning */
	sp_buf_clear(&text);
	core_httpreq_free(r);
}

/* RFC 9112 3.2.2: a server goes by the target's authority where there is one. */
static void test_authority_of_the_target_is_the_host(void **state SP_UNUSED)
{
	static const char *const requests[] = { "GET http://b.example:8/c HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET http://b.example:8/c HTTP/1.0\r\n\r\n" };
	for (size_t i = 0; i < SP_COUNT(requests); i++) {
		struct core_httpreq *r = core_httpreq_new(8192, BODY_MAX);
		size_t used;
		assert_int_equal(core_httpreq_feed(r, sp_str_of(requests[i]), &used), CORE_HTTPREQ_DONE);
		assert_true(core_httpreq_has(r, CORE_HTTPREQ_HOST));
		assert_true(sp_str_eq(core_httpreq_field(r, CORE_HTTPREQ_HOST), SP_STR("b.example:8")));
		core_httpreq_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_requests),
		cmocka_unit_test(test_fields_that_decide), cmocka_unit_test(test_authority_of_the_target_is_the_host) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

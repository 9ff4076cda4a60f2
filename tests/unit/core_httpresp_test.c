/* tests/unit/core_httpresp_test.c - core/httpresp.c: responses whole, octet by octet, and wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/httpresp.h"

#define HEAD_MAX 256
#define BODY_MAX 32

/* "status type encoding [body]" or "! kind reason status". */
static void shown(const struct core_httpresp *r, enum core_httpresp_state state, struct sp_buf *out)
{
	sp_buf_reset(out);
	if (state == CORE_HTTPRESP_MORE)
		sp_buf_adds(out, "more");
	else if (state == CORE_HTTPRESP_FAILED)
		sp_buf_printf(out, "! %s %s %d", sp_fail_kind_str(core_httpresp_fail(r)->kind), core_httpresp_fail(r)->reason,
		              core_httpresp_status(r));
	else
		sp_buf_printf(out, "%d %s %s[%.*s]", core_httpresp_status(r), core_httpresp_content_type(r),
		              core_httpresp_content_encoding(r), SP_STR_ARG(core_httpresp_body(r)));
}

/* Fed in pieces of `piece` octets; then the end of the connection where more was wanted. */
static void feed(struct sp_str text, size_t piece, struct sp_buf *out)
{
	struct core_httpresp *r = core_httpresp_new(HEAD_MAX, BODY_MAX);
	enum core_httpresp_state state = CORE_HTTPRESP_MORE;
	while (text.len > 0 && state == CORE_HTTPRESP_MORE) {
		struct sp_str now = sp_str_make(text.p, sp_min(piece, text.len));
		state = core_httpresp_feed(r, now);
		text = sp_str_from(text, now.len);
	}
	if (state == CORE_HTTPRESP_MORE)
		state = core_httpresp_end(r);
	shown(r, state, out);
	core_httpresp_free(r);
}

#define OK "HTTP/1.1 200 OK\r\n"
#define TEXT "Content-Type: text/plain\r\n"
#define X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define H64 "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"

#define LONG H64 H64 H64 H64 H64 H64 H64 H64 H64 H64 H64 H64 H64      /* over head and framing */

static const struct { const char *label, *text, *want; } rows[] = {
	{ "length", OK TEXT "Content-Length: 5\r\n\r\nhello", "200 text/plain [hello]" },
	{ "as sent", OK "cOnTent-tyPe: \tText/Plain; Charset=utf-8 \r\nContent-Length: 0\r\n\r\n", "200 Text/Plain; Charset=utf-8 []" },
	{ "chunks", OK TEXT "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", "200 text/plain [hello]" },
	{ "trailers are no headers", OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nContent-Type: x/y\r\n\r\n", "200  [a]" },
	{ "to the end", OK TEXT "\r\nhello", "200 text/plain [hello]" },
	{ "HTTP/1.0", "HTTP/1.0 200 OK\r\n" TEXT "\r\nhello", "200 text/plain [hello]" },
	{ "HTTP/1.0 with length", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhello", "200  [he]" },
	{ "no reason phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200  []" },
	{ "encoding is told", OK "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nz", "200  gzip[z]" },
	{ "the first of two types", OK "Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n", "200 a/b []" },
	{ "empty field", OK "Content-Type:\r\nX:\r\nContent-Length: 0\r\n\r\n", "200  []" },
	{ "redirect is a response", "HTTP/1.1 301 Moved\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n", "301  []" },
	{ "not found", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone", "404  [gone]" },
	{ "204 has no body", "HTTP/1.1 204 No Content\r\n\r\n", "204  []" },
	{ "interim", "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\na", "200  [a]" },
	{ "interim with fields of its own", "HTTP/1.1 103 Early Hints\r\nContent-Type: x/y\r\n\r\n" OK "Content-Length: 1\r\n\r\na", "200  [a]" },
	{ "more behind it is not read", OK "Content-Length: 1\r\n\r\naHTTP/1.1 500 No\r\n\r\n", "200  [a]" },
	{ "body at its limit", OK "Content-Length: 32\r\n\r\n" X32, "200  [" X32 "]" },
	{ "announced over the limit", OK "Content-Length: 33\r\n\r\n" X32 "x", "! http body-too-large 200" },
	{ "announced far over it", OK "Content-Length: 18446744073709551615\r\n\r\n", "! http body-too-large 200" },
	{ "announced over every number", OK "Content-Length: 18446744073709551616\r\n\r\n", "! protocol http-syntax 0" },
	{ "chunks over the limit", OK "Transfer-Encoding: chunked\r\n\r\n20\r\n" X32 "\r\n1\r\nx\r\n0\r\n\r\n", "! http body-too-large 200" },
	{ "to the end over the limit", OK "\r\n" X32 "x", "! http body-too-large 200" },
	{ "chunk extensions without end", OK "Transfer-Encoding: chunked\r\n\r\n1;" LONG "\r\n",
	  "! http body-too-large 200" },
	{ "trailers without end", OK "Transfer-Encoding: chunked\r\n\r\n0\r\nX: " LONG "\r\n\r\n",
	  "! http body-too-large 200" },
	{ "head over the limit", OK "X: " H64 H64 H64 H64 "\r\n\r\n", "! http head-too-long 0" },
	{ "interim ones without end", "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\n"
	  "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\n"
	  "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\n", "! http head-too-long 0" },
	{ "length and end too early", OK "Content-Length: 6\r\n\r\nhello", "! protocol truncated 200" },
	{ "chunks and end too early", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "! protocol truncated 200" },
	{ "end in the head", OK "Content-Le", "! protocol truncated 0" },
	{ "end after an interim one", "HTTP/1.1 100 Continue\r\n\r\n", "! protocol truncated 0" },
	{ "nothing", "", "! protocol truncated 0" },
	{ "SMTP", "220 mx.example.com ESMTP\r\n", "! protocol http-syntax 0" },
	{ "HTTP/2", "HTTP/2 200\r\n\r\n", "! protocol http-syntax 0" },
	{ "two lengths", OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\naa", "! protocol http-syntax 0" },
	{ "length and chunks", OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "! protocol http-syntax 0" },
	{ "bad chunk size", OK "Transfer-Encoding: chunked\r\n\r\nz\r\n", "! protocol http-syntax 200" },
	{ "negative length", OK "Content-Length: -1\r\n\r\n", "! protocol http-syntax 0" },
	{ "switched unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "! protocol http-syntax 101" },
};

static void test_responses(void **state)
{
	(void)state;
	struct sp_buf got;
	sp_buf_init(&got, 1000);
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		static const size_t pieces[] = { 100000, 1, 2, 7 };
		for (size_t p = 0; p < SP_COUNT(pieces); p++) {
			feed(sp_str_of(rows[i].text), pieces[p], &got);
			if (strcmp(sp_buf_cstr(&got), rows[i].want) != 0)
				fail_msg("%s, by %zu: want \"%s\" got \"%s\"", rows[i].label, pieces[p], rows[i].want, sp_buf_cstr(&got));
		}
	}
	sp_buf_clear(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_responses) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

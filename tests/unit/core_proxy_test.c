/* tests/unit/core_proxy_test.c - core/proxy.c: headers of both versions as rows, each given octet by octet as well. */
#include "core/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define IP4 "\xc0\0\2\1" "\xc0\0\2\x09" "\xdc\x04" "\0\x19"
#define IP6 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1" "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2" "\xdc\x04" "\0\x19"
#define S(text) { (text), sizeof(text) - 1 }

static const struct {
	const char *label;
	struct sp_str data;
	enum core_proxy_step want;
	size_t taken;
	const char *from, *to;          /* NULL: local */
} rows[] = {
	{ "v1 IPv4", S("PROXY TCP4 192.0.2.1 192.0.2.9 56324 25\r\nEHLO"), CORE_PROXY_DONE, 41, "192.0.2.1:56324", "192.0.2.9:25" },
	{ "v1 IPv6", S("PROXY TCP6 2001:db8::1 2001:db8::2 56324 25\r\n"), CORE_PROXY_DONE, 45, "[2001:db8::1]:56324", "[2001:db8::2]:25" },
	{ "v1 unknown", S("PROXY UNKNOWN\r\n"), CORE_PROXY_DONE, 15, NULL, NULL },
	{ "v1 unknown with whatever", S("PROXY UNKNOWN ffff::1 x 1 2\r\n"), CORE_PROXY_DONE, 29, NULL, NULL },
	{ "v1 family and address differ", S("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v1 bare LF", S("PROXY TCP4 192.0.2.1 192.0.2.9 56324 25\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v1 without a port", S("PROXY TCP4 192.0.2.1 192.0.2.9 56324\r\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v1 with more", S("PROXY TCP4 192.0.2.1 192.0.2.9 56324 25 x\r\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v1 port too large", S("PROXY TCP4 192.0.2.1 192.0.2.9 65536 25\r\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v1 other kind", S("PROXY UDP4 192.0.2.1 192.0.2.9 1 25\r\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v1 in lower case", S("proxy TCP4 192.0.2.1 192.0.2.9 1 25\r\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v1 longer than a line", S("PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	  CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v2 IPv4", S(V2 "\x21\x11\0\x0c" IP4 "EHLO"), CORE_PROXY_DONE, 28, "192.0.2.1:56324", "192.0.2.9:25" },
	{ "v2 IPv6", S(V2 "\x21\x21\0\x24" IP6), CORE_PROXY_DONE, 52, "[2001:db8::1]:56324", "[2001:db8::2]:25" },
	{ "v2 with TLVs", S(V2 "\x21\x11\0\x10" IP4 "\4\0\1x"), CORE_PROXY_DONE, 32, "192.0.2.1:56324", "192.0.2.9:25" },
	{ "v2 local", S(V2 "\x20\0\0\0"), CORE_PROXY_DONE, 16, NULL, NULL },
	{ "v2 local with addresses", S(V2 "\x20\x11\0\x0c" IP4), CORE_PROXY_DONE, 28, NULL, NULL },
	{ "v2 of no family", S(V2 "\x21\0\0\0"), CORE_PROXY_DONE, 16, NULL, NULL },
	{ "v2 unix", S(V2 "\x21\x31\0\2xx"), CORE_PROXY_DONE, 18, NULL, NULL },
	{ "v2 datagram", S(V2 "\x21\x12\0\x0c" IP4), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v2 unknown family", S(V2 "\x21\x41\0\0"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v2 too short for IPv4", S(V2 "\x21\x11\0\x0bxxxxxxxxxxx"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v2 too short for IPv6", S(V2 "\x21\x21\0\x0c" IP4), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v2 of version 1", S(V2 "\x11\x11\0\x0c" IP4), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v2 unknown command", S(V2 "\x22\x11\0\x0c" IP4), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v2 too long", S(V2 "\x21\x11\x0f\xf1"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "v2 as long as may be, not all here", S(V2 "\x21\x11\x0f\xf0" IP4), CORE_PROXY_MORE, 0, NULL, NULL },
	{ "SMTP", S("EHLO relay\r\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "TLS", S("\x16\3\1"), CORE_PROXY_BROKEN, 0, NULL, NULL },
	{ "nothing", S(""), CORE_PROXY_MORE, 0, NULL, NULL },
	{ "P, and then SMTP", S("PONG\r\n"), CORE_PROXY_BROKEN, 0, NULL, NULL },
};

static const char *text_of(const struct sp_addr *a, bool local, char text[SP_ADDR_TEXT])
{
	return local ? "local" : sp_addr_str(a, text);
}

static void test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		enum core_proxy_step got = CORE_PROXY_MORE;
		struct core_proxy p;
		size_t taken = 0;
		char from[SP_ADDR_TEXT], to[SP_ADDR_TEXT];
		for (size_t len = 0; len <= rows[i].data.len && got == CORE_PROXY_MORE; len++)
			got = core_proxy_read(sp_str_make(rows[i].data.p, len), &taken, &p);
		if (got != rows[i].want || (got == CORE_PROXY_DONE && taken != rows[i].taken))
			fail_msg("%s: want %d of %zu, got %d of %zu (%s)", rows[i].label, rows[i].want, rows[i].taken, got, taken, p.why ? p.why : "");
		assert_int_equal(got, core_proxy_read(rows[i].data, &taken, &p));
		assert_int_equal(got == CORE_PROXY_BROKEN, p.why != NULL);
		if (got != CORE_PROXY_DONE)
			continue;
		assert_string_equal(text_of(&p.from, p.local, from), rows[i].from ? rows[i].from : "local");
		assert_string_equal(text_of(&p.to, p.local, to), rows[i].to ? rows[i].to : "local");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_headers) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

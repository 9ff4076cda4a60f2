/* tests/unit/core_dnsmsg_test.c - core/dnsmsg.c: answers right and wrong, made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/dnsmsg.h"
#include "dns_wire.h"

#define ANSWER (WIRE_QR | WIRE_RD | WIRE_RA)

/* What came of parsing: "status name cnames ttl: record record". */
static char *shown(struct wire *w, const char *name, enum core_dns_type type, struct sp_arena *arena)
{
	struct core_dns_answer a;
	struct sp_buf b;
	char text[SP_ADDR_TEXT];
	sp_buf_init(&b, 10000);
	core_dnsmsg_parse(sp_buf_str(&w->b), name, type, arena, &a);
	sp_buf_printf(&b, "%s %s%s %u %u:", core_dns_status_str(a.status), a.name, a.authenticated ? " AD" : "", a.cnames, a.ttl_s);
	for (size_t i = 0; i < a.count && i < 5; i++) {
		const struct core_dns_record *r = &a.records[i];
		assert_int_equal(r->type, type);
		switch (type) {
		case CORE_DNS_A:
		case CORE_DNS_AAAA:
			sp_buf_printf(&b, " %s", sp_addr_ip_str(&r->addr, text));
			break;
		case CORE_DNS_MX:
			sp_buf_printf(&b, " %u/%s", r->mx.preference, r->mx.host);
			break;
		case CORE_DNS_TXT:
			sp_buf_printf(&b, " <%.*s>", SP_STR_ARG(r->txt));
			break;
		case CORE_DNS_TLSA:
			sp_buf_printf(&b, " %u.%u.%u.%zu", r->tlsa.usage, r->tlsa.selector, r->tlsa.matching, r->tlsa.data.len);
			break;
		default:
			sp_buf_printf(&b, " #%u", r->ttl_s);
		}
	}
	sp_buf_clear(&w->b);
	char *copy = sp_arena_strdup(arena, sp_buf_cstr(&b));
	sp_buf_clear(&b);
	return copy;
}

static void check(const char *label, struct wire *w, const char *name, enum core_dns_type type, const char *want)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	char *got = shown(w, name, type, &arena);
	if (strcmp(got, want) != 0)
		fail_msg("%s: want \"%s\" got \"%s\"", label, want, got);
	sp_arena_clear(&arena);
}

static void test_records(void **state)
{
	(void)state;
	struct wire w;
	wire_head(&w, 1, ANSWER | WIRE_AD, 1, 3, 0, 0);
	wire_question(&w, "Example.COM", CORE_DNS_MX);
	wire_mx(&w, "example.com", 20, "MX2.Example.com", 600);
	wire_mx(&w, "EXAMPLE.com", 10, "mx1.example.com", 300);
	wire_mx(&w, "other.com", 5, "mx.other.com", 10);                /* not what was asked */
	check("MX", &w, "example.com", CORE_DNS_MX, "ok example.com AD 0 300: 20/mx2.example.com 10/mx1.example.com");

	wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
	wire_question(&w, "example.com", CORE_DNS_MX);
	wire_mx(&w, "example.com", 0, "", 300);
	check("null MX, RFC 7505", &w, "example.com.", CORE_DNS_MX, "ok example.com 0 300: 0/");

	wire_head(&w, 1, ANSWER, 1, 2, 0, 0);
	wire_question(&w, "example.com", CORE_DNS_A);
	wire_raw(&w, "example.com", CORE_DNS_A, 0x80000005, sp_str_make("\x7f\0\0\1", 4));
	wire_raw(&w, "example.com", CORE_DNS_A, 60, sp_str_make("\xc0\0\2\1", 4));
	check("A; a TTL with its highest bit is 0, RFC 2181 8", &w, "example.com", CORE_DNS_A, "ok example.com 0 0: 127.0.0.1 192.0.2.1");

	wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
	wire_question(&w, "example.com", CORE_DNS_AAAA);
	wire_raw(&w, "example.com", CORE_DNS_AAAA, 60, sp_str_make("\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16));
	check("AAAA", &w, "example.com", CORE_DNS_AAAA, "ok example.com 0 60: 2001:db8::1");

	wire_head(&w, 1, ANSWER, 1, 2, 0, 0);
	wire_question(&w, "_mta-sts.example.com", CORE_DNS_TXT);
	wire_raw(&w, "_mta-sts.example.com", CORE_DNS_TXT, 60, sp_str_make("\10v=STSv1;\0\7 id=1; ", 18));
	wire_raw(&w, "_mta-sts.example.com", CORE_DNS_TXT, 60, sp_str_make("\0", 1));
	check("TXT: the strings of one record are one, never two records", &w, "_mta-sts.example.com", CORE_DNS_TXT,
	      "ok _mta-sts.example.com 0 60: <v=STSv1; id=1; > <>");

	wire_head(&w, 1, ANSWER, 1, 3, 0, 0);
	wire_question(&w, "_25._tcp.mx.example.com", CORE_DNS_TLSA);
	wire_raw(&w, "_25._tcp.mx.example.com", CORE_DNS_TLSA, 60, sp_str_make("\3\1\1abcd", 7));
	wire_raw(&w, "_25._tcp.mx.example.com", CORE_DNS_TLSA, 60, sp_str_make("\3\1\1", 3));
	wire_raw(&w, "_25._tcp.mx.example.com", CORE_DNS_TLSA, 60, sp_str_make("\3\1", 2));
	check("TLSA shorter than its numbers is kept, unusable", &w, "_25._tcp.mx.example.com", CORE_DNS_TLSA,
	      "ok _25._tcp.mx.example.com 0 60: 3.1.1.4 3.1.1.0 255.255.255.0");

	wire_head(&w, 1, ANSWER | WIRE_AD, 1, 1, 0, 0);
	wire_question(&w, "", CORE_DNS_SOA);
	wire_soa(&w, "", 86400, 86400);
	check("the root", &w, ".", CORE_DNS_SOA, "ok  AD 0 86400: #86400");
}

static void test_chains(void **state)
{
	(void)state;
	struct wire w;
	wire_head(&w, 1, ANSWER, 1, 3, 0, 0);
	wire_question(&w, "mta-sts.example.com", CORE_DNS_A);
	wire_raw(&w, "host.provider.net", CORE_DNS_A, 600, sp_str_make("\xc0\0\2\1", 4));       /* before its CNAMEs */
	wire_cname(&w, "web.provider.net", "Host.Provider.NET", 30);
	wire_cname(&w, "MTA-STS.example.com", "web.provider.net", 300);
	check("in any order", &w, "mta-sts.example.com", CORE_DNS_A, "ok host.provider.net 2 30: 192.0.2.1");

	wire_head(&w, 1, ANSWER, 1, 1, 1, 0);
	wire_question(&w, "a.example", CORE_DNS_TXT);
	wire_cname(&w, "a.example", "b.example", 500);
	wire_soa(&w, "example", 900, 60);
	check("that ends in nothing", &w, "a.example", CORE_DNS_TXT, "no data b.example 1 60:");

	wire_head(&w, 1, ANSWER | 3, 1, 1, 1, 0);
	wire_question(&w, "a.example", CORE_DNS_TXT);
	wire_cname(&w, "a.example", "b.example", 500);
	wire_soa(&w, "example", 900, 3600);
	check("that ends in no name, RFC 6604", &w, "a.example", CORE_DNS_TXT, "no such name b.example 1 500:");

	wire_head(&w, 1, ANSWER, 1, 2, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_A);
	wire_cname(&w, "a.example", "b.example", 500);
	wire_cname(&w, "b.example", "a.example", 500);
	check("in a circle", &w, "a.example", CORE_DNS_A, "CNAME chain too long or looping a.example 16 500:");

	for (int len = 16; len <= 17; len++) {
		wire_head(&w, 1, ANSWER, 1, (unsigned)len + 1, 0, 0);
		wire_question(&w, "n0.example", CORE_DNS_A);
		char from[32], to[32];
		for (int i = 0; i < len; i++) {
			snprintf(from, sizeof(from), "n%d.example", i);
			snprintf(to, sizeof(to), "n%d.example", i + 1);
			wire_cname(&w, from, to, 60);
		}
		wire_raw(&w, to, CORE_DNS_A, 60, sp_str_make("\xc0\0\2\1", 4));
		check("of 16, then of 17", &w, "n0.example", CORE_DNS_A,
		      len == 16 ? "ok n16.example 16 60: 192.0.2.1" : "CNAME chain too long or looping n16.example 16 60:");
	}

	wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_CNAME);
	wire_cname(&w, "a.example", "b.example", 500);
	check("asked for itself", &w, "a.example", CORE_DNS_CNAME, "ok a.example 0 500: #500");
}

static void test_rcodes(void **state)
{
	(void)state;
	static const struct { const char *label; unsigned rcode; const char *want; } rows[] = {
		{ "NOERROR, nothing", 0, "no data a.example 0 0:" },
		{ "FORMERR", 1, "refused a.example 0 0:" },
		{ "SERVFAIL", 2, "server failure a.example 0 0:" },
		{ "NXDOMAIN", 3, "no such name a.example 0 0:" },
		{ "NOTIMP", 4, "refused a.example 0 0:" },
		{ "REFUSED", 5, "refused a.example 0 0:" },
		{ "one that nobody knows", 11, "refused a.example 0 0:" },
	};
	struct wire w;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		wire_head(&w, 1, ANSWER | rows[i].rcode, 1, 0, 0, 0);
		wire_question(&w, "a.example", CORE_DNS_MX);
		check(rows[i].label, &w, "a.example", CORE_DNS_MX, rows[i].want);
	}
	wire_head(&w, 1, ANSWER | 5, 0, 0, 0, 0);
	check("an error without its question", &w, "a.example", CORE_DNS_MX, "refused a.example 0 0:");
	wire_head(&w, 1, ANSWER | 3, 0, 0, 0, 0);
	check("NXDOMAIN for no question", &w, "a.example", CORE_DNS_MX, "malformed answer a.example 0 0:");
	static const struct { const char *label; uint32_t ttl, minimum; const char *want; } soas[] = {       /* RFC 2308 5 */
		{ "the SOA's last field", 3600, 300, "no such name a.example AD 0 300:" },
		{ "the SOA's TTL", 60, 300, "no such name a.example AD 0 60:" },
		{ "absurd", 0x80000000, 300, "no such name a.example AD 0 0:" },
	};
	for (size_t i = 0; i < SP_COUNT(soas); i++) {
		wire_head(&w, 1, ANSWER | WIRE_AD | 3, 1, 0, 1, 0);
		wire_question(&w, "a.example", CORE_DNS_MX);
		wire_soa(&w, "example", soas[i].ttl, soas[i].minimum);
		check(soas[i].label, &w, "a.example", CORE_DNS_MX, soas[i].want);
	}
}

static void test_not_our_answer(void **state)
{
	(void)state;
	static const struct { const char *label; unsigned flags; const char *name; unsigned type; } rows[] = {
		{ "a query", WIRE_RD, "a.example", CORE_DNS_A },
		{ "another opcode", ANSWER | 2 << 11, "a.example", CORE_DNS_A },
		{ "cut off", ANSWER | WIRE_TC, "a.example", CORE_DNS_A },
		{ "another name", ANSWER, "b.example", CORE_DNS_A },
		{ "a longer name", ANSWER, "a.example.com", CORE_DNS_A },
		{ "another type", ANSWER, "a.example", CORE_DNS_AAAA },
	};
	struct wire w;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		wire_head(&w, 1, rows[i].flags, 1, 1, 0, 0);
		wire_question(&w, rows[i].name, rows[i].type);
		wire_raw(&w, "a.example", CORE_DNS_A, 60, sp_str_make("\xc0\0\2\1", 4));
		check(rows[i].label, &w, "a.example", CORE_DNS_A, "malformed answer a.example 0 0:");
	}
	wire_head(&w, 1, ANSWER, 2, 0, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_A);
	wire_question(&w, "a.example", CORE_DNS_A);
	check("two questions", &w, "a.example", CORE_DNS_A, "malformed answer a.example 0 0:");
	wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_A);
	size_t at = wire_rr(&w, "a.example", CORE_DNS_A, 60);
	w.b.p[at - 7] = 3;                                              /* class CH */
	sp_buf_add(&w.b, SP_STR("\x01\x02\x03\x04"));
	wire_rr_end(&w, at);
	check("another class", &w, "a.example", CORE_DNS_A, "no data a.example 0 0:");
}

static void test_broken_data(void **state)
{
	(void)state;
	static const struct { const char *label; enum core_dns_type type; struct sp_str data; } rows[] = {
		{ "A of 3 octets", CORE_DNS_A, { "abc", 3 } },
		{ "A of 5 octets", CORE_DNS_A, { "abcde", 5 } },
		{ "AAAA of 4 octets", CORE_DNS_AAAA, { "abcd", 4 } },
		{ "empty TXT", CORE_DNS_TXT, { "", 0 } },
		{ "TXT string over the end", CORE_DNS_TXT, { "\5abc", 4 } },
		{ "second TXT string over the end", CORE_DNS_TXT, { "\1a\1", 3 } },
		{ "MX without a host", CORE_DNS_MX, { "\0\12", 2 } },
		{ "MX of one octet", CORE_DNS_MX, { "\0", 1 } },
		{ "MX with octets behind its host", CORE_DNS_MX, { "\0\12\2mx\0x", 7 } },
		{ "MX host over the end", CORE_DNS_MX, { "\0\12\7mx", 5 } },
		{ "MX host that points forward", CORE_DNS_MX, { "\0\12\xc0\xff", 4 } },
		{ "MX host that points at itself", CORE_DNS_MX, { "\0\12\xc0\x32", 4 } },
		{ "MX host with a label type of old", CORE_DNS_MX, { "\0\12\x41\x01\x00", 5 } },
		{ "CNAME to nowhere", CORE_DNS_CNAME, { "", 0 } },
		{ "CNAME to itself by pointer", CORE_DNS_CNAME, { "\xc0\x30", 2 } },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct wire w;
		wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
		wire_question(&w, "a.example", rows[i].type);
		wire_raw(&w, "a.example", rows[i].type, 60, rows[i].data);
		check(rows[i].label, &w, "a.example", rows[i].type, "malformed answer a.example 0 0:");
	}
}

static void test_hosts_that_are_none(void **state)
{
	(void)state;
	struct wire w;
	wire_head(&w, 1, ANSWER, 1, 3, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_MX);
	wire_raw(&w, "a.example", CORE_DNS_MX, 60, sp_str_make("\0\12\3m\rx\0", 7));
	wire_raw(&w, "a.example", CORE_DNS_MX, 60, sp_str_make("\0\12\3m.x\0", 7));     /* a dot inside the label */
	wire_mx(&w, "a.example", 20, "mx_1.a.example", 60);
	check("dropped beside a good one", &w, "a.example", CORE_DNS_MX, "ok a.example 0 60: 20/mx_1.a.example");
	wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_MX);
	wire_mx(&w, "a.example", 10, "mx example", 60);
	check("alone: no implicit MX, RFC 5321 5.1", &w, "a.example", CORE_DNS_MX, "malformed answer a.example 0 0:");
}

static void test_compression(void **state)
{
	(void)state;
	struct wire w;
	for (int len = 6; len <= 7; len++) {
		wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
		wire_question(&w, "a.example", CORE_DNS_MX);
		wire_pointer(&w, 12);
		wire_u16(&w, CORE_DNS_MX);
		wire_u16(&w, 1);
		wire_u32(&w, 60);
		size_t at = w.b.len + 2;
		wire_u16(&w, 0);
		wire_u16(&w, 10);
		wire_u8(&w, 2);
		sp_buf_adds(&w.b, "mx");
		wire_pointer(&w, 12);
		wire_rr_end(&w, at);
		if (len == 6)
			w.b.p[at - 1] = 6;
		check("one octet less than the name, then right", &w, "a.example", CORE_DNS_MX,
		      len == 6 ? "malformed answer a.example 0 0:" : "ok a.example 0 60: 10/mx.a.example");
	}

	wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_A);
	unsigned here = (unsigned)w.b.len;
	wire_pointer(&w, here);
	wire_u16(&w, CORE_DNS_A);
	wire_u16(&w, 1);
	wire_u32(&w, 60);
	wire_u16(&w, 0);
	check("an owner that points at itself", &w, "a.example", CORE_DNS_A, "malformed answer a.example 0 0:");

	wire_head(&w, 1, ANSWER, 1, 1, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_A);
	here = (unsigned)w.b.len;
	wire_pointer(&w, here + 2);
	wire_pointer(&w, here);
	wire_u32(&w, 0);
	wire_u32(&w, 0);
	wire_u16(&w, 0);
	check("two pointers at each other", &w, "a.example", CORE_DNS_A, "malformed answer a.example 0 0:");
}

/* Every beginning of a good message, and every octet of it changed: nothing but a clean answer of some status comes out. */
static void test_cut_and_flipped(void **state)
{
	(void)state;
	struct wire w;
	wire_head(&w, 1, ANSWER, 1, 3, 1, 1);
	wire_question(&w, "a.example", CORE_DNS_MX);
	wire_cname(&w, "a.example", "b.example", 60);
	wire_mx(&w, "b.example", 10, "mx1.example", 60);
	wire_mx(&w, "b.example", 20, "mx2.example", 60);
	wire_soa(&w, "example", 60, 60);
	wire_raw(&w, "", 41, 0, SP_STR(""));                            /* OPT */
	struct sp_str whole = sp_buf_str(&w.b);
	struct core_dns_answer a;
	for (size_t len = 0; len < whole.len; len++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		char *part = sp_str_dup(sp_str_make(whole.p, len));     /* so that the sanitizer sees a step too far */
		core_dnsmsg_parse(sp_str_make(part, len), "a.example", CORE_DNS_MX, &arena, &a);
		assert_int_equal(a.status, CORE_DNS_MALFORMED);
		assert_int_equal(a.count, 0);
		free(part);
		sp_arena_clear(&arena);
	}
	for (size_t i = 0; i < whole.len; i++) {
		for (unsigned flip = 1; flip < 256; flip = flip * 2 + 1) {
			struct sp_arena arena = SP_ARENA_EMPTY;
			w.b.p[i] = (char)(w.b.p[i] ^ (int)flip);
			core_dnsmsg_parse(whole, "a.example", CORE_DNS_MX, &arena, &a);
			assert_true((a.count > 0) == (a.status == CORE_DNS_OK));
			assert_true(a.count <= 2);
			w.b.p[i] = (char)(w.b.p[i] ^ (int)flip);
			sp_arena_clear(&arena);
		}
	}
	check("still good", &w, "a.example", CORE_DNS_MX, "ok b.example 1 60: 10/mx1.example 20/mx2.example");
}

static void test_many_records(void **state)
{
	(void)state;
	struct wire w;
	wire_head(&w, 1, ANSWER, 1, 2000, 0, 0);
	wire_question(&w, "a.example", CORE_DNS_A);
	for (unsigned i = 0; i < 2000; i++) {
		char ip[4] = { 10, 0, (char)(i >> 8), (char)i };
		wire_raw(&w, "a.example", CORE_DNS_A, 60, sp_str_make(ip, 4));
	}
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct core_dns_answer a;
	core_dnsmsg_parse(sp_buf_str(&w.b), "a.example", CORE_DNS_A, &arena, &a);
	assert_int_equal(a.status, CORE_DNS_OK);
	assert_int_equal(a.count, CORE_DNS_RECORDS_MAX);
	sp_arena_clear(&arena);
	sp_buf_addc(&w.b, 'x');
	check("octets behind the last record", &w, "a.example", CORE_DNS_A, "malformed answer a.example 0 0:");
}

static void test_names(void **state)
{
	(void)state;
#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	static const struct { const char *label, *name; bool want; } rows[] = {
		{ "plain", "mx1.example.com", true },
		{ "underscore", "_mta-sts.example.com", true },
		{ "A-label", "xn--bcher-kva.example", true },
		{ "digits", "1.2.3.4", true },
		{ "one label", "localhost", true },
		{ "63 in a label", L63 ".x", true },
		{ "64 in a label", L63 "a.x", false },
		{ "253 in all", L63 "." L63 "." L63 "." "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true },
		{ "254 in all", L63 "." L63 "." L63 "." "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
		{ "trailing dot", "example.com.", false },
		{ "leading dot", ".example.com", false },
		{ "empty label", "a..b", false },
		{ "blank", "a b", false },
		{ "slash", "a/b", false },
		{ "UTF-8", "b\xc3\xbc" "cher.example", false },
		{ "empty", "", false },
		{ "wildcard", "*.example", false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		if (core_dns_name_ok(sp_str_of(rows[i].name)) != rows[i].want)
			fail_msg("%s", rows[i].label);
	assert_false(core_dns_name_ok(sp_str_make("a\0b", 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_rcodes),
		cmocka_unit_test(test_not_our_answer),
		cmocka_unit_test(test_broken_data),
		cmocka_unit_test(test_hosts_that_are_none),
		cmocka_unit_test(test_compression),
		cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_many_records),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

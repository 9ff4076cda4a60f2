/* tests/unit/core_addr_test.c - core/addr.c: addresses, networks, and what is on the public internet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/addr.h"

static void test_parse(void **state)
{
	(void)state;
	static const struct { const char *label, *text, *want; } rows[] = {     /* want NULL: refused; else as printed */
		{ "IPv4", "192.0.2.1:25", "192.0.2.1:25" },
		{ "IPv6", "[2001:DB8:0::1]:25", "[2001:db8::1]:25" },
		{ "port 0 asks for any", "127.0.0.1:0", "127.0.0.1:0" },
		{ "highest port", "127.0.0.1:65535", "127.0.0.1:65535" },
		{ "port too high", "127.0.0.1:65536", NULL },
		{ "no port", "127.0.0.1", NULL },
		{ "empty port", "127.0.0.1:", NULL },
		{ "port with blank", "127.0.0.1: 25", NULL },
		{ "IPv6 without brackets", "::1:25", NULL },
		{ "IPv4 in brackets", "[127.0.0.1]:25", NULL },
		{ "bracket not closed", "[::1:25", NULL },
		{ "zone", "[fe80::1%eth0]:25", NULL },
		{ "host name", "localhost:25", NULL },
		{ "leading zero is not octal", "127.0.0.01:25", NULL },
		{ "three parts", "127.0.1:25", NULL },
		{ "unix", "unix:/run/strictpost/control.sock", "unix:/run/strictpost/control.sock" },
		{ "unix without path", "unix:", NULL },
		{ "unix path longer than the kernel takes",
		  "unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  NULL },
		{ "empty", "", NULL },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_addr a, again;
		char text[SP_ADDR_TEXT];
		bool ok = sp_addr_parse(sp_str_of(rows[i].text), &a);
		if (ok != (rows[i].want != NULL) || (ok && strcmp(sp_addr_str(&a, text), rows[i].want) != 0))
			fail_msg("%s: got %s", rows[i].label, ok ? text : "refused");
		if (ok && (!sp_addr_parse(sp_str_of(text), &again) || !sp_addr_eq(&a, &again)))
			fail_msg("%s: %s reads differently", rows[i].label, text);
	}
}

static void test_literals(void **state)
{
	(void)state;
	struct sp_addr a;
	char text[SP_ADDR_TEXT];
	assert_true(sp_addr_parse_ip(SP_STR("192.0.2.1"), 25, &a));
	assert_string_equal(sp_addr_literal_str(&a, text), "[192.0.2.1]");              /* RFC 5321 4.1.3 */
	assert_int_equal(sp_addr_port(&a), 25);
	sp_addr_set_port(&a, 2525);
	assert_int_equal(sp_addr_port(&a), 2525);
	assert_int_equal(sp_addr_size(&a), sizeof(struct sockaddr_in));
	assert_true(sp_addr_parse_ip(SP_STR("2001:db8::1"), 25, &a));
	assert_string_equal(sp_addr_literal_str(&a, text), "[IPv6:2001:db8::1]");
	assert_int_equal(sp_addr_size(&a), sizeof(struct sockaddr_in6));
	assert_false(sp_addr_parse_ip(sp_str_make("1.2.3.4\0.5", 10), 0, &a));          /* nothing behind a NUL */
	assert_false(sp_addr_parse_ip(SP_STR(" 1.2.3.4"), 0, &a));
	a = (struct sp_addr){ .sa = { .sa_family = AF_UNSPEC } };
	assert_string_equal(sp_addr_str(&a, text), "(no address)");
	assert_int_equal(sp_addr_port(&a), 0);
}

static void test_equality(void **state)
{
	(void)state;
	static const struct { const char *label, *a, *b; bool eq, eq_ip; } rows[] = {
		{ "same", "1.2.3.4:1", "1.2.3.4:1", true, true },
		{ "other port", "1.2.3.4:1", "1.2.3.4:2", false, true },
		{ "mapped is the same host", "[::ffff:1.2.3.4]:1", "1.2.3.4:1", true, true },
		{ "other", "1.2.3.4:1", "1.2.3.5:1", false, false },
		{ "IPv6", "[::1]:1", "[0::1]:1", true, true },
		{ "families differ", "[::1]:1", "127.0.0.1:1", false, false },
		{ "unix", "unix:/a", "unix:/a", true, false },
		{ "unix and IP", "unix:/a", "1.2.3.4:0", false, false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_addr a, b;
		assert_true(sp_addr_parse(sp_str_of(rows[i].a), &a));
		assert_true(sp_addr_parse(sp_str_of(rows[i].b), &b));
		if (sp_addr_eq(&a, &b) != rows[i].eq || sp_addr_eq_ip(&a, &b) != rows[i].eq_ip)
			fail_msg("%s", rows[i].label);
	}
}

static void test_networks(void **state)
{
	(void)state;
	static const struct { const char *label, *net, *ip; bool parses, contains; } rows[] = {
		{ "inside", "10.0.0.0/8", "10.255.0.1", true, true },
		{ "outside", "10.0.0.0/8", "11.0.0.1", true, false },
		{ "bits inside an octet", "172.16.0.0/12", "172.31.255.255", true, true },
		{ "just past them", "172.16.0.0/12", "172.32.0.0", true, false },
		{ "bare address", "192.0.2.1", "192.0.2.1", true, true },
		{ "all", "0.0.0.0/0", "255.1.2.3", true, true },
		{ "all of IPv4 is not IPv6", "0.0.0.0/0", "2001:db8::1", true, false },
		{ "IPv6", "2001:db8::/33", "2001:db8:7fff::1", true, true },
		{ "IPv6 outside", "2001:db8::/33", "2001:db8:8000::1", true, false },
		{ "mapped client in an IPv4 network", "127.0.0.0/8", "::ffff:127.0.0.1", true, true },
		{ "mapped network", "::ffff:127.0.0.0/104", "127.9.9.9", true, true },
		{ "mapped network shorter than its prefix", "::ffff:0:0/64", "127.9.9.9", false, false },
		{ "host bits set", "10.0.0.1/8", "10.0.0.1", false, false },
		{ "host bits set, IPv6", "::1/127", "::1", false, false },
		{ "too many bits", "10.0.0.0/33", "10.0.0.0", false, false },
		{ "no bits", "10.0.0.0/", "10.0.0.0", false, false },
		{ "negative", "10.0.0.0/-1", "10.0.0.0", false, false },
		{ "host name", "localhost/8", "10.0.0.0", false, false },
		{ "empty", "", "10.0.0.0", false, false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_net net;
		struct sp_addr a;
		assert_true(sp_addr_parse_ip(sp_str_of(rows[i].ip), 1, &a));
		bool parses = sp_net_parse(sp_str_of(rows[i].net), &net);
		if (parses != rows[i].parses || (parses && sp_nets_contain(&net, 1, &a) != rows[i].contains))
			fail_msg("%s", rows[i].label);
	}
	struct sp_net any;
	struct sp_addr un;
	assert_true(sp_net_parse(SP_STR("0.0.0.0/0"), &any));
	assert_true(sp_addr_parse(SP_STR("unix:/x"), &un));
	assert_false(sp_net_contains(&any, &un));
	assert_false(sp_nets_contain(NULL, 0, &un));
}

static void test_public(void **state)
{
	(void)state;
	static const struct { const char *ip; bool want; } rows[] = {
		{ "8.8.8.8", true }, { "1.1.1.1", true }, { "223.255.255.255", true }, { "172.15.0.1", true },
		{ "172.32.0.1", true }, { "100.63.0.1", true }, { "100.128.0.1", true }, { "192.0.1.1", true },
		{ "0.0.0.0", false }, { "0.1.2.3", false }, { "10.1.2.3", false }, { "100.64.0.1", false },
		{ "127.0.0.1", false }, { "169.254.169.254", false }, { "172.16.0.1", false }, { "172.31.255.255", false },
		{ "192.0.0.8", false }, { "192.0.2.1", false }, { "192.88.99.1", false }, { "192.168.1.1", false },
		{ "198.18.0.1", false }, { "198.19.255.255", false }, { "198.51.100.1", false }, { "203.0.113.1", false },
		{ "224.0.0.1", false }, { "240.0.0.1", false }, { "255.255.255.255", false },
		{ "2a00:1450::1", true }, { "2606:4700::1111", true },
		{ "::", false }, { "::1", false }, { "fe80::1", false }, { "fec0::1", false }, { "fc00::1", false },
		{ "fd12::1", false }, { "ff02::1", false }, { "100::1", false }, { "2001:db8::1", false }, { "3fff::1", false },
		{ "2001::1", false },                                   /* Teredo */
		{ "::ffff:8.8.8.8", true }, { "::ffff:127.0.0.1", false }, { "::ffff:10.0.0.1", false },
		{ "::127.0.0.1", false },                               /* IPv4-compatible, long gone */
		{ "64:ff9b::8.8.8.8", true }, { "64:ff9b::10.0.0.1", false }, { "64:ff9b::7f00:1", false },
		{ "64:ff9b:1::8.8.8.8", false },                        /* RFC 8215: for local use */
		{ "2002:808:808::1", true }, { "2002:7f00:1::1", false }, { "2002:c0a8:101::1", false },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_addr a;
		assert_true(sp_addr_parse_ip(sp_str_of(rows[i].ip), 443, &a));
		if (sp_addr_is_public(&a) != rows[i].want)
			fail_msg("%s: want %d", rows[i].ip, rows[i].want);
	}
	struct sp_addr un;
	assert_true(sp_addr_parse(SP_STR("unix:/x"), &un));
	assert_false(sp_addr_is_public(&un));
}

static void test_loopback(void **state SP_UNUSED)
{
	static const struct { const char *text; bool want; } loopback_rows[] = {
		{ "127.0.0.1", true }, { "127.255.0.9", true }, { "::1", true }, { "::ffff:127.0.0.1", true }, { "128.0.0.1", false }, { "0.0.0.0", false },
		{ "::", false }, { "::2", false }, { "::ffff:10.0.0.1", false }, { "fe80::1", false }, { "2001:db8::1", false },
	};
	struct sp_addr a;
	for (size_t i = 0; i < SP_COUNT(loopback_rows); i++) {
		assert_true(sp_addr_parse_ip(sp_str_of(loopback_rows[i].text), 1, &a));
		if (sp_addr_is_loopback(&a) != loopback_rows[i].want)
			fail_msg("%s", loopback_rows[i].text);
	}
	assert_true(sp_addr_parse(SP_STR("unix:/x"), &a));
	assert_false(sp_addr_is_loopback(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_public),
		cmocka_unit_test(test_loopback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

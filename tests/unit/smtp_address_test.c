/* tests/unit/smtp_address_test.c - smtp/address.c: mailboxes and domains, row by row. */
#include "smtp/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define A63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define A64 A63 "h"
#define DOMAIN_253 A63 "." A63 "." A63 "." "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg"
#define DOMAIN_188 A63 "." A63 "." "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffff.co"

static const struct {
	const char *label, *in;
	const char *want;               /* the canonical text; NULL: refused */
} mailboxes[] = {
	{ "plain", "a@example.com", "a@example.com" },
	{ "the domain is lowered, the local part is not", "John.Doe@Example.COM", "John.Doe@example.com" },
	{ "every atext character, RFC 5322 3.2.3", "!#$%&'*+-/=?^_`{|}~@x.org", "!#$%&'*+-/=?^_`{|}~@x.org" },
	{ "one label", "a@localhost", "a@localhost" },
	{ "a trailing dot goes", "a@example.com.", "a@example.com" },
	{ "underscore in a label", "a@my_host.example", "a@my_host.example" },
	{ "quoted, quotes kept", "\"john smith\"@x.org", "\"john smith\"@x.org" },
	{ "quoted at sign", "\"a@b\"@x.org", "\"a@b\"@x.org" },
	{ "quoted pair", "\"a\\\"b\\\\\"@x.org", "\"a\\\"b\\\\\"@x.org" },
	{ "empty quoted string", "\"\"@x.org", "\"\"@x.org" },
	{ "IPv4 literal, RFC 5321 4.1.3", "a@[192.0.2.1]", "a@[192.0.2.1]" },
	{ "IPv6 literal", "a@[IPv6:2001:DB8::1]", "a@[IPv6:2001:db8::1]" },
	{ "IPv6 tag in any case", "a@[ipv6:::1]", "a@[IPv6:::1]" },
	{ "local part of 64", A64 "@x.org", A64 "@x.org" },
	{ "label of 63", "a@" A63 ".org", "a@" A63 ".org" },
	{ "a mailbox of 254", A64 "@" DOMAIN_188, A64 "@" DOMAIN_188 },
	{ "U-labels become A-labels, RFC 5891", "a@b\xc3\xbc" "cher.example", "a@xn--bcher-kva.example" },
	{ "upper case U-labels", "a@B\xc3\x9c" "CHER.example", "a@xn--bcher-kva.example" },
	{ "sharp s stays itself: non-transitional", "a@stra\xc3\x9f" "e.example", "a@xn--strae-oqa.example" },
	{ "ideographic full stop", "a@x\xe3\x80\x82org", "a@x.org" },

	{ "empty", "", NULL },
	{ "no domain", "a", NULL },
	{ "empty domain", "a@", NULL },
	{ "empty local part", "@x.org", NULL },
	{ "two at signs", "a@b@x.org", NULL },
	{ "leading dot", ".a@x.org", NULL },
	{ "trailing dot in the local part", "a.@x.org", NULL },
	{ "two dots", "a..b@x.org", NULL },
	{ "blank", "a b@x.org", NULL },
	{ "angle bracket", "a>b@x.org", NULL },
	{ "parenthesis", "a(b)@x.org", NULL },
	{ "unclosed quote", "\"a@x.org", NULL },
	{ "quote that only an escape closes", "\"a\\\"@x.org", NULL },
	{ "backslash at the end", "\"a\\", NULL },
	{ "text after the quotes", "\"a\"b@x.org", NULL },
	{ "control character in quotes", "\"a\tb\"@x.org", NULL },
	{ "local part of 65", A64 "x@x.org", NULL },
	{ "label of 64", "a@" A64 ".org", NULL },
	{ "domain over 253", "a@" DOMAIN_253 "x", NULL },
	{ "a mailbox of 255", A64 "@x" DOMAIN_188, NULL },
	{ "empty label", "a@x..org", NULL },
	{ "leading dot in the domain", "a@.org", NULL },
	{ "only a dot", "a@.", NULL },
	{ "two trailing dots", "a@x.org..", NULL },
	{ "hyphen in front", "a@-x.org", NULL },
	{ "hyphen behind", "a@x-.org", NULL },
	{ "blank in the domain", "a@x org", NULL },
	{ "blank behind", "a@x.org ", NULL },
	{ "address without brackets", "a@192.0.2.1", NULL },
	{ "literal without tag", "a@[2001:db8::1]", NULL },
	{ "IPv4 with the IPv6 tag", "a@[IPv6:192.0.2.1]", NULL },
	{ "octet over 255", "a@[192.0.2.256]", NULL },
	{ "unclosed literal", "a@[192.0.2.1", NULL },
	{ "text after a literal", "a@[192.0.2.1]x", NULL },
	{ "empty literal", "a@[]", NULL },
	{ "only a bracket", "a@[", NULL },
	{ "literal of an unknown tag", "a@[X400:foo]", NULL },
	{ "8 bits in the local part", "\xc3\xbc@x.org", NULL },
	{ "a domain that is not UTF-8", "a@b\xfc" "cher.example", NULL },
	{ "a U-label that maps to a slash (a/c)", "a@\xe2\x84\x80.example", NULL },
	{ "a U-label that maps to nothing", "a@\xcd\x8f", NULL },
	{ "fullwidth commercial at", "a@b\xef\xbc\xa0" "c.example", NULL },
	{ "U-label too long as A-label", "a@" A63 "\xc3\xbc.example", NULL },
};

static bool parse(const char *in, bool utf8, struct sp_arena *arena, struct smtp_address *out)
{
	const char *why = NULL;
	bool ok = smtp_address_parse(sp_str_of(in), utf8, arena, out, &why);
	assert_true(ok || (why != NULL && *why != '\0'));
	return ok;
}

static void mailbox_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(mailboxes); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct smtp_address a = { 0 };
		const char *got = parse(mailboxes[i].in, false, &arena, &a) ? a.text : NULL;
		const char *want = mailboxes[i].want;
		if ((got == NULL) != (want == NULL) || (got && strcmp(got, want) != 0))
			fail_msg("%s: %s: want %s, got %s", mailboxes[i].label, mailboxes[i].in, want ? want : "refusal",
			         got ? got : "refusal");
		sp_arena_clear(&arena);
	}
}

static void parts_are_told_apart(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_address a;
	assert_true(parse("\"a@b\"@Example.COM", false, &arena, &a));
	assert_string_equal(a.local, "\"a@b\"");
	assert_string_equal(a.domain, "example.com");
	assert_false(a.literal);
	assert_true(parse("a@[IPv6:2001:db8:0:0::1]", false, &arena, &a));
	assert_true(a.literal);
	assert_int_equal(sp_addr_family(&a.ip), AF_INET6);
	assert_int_equal(sp_addr_port(&a.ip), 0);
	assert_string_equal(a.domain, "[IPv6:2001:db8::1]");
	sp_arena_clear(&arena);
}

static void utf8_local_part_only_where_allowed(void **state)    /* RFC 6531 3.3 */
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_address a;
	assert_true(parse("j\xc3\xb6rg@x.org", true, &arena, &a));
	assert_true(a.utf8);
	assert_true(parse("\"j\xc3\xb6rg \xf0\x9f\x93\xa7\"@x.org", true, &arena, &a));
	assert_true(parse("\"\\\\\xc3\xb6\"@x.org", true, &arena, &a));
	assert_true(parse("ascii@x.org", true, &arena, &a));
	assert_false(a.utf8);
	static const char *const broken[] = {
		"\xff@x.org", "\xc3@x.org", "\xc0\x80@x.org", "\xe0\x80\x80@x.org", "\xed\xa0\x80@x.org", "\xf4\x90\x80\x80@x.org",
		"a\xc2\x80@x.org", "\"a\xc2\x9f\"@x.org", "\xf5\x80\x80\x80@x.org", "\xf0\x80\x80\x80@x.org", "\xe2\x82@x.org", "\"\\\xc3\xb6\"@x.org",
	};
	for (size_t i = 0; i < SP_COUNT(broken); i++)
		assert_false(parse(broken[i], true, &arena, &a));
	sp_arena_clear(&arena);
}

static void nul_is_in_no_address(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_address a;
	const char *why;
	assert_false(smtp_address_parse(SP_STR("a\0b@x.org"), true, &arena, &a, &why));
	assert_false(smtp_address_parse(SP_STR("\"a\0b\"@x.org"), true, &arena, &a, &why));
	assert_false(smtp_address_parse(SP_STR("a@x\0.org"), true, &arena, &a, &why));
	assert_false(smtp_address_parse(SP_STR("a@\xc3\xbc\0.org"), true, &arena, &a, &why));
	sp_arena_clear(&arena);
}

static const struct { const char *label, *in, *want; } domains[] = {
	{ "lowered", "EXAMPLE.com", "example.com" },
	{ "trailing dot", "example.com.", "example.com" },
	{ "U-label", "b\xc3\xbc" "cher.example", "xn--bcher-kva.example" },
	{ "A-label", "XN--BCHER-KVA.example", "xn--bcher-kva.example" },
	{ "253 octets", DOMAIN_253, DOMAIN_253 },
	{ "digits below a name", "1.2.3.example", "1.2.3.example" },
	{ "254 octets", DOMAIN_253 "x", NULL },
	{ "empty", "", NULL },
	{ "an address", "192.0.2.1", NULL },
	{ "a wildcard", "*.example.com", NULL },
	{ "a port", "example.com:25", NULL },
};

static void domain_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(domains); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		const char *why = NULL;
		const char *got = smtp_domain_ascii(sp_str_of(domains[i].in), &arena, &why);
		if ((got == NULL) != (domains[i].want == NULL) || (got && strcmp(got, domains[i].want) != 0))
			fail_msg("%s: got %s (%s)", domains[i].label, got ? got : "refusal", why ? why : "");
		sp_arena_clear(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailbox_rows),
		cmocka_unit_test(parts_are_told_apart),
		cmocka_unit_test(utf8_local_part_only_where_allowed),
		cmocka_unit_test(nul_is_in_no_address),
		cmocka_unit_test(domain_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

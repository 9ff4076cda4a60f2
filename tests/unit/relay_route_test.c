/* tests/unit/relay_route_test.c - relay/route.c: which destination a recipient has, and what a destination's name means; a damaged one is refused. */
#include "relay/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SMTP 25

static struct config *configure(const char *routes)
{
	char text[4096];
	struct sp_buf problems;
	snprintf(text, sizeof(text), "hostname: relay.example.com\nroutes: [%s]\n", routes);
	sp_buf_init(&problems, 4096);
	struct config *c = config_parse(sp_str_of(text), "t", &problems);
	if (c == NULL)
		print_message("%s", sp_buf_cstr(&problems));
	assert_non_null(c);
	sp_buf_clear(&problems);
	return c;
}

/* "domain", "[literal]" or "HOST port" with what else is known, as text. */
static const char *describe(bool ok, const struct route_target *t, struct sp_arena *arena)
{
	char text[SP_ADDR_TEXT];
	if (!ok)
		return "no destination";
	static const char *const wishes[] = { [STS_WISH_NONE] = "", [STS_WISH_REQUIRE_TLS] = " requiretls", [STS_WISH_TLS_OPTIONAL] = " tls-optional" };
	const char *policy = sp_arena_printf(arena, "%s%s%s%s%s%s%s", t->policy_domain ? t->policy_domain : "-", t->user ? " as=" : "",
	                                     t->user ? t->user : "", t->source ? " from=" : "", t->source ? t->source : "", wishes[t->wish],
	                                     t->report ? " report" : "");
	switch (t->kind) {
	case ROUTE_DOMAIN:
		return sp_arena_printf(arena, "domain %s:%u policy=%s", t->host, t->port, policy);
	case ROUTE_LITERAL:
		return sp_arena_printf(arena, "literal %s policy=%s", sp_addr_str(&t->addr, text), policy);
	case ROUTE_HOST:
		if (t->host)
			return sp_arena_printf(arena, "host %s:%u policy=%s", t->host, t->port, policy);
		assert_int_equal(t->port, sp_addr_port(&t->addr));
		return sp_arena_printf(arena, "host %s policy=%s", sp_addr_str(&t->addr, text), policy);
	}
	return "?";
}

/* ---- recipients ---- */

#define ROUTES "{domain: corp.example, via: \"mx.corp.example:2525\"}, {domain: four.example, via: 192.0.2.1}, {domain: six.example, via: \"[2001:db8::1]:26\"}"

static const struct { const char *label, *routes, *to, *destination, *meaning; } recipients[] = {
	{ "no routes: the domain", "", "a@example.net", "example.net", "domain example.net:25 policy=example.net" },
	{ "none that fits", ROUTES, "a@example.net", "example.net", "domain example.net:25 policy=example.net" },
	{ "a route", ROUTES, "a@corp.example", "mx.corp.example:2525", "host mx.corp.example:2525 policy=mx.corp.example" },
	{ "case does not matter", ROUTES, "a@CORP.Example", "mx.corp.example:2525", "host mx.corp.example:2525 policy=mx.corp.example" },
	{ "not for a subdomain", ROUTES, "a@x.corp.example", "x.corp.example", "domain x.corp.example:25 policy=x.corp.example" },
	{ "not for a longer name", ROUTES, "a@mycorp.example", "mycorp.example", "domain mycorp.example:25 policy=mycorp.example" },
	{ "by an IPv4 address", ROUTES, "a@four.example", "[192.0.2.1]:25", "host 192.0.2.1:25 policy=-" },
	{ "by an IPv6 address", ROUTES, "a@six.example", "[IPv6:2001:db8::1]:26", "host [2001:db8::1]:26 policy=-" },
	{ "* for the others", ROUTES ", {domain: \"*\", via: smart.example}", "a@example.net", "smart.example:25", "host smart.example:25 policy=smart.example" },
	{ "* not for those with a route", ROUTES ", {domain: \"*\", via: smart.example}", "a@corp.example", "mx.corp.example:2525", "host mx.corp.example:2525 policy=mx.corp.example" },
	{ "* may stand first", "{domain: \"*\", via: smart.example}, {domain: corp.example, via: mx.corp.example}", "a@corp.example", "mx.corp.example:25", "host mx.corp.example:25 policy=mx.corp.example" },
	{ "* for literals", "{domain: \"*\", via: smart.example}", "a@[192.0.2.9]", "smart.example:25", "host smart.example:25 policy=smart.example" },
	{ "* for <postmaster>", "{domain: \"*\", via: smart.example}", "", "smart.example:25", "host smart.example:25 policy=smart.example" },
	{ "<postmaster> is ours", ROUTES, "", "relay.example.com", "domain relay.example.com:25 policy=relay.example.com" },
	{ "U-labels", "{domain: b\xc3\xbc""cher.example, via: mx.example}", "a@b\xc3\xbc""cher.example", "mx.example:25", "host mx.example:25 policy=mx.example" },
	{ "an IPv4 literal", ROUTES, "a@[192.0.2.9]", "[192.0.2.9]", "literal 192.0.2.9:25 policy=-" },
	{ "an IPv6 literal", ROUTES, "a@[IPv6:2001:db8::9]", "[IPv6:2001:db8::9]", "literal [2001:db8::9]:25 policy=-" },
	{ "an underscore", "", "a@my_host.example", "my_host.example", "domain my_host.example:25 policy=my_host.example" },
};

/* TRAPS: reports about the delivery of reports loop for ever: the mark is in the destination's name, and takes the policy away. */
static void check_report(const struct config *c, const struct smtp_address *to, const char *mail, const struct route_target *t, struct sp_arena *arena)
{
	struct route_target r;
	const char *name = route_destination(c, &(struct route_mail){ .report = true }, to, arena);
	assert_string_equal(name, sp_arena_printf(arena, "%s/report", mail));
	assert_true(route_parse(name, SMTP, arena, &r));
	assert_true(r.report && !t->report);
	assert_null(r.policy_domain);
	assert_int_equal(r.kind, t->kind);
	assert_int_equal(r.port, t->port);
	if (t->host)
		assert_string_equal(r.host, t->host);
	else
		assert_true(sp_addr_eq(&r.addr, &t->addr));
	assert_string_equal(route_label(mail, arena), mail);
	assert_string_equal(route_label(name, arena), sp_arena_printf(arena, "%s (reports)", mail));
}

static void test_recipients(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(recipients); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct config *c = configure(recipients[i].routes);
		struct smtp_address to = { .text = "postmaster", .local = "postmaster", .domain = "" };
		const char *why;
		if (*recipients[i].to)
			assert_true(smtp_address_parse(sp_str_of(recipients[i].to), false, &arena, &to, &why));
		const char *got = route_destination(c, &(struct route_mail){ 0 }, &to, &arena);
		struct route_target target;
		bool ok = route_parse(got, SMTP, &arena, &target);
		const char *meaning = describe(ok, &target, &arena);
		print_message("%s: want %s (%s), got %s (%s)\n", recipients[i].label, recipients[i].destination, recipients[i].meaning, got, meaning);
		assert_string_equal(got, recipients[i].destination);
		assert_string_equal(meaning, recipients[i].meaning);
		check_report(c, &to, got, &target, &arena);
		config_unref(c);
		sp_arena_clear(&arena);
	}
}

/* ---- names of destinations ---- */

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct { const char *label, *name, *want; } names[] = {    /* the default port is 2625 here */
	{ "a domain", "example.com", "domain example.com:2625 policy=example.com" },
	{ "one label", "localhost", "domain localhost:2625 policy=localhost" },
	{ "a host", "mx.example.com:25", "host mx.example.com:25 policy=mx.example.com" },
	{ "the largest port", "mx.example.com:65535", "host mx.example.com:65535 policy=mx.example.com" },
	{ "an IPv4 literal", "[192.0.2.1]", "literal 192.0.2.1:2625 policy=-" },
	{ "an IPv4 hop", "[192.0.2.1]:26", "host 192.0.2.1:26 policy=-" },
	{ "an IPv6 literal", "[IPv6:2001:db8::1]", "literal [2001:db8::1]:2625 policy=-" },
	{ "an IPv6 hop", "[IPv6:2001:db8::1]:26", "host [2001:db8::1]:26 policy=-" },
	{ "the tag in lower case", "[ipv6:::1]", "literal [::1]:2625 policy=-" },
	{ "a mapped address", "[IPv6:::ffff:192.0.2.1]:26", "host [::ffff:192.0.2.1]:26 policy=-" },
	{ "a label of 63", L63 ".example", "domain " L63 ".example:2625 policy=" L63 ".example" },
	{ "reports", "example.com/report", "domain example.com:2625 policy=- report" },
	{ "reports by a host", "mx.example.com:25/report", "host mx.example.com:25 policy=- report" },
	{ "reports to a literal", "[IPv6:2001:db8::1]/report", "literal [2001:db8::1]:2625 policy=- report" },
	{ "reports by an IPv4 hop", "[192.0.2.1]:26/report", "host 192.0.2.1:26 policy=- report" },
	{ "the mark alone", "/report", "no destination" },
	{ "the mark twice", "example.com/report/report", "no destination" },
	{ "the mark in upper case", "example.com/REPORT", "no destination" },
	{ "another mark", "example.com/reports", "no destination" },
	{ "the mark before the port", "example.com/report:25", "no destination" },
	{ "REQUIRETLS", "example.com/requiretls", "domain example.com:2625 policy=example.com requiretls" },
	{ "TLS-Required: No", "example.com/tls-optional", "domain example.com:2625 policy=example.com tls-optional" },
	{ "an account", "mx.example.com:587/as=app@example.com", "host mx.example.com:587 policy=mx.example.com as=app@example.com" },
	{ "an account in other octets", "mx.example.com:587/as=a%2Fb%25%20%C3%BC", "host mx.example.com:587 policy=mx.example.com as=a/b% \xc3\xbc" },
	{ "a source", "example.com/from=bulk-1", "domain example.com:2625 policy=example.com from=bulk-1" },
	{ "all of them", "[192.0.2.1]:465/as=u/from=s/requiretls", "host 192.0.2.1:465 policy=- as=u from=s requiretls" },
	{ "all of them, for reports", "mx.example:465/as=u/from=s/report", "host mx.example:465 policy=- as=u from=s report" },
	{ "an account for a domain", "example.com/as=u", "no destination" },
	{ "an account for a literal", "[192.0.2.1]/as=u", "no destination" },
	{ "an account without a name", "mx.example.com:587/as=", "no destination" },
	{ "an account that is cut", "mx.example.com:587/as=a%2", "no destination" },
	{ "NUL in an account", "mx.example.com:587/as=a%00b", "no destination" },
	{ "an escape nobody writes", "mx.example.com:587/as=%61", "no destination" },
	{ "an escape in lower case", "mx.example.com:587/as=%c3%bc", "no destination" },
	{ "a blank in an account", "mx.example.com:587/as=a b", "no destination" },
	{ "a source without a name", "example.com/from=", "no destination" },
	{ "marks out of order", "mx.example.com:587/from=s/as=u", "no destination" },
	{ "two accounts", "mx.example.com:587/as=u/as=v", "no destination" },
	{ "two wishes", "example.com/requiretls/tls-optional", "no destination" },
	{ "a wish and reports", "example.com/requiretls/report", "no destination" },
	{ "a wish before the source", "example.com/requiretls/from=s", "no destination" },
	{ "a slash at the end", "example.com/", "no destination" },
	{ "a domain called report", "report", "domain report:2625 policy=report" },
	{ "empty", "", "no destination" },
	{ "a dot", ".", "no destination" },
	{ "an empty label", "a..example", "no destination" },
	{ "a dot at the end", "example.com.", "no destination" },
	{ "a label of 64", L63 "a.example", "no destination" },
	{ "254 octets", L63 "." L63 "." L63 "." L63, "no destination" },
	{ "a blank", "exam ple.com", "no destination" },
	{ "a control character", "example\x01.com", "no destination" },
	{ "8 bits", "b\xc3\xbc""cher.example", "no destination" },
	{ "an address", "a@example.com", "no destination" },
	{ "a port alone", ":25", "no destination" },
	{ "a colon alone", "mx.example.com:", "no destination" },
	{ "port 0", "mx.example.com:0", "no destination" },
	{ "a port over 65535", "mx.example.com:65536", "no destination" },
	{ "a port over 2^64", "mx.example.com:18446744073709551641", "no destination" },
	{ "a port that is none", "mx.example.com:smtp", "no destination" },
	{ "a sign before the port", "mx.example.com:+25", "no destination" },
	{ "two ports", "mx.example.com:25:25", "no destination" },
	{ "a bracket left open", "[192.0.2.1", "no destination" },
	{ "nothing in the brackets", "[]", "no destination" },
	{ "a name in brackets", "[example.com]", "no destination" },
	{ "IPv6 without its tag", "[2001:db8::1]", "no destination" },
	{ "IPv4 with the tag of IPv6", "[IPv6:192.0.2.1]", "no destination" },
	{ "three numbers", "[192.0.2]", "no destination" },
	{ "a number over 255", "[192.0.2.256]", "no destination" },
	{ "a literal and a port 0", "[192.0.2.1]:0", "no destination" },
	{ "a literal and a colon", "[192.0.2.1]:", "no destination" },
	{ "a literal and more", "[192.0.2.1]x", "no destination" },
	{ "a literal and a port without a colon", "[192.0.2.1]25", "no destination" },
	{ "a zone", "[IPv6:fe80::1%eth0]", "no destination" },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(names); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct route_target target;
		memset(&target, 0x55, sizeof(target));
		const char *got = describe(route_parse(names[i].name, 2625, &arena, &target), &target, &arena);
		print_message("%s: want %s, got %s\n", names[i].label, names[i].want, got);
		assert_string_equal(got, names[i].want);
		sp_arena_clear(&arena);
	}
}

/* What a route leads to is stored by its name: it must mean the same when it is read back, and after the configuration was printed and read. */
static void test_what_a_route_names_reads_back(void **state)
{
	(void)state;
	static const char *const vias[] = { "mx.example", "mx.example:1", "192.0.2.1", "192.0.2.1:65535", "\"[2001:db8::1]\"", "\"[2001:db8::1]:26\"",
	                                    "\"2001:db8::1\"", "\"[::ffff:192.0.2.1]:26\"", "\"[::1]:26\"" };
	for (size_t i = 0; i < SP_COUNT(vias); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		char route[256];
		snprintf(route, sizeof(route), "{domain: \"*\", via: %s}", vias[i]);
		struct config *c = configure(route);
		struct smtp_address to = { .text = "a@b.example", .local = "a", .domain = "b.example" };
		const char *first = route_destination(c, &(struct route_mail){ 0 }, &to, &arena);
		struct route_target target;
		bool ok = route_parse(first, SMTP, &arena, &target);
		assert_true(ok);
		assert_int_equal(target.kind, ROUTE_HOST);
		assert_int_equal(target.port, c->routes.items[0].via_port);

		struct sp_buf text, problems;
		sp_buf_init(&text, 65536);
		sp_buf_init(&problems, 65536);
		config_print(c, &text);
		struct config *again = config_parse(sp_buf_str(&text), "t", &problems);
		assert_non_null(again);
		const char *second = route_destination(again, &(struct route_mail){ 0 }, &to, &arena);
		print_message("via %s: %s, %s\n", vias[i], first, second);
		assert_string_equal(first, second);
		config_unref(c);
		config_unref(again);
		sp_buf_clear(&text);
		sp_arena_clear(&arena);
	}
}

/* ---- senders, accounts, sources ---- */

static struct config_route by_sender[] = {
	{ .sender = (char[]){ "corp.example" }, .via_host = (char[]){ "out.corp.example" }, .via_port = 587, .user = (char[]){ "corp" } },
	{ .sender = (char[]){ "News@corp.example" }, .via_host = (char[]){ "bulk.example" }, .via_port = 465, .user = (char[]){ "a b" }, .implicit_tls = true },
	{ .domain = (char[]){ "four.example" }, .via_host = (char[]){ "[192.0.2.1]" }, .via_port = 465 },
	{ .domain = (char[]){ "six.example" }, .via_host = (char[]){ "out.corp.example" }, .via_port = 587 },
};
static char *bulk_senders[] = { (char[]){ "news@corp.example" }, (char[]){ "bulk.example" } };
static char *corp_senders[] = { (char[]){ "corp.example" } };
static struct config_source from_many[] = {
	{ .name = (char[]){ "corp" }, .senders = corp_senders, .sender_count = 1 },
	{ .name = (char[]){ "rest" } },
	{ .name = (char[]){ "bulk" }, .senders = bulk_senders, .sender_count = 2 },
};
static const struct config many = {
	.hostname = (char[]){ "relay.example.com" },
	.routes = { .items = by_sender, .count = SP_COUNT(by_sender) }, .sources = { .items = from_many, .count = SP_COUNT(from_many) },
};

static const struct { const char *label, *sender, *to; enum sts_wish wish; const char *want, *called, *source; bool implicit; } by[] = {
	{ "another sender", "a@example.net", "b@example.com", STS_WISH_NONE, "example.com", "example.com", "rest", false },
	{ "the null path has no sender", "", "b@example.com", STS_WISH_NONE, "example.com", "example.com", "rest", false },
	{ "a sender's domain", "a@corp.example", "b@example.com", STS_WISH_NONE,
	  "out.corp.example:587/as=corp/from=corp", "out.corp.example:587 (as corp, from corp)", "corp", false },
	{ "a sender's route comes before the recipient's", "a@corp.example", "b@four.example", STS_WISH_NONE,
	  "out.corp.example:587/as=corp/from=corp", "out.corp.example:587 (as corp, from corp)", "corp", false },
	{ "an address comes before its domain", "news@CORP.example", "b@example.com", STS_WISH_NONE,
	  "bulk.example:465/as=a%20b/from=bulk", "bulk.example:465 (as a b, from bulk)", "bulk", true },
	{ "not a subdomain of the sender's", "a@x.corp.example", "b@example.com", STS_WISH_NONE, "example.com", "example.com", "rest", false },
	{ "a source without a route", "a@bulk.example", "b@example.com", STS_WISH_NONE, "example.com/from=bulk", "example.com (from bulk)", "bulk", false },
	{ "REQUIRETLS", "a@example.net", "b@example.com", STS_WISH_REQUIRE_TLS, "example.com/requiretls", "example.com (REQUIRETLS)", "rest", false },
	{ "TLS-Required: No", "a@example.net", "b@example.com", STS_WISH_TLS_OPTIONAL,
	  "example.com/tls-optional", "example.com (TLS-Required: No)", "rest", false },
	{ "all at once", "a@corp.example", "b@example.com", STS_WISH_REQUIRE_TLS,
	  "out.corp.example:587/as=corp/from=corp/requiretls", "out.corp.example:587 (as corp, from corp, REQUIRETLS)", "corp", false },
	{ "the same host without the account", "a@example.net", "b@six.example", STS_WISH_NONE, "out.corp.example:587", "out.corp.example:587", "rest", false },
	{ "STARTTLS on 465, as the route says", "a@example.net", "b@four.example", STS_WISH_NONE, "[192.0.2.1]:465", "[192.0.2.1]:465", "rest", false },
};

static void test_senders(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(by); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct smtp_address from = { .text = "" }, to;
		struct route_mail mail = { .sender = &from, .wish = by[i].wish };
		struct route_target t;
		struct sp_fail why;
		const char *fault;
		bool parsed = (*by[i].sender == '\0' || smtp_address_parse(sp_str_of(by[i].sender), false, &arena, &from, &fault)) &&
		              smtp_address_parse(sp_str_of(by[i].to), false, &arena, &to, &fault);
		assert_true(parsed);
		const char *got = route_destination(&many, &mail, &to, &arena);
		print_message("%s: want %s, got %s (%s)\n", by[i].label, by[i].want, got, route_label(got, &arena));
		assert_string_equal(got, by[i].want);
		assert_string_equal(route_label(got, &arena), by[i].called);
		parsed = route_parse(got, SMTP, &arena, &t);
		assert_true(parsed);
		assert_int_equal(t.wish, by[i].wish);
		assert_string_equal(route_source(&many, &t)->name, by[i].source);
		assert_int_equal(route_implicit_tls(&many, &t), by[i].implicit);
		assert_true(route_in_force(&many, &t, &why));
		mail.wish = STS_WISH_NONE;
		assert_string_equal(route_wished(route_destination(&many, &mail, &to, &arena), by[i].wish, &arena), by[i].want);
		sp_arena_clear(&arena);
	}
}

static const struct { const char *name, *hop; } hops[] = {
	{ "example.com", "example.com" }, { "example.com/requiretls", "example.com" }, { "example.com/from=s/report", "example.com" },
	{ "mx.example:587/as=u", "mx.example:587/as=u" }, { "mx.example:587/as=u/from=s", "mx.example:587/as=u" },
	{ "[192.0.2.1]:25/as=u%2Fv/tls-optional", "[192.0.2.1]:25/as=u%2Fv" }, { "", "" }, { "/report", "" }, { "a/as=", "a/as=" },
};

static void test_hops(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	for (size_t i = 0; i < SP_COUNT(hops); i++)
		assert_string_equal(route_hop(hops[i].name, &arena), hops[i].hop);
	sp_arena_clear(&arena);
}

static const struct { const char *label, *name, *reason; bool implicit; } gone[] = {
	{ "a domain", "example.com", NULL, false },
	{ "a next hop that has no route any more", "old.example:25", NULL, false },
	{ "RFC 8314: TLS at once on 465", "old.example:465", NULL, true },
	{ "never without its account", "out.corp.example:587/as=former", "route-gone", false },
	{ "never with the account of another port", "out.corp.example:25/as=corp", "route-gone", false },
	{ "never from another address", "example.com/from=former", "source-gone", false },
	{ "the account is there", "out.corp.example:587/as=corp/from=bulk/report", NULL, false },
};

static void test_what_is_gone_holds_its_mail(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(gone); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct route_target t;
		struct sp_fail why = SP_FAIL_OK;
		bool parsed = route_parse(gone[i].name, SMTP, &arena, &t);
		assert_true(parsed);
		bool ok = route_in_force(&many, &t, &why);
		print_message("%s: %s\n", gone[i].label, ok ? "in force" : why.text);
		assert_int_equal(ok, gone[i].reason == NULL);
		assert_string_equal(why.reason, gone[i].reason ? gone[i].reason : "");
		assert_false(why.permanent);
		assert_int_equal(route_implicit_tls(&many, &t), gone[i].implicit);
		sp_arena_clear(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_what_a_route_names_reads_back),
		cmocka_unit_test(test_senders),
		cmocka_unit_test(test_hops),
		cmocka_unit_test(test_what_is_gone_holds_its_mail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

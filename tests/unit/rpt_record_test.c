/* tests/unit/rpt_record_test.c - rpt/record.c and rua.c: which of a set of TXT records is it, and where do reports go. */
#include "rpt/record.h"

#include "core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define OK RPT_RECORD_OK
#define NONE RPT_RECORD_NONE
#define SEVERAL RPT_RECORD_SEVERAL
#define INVALID RPT_RECORD_INVALID
#define V "v=TLSRPTv1; rua="

static struct sp_arena arena;

static int teardown(void **state)
{
	(void)state;
	sp_arena_clear(&arena);
	return 0;
}

/* "mailto a@b.c; https host 443 /path": what a caller works with. */
static const char *print(const struct rpt_record *r)
{
	struct sp_buf b;
	sp_buf_init(&b, 1 << 16);
	for (size_t i = 0; i < r->count; i++) {
		const struct rpt_rua *rua = &r->rua[i];
		sp_buf_adds(&b, i > 0 ? "; " : "");
		if (rua->kind == RPT_RUA_MAILTO)
			sp_buf_printf(&b, "mailto %s", rua->address);
		else
			sp_buf_printf(&b, "https %s %u %s", rua->host, rua->port, rua->path);
	}
	const char *text = sp_arena_dup(&arena, sp_buf_str(&b));
	sp_buf_clear(&b);
	return text;
}

static void expect(const char *label, const struct sp_str *txts, size_t count, enum rpt_record_status want, const char *text)
{
	struct rpt_record r;
	const char *why = NULL;
	enum rpt_record_status got = rpt_record_parse(txts, count, &arena, &r, &why);
	print_message("%s: want %d %s, got %d %s (%s)\n", label, want, text ? text : "", got, print(&r), why ? why : "");
	assert_int_equal(got, want);
	if (want == OK) {
		assert_string_equal(print(&r), text);
		return;
	}
	assert_int_equal(r.count, 0);
	assert_non_null(why);
	if (text)
		assert_non_null(strstr(why, text));
}

struct row {
	const char *label, *txts[4];
	enum rpt_record_status want;
	const char *text;       /* on OK what print() gives; else a part of the phrase, NULL: any */
};

static const struct row rows[] = {                              /* RFC 8460 3 */
	{ "the RFC's mailto", { "v=TLSRPTv1;rua=mailto:reports@example.com" }, OK, "mailto reports@example.com" },
	{ "the RFC's https", { "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt" }, OK, "https reporting.example.com 443 /v1/tlsrpt" },
	{ "semicolon at the end", { V "mailto:a@b.example;" }, OK, "mailto a@b.example" },
	{ "blanks around semicolons", { "v=TLSRPTv1;\t rua=mailto:a@b.example \t; x=y ; " }, OK, "mailto a@b.example" },
	{ "blanks around commas", { V "mailto:a@b.example \t, https://c.example/ ,mailto:d@e.example" }, OK,
	  "mailto a@b.example; https c.example 443 /; mailto d@e.example" },
	{ "blank behind rua=", { V " mailto:a@b.example" }, OK, "mailto a@b.example" },
	{ "repeated rua fields merge", { V "mailto:a@b.example; x=y; rua=mailto:c@d.example,https://e.example" }, OK,
	  "mailto a@b.example; mailto c@d.example; https e.example 443 /" },
	{ "an extension before it", { "v=TLSRPTv1; ext=1; rua=mailto:a@b.example" }, OK, "mailto a@b.example" },
	{ "an extension that looks like a URI", { V "mailto:a@b.example; ruf=mailto:a@b?x=y z" }, OK, "mailto a@b.example" },
	{ "two semicolons", { "v=TLSRPTv1;; rua=mailto:a@b.example;;" }, OK, "mailto a@b.example" },
	{ "two commas", { V "mailto:a@b.example,, ,mailto:c@d.example," }, OK, "mailto a@b.example; mailto c@d.example" },
	{ "named twice", { V "mailto:a@b.example,MAILTO:a@B.example,https://c.example,https://c.example" }, OK,
	  "mailto a@b.example; https c.example 443 /" },

	/* which record */
	{ "wildcard TXT and SPF at the name are normal", { "v=spf1 -all", V "mailto:a@b.example", "x" }, OK, "mailto a@b.example" },
	{ "v=TLSRPTv10 beside it does not count", { "v=TLSRPTv10; rua=mailto:x@y.example", V "mailto:a@b.example" }, OK, "mailto a@b.example" },
	{ "no records", { NULL }, NONE, "no TXT record" },
	{ "only others", { "v=spf1 -all" }, NONE, "begins with" },
	{ "v=TLSRPTv10 is none", { "v=TLSRPTv10; rua=mailto:a@b.example" }, NONE, "version 1" },
	{ "several", { V "mailto:a@b.example", V "mailto:c@d.example" }, SEVERAL, "remove all but one" },
	{ "several, one of them invalid", { "v=TLSRPTv1;", V "mailto:c@d.example" }, SEVERAL, NULL },
	{ "lower case version", { "v=tlsrptv1; rua=mailto:a@b.example" }, NONE, "exactly" },
	{ "blank in front", { " v=TLSRPTv1; rua=mailto:a@b.example" }, NONE, "no blank" },
	{ "quotes in the record", { "\"v=TLSRPTv1; rua=mailto:a@b.example\"" }, NONE, "quote" },
	{ "v = TLSRPTv1", { "v = TLSRPTv1; rua=mailto:a@b.example" }, NONE, "exactly" },
	{ "only the version", { "v=TLSRPTv1" }, NONE, "rua=" },
	{ "comma behind the version", { "v=TLSRPTv1, rua=mailto:a@b.example" }, NONE, NULL },
	{ "v=TLSRPTv1 ;", { "v=TLSRPTv1 ; rua=mailto:a@b.example" }, OK, "mailto a@b.example" },
	{ "v=TLSRPTv1 ; beside an exact one", { "v=TLSRPTv1 ; rua=mailto:x@y.example", V "mailto:a@b.example" }, OK, "mailto a@b.example" },

	/* its grammar */
	{ "no rua", { "v=TLSRPTv1; x=y" }, INVALID, "no \"rua=\"" },
	{ "nothing at all", { "v=TLSRPTv1;" }, INVALID, "no \"rua=\"" },
	{ "RUA is an extension", { "v=TLSRPTv1; RUA=mailto:a@b.example" }, INVALID, "lower case" },
	{ "empty rua", { "v=TLSRPTv1; rua=" }, INVALID, "empty" },
	{ "rua of commas", { "v=TLSRPTv1; rua= , ," }, INVALID, "empty" },
	{ "blank before the equal sign", { "v=TLSRPTv1; rua =mailto:a@b.example" }, INVALID, "name" },
	{ "field without a value", { V "mailto:a@b.example; x" }, INVALID, "name=value" },
	{ "control character in an extension", { V "mailto:a@b.example; x=\x01" }, INVALID, "print" },
	{ "no entry can be used", { V "reports@example.com" }, INVALID, "'reports@example.com' has no scheme" },
	{ "why is printable", { V "\x1b[2J" }, INVALID, "'?[2J'" },
};

static void test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_str txts[4];
		size_t count = 0;
		for (; count < 4 && rows[i].txts[count]; count++)
			txts[count] = sp_str_of(rows[i].txts[count]);
		expect(rows[i].label, txts, count, rows[i].want, rows[i].text);
	}
}

/* One entry: what it stands for; "": skipped, with a reason that holds `why`. Beside it stands one that is good, which no fault of a neighbour touches. */
static const struct { const char *label, *entry, *want, *why; } entries[] = {
	/* RFC 8460 3: escapes for the record's sake */
	{ "%2C and %21 decode", "https://h.example/a%2Cb%21c%2cd", "https h.example 443 /a,b!c,d", NULL },
	{ "%3B decodes", "https://h.example/a%3Bb", "https h.example 443 /a;b", NULL },
	{ "%252C decodes once", "https://h.example/%252C", "https h.example 443 /%252C", NULL },
	{ "%252C in an address decodes once", "mailto:a%252Cb@h.example", "mailto a%2Cb@h.example", NULL },

	/* schemes */
	{ "schemes have no case", "HTTPS://h.example/", "https h.example 443 /", NULL },
	{ "Mailto", "Mailto:a@h.example", "mailto a@h.example", NULL },
	{ "an address without a scheme is skipped", "a@h.example", "", "no scheme" },
	{ "an unknown scheme is skipped", "ftp://h.example/", "", "neither" },
	{ "http is refused", "http://h.example/", "", "neither" },
	{ "https without slashes", "https:h.example", "", "neither" },
	{ "a host without a scheme", "h.example/path", "", "no scheme" },
	{ "a host with a port is no scheme of ours", "h.example:443/path", "", "neither" },

	/* https */
	{ "no path", "https://h.example", "https h.example 443 /", NULL },
	{ "query without a path", "https://h.example?a=b", "https h.example 443 /?a=b", NULL },
	{ "path and query", "https://h.example/a/b?c=d&e=/?", "https h.example 443 /a/b?c=d&e=/?", NULL },
	{ "percent escapes in the path stay", "https://h.example/a%20b%0d%0aX", "https h.example 443 /a%20b%0d%0aX", NULL },
	{ "fragment is not sent", "https://h.example/a#b?c", "https h.example 443 /a", NULL },
	{ "fragment behind the host", "https://h.example#@x.example", "https h.example 443 /", NULL },
	{ "port", "https://h.example:8443/a", "https h.example 8443 /a", NULL },
	{ "empty port", "https://h.example:/a", "https h.example 443 /a", NULL },
	{ "port 0", "https://h.example:0/", "", "port" },
	{ "port 65536", "https://h.example:65536/", "", "port" },
	{ "port of letters", "https://h.example:https/", "", "port" },
	{ "user before the host", "https://user@h.example/", "", "user" },
	{ "user and password", "https://u:p@h.example/", "", "user" },
	{ "@ in the path is none", "https://h.example/u@x", "https h.example 443 /u@x", NULL },
	{ "IPv6 literal", "https://[2001:db8::1]/", "", "address" },
	{ "IPv4 address", "https://192.0.2.1/", "", "host name" },
	{ "host in upper case, with a dot", "https://H.Example./", "https h.example 443 /", NULL },
	{ "A-labels", "https://xn--bcher-kva.example/", "https xn--bcher-kva.example 443 /", NULL },
	{ "U-labels", "https://b\xc3\xbc" "cher.example/", "", "A-labels" },
	{ "U-labels in escapes", "https://b%C3%BCcher.example/", "", "A-labels" },
	{ "single label", "https://localhost/", "", "host name" },
	{ "no host", "https:///path", "", "host name" },
	{ "empty label", "https://a..example/", "", "host name" },
	{ "hyphen in front", "https://-a.example/", "", "host name" },
	{ "last label begins with a digit", "https://a.1x/", "https a.1x 443 /", NULL },
	{ "backslash", "https://h.example\\@x.example/", "", "no URI" },
	{ "brackets in the path", "https://h.example/[a]", "", "no URI" },
	{ "percent and no digits", "https://h.example/%zz", "", "hexadecimal" },
	{ "percent at the end", "https://h.example/%2", "", "hexadecimal" },

	/* nothing gets into the request line, an SMTP command or a header */
	{ "blank in the path", "https://h.example/ HTTP/1.1", "", "no URI" },
	{ "CR LF in the path", "https://h.example/\r\nX-Evil: 1", "", "no URI" },
	{ "CR LF in the host", "https://h.example\r\nX: 1/", "", "no URI" },
	{ "CR LF in an address", "mailto:a@h.example\r\nBcc: x@y.example", "", "no URI" },
	{ "CR LF in an address, escaped", "mailto:a@h.example%0D%0ABcc:%20x@y.example", "", "address" },
	{ "CR LF in a quoted local part, escaped", "mailto:%22a%0D%0ABcc%22@h.example", "", "address" },
	{ "NUL, escaped", "mailto:a%00@h.example", "", "address" },
	{ "DEL", "https://h.example/\x7f", "", "no URI" },

	/* mailto, RFC 6068 */
	{ "? parts are not for us", "mailto:a@h.example?subject=x&to=y@z.example", "mailto a@h.example", NULL },
	{ "only ? parts", "mailto:?to=y@z.example", "", "address" },
	{ "escaped question mark is part of the address", "mailto:a%3Fb@h.example", "mailto a?b@h.example", NULL },
	{ "escaped octets of an address", "mailto:%61%2Bb%40h.example", "mailto a+b@h.example", NULL },
	{ "several addresses", "mailto:a@h.example%2Cb@i.example", "mailto a@h.example; mailto b@i.example", NULL },
	{ "several addresses, one of them bad", "mailto:a@h.example%2Cb%2Cc@i.example", "mailto a@h.example; mailto c@i.example", "'b'" },
	{ "quoted local part with a comma", "mailto:%22a%2Cb%22@h.example", "mailto \"a,b\"@h.example", NULL },
	{ "quoted local part with blank and escape", "mailto:%22a%20%5C%22b%22@h.example", "mailto \"a \\\"b\"@h.example", NULL },
	{ "quoted local part without an end", "mailto:%22a@h.example", "", "address" },
	{ "domain in upper case", "mailto:A.b@H.EXAMPLE", "mailto A.b@h.example", NULL },
	{ "no @", "mailto:h.example", "", "address" },
	{ "two @", "mailto:a@b@h.example", "", "address" },
	{ "empty local part", "mailto:@h.example", "", "address" },
	{ "dot at the end", "mailto:a.@h.example", "", "address" },
	{ "two dots", "mailto:a..b@h.example", "", "address" },
	{ "address literal", "mailto:a@%5B192.0.2.1%5D", "", "address" },
	{ "address without its brackets", "mailto:a@192.0.2.1", "", "address" },
	{ "angle brackets", "mailto:%3Ca@h.example%3E", "", "address" },
	{ "UTF-8 address", "mailto:b%C3%BC@h.example", "", "address" },
	{ "UTF-8 domain", "mailto:a@b%C3%BC.example", "", "address" },
	{ "a size behind it, as DMARC had it", "mailto:a@h.example!10m", "", "address" },
	{ "slashes, as in https", "mailto://a@h.example", "mailto //a@h.example", NULL },
	{ "local part of 64", "mailto:1234567890123456789012345678901234567890123456789012345678901234@h.example",
	  "mailto 1234567890123456789012345678901234567890123456789012345678901234@h.example", NULL },
	{ "local part of 65", "mailto:12345678901234567890123456789012345678901234567890123456789012345@h.example", "", "address" },
};

static void test_entries(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(entries); i++) {
		const char *text = sp_arena_printf(&arena, V "%s,mailto:z@z.example", entries[i].entry);
		const char *want = sp_arena_printf(&arena, "%s%smailto z@z.example", entries[i].want, *entries[i].want ? "; " : "");
		struct sp_str txt = sp_str_of(text);
		struct rpt_record r;
		const char *why = NULL;
		enum rpt_record_status got = rpt_record_parse(&txt, 1, &arena, &r, &why);
		print_message("%s: want %s, got %s (%s)\n", entries[i].label, want, print(&r), r.skipped_count ? r.skipped[0] : "");
		assert_int_equal(got, OK);
		assert_string_equal(print(&r), want);
		assert_int_equal(r.skipped_count, entries[i].why ? 1 : 0);
		if (entries[i].why)
			assert_non_null(strstr(r.skipped[0], entries[i].why));
	}
}

/* What the outbox knows endpoints by, and what `report txt` prints. */
static void test_uris(void **state)
{
	(void)state;
	struct sp_str txt = SP_STR(V "mailto:a%2Bb@h.example?subject=x%21,https://h.example/a%2Cb#f,mailto:c@h.example%2C%22d%20%22@h.example,mailto:e@h.example%2C");
	struct rpt_record r;
	const char *why;
	assert_int_equal(rpt_record_parse(&txt, 1, &arena, &r, &why), OK);
	assert_int_equal(r.count, 5);
	assert_string_equal(r.rua[0].uri, "mailto:a%2Bb@h.example?subject=x!");
	assert_string_equal(r.rua[1].uri, "https://h.example/a,b#f");
	assert_string_equal(r.rua[2].uri, "mailto:c@h.example");
	assert_string_equal(r.rua[3].uri, "mailto:%22d%20%22@h.example");
	assert_string_equal(r.rua[4].uri, "mailto:e@h.example");
	assert_string_equal(r.rua[3].address, "\"d \"@h.example");
}

static void test_only_ten_entries_are_used(void **state)
{
	(void)state;
	struct sp_buf b;
	sp_buf_init(&b, 1 << 16);
	sp_buf_adds(&b, V);
	for (int i = 0; i < 50; i++)
		sp_buf_printf(&b, "%s%d@h.example,", i % 2 ? "mailto:" : "", i);
	struct sp_str txt = sp_buf_str(&b);
	struct rpt_record r;
	const char *why;
	assert_int_equal(rpt_record_parse(&txt, 1, &arena, &r, &why), OK);
	assert_int_equal(r.count, RPT_RUA_MAX);
	assert_int_equal(r.skipped_count, RPT_RUA_MAX);         /* those that cannot be used take no place */
	assert_string_equal(r.rua[9].address, "19@h.example");
	sp_buf_clear(&b);
}

static void test_a_nul_ends_nothing(void **state)
{
	(void)state;
	static const struct { const char *label; struct sp_str txt; enum rpt_record_status want; } nul_rows[] = {
		{ "in the host", { V "https://h.example\0/", 36 }, INVALID },
		{ "in an address", { V "mailto:a@h.example\0x", 36 }, INVALID },
		{ "in an extension", { V "mailto:a@h.example; x=\0", 39 }, INVALID },
		{ "in the version", { "v=TLSRPTv1\0; rua=mailto:a@h.example", 36 }, NONE },
	};
	for (size_t i = 0; i < SP_COUNT(nul_rows); i++)
		expect(nul_rows[i].label, &nul_rows[i].txt, 1, nul_rows[i].want, NULL);
}

/* The longest that DNS allows: bounded work, and the good entry is found. */
static void test_a_long_record(void **state)
{
	(void)state;
	static char text[65000];
	memset(text, 'y', sizeof(text));
	memcpy(text, V "https://", strlen(V "https://"));
	memcpy(text + sizeof(text) - 20, ",mailto:a@h.example,", 20);
	struct sp_str txt = sp_str_make(text, sizeof(text));
	expect("one entry too long", &txt, 1, OK, "mailto a@h.example");
	memset(text + strlen(V), ',', sizeof(text) - strlen(V) - 20);
	expect("only commas", &txt, 1, OK, "mailto a@h.example");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_records, teardown), cmocka_unit_test_teardown(test_entries, teardown),
		cmocka_unit_test_teardown(test_uris, teardown), cmocka_unit_test_teardown(test_only_ten_entries_are_used, teardown),
		cmocka_unit_test_teardown(test_a_nul_ends_nothing, teardown), cmocka_unit_test_teardown(test_a_long_record, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/sts_tlsa_test.c - sts/tlsa.c: which TLSA records bind us. Every trap of DANE that is about records has a row here. */
#include "sts/tlsa.h"

#include "core/buf.h"
#include "tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define BASE "mx.example.com"
#define RECORDS 8

static struct cert made;
static struct sp_buf der, spki;

static int set_up(void **state)
{
	(void)state;
	made = cert_make(&(struct cert_ask){ .cn = "mx", .alt = "DNS:mx.example.com" }, NULL);
	unsigned char *p = NULL;
	sp_buf_init(&der, 65536);
	sp_buf_init(&spki, 65536);
	int len = i2d_X509(made.x509, &p);
	sp_buf_add(&der, sp_str_make((const char *)p, (size_t)len));
	OPENSSL_free(p);
	p = NULL;
	len = i2d_PUBKEY(made.key, &p);
	sp_buf_add(&spki, sp_str_make((const char *)p, (size_t)len));
	OPENSSL_free(p);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cert_clear(&made);
	sp_buf_clear(&der);
	sp_buf_clear(&spki);
	return 0;
}

enum data { END, OCTETS, CERT, CERT_AND_MORE, CERT_CUT, KEY, KEY_CUT };
struct row {
	enum data data;
	int usage, selector, matching;
	size_t len;                     /* OCTETS: how many */
	char fill;
};

static struct core_dns_record record_of(const struct row *row, struct sp_arena *arena)
{
	struct sp_buf b;
	sp_buf_init(&b, 1 << 20);
	switch (row->data) {
	case END:
		break;
	case OCTETS:
		for (size_t i = 0; i < row->len; i++)
			sp_buf_addc(&b, row->fill ? row->fill : 'a');
		break;
	case CERT:
	case CERT_AND_MORE:
	case CERT_CUT:
		sp_buf_add(&b, sp_buf_str(&der));
		if (row->data == CERT_AND_MORE)
			sp_buf_addc(&b, '\0');
		if (row->data == CERT_CUT)
			sp_buf_truncate(&b, b.len - 1);
		break;
	case KEY:
	case KEY_CUT:
		sp_buf_add(&b, sp_buf_str(&spki));
		if (row->data == KEY_CUT)
			sp_buf_truncate(&b, b.len - 1);
		break;
	}
	struct core_dns_record r = { .type = CORE_DNS_TLSA, .ttl_s = 60,
		.tlsa = { (uint8_t)row->usage, (uint8_t)row->selector, (uint8_t)row->matching, { sp_arena_dup(arena, sp_buf_str(&b)), b.len } } };
	sp_buf_clear(&b);
	return r;
}

static struct core_dns_answer answer_of(enum core_dns_status status, bool authenticated, const struct row *rows, struct sp_arena *arena)
{
	struct core_dns_record *records = sp_arena_alloc(arena, RECORDS * sizeof(*records));
	struct core_dns_answer a = { .status = status, .authenticated = authenticated, .name = "_25._tcp." BASE, .records = records };
	for (; a.count < RECORDS && rows[a.count].data != END; a.count++)
		records[a.count] = record_of(&rows[a.count], arena);
	return a;
}

/* ---- records ---- */

static const struct {
	const char *label;
	struct row records[RECORDS];
	const char *want;               /* numbers of the records that count, or the reason why none does */
} sets[] = {
	{ "DANE-EE, key, SHA2-256", { { OCTETS, 3, 1, 1, 32 } }, "3 1 1" },
	{ "DANE-EE, certificate, SHA2-512", { { OCTETS, 3, 0, 2, 64 } }, "3 0 2" },
	{ "DANE-TA, key, SHA2-256", { { OCTETS, 2, 1, 1, 32 } }, "2 1 1" },
	{ "DANE-TA, whole certificate", { { CERT, 2, 0, 0 } }, "2 0 0" },
	{ "DANE-TA, whole key", { { KEY, 2, 1, 0 } }, "2 1 0" },
	{ "DANE-EE, whole key", { { KEY, 3, 1, 0 } }, "3 1 0" },

	/* RFC 7672 3.1.3: only usages 2 and 3 */
	{ "PKIX-EE is unusable for SMTP", { { OCTETS, 1, 1, 1, 32 } }, "tlsa-usage" },
	{ "PKIX-TA is unusable for SMTP", { { OCTETS, 0, 0, 1, 32 } }, "tlsa-usage" },
	{ "unknown usage", { { OCTETS, 4, 1, 1, 32 } }, "tlsa-usage" },
	{ "private use", { { OCTETS, 255, 255, 255, 32 } }, "tlsa-usage" },
	{ "unknown selector", { { OCTETS, 3, 2, 1, 32 } }, "tlsa-selector" },
	{ "unknown matching type", { { OCTETS, 3, 1, 3, 32 } }, "tlsa-matching" },
	{ "mixed usable and unusable: the usable ones", { { OCTETS, 1, 1, 1, 32 }, { OCTETS, 3, 1, 1, 32 }, { OCTETS, 3, 1, 9, 32 } }, "3 1 1" },
	{ "all unusable: what is wrong with the first", { { OCTETS, 0, 0, 1, 32 }, { OCTETS, 3, 1, 1, 31 } }, "tlsa-length" },

	/* lengths */
	{ "as short as a record can be", { { OCTETS, 255, 255, 255, 0 } }, "tlsa-usage" },
	{ "no digest", { { OCTETS, 3, 1, 1, 0 } }, "tlsa-length" },
	{ "a digest of one octet", { { OCTETS, 3, 1, 1, 1 } }, "tlsa-length" },
	{ "a digest of two octets", { { OCTETS, 3, 1, 1, 2 } }, "tlsa-length" },
	{ "a digest of three octets", { { OCTETS, 3, 1, 1, 3 } }, "tlsa-length" },
	{ "SHA2-256 of 31 octets", { { OCTETS, 3, 1, 1, 31 } }, "tlsa-length" },
	{ "SHA2-256 of 33 octets", { { OCTETS, 3, 1, 1, 33 } }, "tlsa-length" },
	{ "SHA2-512 as long as SHA2-256", { { OCTETS, 3, 1, 2, 32 } }, "tlsa-length" },
	{ "SHA2-256 as long as SHA2-512", { { OCTETS, 3, 1, 1, 64 } }, "tlsa-length" },
	{ "no certificate", { { OCTETS, 2, 0, 0, 0 } }, "tlsa-data" },
	{ "octets that are no certificate", { { OCTETS, 2, 0, 0, 300 } }, "tlsa-data" },
	{ "octets that are no key", { { OCTETS, 2, 1, 0, 91 } }, "tlsa-data" },
	{ "a certificate where a key should be", { { CERT, 3, 1, 0 } }, "tlsa-data" },
	{ "a key where a certificate should be", { { KEY, 3, 0, 0 } }, "tlsa-data" },
	{ "a certificate and an octet more", { { CERT_AND_MORE, 2, 0, 0 } }, "tlsa-data" },
	{ "a certificate and an octet less", { { CERT_CUT, 2, 0, 0 } }, "tlsa-data" },
	{ "a key and an octet less", { { KEY_CUT, 2, 1, 0 } }, "tlsa-data" },

	/* RFC 7671 9: digest agility, for each usage and selector */
	{ "the stronger digest only", { { OCTETS, 3, 1, 1, 32 }, { OCTETS, 3, 1, 2, 64 } }, "3 1 2" },
	{ "the stronger digest only, in any order", { { OCTETS, 3, 1, 2, 64 }, { OCTETS, 3, 1, 1, 32 } }, "3 1 2" },
	{ "several of the stronger: rollover", { { OCTETS, 3, 1, 2, 64, 'a' }, { OCTETS, 3, 1, 1, 32 }, { OCTETS, 3, 1, 2, 64, 'b' } }, "3 1 2, 3 1 2" },
	{ "old and new key: rollover", { { OCTETS, 3, 1, 1, 32, 'a' }, { OCTETS, 3, 1, 1, 32, 'b' } }, "3 1 1, 3 1 1" },
	{ "another selector is another matter", { { OCTETS, 3, 1, 1, 32 }, { OCTETS, 3, 0, 2, 64 } }, "3 1 1, 3 0 2" },
	{ "another usage is another matter", { { OCTETS, 3, 1, 1, 32 }, { OCTETS, 2, 1, 2, 64 } }, "3 1 1, 2 1 2" },
	{ "in full counts beside a digest", { { KEY, 3, 1, 0 }, { OCTETS, 3, 1, 1, 32 } }, "3 1 1, 3 1 0" },
	{ "a stronger digest that is broken pushes nothing aside", { { OCTETS, 3, 1, 1, 32 }, { OCTETS, 3, 1, 2, 63 } }, "3 1 1" },
	{ "the same twice is one", { { OCTETS, 3, 1, 1, 32 }, { OCTETS, 3, 1, 1, 32 } }, "3 1 1" },
};

static void test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(sets); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct core_dns_answer a = answer_of(CORE_DNS_OK, true, sets[i].records, &arena);
		struct sts_tlsa t;
		memset(&t, 0x55, sizeof(t));
		sts_tlsa_judge(&a, BASE, &arena, &t);
		struct sp_buf got;
		sp_buf_init(&got, 1024);
		for (size_t k = 0; k < t.count; k++)
			sp_buf_printf(&got, "%s%u %u %u", k ? ", " : "", t.records[k].usage, t.records[k].selector, t.records[k].matching);
		if (t.state == STS_TLSA_UNUSABLE)
			sp_buf_adds(&got, t.fail.reason);
		print_message("%s: want %s, got %s %s (%s)\n", sets[i].label, sets[i].want, sts_tlsa_state_str(t.state), sp_buf_cstr(&got), t.fail.text);
		assert_string_equal(sp_buf_cstr(&got), sets[i].want);
		assert_int_equal(t.state, t.count ? STS_TLSA_USABLE : STS_TLSA_UNUSABLE);
		assert_int_equal(sp_failed(&t.fail), t.state == STS_TLSA_UNUSABLE);
		assert_int_equal(t.fail.result, t.count ? SP_RESULT_NONE : SP_RESULT_TLSA_INVALID);
		assert_string_equal(t.base, BASE);
		assert_true(*t.strings != '\0');
		sp_buf_clear(&got);
		sp_arena_clear(&arena);
	}
}

/* ---- answers ---- */

static void test_answers(void **state)
{
	(void)state;
	static const struct {
		const char *label;
		enum core_dns_status status;
		bool authenticated;
		enum sts_tlsa_state want;
		const char *reason;
	} rows[] = {
		{ "secure records", CORE_DNS_OK, true, STS_TLSA_USABLE, "" },
		{ "insecure records are none (RFC 7672 2.1.1)", CORE_DNS_OK, false, STS_TLSA_NONE, "" },
		{ "secure: there are none", CORE_DNS_NODATA, true, STS_TLSA_NONE, "" },
		{ "insecure: there are none", CORE_DNS_NODATA, false, STS_TLSA_NONE, "" },
		{ "no such name", CORE_DNS_NXDOMAIN, true, STS_TLSA_NONE, "" },
		{ "no such name, insecure", CORE_DNS_NXDOMAIN, false, STS_TLSA_NONE, "" },
		{ "too long a name", CORE_DNS_BADNAME, false, STS_TLSA_NONE, "" },
		{ "SERVFAIL is not NODATA: bogus, or kept from us", CORE_DNS_SERVFAIL, false, STS_TLSA_FAILED, "servfail" },
		{ "no answer", CORE_DNS_TIMEOUT, false, STS_TLSA_FAILED, "timeout" },
		{ "refused", CORE_DNS_REFUSED, false, STS_TLSA_FAILED, "refused" },
		{ "malformed", CORE_DNS_MALFORMED, false, STS_TLSA_FAILED, "malformed" },
		{ "CNAMEs in a circle", CORE_DNS_CHAIN, true, STS_TLSA_FAILED, "cname-chain" },
	};
	static const struct row one[RECORDS] = { { OCTETS, 3, 1, 1, 32 } }, none[RECORDS] = { { END } };
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct core_dns_answer a = answer_of(rows[i].status, rows[i].authenticated, rows[i].status == CORE_DNS_OK ? one : none, &arena);
		struct sts_tlsa t;
		sts_tlsa_judge(&a, BASE, &arena, &t);
		print_message("%s: want %s %s, got %s %s (%s)\n", rows[i].label, sts_tlsa_state_str(rows[i].want), rows[i].reason, sts_tlsa_state_str(t.state),
		              t.fail.reason, t.fail.text);
		assert_int_equal(t.state, rows[i].want);
		assert_string_equal(t.fail.reason, rows[i].reason);
		assert_int_equal(t.fail.result, rows[i].want == STS_TLSA_FAILED ? SP_RESULT_DNSSEC_INVALID : SP_RESULT_NONE);
		assert_false(t.fail.permanent);
		assert_int_equal(t.count > 0, rows[i].want == STS_TLSA_USABLE);
		assert_int_equal(*t.strings != '\0', rows[i].want == STS_TLSA_USABLE);
		sp_arena_clear(&arena);
	}
}

/* RFC 8460 4.4 shows them so; the order is ours, or each turn of a round robin were another policy in the report. */
static void test_strings(void **state)
{
	(void)state;
	static const struct row rows[RECORDS] = { { OCTETS, 3, 1, 1, 32, '\x1f' }, { OCTETS, 0, 0, 1, 2, '\xab' }, { OCTETS, 255, 255, 255, 0 },
	                                          { OCTETS, 3, 1, 1, 32, '\x12' } };
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct core_dns_answer a = answer_of(CORE_DNS_OK, true, rows, &arena);
	struct core_dns_record turned[RECORDS];
	for (size_t i = 0; i < a.count; i++)
		turned[i] = a.records[a.count - 1 - i];
	struct core_dns_answer b = a;
	b.records = turned;
	struct sts_tlsa t, u;
	sts_tlsa_judge(&a, BASE, &arena, &t);
	sts_tlsa_judge(&b, BASE, &arena, &u);
	print_message("%s", t.strings);
	assert_string_equal(t.strings, "255 255 255\n"
	                    "3 1 1 1212121212121212121212121212121212121212121212121212121212121212\n"
	                    "3 1 1 1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1F\n"
	                    "0 0 1 ABAB\n");
	assert_string_equal(t.strings, u.strings);
	assert_true(sts_tlsa_equal(&t, &u));
	sp_arena_clear(&arena);
}

/* DESIGN.md, limits: 100 are looked at. */
static void test_more_than_the_limit(void **state)
{
	(void)state;
	struct sp_arena arena = SP_ARENA_EMPTY;
	enum { MANY = 130 };
	static struct core_dns_record records[MANY];
	for (size_t i = 0; i < MANY; i++) {
		records[i] = record_of(&(struct row){ OCTETS, 3, 1, 1, 32 }, &arena);
		char *p = sp_arena_dup(&arena, records[i].tlsa.data);
		p[0] = (char)i;
		records[i].tlsa.data.p = p;
	}
	struct core_dns_answer a = { .status = CORE_DNS_OK, .authenticated = true, .name = "", .records = records, .count = MANY };
	struct sts_tlsa t;
	sts_tlsa_judge(&a, BASE, &arena, &t);
	assert_int_equal(t.count, STS_TLSA_MAX);
	assert_int_equal(t.ignored, MANY - STS_TLSA_MAX);
	sp_arena_clear(&arena);
}

static void test_equal(void **state)
{
	(void)state;
	static const struct {
		const char *label;
		struct row a[RECORDS], b[RECORDS];
		const char *base;
		bool want;
	} rows[] = {
		{ "the same", { { OCTETS, 3, 1, 1, 32 } }, { { OCTETS, 3, 1, 1, 32 } }, BASE, true },
		{ "an unusable one beside it proves nothing", { { OCTETS, 3, 1, 1, 32 } }, { { OCTETS, 3, 1, 1, 32 }, { OCTETS, 1, 1, 1, 32 } }, BASE, true },
		{ "another key", { { OCTETS, 3, 1, 1, 32 } }, { { OCTETS, 3, 1, 1, 32, 'b' } }, BASE, false },
		{ "one more key", { { OCTETS, 3, 1, 1, 32 } }, { { OCTETS, 3, 1, 1, 32 }, { OCTETS, 3, 1, 1, 32, 'b' } }, BASE, false },
		{ "another selector", { { OCTETS, 3, 1, 1, 32 } }, { { OCTETS, 3, 0, 1, 32 } }, BASE, false },
		{ "another base is another name to be for", { { OCTETS, 2, 1, 1, 32 } }, { { OCTETS, 2, 1, 1, 32 } }, "mx.example.org", false },
		{ "unusable is not usable", { { OCTETS, 3, 1, 1, 32 } }, { { OCTETS, 3, 1, 1, 31 } }, BASE, false },
		{ "unusable is unusable", { { OCTETS, 3, 1, 1, 30 } }, { { OCTETS, 3, 1, 1, 31 } }, BASE, true },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_arena arena = SP_ARENA_EMPTY;
		struct core_dns_answer a = answer_of(CORE_DNS_OK, true, rows[i].a, &arena), b = answer_of(CORE_DNS_OK, true, rows[i].b, &arena);
		struct sts_tlsa x, y;
		sts_tlsa_judge(&a, BASE, &arena, &x);
		sts_tlsa_judge(&b, rows[i].base, &arena, &y);
		print_message("%s: want %d, got %d\n", rows[i].label, rows[i].want, sts_tlsa_equal(&x, &y));
		assert_int_equal(sts_tlsa_equal(&x, &y), rows[i].want);
		assert_int_equal(sts_tlsa_equal(&y, &x), rows[i].want);
		assert_false(sts_tlsa_equal(&x, NULL));
		sp_arena_clear(&arena);
	}
	struct sts_tlsa none = { .state = STS_TLSA_NONE };
	assert_true(sts_tlsa_equal(&none, NULL));
	assert_true(sts_tlsa_equal(NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records), cmocka_unit_test(test_answers), cmocka_unit_test(test_strings), cmocka_unit_test(test_more_than_the_limit),
		cmocka_unit_test(test_equal),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

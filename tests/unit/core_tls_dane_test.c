/* tests/unit/core_tls_dane_test.c - core/tls_dane.c: chains made on the spot against TLSA records made of them. Nothing here chains to a root that the
 * client trusts, but for the one row that shows that this is worth nothing. */
#include "core/tls_impl.h"
#include "tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define BASE "mx.example.com"
#define NEXT_HOP "example.com"
#define RECORDS 4

/* root -> middle -> leaf, and others beside it. */
enum who { NOBODY, ROOT, MIDDLE, LEAF, EXPIRED, FUTURE, OTHER_NAME, DOMAIN_NAME, NAMELESS, CLIENTS_ONLY, WEAK, FORGED, OF_OLD_MIDDLE, OLD_MIDDLE, ALONE,
	STRANGER, TRUSTED, OF_TRUSTED, WHO_COUNT };
static struct cert certs[WHO_COUNT];
static struct core_tls_client *client;

static void make(enum who who, enum who by, const struct cert_ask *ask)
{
	certs[who] = cert_make(ask, by == NOBODY ? NULL : &certs[by]);
}

/* The middle's name on it, and nobody's signature. */
static void forge(void)
{
	certs[FORGED] = cert_make(&(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE }, &certs[STRANGER]);
	X509_set_issuer_name(certs[FORGED].x509, X509_get_subject_name(certs[MIDDLE].x509));
	int at = X509_get_ext_by_NID(certs[FORGED].x509, NID_authority_key_identifier, -1);
	if (at >= 0)
		X509_EXTENSION_free(X509_delete_ext(certs[FORGED].x509, at));
	sp_assert(X509_sign(certs[FORGED].x509, certs[STRANGER].key, EVP_sha256()) > 0);
}

#define DAYS(a, b) .from_s = (a) * CERT_DAY, .to_s = (b) * CERT_DAY

static int set_up(void **state)
{
	(void)state;
	make(ROOT, NOBODY, &(struct cert_ask){ .cn = "Root", .ca = true, DAYS(-99, 99) });
	make(MIDDLE, ROOT, &(struct cert_ask){ .cn = "Middle", .ca = true, DAYS(-99, 99) });
	make(OLD_MIDDLE, ROOT, &(struct cert_ask){ .cn = "Old Middle", .ca = true, DAYS(-99, -1) });
	make(STRANGER, NOBODY, &(struct cert_ask){ .cn = "Stranger", .ca = true });
	make(TRUSTED, NOBODY, &(struct cert_ask){ .cn = "Trusted", .ca = true });
	make(LEAF, MIDDLE, &(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE });
	make(EXPIRED, MIDDLE, &(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE, DAYS(-9, -1) });
	make(FUTURE, MIDDLE, &(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE, DAYS(1, 9) });
	make(OTHER_NAME, MIDDLE, &(struct cert_ask){ .cn = BASE, .alt = "DNS:mx.example.org" });
	make(DOMAIN_NAME, MIDDLE, &(struct cert_ask){ .cn = "x", .alt = "DNS:" NEXT_HOP });
	make(NAMELESS, MIDDLE, &(struct cert_ask){ .cn = BASE });
	make(CLIENTS_ONLY, MIDDLE, &(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE, .usage = "clientAuth" });
	make(WEAK, MIDDLE, &(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE, .weak = true });
	make(OF_OLD_MIDDLE, OLD_MIDDLE, &(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE });
	make(ALONE, NOBODY, &(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE });
	make(OF_TRUSTED, TRUSTED, &(struct cert_ask){ .cn = "x", .alt = "DNS:" BASE });
	forge();

	char path[64];
	cert_write_pem(&certs[TRUSTED], path);
	struct sp_fail why;
	client = core_tls_client_new(path, &why);
	unlink(path);
	return client ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < WHO_COUNT; i++)
		cert_clear(&certs[i]);
	core_tls_client_unref(client);
	return 0;
}

/* "2 1 1" of a certificate. The data is for OPENSSL_free(). */
struct spec { int usage, selector, matching; enum who of; };

static struct core_tlsa record_of(const struct spec *s)
{
	unsigned char *der = NULL, *data = OPENSSL_malloc(EVP_MAX_MD_SIZE);
	unsigned len = 0;
	X509 *x = certs[s->of].x509;
	int size = s->selector == 0 ? i2d_X509(x, &der) : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	sp_assert(size > 0 && data);
	struct core_tlsa r = { (uint8_t)s->usage, (uint8_t)s->selector, (uint8_t)s->matching, { (char *)der, (size_t)size } };
	if (s->matching == 0) {
		OPENSSL_free(data);
		return r;
	}
	sp_assert(EVP_Digest(der, (size_t)size, data, &len, s->matching == 1 ? EVP_sha256() : EVP_sha512(), NULL) == 1);
	OPENSSL_free(der);
	r.data = sp_str_make((char *)data, len);
	return r;
}

#define OK SP_RESULT_NONE
#define NO_MATCH SP_RESULT_VALIDATION_FAILURE
#define WRONG_NAME SP_RESULT_CERTIFICATE_HOST_MISMATCH
#define TOO_OLD SP_RESULT_CERTIFICATE_EXPIRED
#define UNTRUSTED SP_RESULT_CERTIFICATE_NOT_TRUSTED

static const struct {
	const char *label;
	struct spec records[RECORDS];
	enum who chain[3];
	enum sp_result want;
	int depth;
	const char *reason;             /* NULL: whatever */
} rows[] = {
	/* RFC 7672 3.1.1: DANE-EE */
	{ "3 1 1", { { 3, 1, 1, LEAF } }, { LEAF, MIDDLE }, OK, 0, "" },
	{ "3 1 2", { { 3, 1, 2, LEAF } }, { LEAF, MIDDLE }, OK, 0, "" },
	{ "3 1 0", { { 3, 1, 0, LEAF } }, { LEAF, MIDDLE }, OK, 0, "" },
	{ "3 0 1", { { 3, 0, 1, LEAF } }, { LEAF, MIDDLE }, OK, 0, "" },
	{ "3 0 2", { { 3, 0, 2, LEAF } }, { LEAF, MIDDLE }, OK, 0, "" },
	{ "3 0 0", { { 3, 0, 0, LEAF } }, { LEAF, MIDDLE }, OK, 0, "" },
	{ "3 1 1, self-signed", { { 3, 1, 1, ALONE } }, { ALONE }, OK, 0, "" },
	{ "3 1 1, the chain is not shown", { { 3, 1, 1, LEAF } }, { LEAF }, OK, 0, "" },
	{ "3 ignores dates: expired", { { 3, 1, 1, EXPIRED } }, { EXPIRED, MIDDLE }, OK, 0, "" },
	{ "3 ignores dates: not valid yet", { { 3, 1, 1, FUTURE } }, { FUTURE, MIDDLE }, OK, 0, "" },
	{ "3 ignores names: another", { { 3, 1, 1, OTHER_NAME } }, { OTHER_NAME, MIDDLE }, OK, 0, "" },
	{ "3 ignores names: none", { { 3, 0, 1, NAMELESS } }, { NAMELESS, MIDDLE }, OK, 0, "" },
	{ "3 ignores purposes", { { 3, 1, 1, CLIENTS_ONLY } }, { CLIENTS_ONLY, MIDDLE }, OK, 0, "" },
	{ "3 ignores signatures", { { 3, 1, 1, FORGED } }, { FORGED, MIDDLE }, OK, 0, "" },
	{ "3 takes the key as it is", { { 3, 1, 1, WEAK } }, { WEAK, MIDDLE }, OK, 0, "" },
	{ "3 of another key", { { 3, 1, 1, ALONE } }, { LEAF, MIDDLE }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "3 of the issuer proves nothing", { { 3, 1, 1, MIDDLE } }, { LEAF, MIDDLE, ROOT }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "a root that we trust proves nothing", { { 3, 1, 1, ALONE } }, { OF_TRUSTED, TRUSTED }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "a root that we trust proves nothing to usage 2", { { 2, 0, 1, ROOT } }, { OF_TRUSTED, TRUSTED }, NO_MATCH, -1, "tlsa-mismatch" },

	/* RFC 7672 3.1.2: DANE-TA */
	{ "2 1 1, one level up", { { 2, 1, 1, MIDDLE } }, { LEAF, MIDDLE }, OK, 1, "" },
	{ "2 1 1, one level up, the root shown too", { { 2, 1, 1, MIDDLE } }, { LEAF, MIDDLE, ROOT }, OK, 1, "" },
	{ "2 1 1, two levels up", { { 2, 1, 1, ROOT } }, { LEAF, MIDDLE, ROOT }, OK, 2, "" },
	{ "2 0 1, one level up", { { 2, 0, 1, MIDDLE } }, { LEAF, MIDDLE }, OK, 1, "" },
	{ "2 0 1, two levels up", { { 2, 0, 1, ROOT } }, { LEAF, MIDDLE, ROOT }, OK, 2, "" },
	{ "2 0 2, two levels up", { { 2, 0, 2, ROOT } }, { LEAF, MIDDLE, ROOT }, OK, 2, "" },
	{ "2 0 0, one level up", { { 2, 0, 0, MIDDLE } }, { LEAF, MIDDLE }, OK, 1, "" },
	{ "2 0 0, two levels up", { { 2, 0, 0, ROOT } }, { LEAF, MIDDLE, ROOT }, OK, 2, "" },
	{ "2 0 0, the anchor is not in the chain", { { 2, 0, 0, ROOT } }, { LEAF, MIDDLE }, OK, 2, "" },
	{ "2 0 0, the issuer is not in the chain", { { 2, 0, 0, MIDDLE } }, { LEAF }, OK, 1, "" },
	{ "2 1 0, one level up", { { 2, 1, 0, MIDDLE } }, { LEAF, MIDDLE }, OK, 1, "" },
	{ "2 1 0, the key's certificate is not in the chain", { { 2, 1, 0, ROOT } }, { LEAF, MIDDLE }, OK, 1, "" },
	{ "2 1 0, the issuer is not in the chain", { { 2, 1, 0, MIDDLE } }, { LEAF }, OK, 0, "" },
	{ "2 1 1, the anchor is not in the chain: a digest gives none", { { 2, 1, 1, ROOT } }, { LEAF, MIDDLE }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "2 0 1, the chain is in disorder", { { 2, 0, 1, ROOT } }, { LEAF, ROOT, MIDDLE }, OK, 2, "" },
	{ "2 0 1 of one that did not sign", { { 2, 0, 1, STRANGER } }, { LEAF, MIDDLE, STRANGER }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "2 0 0 of one that did not sign", { { 2, 0, 0, STRANGER } }, { LEAF, MIDDLE, ROOT }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "2 checks dates", { { 2, 1, 1, MIDDLE } }, { EXPIRED, MIDDLE }, TOO_OLD, -1, "X509_V_ERR_CERT_HAS_EXPIRED" },
	{ "2 checks dates: not valid yet", { { 2, 1, 1, MIDDLE } }, { FUTURE, MIDDLE }, UNTRUSTED, -1, "X509_V_ERR_CERT_NOT_YET_VALID" },
	{ "2 checks dates on the way", { { 2, 1, 1, ROOT } }, { OF_OLD_MIDDLE, OLD_MIDDLE, ROOT }, TOO_OLD, -1, "X509_V_ERR_CERT_HAS_EXPIRED" },
	{ "2 checks names", { { 2, 1, 1, MIDDLE } }, { OTHER_NAME, MIDDLE }, WRONG_NAME, -1, "X509_V_ERR_HOSTNAME_MISMATCH" },
	{ "2 takes the next hop's domain (RFC 7672 3.2.2)", { { 2, 1, 1, MIDDLE } }, { DOMAIN_NAME, MIDDLE }, OK, 1, "" },
	{ "2: the CN counts for nothing", { { 2, 1, 1, MIDDLE } }, { NAMELESS, MIDDLE }, WRONG_NAME, -1, NULL },
	{ "2 checks purposes", { { 2, 1, 1, MIDDLE } }, { CLIENTS_ONLY, MIDDLE }, UNTRUSTED, -1, "X509_V_ERR_INVALID_PURPOSE" },
	{ "2 checks keys", { { 2, 1, 1, MIDDLE } }, { WEAK, MIDDLE }, UNTRUSTED, -1, "X509_V_ERR_EE_KEY_TOO_SMALL" },
	{ "2 checks signatures", { { 2, 1, 1, MIDDLE } }, { FORGED, MIDDLE }, UNTRUSTED, -1, "X509_V_ERR_CERT_SIGNATURE_FAILURE" },
	{ "2 checks signatures up to the anchor", { { 2, 1, 1, ROOT } }, { FORGED, MIDDLE, ROOT }, UNTRUSTED, -1, "X509_V_ERR_CERT_SIGNATURE_FAILURE" },

	/* several */
	{ "rollover: the old one", { { 3, 1, 1, LEAF }, { 3, 1, 1, ALONE } }, { LEAF, MIDDLE }, OK, 0, "" },
	{ "rollover: the new one", { { 3, 1, 1, LEAF }, { 3, 1, 1, ALONE } }, { ALONE }, OK, 0, "" },
	{ "either usage: 3", { { 3, 1, 1, LEAF }, { 2, 1, 1, STRANGER } }, { LEAF, MIDDLE }, OK, 0, "" },
	{ "either usage: 2", { { 3, 1, 1, ALONE }, { 2, 1, 1, MIDDLE } }, { LEAF, MIDDLE }, OK, 1, "" },
	{ "3 before 2: dates are ignored", { { 2, 1, 1, MIDDLE }, { 3, 1, 1, EXPIRED } }, { EXPIRED, MIDDLE }, OK, 0, "" },
	{ "none of several", { { 3, 1, 1, ALONE }, { 2, 1, 1, STRANGER }, { 3, 0, 2, MIDDLE }, { 2, 0, 0, OLD_MIDDLE } }, { LEAF, MIDDLE, ROOT }, NO_MATCH, -1,
	  "tlsa-mismatch" },

	/* what should not be here proves nothing */
	{ "usage 1 is passed over", { { 1, 1, 1, LEAF } }, { LEAF, MIDDLE }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "usage 1 is passed over, a root that we trust", { { 1, 1, 1, OF_TRUSTED } }, { OF_TRUSTED, TRUSTED }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "usage 0 is passed over", { { 0, 1, 1, TRUSTED } }, { OF_TRUSTED, TRUSTED }, NO_MATCH, -1, "tlsa-mismatch" },
	{ "no records", { { 0, 0, 0, NOBODY } }, { OF_TRUSTED, TRUSTED }, NO_MATCH, -1, "tlsa-mismatch" },
};

struct shown { struct x509_chain chain; struct core_tls_peer peer; };

static void show(const enum who *chain, struct shown *s)
{
	s->chain.certs = sk_X509_new_null();
	for (size_t i = 0; i < 3 && chain[i] != NOBODY; i++)
		sk_X509_push(s->chain.certs, certs[chain[i]].x509);
	s->peer = (struct core_tls_peer){ .version = "TLSv1.3", .cipher = "c", .chain = &s->chain };
}

static bool verify(const struct core_tls_peer *peer, const struct core_tlsa *records, size_t count, int *depth, struct sp_fail *why)
{
	static const char *const names[] = { BASE, NEXT_HOP };
	struct core_tls_dane dane = { .records = records, .count = count, .names = names, .name_count = SP_COUNT(names) };
	return core_tls_verify_dane(client, peer, &dane, CERT_NOW, depth, why);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct core_tlsa records[RECORDS];
		size_t count = 0;
		for (; count < RECORDS && rows[i].records[count].of != NOBODY; count++)
			records[count] = record_of(&rows[i].records[count]);
		struct shown s;
		struct sp_fail why;
		int depth = 99;
		show(rows[i].chain, &s);
		bool got = verify(&s.peer, records, count, &depth, &why);
		print_message("%s: want %s %s at %d, got %s %s at %d (%s)\n", rows[i].label, sp_result_str(rows[i].want), rows[i].reason ? rows[i].reason : "",
		              rows[i].depth, sp_result_str(why.result), why.reason, depth, why.text);
		assert_int_equal(got, rows[i].want == OK);
		assert_int_equal(sp_failed(&why), !got);
		assert_int_equal(why.result, rows[i].want);
		assert_int_equal(depth, rows[i].depth);
		if (rows[i].reason)
			assert_string_equal(why.reason, rows[i].reason);
		sk_X509_free(s.chain.certs);
		for (size_t k = 0; k < count; k++)
			OPENSSL_free((void *)records[k].data.p);
	}
}

/* An operator compares the two. */
static void test_a_mismatch_tells_what_was_asked_and_what_was_shown(void **state)
{
	(void)state;
	struct core_tlsa asked = record_of(&(struct spec){ 3, 1, 1, ALONE }), shown = record_of(&(struct spec){ 3, 1, 1, LEAF });
	struct sp_buf want;
	struct shown s;
	struct sp_fail why;
	show((const enum who[]){ LEAF, MIDDLE, NOBODY }, &s);
	assert_false(verify(&s.peer, &asked, 1, NULL, &why));
	sp_buf_init(&want, 256);
	for (size_t i = 0; i < 4; i++)
		sp_buf_printf(&want, "%02X", (unsigned char)asked.data.p[i]);
	print_message("%s\n", why.text);
	assert_non_null(strstr(why.text, sp_buf_cstr(&want)));
	sp_buf_reset(&want);
	sp_buf_adds(&want, "3 1 1 ");
	for (size_t i = 0; i < shown.data.len; i++)
		sp_buf_printf(&want, "%02X", (unsigned char)shown.data.p[i]);
	assert_non_null(strstr(why.text, sp_buf_cstr(&want)));
	sp_buf_clear(&want);
	sk_X509_free(s.chain.certs);
	OPENSSL_free((void *)asked.data.p);
	OPENSSL_free((void *)shown.data.p);
}

static void test_no_certificate(void **state)
{
	(void)state;
	struct core_tlsa r = record_of(&(struct spec){ 3, 1, 1, LEAF });
	struct core_tls_peer peer = { .version = "TLSv1.2", .cipher = "ADH-AES256-SHA" };
	struct sp_fail why;
	assert_false(verify(&peer, &r, 1, NULL, &why));
	assert_int_equal(why.result, SP_RESULT_VALIDATION_FAILURE);
	assert_string_equal(why.reason, "no-certificate");
	OPENSSL_free((void *)r.data.p);
}

/* What sts/tlsa.c would have refused does no harm here either, and a good record beside it counts. */
static void test_broken_records_are_passed_over(void **state)
{
	(void)state;
	static const char octets[64];
	struct core_tlsa good = record_of(&(struct spec){ 3, 1, 1, LEAF });
	const struct core_tlsa broken[] = {
		{ 3, 1, 1, { octets, 0 } }, { 3, 1, 1, { NULL, 0 } }, { 3, 1, 1, { octets, 31 } }, { 3, 1, 2, { octets, 32 } }, { 3, 1, 9, { octets, 32 } },
		{ 3, 9, 1, { octets, 32 } }, { 2, 0, 0, { octets, 0 } }, { 2, 0, 0, { octets, 64 } }, { 2, 1, 0, { octets, 64 } }, { 2, 0, 0, { good.data.p, 32 } },
		{ 255, 255, 255, { octets, 0 } },
	};
	struct shown s;
	show((const enum who[]){ LEAF, MIDDLE, NOBODY }, &s);
	for (size_t i = 0; i < SP_COUNT(broken); i++) {
		struct core_tlsa both[] = { broken[i], good };
		struct sp_fail why;
		assert_false(verify(&s.peer, &broken[i], 1, NULL, &why));
		assert_string_equal(why.reason, "tlsa-mismatch");
		assert_true(verify(&s.peer, both, 2, NULL, &why));
	}
	sk_X509_free(s.chain.certs);
	OPENSSL_free((void *)good.data.p);
}

/* RFC 7672 3.2.2: usage 2 without a name to be for proves nothing. */
static void test_usage_2_wants_a_name(void **state)
{
	(void)state;
	struct core_tlsa r = record_of(&(struct spec){ 2, 1, 1, MIDDLE });
	struct core_tls_dane dane = { .records = &r, .count = 1 };
	struct shown s;
	struct sp_fail why;
	show((const enum who[]){ LEAF, MIDDLE, NOBODY }, &s);
	assert_false(core_tls_verify_dane(client, &s.peer, &dane, CERT_NOW, NULL, &why));
	assert_int_equal(why.result, SP_RESULT_CERTIFICATE_HOST_MISMATCH);
	sk_X509_free(s.chain.certs);
	OPENSSL_free((void *)r.data.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows), cmocka_unit_test(test_a_mismatch_tells_what_was_asked_and_what_was_shown), cmocka_unit_test(test_no_certificate),
		cmocka_unit_test(test_broken_records_are_passed_over), cmocka_unit_test(test_usage_2_wants_a_name),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* core/tls_dane.c - see tls.h and tlsa.h: does the chain that a peer showed match the TLSA records of its host.
 * RFC 6698 2, RFC 7671 5 and 10, RFC 7672 3. OpenSSL does the matching; its SSL_dane_*() belong to a handshake, so a helper SSL that never sees a network
 * lends its records to a check of the chain after the real one: on a resumed session too, and with the exact result type. */
#include "core/tls_impl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

enum { DANE_TA = 2, DANE_EE = 3 };
#define BASE_UNUSED "dane.invalid"      /* the helper's name: we look at names ourselves */
#define RECORDS_TOLD 3                  /* records that a text names */
#define RECORD_OCTETS_TOLD 4            /* of the data of each */

static bool is_certificate(const unsigned char *p, struct sp_str data)
{
	X509 *cert = d2i_X509(NULL, &p, (long)data.len);
	bool good = cert && p == (const unsigned char *)data.p + data.len && X509_get0_pubkey(cert) != NULL;
	X509_free(cert);
	return good;
}

static bool is_key(const unsigned char *p, struct sp_str data)
{
	EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)data.len);
	bool good = key && p == (const unsigned char *)data.p + data.len;
	EVP_PKEY_free(key);
	return good;
}

bool core_tlsa_is_full(const struct core_tlsa *r)
{
	const unsigned char *p = (const unsigned char *)r->data.p;
	if (r->data.len == 0 || r->data.len > UINT16_MAX)
		return false;
	ERR_clear_error();
	bool good = r->selector == 0 ? is_certificate(p, r->data) : r->selector == 1 && is_key(p, r->data);
	ERR_clear_error();
	return good;
}

/* The helper, with all records that OpenSSL takes. */
static SSL *hold_records(struct core_tls_client *t, const struct core_tls_dane *dane)
{
	SSL *ssl = NULL;
	ERR_clear_error();
	if (SSL_CTX_dane_enable(t->strict) == 1)                /* again and again costs nothing, and changes nothing for other sessions */
		ssl = SSL_new(t->strict);
	sp_assert(ssl && SSL_dane_enable(ssl, BASE_UNUSED) == 1);
	for (size_t i = 0; i < dane->count; i++) {
		const struct core_tlsa *r = &dane->records[i];
		if (r->usage == DANE_TA || r->usage == DANE_EE)
			(void)SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, (const unsigned char *)r->data.p, r->data.len);
	}
	ERR_clear_error();
	return ssl;
}

/* ---- texts ---- */

static void add_octets(struct sp_buf *out, const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sp_buf_printf(out, "%02X", p[i]);
}

static void add_records(struct sp_buf *out, const struct core_tls_dane *dane)
{
	size_t told = sp_min(dane->count, RECORDS_TOLD);
	for (size_t i = 0; i < told; i++) {
		const struct core_tlsa *r = &dane->records[i];
		sp_buf_printf(out, "%s%u %u %u ", i ? ", " : "", r->usage, r->selector, r->matching);
		add_octets(out, (const unsigned char *)r->data.p, sp_min(r->data.len, RECORD_OCTETS_TOLD));
		sp_buf_adds(out, r->data.len > RECORD_OCTETS_TOLD ? "..." : "");
	}
	if (dane->count > told)
		sp_buf_printf(out, " and %zu more", dane->count - told);
}

/* What would have matched: the record to publish, were this the host that is meant. */
static void add_shown(struct sp_buf *out, X509 *leaf)
{
	unsigned char *spki = NULL, digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki);
	if (size > 0 && EVP_Digest(spki, (size_t)size, digest, &len, EVP_sha256(), NULL) == 1)
		add_octets(out, digest, len);
	OPENSSL_free(spki);
}

static void tell_mismatch(const struct core_tls_peer *peer, const struct core_tls_dane *dane, struct sp_fail *why)
{
	struct sp_buf records, shown;
	sp_buf_init(&records, 512);
	sp_buf_init(&shown, 256);
	add_records(&records, dane);
	add_shown(&shown, core_tls_leaf(peer));
	sp_fail_tls(why, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "tlsa-mismatch", "its certificate matches none of its TLSA records (%s); a record of "
	            "what it showed would be 3 1 1 %s", sp_buf_cstr(&records), sp_buf_cstr(&shown));
	sp_buf_clear(&records);
	sp_buf_clear(&shown);
	ERR_clear_error();
}

/* ---- the check ---- */

/* RFC 7672 3.1.1: what is matched by usage 3 is trusted as it stands, whatever its names, dates and issuer say. 3.1.2: usage 2 is a trust anchor, and
 * the rest is as with any other. */
static bool judge(const struct core_tls_peer *peer, const struct core_tls_dane *dane, const struct core_tls_faults *faults, uint8_t usage, struct sp_fail *why)
{
	return usage == DANE_EE || (!core_tls_faults_tell(peer, faults, why) && core_tls_is_for(peer, dane->names, dane->name_count, why));
}

bool core_tls_verify_dane(struct core_tls_client *t, const struct core_tls_peer *peer, const struct core_tls_dane *dane, int64_t now_s, int *depth,
                          struct sp_fail *why)
{
	if (depth)
		*depth = -1;
	if (!core_tls_has_certificate(peer, dane->name_count ? dane->names[0] : "the host", why))
		return false;
	SSL *helper = hold_records(t, dane);
	struct core_tls_faults faults;
	uint8_t usage = 0;
	core_tls_check_chain(t, peer->chain->certs, SSL_get0_dane(helper), now_s, &faults);
	int at = SSL_get0_dane_authority(helper, NULL, NULL);
	bool good = at >= 0 && SSL_get0_dane_tlsa(helper, &usage, NULL, NULL, NULL, NULL) >= 0;
	if (!good)
		tell_mismatch(peer, dane, why);
	else
		good = judge(peer, dane, &faults, usage, why);
	if (depth && good)
		*depth = at;
	core_tls_faults_clear(&faults);
	SSL_free(helper);
	if (good)
		*why = SP_FAIL_OK;
	return good;
}

/* core/tls_chain.c - see tls.h: the certificates that a peer showed, one by one, for people and for keeping. */
#include "core/tls_impl.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

static X509 *at(const struct core_tls_peer *peer, size_t i)
{
	return peer && peer->chain && i < (size_t)sk_X509_num(peer->chain->certs) ? sk_X509_value(peer->chain->certs, (int)i) : NULL;
}

static int64_t unix_s(const ASN1_TIME *when)
{
	struct tm tm;
	return ASN1_TIME_to_tm(when, &tm) == 1 ? timegm(&tm) : 0;
}

static void add_names(struct sp_buf *out, const X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *gn = sk_GENERAL_NAME_value(names, i);
		if (gn->type != GEN_DNS)
			continue;
		size_t len = (size_t)ASN1_STRING_length(gn->d.dNSName);
		if (out->len + len + 1 > out->max)
			break;
		if (out->len > 0)
			sp_buf_addc(out, ' ');
		sp_buf_add_printable(out, sp_str_make((const char *)ASN1_STRING_get0_data(gn->d.dNSName), len));
	}
	GENERAL_NAMES_free(names);
}

bool core_tls_chain_at(const struct core_tls_peer *peer, size_t i, struct core_tls_certificate *out)
{
	X509 *cert = at(peer, i);
	if (cert == NULL)
		return false;
	sp_buf_reset(&out->subject);
	sp_buf_reset(&out->issuer);
	sp_buf_reset(&out->names);
	core_tls_add_name(&out->subject, X509_get_subject_name(cert));
	core_tls_add_name(&out->issuer, X509_get_issuer_name(cert));
	add_names(&out->names, cert);
	out->not_before_s = unix_s(X509_get0_notBefore(cert));
	out->not_after_s = unix_s(X509_get0_notAfter(cert));
	return true;
}

void core_tls_certificate_init(struct core_tls_certificate *c)
{
	*c = (struct core_tls_certificate){ 0 };
	sp_buf_init(&c->subject, CORE_TLS_NAMES_MAX);
	sp_buf_init(&c->issuer, CORE_TLS_NAMES_MAX);
	sp_buf_init(&c->names, CORE_TLS_NAMES_MAX);
}

void core_tls_certificate_clear(struct core_tls_certificate *c)
{
	sp_buf_clear(&c->subject);
	sp_buf_clear(&c->issuer);
	sp_buf_clear(&c->names);
}

void core_tls_chain_pem(const struct core_tls_peer *peer, struct sp_buf *out)
{
	BIO *text = BIO_new(BIO_s_mem());
	sp_assert(text);
	X509 *cert;
	for (size_t i = 0; (cert = at(peer, i)) != NULL; i++) {
		char *p = NULL;
		if (PEM_write_bio_X509(text, cert) != 1)
			break;
		size_t len = (size_t)BIO_get_mem_data(text, &p);
		if (len > out->max - out->len)
			break;                  /* whole certificates only */
		sp_buf_add(out, sp_str_make(p, len));
		(void)BIO_reset(text);
	}
	BIO_free(text);
}

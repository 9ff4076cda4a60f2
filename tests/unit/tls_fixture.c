/* tests/unit/tls_fixture.c - see tls_fixture.h. */
#include "tls_fixture.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	sp_assert(e && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static EVP_PKEY *new_key(bool weak)
{
	EVP_PKEY *key = weak ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256");
	sp_assert(key);
	return key;
}

struct cert cert_make(const struct cert_ask *ask, const struct cert *issuer)
{
	static long serial;
	struct cert c = { X509_new(), new_key(ask->weak) };
	const struct cert *by = issuer ? issuer : &c;
	bool usual = ask->from_s == 0 && ask->to_s == 0;

	X509_set_version(c.x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c.x509), ++serial);
	ASN1_TIME_set(X509_getm_notBefore(c.x509), CERT_NOW + (usual ? -CERT_DAY : ask->from_s));
	ASN1_TIME_set(X509_getm_notAfter(c.x509), CERT_NOW + (usual ? CERT_DAY : ask->to_s));
	X509_set_pubkey(c.x509, c.key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(c.x509), "CN", MBSTRING_UTF8,
	                           (const unsigned char *)ask->cn, -1, -1, 0);
	X509_set_issuer_name(c.x509, X509_get_subject_name(by->x509));
	extend(c.x509, by->x509, NID_basic_constraints, ask->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	extend(c.x509, by->x509, NID_subject_key_identifier, "hash");
	if (ask->alt)
		extend(c.x509, by->x509, NID_subject_alt_name, ask->alt);
	if (ask->usage)
		extend(c.x509, by->x509, NID_ext_key_usage, ask->usage);
	sp_assert(X509_sign(c.x509, by->key, EVP_sha256()) > 0);
	return c;
}

void cert_clear(struct cert *c)
{
	X509_free(c->x509);
	EVP_PKEY_free(c->key);
	*c = (struct cert){ 0 };
}

void cert_write_pem(const struct cert *c, char path[64])
{
	snprintf(path, 64, "/tmp/strictpost-test-XXXXXX");
	int fd = mkstemp(path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	sp_assert(f && PEM_write_X509(f, c->x509) == 1);
	fclose(f);
}

SSL_CTX *tls_server_context(const struct cert *leaf, const struct cert *const *rest)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_security_level(ctx, 0);             /* tests show weak things too */
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	sp_assert(SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0") == 1);
	if (leaf) {
		sp_assert(SSL_CTX_use_certificate(ctx, leaf->x509) == 1);
		sp_assert(SSL_CTX_use_PrivateKey(ctx, leaf->key) == 1);
	}
	for (; rest && *rest; rest++)
		sp_assert(SSL_CTX_add1_chain_cert(ctx, (*rest)->x509) == 1);
	return ctx;
}

static void *serve_all(void *arg)
{
	struct peer *p = arg;
	for (unsigned i = 0; i < p->turns; i++) {
		int fd = accept(p->fd, NULL, NULL);
		sp_assert(fd >= 0);
		p->serve(fd, p->arg);
		close(fd);
	}
	return NULL;
}

void peer_start(struct peer *p, unsigned turns, void (*serve)(int fd, void *arg), void *arg)
{
	*p = (struct peer){ .turns = turns, .serve = serve, .arg = arg };
	sp_assert(sp_addr_parse(SP_STR("127.0.0.1:0"), &p->at));
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sp_assert(bind(p->fd, &p->at.sa, sizeof(p->at.in)) == 0 && listen(p->fd, 16) == 0);
	socklen_t len = sizeof(p->at);
	sp_assert(getsockname(p->fd, &p->at.sa, &len) == 0);
	int err = pthread_create(&p->thread, NULL, serve_all, p);
	sp_assert(err == 0);
}

void peer_join(struct peer *p)
{
	pthread_join(p->thread, NULL);
	close(p->fd);
}

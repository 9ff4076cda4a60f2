/* core/tls_server.c - see tls.h: the server's side: certificate and key from their files, and who a client's certificate says it is. */
#include "core/tls_impl.h"

#include "core/readfile.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define PEM_MAX (1024 * 1024)           /* octets of a file: the bundle of all public authorities has a quarter of that */
#define CHAIN_MAX 16                    /* certificates behind the leaf */
#define DEPTH_MAX 10

/* As core/tls.c for clients: said here, so that we are the same on every system. */
#define CIPHERS "DEFAULT:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=2"
/* Where the operator lets TLS 1.0 in, for the sake of a printer: SHA-1 in the handshake and small keys come with it. */
#define OLD_CIPHERS "DEFAULT:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=0"

static const char *openssl_text(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());
	return text ? text : "no reason given";
}

#define REFUSE(why, reason, ...) sp_fail_tls(why, SP_FAIL_STORE, SP_RESULT_NONE, reason, __VA_ARGS__)

/* --- files --- */

/* A file as a BIO over `pem`, which has room for PEM_MAX octets. NULL with *why. */
static BIO *open_pem(const char *path, char *pem, struct sp_fail *why)
{
	ssize_t len = core_read_file(path, pem, PEM_MAX, NULL, why);
	if (len < 0)
		return NULL;
	if (len == PEM_MAX) {
		REFUSE(why, "too-large", "%s: larger than 1 MiB; is this the right file?", path);
		return NULL;
	}
	BIO *in = BIO_new_mem_buf(pem, (int)len);
	sp_assert(in);
	return in;
}

static STACK_OF(X509) *read_certificates(const char *path, struct sp_fail *why)
{
	char *pem = sp_alloc(PEM_MAX);
	BIO *in = open_pem(path, pem, why);
	STACK_OF(X509) *certs = sk_X509_new_null();
	sp_assert(certs);
	for (X509 *x; in && sk_X509_num(certs) <= CHAIN_MAX && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL;)
		sk_X509_push(certs, x);
	if (in && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE && sk_X509_num(certs) <= CHAIN_MAX)
		REFUSE(why, "no-certificate", "%s: certificate %d cannot be read: %s", path, sk_X509_num(certs) + 1, openssl_text());
	else if (in && sk_X509_num(certs) == 0)
		REFUSE(why, "no-certificate", "%s: there is no certificate in it (PEM, \"-----BEGIN CERTIFICATE-----\")", path);
	else if (in && sk_X509_num(certs) > CHAIN_MAX)
		REFUSE(why, "no-certificate", "%s: more than %d certificates; it takes the server's own and those that lead from it to its root", path, CHAIN_MAX);
	BIO_free(in);
	free(pem);
	ERR_clear_error();
	if (!sp_failed(why))
		return certs;
	sk_X509_pop_free(certs, X509_free);
	return NULL;
}

/* Nobody is asked for a password. */
static int no_password(char *to, int room, int writing, void *asked)
{
	(void)to, (void)room, (void)writing;
	*(bool *)asked = true;
	return -1;
}

static EVP_PKEY *read_key(const char *path, struct sp_fail *why)
{
	char *pem = sp_alloc(PEM_MAX);
	bool locked = false;
	BIO *in = open_pem(path, pem, why);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, &locked) : NULL;
	if (in && locked)
		REFUSE(why, "no-key", "%s: the key needs a password; take it off with: openssl pkey -in %s -out NEW", path, path);
	else if (in && key == NULL)
		REFUSE(why, "no-key", "%s: there is no private key in it (PEM, \"-----BEGIN PRIVATE KEY-----\")", path);
	BIO_free(in);
	OPENSSL_cleanse(pem, PEM_MAX);
	free(pem);
	ERR_clear_error();
	return key;
}

/* --- the context --- */

/* A certificate and a key of another pair: most often the file has its certificates in the wrong order, or one of the two files is new already. */
static bool is_pair(const struct core_tls_server_ask *ask, STACK_OF(X509) *certs, EVP_PKEY *key, const char *key_path, struct sp_fail *why)
{
	if (X509_check_private_key(sk_X509_value(certs, 0), key) == 1)
		return true;
	for (int i = 1; i < sk_X509_num(certs); i++) {
		if (X509_check_private_key(sk_X509_value(certs, i), key) != 1)
			continue;
		REFUSE(why, "order", "%s: the certificate of the key in %s is number %d in the file; it must be the first", ask->certificate, key_path, i + 1);
		return false;
	}
	REFUSE(why, "key-mismatch", "%s: the key in %s belongs to another certificate", ask->certificate, key_path);
	return false;
}

static bool use_pair(struct core_tls_server *t, const struct core_tls_server_ask *ask, struct sp_fail *why)
{
	const char *key_path = ask->key && *ask->key ? ask->key : ask->certificate;
	STACK_OF(X509) *certs = read_certificates(ask->certificate, why);
	EVP_PKEY *key = certs ? read_key(key_path, why) : NULL;
	bool ok = certs && key && is_pair(ask, certs, key, key_path, why);
	if (ok) {
		t->leaf = sk_X509_shift(certs);
		ok = SSL_CTX_use_cert_and_key(t->ctx, t->leaf, key, certs, 1) == 1 && core_tls_not_after(t->leaf, &t->expires_s);
		if (!ok)
			REFUSE(why, "unusable", "%s: the certificate cannot be used: %s", ask->certificate, openssl_text());
	}
	EVP_PKEY_free(key);
	sk_X509_pop_free(certs, X509_free);
	return ok;
}

/* Clients are asked, and may decline: who has no certificate may have a password. */
static bool ask_clients(struct core_tls_server *t, const char *path, struct sp_fail *why)
{
	char *pem = sp_alloc(PEM_MAX);
	BIO *in = open_pem(path, pem, why);
	t->client_roots = X509_STORE_new();
	sp_assert(t->client_roots);
	unsigned count = 0;
	for (X509 *x; in && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL; count++) {
		X509_STORE_add_cert(t->client_roots, x);
		SSL_CTX_add_client_CA(t->ctx, x);
		X509_free(x);
	}
	if (in && count == 0)
		REFUSE(why, "no-certificate", "%s: there is no certificate in it (PEM, \"-----BEGIN CERTIFICATE-----\")", path);
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(t->ctx, core_tls_accept_any, NULL);
	BIO_free(in);
	free(pem);
	ERR_clear_error();
	return count > 0;
}

static SSL_CTX *new_context(const struct core_tls_server_ask *ask, bool resumes)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const char *ciphers = ask->min_version < CORE_TLS_1_2 ? OLD_CIPHERS : CIPHERS;
	if (ctx == NULL || SSL_CTX_set_cipher_list(ctx, ciphers) != 1 || SSL_CTX_set_min_proto_version(ctx, core_tls_protocol(ask->min_version)) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	                    SSL_OP_CLEANSE_PLAINTEXT);          /* passwords come this way */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_max_cert_list(ctx, CORE_TLS_CHAIN_OCTETS_MAX);
	SSL_CTX_set_dh_auto(ctx, 1);
	/* What is needed to resume is in the ticket; nothing is kept of clients that may never come back. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, resumes ? 1 : 0);
	if (!resumes)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	return ctx;
}

struct core_tls_server *core_tls_server_new(const struct core_tls_server_ask *ask, struct sp_fail *why)
{
	bool asks = ask->client_ca && *ask->client_ca;
	ERR_clear_error();
	*why = SP_FAIL_OK;
	struct core_tls_server *t = sp_alloc(sizeof(*t));
	atomic_init(&t->refs, 1);
	t->io = core_tls_stream_bio();
	t->ctx = new_context(ask, ask->tickets && !asks);
	sp_assert(t->ctx);
	if (!use_pair(t, ask, why) || (asks && !ask_clients(t, ask->client_ca, why))) {
		core_tls_server_unref(t);
		return NULL;
	}
	return t;
}

struct core_tls_server *core_tls_server_ref(struct core_tls_server *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void core_tls_server_unref(struct core_tls_server *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(t->ctx);
	X509_free(t->leaf);
	X509_STORE_free(t->client_roots);
	BIO_meth_free(t->io);
	free(t);
}

int64_t core_tls_server_expires(const struct core_tls_server *t)
{
	return t->expires_s;
}

bool core_tls_server_names(const struct core_tls_server *t, const char *host)
{
	return core_tls_names_host(t->leaf, sp_str_of(host));
}

/* --- clients --- */

/* X509_V_OK, or what is wrong. */
static int check_client(struct core_tls_server *t, STACK_OF(X509) *certs, int64_t now_s)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int code = X509_V_ERR_UNSPECIFIED;
	sp_assert(ctx);
	ERR_clear_error();
	if (X509_STORE_CTX_init(ctx, t->client_roots, sk_X509_value(certs, 0), certs) == 1 && X509_STORE_CTX_set_default(ctx, "ssl_client") == 1) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
		X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
		X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
		X509_VERIFY_PARAM_set_auth_level(param, SSL_CTX_get_security_level(t->ctx));    /* 2 but for old clients: see above */
		code = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return code;
}

bool core_tls_server_knows(struct core_tls_server *t, const struct core_tls_peer *peer, int64_t now_s, struct sp_buf *subject, struct sp_fail *why)
{
	X509 *leaf = core_tls_leaf(peer);
	*why = SP_FAIL_OK;
	if (leaf == NULL || t->client_roots == NULL)
		return false;
	int code = check_client(t, peer->chain->certs, now_s);
	if (code == X509_V_OK) {
		core_tls_add_name(subject, X509_get_subject_name(leaf));
		return true;
	}
	struct sp_buf name;
	sp_buf_init(&name, 1024);
	core_tls_add_name(&name, X509_get_subject_name(leaf));
	sp_fail_tls(why, SP_FAIL_TLS, SP_RESULT_NONE, "client-certificate", "certificate \"%s\": %s", sp_buf_cstr(&name), X509_verify_cert_error_string(code));
	sp_buf_clear(&name);
	return false;
}

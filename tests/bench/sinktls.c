/* tests/bench/sinktls.c - see sinktls.h. */
#include "sinktls.h"
#include "wire.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct named_cert {
	char *name;
	X509 *cert;
	STACK_OF(X509) *chain;               /* what follows it in the file */
};

static struct named_cert *certs;         /* sorted by name */
static size_t certs_len;
static EVP_PKEY *private_key;

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named_cert *)a)->name, ((const struct named_cert *)b)->name);
}

static int is_pem(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return len > 4 && strcmp(e->d_name + len - 4, ".pem") == 0;
}

static void load_cert(struct named_cert *c, const char *path)
{
	FILE *f = fopen(path, "re");
	X509 *next;

	c->cert = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	if (c->cert == NULL)
		bench_die("%s: not a certificate", path);
	c->chain = sk_X509_new_null();
	while ((next = PEM_read_X509(f, NULL, NULL, NULL)) != NULL)
		sk_X509_push(c->chain, next);
	ERR_clear_error();                   /* the end of the file */
	fclose(f);
}

static EVP_PKEY *load_key(const char *path)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

	if (key == NULL)
		bench_die("%s: not a private key", path);
	fclose(f);
	return key;
}

static void load_dir(const char *dir)
{
	struct dirent **entries;
	int n = scandir(dir, &entries, is_pem, NULL);

	if (n < 0)
		bench_die("%s: cannot be read", dir);
	certs = bench_alloc(((size_t)n + 1) * sizeof(*certs));
	for (int i = 0; i < n; i++) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		load_cert(&certs[i], path);
		certs[i].name = strndup(entries[i]->d_name, strlen(entries[i]->d_name) - 4);
		free(entries[i]);
	}
	free(entries);
	certs_len = (size_t)n;
	qsort(certs, certs_len, sizeof(*certs), by_name);
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct named_cert want = { .name = (char *)(uintptr_t)name };
	const struct named_cert *found;

	(void)alert;
	(void)arg;
	found = name != NULL && certs_len > 0 ? bsearch(&want, certs, certs_len, sizeof(*certs), by_name) : NULL;
	if (found != NULL) {
		SSL_use_certificate(ssl, found->cert);
		SSL_use_PrivateKey(ssl, private_key);
		SSL_set1_chain(ssl, found->chain);
	}
	return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *sinktls_new(const char *fallback, const char *dir, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	private_key = load_key(key);
	if (dir != NULL)
		load_dir(dir);
	if (fallback != NULL && SSL_CTX_use_certificate_chain_file(ctx, fallback) != 1)
		bench_die("%s: not a certificate", fallback);
	if (fallback != NULL && SSL_CTX_use_PrivateKey(ctx, private_key) != 1)
		bench_die("%s: not the key of %s", key, fallback);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);     /* tickets only */
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"sink", 4);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, 65536);
	return ctx;
}

/* core/tls.c - see tls.h: the client's contexts. */
#include "core/tls_impl.h"

#include <dirent.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <unistd.h>

/* Debian's openssl.cnf raises the floor for every program; these lists say it themselves, so that we are the same everywhere. */
#define STRICT_CIPHERS "DEFAULT:!PSK:!SRP:@SECLEVEL=2"
/* RFC 7435 3: some protection is better than none. What authenticates comes before what does not, because a chain that
 * is shown can at least be logged. */
#define LENIENT_CIPHERS "ALL:!eNULL:!PSK:!SRP:+aNULL:@SECLEVEL=0"

bool core_tls_version_parse(struct sp_str s, enum core_tls_version *out)
{
	static const char *const names[] = { "1.0", "1.1", "1.2", "1.3" };
	for (unsigned i = 0; i < SP_COUNT(names); i++) {
		if (sp_str_eq(s, sp_str_of(names[i]))) {
			*out = (enum core_tls_version)(CORE_TLS_1_0 + i);
			return true;
		}
	}
	return false;
}

int core_tls_protocol(enum core_tls_version v)
{
	static const int numbers[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };
	return numbers[v - CORE_TLS_1_0];
}

int core_tls_accept_any(X509_STORE_CTX *chain, void *arg)
{
	(void)chain, (void)arg;
	return 1;
}

static SSL_CTX *new_context(const char *ciphers, uint64_t options)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL || SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | options);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_max_cert_list(ctx, CORE_TLS_CHAIN_OCTETS_MAX);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, core_tls_accept_any, NULL);
	/* Sessions belong to whoever knows what they proved; OpenSSL keeps none. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL |
	                               SSL_SESS_CACHE_NO_AUTO_CLEAR);
	SSL_CTX_sess_set_new_cb(ctx, core_tls_stream_on_session);
	return ctx;
}

static bool folder_has_files(const char *path)
{
	DIR *d = opendir(path);
	if (d == NULL)
		return false;
	bool found = false;
	for (struct dirent *e; !found && (e = readdir(d)) != NULL;)
		found = e->d_name[0] != '.';
	closedir(d);
	return found;
}

static const char *from_env(const char *variable, const char *otherwise)
{
	const char *value = getenv(variable);
	return value && *value ? value : otherwise;
}

/* OpenSSL reads the system's store when it is asked for an issuer, and says nothing when there is none: every
 * certificate would be untrusted, and no mail would go to a domain with a policy. */
static bool load_system(X509_STORE *roots, struct sp_fail *why)
{
	const char *file = from_env(X509_get_default_cert_file_env(), X509_get_default_cert_file());
	const char *dir = from_env(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
	if (access(file, R_OK) != 0 && !folder_has_files(dir)) {
		sp_fail_tls(why, SP_FAIL_TLS, SP_RESULT_NONE, "no-roots", "no trusted certificates in %s or %s: install the "
		            "package ca-certificates, or set tls.ca_file", file, dir);
		return false;
	}
	return X509_STORE_set_default_paths(roots) == 1;
}

static bool load_roots(struct core_tls_client *t, const char *ca_file, struct sp_fail *why)
{
	const char *shown = *ca_file ? ca_file : "the system's certificate store";
	bool ok = *ca_file ? X509_STORE_load_file(t->roots, ca_file) == 1 : load_system(t->roots, why);
	if (ok || (why && sp_failed(why)))
		return ok;
	unsigned long err = ERR_peek_error();
	const char *text = ERR_SYSTEM_ERROR(err) ? strerror(ERR_GET_REASON(err)) : ERR_reason_error_string(err);
	sp_fail_tls(why, SP_FAIL_TLS, SP_RESULT_NONE, "no-roots", "cannot read trusted certificates from %s: %s", shown,
	            text ? text : "no certificate in it");
	return false;
}

struct core_tls_client *core_tls_client_new(const char *ca_file, struct sp_fail *why)
{
	ERR_clear_error();
	if (why)
		*why = SP_FAIL_OK;
	struct core_tls_client *t = sp_alloc(sizeof(*t));
	t->refs = 1;
	t->io = core_tls_stream_bio();
	t->strict = new_context(STRICT_CIPHERS, 0);
	/* RFC 5746 3.4: a server without secure renegotiation can be tricked; better than clear text all the same. */
	t->lenient = new_context(LENIENT_CIPHERS, SSL_OP_LEGACY_SERVER_CONNECT);
	t->roots = X509_STORE_new();
	sp_assert(t->strict && t->lenient && t->roots);
	if (!load_roots(t, ca_file, why)) {
		core_tls_client_unref(t);
		return NULL;
	}
	return t;
}

struct core_tls_client *core_tls_client_ref(struct core_tls_client *t)
{
	t->refs++;
	return t;
}

void core_tls_client_unref(struct core_tls_client *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	SSL_CTX_free(t->strict);
	SSL_CTX_free(t->lenient);
	X509_STORE_free(t->roots);
	BIO_meth_free(t->io);
	free(t);
}

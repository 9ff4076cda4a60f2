/* core/tls_verify.c - see tls.h: does the chain that a peer showed prove a name, and what is to be said of it.
 * RFC 8461 4.1 and 4.2, RFC 6125 6.4, result types of RFC 8460 4.3.1. */
#include "core/tls_impl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEPTH_MAX 10                    /* certificates between the leaf and the root */
#define AUTH_LEVEL 2                    /* 112 bits: RSA 2048, SHA-2; also Debian's default */
#define NAMES_MAX 200                   /* octets of SANs in a text */
#define NAME_TEXT 160                   /* octets of a subject or issuer in a text */

static const struct {
	int code;
	enum core_tls_fault fault;
	const char *name;
} errors[] = {
#define ROW(name, fault) { X509_V_ERR_##name, CORE_TLS_FAULT_##fault, "X509_V_ERR_" #name }
	ROW(CERT_HAS_EXPIRED, EXPIRED),
	ROW(CERT_REVOKED, OTHER),
	ROW(CERT_CHAIN_TOO_LONG, OTHER),
	ROW(OUT_OF_MEM, OTHER),
	ROW(UNSPECIFIED, OTHER),
	ROW(INVALID_CALL, OTHER),
	ROW(STORE_LOOKUP, OTHER),
	ROW(CERT_NOT_YET_VALID, UNTRUSTED),
	ROW(ERROR_IN_CERT_NOT_BEFORE_FIELD, UNTRUSTED),
	ROW(ERROR_IN_CERT_NOT_AFTER_FIELD, UNTRUSTED),
	ROW(UNABLE_TO_GET_ISSUER_CERT, UNTRUSTED),
	ROW(UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNTRUSTED),
	ROW(UNABLE_TO_VERIFY_LEAF_SIGNATURE, UNTRUSTED),
	ROW(UNABLE_TO_DECRYPT_CERT_SIGNATURE, UNTRUSTED),
	ROW(CERT_SIGNATURE_FAILURE, UNTRUSTED),
	ROW(DEPTH_ZERO_SELF_SIGNED_CERT, UNTRUSTED),
	ROW(SELF_SIGNED_CERT_IN_CHAIN, UNTRUSTED),
	ROW(INVALID_CA, UNTRUSTED),
	ROW(INVALID_PURPOSE, UNTRUSTED),
	ROW(INVALID_EXTENSION, UNTRUSTED),
	ROW(CERT_UNTRUSTED, UNTRUSTED),
	ROW(CERT_REJECTED, UNTRUSTED),
	ROW(PATH_LENGTH_EXCEEDED, UNTRUSTED),
	ROW(KEYUSAGE_NO_CERTSIGN, UNTRUSTED),
	ROW(UNHANDLED_CRITICAL_EXTENSION, UNTRUSTED),
	ROW(PERMITTED_VIOLATION, UNTRUSTED),
	ROW(EXCLUDED_VIOLATION, UNTRUSTED),
	ROW(UNSUPPORTED_NAME_SYNTAX, UNTRUSTED),
	ROW(EE_KEY_TOO_SMALL, UNTRUSTED),
	ROW(CA_KEY_TOO_SMALL, UNTRUSTED),
	ROW(CA_MD_TOO_WEAK, UNTRUSTED),
	ROW(UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, UNTRUSTED),
	ROW(NO_ISSUER_PUBLIC_KEY, UNTRUSTED),
	ROW(SUBJECT_ISSUER_MISMATCH, UNTRUSTED),
	ROW(AKID_SKID_MISMATCH, UNTRUSTED),
	ROW(AKID_ISSUER_SERIAL_MISMATCH, UNTRUSTED),
	ROW(INVALID_NON_CA, UNTRUSTED),
	ROW(PROXY_CERTIFICATES_NOT_ALLOWED, UNTRUSTED),
	ROW(PROXY_PATH_LENGTH_EXCEEDED, UNTRUSTED),
	ROW(INVALID_POLICY_EXTENSION, UNTRUSTED),
	ROW(UNSUPPORTED_EXTENSION_FEATURE, UNTRUSTED),
	ROW(UNNESTED_RESOURCE, UNTRUSTED),
	ROW(SUBTREE_MINMAX, UNTRUSTED),
	ROW(UNSUPPORTED_CONSTRAINT_TYPE, UNTRUSTED),
	ROW(UNSUPPORTED_CONSTRAINT_SYNTAX, UNTRUSTED),
	ROW(PATH_LOOP, UNTRUSTED),
	ROW(UNSUPPORTED_SIGNATURE_ALGORITHM, UNTRUSTED),
	ROW(SIGNATURE_ALGORITHM_MISMATCH, UNTRUSTED),
	ROW(SIGNATURE_ALGORITHM_INCONSISTENCY, UNTRUSTED),
	ROW(PATHLEN_INVALID_FOR_NON_CA, UNTRUSTED),
	ROW(EC_KEY_EXPLICIT_PARAMS, UNTRUSTED),
#undef ROW
};

static enum core_tls_fault fault_of(int code)
{
	for (size_t i = 0; i < SP_COUNT(errors); i++)
		if (errors[i].code == code)
			return errors[i].fault;
	return CORE_TLS_FAULT_UNTRUSTED;
}

static void error_name(int code, char *name, size_t room)
{
	for (size_t i = 0; i < SP_COUNT(errors); i++) {
		if (errors[i].code == code) {
			snprintf(name, room, "%s", errors[i].name);
			return;
		}
	}
	snprintf(name, room, "X509_V_ERR_%d", code);
}

X509 *core_tls_leaf(const struct core_tls_peer *peer)
{
	return peer && peer->chain ? sk_X509_value(peer->chain->certs, 0) : NULL;
}

/* Texts. */

void core_tls_add_name(struct sp_buf *out, const X509_NAME *name)
{
	BIO *text = BIO_new(BIO_s_mem());
	sp_assert(text);
	char *p = NULL;
	X509_NAME_print_ex(text, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	size_t len = (size_t)BIO_get_mem_data(text, &p);
	sp_buf_add_printable(out, sp_str_make(p, sp_min(len, NAME_TEXT)));
	BIO_free(text);
}

bool core_tls_not_after(const X509 *cert, int64_t *out)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return false;
	*out = timegm(&tm);
	return true;
}

static void add_date(struct sp_buf *out, const ASN1_TIME *when)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(when, &tm) == 1)
		sp_buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		              tm.tm_hour, tm.tm_min, tm.tm_sec);
	else
		sp_buf_adds(out, "an unreadable date");
}

/* "mx1.example.com,mx2.example.com,..." */
static void add_dns_names(struct sp_buf *out, const X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t start = out->len;
	bool cut = false;
	for (int i = 0; !cut && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *gn = sk_GENERAL_NAME_value(names, i);
		if (gn->type != GEN_DNS)
			continue;
		struct sp_str name = sp_str_make((const char *)ASN1_STRING_get0_data(gn->d.dNSName),
		                                 (size_t)ASN1_STRING_length(gn->d.dNSName));
		if (out->len > start)
			sp_buf_addc(out, ',');
		cut = out->len - start + name.len > NAMES_MAX;
		if (cut)
			sp_buf_adds(out, "...");
		else
			sp_buf_add_printable(out, name);
	}
	if (out->len == start)
		sp_buf_adds(out, "none");
	GENERAL_NAMES_free(names);
}

void core_tls_describe(const struct core_tls_peer *peer, struct sp_buf *out)
{
	X509 *leaf = core_tls_leaf(peer);
	if (leaf == NULL) {
		sp_buf_adds(out, "no certificate");
		return;
	}
	sp_buf_adds(out, "subject=\"");
	core_tls_add_name(out, X509_get_subject_name(leaf));
	sp_buf_adds(out, "\" names=");
	add_dns_names(out, leaf);
	sp_buf_adds(out, " issuer=\"");
	core_tls_add_name(out, X509_get_issuer_name(leaf));
	sp_buf_adds(out, "\" expires=");
	add_date(out, X509_get0_notAfter(leaf));
}

int64_t core_tls_chain_expires(const struct core_tls_peer *peer)
{
	int64_t first = INT64_MAX;
	int count = peer && peer->chain ? sk_X509_num(peer->chain->certs) : 0;
	for (int i = 0; i < count; i++) {
		int64_t at;
		if (core_tls_not_after(sk_X509_value(peer->chain->certs, i), &at) && at < first)
			first = at;
	}
	return first;
}

/* Verification. */

/* Goes on after every error, so that all of them are known. */
static int on_error(int ok, X509_STORE_CTX *ctx)
{
	struct core_tls_faults *f = X509_STORE_CTX_get_app_data(ctx);
	int code = X509_STORE_CTX_get_error(ctx);
	if (ok || code == X509_V_OK)
		return 1;
	enum core_tls_fault fault = fault_of(code);
	if (f->first[fault].code == X509_V_OK) {
		f->first[fault].code = code;
		f->first[fault].at = X509_STORE_CTX_get_current_cert(ctx);
	}
	return 1;
}

void core_tls_check_chain(struct core_tls_client *t, STACK_OF(X509) *certs, SSL_DANE *dane, int64_t now_s, struct core_tls_faults *f)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	sp_assert(ctx);
	ERR_clear_error();
	*f = (struct core_tls_faults){ 0 };
	int *other = &f->first[CORE_TLS_FAULT_OTHER].code;
	*other = X509_V_ERR_UNSPECIFIED;                                /* until it has run */
	if (X509_STORE_CTX_init(ctx, t->roots, sk_X509_value(certs, 0), certs) == 1 &&
	    X509_STORE_CTX_set_default(ctx, "ssl_server") == 1) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
		X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
		X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
		X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
		if (dane)
			X509_STORE_CTX_set0_dane(ctx, dane);
		X509_STORE_CTX_set_app_data(ctx, f);
		X509_STORE_CTX_set_verify_cb(ctx, on_error);
		*other = X509_V_OK;
		if (X509_verify_cert(ctx) != 1 && *other == X509_V_OK)
			*other = X509_V_ERR_UNSPECIFIED;
	}
	for (size_t i = 0; i < CORE_TLS_FAULTS; i++)                    /* one of a TLSA record, or of the store, does not outlive the check */
		if (f->first[i].at)
			X509_up_ref(f->first[i].at);
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
}

void core_tls_faults_clear(struct core_tls_faults *f)
{
	for (size_t i = 0; i < CORE_TLS_FAULTS; i++)
		X509_free(f->first[i].at);
}

static void tell_fault(const struct core_tls_peer *peer, const struct core_tls_faults *f, enum core_tls_fault fault, struct sp_fail *why)
{
	static const enum sp_result results[] = {
		[CORE_TLS_FAULT_OTHER] = SP_RESULT_VALIDATION_FAILURE,
		[CORE_TLS_FAULT_UNTRUSTED] = SP_RESULT_CERTIFICATE_NOT_TRUSTED,
		[CORE_TLS_FAULT_EXPIRED] = SP_RESULT_CERTIFICATE_EXPIRED,
	};
	int code = f->first[fault].code;
	X509 *at = f->first[fault].at ? f->first[fault].at : core_tls_leaf(peer);
	char name[sizeof(why->reason)];
	error_name(code, name, sizeof(name));

	struct sp_buf text;
	sp_buf_init(&text, 2048);
	sp_buf_printf(&text, "%s: certificate \"", X509_verify_cert_error_string(code));
	core_tls_add_name(&text, X509_get_subject_name(at));
	sp_buf_adds(&text, "\" of issuer \"");
	core_tls_add_name(&text, X509_get_issuer_name(at));
	sp_buf_adds(&text, "\" is valid from ");
	add_date(&text, X509_get0_notBefore(at));
	sp_buf_adds(&text, " to ");
	add_date(&text, X509_get0_notAfter(at));
	sp_fail_tls(why, SP_FAIL_TLS, results[fault], name, "%s", sp_buf_cstr(&text));
	sp_buf_clear(&text);
}

bool core_tls_faults_tell(const struct core_tls_peer *peer, const struct core_tls_faults *f, struct sp_fail *why)
{
	for (enum core_tls_fault fault = 0; fault < CORE_TLS_FAULTS; fault++) {
		if (f->first[fault].code != X509_V_OK) {
			tell_fault(peer, f, fault, why);
			return true;
		}
	}
	return false;
}

/* RFC 8461 4.1: the host is among the dNSName entries; a wildcard is the whole left-most label and stands for one label.
 * RFC 6125 6.4.4: the CN counts for nothing. OpenSSL's "*" never spans labels unless asked to. */
bool core_tls_names_host(X509 *leaf, struct sp_str host)
{
	if (host.len == 0 || host.p[0] == '.')          /* ".example.com" would mean any name below it to OpenSSL */
		return false;
	return X509_check_host(leaf, host.p, host.len,
	                       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

bool core_tls_is_for(const struct core_tls_peer *peer, const char *const *hosts, size_t count, struct sp_fail *why)
{
	X509 *leaf = core_tls_leaf(peer);
	struct sp_buf asked, text;
	sp_buf_init(&asked, 1024);
	for (size_t i = 0; i < count; i++) {
		struct sp_str name = sp_str_of(hosts[i]);
		if (name.len > 0 && name.p[name.len - 1] == '.')
			name.len--;
		if (core_tls_names_host(leaf, name)) {
			sp_buf_clear(&asked);
			return true;
		}
		sp_buf_printf(&asked, "%s%.*s", i ? " or " : "", SP_STR_ARG(name));
	}
	sp_buf_init(&text, 2048);
	add_dns_names(&text, leaf);
	sp_fail_tls(why, SP_FAIL_TLS, SP_RESULT_CERTIFICATE_HOST_MISMATCH, "X509_V_ERR_HOSTNAME_MISMATCH",
	            "the certificate is not for %s; its names: %s", sp_buf_cstr(&asked), sp_buf_cstr(&text));
	sp_buf_clear(&asked);
	sp_buf_clear(&text);
	return false;
}

bool core_tls_has_certificate(const struct core_tls_peer *peer, const char *host, struct sp_fail *why)
{
	bool has = core_tls_leaf(peer) != NULL;
	if (!has)
		sp_fail_tls(why, SP_FAIL_TLS, SP_RESULT_VALIDATION_FAILURE, "no-certificate",
		            "%s showed no certificate (%s)", host, peer ? peer->cipher : "no TLS");
	return has;
}

bool core_tls_verify(struct core_tls_client *t, const struct core_tls_peer *peer, const char *host,
                     int64_t now_s, struct sp_fail *why)
{
	if (!core_tls_has_certificate(peer, host, why))
		return false;
	struct core_tls_faults faults;
	core_tls_check_chain(t, peer->chain->certs, NULL, now_s, &faults);
	bool good = !core_tls_faults_tell(peer, &faults, why) && core_tls_is_for(peer, &host, 1, why);
	core_tls_faults_clear(&faults);
	if (good)
		*why = SP_FAIL_OK;
	return good;
}

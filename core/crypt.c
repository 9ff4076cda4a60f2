/* core/crypt.c - see crypt.h. OpenSSL's EVP, 3.0 and later; what it leaves in its error queue goes before and after each operation. */
#include "core/crypt.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RSA_BITS_MIN 1024               /* RFC 8301 3.2: signers must not use less, verifiers must not take less */
#define RSA_BITS_MAX 4096               /* RFC 8301 3.2: verifiers need not take more */
#define ED25519_OCTETS 32

bool core_same_secret(struct sp_str a, struct sp_str b)
{
	return a.len == b.len && CRYPTO_memcmp(a.p, b.p, a.len) == 0;
}

/* ---- digests ---- */

struct core_sha256 {
	EVP_MD_CTX *ctx;
};

struct core_sha256 *core_sha256_new(void)
{
	struct core_sha256 *h = sp_alloc(sizeof(*h));
	h->ctx = EVP_MD_CTX_new();
	sp_assert(h->ctx && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1);
	return h;
}

struct core_sha256 *core_sha256_copy(const struct core_sha256 *h)
{
	struct core_sha256 *copy = sp_alloc(sizeof(*copy));
	copy->ctx = EVP_MD_CTX_new();
	sp_assert(copy->ctx && EVP_MD_CTX_copy_ex(copy->ctx, h->ctx) == 1);
	return copy;
}

void core_sha256_add(struct core_sha256 *h, struct sp_str data)
{
	int ok = EVP_DigestUpdate(h->ctx, data.p, data.len);
	sp_assert(ok == 1);
}

void core_sha256_finish(struct core_sha256 *h, uint8_t out[CORE_SHA256_SIZE])
{
	int ok = EVP_DigestFinal_ex(h->ctx, out, NULL);
	sp_assert(ok == 1);
	core_sha256_free(h);
}

void core_sha256_free(struct core_sha256 *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

/* ---- signatures ---- */

struct core_key {
	atomic_uint refs;
	enum core_key_kind kind;
	EVP_PKEY *pkey;
};

/* RSASSA-PKCS1-v1_5 (RFC 8017 8.2) of a SHA-256 digest. */
static EVP_PKEY_CTX *rsa_context(const struct core_key *k, int (*init)(EVP_PKEY_CTX *ctx))
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	sp_assert(ctx);
	if (init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

static bool sign_rsa(const struct core_key *k, const uint8_t *digest, uint8_t *out, size_t *len)
{
	EVP_PKEY_CTX *ctx = rsa_context(k, EVP_PKEY_sign_init);
	bool good = ctx && EVP_PKEY_sign(ctx, out, len, digest, CORE_SHA256_SIZE) == 1;
	EVP_PKEY_CTX_free(ctx);
	return good;
}

static bool verify_rsa(const struct core_key *k, const uint8_t *digest, struct sp_str signature)
{
	EVP_PKEY_CTX *ctx = rsa_context(k, EVP_PKEY_verify_init);
	bool good = ctx && EVP_PKEY_verify(ctx, (const uint8_t *)signature.p, signature.len, digest, CORE_SHA256_SIZE) == 1;
	EVP_PKEY_CTX_free(ctx);
	return good;
}

/* RFC 8463 3: the digest is what PureEdDSA takes as its message. */
static bool sign_ed25519(const struct core_key *k, const uint8_t *digest, uint8_t *out, size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
	            EVP_DigestSign(ctx, out, len, digest, CORE_SHA256_SIZE) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

static bool verify_ed25519(const struct core_key *k, const uint8_t *digest, struct sp_str signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
	            EVP_DigestVerify(ctx, (const uint8_t *)signature.p, signature.len, digest, CORE_SHA256_SIZE) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}

size_t core_key_signature_len(const struct core_key *k)
{
	return (size_t)EVP_PKEY_get_size(k->pkey);
}

static bool try_sign(const struct core_key *k, const uint8_t *digest, struct sp_buf *out)
{
	size_t len = core_key_signature_len(k);
	char *room = sp_buf_room(out, len);
	if (room == NULL)                       /* past the caller's ceiling: the buffer remembers */
		return true;
	ERR_clear_error();
	bool (*sign)(const struct core_key *, const uint8_t *, uint8_t *, size_t *) = k->kind == CORE_KEY_RSA ? sign_rsa : sign_ed25519;
	bool good = sign(k, digest, (uint8_t *)room, &len) && len == core_key_signature_len(k);
	if (good)
		sp_buf_wrote(out, len);
	ERR_clear_error();
	return good;
}

void core_key_sign(const struct core_key *k, const uint8_t digest[CORE_SHA256_SIZE], struct sp_buf *out)
{
	bool good = try_sign(k, digest, out);
	sp_assert(good);                        /* it did when the key was read: what is left is want of memory or of random octets */
}

bool core_key_verify(const struct core_key *k, const uint8_t digest[CORE_SHA256_SIZE], struct sp_str signature)
{
	ERR_clear_error();
	bool good = k->kind == CORE_KEY_RSA ? verify_rsa(k, digest, signature) : verify_ed25519(k, digest, signature);
	ERR_clear_error();
	return good;
}

/* ---- keys ---- */

/* Signs, and verifies it: a file whose halves do not fit is found here and not by the recipients of mail. */
static bool works(const struct core_key *k)
{
	uint8_t digest[CORE_SHA256_SIZE] = { 0 };
	struct sp_buf signature;
	sp_buf_init(&signature, RSA_BITS_MAX / 8);
	bool good = try_sign(k, digest, &signature) && core_key_verify(k, digest, sp_buf_str(&signature));
	sp_buf_clear(&signature);
	return good;
}

static const char *other_kind(const EVP_PKEY *pkey)
{
	const char *name = EVP_PKEY_get0_type_name(pkey);
	return name ? name : "another kind";
}

/* Takes `pkey` over. */
static struct core_key *wrap(EVP_PKEY *pkey, struct sp_fail *why)
{
	bool rsa = EVP_PKEY_is_a(pkey, "RSA"), ed25519 = EVP_PKEY_is_a(pkey, "ED25519");
	struct core_key *k = sp_alloc(sizeof(*k));
	atomic_init(&k->refs, 1);
	k->pkey = pkey;
	k->kind = ed25519 ? CORE_KEY_ED25519 : CORE_KEY_RSA;
	if (!rsa && !ed25519)
		sp_fail_set(why, SP_FAIL_STORE, "this key is of the kind %s, which DKIM does not know; it takes RSA and Ed25519: make one with "
		            "strictpost dkim keygen", other_kind(pkey));
	else if (rsa && core_key_bits(k) < RSA_BITS_MIN)
		sp_fail_set(why, SP_FAIL_STORE, "this RSA key has %u bits; receivers refuse less than %u (RFC 8301 3.2): make one of 2048 with "
		            "strictpost dkim keygen", core_key_bits(k), RSA_BITS_MIN);
	else if (rsa && core_key_bits(k) > RSA_BITS_MAX)
		sp_fail_set(why, SP_FAIL_STORE, "this RSA key has %u bits; receivers need not verify more than %u (RFC 8301 3.2): make one of 2048 "
		            "with strictpost dkim keygen", core_key_bits(k), RSA_BITS_MAX);
	else if (!works(k))
		sp_fail_set(why, SP_FAIL_STORE, "this key makes signatures that it does not verify: the file is damaged; put a good copy in its "
		            "place, or make a new key with strictpost dkim keygen");
	else
		return k;
	core_key_unref(k);
	return NULL;
}

/* Instead of asking on the terminal, where nobody may be. */
static int on_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	*(bool *)arg = true;
	return -1;
}

static bool has_label(struct sp_str pem, const char *label)
{
	return pem.len > 0 && memmem(pem.p, pem.len, label, strlen(label)) != NULL;
}

static void explain_pem(struct sp_str pem, bool encrypted, struct sp_fail *why)
{
	const char *what = "no private key in it: in PEM, one begins with -----BEGIN PRIVATE KEY-----";
	if (encrypted)
		what = "this key is encrypted, and nobody types a password when the relay starts: take it off with "
		       "openssl pkey -in OLD -out NEW";
	else if (has_label(pem, "-----BEGIN OPENSSH PRIVATE KEY-----"))
		what = "this key is in the format of OpenSSH: make one in PEM with strictpost dkim keygen";
	else if (has_label(pem, "PRIVATE KEY-----"))
		what = "the private key in it is damaged: put a good copy in its place, or make a new one with strictpost dkim keygen";
	else if (has_label(pem, "PUBLIC KEY-----"))
		what = "this is a public key; signing needs the private one, which begins with -----BEGIN PRIVATE KEY-----";
	else if (has_label(pem, "-----BEGIN CERTIFICATE-----"))
		what = "this is a certificate; signing needs a private key, which begins with -----BEGIN PRIVATE KEY-----";
	sp_fail_set(why, SP_FAIL_STORE, "%s", what);
}

struct core_key *core_key_parse(struct sp_str pem, struct sp_fail *why)
{
	if (pem.len == 0 || pem.len > CORE_KEY_PEM_MAX) {
		sp_fail_set(why, SP_FAIL_STORE, pem.len ? "too large to be a private key" : "empty: a private key in PEM is expected");
		return NULL;
	}
	ERR_clear_error();
	bool encrypted = false;
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	sp_assert(bio);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, on_password, &encrypted);
	BIO_free(bio);
	ERR_clear_error();
	if (pkey)
		return wrap(pkey, why);
	explain_pem(pem, encrypted, why);
	return NULL;
}

struct core_key *core_key_generate(enum core_key_kind kind, unsigned bits, struct sp_fail *why)
{
	if (kind == CORE_KEY_RSA && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)) {
		sp_fail_set(why, SP_FAIL_STORE, "an RSA key for DKIM has %u to %u bits (RFC 8301 3.2), best 2048", RSA_BITS_MIN, RSA_BITS_MAX);
		return NULL;
	}
	ERR_clear_error();
	EVP_PKEY *pkey = kind == CORE_KEY_RSA ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	const char *text = ERR_reason_error_string(ERR_peek_error());
	if (pkey == NULL)
		sp_fail_set(why, SP_FAIL_STORE, "OpenSSL made no key: %s", text ? text : "it gave no reason");
	ERR_clear_error();
	return pkey ? wrap(pkey, why) : NULL;
}

struct core_key *core_key_ref(struct core_key *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void core_key_unref(struct core_key *k)
{
	if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

enum core_key_kind core_key_kind(const struct core_key *k)
{
	return k->kind;
}

unsigned core_key_bits(const struct core_key *k)
{
	return (unsigned)EVP_PKEY_get_bits(k->pkey);
}

void core_key_print(const struct core_key *k, struct sp_buf *out)
{
	BIO *bio = BIO_new(BIO_s_secmem());     /* wiped when freed */
	char *text = NULL;
	int ok = bio ? PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) : 0;
	sp_assert(ok == 1);
	long len = BIO_get_mem_data(bio, &text);
	sp_buf_add(out, sp_str_make(text, (size_t)len));
	BIO_free(bio);
}

void core_key_public(const struct core_key *k, struct sp_buf *out)
{
	if (k->kind == CORE_KEY_ED25519) {      /* RFC 8463 4: the octets alone */
		uint8_t raw[ED25519_OCTETS];
		size_t size = sizeof(raw);
		int ok = EVP_PKEY_get_raw_public_key(k->pkey, raw, &size);
		sp_assert(ok == 1 && size == sizeof(raw));
		sp_buf_add(out, sp_str_make((const char *)raw, size));
		return;
	}
	uint8_t *der = NULL;                    /* RFC 6376 3.6.1 speaks of RSAPublicKey; all publish, and its example is, SubjectPublicKeyInfo */
	int len = i2d_PUBKEY(k->pkey, &der);
	sp_assert(len > 0);
	sp_buf_add(out, sp_str_make((const char *)der, (size_t)len));
	OPENSSL_free(der);
}

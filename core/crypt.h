/* core/crypt.h - digests, keys and signatures, over OpenSSL: what DKIM needs of it (RFC 6376 3.3, RFC 8463 3, RFC 8301).
 * A key never changes and is counted, so that threads share one; a digest belongs to one thread. Any thread. */
#ifndef CORE_CRYPT_H
#define CORE_CRYPT_H

#include "core/buf.h"
#include "core/fail.h"

#define CORE_SHA256_SIZE 32             /* octets */
struct core_sha256;                     /* opaque: a digest under way */
struct core_sha256 *core_sha256_new(void);
struct core_sha256 *core_sha256_copy(const struct core_sha256 *h);              /* goes on from where `h` is */
void core_sha256_add(struct core_sha256 *h, struct sp_str data);
void core_sha256_finish(struct core_sha256 *h, uint8_t out[CORE_SHA256_SIZE]);  /* frees it */
void core_sha256_free(struct core_sha256 *h);                                   /* without a result; NULL is fine */

/* Are the octets the same? Takes as long wherever they differ; only that the lengths do can be seen from outside. */
bool core_same_secret(struct sp_str a, struct sp_str b);

enum core_key_kind { CORE_KEY_RSA, CORE_KEY_ED25519 };
struct core_key;                        /* opaque: a private key */

#define CORE_KEY_PEM_MAX 16384          /* octets; RSA of 4096 bits has 3.3 KiB */
/* PEM, PKCS#8 or PKCS#1, not encrypted (nobody is asked for a password). RSA has 1024 to 4096 bits (RFC 8301 3.2; under 2048 is for the caller
 * to warn of). The key has signed something and verified it. NULL with *why (SP_FAIL_STORE): what is wrong and what to do instead. */
SP_NODISCARD struct core_key *core_key_parse(struct sp_str pem, struct sp_fail *why);
/* The same from a file; *why names path, uid and mode where it cannot be read, and says what mends it. *mode, where not NULL, gets the permission
 * bits of the file that was read, as 0640, on success. Blocks: for start and reload. */
SP_NODISCARD struct core_key *core_key_load(const char *path, unsigned *mode, struct sp_fail *why);
/* `bits`: of RSA. May take a second. */
SP_NODISCARD struct core_key *core_key_generate(enum core_key_kind kind, unsigned bits, struct sp_fail *why);
struct core_key *core_key_ref(struct core_key *k);
void core_key_unref(struct core_key *k);                                /* NULL is fine */

enum core_key_kind core_key_kind(const struct core_key *k);
unsigned core_key_bits(const struct core_key *k);
void core_key_print(const struct core_key *k, struct sp_buf *out);      /* appends it as PKCS#8 PEM: a secret */
/* Appends what p= of a DKIM record holds, before base64: RSA as SubjectPublicKeyInfo (RFC 6376 3.6.1), Ed25519 as its 32 octets (RFC 8463 4). */
void core_key_public(const struct core_key *k, struct sp_buf *out);

/* Signs a SHA-256 digest: RSASSA-PKCS1-v1_5 (RFC 8017 8.2), or PureEdDSA over the digest's octets (RFC 8463 3). Appends
 * core_key_signature_len() octets, always as many. */
void core_key_sign(const struct core_key *k, const uint8_t digest[CORE_SHA256_SIZE], struct sp_buf *out);
size_t core_key_signature_len(const struct core_key *k);
/* For tests and `dkim` self-checks: does the signature hold under the key's public half? */
bool core_key_verify(const struct core_key *k, const uint8_t digest[CORE_SHA256_SIZE], struct sp_str signature);

#endif

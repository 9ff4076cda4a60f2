/* tests/unit/core_crypt_test.c - core/crypt.c, core/crypt_load.c: the RFCs' keys, what is no key for DKIM, and what is told then. */
#include "core/crypt.h"

#include "rfc8463.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[80];

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/core_crypt_test.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/key.pem", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct core_key *parse(const char *pem)
{
	struct sp_fail why = SP_FAIL_OK;
	struct core_key *k = core_key_parse(sp_str_of(pem), &why);
	if (k == NULL)
		fail_msg("%s", why.text);
	return k;
}

/* ---- digests ---- */

static void digest_rows(void **state)
{
	(void)state;
	static const struct { const char *text; unsigned char start[4]; } rows[] = {     /* FIPS 180-4's examples */
		{ "", { 0xe3, 0xb0, 0xc4, 0x42 } },
		{ "abc", { 0xba, 0x78, 0x16, 0xbf } },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", { 0x24, 0x8d, 0x6a, 0x61 } },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		for (size_t cut = 0; cut <= strlen(rows[i].text); cut++) {
			uint8_t out[CORE_SHA256_SIZE], other[CORE_SHA256_SIZE];
			struct core_sha256 *h = core_sha256_new();
			core_sha256_add(h, sp_str_make(rows[i].text, cut));
			struct core_sha256 *copy = core_sha256_copy(h);
			core_sha256_add(h, sp_str_from(sp_str_of(rows[i].text), cut));
			core_sha256_add(copy, sp_str_from(sp_str_of(rows[i].text), cut));
			core_sha256_finish(h, out);
			core_sha256_finish(copy, other);
			assert_memory_equal(out, rows[i].start, 4);
			assert_memory_equal(out, other, sizeof(out));
		}
	core_sha256_free(core_sha256_new());
	core_sha256_free(NULL);
}

/* ---- keys ---- */

static void check_key(const struct core_key *k, enum core_key_kind kind, unsigned bits, size_t signature_len)
{
	assert_int_equal(core_key_kind(k), kind);
	assert_int_equal(core_key_bits(k), bits);
	assert_int_equal(core_key_signature_len(k), signature_len);
	struct sp_buf signature, again;
	sp_buf_init(&signature, CORE_KEY_PEM_MAX);
	sp_buf_init(&again, CORE_KEY_PEM_MAX);
	for (unsigned i = 0; i < 20; i++) {
		uint8_t digest[CORE_SHA256_SIZE] = { (uint8_t)i };
		sp_buf_reset(&signature);
		sp_buf_reset(&again);
		core_key_sign(k, digest, &signature);
		core_key_sign(k, digest, &again);
		assert_int_equal(signature.len, signature_len);
		assert_memory_equal(signature.p, again.p, signature_len);       /* both kinds are deterministic */
		assert_true(core_key_verify(k, digest, sp_buf_str(&signature)));
		digest[31] ^= 1;
		assert_false(core_key_verify(k, digest, sp_buf_str(&signature)));
		digest[31] ^= 1;
		signature.p[5] ^= 1;
		assert_false(core_key_verify(k, digest, sp_buf_str(&signature)));
		assert_false(core_key_verify(k, digest, sp_str_make(signature.p, signature_len - 1)));
		assert_false(core_key_verify(k, digest, SP_STR("")));
	}
	assert_int_equal(ERR_peek_error(), 0);
	sp_buf_clear(&signature);
	sp_buf_clear(&again);
}

static void keys_come_back(void **state)
{
	(void)state;
	static const struct { enum core_key_kind kind; unsigned bits, shown; size_t signature_len; } rows[] = {
		{ CORE_KEY_RSA, 1024, 1024, 128 }, { CORE_KEY_RSA, 2048, 2048, 256 }, { CORE_KEY_ED25519, 0, 256, 64 },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct sp_fail why = SP_FAIL_OK;
		struct core_key *k = core_key_generate(rows[i].kind, rows[i].bits, &why);
		assert_non_null(k);
		check_key(k, rows[i].kind, rows[i].shown, rows[i].signature_len);
		struct sp_buf pem, publics[2];
		sp_buf_init(&pem, CORE_KEY_PEM_MAX);
		core_key_print(k, &pem);
		assert_true(sp_str_starts(sp_buf_str(&pem), SP_STR("-----BEGIN PRIVATE KEY-----\n")));
		assert_true(pem.len < CORE_KEY_PEM_MAX);
		struct core_key *again = parse(sp_buf_cstr(&pem));
		check_key(again, rows[i].kind, rows[i].shown, rows[i].signature_len);
		for (unsigned n = 0; n < 2; n++) {
			sp_buf_init(&publics[n], CORE_KEY_PEM_MAX);
			core_key_public(n ? again : k, &publics[n]);
		}
		assert_true(publics[0].len > 0 && sp_str_eq(sp_buf_str(&publics[0]), sp_buf_str(&publics[1])));
		core_key_unref(core_key_ref(k));
		core_key_unref(k);
		core_key_unref(again);
		sp_buf_clear(&pem);
		sp_buf_clear(&publics[0]);
		sp_buf_clear(&publics[1]);
	}
	core_key_unref(NULL);
}

static void public_of_rfc8463(void **state)
{
	(void)state;
	static const struct { const char *pem, *base64; size_t len; } rows[] = {
		{ RFC8463_ED25519_KEY, RFC8463_ED25519_PUBLIC, 32 }, { RFC8463_RSA_KEY, RFC8463_RSA_PUBLIC, 162 },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct core_key *k = parse(rows[i].pem);
		struct sp_buf out;
		sp_buf_init(&out, CORE_KEY_PEM_MAX);
		core_key_public(k, &out);
		assert_int_equal(out.len, rows[i].len);
		char text[512];
		EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)out.p, (int)out.len);
		assert_string_equal(text, rows[i].base64);
		sp_buf_clear(&out);
		core_key_unref(k);
	}
}

static void a_full_buffer_remembers(void **state)
{
	(void)state;
	struct core_key *k = parse(RFC8463_RSA_KEY);
	uint8_t digest[CORE_SHA256_SIZE] = { 0 };
	struct sp_buf out;
	sp_buf_init(&out, 127);
	core_key_sign(k, digest, &out);
	assert_true(sp_buf_failed(&out));
	sp_buf_clear(&out);
	core_key_unref(k);
}

static void *sign_often(void *arg)
{
	struct core_key *k = arg;
	uint8_t digest[CORE_SHA256_SIZE] = { 7 };
	struct sp_buf out;
	sp_buf_init(&out, CORE_KEY_PEM_MAX);
	for (unsigned i = 0; i < 50; i++) {
		sp_buf_reset(&out);
		core_key_sign(k, digest, &out);
		sp_assert(core_key_verify(k, digest, sp_buf_str(&out)));
	}
	sp_buf_clear(&out);
	core_key_unref(k);
	return NULL;
}

static void threads_share_a_key(void **state)
{
	(void)state;
	struct core_key *k = parse(RFC8463_RSA_KEY);
	pthread_t threads[4];
	for (size_t i = 0; i < SP_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sign_often, core_key_ref(k)), 0);
	core_key_unref(k);
	for (size_t i = 0; i < SP_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
}

/* ---- what is no key for DKIM ---- */

/* PEM of a key of OpenSSL's making, as `how` says: 'p' private, 'e' encrypted, 't' encrypted in the old manner, 'u' public. For free(). */
static char *pem_of(EVP_PKEY *pkey, char how)
{
	BIO *bio = BIO_new(BIO_s_mem());
	assert_non_null(pkey);
	int ok = 0;
	if (how == 'u')
		ok = PEM_write_bio_PUBKEY(bio, pkey);
	else if (how == 't')
		ok = PEM_write_bio_PrivateKey_traditional(bio, pkey, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
	else
		ok = PEM_write_bio_PKCS8PrivateKey(bio, pkey, how == 'e' ? EVP_aes_128_cbc() : NULL, how == 'e' ? "secret" : NULL,
		                                   how == 'e' ? 6 : 0, NULL, NULL);
	assert_int_equal(ok, 1);
	char *text;
	long len = BIO_get_mem_data(bio, &text);
	char *copy = sp_strndup(text, (size_t)len);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return copy;
}

static void refused(const char *label, const char *pem, const char *says)
{
	struct sp_fail why = SP_FAIL_OK;
	struct core_key *k = core_key_parse(sp_str_of(pem), &why);
	if (k || strstr(why.text, says) == NULL)
		fail_msg("%s: want \"%s\", got \"%s\"", label, says, k ? "a key" : why.text);
	assert_true(core_key_parse(sp_str_of(pem), NULL) == NULL);
	assert_int_equal(ERR_peek_error(), 0);
}

static void text_that_is_no_key(void **state)
{
	(void)state;
	static const struct { const char *label, *pem, *says; } rows[] = {
		{ "empty", "", "empty" },
		{ "text", "hello\n", "no private key in it" },
		{ "certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "this is a certificate" },
		{ "OpenSSH", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n", "OpenSSH" },
		{ "damaged", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE\n-----END PRIVATE KEY-----\n", "damaged" },
		{ "cut short", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE", "damaged" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		refused(rows[i].label, rows[i].pem, rows[i].says);
	char *large = malloc(CORE_KEY_PEM_MAX + 2);
	memset(large, '\n', CORE_KEY_PEM_MAX + 1);
	large[CORE_KEY_PEM_MAX + 1] = '\0';
	refused("too large", large, "too large");
	free(large);
}

static void other_kinds_of_key(void **state)
{
	(void)state;
	static const struct { const char *label, *type; size_t bits; char how; const char *says; } rows[] = {
		{ "elliptic curve", "EC", 0, 'p', "of the kind EC" },
		{ "X25519", "X25519", 0, 'p', "of the kind X25519" },
		{ "Ed448", "ED448", 0, 'p', "of the kind ED448" },
		{ "short RSA, RFC 8301 3.2", "RSA", 1016, 'p', "has 1016 bits; receivers refuse" },
		{ "long RSA, RFC 8301 3.2", "RSA", 4104, 'p', "has 4104 bits; receivers need not" },
		{ "encrypted", "RSA", 1024, 'e', "openssl pkey -in OLD -out NEW" },
		{ "encrypted, old manner", "RSA", 1024, 't', "openssl pkey -in OLD -out NEW" },
		{ "public RSA", "RSA", 1024, 'u', "this is a public key" },
		{ "public Ed25519", "ED25519", 0, 'u', "this is a public key" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		EVP_PKEY *pkey = strcmp(rows[i].type, "RSA") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", rows[i].bits)
			: strcmp(rows[i].type, "EC") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
			: EVP_PKEY_Q_keygen(NULL, NULL, rows[i].type);
		char *pem = pem_of(pkey, rows[i].how);
		refused(rows[i].label, pem, rows[i].says);
		free(pem);
	}
	struct sp_fail why = SP_FAIL_OK;
	assert_null(core_key_generate(CORE_KEY_RSA, 1023, &why));
	assert_null(core_key_generate(CORE_KEY_RSA, 4097, &why));
	assert_non_null(strstr(why.text, "1024 to 4096"));
}

static void halves_that_do_not_fit(void **state)
{
	(void)state;
	char *pem = sp_strdup(RFC8463_RSA_KEY);
	char *at = strstr(pem, "Y/J16JYi0Q");
	assert_non_null(at);
	at[4] = '2';
	refused("one bit of the modulus", pem, "signatures that it does not verify");
	free(pem);
}

/* ---- files ---- */

static void write_key(mode_t mode)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(RFC8463_ED25519_KEY, f);
	fclose(f);
	chmod(path, mode);
}

static void not_loaded(const char *says, const char *also)
{
	struct sp_fail why = SP_FAIL_OK;
	assert_null(core_key_load(path, NULL, &why));
	if (strstr(why.text, path) == NULL || strstr(why.text, says) == NULL || strstr(why.text, also) == NULL)
		fail_msg("want %s, \"%s\" and \"%s\", got \"%s\"", path, says, also, why.text);
}

static void files(void **state)
{
	(void)state;
	not_loaded("no such file", "strictpost dkim keygen");
	write_key(0640);
	struct sp_fail why = SP_FAIL_OK;
	unsigned mode = 0;
	struct core_key *k = core_key_load(path, &mode, &why);
	assert_non_null(k);
	assert_int_equal(mode, 0640);
	assert_int_equal(core_key_kind(k), CORE_KEY_ED25519);
	core_key_unref(k);
	assert_int_equal(truncate(path, 40), 0);
	not_loaded(": the private key in it is damaged", "");
	assert_int_equal(truncate(path, 100000), 0);
	not_loaded("too large", "");
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	not_loaded("not a plain file", "");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	not_loaded("not a plain file", "");             /* and does not wait for a writer */
}

/* Permissions wrong: uid, path, mode and the command that mends it. */
static void files_of_others(void **state)
{
	(void)state;
	write_key(0600);
	bool root = geteuid() == 0;
	char mend[200];
	if (root) {
		assert_int_equal(chmod(folder, 0755), 0);
		assert_int_equal(setegid(65534), 0);
		assert_int_equal(seteuid(65534), 0);
		snprintf(mend, sizeof(mend), "mode 0600 and owner 0; mend it with: chown 65534:65534 %s", path);
		not_loaded("as uid 65534", mend);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(chmod(folder, 0700), 0);
		assert_int_equal(seteuid(65534), 0);
		snprintf(mend, sizeof(mend), "mode 0700 and owner 0; mend it with: chmod o+x %s", folder);
		not_loaded("as uid 65534", mend);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(chown(folder, 0, 65534), 0);           /* the bits for others do not count for its group */
		assert_int_equal(seteuid(65534), 0);
		snprintf(mend, sizeof(mend), "mode 0700 and owner 0; mend it with: chmod g+x %s", folder);
		not_loaded("as uid 65534", mend);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(chown(folder, 65534, 65534) | chown(path, 65534, 65534), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	chmod(path, 0);
	snprintf(mend, sizeof(mend), "mode 0000 and owner %u; mend it with: chmod u+r %s", (unsigned)geteuid(), path);
	not_loaded("cannot read", mend);
	chmod(folder, 0600);
	snprintf(mend, sizeof(mend), "mode 0600 and owner %u; mend it with: chmod u+x %s", (unsigned)geteuid(), folder);
	not_loaded("cannot read", mend);
	chmod(folder, 0700);
	if (root) {
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(setegid(0), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digest_rows),
		cmocka_unit_test(keys_come_back),
		cmocka_unit_test(public_of_rfc8463),
		cmocka_unit_test(a_full_buffer_remembers),
		cmocka_unit_test(threads_share_a_key),
		cmocka_unit_test(text_that_is_no_key),
		cmocka_unit_test(other_kinds_of_key),
		cmocka_unit_test(halves_that_do_not_fit),
		cmocka_unit_test_setup_teardown(files, setup, teardown),
		cmocka_unit_test_setup_teardown(files_of_others, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* core/crypt_load.c - a private key from its file (crypt.h). */
#include "core/crypt.h"

#include "core/readfile.h"

#include <openssl/crypto.h>

struct core_key *core_key_load(const char *path, unsigned *mode, struct sp_fail *why)
{
	unsigned bits;
	char pem[CORE_KEY_PEM_MAX + 1];         /* one more: too large is seen, not cut */
	ssize_t len = core_read_file(path, pem, sizeof(pem), &bits, why);
	struct core_key *k = NULL;
	struct sp_fail inner = SP_FAIL_OK;
	if (len < 0 && strcmp(why->reason, "missing") == 0)
		sp_fail_set(why, SP_FAIL_STORE, "cannot read %s: there is no such file; strictpost dkim keygen makes a key", path);
	if (len >= 0 && (k = core_key_parse(sp_str_make(pem, (size_t)len), &inner)) == NULL)
		sp_fail_set(why, SP_FAIL_STORE, "%s: %s", path, inner.text);
	OPENSSL_cleanse(pem, sizeof(pem));
	if (k && mode)
		*mode = bits;
	return k;
}

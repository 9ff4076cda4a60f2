/* core/password.c - see password.h. */
#include "core/password.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

/* The methods that we take, and how many characters their hashes end in: one that lost its end in an editor would fit nobody, and say so to nobody. SHA-256
 * is legacy to libcrypt, but what other mail servers have in their files, and no weaker than the rest of them. */
static const struct { const char *prefix; size_t digits; } methods[] = {
	{ "$y$", 43 }, { "$gy$", 43 }, { "$7$", 43 }, { "$2a$", 53 }, { "$2b$", 53 }, { "$2y$", 53 }, { "$6$", 86 }, { "$5$", 43 },
};

static bool is_digit64(char c)
{
	return sp_is_alnum(c) || c == '.' || c == '/';
}

bool core_password_hash_ok(const char *hash, struct sp_fail *why)
{
	size_t m = 0, len = strlen(hash), end = len;
	while (m < SP_COUNT(methods) && !sp_str_starts(sp_str_of(hash), sp_str_of(methods[m].prefix)))
		m++;
	while (end > 0 && is_digit64(hash[end - 1]))
		end--;
	int known = crypt_checksalt(hash);
	if (known == CRYPT_SALT_INVALID)
		sp_fail_set(why, SP_FAIL_STORE, "it is no password hash of crypt(3)");
	else if (m == SP_COUNT(methods) && hash[0] != '$')             /* any two letters are a salt of DES */
		sp_fail_set(why, SP_FAIL_STORE, "it is no password hash of crypt(3), or one of DES, which is too weak to keep");
	else if (m == SP_COUNT(methods))
		sp_fail_set(why, SP_FAIL_STORE, "this kind of password hash is too weak to keep");
	else if (known == CRYPT_SALT_METHOD_DISABLED)
		sp_fail_set(why, SP_FAIL_STORE, "this system's libcrypt does not compute %s hashes", methods[m].prefix);
	else if (len > CORE_PASSWORD_HASH_MAX || end == 0 || hash[end - 1] != '$' || len - end != methods[m].digits)
		sp_fail_set(why, SP_FAIL_STORE, "the password hash is not whole: a %s hash ends in %zu characters behind its last $", methods[m].prefix,
		            methods[m].digits);
	else
		return true;
	return false;
}

const char *core_password_decoy(void)
{
	return "$y$j9T$K8uYw0bq3VxJ2mRrT5cZd1$gXk4pQ7hNwE9sLzUa6oBvYtF2iMjC8rKd0ePxW3lGnA";
}

/* Its copy of the password is in `data`, which is wiped. NULL with errno: it cannot be computed. */
static bool compute(const char *setting, struct sp_str password, struct crypt_data *data, char out[CORE_PASSWORD_HASH_MAX])
{
	char *phrase = sp_strndup(password.p ? password.p : "", password.len);
	memset(data, 0, sizeof(*data));
	errno = 0;
	const char *got = crypt_rn(phrase, setting, data, sizeof(*data));
	if (got)
		snprintf(out, CORE_PASSWORD_HASH_MAX, "%s", got);
	int cause = errno;
	explicit_bzero(phrase, password.len);
	free(phrase);
	explicit_bzero(data, sizeof(*data));
	errno = cause;
	return got != NULL;
}

static bool compute_apart(const char *setting, struct sp_str password, char out[CORE_PASSWORD_HASH_MAX])
{
	struct crypt_data *data = sp_alloc(sizeof(*data));              /* 32 KiB: not for the stack of a thread */
	bool done = compute(setting, password, data, out);
	free(data);
	return done;
}

static bool is_sound(struct sp_str password)
{
	return password.len <= CORE_PASSWORD_MAX && !sp_str_contains(password, '\0');
}

bool core_password_hash(struct sp_str password, struct sp_buf *out, struct sp_fail *why)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE], hash[CORE_PASSWORD_HASH_MAX];
	bool done = false;
	if (password.len == 0)
		sp_fail_set(why, SP_FAIL_STORE, "the password is empty");
	else if (!is_sound(password))
		sp_fail_set(why, SP_FAIL_STORE, "the password is longer than %d octets, or has a NUL in it", CORE_PASSWORD_MAX);
	else if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)) == NULL || !compute_apart(setting, password, hash))
		sp_fail_set(why, SP_FAIL_STORE, "libcrypt cannot make a hash: %s", strerror(errno));
	else
		done = true;
	if (done)
		sp_buf_adds(out, hash);
	return done;
}

bool core_password_fits(const char *hash, struct sp_str password, bool *failed)
{
	char got[CORE_PASSWORD_HASH_MAX];
	size_t len = strlen(hash);
	bool sound = is_sound(password);
	bool computed = compute_apart(hash, sound ? password : SP_STR("?"), got);       /* one that cannot fit takes as long */
	if (failed)
		*failed = !computed;
	bool same = computed && strlen(got) == len && CRYPTO_memcmp(got, hash, len) == 0;
	explicit_bzero(got, sizeof(got));
	return same && sound;
}

/* ---- beside a loop ---- */

struct core_password_check {
	uv_work_t work;
	char *hash;
	struct sp_str password;         /* ours */
	void (*done)(void *owner, bool fits, bool failed);      /* NULL: cancelled */
	void *owner;
	bool fits, failed;              /* the pool's until on_computed() */
};

static void on_pool(uv_work_t *work)
{
	struct core_password_check *c = sp_container_of(work, struct core_password_check, work);
	c->fits = core_password_fits(c->hash, c->password, &c->failed);
}

static void on_computed(uv_work_t *work, int status)
{
	struct core_password_check *c = sp_container_of(work, struct core_password_check, work);
	void (*done)(void *owner, bool fits, bool failed) = c->done;
	void *owner = c->owner;
	bool fits = c->fits, failed = c->failed || status != 0;
	explicit_bzero((char *)c->password.p, c->password.len);
	explicit_bzero(c->hash, strlen(c->hash));
	free((char *)c->password.p);
	free(c->hash);
	free(c);
	if (done)
		done(owner, fits && !failed, failed);
}

struct core_password_check *core_password_check(struct core_loop *l, const char *hash, struct sp_str password,
                                                void (*done)(void *owner, bool fits, bool failed), void *owner)
{
	struct core_password_check *c = sp_alloc(sizeof(*c));
	c->hash = sp_strdup(hash);
	c->password = sp_str_make(sp_str_dup(password), password.len);
	c->done = done;
	c->owner = owner;
	int rc = uv_queue_work(core_loop_uv(l), &c->work, on_pool, on_computed);
	sp_assert(rc == 0);             /* only refuses a NULL function */
	return c;
}

void core_password_cancel(struct core_password_check *c)
{
	if (c == NULL)
		return;
	c->done = NULL;
	uv_cancel((uv_req_t *)&c->work);        /* fails where a thread has it: it ends by itself */
}

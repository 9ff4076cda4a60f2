/* tests/unit/core_password_test.c - core/password.c: which hashes are taken, what fits, and that it is computed beside the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/password.h"


static const struct { const char *label, *hash, *why; } hashes[] = {
	{ "yescrypt", "$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04", NULL },
	{ "gost-yescrypt", "$gy$j9T$abcdefgh$CiTibHdBM/5r3qmg1i0DxivDn1U977EDVDgQAyycj9/", NULL },
	{ "scrypt", "$7$CU..../....abcdefgh$19TzpFZ5AwP26vdEMbfvWacoVUfd2MfVusFAVFilh.C", NULL },
	{ "bcrypt", "$2b$12$abcdefghijklmnopqrstuuOeZ2hQ32AyBh8ZYFFLfYoUxWKOV2GcS", NULL },
	{ "bcrypt of PHP", "$2y$12$abcdefghijklmnopqrstuuOeZ2hQ32AyBh8ZYFFLfYoUxWKOV2GcS", NULL },
	{ "SHA-512", "$6$abc$K4v3HcZ8yAmpRfxML6S46NCcqy9r4/KdbQpFvqSWsBf4dgySOEOo1DHJTrmn2BsJK2aNmPN8Tfb826D2o9.z51", NULL },
	{ "SHA-256", "$5$abc$sCOGUciM.GdmYMCUvmUcgu03oRH87O0clF96.9mwWGB", NULL },
	{ "bcrypt with the sign fault", "$2x$12$abcdefghijklmnopqrstuuOeZ2hQ32AyBh8ZYFFLfYoUxWKOV2GcS", "weak" },
	{ "MD5", "$1$abc$OGyl6dDvZCDiGmIVbeuCq/", "weak" },
	{ "DES", "abiQ6Ep3EYTHc", "weak" },
	{ "NT", "$3$$a9f0dd57e1edab5bb55a9ac0a99c15ec", "weak" },
	{ "nothing", "", "no password hash" },
	{ "locked, as in shadow(5)", "!", "no password hash" },
	{ "a password in clear", "secret!", "no password hash" },
	{ "of Dovecot, with its scheme", "{SHA512-CRYPT}$6$abc$K4v3", "no password hash" },
	{ "an end lost", "$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV0", "not whole" },
	{ "no end at all", "$6$abc$", "not whole" },
	{ "too much", "$5$abc$sCOGUciM.GdmYMCUvmUcgu03oRH87O0clF96.9mwWGBB", "not whole" },
	{ "a space in it", "$5$abc$sCOGUciM.GdmYMCUvmUcgu03oRH87O0 lF96.9mwWGB", "" },
};

static void test_which_hashes_are_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(hashes); i++) {
		struct sp_fail why = SP_FAIL_OK;
		bool ok = core_password_hash_ok(hashes[i].hash, &why);
		if (ok != (hashes[i].why == NULL) || (!ok && strstr(why.text, hashes[i].why) == NULL))
			fail_msg("%s: %s", hashes[i].label, ok ? "taken" : why.text);
	}
}

static void test_a_hash_fits_its_password_alone(void **state)
{
	(void)state;
	static const struct { const char *label, *password; bool fits; } rows[] = {
		{ "the password", "pass word", true }, { "another", "pass worD", false }, { "longer", "pass word1", false },
		{ "shorter", "pass wor", false },      { "none", "", false },
	};
	struct sp_buf hash;
	struct sp_fail why;
	sp_buf_init(&hash, CORE_PASSWORD_HASH_MAX);
	assert_true(core_password_hash(SP_STR("pass word"), &hash, &why));
	assert_true(sp_str_starts(sp_buf_str(&hash), SP_STR("$y$")));
	assert_true(core_password_hash_ok(sp_buf_cstr(&hash), &why));
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		bool failed = true;
		if (core_password_fits(sp_buf_cstr(&hash), sp_str_of(rows[i].password), &failed) != rows[i].fits || failed)
			fail_msg("%s", rows[i].label);
	}
	assert_false(core_password_fits(sp_buf_cstr(&hash), sp_str_make("pass word\0x", 11), NULL));        /* cut at the NUL it would fit */
	sp_buf_clear(&hash);
}

static void test_the_same_password_never_has_the_same_hash(void **state)
{
	(void)state;
	struct sp_buf a, b;
	struct sp_fail why;
	sp_buf_init(&a, CORE_PASSWORD_HASH_MAX);
	sp_buf_init(&b, CORE_PASSWORD_HASH_MAX);
	assert_true(core_password_hash(SP_STR("x"), &a, &why) && core_password_hash(SP_STR("x"), &b, &why));
	assert_string_not_equal(sp_buf_cstr(&a), sp_buf_cstr(&b));
	sp_buf_clear(&a);
	sp_buf_clear(&b);
}

static void test_lengths(void **state)
{
	(void)state;
	char text[CORE_PASSWORD_MAX + 2];
	struct sp_buf hash;
	struct sp_fail why;
	memset(text, 'p', sizeof(text));
	sp_buf_init(&hash, CORE_PASSWORD_HASH_MAX);
	assert_false(core_password_hash(SP_STR(""), &hash, &why));
	assert_false(core_password_hash(sp_str_make(text, CORE_PASSWORD_MAX + 1), &hash, &why));
	assert_false(core_password_hash(sp_str_make("a\0b", 3), &hash, &why));
	assert_int_equal(hash.len, 0);
	assert_true(core_password_hash(sp_str_make(text, CORE_PASSWORD_MAX), &hash, &why));
	bool failed = true;
	assert_true(core_password_fits(sp_buf_cstr(&hash), sp_str_make(text, CORE_PASSWORD_MAX), &failed));
	assert_false(core_password_fits(sp_buf_cstr(&hash), sp_str_make(text, CORE_PASSWORD_MAX - 1), &failed));
	assert_false(core_password_fits(sp_buf_cstr(&hash), sp_str_make(text, CORE_PASSWORD_MAX + 1), &failed));
	assert_false(failed);
	sp_buf_clear(&hash);
}

static void test_the_decoy_is_computed_and_fits_nobody(void **state)
{
	(void)state;
	struct sp_fail why;
	bool failed = true;
	assert_true(core_password_hash_ok(core_password_decoy(), &why));
	assert_false(core_password_fits(core_password_decoy(), SP_STR("secret"), &failed));
	assert_false(failed);
	assert_false(core_password_fits("*0", SP_STR("secret"), &failed));
	assert_true(failed);
}

/* ---- beside a loop ---- */

struct answer {
	unsigned calls;
	bool fits, failed;
};

static void on_done(void *owner, bool fits, bool failed)
{
	*(struct answer *)owner = (struct answer){ ((struct answer *)owner)->calls + 1, fits, failed };
}

static void test_the_loop_goes_on_meanwhile(void **state)
{
	(void)state;
	struct core_loop *loop = core_loop_new();
	struct answer a = { 0 };
	char password[] = "x";
	core_password_check(loop, hashes[0].hash, sp_str_make(password, 1), on_done, &a);
	password[0] = 'y';                      /* it has its own */
	assert_int_equal(a.calls, 0);
	unsigned turns = 0;
	while (core_loop_turn(loop))
		turns++;
	assert_true(turns > 1);
	assert_int_equal(a.calls, 1);
	assert_true(a.fits && !a.failed);
	core_password_check(loop, hashes[0].hash, SP_STR("y"), on_done, &a);
	core_loop_run(loop);
	assert_int_equal(a.calls, 2);
	assert_false(a.fits || a.failed);
	core_password_check(loop, "*1", SP_STR("y"), on_done, &a);
	core_loop_run(loop);
	assert_true(a.calls == 3 && a.failed && !a.fits);
	core_loop_free(loop);
}

static void test_cancelled_is_silent(void **state)
{
	(void)state;
	struct core_loop *loop = core_loop_new();
	struct answer a = { 0 };
	for (int i = 0; i < 12; i++)            /* more than there are threads: some have not begun */
		core_password_cancel(core_password_check(loop, hashes[0].hash, SP_STR("x"), on_done, &a));
	core_password_cancel(NULL);
	core_loop_run(loop);
	assert_int_equal(a.calls, 0);
	core_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_hashes_are_taken),
		cmocka_unit_test(test_a_hash_fits_its_password_alone),
		cmocka_unit_test(test_the_same_password_never_has_the_same_hash),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_the_decoy_is_computed_and_fits_nobody),
		cmocka_unit_test(test_the_loop_goes_on_meanwhile),
		cmocka_unit_test(test_cancelled_is_silent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/core_gzip_test.c - core/gzip.c: made as it comes, unpacked with a bound. */
#include "core/gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static void pack(struct sp_str data, struct sp_buf *out, size_t step)
{
	struct core_gzip *g = core_gzip_new(out);
	while (data.len > 0) {
		size_t len = sp_min(step, data.len);
		core_gzip_add(g, sp_str_make(data.p, len));
		data = sp_str_from(data, len);
	}
	core_gzip_finish(g);
}

/* Octets that do not pack well, and always the same. */
static char *noise(size_t len)
{
	char *p = sp_alloc(len);
	uint64_t x = 88172645463325252u;
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		p[i] = (char)(x >> 32);
	}
	return p;
}

static void there_and_back(void **state)
{
	(void)state;
	static const struct { size_t len, step; } rows[] = {
		{ 0, 1 }, { 1, 1 }, { 8191, 100 }, { 8192, 8192 }, { 8193, 1 }, { MIB, 77777 }, { MIB, MIB },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		char *data = noise(rows[i].len);
		struct sp_buf packed, back;
		sp_buf_init(&packed, 4 * MIB);
		sp_buf_init(&back, rows[i].len);                /* the very size is room enough */
		pack(sp_str_make(data, rows[i].len), &packed, rows[i].step);
		assert_false(sp_buf_failed(&packed));
		const char *why = NULL;
		print_message("%zu octets, %zu at once: %zu packed\n", rows[i].len, rows[i].step, packed.len);
		assert_true(core_gunzip(sp_buf_str(&packed), &back, &why));
		assert_int_equal(back.len, rows[i].len);
		assert_true(rows[i].len == 0 || memcmp(back.p, data, rows[i].len) == 0);
		sp_buf_clear(&packed);
		sp_buf_clear(&back);
		free(data);
	}
}

static void equal_data_gives_equal_octets(void **state)
{
	(void)state;
	struct sp_buf a, b;
	sp_buf_init(&a, MIB);
	sp_buf_init(&b, MIB);
	struct sp_str data = SP_STR("{\"organization-name\":\"Company-X\"}");
	pack(data, &a, 1);
	pack(data, &b, 100);
	assert_true(sp_str_eq(sp_buf_str(&a), sp_buf_str(&b)));
	/* RFC 1952 2.3: magic, deflate, no flags (so no name), no time */
	assert_memory_equal(a.p, "\x1f\x8b\x08\x00\x00\x00\x00\x00", 8);
	sp_buf_clear(&a);
	sp_buf_clear(&b);
}

static void members_in_a_row_are_one(void **state)      /* RFC 1952 2.2 */
{
	(void)state;
	struct sp_buf packed, back;
	sp_buf_init(&packed, MIB);
	sp_buf_init(&back, MIB);
	pack(SP_STR("one "), &packed, 1);
	pack(SP_STR(""), &packed, 1);
	pack(SP_STR("two"), &packed, 1);
	const char *why = NULL;
	assert_true(core_gunzip(sp_buf_str(&packed), &back, &why));
	assert_string_equal(sp_buf_cstr(&back), "one two");
	sp_buf_clear(&packed);
	sp_buf_clear(&back);
}

static void what_is_broken_is_told(void **state)
{
	(void)state;
	struct sp_buf good, out;
	sp_buf_init(&good, MIB);
	sp_buf_init(&out, MIB);
	sp_buf_adds(&out, "before");
	pack(SP_STR("hello, hello, hello"), &good, 5);
	const char *why = NULL;
	for (size_t len = 0; len < good.len; len++) {                   /* cut anywhere */
		assert_false(core_gunzip(sp_str_make(good.p, len), &out, &why));
		assert_non_null(strstr(why, "cut short"));
		assert_string_equal(sp_buf_cstr(&out), "before");
	}
	char *bad = sp_strndup(good.p, good.len);
	bad[good.len - 6] ^= 1;                                         /* its check sum */
	assert_false(core_gunzip(sp_str_make(bad, good.len), &out, &why));
	assert_non_null(strstr(why, "damaged"));
	free(bad);
	sp_buf_adds(&good, "rubbish");
	assert_false(core_gunzip(sp_buf_str(&good), &out, &why));
	assert_false(core_gunzip(SP_STR("{\"a\": 1}"), &out, &why));
	assert_non_null(strstr(why, "not gzip"));
	assert_string_equal(sp_buf_cstr(&out), "before");
	sp_buf_clear(&good);
	sp_buf_clear(&out);
}

static void a_bomb_stops_at_the_ceiling(void **state)
{
	(void)state;
	char *zeros = sp_alloc(64 * MIB);
	struct sp_buf bomb, out;
	sp_buf_init(&bomb, MIB);
	sp_buf_init(&out, MIB);
	pack(sp_str_make(zeros, 64 * MIB), &bomb, MIB);
	free(zeros);
	const char *why = NULL;
	assert_false(core_gunzip(sp_buf_str(&bomb), &out, &why));
	assert_non_null(strstr(why, "too large"));
	assert_int_equal(out.len, 0);
	assert_true(out.cap <= MIB + 1);
	sp_buf_clear(&bomb);
	sp_buf_clear(&out);
}

static void a_full_buffer_shows(void **state)
{
	(void)state;
	char *data = noise(MIB);
	struct sp_buf out;
	sp_buf_init(&out, 1000);
	pack(sp_str_make(data, MIB), &out, 4096);
	assert_true(sp_buf_failed(&out));
	struct core_gzip *g = core_gzip_new(&out);
	core_gzip_add(g, sp_str_make(data, MIB));
	core_gzip_free(g);                              /* given up half-way */
	core_gzip_free(NULL);
	sp_buf_clear(&out);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back), cmocka_unit_test(equal_data_gives_equal_octets), cmocka_unit_test(members_in_a_row_are_one),
		cmocka_unit_test(what_is_broken_is_told), cmocka_unit_test(a_bomb_stops_at_the_ceiling), cmocka_unit_test(a_full_buffer_shows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

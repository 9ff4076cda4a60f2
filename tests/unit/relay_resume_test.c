/* tests/unit/relay_resume_test.c - relay/resume.c: a TLS session is resumed only where the same was asked for, once, and few are kept.
 * A fake core_tls_session_unref() counts who was let go. */
#include "relay/resume.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct core_tls_session {
	int number;
	bool gone;
};

void core_tls_session_unref(struct core_tls_session *s)
{
	if (s == NULL)
		return;
	assert_false(s->gone);
	s->gone = true;
}

static struct sp_addr at(const char *text)
{
	struct sp_addr a;
	assert_true(sp_addr_parse(sp_str_of(text), &a));
	return a;
}

#define HOST "mx1.example.com"
#define AT "192.0.2.1:25"

static const struct { const char *label, *host, *at; enum sts_requirement require; bool want; } keys[] = {      /* kept: HOST, AT, PKIX */
	{ "the same", HOST, AT, STS_REQUIRE_PKIX, true },
	{ "another host at the same address", "mx2.example.com", AT, STS_REQUIRE_PKIX, false },
	{ "a longer name", HOST ".example", AT, STS_REQUIRE_PKIX, false },
	{ "no name", "", AT, STS_REQUIRE_PKIX, false },
	{ "another address", HOST, "192.0.2.2:25", STS_REQUIRE_PKIX, false },
	{ "the other family", HOST, "[2001:db8::1]:25", STS_REQUIRE_PKIX, false },
	{ "another port", HOST, "192.0.2.1:26", STS_REQUIRE_PKIX, false },
	{ "less required", HOST, AT, STS_REQUIRE_NONE, false },
	{ "testing", HOST, AT, STS_REQUIRE_TRY_PKIX, false },
};

static void test_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(keys); i++) {
		struct resume_memory m;
		struct core_tls_session session = { 0 };
		struct sp_addr kept = at(AT), asked = at(keys[i].at);
		resume_init(&m);
		char host[] = HOST;
		resume_keep(&m, host, &kept, STS_REQUIRE_PKIX, &session);
		memset(host, 'x', sizeof(host) - 1);            /* the name is copied */
		struct core_tls_session *got = resume_take(&m, keys[i].host, &asked, keys[i].require);
		print_message("%s: want %d, got %d\n", keys[i].label, keys[i].want, got != NULL);
		assert_ptr_equal(got, keys[i].want ? &session : NULL);
		assert_int_equal(m.count, keys[i].want ? 0 : 1);
		assert_false(session.gone);                     /* taken: the ref is ours */
		resume_clear(&m);
		assert_int_equal(session.gone, !keys[i].want);
	}
}

/* What was proved under one requirement serves no other, in whichever order they come. */
static void test_no_requirement_serves_another(void **state)
{
	(void)state;
	static const enum sts_requirement all[] = { STS_REQUIRE_NONE, STS_REQUIRE_TRY_PKIX, STS_REQUIRE_PKIX };
	struct sp_addr a = at(AT);
	for (size_t i = 0; i < SP_COUNT(all); i++) {
		for (size_t j = 0; j < SP_COUNT(all); j++) {
			struct resume_memory m;
			struct core_tls_session session = { 0 };
			resume_init(&m);
			resume_keep(&m, HOST, &a, all[i], &session);
			assert_int_equal(resume_take(&m, HOST, &a, all[j]) != NULL, i == j);
			resume_clear(&m);
		}
	}
}

static void test_a_ticket_is_used_once(void **state)
{
	(void)state;
	struct resume_memory m;
	struct core_tls_session first = { 1, false }, second = { 2, false };
	struct sp_addr a = at(AT);
	resume_init(&m);
	resume_keep(&m, HOST, &a, STS_REQUIRE_PKIX, &first);
	resume_keep(&m, HOST, &a, STS_REQUIRE_PKIX, &second);
	resume_keep(&m, HOST, &a, STS_REQUIRE_PKIX, NULL);
	assert_int_equal(m.count, 2);
	assert_ptr_equal(resume_take(&m, HOST, &a, STS_REQUIRE_PKIX), &second);         /* the newest first */
	assert_ptr_equal(resume_take(&m, HOST, &a, STS_REQUIRE_PKIX), &first);
	assert_null(resume_take(&m, HOST, &a, STS_REQUIRE_PKIX));
	assert_int_equal(m.count, 0);
	resume_clear(&m);
	assert_false(first.gone || second.gone);
}

static void test_the_oldest_goes(void **state)
{
	(void)state;
	struct resume_memory m;
	struct core_tls_session sessions[RESUME_MAX + 3] = { 0 };
	struct sp_addr a = at(AT);
	resume_init(&m);
	for (uint16_t i = 0; i < SP_COUNT(sessions); i++) {
		sp_addr_set_port(&a, i);
		resume_keep(&m, HOST, &a, STS_REQUIRE_PKIX, &sessions[i]);
		assert_in_range(m.count, 1, RESUME_MAX);
	}
	for (uint16_t i = 0; i < SP_COUNT(sessions); i++) {
		sp_addr_set_port(&a, i);
		struct core_tls_session *got = resume_take(&m, HOST, &a, STS_REQUIRE_PKIX);
		print_message("%u: want %s, got %s\n", i, i < 3 ? "gone" : "kept", got ? "kept" : "gone");
		assert_ptr_equal(got, i < 3 ? NULL : &sessions[i]);
		assert_int_equal(sessions[i].gone, i < 3);
	}
	resume_clear(&m);
}

static void test_all_are_forgotten(void **state)
{
	(void)state;
	struct resume_memory m;
	struct core_tls_session sessions[3] = { 0 };
	struct sp_addr a = at(AT);
	resume_init(&m);
	resume_clear(&m);
	for (size_t i = 0; i < SP_COUNT(sessions); i++)
		resume_keep(&m, HOST, &a, (enum sts_requirement)i, &sessions[i]);
	resume_clear(&m);
	for (size_t i = 0; i < SP_COUNT(sessions); i++) {
		assert_true(sessions[i].gone);
		assert_null(resume_take(&m, HOST, &a, (enum sts_requirement)i));
	}
	assert_int_equal(m.count, 0);
	struct core_tls_session again = { 0 };
	resume_keep(&m, HOST, &a, STS_REQUIRE_NONE, &again);            /* as after init */
	assert_ptr_equal(resume_take(&m, HOST, &a, STS_REQUIRE_NONE), &again);
	resume_clear(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_no_requirement_serves_another),
		cmocka_unit_test(test_a_ticket_is_used_once),
		cmocka_unit_test(test_the_oldest_goes),
		cmocka_unit_test(test_all_are_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

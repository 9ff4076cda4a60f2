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

/* In place of the one in core/, whose object has our core_tls_session_unref() too. */
bool core_tlsa_is_full(const struct core_tlsa *r SP_UNUSED)
{
	return true;
}

static struct sts_demand demand_of(const char *host, enum sts_requirement require)
{
	struct sts_demand d = { .require = require };
	snprintf(d.host, sizeof(d.host), "%s", host);
	return d;
}

#define HOST "mx1.example.com"
#define AT "192.0.2.1:25"

static void keep(struct resume_memory *m, const struct sp_addr *addr, enum sts_requirement require, struct core_tls_session *session)
{
	struct sts_demand d = demand_of(HOST, require);
	resume_keep(m, &d, addr, session);
}

static struct core_tls_session *take(struct resume_memory *m, const struct sp_addr *addr, enum sts_requirement require)
{
	struct sts_demand d = demand_of(HOST, require);
	return resume_take(m, &d, addr);
}

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
		keep(&m, &kept, STS_REQUIRE_PKIX, &session);
		struct sts_demand demand = demand_of(keys[i].host, keys[i].require);
		struct core_tls_session *got = resume_take(&m, &demand, &asked);
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
	static const enum sts_requirement all[] = { STS_REQUIRE_NONE, STS_REQUIRE_TRY_PKIX, STS_REQUIRE_PKIX, STS_REQUIRE_ENCRYPT };
	struct sp_addr a = at(AT);
	for (size_t i = 0; i < SP_COUNT(all); i++) {
		for (size_t j = 0; j < SP_COUNT(all); j++) {
			struct resume_memory m;
			struct core_tls_session session = { 0 };
			resume_init(&m);
			keep(&m, &a, all[i], &session);
			assert_int_equal(take(&m, &a, all[j]) != NULL, i == j);
			resume_clear(&m);
		}
	}
}

static struct sts_demand dane(const struct core_tlsa *record, struct sts_tlsa *tlsa)
{
	struct sts_demand d = demand_of(HOST, STS_REQUIRE_DANE);
	*tlsa = (struct sts_tlsa){ .state = STS_TLSA_USABLE, .base = HOST, .records = record, .count = 1, .strings = "" };
	d.tlsa = tlsa;
	return d;
}

/* TRAPS: the key holds everything that was proved: the TLSA records, REQUIRETLS and TLS-Required. */
static void test_records_and_wishes_are_part_of_the_key(void **state)
{
	(void)state;
	char octets[2][2] = { "a", "b" };
	struct core_tlsa records[2] = { { 3, 1, 1, sp_str_make(octets[0], 1) }, { 3, 1, 1, sp_str_make(octets[1], 1) } };
	struct sts_tlsa sets[3];
	struct sts_demand plain = demand_of(HOST, STS_REQUIRE_PKIX), wanted = plain, optional = plain;
	wanted.wish = STS_WISH_REQUIRE_TLS;
	wanted.peer_requiretls = true;
	optional.wish = STS_WISH_TLS_OPTIONAL;
	struct sts_demand all[] = { plain, wanted, optional, dane(&records[0], &sets[0]), dane(&records[1], &sets[1]) };
	struct sp_addr a = at(AT);
	for (size_t i = 0; i < SP_COUNT(all); i++) {
		for (size_t j = 0; j < SP_COUNT(all); j++) {
			struct resume_memory m;
			struct core_tls_session session = { 0 };
			resume_init(&m);
			resume_keep(&m, &all[i], &a, &session);
			bool got = resume_take(&m, &all[j], &a) != NULL;
			print_message("kept %zu, asked %zu: %d\n", i, j, got);
			assert_int_equal(got, i == j);
			resume_clear(&m);
		}
	}
}

/* What is kept outlives the plan that it was proved under. */
static void test_the_records_are_copied(void **state)
{
	(void)state;
	char octets[2] = "a";
	struct core_tlsa record = { 3, 1, 1, sp_str_make(octets, 1) }, again = { 3, 1, 1, SP_STR("a") };
	struct sts_tlsa set, asked;
	struct sts_demand d = dane(&record, &set), now = dane(&again, &asked);
	struct core_tls_session session = { 0 };
	struct sp_addr a = at(AT);
	struct resume_memory m;
	resume_init(&m);
	resume_keep(&m, &d, &a, &session);
	octets[0] = 'x';
	memset(&set, 0xff, sizeof(set));
	assert_ptr_equal(resume_take(&m, &now, &a), &session);
	resume_clear(&m);
}

static void test_a_ticket_is_used_once(void **state)
{
	(void)state;
	struct resume_memory m;
	struct core_tls_session first = { 1, false }, second = { 2, false };
	struct sp_addr a = at(AT);
	resume_init(&m);
	keep(&m, &a, STS_REQUIRE_PKIX, &first);
	keep(&m, &a, STS_REQUIRE_PKIX, &second);
	keep(&m, &a, STS_REQUIRE_PKIX, NULL);
	assert_int_equal(m.count, 2);
	assert_ptr_equal(take(&m, &a, STS_REQUIRE_PKIX), &second);         /* the newest first */
	assert_ptr_equal(take(&m, &a, STS_REQUIRE_PKIX), &first);
	assert_null(take(&m, &a, STS_REQUIRE_PKIX));
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
		keep(&m, &a, STS_REQUIRE_PKIX, &sessions[i]);
		assert_in_range(m.count, 1, RESUME_MAX);
	}
	for (uint16_t i = 0; i < SP_COUNT(sessions); i++) {
		sp_addr_set_port(&a, i);
		struct core_tls_session *got = take(&m, &a, STS_REQUIRE_PKIX);
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
		keep(&m, &a, (enum sts_requirement)i, &sessions[i]);
	resume_clear(&m);
	for (size_t i = 0; i < SP_COUNT(sessions); i++) {
		assert_true(sessions[i].gone);
		assert_null(take(&m, &a, (enum sts_requirement)i));
	}
	assert_int_equal(m.count, 0);
	struct core_tls_session again = { 0 };
	keep(&m, &a, STS_REQUIRE_NONE, &again);            /* as after init */
	assert_ptr_equal(take(&m, &a, STS_REQUIRE_NONE), &again);
	resume_clear(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_no_requirement_serves_another),
		cmocka_unit_test(test_records_and_wishes_are_part_of_the_key),
		cmocka_unit_test(test_the_records_are_copied),
		cmocka_unit_test(test_a_ticket_is_used_once),
		cmocka_unit_test(test_the_oldest_goes),
		cmocka_unit_test(test_all_are_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

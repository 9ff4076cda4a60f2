/* tests/unit/relay_policy_test.c - what an operator does to relay/policy.c: a policy that is fetched now, one that is forgotten, at every moment of a discovery. */
#include "relay/policy.h"
#include "relay_fakes.h"
#include "sts/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct told {
	unsigned calls;
	char text[80];
};

/* "enforce/fetched", "no-policy/none failed". */
static void on_told(void *owner, const struct sts_finding *f, uint32_t ttl_s SP_UNUSED)
{
	struct told *t = owner;
	t->calls++;
	snprintf(t->text, sizeof(t->text), "%s/%s%s%s", f->policy ? sts_mode_str(sts_policy_mode(f->policy)) : "no-policy", sts_source_str(f->source),
	         sp_failed(&f->fetch_fail) ? " failed" : "", f->defer.kind == SP_FAIL_SHUTDOWN ? " stopping" : "");
}

static void expect(const struct told *t, const char *label, const char *want)
{
	print_message("%s: want %s, got %s (%u calls)\n", label, want, t->text, t->calls);
	assert_int_equal(t->calls, 1);
	assert_string_equal(t->text, want);
}

static void open_enforced(struct world *w)
{
	world_open(w, "");
	w->dns = "_mta-sts.d.example TXT v=STSv1; id=1;\n";
	w->https = "d.example 200 enforce 604800 mx1.example";
}

static void check_find(struct world *w, const char *label, const char *want)
{
	struct told t = { 0 };
	policy_find(&w->shard, "d.example", false, on_told, &t);
	world_run(w);
	expect(&t, label, want);
}

static void check_renew(struct world *w, const char *label, const char *want)
{
	struct told t = { 0 };
	policy_renew(&w->shard, "d.example", on_told, &t);
	assert_int_equal(t.calls, 0);
	world_run(w);
	expect(&t, label, want);
}

/* Under the same id, at once, and again right behind a failure: an operator asks. */
static void test_renew_asks_whatever_is_known(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	check_renew(&w, "nothing is known", "enforce/fetched");
	check_renew(&w, "fetched just now", "enforce/fetched");
	assert_int_equal(world_count(&w, "https d.example"), 2);
	w.https = "";
	check_renew(&w, "it fails", "enforce/cache-unconfirmed failed");
	check_renew(&w, "and fails again, though it is held back for mail", "enforce/cache-unconfirmed failed");
	assert_int_equal(world_count(&w, "https d.example"), 4);
	w.dns = "";
	w.https = "d.example 200 none 604800 mx1.example";
	world_pass(&w, 3600);
	check_renew(&w, "the record is gone, the policy host says none", "none/fetched");
	world_close(&w);
}

static void test_renew_of_a_domain_without_policy(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	w.dns = "";
	check_renew(&w, "no record", "no-policy/none");
	assert_int_equal(world_count(&w, "https d.example"), 0);        /* RFC 8461 3.1: without a record there is nothing to ask for */
	world_close(&w);
}

static void test_renew_while_mail_asks(void **state)
{
	(void)state;
	struct world w;
	struct told mail = { 0 }, operator = { 0 };
	open_enforced(&w);
	policy_find(&w.shard, "d.example", false, on_told, &mail);
	policy_renew(&w.shard, "d.example", on_told, &operator);
	world_run(&w);
	expect(&mail, "mail", "enforce/fetched");
	expect(&operator, "the operator", "enforce/fetched");
	world_close(&w);
}

/* The relay stops while the policy host hangs: whoever asked is told, or the shutdown would wait for it for ever. */
static void test_renew_while_the_shard_stops(void **state)
{
	(void)state;
	struct world w;
	struct told t = { 0 };
	open_enforced(&w);
	w.hold_https = true;
	policy_renew(&w.shard, "d.example", on_told, &t);
	world_run(&w);
	assert_int_equal(t.calls, 0);
	world_close(&w);
	expect(&t, "stopped", "no-policy/none stopping");
}

static void delete_row(struct world *w)
{
	assert_int_equal(core_db_exec(w->db, "DELETE FROM sts_policy"), CORE_DB_OK);
}

static void test_forgotten_and_learnt_anew(void **state)
{
	(void)state;
	struct world w;
	open_enforced(&w);
	policy_forget(&w.shard, "d.example");                           /* nothing is in memory */
	check_find(&w, "first", "enforce/fetched");
	policy_forget(&w.shard, "d.example");
	delete_row(&w);
	check_find(&w, "asked anew inside the time to live", "enforce/fetched");
	policy_forget(&w.shard, "d.example");
	delete_row(&w);
	w.dns = "";
	check_find(&w, "it has none any more", "no-policy/none");
	world_close(&w);
}

/* Promise 1: who waits is never told "no policy" for what was merely forgotten. */
static void test_forgotten_while_somebody_waits(void **state)
{
	(void)state;
	struct world w;
	struct told t = { 0 };
	open_enforced(&w);
	check_find(&w, "first", "enforce/fetched");
	policy_find(&w.shard, "d.example", false, on_told, &t);         /* to be told what is known, on a later turn */
	policy_forget(&w.shard, "d.example");
	delete_row(&w);
	world_run(&w);
	expect(&t, "told what was asked anew", "enforce/fetched");
	world_close(&w);
}

static void test_forgotten_while_the_cache_is_read(void **state)
{
	(void)state;
	struct world w;
	struct told t = { 0 };
	open_enforced(&w);
	check_find(&w, "first", "enforce/fetched");
	world_restart(&w);
	w.dns = "";
	policy_find(&w.shard, "d.example", false, on_told, &t);
	policy_forget(&w.shard, "d.example");                           /* the row is read, or will be: it is not used */
	world_run(&w);
	expect(&t, "not what the row said", "no-policy/none");
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_renew_asks_whatever_is_known), cmocka_unit_test(test_renew_of_a_domain_without_policy),
		cmocka_unit_test(test_renew_while_mail_asks), cmocka_unit_test(test_renew_while_the_shard_stops),
		cmocka_unit_test(test_forgotten_and_learnt_anew), cmocka_unit_test(test_forgotten_while_somebody_waits),
		cmocka_unit_test(test_forgotten_while_the_cache_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

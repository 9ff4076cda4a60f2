/* tests/unit/relay_config_domains_test.c - relay/config_domains.c: what an operator may say of a domain, what of it needs an end and a reason, and when it
 * ends. */
#include "relay/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define TEXT_MAX (1 << 24)
#define HOST "hostname: relay.example.com\n"
#define OVER ", override: yes, until: 2027-01-31, reason: they mend it}\n"
#define JANUARY_31 1801353600   /* 2027-01-31T00:00:00Z */
#define FEBRUARY_1 1801440000

static struct config *parse(const char *text, struct sp_buf *problems)
{
	sp_buf_init(problems, TEXT_MAX);
	struct config *c = config_parse(sp_str_of(text), "t.yaml", problems);
	assert_int_equal(c == NULL, problems->len > 0);
	return c;
}

static struct config *parse_items(const char *items, struct sp_buf *problems)
{
	struct sp_buf text;
	sp_buf_init(&text, TEXT_MAX);
	sp_buf_printf(&text, HOST "domains:\n%s", items);
	struct config *c = parse(sp_buf_cstr(&text), problems);
	sp_buf_clear(&text);
	return c;
}

static struct config *parse_sound(const char *items)
{
	struct sp_buf problems;
	struct config *c = parse_items(items, &problems);
	print_message("%s", sp_buf_cstr(&problems));
	assert_non_null(c);
	sp_buf_clear(&problems);
	return c;
}

/* ---- what is read ---- */

static const struct {
	const char *item;
	enum sts_level level;
	int dane;                       /* -1: nothing is said */
	enum config_requiretls requiretls;
	struct config_rate rate;
	int64_t concurrency;
	bool override;
	int64_t until_s;
	const char *reason;
} sound[] = {
	{ "- {domain: x.example, tls: encrypt}\n", STS_LEVEL_ENCRYPT, -1, 0, { 0 }, 0, false, 0, "" },
	{ "- {domain: X.Example, tls: verify}\n", STS_LEVEL_VERIFY, -1, 0, { 0 }, 0, false, 0, "" },
	{ "- {domain: x.example, tls: dane}\n", STS_LEVEL_DANE, -1, 0, { 0 }, 0, false, 0, "" },
	{ "- {domain: x.example, tls: none" OVER, STS_LEVEL_CLEAR, -1, 0, { 0 }, 0, true, FEBRUARY_1, "they mend it" },
	{ "- {domain: x.example, tls: may" OVER, STS_LEVEL_MAY, -1, 0, { 0 }, 0, true, FEBRUARY_1, "they mend it" },
	{ "- {domain: x.example, tls: verify" OVER, STS_LEVEL_VERIFY, -1, 0, { 0 }, 0, true, FEBRUARY_1, "they mend it" },
	{ "- {domain: x.example, dane: off" OVER, STS_LEVEL_UNSET, STS_DANE_OFF, 0, { 0 }, 0, true, FEBRUARY_1, "they mend it" },
	{ "- {domain: x.example, dane: required}\n", STS_LEVEL_UNSET, STS_DANE_REQUIRED, 0, { 0 }, 0, false, 0, "" },
	{ "- {domain: x.example, dane: auto, tls: verify}\n", STS_LEVEL_VERIFY, STS_DANE_AUTO, 0, { 0 }, 0, false, 0, "" },
	{ "- {domain: x.example, requiretls: relaxed}\n", STS_LEVEL_UNSET, -1, CONFIG_REQUIRETLS_RELAXED, { 0 }, 0, false, 0, "" },
	{ "- {domain: x.example, rate: 100/1m, concurrency: 2}\n", STS_LEVEL_UNSET, -1, 0, { 100, 60000 }, 2, false, 0, "" },
	{ "- {domain: x.example, concurrency: 1, until: 2027-01-31}\n", STS_LEVEL_UNSET, -1, 0, { 0 }, 1, false, FEBRUARY_1, "" },
	{ "- {domain: x.example, tls: encrypt, override: no, reason: \"a \\\"floor\\\"\"}\n", STS_LEVEL_ENCRYPT, -1, 0, { 0 }, 0, false, 0, "a \"floor\"" },
};

/* What is printed reads back to the same. */
static void check_print(const struct config *c)
{
	struct sp_buf once, twice, problems;
	sp_buf_init(&once, TEXT_MAX);
	sp_buf_init(&twice, TEXT_MAX);
	config_print(c, &once);
	struct config *again = parse(sp_buf_cstr(&once), &problems);
	print_message("%s", sp_buf_cstr(&problems));
	assert_non_null(again);
	config_print(again, &twice);
	assert_string_equal(sp_buf_cstr(&once), sp_buf_cstr(&twice));
	config_unref(again);
	sp_buf_clear(&once);
	sp_buf_clear(&twice);
	sp_buf_clear(&problems);
}

static void test_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(sound); i++) {
		print_message("%s", sound[i].item);
		struct config *c = parse_sound(sound[i].item);
		const struct config_domain *d = config_domain_find(c, "x.example", JANUARY_31);
		assert_non_null(d);
		assert_string_equal(d->rule.domain, "x.example");
		assert_int_equal(d->rule.level, sound[i].level);
		assert_int_equal(d->has_dane ? (int)d->dane : -1, sound[i].dane);
		assert_int_equal(d->requiretls, sound[i].requiretls);
		assert_int_equal(d->rate.count, sound[i].rate.count);
		assert_int_equal(d->rate.per_ms, sound[i].rate.per_ms);
		assert_int_equal(d->concurrency, sound[i].concurrency);
		assert_int_equal(d->rule.override, sound[i].override);
		assert_int_equal(d->rule.until_s, sound[i].until_s);
		assert_string_equal(d->rule.reason, sound[i].reason);
		check_print(c);
		config_unref(c);
	}
}

/* ---- mistakes ---- */

#define LOWERS(what) "t.yaml:3: domains: " what " can lower what x.example publishes, so it needs override: yes, until: (its last day, as 2027-01-31) and " \
	"reason: (for whoever reads the log)\n"
#define DATE "domains.until: takes a date such as 2027-01-31, the last day (UTC) on which the entry is in force\n"
static const struct { const char *label, *items, *want; } mistakes[] = {
	{ "may lowers", "- {domain: x.example, tls: may}\n", LOWERS("tls: may") },
	{ "none lowers", "- {domain: x.example, tls: none}\n", LOWERS("tls: none") },
	{ "dane off lowers", "- {domain: x.example, dane: off}\n", LOWERS("dane: off") },
	{ "override without an end", "- {domain: x.example, tls: verify, override: yes, reason: r}\n", LOWERS("override") },
	{ "override without a reason", "- {domain: x.example, tls: none, override: yes, until: 2027-01-31}\n", LOWERS("tls: none") },
	{ "an end and a reason are no override", "- {domain: x.example, tls: may, until: 2027-01-31, reason: r}\n", LOWERS("tls: may") },
	{ "override of nothing", "- {domain: x.example, rate: 1/1s" OVER,
	  "t.yaml:3: domains: override takes the place of what x.example publishes; say with what, by tls or dane\n" },
	{ "for and against DANE", "- {domain: x.example, tls: dane, dane: off" OVER,
	  "t.yaml:3: domains: tls: dane and dane: off, for x.example, contradict each other\n" },
	{ "no domain", "- {tls: verify}\n", "t.yaml:3: domains: an item needs a domain\n" },
	{ "nothing is said", "- {domain: x.example}\n",
	  "t.yaml:3: domains: the item for x.example says nothing; it takes tls, dane, requiretls, rate or concurrency\n" },
	{ "nothing but an end", "- {domain: x.example, until: 2027-01-31, reason: r}\n",
	  "t.yaml:3: domains: the item for x.example says nothing; it takes tls, dane, requiretls, rate or concurrency\n" },
	{ "twice", "- {domain: x.example, tls: verify}\n- {domain: y.example, tls: verify}\n- {domain: X.EXAMPLE, rate: 1/1s}\n",
	  "t.yaml:5: domains: x.example is there twice\n" },
	{ "no level", "- {domain: x.example, tls: strict}\n", "t.yaml:3: domains.tls: takes one of: none may encrypt verify dane\n" },
	{ "no setting of dane", "- {domain: x.example, dane: maybe}\n", "t.yaml:3: domains.dane: takes one of: auto off required\n" },
	{ "no setting of requiretls", "- {domain: x.example, requiretls: no}\n", "t.yaml:3: domains.requiretls: takes one of: enforce relaxed\n" },
	{ "no date", "- {domain: x.example, tls: verify, until: tomorrow}\n", "t.yaml:3: " DATE },
	{ "no such date", "- {domain: x.example, tls: verify, until: 2027-02-29}\n", "t.yaml:3: " DATE },
	{ "a time", "- {domain: x.example, tls: verify, until: 2027-01-31T12:00:00Z}\n", "t.yaml:3: " DATE },
	{ "a day before all time", "- {domain: x.example, tls: verify, until: 1969-12-31}\n", "t.yaml:3: " DATE },
	{ "neither yes nor no", "- {domain: x.example, tls: verify, override: perhaps}\n", "t.yaml:3: domains.override: takes yes or no\n" },
	{ "a rate", "- {domain: x.example, rate: fast}\n", "t.yaml:3: domains.rate: takes a rate such as 100/1m, or 0 for no limit\n" },
	{ "too many sessions", "- {domain: x.example, concurrency: 0}\n", "t.yaml:3: domains.concurrency: takes a number from 1 to 1000\n" },
	{ "a reason of two lines", "- {domain: x.example, tls: verify, reason: \"a\\nb\"}\n", "t.yaml:3: domains.reason: takes 1 to 200 printable characters\n" },
	{ "unknown key", "- {domain: x.example, tls: verify, untill: 2027-01-31}\n",
	  "t.yaml:3: domains: there is no key 'untill'; known here: domain tls dane requiretls rate concurrency override until reason\n" },
};

static void test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_COUNT(mistakes); i++) {
		struct sp_buf problems;
		struct config *c = parse_items(mistakes[i].items, &problems);
		print_message("%s: want %sgot  %s", mistakes[i].label, mistakes[i].want, sp_buf_cstr(&problems));
		assert_null(c);
		assert_string_equal(sp_buf_cstr(&problems), mistakes[i].want);
		sp_buf_clear(&problems);
	}
}

/* ---- the end ---- */

/* 2027-01-31 is its last day, in UTC, to the last second. */
static void test_an_entry_ends_with_its_day(void **state)
{
	(void)state;
	struct config *c = parse_sound("- {domain: x.example, tls: may, rate: 1/1s" OVER "- {domain: y.example, tls: verify}\n");
	assert_non_null(config_domain_find(c, "x.example", JANUARY_31));
	assert_non_null(config_domain_find(c, "x.example", FEBRUARY_1 - 1));
	assert_null(config_domain_find(c, "x.example", FEBRUARY_1));
	assert_non_null(config_domain_find(c, "y.example", INT64_MAX));
	assert_null(config_domain_find(c, "z.example", 0));
	config_unref(c);
	struct config *empty = parse_sound("");
	assert_null(config_domain_find(empty, "x.example", 0));
	config_unref(empty);
}

static void test_an_entry_that_has_ended_is_warned_of(void **state)
{
	(void)state;
	static const char *const want = "domains: the entry for x.example ended with 2027-01-31, and is as if it were not there";
	struct config *c = parse_sound("- {domain: x.example, tls: may" OVER "- {domain: y.example, tls: verify}\n");
	struct sp_buf text;
	sp_buf_init(&text, TEXT_MAX);
	config_warnings(c, FEBRUARY_1 - 1, &text);
	assert_null(strstr(sp_buf_cstr(&text), "domains:"));
	config_warnings(c, FEBRUARY_1, &text);
	print_message("%s", sp_buf_cstr(&text));
	assert_non_null(strstr(sp_buf_cstr(&text), want));
	assert_null(strstr(sp_buf_cstr(&text), "y.example"));
	sp_buf_clear(&text);
	config_unref(c);
}

/* ---- many ---- */

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Reading is no quadratic matter, and finding none of the number of entries; generous, as the machine may be busy. */
static void test_a_hundred_thousand(void **state)
{
	(void)state;
	enum { MANY = 100000 };
	struct sp_buf text, problems;
	sp_buf_init(&text, TEXT_MAX);
	sp_buf_adds(&text, HOST "domains:\n");
	for (int i = 0; i < MANY; i++)
		sp_buf_printf(&text, "- {domain: d%d.example, tls: verify, reason: \"ticket %d\"}\n", i, i);
	assert_false(sp_buf_failed(&text));
	double start = seconds();
	struct config *c = parse(sp_buf_cstr(&text), &problems);
	double read_s = seconds() - start;
	assert_non_null(c);
	start = seconds();
	for (int i = 0; i < MANY; i++) {
		char name[32];
		snprintf(name, sizeof(name), "d%d.example", i);
		assert_non_null(config_domain_find(c, name, JANUARY_31));
	}
	double find_s = seconds() - start;
	print_message("read in %.2f s, %.2f us to find one\n", read_s, find_s * 1e6 / MANY);
	assert_true(read_s < 60 && find_s < 5);
	config_unref(c);
	sp_buf_clear(&text);
	sp_buf_clear(&problems);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_an_entry_ends_with_its_day),
		cmocka_unit_test(test_an_entry_that_has_ended_is_warned_of), cmocka_unit_test(test_a_hundred_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

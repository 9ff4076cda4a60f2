/* tests/unit/core_metric_test.c - core/metric.c: buckets, sums, and the text format 0.0.4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/metric.h"

static void test_buckets(void **state)
{
	(void)state;
	static const struct { const char *label; enum core_histogram_kind kind; uint64_t value; size_t want; } rows[] = {
		{ "zero is in the first", CORE_HISTOGRAM_LATENCY, 0, 0 },
		{ "a bound is inside", CORE_HISTOGRAM_LATENCY, 1000, 0 },
		{ "one more is in the next", CORE_HISTOGRAM_LATENCY, 1001, 1 },
		{ "the last bound", CORE_HISTOGRAM_LATENCY, 600u * 1000000, 17 },
		{ "above the last", CORE_HISTOGRAM_LATENCY, 601u * 1000000, 18 },
		{ "as large as it gets", CORE_HISTOGRAM_LATENCY, UINT64_MAX, 18 },
		{ "above the last of a short one", CORE_HISTOGRAM_SHORT, 11u * 1000000, 16 },
		{ "a count of one", CORE_HISTOGRAM_COUNT, 1, 0 },
		{ "three are with four", CORE_HISTOGRAM_COUNT, 3, 2 },
		{ "above 1024", CORE_HISTOGRAM_COUNT, 1025, 11 },
		{ "five days", CORE_HISTOGRAM_LONG, 5ull * 86400 * 1000000, 17 },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		struct core_histogram h = { 0 };
		core_histogram_add(&h, rows[i].kind, rows[i].value);
		for (size_t j = 0; j < SP_COUNT(h.buckets); j++)
			if (h.buckets[j] != (j == rows[i].want))
				fail_msg("%s: bucket %zu has %llu", rows[i].label, j, (unsigned long long)h.buckets[j]);
	}
}

static void test_text(void **state)
{
	(void)state;
	struct sp_buf out;
	sp_buf_init(&out, 65536);
	static const struct core_metric_label hostile[] = { { "a", "x\"y\\z\nw" }, { "b", "\xff\xc3\xa9" } };
	core_metric_head(&out, "t_total", "counter", "back\\slash, \"quote\",\nline");
	core_metric_count(&out, "t_total", NULL, 0, UINT64_MAX);
	core_metric_count(&out, "t_total", hostile, 2, 0);
	core_metric_number(&out, "g", hostile, 1, 0.25);
	core_metric_number(&out, "g", NULL, 0, 1.0 / 0.0);
	core_metric_number(&out, "g", NULL, 0, -1.0 / 0.0);
	core_metric_number(&out, "g", NULL, 0, 0.0 / 0.0);
	core_metric_number(&out, "g", NULL, 0, 1795000000);
	assert_string_equal(sp_buf_cstr(&out),
	                    "# HELP t_total back\\\\slash, \"quote\",\\nline\n"
	                    "# TYPE t_total counter\n"
	                    "t_total 18446744073709551615\n"
	                    "t_total{a=\"x\\\"y\\\\z\\nw\",b=\"\xef\xbf\xbd\xc3\xa9\"} 0\n"
	                    "g{a=\"x\\\"y\\\\z\\nw\"} 0.25\n"
	                    "g +Inf\ng -Inf\ng NaN\ng 1795000000\n");
	sp_buf_clear(&out);
}

/* Buckets hold those below them too, the last equals the count, and seconds are told of microseconds. */
static void test_histogram_text(void **state)
{
	(void)state;
	struct core_histogram one = { 0 }, other = { 0 };
	struct core_histogram_sum sum = { 0 };
	struct sp_buf out;
	core_histogram_add(&one, CORE_HISTOGRAM_LATENCY, 2000);
	core_histogram_add(&one, CORE_HISTOGRAM_LATENCY, 2001);
	core_histogram_add(&other, CORE_HISTOGRAM_LATENCY, 700u * 1000000);
	core_histogram_sum(&one, &sum);
	core_histogram_sum(&other, &sum);
	sp_buf_init(&out, 65536);
	static const struct core_metric_label label = { "type", "mx" };
	core_metric_histogram(&out, "h_seconds", &label, 1, CORE_HISTOGRAM_LATENCY, &sum);
	static const char *const lines[] = {
		"h_seconds_bucket{type=\"mx\",le=\"0.001\"} 0\n", "h_seconds_bucket{type=\"mx\",le=\"0.0025\"} 2\n",
		"h_seconds_bucket{type=\"mx\",le=\"600\"} 2\n", "h_seconds_bucket{type=\"mx\",le=\"+Inf\"} 3\n",
		"h_seconds_sum{type=\"mx\"} 700.004001\n", "h_seconds_count{type=\"mx\"} 3\n",
	};
	for (size_t i = 0; i < SP_COUNT(lines); i++)
		if (strstr(sp_buf_cstr(&out), lines[i]) == NULL)
			fail_msg("no %s in\n%s", lines[i], sp_buf_cstr(&out));
	sp_buf_reset(&out);
	core_metric_histogram(&out, "n", NULL, 0, CORE_HISTOGRAM_COUNT, &sum);
	assert_non_null(strstr(sp_buf_cstr(&out), "n_bucket{le=\"1024\"}"));
	sp_buf_clear(&out);
}

/* A scrape reads while others add: what it sees is whole, and in the end nothing is missing. */
static struct core_histogram shared;
static void add_many(void *arg)
{
	for (unsigned i = 0; i < 100000; i++)
		core_histogram_add(arg, CORE_HISTOGRAM_COUNT, 1);
}

static void test_threads(void **state)
{
	(void)state;
	struct core_thread *a = core_thread_start("a", add_many, &shared), *b = core_thread_start("b", add_many, &shared);
	struct core_histogram_sum sum = { 0 };
	core_histogram_sum(&shared, &sum);
	assert_true(sum.sum <= 200000);
	core_thread_join(a);
	core_thread_join(b);
	sum = (struct core_histogram_sum){ 0 };
	core_histogram_sum(&shared, &sum);
	assert_int_equal(sum.buckets[0], 200000);
	assert_int_equal(sum.sum, 200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_histogram_text),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

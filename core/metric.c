/* core/metric.c - see metric.h. */
#include "core/metric.h"

#include "core/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define MS 1000u
#define SECOND 1000000u
#define HOUR (3600ull * SECOND)

static const uint64_t bounds_short[] = { 100, 250, 500, 1 * MS, 2500, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1 * SECOND,
                                         2500 * MS, 5 * SECOND, 10 * SECOND };
static const uint64_t bounds_latency[] = { 1 * MS, 2500, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1 * SECOND, 2500 * MS,
                                           5 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND, 120 * SECOND, 300 * SECOND, 600 * SECOND };
static const uint64_t bounds_long[] = { 10 * MS, 50 * MS, 100 * MS, 500 * MS, 1 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND,
                                        300 * SECOND, 600 * SECOND, 1800ull * SECOND, 1 * HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR, 120 * HOUR };
static const uint64_t bounds_count[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024 };

static const struct { const uint64_t *bounds; size_t count; double unit; } kinds[] = {
	[CORE_HISTOGRAM_SHORT] = { bounds_short, SP_COUNT(bounds_short), 1e6 },
	[CORE_HISTOGRAM_LATENCY] = { bounds_latency, SP_COUNT(bounds_latency), 1e6 },
	[CORE_HISTOGRAM_LONG] = { bounds_long, SP_COUNT(bounds_long), 1e6 },
	[CORE_HISTOGRAM_COUNT] = { bounds_count, SP_COUNT(bounds_count), 1 },
};
_Static_assert(SP_COUNT(bounds_short) <= CORE_HISTOGRAM_BOUNDS && SP_COUNT(bounds_latency) <= CORE_HISTOGRAM_BOUNDS &&
               SP_COUNT(bounds_long) <= CORE_HISTOGRAM_BOUNDS && SP_COUNT(bounds_count) <= CORE_HISTOGRAM_BOUNDS, "a bucket each");

/* ---- histograms ---- */

void core_histogram_add(struct core_histogram *h, enum core_histogram_kind kind, uint64_t value)
{
	size_t i = 0;
	while (i < kinds[kind].count && value > kinds[kind].bounds[i])
		i++;
	atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
}

void core_histogram_sum(const struct core_histogram *h, struct core_histogram_sum *into)
{
	for (size_t i = 0; i < SP_COUNT(h->buckets); i++)
		into->buckets[i] += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
	into->sum += atomic_load_explicit(&h->sum, memory_order_relaxed);
}

/* ---- the text ---- */

/* In a label's value quotes are escaped too. */
static void add_escaped(struct sp_buf *out, const char *text, bool quotes)
{
	uint32_t code;
	size_t len;
	for (struct sp_str rest = sp_str_of(text); rest.len > 0; rest = sp_str_from(rest, len)) {
		len = sp_utf8_char(rest, &code);
		if (len == 0) {
			sp_buf_adds(out, "\xef\xbf\xbd");
			len = 1;
		} else if (code == '\n') {
			sp_buf_adds(out, "\\n");
		} else if (code == '\\' || (quotes && code == '"')) {
			sp_buf_printf(out, "\\%c", (char)code);
		} else {
			sp_buf_add(out, sp_str_make(rest.p, len));
		}
	}
}

void core_metric_head(struct sp_buf *out, const char *name, const char *type, const char *help)
{
	sp_buf_printf(out, "# HELP %s ", name);
	add_escaped(out, help, false);
	sp_buf_printf(out, "\n# TYPE %s %s\n", name, type);
}

static void add_name(struct sp_buf *out, const char *name, const char *suffix, const struct core_metric_label *labels, size_t count, const char *le)
{
	const char *before = "{";
	sp_buf_printf(out, "%s%s", name, suffix);
	for (size_t i = 0; i < count; i++, before = ",") {
		sp_buf_printf(out, "%s%s=\"", before, labels[i].name);
		add_escaped(out, labels[i].value, true);
		sp_buf_addc(out, '"');
	}
	if (le)
		sp_buf_printf(out, "%sle=\"%s\"", before, le);
	sp_buf_adds(out, le || count > 0 ? "} " : " ");
}

void core_metric_count(struct sp_buf *out, const char *name, const struct core_metric_label *labels, size_t label_count, uint64_t value)
{
	add_name(out, name, "", labels, label_count, NULL);
	sp_buf_printf(out, "%" PRIu64 "\n", value);
}

static void add_number(struct sp_buf *out, double value)
{
	if (isnan(value))
		sp_buf_adds(out, "NaN\n");
	else if (isinf(value))
		sp_buf_adds(out, value > 0 ? "+Inf\n" : "-Inf\n");
	else
		sp_buf_printf(out, "%.15g\n", value);
}

void core_metric_number(struct sp_buf *out, const char *name, const struct core_metric_label *labels, size_t label_count, double value)
{
	add_name(out, name, "", labels, label_count, NULL);
	add_number(out, value);
}

void core_metric_histogram(struct sp_buf *out, const char *name, const struct core_metric_label *labels, size_t label_count,
                           enum core_histogram_kind kind, const struct core_histogram_sum *sum)
{
	uint64_t below = 0;
	for (size_t i = 0; i <= kinds[kind].count; i++) {
		char le[32] = "+Inf";
		if (i < kinds[kind].count)
			snprintf(le, sizeof(le), "%.15g", (double)kinds[kind].bounds[i] / kinds[kind].unit);
		below += sum->buckets[i];
		add_name(out, name, "_bucket", labels, label_count, le);
		sp_buf_printf(out, "%" PRIu64 "\n", below);
	}
	add_name(out, name, "_sum", labels, label_count, NULL);
	add_number(out, (double)sum->sum / kinds[kind].unit);
	add_name(out, name, "_count", labels, label_count, NULL);
	sp_buf_printf(out, "%" PRIu64 "\n", below);
}

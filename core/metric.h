/* core/metric.h - numbers for monitoring: histograms with fixed buckets, whose every entry costs two relaxed adds, and the text that Prometheus scrapes (text
 * format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/). Who adds has an object of his own, so that no two threads write to one cache
 * line; who scrapes sums them. Pure, but for the atomics. Any thread may read. */
#ifndef CORE_METRIC_H
#define CORE_METRIC_H

#include "core/buf.h"

#include <stdatomic.h>

/* ---- histograms ---- */

/* What is told in seconds is added in microseconds. */
enum core_histogram_kind {
	CORE_HISTOGRAM_SHORT,           /* 100 us .. 10 s: a commit, how late a loop is */
	CORE_HISTOGRAM_LATENCY,         /* 1 ms .. 600 s: what waits for a peer */
	CORE_HISTOGRAM_LONG,            /* 10 ms .. 5 days: how long mail is on its way */
	CORE_HISTOGRAM_COUNT            /* 1 .. 1024, the powers of two */
};
#define CORE_HISTOGRAM_BOUNDS 18        /* at most; one bucket more is for what is above the last */

struct core_histogram {                 /* zeroed; of one kind, which whoever adds and whoever prints says */
	atomic_ullong buckets[CORE_HISTOGRAM_BOUNDS + 1], sum;
};
void core_histogram_add(struct core_histogram *h, enum core_histogram_kind kind, uint64_t value);

struct core_histogram_sum { uint64_t buckets[CORE_HISTOGRAM_BOUNDS + 1], sum; };
void core_histogram_sum(const struct core_histogram *h, struct core_histogram_sum *into);      /* adds to *into */

/* ---- the text ---- */

struct core_metric_label { const char *name, *value; }; /* the name is ours; the value any text: escaped, and what is no UTF-8 becomes U+FFFD */

/* HELP and TYPE: once, before the samples of a metric. `type`: counter, gauge or histogram; a counter's name ends in _total. */
void core_metric_head(struct sp_buf *out, const char *name, const char *type, const char *help);
void core_metric_count(struct sp_buf *out, const char *name, const struct core_metric_label *labels, size_t label_count, uint64_t value);
void core_metric_number(struct sp_buf *out, const char *name, const struct core_metric_label *labels, size_t label_count, double value);
/* NAME_bucket with le, each with those below it; NAME_sum in base units; NAME_count. */
void core_metric_histogram(struct sp_buf *out, const char *name, const struct core_metric_label *labels, size_t label_count,
                           enum core_histogram_kind kind, const struct core_histogram_sum *sum);

#endif

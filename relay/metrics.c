/* relay/metrics.c - see metrics.h. */
#include "relay/metrics.h"

#include <stdlib.h>

enum words {
#define X(id, label, ...) WORDS_##id,
	METRICS_WORDS(X)
#undef X
};
static const struct { const char *label; const char *words[METRICS_RESULT_COUNT]; size_t count; } sets[] = {
#define X(id, label, ...) [WORDS_##id] = { label, { __VA_ARGS__ }, METRICS_##id##_COUNT },
	METRICS_WORDS(X)
#undef X
};
#define OTHER ((enum sp_result)(METRICS_RESULT_COUNT - 1))
_Static_assert(SP_RESULT_STS_WEBPKI_INVALID + 2 == METRICS_RESULT_COUNT, "each result has its word, and there is one for none of them");

static const struct counter { enum metrics_counter first; const char *name; enum words a, b; const char *help; } counters[] = {
#define X(id, name, a, b, help) { METRIC_##id, name, WORDS_##a, WORDS_##b, help },
	METRICS_COUNTERS(X)
#undef X
};
static const struct histogram { enum metrics_histogram which; const char *name; enum core_histogram_kind kind; const char *help; } histograms[] = {
#define X(id, name, kind, help) { METRIC_##id, name, CORE_HISTOGRAM_##kind, help },
	METRICS_HISTOGRAMS(X)
#undef X
};

struct metrics {
	unsigned count;
	struct metrics_block *blocks;           /* the main thread's, then the shards' */
};

struct metrics *metrics_new(unsigned shards)
{
	struct metrics *m = sp_alloc(sizeof(*m));
	m->count = shards + 1;
	m->blocks = sp_alloc_array(m->count, sizeof(*m->blocks));
	return m;
}

void metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	free(m->blocks);
	free(m);
}

struct metrics_block *metrics_of_main(struct metrics *m)
{
	return &m->blocks[0];
}

struct metrics_block *metrics_of_shard(struct metrics *m, unsigned index)
{
	static struct metrics_block nobodys;
	if (m == NULL)
		return &nobodys;
	sp_assert(index + 1 < m->count);
	return &m->blocks[index + 1];
}

enum sp_result metrics_result(const struct sp_fail *fail)
{
	return sp_failed(fail) && fail->result == SP_RESULT_NONE ? OTHER : fail->result;
}

void metrics_time(struct metrics_block *b, enum metrics_histogram h, uint64_t us)
{
	core_histogram_add(&b->histograms[h], histograms[h].kind, us);
}

/* ---- reading ---- */

uint64_t metrics_sum(const struct metrics *m, enum metrics_counter c, unsigned word)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < m->count; i++)
		sum += atomic_load_explicit(&m->blocks[i].counters[c + word], memory_order_relaxed);
	return sum;
}

uint64_t metrics_sum_result(const struct metrics *m, enum metrics_counter c, unsigned word, enum sp_result result)
{
	return metrics_sum(m, c, word * METRICS_RESULT_COUNT + (unsigned)result);
}

uint64_t metrics_sum_all(const struct metrics *m, enum metrics_counter first, enum metrics_counter last)
{
	uint64_t sum = 0;
	for (unsigned word = 0; word <= (unsigned)last - (unsigned)first; word++)
		sum += metrics_sum(m, first, word);
	return sum;
}

/* All words are written, also of what has not happened yet: a rate needs to see a counter before its first event. */
static void write_counter(const struct metrics *m, const struct counter *c, struct sp_buf *out)
{
	core_metric_head(out, c->name, "counter", c->help);
	for (unsigned i = 0; i < sets[c->a].count; i++) {
		for (unsigned j = 0; j < sets[c->b].count; j++) {
			struct core_metric_label labels[] = { { sets[c->a].label, sets[c->a].words[i] }, { sets[c->b].label, sets[c->b].words[j] } };
			size_t count = (labels[0].name != NULL) + (labels[1].name != NULL);
			bool only_second = labels[0].name == NULL && count > 0;
			core_metric_count(out, c->name, labels + only_second, count, metrics_sum(m, c->first, i * (unsigned)sets[c->b].count + j));
		}
	}
}

static void write_histogram(const struct metrics *m, const struct histogram *h, struct sp_buf *out)
{
	struct core_histogram_sum sum = { 0 };
	for (unsigned i = 0; i < m->count; i++)
		core_histogram_sum(&m->blocks[i].histograms[h->which], &sum);
	core_metric_head(out, h->name, "histogram", h->help);
	core_metric_histogram(out, h->name, NULL, 0, h->kind, &sum);
}

void metrics_write(const struct metrics *m, struct sp_buf *out)
{
	for (size_t i = 0; i < SP_COUNT(counters); i++)
		write_counter(m, &counters[i], out);
	for (size_t i = 0; i < SP_COUNT(histograms); i++)
		write_histogram(m, &histograms[i], out);
}

/* relay/lately.h - how much a few counters grew of late: looked at every LATELY_STEP_MS, kept for an hour. Pure: `now_ms` is monotonic. For /status, which tells rates without
 * anybody who has asked before. */
#ifndef RELAY_LATELY_H
#define RELAY_LATELY_H

#include "core/base.h"

#define LATELY_STEP_MS 10000
#define LATELY_MINUTE_MS 60000
#define LATELY_HOUR_MS 3600000
#define LATELY_COUNTERS 8
#define LATELY_KEPT (LATELY_HOUR_MS / LATELY_STEP_MS + 2)

struct lately_sample {
	uint64_t at_ms, counters[LATELY_COUNTERS];
};
struct lately {
	struct lately_sample samples[LATELY_KEPT];      /* a ring */
	size_t count, first;
};
void lately_note(struct lately *l, uint64_t now_ms, const uint64_t counters[LATELY_COUNTERS]);
/* How much a counter, which is `value` now, grew within about the last `span_ms`: since the newest sample that is that old, or since the oldest there is. *over_ms: how long that
 * was in truth, 0 without a sample. */
uint64_t lately_grown(const struct lately *l, uint64_t now_ms, uint64_t span_ms, size_t counter, uint64_t value, uint64_t *over_ms);

#endif

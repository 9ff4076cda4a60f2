/* relay/lately.c - see lately.h. */
#include "relay/lately.h"

#include <string.h>

static const struct lately_sample *sample(const struct lately *l, size_t i)
{
	return &l->samples[(l->first + i) % LATELY_KEPT];
}

void lately_note(struct lately *l, uint64_t now_ms, const uint64_t counters[LATELY_COUNTERS])
{
	if (l->count == LATELY_KEPT) {
		l->first = (l->first + 1) % LATELY_KEPT;
		l->count--;
	}
	struct lately_sample *s = &l->samples[(l->first + l->count) % LATELY_KEPT];
	s->at_ms = now_ms;
	memcpy(s->counters, counters, sizeof(s->counters));
	l->count++;
}

uint64_t lately_grown(const struct lately *l, uint64_t now_ms, uint64_t span_ms, size_t counter, uint64_t value, uint64_t *over_ms)
{
	*over_ms = 0;
	if (l->count == 0)
		return 0;
	size_t i = l->count - 1;
	while (i > 0 && now_ms - sample(l, i)->at_ms < span_ms)
		i--;
	*over_ms = now_ms - sample(l, i)->at_ms;
	return value - sample(l, i)->counters[counter];
}

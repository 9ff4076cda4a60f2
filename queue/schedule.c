/* queue/schedule.c - see schedule.h. */
#include "queue/schedule.h"

#include <stdbool.h>

/* base^exponent by squaring: an operator's growth of 1.0001 must not cost a loop of millions. Overflow is infinity, which is fine. */
static double power(double base, unsigned exponent)
{
	double out = 1;
	for (; exponent > 0; exponent >>= 1) {
		if (exponent & 1)
			out *= base;
		base *= base;
	}
	return out;
}

int64_t queue_retry_wait_ms(const struct queue_retry *r, unsigned failures, uint32_t random)
{
	double max = r->max_ms < 1 ? 1 : (double)r->max_ms;
	double first = r->first_ms < 1 ? 1 : (double)r->first_ms;
	double growth = r->growth < 1 ? 1 : r->growth;
	double jitter = r->jitter < 0 ? 0 : r->jitter > 1 ? 1 : r->jitter;
	double wait = first * power(growth, failures > 0 ? failures - 1 : 0);
	if (!(wait < max))
		wait = max;
	double where = (double)random / 2147483647.5 - 1;      /* -1..1 */
	wait *= 1 + jitter * where;
	if (wait < 1)
		return 1;
	return wait < 9e18 ? (int64_t)wait : INT64_MAX;
}

static int64_t later(int64_t at_ms, int64_t wait_ms)
{
	int64_t sum;
	return __builtin_add_overflow(at_ms, wait_ms, &sum) ? INT64_MAX : sum;
}

int64_t queue_deadline_ms(int64_t arrived_ms, int64_t notice_ms, int64_t expire_ms, int notified)
{
	bool notice_first = notice_ms > 0 && notice_ms < expire_ms;
	return later(arrived_ms, notice_first && !notified ? notice_ms : expire_ms);
}

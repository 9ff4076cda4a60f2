/* core/clock.c - see clock.h. */
#include "core/clock.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t core_clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

uint64_t core_clock_mono_ms(void)
{
	return core_clock_mono_us() / 1000;
}

uint64_t core_clock_mono_us(void)
{
	return (uint64_t)read_us(CLOCK_MONOTONIC);
}

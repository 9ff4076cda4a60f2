/* core/clock.h - the two clocks. Pure code never calls these: `now` is an argument there.
 * A test links a fake of this file and moves time by hand. Any thread. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

int64_t core_clock_wall_ms(void);       /* Unix time in milliseconds; may jump: for expiry, days, dates */
uint64_t core_clock_mono_ms(void);      /* never goes back: for waits and durations */

uint64_t core_clock_mono_us(void);      /* the same in microseconds: for measuring what takes less than one */

/* core_clock_wall_ms() in whole seconds. */
static inline int64_t core_clock_wall_s(void) { return core_clock_wall_ms() / 1000; }

#endif

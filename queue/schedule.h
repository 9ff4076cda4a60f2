/* queue/schedule.h - when to try again. Pure: times and randomness are arguments. */
#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

#include <stdint.h>

struct queue_retry {                    /* delivery.retry of the configuration */
	int64_t first_ms, max_ms;
	double growth;                  /* 1 or more */
	double jitter;                  /* 0..1: the wait is spread over +- this share, so that a queue does not come back as a herd */
};
/* The wait before attempt `failures` + 1; failures counts from 1. `random` is uniform over 32 bits. Never under 1 ms; never over max * (1 + jitter). */
int64_t queue_retry_wait_ms(const struct queue_retry *r, unsigned failures, uint32_t random);

/* When a message next wants attention though nothing is tried: the delay notice (0: none wanted, or already sent), else its expiry. */
int64_t queue_deadline_ms(int64_t arrived_ms, int64_t notice_ms, int64_t expire_ms, int notified);

#endif

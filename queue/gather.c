/* queue/gather.c - see gather.h. */
#include "queue/gather.h"

#define SEVERAL 24                      /* sixteenths: one and a half messages a batch */

void queue_gather_learn(struct queue_gather *g, unsigned accepts, uint64_t us)
{
	if (accepts > 0)
		g->accepts = (g->accepts * 7 + (uint32_t)sp_min(accepts, 512) * 16) / 8;
	g->commit_us = (g->commit_us * 7 + (uint32_t)sp_min(us, 1000000)) / 8;
}

uint64_t queue_gather_wait_us(const struct queue_gather *g, unsigned ops, unsigned accepts, unsigned patient)
{
	if (ops >= QUEUE_GATHER_ENOUGH)
		return 0;
	if (patient == ops)
		return QUEUE_PATIENT_US;
	if (accepts > 0 && g->accepts >= SEVERAL)
		return sp_min(2 * (uint64_t)g->commit_us, QUEUE_GATHER_MAX_US);
	return 0;
}

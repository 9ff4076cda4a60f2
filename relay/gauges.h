/* relay/gauges.h - what a relay has at the moment, as metrics: what it merely counts is in relay/metrics.h. No label is a domain, a host or a client but
 * one: `destination` of strictpost_destination_waiting_recipients, of which there are at most GAUGES_WORST. Main thread. */
#ifndef RELAY_GAUGES_H
#define RELAY_GAUGES_H

#include "queue/list.h"
#include "relay/relay.h"
#include "relay/stored.h"
#include "relay/worst.h"

/* What the store was asked. */
struct gauges_stored {
	bool queue_known;
	struct queue_gauges queue;
	struct stored rest;
};
void gauges_write(const struct relay *r, const struct config *c, const struct gauges_stored *g, const struct worst *worst, struct sp_buf *out);

#endif

/* relay/report_bounce.h - notifications that a mailed TLS report came to nothing: they feed the list of addresses that get none for a while (rpt/outbox.h).
 * Mailed reports have report.contact as their sender, so that is where the notification comes to, if the mail of the submitter's domain is routed to us.
 * On the shard's thread. Used by relay/inbound.c. */
#ifndef RELAY_REPORT_BOUNCE_H
#define RELAY_REPORT_BOUNCE_H

#include "relay/shard.h"

#define REPORT_BOUNCE_READ_MAX 65536    /* octets of a message that are looked at: what is returned comes last (RFC 6522 3) */

/* From the null sender to report.contact alone? Only then it is worth reading. */
bool report_bounce_fits(const struct config *c, const char *sender, const struct queue_recipient *recipients, size_t count);
/* Reads it. One call of `done`, at once or later. `taken`: it says that a recipient to whom a report was mailed in the last days has failed for good (Status 5.y.z), and returns
 * that report's id;
 * that is stored, and the message has no further use. Else it is mail like any other; with failed() it was to be stored and could not be.
 * The message is borrowed until then. */
void report_bounce_read(struct shard *s, const struct queue_message *m, void (*done)(void *owner, bool taken, const struct sp_fail *why), void *owner);

#endif

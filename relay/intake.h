/* relay/intake.h - the content of one message while it comes in: trace field first, our signatures (RFC 6376) where `dkim:` has a key for its author's
 * domain, then the octets, in memory while small and in a file of the spool past limits.inline_body (or sooner, when memory is short). The header
 * section (1 MiB at most) is in memory until it is complete, so every one can be signed; mail that nobody signs costs nothing more.
 * On the shard's thread. */
#ifndef RELAY_INTAKE_H
#define RELAY_INTAKE_H

#include "core/body.h"
#include "relay/shard.h"
#include "smtp/header.h"

struct intake;                  /* opaque */

/* Begins with our Received field. `received->id` is the text of `id`. `binary`: MAIL said BODY=BINARYMIME, so the body may be any octets. `user`: who logged
 * in, NULL for nobody; borrowed up to intake_end(). */
struct intake *intake_new(struct shard *s, uint64_t id, bool binary, const char *user, const struct smtp_received *received);
void intake_add(struct intake *i, struct sp_str content);
/* Octets that a file has yet to take: pause the client over INTAKE_UNWRITTEN_MAX, go on when `drained` is called. */
#define INTAKE_UNWRITTEN_MAX (1024 * 1024)
size_t intake_unwritten(const struct intake *i);
void intake_on_drained(struct intake *i, void (*drained)(void *owner), void *owner);

/* No more comes: a line that was left open gets its end, and the header section one, where it had none. Once; then what the message is can be asked: */
void intake_end(struct intake *i);
/* The reply that refuses the message as it stands, or NULL: hops, header size. */
const char *intake_refusal(const struct intake *i);
bool intake_tls_optional(const struct intake *i);       /* "TLS-Required: No" in its header (RFC 8689 3) */

struct intake_result {
	struct sp_body *body;           /* one ref; NULL when it failed */
	uint64_t size;
	uint32_t header_len;
	bool eight_bit;                 /* octets over 127 anywhere */
	bool binary;                    /* only BINARYMIME takes it. Content that came otherwise has lines and no NUL; that some are longer than 998
	                                 * octets is passed over, as it is in the field */
	bool tls_optional;              /* "TLS-Required: No" in its header (RFC 8689 3) */
	bool header_eight_bit;          /* octets over 127 in the header section: as SMTPUTF8 allows (RFC 6531 3.1) */
	const char *signed_by;          /* "example.com/s1,example.com/s2", or ""; lent */
	struct sp_fail fail;
};
/* After intake_end(), for a message that is not refused: one call of `done`, at once (in memory) or later (synced file). Frees the intake. */
void intake_finish(struct intake *i, void (*done)(void *owner, const struct intake_result *r), void *owner);
/* Nothing is kept; silence; NULL is fine. */
void intake_abort(struct intake *i);

#endif

/* smtp/dkim.h - DKIM signatures: which fields are signed, canonical forms, the DKIM-Signature field.
 * Implements RFC 6376 (signing, 3.4.2 and 3.4.4 relaxed/relaxed, 5.4), RFC 8301 (rsa-sha256, keys) and RFC 8463 (ed25519-sha256). No l= (RFC 6376 8.2). Pure.
 * Used by relay/intake.c (relayed mail), relay/bounce.c and relay/reporter.c (our own).
 *
 * A signature covers the body, but stands in front of it; so a message that goes to a file as it comes is signed like this:
 *     smtp_dkim_begin(header)  -> the fields, of their final length, with zeros where bh= and b= will be: written in front of the header
 *     smtp_dkim_body()*        -> the body as it passes by
 *     smtp_dkim_finish()       -> the same fields with their values: written over the first ones */
#ifndef SMTP_DKIM_H
#define SMTP_DKIM_H

#include "core/crypt.h"

#define SMTP_DKIM_SIGNERS_MAX 8         /* signatures of a message */

struct smtp_dkim_signer {
	const char *domain, *selector;  /* d=, s=; A-labels, lower case */
	struct core_key *key;           /* borrowed */
};

struct smtp_dkim;                       /* opaque: one message being signed, by one or more signers */

/* `header`: the whole header section that is to be signed, without the empty line; copied as far as needed. Signed are the fields of RFC 6376 5.4.1 that are
 * there (List-*, MIME, Resent-* and TLS-Report-* among them; at most 100 of a name), From once more than it occurs so that none can be added (not above 100). Appends one folded
 * DKIM-Signature field a signer, each with its CRLF. `now_s`: t=. At most SMTP_DKIM_SIGNERS_MAX signers. The signers are borrowed until finish. */
struct smtp_dkim *smtp_dkim_begin(const struct smtp_dkim_signer *signers, size_t count, struct sp_str header, int64_t now_s,
                                  struct sp_buf *fields);
void smtp_dkim_body(struct smtp_dkim *d, struct sp_str piece);          /* what follows the empty line, CRLF lines, cut anywhere */
void smtp_dkim_finish(struct smtp_dkim *d, struct sp_buf *fields);      /* appends the fields, as long as before. Frees it */
void smtp_dkim_free(struct smtp_dkim *d);                               /* gives it up; NULL is fine */
/* All at once, for a message in memory: appends the fields that belong in front of it. */
void smtp_dkim_sign(const struct smtp_dkim_signer *signers, size_t count, struct sp_str message, int64_t now_s, struct sp_buf *fields);

/* The domain of the one author in the From field (RFC 5322 3.6.2), A-labels in lower case. False where there is none, or several, or it cannot be read. */
SP_NODISCARD bool smtp_dkim_author(struct sp_str header, char domain[256]);
/* Is there a DKIM-Signature with this d= and s= already? */
bool smtp_dkim_is_signed(struct sp_str header, const char *domain, const char *selector);

/* The TXT record for a key, unquoted: "v=DKIM1; k=rsa; p=..."; `service` "tlsrpt" adds s=tlsrpt (RFC 8460 3), "" nothing. */
void smtp_dkim_record(const struct core_key *key, const char *service, struct sp_buf *out);

#endif

/* relay/sign.h - DKIM signatures of a message that we take in or write: which keys of the configuration, and the work of smtp/dkim.h with them.
 * Used by relay/intake.c (relayed mail) and relay/bounce.c (our notifications). Any thread that has the configuration. */
#ifndef RELAY_SIGN_H
#define RELAY_SIGN_H

#include "relay/config.h"

#define SIGN_FIELDS_MAX 65536           /* octets of all signatures of a message: more, and it is left unsigned */

struct sign;                            /* opaque: one message being signed; holds the configuration, for a reload may come meanwhile */

/* `header`: the section as it will be sent, without the empty line. NULL where nobody signs it: `dkim:` has nothing for its author's domain, or it bears these
 * signatures already, or `user`, who logged in to send it (NULL: nobody), may send as nobody there. Else appends the fields that belong in front of it, of their final length, without their values. `id`: of the message, for the log. */
struct sign *sign_begin(struct config *c, const char *user, struct sp_str header, const char *id, struct sp_buf *fields);
void sign_body(struct sign *s, struct sp_str piece);            /* what follows the empty line, cut anywhere */
void sign_finish(struct sign *s, struct sp_buf *fields);        /* appends the fields again, with their values. Once; s is still to be freed */
const char *sign_by(const struct sign *s);                      /* "example.com/s1,example.com/s2"; "" for NULL */
void sign_free(struct sign *s);                                 /* NULL is fine */

/* A whole message of ours: the fields are put in front of it. */
void sign_message(struct config *c, const char *id, struct sp_buf *message);

#endif

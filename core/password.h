/* core/password.h - password hashes of crypt(3), by libcrypt. Blocking and slow by intent: see core_password_check(). */
#ifndef CORE_PASSWORD_H
#define CORE_PASSWORD_H

#include "core/buf.h"
#include "core/fail.h"
#include "core/loop.h"

#define CORE_PASSWORD_MAX 512           /* octets of a password; libcrypt's own limit */

/* Is `hash` one that this system's libcrypt computes, and no longer too weak to keep (DES, MD5)? Else *why. */
SP_NODISCARD bool core_password_hash_ok(const char *hash, struct sp_fail *why);
/* Appends a fresh hash (yescrypt, libcrypt's default cost). May take a tenth of a second. */
SP_NODISCARD bool core_password_hash(struct sp_str password, struct sp_buf *out, struct sp_fail *why);

struct core_password_check;             /* opaque: one under way */
/* On libuv's threads; one call of `done` on a later turn: does the password fit? `failed`: it could not be computed. Copies, and wipes them. */
struct core_password_check *core_password_check(struct core_loop *l, const char *hash, struct sp_str password,
                                                void (*done)(void *owner, bool fits, bool failed), void *owner);
void core_password_cancel(struct core_password_check *c);       /* silence; NULL is fine; not after done */

#endif

/* core/password.h - password hashes of crypt(3), by libcrypt. Blocking and slow by intent: on a loop, see core_password_check(). */
#ifndef CORE_PASSWORD_H
#define CORE_PASSWORD_H

#include "core/buf.h"
#include "core/fail.h"
#include "core/loop.h"

#define CORE_PASSWORD_MAX 511           /* octets of a password: libcrypt's own limit, 512 with its NUL */
#define CORE_PASSWORD_HASH_MAX 384      /* octets of a hash, the same */

/* Is `hash` a whole one that this system's libcrypt computes: yescrypt, scrypt, bcrypt, SHA-512 or SHA-256? Else *why: not one at all, cut short, or of a
 * method too weak to keep (DES, MD5, NT). */
SP_NODISCARD bool core_password_hash_ok(const char *hash, struct sp_fail *why);
/* Appends a fresh hash (yescrypt, libcrypt's default cost). May take a tenth of a second. False with *why: too long, empty, with a NUL in it. */
SP_NODISCARD bool core_password_hash(struct sp_str password, struct sp_buf *out, struct sp_fail *why);
/* Does it fit? As long as the hash takes; *failed, where not NULL: it could not be computed. */
SP_NODISCARD bool core_password_fits(const char *hash, struct sp_str password, bool *failed);
/* A hash of what nobody knows, to compute against where there is none. */
const char *core_password_decoy(void);

struct core_password_check;             /* opaque: one under way */
/* On libuv's threads; one call of `done` on a later turn: does the password fit? `failed`: it could not be computed. Copies, and wipes them. */
struct core_password_check *core_password_check(struct core_loop *l, const char *hash, struct sp_str password,
                                                void (*done)(void *owner, bool fits, bool failed), void *owner);
/* Silence; NULL is fine; not after done. One whose turn has come is computed all the same: its thread is busy until then. */
void core_password_cancel(struct core_password_check *c);

#endif

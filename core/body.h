/* core/body.h - the octets of one message: immutable, counted, shared between threads.
 * Small ones are in memory, large ones in a file of the spool. The memory that all of them take is counted, so
 * that the relay can say 452 before it runs out. Any thread. */
#ifndef CORE_BODY_H
#define CORE_BODY_H

#include "core/str.h"

struct sp_body;

/* Takes over `bytes` (malloc'd, `len` octets). One ref. */
struct sp_body *sp_body_from_memory(char *bytes, size_t len);
/* Names a complete, synced file of `len` octets; `path` is copied. One ref. The file itself is the spool's: nothing
 * here deletes it. */
struct sp_body *sp_body_from_file(const char *path, size_t len);
struct sp_body *sp_body_ref(struct sp_body *b);
void sp_body_unref(struct sp_body *b);                  /* NULL is fine */

size_t sp_body_len(const struct sp_body *b);
const char *sp_body_path(const struct sp_body *b);      /* NULL when in memory */
struct sp_str sp_body_bytes(const struct sp_body *b);   /* lent while a ref is held; empty when in a file */

/* Octets that live bodies hold in memory, and the adjustment for bytes that are about to become one. */
size_t sp_body_memory(void);
void sp_body_memory_add(int64_t octets);

#endif

/* core/arena.h - memory that is given back in one call: an envelope's, a reply's, a plan's.
 * What it lends lives until sp_arena_clear(); nothing is freed one by one. Pure. One thread at a time. */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include "core/str.h"

struct sp_arena {
	struct arena_block *blocks;     /* the newest first; NULL until first used */
};

#define SP_ARENA_EMPTY ((struct sp_arena){ NULL })

void *sp_arena_alloc(struct sp_arena *a, size_t size);          /* zeroed, aligned for anything, never NULL */
char *sp_arena_dup(struct sp_arena *a, struct sp_str s);        /* NUL-terminated copy */
char *sp_arena_strdup(struct sp_arena *a, const char *s);       /* NULL gives NULL */
char *sp_arena_printf(struct sp_arena *a, const char *fmt, ...) SP_PRINTF(2, 3);
void sp_arena_clear(struct sp_arena *a);                        /* frees all; may be used again */

#endif

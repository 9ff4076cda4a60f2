/* tests/unit/freed_watch.h - is there a secret in memory that is given back? free() and realloc() in place of the library's, for one file of a test
 * program; not under ASan, which has its own. */
#ifndef FREED_WATCH_H
#define FREED_WATCH_H

#ifndef __SANITIZE_ADDRESS__
#include "core/str.h"

#include <malloc.h>
#include <stdlib.h>

#define SECRETS 2
#define TELLING_LEN 10          /* octets of a secret that give it away */

void __libc_free(void *p);
void *__libc_realloc(void *p, size_t len);
void free(void *p);
void *realloc(void *p, size_t len);

static const char *const *watched;      /* NULL: no watch */
static unsigned left_behind;

/* From now on; `secrets` are told by their first octets. */
static void watch_freed(const char *const secrets[SECRETS])
{
	left_behind = 0;
	watched = secrets;
}

/* How many blocks held one. */
static unsigned watch_ends(void)
{
	watched = NULL;
	return left_behind;
}

void free(void *p)
{
	size_t len = watched && p ? malloc_usable_size(p) : 0;
	bool found = false;
	for (size_t i = 0; len > 0 && i < SECRETS; i++)
		found = found || memmem(p, len, watched[i], TELLING_LEN);
	left_behind += found;
	__libc_free(p);
}

/* Always moves. */
void *realloc(void *p, size_t len)
{
	if (watched == NULL || p == NULL)
		return __libc_realloc(p, len);
	void *moved = malloc(len);
	memcpy(moved, p, sp_min(len, malloc_usable_size(p)));
	free(p);
	return moved;
}
#endif

#endif

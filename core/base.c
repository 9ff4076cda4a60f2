/* core/base.c - see base.h. */
#include "core/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sp_assert_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "strictpost: bug: %s does not hold at %s:%d; please report this line\n", what, file, line);
	abort();
}

SP_NORETURN static void out_of_memory(size_t size)
{
	fprintf(stderr, "strictpost: out of memory (%zu octets asked for); queued mail is safe on disk\n", size);
	abort();
}

void *sp_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);
	if (p == NULL)
		out_of_memory(size);
	return p;
}

void *sp_alloc_array(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);
	if (p == NULL)
		out_of_memory(size);
	return p;
}

void *sp_realloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);
	if (p == NULL)
		out_of_memory(size);
	return p;
}

char *sp_strdup(const char *s)
{
	return s ? sp_strndup(s, strlen(s)) : NULL;
}

char *sp_strndup(const char *s, size_t len)
{
	char *copy = sp_alloc(len + 1);
	if (len > 0)
		memcpy(copy, s, len);
	return copy;
}

/* core/arena.c - see arena.h. */
#include "core/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_BLOCK 512         /* octets; most envelopes fit */
#define LARGEST_BLOCK 16384     /* blocks double up to this */

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

static struct arena_block *add_block(struct sp_arena *a, size_t size)
{
	size_t want = a->blocks ? sp_min(a->blocks->size * 2, LARGEST_BLOCK) : FIRST_BLOCK;
	want = sp_max(want, size);
	struct arena_block *b = sp_alloc(sizeof(*b) + want);
	b->size = want;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *sp_arena_alloc(struct sp_arena *a, size_t size)
{
	const size_t align = alignof(max_align_t);
	size = (size + align - 1) & ~(align - 1);
	struct arena_block *b = a->blocks;
	if (b == NULL || b->size - b->used < size)
		b = add_block(a, size);
	void *p = b->bytes + b->used;
	b->used += size;
	return p;
}

char *sp_arena_dup(struct sp_arena *a, struct sp_str s)
{
	char *copy = sp_arena_alloc(a, s.len + 1);
	if (s.len > 0)
		memcpy(copy, s.p, s.len);
	return copy;
}

char *sp_arena_strdup(struct sp_arena *a, const char *s)
{
	return s ? sp_arena_dup(a, sp_str_of(s)) : NULL;
}

char *sp_arena_printf(struct sp_arena *a, const char *fmt, ...)
{
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	sp_assert(len >= 0);
	char *p = sp_arena_alloc(a, (size_t)len + 1);
	vsnprintf(p, (size_t)len + 1, fmt, again);
	va_end(again);
	return p;
}

void sp_arena_clear(struct sp_arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;
		a->blocks = b->next;
		free(b);
	}
}

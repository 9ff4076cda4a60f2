/* core/body.c - see body.h. */
#include "core/body.h"

#include <stdatomic.h>
#include <stdlib.h>

struct sp_body {
	atomic_uint refs;
	size_t len;
	char *bytes;            /* or NULL */
	char *path;             /* or NULL */
};

static atomic_llong memory_used;        /* octets, see sp_body_memory() */

struct sp_body *sp_body_from_memory(char *bytes, size_t len)
{
	struct sp_body *b = sp_alloc(sizeof(*b));
	atomic_init(&b->refs, 1);
	b->len = len;
	b->bytes = bytes;
	sp_body_memory_add((int64_t)len);
	return b;
}

struct sp_body *sp_body_from_file(const char *path, size_t len)
{
	struct sp_body *b = sp_alloc(sizeof(*b));
	atomic_init(&b->refs, 1);
	b->len = len;
	b->path = sp_strdup(path);
	return b;
}

struct sp_body *sp_body_ref(struct sp_body *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void sp_body_unref(struct sp_body *b)
{
	if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (b->bytes)
		sp_body_memory_add(-(int64_t)b->len);
	free(b->bytes);
	free(b->path);
	free(b);
}

size_t sp_body_len(const struct sp_body *b)
{
	return b->len;
}

const char *sp_body_path(const struct sp_body *b)
{
	return b->path;
}

struct sp_str sp_body_bytes(const struct sp_body *b)
{
	return b->bytes ? sp_str_make(b->bytes, b->len) : sp_str_make(NULL, 0);
}

size_t sp_body_memory(void)
{
	long long n = atomic_load_explicit(&memory_used, memory_order_relaxed);
	return n > 0 ? (size_t)n : 0;
}

void sp_body_memory_add(int64_t octets)
{
	atomic_fetch_add_explicit(&memory_used, octets, memory_order_relaxed);
}

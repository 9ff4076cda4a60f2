/* core/gzip.c - see gzip.h. */
#include "core/gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16)           /* zlib: the largest window, and gzip around it */
#define CHUNK 8192

struct core_gzip {
	z_stream z;
	struct sp_buf *out;
};

static void *z_alloc(void *opaque, unsigned count, unsigned size)
{
	(void)opaque;
	return sp_alloc_array(count, size);
}

static void z_free(void *opaque, void *p)
{
	(void)opaque;
	free(p);
}

struct core_gzip *core_gzip_new(struct sp_buf *out)
{
	struct core_gzip *g = sp_alloc(sizeof(*g));
	g->out = out;
	g->z.zalloc = z_alloc;
	g->z.zfree = z_free;
	int rc = deflateInit2(&g->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY);
	sp_assert(rc == Z_OK);                          /* memory does not run out, and the arguments are these */
	return g;
}

static void squeeze(struct core_gzip *g, struct sp_str data, int flush)
{
	unsigned char chunk[CHUNK];
	g->z.next_in = (unsigned char *)(uintptr_t)data.p;      /* zlib does not write there */
	g->z.avail_in = (unsigned)data.len;
	do {
		g->z.next_out = chunk;
		g->z.avail_out = sizeof(chunk);
		int rc = deflate(&g->z, flush);
		sp_assert(rc != Z_STREAM_ERROR);
		sp_buf_add(g->out, sp_str_make((const char *)chunk, sizeof(chunk) - g->z.avail_out));
	} while (g->z.avail_out == 0);
}

void core_gzip_add(struct core_gzip *g, struct sp_str data)
{
	while (data.len > 0) {
		size_t len = sp_min(data.len, UINT_MAX);
		squeeze(g, sp_str_make(data.p, len), Z_NO_FLUSH);
		data = sp_str_from(data, len);
	}
}

void core_gzip_finish(struct core_gzip *g)
{
	squeeze(g, SP_STR(""), Z_FINISH);
	core_gzip_free(g);
}

void core_gzip_free(struct core_gzip *g)
{
	if (g == NULL)
		return;
	deflateEnd(&g->z);
	free(g);
}

/* --- back --- */

/* Hands zlib the next octets of *in, once it has none left. */
static void refill(z_stream *z, struct sp_str *in)
{
	if (z->avail_in > 0)
		return;
	z->next_in = (unsigned char *)(uintptr_t)in->p;
	z->avail_in = (unsigned)sp_min(in->len, UINT_MAX);
	*in = sp_str_from(*in, z->avail_in);
}

/* NULL, or what is wrong. */
static const char *unpack(z_stream *z, struct sp_str in, struct sp_buf *out)
{
	unsigned char chunk[CHUNK];
	for (;;) {
		refill(z, &in);
		z->next_out = chunk;
		z->avail_out = sizeof(chunk);
		int rc = inflate(z, Z_NO_FLUSH);
		size_t len = sizeof(chunk) - z->avail_out;
		if (len > out->max - out->len)
			return "the data is too large once it is unpacked";
		sp_buf_add(out, sp_str_make((const char *)chunk, len));
		if (rc == Z_BUF_ERROR)                  /* nothing could be done: there are no more octets */
			return "the gzip data is cut short";
		if (rc != Z_OK && rc != Z_STREAM_END)
			return "this is not gzip, or it is damaged";
		if (rc == Z_STREAM_END) {
			if (z->avail_in == 0 && in.len == 0)
				return NULL;
			inflateReset(z);                /* RFC 1952 2.2: members follow one another */
		}
	}
}

bool core_gunzip(struct sp_str in, struct sp_buf *out, const char **why)
{
	z_stream z = { .zalloc = z_alloc, .zfree = z_free };
	int rc = inflateInit2(&z, GZIP_WINDOW);
	sp_assert(rc == Z_OK);
	size_t before = out->len;
	*why = out->failed ? "the data is too large once it is unpacked" : unpack(&z, in, out);
	inflateEnd(&z);
	if (*why)
		sp_buf_truncate(out, before);
	return *why == NULL;
}

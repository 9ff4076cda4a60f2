/* core/buf.c - see buf.h. */
#include "core/buf.h"

#include <stdio.h>
#include <stdlib.h>

void sp_buf_init(struct sp_buf *b, size_t max)
{
	*b = (struct sp_buf){ .max = max };
}

void sp_buf_clear(struct sp_buf *b)
{
	free(b->p);
	sp_buf_init(b, b->max);
}

void sp_buf_wipe(struct sp_buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	sp_buf_clear(b);
}

void sp_buf_reset(struct sp_buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->p)
		b->p[0] = '\0';
}

char *sp_buf_room(struct sp_buf *b, size_t len)
{
	if (b->failed || len > b->max - b->len) {
		b->failed = true;
		return NULL;
	}
	size_t need = b->len + len + 1;
	if (need > b->cap) {
		size_t cap = sp_max(need, sp_max(64, b->cap + b->cap / 2));
		b->cap = sp_min(cap, b->max + 1);
		b->p = sp_realloc(b->p, b->cap);
	}
	return b->p + b->len;
}

void sp_buf_wrote(struct sp_buf *b, size_t len)
{
	sp_assert(b->len + len < b->cap);
	b->len += len;
	b->p[b->len] = '\0';
}

void sp_buf_add(struct sp_buf *b, struct sp_str s)
{
	char *room = sp_buf_room(b, s.len);
	if (room == NULL)
		return;
	if (s.len > 0)
		memcpy(room, s.p, s.len);
	sp_buf_wrote(b, s.len);
}

void sp_buf_adds(struct sp_buf *b, const char *s)
{
	sp_buf_add(b, sp_str_of(s));
}

void sp_buf_addc(struct sp_buf *b, char c)
{
	sp_buf_add(b, sp_str_make(&c, 1));
}

void sp_buf_printf(struct sp_buf *b, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	sp_buf_vprintf(b, fmt, args);
	va_end(args);
}

void sp_buf_vprintf(struct sp_buf *b, const char *fmt, va_list args)
{
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, fmt, args);
	sp_assert(len >= 0);
	char *room = sp_buf_room(b, (size_t)len);
	if (room) {
		vsnprintf(room, (size_t)len + 1, fmt, again);
		sp_buf_wrote(b, (size_t)len);
	}
	va_end(again);
}

void sp_buf_add_printable(struct sp_buf *b, struct sp_str s)
{
	char *room = sp_buf_room(b, s.len);
	if (room == NULL)
		return;
	for (size_t i = 0; i < s.len; i++)
		room[i] = sp_is_print(s.p[i]) ? s.p[i] : '?';
	sp_buf_wrote(b, s.len);
}

void sp_buf_consume(struct sp_buf *b, size_t len)
{
	sp_assert(len <= b->len);
	if (len == 0)
		return;
	memmove(b->p, b->p + len, b->len - len);
	b->len -= len;
	b->p[b->len] = '\0';
}

void sp_buf_truncate(struct sp_buf *b, size_t len)
{
	sp_assert(len <= b->len);
	b->len = len;
	if (b->p)
		b->p[len] = '\0';
}

char *sp_buf_take(struct sp_buf *b)
{
	char *p = b->p ? b->p : sp_alloc(1);
	sp_buf_init(b, b->max);
	return p;
}

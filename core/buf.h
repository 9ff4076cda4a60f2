/* core/buf.h - bytes that we own and build: a ceiling from birth, failure that sticks.
 * Adding past the ceiling adds nothing and marks the buffer as failed; so building is a straight run with
 * one check at the end. `p[len]` is always NUL where p is not NULL. Pure. Any thread, one at a time. */
#ifndef CORE_BUF_H
#define CORE_BUF_H

#include "core/str.h"

#include <stdarg.h>

struct sp_buf {
	char *p;                /* NULL until the first byte */
	size_t len;
	size_t cap;             /* octets allocated, the NUL included */
	size_t max;             /* ceiling for len */
	bool failed;            /* something did not fit; sticky until sp_buf_reset() */
};

void sp_buf_init(struct sp_buf *b, size_t max);         /* allocates nothing */
void sp_buf_clear(struct sp_buf *b);                    /* frees the bytes; as after init */
void sp_buf_wipe(struct sp_buf *b);                     /* as clear, of a secret: overwrites them first */
void sp_buf_reset(struct sp_buf *b);                    /* empty again, keeps the memory */

void sp_buf_add(struct sp_buf *b, struct sp_str s);
void sp_buf_adds(struct sp_buf *b, const char *s);
void sp_buf_addc(struct sp_buf *b, char c);
void sp_buf_printf(struct sp_buf *b, const char *fmt, ...) SP_PRINTF(2, 3);
void sp_buf_vprintf(struct sp_buf *b, const char *fmt, va_list args) SP_PRINTF(2, 0);
/* `s` with everything but printable ASCII replaced by '?': for peer text in logs, replies and reports. */
void sp_buf_add_printable(struct sp_buf *b, struct sp_str s);

/* At least `len` bytes of room behind b->len, to write into by hand; then sp_buf_wrote(). NULL past the ceiling. */
SP_NODISCARD char *sp_buf_room(struct sp_buf *b, size_t len);
void sp_buf_wrote(struct sp_buf *b, size_t len);

void sp_buf_consume(struct sp_buf *b, size_t len);      /* drops the first `len` octets */
void sp_buf_truncate(struct sp_buf *b, size_t len);     /* keeps the first `len` octets */

static inline struct sp_str sp_buf_str(const struct sp_buf *b) { return sp_str_make(b->p, b->len); }
static inline const char *sp_buf_cstr(const struct sp_buf *b) { return b->p ? b->p : ""; }
static inline bool sp_buf_failed(const struct sp_buf *b) { return b->failed; }

/* The bytes, now the caller's, NUL-terminated, never NULL; the buffer is as after init. */
SP_NODISCARD char *sp_buf_take(struct sp_buf *b);

#endif

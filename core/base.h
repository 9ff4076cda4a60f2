/* core/base.h - what every file stands on: assertions, allocation that cannot fail, small macros.
 * Pure. Any thread. */
#ifndef CORE_BASE_H
#define CORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_NODISCARD __attribute__((warn_unused_result))
#define SP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define SP_NORETURN __attribute__((noreturn))
#define SP_UNUSED __attribute__((unused))

#define SP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The object of type `type` whose member `member` `ptr` points at. */
#define sp_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Our own bugs only, never what a peer sent. Present in release builds. */
#define sp_assert(x) ((x) ? (void)0 : sp_assert_failed(#x, __FILE__, __LINE__))
SP_NORETURN void sp_assert_failed(const char *what, const char *file, int line);

/* Memory, or the end of the process: mail is committed before its 250, so a restart is safe. Sizes that a
 * peer controls are capped before they come here. sp_alloc() zeroes. Freed by free(). */
void *sp_alloc(size_t size);
void *sp_alloc_array(size_t count, size_t size);
void *sp_realloc(void *old, size_t size);
char *sp_strdup(const char *s);                 /* NULL gives NULL */
char *sp_strndup(const char *s, size_t len);    /* `len` bytes of `s`, then NUL */

static inline size_t sp_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t sp_max(size_t a, size_t b) { return a > b ? a : b; }

#endif

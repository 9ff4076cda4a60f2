/* core/file.h - files of the spool without blocking a loop: written in order, synced, then made known; read in pieces.
 * Uses libuv's thread pool. On the loop's thread. */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include "core/buf.h"
#include "core/fail.h"
#include "core/loop.h"

/* Writing. A new file (O_EXCL, mode 0600). */
struct core_file_writer;
struct core_file_writer *core_file_create(struct core_loop *l, const char *path);        /* opens on the pool; errors come by finish */
void core_file_write(struct core_file_writer *w, struct sp_buf *data);                   /* takes the bytes over, leaves `data` empty */
/* The same over octets that were given before, from `offset` on: none of them may lie behind what core_file_write() has had so far. */
void core_file_patch(struct core_file_writer *w, size_t offset, struct sp_buf *data);
size_t core_file_unwritten(const struct core_file_writer *w);                            /* octets not yet written: pause the source over a limit */
/* Writes the rest, fsyncs the file, then its folder, closes. One call of `done`, later; *why failed() when any step did (then the
 * file is unlinked). Frees the writer.
 * Its reason is "disk-full" (quota too), "missing" (no such folder) or "io"; the same words are used by reading. */
void core_file_finish(struct core_file_writer *w, void (*done)(void *owner, const struct sp_fail *why), void *owner);
void core_file_abort(struct core_file_writer *w);            /* unlinks; silence; frees; also between finish and done; NULL is fine */
/* Calls `drained` when unwritten reached 0 after having been more. */
void core_file_on_drained(struct core_file_writer *w, void (*drained)(void *owner), void *owner);

/* Reading, one piece at a time. */
struct core_file_reader;
struct core_file_reader *core_file_open(struct core_loop *l, const char *path);
/* Before the first read: so many octets are passed over, without being read. */
void core_file_skip(struct core_file_reader *r, size_t octets);
/* One call of `got`, later: up to `max` octets, lent until it returns; empty at the end; *why failed() on error (missing, EIO). */
void core_file_read(struct core_file_reader *r, size_t max,
                    void (*got)(void *owner, struct sp_str data, const struct sp_fail *why), void *owner);
void core_file_close(struct core_file_reader *r);        /* silence; NULL is fine */

/* Deletes a file on the pool; a missing one is fine; other errors are logged at warning. */
void core_file_unlink(struct core_loop *l, const char *path);

#endif

/* queue/lock.h - the spool folder: made, judged, and held by one process. Used by queue/store.c. */
#ifndef QUEUE_LOCK_H
#define QUEUE_LOCK_H

#include "core/fail.h"

/* Makes `dir` when it is missing (mode 0700), refuses network file systems, and takes <dir>/lock, which then holds our pid. The descriptor
 * is the lock. -1 with *why: who holds it, or uid, path, mode and the command that mends it. */
SP_NODISCARD int queue_lock_take(const char *dir, struct sp_fail *why);
void queue_lock_drop(int fd);

/* What a file system of this statfs(2) type is called if it is no place for a spool, else NULL. */
const char *queue_lock_refused_fs(unsigned long type);

/* "cannot <doing> <path>": where it is permissions with uid, path, mode, and the command that mends it. */
void queue_lock_explain(const char *doing, const char *path, int cause, struct sp_fail *why);

#endif

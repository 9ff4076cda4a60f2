/* core/syncfile.h - the two steps that put a file on the disk for good. They block: for the command line, and for libuv's threads. Any thread. */
#ifndef CORE_SYNCFILE_H
#define CORE_SYNCFILE_H

#include "core/str.h"

/* Writes all of `data` to `fd` and syncs it. False with errno. */
SP_NODISCARD bool core_write_synced(int fd, struct sp_str data);
/* Syncs the folder that `path` is in: only then a new or renamed file is sure to be found there. False with errno. */
SP_NODISCARD bool core_sync_folder_of(const char *path);

#endif

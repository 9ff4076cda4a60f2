/* queue/space.h - is there room on the disk? Used by queue/store.c. */
#ifndef QUEUE_SPACE_H
#define QUEUE_SPACE_H

#include "core/base.h"

#include <sys/statvfs.h>

/* We keep 64 MiB free, or 5 % of a file system smaller than 1.25 GiB: the database's log grows to some 16 MiB between two checkpoints, results
 * and DSNs must still be written when clients are already refused, and a second at full speed passes before we look again. A share of a
 * large disk would refuse mail with gigabytes free. */
bool queue_space_enough(const struct statvfs *fs);

/* Also true when the file system cannot be asked: then a failed write will tell. */
bool queue_space_ok(const char *path);

#endif

/* queue/space.h - is there room on the disk? Used by queue/store.c. */
#ifndef QUEUE_SPACE_H
#define QUEUE_SPACE_H

#include "core/db.h"

#include <sys/statvfs.h>

/* We keep 64 MiB free, or 5 % of a file system smaller than 1.25 GiB: results and DSNs must still be written when clients are already
 * refused, and one batch may be large. A share of a large disk would refuse mail with gigabytes free. Besides,
 * what is in the database's log (`log_octets`) must have room to go into the database, or the log can only grow. Pages of the database that hold
 * nothing (`free_octets`) are room too, since a drained spool does not shrink: but half of what we keep must be the file system's, for the log. */
bool queue_space_enough(const struct statvfs *fs, uint64_t log_octets, uint64_t free_octets);

/* The part of a file system of `total` octets that is kept free. */
uint64_t queue_space_kept(uint64_t total);

/* Also true when the file system cannot be asked: then a failed write will tell. `log` is the path of the log; NULL: as if it were empty. */
bool queue_space_ok(const char *folder, const char *log, uint64_t free_octets);

/* Less than twice what is kept free. */
bool queue_space_scarce(const char *folder, const char *log, uint64_t free_octets);

/* Octets of pages of the database that hold nothing. Cheap. */
uint64_t queue_space_free(struct core_db *db);

/* Octets of the file system: that we may still use, and in all; 0 when it cannot be asked. */
void queue_space_of(const char *folder, uint64_t *available, uint64_t *total);

uint64_t queue_space_used(const char *file);      /* octets; 0 when there is none */

#endif

/* queue/space.c - see space.h. */
#include "queue/space.h"

#define KEEP_OCTETS ((uint64_t)64 << 20)
#define KEEP_SHARE  20          /* one part in 20 */
#define KEEP_INODES 64

bool queue_space_enough(const struct statvfs *fs)
{
	uint64_t unit = fs->f_frsize ? fs->f_frsize : fs->f_bsize;
	uint64_t keep = (uint64_t)fs->f_blocks * unit / KEEP_SHARE;
	if (keep > KEEP_OCTETS)
		keep = KEEP_OCTETS;
	if ((uint64_t)fs->f_bavail * unit < keep)
		return false;
	return fs->f_favail == 0 || fs->f_favail >= KEEP_INODES;        /* 0: some file systems do not count them */
}

bool queue_space_ok(const char *path)
{
	struct statvfs fs;
	return statvfs(path, &fs) != 0 || queue_space_enough(&fs);
}

/* queue/space.c - see space.h. */
#include "queue/space.h"

#include <sys/stat.h>

#define KEEP_OCTETS ((uint64_t)64 << 20)
#define KEEP_SHARE  20          /* one part in 20 */
#define KEEP_INODES 64

bool queue_space_enough(const struct statvfs *fs, uint64_t log_octets)
{
	uint64_t unit = fs->f_frsize ? fs->f_frsize : fs->f_bsize;
	uint64_t keep = (uint64_t)fs->f_blocks * unit / KEEP_SHARE;
	if (keep > KEEP_OCTETS)
		keep = KEEP_OCTETS;
	if ((uint64_t)fs->f_bavail * unit < keep + log_octets)
		return false;
	return fs->f_favail == 0 || fs->f_favail >= KEEP_INODES;        /* 0: some file systems do not count them */
}

void queue_space_of(const char *folder, uint64_t *available, uint64_t *total)
{
	struct statvfs fs;
	*available = *total = 0;
	if (statvfs(folder, &fs) != 0)
		return;
	uint64_t unit = fs.f_frsize ? fs.f_frsize : fs.f_bsize;
	*available = (uint64_t)fs.f_bavail * unit;
	*total = (uint64_t)fs.f_blocks * unit;
}

uint64_t queue_space_used(const char *file)
{
	struct stat st;
	return stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
}

bool queue_space_ok(const char *folder, const char *log)
{
	struct statvfs fs;
	return statvfs(folder, &fs) != 0 || queue_space_enough(&fs, log ? queue_space_used(log) : 0);
}

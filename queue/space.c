/* queue/space.c - see space.h. */
#include "queue/space.h"

#include <sys/stat.h>

#define KEEP_OCTETS ((uint64_t)64 << 20)
#define KEEP_SHARE  20          /* one part in 20 */
#define KEEP_INODES 64

uint64_t queue_space_kept(uint64_t total)
{
	return sp_min(total / KEEP_SHARE, KEEP_OCTETS);
}

bool queue_space_enough(const struct statvfs *fs, uint64_t log_octets, uint64_t free_octets)
{
	uint64_t unit = fs->f_frsize ? fs->f_frsize : fs->f_bsize;
	uint64_t keep = queue_space_kept((uint64_t)fs->f_blocks * unit), available = (uint64_t)fs->f_bavail * unit;
	if (available < keep / 2 || available + free_octets < keep + log_octets)
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

bool queue_space_ok(const char *folder, const char *log, uint64_t free_octets)
{
	struct statvfs fs;
	return statvfs(folder, &fs) != 0 || queue_space_enough(&fs, log ? queue_space_used(log) : 0, free_octets);
}

bool queue_space_scarce(const char *folder, const char *log, uint64_t free_octets)
{
	uint64_t available, total;
	queue_space_of(folder, &available, &total);
	return total > 0 && available + free_octets < 2 * queue_space_kept(total) + (log ? queue_space_used(log) : 0);
}

static uint64_t ask(struct core_db *db, const char *sql)
{
	struct core_stmt *s = core_db_stmt(db, sql);
	uint64_t value = core_stmt_step(s) == CORE_DB_ROW ? (uint64_t)core_stmt_col_int(s, 0) : 0;
	core_stmt_reset(s);
	return value;
}

uint64_t queue_space_free(struct core_db *db)
{
	return ask(db, "PRAGMA freelist_count") * ask(db, "PRAGMA page_size");
}

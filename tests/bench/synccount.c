/* tests/bench/synccount.c - counts fsync and fdatasync of a whole process tree: loaded by LD_PRELOAD, it
 * adds to a file of two counters that all processes of the tree map ($SYNCCOUNT_FILE). Works the same for
 * every system under test and costs nothing to speak of, unlike tracing. A file in memory (tmpfs) does not
 * count. Used by tests/bench/run. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

struct counters {
	atomic_ulong fsync, fdatasync;
};

int fsync(int fd);
int fdatasync(int fd);

static struct counters unmapped;
static struct counters *counters = &unmapped;

__attribute__((constructor)) static void map_counters(void)
{
	const char *path = getenv("SYNCCOUNT_FILE");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED)
		counters = map;
	close(fd);
}

static void count(atomic_ulong *counter, int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC)
		atomic_fetch_add(counter, 1);
}

int fsync(int fd)
{
	count(&counters->fsync, fd);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	count(&counters->fdatasync, fd);
	return (int)syscall(SYS_fdatasync, fd);
}

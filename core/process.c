/* core/process.c - see process.h. */
#include "core/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t resident(void)
{
	unsigned long long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &pages) != 2)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t descriptors(void)
{
	uint64_t count = 0;
	int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);     /* not opendir(): ThreadSanitizer does not see that one take a descriptor */
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		count += e->d_name[0] != '.';
	closedir(d);
	return count - 1;               /* without the one that looks */
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

void core_process_look(struct core_process *out)
{
	struct rlimit l;
	struct rusage u;
	*out = (struct core_process){ .resident = resident(), .sqlite = (uint64_t)sqlite3_memory_used(), .descriptors = descriptors() };
	if (getrlimit(RLIMIT_NOFILE, &l) == 0)
		out->descriptors_max = l.rlim_cur;
	if (getrusage(RUSAGE_SELF, &u) == 0)
		out->cpu_s = seconds(&u.ru_utime) + seconds(&u.ru_stime);
}

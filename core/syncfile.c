/* core/syncfile.c - see syncfile.h. */
#include "core/syncfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

bool core_write_synced(int fd, struct sp_str data)
{
	while (data.len > 0) {
		ssize_t n = write(fd, data.p, data.len);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			data = sp_str_from(data, (size_t)n);
	}
	return fsync(fd) == 0;
}

bool core_sync_folder_of(const char *path)
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof(copy), "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool synced = fsync(fd) == 0;
	int cause = errno;
	close(fd);
	errno = cause;
	return synced;
}

/* core/readfile.c - see readfile.h. */
#include "core/readfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM 4096

/* The outermost folder on the way to `path` that we may not enter, in `folder`. False where all can be entered. */
static bool find_closed_folder(const char *path, char folder[PATH_ROOM])
{
	size_t len = strlen(path);
	for (size_t i = 1; i < len && i < PATH_ROOM; i++) {
		if (path[i] != '/')
			continue;
		snprintf(folder, PATH_ROOM, "%.*s", (int)i, path);
		if (faccessat(AT_FDCWD, folder, X_OK, AT_EACCESS) != 0)
			return errno == EACCES;
	}
	return false;
}

/* Are its group's bits the ones that count for us? */
static bool is_our_group(gid_t gid)
{
	gid_t groups[1024];                     /* in more than these: the first one decides */
	int count = getgroups((int)SP_COUNT(groups), groups);
	bool ours = gid == getegid();
	for (int i = 0; i < count; i++)
		ours |= groups[i] == gid;
	return ours;
}

/* Of the file, or of the folder before it: its mode and owner, and the command that lets us in. */
static void explain_access(const char *path, struct sp_fail *why)
{
	char folder[PATH_ROOM];
	bool closed = find_closed_folder(path, folder);
	const char *at = closed ? folder : path, *bit = closed ? "x" : "r";
	unsigned uid = (unsigned)geteuid(), gid = (unsigned)getegid();
	struct stat st;
	if (stat(at, &st) != 0) {
		sp_fail_tls(why, SP_FAIL_STORE, SP_RESULT_NONE, "unreadable", "cannot read %s as uid %u: %s: %s", path, uid, at, strerror(errno));
		return;
	}
	char mend[64];
	if (st.st_uid == geteuid())
		snprintf(mend, sizeof(mend), "chmod u+%s", bit);
	else if (closed)                        /* others need the folder as well: it keeps its owner */
		snprintf(mend, sizeof(mend), "chmod %c+x", is_our_group(st.st_gid) ? 'g' : 'o');
	else
		snprintf(mend, sizeof(mend), "chown %u:%u", uid, gid);
	sp_fail_tls(why, SP_FAIL_STORE, SP_RESULT_NONE, "unreadable", "cannot read %s as uid %u: %s has mode %04o and owner %u; mend it with: %s %s", path, uid, at,
	            (unsigned)st.st_mode & 07777, (unsigned)st.st_uid, mend, at);
}

static void explain_open(const char *path, int cause, struct sp_fail *why)
{
	if (cause == EACCES)
		explain_access(path, why);
	else if (cause == ENOENT)
		sp_fail_tls(why, SP_FAIL_STORE, SP_RESULT_NONE, "missing", "cannot read %s: there is no such file", path);
	else
		sp_fail_tls(why, SP_FAIL_STORE, SP_RESULT_NONE, "unreadable", "cannot read %s as uid %u: %s", path, (unsigned)geteuid(), strerror(cause));
}

/* Its permission bits. False with *why where it is none. */
static bool is_plain_file(int fd, const char *path, unsigned *mode, struct sp_fail *why)
{
	struct stat st;
	if (fstat(fd, &st) != 0) {
		explain_open(path, errno, why);
		return false;
	}
	*mode = (unsigned)st.st_mode & 07777;
	if (!S_ISREG(st.st_mode))
		sp_fail_tls(why, SP_FAIL_STORE, SP_RESULT_NONE, "unreadable", "cannot read %s: it is not a plain file", path);
	return S_ISREG(st.st_mode);
}

/* Up to `room` octets; -1 with *why. */
static ssize_t read_all(int fd, const char *path, char *out, size_t room, struct sp_fail *why)
{
	size_t len = 0;
	ssize_t n = 0;
	while (len < room && (n = read(fd, out + len, room - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			explain_open(path, errno, why);
			return -1;
		}
		len += (size_t)n;
	}
	return (ssize_t)len;
}

ssize_t core_read_file(const char *path, char *out, size_t room, unsigned *mode, struct sp_fail *why)
{
	unsigned bits;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);      /* a pipe must not hold the start up */
	if (fd < 0) {
		explain_open(path, errno, why);
		return -1;
	}
	ssize_t len = is_plain_file(fd, path, &bits, why) ? read_all(fd, path, out, room, why) : -1;
	close(fd);
	if (len >= 0 && mode)
		*mode = bits;
	return len;
}

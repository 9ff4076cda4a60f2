/* queue/lock.c - see lock.h.
 * The lock is an open-file-description lock: it goes with the process however that ends, and closing another descriptor of the same file
 * does not drop it, as it does with the older fcntl locks. */
#include "queue/lock.h"

#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Their syncs and locks depend on another machine: a spool there loses mail, or is opened twice. FUSE and 9p are not here, because rootless
 * and sandboxed containers see their own local disks through them; they get a warning. */
static const struct { unsigned long type; const char *name; } refused[] = {
	{ 0x6969, "NFS" }, { 0x517b, "SMB" }, { 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB2" }, { 0x5346414f, "AFS" },
	{ 0x73757245, "Coda" }, { 0x564c, "NCP" }, { 0x00c36400, "Ceph" }, { 0x0bd00bd0, "Lustre" },
	{ 0x01161970, "GFS2" }, { 0x7461636f, "OCFS2" },
};
#define FS_FUSE 0x65735546
#define FS_9P   0x01021997

const char *queue_lock_refused_fs(unsigned long type)
{
	for (size_t i = 0; i < SP_COUNT(refused); i++)
		if (refused[i].type == (type & 0xffffffff))     /* signed on some machines */
			return refused[i].name;
	return NULL;
}

/* The nearest part of `path` that can be seen is the one that stands in the way. */
static bool find_obstacle(char *at, struct stat *st)
{
	while (stat(at, st) != 0) {
		if (strcmp(at, "/") == 0 || strcmp(at, ".") == 0)
			return false;
		char *parent = dirname(at);
		memmove(at, parent, strlen(parent) + 1);
	}
	return true;
}

void queue_lock_explain(const char *doing, const char *path, int cause, struct sp_fail *why)
{
	char at[4096], mend[64];
	struct stat st;
	snprintf(at, sizeof(at), "%s", path);
	if (cause == EROFS) {
		sp_fail_set(why, SP_FAIL_STORE, "cannot %s %s: the file system is read-only; mend it with: mount -o remount,rw", doing, path);
		return;
	}
	if ((cause != EACCES && cause != EPERM) || !find_obstacle(at, &st)) {
		sp_fail_set(why, SP_FAIL_STORE, "cannot %s %s: %s", doing, path, strerror(cause));
		return;
	}
	if (st.st_uid == geteuid())
		snprintf(mend, sizeof(mend), "chmod %s", S_ISDIR(st.st_mode) ? "0700" : "0600");
	else
		snprintf(mend, sizeof(mend), "chown %u", (unsigned)geteuid());
	sp_fail_set(why, SP_FAIL_STORE, "cannot %s %s as uid %u: %s has mode %04o and owner %u; mend it with: %s %s", doing, path,
	            (unsigned)geteuid(), at, (unsigned)st.st_mode & 07777, (unsigned)st.st_uid, mend, at);
}

static bool sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool synced = fsync(fd) == 0;
	int cause = errno;
	close(fd);
	errno = cause;
	return synced;
}

/* The folder, and its name in its parent on stable storage. */
static bool make_folder(const char *dir, struct sp_fail *why)
{
	if (mkdir(dir, 0700) != 0) {
		if (errno == EEXIST)
			return true;
		queue_lock_explain("make", dir, errno, why);
		return false;
	}
	char parent[4096];
	snprintf(parent, sizeof(parent), "%s", dir);
	if (!sync_folder(dirname(parent)) && errno != EACCES) {         /* a parent that may not be read cannot be synced by us */
		queue_lock_explain("sync the folder of", dir, errno, why);
		return false;
	}
	return true;
}

static bool fit_for_a_spool(const char *dir, struct sp_fail *why)
{
	struct stat st;
	struct statfs fs;
	if (stat(dir, &st) != 0 || statfs(dir, &fs) != 0) {
		queue_lock_explain("look at", dir, errno, why);
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		sp_fail_set(why, SP_FAIL_STORE, "%s is not a folder", dir);
		return false;
	}
	unsigned long type = (unsigned long)fs.f_type;
	const char *name = queue_lock_refused_fs(type);
	if (name) {
		sp_fail_set(why, SP_FAIL_STORE, "%s is on %s: a network file system does not keep the promises about locks and syncs that a "
		            "spool stands on; set state_dir to a folder on a local disk", dir, name);
		return false;
	}
	if (type == FS_FUSE || type == FS_9P)
		sp_log_text(SP_LOG_WARNING, NULL, "spool", "%s is on %s: make sure that a local disk is behind it", dir,
		            type == FS_FUSE ? "FUSE" : "9p");
	if (st.st_mode & S_IWOTH)
		sp_log_text(SP_LOG_WARNING, NULL, "spool", "anyone may write to %s (mode %04o); mend it with: chmod 0700 %s", dir,
		            (unsigned)st.st_mode & 07777, dir);
	return true;
}

static void name_holder(int fd, const char *path, struct sp_fail *why)
{
	char pid[24] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
	pid[n > 0 ? n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	sp_fail_set(why, SP_FAIL_STORE, "the spool is in use: process %s holds %s; stop it first", pid[0] ? pid : "(unknown)", path);
	snprintf(why->reason, sizeof(why->reason), "in-use");
}

static bool write_pid(int fd)
{
	char pid[24];
	int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	return ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)len, 0) == len;
}

int queue_lock_take(const char *dir, struct sp_fail *why)
{
	if (!make_folder(dir, why) || !fit_for_a_spool(dir, why))
		return -1;
	char path[4096];
	snprintf(path, sizeof(path), "%s/lock", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		queue_lock_explain("open", path, errno, why);
		return -1;
	}
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
		if (errno == EAGAIN || errno == EACCES)
			name_holder(fd, path, why);
		else
			queue_lock_explain("lock", path, errno, why);
		close(fd);
		return -1;
	}
	if (!write_pid(fd)) {
		queue_lock_explain("write", path, errno, why);
		close(fd);
		return -1;
	}
	return fd;
}

void queue_lock_drop(int fd)
{
	if (fd >= 0)
		close(fd);
}

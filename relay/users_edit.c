/* relay/users_edit.c - see users_edit.h. The lock is on the file itself: once it is had, the path must still lead to it, else another one has replaced it
 * meanwhile, and it is opened again. */
#include "relay/users_edit.h"

#include "core/readfile.h"
#include "core/syncfile.h"
#include "relay/users.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct users_edit {
	char *path;                     /* no symbolic link: what it leads to is replaced, not the link */
	int fd;                         /* locked */
	struct stat st;
	bool made, saved;
	struct sp_buf text;
};

static void set_fail(struct sp_fail *why, const char *doing, const char *path, int cause)
{
	sp_fail_set(why, SP_FAIL_STORE, "cannot %s %s as uid %u: %s", doing, path, (unsigned)geteuid(), strerror(cause));
}

/* ---- opening ---- */

static int make_file(const char *path, const char *group_of)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	bool share = group_of && geteuid() == 0 && stat(group_of, &st) == 0;
	if (fchmod(fd, 0600) == 0 && (!share || (fchown(fd, (uid_t)-1, st.st_gid) == 0 && fchmod(fd, 0640) == 0)))
		return fd;
	int cause = errno;
	close(fd);
	unlink(path);
	errno = cause;
	return -1;
}

static bool leads_nowhere(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && stat(path, &st) != 0;
}

/* Opens and locks what `path` leads to now. */
static bool open_locked(struct users_edit *e, bool make, const char *group_of, struct sp_fail *why)
{
	struct stat now;
	for (;;) {
		e->fd = open(e->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (e->fd < 0 && errno == ENOENT && make) {
			e->fd = make_file(e->path, group_of);
			e->made = e->fd >= 0;
			if (e->fd < 0 && errno == EEXIST) {
				if (!leads_nowhere(e->path))
					continue;       /* somebody else has just made it */
				sp_fail_set(why, SP_FAIL_STORE, "cannot make %s: it is a symbolic link that leads nowhere", e->path);
				return false;
			}
		}
		if (e->fd < 0) {
			set_fail(why, make ? "make or read" : "read", e->path, errno);
			return false;
		}
		if (flock(e->fd, LOCK_EX) != 0 || fstat(e->fd, &e->st) != 0) {
			set_fail(why, "lock", e->path, errno);
			return false;
		}
		if (stat(e->path, &now) == 0 && now.st_ino == e->st.st_ino && now.st_dev == e->st.st_dev)
			return true;
		close(e->fd);
		e->made = false;
	}
}

static bool read_text(struct users_edit *e, struct sp_fail *why)
{
	char *room = sp_buf_room(&e->text, USERS_FILE_MAX + 1);
	sp_assert(room);
	ssize_t len = core_read_file(e->path, room, USERS_FILE_MAX + 1, NULL, why);
	if (len > USERS_FILE_MAX)
		sp_fail_set(why, SP_FAIL_STORE, "%s is larger than 16 MiB; is this the right file?", e->path);
	if (len < 0 || len > USERS_FILE_MAX)
		return false;
	sp_buf_wrote(&e->text, (size_t)len);
	if (len > 0 && room[len - 1] != '\n')
		sp_buf_addc(&e->text, '\n');
	return true;
}

struct users_edit *users_edit_open(const char *path, bool make, const char *group_of, struct sp_fail *why)
{
	struct users_edit *e = sp_alloc(sizeof(*e));
	char *real = realpath(path, NULL);
	e->path = real ? real : sp_strdup(path);
	e->fd = -1;
	sp_buf_init(&e->text, 2 * (size_t)USERS_FILE_MAX);
	if (open_locked(e, make, group_of, why) && read_text(e, why))
		return e;
	users_edit_close(e);
	return NULL;
}

void users_edit_close(struct users_edit *e)
{
	if (e == NULL)
		return;
	if (e->made && !e->saved)
		unlink(e->path);
	if (e->fd >= 0)
		close(e->fd);           /* and the lock */
	sp_buf_wipe(&e->text);
	free(e->path);
	free(e);
}

/* ---- lines ---- */

/* The line of `name`, with its end; .p NULL where there is none. */
static struct sp_str find_line(const struct users_edit *e, const char *name)
{
	struct sp_str rest = sp_buf_str(&e->text);
	while (rest.len > 0) {
		const char *from = rest.p;
		struct sp_str line = sp_take_until(&rest, '\n');
		if (sp_str_eq(sp_take_until(&line, ':'), sp_str_of(name)))
			return sp_str_make(from, (size_t)(rest.p - from));
	}
	return (struct sp_str){ 0 };
}

bool users_edit_has(const struct users_edit *e, const char *name)
{
	return find_line(e, name).p != NULL;
}

/* Puts `with` where `line`, a part of the text, is; or behind everything where it is none. */
static void replace(struct users_edit *e, struct sp_str line, struct sp_str with)
{
	struct sp_buf out;
	sp_buf_init(&out, e->text.max);
	size_t at = line.p ? (size_t)(line.p - e->text.p) : e->text.len;
	sp_buf_add(&out, sp_str_make(e->text.p, at));
	sp_buf_add(&out, with);
	sp_buf_add(&out, sp_str_from(sp_buf_str(&e->text), at + line.len));
	sp_assert(!sp_buf_failed(&out));        /* room for twice the largest file */
	sp_buf_wipe(&e->text);
	e->text = out;
}

void users_edit_set(struct users_edit *e, const char *name, const char *hash, const char *senders)
{
	struct sp_str line = find_line(e, name), old = line;
	sp_assert(line.p || (hash && senders));
	old.len -= line.p && line.len > 0 && line.p[line.len - 1] == '\n';
	old.len -= old.len > 0 && old.p[old.len - 1] == '\r';
	sp_take_until(&old, ':');
	struct sp_str old_hash = sp_take_until(&old, ':');
	struct sp_buf fresh;
	sp_buf_init(&fresh, e->text.max);
	sp_buf_printf(&fresh, "%s:", name);
	sp_buf_add(&fresh, hash ? sp_str_of(hash) : old_hash);
	sp_buf_addc(&fresh, ':');
	sp_buf_add(&fresh, senders ? sp_str_of(senders) : old);
	sp_buf_addc(&fresh, '\n');
	replace(e, line, sp_buf_str(&fresh));
	sp_buf_wipe(&fresh);
}

void users_edit_remove(struct users_edit *e, const char *name)
{
	struct sp_str line = find_line(e, name);
	if (line.p)
		replace(e, line, SP_STR(""));
}

struct sp_str users_edit_text(const struct users_edit *e)
{
	return sp_buf_str(&e->text);
}

/* ---- saving ---- */

/* As the old one has it, so that who could read it still can, and nobody else. */
static bool keep_access(int fd, const struct stat *st)
{
	struct stat now;
	if (fstat(fd, &now) != 0)
		return false;
	bool same = now.st_uid == st->st_uid && now.st_gid == st->st_gid;
	return (same || fchown(fd, st->st_uid, st->st_gid) == 0) && fchmod(fd, st->st_mode & 07777) == 0;
}

bool users_edit_save(struct users_edit *e, struct sp_fail *why)
{
	char copy[PATH_MAX], beside[PATH_MAX + 32];
	snprintf(copy, sizeof(copy), "%s", e->path);
	const char *folder = dirname(copy);
	snprintf(beside, sizeof(beside), "%s/.strictpost-users.XXXXXX", folder);
	if (e->text.len > USERS_FILE_MAX) {
		sp_fail_set(why, SP_FAIL_STORE, "%s would be larger than 16 MiB", e->path);
		return false;
	}
	int fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0) {
		set_fail(why, "make a file in", folder, errno);
		return false;
	}
	bool good = keep_access(fd, &e->st);
	const char *doing = good ? "write" : "keep the owner and mode of";
	good = good && core_write_synced(fd, sp_buf_str(&e->text));
	int cause = errno;
	close(fd);
	if (good && rename(beside, e->path) != 0) {
		good = false;
		cause = errno;
		doing = "replace";
	}
	if (!good) {
		unlink(beside);
		set_fail(why, doing, e->path, cause);
		return false;
	}
	e->saved = true;
	if (!core_sync_folder_of(e->path))
		set_fail(why, "sync the folder of", e->path, errno);
	return true;
}

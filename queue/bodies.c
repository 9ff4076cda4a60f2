/* queue/bodies.c - see bodies.h. */
#include "queue/bodies.h"

#include "core/log.h"
#include "queue/lock.h"
#include "queue/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDERS 256

/* By the low octet of the id, which spreads messages evenly. */
void queue_bodies_path(const char *state_dir, uint64_t id, struct sp_buf *out)
{
	char text[QUEUE_ID_TEXT];
	sp_buf_printf(out, "%s/body/%02x/%s", state_dir, (unsigned)(id % FOLDERS), queue_id_str(id, text));
}

bool queue_bodies_open(const char *state_dir, struct sp_fail *why)
{
	char path[4096];
	int top = -1;
	bool opened = false;
	snprintf(path, sizeof(path), "%s/body", state_dir);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		goto out;
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		goto out;
	for (unsigned i = 0; i < FOLDERS; i++) {
		char name[8];
		snprintf(name, sizeof(name), "%02x", i);
		if (mkdirat(top, name, 0700) != 0 && errno != EEXIST)
			goto out;
	}
	opened = fsync(top) == 0;
out:
	if (!opened)
		queue_lock_explain("make the folders in", path, errno, why);
	if (top >= 0)
		close(top);
	return opened;
}

/* ---- what is there ---- */

static bool is_body(const char *name, uint64_t *id)
{
	char text[QUEUE_ID_TEXT];
	return queue_id_parse(sp_str_of(name), id) && strcmp(queue_id_str(*id, text), name) == 0;
}

/* Calls `each` for every entry of every folder until it returns false. False with *why when a folder cannot be read. */
static bool walk(const char *state_dir, bool (*each)(void *owner, int folder, const char *name), void *owner, struct sp_fail *why)
{
	bool more = true;
	for (unsigned i = 0; i < FOLDERS && more; i++) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/body/%02x", state_dir, i);
		DIR *d = opendir(path);
		if (d == NULL) {
			queue_lock_explain("read", path, errno, why);
			return false;
		}
		for (struct dirent *e; more && (e = readdir(d)) != NULL;)
			if (e->d_name[0] != '.')
				more = each(owner, dirfd(d), e->d_name);
		closedir(d);
	}
	return true;
}

static bool stop_at_body(void *owner, int folder SP_UNUSED, const char *name)
{
	uint64_t id;
	bool *any = owner;
	*any = is_body(name, &id);
	return !*any;
}

bool queue_bodies_any(const char *state_dir)
{
	bool any = false;
	struct sp_fail why;
	return !walk(state_dir, stop_at_body, &any, &why) || any;
}

/* ---- sweeping ---- */

struct sweep {
	struct core_db *db;
	uint64_t removed;
};

/* Also asks for recipients: where damage took the row of a message, its body is the only thing left of it. */
static enum core_db_status is_wanted(struct core_db *db, uint64_t id, bool *wanted)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT 1 FROM message WHERE id = ? UNION ALL SELECT 1 FROM recipient WHERE id = ?"
	                                       " UNION ALL SELECT 1 FROM recipient WHERE message = ? AND n > 0");
	for (int i = 1; i <= 3; i++)
		core_stmt_int(s, i, (int64_t)id);
	enum core_db_status status = core_stmt_step(s);
	*wanted = status == CORE_DB_ROW;
	core_stmt_reset(s);
	return status == CORE_DB_ROW ? CORE_DB_OK : status;
}

static bool sweep_file(void *owner, int folder, const char *name)
{
	struct sweep *w = owner;
	uint64_t id;
	bool wanted;
	if (!is_body(name, &id)) {
		sp_log_text(SP_LOG_WARNING, NULL, "sweep", "not a body of ours, left alone: %s", name);
		return true;
	}
	enum core_db_status status = is_wanted(w->db, id, &wanted);
	if (status != CORE_DB_OK)
		sp_log_text(SP_LOG_ERROR, name, "sweep", "the spool cannot be read, so the body stays: %s", core_db_status_str(status));
	else if (!wanted && unlinkat(folder, name, 0) != 0)
		sp_log_text(SP_LOG_WARNING, name, "sweep", "cannot remove a body that no message needs: %s", strerror(errno));
	else if (!wanted)
		w->removed++;
	return true;
}

bool queue_bodies_sweep(struct core_db *db, const char *state_dir, struct sp_fail *why)
{
	struct sweep w = { .db = db };
	if (!walk(state_dir, sweep_file, &w, why))
		return false;
	if (w.removed > 0)
		sp_log_text(SP_LOG_INFO, NULL, "sweep", "removed %llu bodies that no message needs", (unsigned long long)w.removed);
	return true;
}

/* queue/inhand.c - the shared file of recover.h that tells which messages a crash met. */
#include "queue/recover.h"

#include "core/log.h"
#include "queue/lock.h"
#include "queue/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 256               /* more shards than that share nothing: theirs is not kept */
#define CRASHES_MAX 3

struct slot {
	_Alignas(64) _Atomic uint64_t id;       /* a cache line of its own: shards do not wait for each other */
};

struct queue_in_hand {
	struct slot *slots;     /* the mapping */
};

/* ---- what the last run left ---- */

static enum core_db_status count_crash(struct core_db *db, uint64_t id, int64_t *crashes)
{
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO suspect (message, crashes) SELECT id, 1 FROM message WHERE id = ?"
	                                       " ON CONFLICT (message) DO UPDATE SET crashes = suspect.crashes + 1 RETURNING crashes");
	core_stmt_int(s, 1, (int64_t)id);
	enum core_db_status status;
	*crashes = 0;
	while ((status = core_stmt_step(s)) == CORE_DB_ROW)
		*crashes = core_stmt_col_int(s, 0);
	return status;
}

static enum core_db_status judge(struct core_db *db, uint64_t id)
{
	int64_t crashes;
	char text[QUEUE_ID_TEXT];
	enum core_db_status status = count_crash(db, id, &crashes);
	if (status != CORE_DB_OK || crashes == 0)
		return status;
	if (crashes < CRASHES_MAX) {
		sp_log_text(SP_LOG_WARNING, queue_id_str(id, text), "suspect", "the last run ended while it worked on this message (%lld of %d)",
		            (long long)crashes, CRASHES_MAX);
		return CORE_DB_OK;
	}
	return queue_quarantine(db, id, "the relay crashed several times while it worked on this message");
}

static enum core_db_status judge_all(struct core_db *db, const struct slot *slots)
{
	enum core_db_status status = core_db_begin(db);
	for (size_t i = 0; i < SLOTS && status == CORE_DB_OK; i++) {
		uint64_t id = atomic_load_explicit(&slots[i].id, memory_order_relaxed);
		if (id > 0 && id <= INT64_MAX)
			status = judge(db, id);
	}
	if (status == CORE_DB_OK)
		status = core_stmt_run(core_db_stmt(db, "DELETE FROM suspect WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.id ="
		                                        " suspect.message)"));
	if (status == CORE_DB_OK)
		status = core_db_commit(db);
	if (status != CORE_DB_OK)
		core_db_rollback(db);
	return status;
}

/* ---- the mapping ---- */

static struct slot *map(const char *path, int fd, struct sp_fail *why)
{
	const size_t size = SLOTS * sizeof(struct slot);
	int cause = posix_fallocate(fd, 0, (off_t)size);        /* a hole on a full disk would be a SIGBUS */
	void *at = MAP_FAILED;
	if (cause == 0) {
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		cause = errno;
	}
	if (at == MAP_FAILED) {
		queue_lock_explain("map", path, cause, why);
		return NULL;
	}
	return at;
}

struct queue_in_hand *queue_in_hand_open(const char *state_dir, struct core_db *db, struct sp_fail *why)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/inhand", state_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		queue_lock_explain("open", path, errno, why);
		return NULL;
	}
	struct slot *slots = map(path, fd, why);
	close(fd);
	if (slots == NULL)
		return NULL;
	enum core_db_status status = judge_all(db, slots);
	if (status != CORE_DB_OK)                               /* a guard only: mail goes on without it */
		sp_log_text(SP_LOG_ERROR, NULL, "suspect", "cannot count crashes: %s", core_db_status_str(status));
	struct queue_in_hand *h = sp_alloc(sizeof(*h));
	h->slots = slots;
	for (unsigned i = 0; i < SLOTS; i++)
		queue_in_hand_set(h, i, 0);
	return h;
}

void queue_in_hand_set(struct queue_in_hand *h, unsigned slot, uint64_t id)
{
	if (slot < SLOTS)
		atomic_store_explicit(&h->slots[slot].id, id, memory_order_relaxed);
}

void queue_in_hand_close(struct queue_in_hand *h)
{
	if (h == NULL)
		return;
	for (unsigned i = 0; i < SLOTS; i++)
		queue_in_hand_set(h, i, 0);
	munmap(h->slots, SLOTS * sizeof(struct slot));
	free(h);
}

/* tests/unit/queue_fixture.h - a spool in a folder of its own, asked step by step; and a disk that fails when it is told to.
 * SQLite's and our own syncs and writes go through the functions below, because a program's own symbols come before the C library's. */
#ifndef QUEUE_FIXTURE_H
#define QUEUE_FIXTURE_H

#include "core/clock.h"
#include "core/loop.h"
#include "queue/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the disk ---- */

static atomic_uint syncs;               /* since the program began */
static atomic_int fail_syncs;           /* so many syncs fail with EIO */
static atomic_bool disk_full;           /* writes fail with ENOSPC */
static atomic_bool full_after_sync;     /* a sync that fails makes it so: what it was about cannot be written over */

int fsync(int fd);
int fdatasync(int fd);
ssize_t pwrite64(int fd, const void *p, size_t len, off64_t at);

static int sync_with(long call, int fd)
{
	atomic_fetch_add(&syncs, 1);
	if (atomic_load(&fail_syncs) > 0) {
		atomic_fetch_sub(&fail_syncs, 1);
		atomic_store(&disk_full, atomic_load(&disk_full) || atomic_load(&full_after_sync));
		errno = EIO;
		return -1;
	}
	return (int)syscall(call, fd);
}

int fsync(int fd)
{
	return sync_with(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_with(SYS_fdatasync, fd);
}

ssize_t pwrite64(int fd, const void *p, size_t len, off64_t at)
{
	if (atomic_load(&disk_full)) {
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, p, len, at);
}

/* ---- folders ---- */

static char folder[64], spool[80];      /* the test's, and the spool in it */

static int remove_one(const char *path, const struct stat *st SP_UNUSED, int type SP_UNUSED, struct FTW *at SP_UNUSED)
{
	return remove(path);
}

static SP_UNUSED void remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static SP_UNUSED int make_folder(void **state SP_UNUSED)
{
	snprintf(folder, sizeof(folder), "/tmp/queue-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(spool, sizeof(spool), "%s/spool", folder);
	return 0;
}

static SP_UNUSED int remove_folder(void **state SP_UNUSED)
{
	remove_tree(folder);
	return 0;
}

/* ---- the store ---- */

static struct queue_store *store;
static struct core_loop *loop;
static struct core_mailbox *box;
static unsigned pending;                /* answers that are awaited */
static struct sp_fail last;             /* the last answer */

/* With the tables of another room, too. */
static void open_spool_with(const struct queue_schema *others, size_t count)
{
	struct sp_fail why;
	store = queue_store_open(spool, others, count, &why);
	if (store == NULL)
		fail_msg("%s", why.text);
	loop = core_loop_new();
	box = core_mailbox_open(loop);
}

static SP_UNUSED void open_spool(void)
{
	open_spool_with(NULL, 0);
}

static SP_UNUSED void close_spool(void)
{
	queue_store_close(store);
	core_mailbox_close(box);
	core_loop_run(loop);
	core_loop_free(loop);
	store = NULL;
}

static SP_UNUSED void reopen_spool(void)
{
	close_spool();
	open_spool();
}

/* Behind the store's back: as if the rows had been so all along. */
static SP_UNUSED void write_sql(const char *sql)
{
	char path[128];
	struct sp_fail why;
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, false, &why);
	assert_int_equal(core_db_exec(db, sql), CORE_DB_OK);
	core_db_close(db);
}

static SP_UNUSED void await_answers(void)
{
	while (pending > 0)
		core_loop_run(loop);
}

static void answered(const struct sp_fail *why)
{
	last = *why;
	if (--pending == 0)
		core_loop_stop(loop);
}

static SP_UNUSED void on_answer(void *owner, const struct sp_fail *why)
{
	if (owner)
		*(bool *)owner = !sp_failed(why);
	answered(why);
}

/* ---- mail ---- */

/* Content that tells whose it is: the id, again and again. */
static SP_UNUSED char *content_of(uint64_t id, size_t len)
{
	char *p = sp_alloc(len + 1), text[QUEUE_ID_TEXT];
	queue_id_str(id, text);
	for (size_t i = 0; i < len; i++)
		p[i] = text[i % strlen(text)];
	return p;
}

static SP_UNUSED struct queue_message *new_message(size_t len)
{
	struct queue_message m = {
		.id = queue_store_next_id(store), .arrived_ms = 1000, .sender = "sender@example.org", .size = len,
		.header_len = (uint32_t)(len / 2), .client = "127.0.0.1 (test)", .eight_bit = true,
	};
	m.body = sp_body_from_memory(content_of(m.id, len), len);
	return queue_message_new(&m);
}

/* "a@x.example" goes to the destination "x.example". */
static SP_UNUSED void fill_recipient(struct queue_recipient *r, uint32_t n, const char *address)
{
	*r = (struct queue_recipient){ .n = n, .address = address, .destination = strchr(address, '@') + 1 };
}

/* Accepts one message for the addresses, waits, and returns its id. `last` tells. */
static SP_UNUSED uint64_t accept_message(size_t len, const char *const *addresses, size_t count)
{
	struct queue_recipient r[16];
	struct queue_message *m = new_message(len);
	uint64_t id = m->id;
	for (size_t i = 0; i < count; i++)
		fill_recipient(&r[i], (uint32_t)i, addresses[i]);
	pending++;
	queue_accept(store, m, r, count, NULL, box, on_answer, NULL);
	queue_message_unref(m);
	await_answers();
	return id;
}

static SP_UNUSED uint64_t accept_one(size_t len, const char *address)
{
	uint64_t id = accept_message(len, &address, 1);
	assert_false(sp_failed(&last));
	return id;
}

static SP_UNUSED void settle(const struct queue_result *results, size_t count)
{
	pending++;
	queue_settle(store, results, count, NULL, 0, NULL, box, on_answer, NULL);
	await_answers();
}

static SP_UNUSED void settle_one(uint64_t id, uint32_t n, enum queue_outcome outcome, int64_t next_at_ms, int64_t deadline_ms)
{
	struct queue_result r = { .id = id, .n = n, .outcome = outcome, .next_at_ms = next_at_ms, .deadline_ms = deadline_ms,
	                          .notices = QUEUE_NOTICE_DELAY, .text = "450 4.2.0 later" };
	settle(&r, 1);
	assert_false(sp_failed(&last));
}

/* ---- asking the database behind the store's back ---- */

static SP_UNUSED int64_t ask(const char *sql)
{
	char path[128];
	struct sp_fail why;
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, true, &why);
	if (db == NULL)
		fail_msg("%s", why.text);
	struct core_stmt *s = core_db_stmt(db, sql);
	int64_t got = core_stmt_step(s) == CORE_DB_ROW ? core_stmt_col_int(s, 0) : -1;
	core_stmt_reset(s);
	core_db_close(db);
	return got;
}

/* Parks the recipients that `id` has for `destination`, as the job that has them would be. */
static SP_UNUSED void park_all(const char *destination, uint64_t id, int64_t deadline_ms)
{
	struct queue_message fields = { .id = id, .sender = "", .client = "", .body = sp_body_from_memory(sp_alloc(1), 1) };
	struct queue_message *m = queue_message_new(&fields);
	struct queue_recipient to[16];
	size_t count = 0;
	for (uint32_t n = 0; n < SP_COUNT(to); n++) {
		char sql[256];
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM recipient WHERE (id = %llu OR message = %llu) AND n = %u AND destination = '%s'",
		         (unsigned long long)id, (unsigned long long)id, n, destination);
		if (ask(sql) > 0)
			to[count++] = (struct queue_recipient){ .n = n, .address = "", .destination = destination };
	}
	if (count > 0) {
		struct queue_job *job = queue_job_new(m, to, count);
		queue_park(store, job, deadline_ms);
		queue_job_free(job);
	}
	queue_message_unref(m);
}

/* ---- children ---- */

/* Runs `fn` in a child, which ends with what it returns; 1000 + n where it died by signal n. */
static SP_UNUSED int in_child(int (*fn)(void))
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* For children: says what is wrong and ends. */
#define CHECK(x) ((x) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #x, last.text), _exit(1)))

#endif

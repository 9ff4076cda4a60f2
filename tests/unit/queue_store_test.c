/* tests/unit/queue_store_test.c - queue/store.c and what it stands on: batches, lock, schema, identifiers, the disk that fails. */
#include "queue_fixture.h"

#include "queue/lock.h"
#include "queue/space.h"

#include <semaphore.h>

/* ---- operations of a room of our own ---- */

static enum core_db_status make_table(struct core_db *db, unsigned from)
{
	return from < 1 ? core_db_exec(db, "CREATE TABLE item (x INTEGER PRIMARY KEY)") : CORE_DB_OK;
}

static const struct queue_schema items = { "test", 1, make_table };


static void open_with_items(void)
{
	struct sp_fail why;
	store = queue_store_open(spool, &items, 1, &why);
	if (store == NULL)
		fail_msg("%s", why.text);
	loop = core_loop_new();
	box = core_mailbox_open(loop);
}

struct item_op {
	struct queue_op op;
	int64_t x;
	enum core_db_status answer;     /* what run returns when the insert went well */
	unsigned runs;
	bool good, done;
};

static sem_t gate;                      /* holds the store's thread, so that operations gather */

static enum core_db_status run_gate(struct core_db *db SP_UNUSED, struct queue_op *op SP_UNUSED)
{
	while (sem_wait(&gate) != 0)
		;
	return CORE_DB_OK;
}

static enum core_db_status run_item(struct core_db *db, struct queue_op *op)
{
	struct item_op *i = sp_container_of(op, struct item_op, op);
	struct core_stmt *s = core_db_stmt(db, "INSERT INTO item (x) VALUES (?)");
	core_stmt_int(s, 1, i->x);
	enum core_db_status status = core_stmt_run(s);
	i->runs++;
	return status == CORE_DB_OK ? i->answer : status;
}

static enum core_db_status run_read(struct core_db *db, struct queue_op *op)
{
	struct item_op *i = sp_container_of(op, struct item_op, op);
	struct core_stmt *s = core_db_stmt(db, "SELECT count(*) FROM item");
	enum core_db_status status = core_stmt_step(s);
	i->x = status == CORE_DB_ROW ? core_stmt_col_int(s, 0) : -1;
	core_stmt_reset(s);
	return status;
}

static void on_item(struct queue_op *op, const struct sp_fail *why)
{
	struct item_op *i = sp_container_of(op, struct item_op, op);
	i->good = !sp_failed(why);
	i->done = true;
	answered(why);
}

static void submit(struct item_op *i, enum core_db_status (*run)(struct core_db *db, struct queue_op *op))
{
	i->op.run = run;
	i->op.done = on_item;
	i->op.reply_to = box;
	i->good = i->done = false;
	pending++;
	queue_store_submit(store, &i->op);
}

/* The gate is in a batch of its own once the store waits in it; `all` gather behind. */
static void submit_together(struct item_op *all, size_t count, enum core_db_status (*run)(struct core_db *db, struct queue_op *op))
{
	static struct item_op hold;
	sem_init(&gate, 0, 0);
	submit(&hold, run_gate);
	usleep(20000);
	for (size_t i = 0; i < count; i++)
		submit(&all[i], run);
	sem_post(&gate);
	await_answers();
}

/* ---- batches ---- */

static struct item_op ops[1000];

static void number_ops(int64_t first)
{
	memset(ops, 0, sizeof(ops));
	for (size_t i = 0; i < SP_COUNT(ops); i++)
		ops[i].x = first + (int64_t)i;
}

static void test_hundred_operations_share_one_sync(void **state SP_UNUSED)
{
	struct queue_store_stats stats;
	open_with_items();
	number_ops(0);
	unsigned before = syncs;
	submit_together(ops, 100, run_item);
	assert_int_equal(syncs - before, 1);
	for (size_t i = 0; i < 100; i++)
		assert_true(ops[i].good);
	queue_store_stats(store, &stats);
	assert_int_equal(stats.ops, 101);
	assert_int_equal(stats.largest_batch, 100);
	assert_int_equal(ask("SELECT count(*) FROM item"), 100);
	close_spool();
}

static void test_batch_is_bounded(void **state SP_UNUSED)
{
	struct queue_store_stats stats;
	open_with_items();
	number_ops(0);
	submit_together(ops, 1000, run_item);
	queue_store_stats(store, &stats);
	assert_in_range(stats.largest_batch, 1, 512);
	assert_int_equal(ask("SELECT count(*) FROM item"), 1000);
	close_spool();
}

static void test_reads_cost_no_sync(void **state SP_UNUSED)
{
	open_with_items();
	number_ops(0);
	submit_together(ops, 3, run_item);
	unsigned before = syncs;
	memset(ops, 0, sizeof(ops));
	submit_together(ops, 50, run_read);
	assert_int_equal(syncs - before, 0);
	assert_int_equal(ops[49].x, 3);
	close_spool();
}

static void test_failing_operation_fails_alone(void **state SP_UNUSED)
{
	open_with_items();
	number_ops(0);
	ops[0].answer = CORE_DB_ERROR;
	ops[17].x = 16;                         /* the key is there already */
	ops[41].answer = CORE_DB_CONSTRAINT;
	ops[42].answer = CORE_DB_CONSTRAINT;
	ops[99].answer = CORE_DB_ERROR;
	unsigned before = syncs;
	submit_together(ops, 100, run_item);
	for (size_t i = 0; i < 100; i++) {
		bool want = i != 0 && i != 17 && i != 41 && i != 42 && i != 99;
		if (ops[i].good != want)
			fail_msg("operation %zu: want %d, got %d", i, want, ops[i].good);
	}
	assert_int_equal(ask("SELECT count(*) FROM item"), 95);         /* what failed left nothing */
	assert_in_range(syncs - before, 1, 12);
	assert_true(queue_store_accepting(store));
	close_spool();
}

static void test_close_finishes_what_was_submitted(void **state SP_UNUSED)
{
	open_with_items();
	number_ops(0);
	for (size_t i = 0; i < 700; i++)
		submit(&ops[i], run_item);
	close_spool();                          /* the mailbox is closed after the store: all answers come */
	assert_int_equal(pending, 0);
	for (size_t i = 0; i < 700; i++)
		assert_true(ops[i].done && ops[i].good);
	assert_int_equal(ask("SELECT count(*) FROM item"), 700);
}

/* ---- a disk that fails ---- */

static bool accepts_within(unsigned ms)
{
	for (unsigned waited = 0; waited <= ms; waited += 20) {
		if (queue_store_accepting(store))
			return true;
		usleep(20000);
	}
	return false;
}

/* Nothing that the sync covered is acknowledged, nor found later; what came before and after it is. */
static void test_failed_sync_is_never_taken_for_good(void **state SP_UNUSED)
{
	open_with_items();
	number_ops(0);
	submit_together(ops, 10, run_item);
	atomic_store(&fail_syncs, 1);
	submit_together(ops + 10, 10, run_item);
	for (size_t i = 10; i < 20; i++) {
		assert_false(ops[i].good);
		assert_int_equal(ops[i].op.fail.kind, SP_FAIL_STORE);
		assert_string_equal(ops[i].op.fail.esc, "4.3.0");
	}
	assert_false(queue_store_accepting(store));
	submit_together(ops + 20, 10, run_item);        /* the database was opened again */
	for (size_t i = 20; i < 30; i++)
		assert_true(ops[i].good);
	assert_true(accepts_within(5000));
	close_spool();
	assert_int_equal(ask("SELECT count(*) FROM item"), 20);
	assert_int_equal(ask("SELECT count(*) FROM item WHERE x >= 10 AND x < 20"), 0);
}

static void test_disk_that_keeps_failing(void **state SP_UNUSED)
{
	open_with_items();
	number_ops(0);
	submit_together(ops, 10, run_item);
	atomic_store(&fail_syncs, 1000000);
	for (size_t i = 10; i < 40; i += 10) {
		submit_together(ops + i, 10, run_item);
		for (size_t j = i; j < i + 10; j++)
			assert_false(ops[j].good);
		assert_false(queue_store_accepting(store));
		usleep(600000);
	}
	atomic_store(&fail_syncs, 0);
	assert_true(accepts_within(5000));
	submit_together(ops + 40, 10, run_item);
	close_spool();
	assert_int_equal(ask("SELECT count(*) FROM item"), 20);
}

static void test_full_disk_recovers_by_itself(void **state SP_UNUSED)
{
	open_spool();
	uint64_t before = accept_one(4000, "a@x.example");
	const char *to = "b@x.example";
	atomic_store(&disk_full, true);
	accept_message(4000, &to, 1);
	assert_true(sp_failed(&last));
	assert_string_equal(last.esc, "4.3.1");
	assert_string_equal(last.reason, "disk-full");
	assert_false(queue_store_accepting(store));
	park_all("x.example", before, 5000);                    /* insists: held until there is room */
	usleep(100000);
	atomic_store(&disk_full, false);
	assert_true(accepts_within(5000));
	accept_one(4000, "c@x.example");
	close_spool();
	assert_int_equal(ask("SELECT count(*) FROM message"), 2);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE next_at = 0 AND deadline = 5000"), 1);
}

static int user_namespace(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS);
}

static bool mount_small_disk(void)
{
	if ((geteuid() != 0 || unshare(CLONE_NEWNS) != 0) && user_namespace() != 0)
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", folder, "tmpfs", 0, "size=4m,mode=0700") == 0;
}

static void other_program_fills_it(const char *path)
{
	static const char octets[4096];
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	while (write(fd, octets, sizeof(octets)) == sizeof(octets))
		;
	close(fd);
}

static void deliver(const uint64_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct queue_result r = { .id = ids[i], .outcome = QUEUE_DELIVERED };
		settle(&r, 1);
		CHECK(!sp_failed(&last));
	}
}

/* A real one, in a mount namespace of the child's own. 77: not allowed here. */
static int fill_small_disk(void)
{
	static uint64_t ids[1000];
	size_t count = 0;
	const char *to = "a@x.example";
	char other[128];
	snprintf(other, sizeof(other), "%s/other", folder);
	if (!mount_small_disk())
		return 77;
	open_spool();
	do {
		ids[count++] = accept_message(16000, &to, 1);
		usleep(5000);
	} while (!sp_failed(&last) && count < 1000);
	count--;
	CHECK(count < 999 && count > 20);
	CHECK(strcmp(last.esc, "4.3.1") == 0 && !queue_store_accepting(store));
	deliver(ids, count / 2);                        /* deliveries go on: there is room for their results */
	other_program_fills_it(other);
	usleep(1200000);
	CHECK(!queue_store_accepting(store));
	accept_message(16000, &to, 1);
	CHECK(strcmp(last.esc, "4.3.1") == 0);
	unlink(other);
	CHECK(accepts_within(5000));
	accept_message(16000, &to, 1);
	CHECK(!sp_failed(&last));
	CHECK(ask("SELECT count(*) FROM message") == (int64_t)(count - count / 2 + 1));
	deliver(ids + count / 2, count - count / 2);
	CHECK(ask("SELECT count(*) FROM message") == 1);
	close_spool();
	return 0;
}

static void test_full_file_system(void **state SP_UNUSED)
{
	int got = in_child(fill_small_disk);
	if (got == 77)
		print_message("no mount namespace here: the full file system was only simulated, by test_full_disk_recovers_by_itself\n");
	else
		assert_int_equal(got, 0);
}

static const struct { const char *label; uint64_t blocks, avail, files, log_octets, free_octets; bool want; } spaces[] = {       /* blocks of 4 KiB */
	{ "plenty",                     1 << 20, 1 << 19, 1000, 0, 0, true },
	{ "64 MiB of a large one",      1 << 28, 16384, 1000, 0, 0, true },
	{ "under 64 MiB",               1 << 28, 16383, 1000, 0, 0, false },
	{ "5 % of a small one",         2000, 100, 1000, 0, 0, true },
	{ "under 5 %",                  2000, 99, 1000, 0, 0, false },
	{ "inodes low",                 1 << 20, 1 << 19, 63, 0, 0, false },
	{ "inodes unknown",             1 << 20, 1 << 19, 0, 0, 0, true },
	{ "the log must find room",     1 << 28, 16384 + 99, 1000, 100 * 4096, 0, false },
	{ "the log finds room",         1 << 28, 16384 + 100, 1000, 100 * 4096, 0, true },
	{ "free pages are room",        1 << 28, 16383, 1000, 0, 4096, true },
	{ "and for the log",            1 << 28, 16384 + 99, 1000, 100 * 4096, 4096, true },
	{ "not enough of them",         1 << 28, 16384 - 2, 1000, 0, 4096, false },
	{ "not instead of all",         1 << 28, 8191, 1000, 0, UINT64_C(1) << 30, false },
	{ "half is the disk's",         1 << 28, 8192, 1000, 0, UINT64_C(1) << 30, true },
};

static void test_space(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(spaces); i++) {
		struct statvfs fs = { .f_bsize = 4096, .f_frsize = 4096, .f_blocks = spaces[i].blocks, .f_bavail = spaces[i].avail,
		                      .f_favail = spaces[i].files };
		if (queue_space_enough(&fs, spaces[i].log_octets, spaces[i].free_octets) != spaces[i].want)
			fail_msg("%s: want %d", spaces[i].label, spaces[i].want);
	}
}

/* ---- the folder ---- */

static void refuse(const char *dir, const char *a, const char *b, const char *c)
{
	struct sp_fail why;
	struct queue_store *s = queue_store_open(dir, NULL, 0, &why);
	assert_null(s);
	assert_int_equal(why.kind, SP_FAIL_STORE);
	if (!strstr(why.text, a) || !strstr(why.text, b) || !strstr(why.text, c))
		fail_msg("want \"%s\", \"%s\" and \"%s\" in: %s", a, b, c, why.text);
}

static int open_in_child(void)
{
	struct sp_fail why;
	char pid[32];
	snprintf(pid, sizeof(pid), "process %ld ", (long)getppid());
	if (queue_store_open(spool, NULL, 0, &why) != NULL)
		return 1;
	return strstr(why.text, pid) && strstr(why.text, "/lock") ? 0 : 2;
}

static void test_second_process_is_refused_and_told_the_holder(void **state SP_UNUSED)
{
	char pid[32];
	struct sp_fail why;
	snprintf(pid, sizeof(pid), "process %ld ", (long)getpid());
	store = queue_store_open(spool, NULL, 0, &why);
	assert_non_null(store);
	refuse(spool, "in use", pid, "/lock");
	assert_int_equal(in_child(open_in_child), 0);
	queue_store_close(store);
	store = queue_store_open(spool, NULL, 0, &why);
	assert_non_null(store);
	queue_store_close(store);
}

static int open_as_nobody(void)
{
	char mend[128];
	if (setgid(65534) != 0 || setuid(65534) != 0)
		return 77;
	snprintf(mend, sizeof(mend), "chown 65534 %s", spool);
	refuse(spool, "as uid 65534", "mode 0700 and owner 0", mend);
	return 0;
}

static void test_permissions_wrong(void **state SP_UNUSED)
{
	struct sp_fail why;
	char path[128], mend[160];
	store = queue_store_open(spool, NULL, 0, &why);
	queue_store_close(store);
	struct stat st;
	assert_int_equal(stat(spool, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	chmod(folder, 0755);
	if (geteuid() == 0) {
		assert_int_equal(in_child(open_as_nobody), 0);
		return;
	}
	snprintf(path, sizeof(path), "%s/spool.db", spool);     /* not as root: a folder of ours that we may not write */
	chmod(spool, 0500);
	unlink(path);
	snprintf(mend, sizeof(mend), "chmod 0700 %s", spool);
	snprintf(path, sizeof(path), "%s/lock", spool);
	refuse(spool, "as uid", "mode 0500", mend);
	chmod(spool, 0700);
}

static void test_folder_that_cannot_be(void **state SP_UNUSED)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/no/such", folder);
	refuse(path, "cannot make", "/no/such", "No such file");
	snprintf(path, sizeof(path), "%s/file", folder);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	refuse(path, "is not a folder", "/file", "");
}

static void test_network_file_systems_are_refused(void **state SP_UNUSED)
{
	assert_string_equal(queue_lock_refused_fs(0x6969), "NFS");
	assert_string_equal(queue_lock_refused_fs(0xff534d42), "CIFS");
	assert_string_equal(queue_lock_refused_fs((unsigned long)(int)0xff534d42), "CIFS");
	assert_string_equal(queue_lock_refused_fs(0xfe534d42), "SMB2");
	assert_null(queue_lock_refused_fs(0xef53));             /* ext4 */
	assert_null(queue_lock_refused_fs(0x01021994));         /* tmpfs */
	assert_null(queue_lock_refused_fs(0x794c7630));         /* overlayfs */
}

/* ---- versions ---- */

static void test_newer_tables_are_refused(void **state SP_UNUSED)
{
	static const struct queue_schema newer = { "test", 2, make_table };
	struct sp_fail why;
	store = queue_store_open(spool, &newer, 1, &why);
	assert_non_null(store);
	queue_store_close(store);
	assert_null(queue_store_open(spool, &items, 1, &why));
	assert_non_null(strstr(why.text, "newer strictpost"));
	assert_non_null(strstr(why.text, "test tables have version 2, this program knows 1"));
	store = queue_store_open(spool, &newer, 1, &why);
	assert_non_null(store);
	queue_store_close(store);
}

static void test_tables_that_were_changed_are_refused(void **state SP_UNUSED)
{
	struct sp_fail why;
	char path[128];
	store = queue_store_open(spool, NULL, 0, &why);
	queue_store_close(store);
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, false, &why);
	assert_int_equal(core_db_exec(db, "ALTER TABLE recipient RENAME COLUMN address TO addr"), CORE_DB_OK);
	core_db_close(db);
	refuse(spool, "damaged", ".recover", "");
}

static void test_other_database_is_refused(void **state SP_UNUSED)
{
	struct sp_fail why;
	char path[128];
	mkdir(spool, 0700);
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, false, &why);
	assert_int_equal(core_db_exec(db, "CREATE TABLE diary (day TEXT)"), CORE_DB_OK);
	core_db_close(db);
	refuse(spool, "damaged", "", "");
	FILE *f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("not a database at all\n", f);
	fclose(f);
	refuse(spool, "spool.db", "", "");
}

/* ---- identifiers ---- */

static const struct { const char *label, *text; uint64_t id; bool parses; } ids[] = {
	{ "zero", "0", 0, true },
	{ "one", "1", 1, true },
	{ "the last digit", "Z", 31, true },
	{ "two digits", "10", 32, true },
	{ "the largest", "FZZZZZZZZZZZZ", UINT64_MAX, true },
	{ "over 64 bits", "G000000000000", 0, false },
	{ "14 digits", "00000000000001", 0, false },
	{ "empty", "", 0, false },
	{ "U is no digit", "U", 0, false },
	{ "blank", "1 ", 0, false },
};

static void test_identifier_text(void **state SP_UNUSED)
{
	char text[QUEUE_ID_TEXT];
	uint64_t id;
	for (size_t i = 0; i < SP_COUNT(ids); i++) {
		if (queue_id_parse(sp_str_of(ids[i].text), &id) != ids[i].parses)
			fail_msg("%s: want %d", ids[i].label, ids[i].parses);
		if (!ids[i].parses)
			continue;
		if (id != ids[i].id || strcmp(queue_id_str(id, text), ids[i].text) != 0)
			fail_msg("%s: got %llu, %s", ids[i].label, (unsigned long long)id, text);
	}
	assert_true(queue_id_parse(SP_STR("oIl0a"), &id));              /* as operators may type it */
	assert_string_equal(queue_id_str(id, text), "110A");
}

static uint64_t drawn[4][5000];

static void draw(void *arg)
{
	uint64_t *into = arg;
	for (size_t i = 0; i < SP_COUNT(drawn[0]); i++)
		into[i] = queue_store_next_id(store);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void test_identifiers_are_never_used_twice(void **state SP_UNUSED)
{
	struct sp_fail why;
	struct core_thread *threads[4];
	for (size_t round = 0; round < 2; round++) {
		store = queue_store_open(spool, NULL, 0, &why);
		for (size_t i = 0; i < 2; i++)
			threads[i] = core_thread_start("draw", draw, drawn[2 * round + i]);
		for (size_t i = 0; i < 2; i++)
			core_thread_join(threads[i]);
		queue_store_close(store);
	}
	qsort(drawn, 4 * SP_COUNT(drawn[0]), sizeof(uint64_t), compare);
	const uint64_t *all = drawn[0];
	for (size_t i = 1; i < 4 * SP_COUNT(drawn[0]); i++)
		assert_true(all[i] > all[i - 1]);
	assert_true(all[4 * SP_COUNT(drawn[0]) - 1] <= INT64_MAX);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_hundred_operations_share_one_sync),
		T(test_batch_is_bounded),
		T(test_reads_cost_no_sync),
		T(test_failing_operation_fails_alone),
		T(test_close_finishes_what_was_submitted),
		T(test_failed_sync_is_never_taken_for_good),
		T(test_disk_that_keeps_failing),
		T(test_full_disk_recovers_by_itself),
		T(test_full_file_system),
		cmocka_unit_test(test_space),
		T(test_second_process_is_refused_and_told_the_holder),
		T(test_permissions_wrong),
		T(test_folder_that_cannot_be),
		cmocka_unit_test(test_network_file_systems_are_refused),
		T(test_newer_tables_are_refused),
		T(test_tables_that_were_changed_are_refused),
		T(test_other_database_is_refused),
		cmocka_unit_test(test_identifier_text),
		T(test_identifiers_are_never_used_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

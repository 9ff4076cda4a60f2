/* tests/unit/queue_crash_test.c - queue/spool.h: nothing is lost by crashes, and damage crashes nobody. */
#include "queue_ask.h"

#include <sys/mman.h>
#include <sys/prctl.h>

/* ---- crashes ---- */

static uint64_t crash_id;               /* in memory that both processes see */
static uint64_t *shared_id;

/* Ends the child as a crash would, at one of these points. */
enum point { AFTER_ACCEPT, BEFORE_ANSWER, AFTER_PARK, AFTER_DEFER, AFTER_DUE, AFTER_LOAD, AFTER_SETTLE, AFTER_OVERDUE, POINTS };
static enum point crash_at;

static void crash_if(enum point p)
{
	if (crash_at == p)
		_exit(0);
}

static int live_and_crash(void)
{
	open_spool();
	if (crash_at == BEFORE_ANSWER) {
		struct queue_recipient r;
		struct queue_message *m = new_message(4000);
		*shared_id = m->id;
		fill_recipient(&r, 0, "a@x.example");
		queue_accept(store, m, &r, 1, NULL, box, on_answer, NULL);
		while (ask("SELECT count(*) FROM message") == 0)
			usleep(100);
		_exit(0);
	}
	const char *to[] = { "a@x.example", "b@y.example" };
	uint64_t id = accept_message(4000, to, 2);
	*shared_id = id;
	crash_if(AFTER_ACCEPT);
	park("y.example", id, 5000);
	settle_one(id, 0, QUEUE_DEFERRED, 10, 4000);
	crash_if(AFTER_DEFER);
	release("x.example", 10, 1);
	ask_due(0, ALL);
	crash_if(AFTER_PARK);
	ask_due(10, ALL);
	crash_if(AFTER_DUE);
	load("x.example", 10, ALL, MANY);
	load("y.example", 10, ALL, MANY);
	crash_if(AFTER_LOAD);
	settle_one(id, 1, QUEUE_DELIVERED, 0, 0);
	crash_if(AFTER_SETTLE);
	park("x.example", id, 4000);
	overdue(4000);
	crash_if(AFTER_OVERDUE);
	return 1;
}

static void test_crash_at_any_point_loses_nothing(void **state SP_UNUSED)
{
	shared_id = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int p = 0; p < POINTS; p++) {
		crash_at = (enum point)p;
		assert_int_equal(in_child(live_and_crash), 0);
		open_spool();
		bool y_is_done = p == AFTER_SETTLE || p == AFTER_OVERDUE || p == BEFORE_ANSWER;
		size_t due = ask_due(10, ALL);          /* also y where its mail was settled, but not yet released */
		if (due != (p == BEFORE_ANSWER ? 1 : 2))
			fail_msg("point %d: %zu destinations are due", p, due);
		if (load("x.example", 10, ALL, MANY) != 1)
			fail_msg("point %d: the message is lost", p);
		assert_int_equal(jobs[0]->message->id, *shared_id);
		assert_content(jobs[0]->message);
		assert_int_equal(load("y.example", 10, ALL, MANY), y_is_done ? 0 : 1);
		assert_int_equal(ask("SELECT count(*) FROM recipient WHERE deadline IS NULL"), 0);     /* what was fresh has one, too */
		settle_one(*shared_id, 0, QUEUE_DELIVERED, 0, 0);
		settle_one(*shared_id, 1, QUEUE_DELIVERED, 0, 0);
		release("x.example", 0, 0);
		release("y.example", 0, 0);
		assert_int_equal(ask_due(FAR, ALL), 0);
		drop_jobs();
		close_spool();
		assert_int_equal(ask("SELECT count(*) FROM message"), 0);
		assert_int_equal(ask("SELECT count(*) FROM destination"), 0);
	}
	munmap(shared_id, 4096);
}

/* A start leaves the wait of a destination that is known to be down alone. */
static void test_restart_keeps_the_waits(void **state SP_UNUSED)
{
	open_spool();
	park("x.example", accept_one(100, "a@x.example"), 90000);
	release("x.example", 60000, 4);
	accept_one(100, "b@x.example");                 /* fresh */
	reopen_spool();
	assert_int_equal(ask_due(59999, ALL), 0);
	assert_int_equal(ask_due(60000, ALL), 1);
	assert_int_equal(due_failures[0], 4);
	assert_int_equal(load("x.example", 60000, ALL, MANY), 2);
	close_spool();
}

static int work_and_crash(void)
{
	open_spool();
	queue_store_in_hand(store, 3, crash_id);
	queue_store_in_hand(store, 4, 12345);           /* no message of ours */
	_exit(0);
}

static void test_message_that_crashes_the_process_is_set_aside(void **state SP_UNUSED)
{
	open_spool();
	crash_id = accept_one(100, "a@x.example");
	accept_one(100, "b@x.example");
	close_spool();
	for (int crashes = 1; crashes <= 3; crashes++) {
		assert_int_equal(in_child(work_and_crash), 0);
		open_spool();
		assert_int_equal(load("x.example", 1, ALL, MANY), crashes < 3 ? 2 : 1);
		assert_int_equal(jobs[0]->message->id == crash_id, crashes < 3);
		close_spool();                          /* a clean end is no crash */
		open_spool();
		close_spool();
	}
	assert_int_equal(ask("SELECT count(*) FROM message"), 2);
	assert_int_equal(ask("SELECT count(*) FROM suspect"), 1);
}

/* ---- kill -9 ---- */

struct record { uint64_t id, acknowledged; };

static int report_to;

struct sent { uint64_t id; };

static void send_one(void);

static void on_sent(void *owner, const struct sp_fail *why)
{
	struct sent *sent = owner;
	struct record r = { sent->id, !sp_failed(why) };
	if (write(report_to, &r, sizeof(r)) != sizeof(r))
		_exit(1);
	free(sent);
	send_one();
}

static void send_one(void)
{
	static unsigned count;
	char to[32];
	snprintf(to, sizeof(to), "a@d%u.example", count++ % 7);
	struct queue_recipient r;
	struct queue_message *m = new_message(2000 + count % 5000);
	struct sent *sent = sp_alloc(sizeof(*sent));
	struct record issued = { m->id, 0 };
	sent->id = m->id;
	if (write(report_to, &issued, sizeof(issued)) != sizeof(issued))
		_exit(1);
	fill_recipient(&r, 0, to);
	queue_accept(store, m, &r, 1, NULL, box, on_sent, sent);
	queue_message_unref(m);
}

static void send_for_ever(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_spool();
	for (int i = 0; i < 20; i++)
		send_one();
	for (;;)
		core_loop_run(loop);
}

static struct record *records;
static size_t record_count, record_room;

static bool collect_one(int from)
{
	if (record_count == record_room) {
		record_room = record_room ? record_room * 2 : 4096;
		records = sp_realloc(records, record_room * sizeof(*records));
	}
	if (read(from, &records[record_count], sizeof(*records)) != sizeof(*records))
		return false;
	record_count++;
	return true;
}

static void run_and_kill(unsigned after_us)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);          /* so that the child never waits for us */
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		report_to = ends[1];
		send_for_ever();
	}
	close(ends[1]);
	assert_true(collect_one(ends[0]));              /* it is at work */
	usleep(after_us);
	kill(pid, SIGKILL);
	while (collect_one(ends[0]))
		;
	close(ends[0]);
	waitpid(pid, NULL, 0);
}

static int compare_records(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (int)x->acknowledged - (int)y->acknowledged;
}

static bool is_stored(struct core_db *db, uint64_t id)
{
	struct core_stmt *s = core_db_stmt(db, "SELECT size, length(body) FROM message WHERE id = ?");
	core_stmt_int(s, 1, (int64_t)id);
	bool stored = core_stmt_step(s) == CORE_DB_ROW && core_stmt_col_int(s, 0) == core_stmt_col_int(s, 1);
	core_stmt_reset(s);
	return stored;
}

static void test_kill_loses_nothing_acknowledged(void **state SP_UNUSED)
{
	struct sp_fail why;
	char path[128];
	size_t acknowledged = 0;
	srand(7);
	for (int i = 0; i < 50; i++)
		run_and_kill((unsigned)rand() % 60000);
	open_spool();
	close_spool();
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	struct core_db *db = core_db_open(path, true, &why);
	qsort(records, record_count, sizeof(*records), compare_records);
	for (size_t i = 0; i < record_count; i++) {
		if (i > 0 && records[i].id == records[i - 1].id && records[i].acknowledged == records[i - 1].acknowledged)
			fail_msg("an identifier was used twice");
		acknowledged += records[i].acknowledged;
		if (records[i].acknowledged && !is_stored(db, records[i].id))
			fail_msg("an acknowledged message is lost");
	}
	core_db_close(db);
	assert_true(acknowledged > 100);
	assert_int_equal(ask("SELECT count(*) FROM recipient WHERE next_at IS NULL"), 0);
	print_message("%zu acknowledged over 50 kills, all found\n", acknowledged);
	free(records);
	records = NULL;
}

/* ---- damage ---- */

static void damage(const char *path, unsigned bits)
{
	struct stat st;
	int fd = open(path, O_RDWR);
	fstat(fd, &st);
	for (unsigned i = 0; i < bits; i++) {
		off_t at = (off_t)(((uint64_t)rand() << 16 ^ (uint64_t)rand()) % (uint64_t)st.st_size);
		unsigned char c;
		if (pread(fd, &c, 1, at) != 1)
			break;
		c ^= (unsigned char)(1u << (rand() & 7));
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
	}
	close(fd);
}

static void copy(const char *from, const char *to)
{
	char octets[65536];
	int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	for (ssize_t n; (n = read(in, octets, sizeof(octets))) > 0;)
		assert_int_equal(write(out, octets, (size_t)n), n);
	close(in);
	close(out);
}

/* 0: some or all was loaded; 3: refused, and said why. Anything else is a crash. */
static int use_damaged(void)
{
	struct sp_fail why;
	alarm(60);
	store = queue_store_open(spool, NULL, 0, &why);
	if (store == NULL)
		return why.text[0] ? 3 : 4;
	loop = core_loop_new();
	box = core_mailbox_open(loop);
	ask_due(FAR, ALL);
	size_t names = due_count;
	size_t got = 0;
	for (size_t i = 0; i < names; i++) {
		got += load(due_names[i], FAR, ALL, MANY);
		for (size_t j = 0; j < job_count; j++) {
			struct queue_result r = { .id = jobs[j]->message->id, .n = jobs[j]->recipients[0].n, .outcome = QUEUE_DELIVERED };
			pending++;
			queue_settle(store, &r, 1, NULL, 0, NULL, box, on_answer, NULL);
		}
		await_answers();
		release(due_names[i], 0, 0);
	}
	overdue(FAR);
	drop_jobs();
	close_spool();
	*shared_id += got;
	return 0;
}

static void test_random_damage_never_crashes(void **state SP_UNUSED)
{
	char path[128], kept[128], log[128];
	unsigned refused = 0;
	srand(11);
	shared_id = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	open_spool();
	for (int i = 0; i < 100; i++) {
		char to[32];
		snprintf(to, sizeof(to), "a@d%d.example", i % 10);
		uint64_t id = accept_one(200 + 100 * (size_t)(i % 50), to);
		if (i % 3)
			park(to + 2, id, 5000);
	}
	close_spool();
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	snprintf(kept, sizeof(kept), "%s/kept.db", folder);
	snprintf(log, sizeof(log), "%s/spool.db-wal", spool);
	copy(path, kept);
	for (int round = 0; round < 200; round++) {
		copy(kept, path);
		unlink(log);
		damage(path, round % 4 == 0 ? 1 : (unsigned)(1 + rand() % 60));
		int got = in_child(use_damaged);
		if (got != 0 && got != 3)
			fail_msg("round %d: ended with %d", round, got);
		refused += got == 3;
	}
	size_t loaded = *shared_id;
	print_message("200 rounds: %u refused, %zu of 20000 messages loaded\n", refused, loaded);
	assert_true(loaded > 10000);
	munmap(shared_id, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_crash_at_any_point_loses_nothing),
		T(test_restart_keeps_the_waits),
		T(test_message_that_crashes_the_process_is_set_aside),
		T(test_kill_loses_nothing_acknowledged),
		T(test_random_damage_never_crashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

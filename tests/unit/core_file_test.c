/* tests/unit/core_file_test.c - core/file.c: files written, synced and read beside a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/file.h"

static char folder[64];
static char path[80];
static struct core_loop *loop;

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/core_file_test.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/body", folder);
	loop = core_loop_new();
	return 0;
}

/* Whatever a test leaves under way ends here, and core_loop_free() asserts that nothing is left. */
static int teardown(void **state)
{
	(void)state;
	core_loop_run(loop);
	core_loop_free(loop);
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct result {
	unsigned calls;
	struct sp_fail why;
} finished;

static void on_done(void *owner, const struct sp_fail *why)
{
	struct result *r = owner;
	r->calls++;
	r->why = *why;
}

static void write_text(struct core_file_writer *w, const char *text, size_t times)
{
	struct sp_buf b;
	sp_buf_init(&b, 1 << 20);
	for (size_t i = 0; i < times; i++)
		sp_buf_adds(&b, text);
	core_file_write(w, &b);
	assert_null(b.p);
}

static bool exists(const char *name)
{
	return access(name, F_OK) == 0;
}

static void finish(struct core_file_writer *w)
{
	finished = (struct result){ 0 };
	core_file_finish(w, on_done, &finished);
	assert_int_equal(finished.calls, 0);            /* later, never before it returns */
	core_loop_run(loop);
	assert_int_equal(finished.calls, 1);
}

/* ---- reading ---- */

struct reading {
	struct core_file_reader *r;
	struct sp_buf got;
	size_t max;
	unsigned calls;
	struct sp_fail why;
	bool ended;
};

static void on_got(void *owner, struct sp_str data, const struct sp_fail *why)
{
	struct reading *x = owner;
	x->calls++;
	x->why = *why;
	assert_true(data.len <= x->max);
	if (sp_failed(why) || data.len == 0) {
		x->ended = true;
		core_file_close(x->r);
		return;
	}
	core_file_read(x->r, x->max, on_got, x);        /* asked inside: the lent bytes stay until we return */
	sp_buf_add(&x->got, data);
}

static void read_all(struct reading *x, const char *name, size_t max)
{
	*x = (struct reading){ .max = max };
	sp_buf_init(&x->got, 10 << 20);
	x->r = core_file_open(loop, name);
	core_file_read(x->r, max, on_got, x);
	assert_int_equal(x->calls, 0);
	core_loop_run(loop);
	assert_true(x->ended);
}

static void test_written_is_read(void **state)
{
	(void)state;
	struct core_file_writer *w = core_file_create(loop, path);
	for (int i = 0; i < 100; i++) {
		char text[32];
		snprintf(text, sizeof(text), "line %d\n", i);
		write_text(w, text, 1000);
		if (i % 7 == 0)
			core_loop_turn(loop);
	}
	finish(w);
	assert_false(sp_failed(&finished.why));
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	struct reading x;
	read_all(&x, path, 1000);
	assert_false(sp_failed(&x.why));
	assert_int_equal(x.got.len, st.st_size);
	struct sp_str rest = sp_buf_str(&x.got), line;
	for (int i = 0; i < 100 * 1000; i++) {
		char want[32];
		snprintf(want, sizeof(want), "line %d", i / 1000);
		assert_true(sp_take_line(&rest, &line));
		if (!sp_str_eq(line, sp_str_of(want)))
			fail_msg("line %d is %.*s", i, SP_STR_ARG(line));
	}
	assert_int_equal(rest.len, 0);
	sp_buf_clear(&x.got);
}

static void patch_text(struct core_file_writer *w, size_t offset, const char *text)
{
	struct sp_buf b;
	sp_buf_init(&b, 1 << 20);
	sp_buf_adds(&b, text);
	core_file_patch(w, offset, &b);
	assert_null(b.p);
}

/* Between writes, before and after the pool has had them: the end of the file stays where it is. */
static void test_patched(void **state)
{
	(void)state;
	for (int turns = 0; turns < 2; turns++) {
		struct core_file_writer *w = core_file_create(loop, path);
		write_text(w, "0123456789", 10);
		patch_text(w, 5, "FIVE..");
		write_text(w, "abc", 1);
		if (turns)
			core_loop_run(loop);
		patch_text(w, 0, "zero");
		patch_text(w, 99, "XYZW");              /* up to the very end, over two pieces */
		patch_text(w, 50, "");
		write_text(w, "end", 1);
		assert_true(core_file_unwritten(w) > 0);
		finish(w);
		assert_false(sp_failed(&finished.why));
		struct reading x;
		read_all(&x, path, 1000);
		assert_int_equal(x.got.len, 106);
		assert_memory_equal(x.got.p, "zero4FIVE..123456789", 20);
		assert_memory_equal(x.got.p + 90, "012345678XYZWend", 16);
		sp_buf_clear(&x.got);
		unlink(path);
	}
}

static void test_empty_file(void **state)
{
	(void)state;
	finish(core_file_create(loop, path));
	assert_false(sp_failed(&finished.why));
	struct reading x;
	read_all(&x, path, 10);
	assert_false(sp_failed(&x.why));
	assert_int_equal(x.calls, 1);
	assert_int_equal(x.got.len, 0);
}

static void test_existing_file_is_not_touched(void **state)
{
	(void)state;
	FILE *f = fopen(path, "w");
	fputs("old", f);
	fclose(f);
	struct core_file_writer *w = core_file_create(loop, path);
	write_text(w, "new", 1);
	finish(w);
	assert_true(sp_failed(&finished.why));
	assert_int_equal(finished.why.kind, SP_FAIL_STORE);
	struct reading x;
	read_all(&x, path, 10);
	assert_string_equal(sp_buf_cstr(&x.got), "old");
	sp_buf_clear(&x.got);
}

static void test_missing_folder(void **state)
{
	(void)state;
	struct core_file_writer *w = core_file_create(loop, "/nonexistent/body");
	core_loop_run(loop);                            /* it has failed by now */
	write_text(w, "x", 10);
	assert_int_equal(core_file_unwritten(w), 0);    /* nothing to wait for */
	finish(w);
	assert_string_equal(finished.why.reason, "missing");
	assert_non_null(strstr(finished.why.text, "/nonexistent/body"));
}

static void test_no_room(void **state)
{
	(void)state;
	struct rlimit old, small = { 50000, 50000 };
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	struct core_file_writer *w = core_file_create(loop, path);
	write_text(w, "0123456789", 10000);
	finish(w);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_true(sp_failed(&finished.why));
	assert_false(exists(path));                     /* half a message helps nobody */
}

static void test_abort(void **state)
{
	(void)state;
	static const struct { const char *label; int turns; bool write, finish; } rows[] = {
		{ "at once", 0, false, false },
		{ "with bytes waiting", 0, true, false },
		{ "when all is idle", 200, true, false },
		{ "while it is being sealed", 0, true, true },
		{ "a little later", 1, true, true },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		finished = (struct result){ 0 };
		struct core_file_writer *w = core_file_create(loop, path);
		if (rows[i].write)
			write_text(w, "x", 100000);
		for (int t = 0; t < rows[i].turns && finished.calls == 0; t++) {
			core_loop_turn(loop);
			usleep(100);
		}
		if (rows[i].finish)
			core_file_finish(w, on_done, &finished);
		core_file_abort(w);
		core_loop_run(loop);
		if (finished.calls > 0 || exists(path))
			fail_msg("%s: %u calls, %s", rows[i].label, finished.calls, exists(path) ? "a file" : "no file");
	}
}

static unsigned drained;
static struct core_file_writer *draining;

static void on_drained(void *owner)
{
	(void)owner;
	assert_int_equal(core_file_unwritten(draining), 0);
	if (++drained < 3)
		write_text(draining, "more", 100);
	else
		core_file_finish(draining, on_done, &finished);
}

static void test_drained(void **state)
{
	(void)state;
	drained = 0;
	finished = (struct result){ 0 };
	draining = core_file_create(loop, path);
	core_file_on_drained(draining, on_drained, NULL);
	core_loop_run(loop);
	assert_int_equal(drained, 0);                   /* it was never more than 0 */
	write_text(draining, "x", 100000);
	assert_int_equal(core_file_unwritten(draining), 100000);
	core_loop_run(loop);
	assert_int_equal(drained, 3);
	assert_int_equal(finished.calls, 1);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 100000 + 2 * 400);
}

static void test_read_failures(void **state)
{
	(void)state;
	struct reading x;
	read_all(&x, path, 10);
	assert_int_equal(x.calls, 1);
	assert_string_equal(x.why.reason, "missing");
	read_all(&x, folder, 10);                       /* a folder opens and does not read */
	assert_string_equal(x.why.reason, "io");
}

static void test_close_while_reading(void **state)
{
	(void)state;
	finish(core_file_create(loop, path));
	struct reading x = { .max = 10 };
	x.r = core_file_open(loop, path);
	core_file_read(x.r, 10, on_got, &x);
	core_file_close(x.r);
	core_loop_run(loop);
	assert_int_equal(x.calls, 0);
	core_file_close(core_file_open(loop, path));    /* never read */
	core_file_close(NULL);
}

static void test_unlink(void **state)
{
	(void)state;
	finish(core_file_create(loop, path));
	core_file_unlink(loop, path);
	core_file_unlink(loop, path);                   /* missing by then: fine */
	core_loop_run(loop);
	assert_false(exists(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_written_is_read),
		TEST(test_patched),
		TEST(test_empty_file),
		TEST(test_existing_file_is_not_touched),
		TEST(test_missing_folder),
		TEST(test_no_room),
		TEST(test_abort),
		TEST(test_drained),
		TEST(test_read_failures),
		TEST(test_close_while_reading),
		TEST(test_unlink),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/queue_body_test.c - queue/spool.h: messages whose content is in a file. */
#include "queue_ask.h"

/* ---- large bodies ---- */

static char *body_path(uint64_t id)
{
	struct sp_buf path;
	sp_buf_init(&path, 4096);
	queue_store_body_path(store, id, &path);
	return sp_buf_take(&path);
}

static uint64_t accept_in_file(const char *to)
{
	uint64_t id = queue_store_next_id(store);
	char *path = body_path(id), *content = content_of(id, 9000);
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert_int_equal(write(fd, content, 9000), 9000);
	close(fd);
	struct queue_message m = { .id = id, .size = 9000, .body = sp_body_from_file(path, 9000) };
	struct queue_message *big = queue_message_new(&m);
	struct queue_recipient r;
	fill_recipient(&r, 0, to);
	pending++;
	queue_accept(store, big, &r, 1, NULL, box, on_answer, NULL);
	await_answers();
	assert_false(sp_failed(&last));
	queue_message_unref(big);
	free(content);
	free(path);
	return id;
}

static bool body_is_there(uint64_t id)
{
	char *path = body_path(id);
	bool there = access(path, F_OK) == 0;
	free(path);
	return there;
}

static void test_body_file_goes_with_its_row(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_in_file("a@x.example");
	reopen_spool();
	assert_true(body_is_there(id));
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	char *path = body_path(id);
	assert_string_equal(sp_body_path(jobs[0]->message->body), path);
	assert_int_equal(sp_body_len(jobs[0]->message->body), 9000);
	free(path);
	settle_one(id, 0, QUEUE_DELIVERED, 0, 0);
	assert_false(body_is_there(id));
	close_spool();
}

static void test_body_files_without_a_row_are_swept(void **state SP_UNUSED)
{
	open_spool();
	uint64_t id = accept_in_file("a@x.example"), orphan = queue_store_next_id(store);
	char *path = body_path(orphan), other[128];
	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(other, sizeof(other), "%.*s/notes.txt", (int)(strrchr(path, '/') - path), path);
	close(open(other, O_CREAT | O_WRONLY, 0600));
	free(path);
	reopen_spool();
	assert_false(body_is_there(orphan));
	assert_true(body_is_there(id));
	assert_int_equal(access(other, F_OK), 0);       /* not ours */
	close_spool();
}

static void test_bodies_without_their_database_are_kept(void **state SP_UNUSED)
{
	char path[128];
	struct sp_fail why;
	open_spool();
	uint64_t id = accept_in_file("a@x.example");
	assert_true(body_is_there(id));
	close_spool();
	snprintf(path, sizeof(path), "%s/spool.db", spool);
	assert_int_equal(unlink(path), 0);
	for (int i = 0; i < 2; i++) {                   /* nor does a second start take them for orphans */
		assert_null(queue_store_open(spool, NULL, 0, &why));
		assert_non_null(strstr(why.text, "spool.db is missing"));
	}
}

static void test_missing_body_is_quarantined_and_the_rest_goes_on(void **state SP_UNUSED)
{
	open_spool();
	uint64_t lost = accept_in_file("a@x.example"), cut = accept_in_file("b@x.example"), good = accept_in_file("c@x.example");
	char *path = body_path(lost), *cut_path = body_path(cut);
	unlink(path);
	assert_int_equal(truncate(cut_path, 10), 0);
	free(path);
	free(cut_path);
	reopen_spool();
	assert_int_equal(load("x.example", 1, ALL, MANY), 1);
	assert_int_equal(jobs[0]->message->id, good);
	settle_one(good, 0, QUEUE_DELIVERED, 0, 0);
	release("x.example", 0, 0);
	assert_int_equal(ask_due(FAR, ALL), 0);         /* not tried for ever */
	reopen_spool();
	assert_int_equal(ask_due(FAR, ALL), 0);
	assert_int_equal(overdue(FAR), 0);
	assert_int_equal(ask("SELECT count(*) FROM message"), 2);       /* kept for the operator */
	close_spool();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_body_file_goes_with_its_row),
		T(test_body_files_without_a_row_are_swept),
		T(test_bodies_without_their_database_are_kept),
		T(test_missing_body_is_quarantined_and_the_rest_goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

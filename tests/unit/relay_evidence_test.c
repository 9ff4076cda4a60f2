/* tests/unit/relay_evidence_test.c - relay/evidence_event.c: what is written with the results of an attempt. */
#include "evidence_fixture.h"

#include "relay/evidence.h"
#include "relay/shard.h"

static struct evidence_attempt *attempt;

/* The results cannot be written again and again, as where the disk is full. */
static enum core_db_status write_it(struct core_db *db, struct queue_op *op SP_UNUSED)
{
	for (int i = 0; i < 4; i++) {
		assert_int_equal(core_db_exec(db, "DELETE FROM evidence_event"), CORE_DB_OK);
		assert_int_equal(evidence_attempt_write(db, attempt), CORE_DB_OK);
		assert_int_equal(number(db, "SELECT count(*) FROM evidence_event"), i < 3);
	}
	return CORE_DB_OK;
}

static void written(struct queue_op *op SP_UNUSED, const struct sp_fail *why)
{
	answered(why);
}

static void test_it_is_left_out_where_results_cannot_be_written(void **state SP_UNUSED)
{
	struct relay relay = { .store = store };
	struct config config = { .evidence.keep_ms = 1000 };
	struct shard shard = { .relay = &relay, .config = &config };
	struct queue_message message = { .id = 10 };
	struct queue_job job = { .message = &message };
	struct settle_facts facts = { .waited = true };
	struct queue_op op = { .run = write_it, .done = written, .reply_to = box };
	attempt = evidence_attempt_new(&shard, &job, "a.example", &facts);
	evidence_attempt_end(attempt, &job, NULL, NULL, NULL, 0);
	pending++;
	queue_store_submit(store, &op);
	await_answers();
	assert_false(sp_failed(&last));
	evidence_attempt_free(attempt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_is_left_out_where_results_cannot_be_written, open_store, close_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

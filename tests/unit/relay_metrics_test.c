/* tests/unit/relay_metrics_test.c - relay/metrics.c: the table counts what it is told under the words it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/metrics.h"
#include "rpt/event.h"
#include "rpt/outbox.h"

static struct sp_buf text_of(const struct metrics *m)
{
	struct sp_buf out;
	sp_buf_init(&out, 1 << 20);
	metrics_write(m, &out);
	assert_false(sp_buf_failed(&out));
	return out;
}

static void test_words(void **state)
{
	(void)state;
	struct metrics *m = metrics_new(2);
	metrics_add(metrics_of_shard(m, 0), METRIC_ACCEPTED, 0, 2);
	metrics_add(metrics_of_shard(m, 1), METRIC_ACCEPTED, 0, 1);
	metrics_add(metrics_of_main(m), METRIC_RECIPIENTS, METRICS_EXPIRED, 5);
	metrics_add(metrics_of_main(m), METRIC_REFUSED, METRICS_PERMANENT, 6);
	metrics_add(metrics_of_main(m), METRIC_PROOF, METRICS_CLEAR, 7);
	metrics_add(metrics_of_main(m), METRIC_VERDICTS, METRICS_FAILED, 8);
	metrics_add(metrics_of_main(m), METRIC_TRANSACTIONS, METRICS_REUSED, 9);
	metrics_add(metrics_of_main(m), METRIC_LOGINS, METRICS_FAILURE, 10);
	metrics_add(metrics_of_main(m), METRIC_REPORTS, RPT_STATE_NO_RECORD, 11);
	metrics_add_result(metrics_of_shard(m, 1), METRIC_SESSIONS, METRICS_STS_ENFORCE, SP_RESULT_CERTIFICATE_EXPIRED);
	metrics_add_result(metrics_of_shard(m, 1), METRIC_SESSIONS, METRICS_REQUIRETLS, SP_RESULT_NONE);
	metrics_add_result(metrics_of_shard(m, 1), METRIC_REPORTED, RPT_POLICY_NONE_FOUND, SP_RESULT_STARTTLS_NOT_SUPPORTED);
	metrics_add_result(metrics_of_shard(m, 1), METRIC_FETCHES, 0, SP_RESULT_STS_WEBPKI_INVALID);
	metrics_time_ms(metrics_of_shard(m, 0), METRIC_CONNECT, 3);
	struct sp_buf out = text_of(m);
	static const char *const lines[] = {
		"\nstrictpost_messages_accepted_total 3\n",
		"\nstrictpost_recipients_total{outcome=\"expired\"} 5\n",
		"\nstrictpost_messages_refused_total{class=\"permanent\"} 6\n",
		"\nstrictpost_sessions_established_total{protection=\"clear\"} 7\n",
		"\nstrictpost_session_verdicts_total{verdict=\"failed\"} 8\n",
		"\nstrictpost_transactions_total{session=\"reused\"} 9\n",
		"\nstrictpost_logins_total{result=\"failure\"} 10\n",
		"\nstrictpost_reports_total{state=\"no-record\"} 11\n",
		"\nstrictpost_sessions_total{policy=\"sts/enforce\",result=\"certificate-expired\"} 1\n",
		"\nstrictpost_sessions_total{policy=\"requiretls\",result=\"success\"} 1\n",
		"\nstrictpost_tlsrpt_sessions_total{policy=\"no-policy-found\",result=\"starttls-not-supported\"} 1\n",
		"\nstrictpost_policy_fetches_total{result=\"sts-webpki-invalid\"} 1\n",
		"\nstrictpost_connect_seconds_sum 0.003\n",
	};
	for (size_t i = 0; i < SP_COUNT(lines); i++)
		if (strstr(sp_buf_cstr(&out), lines[i]) == NULL)
			fail_msg("no %s", lines[i] + 1);
	assert_int_equal(metrics_sum_all(m, METRIC_SESSIONS, METRIC_SESSIONS_LAST), 2);
	assert_int_equal(metrics_sum_result(m, METRIC_SESSIONS, METRICS_STS_ENFORCE, SP_RESULT_CERTIFICATE_EXPIRED), 1);
	sp_buf_clear(&out);
	metrics_free(m);
}

/* The words of results and states are those of their rooms, in their order. */
static void test_words_are_those_of_their_rooms(void **state)
{
	(void)state;
	struct metrics *m = metrics_new(1);
	for (unsigned r = 1; r <= SP_RESULT_STS_WEBPKI_INVALID; r++)
		for (unsigned i = 0; i < r; i++)
			metrics_add_result(metrics_of_main(m), METRIC_FETCHES, 0, (enum sp_result)r);
	for (unsigned s = 0; s <= RPT_STATE_NO_RECORD; s++)
		metrics_add(metrics_of_main(m), METRIC_REPORTS, s, s + 100);
	struct sp_buf out = text_of(m);
	char line[200];
	for (unsigned r = 1; r <= SP_RESULT_STS_WEBPKI_INVALID; r++) {
		snprintf(line, sizeof(line), "strictpost_policy_fetches_total{result=\"%s\"} %u\n", sp_result_str((enum sp_result)r), r);
		if (strstr(sp_buf_cstr(&out), line) == NULL)
			fail_msg("no %s", line);
	}
	for (unsigned s = 0; s <= RPT_STATE_NO_RECORD; s++) {
		snprintf(line, sizeof(line), "strictpost_reports_total{state=\"%s\"} %u\n", rpt_state_str((enum rpt_state)s), s + 100);
		if (strstr(sp_buf_cstr(&out), line) == NULL)
			fail_msg("no %s", line);
	}
	sp_buf_clear(&out);
	metrics_free(m);
}

static void test_other(void **state)
{
	(void)state;
	struct sp_fail fail = { .kind = SP_FAIL_CONNECT }, ok = SP_FAIL_OK;
	struct metrics *m = metrics_new(1);
	metrics_add_result(metrics_of_main(m), METRIC_FETCHES, 0, metrics_result(&fail));
	metrics_add_result(metrics_of_main(m), METRIC_FETCHES, 0, metrics_result(&ok));
	struct sp_buf out = text_of(m);
	assert_non_null(strstr(sp_buf_cstr(&out), "strictpost_policy_fetches_total{result=\"other\"} 1\n"));
	assert_non_null(strstr(sp_buf_cstr(&out), "strictpost_policy_fetches_total{result=\"success\"} 1\n"));
	sp_buf_clear(&out);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_words_are_those_of_their_rooms),
		cmocka_unit_test(test_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

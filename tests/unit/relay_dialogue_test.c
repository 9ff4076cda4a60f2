/* tests/unit/relay_dialogue_test.c - relay/dialogue.c: what is kept of a dialogue, and what is not. */
#include "relay/dialogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct dialogue d;
static struct sp_buf text;

static int set_up(void **state)
{
	(void)state;
	dialogue_init(&d);
	sp_buf_init(&text, 1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dialogue_clear(&d);
	sp_buf_clear(&text);
	return 0;
}

static void in(const char *s)
{
	dialogue_in(&d, 1, sp_str_of(s));
}

static void out(const char *s)
{
	dialogue_out(&d, 2, sp_str_of(s));
}

static const char *taken(void)
{
	struct sp_json j;
	struct dialogue_part part = dialogue_take(&d, 3);
	sp_buf_reset(&text);
	sp_json_begin(&j, &text);
	dialogue_part_print(&part, NULL, &j);
	dialogue_part_clear(&part);
	return sp_buf_cstr(&text);
}

static void test_lines_both_ways(void **state)
{
	(void)state;
	in("220 m");
	in("x1\r\n");
	out("EHLO relay\r\n");
	in("250-mx1\r\n250 SIZE\n");
	dialogue_note(&d, 7, "TLSv1.3");
	assert_string_equal(taken(), "[[1,\"<\",\"220 mx1\"],[2,\">\",\"EHLO relay\"],[1,\"<\",\"250-mx1\"],[1,\"<\",\"250 SIZE\"],[7,\"*\",\"TLSv1.3\"]]");
	assert_string_equal(taken(), "[]");
}

static void test_content_by_chunks_is_left_out(void **state)
{
	(void)state;
	out("MAIL FROM:<a@b>\r\nBDAT 12\r\nQUIT\r\nSECRET");
	out("BDAT 3 LAST\r\n");
	dialogue_out_unseen(&d, 2, 3);
	out("RSET\r\n");
	assert_string_equal(taken(), "[[2,\">\",\"MAIL FROM:<a@b>\"],[2,\">\",\"BDAT 12\"],[2,\">\",\"(12 octets of content)\"],[2,\">\",\"BDAT 3 LAST\"],"
	                             "[2,\">\",\"(3 octets of content)\"],[2,\">\",\"RSET\"]]");
}

/* However the content and its end are cut into pieces. */
static void test_content_behind_data_is_left_out(void **state)
{
	(void)state;
	static const char content[] = "Subject: SECRET\r\n\r\n..\r\n.x\r\nMAIL FROM:<SECRET>\r\n.\r\nQUIT\r\n";
	for (size_t size = 1; size < sizeof(content); size++) {
		dialogue_clear(&d);
		dialogue_init(&d);
		out("DATA\r\n");
		in("354 go\r\n");
		for (size_t at = 0; at < sizeof(content) - 1; at += size)
			dialogue_out(&d, 2, sp_str_make(content + at, sp_min(size, sizeof(content) - 1 - at)));
		const char *got = taken();
		if (strcmp(got, "[[2,\">\",\"DATA\"],[1,\"<\",\"354 go\"],[2,\">\",\"(47 octets of content)\"],[2,\">\",\"QUIT\"]]") != 0)
			fail_msg("pieces of %zu: %s", size, got);
	}
}

/* The 354 came in one piece with the reply before it: nobody hears it behind DATA. */
static void test_content_granted_before_data_is_left_out(void **state)
{
	(void)state;
	in("250 fine\r\n354 go\r\n");
	out("DATA\r\n");
	dialogue_content(&d);
	out("SECRET\r\n");
	dialogue_content(&d);                   /* for each piece */
	out("SECRET\r\n.\r\nQUIT\r\n");
	assert_string_equal(taken(), "[[1,\"<\",\"250 fine\"],[1,\"<\",\"354 go\"],[2,\">\",\"DATA\"],[2,\">\",\"(16 octets of content)\"],[2,\">\",\"QUIT\"]]");
}

static void test_no_content_at_all(void **state)
{
	(void)state;
	out("DATA\r\n");
	in("354 go\r\n");
	out(".\r\nRSET\r\n");
	assert_string_equal(taken(), "[[2,\">\",\"DATA\"],[1,\"<\",\"354 go\"],[2,\">\",\"(0 octets of content)\"],[2,\">\",\"RSET\"]]");
}

static void test_data_refused_is_followed_by_commands(void **state)
{
	(void)state;
	out("DATA\r\n");
	in("554 no\r\n");
	out("RSET\r\n");
	in("354 what?\r\n");
	out("QUIT\r\n");
	assert_non_null(strstr(taken(), "QUIT"));
}

/* The results may come while content is still on its way: what follows of it is content all the same. */
static void test_content_refused_early_stays_content(void **state)
{
	(void)state;
	out("BDAT 20 LAST\r\nSECRET");
	in("552 too much\r\n");
	assert_string_equal(taken(), "[[2,\">\",\"BDAT 20 LAST\"],[1,\"<\",\"552 too much\"],[3,\">\",\"(6 octets of content, unfinished)\"]]");
	out("SECRET\r\nSECRETRSET\r\n");
	assert_string_equal(taken(), "[[2,\">\",\"(14 octets of content)\"],[2,\">\",\"RSET\"]]");
}

static void test_credentials_are_left_out(void **state)
{
	(void)state;
	out("AUTH PLAIN AGFubgBTRUNSRVQ=\r\n");
	in("535-SECRET\r\n535 5.7.8 SECRET\r\n");
	out("AUTH LOGIN\r\n");
	in("334 U0VDUkVU\r\n");
	out("U0VDUkVU\r\n");
	in("334 U0VDUkVU\r\n");
	out("U0VDUkVU");
	out("U0VDUkVU\r\n");
	in("235 SECRET\r\n");
	out("MAIL FROM:<a@b>\r\n");
	in("250 fine\r\n");
	const char *got = taken();
	print_message("%s\n", got);
	assert_null(strstr(got, "SECRET"));
	assert_null(strstr(got, "U0VDUkVU"));
	assert_null(strstr(got, "AGFubg"));
	assert_non_null(strstr(got, "AUTH PLAIN (secret)"));
	assert_non_null(strstr(got, "235 (not kept"));
	assert_non_null(strstr(got, "250 fine"));
}

static void test_a_line_is_cut(void **state)
{
	(void)state;
	char *line = sp_alloc(100000);
	memset(line, 'x', 99999);
	in(line);
	in("y\r\n220 ok\r\n");
	const char *got = taken();
	assert_true(strlen(got) < 600);
	assert_non_null(strstr(got, "x...\"],[1,\"<\",\"220 ok\"]]"));
	free(line);
}

static void test_many_lines_keep_the_first_and_the_last(void **state)
{
	(void)state;
	char line[32];
	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "250-line %d\r\n", i);
		in(line);
	}
	const char *got = taken();
	assert_non_null(strstr(got, "line 31\""));
	assert_null(strstr(got, "line 32\""));
	assert_non_null(strstr(got, "[null,\"*\",\"(936 lines left out)\"]"));
	assert_null(strstr(got, "line 967\""));
	assert_non_null(strstr(got, "line 968\""));
	assert_non_null(strstr(got, "line 999\"]]"));
}

/* A hostile peer: nothing but controls and octets that are no UTF-8. */
static void test_it_is_bounded_whatever_a_peer_says(void **state)
{
	(void)state;
	char line[600];
	for (int i = 0; i < 10000; i++) {
		memset(line, i % 2 ? 0x01 : 0xff, sizeof(line));
		line[599] = '\n';
		dialogue_in(&d, 1, sp_str_make(line, sizeof(line)));
	}
	assert_true(d.part.first.len <= DIALOGUE_HALF_OCTETS && d.part.last.len <= DIALOGUE_HALF_OCTETS);
	assert_true(d.part.left_out > 9900);
	const char *got = taken();
	assert_true(strlen(got) < 2 * DIALOGUE_HALF_OCTETS + 100);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_lines_both_ways), T(test_content_by_chunks_is_left_out), T(test_content_behind_data_is_left_out),
		T(test_content_granted_before_data_is_left_out), T(test_no_content_at_all),
		T(test_data_refused_is_followed_by_commands), T(test_content_refused_early_stays_content), T(test_credentials_are_left_out),
		T(test_a_line_is_cut), T(test_many_lines_keep_the_first_and_the_last), T(test_it_is_bounded_whatever_a_peer_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/smtp_reply_test.c - smtp/reply.c: replies, whole and octet by octet. */
#include "smtp/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
	const char *label, *in;
	enum smtp_reply_status status;
	int code;
	const char *esc, *text;         /* text: NULL where there is no reply */
} rows[] = {
	{ "one line, RFC 5321 4.2", "250 Ok\r\n", SMTP_REPLY_DONE, 250, "", "Ok" },
	{ "lines, RFC 5321 4.2.1", "250-a\r\n250-b\r\n250 c\r\n", SMTP_REPLY_DONE, 250, "", "a\nb\nc" },
	{ "a code alone, RFC 5321 4.2", "250\r\n", SMTP_REPLY_DONE, 250, "", "" },
	{ "a code and a blank", "354 \r\n", SMTP_REPLY_DONE, 354, "", "" },
	{ "code-only lines", "250-\r\n250\r\n", SMTP_REPLY_DONE, 250, "", "\n" },
	{ "bare LF", "250-a\n250 b\n", SMTP_REPLY_DONE, 250, "", "a\nb" },
	{ "octets over 127", "550 \xc3\xa9\r\n", SMTP_REPLY_DONE, 550, "", "\xc3\xa9" },
	{ "a hyphen in the text", "250 -a\r\n", SMTP_REPLY_DONE, 250, "", "-a" },
	{ "not yet whole", "250 Ok\r", SMTP_REPLY_MORE, 0, "", NULL },
	{ "lines to come", "250-a\r\n", SMTP_REPLY_MORE, 0, "", NULL },
	{ "nothing", "", SMTP_REPLY_MORE, 0, "", NULL },

	{ "esc, RFC 2034 4", "550 5.1.1 no\r\n", SMTP_REPLY_DONE, 550, "5.1.1", "5.1.1 no" },
	{ "esc alone", "250 2.0.0\r\n", SMTP_REPLY_DONE, 250, "2.0.0", "2.0.0" },
	{ "esc of three digits", "450 4.123.456 x\r\n", SMTP_REPLY_DONE, 450, "4.123.456", "4.123.456 x" },
	{ "esc of another class", "550 4.1.1 no\r\n", SMTP_REPLY_DONE, 550, "", "4.1.1 no" },
	{ "a number that is no esc", "250 2.0 x\r\n", SMTP_REPLY_DONE, 250, "", "2.0 x" },
	{ "an address is no esc", "550 5.1.1.1 no\r\n", SMTP_REPLY_DONE, 550, "", "5.1.1.1 no" },
	{ "four digits are no esc", "550 5.1234.1 no\r\n", SMTP_REPLY_DONE, 550, "", "5.1234.1 no" },
	{ "esc with a letter behind it", "550 5.1.1x no\r\n", SMTP_REPLY_DONE, 550, "", "5.1.1x no" },
	{ "the first line's esc counts", "550-x\r\n550 5.1.1 y\r\n", SMTP_REPLY_DONE, 550, "", "x\n5.1.1 y" },

	{ "codes differ, RFC 5321 4.2.1", "250-a\r\n550 b\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "1yz, RFC 5321 4.2.1", "150 a\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "6yz", "600 a\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "two digits", "25 a\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "four digits", "2500 a\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "a tab behind the code", "250\ta\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "an empty line", "\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "an empty line among lines", "250-a\r\n\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "a blank in front", " 250 a\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
	{ "words", "hello\r\n", SMTP_REPLY_BROKEN, 0, "", NULL },
};

static void check_row(size_t i, size_t step)
{
	struct smtp_reply_reader r;
	smtp_reply_reader_init(&r);
	struct sp_str all = sp_str_of(rows[i].in);
	enum smtp_reply_status status = SMTP_REPLY_MORE;
	for (size_t at = 0; at < all.len && status == SMTP_REPLY_MORE; at += step) {
		struct sp_str piece = sp_str_make(all.p + at, sp_min(step, all.len - at));
		status = smtp_reply_feed(&r, &piece);
	}
	bool ok = status == rows[i].status;
	if (ok && rows[i].text)
		ok = r.reply.code == rows[i].code && strcmp(r.reply.esc, rows[i].esc) == 0 &&
		     sp_str_eq(sp_buf_str(&r.reply.text), sp_str_of(rows[i].text));
	if (ok && status == SMTP_REPLY_BROKEN)
		ok = r.why != NULL;
	if (!ok)
		print_error("%s (step %zu): status %d code %d esc '%s' text '%s'\n", rows[i].label, step, (int)status, r.reply.code,
		            r.reply.esc, sp_buf_cstr(&r.reply.text));
	smtp_reply_reader_clear(&r);
	assert_true(ok);
}

static void replies(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(rows); i++) {
		check_row(i, 4096);
		check_row(i, 1);
		check_row(i, 3);
	}
}

static void leaves_what_follows(void **state SP_UNUSED)
{
	struct smtp_reply_reader r;
	smtp_reply_reader_init(&r);
	struct sp_str in = SP_STR("250-a\r\n250 b\r\n354 go\r\n2");
	assert_int_equal(smtp_reply_feed(&r, &in), SMTP_REPLY_DONE);
	assert_int_equal(r.reply.lines, 2);
	assert_int_equal(in.len, strlen("354 go\r\n2"));
	assert_int_equal(smtp_reply_feed(&r, &in), SMTP_REPLY_DONE);
	assert_int_equal(r.reply.code, 354);
	assert_string_equal(sp_buf_cstr(&r.reply.text), "go");
	assert_int_equal(smtp_reply_feed(&r, &in), SMTP_REPLY_MORE);
	assert_int_equal(in.len, 0);
	smtp_reply_reader_clear(&r);
}

/* Feeds `line` `count` times, then `last`; the last status. */
static enum smtp_reply_status feed_many(struct smtp_reply_reader *r, struct sp_str line, size_t count, struct sp_str last)
{
	for (size_t i = 0; i < count; i++) {
		struct sp_str in = line;
		enum smtp_reply_status status = smtp_reply_feed(r, &in);
		if (status != SMTP_REPLY_MORE)
			return status;
	}
	return smtp_reply_feed(r, &last);
}

static void limits(void **state SP_UNUSED)
{
	static char line[SMTP_REPLY_LINE_MAX + 16];
	memset(line, 'x', sizeof(line));
	memcpy(line, "250-", 4);
	struct smtp_reply_reader r;
	smtp_reply_reader_init(&r);

	memcpy(line + SMTP_REPLY_LINE_MAX - 1, "\r\n", 2);              /* 4096 octets with its CR */
	struct sp_str longest = sp_str_make(line, SMTP_REPLY_LINE_MAX + 1);
	assert_int_equal(feed_many(&r, longest, 1, SP_STR("250 z\r\n")), SMTP_REPLY_DONE);

	/* what passes 64 KiB is read and dropped */
	assert_int_equal(feed_many(&r, longest, 100, SP_STR("250 z\r\n")), SMTP_REPLY_DONE);
	assert_int_equal(r.reply.text.len, SMTP_REPLY_KEPT_MAX);
	assert_int_equal(r.reply.lines, 101);
	assert_false(sp_buf_failed(&r.reply.text));

	/* a reply over 1 MiB is broken, and so is an endless line, before it takes memory */
	assert_int_equal(feed_many(&r, longest, 300, SP_STR("250 z\r\n")), SMTP_REPLY_BROKEN);
	memset(line, 'x', sizeof(line));
	assert_int_equal(feed_many(&r, sp_str_make(line, SMTP_REPLY_LINE_MAX), 2, SP_STR("")), SMTP_REPLY_BROKEN);
	assert_int_equal(feed_many(&r, sp_str_make(line, 10), 1000, SP_STR("")), SMTP_REPLY_BROKEN);
	smtp_reply_reader_clear(&r);
}

static const struct {
	const char *label, *in;
	size_t max;
	const char *want;
} prints[] = {
	{ "one line", "250 2.1.5 Ok\r\n", 100, "250 2.1.5 Ok" },
	{ "a code alone", "250\r\n", 100, "250" },
	{ "lines are joined", "550-a\r\n550 b\r\n", 100, "550 a; b" },
	{ "the esc is said once", "550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1\r\n", 100, "550 5.7.1 a; b" },
	{ "another number stays", "550-5.7.1 a\r\n550 5.7.10 b\r\n", 100, "550 5.7.1 a; 5.7.10 b" },
	{ "empty lines go", "550-\r\n550-a\r\n550-\r\n550 b\r\n", 100, "550 a; b" },
	{ "controls are replaced", "550 \x1b[1m\xff\x07\r\n", 100, "550 ?[1m??" },
	{ "cut", "550 abcdef\r\n", 7, "550 abc" },
	{ "cut among lines", "550-abc\r\n550 def\r\n", 10, "550 abc; d" },
	{ "no room for more than the code", "550 abc\r\n", 3, "550" },
};

static void printing(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(prints); i++) {
		struct smtp_reply_reader r;
		smtp_reply_reader_init(&r);
		struct sp_str in = sp_str_of(prints[i].in);
		assert_int_equal(smtp_reply_feed(&r, &in), SMTP_REPLY_DONE);
		struct sp_buf out;
		sp_buf_init(&out, 1000);
		sp_buf_adds(&out, "> ");
		smtp_reply_print(&r.reply, prints[i].max, &out);
		if (strcmp(out.p + 2, prints[i].want) != 0)
			print_error("%s: want '%s', got '%s'\n", prints[i].label, prints[i].want, out.p + 2);
		assert_string_equal(out.p + 2, prints[i].want);
		sp_buf_clear(&out);
		smtp_reply_reader_clear(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies),
		cmocka_unit_test(leaves_what_follows),
		cmocka_unit_test(limits),
		cmocka_unit_test(printing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/relay_terminal_test.c - relay/terminal.c and relay/progress.c: what a terminal gets, and what a pipe does not. */
#include "pty_fixture.h"
#include "relay/progress.h"
#include "relay/terminal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- text of others ---- */

static const struct { const char *label, *text; size_t columns; const char *want; size_t width; } fits[] = {
	{ "ASCII", "bob@example.com", 0, "bob@example.com", 15 },
	{ "an escape sequence", "a\033[2Jb", 0, "a?[2Jb", 6 },
	{ "line ends and tabs", "a\r\n\tb", 0, "a???b", 5 },
	{ "C1: CSI as UTF-8", "a\xc2\x9b" "2Jb", 0, "a?2Jb", 5 },
	{ "no UTF-8", "a\xff\xc3", 0, "a??", 3 },
	{ "UTF-8", "b\xc3\xbc" "cher.example", 0, "b\xc3\xbc" "cher.example", 14 },
	{ "a combining mark takes no column", "e\xcc\x81", 0, "e\xcc\x81", 1 },
	{ "CJK takes two", "\xe4\xbe\x8b.example", 0, "\xe4\xbe\x8b.example", 10 },
	{ "right-to-left override", "a\xe2\x80\xae" "b", 0, "a?b", 3 },
	{ "zero width space", "a\xe2\x80\x8b" "b", 0, "a?b", 3 },
	{ "no character", "\xef\xbf\xbf", 0, "?", 1 },
	{ "fits exactly", "abcdefgh", 8, "abcdefgh", 8 },
	{ "cut", "abcdefghi", 8, "abcde...", 8 },
	{ "cut in front of a wide one", "abcd\xe4\xbe\x8b" "fghi", 8, "abcd...", 7 },
	{ "no room for dots", "abcdef", 3, "abc", 3 },
};

static void test_text_of_others(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(fits); i++) {
		struct sp_buf out;
		sp_buf_init(&out, 256);
		size_t width = terminal_fit(&out, sp_str_of(fits[i].text), fits[i].columns);
		print_message("%s: want \"%s\", %zu; got \"%s\", %zu\n", fits[i].label, fits[i].want, fits[i].width, sp_buf_cstr(&out), width);
		assert_string_equal(sp_buf_cstr(&out), fits[i].want);
		assert_int_equal(width, fits[i].width);
		sp_buf_clear(&out);
	}
}

/* ---- numbers ---- */

static const struct { int64_t s; const char *want; } ages[] = {
	{ -1, "-" }, { 0, "0 s" }, { 59, "59 s" }, { 60, "1 min" }, { 185, "3 min 5 s" }, { 7200, "2 h" }, { 7505, "2 h 5 min" }, { 7201, "2 h" },
	{ 4 * 86400, "4 d" }, { 4 * 86400 + 3601, "4 d 1 h" }, { INT64_MAX, "106751991167300 d 15 h" },
};
static const struct { uint64_t octets; const char *want; } sizes[] = {
	{ 0, "0" }, { 1023, "1023" }, { 1024, "1.0K" }, { 14541, "14.2K" }, { 1048575, "1.0M" }, { 3565158, "3.4M" }, { UINT64_MAX, "16.0E" },
};

static void test_ages_and_sizes(void **state SP_UNUSED)
{
	char text[TERMINAL_NUMBER];
	for (size_t i = 0; i < SP_COUNT(ages); i++)
		assert_string_equal(terminal_age(ages[i].s, text), ages[i].want);
	for (size_t i = 0; i < SP_COUNT(sizes); i++)
		assert_string_equal(terminal_size(sizes[i].octets, text), sizes[i].want);
}

/* ---- terminal or not ---- */

static void test_a_file_has_no_width_and_no_colour(void **state SP_UNUSED)
{
	FILE *f = tmpfile();
	assert_false(terminal_is(f));
	assert_int_equal(terminal_width(f), 0);
	assert_int_equal(terminal_height(f), 0);
	assert_string_equal(terminal_on(f, TERMINAL_BAD), "");
	assert_string_equal(terminal_off(f, TERMINAL_BAD), "");
	fclose(f);
}

static void test_a_terminal_has_them(void **state SP_UNUSED)
{
	struct pty p;
	pty_open(&p, 100, 30);
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	assert_int_equal(terminal_width(p.f), 100);
	assert_int_equal(terminal_height(p.f), 30);
	assert_string_equal(terminal_on(p.f, TERMINAL_BAD), "\033[31m");
	assert_string_equal(terminal_off(p.f, TERMINAL_BAD), "\033[m");
	assert_string_equal(terminal_on(p.f, TERMINAL_PLAIN), "");
	assert_string_equal(terminal_off(p.f, TERMINAL_PLAIN), "");
	setenv("NO_COLOR", "1", 1);
	assert_string_equal(terminal_on(p.f, TERMINAL_BAD), "");
	unsetenv("NO_COLOR");
	setenv("TERM", "dumb", 1);
	assert_false(terminal_is(p.f));
	setenv("TERM", "xterm", 1);
	pty_close(&p);
	pty_open(&p, 10, 2);
	assert_int_equal(terminal_width(p.f), 40);
	assert_int_equal(terminal_height(p.f), 5);
	pty_close(&p);
}

/* ---- with standard input and standard error on a terminal ---- */

struct stage {
	struct pty pty;
	int in, err;                    /* what they were */
};

static void enter(struct stage *s)
{
	pty_open(&s->pty, 80, 24);
	setenv("TERM", "xterm", 1);
	s->in = dup(STDIN_FILENO);
	s->err = dup(STDERR_FILENO);
	dup2(fileno(s->pty.f), STDIN_FILENO);
	dup2(fileno(s->pty.f), STDERR_FILENO);
}

static void leave(struct stage *s, struct sp_buf *out)
{
	fflush(stderr);
	pty_read(&s->pty, out);
	dup2(s->in, STDIN_FILENO);
	dup2(s->err, STDERR_FILENO);
	close(s->in);
	close(s->err);
	pty_close(&s->pty);
}

static const struct { const char *typed; bool want; } answers[] = {
	{ "y\n", true }, { "yes\n", true }, { "Yes \n", true }, { "Y\n", true }, { "\n", false }, { "n\n", false }, { "yess\n", false },
	{ "y but this is far longer than what is read of it\n", false }, { "\004", false },
};

static void test_confirm_takes_only_yes(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(answers); i++) {
		struct stage s;
		struct sp_buf out;
		sp_buf_init(&out, 1024);
		enter(&s);
		pty_type(&s.pty, answers[i].typed);
		bool said = terminal_confirm(false, "delete %d messages?", 3);
		clearerr(stdin);
		leave(&s, &out);
		print_message("%s -> %d, shown: %s\n", answers[i].typed, said, sp_buf_cstr(&out));
		assert_int_equal(said, answers[i].want);
		assert_non_null(strstr(sp_buf_cstr(&out), "delete 3 messages? [y/N] "));
		sp_buf_clear(&out);
	}
}

static void test_confirm_without_a_terminal_is_no(void **state SP_UNUSED)
{
	int in = dup(STDIN_FILENO), pipes[2];
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "yes\n", 4), 4);
	dup2(pipes[0], STDIN_FILENO);
	assert_false(terminal_confirm(false, "delete?"));
	assert_true(terminal_confirm(true, "delete?"));
	dup2(in, STDIN_FILENO);
	close(in);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_progress_is_written_over_and_gone(void **state SP_UNUSED)
{
	struct stage s;
	struct sp_buf out;
	sp_buf_init(&out, 4096);
	enter(&s);
	struct progress *p = progress_begin("deleting");
	progress_show(p, 1, 4, "a\033b");
	progress_show(p, 2, 4, NULL);           /* too early */
	progress_hide(p);
	progress_show(p, 3, 0, NULL);
	progress_end(p);
	progress_end(NULL);
	leave(&s, &out);
	assert_string_equal(sp_buf_cstr(&out), "\r\033[Kdeleting [#####...............] 1 of 4: a?b\r\033[K\r\033[Kdeleting 3\r\033[K");
	sp_buf_clear(&out);
}

static void test_progress_says_nothing_to_a_file(void **state SP_UNUSED)
{
	FILE *f = tmpfile();
	int err = dup(STDERR_FILENO);
	dup2(fileno(f), STDERR_FILENO);
	struct progress *p = progress_begin("deleting");
	progress_show(p, 1, 4, NULL);
	progress_end(p);
	dup2(err, STDERR_FILENO);
	close(err);
	assert_int_equal(lseek(fileno(f), 0, SEEK_END), 0);
	fclose(f);
}

static void test_the_first_interrupt_is_caught(void **state SP_UNUSED)
{
	struct sigaction now;
	progress_catch_interrupt();
	assert_false(progress_interrupted());
	raise(SIGINT);
	assert_true(progress_interrupted());
	sigaction(SIGINT, NULL, &now);
	assert_true(now.sa_handler == SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_of_others),
		cmocka_unit_test(test_ages_and_sizes),
		cmocka_unit_test(test_a_file_has_no_width_and_no_colour),
		cmocka_unit_test(test_a_terminal_has_them),
		cmocka_unit_test(test_confirm_takes_only_yes),
		cmocka_unit_test(test_confirm_without_a_terminal_is_no),
		cmocka_unit_test(test_progress_is_written_over_and_gone),
		cmocka_unit_test(test_progress_says_nothing_to_a_file),
		cmocka_unit_test(test_the_first_interrupt_is_caught),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

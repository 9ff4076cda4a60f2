/* tests/unit/relay_cmd_options_test.c - relay/cmd_options.c and relay/cmd_verb.c: options, durations, words that were mistyped. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_verb.h"

#include "core/base.h"

#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 8
#define TEXT_MAX 512

const char *cmd_config_default(void)
{
	return "/default.yaml";
}

/* ---- durations ---- */

#define REFUSED INT64_C(-1)
static const struct { const char *text; int64_t want; } durations[] = {
	{ "2h", 7200000 }, { "30m", 1800000 }, { "1d 12h", 129600000 }, { "1d12h", 129600000 }, { " 90s ", 90000 }, { "250ms", 250 }, { "0s", 0 },
	{ "2", REFUSED }, { "", REFUSED }, { " ", REFUSED }, { "h", REFUSED }, { "2 h", REFUSED }, { "1h x", REFUSED }, { "-1h", REFUSED }, { "2h,", REFUSED },
	{ "1d 12", REFUSED }, { "106751991167d", 106751991167 * 86400000 }, { "106751991167d 1d", REFUSED }, { "999999999999999999d", REFUSED },
};

static void test_durations(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(durations); i++) {
		int64_t ms = REFUSED;
		bool good = cmd_duration(durations[i].text, &ms);
		print_message("\"%s\": want %lld, got %lld\n", durations[i].text, (long long)durations[i].want, (long long)ms);
		assert_int_equal(ms, durations[i].want);
		assert_int_equal(good, ms != REFUSED);
	}
}

/* ---- options ---- */

static const struct row {
	const char *label, *words[WORDS_MAX];
	int status;                     /* 0: taken */
	const char *says;               /* on standard error */
	const char *sender, *config;
	bool all, json;
	int64_t older_ms;
} rows[] = {
	{ "nothing", { "list" }, 0, "", NULL, "/default.yaml", false, false, 0 },
	{ "all of them", { "list", "--sender", "<>", "--all", "--json", "--older-than=2h", "-c", "x" }, 0, "", "<>", "x", true, true, 7200000 },
	{ "behind an argument", { "list", "id", "--all" }, 0, "", NULL, "/default.yaml", true, false, 0 },
	{ "an unknown one", { "list", "id", "--colour" }, 2, "there is no option '--colour'\n", NULL, NULL, false, false, 0 },
	{ "a mistyped one", { "list", "--sendr=x" }, 2, "there is no option '--sendr=x'; did you mean --sender?\n", NULL, NULL, false, false, 0 },
	{ "a short one", { "list", "--all", "-xh" }, 2, "there is no option '-x'\n", NULL, NULL, true, false, 0 },
	{ "no text", { "list", "--sender" }, 2, "a value is missing behind '--sender'\n", NULL, NULL, false, false, 0 },
	{ "no file", { "list", "-c" }, 2, "a value is missing behind '-c'\n", NULL, NULL, false, false, 0 },
	{ "a text too many", { "list", "--all=x" }, 2, "no value belongs to '--all=x'\n", NULL, NULL, false, false, 0 },
	{ "no duration", { "list", "--older-than", "2" }, 2, "'2' is no duration for --older-than; write it like 30m, 2h or 1d 12h\n", NULL, NULL, false, false, 0 },
	{ "escapes", { "list", "--\033[2J" }, 2, "there is no option '--?[2J'\n", NULL, NULL, false, false, 0 },
};

static void read_all(FILE *f, char text[TEXT_MAX])
{
	rewind(f);
	size_t len = fread(text, 1, TEXT_MAX - 1, f);
	text[len] = '\0';
	fclose(f);
}

static void try_row(const struct row *r)
{
	const char *sender = NULL;
	bool all = false;
	int64_t older_ms = 0;
	const struct cmd_option own[] = { { "sender", &sender, NULL, NULL }, { "all", NULL, &all, NULL }, { "older-than", NULL, NULL, &older_ms }, { 0 } };
	char *argv[WORDS_MAX + 1] = { 0 }, words[WORDS_MAX][32], said[TEXT_MAX];
	int argc = 0, status = 0, err = dup(STDERR_FILENO);
	for (; argc < WORDS_MAX && r->words[argc]; argc++) {
		snprintf(words[argc], sizeof(words[argc]), "%s", r->words[argc]);
		argv[argc] = words[argc];
	}
	FILE *f = tmpfile();
	dup2(fileno(f), STDERR_FILENO);
	optind = 0;                     /* glibc: from the start again */
	struct cmd_options o;
	bool good = cmd_options_with(argc, argv, "help\n", true, own, &o, &status);
	fflush(stderr);
	dup2(err, STDERR_FILENO);
	close(err);
	read_all(f, said);
	print_message("%s: said %s\n", r->label, said);
	assert_int_equal(good, r->status == 0);
	assert_non_null(strstr(said, r->says));
	assert_int_equal(all, r->all);
	if (!good) {
		assert_int_equal(status, r->status);
		return;
	}
	assert_string_equal(said, "");
	assert_string_equal(o.config, r->config);
	assert_int_equal(o.json, r->json);
	assert_int_equal(older_ms, r->older_ms);
	assert_true(r->sender ? sender && strcmp(sender, r->sender) == 0 : sender == NULL);
}

static void test_options(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		try_row(&rows[i]);
}

/* ---- verbs ---- */

static const struct { const char *typed, *meant; size_t want; } slips[] = {
	{ "list", "list", 0 }, { "lsit", "list", 1 }, { "lst", "list", 1 }, { "lists", "list", 1 }, { "", "list", 4 }, { "reprot", "report", 1 },
	{ "ehalthcheck", "healthcheck", 1 }, { "status", "report", 6 },
};

static void test_slips(void **state SP_UNUSED)
{
	for (size_t i = 0; i < SP_COUNT(slips); i++) {
		size_t got = cmd_slips(slips[i].typed, slips[i].meant);
		print_message("%s for %s: want %zu, got %zu\n", slips[i].typed, slips[i].meant, slips[i].want, got);
		assert_int_equal(got, slips[i].want);
	}
	assert_true(cmd_slips("a word that is far longer than any command, and then some", "list") > CMD_SLIP_MAX);
}

static char ran[TEXT_MAX];

static int note_run(int argc, char **argv)
{
	snprintf(ran, sizeof(ran), "%s:", cmd_name());
	for (int i = 0; i < argc; i++)
		snprintf(ran + strlen(ran), sizeof(ran) - strlen(ran), " %s", argv[i]);
	return 42;
}

static const struct { const char *words[WORDS_MAX]; int status; const char *ran; } calls[] = {
	{ { "queue", "list", "a" }, 42, "queue list: list a" },
	{ { "queue", "help", "list" }, 42, "queue list: list --help" },
	{ { "queue", "help", "list", "deeper" }, 42, "queue list: list deeper --help" },
	{ { "queue", "help" }, 0, "" },
	{ { "queue", "--help" }, 0, "" },
	{ { "queue" }, 2, "" },
	{ { "queue", "lsit" }, 2, "" },
	{ { "queue", "help", "lsit" }, 2, "" },
};

static void test_verbs_are_found(void **state SP_UNUSED)
{
	static const struct cmd_verb verbs[] = { { "show", "ID", "shows", note_run }, { "list", NULL, "lists", note_run } };
	const struct cmd_verbs queue = { .group = "queue", .verbs = verbs, .count = SP_COUNT(verbs) };
	for (size_t i = 0; i < SP_COUNT(calls); i++) {
		char *argv[WORDS_MAX + 1] = { 0 }, words[WORDS_MAX][32];
		int argc = 0;
		for (; calls[i].words[argc]; argc++) {
			snprintf(words[argc], sizeof(words[argc]), "%s", calls[i].words[argc]);
			argv[argc] = words[argc];
		}
		ran[0] = '\0';
		assert_int_equal(cmd_verbs(&queue, argc, argv), calls[i].status);
		assert_string_equal(ran, calls[i].ran);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_slips),
		cmocka_unit_test(test_verbs_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

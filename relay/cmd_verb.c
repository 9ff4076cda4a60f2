/* relay/cmd_verb.c - see cmd_verb.h. */
#include "relay/cmd_verb.h"

#include "relay/cmd.h"
#include "relay/terminal.h"

#define WORD_MAX 32                     /* longer ones are no slips */
#define NAME_MAX_OCTETS 64
#define TYPED_COLUMNS 60                /* of a wrong word that is said again */

static char name[NAME_MAX_OCTETS];

const char *cmd_name(void)
{
	return name;
}

/* ---- slips ---- */

static size_t least(size_t a, size_t b, size_t c)
{
	return sp_min(a, sp_min(b, c));
}

size_t cmd_slips(const char *typed, const char *meant)
{
	size_t rows[3][WORD_MAX + 1], n = strlen(typed), m = strlen(meant);             /* of the matrix of distances: the last three */
	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			now[j] = least(up[j] + 1, now[j - 1] + 1, up[j - 1] + (typed[i - 1] != meant[j - 1]));
			if (i > 1 && j > 1 && typed[i - 1] == meant[j - 2] && typed[i - 2] == meant[j - 1])
				now[j] = sp_min(now[j], up2[j - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

/* The verb that is nearest, or begins like it; NULL: none is near. */
static const char *nearest(const struct cmd_verbs *v, const char *typed)
{
	const char *best = NULL;
	size_t slips = CMD_SLIP_MAX + 1;
	for (size_t i = 0; i < v->count; i++) {
		size_t n = strlen(typed) >= 2 && sp_str_starts(sp_str_of(v->verbs[i].name), sp_str_of(typed)) ? 1 : cmd_slips(typed, v->verbs[i].name);
		if (n < slips && n < strlen(v->verbs[i].name)) {
			slips = n;
			best = v->verbs[i].name;
		}
	}
	return best;
}

/* ---- help ---- */

static void usage(const struct cmd_verbs *v, FILE *to)
{
	size_t names = 0, arguments = 0;
	if (v->help) {
		fputs(v->help, to);
		return;
	}
	for (size_t i = 0; i < v->count; i++) {
		names = sp_max(names, strlen(v->verbs[i].name));
		arguments = sp_max(arguments, sp_str_of(v->verbs[i].arguments).len);
	}
	fputs(v->head ? v->head : "", to);
	for (size_t i = 0; i < v->count; i++) {
		fprintf(to, "  %-*s", (int)names, v->verbs[i].name);
		if (arguments > 0)
			fprintf(to, " %-*s", (int)arguments, v->verbs[i].arguments ? v->verbs[i].arguments : "");
		fprintf(to, "  %s\n", v->verbs[i].what);
	}
	fputs(v->foot ? v->foot : "", to);
}

static int unknown(const struct cmd_verbs *v, const char *typed)
{
	struct sp_buf shown;
	const char *meant = nearest(v, typed), *gap = *v->group ? " " : "";
	sp_buf_init(&shown, 4 * TYPED_COLUMNS);
	terminal_fit(&shown, sp_str_of(typed), TYPED_COLUMNS);
	fprintf(stderr, "strictpost%s%s: there is no %s '%s'", gap, v->group, *v->group ? "verb" : "command", sp_buf_cstr(&shown));
	if (meant)
		fprintf(stderr, "; did you mean '%s'?\n", meant);
	else
		fprintf(stderr, "; see strictpost%s%s --help\n", gap, v->group);
	sp_buf_clear(&shown);
	return RELAY_EXIT_USAGE;
}

/* ---- dispatch ---- */

static int run(const struct cmd_verb *verb, const char *group, int argc, char **argv)
{
	snprintf(name, sizeof(name), "%s%s%s", group, *group ? " " : "", verb->name);
	return verb->run(argc, argv);
}

/* help VERB...: what VERB... --help says. */
static int help(const struct cmd_verbs *v, const struct cmd_verb *verb, int argc, char **argv)
{
	char option[] = "--help", *words[] = { argv[0], argc > 1 ? argv[1] : option, argc > 1 ? option : NULL, NULL };
	return run(verb, v->group, argc > 1 ? 3 : 2, words);
}

static const struct cmd_verb *find(const struct cmd_verbs *v, const char *typed)
{
	for (size_t i = 0; i < v->count; i++)
		if (strcmp(typed, v->verbs[i].name) == 0)
			return &v->verbs[i];
	return NULL;
}

int cmd_verbs(const struct cmd_verbs *v, int argc, char **argv)
{
	if (argc < 2) {
		usage(v, stderr);
		return RELAY_EXIT_USAGE;
	}
	bool asked = strcmp(argv[1], "help") == 0;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (asked && argc == 2)) {
		usage(v, stdout);
		return RELAY_EXIT_OK;
	}
	int at = asked ? 2 : 1;
	const struct cmd_verb *verb = find(v, argv[at]);
	if (verb == NULL)
		return unknown(v, argv[at]);
	return asked ? help(v, verb, argc - at, argv + at) : run(verb, v->group, argc - at, argv + at);
}

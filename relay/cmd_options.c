/* relay/cmd_options.c - see cmd_options.h. */
#include "relay/cmd_options.h"

#include "relay/cmd.h"
#include "relay/cmd_verb.h"
#include "relay/config_value.h"
#include "relay/terminal.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG = 1, HELP, JSON, SHARED = 3, OWN = 256 };                /* what getopt_long() calls the long options; OWN + row: one of `own` */
#define TYPED_MAX 256                   /* octets of a wrong word that is said again */
#define TYPED_COLUMNS 60

/* ---- what is wrong ---- */

/* strictpost NAME: BEFORE'WORD'AFTER */
static void complain(const char *before, const char *word, const char *after)
{
	struct sp_buf shown;
	sp_buf_init(&shown, TYPED_MAX);
	terminal_fit(&shown, sp_str_of(word), TYPED_COLUMNS);
	fprintf(stderr, "strictpost %s: %s'%s'%s\n", cmd_name(), before, sp_buf_cstr(&shown), after);
	sp_buf_clear(&shown);
}

static void see_help(void)
{
	fprintf(stderr, "strictpost %s --help says what there is.\n", cmd_name());
}

/* The option that is nearest to `word`, without its dashes; NULL: none is near. */
static const char *nearest(const struct option *options, bool has_json, struct sp_str word)
{
	const char *best = NULL;
	char typed[TYPED_MAX];
	size_t slips = CMD_SLIP_MAX + 1;
	snprintf(typed, sizeof(typed), "%.*s", SP_STR_ARG(word));
	for (; options->name; options++) {
		size_t n = cmd_slips(typed, options->name);
		if (n < slips && n < strlen(options->name) && (has_json || options->val != JSON)) {
			slips = n;
			best = options->name;
		}
	}
	return best;
}

/* getopt_long() answered '?', or ':', or gave an option that is not for this command, at `word`. */
static void explain(const struct option *options, bool has_json, int o, const char *word)
{
	const char letter[3] = { '-', (char)optopt, '\0' };
	struct sp_str name = sp_str_of(word);
	char end[64] = "";
	if (o != JSON && optopt > ' ' && optopt < OWN) {                        /* a short one: `word` may be another, then */
		complain(o == ':' ? "a value is missing behind " : "there is no option ", letter, "");
		return;
	}
	if (o == '?' && optopt == 0) {
		name = sp_str_from(name, sp_min(name.len, 2));
		const char *meant = nearest(options, has_json, sp_take_until(&name, '='));
		if (meant)
			snprintf(end, sizeof(end), "; did you mean --%s?", meant);
	}
	complain(o == ':' ? "a value is missing behind " : o == '?' && optopt != 0 ? "no value belongs to " : "there is no option ", word, end);
}

/* ---- options ---- */

static void list_options(const struct cmd_option *own, struct option list[SHARED + CMD_OPTIONS_OWN_MAX + 1])
{
	size_t n = 0;
	list[n++] = (struct option){ "config", required_argument, NULL, CONFIG };
	list[n++] = (struct option){ "help", no_argument, NULL, HELP };
	list[n++] = (struct option){ "json", no_argument, NULL, JSON };
	for (int i = 0; own[i].name; i++) {
		sp_assert(i < CMD_OPTIONS_OWN_MAX);
		list[n++] = (struct option){ own[i].name, own[i].given ? no_argument : required_argument, NULL, OWN + i };
	}
	list[n] = (struct option){ 0 };
}

/* An option of `own`; false after it was said what is wrong with its value. */
static bool take(const struct cmd_option *o)
{
	if (o->given)
		*o->given = true;
	else if (o->text)
		*o->text = optarg;
	else if (!cmd_duration(optarg, o->duration_ms)) {
		char end[96];
		snprintf(end, sizeof(end), " is no duration for --%s; write it like 30m, 2h or 1d 12h", o->name);
		complain("", optarg, end);
		return false;
	}
	return true;
}

bool cmd_options_with(int argc, char **argv, const char *help, bool has_json, const struct cmd_option *own, struct cmd_options *out, int *status)
{
	struct option options[SHARED + CMD_OPTIONS_OWN_MAX + 1];
	list_options(own, options);
	*out = (struct cmd_options){ .config = cmd_config_default() };
	*status = RELAY_EXIT_USAGE;
	optopt = 0;
	for (int o; (o = getopt_long(argc, argv, ":c:h", options, NULL)) != -1; optopt = 0) {          /* ':': what is wrong is said here */
		if (o == 'h' || o == HELP) {
			fputs(help, stdout);
			*status = RELAY_EXIT_OK;
			return false;
		}
		if (o == '?' || o == ':' || (o == JSON && !has_json)) {
			explain(options, has_json, o, argv[optind - 1]);
			see_help();
			return false;
		}
		if (o == 'c' || o == CONFIG)
			out->config = optarg;
		else if (o >= OWN && !take(&own[o - OWN]))
			return false;
		out->json = out->json || o == JSON;
	}
	return true;
}

bool cmd_options(int argc, char **argv, const char *help, bool has_json, struct cmd_options *out, int *status)
{
	return cmd_options_with(argc, argv, help, has_json, &(struct cmd_option){ 0 }, out, status);
}

/* jansson leaves DEL as it is; with all else escaped it can only stand in a string. */
static int write_octets(const char *octets, size_t len, void *to)
{
	while (len > 0) {
		const char *del = memchr(octets, 0x7f, len);
		size_t run = del ? (size_t)(del - octets) : len, used = run + (del != NULL);
		if (fwrite(octets, 1, run, to) != run || (del && fputs("\\u007f", to) == EOF))
			return -1;
		octets += used;
		len -= used;
	}
	return 0;
}

bool cmd_write_json(const json_t *v, FILE *to)
{
	return json_dump_callback(v, write_octets, to, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0 && fputc('\n', to) != EOF;
}

void cmd_print_json(const json_t *v)
{
	json_dump_callback(v, write_octets, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
}

/* ---- arguments and values ---- */

bool cmd_arguments(int argc, char **argv, int min, int max, int *status)
{
	int n = argc - optind;
	if (n >= min && n <= max)
		return true;
	if (n < min)
		fprintf(stderr, "strictpost %s: an argument is missing\n", cmd_name());
	else
		complain("this is one argument too many: ", argv[optind + max], "");
	see_help();
	*status = RELAY_EXIT_USAGE;
	return false;
}

bool cmd_duration(const char *text, int64_t *ms)
{
	struct sp_str rest = sp_str_trim(sp_str_of(text));
	int64_t sum = 0, part;
	if (rest.len == 0)
		return false;
	while (rest.len > 0) {
		size_t digits = 0, len;
		while (digits < rest.len && sp_is_digit(rest.p[digits]))
			digits++;
		for (len = digits; len < rest.len && sp_is_alpha(rest.p[len]); len++)
			;
		if (len == digits || !config_duration(sp_str_make(rest.p, len), &part) || part > INT64_MAX - sum)
			return false;
		sum += part;
		rest = sp_str_from(rest, len);
		sp_take_blanks(&rest);
	}
	*ms = sum;
	return true;
}

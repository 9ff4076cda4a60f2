/* relay/cmd_check.c - strictpost check: what a domain demands, whether we would reach it, and what its owner should mend. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"

#include "core/log.h"
#include "relay/check_print.h"
#include "relay/check_run.h"
#include "relay/cmd_check_list.h"
#include "relay/table.h"
#include "smtp/address.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* 0, 1 and 2 are answers here: a script that asks must not take a mistyped option for one of them. So, as sysexits.h has it: */
#define EXIT_USAGE 64                   /* EX_USAGE */
#define EXIT_NO_INPUT 66                /* EX_NOINPUT: the list cannot be read */

static const char help[] =
	"usage: strictpost check DOMAIN... [OPTIONS]     what does the domain demand, would mail reach it, and what is to be mended?\n"
	"       strictpost check --file LIST [OPTIONS]   a domain a line, \"#\" begins a comment; - reads standard input\n"
	"Looks as the relay would before it sent mail there, with its configuration, but with nothing cached. No relay needs to run.\n"
	"options: --connect        a session to each MX host, as far as verified TLS; no mail\n"
	"         --json           one JSON object a line for each domain, as it is ready\n"
	"         --full           all that was found of each domain, where there are several; else only a table\n"
	"         --parallel N     domains at a time (16)\n"
	"         --timeout TIME   for each domain (120s)\n"
	"         --sender ADDRESS of the mail that is thought of, for routes by sender\n"
	"         --no-rules       leave the configuration's routes and domains aside: what the domain demands by itself\n"
	"         --no-config      read no configuration at all: built-in settings, this machine's resolver\n"
	"         --verbose        the relay's log of it, on standard error\n"
	"         --config FILE, --help\n"
	"exit: 0 sound; 1 problems; 2 some of it could not be determined now; of several domains, problems come before the undetermined\n"
	"      64 usage, or a name that is no domain; 66 the list cannot be read; 78 the configuration does not hold\n";

struct options {
	bool connect, full, no_rules, no_config, verbose, json;
	const char *file, *parallel, *sender;
	int64_t timeout_ms;
};

struct row {
	enum check_status status;
	bool done;
	json_t *told;                   /* one ref; only what the table shows */
};

struct state {
	const struct options *o;
	struct row *rows;
	size_t count;
	bool each_whole;                /* all that was found is printed */
};

/* --- what was found --- */

static bool on_each(void *owner, size_t index, enum check_status status, json_t *told)
{
	struct state *s = owner;
	struct row *row = &s->rows[index];
	*row = (struct row){ .status = status, .done = true };
	if (s->o->json) {
		cmd_print_json(told);
	} else if (s->each_whole) {
		check_print(told);
		if (s->count > 1)
			putchar('\n');
	}
	if (!s->o->json && s->count > 1)
		row->told = json_pack("{s:O, s:O, s:O}", "domain", json_object_get(told, "domain"), "prediction", json_object_get(told, "prediction"),
		                      "findings", json_object_get(told, "findings"));
	return fflush(stdout) == 0 && !ferror(stdout);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* The first finding of the kind that the status is of. */
static const char *first_finding(const json_t *findings, enum check_status status)
{
	const char *wanted = status == CHECK_PROBLEMS ? "problem" : status == CHECK_UNDETERMINED ? "unknown" : "advice";
	size_t i;
	json_t *f;
	json_array_foreach(findings, i, f)
		if (strcmp(text_of(f, "severity"), wanted) == 0)
			return text_of(f, "text");
	return "";
}

static void print_table(const struct state *s)
{
	static const struct table_column columns[] = {
		{ "DOMAIN", false, true }, { "STATUS", false, false }, { "MAIL", false, false }, { "POLICY", false, false }, { "FIRST OF WHAT WAS FOUND", false, true },
	};
	static const enum terminal_colour colours[] = { [CHECK_SOUND] = TERMINAL_GOOD, [CHECK_PROBLEMS] = TERMINAL_BAD, [CHECK_UNDETERMINED] = TERMINAL_WARN };
	struct table *t = table_begin(stdout, columns, SP_COUNT(columns));
	size_t by_status[3] = { 0 };
	for (size_t i = 0; i < s->count; i++) {
		const struct row *row = &s->rows[i];
		if (!row->done)
			continue;
		by_status[row->status]++;
		table_cell(t, text_of(row->told, "domain"));
		table_cell_colour(t, check_status_str(row->status), colours[row->status]);
		table_cell(t, text_of(json_object_get(row->told, "prediction"), "outcome"));
		table_cell(t, text_of(json_object_get(row->told, "prediction"), "policy"));
		table_cell(t, first_finding(json_object_get(row->told, "findings"), row->status));
	}
	table_end(t, NULL);
	printf("%zu domains: %zu sound, %zu with problems, %zu undetermined\n", by_status[0] + by_status[1] + by_status[2], by_status[CHECK_SOUND],
	       by_status[CHECK_PROBLEMS], by_status[CHECK_UNDETERMINED]);
}

/* Problems come before what could not be determined, and that before what is sound. */
static int exit_status(const struct state *s)
{
	bool problem = false, unknown = false;
	for (size_t i = 0; i < s->count; i++) {
		problem |= s->rows[i].done && s->rows[i].status == CHECK_PROBLEMS;
		unknown |= !s->rows[i].done || s->rows[i].status == CHECK_UNDETERMINED;
	}
	return problem ? CHECK_PROBLEMS : unknown ? CHECK_UNDETERMINED : CHECK_SOUND;
}

static void free_rows(struct state *s)
{
	for (size_t i = 0; i < s->count; i++)
		json_decref(s->rows[i].told);
	free(s->rows);
}

/* --- the run --- */

static struct config *open_config(const char *path, bool must, const char **from)
{
	struct sp_buf problems;
	sp_buf_init(&problems, 65536);
	struct config *c = check_config(path, must, from, &problems);
	if (c == NULL)
		fprintf(stderr, "%sstrictpost check: this configuration does not hold; --no-config does without it\n", sp_buf_cstr(&problems));
	sp_buf_clear(&problems);
	return c;
}

static int run(const struct options *o, unsigned parallel, const struct check_list *l, struct config *config)
{
	struct sp_fail why;
	struct state s = { .o = o, .count = l->count, .rows = sp_alloc_array(l->count, sizeof(struct row)), .each_whole = l->count == 1 || o->full };
	struct check_run r = {
		.names = l->names, .count = l->count, .parallel = parallel, .forget_rules = o->no_rules, .each = on_each, .owner = &s,
		.ask = { .sender = o->sender, .connect = o->connect, .by_itself = o->no_rules, .deadline_ms = (uint64_t)o->timeout_ms },
	};
	int status = CHECK_UNDETERMINED;
	if (check_run(&r, config, &why)) {
		if (!o->json && s.count > 1)
			print_table(&s);
		if (r.done < s.count)
			fprintf(stderr, "strictpost check: interrupted: %zu of %zu domains were not looked at\n", s.count - r.done, s.count);
		status = exit_status(&s);
	} else {
		fprintf(stderr, "strictpost check: %s\n", why.text);
	}
	free_rows(&s);
	return status;
}

static int check_listed(const struct options *o, const char *config_path, bool must, unsigned parallel, const struct check_list *l)
{
	const char *from;
	struct config *config = open_config(o->no_config ? NULL : config_path, must, &from);
	if (config == NULL)
		return RELAY_EXIT_CONFIG;
	if (o->verbose)
		sp_log_setup((enum sp_log_format)config->log.format, (enum sp_log_level)config->log.level);
	else
		sp_log_silence();
	if (!o->json && from != config_path)
		fprintf(stderr, "strictpost check: with %s\n", from);
	int status = run(o, parallel, l, config);
	config_unref(config);
	return status;
}

static bool options_hold(const struct options *o, uint64_t *parallel)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_address sender;
	const char *why = "";
	bool number = o->parallel == NULL || sp_str_number(sp_str_of(o->parallel), 1, CHECK_PARALLEL_MAX, parallel);
	bool address = o->sender == NULL || smtp_address_parse(sp_str_of(o->sender), true, &arena, &sender, &why);
	if (!number)
		fprintf(stderr, "strictpost check: --parallel takes a number from 1 to %d\n", CHECK_PARALLEL_MAX);
	if (!address)
		fprintf(stderr, "strictpost check: --sender: '%s' is no address: %s\n", o->sender, why);
	sp_arena_clear(&arena);
	return number && address;
}

/* --config is lent by argv where it was given; else it is the default, which need not be there. */
static bool is_default(const char *config_path)
{
	return strcmp(config_path, cmd_config_default()) == 0;
}

static int check_all(const struct options *o, const char *config_path, char **names)
{
	uint64_t parallel = CHECK_PARALLEL;
	struct check_list l;
	int status = EXIT_USAGE;
	if (!options_hold(o, &parallel))
		return EXIT_USAGE;
	check_list_init(&l);
	for (; *names; names++)
		check_list_add(&l, *names, "");
	if (o->file && !check_list_read(&l, o->file))
		status = EXIT_NO_INPUT;
	else if (l.count > 0 && (l.faults == 0 || o->file))
		status = check_listed(o, config_path, !is_default(config_path), (unsigned)parallel, &l);
	else if (l.faults == 0)
		fputs("strictpost check: there is no domain to look at\n", stderr);
	if (l.faults > 0 && status == CHECK_SOUND)      /* it is not known of all that were asked for */
		status = CHECK_UNDETERMINED;
	check_list_clear(&l);
	return status;
}

int cmd_check(int argc, char **argv)
{
	struct options o = { .timeout_ms = CHECK_DEADLINE_MS };
	const struct cmd_option own[] = {
		{ "connect", .given = &o.connect }, { "full", .given = &o.full }, { "no-rules", .given = &o.no_rules }, { "no-config", .given = &o.no_config },
		{ "verbose", .given = &o.verbose }, { "file", .text = &o.file }, { "parallel", .text = &o.parallel }, { "sender", .text = &o.sender },
		{ "timeout", .duration_ms = &o.timeout_ms }, { NULL },
	};
	struct cmd_options shared;
	int status;
	if (!cmd_options_with(argc, argv, help, true, own, &shared, &status))
		return status == RELAY_EXIT_USAGE ? EXIT_USAGE : status;
	o.json = shared.json;
	if (optind == argc && o.file == NULL) {
		fputs("strictpost check: which domain? See strictpost check --help\n", stderr);
		return EXIT_USAGE;
	}
	return check_all(&o, shared.config, argv + optind);
}

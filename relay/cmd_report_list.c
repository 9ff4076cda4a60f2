/* relay/cmd_report_list.c - strictpost report list, show and suppressions: what will be or was reported, and whom mailed reports do not go to. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_report.h"
#include "relay/cmd_report_ask.h"
#include "relay/query.h"
#include "relay/table.h"
#include "rpt/read.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 4096

static const char list_help[] =
	"usage: strictpost report list [--day YYYY-MM-DD] [--domain DOMAIN] [--state STATE] [--json] [--config FILE]\n\n"
	"Prints the TLS reports that were sent and that are to be, with their sessions, how far they are, and what their endpoints said.\n"
	"  --state    open, mailed, delivered, failed or no-record\n"
	"  --json     one JSON object a line\n"
	"exit: 0 printed, 1 it could not be read, 2 usage, 78 a configuration that does not hold\n";

static const char show_help[] =
	"usage: strictpost report show DOMAIN [--day YYYY-MM-DD] [--json] [--config FILE]\n\n"
	"Prints a TLS report as it was or will be sent, also of a day that is not over. Without --day: of the last one with sessions.\n"
	"  --json     the JSON document itself (RFC 8460 4.4)\n"
	"exit: 0 printed, 1 there is none, 2 usage, 78 a configuration that does not hold\n";

static const char suppressions_help[] =
	"usage: strictpost report suppressions [--remove ADDRESS] [--json] [--config FILE]\n\n"
	"Prints the addresses to which no report is mailed for a while, because mail to them came back. --remove: mail to it again.\n"
	"exit: 0 done, 1 it could not be, 2 usage, 78 a configuration that does not hold\n";

/* ---- what all three do ---- */

/* Opens, lets `work` ask, closes; says why it did not work. */
static int with_client(const char *name, const struct report_options *o,
                       bool (*work)(struct report_client *c, const struct report_options *o, const char *argument, struct sp_buf *why),
                       const char *argument)
{
	int status;
	struct report_client *c = report_client_open(name, o->config, &status);
	if (c == NULL)
		return status;
	struct sp_buf why;
	sp_buf_init(&why, TEXT_MAX);
	bool good = work(c, o, argument, &why);
	if (!good)
		fprintf(stderr, "strictpost %s: %s\n", name, sp_buf_cstr(&why));
	sp_buf_clear(&why);
	report_client_close(c);
	return good ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

static void print_line(const json_t *v)
{
	json_dumpf(v, stdout, JSON_COMPACT);
	putchar('\n');
}

/* ---- list ---- */

static const struct table_column list_columns[] = {
	{ "day", false, false },    { "domain", false, true },        { "succeeded", true, false }, { "failed", true, false },
	{ "state", false, false },  { "next attempt", false, false },
};

static enum terminal_colour colour_of(const char *state)
{
	return strcmp(state, "failed") == 0 ? TERMINAL_BAD : strcmp(state, "delivered") == 0 ? TERMINAL_GOOD : TERMINAL_PLAIN;
}

static void note_endpoint(struct table *t, const json_t *e)
{
	struct sp_buf text;
	sp_buf_init(&text, TEXT_MAX);
	sp_buf_printf(&text, "%s: %s: %s", report_text(e, "uri"), report_text(e, "state"), report_text(e, "text"));
	table_note(t, sp_buf_cstr(&text));
	sp_buf_clear(&text);
}

static void add_row(struct table *t, const json_t *r)
{
	size_t i;
	const json_t *e;
	const char *state = report_text(r, "state");
	table_cell(t, report_text(r, "day"));
	table_cell(t, report_text(r, "domain"));
	table_int(t, report_number(r, "successes"));
	table_int(t, report_number(r, "failures"));
	table_cell_colour(t, state, colour_of(state));
	table_cell(t, report_text(r, "due"));
	if (*report_text(r, "text"))
		table_note(t, report_text(r, "text"));
	json_array_foreach(json_object_get(r, "endpoints"), i, e)
		note_endpoint(t, e);
}

static void add_target(struct sp_buf *out, const struct report_options *o)
{
	sp_buf_adds(out, "/report/list");
	query_add(out, "day", o->day);
	query_add(out, "domain", o->domain);
	query_add(out, "state", o->state);
}

/* One page, into `t` (NULL: as lines of JSON); where to go on in `next`, empty at the end. */
static void show_page(const json_t *page, const struct report_options *o, struct table *t, struct sp_buf *next)
{
	size_t i;
	const json_t *r, *on = json_object_get(page, "next");
	json_array_foreach(json_object_get(page, "reports"), i, r)
		t ? add_row(t, r) : print_line(r);
	sp_buf_reset(next);
	if (!json_is_object(on))
		return;
	add_target(next, o);
	query_add(next, "after_day", report_text(on, "day"));
	query_add(next, "after_domain", report_text(on, "domain"));
}

static bool list(struct report_client *c, const struct report_options *o, const char *argument SP_UNUSED, struct sp_buf *why)
{
	struct table *t = o->json ? NULL : table_begin(stdout, list_columns, SP_COUNT(list_columns));
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	add_target(&target, o);
	bool good = true;
	for (bool first = true; good && target.len > 0; first = false) {
		json_t *page = report_ask(c, "GET", sp_buf_cstr(&target), why);
		good = page != NULL;
		if (first && *report_text(page, "notice"))
			fprintf(stderr, "note: %s\n", report_text(page, "notice"));
		if (good)
			show_page(page, o, t, &target);
		json_decref(page);
	}
	if (t)
		table_end(t, good ? "no report was sent, and none is to be" : NULL);
	sp_buf_clear(&target);
	return good;
}

int cmd_report_list(int argc, char **argv)
{
	struct report_options o;
	int status;
	if (!report_options(argc, argv, list_help, "dmsj", &o, &status))
		return status;
	if (cmd_arguments(argc, argv, 0, 0, &status))
		status = with_client("report list", &o, list, NULL);
	sp_arena_clear(&o.arena);
	return status;
}

/* ---- show ---- */

static bool print_document(json_t *document, bool json, struct sp_buf *why)
{
	if (json) {
		json_dumpf(document, stdout, JSON_INDENT(2));
		putchar('\n');
		return true;
	}
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct rpt_read_report report;
	bool good = rpt_read(document, &arena, &report, why);
	if (good)
		cmd_report_print(&report);
	sp_arena_clear(&arena);
	return good;
}

static bool show(struct report_client *c, const struct report_options *o, const char *domain, struct sp_buf *why)
{
	struct control_answer a = { 0 };
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/report/document");
	query_add(&target, "domain", domain);
	query_add(&target, "day", o->day);
	bool good = report_client_ask(c, "GET", sp_buf_cstr(&target), &a, why);
	json_t *document = good ? rpt_unwrap(sp_buf_str(&a.body), why) : NULL;
	good = document && print_document(document, o->json, why);
	json_decref(document);
	sp_buf_clear(&a.body);
	sp_buf_clear(&target);
	return good;
}

int cmd_report_show(int argc, char **argv)
{
	struct report_options o;
	int status;
	if (!report_options(argc, argv, show_help, "dj", &o, &status))
		return status;
	if (cmd_arguments(argc, argv, 1, 1, &status)) {
		const char *domain = report_domain(argv[optind], &o.arena);
		status = domain ? with_client("report show", &o, show, domain) : RELAY_EXIT_USAGE;
	}
	sp_arena_clear(&o.arena);
	return status;
}

/* ---- suppressions ---- */

static const struct table_column suppressions_columns[] = { { "address", false, true }, { "until", false, false }, { "why", false, true } };

static void add_suppression(struct table *t, const json_t *s)
{
	table_cell(t, report_text(s, "address"));
	table_cell(t, report_text(s, "until"));
	table_cell(t, report_text(s, "text"));
}

static bool list_suppressions(struct report_client *c, const struct report_options *o, struct sp_buf *why)
{
	struct table *t = o->json ? NULL : table_begin(stdout, suppressions_columns, SP_COUNT(suppressions_columns));
	struct sp_buf target;
	size_t i;
	const json_t *s;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/report/suppressions");
	bool good = true;
	while (good && target.len > 0) {
		json_t *page = report_ask(c, "GET", sp_buf_cstr(&target), why);
		good = page != NULL;
		json_array_foreach(json_object_get(page, "suppressions"), i, s)
			t ? add_suppression(t, s) : print_line(s);
		sp_buf_reset(&target);
		if (json_is_string(json_object_get(page, "next"))) {
			sp_buf_adds(&target, "/report/suppressions");
			query_add(&target, "after", report_text(page, "next"));
		}
		json_decref(page);
	}
	if (t)
		table_end(t, good ? "reports are mailed to every address" : NULL);
	sp_buf_clear(&target);
	return good;
}

static bool suppressions(struct report_client *c, const struct report_options *o, const char *argument SP_UNUSED, struct sp_buf *why)
{
	if (o->remove == NULL)
		return list_suppressions(c, o, why);
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/report/suppressions");
	query_add(&target, "address", o->remove);
	json_t *v = report_ask(c, "DELETE", sp_buf_cstr(&target), why);
	if (v && o->json)
		print_line(v);
	else if (v)
		printf("reports are mailed to %s again\n", report_text(v, "address"));
	json_decref(v);
	sp_buf_clear(&target);
	return v != NULL;
}

int cmd_report_suppressions(int argc, char **argv)
{
	struct report_options o;
	int status;
	if (!report_options(argc, argv, suppressions_help, "rj", &o, &status))
		return status;
	if (cmd_arguments(argc, argv, 0, 0, &status))
		status = with_client("report suppressions", &o, suppressions, NULL);
	sp_arena_clear(&o.arena);
	return status;
}

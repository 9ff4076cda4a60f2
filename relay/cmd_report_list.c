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
                       bool (*work)(struct api_client *c, const struct report_options *o, const char *argument, struct sp_buf *why),
                       const char *argument)
{
	int status;
	struct api_client *c = api_client_open(name, o->config, true, &status);
	if (c == NULL)
		return status;
	struct sp_buf why;
	sp_buf_init(&why, TEXT_MAX);
	bool good = work(c, o, argument, &why);
	if (!good)
		fprintf(stderr, "strictpost %s: %s\n", name, sp_buf_cstr(&why));
	sp_buf_clear(&why);
	api_client_close(c);
	return good ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
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

/* What stands in the way of all mailed reports. False with `why`. */
static bool tell_notice(struct api_client *c, struct sp_buf *why)
{
	json_t *v = api_client_json(c, "GET", "/report/notice", why);
	const char *notice = report_text(v, "notice");
	if (*notice)
		fprintf(stderr, "note: %s\n", notice);
	json_decref(v);
	return v != NULL;
}

static bool on_row(void *owner, const json_t *r)
{
	struct table *t = owner;                /* NULL: as lines of JSON */
	t ? add_row(t, r) : cmd_print_json(r);
	return true;
}

static bool list(struct api_client *c, const struct report_options *o, const char *argument SP_UNUSED, struct sp_buf *why)
{
	struct table *t = o->json ? NULL : table_begin(stdout, list_columns, SP_COUNT(list_columns));
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/report/list");
	query_add(&target, "day", o->day);
	query_add(&target, "domain", o->domain);
	query_add(&target, "state", o->state);
	bool good = tell_notice(c, why);
	good = good && api_client_each(c, sp_buf_cstr(&target), "reports", on_row, t, why);
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
		cmd_write_json(document, stdout);
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

static bool show(struct api_client *c, const struct report_options *o, const char *domain, struct sp_buf *why)
{
	struct control_answer a = { 0 };
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/report/document");
	query_add(&target, "domain", domain);
	query_add(&target, "day", o->day);
	bool good = api_client_ask(c, "GET", sp_buf_cstr(&target), &a, why);
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

static bool on_suppression(void *owner, const json_t *s)
{
	struct table *t = owner;
	if (t == NULL) {
		cmd_print_json(s);
		return true;
	}
	table_cell(t, report_text(s, "address"));
	table_cell(t, report_text(s, "until"));
	table_cell(t, report_text(s, "text"));
	return true;
}

static bool list_suppressions(struct api_client *c, const struct report_options *o, struct sp_buf *why)
{
	struct table *t = o->json ? NULL : table_begin(stdout, suppressions_columns, SP_COUNT(suppressions_columns));
	bool good = api_client_each(c, "/report/suppressions", "suppressions", on_suppression, t, why);
	if (t)
		table_end(t, good ? "reports are mailed to every address" : NULL);
	return good;
}

static bool suppressions(struct api_client *c, const struct report_options *o, const char *argument SP_UNUSED, struct sp_buf *why)
{
	if (o->remove == NULL)
		return list_suppressions(c, o, why);
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/report/suppressions");
	query_add(&target, "address", o->remove);
	json_t *v = api_client_json(c, "DELETE", sp_buf_cstr(&target), why);
	if (v && o->json)
		cmd_print_json(v);
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

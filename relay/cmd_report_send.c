/* relay/cmd_report_send.c - strictpost report send: begins a run and follows it. Everything it knows it has from relay/report_api.c. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_report.h"
#include "relay/cmd_report_ask.h"
#include "relay/progress.h"
#include "relay/query.h"

#include <stdio.h>

#define NAME "report send"
#define TEXT_MAX 4096
#define POLL_MIN_MS 20                  /* between two looks at how far it is */
#define POLL_MAX_MS 500

static const char help[] =
	"usage: strictpost report send [--day YYYY-MM-DD] [--domain DOMAIN] [--again] [--dry-run] [--json] [--config FILE]\n\n"
	"Sends the TLS reports (RFC 8460) of every day that is over and not yet reported, whether or not their moment has come. Works with the\n"
	"relay running (it does the sending, and goes on when this command is stopped) and without it. What was delivered is not sent again.\n"
	"  --day      that day only; one that is not over yet is reported as far as it is, and once more when it is\n"
	"  --domain   that policy domain only\n"
	"  --again    also what was sent already, or given up\n"
	"  --dry-run  looks up who wants a report and makes it, but sends and stores nothing\n"
	"  --json     one JSON object a line: the reports, then the summary\n"
	"exit: 0 all delivered or in the queue, or nobody asked; 1 some could not be; 2 usage; 78 a configuration that does not hold\n";

/* One run, as seen from here. */
struct following {
	struct api_client *client;
	const struct report_options *options;
	json_int_t run, seen;                   /* its number, and the last result that was shown */
	struct progress *progress;
	json_t *state;                          /* the last answer */
};

/* ---- what is shown ---- */

static void print_result(const json_t *r)
{
	size_t i;
	const json_t *e;
	printf("%s %s: %s", report_text(r, "day"), report_text(r, "domain"), report_text(r, "state"));
	if (report_number(r, "octets") > 0)
		printf(", %" JSON_INTEGER_FORMAT " sessions, %" JSON_INTEGER_FORMAT " of them failed, %" JSON_INTEGER_FORMAT " octets",
		       report_number(r, "successes") + report_number(r, "failures"), report_number(r, "failures"), report_number(r, "octets"));
	printf("%s%s\n", *report_text(r, "text") ? ": " : "", report_text(r, "text"));
	json_array_foreach(json_object_get(r, "endpoints"), i, e)
		printf("    %s: %s%s%s\n", report_text(e, "uri"), report_text(e, "state"), *report_text(e, "state") ? ": " : "", report_text(e, "text"));
}

static void show_results(struct following *f)
{
	size_t i;
	const json_t *r;
	json_array_foreach(json_object_get(f->state, "results"), i, r) {
		progress_hide(f->progress);
		if (report_number(r, "n") > f->seen + 1)
			fprintf(stderr, "(%" JSON_INTEGER_FORMAT " results went by too fast to be shown; see strictpost report list)\n",
			        report_number(r, "n") - f->seen - 1);
		f->seen = report_number(r, "n");
		if (f->options->json) {
			cmd_print_json(r);
		} else {
			print_result(r);
		}
	}
	fflush(stdout);
}

static void print_summary(const struct following *f)
{
	const json_t *s = f->state;
	json_int_t waiting = report_number(s, "open");
	if (report_number(s, "done") == 0) {
		puts("no report is to be sent");
		return;
	}
	printf("%" JSON_INTEGER_FORMAT " reports: ", report_number(s, "done"));
	if (f->options->dry)
		printf("%" JSON_INTEGER_FORMAT " would be sent, ", report_number(s, "dry"));
	else
		printf("%" JSON_INTEGER_FORMAT " delivered, %" JSON_INTEGER_FORMAT " mailed, ", report_number(s, "delivered"), report_number(s, "mailed"));
	printf("%" JSON_INTEGER_FORMAT " without a record that asks for it, %" JSON_INTEGER_FORMAT " could not be sent", report_number(s, "no-record"),
	       report_number(s, "failed") + waiting);
	if (waiting > 0)
		printf(" (%" JSON_INTEGER_FORMAT " of them will be tried again)", waiting);
	putchar('\n');
	if (report_number(s, "mailed") > 0 && !api_client_is_relay(f->client))
		puts("What is mailed waits in the spool until the relay runs.");
}

static int conclude(struct following *f)
{
	const char *error = report_text(f->state, "error");
	if (f->options->json) {
		json_object_del(f->state, "results");
		json_object_del(f->state, "running");
		cmd_print_json(f->state);
	} else {
		print_summary(f);
	}
	if (*error)
		fprintf(stderr, "strictpost " NAME ": %s\n", error);
	return *error || report_number(f->state, "failed") > 0 || report_number(f->state, "open") > 0 ? RELAY_EXIT_FAILED : RELAY_EXIT_OK;
}

/* ---- the run ---- */

static bool begin(struct following *f, struct sp_buf *why)
{
	const struct report_options *o = f->options;
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/report/send");
	query_add(&target, "day", o->day);
	query_add(&target, "domain", o->domain);
	query_add(&target, "again", o->again ? "1" : NULL);
	query_add(&target, "dry", o->dry ? "1" : NULL);
	if (sp_buf_failed(&target))
		sp_buf_adds(why, "the domain is too long");
	json_t *v = sp_buf_failed(&target) ? NULL : api_client_json(f->client, "POST", sp_buf_cstr(&target), why);
	f->run = report_number(v, "run");
	json_decref(v);
	sp_buf_clear(&target);
	return v != NULL;
}

/* Looks how far it is. False with `why`. */
static bool look(struct following *f, struct sp_buf *why)
{
	char target[64];
	snprintf(target, sizeof(target), "/report/run?after=%" JSON_INTEGER_FORMAT, f->seen);
	json_t *v = api_client_json(f->client, "GET", target, why);
	if (v == NULL)
		return false;
	json_decref(f->state);
	f->state = v;
	if (report_number(v, "run") == f->run)
		return true;
	sp_buf_adds(why, "the relay was restarted meanwhile; strictpost report send goes on where it was");
	return false;
}

static bool follow(struct following *f, struct sp_buf *why)
{
	for (unsigned wait_ms = POLL_MIN_MS; look(f, why); wait_ms = wait_ms < POLL_MAX_MS ? wait_ms * 2 : POLL_MAX_MS) {
		json_int_t seen = f->seen;
		show_results(f);
		if (!json_is_true(json_object_get(f->state, "running")))
			return true;
		progress_show(f->progress, (uint64_t)report_number(f->state, "done"), (uint64_t)report_number(f->state, "total"), NULL);
		if (f->seen > seen)
			wait_ms = POLL_MIN_MS;
		api_client_wait(f->client, wait_ms);
	}
	return false;
}

static int send_reports(const struct report_options *o)
{
	struct following f = { .options = o };
	struct sp_buf why;
	int status;
	f.client = api_client_open(NAME, o->config, true, &status);
	if (f.client == NULL)
		return status;
	sp_buf_init(&why, TEXT_MAX);
	f.progress = progress_begin("sending");
	bool good = begin(&f, &why) && follow(&f, &why);
	progress_end(f.progress);
	if (good) {
		status = conclude(&f);
	} else {
		fprintf(stderr, "strictpost " NAME ": %s\n", sp_buf_cstr(&why));
		status = RELAY_EXIT_FAILED;
	}
	json_decref(f.state);
	sp_buf_clear(&why);
	api_client_close(f.client);
	return status;
}

int cmd_report_send(int argc, char **argv)
{
	struct report_options o;
	int status;
	if (!report_options(argc, argv, help, "dmanj", &o, &status))
		return status;
	if (cmd_arguments(argc, argv, 0, 0, &status))
		status = send_reports(&o);
	sp_arena_clear(&o.arena);
	return status;
}

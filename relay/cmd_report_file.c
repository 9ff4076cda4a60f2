/* relay/cmd_report_file.c - strictpost report read|lint|txt: for the owner of a domain who gets reports, and for who writes them. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_report.h"
#include "relay/terminal.h"

#include "rpt/lint.h"
#include "rpt/read.h"
#include "rpt/record.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_MAX 4096
#define PAGE_MAX (64u * 1024 * 1024)    /* octets of a table */
#define COLUMNS 100                     /* where no terminal is */

static const char read_help[] =
	"usage: strictpost report read [--json] FILE|-...\n\n"
	"Prints TLS reports (RFC 8460) that a domain got: the JSON document, gzipped or not, or the mail that carried it, as it was received or\n"
	"forwarded as an attachment. What it is, is seen from its content. - reads standard input.\n"
	"options: --json   what was understood, a line of JSON for each report\n"
	"         --help\n"
	"exit: 0 read, 1 something is no report, 2 usage, or a file that cannot be read\n";

static const char lint_help[] =
	"usage: strictpost report lint [--json] FILE|-\n\n"
	"Is this report as RFC 8460 wants it? A file as for `read`; of a mail, its fields and the name of its attachment are checked too.\n"
	"Whether a DKIM signature holds is not checked, only that there is one. Of several reports in a file all are checked: \"report 2: ...\".\n"
	"options: --json   {\"valid\": ..., \"errors\": [{\"where\", \"section\", \"text\"}...], \"warnings\": [...]}\n"
	"         --help\n"
	"exit: 0 no errors, 1 errors, 2 usage, or a file that cannot be read\n";

static const char txt_help[] =
	"usage: strictpost report txt [--json] RECORD...\n\n"
	"Do these TXT records of _smtp._tls.<domain> ask for reports, and where to? One argument for each record of the set.\n"
	"options: --json   {\"valid\": true, \"rua\": [...]} or {\"valid\": false, \"error\": ...}\n"
	"         --help\n"
	"exit: 0 valid, 1 not, 2 usage\n";

/* ---- files ---- */

/* At most one octet more than a report may have. False with errno. */
static bool read_file(const char *path, struct sp_buf *out)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	if (file == NULL)
		return false;
	char *room;
	size_t got = 1;
	errno = 0;
	while (got > 0 && (room = sp_buf_room(out, sp_min(65536, RPT_FILE_MAX + 1 - out->len))) != NULL) {
		got = fread(room, 1, sp_min(65536, RPT_FILE_MAX + 1 - out->len), file);
		sp_buf_wrote(out, got);
	}
	int error = ferror(file) ? errno : 0;
	if (file != stdin)
		fclose(file);
	errno = error;
	return error == 0;
}

static const char *name_of(const char *path)
{
	return strcmp(path, "-") == 0 ? "standard input" : path;
}

static void print_line(json_t *v)
{
	cmd_print_json(v);
	json_decref(v);
}

/* ---- read ---- */

struct reading {
	bool json;
	bool titles;                    /* several files: say which */
	const char *path;
	unsigned shown, wrong;
};

static unsigned columns(void)
{
	const char *env = getenv("COLUMNS");
	uint64_t told;
	if (env && sp_str_number(sp_str_of(env), 1, 10000, &told))
		return (unsigned)told;
	unsigned width = terminal_width(stdout);
	return width > 0 ? width : COLUMNS;
}

void cmd_report_print(const struct rpt_read_report *report)
{
	struct sp_buf page;
	sp_buf_init(&page, PAGE_MAX);
	rpt_read_print(report, columns(), *terminal_on(stdout, TERMINAL_BOLD) != '\0', &page);
	fputs(sp_buf_cstr(&page), stdout);
	if (sp_buf_failed(&page))
		fputs("... and more than can be shown (--json has it all)\n", stdout);
	sp_buf_clear(&page);
}

static void print_report(const struct reading *r, const struct rpt_read_report *report)
{
	if (r->shown > 0)
		putchar('\n');
	if (r->titles)
		printf("%s\n", name_of(r->path));
	cmd_report_print(report);
}

static void on_report(void *arg, const json_t *document, const struct rpt_carrier *carrier SP_UNUSED)
{
	struct reading *r = arg;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct rpt_read_report report;
	struct sp_buf why;
	sp_buf_init(&why, WHY_MAX);
	if (!rpt_read(document, &arena, &report, &why)) {
		fprintf(stderr, "strictpost report read: %s: %s\n", name_of(r->path), sp_buf_cstr(&why));
		r->wrong++;
	} else {
		if (r->json)
			print_line(rpt_read_json(&report));
		else
			print_report(r, &report);
		r->shown++;
	}
	sp_buf_clear(&why);
	sp_arena_clear(&arena);
}

/* False: the file cannot be read. */
static bool read_one(struct reading *r)
{
	struct sp_buf octets, why;
	sp_buf_init(&octets, RPT_FILE_MAX + 1);
	sp_buf_init(&why, WHY_MAX);
	bool good = read_file(r->path, &octets);
	if (!good)
		fprintf(stderr, "strictpost report read: cannot read %s: %s\n", name_of(r->path), strerror(errno));
	else
		(void)rpt_unwrap_each(sp_buf_str(&octets), on_report, r, &why);
	if (why.len > 0) {
		fprintf(stderr, "strictpost report read: %s: %s\n", name_of(r->path), sp_buf_cstr(&why));
		r->wrong++;
	}
	sp_buf_clear(&octets);
	sp_buf_clear(&why);
	return good;
}

int cmd_report_read(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	if (!cmd_options(argc, argv, read_help, true, &o, &status))
		return status;
	if (!cmd_arguments(argc, argv, 1, INT_MAX, &status))
		return status;
	struct reading r = { .json = o.json, .titles = argc - optind > 1 };
	bool readable = true;
	for (int i = optind; i < argc; i++) {
		r.path = argv[i];
		readable = read_one(&r) && readable;
	}
	return !readable ? RELAY_EXIT_USAGE : r.wrong > 0 ? RELAY_EXIT_FAILED : RELAY_EXIT_OK;
}

/* ---- lint ---- */

#define FINDINGS_MAX 200                /* that are told of each kind; how many more there are is told too */

struct linting {
	json_t *errors, *warnings;
	size_t error_count, warning_count;
	unsigned report;                /* which of the file; 0: none */
};

static void on_finding(void *arg, bool error, const char *where, const char *section, const char *text)
{
	struct linting *l = arg;
	size_t *count = error ? &l->error_count : &l->warning_count;
	char second[32] = "";
	if (l->report > 1)
		snprintf(second, sizeof(second), "report %u%s", l->report, *where ? ": " : "");
	if ((*count)++ < FINDINGS_MAX)
		json_array_append_new(error ? l->errors : l->warnings,
		                      json_pack("{s:s+, s:s, s:s}", "where", second, where, "section", section, "text", text));
}

static void on_document(void *arg, const json_t *document, const struct rpt_carrier *carrier)
{
	struct linting *l = arg;
	l->report++;
	(void)rpt_lint(document, carrier, on_finding, l);
}

static void print_findings(const char *label, const json_t *findings, size_t count)
{
	size_t i;
	json_t *f;
	json_array_foreach(findings, i, f) {
		const char *where = json_string_value(json_object_get(f, "where"));
		const char *section = json_string_value(json_object_get(f, "section"));
		printf("  %-8s %s%s%s%s%s%s\n", label, where, *where ? ": " : "", json_string_value(json_object_get(f, "text")), *section ? " (" : "",
		       section, *section ? ")" : "");
	}
	if (count > FINDINGS_MAX)
		printf("  %-8s ... and %zu more\n", label, count - FINDINGS_MAX);
}

static void print_verdict(const char *path, const struct linting *l, bool json)
{
	if (json) {
		print_line(json_pack("{s:b, s:O, s:O}", "valid", l->error_count == 0, "errors", l->errors, "warnings", l->warnings));
		return;
	}
	printf("%s: %s", name_of(path), l->error_count == 0 ? "valid" : "not valid");
	if (l->error_count > 0)
		printf(": %zu error%s", l->error_count, l->error_count > 1 ? "s" : "");
	if (l->warning_count > 0)
		printf("%s%zu warning%s", l->error_count > 0 ? ", " : ", with ", l->warning_count, l->warning_count > 1 ? "s" : "");
	putchar('\n');
	print_findings("error", l->errors, l->error_count);
	print_findings("warning", l->warnings, l->warning_count);
}

static int lint(const char *path, struct sp_str octets, bool json)
{
	struct linting l = { .errors = json_array(), .warnings = json_array() };
	struct sp_buf why;
	sp_buf_init(&why, WHY_MAX);
	(void)rpt_unwrap_each(octets, on_document, &l, &why);
	l.report = 0;
	if (why.len > 0)
		on_finding(&l, true, "", "", sp_buf_cstr(&why));
	print_verdict(path, &l, json);
	json_decref(l.errors);
	json_decref(l.warnings);
	sp_buf_clear(&why);
	return l.error_count == 0 ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

int cmd_report_lint(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	if (!cmd_options(argc, argv, lint_help, true, &o, &status))
		return status;
	if (optind + 1 != argc) {
		fputs("strictpost report lint: give one file, or - for standard input\n", stderr);
		return RELAY_EXIT_USAGE;
	}
	struct sp_buf octets;
	sp_buf_init(&octets, RPT_FILE_MAX + 1);
	if (read_file(argv[optind], &octets))
		status = lint(argv[optind], sp_buf_str(&octets), o.json);
	else {
		fprintf(stderr, "strictpost report lint: cannot read %s: %s\n", name_of(argv[optind]), strerror(errno));
		status = RELAY_EXIT_USAGE;
	}
	sp_buf_clear(&octets);
	return status;
}

/* ---- txt ---- */

static json_t *strings(const char *const *items, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(items[i]));
	return list;
}

static void print_record(const struct rpt_record *record, bool json)
{
	const char *uris[RPT_RUA_MAX];
	for (size_t i = 0; i < record->count; i++)
		uris[i] = record->rua[i].uri;
	if (json) {
		json_t *answer = json_pack("{s:b, s:o}", "valid", 1, "rua", strings(uris, record->count));
		if (record->skipped_count > 0)
			json_object_set_new(answer, "skipped", strings(record->skipped, record->skipped_count));
		print_line(answer);
		return;
	}
	puts("_smtp._tls: valid");
	for (size_t i = 0; i < record->count; i++)
		printf("  rua      %s\n", uris[i]);
	for (size_t i = 0; i < record->skipped_count; i++)
		printf("  skipped: %s\n", record->skipped[i]);
}

int cmd_report_txt(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	if (!cmd_options(argc, argv, txt_help, true, &o, &status))
		return status;
	if (optind == argc) {
		fputs("strictpost report txt: give the TXT records of _smtp._tls.<domain>, one argument each\n", stderr);
		return RELAY_EXIT_USAGE;
	}
	size_t count = (size_t)(argc - optind);
	struct sp_str *records = sp_alloc_array(count, sizeof(*records));
	for (size_t i = 0; i < count; i++)
		records[i] = sp_str_of(argv[optind + (int)i]);
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct rpt_record record;
	const char *why;
	bool valid = rpt_record_parse(records, count, &arena, &record, &why) == RPT_RECORD_OK;
	if (valid)
		print_record(&record, o.json);
	else if (o.json)
		print_line(json_pack("{s:b, s:s}", "valid", 0, "error", why));
	else
		printf("_smtp._tls: not valid: %s\n", why);
	free(records);
	sp_arena_clear(&arena);
	return valid ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

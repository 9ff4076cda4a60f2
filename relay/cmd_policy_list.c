/* relay/cmd_policy_list.c - strictpost policy list, show and history: what is cached of domains, and what became of it. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_policy.h"
#include "relay/cmd_verb.h"
#include "relay/query.h"
#include "relay/table.h"
#include "smtp/address.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char list_help[] =
	"usage: strictpost policy list [--mode MODE] [--failing] [--within DURATION] [--json] [--config FILE]\n\n"
	"Prints the MTA-STS policies that are cached, by domain: how long each still protects, when it is fetched again, and why that failed.\n"
	"  --mode     enforce, testing or none\n"
	"  --failing  those whose last fetch failed\n"
	"  --within   those that expire within a time: 3d, 12h\n"
	"  --json     one JSON object a line\n"
	"It works where no relay runs, too. Exit: 0 printed, 1 it could not be read, 2 usage, 78 a configuration that does not hold\n";

static const char show_help[] =
	"usage: strictpost policy show DOMAIN... [--json] [--config FILE]\n\n"
	"Prints all that is cached of domains: the policy, where it came from, how long it holds, and the last failure.\n"
	"  --json     one JSON object a line\n"
	"Exit: 0 printed, 1 nothing is cached of one of them, 2 usage, 78 a configuration that does not hold\n";

static const char history_help[] =
	"usage: strictpost policy history [DOMAIN...] [--weaker] [--json] [--config FILE]\n\n"
	"Prints what became of policies, the newest first: first-seen, changed, removed (mode none), expired, forgotten (by an operator), seen-again.\n"
	"Marked is what weakened a policy of mode enforce: another mode or none, a wildcard more in mx, a max_age of less than half and less than a week.\n"
	"  --weaker   these alone\n"
	"  --json     one JSON object a line\n"
	"Exit: 0 printed, 1 it could not be read, 2 usage, 78 a configuration that does not hold\n";

/* ---- shared ---- */

bool policy_domains(int count, char **words, struct sp_arena *arena, const char ***out)
{
	const char **domains = sp_arena_alloc(arena, ((size_t)count + 1) * sizeof(*domains));
	for (int i = 0; i < count; i++) {
		const char *why = "";
		domains[i] = smtp_domain_ascii(sp_str_of(words[i]), arena, &why);
		if (domains[i])
			continue;
		struct sp_buf text;
		sp_buf_init(&text, POLICY_TEXT_MAX);
		sp_buf_printf(&text, "'%s' is no domain: %s", words[i], why);
		policy_complain(&text);
		sp_buf_clear(&text);
		return false;
	}
	*out = domains;
	return true;
}

const char *policy_text(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));
	return s ? s : "";
}

json_int_t policy_number(const json_t *v, const char *name)
{
	return json_integer_value(json_object_get(v, name));
}

void policy_complain(const struct sp_buf *why)
{
	struct sp_buf text;
	sp_buf_init(&text, 2 * POLICY_TEXT_MAX);
	terminal_fit(&text, sp_buf_str(why), 0);
	fprintf(stderr, "strictpost %s: %s\n", cmd_name(), sp_buf_cstr(&text));
	sp_buf_clear(&text);
}

json_t *policy_ask(struct api_client *c, const char *domain, struct sp_buf *why)
{
	struct sp_buf target;
	sp_buf_init(&target, POLICY_TEXT_MAX);
	sp_buf_adds(&target, "/policy/list");
	query_add(&target, "domain", domain);
	json_t *page = api_client_json(c, "GET", sp_buf_cstr(&target), why);
	json_t *row = page ? json_incref(json_array_get(json_object_get(page, "policies"), 0)) : NULL;
	sp_buf_clear(&target);
	bool asked = page != NULL;
	json_decref(page);
	return asked && row == NULL ? json_null() : row;
}

/* "2026-11-22 14:03" of an RFC 3339 time: shorter, for columns. */
static const char *short_time(const json_t *v, const char *name, char text[24])
{
	const char *at = policy_text(v, name);
	snprintf(text, 24, "%.10s%s%.5s", at, strlen(at) > 16 ? " " : "", strlen(at) > 16 ? at + 11 : "");
	return text;
}

static void add_mx(const json_t *list, struct sp_buf *out)
{
	size_t i;
	const json_t *mx;
	json_array_foreach(list, i, mx)
		sp_buf_printf(out, "%s%s", i ? " " : "", json_string_value(mx));
}

static enum terminal_colour mode_colour(const char *mode)
{
	return strcmp(mode, "enforce") == 0 ? TERMINAL_GOOD : strcmp(mode, "testing") == 0 ? TERMINAL_WARN : TERMINAL_PLAIN;
}

/* "expired", "-", "2.5 d": how long the policy still protects. */
static const char *days_text(const json_t *row, char text[32])
{
	const json_t *days = json_object_get(row, "days_left");
	if (json_is_real(days) && json_real_value(days) < 0.1)
		snprintf(text, 32, "under 0.1");
	else if (json_is_real(days))
		snprintf(text, 32, "%.1f", json_real_value(days));
	else
		snprintf(text, 32, "%s", strcmp(policy_text(row, "state"), "expired") == 0 ? "expired" : "-");
	return text;
}

/* ---- list ---- */

static const struct table_column list_columns[] = {
	{ "domain", false, true },       { "mode", false, false },   { "days left", true, false }, { "fetched", false, false },
	{ "refresh due", false, false }, { "failures", true, false }, { "mx", false, true },
};

struct listing {
	struct api_client *client;
	struct table *table;            /* NULL: lines of JSON */
	struct sp_buf why;
};

static bool add_policy(void *owner, const json_t *row)
{
	struct listing *l = owner;
	char text[40];
	struct sp_buf mx;
	if (l->table == NULL) {
		cmd_print_json(row);
		return !ferror(stdout);
	}
	const char *mode = *policy_text(row, "mode") ? policy_text(row, "mode") : "-", *days = days_text(row, text);
	const json_t *failure = json_object_get(row, "failure");
	json_int_t failures = policy_number(row, "failures");
	table_cell(l->table, policy_text(row, "domain"));
	table_cell_colour(l->table, mode, mode_colour(mode));
	table_cell_colour(l->table, days, strcmp(days, "expired") == 0 || (failures > 0 && json_real_value(json_object_get(row, "days_left")) < 3) ?
	                                  TERMINAL_BAD : TERMINAL_PLAIN);
	table_cell(l->table, short_time(row, "fetched", text));
	table_cell(l->table, short_time(row, "refresh_due", text));
	table_int(l->table, failures);
	sp_buf_init(&mx, POLICY_MX_MAX);
	add_mx(json_object_get(row, "mx"), &mx);
	table_cell(l->table, sp_buf_cstr(&mx));
	sp_buf_clear(&mx);
	if (json_is_object(failure)) {
		sp_buf_init(&mx, POLICY_TEXT_MAX);
		sp_buf_printf(&mx, "last failure: %s: %s", policy_text(failure, "result"), policy_text(failure, "text"));
		table_note(l->table, sp_buf_cstr(&mx));
		sp_buf_clear(&mx);
	}
	return true;
}

/* False: there is nobody to ask; *status: the exit status. */
static bool begin_listing(struct listing *l, const struct cmd_options *o, const struct table_column *columns, size_t count, int *status)
{
	l->client = api_client_open(cmd_name(), o->config, true, status);
	if (l->client == NULL)
		return false;
	l->table = o->json ? NULL : table_begin(stdout, columns, count);
	sp_buf_init(&l->why, POLICY_TEXT_MAX);
	return true;
}

/* The exit status; the listing is gone. */
static int end_listing(struct listing *l, bool good, const char *empty)
{
	if (l->table)
		table_end(l->table, good ? empty : NULL);
	if (!good)
		policy_complain(&l->why);
	sp_buf_clear(&l->why);
	api_client_close(l->client);
	return good ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

static int list(const struct cmd_options *o, const struct sp_buf *target)
{
	int status;
	struct listing l;
	if (!begin_listing(&l, o, list_columns, SP_COUNT(list_columns), &status))
		return status;
	bool good = api_client_each(l.client, sp_buf_cstr(target), "policies", add_policy, &l, &l.why);
	return end_listing(&l, good, "no such policy is cached");
}

int cmd_policy_list(int argc, char **argv)
{
	struct cmd_options o;
	const char *mode = NULL;
	bool failing = false;
	int64_t within_ms = 0;
	int status;
	const struct cmd_option own[] = { { .name = "mode", .text = &mode }, { .name = "failing", .given = &failing },
	                                  { .name = "within", .duration_ms = &within_ms }, { 0 } };
	if (!cmd_options_with(argc, argv, list_help, true, own, &o, &status) || !cmd_arguments(argc, argv, 0, 0, &status))
		return status;
	char within[24];
	struct sp_buf target;
	snprintf(within, sizeof(within), "%" PRId64, (within_ms + 999) / 1000);        /* less than a second is not everything */
	sp_buf_init(&target, POLICY_TEXT_MAX);
	sp_buf_adds(&target, "/policy/list");
	query_add(&target, "mode", mode);
	query_add(&target, "failing", failing ? "1" : NULL);
	query_add(&target, "within", within_ms > 0 ? within : NULL);
	status = list(&o, &target);
	sp_buf_clear(&target);
	return status;
}

/* ---- show ---- */

static void print_text(const char *label, const char *text)
{
	struct sp_buf shown;
	if (*text == '\0')
		return;
	sp_buf_init(&shown, POLICY_MX_MAX);
	terminal_fit(&shown, sp_str_of(text), 0);
	printf("  %-12s %s\n", label, sp_buf_cstr(&shown));
	sp_buf_clear(&shown);
}

static void print_failure(const json_t *row)
{
	const json_t *failure = json_object_get(row, "failure");
	if (!json_is_object(failure))
		return;
	printf("  %-12s %s%" JSON_INTEGER_FORMAT " in a row%s\n", "failures", terminal_on(stdout, TERMINAL_BAD), policy_number(row, "failures"),
	       terminal_off(stdout, TERMINAL_BAD));
	print_text("last", policy_text(failure, "result"));
	print_text("", policy_text(failure, "text"));
	print_text("not before", policy_text(failure, "not_before"));
}

static void print_policy(const json_t *row)
{
	char text[32];
	size_t i;
	const json_t *mx;
	const char *mode = policy_text(row, "mode"), *state = policy_text(row, "state");
	printf("%s%s%s\n", terminal_on(stdout, TERMINAL_BOLD), policy_text(row, "domain"), terminal_off(stdout, TERMINAL_BOLD));
	if (*mode)
		printf("  %-12s %s%s%s\n", "mode", terminal_on(stdout, mode_colour(mode)), mode, terminal_off(stdout, mode_colour(mode)));
	print_text("state", strcmp(state, "never-fetched") == 0 ? "it announces a policy that could never be fetched" : state);
	json_array_foreach(json_object_get(row, "mx"), i, mx)
		print_text("mx", json_string_value(mx));
	if (*mode) {
		print_text("id", policy_text(row, "id"));
		printf("  %-12s %" JSON_INTEGER_FORMAT " s\n", "max_age", policy_number(row, "max_age"));
	}
	print_text("source", policy_text(row, "source"));
	print_text("fetched", policy_text(row, "fetched"));
	print_text("refresh due", policy_text(row, "refresh_due"));
	print_text("expires", policy_text(row, "expires"));
	if (json_is_real(json_object_get(row, "days_left")))
		print_text("days left", days_text(row, text));
	print_failure(row);
}

/* False with `why`. *missing: nothing is cached of it. */
static bool show_one(struct api_client *c, const char *domain, bool json, bool *missing, struct sp_buf *why)
{
	json_t *row = policy_ask(c, domain, why);
	if (row == NULL)
		return false;
	*missing = json_is_null(row);
	if (*missing)
		fprintf(stderr, "strictpost policy show: nothing is cached of %s; mail to it, or strictpost policy refresh %s, looks\n", domain, domain);
	else if (json)
		cmd_print_json(row);
	else
		print_policy(row);
	json_decref(row);
	return true;
}

static int show(const struct cmd_options *o, const char **domains)
{
	int status;
	struct api_client *c = api_client_open(cmd_name(), o->config, true, &status);
	if (c == NULL)
		return status;
	struct sp_buf why;
	sp_buf_init(&why, POLICY_TEXT_MAX);
	status = RELAY_EXIT_OK;
	for (size_t i = 0; domains[i]; i++) {
		bool missing = false;
		if (!show_one(c, domains[i], o->json, &missing, &why)) {
			policy_complain(&why);
			status = RELAY_EXIT_FAILED;
			break;
		}
		if (missing)
			status = RELAY_EXIT_FAILED;
	}
	sp_buf_clear(&why);
	api_client_close(c);
	return status;
}

int cmd_policy_show(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char **domains;
	if (!cmd_options(argc, argv, show_help, true, &o, &status) || !cmd_arguments(argc, argv, 1, INT32_MAX, &status))
		return status;
	status = policy_domains(argc - optind, argv + optind, &arena, &domains) ? show(&o, domains) : RELAY_EXIT_USAGE;
	sp_arena_clear(&arena);
	return status;
}

/* ---- history ---- */

static const struct table_column history_columns[] = {
	{ "time", false, false }, { "domain", false, true }, { "what", false, false }, { "from", false, false }, { "to", false, false }, { "", false, false },
};

static const char *mode_of(const json_t *change, const char *side)
{
	const char *mode = policy_text(json_object_get(change, side), "mode");
	return *mode ? mode : "-";
}

static void note(struct table *t, const char *what, const char *text)
{
	struct sp_buf line;
	if (*text == '\0')
		return;
	sp_buf_init(&line, POLICY_MX_MAX);
	sp_buf_printf(&line, "%s%s", what, text);
	table_note(t, sp_buf_cstr(&line));
	sp_buf_clear(&line);
}

/* "mx a b -> c", where they are not the same. */
static void note_mx(struct table *t, const json_t *change)
{
	struct sp_buf from, to;
	sp_buf_init(&from, POLICY_MX_MAX);
	sp_buf_init(&to, POLICY_MX_MAX);
	add_mx(json_object_get(json_object_get(change, "from"), "mx"), &from);
	add_mx(json_object_get(json_object_get(change, "to"), "mx"), &to);
	if (from.len > 0 && to.len > 0 && !sp_str_eq(sp_buf_str(&from), sp_buf_str(&to))) {
		sp_buf_printf(&from, " -> %s", sp_buf_cstr(&to));
		note(t, "mx ", sp_buf_cstr(&from));
	}
	sp_buf_clear(&from);
	sp_buf_clear(&to);
}

static bool add_change(void *owner, const json_t *change)
{
	struct listing *l = owner;
	char text[24];
	if (l->table == NULL) {
		cmd_print_json(change);
		return !ferror(stdout);
	}
	bool weaker = json_is_true(json_object_get(change, "weaker"));
	const char *from = mode_of(change, "from"), *to = mode_of(change, "to");
	table_cell(l->table, short_time(change, "time", text));
	table_cell(l->table, policy_text(change, "domain"));
	table_cell(l->table, policy_text(change, "how"));
	table_cell_colour(l->table, from, mode_colour(from));
	table_cell_colour(l->table, to, mode_colour(to));
	table_cell_colour(l->table, weaker ? "WEAKER" : "", TERMINAL_BAD);
	note(l->table, "weaker: ", policy_text(change, "why"));
	note_mx(l->table, change);
	note(l->table, "reason: ", policy_text(change, "reason"));
	return true;
}

/* `domain` NULL: of all. */
static bool add_history(struct listing *l, const char *domain, bool weaker)
{
	struct sp_buf target;
	sp_buf_init(&target, POLICY_TEXT_MAX);
	sp_buf_adds(&target, "/policy/history");
	query_add(&target, "domain", domain);
	query_add(&target, "weaker", weaker ? "1" : NULL);
	bool good = api_client_each(l->client, sp_buf_cstr(&target), "changes", add_change, l, &l->why);
	sp_buf_clear(&target);
	return good;
}

static int history(const struct cmd_options *o, const char **domains, bool weaker)
{
	int status;
	struct listing l;
	if (!begin_listing(&l, o, history_columns, SP_COUNT(history_columns), &status))
		return status;
	bool good = true;
	if (domains[0] == NULL)
		good = add_history(&l, NULL, weaker);
	for (size_t i = 0; good && domains[i]; i++)
		good = add_history(&l, domains[i], weaker);
	return end_listing(&l, good, "no such change is known");
}

int cmd_policy_history(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	bool weaker = false;
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char **domains;
	const struct cmd_option own[] = { { .name = "weaker", .given = &weaker }, { 0 } };
	if (!cmd_options_with(argc, argv, history_help, true, own, &o, &status))
		return status;
	status = policy_domains(argc - optind, argv + optind, &arena, &domains) ? history(&o, domains, weaker) : RELAY_EXIT_USAGE;
	sp_arena_clear(&arena);
	return status;
}

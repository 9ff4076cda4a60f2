/* relay/cmd_policy_change.c - strictpost policy refresh and forget. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/cmd_policy.h"
#include "relay/cmd_verb.h"
#include "relay/progress.h"
#include "relay/query.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APART_MS 50             /* between two refreshes of --all: fetches for mail go first */
#define UNDER_WAY_MAX 10        /* answers that a fetch is still under way, until we wait no longer */

static const char refresh_help[] =
	"usage: strictpost policy refresh DOMAIN... | --all [--json] [--config FILE]\n\n"
	"Has the running relay look at the domain's record and fetch its policy now, and says what came of it. A fetch that fails shortens nothing: what is\n"
	"cached holds for its time. --all: every domain with a policy that is cached, one after the other; Ctrl-C ends that between two.\n"
	"  --json     one JSON object a line\n"
	"Exit: 0 all were fetched or have no policy, 1 one failed, or no relay runs, 2 usage, 78 a configuration that does not hold\n";

static const char forget_help[] =
	"usage: strictpost policy forget DOMAIN... [--reason TEXT] [--yes] [--json] [--config FILE]\n\n"
	"Drops what is cached of domains, in the spool and in the memory of the relay. The next message asks the domain anew; until a policy was fetched again, mail goes\n"
	"as to a domain without one. For a policy of mode enforce that lowers protection: you are asked, and it is logged as a warning. To deliver in spite of a policy\n"
	"for a while, an entry of `domains` with override in the configuration is the better way.\n"
	"  --reason   why, for the log and the history\n"
	"  --yes      do not ask\n"
	"  --json     one JSON object a line\n"
	"Exit: 0 forgotten, 1 not (nothing was cached, or you said no), 2 usage, 78 a configuration that does not hold\n";

/* ---- refresh ---- */

struct refreshing {
	struct api_client *client;
	bool json;
	struct progress *progress;      /* NULL: of a few domains */
	uint64_t done, fetched, none, failed;
};

static void print_fetched(const json_t *v)
{
	const json_t *mx = json_object_get(v, "mx");
	size_t i;
	const json_t *pattern;
	printf("fetched: %s, max_age %" JSON_INTEGER_FORMAT " s", policy_text(v, "mode"), policy_number(v, "max_age"));
	json_array_foreach(mx, i, pattern)
		if (i < 10)
			printf("%s%s", i ? " " : ", mx ", json_string_value(pattern));
	if (json_array_size(mx) > 10)
		printf(" and %zu more", json_array_size(mx) - 10);
	putchar('\n');
}

static void print_failed(const json_t *v)
{
	const json_t *failure = json_object_get(v, "failure");
	struct sp_buf text;
	sp_buf_init(&text, POLICY_TEXT_MAX);
	terminal_fit(&text, sp_str_of(policy_text(failure, "text")), 0);
	printf("%sfailed%s: %s: %s", terminal_on(stdout, TERMINAL_BAD), terminal_off(stdout, TERMINAL_BAD), policy_text(failure, "result"), sp_buf_cstr(&text));
	if (*policy_text(v, "mode"))
		printf("; the cached policy (%s) holds until %s", policy_text(v, "mode"), policy_text(v, "expires"));
	putchar('\n');
	sp_buf_clear(&text);
}

static void print_outcome(struct refreshing *r, const char *domain, const json_t *v)
{
	const char *outcome = policy_text(v, "outcome");
	bool fetched = strcmp(outcome, "fetched") == 0, none = strcmp(outcome, "no-policy") == 0;
	r->fetched += fetched;
	r->none += none;
	r->failed += !fetched && !none;
	if (r->json) {
		cmd_print_json(v);
		return;
	}
	printf("%s: ", domain);
	if (fetched)
		print_fetched(v);
	else if (none)
		puts("it announces no policy");
	else if (strcmp(outcome, "under-way") == 0)
		printf("still under way; strictpost policy show %s tells later\n", domain);
	else
		print_failed(v);
}

/* Asks until it is known what came of it. False with `why`. */
static bool refresh_one(struct refreshing *r, const char *domain, struct sp_buf *why)
{
	struct sp_buf target;
	json_t *v = NULL;
	sp_buf_init(&target, POLICY_TEXT_MAX);
	sp_buf_adds(&target, "/policy/refresh");
	query_add(&target, "domain", domain);
	for (int i = 0; i < UNDER_WAY_MAX && !progress_interrupted(); i++) {
		json_decref(v);
		v = api_client_json(r->client, "POST", sp_buf_cstr(&target), why);
		if (v == NULL || strcmp(policy_text(v, "outcome"), "under-way") != 0)
			break;
	}
	if (v && r->progress)
		progress_hide(r->progress);
	if (v)
		print_outcome(r, domain, v);
	r->done++;
	sp_buf_clear(&target);
	bool good = v != NULL || progress_interrupted();
	json_decref(v);
	return good;
}

struct names {
	struct sp_arena arena;
	const char **list;
	size_t count, room;
};

static bool add_name(void *owner, const json_t *row)
{
	struct names *n = owner;
	if (!*policy_text(row, "mode"))
		return true;
	if (n->count == n->room) {
		size_t room = n->room ? 2 * n->room : 256;
		const char **list = sp_alloc_array(room, sizeof(*list));
		if (n->count > 0)
			memcpy(list, n->list, n->count * sizeof(*list));
		free(n->list);
		n->list = list;
		n->room = room;
	}
	n->list[n->count++] = sp_arena_strdup(&n->arena, policy_text(row, "domain"));
	return true;
}

/* All names first: what is refreshed moves nothing in the list, but a walk of an hour would hold none of it still. */
static bool refresh_all(struct refreshing *r, struct sp_buf *why)
{
	struct names n = { .arena = SP_ARENA_EMPTY };
	bool good = api_client_each(r->client, "/policy/list", "policies", add_name, &n, why);
	progress_catch_interrupt();
	r->progress = progress_begin("refreshing");
	for (size_t i = 0; good && i < n.count && !progress_interrupted(); i++) {
		progress_show(r->progress, i, n.count, n.list[i]);
		good = refresh_one(r, n.list[i], why);
		api_client_wait(r->client, APART_MS);
	}
	progress_end(r->progress);
	if (!r->json)
		fprintf(stderr, "%s%" PRIu64 " of %zu: %" PRIu64 " fetched, %" PRIu64 " without a policy now, %" PRIu64 " failed\n",
		        progress_interrupted() ? "stopped; " : "", r->done, n.count, r->fetched, r->none, r->failed);
	free(n.list);
	sp_arena_clear(&n.arena);
	return good;
}

static int refresh(const struct cmd_options *o, const char **domains)
{
	int status;
	struct refreshing r = { .json = o->json, .client = api_client_open(cmd_name(), o->config, false, &status) };
	if (r.client == NULL)
		return status;
	struct sp_buf why;
	sp_buf_init(&why, POLICY_TEXT_MAX);
	bool good = true;
	if (domains[0] == NULL)
		good = refresh_all(&r, &why);
	for (size_t i = 0; good && domains[i]; i++)
		good = refresh_one(&r, domains[i], &why);
	if (!good)
		policy_complain(&why);
	sp_buf_clear(&why);
	api_client_close(r.client);
	return good && r.failed == 0 && !progress_interrupted() ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

int cmd_policy_refresh(int argc, char **argv)
{
	struct cmd_options o;
	int status;
	bool all = false;
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char **domains;
	const struct cmd_option own[] = { { .name = "all", .given = &all }, { 0 } };
	if (!cmd_options_with(argc, argv, refresh_help, true, own, &o, &status) || !cmd_arguments(argc, argv, all ? 0 : 1, all ? 0 : INT32_MAX, &status))
		return status;
	status = policy_domains(argc - optind, argv + optind, &arena, &domains) ? refresh(&o, domains) : RELAY_EXIT_USAGE;
	sp_arena_clear(&arena);
	return status;
}

/* ---- forget ---- */

struct forgetting {
	struct api_client *client;
	const char *reason;
	bool yes, json;
};

static bool confirm(const struct forgetting *f, const char *domain, const json_t *row)
{
	const char *mode = policy_text(row, "mode");
	bool protects = strcmp(mode, "enforce") == 0 && strcmp(policy_text(row, "state"), "valid") == 0;
	if (protects)
		return terminal_confirm(f->yes, "Forget the policy of %s? It is in force (enforce, until %s): until it is fetched again, mail to it may leave without a verified certificate.",
		                        domain, policy_text(row, "expires"));
	return terminal_confirm(f->yes, "Forget what is cached of %s (%s)?", domain, *mode ? mode : "failures alone");
}

static json_t *forget_one(const struct forgetting *f, const char *domain, struct sp_buf *why)
{
	struct sp_buf target;
	sp_buf_init(&target, POLICY_TEXT_MAX);
	sp_buf_adds(&target, "/policy/forget");
	query_add(&target, "domain", domain);
	query_add(&target, "reason", f->reason);
	json_t *v = api_client_json(f->client, "POST", sp_buf_cstr(&target), why);
	sp_buf_clear(&target);
	return v;
}

/* True when it is forgotten; else it was said why not. */
static bool try_one(const struct forgetting *f, const char *domain)
{
	struct sp_buf why;
	sp_buf_init(&why, POLICY_TEXT_MAX);
	json_t *row = policy_ask(f->client, domain, &why), *v = NULL;
	if (json_is_null(row))
		sp_buf_printf(&why, "nothing is cached of %s", domain);
	else if (row && !confirm(f, domain, row))
		sp_buf_printf(&why, "%s: nothing was done", domain);
	else if (row)
		v = forget_one(f, domain, &why);
	if (v == NULL)
		policy_complain(&why);
	else if (f->json)
		cmd_print_json(v);
	else
		printf("%s: forgotten%s\n", domain, json_is_true(json_object_get(v, "weaker")) ?
		       "; the next message asks for its policy anew. What waits already: strictpost queue retry" : "");
	bool good = v != NULL;
	json_decref(row);
	json_decref(v);
	sp_buf_clear(&why);
	return good;
}

int cmd_policy_forget(int argc, char **argv)
{
	struct cmd_options o;
	struct forgetting f = { .reason = NULL };
	int status;
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char **domains;
	const struct cmd_option own[] = { { .name = "reason", .text = &f.reason }, { .name = "yes", .given = &f.yes }, { 0 } };
	if (!cmd_options_with(argc, argv, forget_help, true, own, &o, &status) || !cmd_arguments(argc, argv, 1, INT32_MAX, &status))
		return status;
	f.json = o.json;
	if (!policy_domains(argc - optind, argv + optind, &arena, &domains))
		status = RELAY_EXIT_USAGE;
	else if ((f.client = api_client_open(cmd_name(), o.config, true, &status)) != NULL)
		status = RELAY_EXIT_OK;
	for (size_t i = 0; f.client && domains[i]; i++)
		if (!try_one(&f, domains[i]))
			status = RELAY_EXIT_FAILED;
	api_client_close(f.client);
	sp_arena_clear(&arena);
	return status;
}

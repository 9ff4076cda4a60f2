/* relay/cmd_status.c - strictpost status, strictpost healthcheck: what a running relay says of itself. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"

#include "relay/config.h"
#include "relay/control.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define PROBLEMS_MAX 262144             /* octets */
#define WHY_MAX 4096

static const char status_help[] =
	"usage: strictpost status [--config FILE] [--json]\n\n"
	"Asks the running relay, over its control socket (admin.socket in the configuration), how it is and what it has done since it was\n"
	"started. --json prints the answer as one line of JSON. Exit 0 when it answered, 1 when not, 78 for a configuration that does not hold.\n";

static const char healthcheck_help[] =
	"usage: strictpost healthcheck [--config FILE]\n\n"
	"Is the relay there, does it take mail, does it deliver? Prints the reason when not. For containers: HEALTHCHECK CMD strictpost\n"
	"healthcheck. Exit 0 healthy, 1 not.\n";

/* The running relay's answer to GET `path`. False after `why` was filled, or, with a configuration that does not hold, what is wrong printed. */
static bool ask(const char *config_path, const char *path, struct control_answer *out, struct sp_buf *why)
{
	struct sp_buf problems;
	sp_buf_init(&problems, PROBLEMS_MAX);
	sp_buf_init(&out->body, 0);
	struct config *c = config_load(config_path, &problems);
	bool good = c && control_ask(config_path, c->admin.socket, "GET", path, out, why);
	if (c == NULL)
		fputs(sp_buf_cstr(&problems), stderr);
	config_unref(c);
	sp_buf_clear(&problems);
	return good;
}

/* ---- status ---- */

static int64_t number(const json_t *v, const char *name)
{
	return json_integer_value(json_object_get(v, name));
}

static const char *text(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));
	return s ? s : "?";
}

static void print_uptime(int64_t s)
{
	if (s >= 86400)
		printf("%" PRId64 " d %" PRId64 " h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		printf("%" PRId64 " h %" PRId64 " min", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		printf("%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
	else
		printf("%" PRId64 " s", s);
}

static void print_queue(const json_t *q)
{
	if (json_object_get(q, "error")) {
		printf("queue      not known: %s\n", text(q, "error"));
		return;
	}
	printf("queue      %" PRId64 " messages, %" PRId64 " recipients; %" PRId64 " destinations wait\n", number(q, "messages"),
	       number(q, "recipients"), number(q, "destinations_waiting"));
}

static void print_dnssec(const json_t *d)
{
	const char *remedy = text(d, "remedy");
	printf("dnssec     resolver %s%s%s\n", text(d, "resolver"), *remedy ? "; DANE is off: " : "", remedy);
}

/* "override   x.example, tls: may, ends 2027-02-01T00:00:00Z: broken, ticket 77", a line each. */
static void print_overrides(const json_t *list)
{
	size_t i;
	const json_t *o;
	json_array_foreach(list, i, o) {
		printf("override   %s", text(o, "domain"));
		if (json_object_get(o, "tls"))
			printf(", tls: %s", text(o, "tls"));
		if (json_object_get(o, "dane"))
			printf(", dane: %s", text(o, "dane"));
		printf(", ends %s: %s\n", text(o, "ends"), text(o, "reason"));
	}
}

static void print_status(const json_t *v)
{
	size_t i;
	const json_t *at, *store = json_object_get(v, "store"), *outbound = json_object_get(v, "outbound");
	printf("strictpost %s on %s, pid %" PRId64 ", %" PRId64 " shards, up ", text(v, "version"), text(v, "hostname"), number(v, "pid"),
	       number(v, "shards"));
	print_uptime(number(v, "uptime_s"));
	printf(" (since %s)\n", text(v, "started"));
	if (json_is_true(json_object_get(v, "ready")))
		printf("ready      yes\n");
	else
		printf("ready      no: %s\n", text(v, "reason"));
	printf("listening ");
	json_array_foreach(json_object_get(v, "listen"), i, at)
		printf(" %s", json_string_value(at) ? json_string_value(at) : "?");
	printf("\nsessions   %" PRId64 " now\n", number(v, "connections"));
	printf("outbound   %" PRId64 " sessions; %" PRId64 " addresses known, %" PRId64 " of them do not answer\n", number(outbound, "sessions"),
	       number(outbound, "addresses"), number(outbound, "dead"));
	printf("messages   %" PRId64 " accepted\n", number(v, "accepted"));
	printf("recipients %" PRId64 " delivered, %" PRId64 " bounced, %" PRId64 " times deferred\n", number(v, "delivered"), number(v, "bounced"),
	       number(v, "deferred"));
	print_queue(json_object_get(v, "queue"));
	printf("store      %" PRId64 " operations in %" PRId64 " commits, at most %" PRId64 " in one; %s\n", number(store, "ops"),
	       number(store, "commits"), number(store, "largest_batch"),
	       json_is_true(json_object_get(store, "accepting")) ? "accepting" : "not accepting");
	print_dnssec(json_object_get(v, "dnssec"));
	print_overrides(json_object_get(v, "overrides"));
}

static int show(const struct control_answer *a, bool json, struct sp_buf *why)
{
	if (a->status != 200) {
		control_error(a, why);
		return RELAY_EXIT_FAILED;
	}
	json_error_t error;
	json_t *v = json_loadb(a->body.p ? a->body.p : "", a->body.len, 0, &error);
	if (v == NULL)
		sp_buf_printf(why, "the relay's answer is not JSON: %s", error.text);
	else if (json)
		fputs(sp_buf_cstr(&a->body), stdout);
	else
		print_status(v);
	json_decref(v);
	return v ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

static int status(const char *config_path, bool json)
{
	struct control_answer a;
	struct sp_buf why;
	sp_buf_init(&why, WHY_MAX);
	int result = RELAY_EXIT_FAILED;
	if (ask(config_path, "/status", &a, &why))
		result = show(&a, json, &why);
	else if (why.len == 0)
		result = RELAY_EXIT_CONFIG;
	if (why.len > 0)
		fprintf(stderr, "strictpost status: %s\n", sp_buf_cstr(&why));
	sp_buf_clear(&a.body);
	sp_buf_clear(&why);
	return result;
}

/* ---- healthcheck ---- */

static int healthcheck(const char *config_path, bool json SP_UNUSED)
{
	struct control_answer a;
	struct sp_buf why;
	sp_buf_init(&why, WHY_MAX);
	bool answered = ask(config_path, "/readyz", &a, &why);
	bool healthy = answered && a.status == 200;
	if (answered && !healthy)
		control_error(&a, &why);
	if (healthy)
		puts("healthy");
	else if (why.len > 0)
		printf("not healthy: %s\n", sp_buf_cstr(&why));         /* container runtimes keep what is printed */
	sp_buf_clear(&a.body);
	sp_buf_clear(&why);
	return healthy ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

/* ---- the commands ---- */

static int run(int argc, char **argv, const char *help, bool has_json, int (*command)(const char *config_path, bool json))
{
	struct cmd_options o;
	int wrong;
	if (!cmd_options(argc, argv, help, has_json, &o, &wrong))
		return wrong;
	if (optind < argc) {
		fputs(help, stderr);
		return RELAY_EXIT_USAGE;
	}
	return command(o.config, o.json);
}

int cmd_status(int argc, char **argv)
{
	return run(argc, argv, status_help, true, status);
}

int cmd_healthcheck(int argc, char **argv)
{
	return run(argc, argv, healthcheck_help, false, healthcheck);
}

/* relay/cmd_status.c - strictpost status, strictpost healthcheck: what a running relay says of itself. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"

#include "relay/config.h"
#include "relay/control.h"
#include "relay/status_screen.h"

#include <jansson.h>
#include <stdio.h>

#define PROBLEMS_MAX 262144             /* octets */
#define WHY_MAX 4096
#define HEALTH_S 4                      /* of silence are not healthy; runtimes that wait for 5 s are to see the reason */
#define SCREEN_MAX 262144               /* octets of a screen */

static const char status_help[] =
	"usage: strictpost status [--config FILE] [--json]\n\n"
	"Asks the running relay, over its control socket (admin.socket in the configuration), how it is and what it has done since it was\n"
	"started. --json prints the answer as one line of JSON. Exit 0 when it answered, 1 when not, 78 for a configuration that does not hold.\n";

static const char healthcheck_help[] =
	"usage: strictpost healthcheck [--config FILE]\n\n"
	"Is the relay there, does it take mail, does it deliver? Prints the reason when not, within 5 s. For containers: HEALTHCHECK CMD\n"
	"strictpost healthcheck. Exit 0 healthy, 1 not.\n";

/* The running relay's answer to GET `path`. False after `why` was filled, or, with a configuration that does not hold, what is wrong printed. */
static bool ask(const char *config_path, const char *path, const struct control_patience *patience, struct control_answer *out, struct sp_buf *why)
{
	struct sp_buf problems;
	sp_buf_init(&problems, PROBLEMS_MAX);
	sp_buf_init(&out->body, 0);
	struct config *c = config_load(config_path, &problems);
	bool good = c && control_ask(config_path, c->admin.socket, "GET", path, patience, out, why);
	if (c == NULL)
		fputs(sp_buf_cstr(&problems), stderr);
	config_unref(c);
	sp_buf_clear(&problems);
	return good;
}

/* ---- status ---- */

static json_t *load(const struct control_answer *a, struct sp_buf *why)
{
	json_error_t error;
	json_t *v = json_loadb(a->body.p ? a->body.p : "", a->body.len, 0, &error);
	if (v == NULL)
		sp_buf_printf(why, "the relay's answer is not JSON: %s", error.text);
	return v;
}

/* Nothing where the relay does not tell: the rest is worth printing. */
static void add_worst(const char *config_path, struct sp_buf *out)
{
	struct control_answer a;
	struct sp_buf why;
	sp_buf_init(&why, WHY_MAX);
	bool asked = ask(config_path, "/destinations?top=5", NULL, &a, &why);
	json_t *v = asked && a.status == 200 ? load(&a, &why) : NULL;
	status_screen_worst(json_object_get(v, "destinations"), terminal_width(stdout), out);
	json_decref(v);
	sp_buf_clear(&a.body);
	sp_buf_clear(&why);
}

static void print_status(const char *config_path, const json_t *v)
{
	struct sp_buf out;
	sp_buf_init(&out, SCREEN_MAX);
	status_screen_head(v, &out);
	status_screen_body(v, &out);
	status_screen_overrides(v, &out);
	add_worst(config_path, &out);
	fputs(sp_buf_cstr(&out), stdout);
	sp_buf_clear(&out);
}

static int show(const char *config_path, const struct control_answer *a, bool json, struct sp_buf *why)
{
	if (a->status != 200) {
		control_error(a, why);
		return RELAY_EXIT_FAILED;
	}
	json_t *v = load(a, why);
	if (v && json)
		fputs(sp_buf_cstr(&a->body), stdout);
	else if (v)
		print_status(config_path, v);
	json_decref(v);
	return v ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

static int status(const char *config_path, bool json)
{
	struct control_answer a;
	struct sp_buf why;
	sp_buf_init(&why, WHY_MAX);
	int result = RELAY_EXIT_FAILED;
	if (ask(config_path, "/status", NULL, &a, &why))
		result = show(config_path, &a, json, &why);
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
	static const struct control_patience patience = { .silence_s = HEALTH_S, .watch = -1 };
	bool answered = ask(config_path, "/readyz", &patience, &a, &why);
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
	if (!cmd_options(argc, argv, help, has_json, &o, &wrong) || !cmd_arguments(argc, argv, 0, 0, &wrong))
		return wrong;
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

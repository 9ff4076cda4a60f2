/* relay/cmd_drain.c - strictpost drain: has the running relay take no more mail, and end when it is empty. */
#include "relay/cmd.h"
#include "relay/cmd_options.h"

#include "relay/api_client.h"
#include "relay/config.h"
#include "relay/progress.h"
#include "relay/query.h"
#include "relay/relay.h"

#include <inttypes.h>
#include <stdio.h>

#define NAME "drain"
#define TEXT_MAX 4096
#define POLL_MS 500
#define END_MS 40000                    /* for the relay's last moments */
#define END_POLL_MS 50
#define PROBLEMS_MAX 262144             /* octets */

static const char help[] =
	"usage: strictpost drain [--wait] [--undo] [--reason TEXT] [--json] [--config FILE]\n\n"
	"The running relay takes no mail any more (421 4.3.2, and strictpost healthcheck fails), goes on delivering what it has, and ends with exit\n"
	"status 0 when nothing is left but what is held or quarantined. A restart ends it: then mail is taken again.\n"
	"  --wait     stays until the relay has ended, and shows how far it is\n"
	"  --undo     takes mail again\n"
	"  --reason   for the log\n"
	"  --json     one JSON object\n"
	"exit: 0 done, 1 it could not be, or mail is left, 2 usage, 78 a configuration that does not hold\n";

struct draining {
	const char *config, *reason;
	bool wait, undo, json;
};

static uint64_t number(const json_t *v, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(v, name));
	return n > 0 ? (uint64_t)n : 0;
}

static bool is_draining(const json_t *v)
{
	return json_is_true(json_object_get(v, "draining"));
}

static void print_kept(const json_t *v)
{
	if (number(v, "held") > 0)
		printf("%" PRIu64 " recipients stay held\n", number(v, "held"));
	if (number(v, "quarantined") > 0)
		printf("%" PRIu64 " recipients stay quarantined\n", number(v, "quarantined"));
}

static int tell_begun(const struct draining *d, const json_t *v)
{
	if (d->json) {
		cmd_print_json(v);
		return RELAY_EXIT_OK;
	}
	if (d->undo) {
		puts("mail is taken again");
		return RELAY_EXIT_OK;
	}
	printf("no mail is taken any more; %" PRIu64 " recipients are left, and the relay ends when there are none (strictpost drain --wait shows it, --undo takes it back)\n",
	       number(v, "left"));
	print_kept(v);
	return RELAY_EXIT_OK;
}

/* What the relay left, in the spool that nobody uses now, or what the next one says of it. */
static int tell_end(const struct draining *d, const json_t *v)
{
	uint64_t left = number(v, "left");
	if (d->json)
		cmd_print_json(v);
	else
		print_kept(v);
	if (left > 0) {
		fprintf(stderr, "strictpost " NAME ": %" PRIu64 " recipients are left: %s\n", left,
		        is_draining(v) ? "it goes on" : "the relay was stopped, or started anew, or the draining was taken back");
		return RELAY_EXIT_FAILED;
	}
	if (!d->json)
		puts("the relay is empty");
	return RELAY_EXIT_OK;
}

/* It answers no more, but has the spool until it has ended. */
static void wait_for_end(struct api_client *c, const char *config_path)
{
	struct sp_buf problems;
	struct sp_fail why;
	sp_buf_init(&problems, PROBLEMS_MAX);
	struct config *config = config_load(config_path, &problems);
	for (int i = 0; config && i < END_MS / END_POLL_MS; i++) {
		struct queue_store *s = relay_open_store(config->state_dir, &why);
		if (s)
			queue_store_close(s);
		if (s || strcmp(why.reason, "in-use") != 0)
			break;
		api_client_wait(c, END_POLL_MS);
	}
	config_unref(config);
	sp_buf_clear(&problems);
}

/* Until the relay answers no more, or does not drain; false: we were interrupted, and it goes on. */
static bool follow(const struct draining *d, struct api_client *c, uint64_t most)
{
	bool gone = false;
	struct sp_buf why;
	struct progress *p = progress_begin("draining");
	sp_buf_init(&why, TEXT_MAX);
	bool going = true;
	progress_catch_interrupt();
	while (going && !progress_interrupted()) {
		json_t *v = api_client_json(c, "GET", "/drain", &why);
		uint64_t left = number(v, "left");
		gone = v == NULL;
		going = v && is_draining(v);
		most = left > most ? left : most;
		if (going) {
			progress_show(p, most - left, most, number(v, "sessions") > 0 ? "clients are still connected" : NULL);
			api_client_wait(c, POLL_MS);
		}
		json_decref(v);
	}
	if (gone)
		wait_for_end(c, d->config);
	progress_end(p);
	sp_buf_clear(&why);
	return !going;
}

/* When the relay has ended, in its spool; else what it says itself. */
static int look_again(const struct draining *d)
{
	int status;
	struct sp_buf why;
	struct api_client *c = api_client_open(NAME, d->config, true, &status);
	if (c == NULL)
		return status;
	sp_buf_init(&why, TEXT_MAX);
	json_t *v = api_client_json(c, "GET", "/drain", &why);
	if (v)
		status = tell_end(d, v);
	else
		fprintf(stderr, "strictpost " NAME ": %s\n", sp_buf_cstr(&why));
	status = v ? status : RELAY_EXIT_FAILED;
	json_decref(v);
	sp_buf_clear(&why);
	api_client_close(c);
	return status;
}

static json_t *ask(const struct draining *d, struct api_client *c, struct sp_buf *why)
{
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/drain");
	if (!d->undo)
		query_add(&target, "reason", d->reason);
	json_t *v = sp_buf_failed(&target) ? NULL : api_client_json(c, d->undo ? "DELETE" : "POST", sp_buf_cstr(&target), why);
	if (sp_buf_failed(&target))
		sp_buf_adds(why, "the reason is too long");
	sp_buf_clear(&target);
	return v;
}

static int drain(const struct draining *d)
{
	int status;
	struct sp_buf why;
	struct api_client *c = api_client_open(NAME, d->config, false, &status);
	if (c == NULL)
		return status;
	sp_buf_init(&why, TEXT_MAX);
	json_t *v = ask(d, c, &why);
	if (v == NULL)
		fprintf(stderr, "strictpost " NAME ": %s\n", sp_buf_cstr(&why));
	bool waits = v && d->wait && !d->undo, ended = waits && follow(d, c, number(v, "left"));
	status = v == NULL ? RELAY_EXIT_FAILED : waits ? RELAY_EXIT_OK : tell_begun(d, v);
	if (waits && !ended)
		fputs("strictpost " NAME ": it goes on; strictpost drain --undo takes it back\n", stderr);
	json_decref(v);
	sp_buf_clear(&why);
	api_client_close(c);
	return ended ? look_again(d) : waits ? RELAY_EXIT_FAILED : status;
}

int cmd_drain(int argc, char **argv)
{
	struct draining d = { .reason = NULL };
	struct cmd_options o;
	int status;
	const struct cmd_option own[] = { { "wait", NULL, &d.wait, NULL }, { "undo", NULL, &d.undo, NULL }, { "reason", &d.reason, NULL, NULL }, { 0 } };
	if (!cmd_options_with(argc, argv, help, true, own, &o, &status) || !cmd_arguments(argc, argv, 0, 0, &status))
		return status;
	d.config = o.config;
	d.json = o.json;
	return drain(&d);
}

/* relay/cmd_queue_holds.c - strictpost queue holds: the rules that hold mail as it comes in. */
#include "relay/cmd_queue.h"

#include "core/clock.h"
#include "queue/store.h"
#include "relay/cmd.h"
#include "relay/progress.h"
#include "relay/query.h"
#include "relay/table.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

static const char help[] =
	"usage: strictpost queue holds [--json] [--config FILE]\n"
	"       strictpost queue holds remove ID [--release] [--json] [--config FILE]\n\n"
	"Prints the rules that hold mail as it comes in (strictpost queue hold --rule makes them), or takes one away. What it holds stays held:\n"
	"  --release   and lets go of what it holds, also where another rule would hold it\n"
	"exit: 0 done, 1 there is no such rule, or it could not be, 2 usage, 78 a configuration that does not hold\n";

static const struct table_column columns[] = {
	{ .title = "ID" }, { .title = "Sender", .shrinks = true }, { .title = "Recipient", .shrinks = true }, { .title = "Domain", .shrinks = true },
	{ .title = "Since", .right = true }, { .title = "Ends in", .right = true }, { .title = "Reason", .shrinks = true },
};

struct rules {
	bool json, release;
	const char *id;                 /* remove; NULL: list */
};

static void print_rule(struct table *t, const json_t *r, int64_t now_s)
{
	char age[TERMINAL_NUMBER];
	int64_t until_s = queue_time(r, "until");
	table_cell(t, queue_text(r, "id"));
	table_cell(t, queue_text(r, "sender"));
	table_cell(t, queue_text(r, "recipient"));
	table_cell(t, queue_text(r, "domain"));
	table_cell(t, terminal_age(now_s - queue_time(r, "since"), age));
	table_cell(t, until_s > 0 ? terminal_age(until_s - now_s, age) : "never");
	table_cell(t, queue_text(r, "reason"));
}

static int list(struct api_client *c, const struct rules *o, struct sp_buf *why)
{
	size_t i;
	const json_t *r;
	json_t *v = api_client_json(c, "GET", "/queue/holds", why);
	if (v == NULL)
		return RELAY_EXIT_FAILED;
	struct table *t = o->json ? NULL : table_begin(stdout, columns, SP_COUNT(columns));
	int64_t now_s = core_clock_wall_s();
	json_array_foreach(json_object_get(v, "holds"), i, r)
		o->json ? cmd_print_json(r) : print_rule(t, r, now_s);
	if (t)
		table_end(t, "no hold rules");
	json_decref(v);
	return RELAY_EXIT_OK;
}

/* What the rule holds, page by page. False with `why`. */
static bool release(struct api_client *c, const struct rules *o, struct queue_sum *done, struct sp_buf *why)
{
	struct sp_buf target;
	char after[64] = "";
	bool good = true;
	struct progress *p = progress_begin("releasing");
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	do {
		sp_buf_reset(&target);
		sp_buf_adds(&target, "/queue/release");
		query_add(&target, "rule", o->id);
		query_add(&target, "after", *after ? after : NULL);
		json_t *page = api_client_json(c, "POST", sp_buf_cstr(&target), why);
		good = page != NULL;
		done->messages += queue_number(page, "messages");
		done->recipients += queue_number(page, "recipients");
		snprintf(after, sizeof(after), "%s", queue_text(page, "next"));
		json_decref(page);
		progress_show(p, done->messages, 0, NULL);
		if (*after)
			api_client_pause(c);
	} while (good && *after && !progress_interrupted());
	progress_end(p);
	sp_buf_clear(&target);
	return good && !*after;
}

static int remove_rule(struct api_client *c, const struct rules *o, struct sp_buf *why)
{
	struct sp_buf target;
	struct queue_sum done = { 0 };
	char text[80];
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	sp_buf_adds(&target, "/queue/holds");
	query_add(&target, "id", o->id);
	progress_catch_interrupt();
	json_t *v = api_client_json(c, "DELETE", sp_buf_cstr(&target), why);
	sp_buf_clear(&target);
	if (v == NULL)
		return RELAY_EXIT_FAILED;
	json_decref(v);
	bool complete = !o->release || release(c, o, &done, why);
	if (o->json) {
		json_t *answer = json_pack("{s:s, s:I, s:I, s:b}", "removed", o->id, "messages", (json_int_t)done.messages, "recipients",
		                           (json_int_t)done.recipients, "complete", (int)complete);
		cmd_print_json(answer);
		json_decref(answer);
	} else {
		printf("removed: rule %s\n", o->id);
		if (o->release)
			printf("released: %s\n", queue_sum_str(done.messages, done.recipients, text));
		if (!complete)
			printf("not all of it: strictpost queue release --held-by %s does the rest\n", o->id);
	}
	return complete ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

static int work(struct api_client *c, void *arg, struct sp_buf *why)
{
	const struct rules *o = arg;
	return o->id ? remove_rule(c, o, why) : list(c, o, why);
}

int cmd_queue_holds(int argc, char **argv)
{
	struct rules r = { 0 };
	struct cmd_options o;
	int status;
	uint64_t id;
	const struct cmd_option own[] = { { "release", NULL, &r.release, NULL }, { 0 } };
	if (!cmd_options_with(argc, argv, help, true, own, &o, &status))
		return status;
	bool removes = optind < argc && strcmp(argv[optind], "remove") == 0;
	if ((optind < argc && !removes) || (removes && argc - optind != 2) || (r.release && !removes)) {
		fputs(help, stderr);
		return RELAY_EXIT_USAGE;
	}
	r.id = removes ? argv[optind + 1] : NULL;
	if (removes && !queue_id_parse(sp_str_of(r.id), &id)) {
		fprintf(stderr, "strictpost queue holds: '%s' is no id of a rule; strictpost queue holds lists them\n", r.id);
		return RELAY_EXIT_USAGE;
	}
	r.json = o.json;
	return queue_with_client(o.config, true, work, &r);
}

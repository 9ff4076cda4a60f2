/* relay/cmd_queue.c - strictpost queue VERB: its verbs are rows here. What they share: see cmd_queue.h. */
#include "relay/cmd_queue.h"

#include "core/date.h"
#include "queue/store.h"
#include "relay/cmd.h"
#include "relay/cmd_verb.h"
#include "relay/progress.h"
#include "relay/query.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#define WHY_MAX 4096

static const struct cmd_verb verbs[] = {
	{ "list",    "[WHICH] [--json]",                 "what is in the queue",                                      cmd_queue_list },
	{ "show",    "[--json] ID...",                   "messages: their recipients, and what they wait for",        cmd_queue_show },
	{ "summary", "[--json]",                         "recipients by destination and age",                         cmd_queue_summary },
	{ "retry",   "WHICH [--reason TEXT]",            "try it now, whatever it waits for",                         cmd_queue_retry },
	{ "hold",    "WHICH [--rule] [--for DURATION]",  "do not try it until it is released",                        cmd_queue_hold },
	{ "release", "WHICH",                            "let go of what is held or quarantined",                     cmd_queue_release },
	{ "delete",  "WHICH",                            "remove it, without a word to its sender",                   cmd_queue_delete },
	{ "bounce",  "WHICH [--reason TEXT]",            "return it to its sender",                                   cmd_queue_bounce },
	{ "export",  "ID... --out DIR|-",                "write messages to files",                                   cmd_queue_export },
	{ "holds",   "[remove ID [--release]]",          "the rules that hold mail as it comes in",                   cmd_queue_holds },
};

int cmd_queue(int argc, char **argv)
{
	static const struct cmd_verbs queue = {
		.group = "queue",
		.head = "usage: strictpost queue VERB [ARGUMENTS]\n\n",
		.verbs = verbs,
		.count = SP_COUNT(verbs),
		.foot = "\nWHICH is ids, as the log and the list have them, or what fits all of:\n"
		        "  --sender ADDRESS        user@domain, @domain, or '<>' for bounces\n"
		        "  --recipient ADDRESS     the same, of a recipient\n"
		        "  --domain DOMAIN         of a recipient's address\n"
		        "  --destination NAME      the next hop, as the list has it\n"
		        "  --older-than DURATION   2h, 1d12h\n"
		        "  --state STATE           active, deferred, hold or quarantined\n"
		        "  --held-by ID            by this rule\n"
		        "  --all                   all there is; nothing is changed where nothing is said\n"
		        "Works on the spool itself where no relay runs, but for bounce. strictpost queue VERB --help tells more.\n",
	};
	return cmd_verbs(&queue, argc, argv);
}

/* ---- which ---- */

void queue_choice_options(struct queue_choice *c, struct cmd_option own[QUEUE_CHOICE_OPTIONS])
{
	const struct cmd_option rows[QUEUE_CHOICE_OPTIONS] = {
		{ "sender", &c->sender, NULL, NULL }, { "recipient", &c->recipient, NULL, NULL }, { "domain", &c->domain, NULL, NULL },
		{ "destination", &c->destination, NULL, NULL }, { "state", &c->state, NULL, NULL }, { "held-by", &c->held_by, NULL, NULL },
		{ "older-than", NULL, NULL, &c->older_ms }, { "all", NULL, &c->all, NULL },
	};
	memcpy(own, rows, sizeof(rows));
}

bool queue_choice_ids(struct queue_choice *c, int argc, char **argv, int *status)
{
	uint64_t id;
	c->ids = argv + optind;
	c->id_count = (size_t)(argc - optind);
	for (size_t i = 0; i < c->id_count; i++)
		if (!queue_id_parse(sp_str_of(c->ids[i]), &id)) {
			fprintf(stderr, "strictpost %s: '%s' is no queue id, as the log and strictpost queue list have them\n", cmd_name(), c->ids[i]);
			*status = RELAY_EXIT_USAGE;
			return false;
		}
	return true;
}

bool queue_choice_says(const struct queue_choice *c)
{
	return c->id_count > 0 || c->sender || c->recipient || c->domain || c->destination || c->state || c->held_by || c->older_ms > 0;
}

size_t queue_choice_parts(const struct queue_choice *c)
{
	return c->id_count > 0 ? c->id_count : 1;
}

void queue_choice_add(const struct queue_choice *c, size_t i, struct sp_buf *target)
{
	char seconds[24];
	query_add(target, "id", c->id_count > 0 ? c->ids[i] : NULL);
	query_add(target, "sender", c->sender);
	query_add(target, "recipient", c->recipient);
	query_add(target, "domain", c->domain);
	query_add(target, "destination", c->destination);
	query_add(target, "state", c->state);
	query_add(target, "rule", c->held_by);
	if (c->older_ms > 0) {
		snprintf(seconds, sizeof(seconds), "%" PRId64, (c->older_ms + 999) / 1000);
		query_add(target, "older_than", seconds);
	}
}

/* ---- asking ---- */

static bool count_part(struct api_client *c, const struct queue_choice *choice, size_t i, struct queue_sum *out, struct progress *p, struct sp_buf *why)
{
	struct sp_buf target, after;
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	sp_buf_init(&after, 64);
	bool good = true;
	do {
		sp_buf_reset(&target);
		sp_buf_adds(&target, "/queue/count");
		queue_choice_add(choice, i, &target);
		query_add(&target, "after", after.len > 0 ? sp_buf_cstr(&after) : NULL);
		json_t *page = api_client_json(c, "GET", sp_buf_cstr(&target), why);
		good = page != NULL;
		out->messages += queue_number(page, "messages");
		out->recipients += queue_number(page, "recipients");
		sp_buf_reset(&after);
		sp_buf_adds(&after, queue_text(page, "next"));
		json_decref(page);
		progress_show(p, out->messages, 0, NULL);
		if (after.len > 0)
			api_client_pause(c);
	} while (good && after.len > 0);
	sp_buf_clear(&after);
	sp_buf_clear(&target);
	return good;
}

bool queue_choice_count(struct api_client *c, const struct queue_choice *choice, struct queue_sum *out, struct sp_buf *why)
{
	struct progress *p = progress_begin("counting");
	bool good = true;
	*out = (struct queue_sum){ 0 };
	for (size_t i = 0; good && i < queue_choice_parts(choice); i++)
		good = count_part(c, choice, i, out, p, why);
	progress_end(p);
	return good;
}

int queue_with_client(const char *config, bool alone, int (*work)(struct api_client *c, void *arg, struct sp_buf *why), void *arg)
{
	int status;
	struct sp_buf why;
	struct api_client *c = api_client_open(cmd_name(), config, alone, &status);
	if (c == NULL)
		return status;
	sp_buf_init(&why, WHY_MAX);
	status = work(c, arg, &why);
	if (why.len > 0) {
		fprintf(stderr, "strictpost %s: %s\n", cmd_name(), sp_buf_cstr(&why));
		status = RELAY_EXIT_FAILED;
	}
	sp_buf_clear(&why);
	api_client_close(c);
	return status;
}

/* ---- answers ---- */

const char *queue_text(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));
	return s ? s : "";
}

uint64_t queue_number(const json_t *v, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(v, name));
}

int64_t queue_time(const json_t *v, const char *name)
{
	int64_t at_s;
	return sp_date_parse_rfc3339(sp_str_of(queue_text(v, name)), &at_s) ? at_s : 0;
}

const char *queue_sum_str(uint64_t messages, uint64_t recipients, char text[80])
{
	snprintf(text, 80, "%" PRIu64 " message%s, %" PRIu64 " recipient%s", messages, messages == 1 ? "" : "s", recipients, recipients == 1 ? "" : "s");
	return text;
}

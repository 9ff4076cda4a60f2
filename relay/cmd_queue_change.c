/* relay/cmd_queue_change.c - strictpost queue retry, hold, release, delete and bounce: what is meant is counted and shown, asked for where it destroys, and done a page at a time,
 * so that it can be left between two. */
#include "relay/cmd_queue.h"

#include "relay/cmd.h"
#include "relay/cmd_verb.h"
#include "relay/progress.h"
#include "relay/query.h"

#include <inttypes.h>
#include <stdio.h>

#define WHICH \
	"WHICH: ids, or what fits all of --sender, --recipient, --domain, --destination, --older-than, --state, --held-by (strictpost queue --help);\n" \
	"--all is all there is. Where nothing is said, nothing is done.\n"
#define REST \
	"  --reason TEXT   kept in the log and with the message\n" \
	"  --json          what was done, as one JSON object\n" \
	"exit: 0 done, 1 not, or not all, or an id is not in the queue, or nothing changed of the ids, 2 usage, 78 a configuration that does not hold\n"

static const char retry_help[] =
	"usage: strictpost queue retry WHICH [--reason TEXT] [--json] [--config FILE]\n\n"
	"Tries these messages now, and their destinations, whatever either waits for. Not what is held.\n" WHICH REST;
static const char hold_help[] =
	"usage: strictpost queue hold WHICH [--for DURATION] [--rule] [--reason TEXT] [--json] [--config FILE]\n\n"
	"Does not try these messages, nor expire them, nor tell their senders of a delay, until they are released.\n" WHICH
	"  --for DURATION  2h, 1d12h: then they are due by themselves\n"
	"  --rule          mail that comes in later too: --sender, --recipient, --domain. strictpost queue holds lists the rules\n" REST;
static const char release_help[] =
	"usage: strictpost queue release WHICH [--reason TEXT] [--json] [--config FILE]\n\n"
	"Lets go of what an operator holds, or what is quarantined: due now. The time it was held is not counted as delay.\n" WHICH REST;
static const char delete_help[] =
	"usage: strictpost queue delete WHICH [--yes] [--reason TEXT] [--json] [--config FILE]\n\n"
	"Removes these messages for good, without a word to their senders (strictpost queue bounce tells them). Asks first, on a terminal.\n" WHICH
	"  --yes           without asking\n" REST;
static const char bounce_help[] =
	"usage: strictpost queue bounce WHICH [--yes] [--reason TEXT] [--json] [--config FILE]\n\n"
	"Returns these messages to their senders, with the reason. Asks first, on a terminal. Needs a relay that runs.\n" WHICH
	"  --yes           without asking\n" REST;

static const struct verb {
	const char *name, *doing, *did, *help;
	const char *none;                       /* why nothing changed of what is there */
	bool asks, alone;
} retry = { "retry", "retrying", "due now", retry_help,
	    "what is held or quarantined is not tried before it is released, nor what its sender holds; what is being sent is tried already", false, true },
  hold = { "hold", "holding", "held", hold_help, "what is quarantined is kept already", false, true },
  release = { "release", "releasing", "released", release_help, "none of it is held or quarantined", false, true },
  delete = { "delete", "deleting", "deleted", delete_help, "it went meanwhile", true, true },
  bounce = { "bounce", "bouncing", "returned", bounce_help, "it went meanwhile, or cannot be read: strictpost queue delete removes that", true, false };

struct change {
	const struct verb *verb;
	struct queue_choice choice;
	const char *reason, *rule;              /* rule: the id of the one that was made; NULL */
	int64_t for_ms;                         /* 0: not said */
	bool wants_rule, yes, json;
	char rule_id[32];
	struct queue_sum fits, done;
	bool complete;
};

/* ---- a page ---- */

static void add_seconds(struct sp_buf *target, int64_t ms)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, (ms + 999) / 1000);
	query_add(target, "for", ms > 0 ? text : NULL);
}

static void add_target(const struct change *h, size_t part, const char *after, struct sp_buf *target)
{
	sp_buf_reset(target);
	sp_buf_printf(target, "/queue/%s", h->verb->name);
	queue_choice_add(&h->choice, part, target);
	query_add(target, "all", h->choice.all ? "1" : NULL);
	query_add(target, "reason", h->reason);
	query_add(target, "rule", h->rule);
	add_seconds(target, h->for_ms);
	query_add(target, "after", *after ? after : NULL);
}

/* All pages of a part, until one says that it was the last, or we are interrupted. False with `why`. */
static bool change_part(struct api_client *c, struct change *h, size_t part, struct progress *p, struct sp_buf *why)
{
	struct sp_buf target, after;
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	sp_buf_init(&after, 64);
	bool good = true;
	do {
		add_target(h, part, sp_buf_cstr(&after), &target);
		json_t *page = api_client_json(c, "POST", sp_buf_cstr(&target), why);
		good = page != NULL;
		h->done.messages += queue_number(page, "messages");
		h->done.recipients += queue_number(page, "recipients");
		h->done.marked += queue_number(page, "marked");
		sp_buf_reset(&after);
		sp_buf_adds(&after, queue_text(page, "next"));
		json_decref(page);
		progress_show(p, h->done.messages + h->done.marked, h->fits.messages, NULL);
		if (after.len > 0)
			api_client_pause(c);
	} while (good && after.len > 0 && !progress_interrupted());
	h->complete = good && after.len == 0;
	sp_buf_clear(&after);
	sp_buf_clear(&target);
	return good;
}

static bool change_all(struct api_client *c, struct change *h, struct sp_buf *why)
{
	struct progress *p = progress_begin(h->verb->doing);
	size_t parts = queue_choice_parts(&h->choice);
	bool good = true;
	h->complete = true;
	for (size_t i = 0; good && h->complete && i < parts; i++) {
		good = change_part(c, h, i, p, why);
		if (i + 1 < parts && progress_interrupted())
			h->complete = false;
	}
	progress_end(p);
	return good;
}

/* ---- a rule ---- */

static bool make_rule(struct api_client *c, struct change *h, struct sp_buf *why)
{
	struct sp_buf target;
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	sp_buf_adds(&target, "/queue/holds");
	query_add(&target, "sender", h->choice.sender);
	query_add(&target, "recipient", h->choice.recipient);
	query_add(&target, "domain", h->choice.domain);
	query_add(&target, "reason", h->reason);
	add_seconds(&target, h->for_ms);
	json_t *v = api_client_json(c, "POST", sp_buf_cstr(&target), why);
	snprintf(h->rule_id, sizeof(h->rule_id), "%s", queue_text(v, "id"));
	h->rule = h->rule_id;
	bool good = v != NULL;
	json_decref(v);
	sp_buf_clear(&target);
	return good;
}

/* ---- what is said ---- */

static void tell_json(const struct change *h)
{
	json_t *v = json_pack("{s:s, s:I, s:I, s:I, s:b}", "action", h->verb->name, "messages", (json_int_t)h->done.messages, "recipients",
	                      (json_int_t)h->done.recipients, "marked", (json_int_t)h->done.marked, "complete", (int)h->complete);
	if (h->rule)
		json_object_set_new(v, "rule", json_string(h->rule));
	cmd_print_json(v);
	json_decref(v);
}

static void tell(const struct change *h)
{
	char text[80];
	if (h->rule)
		printf("rule %s holds what comes in from now on\n", h->rule);
	printf("%s: %s\n", h->verb->did, queue_sum_str(h->done.messages, h->done.recipients, text));
	if (h->done.marked > 0)
		printf("%" PRIu64 " more being sent just now: %s when their sessions let go of them, unless they deliver them\n", h->done.marked, h->verb->did);
	if (h->complete && h->fits.messages > 0 && h->done.messages + h->done.marked == 0)
		printf("nothing changed: %s\n", h->verb->none);
	if (!h->complete)
		printf("interrupted: about %" PRIu64 " of %" PRIu64 " messages; the same command%s does the rest\n", h->done.messages + h->done.marked,
		       h->fits.messages, h->rule ? " without --rule" : "");
}

static bool agree(const struct change *h)
{
	char text[80];
	queue_sum_str(h->fits.messages, h->fits.recipients, text);
	if (h->verb->asks)
		return terminal_confirm(h->yes, "%s %s?", h->verb->name, text);
	if (terminal_is(stderr))
		fprintf(stderr, "%s\n", text);
	return true;
}

/* Of ids, each must be there; of a filter, nothing may fit. */
static int nothing_fits(const struct change *h)
{
	if (h->json)
		tell_json(h);
	else
		puts(h->choice.id_count > 0 ? "not in the queue: delivered, returned or deleted meanwhile, or never was" : "no message fits");
	return h->choice.id_count > 0 ? RELAY_EXIT_FAILED : RELAY_EXIT_OK;
}

static int run_change(struct api_client *c, void *arg, struct sp_buf *why)
{
	struct change *h = arg;
	if (!queue_choice_count(c, &h->choice, &h->fits, why))
		return RELAY_EXIT_FAILED;
	if (h->fits.messages == 0 && !h->wants_rule) {
		h->complete = true;
		return nothing_fits(h);
	}
	if (!agree(h))
		return RELAY_EXIT_FAILED;
	progress_catch_interrupt();             /* not before: who leaves the question has said no */
	if (h->wants_rule && !make_rule(c, h, why))
		return RELAY_EXIT_FAILED;
	bool good = change_all(c, h, why);
	if (h->json)
		tell_json(h);
	else if (good || h->done.messages + h->done.marked > 0)
		tell(h);
	bool nothing = h->choice.id_count > 0 && h->done.messages + h->done.marked == 0;
	return good && h->complete && !nothing && h->fits.messages >= h->choice.id_count ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

/* ---- options ---- */

static bool check(const struct change *h)
{
	const struct queue_choice *c = &h->choice;
	const char *wrong = NULL;
	if (!queue_choice_says(c) && !c->all)
		wrong = "which messages? Say ids, --sender, --recipient, --domain, --destination, --older-than, --state, or --all";
	else if (queue_choice_says(c) && c->all)
		wrong = "--all stands alone: it is all messages, whatever else is said";
	else if (h->wants_rule && (c->id_count || c->destination || c->state || c->held_by || c->older_ms || c->all))
		wrong = "--rule goes with --sender, --recipient and --domain: the rest is not known of mail that is to come";
	if (wrong)
		fprintf(stderr, "strictpost %s: %s\n", cmd_name(), wrong);
	return wrong == NULL;
}

static int run(int argc, char **argv, const struct verb *verb)
{
	struct change h = { .verb = verb };
	struct cmd_options o;
	int status;
	struct cmd_option own[QUEUE_CHOICE_OPTIONS + 5] = { 0 };
	queue_choice_options(&h.choice, own);
	size_t n = QUEUE_CHOICE_OPTIONS;
	own[n++] = (struct cmd_option){ "reason", &h.reason, NULL, NULL };
	if (verb->asks)
		own[n++] = (struct cmd_option){ "yes", NULL, &h.yes, NULL };
	if (verb == &hold) {
		own[n++] = (struct cmd_option){ "for", NULL, NULL, &h.for_ms };
		own[n++] = (struct cmd_option){ "rule", NULL, &h.wants_rule, NULL };
	}
	if (!cmd_options_with(argc, argv, verb->help, true, own, &o, &status) || !queue_choice_ids(&h.choice, argc, argv, &status))
		return status;
	if (!check(&h))
		return RELAY_EXIT_USAGE;
	h.json = o.json;
	return queue_with_client(o.config, verb->alone, run_change, &h);
}

int cmd_queue_retry(int argc, char **argv)
{
	return run(argc, argv, &retry);
}

int cmd_queue_hold(int argc, char **argv)
{
	return run(argc, argv, &hold);
}

int cmd_queue_release(int argc, char **argv)
{
	return run(argc, argv, &release);
}

int cmd_queue_delete(int argc, char **argv)
{
	return run(argc, argv, &delete);
}

int cmd_queue_bounce(int argc, char **argv)
{
	return run(argc, argv, &bounce);
}

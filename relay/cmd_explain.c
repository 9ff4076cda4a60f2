/* relay/cmd_explain.c - strictpost explain ID: the story of a message, from the evidence that the spool keeps (relay/evidence.h) and the queue.
 * What is told of a message: its own events; and with them what was tried for its destinations without it, which is why it waited. */
#include "relay/cmd_explain_domain.h"

#include "queue/store.h"
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/query.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096
#define DESTINATIONS_MAX 20             /* of a message, whose sessions are asked for */
#define SESSIONS_ASKED "100"            /* of each, the newest */

static const char help[] =
	"usage: strictpost explain ID [--pem] [--transcript | --no-transcript] [--json] [--config FILE]\n"
	"       strictpost explain DOMAIN [--json] [--config FILE]\n\n"
	"Tells the whole story of a message, by its queue id, whether it waits, was delivered or came back: who gave it to us; each attempt with the policy that\n"
	"applied and where that came from, the host, what it proved, what was said with times, its answer; when it is tried next, and why then.\n"
	"Kept for evidence.keep in the configuration. Works with a relay that runs, and on the spool of one that does not.\n\n"
	"Tells what would be done with a message for the domain now, and why: the policy and where it came from, what each host must prove, what the domain waits for,\n"
	"and how the latest sessions went. Where no relay runs: what strictpost check tells.\n\n"
	"  --pem             the certificates that hosts showed, too\n"
	"  --transcript      what was said also in sessions that failed before this message's turn\n"
	"  --no-transcript   nothing of what was said\n"
	"  --json            one JSON object: {\"queue_id\", \"message\", \"events\"}; of a domain what GET /explain/domain answers, and \"sessions\"\n"
	"exit: 0 told, 1 nothing is known of it, or it cannot be asked, 2 usage, 78 a configuration that does not hold\n";

struct story {
	json_t *message;                /* NULL: not in the queue */
	json_t *events;                 /* its own */
	json_t *all;                    /* and what was tried meanwhile */
};

/* ---- asking ---- */

static json_t *ask(struct api_client *c, const char *path, const char *name, const char *value, const char *more, const char *after, struct sp_buf *why)
{
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, path);
	query_add(&target, name, value);
	query_add(&target, more, after);
	json_t *v = api_client_json(c, "GET", sp_buf_cstr(&target), why);
	sp_buf_clear(&target);
	return v;
}

static const char *text(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));
	return s ? s : "";
}

/* All events, in `events`. False with `why`. */
static bool get_events(struct api_client *c, const char *id, json_t *events, struct sp_buf *why)
{
	char after[32] = "";
	do {
		json_t *page = ask(c, "/evidence/message", "id", id, "after", *after ? after : NULL, why);
		if (page == NULL)
			return false;
		json_array_extend(events, json_object_get(page, "events"));
		snprintf(after, sizeof(after), "%s", text(page, "next"));
		json_decref(page);
	} while (*after);
	return true;
}

/* The message in the queue in *out, a new reference; NULL: it is not there. False with `why`. */
static bool get_message(struct api_client *c, const char *id, json_t **out, struct sp_buf *why)
{
	struct control_answer a = { 0 };
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, "/queue/message");
	query_add(&target, "id", id);
	bool good = api_client_ask(c, "GET", sp_buf_cstr(&target), &a, why);
	*out = good ? json_loadb(a.body.p, a.body.len, 0, NULL) : NULL;
	if (!good && a.status == 404) {
		sp_buf_reset(why);
		good = true;
	}
	sp_buf_clear(&a.body);
	sp_buf_clear(&target);
	return good;
}

/* Did its story end? Every recipient was delivered or came back, or an operator deleted it. */
static bool has_ended(const json_t *message, const json_t *events)
{
	size_t i, k;
	int64_t left = json_integer_value(json_object_get(json_object_get(json_array_get(events, 0), "data"), "recipient_count"));
	const json_t *v, *r;
	if (message)
		return false;
	json_array_foreach(events, i, v) {
		const json_t *d = json_object_get(v, "data");
		if (strcmp(text(d, "event"), "delete") == 0)
			return true;
		json_array_foreach(json_object_get(d, "recipients"), k, r)
			left -= strcmp(text(r, "outcome"), "delivered") == 0 || strcmp(text(r, "outcome"), "bounced") == 0;
	}
	return left <= 0;
}

/* ---- what was tried meanwhile ---- */

static void add_destination(json_t *set, const char *name)
{
	if (*name && json_object_size(set) < DESTINATIONS_MAX)
		json_object_set_new(set, name, json_true());
}

/* By what the queue says, the events, and, of one that was just accepted, its recipients' domains. */
static json_t *destinations_of(const json_t *message, const json_t *events)
{
	size_t i, k;
	const json_t *v, *r;
	json_t *set = json_object();
	json_array_foreach(json_object_get(message, "recipients"), i, r)
		add_destination(set, text(r, "destination"));
	json_array_foreach(events, i, v)
		add_destination(set, text(json_object_get(v, "data"), "destination"));
	if (json_object_size(set) > 0)
		return set;
	json_array_foreach(events, i, v)
		json_array_foreach(json_object_get(json_object_get(v, "data"), "recipients"), k, r) {
			const char *at = strrchr(text(r, "address"), '@');
			add_destination(set, at ? at + 1 : "");
		}
	return set;
}

/* Is the session one of an event's, or of those that it names as tried before? */
static bool is_told(const json_t *events, const char *session)
{
	size_t i, k;
	const json_t *v, *e;
	json_array_foreach(events, i, v) {
		const json_t *s = json_object_get(v, "session");
		if (strcmp(text(s, "id"), session) == 0 && json_object_get(v, "data"))
			return true;
		json_array_foreach(json_object_get(json_object_get(s, "data"), "earlier"), k, e)
			if (strcmp(text(e, "session"), session) == 0 && json_object_get(v, "data"))
				return true;
	}
	return false;
}

static bool has_failed(const json_t *session)
{
	const char *verdict = text(json_object_get(session, "data"), "verdict");
	return strcmp(verdict, "failed") == 0 || strcmp(verdict, "refused") == 0;
}

/* It was after the message came, and before its story ended. */
static bool concerns(const json_t *session, const json_t *events, bool ended)
{
	const json_t *first = json_array_get(events, 0), *last = json_array_get(events, json_array_size(events) - 1);
	const char *at = text(session, "at");
	return strcmp(at, text(first, "at")) >= 0 && (!ended || strcmp(at, text(last, "at")) <= 0) && !is_told(events, text(session, "id"));
}

/* Does the message wait for the destination itself? */
static bool waits_for(const json_t *message, const char *destination)
{
	size_t i;
	const json_t *r;
	json_array_foreach(json_object_get(message, "recipients"), i, r)
		if (json_is_true(json_object_get(r, "site")) && strcmp(text(r, "destination"), destination) == 0)
			return true;
	return false;
}

/* Those that failed meanwhile; where there was none, and the message waits for the destination, the last that failed before it came: that is why. */
static bool add_sessions(struct api_client *c, const char *destination, const struct story *story, json_t *out, struct sp_buf *why)
{
	size_t i, told = json_array_size(out);
	bool ended = has_ended(story->message, story->events), waits = waits_for(story->message, destination);
	json_t *s, *page = ask(c, "/evidence/sessions", "destination", destination, "limit", SESSIONS_ASKED, why);
	json_array_foreach(json_object_get(page, "sessions"), i, s)
		if (has_failed(s) && (concerns(s, story->events, ended) || (waits && json_array_size(out) == told && !is_told(story->events, text(s, "id")))))
			json_array_append_new(out, json_pack("{s:O, s:O}", "at", json_object_get(s, "at"), "session", s));
	json_decref(page);
	return page != NULL;
}

static int by_time(const void *a, const void *b)
{
	json_t *const *x = a, *const *y = b;
	return strcmp(text(*x, "at"), text(*y, "at"));
}

/* Both in the order of time: a new array, whose elements are shared. */
static json_t *merge(const json_t *events, const json_t *tried)
{
	size_t count = json_array_size(events) + json_array_size(tried), n = 0, i;
	json_t **list = sp_alloc_array(count, sizeof(json_t *)), *v, *out = json_array();
	json_array_foreach(events, i, v)
		list[n++] = v;
	json_array_foreach(tried, i, v)
		list[n++] = v;
	qsort(list, n, sizeof(json_t *), by_time);
	for (i = 0; i < n; i++)
		json_array_append(out, list[i]);
	free(list);
	return out;
}

/* ---- the story ---- */

static bool add_pem(struct api_client *c, const struct story *s, struct sp_buf *why)
{
	size_t i;
	json_t *v;
	json_array_foreach(s->all, i, v) {
		const char *session = text(json_object_get(v, "session"), "id");
		json_t *chain = *session ? ask(c, "/evidence/chain", "session", session, NULL, NULL, why) : NULL;
		if (*session && chain == NULL)
			return false;
		if (*text(chain, "pem"))
			json_object_set(v, "pem", json_object_get(chain, "pem"));
		json_decref(chain);
	}
	return true;
}

static bool gather(struct api_client *c, const char *id, bool pem, struct story *s, struct sp_buf *why)
{
	const char *name;
	json_t *v, *tried = json_array();
	s->events = json_array();
	bool good = get_events(c, id, s->events, why);
	good = good && get_message(c, id, &s->message, why);
	json_t *names = destinations_of(s->message, s->events);
	if (json_array_size(s->events) > 0)
		json_object_foreach(names, name, v)
			good = good && add_sessions(c, name, s, tried, why);
	s->all = merge(s->events, tried);
	json_decref(names);
	json_decref(tried);
	return good && (!pem || add_pem(c, s, why));
}

static void print_story(const char *id, const struct story *s, const struct explain_options *o)
{
	size_t i;
	const json_t *v;
	if (o->json) {
		json_t *all = json_pack("{s:s, s:O?, s:O}", "queue_id", id, "message", s->message, "events", s->all);
		cmd_print_json(all);
		json_decref(all);
		return;
	}
	printf("message %s\n", id);
	json_array_foreach(s->all, i, v)
		explain_print_event(v, o);
	if (json_array_size(s->events) == 0)
		printf("\n    it is in the queue; what was seen of it is not kept any more (evidence.keep, evidence.size), or never was\n");
	explain_print_now(s->message, s->events);
}

static void say_unknown(const char *id)
{
	fprintf(stderr, "strictpost explain: nothing is known of %s. Is it from another relay, or a typing error? Or it is longer ago than evidence.keep, or\n"
	        "evidence.size was reached since: the log may have it still.\n", id);
}

static int explain_message(const char *id, const struct explain_options *o)
{
	int status;
	struct api_client *c = api_client_open("explain", o->config, true, &status);
	if (c == NULL)
		return status;
	struct story s = { 0 };
	struct sp_buf why;
	sp_buf_init(&why, TEXT_MAX);
	bool good = gather(c, id, o->pem, &s, &why), known = s.message || json_array_size(s.all) > 0;
	if (!good)
		fprintf(stderr, "strictpost explain: %s\n", sp_buf_cstr(&why));
	else if (!known)
		say_unknown(id);
	else
		print_story(id, &s, o);
	json_decref(s.message);
	json_decref(s.events);
	json_decref(s.all);
	sp_buf_clear(&why);
	api_client_close(c);
	return good && known ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

int cmd_explain(int argc, char **argv)
{
	struct cmd_options o;
	struct explain_options e = { .transcript = true };
	bool none = false;
	const struct cmd_option own[] = { { "pem", .given = &e.pem }, { "transcript", .given = &e.all_transcripts }, { "no-transcript", .given = &none }, { NULL } };
	int wrong;
	uint64_t number;
	char id[QUEUE_ID_TEXT];
	if (!cmd_options_with(argc, argv, help, true, own, &o, &wrong) || !cmd_arguments(argc, argv, 1, 1, &wrong))
		return wrong;
	e.config = o.config;
	e.json = o.json;
	e.transcript = !none;
	if (queue_id_parse(sp_str_of(argv[optind]), &number))
		return explain_message(queue_id_str(number, id), &e);
	if (explain_is_domain(argv[optind]))
		return explain_domain(argv[optind], &e);
	fprintf(stderr, "strictpost explain: '%s' is no queue id, and no domain: ids are up to 13 letters and digits (no U), as the log has them\n", argv[optind]);
	return RELAY_EXIT_USAGE;
}

/* relay/cmd_queue_list.c - strictpost queue list and show: messages, and what they wait for. */
#include "relay/cmd_queue.h"

#include "core/clock.h"
#include "core/date.h"
#include "relay/cmd.h"
#include "relay/cmd_verb.h"
#include "relay/query.h"
#include "relay/table.h"

#include <inttypes.h>
#include <stdio.h>

#define PAGE ((uint64_t)1000)
#define ROWS_MAX 5                      /* recipients of a message in the list; show has all */

static const char list_help[] =
	"usage: strictpost queue list [WHICH] [--limit N] [--json] [--config FILE]\n\n"
	"Prints the messages in the queue, the oldest first, with their recipients, where these stand, and what they wait for. WHICH: ids, --sender,\n"
	"--recipient, --domain, --destination, --older-than, --state, --held-by (strictpost queue --help); nothing: all.\n"
	"  --limit N   at most so many messages\n"
	"  --json      one JSON object a message and line, with the names that postqueue -j has, and more\n"
	"exit: 0 printed, 1 it could not be read, 2 usage, 78 a configuration that does not hold\n";

static const char show_help[] =
	"usage: strictpost queue show ID... [--json] [--config FILE]\n\n"
	"Prints messages with all their recipients and what each waits for. strictpost explain ID tells what happened to one.\n"
	"exit: 0 printed, 1 one is not in the queue, 2 usage, 78 a configuration that does not hold\n";

static const struct table_column columns[] = {
	{ .title = "ID" }, { .title = "Age", .right = true }, { .title = "Size", .right = true }, { .title = "State" }, { .title = "Sender", .shrinks = true },
	{ .title = "Recipient", .shrinks = true }, { .title = "Next", .right = true }, { .title = "Why", .shrinks = true },
};

struct listing {
	const struct queue_choice *choice;
	bool json;
	uint64_t limit, messages, recipients;   /* limit 0: none */
	struct table *table;
	int64_t now_s;
};

static enum terminal_colour colour_of(const char *state)
{
	if (strcmp(state, "quarantined") == 0)
		return TERMINAL_BAD;
	return strcmp(state, "hold") == 0 ? TERMINAL_WARN : strcmp(state, "active") == 0 ? TERMINAL_GOOD : TERMINAL_PLAIN;
}

/* "in 4 min", "now"; "" where nothing is to come. */
static const char *next_str(const json_t *r, int64_t now_s, char text[64])
{
	char age[TERMINAL_NUMBER];
	int64_t at_s = queue_time(r, "next_attempt");
	if (at_s == 0)
		return strcmp(queue_text(r, "state"), "deferred") == 0 ? "now" : "";
	if (at_s <= now_s)
		return "now";
	snprintf(text, 64, "%s", terminal_age(at_s - now_s, age));
	return text;
}

static const char *why_str(const json_t *r)
{
	const char *held = queue_text(r, "hold_reason");
	return *held ? held : queue_text(r, "delay_reason");
}

static const char *sender_str(const json_t *m)
{
	const char *s = queue_text(m, "sender");
	return *s ? s : "<>";
}

static void print_recipient(struct listing *l, const json_t *m, const json_t *r, bool first)
{
	char number[TERMINAL_NUMBER], next[64];
	table_cell(l->table, first ? queue_text(m, "queue_id") : "");
	table_cell(l->table, first ? terminal_age(l->now_s - (int64_t)queue_number(m, "arrival_time"), number) : "");
	table_cell(l->table, first ? terminal_size(queue_number(m, "message_size"), number) : "");
	table_cell_colour(l->table, queue_text(r, "state"), colour_of(queue_text(r, "state")));
	table_cell(l->table, first ? sender_str(m) : "");
	table_cell(l->table, queue_text(r, "address"));
	table_cell(l->table, next_str(r, l->now_s, next));
	table_cell(l->table, why_str(r));
}

/* Those that fit. */
static uint64_t print_message(struct listing *l, const json_t *m)
{
	size_t i;
	const json_t *r;
	uint64_t fit = 0;
	char text[128];
	json_array_foreach(json_object_get(m, "recipients"), i, r) {
		if (json_is_false(json_object_get(r, "fits")))
			continue;
		if (!l->json && fit < ROWS_MAX)
			print_recipient(l, m, r, fit == 0);
		fit++;
	}
	if (!l->json && fit > ROWS_MAX) {
		snprintf(text, sizeof(text), "and %" PRIu64 " more recipients: strictpost queue show %.20s", fit - ROWS_MAX, queue_text(m, "queue_id"));
		table_note(l->table, text);
	}
	return fit;
}

static bool on_row(void *owner, const json_t *m)
{
	struct listing *l = owner;
	if (l->limit > 0 && l->messages == l->limit)
		return false;
	if (l->json)
		cmd_print_json(m);
	l->recipients += print_message(l, m);
	l->messages++;
	return !ferror(stdout);
}

static int list(struct api_client *c, void *arg, struct sp_buf *why)
{
	struct listing *l = arg;
	struct sp_buf target;
	char text[80];
	bool good = true;
	l->now_s = core_clock_wall_s();
	if (!l->json)
		l->table = table_begin(stdout, columns, SP_COUNT(columns));
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	for (size_t i = 0; good && i < queue_choice_parts(l->choice); i++) {
		sp_buf_reset(&target);
		sp_buf_printf(&target, "/queue/list?limit=%" PRIu64, l->limit > 0 && l->limit < PAGE ? l->limit : PAGE);
		queue_choice_add(l->choice, i, &target);
		good = api_client_each(c, sp_buf_cstr(&target), "messages", on_row, l, why);
	}
	sp_buf_clear(&target);
	if (!l->json) {
		table_end(l->table, good ? queue_choice_says(l->choice) ? "no message fits" : "the queue is empty" : NULL);
		if (l->messages > 0)
			printf("\n%s\n", queue_sum_str(l->messages, l->recipients, text));
	}
	return RELAY_EXIT_OK;
}

int cmd_queue_list(int argc, char **argv)
{
	struct queue_choice choice = { 0 };
	struct listing l = { .choice = &choice };
	struct cmd_options o;
	const char *limit = NULL;
	int status;
	struct cmd_option own[QUEUE_CHOICE_OPTIONS + 2] = { 0 };
	queue_choice_options(&choice, own);
	own[QUEUE_CHOICE_OPTIONS] = (struct cmd_option){ "limit", &limit, NULL, NULL };
	if (!cmd_options_with(argc, argv, list_help, true, own, &o, &status) || !queue_choice_ids(&choice, argc, argv, &status))
		return status;
	if (limit && !sp_str_number(sp_str_of(limit), 1, UINT32_MAX, &l.limit)) {
		fprintf(stderr, "strictpost queue list: --limit: '%s' is no number over 0\n", limit);
		return RELAY_EXIT_USAGE;
	}
	l.json = o.json;
	return queue_with_client(o.config, true, list, &l);
}

/* ---- show ---- */

static void print_line(const char *name, const char *value)
{
	struct sp_buf text;
	if (*value == '\0')
		return;
	sp_buf_init(&text, QUEUE_TARGET_MAX);
	terminal_fit(&text, sp_str_of(value), 0);
	printf("%-12s %s\n", name, sp_buf_cstr(&text));
	sp_buf_clear(&text);
}

static void print_times(const json_t *m, int64_t now_s)
{
	char age[TERMINAL_NUMBER], text[128];
	snprintf(text, sizeof(text), "%.40s (%s ago)", queue_text(m, "arrived"), terminal_age(now_s - (int64_t)queue_number(m, "arrival_time"), age));
	print_line("arrived", text);
	print_line("from", queue_text(m, "client"));
	print_line("held until", queue_text(m, "hold_until"));
	print_line("deliver by", queue_text(m, "deliver_by"));
}

static void print_wishes(const json_t *m)
{
	char text[32];
	print_line("envelope id", queue_text(m, "envelope_id"));
	if (json_is_true(json_object_get(m, "require_tls")))
		print_line("asks for", "REQUIRETLS");
	if (json_is_true(json_object_get(m, "tls_optional")))
		print_line("asks for", "TLS-Required: No");
	if (json_integer_value(json_object_get(m, "priority")) != 0) {
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(m, "priority")));
		print_line("priority", text);
	}
}

static void print_state(const json_t *r, int64_t now_s)
{
	const char *state = queue_text(r, "state"), *why = queue_text(r, "delay_reason"), *held = queue_text(r, "hold_reason");
	char next[64], age[TERMINAL_NUMBER], text[200];
	struct sp_buf line;
	sp_buf_init(&line, QUEUE_TARGET_MAX);
	terminal_fit(&line, sp_str_of(queue_text(r, "address")), 0);
	printf("\n%s%s%s  %s%s%s\n", terminal_on(stdout, TERMINAL_BOLD), sp_buf_cstr(&line), terminal_off(stdout, TERMINAL_BOLD),
	       terminal_on(stdout, colour_of(state)), state, terminal_off(stdout, colour_of(state)));
	sp_buf_clear(&line);
	print_line("  destination", queue_text(r, "destination"));
	snprintf(text, sizeof(text), "%" PRIu64 "%s%s", queue_number(r, "attempts"), *next_str(r, now_s, next) ? ", next " : "", next_str(r, now_s, next));
	print_line("  attempts", text);
	if (*held || queue_text(r, "hold_rule")[0]) {
		snprintf(text, sizeof(text), "%.150s%s%.20s", held, queue_text(r, "hold_rule")[0] ? " by rule " : "", queue_text(r, "hold_rule"));
		print_line("  held", text);
	}
	print_line(json_is_true(json_object_get(r, "site")) ? "  site fails" : "  last failure", why);
	int64_t deadline_s = queue_time(r, "deadline");
	if (deadline_s > now_s)
		print_line("  minded in", terminal_age(deadline_s - now_s, age));
}

static void show_message(const json_t *m)
{
	size_t i;
	const json_t *r;
	char size[TERMINAL_NUMBER];
	int64_t now_s = core_clock_wall_s();
	print_line("message", queue_text(m, "queue_id"));
	print_line("kind", strcmp(queue_text(m, "kind"), "mail") == 0 ? "" : queue_text(m, "kind"));
	print_line("sender", sender_str(m));
	print_times(m, now_s);
	print_line("size", terminal_size(queue_number(m, "message_size"), size));
	print_wishes(m);
	json_array_foreach(json_object_get(m, "recipients"), i, r)
		print_state(r, now_s);
	printf("\nstrictpost explain %s tells what happened to it, and why\n", queue_text(m, "queue_id"));
}

struct showing {
	const struct queue_choice *choice;
	bool json;
};

static int show(struct api_client *c, void *arg, struct sp_buf *why)
{
	const struct showing *s = arg;
	struct sp_buf target;
	sp_buf_init(&target, QUEUE_TARGET_MAX);
	for (size_t i = 0; i < s->choice->id_count && why->len == 0; i++) {
		sp_buf_reset(&target);
		sp_buf_adds(&target, "/queue/message");
		query_add(&target, "id", s->choice->ids[i]);
		json_t *m = api_client_json(c, "GET", sp_buf_cstr(&target), why);
		if (m == NULL)
			break;
		if (i > 0 && !s->json)
			putchar('\n');
		s->json ? cmd_print_json(m) : show_message(m);
		json_decref(m);
	}
	sp_buf_clear(&target);
	return RELAY_EXIT_OK;
}

int cmd_queue_show(int argc, char **argv)
{
	struct queue_choice choice = { 0 };
	struct showing s = { .choice = &choice };
	struct cmd_options o;
	int status;
	if (!cmd_options(argc, argv, show_help, true, &o, &status) || !queue_choice_ids(&choice, argc, argv, &status))
		return status;
	if (choice.id_count == 0) {
		fputs("strictpost queue show: which message? strictpost queue list has their ids\n", stderr);
		return RELAY_EXIT_USAGE;
	}
	s.json = o.json;
	return queue_with_client(o.config, true, show, &s);
}

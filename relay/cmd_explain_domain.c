/* relay/cmd_explain_domain.c - see cmd_explain_domain.h. */
#include "relay/cmd_explain_domain.h"

#include "core/log.h"
#include "relay/check_print.h"
#include "relay/check_run.h"
#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "relay/query.h"
#include "relay/terminal.h"

#include <inttypes.h>
#include <stdio.h>

#define TEXT_MAX 4096
#define SESSIONS_SHOWN "5"

bool explain_is_domain(const char *name)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *why;
	bool is = check_name(name, &arena, &why) != NULL;
	sp_arena_clear(&arena);
	return is;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static int64_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* --- for people --- */

static void print_now(const json_t *v)
{
	const char *now = text(v, "now"), *why = text(v, "why"), *until = text(json_object_get(v, "state"), "held_until");
	if (strcmp(now, "try") == 0)
		printf("%s: mail would be tried at once\n", text(v, "destination"));
	else if (strcmp(now, "hold") == 0)
		printf("%s: mail would stay here, %s\n", text(v, "destination"), why);
	else if (strcmp(now, "wait") == 0)
		printf("%s: mail would wait until %s: %s\n", text(v, "destination"), until, why);
	else
		printf("%s: mail would %s: %s\n", text(v, "destination"), strcmp(now, "defer") == 0 ? "wait" : "be returned", why);
}

static void print_state(const json_t *s)
{
	if (strcmp(text(s, "state"), "unknown") == 0) {
		check_print_line("state", "nothing is in memory: no mail for it lately");
		return;
	}
	check_print_line("state", "%s; %" PRId64 " messages in memory wait, %" PRId64 " are being sent%s", text(s, "state"), number(s, "waiting"), number(s, "under_way"),
	                 json_is_true(json_object_get(s, "more")) ? ", more are in the spool" : "");
	check_print_line("", "%" PRId64 " sessions, %" PRId64 " of them idle; at most %" PRId64 " now%s%s", number(s, "sessions"), number(s, "idle_sessions"),
	                 number(s, "sessions_allowed"), *text(s, "rate") ? ", rate " : "", text(s, "rate"));
	if (number(s, "failures") > 0)
		check_print_line("", "failed %" PRId64 " times in a row, since %s: %s", number(s, "failures"), text(s, "since"), text(s, "why"));
}

static void print_addresses(const json_t *list)
{
	size_t i;
	json_t *a;
	json_array_foreach(list, i, a) {
		const char *label = i ? "" : "addresses";
		int64_t dead = number(a, "dead_for_ms"), paused = number(a, "paused_for_ms");
		if (dead > 0)
			check_print_line(label, "%s is left alone for another %" PRId64 " s: %s", text(a, "address"), (dead + 999) / 1000, text(a, "why"));
		else if (paused > 0)
			check_print_line(label, "%s gets no new session for %" PRId64 " ms: it said 421, or closed on us", text(a, "address"), paused);
		else
			check_print_line(label, "%s: %" PRId64 " sessions of at most %" PRId64, text(a, "address"), number(a, "sessions"), number(a, "sessions_allowed"));
	}
}

static void print_refresh(const json_t *r)
{
	if (!json_is_object(r))
		return;
	if (*text(r, "due"))
		check_print_line("", "to be fetched again at %s", text(r, "due"));
	if (number(r, "failures") > 0)
		check_print_line("", "failed to be fetched %" PRId64 " times in a row, not again before %s: %s", number(r, "failures"), text(r, "not_before"), text(r, "failure"));
}

static void print_latest(const json_t *sessions, const struct explain_options *o)
{
	size_t i;
	json_t *s;
	if (json_array_size(sessions) > 0)
		puts("\nlatest sessions");
	json_array_foreach(sessions, i, s) {
		json_t *event = json_pack("{s:O, s:O}", "at", json_object_get(s, "at"), "session", s);
		explain_print_event(event, o);
		json_decref(event);
	}
}

static void print(const json_t *v, const struct explain_options *o)
{
	const json_t *resolver = json_object_get(v, "resolver");
	print_now(v);
	check_print_line("resolver", "DNSSEC: %s", text(resolver, "state"));
	check_print_plan(json_object_get(v, "plan"), NULL);
	print_refresh(json_object_get(v, "policy_refresh"));
	print_state(json_object_get(v, "state"));
	print_addresses(json_object_get(v, "addresses"));
	print_latest(json_object_get(v, "sessions"), o);
}

/* --- of a relay --- */

static json_t *ask(struct api_client *c, const char *path, const char *key, const char *value, const char *limit, struct sp_buf *why)
{
	struct sp_buf target;
	sp_buf_init(&target, TEXT_MAX);
	sp_buf_adds(&target, path);
	query_add(&target, key, value);
	query_add(&target, "limit", limit);
	json_t *v = api_client_json(c, "GET", sp_buf_cstr(&target), why);
	sp_buf_clear(&target);
	return v;
}

static int explain_by_relay(struct api_client *c, const char *domain, const struct explain_options *o)
{
	struct sp_buf why;
	sp_buf_init(&why, TEXT_MAX);
	json_t *v = ask(c, "/explain/domain", "domain", domain, NULL, &why);
	json_t *page = v ? ask(c, "/evidence/sessions", "destination", text(v, "name"), SESSIONS_SHOWN, &why) : NULL;
	if (page)
		json_object_set(v, "sessions", json_object_get(page, "sessions"));
	if (page && o->json) {
		cmd_print_json(v);
	} else if (page) {
		print(v, o);
	} else {
		fprintf(stderr, "strictpost explain: %s\n", sp_buf_cstr(&why));
	}
	int status = page ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
	json_decref(page);
	json_decref(v);
	sp_buf_clear(&why);
	return status;
}

/* --- without one --- */

static bool on_checked(void *owner, size_t index SP_UNUSED, enum check_status status SP_UNUSED, json_t *told)
{
	const struct explain_options *o = owner;
	if (o->json) {
		cmd_print_json(told);
	} else {
		check_print(told);
	}
	return true;
}

static int explain_by_check(const char *name, const struct explain_options *o)
{
	const char *from;
	struct sp_buf problems;
	struct sp_fail why;
	struct explain_options owned = *o;
	sp_buf_init(&problems, 65536);
	struct config *config = check_config(o->config, true, &from, &problems);
	fputs(sp_buf_cstr(&problems), stderr);
	sp_buf_clear(&problems);
	if (config == NULL)
		return RELAY_EXIT_CONFIG;
	fputs("strictpost explain: no relay runs; this is what one would find that has nothing cached, as strictpost check tells it\n", stderr);
	sp_log_silence();
	struct check_run r = { .names = &name, .count = 1, .parallel = 1, .ask.deadline_ms = CHECK_DEADLINE_MS, .each = on_checked, .owner = &owned };
	bool ran = check_run(&r, config, &why);
	if (!ran)
		fprintf(stderr, "strictpost explain: %s\n", why.text);
	config_unref(config);
	return ran && r.done == 1 ? RELAY_EXIT_OK : RELAY_EXIT_FAILED;
}

int explain_domain(const char *name, const struct explain_options *o)
{
	int status;
	const char *why;
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct api_client *c = api_client_open("explain", o->config, true, &status);
	if (c == NULL)
		return status;
	bool runs = api_client_is_relay(c);
	if (runs)
		status = explain_by_relay(c, check_name(name, &arena, &why), o);
	api_client_close(c);
	sp_arena_clear(&arena);
	return runs ? status : explain_by_check(name, o);
}

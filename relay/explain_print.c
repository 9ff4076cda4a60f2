/* relay/explain_print.c - see cmd_explain.h: the story of a message, for people. All that peers and clients said goes through terminal_fit(). */
#include "relay/cmd_explain.h"

#include "relay/terminal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 8192

static const char *text(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));
	return s ? s : "";
}

/* As a terminal may have it. */
static void put(const char *s)
{
	struct sp_buf out;
	sp_buf_init(&out, TEXT_MAX);
	(void)terminal_fit(&out, sp_str_of(s), 0);
	fputs(sp_buf_cstr(&out), stdout);
	sp_buf_clear(&out);
}

/* The same; a line end at the end of `fmt` is one. */
static SP_PRINTF(1, 2) void putf(const char *fmt, ...)
{
	struct sp_buf raw;
	va_list args;
	sp_buf_init(&raw, TEXT_MAX);
	va_start(args, fmt);
	sp_buf_vprintf(&raw, fmt, args);
	va_end(args);
	bool ends = raw.len > 0 && fmt[strlen(fmt) - 1] == '\n';
	if (ends)
		sp_buf_truncate(&raw, raw.len - 1);
	put(sp_buf_cstr(&raw));
	if (ends)
		putchar('\n');
	sp_buf_clear(&raw);
}

/* "  proved     ": the name of what follows in its line. */
static void label(const char *word)
{
	printf("    %-12s", word);
}

static void heading(const json_t *event, enum terminal_colour c, const char *word)
{
	printf("\n");
	put(text(event, "at"));
	printf("  %s%s%s  ", terminal_on(stdout, c), word, terminal_off(stdout, c));
}

/* ---- how it came ---- */

static void print_accepted(const json_t *event, const json_t *d)
{
	size_t i;
	const json_t *r;
	heading(event, TERMINAL_BOLD, "accepted");
	if (*text(d, "about"))
		putf("a notice of ours (%s) about %s", text(d, "kind"), text(d, "about"));
	else
		putf("from %s", text(d, "client"));
	if (*text(d, "via"))
		putf(", by way of %s", text(d, "via"));
	if (*text(d, "user"))
		putf(", logged in as %s", text(d, "user"));
	if (*text(d, "subject"))
		putf(", with the certificate of %s", text(d, "subject"));
	printf("\n");
	label("message");
	putf("from <%s>, %" JSON_INTEGER_FORMAT " octets%s%s\n", text(d, "sender"), json_integer_value(json_object_get(d, "size")),
	     *text(d, "helo") ? ", EHLO " : "", text(d, "helo"));
	if (!*text(d, "about")) {
		label("under");
		putf("%s\n", *text(d, "tls") ? text(d, "tls") : "no TLS");
	}
	json_array_foreach(json_object_get(d, "recipients"), i, r) {
		label("to");
		putf("<%s>\n", text(r, "address"));
	}
	int64_t count = json_integer_value(json_object_get(d, "recipient_count"));
	if (count > (int64_t)i)
		printf("                and %" PRId64 " more\n", count - (int64_t)i);
}

/* ---- sessions ---- */

static void print_chain(const json_t *d)
{
	size_t i;
	const json_t *c;
	json_array_foreach(json_object_get(d, "chain"), i, c) {
		label(i == 0 ? "certificate" : "above it");
		putf("%s%s%s, issued by %s, valid %s to %s\n", text(c, "subject"), *text(c, "names") ? ", for " : "", text(c, "names"), text(c, "issuer"),
		     text(c, "not_before"), text(c, "not_after"));
	}
}

static void print_policy(const json_t *d)
{
	label("policy");
	putf("%s", text(d, "policy"));
	if (*text(d, "source"))
		putf(" (id %s); source %s, fetched %s, cached until %s", text(d, "policy_id"), text(d, "source"), text(d, "fetched"), text(d, "expires"));
	printf("\n");
	if (*text(d, "fetch_failure")) {
		label("");
		putf("the policy could not be fetched: %s\n", text(d, "fetch_failure"));
	}
	label("demanded");
	putf("%s; MX record %s in DNSSEC%s%s\n", text(d, "require"), text(d, "mx_dnssec"), *text(d, "tlsa") ? "; TLSA records " : "", text(d, "tlsa"));
}

static void print_proved(const json_t *d)
{
	label("proved");
	if (*text(d, "tls"))
		putf("%s, %s%s; certificate %s; ", text(d, "tls"), text(d, "cipher"), json_is_true(json_object_get(d, "resumed")) ? ", resumed" : "", text(d, "cert"));
	else
		printf("no TLS; ");
	putf("%s", text(d, "verdict"));
	if (*text(d, "why"))
		putf(": %s (%s%s%s)", text(d, "why"), text(d, "fault"), *text(d, "reason") ? ", " : "", text(d, "reason"));
	printf("\n");
	print_chain(d);
}

static void print_earlier(const json_t *d)
{
	size_t i;
	const json_t *e;
	json_array_foreach(json_object_get(d, "earlier"), i, e) {
		label("before that");
		putf("%s [%s] %s: %s\n", text(e, "host"), *text(e, "address") ? text(e, "address") : "no address", text(e, "verdict"), text(e, "why"));
	}
}

static void print_dialogue(const json_t *lines, const char *title)
{
	size_t i;
	const json_t *line;
	json_array_foreach(lines, i, line) {
		const json_t *ms = json_array_get(line, 0);
		const char *who = json_string_value(json_array_get(line, 1)), *said = json_string_value(json_array_get(line, 2));
		if (i == 0)
			printf("    %s\n", title);
		if (json_is_integer(ms))
			printf("      %8.3f ", (double)json_integer_value(ms) / 1000);
		else
			printf("               ");
		putf("%s %s\n", who ? who : "?", said ? said : "?");
	}
}

static void print_session(const json_t *d, bool transcript)
{
	print_policy(d);
	print_proved(d);
	print_earlier(d);
	if (transcript) {
		print_dialogue(json_object_get(d, "dialogue"), "the session (seconds)");
		print_dialogue(json_object_get(d, "then"), "then");
	}
}

static void print_pem(const json_t *event)
{
	fputs(text(event, "pem"), stdout);
}

/* ---- what came of it ---- */

static enum terminal_colour colour_of(const char *outcome)
{
	return strcmp(outcome, "delivered") == 0 ? TERMINAL_GOOD : strcmp(outcome, "bounced") == 0 ? TERMINAL_BAD : TERMINAL_WARN;
}

static void print_recipient(const json_t *r)
{
	const char *outcome = text(r, "outcome");
	enum terminal_colour c = colour_of(outcome);
	label("recipient");
	putf("<%s> ", text(r, "address"));
	printf("%s%s%s", terminal_on(stdout, c), outcome, terminal_off(stdout, c));
	if (*text(r, "reply"))
		putf(": %s", text(r, "reply"));
	if (*text(r, "why"))
		putf(": %s (%s%s%s)", text(r, "why"), text(r, "fault"), *text(r, "status") ? ", " : "", text(r, "status"));
	printf("\n");
	if (strcmp(outcome, "deferred") != 0)
		return;
	label("");
	if (*text(r, "next_attempt"))
		putf("next attempt %s: %s\n", text(r, "next_attempt"), text(r, "next_why"));
	else
		putf("next attempt %s\n", text(r, "next_why"));
}

static void print_results(const json_t *d)
{
	size_t i;
	const json_t *r;
	json_array_foreach(json_object_get(d, "recipients"), i, r)
		print_recipient(r);
	json_array_foreach(json_object_get(d, "notices"), i, r) {
		label("notice");
		putf("%s, as %s\n", text(r, "kind"), text(r, "id"));
	}
}

static void print_attempt(const json_t *event, const json_t *d, const struct explain_options *o)
{
	const json_t *session = json_object_get(json_object_get(event, "session"), "data");
	bool waited = strcmp(text(d, "event"), "waited") == 0;
	heading(event, TERMINAL_BOLD, waited ? "waited" : "attempt");
	if (*text(d, "host"))
		putf("%s [%s] for %s\n", text(d, "host"), *text(d, "address") ? text(d, "address") : "no address", text(d, "destination"));
	else
		putf("for %s\n", text(d, "destination"));
	if (session) {
		print_session(session, o->transcript);
	} else if (!waited) {
		label("policy");
		putf("%s; %s%s%s (what its session saw is not kept any more)\n", text(d, "policy"), *text(d, "tls") ? text(d, "tls") : "no TLS",
		     *text(d, "cert") ? ", certificate " : "", text(d, "cert"));
	}
	if (o->transcript)
		print_dialogue(json_object_get(d, "dialogue"), "the message (seconds)");
	print_results(d);
	print_pem(event);
}

/* Of the destination, without this message: why it waits. */
static void print_tried(const json_t *event, const struct explain_options *o)
{
	const json_t *d = json_object_get(json_object_get(event, "session"), "data");
	heading(event, TERMINAL_WARN, "tried");
	putf("%s [%s] for %s: %s\n", text(d, "host"), *text(d, "address") ? text(d, "address") : "no address", text(d, "destination"), text(d, "verdict"));
	print_session(d, o->all_transcripts);
	print_pem(event);
}

void explain_print_event(const json_t *event, const struct explain_options *o)
{
	const json_t *d = json_object_get(event, "data");
	const char *word = text(d, "event");
	if (d == NULL) {
		print_tried(event, o);
	} else if (strcmp(word, "accepted") == 0) {
		print_accepted(event, d);
	} else if (strcmp(word, "attempt") == 0 || strcmp(word, "waited") == 0) {
		print_attempt(event, d, o);
	} else {
		heading(event, TERMINAL_WARN, "operator");
		putf("%s%s%s\n", word, *text(d, "reason") ? ": " : "", text(d, "reason"));
	}
}

/* ---- now ---- */

static void print_standing(const json_t *r)
{
	label("now");
	putf("<%s> %s", text(r, "address"), text(r, "state"));
	if (*text(r, "hold_reason"))
		putf(" (%s)", text(r, "hold_reason"));
	if (*text(r, "next_attempt"))
		putf(", next attempt %s", text(r, "next_attempt"));
	if (*text(r, "delay_reason"))
		putf("; %s%s", json_is_true(json_object_get(r, "site")) ? "its destination waits: " : "", text(r, "delay_reason"));
	if (*text(r, "deadline"))
		putf("; looked at again %s at the latest", text(r, "deadline"));
	printf("\n");
}

/* What the events say last of each recipient that is not in the queue any more. */
static void print_ended(const json_t *events)
{
	size_t i, k;
	const json_t *event, *r;
	json_array_foreach(events, i, event)
		json_array_foreach(json_object_get(json_object_get(event, "data"), "recipients"), k, r) {
			const char *outcome = text(r, "outcome");
			if (strcmp(outcome, "delivered") != 0 && strcmp(outcome, "bounced") != 0)
				continue;
			label("ended");
			putf("<%s> %s %s\n", text(r, "address"), outcome, text(event, "at"));
		}
}

void explain_print_now(const json_t *message, const json_t *events)
{
	size_t i;
	const json_t *r;
	printf("\n");
	print_ended(events);
	json_array_foreach(json_object_get(message, "recipients"), i, r)
		print_standing(r);
	if (message == NULL)
		printf("    not in the queue any more\n");
}

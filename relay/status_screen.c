/* relay/status_screen.c - see status_screen.h. */
#include "relay/status_screen.h"

#include "core/clock.h"
#include "core/date.h"

#include <inttypes.h>
#include <string.h>

#define WORST_NAME 34                   /* columns of a destination's name */
#define WORST_NAME_MIN 14               /* of "most waits for" */

int64_t status_number(const json_t *v, const char *name)
{
	return json_integer_value(json_object_get(v, name));
}

const char *status_text(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));
	return s ? s : "?";
}

const json_t *status_member(const json_t *v, const char *a, const char *b)
{
	return json_object_get(json_object_get(v, a), b);
}

static void coloured(struct sp_buf *out, enum terminal_colour c, const char *text)
{
	sp_buf_printf(out, "%s%s%s", terminal_on(stdout, c), text, terminal_off(stdout, c));
}

/* A count that is bad news when it is not 0. */
static void bad_count(struct sp_buf *out, enum terminal_colour c, int64_t n, const char *what)
{
	char text[64];
	snprintf(text, sizeof(text), "%" PRId64 " %s", n, what);
	sp_buf_adds(out, ", ");
	coloured(out, n > 0 ? c : TERMINAL_PLAIN, text);
}

/* ---- the head ---- */

void status_screen_head(const json_t *v, struct sp_buf *out)
{
	char age[TERMINAL_NUMBER];
	size_t i;
	const json_t *at;
	coloured(out, TERMINAL_BOLD, "strictpost");
	sp_buf_printf(out, " %s on %s, pid %" PRId64 ", %" PRId64 " shards, up %s (since %s)\n", status_text(v, "version"), status_text(v, "hostname"),
	              status_number(v, "pid"), status_number(v, "shards"), terminal_age(status_number(v, "uptime_s"), age), status_text(v, "started"));
	sp_buf_adds(out, "ready      ");
	if (json_is_true(json_object_get(v, "ready"))) {
		coloured(out, TERMINAL_GOOD, "yes");
	} else {
		coloured(out, TERMINAL_BAD, "no");
		sp_buf_printf(out, ": %s", status_text(v, "reason"));
	}
	sp_buf_adds(out, "\nlistening ");
	json_array_foreach(json_object_get(v, "listen"), i, at)
		sp_buf_printf(out, " %s", json_string_value(at) ? json_string_value(at) : "?");
	sp_buf_addc(out, '\n');
}

/* ---- the body ---- */

static void add_age(struct sp_buf *out, const json_t *v, const char *name)
{
	int64_t at_s;
	char age[TERMINAL_NUMBER];
	const char *text = json_string_value(json_object_get(v, name));
	if (text && sp_date_parse_rfc3339(sp_str_of(text), &at_s))
		sp_buf_adds(out, terminal_age(core_clock_wall_s() - at_s, age));
	else
		sp_buf_addc(out, '-');
}

static void add_traffic(const json_t *v, struct sp_buf *out)
{
	const json_t *outbound = json_object_get(v, "outbound"), *rates = json_object_get(v, "throughput");
	sp_buf_printf(out, "sessions   %" PRId64 " of clients; %" PRId64 " outbound to %" PRId64 " known addresses, %" PRId64 " of which do not answer\n",
	              status_number(v, "connections"), status_number(outbound, "sessions"), status_number(outbound, "addresses"), status_number(outbound, "dead"));
	sp_buf_printf(out, "messages   %" PRId64 " accepted\n", status_number(v, "accepted"));
	sp_buf_printf(out, "recipients %" PRId64 " delivered, %" PRId64 " bounced, %" PRId64 " times deferred\n", status_number(v, "delivered"),
	              status_number(v, "bounced"), status_number(v, "deferred"));
	for (int hour = 0; hour < 2; hour++) {
		const char *span = hour ? "hour" : "minute";
		sp_buf_printf(out, "last %-6s %" PRId64 " accepted; %" PRId64 " delivered, %" PRId64 " bounced, %" PRId64 " times deferred\n", span,
		              status_number(json_object_get(rates, "accepted"), span), status_number(json_object_get(rates, "delivered"), span),
		              status_number(json_object_get(rates, "bounced"), span), status_number(json_object_get(rates, "deferred"), span));
	}
}

static void add_share(struct sp_buf *out, const json_t *v, const char *when)
{
	int64_t verified = status_number(v, "verified"), encrypted = status_number(v, "encrypted"), clear = status_number(v, "clear");
	double all = (double)(verified + encrypted + clear);
	sp_buf_printf(out, "tls        %s: ", when);
	if (all < 1)
		sp_buf_adds(out, "no sessions\n");
	else
		sp_buf_printf(out, "%.1f%% verified, %.1f%% encrypted only, %s%.1f%% in clear%s (%.0f sessions)\n", (double)verified * 100 / all,
		              (double)encrypted * 100 / all, clear ? terminal_on(stdout, TERMINAL_WARN) : "", (double)clear * 100 / all,
		              clear ? terminal_off(stdout, TERMINAL_WARN) : "", all);
}

static void add_queue(const json_t *q, struct sp_buf *out)
{
	if (json_object_get(q, "error")) {
		sp_buf_printf(out, "queue      not known: %s\n", status_text(q, "error"));
		return;
	}
	sp_buf_printf(out, "queue      %" PRId64 " messages, %" PRId64 " recipients", status_number(q, "messages"), status_number(q, "recipients"));
	bad_count(out, TERMINAL_WARN, status_number(q, "held"), "held");
	bad_count(out, TERMINAL_BAD, status_number(q, "quarantined"), "quarantined");
	sp_buf_printf(out, "; %" PRId64 " destinations wait\noldest     ", status_number(q, "destinations_waiting"));
	add_age(out, q, "oldest");
	sp_buf_adds(out, "; of what is not held ");
	add_age(out, q, "oldest_waiting");
	sp_buf_addc(out, '\n');
}

static void add_policies(const json_t *v, struct sp_buf *out)
{
	const json_t *p = json_object_get(v, "policies"), *r = json_object_get(v, "reports");
	if (p == NULL)
		return;
	sp_buf_printf(out, "policies   %" PRId64 " enforce, %" PRId64 " testing, %" PRId64 " none", status_number(p, "enforce"), status_number(p, "testing"),
	              status_number(p, "none"));
	bad_count(out, TERMINAL_WARN, status_number(p, "failing"), "cannot be refreshed");
	bad_count(out, TERMINAL_BAD, status_number(p, "lapsing"), "of these end within 3 days");
	bad_count(out, TERMINAL_PLAIN, status_number(p, "never_fetched"), "never fetched");
	sp_buf_printf(out, "\nreports    %" PRId64 " to be sent, %" PRId64 " of them due\n", status_number(r, "open"), status_number(r, "due"));
}

static void add_disk(const json_t *v, struct sp_buf *out)
{
	char have[TERMINAL_NUMBER], total[TERMINAL_NUMBER], needed[TERMINAL_NUMBER], used[TERMINAL_NUMBER], seen[TERMINAL_NUMBER];
	const json_t *d = json_object_get(v, "disk"), *store = json_object_get(v, "store");
	bool accepting = json_is_true(json_object_get(store, "accepting"));
	sp_buf_printf(out, "disk       %s free of %s, %s are kept free; database %s, evidence %s; ", terminal_size((uint64_t)status_number(d, "free"), have),
	              terminal_size((uint64_t)status_number(d, "total"), total), terminal_size((uint64_t)status_number(d, "needed"), needed),
	              terminal_size((uint64_t)(status_number(d, "database") + status_number(d, "log")), used),
	              terminal_size((uint64_t)status_number(v, "evidence_octets"), seen));
	coloured(out, accepting ? TERMINAL_GOOD : TERMINAL_BAD, accepting ? "accepting" : "not accepting");
	sp_buf_printf(out, "\nstore      %" PRId64 " operations in %" PRId64 " commits, at most %" PRId64 " in one\n", status_number(store, "ops"),
	              status_number(store, "commits"), status_number(store, "largest_batch"));
}

void status_screen_body(const json_t *v, struct sp_buf *out)
{
	const json_t *d = json_object_get(v, "dnssec");
	const char *remedy = status_text(d, "remedy");
	add_traffic(v, out);
	add_share(out, status_member(v, "tls", "hour"), "last hour");
	add_share(out, status_member(v, "tls", "total"), "since start");
	add_queue(json_object_get(v, "queue"), out);
	add_policies(v, out);
	add_disk(v, out);
	sp_buf_printf(out, "dnssec     resolver %s%s%s\n", status_text(d, "resolver"), *remedy ? "; DANE is off: " : "", remedy);
}

/* "override   x.example, tls: may, ends 2027-02-01T00:00:00Z: broken, ticket 77", a line each. */
void status_screen_overrides(const json_t *v, struct sp_buf *out)
{
	size_t i;
	const json_t *o;
	json_array_foreach(json_object_get(v, "overrides"), i, o) {
		sp_buf_printf(out, "override   %s", status_text(o, "domain"));
		if (json_object_get(o, "tls"))
			sp_buf_printf(out, ", tls: %s", status_text(o, "tls"));
		if (json_object_get(o, "dane"))
			sp_buf_printf(out, ", dane: %s", status_text(o, "dane"));
		sp_buf_adds(out, ", ends ");
		sp_buf_printf(out, "%s: ", status_text(o, "ends"));
		terminal_fit(out, sp_str_of(status_text(o, "reason")), 0);
		sp_buf_addc(out, '\n');
	}
}

/* ---- the worst ---- */

/* Behind the name: the count and the age. */
#define WORST_NUMBERS 26

void status_screen_worst(const json_t *destinations, unsigned width, struct sp_buf *out)
{
	size_t i;
	const json_t *d;
	if (json_array_size(destinations) == 0)
		return;
	size_t name = width ? sp_min(sp_max(width, WORST_NAME_MIN + WORST_NUMBERS) - WORST_NUMBERS, WORST_NAME) : WORST_NAME, used = name + WORST_NUMBERS;
	bool whys = width == 0 || width > used + 10;
	coloured(out, TERMINAL_BOLD, "most waits for");
	sp_buf_printf(out, "%*s recipients  oldest%s\n", (int)(name - WORST_NAME_MIN), "", whys ? "        why" : "");
	json_array_foreach(destinations, i, d) {
		size_t at = terminal_fit(out, sp_str_of(status_text(d, "destination")), name), before = out->len;
		sp_buf_printf(out, "%*s %10" PRId64 "  ", (int)(name - at), "", status_number(d, "recipients"));
		add_age(out, d, "oldest");
		size_t columns = at + (out->len - before);
		const char *why = json_string_value(json_object_get(d, "delay_reason"));
		if (whys) {
			sp_buf_printf(out, "%*s  ", columns < used ? (int)(used - columns) : 0, "");
			terminal_fit(out, sp_str_of(why ? why : "-"), width ? width - used - 3 : 0);
		}
		sp_buf_addc(out, '\n');
	}
}

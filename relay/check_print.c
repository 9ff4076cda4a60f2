/* relay/check_print.c - see check_print.h. */
#include "relay/check_print.h"

#include "relay/terminal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LABEL 11                        /* columns of the left one */
#define LINE_MAX_OCTETS 8192

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static bool is_true(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static int64_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void put(FILE *to, enum terminal_colour colour, struct sp_str s)
{
	struct sp_buf b;
	sp_buf_init(&b, LINE_MAX_OCTETS);
	terminal_fit(&b, s, 0);
	fprintf(to, "%s%s%s", terminal_on(to, colour), sp_buf_cstr(&b), terminal_off(to, colour));
	sp_buf_clear(&b);
}

SP_PRINTF(3, 0) static void put_line(const char *label, enum terminal_colour colour, const char *fmt, va_list args)
{
	struct sp_buf b;
	sp_buf_init(&b, LINE_MAX_OCTETS);
	sp_buf_vprintf(&b, fmt, args);
	printf("  %s%-*s%s", terminal_on(stdout, TERMINAL_DIM), LABEL, label, terminal_off(stdout, TERMINAL_DIM));
	put(stdout, colour, sp_buf_str(&b));
	putchar('\n');
	sp_buf_clear(&b);
}

void check_print_line(const char *label, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	put_line(label, TERMINAL_PLAIN, fmt, args);
	va_end(args);
}

static void line_in(enum terminal_colour colour, const char *label, const char *fmt, ...) SP_PRINTF(3, 4);
static void line_in(enum terminal_colour colour, const char *label, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	put_line(label, colour, fmt, args);
	va_end(args);
}

static const char *join(const json_t *list, struct sp_buf *out)
{
	size_t i;
	json_t *one;
	sp_buf_reset(out);
	json_array_foreach(list, i, one)
		sp_buf_printf(out, "%s%s", i ? ", " : "", json_string_value(one) ? json_string_value(one) : "?");
	return sp_buf_cstr(out);
}

/* --- what is published --- */

static void print_records(const char *label, const json_t *r)
{
	size_t i;
	json_t *one;
	const char *name = text(r, "name");
	if (json_array_size(json_object_get(r, "records")) == 0)
		check_print_line(label, "%s: %s", name, text(r, "answer"));
	json_array_foreach(json_object_get(r, "records"), i, one)
		check_print_line(i ? "" : label, "%s \"%s\"%s", name, text(one, "text"), is_true(one, "used") ? "" : " (not looked at: another version, or none)");
	if (json_is_string(json_object_get(r, "why")) && strcmp(text(r, "found"), "none") != 0)
		line_in(TERMINAL_BAD, "", "%s", text(r, "why"));
}

static void print_fetch(const json_t *f)
{
	if (!json_is_object(f))
		return;
	const json_t *failure = json_object_get(f, "failure");
	if (json_is_object(failure))
		line_in(TERMINAL_BAD, "", "https://%s: %s (%" PRId64 " ms)", text(f, "host"), text(failure, "text"), number(f, "took_ms"));
	else
		check_print_line("", "https://%s at %s: %" PRId64 ", %s, %" PRId64 " octets in %" PRId64 " ms", text(f, "host"), text(f, "address"), number(f, "status"),
		                 *text(f, "content_type") ? text(f, "content_type") : "no content type", number(f, "octets"), number(f, "took_ms"));
}

static void print_tls_rpt(const json_t *r)
{
	size_t i;
	json_t *one;
	struct sp_buf list;
	if (!json_is_object(r))
		return;
	sp_buf_init(&list, LINE_MAX_OCTETS);
	print_records("TLS-RPT", r);
	if (json_array_size(json_object_get(r, "rua")) > 0)
		check_print_line("", "reports go to %s", join(json_object_get(r, "rua"), &list));
	json_array_foreach(json_object_get(r, "skipped"), i, one)
		line_in(TERMINAL_WARN, "", "passed over: %s", json_string_value(one));
	sp_buf_clear(&list);
}

/* --- the plan --- */

static void print_policy(const json_t *plan)
{
	const json_t *p = json_object_get(plan, "policy"), *failure = json_object_get(plan, "policy_failure");
	struct sp_buf list;
	sp_buf_init(&list, LINE_MAX_OCTETS);
	if (json_is_object(p)) {
		int64_t age = number(p, "max_age");
		check_print_line("policy", "%s, id %s, max_age %" PRId64 " s (%.1f days), %s, until %s", text(p, "mode"), text(p, "id"), age, (double)age / 86400, text(p, "source"),
		                 text(p, "expires"));
		if (json_array_size(json_object_get(p, "mx")) > 0)
			check_print_line("", "mx %s", join(json_object_get(p, "mx"), &list));
	} else if (json_is_string(json_object_get(plan, "policy_domain"))) {
		check_print_line("policy", "none");
	}
	if (json_is_object(failure))
		line_in(TERMINAL_BAD, "", "%s: %s", text(failure, "result"), text(failure, "text"));
	sp_buf_clear(&list);
}

static const char *demand_words(const char *require)
{
	static const struct { const char *word, *meaning; } rows[] = {
		{ "none", "nothing: TLS where it is offered, in clear where not" },
		{ "testing", "nothing, but its certificate is looked at and told in reports" },
		{ "pkix", "a certificate for its name from a trusted authority" },
		{ "clear", "nothing: no TLS is begun" },
		{ "encrypt", "TLS, whoever it is" },
		{ "dane", "a certificate that matches its TLSA records" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		if (strcmp(rows[i].word, require) == 0)
			return rows[i].meaning;
	return require;
}

static void print_chain(const json_t *seen)
{
	size_t i;
	json_t *one;
	struct sp_buf list;
	sp_buf_init(&list, LINE_MAX_OCTETS);
	json_array_foreach(json_object_get(seen, "chain"), i, one) {
		const json_t *names = json_object_get(one, "names");
		const char *told = json_is_string(names) ? json_string_value(names) : join(names, &list);
		check_print_line("", "    %s%s%s; by %s; until %s", text(one, "subject"), *told ? "; names " : "", told, text(one, "issuer"), text(one, "not_after"));
	}
	sp_buf_clear(&list);
}

static void print_seen(const json_t *session, const json_t *seen)
{
	struct sp_buf list;
	const char *verdict = text(seen, "verdict"), *tls = text(seen, "tls"), *cert = text(seen, "cert");
	bool good = strcmp(verdict, "proven") == 0;
	sp_buf_init(&list, LINE_MAX_OCTETS);
	line_in(good ? TERMINAL_GOOD : strcmp(verdict, "tolerated") == 0 ? TERMINAL_WARN : TERMINAL_BAD, "", "  %s: %s; %s%s%s%s%s",
	        *text(session, "address") ? text(session, "address") : "no address", verdict, *tls ? tls : "no TLS", *tls ? " " : "", *tls ? text(seen, "cipher") : "",
	        *tls && *cert ? ", certificate " : "", *tls ? cert : "");
	print_chain(seen);
	if (*text(seen, "why"))
		line_in(good ? TERMINAL_PLAIN : TERMINAL_BAD, "", "    %s", text(seen, "why"));
	if (json_array_size(json_object_get(seen, "report")) > 0)
		check_print_line("", "    in the TLS report: %s", join(json_object_get(seen, "report"), &list));
	sp_buf_clear(&list);
}

static void print_sessions(const json_t *host, const json_t *sessions)
{
	size_t i, n;
	json_t *session, *seen;
	json_array_foreach(sessions, i, session) {
		if (strcmp(text(session, "host"), text(host, "name")) != 0)
			continue;
		json_array_foreach(json_object_get(session, "seen"), n, seen)
			print_seen(session, seen);
		const json_t *failure = json_object_get(session, "failure");
		bool told = json_array_size(json_object_get(session, "seen")) > 0;
		if (is_true(session, "cut"))
			line_in(TERMINAL_WARN, "", "  %s: not over in time", text(session, "address"));
		else if (!told && json_is_object(failure))
			line_in(TERMINAL_BAD, "", "  %s: %s", *text(session, "address") ? text(session, "address") : "no session", text(failure, "text"));
		else if (!told)
			line_in(TERMINAL_GOOD, "", "  %s: mail could go", text(session, "address"));
	}
}

static void print_tlsa(const json_t *t)
{
	size_t i;
	json_t *one;
	if (!json_is_object(t))
		return;
	const char *state = text(t, "state");
	line_in(strcmp(state, "usable") == 0 || strcmp(state, "none") == 0 ? TERMINAL_PLAIN : TERMINAL_BAD, "", "  TLSA of %s: %s", text(t, "base"), state);
	json_array_foreach(json_object_get(t, "records"), i, one)
		check_print_line("", "    %s", json_string_value(one));
	const json_t *failure = json_object_get(t, "failure");
	if (json_is_object(failure))
		line_in(TERMINAL_BAD, "", "    %s", text(failure, "text"));
}

static void print_host(const json_t *plan, const json_t *h, const json_t *sessions)
{
	struct sp_buf list;
	char label[32] = "host";
	const json_t *listed = json_object_get(h, "listed"), *barred = json_object_get(h, "barred"), *none = json_object_get(h, "address_failure");
	size_t shown = json_array_size(json_object_get(h, "addresses"));
	sp_buf_init(&list, LINE_MAX_OCTETS);
	if (strcmp(text(plan, "mx"), "records") == 0)
		snprintf(label, sizeof(label), "MX %" PRId64, number(h, "preference"));
	const char *addresses = join(json_object_get(h, "addresses"), &list);
	bool more = number(h, "address_count") > (int64_t)shown && shown > 0;
	check_print_line(label, "%s%s%s%s%s%s%s", text(h, "name"), *addresses ? " " : "", addresses, more ? " and more" : "",
	                 *text(h, "alias") ? ", an alias of " : "", text(h, "alias"), json_is_boolean(listed) ? json_is_true(listed) ? ", listed" : ", not listed in the policy" : "");
	if (strcmp(text(h, "dnssec"), "unknown") != 0)
		check_print_line("", "  addresses %s (DNSSEC)", text(h, "dnssec"));
	print_tlsa(json_object_get(h, "tlsa"));
	if (json_is_object(barred))
		line_in(TERMINAL_BAD, "", "  not to be used: %s", text(barred, "text"));
	else if (shown == 0 && json_is_object(none))
		line_in(TERMINAL_BAD, "", "  %s", text(none, "text"));
	else
		check_print_line("", "  must show %s (%s)", demand_words(text(h, "require")), text(h, "policy"));
	print_sessions(h, sessions);
	sp_buf_clear(&list);
}

void check_print_plan(const json_t *plan, const json_t *sessions)
{
	size_t i;
	json_t *h;
	const char *mx = text(plan, "mx");
	if (!json_is_object(plan))
		return;
	if (*text(plan, "route"))
		check_print_line("route", "by %s, as the configuration says; what follows is of that host", text(plan, "route"));
	if (*text(plan, "rule"))
		line_in(is_true(plan, "rule_lowers") ? TERMINAL_WARN : TERMINAL_PLAIN, "rule", "%s, as the configuration says", text(plan, "rule"));
	print_policy(plan);
	if (strcmp(mx, "implicit") == 0)
		check_print_line("MX", "none: the domain itself is the host (RFC 5321 5.1)");
	else if (strcmp(mx, "records") == 0 && strcmp(text(plan, "mx_dnssec"), "unknown") != 0)
		check_print_line("MX", "%" PRId64 " records, %s (DNSSEC)", number(plan, "mx_count"), text(plan, "mx_dnssec"));
	json_array_foreach(json_object_get(plan, "hosts"), i, h)
		print_host(plan, h, sessions);
}

/* --- the whole --- */

const char *check_print_prediction(const json_t *p)
{
	static char line[1024];
	const char *outcome = text(p, "outcome"), *why = text(json_object_get(p, "failure"), "text");
	if (strcmp(outcome, "deliver") == 0)
		snprintf(line, sizeof(line), "mail would be delivered to %s (%s)", text(p, "host"), text(p, "policy"));
	else if (strcmp(outcome, "attempt") == 0)
		snprintf(line, sizeof(line), "delivery would be tried (--connect tells whether it would go)");
	else if (strcmp(outcome, "defer") == 0)
		snprintf(line, sizeof(line), "mail would wait: %.800s", why);
	else if (strcmp(outcome, "bounce") == 0)
		snprintf(line, sizeof(line), "mail would be returned: %.800s", why);
	else
		snprintf(line, sizeof(line), "what would become of mail is not known");
	return line;
}

static void print_findings_of(const json_t *findings, const char *severity, enum terminal_colour colour)
{
	size_t i;
	json_t *f;
	json_array_foreach(findings, i, f) {
		if (strcmp(text(f, "severity"), severity) != 0)
			continue;
		line_in(colour, severity, "%s", text(f, "text"));
		if (*text(f, "mend"))
			check_print_line("", "-> %s", text(f, "mend"));
	}
}

static void print_findings(const json_t *findings)
{
	print_findings_of(findings, "problem", TERMINAL_BAD);
	print_findings_of(findings, "unknown", TERMINAL_BAD);
	print_findings_of(findings, "advice", TERMINAL_WARN);
}

void check_print(const json_t *told)
{
	const char *domain = text(told, "domain"), *name = text(told, "name"), *status = text(told, "status");
	const json_t *sts = json_object_get(told, "mta_sts"), *resolver = json_object_get(told, "resolver");
	enum terminal_colour colour = strcmp(status, "sound") == 0 ? TERMINAL_GOOD : strcmp(status, "problems") == 0 ? TERMINAL_BAD : TERMINAL_WARN;
	put(stdout, TERMINAL_BOLD, sp_str_of(domain));
	if (strcmp(domain, name) != 0) {
		fputs(" (", stdout);
		put(stdout, TERMINAL_PLAIN, sp_str_of(name));
		putchar(')');
	}
	fputs(": ", stdout);
	put(stdout, colour, sp_str_of(status));
	fputs("; ", stdout);
	put(stdout, TERMINAL_PLAIN, sp_str_of(check_print_prediction(json_object_get(told, "prediction"))));
	putchar('\n');
	if (json_is_object(sts)) {
		print_records("MTA-STS", sts);
		print_fetch(json_object_get(sts, "fetch"));
	}
	print_tls_rpt(json_object_get(told, "tls_rpt"));
	check_print_line("resolver", "DNSSEC: %s", text(resolver, "state"));
	check_print_plan(json_object_get(told, "plan"), json_object_get(told, "sessions"));
	print_findings(json_object_get(told, "findings"));
}

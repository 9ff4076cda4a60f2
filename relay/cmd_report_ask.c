/* relay/cmd_report_ask.c - see cmd_report_ask.h. */
#include "relay/cmd_report_ask.h"

#include "relay/cmd.h"
#include "rpt/event.h"
#include "smtp/address.h"

#include <getopt.h>
#include <stdio.h>

json_int_t report_number(const json_t *v, const char *name)
{
	return json_integer_value(json_object_get(v, name));
}

const char *report_text(const json_t *v, const char *name)
{
	const char *s = json_string_value(json_object_get(v, name));
	return s ? s : "";
}

json_t *report_ask(struct report_client *c, const char *method, const char *target, struct sp_buf *why)
{
	struct control_answer a = { 0 };
	json_error_t error;
	json_t *v = NULL;
	if (report_client_ask(c, method, target, &a, why)) {
		v = json_loadb(a.body.p ? a.body.p : "", a.body.len, 0, &error);
		if (v == NULL)
			sp_buf_printf(why, "the answer is not JSON: %s", error.text);
	}
	sp_buf_clear(&a.body);
	return v;
}

const char *report_domain(const char *text, struct sp_arena *arena)
{
	const char *why = "", *domain = smtp_domain_ascii(sp_str_of(text), arena, &why);
	if (domain == NULL)
		fprintf(stderr, "strictpost report: %s is no domain: %s\n", text, why);
	return domain;
}

static bool check(struct report_options *o)
{
	int64_t day;
	if (o->day && !rpt_day_parse(sp_str_of(o->day), &day)) {
		fprintf(stderr, "strictpost report: %s is no day; write it like 2026-11-22\n", o->day);
		return false;
	}
	if (o->domain == NULL)
		return true;
	o->domain = report_domain(o->domain, &o->arena);
	return o->domain != NULL;
}

static void take(struct report_options *o, int c)
{
	switch (c) {
	case 'c': o->config = optarg; break;
	case 'd': o->day = optarg; break;
	case 'm': o->domain = optarg; break;
	case 's': o->state = optarg; break;
	case 'r': o->remove = optarg; break;
	case 'a': o->again = true; break;
	case 'n': o->dry = true; break;
	case 'j': o->json = true; break;
	default: break;
	}
}

bool report_options(int argc, char **argv, const char *help, const char *takes, struct report_options *out, int *status)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "day", required_argument, NULL, 'd' }, { "domain", required_argument, NULL, 'm' },
		{ "state", required_argument, NULL, 's' }, { "remove", required_argument, NULL, 'r' }, { "again", no_argument, NULL, 'a' },
		{ "dry-run", no_argument, NULL, 'n' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 }
	};
	*out = (struct report_options){ .config = cmd_config_default() };
	bool wrong = false;
	int c;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			*status = RELAY_EXIT_OK;
			return false;
		}
		wrong = wrong || c == '?' || (c != 'c' && strchr(takes, c) == NULL);
		take(out, c);
	}
	*status = RELAY_EXIT_USAGE;
	if (wrong)
		fputs(help, stderr);
	else if (check(out))
		return true;
	sp_arena_clear(&out->arena);
	return false;
}

/* relay/cmd_report_ask.c - see cmd_report_ask.h. */
#include "relay/cmd_report_ask.h"

#include "relay/cmd.h"
#include "relay/cmd_options.h"
#include "rpt/event.h"
#include "smtp/address.h"

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

bool report_options(int argc, char **argv, const char *help, const char *takes, struct report_options *out, int *status)
{
	*out = (struct report_options){ 0 };
	const struct { char letter; struct cmd_option option; } known[] = {
		{ 'd', { "day", &out->day, NULL, NULL } },           { 'm', { "domain", &out->domain, NULL, NULL } },
		{ 's', { "state", &out->state, NULL, NULL } },       { 'r', { "remove", &out->remove, NULL, NULL } },
		{ 'a', { "again", NULL, &out->again, NULL } },       { 'n', { "dry-run", NULL, &out->dry, NULL } },
	};
	struct cmd_option own[SP_COUNT(known) + 1] = { 0 };
	struct cmd_options shared;
	size_t n = 0;
	for (size_t i = 0; i < SP_COUNT(known); i++)
		if (strchr(takes, known[i].letter))
			own[n++] = known[i].option;
	if (!cmd_options_with(argc, argv, help, strchr(takes, 'j') != NULL, own, &shared, status))
		return false;
	out->config = shared.config;
	out->json = shared.json;
	if (check(out))
		return true;
	*status = RELAY_EXIT_USAGE;
	sp_arena_clear(&out->arena);
	return false;
}

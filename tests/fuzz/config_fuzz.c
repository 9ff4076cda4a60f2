/* tests/fuzz/config_fuzz.c - config_parse() on anything: a problem is a whole printable line with its file, and what parses is printed,
 * parsed again and printed the same. A configuration's routes are destinations that can be taken apart; its rules are found, and end. */
#include "relay/config.h"
#include "relay/route.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define INPUT_MAX 65536
#define OUT_MAX (1 << 22)

static void check_problems(const struct sp_buf *problems)
{
	struct sp_str rest = sp_buf_str(problems), line;
	sp_assert(!sp_buf_failed(problems) && problems->len > 0 && problems->p[problems->len - 1] == '\n');
	while (sp_take_line(&rest, &line)) {
		sp_assert(sp_str_starts(line, SP_STR("fuzz:")) && line.len > 15);
		for (size_t i = 0; i < line.len; i++)
			sp_assert(sp_is_print(line.p[i]));
	}
}

static struct config *parse(struct sp_str text)
{
	struct sp_buf problems;
	sp_buf_init(&problems, OUT_MAX);
	struct config *c = config_parse(text, "fuzz", &problems);
	if (c == NULL)
		check_problems(&problems);
	else
		sp_assert(problems.len == 0);
	sp_buf_clear(&problems);
	return c;
}

static void check_routes(const struct config *c)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	for (size_t i = 0; i < c->routes.count; i++) {
		const struct config_route *r = &c->routes.items[i];
		const char *at = r->sender ? strrchr(r->sender, '@') : NULL;
		struct smtp_address to = { .text = "", .local = "", .domain = r->domain ? r->domain : "b.example" };
		struct smtp_address from = { .text = "a@b", .local = at ? sp_arena_dup(&arena, sp_str_make(r->sender, (size_t)(at - r->sender))) : "",
		                             .domain = at ? at + 1 : r->sender };
		struct route_mail mail = { .sender = r->sender ? &from : NULL };
		struct route_target target;
		struct sp_fail why;
		bool ok = route_parse(route_destination(c, &mail, &to, &arena), 1, &arena, &target);
		sp_assert(ok && target.kind == ROUTE_HOST && target.port == r->via_port);
		sp_assert((target.host == NULL) == (r->via_host[0] == '['));
		sp_assert(route_config(c, &target) && route_in_force(c, &target, &why));
	}
	sp_arena_clear(&arena);
}

static void check_domains(const struct config *c)
{
	for (size_t i = 0; i < c->domains.count; i++) {
		const struct config_domain *d = &c->domains.items[i];
		sp_assert(config_domain_find(c, d->rule.domain, 0) == d);
		sp_assert(!d->rule.override || (d->rule.until_s > 0 && *d->rule.reason && config_domain_find(c, d->rule.domain, d->rule.until_s) == NULL));
		sp_assert(d->rule.override || (d->rule.level != STS_LEVEL_CLEAR && d->rule.level != STS_LEVEL_MAY));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len > INPUT_MAX)
		return 0;
	struct config *c = parse(sp_str_make((const char *)data, len));
	if (c == NULL)
		return 0;
	check_routes(c);
	check_domains(c);
	struct sp_buf once, twice;
	sp_buf_init(&once, OUT_MAX);
	sp_buf_init(&twice, OUT_MAX);
	config_print(c, &once);
	sp_assert(!sp_buf_failed(&once));
	struct config *again = parse(sp_buf_str(&once));
	sp_assert(again);
	config_print(again, &twice);
	sp_assert(sp_str_eq(sp_buf_str(&once), sp_buf_str(&twice)));
	config_unref(c);
	config_unref(again);
	sp_buf_clear(&once);
	sp_buf_clear(&twice);
	return 0;
}

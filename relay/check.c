/* relay/check.c - see check.h.
 *
 *   check_start -> plan (policy, MX, addresses, TLSA) -+-> a session to each host and address (check_look.c) -> judgement (check_judge.c) -> done
 *               -> `_smtp._tls` ------------------------+
 * The deadline ends it wherever it is, with what is known. */
#include "relay/check_impl.h"

#include "core/clock.h"
#include "smtp/address.h"

#include <stdio.h>
#include <stdlib.h>

const char *check_status_str(enum check_status s)
{
	static const char *const names[] = { [CHECK_SOUND] = "sound", [CHECK_PROBLEMS] = "problems", [CHECK_UNDETERMINED] = "undetermined" };
	return names[s];
}

/* --- names --- */

/* As a recipient's address has it. */
static bool parse_name(const char *name, struct sp_arena *arena, struct smtp_address *out, const char **why)
{
	const char *address = sp_arena_printf(arena, "postmaster@%s", name);
	struct sp_str s = sp_str_of(address);
	if (s.len > 1 && s.p[s.len - 1] == '.')         /* leniency: the root's dot, as in DNS tools */
		s.len--;
	return smtp_address_parse(s, false, arena, out, why);
}

const char *check_name(const char *name, struct sp_arena *arena, const char **why)
{
	struct smtp_address to;
	return parse_name(name, arena, &to, why) ? to.domain : NULL;
}

static const char *destination_of(struct check *c, const struct check_ask *ask, const struct smtp_address *to)
{
	struct smtp_address from;
	const char *why;
	struct route_mail mail = { .wish = STS_WISH_NONE };
	if (ask->by_itself)
		return to->domain;
	if (ask->sender && smtp_address_parse(sp_str_of(ask->sender), true, &c->arena, &from, &why))
		mail.sender = &from;
	return route_destination(c->world->config, &mail, to, &c->arena);
}

void check_forget_rules(struct check_world *w)
{
	config_forget_domains(w->config);
}

/* --- the end --- */

static json_t *tell_resolver(const struct check *c)
{
	const struct relay *r = &c->world->relay;
	const char *remedy = dnssec_remedy(r);
	return json_pack("{s:s, s:b, s:s?}", "state", dnssec_state_str(dnssec_state(r)), "believed", dnssec_believed(r), "remedy", *remedy ? remedy : NULL);
}

static json_t *tell(const struct check *c)
{
	json_t *plan = c->plan ? plan_tell(c->plan, c->world->config, dnssec_believed(&c->world->relay), core_clock_wall_s()) : json_null();
	return json_pack("{s:s, s:o, s:n, s:n, s:n, s:O?, s:O?, s:o, s:o, s:o, s:I}", "domain", c->domain, "name", plan_tell_name(c->name),
	                 "status", "prediction", "findings", "mta_sts", c->mta_sts,
	                 "tls_rpt", c->tls_rpt, "resolver", tell_resolver(c), "plan", plan, "sessions", c->connect ? check_tell_looks(c) : json_null(),
	                 "took_ms", (json_int_t)(core_clock_mono_ms() - c->began_ms));
}

static void finish(struct check *c)
{
	c->over = true;
	json_t *told = tell(c);
	enum check_status status = check_judge(c, told);
	c->done(c->owner, status, told);
	json_decref(told);
	sp_list_remove(&c->link);
	plan_cancel(c->making);
	core_dns_cancel(c->rpt);
	core_timer_close(c->timer);
	check_look_free(c);
	plan_unref(c->plan);
	json_decref(c->mta_sts);
	json_decref(c->tls_rpt);
	sp_arena_clear(&c->arena);
	free(c);
}

void check_answered(struct check *c)
{
	sp_assert(c->waiting > 0);
	if (--c->waiting == 0 && !c->over)
		finish(c);
}

void check_cut(struct check *c)
{
	c->over = true;                         /* the looks tell their end, and are not to end it by that */
	check_look_cut(c);
	finish(c);
}

static void on_deadline(void *owner)
{
	check_cut(owner);
}

/* --- what comes --- */

static void on_tls_rpt(void *owner, const struct core_dns_answer *a)
{
	struct check *c = owner;
	c->rpt = NULL;
	c->tls_rpt = check_tell_tls_rpt(c->policy_domain, a);
	check_answered(c);
}

static void on_plan(void *owner, struct plan *p)
{
	struct check *c = owner;
	c->making = NULL;
	c->plan = p;
	check_look_begin(c);
	check_answered(c);
}

/* --- start --- */

static void ask_tls_rpt(struct check *c)
{
	char name[sizeof("_smtp._tls.") + 255];
	if (c->policy_domain == NULL)
		return;
	snprintf(name, sizeof(name), "_smtp._tls.%s", c->policy_domain);        /* RFC 8460 3 */
	c->waiting++;
	c->rpt = core_dns_lookup(c->world->shard->dns, name, CORE_DNS_TXT, on_tls_rpt, c);
}

struct check *check_start(struct check_world *w, const struct check_ask *ask,
                          void (*done)(void *owner, enum check_status status, json_t *told), void *owner)
{
	struct check *c = sp_alloc(sizeof(*c));
	struct smtp_address to = { .domain = "" };
	struct route_target target = { .policy_domain = NULL };
	const char *why;
	*c = (struct check){ .world = w, .connect = ask->connect, .began_ms = core_clock_mono_ms(), .done = done, .owner = owner };
	c->name = sp_arena_strdup(&c->arena, ask->name);
	if (!parse_name(c->name, &c->arena, &to, &why))
		sp_assert(false);
	c->domain = to.domain;
	c->destination = destination_of(c, ask, &to);
	if (route_parse(c->destination, (uint16_t)w->config->delivery.port, &c->arena, &target))
		c->policy_domain = target.policy_domain;
	sp_list_push_back(&w->checks, &c->link);
	c->timer = core_timer_new(w->loop, on_deadline, c);
	core_timer_start(c->timer, ask->deadline_ms);
	ask_tls_rpt(c);
	c->waiting++;
	c->making = plan_make(w->shard, c->destination, false, true, on_plan, c);
	return c;
}

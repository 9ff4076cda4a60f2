/* relay/route.c - see route.h. */
#include "relay/route.h"

#include "core/dnsmsg.h"

#define REPORT_MARK "/report"           /* no host name, literal or port has a slash */

const char *route_destination(const struct config *c, const struct smtp_address *to, struct sp_arena *arena)
{
	const struct config_route *best = NULL;
	for (size_t i = 0; i < c->routes.count; i++) {
		const struct config_route *r = &c->routes.items[i];
		if (strcmp(r->domain, to->domain) == 0) {
			best = r;
			break;
		}
		if (strcmp(r->domain, "*") == 0)
			best = r;
	}
	if (best)
		return sp_arena_printf(arena, "%s:%u", best->via_host, best->via_port);
	return sp_arena_strdup(arena, *to->domain ? to->domain : c->hostname);          /* <postmaster> is ours */
}

const char *route_report_destination(const struct config *c, const struct smtp_address *to, struct sp_arena *arena)
{
	return sp_arena_printf(arena, "%s" REPORT_MARK, route_destination(c, to, arena));
}

/* Takes the mark off the end of *s. */
static bool take_report_mark(struct sp_str *s)
{
	struct sp_str mark = SP_STR(REPORT_MARK);
	if (s->len < mark.len || !sp_str_eq(sp_str_from(*s, s->len - mark.len), mark))
		return false;
	s->len -= mark.len;
	return true;
}

const char *route_label(const char *destination, struct sp_arena *arena)
{
	struct sp_str s = sp_str_of(destination);
	return take_report_mark(&s) ? sp_arena_printf(arena, "%.*s (reports)", SP_STR_ARG(s)) : sp_arena_dup(arena, s);
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 4.1.3) from the front of *s. */
static bool take_literal(struct sp_str *s, uint16_t port, struct sp_addr *out)
{
	struct sp_str rest = *s;
	if (!sp_take_char(&rest, '['))
		return false;
	size_t end = sp_str_find(rest, ']');
	if (end == rest.len)
		return false;
	struct sp_str inside = sp_str_make(rest.p, end);
	bool v6 = sp_take_prefix_nocase(&inside, SP_STR("IPv6:"));
	if (!sp_addr_parse_ip(inside, port, out) || (sp_addr_family(out) == AF_INET6) != v6)
		return false;
	*s = sp_str_from(rest, end + 1);
	return true;
}

/* As route_parse(), without the mark. */
static bool parse_hop(struct sp_str s, uint16_t default_port, struct sp_arena *arena, struct route_target *out)
{
	uint64_t port = default_port;
	*out = (struct route_target){ .port = default_port };
	if (take_literal(&s, default_port, &out->addr)) {
		out->kind = ROUTE_LITERAL;
		if (s.len == 0)
			return true;
		out->kind = ROUTE_HOST;
		if (!sp_take_char(&s, ':') || !sp_str_number(s, 1, 65535, &port))
			return false;
		out->port = (uint16_t)port;
		sp_addr_set_port(&out->addr, out->port);
		return true;
	}
	size_t colon = sp_str_find(s, ':');
	struct sp_str name = sp_str_make(s.p, colon);
	if (!core_dns_name_ok(name))
		return false;
	if (colon < s.len && !sp_str_number(sp_str_from(s, colon + 1), 1, 65535, &port))
		return false;
	out->kind = colon < s.len ? ROUTE_HOST : ROUTE_DOMAIN;
	out->port = (uint16_t)port;
	out->host = out->policy_domain = sp_arena_dup(arena, name);
	return true;
}

bool route_parse(const char *destination, uint16_t default_port, struct sp_arena *arena, struct route_target *out)
{
	struct sp_str s = sp_str_of(destination);
	bool report = take_report_mark(&s);
	if (!parse_hop(s, default_port, arena, out))
		return false;
	out->report = report;
	if (report)
		out->policy_domain = NULL;      /* RFC 8460 3: reports go out despite TLS failures; DESIGN.md: and are counted in none */
	return true;
}

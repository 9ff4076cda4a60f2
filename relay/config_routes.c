/* relay/config_routes.c - `routes`: which mail goes to a next hop of our choosing. See config_lists.h. */
#include "relay/config_lists.h"

#include "relay/config_rows.h"
#include "smtp/address.h"

#include <stdlib.h>

#define ROUTE_KEYS " domain via"

static void set_route_domain(struct conf_reader *r, struct config_route *route, yaml_node_t *value)
{
	const char *why = "takes a domain, or \"*\" for all";
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *domain = NULL;
	if (value->type == YAML_SCALAR_NODE)
		domain = sp_str_eq(conf_scalar(value), SP_STR("*")) ? "*" : smtp_domain_ascii(conf_scalar(value), &arena, &why);
	if (domain == NULL)
		conf_problem(r, value, "routes.domain: %s", why);
	free(route->domain);
	route->domain = sp_strdup(domain ? domain : "");
	sp_arena_clear(&arena);
}

#define VIA_PORT 25                     /* where none is written */

/* "192.0.2.1:25", "192.0.2.1", "[2001:db8::1]:25", "[2001:db8::1]", "2001:db8::1" */
static bool parse_via_address(struct sp_str s, struct sp_addr *out)
{
	if (sp_addr_parse(s, out))
		return sp_addr_family(out) != AF_UNIX;
	if (sp_take_char(&s, '[')) {
		size_t end = sp_str_find(s, ']');
		return end + 1 == s.len && sp_addr_parse_ip(sp_str_make(s.p, end), VIA_PORT, out);
	}
	return sp_addr_parse_ip(s, VIA_PORT, out);
}

/* The same, or "mx.example.com:25", "mx.example.com". */
static bool parse_via(struct sp_str s, struct config_route *route, const char **why)
{
	struct sp_addr a;
	char text[SP_ADDR_TEXT];
	if (parse_via_address(s, &a)) {
		route->via_host = sp_strdup(sp_addr_literal_str(&a, text));
		route->via_port = sp_addr_port(&a);
		return route->via_port != 0;
	}
	uint64_t port = VIA_PORT;
	struct sp_str host = s;
	size_t colon = sp_str_find(s, ':');
	if (colon < s.len) {
		host.len = colon;
		if (!sp_str_number(sp_str_from(s, colon + 1), 1, 65535, &port))
			return false;
	}
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *name = smtp_domain_ascii(host, &arena, why);
	if (name) {
		route->via_host = sp_strdup(name);
		route->via_port = (uint16_t)port;
	}
	sp_arena_clear(&arena);
	return name != NULL;
}

static bool read_route_key(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value)
{
	struct config_route *route = item;
	if (sp_str_eq(key, SP_STR("domain"))) {
		set_route_domain(r, route, value);
		return true;
	}
	if (sp_str_eq(key, SP_STR("via"))) {
		const char *why = "takes host:port, such as mx.example.com:25";
		free(route->via_host);
		route->via_host = NULL;
		if (value->type != YAML_SCALAR_NODE || !parse_via(conf_scalar(value), route, &why))
			conf_problem(r, value, "routes.via: %s", why);
		return true;
	}
	return false;
}

static void read_route(struct conf_reader *r, yaml_node_t *item)
{
	struct config *c = r->c;
	unsigned before = r->count;
	c->routes.items = sp_realloc(c->routes.items, (c->routes.count + 1) * sizeof(*c->routes.items));
	struct config_route *route = &c->routes.items[c->routes.count++];
	*route = (struct config_route){ 0 };
	conf_read_group(r, item, "routes", ROUTE_KEYS, read_route_key, route);
	if (r->count == before && (route->domain == NULL || route->via_host == NULL))
		conf_problem(r, item, "routes: an item needs both domain and via");
	for (size_t i = 0; i + 1 < c->routes.count; i++)
		if (route->domain && *route->domain && c->routes.items[i].domain && strcmp(route->domain, c->routes.items[i].domain) == 0)
			conf_problem(r, item, "routes: the domain %s is there twice", route->domain);
}

static void clear_routes(struct config *c)
{
	for (size_t i = 0; i < c->routes.count; i++) {
		free(c->routes.items[i].domain);
		free(c->routes.items[i].via_host);
	}
	free(c->routes.items);
}

static void print_routes(const struct config *c, struct sp_buf *out)
{
	sp_buf_adds(out, c->routes.count ? "routes:\n" : "routes: []\n");
	for (size_t i = 0; i < c->routes.count; i++) {
		const struct config_route *route = &c->routes.items[i];
		struct sp_str host = sp_str_of(route->via_host);
		if (sp_take_prefix_nocase(&host, SP_STR("[IPv6:")))
			sp_buf_printf(out, "  - {domain: \"%s\", via: \"[%.*s:%u\"}\n", route->domain, SP_STR_ARG(host), route->via_port);
		else if (sp_take_char(&host, '['))
			sp_buf_printf(out, "  - {domain: \"%s\", via: \"%.*s:%u\"}\n", route->domain, (int)(host.len - 1), host.p, route->via_port);
		else
			sp_buf_printf(out, "  - {domain: \"%s\", via: \"%s:%u\"}\n", route->domain, route->via_host, route->via_port);
	}
}

static const struct conf_help help[] = {
	{ "routes[].domain", "domain", "(none)", "recipient domain, or \"*\" for all others" },
	{ "routes[].via", "address", "(none)", "next hop as host:port; its name is the policy domain (RFC 8461 3.4)" },
	{ NULL },
};

const struct conf_list conf_list_routes = { "routes", read_route, NULL, clear_routes, print_routes, help };

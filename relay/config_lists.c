/* relay/config_lists.c - see config_lists.h. */
#include "relay/config_lists.h"

#include "relay/config_rows.h"
#include "smtp/address.h"

#include <stdarg.h>
#include <stdlib.h>

void conf_problem(struct conf_reader *r, const yaml_node_t *at, const char *fmt, ...)
{
	if (++r->count > CONF_PROBLEMS_MAX) {
		if (r->count == CONF_PROBLEMS_MAX + 1)
			sp_buf_printf(r->problems, "%s: more than %d problems; the rest was not read\n", r->name, CONF_PROBLEMS_MAX);
		return;
	}
	va_list args;
	struct sp_buf text;
	sp_buf_init(&text, 4096);
	va_start(args, fmt);
	sp_buf_vprintf(&text, fmt, args);
	va_end(args);
	if (at)
		sp_buf_printf(r->problems, "%s:%zu: ", r->name, at->start_mark.line + 1);
	else
		sp_buf_printf(r->problems, "%s: ", r->name);
	sp_buf_add_printable(r->problems, sp_buf_str(&text));
	sp_buf_addc(r->problems, '\n');
	sp_buf_clear(&text);
}

struct sp_str conf_scalar(const yaml_node_t *n)
{
	return sp_str_make((const char *)n->data.scalar.value, n->data.scalar.length);
}

bool conf_is_repeat(const struct conf_reader *r, const yaml_node_t *map, const yaml_node_pair_t *at)
{
	struct sp_str key = conf_scalar(yaml_document_get_node(r->doc, at->key));
	for (const yaml_node_pair_t *i = map->data.mapping.pairs.start; i < at; i++) {
		const yaml_node_t *other = yaml_document_get_node(r->doc, i->key);
		if (other->type == YAML_SCALAR_NODE && sp_str_eq(conf_scalar(other), key))
			return true;
	}
	return false;
}

/* One key of a group in a list. Returns false if the key is unknown. */
typedef bool (*read_key_fn)(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value);

static void read_group(struct conf_reader *r, yaml_node_t *group, const char *list, const char *known, read_key_fn read, void *item)
{
	if (group->type != YAML_MAPPING_NODE) {
		conf_problem(r, group, "%s: an item takes the keys:%s", list, known);
		return;
	}
	for (yaml_node_pair_t *i = group->data.mapping.pairs.start; i < group->data.mapping.pairs.top && !conf_enough(r); i++) {
		yaml_node_t *key = yaml_document_get_node(r->doc, i->key);
		if (key->type != YAML_SCALAR_NODE)
			conf_problem(r, key, "%s: a key is not a plain word; known here:%s", list, known);
		else if (conf_is_repeat(r, group, i))
			conf_problem(r, key, "%s: '%.*s' is there twice", list, SP_STR_ARG(conf_shown(conf_scalar(key))));
		else if (!read(r, item, conf_scalar(key), yaml_document_get_node(r->doc, i->value)))
			conf_problem(r, key, "%s: there is no key '%.*s'; known here:%s", list, SP_STR_ARG(conf_shown(conf_scalar(key))), known);
	}
}

static void read_nets(struct conf_reader *r, const char *name, struct config_nets *nets, yaml_node_t *value)
{
	conf_nets_clear(nets);
	if (value->type != YAML_SEQUENCE_NODE) {
		conf_problem(r, value, "%s: takes a list of networks, such as [10.0.0.0/8, \"::1/128\"]", name);
		return;
	}
	for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top && !conf_enough(r); i++) {
		yaml_node_t *item = yaml_document_get_node(r->doc, *i);
		struct sp_buf why;
		sp_buf_init(&why, 1024);
		if (item->type != YAML_SCALAR_NODE || !conf_nets_add(nets, conf_scalar(item), &why))
			conf_problem(r, item, "%s: %s", name, why.len ? sp_buf_cstr(&why) : "an item is not a network");
		sp_buf_clear(&why);
	}
}

/* --- listen --- */

#define LISTEN_KEYS " address allow bare_lf"

static void default_allow(struct config_nets *allow)
{
	struct sp_buf why;
	sp_buf_init(&why, 256);
	bool ok = conf_nets_add(allow, SP_STR("127.0.0.0/8"), &why) && conf_nets_add(allow, SP_STR("::1/128"), &why);
	sp_assert(ok);
	sp_buf_clear(&why);
}

static bool read_listen_key(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value)
{
	struct config_listen *l = item;
	if (sp_str_eq(key, SP_STR("address"))) {
		if (value->type != YAML_SCALAR_NODE || !sp_addr_parse(conf_scalar(value), &l->address) ||
		    sp_addr_family(&l->address) == AF_UNIX)
			conf_problem(r, value, "listen.address: takes 127.0.0.1:2525 or [::1]:2525");
		return true;
	}
	if (sp_str_eq(key, SP_STR("allow"))) {
		read_nets(r, "listen.allow", &l->allow, value);
		return true;
	}
	if (sp_str_eq(key, SP_STR("bare_lf"))) {
		read_nets(r, "listen.bare_lf", &l->bare_lf, value);
		return true;
	}
	return false;
}

static struct config_listen *add_listen(struct config *c)
{
	c->listen.items = sp_realloc(c->listen.items, (c->listen.count + 1) * sizeof(*c->listen.items));
	struct config_listen *l = &c->listen.items[c->listen.count++];
	*l = (struct config_listen){ 0 };
	l->address.sa.sa_family = AF_UNSPEC;
	default_allow(&l->allow);
	return l;
}

static void read_listen(struct conf_reader *r, yaml_node_t *item)
{
	unsigned before = r->count;
	struct config_listen *l = add_listen(r->c);
	read_group(r, item, "listen", LISTEN_KEYS, read_listen_key, l);
	if (sp_addr_family(&l->address) == AF_UNSPEC && r->count == before)
		conf_problem(r, item, "listen: an item needs an address, such as 127.0.0.1:2525");
	for (size_t i = 0; i + 1 < r->c->listen.count && sp_addr_family(&l->address) != AF_UNSPEC; i++)
		if (sp_addr_eq(&l->address, &r->c->listen.items[i].address))
			conf_problem(r, item, "listen: the address is there twice");
}

/* --- routes --- */

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
	read_group(r, item, "routes", ROUTE_KEYS, read_route_key, route);
	if (r->count == before && (route->domain == NULL || route->via_host == NULL))
		conf_problem(r, item, "routes: an item needs both domain and via");
	for (size_t i = 0; i + 1 < c->routes.count; i++)
		if (route->domain && *route->domain && c->routes.items[i].domain && strcmp(route->domain, c->routes.items[i].domain) == 0)
			conf_problem(r, item, "routes: the domain %s is there twice", route->domain);
}

/* --- both --- */

bool conf_lists_read(struct conf_reader *r, struct sp_str key, yaml_node_t *value)
{
	void (*read)(struct conf_reader *, yaml_node_t *) =
		sp_str_eq(key, SP_STR("listen")) ? read_listen : sp_str_eq(key, SP_STR("routes")) ? read_route : NULL;
	if (read == NULL)
		return false;
	if (value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0)
		return true;                    /* "routes:" with nothing under it: the default */
	if (value->type != YAML_SEQUENCE_NODE) {
		conf_problem(r, value, "%.*s: takes a list of groups", SP_STR_ARG(key));
		return true;
	}
	for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top && !conf_enough(r); i++)
		read(r, yaml_document_get_node(r->doc, *i));
	return true;
}

void conf_lists_finish(struct conf_reader *r)
{
	struct config *c = r->c;
	if (c->listen.count == 0 && r->count == 0) {
		bool ok = sp_addr_parse(SP_STR("127.0.0.1:2525"), &add_listen(c)->address);
		sp_assert(ok);
	}
}

void conf_lists_clear(struct config *c)
{
	for (size_t i = 0; i < c->listen.count; i++) {
		conf_nets_clear(&c->listen.items[i].allow);
		conf_nets_clear(&c->listen.items[i].bare_lf);
	}
	free(c->listen.items);
	for (size_t i = 0; i < c->routes.count; i++) {
		free(c->routes.items[i].domain);
		free(c->routes.items[i].via_host);
	}
	free(c->routes.items);
}

void conf_lists_print(const struct config *c, struct sp_buf *out)
{
	char text[SP_ADDR_TEXT];
	sp_buf_adds(out, "listen:\n");
	for (size_t i = 0; i < c->listen.count; i++) {
		sp_buf_printf(out, "  - address: \"%s\"\n    allow: ", sp_addr_str(&c->listen.items[i].address, text));
		conf_nets_print(&c->listen.items[i].allow, out);
		sp_buf_adds(out, "\n    bare_lf: ");
		conf_nets_print(&c->listen.items[i].bare_lf, out);
		sp_buf_addc(out, '\n');
	}
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

void conf_lists_print_rows(struct sp_buf *out)
{
	static const char *const rows[][4] = {
		{ "listen[].address", "address", "127.0.0.1:2525", "where clients connect: host:port or [v6]:port" },
		{ "listen[].allow", "networks", "127.0.0.0/8, ::1/128", "who may relay; nobody else, ever" },
		{ "listen[].bare_lf", "networks", "(empty)", "whose bare LF is made CRLF; everybody else's is refused" },
		{ "routes[].domain", "domain", "(none)", "recipient domain, or \"*\" for all others" },
		{ "routes[].via", "address", "(none)", "next hop as host:port; its name is the policy domain (RFC 8461 3.4)" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		sp_buf_printf(out, "%-32s %-10s %-28s %s\n", rows[i][0], rows[i][1], rows[i][2], rows[i][3]);
}

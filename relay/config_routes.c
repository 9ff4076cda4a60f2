/* relay/config_routes.c - `routes`: which mail goes to a next hop of our choosing. See config_lists.h. */
#include "relay/config_lists.h"

#include "core/readfile.h"
#include "relay/config_rows.h"
#include "relay/config_value.h"
#include "smtp/address.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ROUTE_KEYS " domain sender via tls user password_file rate concurrency requiretls"
#define USER_MAX 200                    /* octets of a user's name, which becomes part of a destination's */
#define PASSWORD_OCTETS 512             /* of a password, and of its file at most twice as many */
#define SESSIONS_MAX 1000               /* as delivery.concurrency */
#define PORT_SUBMISSIONS 465            /* RFC 8314 7.3: TLS from the first octet */

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

enum { TLS_STARTTLS, TLS_IMPLICIT, TLS_BY_PORT };
static const char *const tls_words[] = { [TLS_STARTTLS] = "starttls", [TLS_IMPLICIT] = "implicit" };
static const char *const requiretls_words[] = { [CONFIG_REQUIRETLS_ENFORCE] = "enforce", [CONFIG_REQUIRETLS_RELAXED] = "relaxed" };

struct route_item {                             /* one being read */
	struct config_route *route;
	unsigned tls;
};

static void set_via(struct conf_reader *r, struct config_route *route, yaml_node_t *value)
{
	const char *why = "takes host:port, such as mx.example.com:25";
	free(route->via_host);
	route->via_host = NULL;
	if (value->type != YAML_SCALAR_NODE || !parse_via(conf_scalar(value), route, &why))
		conf_problem(r, value, "routes.via: %s", why);
}

/* The first line. Read once, wiped on the way. */
static void set_password(struct conf_reader *r, struct config_route *route, yaml_node_t *value)
{
	struct sp_fail why;
	char text[2 * PASSWORD_OCTETS];
	conf_read_path(r, "routes.password_file", &route->password_file, value);
	if (route->password_file == NULL)
		return;
	conf_file(r, route->password_file);
	ssize_t len = core_read_file(route->password_file, text, sizeof(text), &route->password_mode, &why);
	struct sp_str rest = sp_str_make(text, len > 0 ? (size_t)len : 0), line = { 0 };
	if (len < 0)
		conf_problem(r, value, "routes.password_file: %s", why.text);
	else if (!sp_take_line(&rest, &line) || line.len == 0)
		conf_problem(r, value, "routes.password_file: %s has no password in its first line", route->password_file);
	else if (line.len > PASSWORD_OCTETS || sp_str_contains(line, '\0'))     /* RFC 4616 2: NUL separates */
		conf_problem(r, value, "routes.password_file: the first line of %s is no password: over %d octets, or NUL in it", route->password_file,
		             PASSWORD_OCTETS);
	else
		route->password = sp_str_dup(line);
	explicit_bzero(text, sizeof(text));
}

static bool read_route_key(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value)
{
	struct route_item *of = item;
	struct config_route *route = of->route;
	unsigned requiretls = 0;
	if (sp_str_eq(key, SP_STR("domain"))) {
		set_route_domain(r, route, value);
	} else if (sp_str_eq(key, SP_STR("sender"))) {
		conf_read_sender(r, "routes.sender", &route->sender, value);
	} else if (sp_str_eq(key, SP_STR("via"))) {
		set_via(r, route, value);
	} else if (sp_str_eq(key, SP_STR("tls"))) {
		conf_read_word(r, "routes.tls", &of->tls, tls_words, SP_COUNT(tls_words), value);
	} else if (sp_str_eq(key, SP_STR("user"))) {
		conf_read_text(r, "routes.user", &route->user, USER_MAX, value);
	} else if (sp_str_eq(key, SP_STR("password_file"))) {
		set_password(r, route, value);
	} else if (sp_str_eq(key, SP_STR("rate"))) {
		conf_read_rate(r, "routes.rate", &route->rate, value);
	} else if (sp_str_eq(key, SP_STR("concurrency"))) {
		conf_read_count(r, "routes.concurrency", &route->concurrency, SESSIONS_MAX, value);
	} else if (sp_str_eq(key, SP_STR("requiretls"))) {
		conf_read_word(r, "routes.requiretls", &requiretls, requiretls_words, SP_COUNT(requiretls_words), value);
		route->requiretls = (enum config_requiretls)requiretls;
	} else {
		return false;
	}
	return true;
}

static bool same_hop(const struct config_route *a, const struct config_route *b)
{
	return a->via_port == b->via_port && strcmp(a->via_host, b->via_host) == 0 && strcmp(a->user, b->user) == 0;
}

static bool same_use(const struct config_route *a, const struct config_route *b)
{
	return a->implicit_tls == b->implicit_tls && a->rate.count == b->rate.count && a->rate.per_ms == b->rate.per_ms &&
	       a->concurrency == b->concurrency && a->requiretls == b->requiretls;
}

/* Several routes may lead to one next hop: it is one destination, so they agree in how it is used. */
static void check_against(struct conf_reader *r, yaml_node_t *item, const struct config_route *route, const struct config_route *other)
{
	if (route->domain && other->domain && strcmp(route->domain, other->domain) == 0)
		conf_problem(r, item, "routes: the domain %s is there twice", route->domain);
	if (route->sender && other->sender && sp_str_eq_nocase(sp_str_of(route->sender), sp_str_of(other->sender)))
		conf_problem(r, item, "routes: the sender %s is there twice", route->sender);
	if (!other->via_host || !same_hop(route, other))
		return;
	if (!same_use(route, other))
		conf_problem(r, item, "routes: another route to %s:%u%s%s has another tls, rate, concurrency or requiretls; it is one destination, "
		             "so say the same in both", route->via_host, route->via_port, *route->user ? " as " : "", route->user);
	if (route->password && other->password && strcmp(route->password, other->password) != 0)
		conf_problem(r, item, "routes: another route to %s:%u as %s has another password", route->via_host, route->via_port, route->user);
}

static void check_route(struct conf_reader *r, yaml_node_t *item, const struct config_route *route)
{
	if (!route->via_host || !(route->domain || route->sender))
		conf_problem(r, item, "routes: an item needs via, and domain or sender");
	else if (route->domain && route->sender)
		conf_problem(r, item, "routes: an item is by domain or by sender; make two of it");
	else if (*route->user && !route->password)
		conf_problem(r, item, "routes: user needs a password_file");
	else if (!*route->user && route->password)
		conf_problem(r, item, "routes: password_file needs a user");
	else
		for (size_t i = 0; i + 1 < r->c->routes.count && !conf_enough(r); i++)
			check_against(r, item, route, &r->c->routes.items[i]);
}

static void read_route(struct conf_reader *r, yaml_node_t *item)
{
	struct config *c = r->c;
	unsigned before = r->count;
	c->routes.items = sp_realloc(c->routes.items, (c->routes.count + 1) * sizeof(*c->routes.items));
	struct route_item of = { .route = &c->routes.items[c->routes.count++], .tls = TLS_BY_PORT };
	*of.route = (struct config_route){ .user = sp_strdup("") };
	conf_read_group(r, item, "routes", ROUTE_KEYS, read_route_key, &of);
	of.route->implicit_tls = of.tls == TLS_BY_PORT ? of.route->via_port == PORT_SUBMISSIONS : of.tls == TLS_IMPLICIT;
	if (r->count == before)
		check_route(r, item, of.route);
}

static void clear_routes(struct config *c)
{
	for (size_t i = 0; i < c->routes.count; i++) {
		struct config_route *route = &c->routes.items[i];
		if (route->password)
			explicit_bzero(route->password, strlen(route->password));
		free(route->password);
		free(route->password_file);
		free(route->user);
		free(route->sender);
		free(route->domain);
		free(route->via_host);
	}
	free(c->routes.items);
}

static void print_via(const struct config_route *route, struct sp_buf *out)
{
	struct sp_str host = sp_str_of(route->via_host);
	if (sp_take_prefix_nocase(&host, SP_STR("[IPv6:")))
		sp_buf_printf(out, "\"[%.*s:%u\"", SP_STR_ARG(host), route->via_port);
	else if (sp_take_char(&host, '['))
		sp_buf_printf(out, "\"%.*s:%u\"", (int)(host.len - 1), host.p, route->via_port);
	else
		sp_buf_printf(out, "\"%s:%u\"", route->via_host, route->via_port);
}

/* Never the password. */
static void print_account(const struct config_route *route, struct sp_buf *out)
{
	if (*route->user == '\0')
		return;
	sp_buf_adds(out, ", user: ");
	conf_print_string(route->user, out);
	sp_buf_adds(out, ", password_file: ");
	conf_print_string(route->password_file, out);
}

static void print_routes(const struct config *c, struct sp_buf *out)
{
	sp_buf_adds(out, c->routes.count ? "routes:\n" : "routes: []\n");
	for (size_t i = 0; i < c->routes.count; i++) {
		const struct config_route *route = &c->routes.items[i];
		sp_buf_adds(out, route->domain ? "  - {domain: " : "  - {sender: ");
		conf_print_string(route->domain ? route->domain : route->sender, out);
		sp_buf_adds(out, ", via: ");
		print_via(route, out);
		sp_buf_printf(out, ", tls: %s", tls_words[route->implicit_tls ? TLS_IMPLICIT : TLS_STARTTLS]);
		print_account(route, out);
		sp_buf_adds(out, ", rate: \"");
		config_print_rate(route->rate.count, route->rate.per_ms, out);
		sp_buf_addc(out, '"');
		if (route->concurrency)
			sp_buf_printf(out, ", concurrency: %" PRId64, route->concurrency);
		if (route->requiretls)
			sp_buf_printf(out, ", requiretls: %s", requiretls_words[route->requiretls]);
		sp_buf_adds(out, "}\n");
	}
}

static void warn_of_open_passwords(const struct config *c, struct sp_buf *out)
{
	for (size_t i = 0; i < c->routes.count; i++) {
		const struct config_route *route = &c->routes.items[i];
		bool told = false;
		for (size_t k = 0; k < i && route->password; k++)
			told |= c->routes.items[k].password && strcmp(c->routes.items[k].password_file, route->password_file) == 0;
		if (route->password && !told && (route->password_mode & (S_IRWXO | S_IWGRP)))
			sp_buf_printf(out, "routes: %s has mode %04o, so more than the relay may read or change the password; make the user that the relay "
			              "runs as its owner, and the mode 0600\n", route->password_file, route->password_mode);
	}
}

static const struct conf_help help[] = {
	{ "routes[].domain", "domain", "(none)", "recipient domain, or \"*\" for all others" },
	{ "routes[].sender", "sender", "(none)", "in place of domain: a sender's domain or address; comes before any route by domain" },
	{ "routes[].via", "address", "(none)", "next hop as host:port; its name is the policy domain (RFC 8461 3.4)" },
	{ "routes[].tls", "word", "starttls", "starttls, or implicit: TLS from the first octet, the default on port 465 (RFC 8314)" },
	{ "routes[].user", "text", "(none)", "AUTH at the next hop, under TLS only" },
	{ "routes[].password_file", "path", "(none)", "its first line is the password" },
	{ "routes[].rate", "rate", "0", "messages by this route, such as 100/1m; 0: no limit" },
	{ "routes[].concurrency", "number", "delivery.concurrency", "sessions at once" },
	{ "routes[].requiretls", "word", "delivery.requiretls", "enforce, or relaxed: REQUIRETLS mail goes there although it does not offer that" },
	{ NULL },
};

const struct conf_list conf_list_routes = { "routes", read_route, NULL, clear_routes, print_routes, warn_of_open_passwords, help };

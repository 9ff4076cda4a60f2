/* relay/config_lists.c - see config_lists.h. */
#include "relay/config_lists.h"

#include "relay/config_rows.h"
#include "smtp/address.h"
#include "smtp/dkim.h"

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

/* --- dkim --- */

#define DKIM_KEYS " domain selector key_file use"
#define DNS_NAME_MAX 253

/* Letters, digits, hyphens and dots (RFC 6376 3.1, 3.5: sub-domain of RFC 5321): A-labels in lower case, NULL with *why. */
static char *read_dkim_name(yaml_node_t *value, const char **why)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	char *copy = NULL;
	const char *name = value->type == YAML_SCALAR_NODE ? smtp_domain_ascii(conf_scalar(value), &arena, why) : NULL;
	if (name && strchr(name, '_'))
		*why = "an underscore has no place in it";
	else if (name)
		copy = sp_strdup(name);
	sp_arena_clear(&arena);
	return copy;
}

static void set_dkim_domain(struct conf_reader *r, struct config_dkim *d, yaml_node_t *value)
{
	const char *why = "takes a domain, such as example.com";
	free(d->domain);
	d->domain = read_dkim_name(value, &why);
	if (d->domain == NULL)
		conf_problem(r, value, "dkim.domain: %s", why);
	else if (strchr(d->domain, '.') == NULL)        /* RFC 6376 3.5: two labels at least */
		conf_problem(r, value, "dkim.domain: '%s' is not a domain such as example.com", d->domain);
}

static void set_dkim_selector(struct conf_reader *r, struct config_dkim *d, yaml_node_t *value)
{
	const char *why = "takes a name, such as s1 or 2026.relay";
	free(d->selector);
	d->selector = read_dkim_name(value, &why);
	if (d->selector == NULL)
		conf_problem(r, value, "dkim.selector: %s", why);
}

static void set_dkim_key(struct conf_reader *r, struct config_dkim *d, yaml_node_t *value)
{
	struct sp_fail why;
	if (value->type != YAML_SCALAR_NODE || value->data.scalar.length == 0 || sp_str_contains(conf_scalar(value), '\0')) {
		conf_problem(r, value, "dkim.key_file: takes the path of a private key in PEM");
		return;
	}
	d->key_file = sp_str_dup(conf_scalar(value));
	d->key = core_key_load(d->key_file, &d->key_mode, &why);
	if (d->key == NULL)
		conf_problem(r, value, "dkim.key_file: %s", why.text);
}

static const char *const dkim_uses[] = { [CONFIG_DKIM_ALL] = "all", [CONFIG_DKIM_MAIL] = "mail", [CONFIG_DKIM_REPORTS] = "reports" };

static void set_dkim_use(struct conf_reader *r, struct config_dkim *d, yaml_node_t *value)
{
	for (size_t i = 0; i < SP_COUNT(dkim_uses); i++) {
		if (value->type == YAML_SCALAR_NODE && sp_str_eq_nocase(conf_scalar(value), sp_str_of(dkim_uses[i]))) {
			d->use = (enum config_dkim_use)i;
			return;
		}
	}
	conf_problem(r, value, "dkim.use: takes all, mail or reports");
}

static bool read_dkim_key(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value)
{
	if (sp_str_eq(key, SP_STR("domain")))
		set_dkim_domain(r, item, value);
	else if (sp_str_eq(key, SP_STR("selector")))
		set_dkim_selector(r, item, value);
	else if (sp_str_eq(key, SP_STR("key_file")))
		set_dkim_key(r, item, value);
	else if (sp_str_eq(key, SP_STR("use")))
		set_dkim_use(r, item, value);
	else
		return false;
	return true;
}

/* The last entry against those before it. */
static void check_dkim(struct conf_reader *r, yaml_node_t *item)
{
	const struct config *c = r->c;
	const struct config_dkim *d = &c->dkim.items[c->dkim.count - 1];
	size_t of_domain = 0;
	if (strlen(d->selector) + strlen("._domainkey.") + strlen(d->domain) > DNS_NAME_MAX)
		conf_problem(r, item, "dkim: %s._domainkey.%s is longer than a name in DNS can be", d->selector, d->domain);
	for (size_t i = 0; i < c->dkim.count; i++) {
		const struct config_dkim *other = &c->dkim.items[i];
		if (other->domain == NULL || strcmp(d->domain, other->domain) != 0)
			continue;
		of_domain++;
		if (other != d && other->selector && strcmp(d->selector, other->selector) == 0)
			conf_problem(r, item, "dkim: the selector %s of %s is there twice", d->selector, d->domain);
	}
	if (of_domain == SMTP_DKIM_SIGNERS_MAX + 1)
		conf_problem(r, item, "dkim: %s has more than %d entries", d->domain, SMTP_DKIM_SIGNERS_MAX);
}

static void read_dkim(struct conf_reader *r, yaml_node_t *item)
{
	struct config *c = r->c;
	unsigned before = r->count;
	c->dkim.items = sp_realloc(c->dkim.items, (c->dkim.count + 1) * sizeof(*c->dkim.items));
	struct config_dkim *d = &c->dkim.items[c->dkim.count++];
	*d = (struct config_dkim){ 0 };
	read_group(r, item, "dkim", DKIM_KEYS, read_dkim_key, d);
	if (r->count > before)
		return;
	if (d->domain && d->selector && d->key)
		check_dkim(r, item);
	else
		conf_problem(r, item, "dkim: an item needs domain, selector and key_file");
}

static void clear_dkim(struct config *c)
{
	for (size_t i = 0; i < c->dkim.count; i++) {
		free(c->dkim.items[i].domain);
		free(c->dkim.items[i].selector);
		free(c->dkim.items[i].key_file);
		core_key_unref(c->dkim.items[i].key);
	}
	free(c->dkim.items);
}

static void print_dkim(const struct config *c, struct sp_buf *out)
{
	sp_buf_adds(out, c->dkim.count ? "dkim:\n" : "dkim: []\n");
	for (size_t i = 0; i < c->dkim.count; i++) {
		const struct config_dkim *d = &c->dkim.items[i];
		sp_buf_printf(out, "  - {domain: \"%s\", selector: \"%s\", key_file: ", d->domain, d->selector);
		conf_print_string(d->key_file, out);
		sp_buf_printf(out, ", use: %s}\n", dkim_uses[d->use]);
	}
}

size_t config_dkim_signers(const struct config *c, const char *domain, enum config_dkim_use use, struct smtp_dkim_signer *out, size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < c->dkim.count && n < max; i++) {
		const struct config_dkim *d = &c->dkim.items[i];
		if (strcmp(d->domain, domain) == 0 && (d->use == CONFIG_DKIM_ALL || d->use == use))
			out[n++] = (struct smtp_dkim_signer){ .domain = d->domain, .selector = d->selector, .key = d->key };
	}
	return n;
}

/* --- all of them --- */

bool conf_lists_read(struct conf_reader *r, struct sp_str key, yaml_node_t *value)
{
	static const struct { const char *name; void (*read)(struct conf_reader *r, yaml_node_t *item); } lists[] = {
		{ "listen", read_listen }, { "routes", read_route }, { "dkim", read_dkim },
	};
	void (*read)(struct conf_reader *, yaml_node_t *) = NULL;
	for (size_t i = 0; i < SP_COUNT(lists); i++)
		if (sp_str_eq(key, sp_str_of(lists[i].name)))
			read = lists[i].read;
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
	clear_dkim(c);
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
	print_dkim(c, out);
}

void conf_lists_print_rows(struct sp_buf *out)
{
	static const char *const rows[][4] = {
		{ "listen[].address", "address", "127.0.0.1:2525", "where clients connect: host:port or [v6]:port" },
		{ "listen[].allow", "networks", "127.0.0.0/8, ::1/128", "who may relay; nobody else, ever" },
		{ "listen[].bare_lf", "networks", "(empty)", "whose bare LF is made CRLF; everybody else's is refused" },
		{ "routes[].domain", "domain", "(none)", "recipient domain, or \"*\" for all others" },
		{ "routes[].via", "address", "(none)", "next hop as host:port; its name is the policy domain (RFC 8461 3.4)" },
		{ "dkim[].domain", "domain", "(none)", "mail From this domain is signed (RFC 6376); that of report.submitter signs reports" },
		{ "dkim[].selector", "name", "(none)", "where its public key is in DNS: selector._domainkey.domain" },
		{ "dkim[].key_file", "path", "(none)", "private key, PEM: RSA or Ed25519; `strictpost dkim keygen` makes one" },
		{ "dkim[].use", "word", "all", "what it signs: all, mail, or reports (for a key whose record says s=tlsrpt)" },
	};
	for (size_t i = 0; i < SP_COUNT(rows); i++)
		sp_buf_printf(out, "%-32s %-10s %-28s %s\n", rows[i][0], rows[i][1], rows[i][2], rows[i][3]);
}

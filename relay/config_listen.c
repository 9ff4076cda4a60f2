/* relay/config_listen.c - `listen`: where clients connect, and who may relay there. See config_lists.h. */
#include "relay/config_lists.h"

#include "relay/config_rows.h"

#include <stdlib.h>

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
		conf_read_nets(r, "listen.allow", &l->allow, value);
		return true;
	}
	if (sp_str_eq(key, SP_STR("bare_lf"))) {
		conf_read_nets(r, "listen.bare_lf", &l->bare_lf, value);
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
	conf_read_group(r, item, "listen", LISTEN_KEYS, read_listen_key, l);
	if (sp_addr_family(&l->address) == AF_UNSPEC && r->count == before)
		conf_problem(r, item, "listen: an item needs an address, such as 127.0.0.1:2525");
	for (size_t i = 0; i + 1 < r->c->listen.count && sp_addr_family(&l->address) != AF_UNSPEC; i++)
		if (sp_addr_eq(&l->address, &r->c->listen.items[i].address))
			conf_problem(r, item, "listen: the address is there twice");
}

static void finish(struct conf_reader *r)
{
	struct config *c = r->c;
	if (c->listen.count == 0 && r->count == 0) {
		bool ok = sp_addr_parse(SP_STR("127.0.0.1:2525"), &add_listen(c)->address);
		sp_assert(ok);
	}
}

static void clear_listen(struct config *c)
{
	for (size_t i = 0; i < c->listen.count; i++) {
		conf_nets_clear(&c->listen.items[i].allow);
		conf_nets_clear(&c->listen.items[i].bare_lf);
	}
	free(c->listen.items);
}

static void print_listen(const struct config *c, struct sp_buf *out)
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
}

static const struct conf_help help[] = {
	{ "listen[].address", "address", "127.0.0.1:2525", "where clients connect: host:port or [v6]:port" },
	{ "listen[].allow", "networks", "127.0.0.0/8, ::1/128", "who may relay; nobody else, ever" },
	{ "listen[].bare_lf", "networks", "(empty)", "whose bare LF is made CRLF; everybody else's is refused" },
	{ NULL },
};

const struct conf_list conf_list_listen = { "listen", read_listen, finish, clear_listen, print_listen, NULL, help };

/* relay/config_listen.c - `listen`: where clients connect, and who may relay there. See config_lists.h. */
#include "relay/config_listen.h"

#include "relay/config_rows.h"
#include "relay/config_value.h"

#include <stdlib.h>

#define LISTEN_KEYS " address unix_mode allow bare_lf tls tls_required certificate key tls_client_ca tickets auth xclient proxy"
#define UNIX_MODE 0660

static const char *const tls_words[] = { [CONFIG_LISTEN_CLEAR] = "none", [CONFIG_LISTEN_STARTTLS] = "starttls", [CONFIG_LISTEN_IMPLICIT] = "implicit" };
static const char *const auth_words[] = { [CONFIG_AUTH_NONE] = "none", [CONFIG_AUTH_OFFERED] = "offered", [CONFIG_AUTH_REQUIRED] = "required" };

/* --- one key --- */

static void read_address(struct conf_reader *r, struct config_listen *l, yaml_node_t *value)
{
	if (value->type != YAML_SCALAR_NODE || !sp_addr_parse(conf_scalar(value), &l->address) ||
	    (sp_addr_family(&l->address) == AF_UNIX && l->address.un.sun_path[0] != '/'))
		conf_problem(r, value, "listen.address: takes 127.0.0.1:2525, [::1]:2525 or unix:/run/strictpost/submit.sock");
}

/* As chmod(1) has it: "0660". */
static void read_mode(struct conf_reader *r, struct config_listen *l, yaml_node_t *value)
{
	struct sp_str s = value->type == YAML_SCALAR_NODE ? conf_scalar(value) : SP_STR("");
	unsigned mode = 0;
	bool ok = s.len >= 3 && s.len <= 4;
	for (size_t i = 0; ok && i < s.len; i++) {
		ok = s.p[i] >= '0' && s.p[i] <= '7';
		mode = mode * 8 + (unsigned)(s.p[i] - '0');
	}
	if (!ok || mode > 0777)
		conf_problem(r, value, "listen.unix_mode: takes the permission bits of the socket, such as 0660");
	else
		l->unix_mode = mode;
}

static void read_bool(struct conf_reader *r, const char *name, bool *to, yaml_node_t *value)
{
	if (value->type != YAML_SCALAR_NODE || !config_bool(conf_scalar(value), to))
		conf_problem(r, value, "%s: takes yes or no", name);
}

static struct config_nets *nets_of(struct config_listen *l, struct sp_str key)
{
	return sp_str_eq(key, SP_STR("allow")) ? &l->allow : sp_str_eq(key, SP_STR("bare_lf")) ? &l->bare_lf :
	       sp_str_eq(key, SP_STR("xclient")) ? &l->xclient : sp_str_eq(key, SP_STR("proxy")) ? &l->proxy : NULL;
}

static bool read_nets(struct conf_reader *r, struct config_listen *l, struct sp_str key, yaml_node_t *value)
{
	static const char *const names[] = { "listen.allow", "listen.bare_lf", "listen.xclient", "listen.proxy" };
	struct config_nets *nets = nets_of(l, key);
	for (size_t i = 0; nets && i < SP_COUNT(names); i++)
		if (sp_str_eq(key, sp_str_of(names[i] + strlen("listen."))))
			conf_read_nets(r, names[i], nets, value);
	return nets != NULL;
}

static bool read_listen_key(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value)
{
	struct config_listen *l = item;
	unsigned word = 0;
	if (sp_str_eq(key, SP_STR("address"))) {
		read_address(r, l, value);
	} else if (sp_str_eq(key, SP_STR("unix_mode"))) {
		read_mode(r, l, value);
	} else if (sp_str_eq(key, SP_STR("tls"))) {
		conf_read_word(r, "listen.tls", &word, tls_words, SP_COUNT(tls_words), value);
		l->tls = (enum config_listen_tls)word;
	} else if (sp_str_eq(key, SP_STR("tls_required"))) {
		read_bool(r, "listen.tls_required", &l->tls_required, value);
	} else if (sp_str_eq(key, SP_STR("certificate"))) {
		conf_read_path(r, "listen.certificate", &l->certificate, value);
	} else if (sp_str_eq(key, SP_STR("key"))) {
		conf_read_path(r, "listen.key", &l->key, value);
	} else if (sp_str_eq(key, SP_STR("tls_client_ca"))) {
		conf_read_path(r, "listen.tls_client_ca", &l->client_ca, value);
	} else if (sp_str_eq(key, SP_STR("tickets"))) {
		read_bool(r, "listen.tickets", &l->tickets, value);
	} else if (sp_str_eq(key, SP_STR("auth"))) {
		conf_read_word(r, "listen.auth", &word, auth_words, SP_COUNT(auth_words), value);
		l->auth = (enum config_listen_auth)word;
	} else {
		return read_nets(r, l, key, value);
	}
	return true;
}

/* --- items --- */

static struct config_listen *add_listen(struct config *c)
{
	c->listen.items = sp_realloc(c->listen.items, (c->listen.count + 1) * sizeof(*c->listen.items));
	struct config_listen *l = &c->listen.items[c->listen.count++];
	*l = (struct config_listen){ .unix_mode = UNIX_MODE, .tickets = true, .certificate = sp_strdup(""), .key = sp_strdup(""), .client_ca = sp_strdup("") };
	l->address.sa.sa_family = AF_UNSPEC;
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
	conf_listen_check(r);
}

static void clear_listen(struct config *c)
{
	for (size_t i = 0; i < c->listen.count; i++) {
		struct config_listen *l = &c->listen.items[i];
		struct config_nets *const nets[] = { &l->allow, &l->bare_lf, &l->xclient, &l->proxy };
		for (size_t n = 0; n < SP_COUNT(nets); n++)
			conf_nets_clear(nets[n]);
		core_tls_server_unref(l->server);
		free(l->certificate);
		free(l->key);
		free(l->client_ca);
	}
	free(c->listen.items);
}

/* --- printing --- */

static void print_nets(const char *key, const struct config_nets *nets, struct sp_buf *out)
{
	sp_buf_printf(out, "    %s: ", key);
	conf_nets_print(nets, out);
	sp_buf_addc(out, '\n');
}

static void print_path(const char *key, const char *path, struct sp_buf *out)
{
	if (*path == '\0')
		return;
	sp_buf_printf(out, "    %s: ", key);
	conf_print_string(path, out);
	sp_buf_addc(out, '\n');
}

/* What counts at an address. A unix socket has none of it. */
static void print_at_address(const struct config_listen *l, struct sp_buf *out)
{
	print_nets("allow", &l->allow, out);
	print_nets("bare_lf", &l->bare_lf, out);
	sp_buf_printf(out, "    tls: %s\n    tls_required: %s\n", tls_words[l->tls], l->tls_required ? "yes" : "no");
	print_path("certificate", l->certificate, out);
	print_path("key", l->key, out);
	print_path("tls_client_ca", l->client_ca, out);
	sp_buf_printf(out, "    tickets: %s\n    auth: %s\n", l->tickets ? "yes" : "no", auth_words[l->auth]);
	print_nets("xclient", &l->xclient, out);
	print_nets("proxy", &l->proxy, out);
}

static void print_listen(const struct config *c, struct sp_buf *out)
{
	char text[SP_ADDR_TEXT];
	sp_buf_adds(out, "listen:\n");
	for (size_t i = 0; i < c->listen.count; i++) {
		const struct config_listen *l = &c->listen.items[i];
		sp_buf_adds(out, "  - address: ");
		conf_print_string(sp_addr_str(&l->address, text), out);
		sp_buf_addc(out, '\n');
		if (sp_addr_family(&l->address) == AF_UNIX)
			sp_buf_printf(out, "    unix_mode: \"%04o\"\n", l->unix_mode);
		else
			print_at_address(l, out);
	}
}

static const struct conf_help help[] = {
	{ "listen[].address", "address", "127.0.0.1:2525", "where clients connect: host:port, [v6]:port or unix:/path" },
	{ "listen[].unix_mode", "mode", "0660", "of a unix socket: who may open it may relay" },
	{ "listen[].allow", "networks", "127.0.0.0/8, ::1/128", "who may relay by address; default with auth: required: nobody" },
	{ "listen[].bare_lf", "networks", "(empty)", "whose bare LF is made CRLF; everybody else's is refused" },
	{ "listen[].tls", "word", "none", "none, starttls, or implicit: from the first octet (port 465)" },
	{ "listen[].tls_required", "yes/no", "no", "no mail in clear" },
	{ "listen[].certificate", "path", "(empty)", "PEM: the server's certificate, then those that lead to its root; reread when it changes" },
	{ "listen[].key", "path", "(empty)", "PEM: its private key; empty: in the same file" },
	{ "listen[].tls_client_ca", "path", "(empty)", "PEM: who shows a certificate of these authorities may relay" },
	{ "listen[].tickets", "yes/no", "yes", "TLS sessions may be resumed; never with tls_client_ca" },
	{ "listen[].auth", "word", "none", "none, offered or required: log in under TLS, against auth.users_file" },
	{ "listen[].xclient", "networks", "(empty)", "whose XCLIENT is believed: filters and proxies that say who the client is" },
	{ "listen[].proxy", "networks", "(empty)", "who must begin with the PROXY protocol (v1 or v2): load balancers" },
	{ NULL },
};

const struct conf_list conf_list_listen = { "listen", read_listen, finish, clear_listen, print_listen, NULL, help };

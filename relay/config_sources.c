/* relay/config_sources.c - `source`: which of our addresses sessions come from, by sender, and what we call ourselves there. See config_lists.h. */
#include "relay/config_lists.h"

#include "core/conn.h"
#include "relay/config_rows.h"

#include <stdlib.h>

#define SOURCE_KEYS " name addresses hostname senders"
#define NAME_MAX_CHARACTERS 63
#define SENDERS_MAX 1000

static void set_name(struct conf_reader *r, struct config_source *s, yaml_node_t *value)
{
	conf_read_text(r, "source.name", &s->name, NAME_MAX_CHARACTERS, value);
	for (const char *p = s->name; p && *p; p++) {
		if (!sp_is_alnum(*p) && *p != '-') {
			conf_problem(r, value, "source.name: '%s' has something other than letters, digits and \"-\"", s->name);
			return;
		}
	}
}

static void add_address(struct conf_reader *r, struct config_source *s, yaml_node_t *item)
{
	struct sp_addr a;
	if (item->type != YAML_SCALAR_NODE || !sp_addr_parse_ip(conf_scalar(item), 0, &a)) {
		conf_problem(r, item, "source.addresses: an item is not an address such as 192.0.2.10 or \"2001:db8::10\"");
		return;
	}
	struct sp_addr *at = sp_addr_family(&a) == AF_INET6 ? &s->v6 : &s->v4;
	if (sp_addr_family(at) != AF_UNSPEC)
		conf_problem(r, item, "source.addresses: takes one address of each family; make another source for another address");
	else
		*at = a;
}

static void add_sender(struct conf_reader *r, struct config_source *s, yaml_node_t *item)
{
	char *sender = NULL;
	conf_read_sender(r, "source.senders", &sender, item);
	if (sender == NULL)
		return;
	s->senders = sp_realloc(s->senders, (s->sender_count + 1) * sizeof(*s->senders));
	s->senders[s->sender_count++] = sender;
}

static void read_items(struct conf_reader *r, struct config_source *s, const char *name, const char *what, yaml_node_t *value,
                       void (*add)(struct conf_reader *r, struct config_source *s, yaml_node_t *item))
{
	if (value->type != YAML_SEQUENCE_NODE) {
		conf_problem(r, value, "%s: takes a list of %s", name, what);
		return;
	}
	for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top && !conf_enough(r); i++)
		add(r, s, yaml_document_get_node(r->doc, *i));
}

static bool read_source_key(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value)
{
	struct config_source *s = item;
	if (sp_str_eq(key, SP_STR("name")))
		set_name(r, s, value);
	else if (sp_str_eq(key, SP_STR("addresses")))
		read_items(r, s, "source.addresses", "addresses", value, add_address);
	else if (sp_str_eq(key, SP_STR("hostname")))
		conf_read_domain(r, "source.hostname", &s->hostname, value);
	else if (sp_str_eq(key, SP_STR("senders")))
		read_items(r, s, "source.senders", "domains and addresses", value, add_sender);
	else
		return false;
	return true;
}

static bool has_sender(const struct config_source *s, size_t count, const char *sender)
{
	for (size_t i = 0; i < count; i++)
		if (sp_str_eq_nocase(sp_str_of(s->senders[i]), sp_str_of(sender)))
			return true;
	return false;
}

/* The last entry: each of its senders is in one place only. */
static void check_senders(struct conf_reader *r, yaml_node_t *item)
{
	const struct config *c = r->c;
	const struct config_source *s = &c->sources.items[c->sources.count - 1];
	for (size_t k = 0; k < s->sender_count && !conf_enough(r); k++) {
		bool there = has_sender(s, k, s->senders[k]);
		for (size_t i = 0; i + 1 < c->sources.count; i++)
			there |= has_sender(&c->sources.items[i], c->sources.items[i].sender_count, s->senders[k]);
		if (there)
			conf_problem(r, item, "source: the sender %s is there twice", s->senders[k]);
	}
}

static void check_source(struct conf_reader *r, yaml_node_t *item)
{
	const struct config *c = r->c;
	const struct config_source *s = &c->sources.items[c->sources.count - 1];
	if (sp_addr_family(&s->v4) == AF_UNSPEC && sp_addr_family(&s->v6) == AF_UNSPEC && *s->hostname == '\0')
		conf_problem(r, item, "source: '%s' has neither addresses nor a hostname of its own", s->name);
	for (size_t i = 0; i + 1 < c->sources.count; i++) {
		const struct config_source *other = &c->sources.items[i];
		if (other->name && strcmp(s->name, other->name) == 0)
			conf_problem(r, item, "source: the name %s is there twice", s->name);
		if (s->sender_count == 0 && other->sender_count == 0)
			conf_problem(r, item, "source: only one can be for all senders, and %s is; give this one `senders`", other->name ? other->name : "another");
	}
	check_senders(r, item);
}

static void read_source(struct conf_reader *r, yaml_node_t *item)
{
	struct config *c = r->c;
	unsigned before = r->count;
	c->sources.items = sp_realloc(c->sources.items, (c->sources.count + 1) * sizeof(*c->sources.items));
	struct config_source *s = &c->sources.items[c->sources.count++];
	*s = (struct config_source){ .hostname = sp_strdup("") };
	conf_read_group(r, item, "source", SOURCE_KEYS, read_source_key, s);
	if (r->count > before)
		return;
	if (s->name == NULL)
		conf_problem(r, item, "source: an item needs a name");
	else if (s->sender_count > SENDERS_MAX)
		conf_problem(r, item, "source: '%s' has more than %d senders", s->name, SENDERS_MAX);
	else
		check_source(r, item);
}

static void clear_sources(struct config *c)
{
	for (size_t i = 0; i < c->sources.count; i++) {
		struct config_source *s = &c->sources.items[i];
		for (size_t k = 0; k < s->sender_count; k++)
			free(s->senders[k]);
		free(s->senders);
		free(s->name);
		free(s->hostname);
	}
	free(c->sources.items);
}

static void print_source(const struct config_source *s, struct sp_buf *out)
{
	char text[SP_ADDR_TEXT];
	const struct sp_addr *addresses[] = { &s->v4, &s->v6 };
	sp_buf_printf(out, "  - name: \"%s\"\n    addresses: [", s->name);
	for (size_t i = 0, n = 0; i < SP_COUNT(addresses); i++)
		if (sp_addr_family(addresses[i]) != AF_UNSPEC)
			sp_buf_printf(out, "%s\"%s\"", n++ ? ", " : "", sp_addr_ip_str(addresses[i], text));
	sp_buf_adds(out, "]\n");
	if (*s->hostname)
		sp_buf_printf(out, "    hostname: \"%s\"\n", s->hostname);
	sp_buf_adds(out, "    senders: [");
	for (size_t i = 0; i < s->sender_count; i++) {
		sp_buf_adds(out, i ? ", " : "");
		conf_print_string(s->senders[i], out);
	}
	sp_buf_adds(out, "]\n");
}

static void print_sources(const struct config *c, struct sp_buf *out)
{
	sp_buf_adds(out, c->sources.count ? "source:\n" : "source: []\n");
	for (size_t i = 0; i < c->sources.count; i++)
		print_source(&c->sources.items[i], out);
}

/* Bound at each connection, and refused by the system where they are not ours. */
static void warn_of_addresses(const struct config *c, struct sp_buf *out)
{
	char text[SP_ADDR_TEXT];
	struct sp_fail why;
	for (size_t i = 0; i < c->sources.count; i++) {
		const struct config_source *s = &c->sources.items[i];
		const struct sp_addr *addresses[] = { &s->v4, &s->v6 };
		for (size_t k = 0; k < SP_COUNT(addresses); k++)
			if (sp_addr_family(addresses[k]) != AF_UNSPEC && core_listener_probe(addresses[k], &why) != 0)
				sp_buf_printf(out, "source: '%s': %s is not an address of this machine, so mail from there waits\n", s->name,
				              sp_addr_ip_str(addresses[k], text));
	}
}

static const struct conf_help help[] = {
	{ "source[].name", "name", "(none)", "letters, digits, hyphens; part of the names of destinations, and in the log" },
	{ "source[].addresses", "addresses", "(empty)", "that sessions come from, one of each family; what is not there the system chooses" },
	{ "source[].hostname", "domain", "hostname", "EHLO from there; the addresses should resolve back to it" },
	{ "source[].senders", "list", "(empty)", "domains or addresses whose mail comes from there; empty: all mail that no other entry has" },
	{ NULL },
};

const struct conf_list conf_list_sources = { "source", read_source, NULL, clear_sources, print_sources, warn_of_addresses, help };

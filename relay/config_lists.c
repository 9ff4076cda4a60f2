/* relay/config_lists.c - see config_lists.h. */
#include "relay/config_lists.h"

#include "relay/config_origin.h"
#include "relay/config_rows.h"

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

void conf_read_group(struct conf_reader *r, yaml_node_t *group, const char *list, const char *known, conf_read_key read, void *item)
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

void conf_read_nets(struct conf_reader *r, const char *name, struct config_nets *nets, yaml_node_t *value)
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

static yaml_node_t *value_of(const struct conf_reader *r, const yaml_node_t *map, const char *key)
{
	if (map == NULL || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *i = map->data.mapping.pairs.start; i < map->data.mapping.pairs.top; i++) {
		const yaml_node_t *k = yaml_document_get_node(r->doc, i->key);
		if (k->type == YAML_SCALAR_NODE && sp_str_eq(conf_scalar(k), sp_str_of(key)))
			return yaml_document_get_node(r->doc, i->value);
	}
	return NULL;
}

yaml_node_t *conf_list_value(const struct conf_reader *r, const char *list, size_t item, const char *key)
{
	const yaml_node_t *items = value_of(r, yaml_document_get_root_node(r->doc), list);
	if (items == NULL || items->type != YAML_SEQUENCE_NODE || item >= (size_t)(items->data.sequence.items.top - items->data.sequence.items.start))
		return NULL;
	yaml_node_t *one = yaml_document_get_node(r->doc, items->data.sequence.items.start[item]);
	return key ? value_of(r, one, key) : one;
}

void conf_file(struct conf_reader *r, const char *path)
{
	config_origin_file(r->c->origin, path);
}

/* --- all of them --- */

/* In the order of `strictpost config show`. */
static const struct conf_list *const lists[] = { &conf_list_listen, &conf_list_routes, &conf_list_sources, &conf_list_domains, &conf_list_dkim };

static void read_items(struct conf_reader *r, const struct conf_list *list, yaml_node_t *value)
{
	if (value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0)
		return;                         /* "routes:" with nothing under it: the default */
	if (value->type != YAML_SEQUENCE_NODE) {
		conf_problem(r, value, "%s: takes a list of groups", list->name);
		return;
	}
	for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top && !conf_enough(r); i++)
		list->read(r, yaml_document_get_node(r->doc, *i));
}

bool conf_lists_read(struct conf_reader *r, struct sp_str key, yaml_node_t *value)
{
	for (size_t i = 0; i < SP_COUNT(lists); i++) {
		if (!sp_str_eq(key, sp_str_of(lists[i]->name)))
			continue;
		read_items(r, lists[i], value);
		return true;
	}
	return false;
}

void conf_lists_finish(struct conf_reader *r)
{
	for (size_t i = 0; i < SP_COUNT(lists); i++)
		if (lists[i]->finish)
			lists[i]->finish(r);
}

void conf_lists_clear(struct config *c)
{
	for (size_t i = 0; i < SP_COUNT(lists); i++)
		lists[i]->clear(c);
}

void conf_lists_print(const struct config *c, struct sp_buf *out)
{
	for (size_t i = 0; i < SP_COUNT(lists); i++)
		lists[i]->print(c, out);
}

void conf_lists_warn(const struct config *c, struct sp_buf *out)
{
	for (size_t i = 0; i < SP_COUNT(lists); i++)
		if (lists[i]->warn)
			lists[i]->warn(c, out);
}

void conf_lists_print_rows(struct sp_buf *out)
{
	for (size_t i = 0; i < SP_COUNT(lists); i++)
		for (const struct conf_help *h = lists[i]->help; h->key; h++)
			sp_buf_printf(out, "%-32s %-10s %-28s %s\n", h->key, h->type, h->def, h->text);
}

void conf_lists_names(struct sp_buf *out)
{
	for (size_t i = 0; i < SP_COUNT(lists); i++)
		sp_buf_printf(out, " %s", lists[i]->name);
}

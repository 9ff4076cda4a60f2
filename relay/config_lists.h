/* relay/config_lists.h - the parts of the configuration that are lists of groups, each in a file of its own (config_listen.c, config_routes.c ...), and
 * what reading them shares. For config.c and these files. */
#ifndef RELAY_CONFIG_LISTS_H
#define RELAY_CONFIG_LISTS_H

#include "relay/config.h"

#include <yaml.h>

#define CONF_PROBLEMS_MAX 100           /* told; then reading stops */

struct conf_seen {                      /* of a row */
	const yaml_node_t *at;          /* its value in the file; NULL: it is not there */
	bool bad;                       /* its problem is told */
};

struct conf_reader {
	struct config *c;
	yaml_document_t *doc;
	const char *name;               /* of the file */
	struct sp_buf *problems;
	unsigned count;                 /* of problems */
	struct conf_seen *rows;         /* conf_row_count */
};

/* One line, "name:line: text". `at` NULL: about what the file does not hold. */
void conf_problem(struct conf_reader *r, const yaml_node_t *at, const char *fmt, ...) SP_PRINTF(3, 4);
static inline bool conf_enough(const struct conf_reader *r) { return r->count > CONF_PROBLEMS_MAX; }
const struct conf_seen *conf_row_seen(const struct conf_reader *r, const char *path);   /* of a row that there is */
struct sp_str conf_scalar(const yaml_node_t *n);
/* Does the key of `at`, a plain word, stand before it in `map` already? */
bool conf_is_repeat(const struct conf_reader *r, const yaml_node_t *map, const yaml_node_pair_t *at);

/* One key of an item. False: there is no such key; else it was read, or its problem told. */
typedef bool (*conf_read_key)(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value);
/* The keys of one item of `list`, each once; `known` names them all, " address allow", for texts. */
void conf_read_group(struct conf_reader *r, yaml_node_t *group, const char *list, const char *known, conf_read_key read, void *item);
/* A list of networks, in place of what is there. `name`: the whole key, for texts. */
void conf_read_nets(struct conf_reader *r, const char *name, struct config_nets *nets, yaml_node_t *value);

/* Values of items. `name`: the whole key, for texts. Each tells its problem, and leaves *out as it was then. Strings are malloc'd, in place of what was there. */
void conf_read_text(struct conf_reader *r, const char *name, char **out, size_t max, yaml_node_t *value);        /* 1 to `max` printable characters */
void conf_read_path(struct conf_reader *r, const char *name, char **out, yaml_node_t *value);                    /* absolute */
void conf_read_domain(struct conf_reader *r, const char *name, char **out, yaml_node_t *value);                  /* A-labels, lower case */
void conf_read_sender(struct conf_reader *r, const char *name, char **out, yaml_node_t *value);                  /* the same, or an address there */
void conf_read_rate(struct conf_reader *r, const char *name, struct config_rate *out, yaml_node_t *value);
void conf_read_count(struct conf_reader *r, const char *name, int64_t *out, int64_t max, yaml_node_t *value);    /* 1 to `max` */
void conf_read_word(struct conf_reader *r, const char *name, unsigned *out, const char *const *words, size_t count, yaml_node_t *value);
/* The value of `key` in the item number `item` of `list`; the item itself where `key` is NULL. NULL: it is not there. For `finish`, when all is known. */
yaml_node_t *conf_list_value(const struct conf_reader *r, const char *list, size_t item, const char *key);
/* Notes how a file that is about to be read is now (config_files_changed()). */
void conf_file(struct conf_reader *r, const char *path);

struct conf_help { const char *key, *type, *def, *text; };      /* a line of `strictpost config keys` */

struct conf_list {
	const char *name;
	void (*read)(struct conf_reader *r, yaml_node_t *item);
	void (*finish)(struct conf_reader *r);          /* when all is read: defaults, and checks against the rest; NULL: nothing to do */
	void (*clear)(struct config *c);
	void (*print)(const struct config *c, struct sp_buf *out);      /* as YAML, every key of every item, but for defaults that cannot be written */
	void (*warn)(const struct config *c, struct sp_buf *out);       /* for config_warnings(); NULL: nothing to say */
	const struct conf_help *help;                   /* up to one without key */
};
extern const struct conf_list conf_list_listen, conf_list_routes, conf_list_sources, conf_list_domains, conf_list_dkim;

/* config_admin.c */
void conf_admin_check(struct conf_reader *r);           /* admin.http, and the token that it needs; reads it */
void conf_admin_clear(struct config *c);
void conf_admin_warnings(const struct config *c, struct sp_buf *out);

/* config_domains.c: entries that have ended. */
void conf_domains_warnings(const struct config *c, int64_t now_s, struct sp_buf *out);

/* True if `key` is one of ours; then it was read, or its problems told. */
SP_NODISCARD bool conf_lists_read(struct conf_reader *r, struct sp_str key, yaml_node_t *value);
void conf_lists_finish(struct conf_reader *r);
void conf_lists_clear(struct config *c);
void conf_lists_print(const struct config *c, struct sp_buf *out);
void conf_lists_warn(const struct config *c, struct sp_buf *out);
void conf_lists_names(struct sp_buf *out);      /* " listen routes ...", for texts */
void conf_lists_print_rows(struct sp_buf *out);

#endif

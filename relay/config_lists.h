/* relay/config_lists.h - the parts of the configuration that are lists of groups: listen, routes and dkim; and what reading shares.
 * Used by config.c only. */
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
struct sp_str conf_scalar(const yaml_node_t *n);
/* Does the key of `at`, a plain word, stand before it in `map` already? */
bool conf_is_repeat(const struct conf_reader *r, const yaml_node_t *map, const yaml_node_pair_t *at);

/* True if `key` is one of ours; then it was read, or its problems told. */
SP_NODISCARD bool conf_lists_read(struct conf_reader *r, struct sp_str key, yaml_node_t *value);
void conf_lists_finish(struct conf_reader *r);          /* the defaults of what is not there */
void conf_lists_clear(struct config *c);
void conf_lists_print(const struct config *c, struct sp_buf *out);
void conf_lists_print_rows(struct sp_buf *out);

#endif

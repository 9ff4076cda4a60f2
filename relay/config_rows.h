/* relay/config_rows.h - the rows: every key that is one value, with type, place, default, range and meaning. Lists of mappings
 * (listen, routes, dkim) stand in config_lists.h. Used by config.c only. */
#ifndef RELAY_CONFIG_ROWS_H
#define RELAY_CONFIG_ROWS_H

#include "relay/config.h"

enum conf_type { CONF_STRING, CONF_INT, CONF_SIZE, CONF_DURATION, CONF_BOOL, CONF_FLOAT, CONF_WORD, CONF_NETS, CONF_ADDRS, CONF_RATE };

struct conf_row {
	const char *path;               /* "limits.message_size" */
	enum conf_type type;
	size_t at;                      /* offset in struct config */
	const char *def;                /* default, as written; "" is empty */
	int64_t min, max;               /* in ms, octets or counts; for FLOAT in thousandths */
	const char *const *words;       /* WORD: the choices, NULL at the end; their index, plus `min`, is the value */
	const char *help;
};
extern const struct conf_row conf_rows[];
extern const size_t conf_row_count;

const struct conf_row *conf_row_find(struct sp_str path);
/* Is `path` the name of a group ("limits")? */
bool conf_is_group(struct sp_str path);

/* Sets the row's member from text (not for NETS and ADDRS). False with a sentence in `why`. */
SP_NODISCARD bool conf_set(struct config *c, const struct conf_row *row, struct sp_str text, struct sp_buf *why);
/* Adds an item to a NETS or ADDRS row. */
SP_NODISCARD bool conf_add(struct config *c, const struct conf_row *row, struct sp_str item, struct sp_buf *why);
void conf_set_default(struct config *c, const struct conf_row *row);
void conf_clear(struct config *c, const struct conf_row *row);                  /* frees; as zeroed */
void conf_print(const struct config *c, const struct conf_row *row, struct sp_buf *out);        /* the value, as YAML */
const char *conf_type_str(enum conf_type t);

/* What a problem shows of a text: its start, for a problem must fit its line. */
static inline struct sp_str conf_shown(struct sp_str text) { return sp_str_make(text.p, sp_min(text.len, 100)); }

void conf_nets_clear(struct config_nets *n);
SP_NODISCARD bool conf_nets_add(struct config_nets *n, struct sp_str item, struct sp_buf *why);
void conf_nets_print(const struct config_nets *n, struct sp_buf *out);
void conf_print_string(const char *s, struct sp_buf *out);                      /* as a YAML scalar, quoted where needed */

#endif

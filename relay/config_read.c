/* relay/config_read.c - single values of the items in lists: see config_lists.h. */
#include "relay/config_lists.h"

#include "relay/config_rows.h"
#include "relay/config_value.h"
#include "smtp/address.h"

#include <inttypes.h>
#include <stdlib.h>

#define PATH_CHARACTERS 4000

static bool is_scalar(const yaml_node_t *value)
{
	return value->type == YAML_SCALAR_NODE;
}

static void replace(char **out, struct sp_str s)
{
	free(*out);
	*out = sp_str_dup(s);
}

static bool is_printable(struct sp_str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

void conf_read_text(struct conf_reader *r, const char *name, char **out, size_t max, yaml_node_t *value)
{
	if (!is_scalar(value) || conf_scalar(value).len < 1 || conf_scalar(value).len > max || !is_printable(conf_scalar(value)))
		conf_problem(r, value, "%s: takes 1 to %zu printable characters", name, max);
	else
		replace(out, conf_scalar(value));
}

void conf_read_path(struct conf_reader *r, const char *name, char **out, yaml_node_t *value)
{
	if (!is_scalar(value) || !sp_str_starts(conf_scalar(value), SP_STR("/")) || conf_scalar(value).len > PATH_CHARACTERS ||
	    !is_printable(conf_scalar(value)))
		conf_problem(r, value, "%s: takes the absolute path of a file", name);
	else
		replace(out, conf_scalar(value));
}

void conf_read_domain(struct conf_reader *r, const char *name, char **out, yaml_node_t *value)
{
	const char *why = "takes a domain, such as example.com";
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *domain = is_scalar(value) ? smtp_domain_ascii(conf_scalar(value), &arena, &why) : NULL;
	if (domain)
		replace(out, sp_str_of(domain));
	else
		conf_problem(r, value, "%s: %s", name, why);
	sp_arena_clear(&arena);
}

void conf_read_sender(struct conf_reader *r, const char *name, char **out, yaml_node_t *value)
{
	if (!is_scalar(value) || !sp_str_contains(conf_scalar(value), '@')) {
		conf_read_domain(r, name, out, value);
		return;
	}
	const char *why = NULL;
	struct smtp_address a;
	struct sp_arena arena = SP_ARENA_EMPTY;
	if (!smtp_address_parse(conf_scalar(value), true, &arena, &a, &why))
		conf_problem(r, value, "%s: %s", name, why);
	else if (a.literal)
		conf_problem(r, value, "%s: takes no address literal", name);
	else
		replace(out, sp_str_of(sp_arena_printf(&arena, "%s@%s", a.local, a.domain)));
	sp_arena_clear(&arena);
}

void conf_read_rate(struct conf_reader *r, const char *name, struct config_rate *out, yaml_node_t *value)
{
	struct config_rate rate;
	if (is_scalar(value) && config_rate(conf_scalar(value), &rate.count, &rate.per_ms))
		*out = rate;
	else
		conf_problem(r, value, "%s: takes a rate such as 100/1m, or 0 for no limit", name);
}

void conf_read_count(struct conf_reader *r, const char *name, int64_t *out, int64_t max, yaml_node_t *value)
{
	uint64_t n;
	if (is_scalar(value) && sp_str_number(conf_scalar(value), 1, (uint64_t)max, &n))
		*out = (int64_t)n;
	else
		conf_problem(r, value, "%s: takes a number from 1 to %" PRId64, name, max);
}

void conf_read_word(struct conf_reader *r, const char *name, unsigned *out, const char *const *words, size_t count, yaml_node_t *value)
{
	for (size_t i = 0; i < count; i++) {
		if (words[i] && is_scalar(value) && sp_str_eq_nocase(conf_scalar(value), sp_str_of(words[i]))) {
			*out = (unsigned)i;
			return;
		}
	}
	struct sp_buf known;
	sp_buf_init(&known, 1024);
	for (size_t i = 0; i < count; i++)
		if (words[i])
			sp_buf_printf(&known, " %s", words[i]);
	conf_problem(r, value, "%s: takes one of:%s", name, sp_buf_cstr(&known));
	sp_buf_clear(&known);
}

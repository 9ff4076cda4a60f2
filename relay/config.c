/* relay/config.c - see config.h. libyaml gives the document with the line of every node; we walk it along the rows.
 * We take libyaml itself, not libcyaml over it: libcyaml stops at the first fault, and an operator wants to see all of them. */
#include "relay/config.h"

#include "core/dnsmsg.h"
#include "relay/config_identity.h"
#include "relay/config_lists.h"
#include "relay/config_origin.h"
#include "relay/config_rows.h"
#include "relay/users.h"
#include "smtp/address.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <yaml.h>

#define FILE_MAX_OCTETS (16 * 1024 * 1024)      /* 100,000 entries of `domains` */

struct counted_config {
	struct config c;                /* first: the two are one object */
	atomic_uint refs;
};

static struct config *config_new(struct sp_str text, const char *name)
{
	struct counted_config *cc = sp_alloc(sizeof(*cc));
	atomic_init(&cc->refs, 1);
	cc->c.origin = config_origin_new(text, name);
	for (size_t i = 0; i < conf_row_count; i++)
		conf_set_default(&cc->c, &conf_rows[i]);
	return &cc->c;
}

struct config *config_ref(struct config *c)
{
	atomic_fetch_add(&((struct counted_config *)c)->refs, 1);
	return c;
}

void config_unref(struct config *c)
{
	if (c == NULL || atomic_fetch_sub(&((struct counted_config *)c)->refs, 1) != 1)
		return;
	for (size_t i = 0; i < conf_row_count; i++)
		conf_clear(c, &conf_rows[i]);
	conf_lists_clear(c);
	conf_identity_clear(c);
	users_unref(c->auth.users);
	conf_admin_clear(c);
	config_origin_free(c->origin);
	free(c);
}

/* `path` + "." + key; "" + key at the root. */
static void join_path(struct sp_buf *out, const char *path, struct sp_str key)
{
	sp_buf_printf(out, "%s%s%.*s", path, *path ? "." : "", SP_STR_ARG(key));
}

static void read_mapping(struct conf_reader *r, yaml_node_t *map, const char *path);

static void read_list_row(struct conf_reader *r, const struct conf_row *row, yaml_node_t *value)
{
	if (value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0)
		return;                         /* "servers:" with nothing behind it: the default */
	if (value->type != YAML_SEQUENCE_NODE) {
		conf_problem(r, value, "%s: takes a list, such as [a, b]", row->path);
		return;
	}
	conf_clear(r->c, row);
	conf_set_default(r->c, row);
	for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top && !conf_enough(r); i++) {
		yaml_node_t *item = yaml_document_get_node(r->doc, *i);
		struct sp_buf why;
		sp_buf_init(&why, 2048);
		if (item->type != YAML_SCALAR_NODE)
			conf_problem(r, item, "%s: an item is not a plain value", row->path);
		else if (!conf_add(r->c, row, conf_scalar(item), &why))
			conf_problem(r, item, "%s", sp_buf_cstr(&why));
		sp_buf_clear(&why);
	}
}

static void read_row_value(struct conf_reader *r, const struct conf_row *row, yaml_node_t *value)
{
	if (row->type == CONF_NETS || row->type == CONF_ADDRS) {
		read_list_row(r, row, value);
		return;
	}
	struct sp_buf why;
	sp_buf_init(&why, 2048);
	if (value->type != YAML_SCALAR_NODE)
		conf_problem(r, value, "%s: takes one value, not a list or a group", row->path);
	else if (!conf_set(r->c, row, conf_scalar(value), &why))
		conf_problem(r, value, "%s", sp_buf_cstr(&why));
	sp_buf_clear(&why);
}

static void read_row(struct conf_reader *r, const struct conf_row *row, yaml_node_t *value)
{
	unsigned before = r->count;
	read_row_value(r, row, value);
	r->rows[row - conf_rows] = (struct conf_seen){ .at = value, .bad = r->count > before };
}

static void unknown_key(struct conf_reader *r, yaml_node_t *key, const char *path)
{
	struct sp_buf known;
	sp_buf_init(&known, 2048);
	size_t skip = strlen(path) + (*path != '\0');
	struct sp_str last = SP_STR("");
	for (size_t i = 0; i < conf_row_count; i++) {
		struct sp_str p = sp_str_of(conf_rows[i].path);
		if (!sp_str_starts(p, sp_str_of(path)) || p.len <= skip || (*path && p.p[skip - 1] != '.'))
			continue;
		struct sp_str rest = sp_str_from(p, skip);
		struct sp_str name = sp_take_until(&rest, '.');
		if (!sp_str_eq(name, last))
			sp_buf_printf(&known, " %.*s", SP_STR_ARG(name));
		last = name;
	}
	if (*path == '\0')
		conf_lists_names(&known);
	conf_problem(r, key, "there is no key '%.*s'%s%s; known here:%s", SP_STR_ARG(conf_shown(conf_scalar(key))), *path ? " in " : "", path,
	             sp_buf_cstr(&known));
	sp_buf_clear(&known);
}

static void read_pair(struct conf_reader *r, yaml_node_t *key, yaml_node_t *value, const char *path)
{
	if (sp_str_contains(conf_scalar(key), '.')) {           /* "limits.memory: 1G" would be a second way to say it, and say it twice */
		unknown_key(r, key, path);
		return;
	}
	struct sp_buf full;
	sp_buf_init(&full, 256);
	join_path(&full, path, conf_scalar(key));
	struct sp_str p = sp_buf_str(&full);
	const struct conf_row *row = sp_buf_failed(&full) ? NULL : conf_row_find(p);
	if (row)
		read_row(r, row, value);
	else if (!sp_buf_failed(&full) && conf_is_group(p))
		read_mapping(r, value, sp_buf_cstr(&full));
	else if (*path != '\0' || !conf_lists_read(r, conf_scalar(key), value))
		unknown_key(r, key, path);
	sp_buf_clear(&full);
}

static void read_mapping(struct conf_reader *r, yaml_node_t *map, const char *path)
{
	if (map->type == YAML_SCALAR_NODE && map->data.scalar.length == 0)
		return;                         /* "limits:" with nothing under it */
	if (map->type != YAML_MAPPING_NODE) {
		conf_problem(r, map, "%s: takes a group of keys", *path ? path : "the file");
		return;
	}
	for (yaml_node_pair_t *i = map->data.mapping.pairs.start; i < map->data.mapping.pairs.top && !conf_enough(r); i++) {
		yaml_node_t *key = yaml_document_get_node(r->doc, i->key);
		if (key->type != YAML_SCALAR_NODE)
			conf_problem(r, key, "a key is not a plain word");
		else if (conf_is_repeat(r, map, i))
			conf_problem(r, key, "'%.*s' is there twice", SP_STR_ARG(conf_shown(conf_scalar(key))));
		else
			read_pair(r, key, yaml_document_get_node(r->doc, i->value), path);
	}
}

/* --- what rows cannot say alone --- */

const struct conf_seen *conf_row_seen(const struct conf_reader *r, const char *path)
{
	const struct conf_row *row = conf_row_find(sp_str_of(path));
	sp_assert(row);
	return &r->rows[row - conf_rows];
}

/* Of two rows that do not go together: where to say so, which is where the second one stands in the file, else the first one.
 * A row whose own problem is told has its default, so nothing is said of that. */
static bool both_sound(const struct conf_reader *r, const char *first, const char *second, const yaml_node_t **at)
{
	const struct conf_seen *a = conf_row_seen(r, first), *b = conf_row_seen(r, second);
	*at = b->at ? b->at : a->at;
	return !a->bad && !b->bad;
}

static bool check_hostname(struct conf_reader *r)
{
	struct config *c = r->c;
	const struct conf_seen *row = conf_row_seen(r, "hostname");
	if (row->bad)
		return false;
	const char *from = "hostname", *why;
	if (c->hostname[0] == '\0') {
		struct utsname u;
		free(c->hostname);
		c->hostname = sp_strdup(uname(&u) == 0 ? u.nodename : "");
		from = "hostname is not set, and the system's name";
	}
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *name = smtp_domain_ascii(sp_str_of(c->hostname), &arena, &why);
	bool ok = name && strchr(name, '.') != NULL;
	if (!ok) {
		conf_problem(r, row->at, "%s '%s' is not fully qualified; set hostname: relay.example.com (the name that this relay's address "
		             "resolves back to)", from, c->hostname);
	} else {
		free(c->hostname);
		c->hostname = sp_strdup(name);
	}
	sp_arena_clear(&arena);
	return ok;
}

/* The submitter first: the contact is held against it. */
static void check_report(struct conf_reader *r)
{
	const struct conf_seen *submitter = conf_row_seen(r, "report.submitter"), *contact = conf_row_seen(r, "report.contact");
	if (submitter->bad || contact->bad)
		return;
	struct sp_buf why;
	sp_buf_init(&why, 2048);
	if (!conf_identity_submitter(r->c, &why))
		conf_problem(r, submitter->at, "%s", sp_buf_cstr(&why));
	else if (!conf_identity_contact(r->c, &why))
		conf_problem(r, contact->at ? contact->at : submitter->at, "%s", sp_buf_cstr(&why));
	sp_buf_clear(&why);
}

static void check_probe(struct conf_reader *r)
{
	const struct conf_seen *row = conf_row_seen(r, "resolver.probe");
	const char *name = r->c->resolver.probe;
	if (!row->bad && strcmp(name, ".") != 0 && !core_dns_name_ok(sp_str_of(name)))
		conf_problem(r, row->at, "resolver.probe: '%s' is not a domain name; '.' is the root", name);
}

/* The users, before the listeners ask whether there are any. */
static void read_users(struct conf_reader *r)
{
	const struct conf_seen *file = conf_row_seen(r, "auth.users_file");
	struct sp_fail why;
	if (file->bad || r->c->auth.users_file[0] == '\0')
		return;
	conf_file(r, r->c->auth.users_file);
	r->c->auth.users = users_load(r->c->auth.users_file, &why);
	if (r->c->auth.users == NULL)
		conf_problem(r, file->at, "auth.users_file: %s", why.text);
}

static void check_whole(struct conf_reader *r)
{
	struct config *c = r->c;
	const yaml_node_t *at;
	bool named = check_hostname(r);
	if (c->state_dir[0] != '/')
		conf_problem(r, conf_row_seen(r, "state_dir")->at, "state_dir: '%s' is not an absolute path", c->state_dir);
	check_probe(r);
	if (both_sound(r, "delivery.retry.first", "delivery.retry.max", &at) && c->delivery.retry.max_ms < c->delivery.retry.first_ms)
		conf_problem(r, at, "delivery.retry.max is less than delivery.retry.first");
	if (both_sound(r, "limits.memory", "limits.inline_body", &at) && c->limits.inline_body > c->limits.memory / 4)
		conf_problem(r, at, "limits.inline_body is more than a quarter of limits.memory");
	if (c->delivery.delay_notice_ms >= c->delivery.expire_ms)
		c->delivery.delay_notice_ms = 0;                /* nobody is told of a delay after the bounce */
	if (named)
		check_report(r);
	read_users(r);
	conf_admin_check(r);
	conf_file(r, c->tls.ca_file);
	conf_lists_finish(r);
}

/* Where libyaml stopped. Of what it cannot read at all (not UTF-8) it tells the octet only. */
static size_t line_of(const yaml_parser_t *parser, struct sp_str text)
{
	if (parser->error != YAML_READER_ERROR)
		return parser->problem_mark.line + 1;
	size_t line = 1;
	for (size_t i = 0; i < sp_min(text.len, parser->problem_offset); i++)
		line += text.p[i] == '\n';
	return line;
}

static void not_yaml(const yaml_parser_t *parser, struct sp_str text, const char *name, struct sp_buf *problems)
{
	sp_buf_printf(problems, "%s:%zu: not YAML: %s%s%s\n", name, line_of(parser, text), parser->context ? parser->context : "",
	              parser->context ? ", " : "", parser->problem ? parser->problem : "cannot be read");
}

/* What stands behind the document would be passed over in silence. */
static bool nothing_follows(yaml_parser_t *parser, struct sp_str text, const char *name, struct sp_buf *problems)
{
	yaml_document_t next;
	if (!yaml_parser_load(parser, &next)) {
		not_yaml(parser, text, name, problems);
		return false;
	}
	bool ok = yaml_document_get_root_node(&next) == NULL;
	if (!ok)
		sp_buf_printf(problems, "%s:%zu: a second document begins here; a configuration is one\n", name, next.start_mark.line + 1);
	yaml_document_delete(&next);
	return ok;
}

static bool load_document(struct sp_str text, const char *name, yaml_document_t *doc, struct sp_buf *problems)
{
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser)) {
		sp_buf_printf(problems, "%s: out of memory\n", name);
		return false;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)(text.len ? text.p : ""), text.len);
	bool ok = yaml_parser_load(&parser, doc);
	if (!ok) {
		not_yaml(&parser, text, name, problems);
	} else if (yaml_document_get_root_node(doc) && !nothing_follows(&parser, text, name, problems)) {
		yaml_document_delete(doc);
		ok = false;
	}
	yaml_parser_delete(&parser);
	return ok;
}

struct config *config_parse(struct sp_str text, const char *name, struct sp_buf *problems)
{
	yaml_document_t doc;
	if (!load_document(text, name, &doc, problems))
		return NULL;
	struct conf_reader r = { .c = config_new(text, name), .doc = &doc, .name = name, .problems = problems,
	                         .rows = sp_alloc_array(conf_row_count, sizeof(*r.rows)) };
	yaml_node_t *top = yaml_document_get_root_node(&doc);
	if (top)                                /* an empty file is all defaults */
		read_mapping(&r, top, "");
	if (!conf_enough(&r))
		check_whole(&r);
	yaml_document_delete(&doc);
	free(r.rows);
	if (r.count == 0)
		return r.c;
	config_unref(r.c);
	return NULL;
}

/* The whole file, or NULL with its problem. */
static char *read_text(const char *path, size_t *len, struct sp_buf *problems)
{
	FILE *f = fopen(path, "re");
	if (f == NULL) {
		sp_buf_printf(problems, "%s: cannot be read: %s\n", path, strerror(errno));
		return NULL;
	}
	char *text = sp_alloc(FILE_MAX_OCTETS + 1);
	*len = fread(text, 1, FILE_MAX_OCTETS + 1, f);
	bool whole = !ferror(f) && *len <= FILE_MAX_OCTETS;
	if (ferror(f))
		sp_buf_printf(problems, "%s: cannot be read: %s\n", path, strerror(errno));
	else if (!whole)
		sp_buf_printf(problems, "%s: larger than 16 MiB; is this the right file?\n", path);
	fclose(f);
	if (whole)
		return text;
	free(text);
	return NULL;
}

struct config *config_load(const char *path, struct sp_buf *problems)
{
	size_t len;
	char *text = read_text(path, &len, problems);
	struct config *c = text ? config_parse(sp_str_make(text, len), path, problems) : NULL;
	free(text);
	return c;
}

struct config *config_glance(const char *path, struct sp_buf *problems)
{
	size_t len;
	yaml_document_t doc;
	char *text = read_text(path, &len, problems);
	if (text == NULL || !load_document(sp_str_make(text, len), path, &doc, problems)) {
		free(text);
		return NULL;
	}
	struct sp_buf untold;
	sp_buf_init(&untold, 0);
	struct conf_reader r = { .c = config_new(sp_str_make(text, len), path), .doc = &doc, .name = path, .problems = &untold,
	                         .rows = sp_alloc_array(conf_row_count, sizeof(*r.rows)) };
	yaml_node_t *top = yaml_document_get_root_node(&doc);
	if (top)
		read_mapping(&r, top, "");
	yaml_document_delete(&doc);
	sp_buf_clear(&untold);
	free(r.rows);
	free(text);
	return r.c;
}

struct config *config_reread(const struct config *c, struct sp_buf *problems)
{
	return config_parse(config_origin_text(c->origin), config_origin_name(c->origin), problems);
}

bool config_files_changed(const struct config *c)
{
	return config_origin_changed(c->origin);
}

void config_print(const struct config *c, struct sp_buf *out)
{
	char group[64] = "";
	for (size_t i = 0; i < conf_row_count; i++) {
		const char *path = conf_rows[i].path;
		const char *dot = strrchr(path, '.');
		size_t len = dot ? (size_t)(dot - path) : 0;
		if (len > 0 && (strlen(group) != len || strncmp(group, path, len) != 0)) {
			bool deeper = strchr(path, '.') != dot;
			snprintf(group, sizeof(group), "%.*s", (int)len, path);
			const char *inner = strrchr(group, '.');
			sp_buf_printf(out, "%s%s:\n", deeper ? "  " : "", deeper && inner ? inner + 1 : group);
		}
		unsigned depth = 0;
		for (const char *p = path; *p; p++)
			depth += *p == '.';
		sp_buf_printf(out, "%*s%s: ", (int)depth * 2, "", dot ? dot + 1 : path);
		conf_print(c, &conf_rows[i], out);
		sp_buf_addc(out, '\n');
	}
	conf_lists_print(c, out);
}

void config_print_rows(struct sp_buf *out)
{
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];
		sp_buf_printf(out, "%-32s %-10s %-28s %s\n", row->path, conf_type_str(row->type), *row->def ? row->def : "(empty)", row->help);
	}
	conf_lists_print_rows(out);
}

struct queue_retry config_retry(const struct config *c)
{
	return (struct queue_retry){ .first_ms = c->delivery.retry.first_ms, .max_ms = c->delivery.retry.max_ms,
	                             .growth = c->delivery.retry.growth, .jitter = c->delivery.retry.jitter };
}

int64_t config_longest_wait_ms(const struct config *c)
{
	return 2 * c->delivery.retry.max_ms + 10 * 60 * 1000;           /* jitter may double it; a rate is looked at again every five minutes */
}

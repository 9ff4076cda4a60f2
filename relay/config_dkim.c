/* relay/config_dkim.c - `dkim`: who signs which mail. See config_lists.h. */
#include "relay/config_lists.h"

#include "relay/config_rows.h"
#include "smtp/address.h"
#include "smtp/dkim.h"

#include <stdlib.h>

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
	conf_file(r, d->key_file);
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
	conf_read_group(r, item, "dkim", DKIM_KEYS, read_dkim_key, d);
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

static const struct conf_help help[] = {
	{ "dkim[].domain", "domain", "(none)", "mail From this domain is signed (RFC 6376); that of report.submitter signs reports" },
	{ "dkim[].selector", "name", "(none)", "where its public key is in DNS: selector._domainkey.domain" },
	{ "dkim[].key_file", "path", "(none)", "private key, PEM: RSA or Ed25519; `strictpost dkim keygen` makes one" },
	{ "dkim[].use", "word", "all", "what it signs: all, mail, or reports (for a key whose record says s=tlsrpt)" },
	{ NULL },
};

const struct conf_list conf_list_dkim = { "dkim", read_dkim, NULL, clear_dkim, print_dkim, NULL, help };

/* relay/config_domains.c - `domains`: what an operator knows better about a domain, or a next hop. See config_lists.h and sts/rule.h.
 * What lowers a policy that the domain publishes needs `override`, and then ends by itself and says why it is there. */
#include "relay/config_lists.h"

#include "relay/config_rows.h"
#include "relay/config_value.h"
#include "rpt/event.h"

#include <inttypes.h>
#include <stdlib.h>

#define DOMAIN_KEYS " domain tls dane requiretls rate concurrency override until reason"
#define REASON_MAX 200
#define SESSIONS_MAX 1000               /* as delivery.concurrency */
#define WARNINGS_MAX 20                 /* of rules that have ended */

static const char *const level_words[] = {
#define X(name, text) [STS_LEVEL_##name] = STS_LEVEL_##name == STS_LEVEL_UNSET ? NULL : text,
	STS_LEVELS(X)
#undef X
};
static const char *const dane_words[] = { [STS_DANE_AUTO] = "auto", [STS_DANE_OFF] = "off", [STS_DANE_REQUIRED] = "required" };
static const char *const requiretls_words[] = { [CONFIG_REQUIRETLS_ENFORCE] = "enforce", [CONFIG_REQUIRETLS_RELAXED] = "relaxed" };

struct domain_item {                            /* one being read */
	struct config_domain *domain;
	char *name, *reason;
	unsigned level, dane, requiretls;
};

/* The rule is in force on that day too, and ends with it: at midnight UTC. */
static void set_until(struct conf_reader *r, struct sts_rule *rule, yaml_node_t *value)
{
	int64_t day;
	if (value->type == YAML_SCALAR_NODE && rpt_day_parse(conf_scalar(value), &day) && day >= 0)
		rule->until_s = (day + 1) * RPT_DAY_S;
	else
		conf_problem(r, value, "domains.until: takes a date such as 2027-01-31, the last day (UTC) on which the entry is in force");
}

static void set_override(struct conf_reader *r, struct sts_rule *rule, yaml_node_t *value)
{
	if (value->type != YAML_SCALAR_NODE || !config_bool(conf_scalar(value), &rule->override))
		conf_problem(r, value, "domains.override: takes yes or no");
}

static bool read_key(struct conf_reader *r, void *item, struct sp_str key, yaml_node_t *value)
{
	struct domain_item *of = item;
	struct config_domain *d = of->domain;
	if (sp_str_eq(key, SP_STR("domain"))) {
		conf_read_domain(r, "domains.domain", &of->name, value);
	} else if (sp_str_eq(key, SP_STR("tls"))) {
		conf_read_word(r, "domains.tls", &of->level, level_words, SP_COUNT(level_words), value);
	} else if (sp_str_eq(key, SP_STR("dane"))) {
		conf_read_word(r, "domains.dane", &of->dane, dane_words, SP_COUNT(dane_words), value);
		d->has_dane = true;
	} else if (sp_str_eq(key, SP_STR("requiretls"))) {
		conf_read_word(r, "domains.requiretls", &of->requiretls, requiretls_words, SP_COUNT(requiretls_words), value);
	} else if (sp_str_eq(key, SP_STR("rate"))) {
		conf_read_rate(r, "domains.rate", &d->rate, value);
	} else if (sp_str_eq(key, SP_STR("concurrency"))) {
		conf_read_count(r, "domains.concurrency", &d->concurrency, SESSIONS_MAX, value);
	} else if (sp_str_eq(key, SP_STR("override"))) {
		set_override(r, &d->rule, value);
	} else if (sp_str_eq(key, SP_STR("until"))) {
		set_until(r, &d->rule, value);
	} else if (sp_str_eq(key, SP_STR("reason"))) {
		conf_read_text(r, "domains.reason", &of->reason, REASON_MAX, value);
	} else {
		return false;
	}
	return true;
}

/* What in it weakens what the domain may publish; NULL: nothing does. */
static const char *what_lowers(const struct config_domain *d)
{
	if (d->rule.level == STS_LEVEL_CLEAR)
		return "tls: none";
	if (d->rule.level == STS_LEVEL_MAY)
		return "tls: may";
	if (d->has_dane && d->dane == STS_DANE_OFF)
		return "dane: off";
	return d->rule.override ? "override" : NULL;
}

static void check_item(struct conf_reader *r, yaml_node_t *item, const struct config_domain *d)
{
	const struct sts_rule *rule = &d->rule;
	const char *lowers = what_lowers(d);
	bool of_tls = rule->level != STS_LEVEL_UNSET || d->has_dane;
	if (!*rule->domain)
		conf_problem(r, item, "domains: an item needs a domain");
	else if (!of_tls && !d->requiretls && !d->rate.count && !d->concurrency)
		conf_problem(r, item, "domains: the item for %s says nothing; it takes tls, dane, requiretls, rate or concurrency", rule->domain);
	else if (rule->level == STS_LEVEL_DANE && d->has_dane && d->dane == STS_DANE_OFF)
		conf_problem(r, item, "domains: tls: dane and dane: off, for %s, contradict each other", rule->domain);
	else if (rule->override && !of_tls)
		conf_problem(r, item, "domains: override takes the place of what %s publishes; say with what, by tls or dane", rule->domain);
	else if (lowers && !(rule->override && rule->until_s && *rule->reason))
		conf_problem(r, item, "domains: %s can lower what %s publishes, so it needs override: yes, until: (its last day, as 2027-01-31) and reason: "
		             "(for whoever reads the log)", lowers, rule->domain);
}

static void read_domain(struct conf_reader *r, yaml_node_t *item)
{
	struct config *c = r->c;
	unsigned before = r->count;
	size_t n = c->domains.count;
	if ((n & (n - 1)) == 0)                         /* room for the next power of two: there may be very many */
		c->domains.items = sp_realloc(c->domains.items, (n ? 2 * n : 1) * sizeof(*c->domains.items));
	struct config_domain *d = &c->domains.items[c->domains.count++];
	*d = (struct config_domain){ .dane = STS_DANE_AUTO };
	struct domain_item of = { .domain = d, .name = sp_strdup(""), .reason = sp_strdup(""), .level = STS_LEVEL_UNSET };
	conf_read_group(r, item, "domains", DOMAIN_KEYS, read_key, &of);
	d->rule.domain = of.name;
	d->rule.reason = of.reason;
	d->rule.level = (enum sts_level)of.level;
	d->dane = (enum sts_dane)of.dane;
	d->requiretls = (enum config_requiretls)of.requiretls;
	if (r->count == before)
		check_item(r, item, d);
}

/* Now that none of them moves any more. */
static void finish_domains(struct conf_reader *r)
{
	struct config *c = r->c;
	sp_map_init(&c->domains.index);
	for (size_t i = 0; i < c->domains.count && !conf_enough(r); i++) {
		struct config_domain *d = &c->domains.items[i];
		struct sp_str key = sp_str_of(d->rule.domain);
		if (key.len > 0 && sp_map_find(&c->domains.index, key))
			conf_problem(r, conf_list_value(r, "domains", i, NULL), "domains: %s is there twice", d->rule.domain);
		else
			sp_map_insert(&c->domains.index, &d->node, key);
	}
}

void config_forget_domains(struct config *c)
{
	sp_map_clear(&c->domains.index);
	sp_map_init(&c->domains.index);
}

const struct config_domain *config_domain_find(const struct config *c, const char *domain, int64_t now_s)
{
	const struct sp_map_node *n = sp_map_find(&c->domains.index, sp_str_of(domain));
	const struct config_domain *d = n ? sp_container_of(n, struct config_domain, node) : NULL;
	return d && sts_rule_in_force(&d->rule, now_s) ? d : NULL;
}

static void clear_domains(struct config *c)
{
	for (size_t i = 0; i < c->domains.count; i++) {
		free((void *)c->domains.items[i].rule.domain);
		free((void *)c->domains.items[i].rule.reason);
	}
	sp_map_clear(&c->domains.index);
	free(c->domains.items);
}

static void print_rule(const struct sts_rule *rule, struct sp_buf *out)
{
	char day[16];
	if (rule->override)
		sp_buf_adds(out, ", override: yes");
	if (rule->until_s)
		sp_buf_printf(out, ", until: %s", rpt_day_str(rule->until_s / RPT_DAY_S - 1, day));
	if (*rule->reason) {
		sp_buf_adds(out, ", reason: ");
		conf_print_string(rule->reason, out);
	}
}

static void print_domains(const struct config *c, struct sp_buf *out)
{
	sp_buf_adds(out, c->domains.count ? "domains:\n" : "domains: []\n");
	for (size_t i = 0; i < c->domains.count; i++) {
		const struct config_domain *d = &c->domains.items[i];
		sp_buf_adds(out, "  - {domain: ");
		conf_print_string(d->rule.domain, out);
		if (d->rule.level != STS_LEVEL_UNSET)
			sp_buf_printf(out, ", tls: %s", level_words[d->rule.level]);
		if (d->has_dane)
			sp_buf_printf(out, ", dane: \"%s\"", sts_dane_str(d->dane));
		if (d->requiretls)
			sp_buf_printf(out, ", requiretls: %s", requiretls_words[d->requiretls]);
		if (d->rate.count) {
			sp_buf_adds(out, ", rate: \"");
			config_print_rate(d->rate.count, d->rate.per_ms, out);
			sp_buf_addc(out, '"');
		}
		if (d->concurrency)
			sp_buf_printf(out, ", concurrency: %" PRId64, d->concurrency);
		print_rule(&d->rule, out);
		sp_buf_adds(out, "}\n");
	}
}

void conf_domains_warnings(const struct config *c, int64_t now_s, struct sp_buf *out)
{
	size_t ended = 0;
	char day[16];
	for (size_t i = 0; i < c->domains.count; i++) {
		const struct sts_rule *rule = &c->domains.items[i].rule;
		if (!sts_rule_in_force(rule, now_s) && ended++ < WARNINGS_MAX)
			sp_buf_printf(out, "domains: the entry for %s ended with %s, and is as if it were not there; remove it, or set another day after a "
			              "look at its reason: %s\n", rule->domain, rpt_day_str(rule->until_s / RPT_DAY_S - 1, day),
			              *rule->reason ? rule->reason : "none given");
	}
	if (ended > WARNINGS_MAX)
		sp_buf_printf(out, "domains: %zu more entries have ended\n", ended - WARNINGS_MAX);
}

static const struct conf_help help[] = {
	{ "domains[].domain", "domain", "(none)", "recipient domain, or the name of a configured next hop" },
	{ "domains[].tls", "word", "(none)",
	  "at least: none, may, encrypt, verify (a certificate for the MX host, or TLSA), dane (TLSA); a floor under what is published" },
	{ "domains[].dane", "word", "delivery.dane", "auto, off, required" },
	{ "domains[].requiretls", "word", "delivery.requiretls", "enforce, or relaxed: REQUIRETLS mail goes there although it does not offer that" },
	{ "domains[].rate", "rate", "delivery.rate", "messages to it, such as 100/1m" },
	{ "domains[].concurrency", "number", "delivery.concurrency", "sessions at once" },
	{ "domains[].override", "yes/no", "no", "tls and dane take the place of what is published; tls: none and may, and dane: off, need it" },
	{ "domains[].until", "date", "(none)", "last day (UTC) of the entry, which ends by itself; override needs it" },
	{ "domains[].reason", "text", "(none)", "for logs and status; override needs it" },
	{ NULL },
};

const struct conf_list conf_list_domains = { "domains", read_domain, finish_domains, clear_domains, print_domains, NULL, help };

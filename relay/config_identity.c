/* relay/config_identity.c - see config_identity.h; and what is to be said of a configuration that is sound. The Public Suffix List is the one that libpsl was built with. */
#include "relay/config_identity.h"

#include "relay/config_listen.h"
#include "relay/config_rows.h"
#include "smtp/address.h"
#include "smtp/dkim.h"

#include <libpsl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define RSA_BITS 2048           /* what a signer should have (RFC 8301 3.2) */

/* The domain that a host is in: its name without the first label, where somebody can own that. */
static const char *domain_of(const char *hostname)
{
	const char *dot = strchr(hostname, '.');
	return dot == NULL || psl_is_public_suffix(psl_builtin(), dot + 1) ? hostname : dot + 1;
}

static const char *registered_part(const char *hostname)
{
	const char *part = psl_registrable_domain(psl_builtin(), hostname);     /* NULL: it is a public suffix itself */
	return part ? part : hostname;
}

bool conf_identity_submitter(struct config *c, struct sp_buf *why)
{
	struct sp_arena arena = SP_ARENA_EMPTY;
	const char *phrase, *set = c->report.submitter;
	const char *submitter = *set ? smtp_domain_ascii(sp_str_of(set), &arena, &phrase) : domain_of(c->hostname);
	bool ok = submitter && strchr(submitter, '.') != NULL;
	if (ok) {
		c->identity.submitter = sp_strdup(submitter);
		c->identity.organization = sp_strdup(*c->report.organization ? c->report.organization : registered_part(c->hostname));
	} else {
		sp_buf_printf(why, "report.submitter: '%.*s' is not a domain such as example.com%s%s", SP_STR_ARG(conf_shown(sp_str_of(set))),
		              submitter ? "" : ": ", submitter ? "" : phrase);
	}
	sp_arena_clear(&arena);
	return ok;
}

bool conf_identity_contact(struct config *c, struct sp_buf *why)
{
	const char *submitter = c->identity.submitter, *set = c->report.contact, *phrase = "it has no domain";
	struct sp_arena arena = SP_ARENA_EMPTY;
	struct smtp_address a;
	const char *contact = sp_arena_printf(&arena, "postmaster@%s", submitter);
	bool ok = true;
	if (*set) {
		ok = smtp_address_parse(sp_str_of(set), false, &arena, &a, &phrase) && *a.domain && !a.literal;
		if (!ok)
			sp_buf_printf(why, "report.contact: '%.*s' is not a mail address: %s", SP_STR_ARG(conf_shown(sp_str_of(set))), phrase);
		else if (!(ok = strcmp(a.domain, submitter) == 0))      /* RFC 8460 5.3: TLS-Report-Submitter and contact-info have one domain */
			sp_buf_printf(why, "report.contact: '%.*s' is not at the submitter's domain, %s; set report.submitter: %s, or another address",
			              SP_STR_ARG(conf_shown(sp_str_of(set))), submitter, a.domain);
		else
			contact = a.text;
	}
	if (ok)
		c->identity.contact = sp_strdup(contact);
	sp_arena_clear(&arena);
	return ok;
}

void conf_identity_clear(struct config *c)
{
	free((char *)c->identity.organization);
	free((char *)c->identity.submitter);
	free((char *)c->identity.contact);
}

const struct config_identity *config_report_identity(const struct config *c)
{
	return &c->identity;
}

/* A group that may read is how a key of root's is given to the relay. No command to paste that takes the file from the relay: `config check` runs as another user. */
static void warn_of_open_key(const struct config *c, size_t item, struct sp_buf *out)
{
	const struct config_dkim *d = &c->dkim.items[item];
	for (size_t i = 0; i < item; i++)
		if (strcmp(c->dkim.items[i].key_file, d->key_file) == 0)        /* told already */
			return;
	if (d->key_mode & (S_IRWXO | S_IWGRP))
		sp_buf_printf(out, "dkim: %s has mode %04o, so more than the relay may read or change the private key; make the user that the relay runs "
		              "as its owner, and the mode 0600\n", d->key_file, d->key_mode);
}

void config_warnings(const struct config *c, int64_t now_s, struct sp_buf *out)
{
	struct smtp_dkim_signer one;
	for (size_t i = 0; i < c->dkim.count; i++) {
		const struct config_dkim *d = &c->dkim.items[i];
		warn_of_open_key(c, i, out);
		if (core_key_kind(d->key) == CORE_KEY_RSA && core_key_bits(d->key) < RSA_BITS)
			sp_buf_printf(out, "dkim: the key of %s._domainkey.%s has %u bits; signers should use %d at least (RFC 8301 3.2)\n", d->selector,
			              d->domain, core_key_bits(d->key), RSA_BITS);
	}
	conf_listen_warnings(c, now_s, out);
	if (c->report.enabled && config_dkim_signers(c, c->identity.submitter, CONFIG_DKIM_REPORTS, &one, 1) == 0)
		sp_buf_printf(out, "report: https reports go out, mailed ones do not: dkim has no key for the submitter %s; make one: "
		              "strictpost dkim keygen --domain %s --selector tlsrpt\n", c->identity.submitter, c->identity.submitter);
	conf_admin_warnings(c, out);
	conf_domains_warnings(c, now_s, out);
	conf_lists_warn(c, out);
}

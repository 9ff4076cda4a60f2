/* relay/sign.c - see sign.h. */
#include "relay/sign.h"

#include "core/clock.h"
#include "relay/users.h"
#include "smtp/dkim.h"
#include "smtp/header.h"

#include <stdlib.h>

#define BY_MAX (SMTP_DKIM_SIGNERS_MAX * 512)

struct sign {
	struct config *config;                  /* one ref: its keys sign at the end */
	struct smtp_dkim *dkim;                 /* NULL once finished */
	struct sp_buf by;
};

/* MAIL FROM was held against the user's senders; the From field, which readers see and a signature vouches for, is not. One that only a proxy knows (XCLIENT)
 * is the proxy's to judge. */
static bool may_speak(const struct config *c, const char *user, const char *domain)
{
	const struct user *u = user && c->auth.users ? users_find(c->auth.users, user) : NULL;
	return u == NULL || user_has_domain(u, domain);
}

/* The keys of the author's domain, but for those whose signature is there: who signed before us may have changed the content since. */
static size_t choose(const struct config *c, const char *user, struct sp_str header, struct smtp_dkim_signer out[SMTP_DKIM_SIGNERS_MAX])
{
	char domain[256];
	if (c->dkim.count == 0 || !smtp_dkim_author(header, domain) || !may_speak(c, user, domain))
		return 0;
	size_t all = config_dkim_signers(c, domain, CONFIG_DKIM_MAIL, out, SMTP_DKIM_SIGNERS_MAX), n = 0;
	for (size_t i = 0; i < all; i++)
		if (!smtp_dkim_is_signed(header, out[i].domain, out[i].selector))
			out[n++] = out[i];
	return n;
}

struct sign *sign_begin(struct config *c, const char *user, struct sp_str header, const char *id, struct sp_buf *fields)
{
	struct smtp_dkim_signer signers[SMTP_DKIM_SIGNERS_MAX];
	size_t count = choose(c, user, header, signers);
	if (count == 0)
		return NULL;
	struct sp_buf zeros;
	sp_buf_init(&zeros, SIGN_FIELDS_MAX);
	struct smtp_dkim *dkim = smtp_dkim_begin(signers, count, header, core_clock_wall_s(), &zeros);
	if (sp_buf_failed(&zeros)) {            /* thousands of fields to be named in h= */
		sp_log_text(SP_LOG_WARNING, id, "dkim", "not signed: for its header the signatures would take more than %d octets", SIGN_FIELDS_MAX);
		smtp_dkim_free(dkim);
		sp_buf_clear(&zeros);
		return NULL;
	}
	sp_buf_add(fields, sp_buf_str(&zeros));
	sp_buf_clear(&zeros);
	struct sign *s = sp_alloc(sizeof(*s));
	s->config = config_ref(c);
	s->dkim = dkim;
	sp_buf_init(&s->by, BY_MAX);
	for (size_t i = 0; i < count; i++)
		sp_buf_printf(&s->by, "%s%s/%s", i ? "," : "", signers[i].domain, signers[i].selector);
	return s;
}

void sign_body(struct sign *s, struct sp_str piece)
{
	smtp_dkim_body(s->dkim, piece);
}

void sign_finish(struct sign *s, struct sp_buf *fields)
{
	smtp_dkim_finish(s->dkim, fields);
	s->dkim = NULL;
}

const char *sign_by(const struct sign *s)
{
	return s ? sp_buf_cstr(&s->by) : "";
}

void sign_free(struct sign *s)
{
	if (s == NULL)
		return;
	smtp_dkim_free(s->dkim);
	config_unref(s->config);
	sp_buf_clear(&s->by);
	free(s);
}

void sign_message(struct config *c, const char *id, struct sp_buf *message)
{
	struct smtp_dkim_signer signers[SMTP_DKIM_SIGNERS_MAX];
	struct smtp_header_scan scan;
	smtp_header_scan_init(&scan);
	smtp_header_scan_feed(&scan, sp_buf_str(message));
	size_t count = choose(c, NULL, sp_str_make(message->p, scan.len), signers);
	if (count == 0)
		return;
	struct sp_buf all;
	sp_buf_init(&all, message->max + SIGN_FIELDS_MAX);
	smtp_dkim_sign(signers, count, sp_buf_str(message), core_clock_wall_s(), &all);
	sp_buf_add(&all, sp_buf_str(message));
	if (sp_buf_failed(&all)) {
		sp_log_text(SP_LOG_WARNING, id, "dkim", "not signed: there is no room for it");
		sp_buf_clear(&all);
		return;
	}
	sp_buf_clear(message);
	*message = all;
}

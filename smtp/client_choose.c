/* smtp/client_choose.c - what cannot go to this peer, for all or for one recipient, said as the peer would say it and before it is asked. See client.h and
 * client_state.h. Implements RFC 1870 6.1 (SIZE), 6152 3 (8BITMIME), 3030 3 (BINARYMIME), 6531 3.5 (SMTPUTF8), 2852 4.1.4 (DELIVERBY), 9422 4 (LIMITS).
 * Content is never converted (RFC 6152 3 allows either): what would arrive is another content than the one that was signed (RFC 6376 5.3). */
#include "smtp/client_state.h"

#include <inttypes.h>
#include <stdio.h>

#define PATH_MAX_SENT 900       /* octets of an address: longer ones fit in no command line */

bool choose_is_utf8(const char *address)
{
	for (; *address; address++)
		if ((unsigned char)*address > 127)
			return true;
	return false;
}

/* False for what could break out of its command: controls, and outside quotes what delimits the path. */
static bool can_be_sent(const char *address)
{
	bool quoted = false;
	const char *c = address;
	for (; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 127)
			return false;
		if (*c == '\\' && quoted && c[1] != '\0')
			c++;
		else if (*c == '"')
			quoted = !quoted;
		else if (!quoted && (*c == ' ' || *c == '<' || *c == '>'))
			return false;
		if ((unsigned char)*c < ' ' || *c == 127)       /* the one behind a backslash */
			return false;
	}
	return !quoted && c - address <= PATH_MAX_SENT;
}

/* What the peer would say, said before asking it. */
static void refuse_here(struct sp_fail *f, int code, const char *esc, const char *text)
{
	sp_fail_set(f, SP_FAIL_REPLY, "%s", text);
	f->code = code;
	snprintf(f->esc, sizeof(f->esc), "%s", esc);
	f->permanent = code >= 500;
}

/* RFC 2852 4.1.4.1: by-mode R goes only to a peer that takes it, and only while there is as much time left as that asks for. */
static bool too_late(const struct smtp_client *c, const struct smtp_client_mail *m, struct sp_fail *f)
{
	char text[512];
	if (m->wish == NULL || m->wish->by != SP_BY_RETURN)
		return false;
	int64_t left_s = param_by_s(m);
	if (left_s <= 0)
		snprintf(text, sizeof(text), "the time in which it was to be delivered is over");
	else if (!c->ext.deliverby)
		snprintf(text, sizeof(text), "%s does not offer DELIVERBY, and this message is to be delivered in time or returned", c->peer);
	else if (left_s < c->ext.deliverby_min_s)
		snprintf(text, sizeof(text), "%s promises no delivery within less than %" PRIu32 " seconds, and %" PRId64 " are left", c->peer, c->ext.deliverby_min_s, left_s);
	else
		return false;
	refuse_here(f, 554, "5.4.7", text);             /* RFC 3463 3.5: delivery time expired */
	return true;
}

/* RFC 6531 3.4: an address or the header has octets over 127. Domains are A-labels here, so they are no reason. */
static bool needs_utf8(const struct smtp_client_mail *m)
{
	return choose_is_utf8(m->sender) || (m->utf8_needed && m->wish && m->wish->utf8);
}

bool choose_none(struct smtp_client *c, const struct smtp_client_mail *m, struct sp_fail *f)
{
	const struct smtp_client_ext *x = &c->ext;
	char text[512];
	c->t.utf8 = needs_utf8(m);
	if (!can_be_sent(m->sender)) {
		refuse_here(f, 553, "5.1.7", "the sender's address cannot be written in a command");
	} else if (c->t.utf8 && !x->smtputf8) {
		snprintf(text, sizeof(text), "%s does not offer SMTPUTF8, which %s needs", c->peer, choose_is_utf8(m->sender) ? "the sender's address" : "the header");
		refuse_here(f, 550, "5.6.7", text);                     /* RFC 6531 3.5 */
	} else if (x->size_max > 0 && m->size > x->size_max) {
		snprintf(text, sizeof(text), "%s takes messages of up to %" PRIu64 " octets, and this one for %s has %" PRIu64, c->peer,
		         x->size_max, m->domain ? m->domain : "its recipients", m->size);
		refuse_here(f, 552, "5.3.4", text);                     /* RFC 1870 6.1 */
	} else if (m->binary && !(x->binary && x->chunking)) {
		snprintf(text, sizeof(text), "%s does not offer BINARYMIME and CHUNKING, and this message is no text", c->peer);
		refuse_here(f, 554, "5.6.3", text);                     /* RFC 3030 3 */
	} else if (m->eight_bit && !m->binary && !x->eight_bit) {
		snprintf(text, sizeof(text), "%s does not offer 8BITMIME, and this message has octets over 127", c->peer);
		refuse_here(f, 554, "5.6.3", text);                     /* RFC 6152 3 */
	} else {
		return too_late(c, m, f);
	}
	return true;
}

static struct sp_str domain_of(const char *address)
{
	const char *at = strrchr(address, '@');
	return sp_str_of(at ? at + 1 : "");
}

/* Would this recipient's domain be one more than the peer takes (RFC 9422 4.3)? */
static bool domain_too_many(const struct smtp_client *c, const struct smtp_client_mail *m, size_t i, unsigned *domains)
{
	if (c->ext.rcpt_domain_max == 0)
		return false;
	struct sp_str domain = domain_of(m->recipients[i]);
	for (size_t j = i; j-- > 0;)                    /* mostly the one before: a mail goes to one destination */
		if (c->t.recipients[j] == RECIPIENT_ASKED && sp_str_eq_nocase(domain_of(m->recipients[j]), domain))
			return false;
	if (*domains == c->ext.rcpt_domain_max)
		return true;
	(*domains)++;
	return false;
}

static bool recipient_cannot_go(struct smtp_client *c, const char *address, size_t before, struct sp_fail *f)
{
	char text[512];
	bool utf8 = choose_is_utf8(address);
	if (!can_be_sent(address) || address[0] == '\0') {
		refuse_here(f, 553, "5.1.3", "the recipient's address cannot be written in a command");
	} else if (utf8 && !c->ext.smtputf8) {
		snprintf(text, sizeof(text), "%s does not offer SMTPUTF8, which the recipient's address needs", c->peer);
		refuse_here(f, 553, "5.6.7", text);                     /* RFC 6531 3.5 */
	} else if (c->ext.rcpt_max > 0 && before >= c->ext.rcpt_max) {
		snprintf(text, sizeof(text), "%s takes %u recipients in a transaction", c->peer, c->ext.rcpt_max);
		refuse_here(f, 452, "4.5.3", text);                     /* RFC 9422 4.2 */
	} else {
		c->t.utf8 |= utf8;
		return false;
	}
	return true;
}

size_t choose_recipients(struct smtp_client *c, const struct smtp_client_mail *m)
{
	struct transaction *t = &c->t;
	size_t chosen = 0;
	unsigned domains = 0;
	struct sp_fail f;
	char text[512];
	for (size_t i = 0; i < t->count; i++) {
		if (recipient_cannot_go(c, m->recipients[i], chosen, &f)) {
			transaction_settle(t, i, &f);
		} else if (domain_too_many(c, m, i, &domains)) {
			snprintf(text, sizeof(text), "%s takes recipients of %u domains in a transaction", c->peer, c->ext.rcpt_domain_max);
			refuse_here(&f, 452, "4.5.3", text);            /* RFC 9422 4.3 */
			transaction_settle(t, i, &f);
		} else {
			t->recipients[i] = RECIPIENT_ASKED;
			chosen++;
		}
	}
	return chosen;
}

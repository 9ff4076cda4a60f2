/* smtp/client_param.c - the parameters of MAIL and RCPT: what the peer offers, and the mail asks for or needs. See client.h and client_state.h.
 * Implements RFC 1870 6 (SIZE), 6152 2 and 3030 3 (BODY), 6531 3.4 (SMTPUTF8), 3461 4 and 5.2.1 (RET, ENVID, NOTIFY, ORCPT), 6533 3 (ORCPT beyond ASCII),
 * 8689 4.2.1 (REQUIRETLS), 6710 4.2 (MT-PRIORITY), 2852 4.1.4 (BY).
 * No command gets longer than its extensions allow: ENVID and ORCPT have a limit of their own, and the rest adds a few octets each. */
#include "smtp/client_state.h"

#include "core/utf8.h"

#include <inttypes.h>

#define BY_MAX_S INT64_C(999999999)     /* RFC 2852 4: nine digits */

int64_t param_by_s(const struct smtp_client_mail *m)
{
	int64_t left_ms = m->wish->by_ms - m->now_ms;
	int64_t left_s = left_ms >= 0 ? left_ms / 1000 : -((999 - left_ms) / 1000);
	return left_s > BY_MAX_S ? BY_MAX_S : left_s < -BY_MAX_S ? -BY_MAX_S : left_s;
}

/* Can `value` be written behind "="? It was read as one; a damaged spool must not make a command of it. */
static bool is_value(const char *value, size_t max, bool utf8)
{
	size_t len = 0;
	for (; value[len] && len <= max; len++) {
		unsigned char c = (unsigned char)value[len];
		if (c <= ' ' || c == '=' || c == 127 || (c > 127 && !utf8))
			return false;
	}
	return len > 0 && len <= max;
}

/* --- MAIL --- */

static void put_dsn(struct smtp_client *c, const struct sp_mail_wish *w)
{
	if (w->ret != SP_RET_UNSAID)
		sp_buf_adds(&c->out, w->ret == SP_RET_HDRS ? " RET=HDRS" : " RET=FULL");
	if (w->envid && is_value(w->envid, SP_ENVID_MAX, false)) {
		sp_buf_adds(&c->out, " ENVID=");        /* RFC 3461 5.2.1: as it came */
		sp_buf_adds(&c->out, w->envid);
	}
}

/* RFC 2852 4.1.4: what is left of the time goes on; with N also what is past. */
static void put_by(struct smtp_client *c, const struct sp_mail_wish *w)
{
	sp_buf_printf(&c->out, " BY=%" PRId64 ";%c%s", param_by_s(c->mail), w->by == SP_BY_RETURN ? 'R' : 'N', w->by_trace ? "T" : "");
}

static void put_wishes(struct smtp_client *c, const struct sp_mail_wish *w)
{
	if (c->ext.dsn)
		put_dsn(c, w);
	if (c->ext.mt_priority)                 /* RFC 6710 4.2: said to whoever knows it, also that it is 0 */
		sp_buf_printf(&c->out, " MT-PRIORITY=%d", w->priority);
	if (c->ext.deliverby && w->by != SP_BY_NONE)
		put_by(c, w);
}

void param_put_mail(struct smtp_client *c)
{
	const struct smtp_client_mail *m = c->mail;
	if (c->ext.size)
		sp_buf_printf(&c->out, " SIZE=%" PRIu64, m->size);
	if (m->binary)
		sp_buf_adds(&c->out, " BODY=BINARYMIME");
	else if (m->eight_bit)
		sp_buf_adds(&c->out, " BODY=8BITMIME");
	if (c->t.utf8)
		sp_buf_adds(&c->out, " SMTPUTF8");
	if (m->require_tls && c->ext.requiretls && c->tls_on)   /* RFC 8689 4.2.1: under TLS only */
		sp_buf_adds(&c->out, " REQUIRETLS");
	if (m->wish)
		put_wishes(c, m->wish);
}

/* --- RCPT --- */

static void put_notify(struct smtp_client *c, unsigned notify)
{
	static const struct { unsigned bit; const char *word; } words[] = {
		{ SP_NOTIFY_SUCCESS, "SUCCESS" }, { SP_NOTIFY_FAILURE, "FAILURE" }, { SP_NOTIFY_DELAY, "DELAY" },
	};
	const char *before = " NOTIFY=";
	if (notify & SP_NOTIFY_NEVER) {
		sp_buf_adds(&c->out, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < SP_COUNT(words); i++) {
		if (!(notify & words[i].bit))
			continue;
		sp_buf_adds(&c->out, before);
		sp_buf_adds(&c->out, words[i].word);
		before = ",";
	}
}

/* RFC 6533 3: where SMTPUTF8 is not said, characters beyond ASCII are \x{HEX} (utf-8-addr-xtext). */
static void put_escaped(struct sp_buf *out, struct sp_str s)
{
	uint32_t c;
	while (s.len > 0) {
		size_t len = sp_utf8_char(s, &c);
		if (len == 0) {
			out->failed = true;
			return;
		}
		s = sp_str_from(s, len);
		if (c < 128)
			sp_buf_addc(out, (char)c);
		else
			sp_buf_printf(out, "\\x{%X}", c);
	}
}

/* RFC 3461 4.2: type, ";" and the address in xtext. RFC 6533 3: in its own form where it is beyond ASCII; then SMTPUTF8 is said. */
static void put_own_orcpt(struct sp_buf *out, const char *address)
{
	bool utf8 = choose_is_utf8(address);
	sp_buf_adds(out, utf8 ? "utf-8;" : "rfc822;");
	for (; *address; address++) {
		unsigned char c = (unsigned char)*address;
		if (c > ' ' && c != 127 && c != '+' && c != '=' && !(utf8 && c == '\\'))
			sp_buf_addc(out, *address);
		else
			sp_buf_printf(out, utf8 ? "\\x{%X}" : "+%02X", c);
	}
}

/* RFC 3461 5.2.1: the ORCPT that it came with; else, as is allowed, the address that it came with. One that would be longer than a peer has to take is left
 * out. */
static void put_orcpt(struct smtp_client *c, const struct sp_rcpt_wish *w, const char *address)
{
	struct sp_buf value;
	sp_buf_init(&value, SP_ORCPT_MAX);
	bool given = w->orcpt && *w->orcpt;
	if (given && is_value(w->orcpt, SP_ORCPT_MAX, true)) {
		if (c->t.utf8)
			sp_buf_adds(&value, w->orcpt);
		else
			put_escaped(&value, sp_str_of(w->orcpt));
	} else if (!given) {
		put_own_orcpt(&value, address);
	}
	if (!sp_buf_failed(&value) && value.len > 0) {
		sp_buf_adds(&c->out, " ORCPT=");
		sp_buf_add(&c->out, sp_buf_str(&value));
	}
	sp_buf_clear(&value);
}

/* Does anything of the mail or of one recipient ask for DSN? Without, the address stands in RCPT, which is as good as an ORCPT. */
static bool asks_for_dsn(const struct smtp_client_mail *m, const struct sp_rcpt_wish *w, unsigned notify)
{
	bool of_mail = m->wish && (m->wish->ret != SP_RET_UNSAID || (m->wish->envid && *m->wish->envid));
	return of_mail || notify || (w->orcpt && *w->orcpt);
}

/* RFC 2852 4.1.4.2: behind a peer that does not watch the time of BY=...;N, whoever can is to tell of a delay. */
static unsigned notify_for(const struct smtp_client *c, const struct sp_rcpt_wish *w)
{
	if (!c->t.by_dropped || param_by_s(c->mail) <= 0 || (w->notify & SP_NOTIFY_NEVER))
		return w->notify;
	return (w->notify ? w->notify : SP_NOTIFY_FAILURE) | SP_NOTIFY_DELAY;
}

void param_put_rcpt(struct smtp_client *c, size_t i)
{
	static const struct sp_rcpt_wish nothing = { 0 };
	const struct smtp_client_mail *m = c->mail;
	const struct sp_rcpt_wish *w = m->rcpt_wishes ? &m->rcpt_wishes[i] : &nothing;
	unsigned notify = notify_for(c, w);
	if (!c->ext.dsn || !asks_for_dsn(m, w, notify))
		return;
	put_notify(c, notify);
	put_orcpt(c, w, m->recipients[i]);
}

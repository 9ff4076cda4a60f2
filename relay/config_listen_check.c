/* relay/config_listen_check.c - see config_listen.h. */
#include "relay/config_listen.h"

#include "core/date.h"
#include "relay/config_rows.h"

#define SOON_S (14 * 86400)             /* a certificate that was to be renewed by itself would have been by now */

/* A listener under check. */
struct subject {
	struct conf_reader *r;
	size_t item;
	struct config_listen *l;
};

/* At the key where it is, else at the item. False: the key is not there. */
static bool has(const struct subject *s, const char *key)
{
	return conf_list_value(s->r, "listen", s->item, key) != NULL;
}

static const yaml_node_t *at(const struct subject *s, const char *key)
{
	const yaml_node_t *value = conf_list_value(s->r, "listen", s->item, key);
	return value ? value : conf_list_value(s->r, "listen", s->item, NULL);
}

static struct sp_str word_of(const struct subject *s, const char *key)
{
	const yaml_node_t *value = at(s, key);
	return value && value->type == YAML_SCALAR_NODE ? conf_scalar(value) : SP_STR("");
}

static void default_allow(struct config_nets *allow)
{
	struct sp_buf why;
	sp_buf_init(&why, 256);
	bool ok = conf_nets_add(allow, SP_STR("127.0.0.0/8"), &why) && conf_nets_add(allow, SP_STR("::1/128"), &why);
	sp_assert(ok);
	sp_buf_clear(&why);
}

/* Who may open the socket may relay: nothing else is asked, so nothing else may look as if it were. */
static void check_unix(const struct subject *s)
{
	static const char *const others[] = { "allow", "bare_lf", "tls", "tls_required", "certificate", "key", "tls_client_ca", "tickets", "auth", "xclient", "proxy" };
	for (size_t i = 0; i < SP_COUNT(others); i++)
		if (has(s, others[i]))
			conf_problem(s->r, at(s, others[i]), "listen.%s: has no meaning at a unix socket, where whoever may open it may relay (unix_mode)", others[i]);
}

/* What is written beside `tls: none` was meant to protect something. */
static void check_clear(const struct subject *s)
{
	static const char *const need_tls[] = { "certificate", "key", "tls_client_ca" };
	if (has(s, "tls") && !sp_str_eq(word_of(s, "tls"), SP_STR("none")))     /* no word of ours: that is told */
		return;
	for (size_t i = 0; i < SP_COUNT(need_tls); i++) {
		if (has(s, need_tls[i]))
			conf_problem(s->r, at(s, need_tls[i]), "listen.%s: needs tls: starttls or tls: implicit", need_tls[i]);
	}
	if (s->l->tls_required)
		conf_problem(s->r, at(s, "tls_required"), "listen.tls_required: needs tls: starttls");
	if (s->l->auth != CONFIG_AUTH_NONE)
		conf_problem(s->r, at(s, "auth"), "listen.auth: needs tls: starttls or tls: implicit, for passwords are never taken in clear");
}

static void check_auth(const struct subject *s)
{
	const char *users = s->r->c->auth.users_file;
	if (s->l->auth != CONFIG_AUTH_NONE && (users == NULL || *users == '\0'))
		conf_problem(s->r, at(s, "auth"), "listen.auth: needs auth.users_file; strictpost user add NAME makes one");
}

static void load_certificate(const struct subject *s)
{
	struct config_listen *l = s->l;
	if (*l->certificate == '\0') {
		conf_problem(s->r, at(s, "tls"), "listen.tls: needs a certificate (and its key)");
		return;
	}
	struct core_tls_server_ask ask = { .certificate = l->certificate, .key = l->key, .client_ca = l->client_ca,
	                                   .min_version = (enum core_tls_version)s->r->c->tls.listen_min, .tickets = l->tickets };
	struct sp_fail why;
	conf_file(s->r, l->certificate);
	conf_file(s->r, l->key);
	conf_file(s->r, l->client_ca);
	l->server = core_tls_server_new(&ask, &why);
	if (l->server == NULL)
		conf_problem(s->r, at(s, "certificate"), "listen.certificate: %s", why.text);
}

void conf_listen_check(struct conf_reader *r)
{
	for (size_t i = 0; i < r->c->listen.count && !conf_enough(r); i++) {
		struct subject s = { r, i, &r->c->listen.items[i] };
		if (sp_addr_family(&s.l->address) == AF_UNIX) {
			check_unix(&s);
			continue;
		}
		if (has(&s, "unix_mode"))
			conf_problem(r, at(&s, "unix_mode"), "listen.unix_mode: is for an address such as unix:/run/strictpost/submit.sock");
		if (!has(&s, "allow") && s.l->auth != CONFIG_AUTH_REQUIRED)
			default_allow(&s.l->allow);
		if (s.l->tls == CONFIG_LISTEN_CLEAR) {
			check_clear(&s);
		} else {
			check_auth(&s);
			load_certificate(&s);
		}
	}
}

/* --- warnings --- */

static bool told_before(const struct config *c, size_t item)
{
	for (size_t i = 0; i < item; i++)
		if (c->listen.items[i].server && strcmp(c->listen.items[i].certificate, c->listen.items[item].certificate) == 0)
			return true;
	return false;
}

static void warn_of(const struct config *c, const struct config_listen *l, int64_t now_s, struct sp_buf *out)
{
	char date[40];
	int64_t expires = core_tls_server_expires(l->server);
	if (expires <= now_s)
		sp_buf_printf(out, "listen: the certificate %s expired on %s; clients that verify it go away\n", l->certificate, sp_date_rfc3339(expires, date));
	else if (expires - now_s < SOON_S)
		sp_buf_printf(out, "listen: the certificate %s expires on %s; renew it, it is reread when it changes\n", l->certificate, sp_date_rfc3339(expires, date));
	if (!core_tls_server_names(l->server, c->hostname))
		sp_buf_printf(out, "listen: the certificate %s is not for the hostname %s; clients that verify names must know this relay by another one\n",
		              l->certificate, c->hostname);
}

void conf_listen_warnings(const struct config *c, int64_t now_s, struct sp_buf *out)
{
	for (size_t i = 0; i < c->listen.count; i++)
		if (c->listen.items[i].server && !told_before(c, i))
			warn_of(c, &c->listen.items[i], now_s, out);
}

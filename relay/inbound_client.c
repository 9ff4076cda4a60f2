/* relay/inbound_client.c - see inbound_impl.h: who a client is, and what it may do.
 * It may relay by its address (listen.allow), by its certificate (listen.tls_client_ca), by its password, or because it may open a unix socket. */
#include "relay/inbound_impl.h"

#include "core/clock.h"
#include "relay/users.h"

#include <stdlib.h>

/* --- addresses --- */

static void set_address(struct inbound *in, const struct sp_addr *addr)
{
	struct inbound_client *c = &in->client;
	c->addr = *addr;
	sp_addr_ip_str(addr, c->text);
	if (sp_addr_family(addr) == AF_UNSPEC)
		memcpy(c->text, "unknown", sizeof("unknown"));
	c->local = sp_addr_family(addr) == AF_UNIX;
	c->by_address = sp_nets_contain(in->listen->allow.nets, in->listen->allow.count, addr);
	in->settings.normalise_bare_lf = sp_nets_contain(in->listen->bare_lf.nets, in->listen->bare_lf.count, addr);
}

void inbound_client_init(struct inbound *in)
{
	set_address(in, core_conn_remote(in->conn));
}

static void speaks_for_another(struct inbound *in)
{
	char text[SP_ADDR_TEXT];
	if (in->client.via == NULL)
		in->client.via = sp_strdup(sp_addr_ip_str(core_conn_remote(in->conn), text));
}

void inbound_client_proxied(struct inbound *in, const struct sp_addr *from)
{
	if (sp_addr_family(from) == AF_UNSPEC)
		return;
	speaks_for_another(in);
	set_address(in, from);
}

bool inbound_client_count(struct inbound *in)
{
	uint64_t limit = (uint64_t)in->shard->config->limits.connections_per_client;
	int family = sp_addr_family(&in->client.addr);
	if (limit == 0 || (family != AF_INET && family != AF_INET6))
		return true;
	in->counted = clients_enter(in->shard->relay->clients, &in->client.addr, limit);
	return in->counted;
}

void inbound_client_uncount(struct inbound *in)
{
	if (in->counted)
		clients_leave(in->shard->relay->clients, &in->client.addr);
	in->counted = false;
}

/* --- TLS --- */

static void see_certificate(struct inbound *in, const struct core_tls_peer *peer)
{
	struct sp_buf subject;
	struct sp_fail why;
	sp_buf_init(&subject, 1024);
	if (core_tls_server_knows(in->listen->server, peer, core_clock_wall_s(), &subject, &why)) {
		free(in->client.subject);
		in->client.subject = sp_buf_take(&subject);
	} else if (sp_failed(&why)) {           /* AUTH may be left to it, so it is not sent away */
		sp_log_text(SP_LOG_INFO, NULL, "client-certificate", "%s: %s", in->client.text, why.text);
	}
	sp_buf_clear(&subject);
}

void inbound_client_handshake(struct inbound *in)
{
	const struct core_tls_peer *peer = core_conn_tls_peer(in->conn);
	struct sp_buf text;
	sp_buf_init(&text, 256);
	sp_buf_printf(&text, "%s %s", peer->version, peer->cipher);
	free(in->client.tls);
	in->client.tls = sp_buf_take(&text);
	if (!in->client.by_proxy)
		see_certificate(in, peer);
}

/* --- rights --- */

static bool is_known(const struct inbound_client *c)
{
	return c->local || c->by_address || c->subject || c->user_of_proxy;
}

void inbound_client_known(struct inbound *in)
{
	if (is_known(&in->client))
		smtp_server_set_known(in->engine);
}

bool inbound_client_may_relay(const struct inbound *in)
{
	return is_known(&in->client) || in->client.user;
}

/* Who has logged in is held to its `senders`, wherever it comes from. The users file as it is now: a user who was taken out of it may do nothing. */
bool inbound_client_may_send(const struct inbound *in, const char *sender)
{
	const struct inbound_client *c = &in->client;
	if (c->user == NULL)
		return true;
	const struct user *user = in->shard->config->auth.users ? users_find(in->shard->config->auth.users, c->user) : NULL;
	return user ? user_may_send(user, sender) : c->user_of_proxy;
}

/* --- AUTH --- */

static void log_login(const struct inbound *in, const char *name, const char *result)
{
	struct sp_log l;
	sp_log_begin(&l, SP_LOG_INFO, NULL, "login");
	sp_log_cstr(&l, "client", in->client.text);
	sp_log_cstr(&l, "via", in->client.via);
	sp_log_cstr(&l, "user", name);
	sp_log_cstr(&l, "result", result);
	sp_log_end(&l);
}

static void on_login(void *owner, enum login_answer answer)
{
	static const char *const results[] = { [LOGIN_OK] = "ok", [LOGIN_WRONG] = "wrong", [LOGIN_BUSY] = "busy" };
	struct inbound *in = owner;
	struct sp_str none = { 0 };
	in->login = NULL;
	log_login(in, in->login_name, results[answer]);
	metrics_add(in->shard->metrics, METRIC_LOGINS, answer == LOGIN_OK ? METRICS_SUCCESS : METRICS_FAILURE, 1);
	if (answer == LOGIN_OK) {
		free(in->client.user);
		in->client.user = in->login_name;
		in->login_name = NULL;
		smtp_server_accept(in->engine, NULL);
	} else {
		smtp_server_refuse(in->engine, answer == LOGIN_BUSY ? "454 4.7.0 Too busy to check the password; try again later" : NULL);
	}
	inbound_feed(in, none);
}

void inbound_client_login(struct inbound *in)
{
	const struct smtp_server_login *login = smtp_server_login(in->engine);
	if (*login->acting && strcmp(login->acting, login->name) != 0) {
		log_login(in, login->name, "acting-for-another");       /* RFC 4616 2: nobody here may */
		smtp_server_refuse(in->engine, NULL);
		return;
	}
	free(in->login_name);
	in->login_name = sp_strdup(login->name);
	in->login = login_begin(in->shard, &in->client.addr, login->name, login->password, on_login, in);
}

/* --- XCLIENT (Postfix's XCLIENT_README) --- */

/* Not said: as it was. Not available: then there is no address that could be in listen.allow. */
static bool read_address(const struct smtp_server_xclient *x, struct sp_addr *addr)
{
	uint64_t port = 0;
	if (x->addr == NULL)
		return true;
	*addr = (struct sp_addr){ 0 };
	addr->sa.sa_family = AF_UNSPEC;
	if (*x->addr == '\0')
		return true;
	if (x->port && *x->port && !sp_str_number(sp_str_of(x->port), 0, 65535, &port))
		return false;
	return sp_addr_parse_ip(sp_str_of(x->addr), (uint16_t)port, addr);
}

/* Another client stands behind the proxy now: what the last one proved is not its own. A proxy may say what it knows in several commands: one without an
 * address is about the same client still. */
static void become(struct inbound *in, const struct sp_addr *addr, const struct smtp_server_xclient *x)
{
	struct inbound_client *c = &in->client;
	speaks_for_another(in);
	set_address(in, addr);
	c->by_proxy = true;
	free(c->subject);
	c->subject = NULL;
	if (x->login == NULL && x->addr == NULL && c->user_of_proxy)
		return;
	free(c->user);
	c->user_of_proxy = x->login && *x->login;
	c->user = c->user_of_proxy ? sp_strdup(x->login) : NULL;
}

void inbound_client_xclient(struct inbound *in)
{
	const struct smtp_server_xclient *x = smtp_server_xclient(in->engine);
	struct sp_addr addr = in->client.addr;
	if (!read_address(x, &addr)) {
		smtp_server_refuse(in->engine, "501 5.5.4 XCLIENT: not an address and a port");
		return;
	}
	inbound_client_uncount(in);
	become(in, &addr, x);
	if (!inbound_client_count(in)) {
		smtp_server_refuse(in->engine, "421 4.7.0 Too many connections from your address");
		return;
	}
	smtp_server_accept(in->engine, NULL);
	inbound_client_known(in);
}

/* --- as a value --- */

void inbound_client_copy(struct inbound_client *to, const struct inbound_client *from)
{
	*to = *from;
	to->via = sp_strdup(from->via);
	to->subject = sp_strdup(from->subject);
	to->user = sp_strdup(from->user);
	to->tls = sp_strdup(from->tls);
}

void inbound_client_clear(struct inbound_client *c)
{
	free(c->via);
	free(c->subject);
	free(c->user);
	free(c->tls);
	*c = (struct inbound_client){ 0 };
}

void inbound_client_log(struct sp_log *l, const struct inbound_client *c)
{
	sp_log_cstr(l, "client", c->text);
	sp_log_cstr(l, "via", c->via);
	sp_log_cstr(l, "user", c->user);
	sp_log_cstr(l, "subject", c->subject);
	sp_log_cstr(l, "tls", c->tls);
}

void inbound_client_name(const struct inbound_client *c, struct sp_buf *out)
{
	const char *who = c->user ? c->user : c->subject;
	sp_buf_add_printable(out, sp_str_of(c->text));
	if (who) {
		sp_buf_adds(out, " (");
		sp_buf_add_printable(out, sp_str_of(who));
		sp_buf_addc(out, ')');
	}
}
